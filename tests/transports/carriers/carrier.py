"""A carrier's side of a media stream: a caller who speaks in frames of 20 ms, and a buffer that plays at its pace.

async with Carrier(url, TWILIO, parameters={"api_key": key}) as carrier:
    carrier.speak(pcm)
    await carrier.until(lambda: carrier.played_ms > 1_000)

It answers each mark when everything before it has been played, as all three do, and all of them at once on `clear`.
Its words are written down here a second time, from the carriers' own pages, and not taken from the table under test.
"""

import asyncio
import base64
import contextlib
import json
import time
from collections import deque
from collections.abc import Callable
from typing import Any, NamedTuple, Self

from websockets.asyncio.client import ClientConnection, connect
from websockets.exceptions import ConnectionClosed

from parley.audio.codecs import Encoder

FRAME_BYTES = 160
FRAME_S = 0.02
SILENCE = b"\xff"
PATIENCE_S = 40.0
STREAM = "MZ0123456789abcdef0123456789abcdef"
CALL = "CA0123456789abcdef0123456789abcdef"

Event = dict[str, Any]


class Spelling(NamedTuple):
    """How a carrier says it."""

    greeting: Callable[[dict[str, str]], list[Event]]
    media: Callable[[str, int], Event]
    dtmf: Callable[[str], Event]
    marked: Callable[[str], Event]
    stop: Event | None
    """None: it just closes."""
    heard: Callable[[Event], tuple[str, str]]
    """What we say to it -> media, mark or clear, with payload or name."""


def _twilio_heard(event: Event) -> tuple[str, str]:
    assert event["streamSid"] == STREAM
    match event:
        case {"event": "media", "media": {"payload": payload}, **rest} if rest.keys() == {"streamSid"}:
            return "media", payload
        case {"event": "mark", "mark": {"name": name}}:
            return "mark", name
        case {"event": "mark"}:  # the demo's have no name
            return "mark", ""
        case {"event": "clear"}:
            return "clear", ""
    raise AssertionError(f"Twilio does not know {event['event']!r}")


def _telnyx_heard(event: Event) -> tuple[str, str]:
    match event:
        case {"event": "media", "media": {"payload": payload}}:
            return "media", payload
        case {"event": "mark", "mark": {"name": name}}:
            return "mark", name
        case {"event": "clear"}:
            return "clear", ""
    raise AssertionError(f"Telnyx does not know {event['event']!r}")


def _plivo_heard(event: Event) -> tuple[str, str]:
    match event:
        case {
            "event": "playAudio",
            "media": {"contentType": "audio/x-mulaw", "sampleRate": 8000, "payload": payload},
        }:
            return "media", payload
        case {"event": "checkpoint", "streamId": _, "name": name}:
            return "mark", name
        case {"event": "clearAudio", "streamId": _}:
            return "clear", ""
    raise AssertionError(f"Plivo does not know {event['event']!r}")


TWILIO = Spelling(
    greeting=lambda parameters: [
        {"event": "connected", "protocol": "Call", "version": "1.0.0"},
        {
            "event": "start",
            "sequenceNumber": "1",
            "start": {
                "accountSid": "AC00",
                "streamSid": STREAM,
                "callSid": CALL,
                "tracks": ["inbound"],
                "mediaFormat": {"encoding": "audio/x-mulaw", "sampleRate": 8000, "channels": 1},
                "customParameters": parameters,
            },
            "streamSid": STREAM,
        },
    ],
    media=lambda payload, chunk: {
        "event": "media",
        "sequenceNumber": str(chunk + 1),
        "media": {"track": "inbound", "chunk": str(chunk), "timestamp": str(chunk * 20), "payload": payload},
        "streamSid": STREAM,
    },
    dtmf=lambda key: {
        "event": "dtmf",
        "streamSid": STREAM,
        "sequenceNumber": "5",
        "dtmf": {"track": "inbound_track", "digit": key},
    },
    marked=lambda name: {"event": "mark", "sequenceNumber": "4", "streamSid": STREAM, "mark": {"name": name}},
    stop={
        "event": "stop",
        "sequenceNumber": "5",
        "streamSid": STREAM,
        "stop": {"accountSid": "AC00", "callSid": CALL},
    },
    heard=_twilio_heard,
)
TELNYX = Spelling(
    greeting=lambda parameters: [
        {"event": "connected", "version": "1.0.0"},
        {
            "event": "start",
            "sequence_number": "1",
            "start": {
                "user_id": "u",
                "call_control_id": CALL,
                "call_session_id": "s",
                "from": "+13122010094",
                "to": "+13122123456",
                "custom_parameters": parameters,
                "media_format": {"encoding": "PCMU", "sample_rate": 8000, "channels": 1},
            },
            "stream_id": STREAM,
        },
    ],
    media=lambda payload, chunk: {
        "event": "media",
        "sequence_number": str(chunk + 1),
        "media": {"track": "inbound", "chunk": str(chunk), "timestamp": str(chunk * 20), "payload": payload},
        "stream_id": STREAM,
    },
    dtmf=lambda key: {"event": "dtmf", "stream_id": STREAM, "sequence_number": "5", "dtmf": {"digit": key}},
    marked=lambda name: {"event": "mark", "sequence_number": "4", "stream_id": STREAM, "mark": {"name": name}},
    stop={"event": "stop", "sequence_number": "5", "stop": {"call_control_id": CALL}, "stream_id": STREAM},
    heard=_telnyx_heard,
)
PLIVO = Spelling(
    greeting=lambda parameters: [
        {
            "event": "start",
            "sequenceNumber": 1,
            "start": {
                "callId": CALL,
                "streamId": STREAM,
                "accountId": "MA00",
                "tracks": ["inbound"],
                "mediaFormat": {"encoding": "audio/x-mulaw", "sampleRate": 8000},
            },
            "extra_headers": ";".join(f"{name}={value}" for name, value in parameters.items()),
        }
    ],
    media=lambda payload, chunk: {
        "event": "media",
        "sequenceNumber": chunk + 1,
        "streamId": STREAM,
        "media": {"track": "inbound", "timestamp": "1705312200000", "chunk": chunk, "payload": payload},
        "extra_headers": "",
    },
    dtmf=lambda key: {
        "event": "dtmf",
        "sequenceNumber": 5,
        "streamId": STREAM,
        "dtmf": {"track": "inbound", "digit": key, "timestamp": "1705312200000"},
    },
    marked=lambda name: {"event": "playedStream", "streamId": STREAM, "name": name},
    stop=None,
    heard=_plivo_heard,
)


