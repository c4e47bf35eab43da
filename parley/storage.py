"""The database: opened by its URL, migrated forward, used by scripts. No query of any room stands here.

A *script* is a generator that yields statements and is sent their rows. It knows no driver, no thread and no `await`:

    def rename(user: str, name: str) -> Script[str]:
        rows = yield Sql("SELECT name FROM auth_user WHERE id = $1 FOR UPDATE", (user,))
        yield Sql("UPDATE auth_user SET name = $2 WHERE id = $1", (user, name))
        return str(rows[0][0])

    old = await storage.transaction(rename, "user_1", "Ann")

One script is one transaction: all of it happened, or nothing. Scripts are made of scripts by ``yield from``. A script
may be started again from its beginning, so it changes nothing but the database.

The SQL is PostgreSQL's, as far as SQLite knows it too: ``$1``, ``ON CONFLICT``, ``RETURNING``, ``FOR UPDATE`` (which
SQLite is not shown: it has one writer). Columns are TEXT and BIGINT; moments are milliseconds of Unix time.
"""

import re
from collections.abc import Callable, Generator, Iterable, Sequence
from pathlib import Path
from typing import Any, Final, Literal, NamedTuple, ParamSpec, Protocol, TypeVar

from parley.errors import EngineError

MIGRATIONS: Final = Path(__file__).parent / "migrations"
DATABASE_FILE: Final = "parley.db"
MIGRATION_NAME: Final = re.compile(r"(?P<number>\d{4})_[a-z0-9_]+(?:\.(?P<dialect>sqlite|postgres))?\.sql")

Dialect = Literal["sqlite", "postgres"]
Row = Sequence[Any]

T = TypeVar("T")
P = ParamSpec("P")


class Sql(NamedTuple):
    """One statement."""

    text: str
    args: Sequence[object] = ()


class Each(NamedTuple):
    """The same statement for each of the argument lists, in order; the rows come one after another."""

    text: str
    args: Sequence[Sequence[object]]


class Ddl(NamedTuple):
    """Statements that change the schema, as a migration has them."""

    text: str


Statement = Sql | Each | Ddl
Script = Generator[Statement, list[Row], T]
MakeScript = Callable[P, Script[T]]


class Taken(Exception):
    """A row with this key is there already."""


class Broken(Exception):
    """A CHECK of the database refused a row: a bug of ours, which it has kept from doing harm."""


class Storage(Protocol):
    """An open database. Every method raises `EngineError` with `storage_unavailable` when it cannot be reached."""

    @property
    def dialect(self) -> Dialect: ...

    async def transaction(self, script: MakeScript[P, T], *args: P.args, **kwargs: P.kwargs) -> T:
        """Runs a script and commits, durably. Raises `Taken`, `Broken`, and whatever the script raises.

        Who is cancelled while waiting does not know whether it was done.
        """
        ...

    async def read(self, script: MakeScript[P, T], *args: P.args, **kwargs: P.kwargs) -> T:
        """Runs a script that only reads, on one moment's view of the data. Waits for no writer."""
        ...

    async def backup(self, target: Path) -> None:
        """A copy of everything as it is now, while the work goes on. Raises `FileExistsError`, `BackupNotHere`."""
        ...

    async def damage(self) -> list[str]:
        """What the database says is wrong with its own files; best nothing."""
        ...

    async def close(self) -> None: ...


class BackupNotHere(Exception):
    """This database is backed up by its own tools."""


class SchemaError(Exception):
    """The database cannot be used by this version. The message says why."""


def unavailable(error: Exception) -> EngineError:
    return EngineError("storage_unavailable", f"The database cannot be used now: {error}.", retryable=True)


