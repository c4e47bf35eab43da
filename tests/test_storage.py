"""The database behind its one door: scripts, migrations, durability, backup."""

import asyncio
import sqlite3
import stat
import subprocess
import sys
from collections.abc import AsyncIterator
from pathlib import Path

import pytest

from parley.errors import EngineError, RequestError
from parley.storage import (
    BackupNotHere,
    Broken,
    Each,
    SchemaError,
    Script,
    Sql,
    Storage,
    Taken,
    open_storage,
    read_migrations,
)
from tests.databases import POSTGRES_URL, database, storage, url, why_no_postgres

__all__ = ["storage", "url"]

FIRST = "CREATE TABLE pet (\n    name TEXT PRIMARY KEY,\n    legs BIGINT NOT NULL CHECK (legs >= 0)\n);\n"
SECOND = "ALTER TABLE pet ADD COLUMN owner TEXT;\nUPDATE pet SET owner = 'ann' WHERE legs = 4;\n"


def add(name: str, legs: int) -> Script[None]:
    yield Sql("INSERT INTO pet (name, legs) VALUES ($1, $2)", (name, legs))


def pets(order: str = "name") -> Script[list[tuple[object, ...]]]:
    rows = yield Sql(f"SELECT * FROM pet ORDER BY {order}")
    return [tuple(row) for row in rows]


@pytest.fixture
def migrations(tmp_path: Path) -> Path:
    folder = tmp_path / "migrations"
    folder.mkdir()
    (folder / "0001_pets.sql").write_text(FIRST)
    return folder


@pytest.fixture
async def zoo(url: str, tmp_path: Path, migrations: Path) -> AsyncIterator[Storage]:
    storage = await open_storage(url, tmp_path, migrations)
    yield storage
    await storage.close()


# ---- scripts


async def test_a_script_is_all_or_nothing(zoo: Storage) -> None:
    def two(fail: bool) -> Script[str]:
        yield from add("cat", 4)
        yield from add("hen", 2)
        if fail:
            raise RequestError("invalid_value", "no")
        return "done"

    with pytest.raises(RequestError):
        await zoo.transaction(two, fail=True)
    assert await zoo.read(pets) == []
    assert await zoo.transaction(two, fail=False) == "done"
    assert await zoo.read(pets) == [("cat", 4), ("hen", 2)]


async def test_each_is_done_for_each_and_its_rows_come_in_order(zoo: Storage) -> None:
    def many() -> Script[list[str]]:
        nothing = yield Each("INSERT INTO pet (name, legs) VALUES ($1, $2)", [("cat", 4), ("hen", 2), ("ant", 6)])
        assert nothing == []
        rows = yield Each("SELECT name FROM pet WHERE legs = $1 FOR UPDATE", [(6,), (5,), (2,)])
        changed = yield Each("UPDATE pet SET legs = legs + $2 WHERE name = $1 RETURNING legs", [("ant", 1), ("x", 1)])
        return [row[0] for row in (*rows, *changed)]

    assert await zoo.transaction(many) == ["ant", "hen", 7]


async def test_the_databases_refusals_have_names(zoo: Storage) -> None:
    await zoo.transaction(add, "cat", 4)
    with pytest.raises(Taken):
        await zoo.transaction(add, "cat", 4)
    with pytest.raises(Broken):
        await zoo.transaction(add, "dog", -1)
    assert await zoo.read(pets) == [("cat", 4)]


async def test_a_statement_that_is_wrong_is_our_bug_and_not_the_weather(zoo: Storage) -> None:
    with pytest.raises(Exception, match="nonsense") as caught:
        await zoo.read(pets, "nonsense")
    assert not isinstance(caught.value, EngineError)
    assert await zoo.read(pets) == []


async def test_columns_hold_what_they_say(zoo: Storage) -> None:
    with pytest.raises(Exception, match=r"legs|integer|'4'|INTEGER"):
        await zoo.transaction(add, "cat", "many")  # type: ignore[arg-type]


async def test_reading_writes_nothing(zoo: Storage) -> None:
    with pytest.raises(Exception, match=r"read-?only|readonly"):
        await zoo.read(add, "cat", 4)
    assert await zoo.read(pets) == []


async def test_no_update_is_lost(zoo: Storage) -> None:
    def grow() -> Script[None]:
        rows = yield Sql("SELECT legs FROM pet WHERE name = 'cat' FOR UPDATE")
        yield Sql("UPDATE pet SET legs = $1 WHERE name = 'cat'", (rows[0][0] + 1,))

    await zoo.transaction(add, "cat", 0)
    await asyncio.gather(*(zoo.transaction(grow) for _ in range(50)))
    assert await zoo.read(pets) == [("cat", 50)]


