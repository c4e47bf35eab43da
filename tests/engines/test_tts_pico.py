"""The embedded voices: understood by a recogniser, different from each other, prompt, and clean when stopped."""

import asyncio
import threading
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import aclosing
from itertools import combinations
from pathlib import Path

import numpy as np
import pytest

from parley.catalog import VOICES
from parley.engines import tts
from parley.engines.stt.moonshine import Moonshine, find_model
from parley.engines.tts import pico_library
from parley.engines.tts.pico import QUIET, QUIET_AFTER_MS, QUIET_BEFORE_MS, Pico, markup
from parley.engines.tts.pico_library import PicoEngine, PicoError, PicoFiles, find_pico
from parley.errors import EngineError
from tests.speech import formant_shift, pitch_hz, say, transcribe, word_error_rate

SENTENCE = "I can help you with that, and it will only take a moment."
SENTENCES = (
    SENTENCE,
    "The next train to Chicago leaves from this platform in the morning.",
    "Would you like me to book a table for your friends tonight?",
)


@pytest.fixture(scope="module")
def workers() -> Iterator[ThreadPoolExecutor]:
    with ThreadPoolExecutor(2) as workers:
        yield workers


@pytest.fixture(scope="module")
def files() -> PicoFiles:
    files = find_pico()
    assert files
    return files


@pytest.fixture(scope="module")
def pico(workers: ThreadPoolExecutor, files: PicoFiles) -> Pico:
    return Pico(workers, files)


@pytest.fixture(scope="module")
def moonshine(workers: ThreadPoolExecutor) -> Moonshine:
    home = find_model()
    assert home
    return Moonshine(workers, home)


@pytest.mark.parametrize("voice", VOICES)
async def test_a_recogniser_understands_every_voice(pico: Pico, moonshine: Moonshine, voice: str) -> None:
    heard = [await transcribe(moonshine, await say(pico, sentence, voice)) for sentence in SENTENCES]
    assert word_error_rate(" ".join(SENTENCES), " ".join(heard)) <= 0.12, heard


async def test_every_voice_has_its_own_pitch_or_head(pico: Pico) -> None:
    """Measured in the sound: the pitch is the catalog's, the formants lie where the warp puts them, no two are alike."""
    sounds = {name: await say(pico, " ".join(SENTENCES), name) for name in VOICES}
    for name, sound in sounds.items():
        assert pitch_hz(sound) == pytest.approx(VOICES[name].pitch_hz, rel=0.08), name
    for one, other in combinations(VOICES.values(), 2):
        if one.base == other.base:
            shift = formant_shift(sounds[one.name], sounds[other.name])
            assert shift == pytest.approx(other.warp / one.warp, rel=0.04), (one, other)
            pitch = pitch_hz(sounds[one.name]) / pitch_hz(sounds[other.name])
            assert abs(pitch - 1) > 0.1 or abs(shift - 1) > 0.05, (one, other)


@pytest.mark.parametrize("voice", ["cedar", "marin", "shimmer"])
async def test_speed(pico: Pico, moonshine: Moonshine, voice: str) -> None:
    words = " ".join(SENTENCES)
    slow, usual, fast = [await say(pico, words, voice, speed) for speed in (0.5, 1.0, 1.5)]
    assert len(slow) / len(usual) == pytest.approx(2, rel=0.2)
    assert len(usual) / len(fast) == pytest.approx(1.5, rel=0.2)
    assert word_error_rate(words, await transcribe(moonshine, fast)) <= 0.25
    for sound in (slow, fast):
        assert pitch_hz(sound) == pytest.approx(pitch_hz(usual), rel=0.08), "the pace changes, the pitch does not"


async def test_a_voice_that_is_not_there(pico: Pico) -> None:
    with pytest.raises(EngineError, match=r"'bob'.*marin, cedar") as raised:
        await say(pico, SENTENCE, "bob")
    assert raised.value.code == "voice_not_found"


async def test_the_silence_around_the_words_is_short(pico: Pico) -> None:
    sound = np.frombuffer(await say(pico, SENTENCE), "<i2")
    loud = np.flatnonzero(np.abs(sound.astype(int)) > QUIET)
    assert loud[0] / 24 <= QUIET_BEFORE_MS
    assert (sound.size - loud[-1]) / 24 <= QUIET_AFTER_MS + 1


