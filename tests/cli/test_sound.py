import wave
from pathlib import Path

import av
import numpy as np
import pytest

from parley.audio.pcm import BYTES_PER_MS, HOUSE_RATE
from parley.cli.problem import Problem
from parley.cli.sound import CHUNK_BYTES, QuietSpeaker, paced, read_sound, write_wav


def tone(rate_hz: int, seconds: float) -> np.ndarray[tuple[int], np.dtype[np.int16]]:
    return (8_000 * np.sin(2 * np.pi * 440 * np.arange(int(rate_hz * seconds)) / rate_hz)).astype(np.int16)


def frequency(pcm: bytes) -> float:
    sound = np.frombuffer(pcm, "<i2").astype(float)
    return float(np.argmax(np.abs(np.fft.rfft(sound))) * HOUSE_RATE / sound.size)


@pytest.mark.parametrize(("rate_hz", "channels"), [(8_000, 1), (16_000, 1), (24_000, 1), (44_100, 2), (48_000, 2)])
def test_any_wav_becomes_house_format(rate_hz: int, channels: int, tmp_path: Path) -> None:
    path = tmp_path / "a.wav"
    with wave.open(str(path), "wb") as file:
        file.setnchannels(channels)
        file.setsampwidth(2)
        file.setframerate(rate_hz)
        file.writeframes(np.repeat(tone(rate_hz, 1.0), channels).tobytes())
    pcm = read_sound(path)
    assert len(pcm) == pytest.approx(1_000 * BYTES_PER_MS, rel=0.01)
    assert frequency(pcm) == pytest.approx(440, abs=2)


@pytest.mark.parametrize(("name", "codec"), [("a.flac", "flac"), ("a.ogg", "libopus"), ("a.mp3", "libmp3lame")])
def test_other_files_are_read_too(name: str, codec: str, tmp_path: Path) -> None:
    path = tmp_path / name
    with av.open(str(path), "w") as container:
        stream = container.add_stream(codec, rate=48_000, layout="mono")
        assert isinstance(stream, av.AudioStream)
        frame = av.AudioFrame.from_ndarray(tone(48_000, 1.0).reshape(1, -1), format="s16", layout="mono")
        frame.rate = 48_000
        for packet in [*stream.encode(frame), *stream.encode(None)]:
            container.mux(packet)
    assert frequency(read_sound(path)) == pytest.approx(440, abs=3)


def test_files_without_sound_are_refused(tmp_path: Path) -> None:
    text = tmp_path / "notes.wav"
    text.write_text("not a sound")
    with pytest.raises(Problem, match="no sound"):
        read_sound(text)
    with pytest.raises(Problem, match="no file"):
        read_sound(tmp_path / "missing.wav")


def test_written_files_are_read_back(tmp_path: Path) -> None:
    pcm = tone(HOUSE_RATE, 0.5).tobytes()
    write_wav(tmp_path / "a.wav", pcm)
    assert read_sound(tmp_path / "a.wav") == pcm
    with pytest.raises(Problem, match="Cannot write"):
        write_wav(tmp_path / "no" / "folder.wav", pcm)


async def test_a_recording_is_followed_by_silence() -> None:
    pcm = b"\1\0" * (CHUNK_BYTES // 2 + 1)
    chunks = []
    async for chunk in paced(pcm):
        chunks.append(chunk)
        if len(chunks) == 4:
            break
    assert all(len(chunk) == CHUNK_BYTES for chunk in chunks)
    assert b"".join(chunks).rstrip(b"\0").ljust(len(pcm), b"\0") == pcm


def test_an_interrupted_listener_has_heard_only_the_beginning() -> None:
    speaker = QuietSpeaker(paced=True)
    speaker.play("item_1", bytes(10_000 * BYTES_PER_MS))
    heard = speaker.interrupt()
    assert heard is not None
    item, ms = heard
    assert item == "item_1"
    assert 0 <= ms < 5_000
    assert len(speaker.heard) == ms * BYTES_PER_MS
    assert speaker.left_s() == 0
    assert speaker.interrupt() is None
