"""`parley talk`: hold a conversation with a running server, by microphone, by recordings or by text.

`parley say` is one turn of the same.
"""

import asyncio
import base64
import time
from argparse import Namespace
from collections import deque
from collections.abc import AsyncIterator, Mapping, Sequence
from contextlib import AsyncExitStack
from pathlib import Path
from typing import Any, Final

import numpy as np

from parley.audio.pcm import to_samples
from parley.cli.client import Client, Target, connected, described
from parley.cli.place import target_of
from parley.cli.problem import Problem, Status
from parley.cli.screen import JsonLines, Screen, Terminal
from parley.cli.sound import LoudSpeaker, QuietSpeaker, Speaker, microphone, paced, read_sound, write_wav
from parley.cli.turns import TurnLog

POLL_S: Final = 0.05
QUIET_S: Final = 1.5
"""After the end of a recording, how long a turn may still begin: the detector is a little behind the sound."""
PATIENCE_S: Final = 90.0
"""How long an answer may take before the command gives up. Longer than every timeout of a server."""
LOUD_PART: Final = 0.06
LOUD_LEAST: Final = 300
"""A chunk holds speech when its peak is at least this part of the loudest so far, and at least this many steps."""


def run(args: Namespace) -> int:
    """Talks until the recordings are answered, `--turns` are done, or Ctrl-C."""
    return asyncio.run(talk(args))


async def talk(args: Namespace) -> int:
    recordings = [(path, read_sound(Path(path))) for path in args.wav or ()]
    screen: Screen = JsonLines() if args.json else Terminal(timing=args.timing)
    quiet = args.out or args.text or recordings
    speaker: Speaker = QuietSpeaker(paced=not args.text) if quiet else LoudSpeaker()
    target: Target = target_of(args)
    async with AsyncExitStack() as stack:
        source = None if recordings or args.text else await stack.enter_async_context(microphone())
        client = await stack.enter_async_context(connected(target))
        conversation = Conversation(client, speaker, screen)
        await conversation.begin(session_of(args))
        if source is not None:
            screen.note(f"Talking to {target.url}. Speak; Ctrl-C ends the conversation.")
        stopped = False
        try:
            await converse(conversation, source, recordings, args)
        except asyncio.CancelledError:  # Ctrl-C
            stopped = True
    if args.out and isinstance(speaker, QuietSpeaker):
        write_wav(Path(args.out), bytes(speaker.heard))
        screen.note(f"The answer is in {args.out}")
    if stopped:
        return Status.OK if source is not None else Status.INTERRUPTED
    failed = any(turn.status not in ("completed", "cancelled") for turn in conversation.log.turns)
    return Status.FAILED if failed else Status.OK


async def converse(
    conversation: "Conversation",
    source: AsyncIterator[bytes] | None,
    recordings: Sequence[tuple[str, bytes]],
    args: Namespace,
) -> None:
    if source is not None:
        await conversation.listen(source, None, args.turns)
    elif recordings:
        tape = Tape(recordings)
        await conversation.listen(tape.chunks(), tape, args.turns)
    for text in args.text or ():
        await conversation.ask(text)


def session_of(args: Namespace) -> dict[str, Any]:
    """The body of `session.update` (protocol.md 2.2): only what was asked for, and transcripts."""
    output = {"voice": args.voice} if args.voice else {}
    session: dict[str, Any] = {
        "type": "realtime",
        "audio": {"input": {"transcription": {"model": "gpt-4o-mini-transcribe"}}, "output": output},
    }
    if args.vad:
        session["audio"]["input"]["turn_detection"] = {"type": args.vad}
    if args.instructions:
        session["instructions"] = args.instructions
    return session


class Tape:
    """Recordings that are asked one after the other, with the silence of a room between them."""

    def __init__(self, recordings: Sequence[tuple[str, bytes]]) -> None:
        self._waiting = deque(recordings)
        self.name = ""
        self.over_at: float | None = 0.0
        """When the current recording ended; None while it plays."""

    @property
    def empty(self) -> bool:
        return not self._waiting

    async def chunks(self) -> AsyncIterator[bytes]:
        """In real time. The next recording starts after `go_on`, the sound of nothing never stops."""
        while True:
            if self.over_at is None:
                self.name, pcm = self._waiting.popleft()
                left = len(pcm)
                async for chunk in paced(pcm):
                    yield chunk
                    left -= len(chunk)
                    if left <= 0:
                        break
                self.over_at = time.monotonic()
            async for silence in paced(b""):
                yield silence
                if self.over_at is None:
                    break

    def go_on(self) -> None:
        self.over_at = None


