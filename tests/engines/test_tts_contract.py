"""What every text-to-speech backend promises (`parley.engines.base.TextToSpeech`)."""

import asyncio
import stat
import sys
from collections.abc import AsyncIterator, Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import aclosing
from pathlib import Path

import pytest

from parley.catalog import VOICES
from parley.engines import tts
from parley.engines.base import SPEECH_CHUNK_BYTES_MAX, TextToSpeech
from parley.engines.http import Backend
from parley.engines.tts.espeak import Espeak, find_espeak
from tests.engines.fake_backends import FakeBackend
from tests.speech import say

SENTENCE = "I can help you with that, and it will only take a moment."
LONG = " ".join([SENTENCE] * 12)

FAKE_ESPEAK = f"""#!{sys.executable}
import struct, sys
text = sys.stdin.read()
rate = 22050
sound = bytes(len(text) * 2000)
layout = struct.pack("<IHHIIHH", 16, 1, 1, rate, rate * 2, 2, 16)
sys.stdout.buffer.write(b"RIFF\\xff\\xff\\xff\\x7fWAVEfmt " + layout + b"data\\xff\\xff\\xff\\x7f" + sound)
"""


def write_fake_espeak(folder: Path) -> str:
    """A program that answers like `espeak-ng --stdin --stdout`, for machines without it."""
    program = folder / "espeak-ng"
    program.write_text(FAKE_ESPEAK)
    program.chmod(program.stat().st_mode | stat.S_IXUSR)
    return str(program)


@pytest.fixture(scope="module")
def pico() -> Iterator[TextToSpeech]:
    with ThreadPoolExecutor(2) as workers:
        yield tts.BACKENDS["pico"](workers)


@pytest.fixture(params=["pico", "espeak", "http pcm", "http wav"])
async def backend(request: pytest.FixtureRequest, pico: TextToSpeech, tmp_path: Path) -> AsyncIterator[TextToSpeech]:
    if request.param == "pico":
        yield pico
    elif request.param == "espeak":
        yield Espeak(find_espeak() or write_fake_espeak(tmp_path))
    else:
        async with FakeBackend() as fake:
            fake.speech, fake.speech_chunk_bytes, fake.speech_pause_s = bytes(range(256)) * 300, 9_601, 0.01
            if request.param == "http wav":
                from parley.engines.stt.http import wav_header

                fake.speech, fake.speech_type = wav_header(len(fake.speech)) + fake.speech, "audio/wav"
            client = Backend(fake.url, name="The fake")
            yield tts.BACKENDS["http"](client, "a-model")
            await client.close()


def test_every_backend_is_here() -> None:
    assert set(tts.BACKENDS) == {"pico", "espeak", "http"}


@pytest.mark.parametrize("voice", VOICES)
async def test_every_public_voice_speaks(backend: TextToSpeech, voice: str) -> None:
    assert len(await say(backend, "Hello.", voice)) > 4_800


async def test_chunks_are_whole_samples_and_small(backend: TextToSpeech) -> None:
    sizes = [len(chunk) async for chunk in backend.speak(LONG, "marin", 1.0)]
    assert len(sizes) > 1
    assert all(0 < size <= SPEECH_CHUNK_BYTES_MAX and size % 2 == 0 for size in sizes)


@pytest.mark.parametrize("text", ["", "   ", "\n", "...", "😀🎉", "**", "—", "?!"])
async def test_nothing_to_pronounce_yields_nothing(backend: TextToSpeech, text: str) -> None:
    assert await say(backend, text) == b""


@pytest.mark.parametrize(
    "text",
    ["a < b & c > d", "<speed level='20'>slow", "naïve café, 日本語, Ünï", "x" * 3_000, "tab\tnull\0bell\a", "'\"\\"],
)
async def test_odd_text_is_no_error(backend: TextToSpeech, text: str) -> None:
    assert len(await say(backend, f"Well, {text}")) > 4_800


async def test_stopping_in_the_middle_leaves_it_of_use(backend: TextToSpeech) -> None:
    whole = await say(backend, SENTENCE)
    for _ in range(5):
        async with aclosing(backend.speak(LONG, "marin", 1.0)) as chunks:  # type: ignore[type-var]
            async for chunk in chunks:
                assert chunk
                break
    again = await say(backend, SENTENCE)
    assert abs(len(again) - len(whole)) < 4_800


async def test_a_cancelled_task_stops_at_once(backend: TextToSpeech) -> None:
    speaking = asyncio.create_task(say(backend, LONG * 20))
    await asyncio.sleep(0.02)
    speaking.cancel()
    with pytest.raises(asyncio.CancelledError):
        await asyncio.wait_for(speaking, 2)


async def test_several_speak_at_once(backend: TextToSpeech) -> None:
    alone = await say(backend, SENTENCE)
    together = await asyncio.gather(*(say(backend, SENTENCE) for _ in range(6)))
    assert all(abs(len(sound) - len(alone)) < 4_800 for sound in together)
