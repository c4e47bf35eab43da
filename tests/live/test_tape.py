"""Recordings on real disks: slow ones, full ones, and those that a process left behind."""

import os
import signal
import subprocess
import sys
import threading
from datetime import UTC, date, datetime
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from parley.audio import ogg
from parley.live import tape as tape_module
from parley.live.tape import GROWING, Tape, TapeRoom, mixed, peaks
from parley.live.timeline import BLOCK, RATE_HZ, Placed, Stretch
from tests.conftest import ROOT

PATIENCE_S = 20.0
OPENED = datetime(2026, 11, 21, 12, tzinfo=UTC).timestamp()


def stretch(second: int, value: int = 3_000) -> Stretch:
    tone = (value * np.sin(np.arange(RATE_HZ) / 10)).astype("<i2").tobytes()
    start = second * RATE_HZ
    return Stretch(start, start + RATE_HZ, (Placed(start, tone),), (Placed(start + BLOCK, tone[: -2 * BLOCK]),))


def record(room: TapeRoom, session: str, seconds: int) -> Tape:
    tape = room.open(session, OPENED)
    for second in range(seconds):
        tape.write(stretch(second))
    return tape


def test_a_whole_recording(tmp_path: Path) -> None:
    room = TapeRoom(tmp_path)
    tape = record(room, "sess_1", 3)
    tape.end()
    assert tape.ended.result(PATIENCE_S) == (3.0, False)
    [path] = [path for path in room.folder.rglob("*") if path.is_file()]
    assert path == room.folder / "2026-11-21" / "sess_1.ogg"
    assert path.stat().st_mode & 0o777 == 0o600 and path.parent.stat().st_mode & 0o777 == 0o700
    assert abs(len(ogg.read(str(path))) - 3 * RATE_HZ) < BLOCK
    assert len(tape.peaks) == 2 * 30 and tape.peaks[0] == 3_000 >> 7 and tape.peaks[1] == 0
    room.close(PATIENCE_S)


def test_what_is_discarded_leaves_nothing(tmp_path: Path) -> None:
    room = TapeRoom(tmp_path)
    tape = record(room, "sess_1", 2)
    tape.end(keep=False)
    assert tape.ended.result(PATIENCE_S).seconds == 0
    assert not [path for path in room.folder.rglob("*") if path.is_file()]
    room.close(PATIENCE_S)


