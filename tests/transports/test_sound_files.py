"""Uploads are decoded by a child that is watched; answers become MP3 that others can read."""

import asyncio
import io
import os
from collections.abc import Iterator
from pathlib import Path

import pytest

from parley.audio.file_decoder import decode
from parley.errors import RequestError
from parley.transports import sound_files
from parley.transports.sound_files import DECODERS_MAX, FILE_MS_MAX, Decoders, to_mp3
from tests.sound_files import bomb, sound_file
from tests.speech import recordings

PCM = recordings()[0].pcm


async def decoded(tmp_path: Path, data: bytes, decoders: Decoders | None = None) -> bytes:
    path = tmp_path / "upload"
    path.write_bytes(data)
    with path.open("rb") as file:
        return await (decoders or Decoders()).decode(file)


async def refused(tmp_path: Path, data: bytes) -> str:
    with pytest.raises(RequestError) as refusal:
        await decoded(tmp_path, data)
    assert refusal.value.param == "audio"
    return refusal.value.code


@pytest.fixture(autouse=True)
def others() -> Iterator[None]:
    """Processes that the test run has besides ours, such as a server."""
    OTHERS.update(_children())
    yield
    OTHERS.clear()


OTHERS: set[str] = set()


def children() -> list[str]:
    return [child for child in _children() if child not in OTHERS]


def _children() -> list[str]:
    return Path(f"/proc/self/task/{os.getpid()}/children").read_text().split()


async def test_a_file_becomes_house_sound(tmp_path: Path) -> None:
    assert await decoded(tmp_path, sound_file(PCM, "flac")) == PCM


async def test_refusals(tmp_path: Path) -> None:
    assert await refused(tmp_path, b"no sound") == "invalid_audio"
    assert await refused(tmp_path, b"") == "invalid_audio"
    assert await refused(tmp_path, sound_file(bytes(48 * 50), "flac")) == "invalid_audio", "too short to commit"


async def test_a_long_time_in_a_small_file(tmp_path: Path) -> None:
    data = bomb(FILE_MS_MAX / 60_000 + 0.2)
    assert len(data) < 300_000
    assert await refused(tmp_path, data) == "audio_too_long"
    assert not children()


async def test_who_takes_too_long_is_killed(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(sound_files, "DECODE_S", 0.01)
    assert await refused(tmp_path, sound_file(PCM, "flac")) == "invalid_audio"
    assert not children()


async def test_who_is_cancelled_leaves_no_child(tmp_path: Path) -> None:
    decoding = asyncio.create_task(decoded(tmp_path, sound_file(PCM, "flac")))
    while not children():
        await asyncio.sleep(0)
    decoding.cancel()
    with pytest.raises(asyncio.CancelledError):
        await decoding
    assert not children()


async def test_so_many_at_once_and_no_more(tmp_path: Path) -> None:
    path = tmp_path / "upload"
    path.write_bytes(sound_file(PCM, "flac"))
    decoders, most = Decoders(), 0

    async def one() -> bytes:
        with path.open("rb") as file:
            return await decoders.decode(file)

    waiting = [asyncio.create_task(one()) for _ in range(3 * DECODERS_MAX)]
    while not all(task.done() for task in waiting):
        most = max(most, len(children()))
        await asyncio.sleep(0.005)
    assert [task.result() for task in waiting] == [PCM] * len(waiting)
    assert most == DECODERS_MAX


async def test_mp3_has_the_length_and_the_loudness_of_the_sound() -> None:
    mp3 = await to_mp3(PCM)
    back = b"".join(decode(io.BytesIO(mp3), FILE_MS_MAX))
    assert len(mp3) < len(PCM) / 5
    assert 0 <= len(back) - len(PCM) < 48 * 200, "LAME pads"
    assert await to_mp3(b"") == b""