async def test_who_waits_for_each_other_is_helped_out(zoo: Storage) -> None:
    """A deadlock is PostgreSQL's to notice and ours to try again."""

    def swap(first: str, second: str) -> Script[None]:
        for name in (first, second):
            yield Sql("UPDATE pet SET legs = legs + 1 WHERE name = $1", (name,))

    await zoo.transaction(add, "cat", 0)
    await zoo.transaction(add, "dog", 0)
    await asyncio.gather(*(zoo.transaction(swap, *pair) for pair in (("cat", "dog"), ("dog", "cat"))))
    assert await zoo.read(pets) == [("cat", 2), ("dog", 2)]


async def test_when_it_is_closed_everybody_is_told(zoo: Storage) -> None:
    await zoo.close()
    await zoo.close()
    for attempt in (zoo.transaction(add, "cat", 4), zoo.read(pets)):
        with pytest.raises(EngineError) as caught:
            await attempt
        assert (caught.value.code, caught.value.retryable) == ("storage_unavailable", True)


# ---- opening


async def test_our_own_schema_is_the_same_on_both(storage: Storage) -> None:
    """Tables and columns; the types are the dialect's."""

    def columns() -> Script[list[tuple[object, ...]]]:
        rows = yield Sql(
            "SELECT m.name, p.name FROM sqlite_master m JOIN pragma_table_info(m.name) p WHERE m.type = 'table'"
            if storage.dialect == "sqlite"
            else "SELECT table_name, column_name FROM information_schema.columns WHERE table_schema = current_schema()"
        )
        return sorted(tuple(row) for row in rows)

    found = await storage.read(columns)
    text = "".join(step.text for step in read_migrations(Path("parley/migrations"), storage.dialect))
    assert len({table for table, _ in found}) == text.count("CREATE TABLE") + 1
    assert ("ledger_account", "posted") in found
    assert ("api_key", "digest") in found
    assert await storage.damage() == []


@pytest.mark.parametrize("bad", ["mysql://x", "parley.db", "sqlite:relative"])
async def test_urls_of_another_kind(tmp_path: Path, bad: str) -> None:
    with pytest.raises(ValueError, match="must begin with"):
        await open_storage(bad, tmp_path)


async def test_where_nothing_listens_and_where_nothing_can_be_written(tmp_path: Path) -> None:
    (tmp_path / "file").write_text("")
    for unreachable in ("postgresql://nobody@127.0.0.1:1/none", f"sqlite:///{tmp_path}/file/x.db"):
        with pytest.raises(EngineError) as caught:
            await open_storage(unreachable, tmp_path)
        assert caught.value.code == "storage_unavailable"


async def test_a_database_that_is_not_there(tmp_path: Path) -> None:
    if (reason := why_no_postgres()) is not None:
        pytest.skip(reason)
    server = POSTGRES_URL.rpartition("/")[0]
    for wrong in (f"{server}/parley_none_such", server.replace("//root@", "//parley_nobody@") + "/test"):
        with pytest.raises(EngineError) as caught:
            await open_storage(wrong, tmp_path)
        assert caught.value.code == "storage_unavailable"


async def test_a_file_that_is_no_database(tmp_path: Path) -> None:
    (tmp_path / "parley.db").write_text("It was a dark and stormy night; the rain fell in torrents. " * 100)
    with pytest.raises(EngineError) as caught:
        await open_storage(None, tmp_path)
    assert caught.value.code == "storage_unavailable"


# ---- migrations


async def test_forward_with_data(url: str, tmp_path: Path, migrations: Path) -> None:
    before = await open_storage(url, tmp_path, migrations)
    await before.transaction(add, "cat", 4)
    await before.transaction(add, "hen", 2)
    await before.close()
    (migrations / "0002_owners.sql").write_text(SECOND)
    for _ in range(2):
        after = await open_storage(url, tmp_path, migrations)
        assert await after.read(pets) == [("cat", 4, "ann"), ("hen", 2, None)]
        await after.close()


async def test_a_step_that_fails_is_not_taken_at_all(url: str, tmp_path: Path, migrations: Path) -> None:
    before = await open_storage(url, tmp_path, migrations)
    await before.transaction(add, "cat", 4)
    await before.close()
    (migrations / "0002_owners.sql").write_text(SECOND)
    (migrations / "0003_wrong.sql").write_text("ALTER TABLE nowhere ADD COLUMN x TEXT;\n")
    with pytest.raises(Exception, match="nowhere"):
        await open_storage(url, tmp_path, migrations)
    (migrations / "0002_owners.sql").unlink()
    (migrations / "0003_wrong.sql").unlink()
    still = await open_storage(url, tmp_path, migrations)
    assert await still.read(pets) == [("cat", 4)]
    await still.close()


async def test_data_of_a_later_version_is_left_alone(url: str, tmp_path: Path, migrations: Path) -> None:
    later = migrations / "0002_owners.sql"
    later.write_text(SECOND)
    await (await open_storage(url, tmp_path, migrations)).close()
    later.unlink()
    with pytest.raises(SchemaError, match="later version"):
        await open_storage(url, tmp_path, migrations)


