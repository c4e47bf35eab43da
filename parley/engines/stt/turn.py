"""Following one turn of speech with a backend that can only be asked about a whole recording.

Sound comes in all the time; the backend is asked about everything so far when there is a reason: enough new sound for
a partial hypothesis, a `Peek`, or the end. One question is open at a time. A more urgent reason with more sound to ask
about cancels the open question and takes its place; the same sound is never asked about twice.
"""

import asyncio
import math
import time
from collections.abc import AsyncGenerator, AsyncIterator, Awaitable, Callable
from enum import IntEnum
from typing import Any, Final, NamedTuple

import msgspec

from parley.audio.pcm import BYTES_PER_MS
from parley.engines.base import Delay, Peek, Transcript
from parley.engines.stt.hypotheses import StableText

PARTIAL_EVERY_MS: Final[dict[Delay, int]] = {"minimal": 300, "low": 500, "medium": 800, "high": 1_500, "xhigh": 3_000}
"""New sound between two partials, by the `delay` that the client allows."""
PARTIAL_SHARE_MAX: Final = 0.25
"""The open questions for partials of one speaker take at most this share of the time."""


class Hypothesis(NamedTuple):
    """What a backend makes of a recording. Fields as in `Transcript`."""

    text: str
    confidence: float | None = None
    language: str | None = None
    logprobs: tuple[tuple[str, float], ...] | None = None


Hear = Callable[[bytes], Awaitable[Hypothesis]]
"""The backend's side: answers about everything so far (house format). Cancelled when the answer is not wanted."""


async def follow(
    audio: AsyncIterator[bytes | Peek], hear: Hear, *, partials: bool, delay: Delay = "medium"
) -> AsyncGenerator[Transcript, None]:
    """`SpeechToText.transcribe` for a backend that is a `Hear`. Raises what `hear` or the audio stream raises."""
    turn = _Turn()
    listening = asyncio.create_task(turn.listen(audio))
    stable = StableText() if partials else None
    known = Transcript(text="", final=False)
    partial_ms = PARTIAL_EVERY_MS[delay] if partials else math.inf
    try:
        while True:
            reason = await turn.reason(known.heard_bytes, partial_ms)
            peeks, covered = turn.peeks, len(turn.audio)
            if covered != known.heard_bytes:
                began = time.monotonic()
                hypothesis = await turn.ask(hear, reason)
                if hypothesis is None:
                    continue
                known = _shown(hypothesis, stable, covered)
                took_ms = (time.monotonic() - began) * 1_000
                partial_ms = max(partial_ms, took_ms / PARTIAL_SHARE_MAX)
            turn.peeks -= peeks
            for _ in range(peeks):
                yield msgspec.structs.replace(known, peeked=True)
            if reason is _Reason.END:
                await listening
                yield msgspec.structs.replace(known, final=True, stable=len(known.text))
                return
            if reason is _Reason.PARTIAL and known.text:
                yield known
    finally:
        await _stop(listening)


def _shown(hypothesis: Hypothesis, stable: StableText | None, heard_bytes: int) -> Transcript:
    """What listeners get of it. Who was told partials keeps their settled words, to the last transcript."""
    text, settled = stable.hear(hypothesis.text) if stable else (hypothesis.text, 0)
    return Transcript(
        text=text,
        final=False,
        stable=settled,
        heard_bytes=heard_bytes,
        confidence=hypothesis.confidence,
        language=hypothesis.language,
        logprobs=hypothesis.logprobs,
    )


class _Reason(IntEnum):
    """Why to ask now, by urgency."""

    PARTIAL = 1
    PEEK = 2
    END = 3


class _Turn:
    """The sound of one turn as it comes in. `peeks` are those not yet answered."""

    def __init__(self) -> None:
        self.audio = bytearray()
        self.peeks = 0
        self._ended = False
        self._grown = asyncio.Event()
        self._urgent = asyncio.Event()

    async def listen(self, audio: AsyncIterator[bytes | Peek]) -> None:
        """Takes in the audio stream until it ends or fails."""
        try:
            async for piece in audio:
                if isinstance(piece, Peek):
                    self.peeks += 1
                    self._urgent.set()
                else:
                    self.audio += piece
                self._grown.set()
        finally:
            self._ended = True
            self._grown.set()
            self._urgent.set()

    async def reason(self, heard_bytes: int, partial_ms: float) -> _Reason:
        """Waits until there is something to ask for. `partial_ms` is how much new sound is worth a partial."""
        while True:
            if urgent := self._urgency():
                return urgent
            if len(self.audio) - heard_bytes >= partial_ms * BYTES_PER_MS:
                return _Reason.PARTIAL
            self._grown.clear()
            await self._grown.wait()

    async def ask(self, hear: Hear, reason: _Reason) -> Hypothesis | None:
        """Asks about everything so far; None when something more urgent, with more sound, came up meanwhile."""
        covered = len(self.audio)
        question = asyncio.ensure_future(hear(bytes(self.audio)))
        try:
            while not question.done():
                if (self._urgency() or reason) > reason and len(self.audio) > covered:
                    return None
                self._urgent.clear()
                await _either(question, self._urgent)
            return question.result()
        finally:
            await _stop(question)

    def _urgency(self) -> _Reason | None:
        if self._ended:
            return _Reason.END
        return _Reason.PEEK if self.peeks else None


async def _either(question: asyncio.Future[Hypothesis], event: asyncio.Event) -> None:
    """Waits for one of the two."""
    signal = asyncio.ensure_future(event.wait())
    try:
        await asyncio.wait((question, signal), return_when=asyncio.FIRST_COMPLETED)
    finally:
        signal.cancel()


async def _stop(task: asyncio.Future[Any]) -> None:
    """Ends a task whose result nobody wants any more; a finished one is left as it is."""
    if not task.done():
        task.cancel()
        await asyncio.wait((task,))
