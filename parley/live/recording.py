"""Sessions that can be looked at again: live ones, and past ones for as long as the operator keeps them.

recordings = Recordings(storage, home, "audio", days=7)
await recordings.begin()                       # what a killed process left is put in order
witness = recordings.open(live_id, account="acc_1", model="gpt-realtime")
LiveSession(..., witnesses=(witness,))
await recordings.page("acc_1", 50)             # nobody sees another account's
await recordings.close()                       # after the sessions, before the database
"""

import asyncio
import logging
import time
from collections.abc import Awaitable, Callable
from contextlib import suppress
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Final

from parley.errors import EngineError, RequestError
from parley.live import past
from parley.live.past import Place, Record, Saved, Summary
from parley.live.recorder import Begun, Recorder
from parley.live.tape import TapeRoom
from parley.storage import Storage
from parley.telemetry import note

SAVE_S: Final = 5.0
"""What a killed process may lose of a transcript."""
SWEEP_S: Final = 60.0
CLOSE_S: Final = 10.0
"""How long the end of the process waits for a slow disk."""
SWEPT_AT_ONCE: Final = 500
UNSAVED_MAX: Final = 2_000
"""Sessions that ended while the database was away; more, and the oldest are lost."""

log = logging.getLogger(__name__)


class Recordings:
    """Belongs to one event loop. `unix` is seconds of Unix time, `clock` that of the sessions.

    Methods that ask the database raise `EngineError` with `storage_unavailable`.
    """

    def __init__(
        self,
        storage: Storage,
        home: Path,
        record: Record,
        days: int,
        unix: Callable[[], float] = time.time,
        clock: Callable[[], float] = time.monotonic,
    ) -> None:
        self.record = record
        self.days = days
        self._storage = storage
        self._tapes = TapeRoom(home)
        self._unix = unix
        self._clock = clock
        self._recorders: dict[str, Recorder] = {}
        """Of sessions that live, or whose end is not saved yet."""
        self._saving = asyncio.Lock()
        self._wake = asyncio.Event()
        self._tasks: list[asyncio.Task[None]] = []

    async def begin(self) -> None:
        self._tasks = [asyncio.create_task(self._keep_saving()), asyncio.create_task(self._keep_sweeping())]

    def open(self, session: str, *, account: str, model: str, call_id: str | None = None) -> Recorder:
        """The witness of a session that begins."""
        begun = Begun(session, account, model, call_id, self._unix())
        tape = self._tapes.open(session, begun.opened_at) if self.record == "audio" else None
        recorder = Recorder(begun, self.record, tape, self._unix, self._clock)
        recorder.on_end = self._wake.set
        if tape is not None:
            loop = asyncio.get_running_loop()
            tape.ended.add_done_callback(lambda _: loop.call_soon_threadsafe(self._wake.set))
        self._recorders[session] = recorder
        return recorder

    async def close(self) -> None:
        """When all sessions have ended: what waits is written."""
        for task in self._tasks:
            task.cancel()
        await asyncio.gather(*self._tasks, return_exceptions=True)
        await asyncio.to_thread(self._tapes.close, CLOSE_S)
        try:
            await self.save()
        except EngineError as error:
            note(log, "sessions not saved", logging.WARNING, sessions=len(self._recorders), code=error.code)

    # ---- to look at

    async def page(self, account: str, limit: int, after: Place | None = None) -> list[Summary]:
        """An account's sessions, newest first."""
        await self.save()
        found = await self._storage.read(past.page, account, limit, after, self._ms())
        return [self._fresh(summary) for summary in found]

    async def one(self, account: str, session: str) -> Saved:
        """Raises `RequestError` with `session_not_found`."""
        recorder = self._recorders.get(session)
        if recorder is not None and recorder.begun.account == account:
            return recorder.saved()
        saved = await self._storage.read(past.one, account, session, self._ms())
        if saved is None:
            raise _not_found(session)
        return saved

    async def sound(self, account: str, session: str) -> Path:
        """The recording of a session that is over. Raises `session_not_found`, `not_found`."""
        summary = (await self.one(account, session)).summary
        path = self._tapes.path(summary.id, summary.opened_at / 1_000)
        if summary.sound not in ("whole", "incomplete") or not await asyncio.to_thread(path.is_file):
            raise RequestError("not_found", f"There is no sound of the session {session[:64]!r}.")
        return path

    async def forget(self, account: str, session: str) -> None:
        """Deletes all that is kept; of one that lives, no more is kept. Raises `session_not_found`."""
        async with self._saving:
            recorder = self._recorders.get(session)
            if recorder is not None and recorder.begun.account == account:
                opened_at = recorder.begun.opened_at
                recorder.discard()
                del self._recorders[session]
                if recorder.tape is not None:
                    await asyncio.wait([asyncio.wrap_future(recorder.tape.ended)], timeout=CLOSE_S)
            else:
                summary = await self._storage.read(past.head, account, session, self._ms())
                if summary is None:
                    raise _not_found(session)
                opened_at = summary.opened_at / 1_000
            await asyncio.to_thread(self._tapes.remove, session, opened_at)
            await self._storage.transaction(past.forget, [session])
        note(log, "session deleted", session=session)

    # ---- to keep

    async def save(self) -> None:
        """Whatever was not saved."""
        async with self._saving:
            recorders = [recorder for recorder in self._recorders.values() if recorder.dirty]
            settled = [recorder for recorder in recorders if recorder.settled]
            for recorder in recorders:
                recorder.dirty = False
            try:
                if recorders:
                    await self._storage.transaction(past.save, [recorder.saved() for recorder in recorders])
            except BaseException:
                for recorder in recorders:
                    recorder.dirty = True
                self._lose()
                raise
            for recorder in settled:
                del self._recorders[recorder.begun.id]
            for recorder in self._recorders.values():
                # Its sound comes to its end by itself, and then there is something to save.
                recorder.dirty = recorder.dirty or recorder.ended_at is not None

    async def sweep(self) -> None:
        """Puts in order what killed processes left, and deletes what is too old."""
        at = self._ms()
        mended = await asyncio.to_thread(self._tapes.mend)
        if mended:
            sounds = [(session, round(seconds * 1_000)) for session, seconds in mended]
            await self._storage.transaction(past.mended, sounds)
        await self._storage.transaction(past.lost, at)
        oldest = at - self.days * 86_400_000
        while gone := await self._storage.transaction(past.forget_before, oldest, at, SWEPT_AT_ONCE):
            for summary in gone:
                await asyncio.to_thread(self._tapes.remove, summary.id, summary.opened_at / 1_000)
            note(log, "sessions expired", sessions=len(gone))
        day = datetime.fromtimestamp(self._unix(), UTC).date() - timedelta(days=self.days)
        await asyncio.to_thread(self._tapes.remove_before, day)

    # ---- inside

    def _fresh(self, summary: Summary) -> Summary:
        recorder = self._recorders.get(summary.id)
        return summary if recorder is None else recorder.summary()

    def _lose(self) -> None:
        ended = [recorder for recorder in self._recorders.values() if recorder.settled]
        for recorder in ended[: max(0, len(ended) - UNSAVED_MAX)]:
            note(log, "session lost", logging.WARNING, session=recorder.begun.id)
            del self._recorders[recorder.begun.id]

    def _ms(self) -> int:
        return round(self._unix() * 1_000)

    async def _keep_saving(self) -> None:
        async def work() -> None:
            self._wake.clear()
            await self.save()
            await self._storage.transaction(past.beat, list(self._recorders), self._ms())

        async def wait() -> None:
            with suppress(TimeoutError):
                async with asyncio.timeout(SAVE_S):
                    await self._wake.wait()

        await _again(work, wait)

    async def _keep_sweeping(self) -> None:
        await _again(self.sweep, lambda: asyncio.sleep(SWEEP_S))


async def _again(work: Callable[[], Awaitable[None]], wait: Callable[[], Awaitable[None]]) -> None:
    """For ever. A database or a disk that is away for a while is told of once."""
    away = False
    while True:
        try:
            await work()
            away = False
        except (EngineError, OSError) as error:
            if not away:
                note(log, "sessions not kept now", logging.WARNING, reason=error)
            away = True
        except Exception:
            log.exception("sessions not kept")
        await wait()


def _not_found(session: str) -> RequestError:
    return RequestError("session_not_found", f"No session {session[:64]!r} is kept here.", "session_id")