async def open_storage(url: str | None, home: Path, migrations: Path = MIGRATIONS) -> Storage:
    """Opens and migrates. No URL: a SQLite file in `home`; else ``sqlite:///PATH`` or ``postgresql://…``.

    Raises `EngineError` (`storage_unavailable`), `SchemaError`, and `ValueError` for a URL of another kind.
    """
    storage = await _connect(url, home)
    try:
        await storage.transaction(migrate, read_migrations(migrations, storage.dialect))
    except BaseException:
        await storage.close()
        raise
    return storage


async def _connect(url: str | None, home: Path) -> Storage:
    if url is None or url.startswith("sqlite:///"):
        from parley.storage_sqlite import open_sqlite

        return await open_sqlite(home / DATABASE_FILE if url is None else Path(url.removeprefix("sqlite:///")))
    if url.startswith(("postgresql://", "postgres://")):
        from parley.storage_postgres import open_postgres  # a driver that SQLite does without

        return await open_postgres(url)
    raise ValueError("The database URL must begin with sqlite:/// or postgresql://.")


class LateStorage:
    """A `Storage` that is opened after it was handed on."""

    def __init__(self) -> None:
        self._storage: Storage | None = None

    @property
    def is_open(self) -> bool:
        return self._storage is not None

    async def open(self, url: str | None, home: Path) -> None:
        self._storage = await open_storage(url, home)

    @property
    def dialect(self) -> Dialect:
        return self._there.dialect

    async def transaction(self, script: MakeScript[P, T], *args: P.args, **kwargs: P.kwargs) -> T:
        return await self._there.transaction(script, *args, **kwargs)

    async def read(self, script: MakeScript[P, T], *args: P.args, **kwargs: P.kwargs) -> T:
        return await self._there.read(script, *args, **kwargs)

    async def backup(self, target: Path) -> None:
        await self._there.backup(target)

    async def damage(self) -> list[str]:
        return await self._there.damage()

    async def close(self) -> None:
        there, self._storage = self._there, None
        await there.close()

    @property
    def _there(self) -> Storage:
        if self._storage is None:
            raise EngineError("storage_unavailable", "The database is not open yet.", retryable=True)
        return self._storage


# ---- migrations


class Migration(NamedTuple):
    """One step forward. There is none back: a later step mends what an earlier one got wrong."""

    number: int
    name: str
    text: str


def read_migrations(folder: Path, dialect: Dialect) -> list[Migration]:
    """The steps of a dialect in order: ``0001_what.sql`` for both, then ``0001_what.sqlite.sql`` where there is one."""
    found: dict[int, Migration] = {}
    for path in sorted(folder.glob("*.sql"), key=lambda path: (path.name[:4], path.name.count("."))):
        name = MIGRATION_NAME.fullmatch(path.name)
        if name is None:
            raise SchemaError(f"{path.name} is not a name for a migration.")
        number = int(name["number"])
        if name["dialect"] is None:
            if number in found:
                raise SchemaError(f"There are two migrations {number:04}.")
            found[number] = Migration(number, path.stem, path.read_text("utf-8"))
        elif name["dialect"] == dialect:
            common = found[number]
            found[number] = common._replace(text=common.text + "\n" + path.read_text("utf-8"))
    return [found[number] for number in sorted(found)]


def migrate(migrations: Iterable[Migration]) -> Script[list[int]]:
    """Takes every step that was not taken yet, and tells which. Raises `SchemaError` when the data is from later on."""
    yield Ddl("CREATE TABLE IF NOT EXISTS migration (number BIGINT PRIMARY KEY, name TEXT NOT NULL\n);")
    rows = yield Sql("SELECT number FROM migration")
    taken = {row[0] for row in rows}
    steps = {step.number: step for step in migrations}
    if taken - steps.keys():
        raise SchemaError("The database was written by a later version of Parley; use that one.")
    missing = sorted(steps.keys() - taken)
    for number in missing:
        yield Ddl(steps[number].text)
        yield Sql("INSERT INTO migration (number, name) VALUES ($1, $2)", (number, steps[number].name))
    return missing
