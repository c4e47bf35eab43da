"""The embedded text-to-speech: SVOX Pico, eleven English voices, about 1 % of real time, first sound after some 8 ms.

Pico has one speaker a language. A public voice is that speaker with another pitch and another size of head: he speaks
at 100/warp percent of the speed, and the resampler is told that the sound has warp x 16 kHz, which puts the speed right
and moves all formants by warp. The pairs in `parley.catalog.VOICES` are those that a recogniser understands best.
"""

import asyncio
import threading
from collections.abc import AsyncGenerator, AsyncIterator, Callable
from concurrent.futures import Executor
from contextlib import aclosing
from typing import Final, NamedTuple

import numpy as np

from parley.audio.pcm import HOUSE_RATE, SAMPLE_BYTES, Resampler, Samples, ms_to_samples, to_pcm, to_samples
from parley.catalog import VOICES, Voice
from parley.engines.tts.pico_library import RATE_HZ, PicoEngine, PicoError, PicoFiles
from parley.engines.tts.sound import slices
from parley.engines.tts.speakable import parts, speakable
from parley.errors import EngineError

BASE_PITCH_HZ: Final = {"en-US": 168, "en-GB": 172}
"""Of the speaker as recorded: `<pitch level='100'>`."""
PITCH_LEVELS: Final = (50, 200)
SPEED_LEVELS: Final = (20, 500)
"""What Pico takes, in percent (SVOX Pico manual, markup)."""
PART_CHARS_MAX: Final = 400
"""Longer text is spoken in parts. It bounds the sound that waits for a slow listener to about 30 s of it."""
FIRST_MS: Final = 20
NEXT_MS: Final = 180
"""How much Pico says before the sound is passed on: little until something can be heard, then whole chunks."""
QUIET: Final = 200
"""A sample up to this (-44 dBFS) is silence. Pico's own is a noise of up to 150."""
QUIET_BEFORE_MS: Final = 15
QUIET_AFTER_MS: Final = 250
"""Pico begins with about 45 ms of silence and ends a sentence with 500; so much of either stays."""


class Pico:
    """`TextToSpeech` on this machine. Speaking runs in `workers`; there are never more engines than threads in it."""

    def __init__(self, workers: Executor, files: PicoFiles) -> None:
        self._workers = workers
        self._files = files
        self._idle: dict[str, list[PicoEngine]] = {language: [] for language in BASE_PITCH_HZ}

    async def load(self) -> None:
        """Makes the first engines now (5 ms each) rather than with the first words. Raises `EngineError`."""
        loop = asyncio.get_running_loop()
        for language in self._idle:
            await loop.run_in_executor(self._workers, self._speak, Order("", language, 1.0), _ignore, bool)

    async def speak(self, text: str, voice: str, speed: float) -> AsyncIterator[bytes]:
        """See `TextToSpeech.speak`. Raises `EngineError`: `voice_not_found`, `internal_error`."""
        shape = _voice(voice)
        for part in parts(speakable(text), PART_CHARS_MAX):
            order = Order(markup(part, shape, speed), shape.base, shape.warp)
            async with aclosing(self._perform(order)) as chunks:
                async for chunk in chunks:
                    yield chunk

    async def _perform(self, order: "Order") -> AsyncGenerator[bytes, None]:
        """Has a worker speak and yields what it says. Closing it stops the worker within a step (2 ms of sound)."""
        loop = asyncio.get_running_loop()
        chunks: asyncio.Queue[bytes] = asyncio.Queue()
        cancelled = threading.Event()

        def tell(chunk: bytes) -> None:
            loop.call_soon_threadsafe(chunks.put_nowait, chunk)

        job = loop.run_in_executor(self._workers, self._speak, order, tell, cancelled.is_set)
        job.add_done_callback(lambda _: chunks.put_nowait(b""))
        try:
            while chunk := await chunks.get():
                yield chunk
            job.result()
        finally:
            cancelled.set()
            job.cancel()

    def _speak(self, order: "Order", tell: Callable[[bytes], None], cancelled: Callable[[], bool]) -> None:
        """In a worker: speaks on an idle engine, or a new one. An engine that failed is not used again."""
        engine = None
        try:
            idle = self._idle[order.language]
            engine = idle.pop() if idle else PicoEngine(self._files, order.language)
            finish = _Finish(order.warp)
            for step in engine.speak(order.markup):
                if cancelled():
                    engine.reset()
                    break
                for chunk in slices(finish.push(step)):
                    tell(chunk)
            else:
                for chunk in slices(finish.flush()):
                    tell(chunk)
            idle.append(engine)
        except PicoError as error:
            if engine:
                engine.close()
            raise EngineError("internal_error", "The embedded text-to-speech failed.", retryable=True) from error


class Order(NamedTuple):
    """What Pico is to say, by which speaker, with a head of which size."""

    markup: str
    language: str
    warp: float


def markup(text: str, voice: Voice, speed: float) -> str:
    """`text`, which has no `<`, `>` or `&`, in Pico's markup."""
    pitch = _level(100 * voice.pitch_hz / voice.warp / BASE_PITCH_HZ[voice.base], PITCH_LEVELS)
    pace = _level(100 * speed / voice.warp, SPEED_LEVELS)
    return f"<speed level='{pace}'><pitch level='{pitch}'>{text}</pitch></speed>"


def _level(percent: float, bounds: tuple[int, int]) -> int:
    return min(max(round(percent), bounds[0]), bounds[1])


def _voice(name: str) -> Voice:
    if name not in VOICES:
        raise EngineError(
            "voice_not_found", f"Voice {name[:32]!r} is not supported. Supported voices are: {', '.join(VOICES)}."
        )
    return VOICES[name]


class _Finish:
    """Pico's sound on its way to house sound: warped, resampled, without its silent ends."""

    def __init__(self, warp: float) -> None:
        self._rate_hz = round(RATE_HZ * warp)
        self._resampler = Resampler(self._rate_hz, HOUSE_RATE)
        self._raw = bytearray()
        self._wanted_ms = FIRST_MS
        self._begun = False
        self._quiet = np.zeros(0, np.int16)

    def push(self, step: bytes) -> bytes:
        self._raw += step
        if len(self._raw) < self._wanted_ms * self._rate_hz // 1_000 * SAMPLE_BYTES:
            return b""
        return self._audible(self._resampled())

    def flush(self) -> bytes:
        rest = self._audible(np.concatenate((self._resampled(), self._resampler.flush())))
        return rest + to_pcm(self._quiet[: ms_to_samples(QUIET_AFTER_MS)] if self._begun else self._quiet[:0])

    def _resampled(self) -> Samples:
        samples = self._resampler.push(to_samples(bytes(self._raw)))
        self._raw.clear()
        return samples

    def _audible(self, samples: Samples) -> bytes:
        """The sound up to the last sample that can be heard; the silence after it waits for what follows."""
        samples = np.concatenate((self._quiet, samples))
        loud = np.flatnonzero((samples > QUIET) | (samples < -QUIET))
        end = int(loud[-1]) + 1 if loud.size else 0
        begin = 0
        if loud.size and not self._begun:
            self._begun = True
            self._wanted_ms = NEXT_MS
            begin = max(0, int(loud[0]) - ms_to_samples(QUIET_BEFORE_MS))
        self._quiet = samples[end:]
        return to_pcm(samples[begin:end])


def _ignore(_: bytes) -> None:
    """Nobody listens."""
