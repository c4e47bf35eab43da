"""What a stranger's file becomes: the sound of the usual kinds, and a refusal of everything else."""

import io
import subprocess
import sys
from pathlib import Path

import pytest

from parley.audio import file_decoder
from parley.audio.file_decoder import DONE, TOO_LONG, UNREADABLE, TooLong, Unreadable, container_of, decode
from tests.sound_files import KINDS, sound_file
from tests.speech import recordings

PCM = recordings()[0].pcm
MINUTE_MS = 60_000
SLACK_BYTES = 48 * 100
"""Encoders pad to whole frames."""
ELSEWHERE = "http://127.0.0.1:9/sound.mp3"


def whole(data: bytes, ms_max: int = MINUTE_MS) -> bytes:
    return b"".join(decode(io.BytesIO(data), ms_max))


@pytest.mark.parametrize("kind", KINDS)
def test_every_kind_keeps_its_length_and_its_sound(kind: str) -> None:
    pcm = whole(sound_file(PCM, kind))
    assert abs(len(pcm) - len(PCM)) <= SLACK_BYTES
    assert max(pcm) > 0


def test_a_lossless_file_is_kept_to_the_sample() -> None:
    assert whole(sound_file(PCM, "flac")) == whole(sound_file(PCM, "wav")) == PCM


def test_a_recording_that_was_cut_off_keeps_what_is_there() -> None:
    data = sound_file(PCM, "webm")
    assert len(PCM) / 3 < len(whole(data[: len(data) // 2])) < len(PCM) * 2 / 3


def test_damage_in_the_middle_costs_what_was_damaged() -> None:
    data = bytearray(sound_file(PCM, "mp3"))
    middle = len(data) // 2
    data[middle : middle + 500] = bytes(500)
    assert len(whole(bytes(data))) > len(PCM) * 0.9


@pytest.mark.parametrize(
    "data",
    [
        b"",
        b"no sound at all, only words",
        bytes(100_000),
        b"\xff\xfb" + b"\x55" * 1_000,
        b"RIFF\xff\xff\xff\xffWAVE" + bytes(1_000),
        b"OggS" + bytes(1_000),
        b"\x1aE\xdf\xa3" + bytes(1_000),
        b"\0\0\0\x1cftypM4A " + bytes(1_000),
        sound_file(PCM, "m4a")[:5_000],
        f"#EXTM3U\n#EXTINF:10,\n{ELSEWHERE}\n".encode(),
        b"ffconcat version 1.0\nfile /etc/hostname\n",
        b"<?xml version='1.0'?><MPD></MPD>",
    ],
)
def test_what_is_no_sound_is_unreadable(data: bytes) -> None:
    with pytest.raises(Unreadable):
        whole(data)


def test_too_long_is_told_before_all_of_it_is_decoded() -> None:
    seen = 0
    with pytest.raises(TooLong):
        for pcm in decode(io.BytesIO(sound_file(PCM, "ogg")), 2_000):
            seen += len(pcm)
    assert seen <= 2_000 * 48


def test_the_content_says_what_a_file_is() -> None:
    assert container_of(b"ID3\x04") == "mp3"
    assert container_of(b"\xff\xf1\x50\x80") is None, "ADTS is another kind"
    assert container_of(b"RIFF\0\0\0\0AVI ") is None


# ---- as a process


def on_disk(tmp_path: Path, data: bytes) -> Path:
    path = tmp_path / "upload"
    path.write_bytes(data)
    return path


def run_file(path: Path, *limits: int) -> tuple[int, bytes]:
    command = [sys.executable, "-I", file_decoder.__file__, *map(str, limits)]
    with path.open("rb") as file:
        done = subprocess.run(command, stdin=file, capture_output=True, timeout=30, env={}, check=False)
    return done.returncode, done.stdout


def test_statuses(tmp_path: Path) -> None:
    path = on_disk(tmp_path, sound_file(PCM, "flac"))
    assert run_file(path, MINUTE_MS, 10, 512 << 20) == (DONE, PCM)
    assert run_file(path, 1_000, 10, 512 << 20)[0] == TOO_LONG
    path.write_bytes(b"nothing")
    assert run_file(path, MINUTE_MS, 10, 512 << 20) == (UNREADABLE, b"")


def test_without_memory_it_ends_and_says_nothing_of_its_own(tmp_path: Path) -> None:
    status, said = run_file(on_disk(tmp_path, sound_file(PCM, "flac")), MINUTE_MS, 10, 40 << 20)
    assert status not in (DONE, UNREADABLE, TOO_LONG)
    assert said == b""


def test_without_time_it_is_killed(tmp_path: Path) -> None:
    status, _ = run_file(on_disk(tmp_path, sound_file(PCM, "flac")), MINUTE_MS, 0, 512 << 20)
    assert status < 0, "by a signal"
