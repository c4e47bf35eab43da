"""Recordings as files: one thread writes those of all sessions, and nobody ever waits for it.

    HOME/recordings/2026-11-21/sess_….part     while it grows, locked by the process that writes it
    HOME/recordings/2026-11-21/sess_….ogg      when it is whole, or as whole as it will be

A disk that cannot keep up, or has no room left, costs sound of the recording, which is then marked as incomplete, and
nothing else. A process that was killed leaves a `.part` without a lock; `mend` makes a recording of it.
"""

import errno
import fcntl
import logging
import os
import queue
import re
import shutil
import threading
from collections.abc import Iterable, Iterator
from concurrent.futures import Future
from datetime import UTC, date, datetime
from pathlib import Path
from typing import IO, TYPE_CHECKING, Final, NamedTuple

import numpy as np
from numpy.typing import NDArray

from parley.live.timeline import BLOCK, RATE_HZ, Placed, Stretch
from parley.telemetry import note

if TYPE_CHECKING:
    from parley.audio.ogg import Stereo

FOLDER: Final = "recordings"
GROWING: Final = ".part"
WHOLE: Final = ".ogg"
OWNER_ONLY: Final = 0o600
FOLDER_OWNER_ONLY: Final = 0o700
DAY: Final = re.compile(r"\d{4}-\d\d-\d\d")
NAME: Final = re.compile(r"[A-Za-z0-9_-]{1,128}")

BACKLOG_BYTES_MAX: Final = 64 << 20
"""Sound that waits for the thread, of all sessions: a minute of ten that talk at once, and the disk stands still."""
FREE_BYTES_MIN: Final = 256 << 20
"""The database lives on the same disk as a rule: with less than this left, nothing is recorded."""
PEAKS_PER_S: Final = RATE_HZ // BLOCK
CHUNK: Final = 10 * RATE_HZ
"""Mixed and encoded at once, in samples."""

log = logging.getLogger(__name__)


class TapeEnd(NamedTuple):
    """How a recording ended. `seconds` is 0 where there is no file."""

    seconds: float
    incomplete: bool


class Tape:
    """The recording of one session. `peaks`: the loudest of each tenth of a second, 0 to 255, user then assistant."""

    def __init__(self, path: Path, room: "TapeRoom") -> None:
        self.path = path
        self.peaks = bytearray()
        self.incomplete = False
        self.stopped = False
        """The disk has refused it. The thread's own."""
        self.ended: Future[TapeEnd] = Future()
        self.ended.set_running_or_notify_cancel()  # who waits for it may give up waiting, not the writing
        self._room = room

    def write(self, stretch: Stretch) -> None:
        """Never waits and never fails."""
        if not self._room.put(self, stretch, sum(len(placed.pcm) for placed in (*stretch.user, *stretch.assistant))):
            self.incomplete = True

    def end(self, *, keep: bool = True) -> None:
        """`ended` says when it is on the disk. `keep`: False throws it away."""
        self._room.close_tape(self, keep)


class _Order(NamedTuple):
    """For the thread: sound to write, or (None) the end."""

    tape: Tape
    stretch: Stretch | None
    size: int
    keep: bool = True


class TapeRoom:
    """All recordings below `home`. Lives until `close`."""

    def __init__(self, home: Path) -> None:
        self.folder = home / FOLDER
        self._orders: queue.SimpleQueue[_Order | None] = queue.SimpleQueue()
        self._waiting = 0
        self._lock = threading.Lock()
        self._files: dict[Tape, _File] = {}
        """The thread's own."""
        self._thread: threading.Thread | None = None

    def path(self, session: str, opened_at: float) -> Path:
        """Where the recording of a session is when it is whole. `opened_at`: Unix seconds."""
        if not NAME.fullmatch(session):
            raise ValueError("not the id of a session")
        return self.folder / datetime.fromtimestamp(opened_at, UTC).date().isoformat() / f"{session}{WHOLE}"

    def open(self, session: str, opened_at: float) -> Tape:
        """A recording that begins. Its file is made with the first sound."""
        if self._thread is None:
            self._thread = threading.Thread(target=self._run, name="recordings", daemon=True)
            self._thread.start()
        return Tape(self.path(session, opened_at), self)

    def put(self, tape: Tape, stretch: Stretch, size: int) -> bool:
        with self._lock:
            if self._waiting + size > BACKLOG_BYTES_MAX:
                return False
            self._waiting += size
        self._orders.put(_Order(tape, stretch, size))
        return True

    def close_tape(self, tape: Tape, keep: bool) -> None:
        self._orders.put(_Order(tape, None, 0, keep))

    def close(self, timeout_s: float) -> None:
        """What waits is written, as far as that takes no longer. Blocks."""
        thread, self._thread = self._thread, None
        if thread is not None:
            self._orders.put(None)
            thread.join(timeout_s)

    # ---- what lies on the disk

    def mend(self) -> list[tuple[str, float]]:
        """Ends recordings that a process left which is gone. Blocks. Their sessions, and how many seconds were kept."""
        mended = []
        for path in sorted(self.folder.glob(f"*/*{GROWING}")):
            seconds = _mend(path)
            if seconds is not None:
                mended.append((path.stem, seconds))
        return mended

    def remove(self, session: str, opened_at: float) -> None:
        """Whatever there is of it. Blocks. Raises `OSError`."""
        path = self.path(session, opened_at)
        path.unlink(missing_ok=True)
        path.with_suffix(GROWING).unlink(missing_ok=True)

    def remove_before(self, day: date) -> int:
        """Deletes the recordings of the days before that, and says how many there were. Blocks."""
        removed = 0
        for folder in sorted(self.folder.glob("*")):
            if DAY.fullmatch(folder.name) and folder.name < day.isoformat():
                removed += len(list(folder.glob(f"*{WHOLE}")))
                shutil.rmtree(folder, ignore_errors=True)
        return removed

    # ---- the thread

    def _run(self) -> None:
        while (order := self._orders.get()) is not None:
            with self._lock:
                self._waiting -= order.size
            if order.stretch is None:
                self._end(order.tape, order.keep)
            elif not order.tape.stopped:
                self._write(order.tape, order.stretch)
        for tape in list(self._files):
            self._end(tape, keep=True)

    def _write(self, tape: Tape, stretch: Stretch) -> None:
        try:
            file = self._files.get(tape)
            if file is None:
                file = self._files[tape] = _File(tape.path)
            _check_room(tape.path.parent)
            for sound in mixed(stretch, file.writer.samples):
                file.writer.write(sound)
                tape.peaks += peaks(sound)
        except OSError as error:
            note(log, "recording stopped", logging.WARNING, session=tape.path.stem, reason=error)
            tape.incomplete = tape.stopped = True

    def _end(self, tape: Tape, keep: bool) -> None:
        if tape.ended.done():
            return
        file = self._files.pop(tape, None)
        seconds = 0.0
        if file is not None:
            try:
                seconds = file.end(keep=keep, whole=not tape.stopped)
            except OSError as error:
                note(log, "recording not kept", logging.WARNING, session=tape.path.stem, reason=error)
                tape.incomplete = True
        tape.ended.set_result(TapeEnd(seconds, tape.incomplete))