def test_a_slow_disk_costs_sound_and_nobody_waits(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """The disk stands still: what does not fit into the backlog is dropped, and lies as silence where it was."""
    monkeypatch.setattr(tape_module, "BACKLOG_BYTES_MAX", 400_000)
    still, real = threading.Event(), ogg.OggWriter.write

    def slow(writer: ogg.OggWriter, sound: ogg.Stereo) -> None:
        assert still.wait(PATIENCE_S)
        real(writer, sound)

    monkeypatch.setattr(ogg.OggWriter, "write", slow)
    room = TapeRoom(tmp_path)
    tape = record(room, "sess_1", 20)
    assert tape.incomplete
    still.set()
    while room._waiting:
        threading.Event().wait(0.01)
    tape.write(stretch(20))
    tape.end()
    assert tape.ended.result(PATIENCE_S) == (21.0, True)
    sound = ogg.read(str(tape.path))
    loud = [
        int(np.abs(sound[second * RATE_HZ : (second + 1) * RATE_HZ - 2_400, 0]).max()) > 1_000 for second in range(21)
    ]
    assert loud[0] and loud[20] and not any(loud[10:20])
    room.close(PATIENCE_S)


FULL: str = """
import resource, sys
from pathlib import Path
from parley.live.tape import TapeRoom
from tests.live.test_tape import record
room = TapeRoom(Path(sys.argv[1]))
resource.setrlimit(resource.RLIMIT_FSIZE, (40_000, 40_000))
tape = record(room, "sess_1", 30)
other = room.open("sess_2", 0.0)
tape.end()
end = tape.ended.result(30)
assert end.incomplete and 2 < end.seconds < 28, end
record(room, "sess_3", 2).end()
room.close(30)
"""


def test_a_disk_that_takes_no_more(tmp_path: Path) -> None:
    """What it has taken is a recording; the next one is not affected."""
    subprocess.run([sys.executable, "-c", FULL, str(tmp_path)], cwd=ROOT, check=True, timeout=50)
    first, third = sorted(path for path in tmp_path.rglob("*") if path.is_file())
    assert (first.name, third.name) == ("sess_1.ogg", "sess_3.ogg")
    assert 2 * RATE_HZ < len(ogg.read(str(first))) < 28 * RATE_HZ
    assert abs(len(ogg.read(str(third))) - 2 * RATE_HZ) < BLOCK


def test_the_last_of_a_disk_is_left_alone(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(tape_module, "FREE_BYTES_MIN", 1 << 62)
    room = TapeRoom(tmp_path)
    tape = record(room, "sess_1", 2)
    tape.end()
    assert tape.ended.result(PATIENCE_S) == (0.0, True)
    assert not [path for path in room.folder.rglob("*") if path.is_file()]
    room.close(PATIENCE_S)


KILLED: str = """
import sys, time
from pathlib import Path
from parley.live.tape import TapeRoom
from tests.live.test_tape import record
room = TapeRoom(Path(sys.argv[1]))
tape = record(room, "sess_1", 8)
while len(tape.peaks) < 160: time.sleep(0.01)
print("ready", flush=True)
time.sleep(60)
"""


def test_what_a_killed_process_left(tmp_path: Path) -> None:
    """As long as it lives its file is left alone."""
    process = subprocess.Popen([sys.executable, "-c", KILLED, str(tmp_path)], cwd=ROOT, stdout=subprocess.PIPE)
    try:
        assert process.stdout is not None and process.stdout.readline() == b"ready\n"
        room = TapeRoom(tmp_path)
        assert room.mend() == []
        process.send_signal(signal.SIGKILL)
        process.wait(PATIENCE_S)
        [(session, seconds)] = room.mend()
        assert session == "sess_1" and seconds > 5
        assert abs(len(ogg.read(str(room.path("sess_1", OPENED)))) / RATE_HZ - seconds) < 0.1
        assert room.mend() == [] and not list(tmp_path.rglob(f"*{GROWING}"))
    finally:
        process.kill()
        process.wait()
        assert process.stdout is not None
        process.stdout.close()


def test_an_empty_file_that_was_left_is_removed(tmp_path: Path) -> None:
    room = TapeRoom(tmp_path)
    left = room.path("sess_1", OPENED).with_suffix(GROWING)
    left.parent.mkdir(parents=True)
    left.write_bytes(b"OggS")
    assert room.mend() == [("sess_1", 0.0)]
    assert not left.exists()


def test_old_days_go(tmp_path: Path) -> None:
    room = TapeRoom(tmp_path)
    for name in ("2026-11-01", "2026-11-20", "2026-11-21", "not a day"):
        folder = room.folder / name
        folder.mkdir(parents=True)
        (folder / "sess_1.ogg").write_bytes(b"x")
    assert room.remove_before(date(2026, 11, 21)) == 2
    assert sorted(os.listdir(room.folder)) == ["2026-11-21", "not a day"]


@pytest.mark.parametrize("name", ["../../etc/passwd", "a/b", "", "x" * 200, ".."])
def test_only_an_id_is_a_name(tmp_path: Path, name: str) -> None:
    with pytest.raises(ValueError, match="not the id"):
        TapeRoom(tmp_path).path(name, OPENED)


def test_mixing() -> None:
    one = np.arange(1, 11, dtype="<i2")
    pieces = (Placed(5, one.tobytes()), Placed(15, one.tobytes()))
    [sound] = mixed(Stretch(0, 20, pieces, ()), 0)
    assert sound[:, 0].tolist() == [0, 0, 0, 0, 0, *range(1, 11), 1, 2, 3, 4, 5]
    [sound] = mixed(Stretch(8, 20, (), pieces), 8)
    assert sound[:, 1].tolist() == [*range(4, 11), 1, 2, 3, 4, 5]
    assert not sound[:, 0].any()
    long = list(mixed(Stretch(0, 25 * RATE_HZ, (), ()), 0))
    assert [len(piece) // RATE_HZ for piece in long] == [10, 10, 5]


def test_peaks() -> None:
    sound: Any = np.zeros((BLOCK + 1, 2), np.int16)
    sound[3] = (-32_768, 12_800)
    assert peaks(sound) == bytes([255, 100, 0, 0])