async def test_text_longer_than_the_engine_takes(pico: Pico) -> None:
    """Pico counts bytes in 16 bits; every part of a long text is spoken."""
    one = len(await say(pico, SENTENCE))
    assert len(await say(pico, " ".join([SENTENCE] * 40))) > 35 * one


async def test_speech_comes_before_it_is_finished(pico: Pico) -> None:
    """Much less than all of it has been computed when the first sound is there."""
    steps = 0
    speak = PicoEngine.speak

    def counted(self: PicoEngine, text: str) -> Iterator[bytes]:
        nonlocal steps
        for step in speak(self, text):
            steps += bool(step)
            yield step

    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(PicoEngine, "speak", counted)
        async with aclosing(pico.speak(SENTENCE, "marin", 1.0)) as chunks:  # type: ignore[type-var]
            first = await anext(chunks)
        before_first = len(first) // 2
        whole = len(await say(pico, SENTENCE))
    assert before_first <= 24 * 60, "at most 60 ms of sound in the first chunk"
    assert whole > 40 * before_first


async def test_a_closed_utterance_leaves_no_worker_busy(pico: Pico, workers: ThreadPoolExecutor) -> None:
    async with aclosing(pico.speak(" ".join([SENTENCE] * 6), "marin", 0.25)) as chunks:  # type: ignore[type-var]
        await anext(chunks)
    # Both workers must meet: one that still spoke would keep the other waiting.
    meeting = threading.Barrier(2)
    await asyncio.gather(*(asyncio.wrap_future(workers.submit(meeting.wait, 0.3)) for _ in range(2)))


async def test_engines_are_used_again(workers: ThreadPoolExecutor, files: PicoFiles) -> None:
    made: list[PicoEngine] = []
    make = PicoEngine.__init__

    def counted(self: PicoEngine, files: PicoFiles, language: str) -> None:
        made.append(self)
        make(self, files, language)

    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(PicoEngine, "__init__", counted)
        pico = Pico(workers, files)
        for _ in range(4):
            await asyncio.gather(*(say(pico, "Yes.", voice) for voice in VOICES))
    assert len(made) <= 4, "two workers, two languages"


async def test_an_engine_that_fails_is_replaced(workers: ThreadPoolExecutor, files: PicoFiles) -> None:
    pico = Pico(workers, files)
    await say(pico, SENTENCE)
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(pico_library, "STEP_BUSY", -1)
        with pytest.raises(EngineError) as raised:
            await say(pico, SENTENCE)
    assert raised.value.code == "internal_error"
    assert await say(pico, SENTENCE)


def test_a_library_without_its_languages_is_an_error(files: PicoFiles, tmp_path: Path) -> None:
    with pytest.raises(PicoError):
        PicoEngine(PicoFiles(files.library, tmp_path), "en-US")


def test_markup_stays_within_what_pico_takes() -> None:
    assert markup("Hi", VOICES["marin"], 1.0) == "<speed level='100'><pitch level='104'>Hi</pitch></speed>"
    assert markup("Hi", VOICES["cedar"], 1.5) == "<speed level='170'><pitch level='74'>Hi</pitch></speed>"
    assert markup("Hi", VOICES["coral"], 0.1).startswith("<speed level='20'>")


def test_without_pico_people_are_told_what_speaks_instead(
    workers: ThreadPoolExecutor, monkeypatch: pytest.MonkeyPatch
) -> None:
    assert tts.choose_embedded(workers)[1] == ""
    monkeypatch.setattr("parley.engines.tts.pico_library.find_pico", lambda: None)
    monkeypatch.setattr("parley.engines.tts.espeak.find_espeak", lambda: "/usr/bin/espeak-ng")
    chosen, told = tts.choose_embedded(workers)
    assert chosen is not None
    assert "ttspico==0.3.2" in told
    assert "espeak-ng instead" in told
    monkeypatch.setattr("parley.engines.tts.espeak.find_espeak", lambda: None)
    chosen, told = tts.choose_embedded(workers)
    assert chosen is None
    assert "not spoken" in told
