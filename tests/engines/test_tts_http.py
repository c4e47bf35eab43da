"""Text-to-speech over HTTP: what is asked, how the sound is passed on, what a bad answer becomes."""

import asyncio
import struct
from collections.abc import AsyncIterator
from contextlib import aclosing

import pytest

from parley.engines.base import SPEECH_CHUNK_BYTES_MAX
from parley.engines.http import Backend, Timeouts
from parley.engines.stt.http import wav_header
from parley.engines.tts.http import HttpSpeech
from parley.errors import EngineError
from tests.engines.fake_backends import FakeBackend, Fault, Status
from tests.speech import pitch_hz, say

PCM = bytes(range(256)) * 200


@pytest.fixture
async def fake() -> AsyncIterator[FakeBackend]:
    async with FakeBackend() as fake:
        fake.speech = PCM
        yield fake


@pytest.fixture
async def client(fake: FakeBackend) -> AsyncIterator[Backend]:
    client = Backend(fake.url, name="The speaker", timeouts=Timeouts(idle_s=0.3))
    yield client
    await client.close()


async def test_what_is_asked(fake: FakeBackend, client: Backend) -> None:
    await say(HttpSpeech(client, "tts-1"), "Hello there.", "coral")
    await say(HttpSpeech(client, "", "af_heart"), "Hello.", "coral", 1.25)
    assert [request.json for request in fake.requests] == [
        {"model": "tts-1", "voice": "coral", "input": "Hello there.", "response_format": "pcm"},
        {"voice": "af_heart", "input": "Hello.", "response_format": "pcm", "speed": 1.25},
    ]


@pytest.mark.parametrize("size", [1, 2, 3, 1_001, 20_000])
@pytest.mark.parametrize("wrapping", ["pcm", "wav", "endless wav"])
async def test_no_byte_is_lost_however_it_is_cut(fake: FakeBackend, client: Backend, size: int, wrapping: str) -> None:
    fake.speech = PCM[:4_002] if size < 4 else PCM
    expected = fake.speech
    if wrapping != "pcm":
        head = wav_header(len(expected) if wrapping == "wav" else 0)
        fake.speech = head + expected + (b"LIST\x04\0\0\0abcd" if wrapping == "wav" else b"")
    fake.speech_chunk_bytes = size
    chunks = [chunk async for chunk in HttpSpeech(client, "m").speak("Hello.", "marin", 1.0)]
    assert b"".join(chunks) == expected
    assert all(0 < len(chunk) <= SPEECH_CHUNK_BYTES_MAX and len(chunk) % 2 == 0 for chunk in chunks)


async def test_sound_is_passed_on_while_it_comes(fake: FakeBackend, client: Backend) -> None:
    """The answer takes 20 s, and yet there is sound; a listener who leaves ends it."""
    fake.speech, fake.speech_pause_s = PCM * 20, 0.02
    async with aclosing(HttpSpeech(client, "m").speak("Hello.", "marin", 1.0)) as chunks:  # type: ignore[type-var]
        assert await anext(chunks)
    await asyncio.wait_for(fake.hung_up.wait(), 5)


async def test_another_rate_is_resampled(fake: FakeBackend, client: Backend) -> None:
    period = struct.pack("<160h", *(8_000 if at < 80 else -8_000 for at in range(160)))
    layout = struct.pack("<IHHIIHH", 16, 1, 1, 16_000, 32_000, 2, 16)
    fake.speech = b"RIFF\0\0\0\0WAVEfmt " + layout + b"data\0\0\0\0" + period * 100
    sound = await say(HttpSpeech(client, "m"), "Hello.")
    assert len(sound) == pytest.approx(48_000, abs=200)
    assert pitch_hz(sound) == pytest.approx(100, abs=2)


@pytest.mark.parametrize(
    ("fault", "code"),
    [
        (Fault.RESET, "backend_unavailable"),
        (Fault.HANG, "backend_timeout"),
        (Fault.STALL, "backend_timeout"),
        (Fault.CUT, "backend_protocol_error"),
        (Status(401), "backend_refused"),
        (Status(429), "backend_rate_limited"),
        (Status(500), "backend_refused"),
    ],
    ids=str,
)
async def test_faults(fake: FakeBackend, client: Backend, fault: Fault | Status, code: str) -> None:
    fake.faults = [fault, fault]
    speaker = HttpSpeech(client, "m")
    with pytest.raises(EngineError) as raised:
        await say(speaker, "Hello.")
    assert raised.value.code == code
    fake.faults = []
    assert await say(speaker, "Hello.") == PCM


@pytest.mark.parametrize(
    ("body", "kind", "told"),
    [
        (b'{"error": "no"}', "application/json; charset=utf-8", "application/json"),
        (b"<html>", "text/html", "text/html"),
        (b"ID3", "audio/mpeg", "audio/mpeg"),
        (b"", "audio/pcm", "no sound"),
        (wav_header(10)[:30], "audio/wav", "no sound"),
        (wav_header(10)[:22] + b"\x02" + wav_header(10)[23:] + bytes(10), "audio/wav", "2 channels"),
        (b"RIFF\0\0\0\0WAVEdata\x10\0\0\0" + bytes(16), "audio/wav", "without a format"),
        (b"RIFF\0\0\0\0WAVELIST\xff\xff\0\0" + bytes(5_000), "audio/wav", "too late"),
    ],
)
async def test_answers_that_are_no_sound(fake: FakeBackend, client: Backend, body: bytes, kind: str, told: str) -> None:
    fake.speech, fake.speech_type = body, kind
    with pytest.raises(EngineError, match=told) as raised:
        await say(HttpSpeech(client, "m"), "Hello.")
    assert raised.value.code == "backend_protocol_error"
