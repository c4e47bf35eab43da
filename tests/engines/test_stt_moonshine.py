"""The embedded speech-to-text with human speech, noise, long speech and impatient listeners."""

import asyncio
import subprocess
import sys
import threading
from collections.abc import AsyncIterator, Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import numpy as np
import pytest

from parley.engines import stt
from parley.engines.base import Peek, Transcript, TranscriptionRequest
from parley.engines.stt.moonshine import Moonshine, find_model
from parley.engines.stt.moonshine_model import RATE_HZ, SEGMENT_S_MAX, SEGMENT_S_MIN, segments, to_samples
from parley.errors import EngineError
from tests.speech import Recording, final, read_wav, recordings, resampled, stream, transcribe, word_error_rate

HUMANS = recordings()
ALSA = Path("/usr/share/sounds/alsa")


@pytest.fixture(scope="module")
def workers() -> Iterator[ThreadPoolExecutor]:
    with ThreadPoolExecutor(2) as workers:
        yield workers


@pytest.fixture(scope="module")
def moonshine(workers: ThreadPoolExecutor) -> Moonshine:
    home = find_model()
    assert home
    return Moonshine(workers, home)


@pytest.mark.parametrize("recording", HUMANS, ids=lambda recording: recording.name)
async def test_human_speech_is_understood(moonshine: Moonshine, recording: Recording) -> None:
    heard = await final(moonshine.transcribe(stream(recording.pcm), TranscriptionRequest()))
    assert word_error_rate(recording.words, heard.text) <= 0.13, heard.text
    assert heard.confidence is not None
    assert heard.confidence > 0.75
    assert heard.language == "en"
    assert heard.logprobs
    assert all(token and value <= 0 for token, value in heard.logprobs)


async def test_all_human_speech_together(moonshine: Moonshine) -> None:
    heard = [await transcribe(moonshine, recording.pcm) for recording in HUMANS]
    assert word_error_rate(" ".join(recording.words for recording in HUMANS), " ".join(heard)) <= 0.06


