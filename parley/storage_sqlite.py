"""SQLite: one thread writes, one reads. A commit is on the disk before anybody hears of it (WAL, full sync)."""

import asyncio
import os
import sqlite3
from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import closing, contextmanager
from pathlib import Path
from typing import Final

from parley.storage import Broken, Ddl, Dialect, Each, MakeScript, P, Row, Script, Sql, Statement, T, Taken, unavailable

BUSY_TIMEOUT_MS: Final = 5_000
"""How long to wait for another process, such as a command line beside the server."""
VERSION_MIN: Final = (3, 37, 0)
"""The first with STRICT tables."""
OWNER_ONLY: Final = 0o600
ARGUMENT_NAMES: Final = tuple(str(number) for number in range(1, 33))
"""SQLite takes ``$1`` for a name; it is told the arguments by name."""


async def open_sqlite(path: Path) -> "SqliteStorage":
    """The database in this file, which is made when it is missing, readable by its owner only."""
    if sqlite3.sqlite_version_info < VERSION_MIN:
        raise unavailable(RuntimeError(f"SQLite {sqlite3.sqlite_version} is too old; 3.37 is needed"))
    storage = SqliteStorage(path)
    await storage.open()
    return storage


class SqliteStorage:
    dialect: Dialect = "sqlite"

    def __init__(self, path: Path) -> None:
        self._path = path
        self._writer = _Thread("writer")
        self._reader = _Thread("reader")

    async def open(self) -> None:
        try:
            _make_file(self._path)
        except OSError as error:
            raise unavailable(error) from error
        await self._writer.connect(self._path, "PRAGMA journal_mode = WAL", "PRAGMA synchronous = FULL")
        await self._reader.connect(self._path, "PRAGMA query_only = ON")

    async def transaction(self, script: MakeScript[P, T], *args: P.args, **kwargs: P.kwargs) -> T:
        return await self._writer.run("BEGIN IMMEDIATE", lambda: script(*args, **kwargs))

    async def read(self, script: MakeScript[P, T], *args: P.args, **kwargs: P.kwargs) -> T:
        return await self._reader.run("BEGIN", lambda: script(*args, **kwargs))

    async def backup(self, target: Path) -> None:
        await self._reader.copy_to(target)

    async def damage(self) -> list[str]:
        def check() -> Script[list[str]]:
            whole = yield Sql("PRAGMA integrity_check")
            orphans = yield Sql("PRAGMA foreign_key_check")
            broken = [str(row[0]) for row in whole if row[0] != "ok"]
            return broken + [f"{row[0]}: a row names a {row[2]} that is not there" for row in orphans]

        return await self.read(check)

    async def close(self) -> None:
        await self._reader.close()
        await self._writer.close()


class _Thread:
    """A connection and the only thread that touches it."""

    def __init__(self, name: str) -> None:
        self._executor = ThreadPoolExecutor(1, thread_name_prefix=f"sqlite-{name}")
        self._connection: sqlite3.Connection | None = None
        self._closed = False

    async def connect(self, path: Path, *pragmas: str) -> None:
        await self._do(self._connect, path, pragmas)

    async def run(self, begin: str, script: MakeScript[[], T]) -> T:
        return await self._do(self._run, begin, script)

    async def copy_to(self, target: Path) -> None:
        await self._do(self._copy_to, target)

    async def close(self) -> None:
        if not self._closed:
            await self._do(self._close)
            self._closed = True
            self._executor.shutdown(wait=False)

    async def _do(self, function: Callable[P, T], *args: P.args, **kwargs: P.kwargs) -> T:
        if self._closed:
            raise unavailable(RuntimeError("it was closed"))
        loop = asyncio.get_running_loop()
        return await loop.run_in_executor(self._executor, lambda: function(*args, **kwargs))

    # ---- in the thread

    def _connect(self, path: Path, pragmas: tuple[str, ...]) -> None:
        with _told():
            self._connection = sqlite3.connect(path, isolation_level=None)
            for pragma in (f"PRAGMA busy_timeout = {BUSY_TIMEOUT_MS}", "PRAGMA foreign_keys = ON", *pragmas):
                self._connection.execute(pragma)

    def _run(self, begin: str, script: MakeScript[[], T]) -> T:
        connection = self._open_connection()
        with _told():
            connection.execute(begin)
            try:
                result = _drive(connection, script())
                connection.execute("COMMIT")
            except BaseException:
                if connection.in_transaction:
                    connection.execute("ROLLBACK")
                raise
            return result

    def _copy_to(self, target: Path) -> None:
        if target.exists():
            raise FileExistsError(f"{target} is there already.")
        connection = self._open_connection()
        # Written aside and moved: what has the name is whole.
        draft = target.with_name(f"{target.name}.part")
        draft.unlink(missing_ok=True)
        _make_file(draft)
        with _told(), closing(sqlite3.connect(draft)) as copy:
            connection.backup(copy)
        draft.rename(target)

    def _open_connection(self) -> sqlite3.Connection:
        if self._connection is None:
            raise unavailable(RuntimeError("it is not open"))
        return self._connection

    def _close(self) -> None:
        if self._connection is not None:
            self._connection.close()
            self._connection = None


@contextmanager
def _told() -> Iterator[None]:
    """SQLite's errors in the words of the house."""
    try:
        yield
    except sqlite3.IntegrityError as error:
        if error.sqlite_errorname in ("SQLITE_CONSTRAINT_UNIQUE", "SQLITE_CONSTRAINT_PRIMARYKEY"):
            raise Taken(str(error)) from error
        raise Broken(str(error)) from error
    except sqlite3.DatabaseError as error:
        if getattr(error, "sqlite_errorname", "SQLITE_ERROR") == "SQLITE_ERROR":
            raise  # a statement of ours is wrong
        raise unavailable(error) from error


def _drive(connection: sqlite3.Connection, script: Script[T]) -> T:
    try:
        statement = next(script)
        while True:
            statement = script.send(_execute(connection, statement))
    except StopIteration as end:
        result: T = end.value
        return result


def _execute(connection: sqlite3.Connection, statement: Statement) -> list[Row]:
    match statement:
        case Sql(text, args):
            return connection.execute(_known(text), _named(args)).fetchall()
        case Each(text, lists):
            known = _known(text)
            return [row for args in lists for row in connection.execute(known, _named(args))]
        case Ddl(text):
            for part in _parts(_strict(text)):
                connection.execute(part)
            return []


def _named(args: Sequence[object]) -> dict[str, object]:
    return dict(zip(ARGUMENT_NAMES, args, strict=False))


def _known(text: str) -> str:
    return text.replace(" FOR UPDATE", "")


def _strict(text: str) -> str:
    """Tables whose columns hold what they say, kept in the order of their keys."""
    return text.replace("BIGINT", "INTEGER").replace("\n);", "\n) STRICT, WITHOUT ROWID;")


def _parts(text: str) -> Iterator[str]:
    """Statement by statement; `executescript` would commit."""
    part = ""
    for line in text.splitlines(keepends=True):
        part += line
        if sqlite3.complete_statement(part):
            yield part
            part = ""


def _make_file(path: Path) -> None:
    path.parent.mkdir(parents=True, exist_ok=True, mode=0o700)
    os.close(os.open(path, os.O_RDWR | os.O_CREAT, OWNER_ONLY))
