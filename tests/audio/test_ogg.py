"""Ogg Opus files: what is written comes back where it was, on its own channel, also from half a file."""

from pathlib import Path

import numpy as np
import pytest

from parley.audio import ogg

TIME = np.arange(ogg.RATE_HZ) / ogg.RATE_HZ


def tone(hz: float) -> np.ndarray[tuple[int], np.dtype[np.float64]]:
    return 8_000 * np.sin(2 * np.pi * hz * TIME)


def talk(seconds: int) -> list[ogg.Stereo]:
    """A second of the user, a second of the assistant, and so on."""
    silence = np.zeros(ogg.RATE_HZ)
    turns = [np.stack([tone(440), silence], 1), np.stack([silence, tone(880)], 1)]
    return [turns[second % 2].astype("<i2") for second in range(seconds)]


def write(path: Path, seconds: int) -> bytes:
    """What was on the disk before the end was written."""
    with path.open("wb", buffering=0) as file:
        writer = ogg.OggWriter(file)
        for sound in talk(seconds):
            writer.write(sound)
        growing = path.read_bytes()
        writer.close()
    return growing


def decibel(sound: ogg.Stereo) -> float:
    return float(10 * np.log10((sound.astype(float) ** 2).mean() + 1e-9))


def test_both_sides_come_back_in_their_places(tmp_path: Path) -> None:
    path = tmp_path / "talk.ogg"
    write(path, 4)
    sound = ogg.read(str(path))
    assert abs(len(sound) - 4 * ogg.RATE_HZ) < ogg.RATE_HZ // 100
    for second in range(4):
        inside = sound[second * ogg.RATE_HZ + 1_200 : (second + 1) * ogg.RATE_HZ - 1_200]
        speaker, other = inside[:, second % 2], inside[:, 1 - second % 2]
        assert decibel(speaker) > 70 and decibel(speaker) - decibel(other) > 40


def test_half_a_file_is_a_recording(tmp_path: Path) -> None:
    path = tmp_path / "broken.ogg"
    growing = write(tmp_path / "whole.ogg", 8)
    for size, seconds in ((len(growing), 6), (len(growing) - 100, 5), (len(growing) // 2, 2)):
        path.write_bytes(growing[:size])
        with path.open("rb+", buffering=0) as file:
            left = ogg.mend(file)
        assert left >= seconds and path.stat().st_size <= size
        assert abs(len(ogg.read(str(path))) / ogg.RATE_HZ - left) < 0.05
    once = path.read_bytes()
    with path.open("rb+", buffering=0) as file:
        ogg.mend(file)
    assert path.read_bytes() == once


@pytest.mark.parametrize("content", [b"", b"OggS", b"nonsense" * 100])
def test_nothing_is_nothing(tmp_path: Path, content: bytes) -> None:
    path = tmp_path / "broken.ogg"
    path.write_bytes(content)
    with path.open("rb+", buffering=0) as file:
        assert ogg.mend(file) == 0
    assert path.read_bytes() == b""