async def test_one_word_alone(moonshine: Moonshine) -> None:
    words = read_wav(ALSA / "Front_Center.wav") if ALSA.is_dir() else HUMANS[0].pcm[: 48_000 * 14 // 10]
    assert await transcribe(moonshine, words)


NOISE = np.random.default_rng(1)
SOUNDS: dict[str, Callable[[], bytes]] = {
    "nothing": lambda: bytes(96_000),
    "hiss": lambda: resampled(NOISE.normal(0, 1_000, 48_000), 24_000),
    "faint hiss": lambda: resampled(NOISE.normal(0, 20, 72_000), 24_000),
    "hum": lambda: resampled(3_000 * np.sin(np.arange(48_000) * 2 * np.pi * 50 / 24_000), 24_000),
    "click": lambda: bytes(24_000) + b"\xff\x7f" * 24 + bytes(24_000),
}


@pytest.mark.parametrize("sound", SOUNDS)
async def test_no_words_are_invented(moonshine: Moonshine, sound: str) -> None:
    assert await transcribe(moonshine, SOUNDS[sound]()) == ""


async def test_partials_come_while_the_speech_goes_on(moonshine: Moonshine) -> None:
    """The speaker waits for the listener, so that the test does not depend on the machine's speed."""
    recording = HUMANS[0]
    heard: list[Transcript] = []
    more = asyncio.Event()

    async def speech() -> AsyncIterator[bytes | Peek]:
        async for second in stream(recording.pcm, 1_000):
            more.clear()
            yield second
            try:
                await asyncio.wait_for(more.wait(), 1)
            except TimeoutError:
                continue  # nothing to say about this second yet

    async for transcript in moonshine.transcribe(speech(), TranscriptionRequest(partials=True)):
        heard.append(transcript)
        more.set()
    assert len(heard) >= 4
    assert heard[-1].final
    covered = [transcript.heard_bytes for transcript in heard]
    assert covered == sorted(covered)
    assert max(transcript.stable for transcript in heard[:-1]) > len(heard[-1].text) / 3
    told = heard[-2].text[: heard[-2].stable]
    assert word_error_rate(told, heard[-1].text[: len(told)]) <= 0.2


async def test_without_partials_the_network_hears_once(moonshine: Moonshine, monkeypatch: pytest.MonkeyPatch) -> None:
    asked: list[int] = []
    hear = moonshine.hear

    async def counted(pcm: bytes) -> object:
        asked.append(len(pcm))
        return await hear(pcm)

    monkeypatch.setattr(moonshine, "hear", counted)
    pcm = HUMANS[0].pcm

    async def speech() -> AsyncIterator[bytes | Peek]:
        async for piece in stream(pcm):
            yield piece
            await asyncio.sleep(0)

    await final(moonshine.transcribe(speech(), TranscriptionRequest()))
    assert asked == [len(pcm)]


async def test_a_peek_at_the_end_is_the_whole_answer(moonshine: Moonshine, monkeypatch: pytest.MonkeyPatch) -> None:
    """The same sound is not decoded twice: the answer is there when the turn ends."""
    asked: list[int] = []
    hear = moonshine.hear

    async def counted(pcm: bytes) -> object:
        asked.append(len(pcm))
        return await hear(pcm)

    monkeypatch.setattr(moonshine, "hear", counted)
    peeked = asyncio.Event()

    async def speech() -> AsyncIterator[bytes | Peek]:
        yield HUMANS[0].pcm
        yield Peek.PEEK
        await peeked.wait()

    heard = []
    async for transcript in moonshine.transcribe(speech(), TranscriptionRequest()):
        heard.append(transcript.text)
        peeked.set()
    assert heard[0] == heard[1]
    assert len(asked) == 1


async def test_long_speech_is_heard_in_segments_once(moonshine: Moonshine, monkeypatch: pytest.MonkeyPatch) -> None:
    """After a peek at 44 s, only what follows the last pause is heard again."""
    asked: list[int] = []
    hear = moonshine.hear

    async def counted(pcm: bytes) -> object:
        asked.append(len(pcm))
        return await hear(pcm)

    monkeypatch.setattr(moonshine, "hear", counted)
    long = next(recording for recording in HUMANS if recording.name == "two_cities")
    peeked = asyncio.Event()

    async def speech() -> AsyncIterator[bytes | Peek]:
        yield long.pcm[:-48_000]
        yield Peek.PEEK
        await peeked.wait()
        yield long.pcm[-48_000:]

    heard = []
    async for transcript in moonshine.transcribe(speech(), TranscriptionRequest()):
        heard.append(transcript.text)
        peeked.set()
    assert word_error_rate(long.words, heard[-1]) <= 0.06
    assert asked[0] == len(long.pcm) - 48_000
    assert asked[1] <= SEGMENT_S_MAX * 48_000 + 48_000


def test_segments_are_cut_in_pauses_and_lose_nothing() -> None:
    heard = to_samples(next(recording.pcm for recording in HUMANS if recording.name == "two_cities"))
    pieces = segments(heard)
    assert np.array_equal(np.concatenate(pieces), heard)
    assert all(SEGMENT_S_MIN * RATE_HZ <= piece.size <= SEGMENT_S_MAX * RATE_HZ for piece in pieces[:-1])
    loudness = float(np.sqrt(np.square(heard).mean()))
    for piece in pieces[:-1]:
        assert float(np.sqrt(np.square(piece[-800:]).mean())) < loudness / 10
        assert piece.size % 2 == 0, "a whole number of house samples"


@pytest.mark.parametrize("language", ["en", "en-GB", "EN"])
async def test_english_is_understood(moonshine: Moonshine, language: str) -> None:
    for request in TranscriptionRequest(language=language), TranscriptionRequest(languages=("de", language)):
        assert (await final(moonshine.transcribe(stream(HUMANS[0].pcm[:96_000]), request))).text


async def test_another_language_is_refused_with_a_reason(moonshine: Moonshine) -> None:
    with pytest.raises(EngineError, match="English only, not 'de'") as raised:
        await final(moonshine.transcribe(stream(HUMANS[0].pcm), TranscriptionRequest(language="de")))
    assert raised.value.code == "transcription_failed"


async def test_a_cancelled_turn_leaves_no_worker_busy(moonshine: Moonshine, workers: ThreadPoolExecutor) -> None:
    await moonshine.load()
    turn = asyncio.create_task(transcribe(moonshine, HUMANS[1].pcm))
    await asyncio.sleep(0.1)
    turn.cancel()
    with pytest.raises(asyncio.CancelledError):
        await turn
    # Both workers must meet: a worker that still decoded 44 s of speech would keep the other waiting.
    meeting = threading.Barrier(2)
    await asyncio.gather(*(asyncio.wrap_future(workers.submit(meeting.wait, 0.8)) for _ in range(2)))


async def test_a_broken_model_is_a_typed_error(tmp_path: Path, workers: ThreadPoolExecutor) -> None:
    (tmp_path / "encoder_model.ort").write_bytes(b"not a model")
    with pytest.raises(EngineError) as raised:
        await transcribe(Moonshine(workers, tmp_path), HUMANS[0].pcm)
    assert raised.value.code == "transcription_failed"


def test_choosing_it_imports_no_runtime() -> None:
    program = (
        "import sys; from concurrent.futures import ThreadPoolExecutor; from parley.engines import stt;"
        "chosen, told = stt.choose_embedded(ThreadPoolExecutor(1)); assert chosen and not told;"
        "assert 'onnxruntime' not in sys.modules and 'aiohttp' not in sys.modules"
    )
    subprocess.run([sys.executable, "-c", program], check=True)


def test_without_the_model_people_are_told(workers: ThreadPoolExecutor, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("parley.engines.stt.moonshine.find_model", lambda: None)
    chosen, told = stt.choose_embedded(workers)
    assert chosen is None
    assert "pip install moonshine-voice==0.1.0" in told