async def test_many_start_at_once(url: str, tmp_path: Path) -> None:
    opened = await asyncio.gather(*(open_storage(url, tmp_path) for _ in range(4)))
    for one in opened:
        assert await one.damage() == []
        await one.close()


def test_a_dialect_may_add_to_a_step(migrations: Path) -> None:
    (migrations / "0001_pets.sqlite.sql").write_text("-- only here\n")
    assert "only here" in read_migrations(migrations, "sqlite")[0].text
    assert "only here" not in read_migrations(migrations, "postgres")[0].text
    (migrations / "0001_again.sql").write_text("")
    with pytest.raises(SchemaError, match="two migrations 0001"):
        read_migrations(migrations, "sqlite")
    (migrations / "0001_again.sql").rename(migrations / "1_short.sql")
    with pytest.raises(SchemaError, match="not a name"):
        read_migrations(migrations, "sqlite")


# ---- SQLite's file


async def test_the_file_is_its_owners_and_every_commit_reaches_the_disk(tmp_path: Path) -> None:
    def pragmas() -> Script[list[object]]:
        found = []
        for name in ("journal_mode", "synchronous", "foreign_keys"):
            rows = yield Sql(f"PRAGMA {name}")
            found.append(rows[0][0])
        return found

    home = tmp_path / "deep" / "home"
    storage = await open_storage(None, home)
    assert await storage.transaction(pragmas) == ["wal", 2, 1]
    modes = {path.name: stat.S_IMODE(path.stat().st_mode) for path in home.iterdir()}
    assert set(modes.values()) == {0o600}
    assert "parley.db" in modes
    await storage.close()


async def test_another_process_waits_for_its_turn(tmp_path: Path, migrations: Path) -> None:
    storage = await open_storage(None, tmp_path, migrations)
    program = (
        "import sqlite3, sys\n"
        "database = sqlite3.connect(sys.argv[1], isolation_level=None)\n"
        "database.execute('BEGIN IMMEDIATE')\n"
        "print('mine', flush=True)\n"
        "sys.stdin.readline()\n"
        "database.execute(\"INSERT INTO pet (name, legs) VALUES ('dog', 4)\")\n"
        "database.execute('COMMIT')\n"
        "database.close()\n"
    )
    other = subprocess.Popen(
        [sys.executable, "-c", program, str(tmp_path / "parley.db")],
        stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True,
    )  # fmt: skip
    with other:
        assert other.stdin
        assert other.stdout
        other.stdout.readline()
        ours = asyncio.ensure_future(storage.transaction(add, "cat", 4))
        await asyncio.sleep(0.05)
        assert not ours.done()
        assert await storage.read(pets) == []
        other.stdin.write("\n")
        other.stdin.flush()
        await ours
    assert await storage.read(pets) == [("cat", 4), ("dog", 4)]
    await storage.close()


async def test_a_backup_is_whole_while_others_write(tmp_path: Path, migrations: Path) -> None:
    """Every name comes with its twin in one transaction: a copy of half of one would show."""

    def twins(number: int) -> Script[None]:
        yield from add(f"a{number:04}", number)
        yield from add(f"b{number:04}", number)

    storage = await open_storage(None, tmp_path, migrations)
    writing = asyncio.gather(*(storage.transaction(twins, number) for number in range(200)))
    copies = [tmp_path / f"copy{number}.db" for number in range(5)]
    for copy in copies:
        await storage.backup(copy)
        await asyncio.sleep(0)
    await writing
    with pytest.raises(FileExistsError):
        await storage.backup(copies[0])
    for copy in copies:
        assert stat.S_IMODE(copy.stat().st_mode) == 0o600
        opened = await open_storage(f"sqlite:///{copy}", tmp_path, migrations)
        assert await opened.damage() == []
        found = await opened.read(pets, "legs, name")
        assert [row[1] for row in found[::2]] == [row[1] for row in found[1::2]]
        await opened.close()
    assert not list(tmp_path.glob("*.part"))
    await storage.close()


async def test_postgres_has_tools_of_its_own_for_that(tmp_path: Path, migrations: Path) -> None:
    with database("postgres", tmp_path) as url:
        storage = await open_storage(url, tmp_path, migrations)
        with pytest.raises(BackupNotHere, match="pg_dump"):
            await storage.backup(tmp_path / "copy")
        await storage.close()


async def test_damage_is_told(tmp_path: Path, migrations: Path) -> None:
    storage = await open_storage(None, tmp_path, migrations)
    for number in range(300):
        await storage.transaction(add, f"{number:060}", number)
    await storage.close()
    file = tmp_path / "parley.db"
    with sqlite3.connect(file) as raw:
        raw.execute("PRAGMA wal_checkpoint(TRUNCATE)")
    raw.close()
    content = bytearray(file.read_bytes())
    content[-3_000:-1_000] = bytes(2_000)
    file.write_bytes(content)
    again = await open_storage(None, tmp_path, migrations)
    try:
        assert await again.damage()
    except EngineError as error:
        assert error.code == "storage_unavailable"
    await again.close()