class Carrier:
    def __init__(
        self,
        url: str,
        spelling: Spelling = TWILIO,
        parameters: dict[str, str] | None = None,
        headers: dict[str, str] | None = None,
    ) -> None:
        self._url = url
        self._spelling = spelling
        self._parameters = parameters or {}
        self._headers = headers or {}
        self._words = bytearray()
        self._buffer: deque[bytes | str] = deque()
        self._socket: ClientConnection
        self._tasks: list[asyncio.Task[None]] = []
        self.played = bytearray()
        """The codes that the caller has heard, silence between them left out."""
        self.marked: list[str] = []
        """Names of marks whose sound was played."""
        self.sound_at: dict[str, int] = {}
        """Of each mark, how much sound came before it; codes, from the beginning or the last clear."""
        self._came = 0
        self.waiting_bytes_max = 0
        self.cleared_at: float | None = None
        self.marked_when_cleared = 0
        self.played_ms_when_cleared = 0
        self.failure: BaseException | None = None

    async def __aenter__(self) -> Self:
        self._socket = await connect(self._url, additional_headers=self._headers)
        for event in self._spelling.greeting(self._parameters):
            await self.say(event)
        self._tasks = [asyncio.create_task(self._play()), asyncio.create_task(self._listen())]
        return self

    async def __aexit__(self, *exc: object) -> None:
        for task in self._tasks:
            task.cancel()
        await asyncio.gather(*self._tasks, return_exceptions=True)
        await self._socket.close()
        if self.failure is not None and exc[0] is None:
            raise self.failure

    # ---- what a test does

    async def say(self, event: Event | str | bytes) -> None:
        await self._socket.send(json.dumps(event) if isinstance(event, dict) else event)

    def speak(self, pcm: bytes) -> None:
        """House sound, in real time from now on."""
        encoder = Encoder("audio/pcmu")
        self._words += encoder.encode(pcm) + encoder.flush()

    async def press(self, key: str) -> None:
        await self.say(self._spelling.dtmf(key))

    async def stop(self) -> None:
        if self._spelling.stop is None:
            await self._socket.close()
        else:
            await self.say(self._spelling.stop)

    async def until(self, happened: Callable[[], bool], patience_s: float = PATIENCE_S) -> None:
        async with asyncio.timeout(patience_s):
            while not happened():
                assert self.failure is None, self.failure
                await asyncio.sleep(0.005)

    async def over(self) -> tuple[int | None, str]:
        """Waits until we have ended it: code and reason."""
        await asyncio.wait_for(self._socket.wait_closed(), PATIENCE_S)
        return self._socket.close_code, self._socket.close_reason or ""

    @property
    def played_ms(self) -> int:
        return len(self.played) // 8

    # ---- the carrier's clock

    async def _play(self) -> None:
        began = time.monotonic()
        chunk = 0
        with contextlib.suppress(Exception):  # it is over
            while True:
                chunk += 1
                frame = bytes(self._words[:FRAME_BYTES]).ljust(FRAME_BYTES, SILENCE)
                del self._words[:FRAME_BYTES]
                await self.say(self._spelling.media(base64.b64encode(frame).decode(), chunk))
                await self._play_frame()
                await asyncio.sleep(max(0.0, began + chunk * FRAME_S - time.monotonic()))

    async def _play_frame(self) -> None:
        room = FRAME_BYTES
        while self._buffer and (room or isinstance(self._buffer[0], str)):
            match self._buffer.popleft():
                case str(name):
                    self.marked.append(name)
                    await self.say(self._spelling.marked(name))
                case bytes(sound):
                    self.played += sound[:room]
                    if rest := sound[room:]:
                        self._buffer.appendleft(rest)
                    room -= min(room, len(sound))

    async def _listen(self) -> None:
        try:
            async for message in self._socket:
                assert isinstance(message, str)
                match self._spelling.heard(json.loads(message)):
                    case "media", payload:
                        self._buffer.append(base64.b64decode(payload, validate=True))
                        self._came += len(self._buffer[-1])
                        waiting = sum(len(piece) for piece in self._buffer if isinstance(piece, bytes))
                        self.waiting_bytes_max = max(self.waiting_bytes_max, waiting)
                    case "mark", name:
                        self._buffer.append(name)
                        self.sound_at[name] = self._came
                    case _:
                        self.cleared_at, self.marked_when_cleared = time.monotonic(), len(self.marked)
                        self.played_ms_when_cleared, self._came = self.played_ms, 0
                        names = [piece for piece in self._buffer if isinstance(piece, str)]
                        self._buffer.clear()
                        for mark in names:
                            await self.say(self._spelling.marked(mark))
        except BaseException as error:
            if not isinstance(error, asyncio.CancelledError | ConnectionClosed):
                self.failure = error