class Loudness:
    """When the speaker was last heard, judged by the peaks of what the microphone delivers."""

    def __init__(self) -> None:
        self.last_ms: float | None = None
        self._loudest = 0

    def hear(self, chunk: bytes, now_ms: float) -> None:
        peak = int(np.abs(to_samples(chunk).astype(np.int32)).max(initial=0))
        self._loudest = max(self._loudest, peak)
        if peak >= max(LOUD_LEAST, LOUD_PART * self._loudest):
            self.last_ms = now_ms


class Conversation:
    """One session with a server: sound goes up, events come down, each turn ends up on the screen."""

    def __init__(self, client: Client, speaker: Speaker, screen: Screen) -> None:
        self.log = TurnLog()
        self._client = client
        self._speaker = speaker
        self._screen = screen
        self._loudness = Loudness()
        self._shown = 0
        """Turns that are finished on the screen."""
        self._last_event = time.monotonic()

    async def begin(self, session: Mapping[str, Any]) -> None:
        """Raises `Problem` when the server refuses the session's settings."""
        await self._client.send("session.update", session=session)
        while (event := await self._client.receive())["type"] != "session.updated":
            if event["type"] == "error":
                raise Problem(described(event), status=Status.USAGE)

    async def ask(self, text: str) -> None:
        """A typed question, until its answer has been heard. Raises `Problem`."""
        self.log.ask(text, now_ms())
        item = {"type": "message", "role": "user", "content": [{"type": "input_text", "text": text}]}
        await self._client.send("conversation.item.create", item=item)
        await self._client.send("response.create")
        await self._follow(None, len(self.log.turns))

    async def listen(self, sound: AsyncIterator[bytes], tape: Tape | None, turns: int | None) -> None:
        """Spoken questions, until the tape (if any) is over or `turns` are done. Raises `Problem`."""
        try:
            async with asyncio.TaskGroup() as tasks:
                hearing = tasks.create_task(self._hear(sound))
                await self._follow(tape, turns)
                hearing.cancel()
        except ExceptionGroup as group:
            problem = next((error for error in group.exceptions if isinstance(error, Problem)), None)
            raise (problem or group) from None

    async def _hear(self, sound: AsyncIterator[bytes]) -> None:
        async for chunk in sound:
            self._loudness.hear(chunk, now_ms())
            await self._client.send("input_audio_buffer.append", audio=base64.b64encode(chunk).decode())

    async def _follow(self, tape: Tape | None, turns: int | None) -> None:
        while not self._finished(tape, turns):
            try:
                async with asyncio.timeout(POLL_S):  # wait_for of Python 3.11 may swallow Ctrl-C
                    event = await self._client.receive()
            except TimeoutError:
                if self.log.unanswered and time.monotonic() - self._last_event > PATIENCE_S:
                    raise Problem(f"No answer came in {PATIENCE_S:.0f} s", "Look at the server's log") from None
                continue
            self._last_event = time.monotonic()
            await self._perform(event)
            self._show()

    async def _perform(self, event: Mapping[str, Any]) -> None:
        self.log.see(event, now_ms(), self._loudness.last_ms)
        match event["type"]:
            case "error":
                self._screen.note(f"{described(event)}.")
            case "input_audio_buffer.speech_started":
                if heard := self._speaker.interrupt():
                    item_id, ms = heard
                    await self._client.send(
                        "conversation.item.truncate", item_id=item_id, content_index=0, audio_end_ms=ms
                    )
            case "response.output_audio.delta":
                self._speaker.play(event["item_id"], base64.b64decode(event["delta"]))

    def _show(self) -> None:
        for turn in self.log.turns[self._shown :]:
            later = turn.number < len(self.log.turns)
            self._screen.words(turn)
            if not turn.complete and not (later and "done" in turn.stamps):
                break
            self._screen.end(turn)
            self._shown += 1

    def _finished(self, tape: Tape | None, turns: int | None) -> bool:
        if self.log.unanswered or self._speaker.left_s() > 0:
            return False
        if turns is not None and len(self.log.turns) >= turns:
            return True
        if tape is None or tape.over_at is None or time.monotonic() - tape.over_at < QUIET_S:
            return False
        if tape.name and not self.log.turns:
            raise Problem(f"No speech was heard in {tape.name}", "Is it loud enough, and is it speech?")
        if tape.empty:
            return True
        tape.go_on()
        return False


def now_ms() -> float:
    return time.monotonic() * 1_000
