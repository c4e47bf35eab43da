"""The embedded speech-to-text: Moonshine tiny-en, English, good for clear speech, about 2 % of real time on one core.

The network hears a whole utterance at once, so partial hypotheses come from hearing the growing recording again and
again (`turn.py`). What keeps that affordable: long speech is cut at pauses, and only its last segment is heard again.
"""

import asyncio
import importlib.util
import math
import threading
from collections.abc import AsyncIterator, Callable
from concurrent.futures import Executor
from contextlib import aclosing
from pathlib import Path
from typing import TYPE_CHECKING, Final, NamedTuple

from parley.engines.base import Peek, Transcript, TranscriptionRequest
from parley.engines.stt.hypotheses import tidy
from parley.engines.stt.turn import Hypothesis, follow
from parley.errors import EngineError

if TYPE_CHECKING:
    from parley.engines.stt.moonshine_model import MoonshineModel

HOUSE_BYTES_PER_SAMPLE: Final = 3
"""Of the network's samples: 16 kHz against 24 kHz of two bytes."""
CONFIDENCE_MIN: Final = 0.5
"""Below it the words were most likely invented: noise measured 0.19 to 0.29, understood speech 0.8 and more."""
LANGUAGE: Final = "en"
MODEL_FILES: Final = ("encoder_model.ort", "decoder_model_merged.ort", "tokenizer.bin")


def find_model() -> Path | None:
    """The folder of the model files in the installed wheel `moonshine-voice`, or None."""
    package = importlib.util.find_spec("moonshine_voice")
    if package is None or not package.submodule_search_locations:
        return None
    home = Path(package.submodule_search_locations[0]) / "assets" / "tiny-en"
    return home if all((home / name).is_file() for name in MODEL_FILES) else None


class Moonshine:
    """`SpeechToText` on this machine. Decoding runs in `workers`; any number of turns may be heard at once."""

    peeks = True

    def __init__(self, workers: Executor, home: Path) -> None:
        self._workers = workers
        self._home = home
        self._model: MoonshineModel | None = None
        self._loading = threading.Lock()

    async def load(self) -> None:
        """Loads the network now (0.4 s) rather than with the first words. Raises `EngineError`."""
        await asyncio.get_running_loop().run_in_executor(self._workers, self._loaded)

    async def transcribe(
        self, audio: AsyncIterator[bytes | Peek], request: TranscriptionRequest
    ) -> AsyncIterator[Transcript]:
        """See `SpeechToText.transcribe`. Only English is understood; another language is an `EngineError` at once."""
        _require_english(request)
        recording = _Recording(self)
        async with aclosing(
            follow(audio, recording.hear, partials=request.partials, delay=request.delay)
        ) as transcripts:
            async for transcript in transcripts:
                yield transcript

    async def hear(self, pcm: bytes) -> "list[Segment]":
        """The words of each segment of `pcm`. Cancelling it stops the worker between two words."""
        cancelled = threading.Event()
        try:
            return await asyncio.get_running_loop().run_in_executor(self._workers, self._decode, pcm, cancelled.is_set)
        finally:
            cancelled.set()

    def _decode(self, pcm: bytes, cancelled: Callable[[], bool]) -> "list[Segment]":
        from parley.engines.stt.moonshine_model import segments, to_samples

        try:
            model = self._loaded()
            spoken = []
            for samples in segments(to_samples(pcm)):
                decoded = model.decode(samples, cancelled)
                if decoded is None:
                    break
                spoken.append(Segment(samples.size * HOUSE_BYTES_PER_SAMPLE, decoded.text, decoded.logprobs))
            return spoken
        except Exception as error:  # onnxruntime's errors have no narrower base
            raise EngineError("transcription_failed", "The embedded speech-to-text failed.") from error

    def _loaded(self) -> "MoonshineModel":
        with self._loading:
            if self._model is None:
                from parley.engines.stt.moonshine_model import MoonshineModel

                self._model = MoonshineModel(self._home)
            return self._model


class Segment(NamedTuple):
    """What was said in `bytes` of house audio. `logprobs` are of the tokens as they came, before tidying."""

    bytes: int
    words: str
    logprobs: tuple[tuple[str, float], ...]


class _Recording:
    """One growing recording. Segments that a pause has closed are heard once."""

    def __init__(self, moonshine: Moonshine) -> None:
        self._moonshine = moonshine
        self._settled: list[Segment] = []

    async def hear(self, pcm: bytes) -> Hypothesis:
        start = sum(segment.bytes for segment in self._settled)
        *closed, last = await self._moonshine.hear(pcm[start : len(pcm) & ~1])
        self._settled += closed
        return _hypothesis([*self._settled, last])


def _hypothesis(spoken: list[Segment]) -> Hypothesis:
    """The segments as one text, without those that are not credible."""
    credible = [
        segment._replace(words=words)
        for segment in spoken
        if _confidence(segment.logprobs) >= CONFIDENCE_MIN and (words := tidy(segment.words))
    ]
    logprobs = tuple(pair for segment in credible for pair in segment.logprobs)
    text = " ".join(segment.words for segment in credible)
    return Hypothesis(text, _confidence(logprobs) if credible else None, LANGUAGE, logprobs)


def _confidence(logprobs: tuple[tuple[str, float], ...]) -> float:
    """The geometric mean of the tokens' probabilities, 0 when there is none."""
    return math.exp(sum(value for _, value in logprobs) / len(logprobs)) if logprobs else 0.0


def _require_english(request: TranscriptionRequest) -> None:
    wanted = [code for code in (request.language, *request.languages) if code]
    if wanted and not any(code.lower().startswith(LANGUAGE) for code in wanted):
        raise EngineError(
            "transcription_failed",
            f"The embedded speech-to-text understands English only, not {wanted[0][:16]!r}."
            " Configure a speech-to-text backend for other languages.",
        )