class _File:
    """A recording that grows. Raises `OSError`."""

    def __init__(self, path: Path) -> None:
        _make_folder(path.parent)
        _check_room(path.parent)
        self._path = path
        self._growing = path.with_suffix(GROWING)
        self._file = _make_file(self._growing)
        fcntl.flock(self._file, fcntl.LOCK_EX | fcntl.LOCK_NB)
        from parley.audio.ogg import OggWriter  # PyAV: 20 MB for who records

        self.writer = OggWriter(self._file)

    def end(self, *, keep: bool, whole: bool) -> float:
        """Seconds of what is kept. `whole`: the disk took everything so far."""
        with self._file:
            if not keep:
                self._growing.unlink(missing_ok=True)
                return 0.0
            if whole:
                self.writer.close()
                os.fsync(self._file.fileno())
                self._growing.rename(self._path)
                return self.writer.samples / RATE_HZ
        return _mend(self._growing) or 0.0


def _mend(growing: Path) -> float | None:
    """Makes a recording of what a process left that is gone. Its seconds; None where somebody still writes it."""
    try:
        with growing.open("rb+", buffering=0) as file:
            try:
                fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
            except BlockingIOError:
                return None
            from parley.audio.ogg import mend

            seconds = mend(file)
            if seconds:
                growing.rename(growing.with_suffix(WHOLE))
            else:
                growing.unlink()
            return seconds
    except FileNotFoundError:
        return None
    except OSError as error:
        note(log, "recording not mended", logging.WARNING, session=growing.stem, reason=error)
        return None


def _make_folder(folder: Path) -> None:
    folder.parent.mkdir(parents=True, exist_ok=True, mode=FOLDER_OWNER_ONLY)
    folder.mkdir(exist_ok=True, mode=FOLDER_OWNER_ONLY)


def _make_file(path: Path) -> IO[bytes]:
    return os.fdopen(os.open(path, os.O_RDWR | os.O_CREAT | os.O_TRUNC, OWNER_ONLY), "rb+", buffering=0)


def _check_room(folder: Path) -> None:
    if shutil.disk_usage(folder).free < FREE_BYTES_MIN:
        raise OSError(errno.ENOSPC, "less is left on the disk than recordings leave alone")


# ---- sound


def mixed(stretch: Stretch, start: int) -> "Iterator[Stereo]":
    """Both sides from sample `start` to the end of the stretch, in pieces that are not too long."""
    for at in range(start, stretch.end, CHUNK):
        size = min(CHUNK, stretch.end - at)
        sound = np.zeros((size, 2), np.int16)
        _lay(sound[:, 0], at, stretch.user)
        _lay(sound[:, 1], at, stretch.assistant)
        yield sound


def _lay(channel: NDArray[np.int16], start: int, pieces: Iterable[Placed]) -> None:
    for placed in pieces:
        pcm = np.frombuffer(placed.pcm, "<i2")
        begin, end = placed.at - start, placed.at - start + pcm.size
        if begin < channel.size and end > 0:
            channel[max(0, begin) : end] = pcm[max(0, -begin) : channel.size - begin]


def peaks(sound: "Stereo") -> bytes:
    """The loudest of each block, 0 to 255: user, assistant, user, …"""
    blocks = -(-len(sound) // BLOCK)
    padded = np.zeros((blocks * BLOCK, 2), np.int16)
    padded[: len(sound)] = sound
    loudest = np.abs(padded.reshape(blocks, BLOCK, 2).astype(np.int32)).max(1)
    return bytes((loudest >> 7).clip(0, 255).astype(np.uint8))
