"""The two databases, for tests of any room: a file on SQLite, a schema of its own on PostgreSQL.

A conftest imports the fixtures: every test that asks for `storage` runs on both, with a clock that is told the time.
PostgreSQL is looked for where TEST_POSTGRES_URL says, else at its usual place on this machine.
"""

import asyncio
import os
import secrets
import threading
from collections.abc import AsyncIterator, Iterator
from contextlib import contextmanager
from functools import cache
from pathlib import Path

import pytest

from parley.storage import Storage, open_storage

POSTGRES_URL = os.environ.get("TEST_POSTGRES_URL", "postgresql://root@127.0.0.1:5432/test")


@contextmanager
def database(dialect: str, folder: Path) -> Iterator[str]:
    """The URL of an empty database, which is gone afterwards."""
    if dialect == "sqlite":
        yield f"sqlite:///{folder}/{secrets.token_hex(4)}.db"
        return
    if (reason := why_no_postgres()) is not None:
        pytest.skip(reason)
    schema = f"parley_test_{secrets.token_hex(6)}"
    execute(f"CREATE SCHEMA {schema}")
    try:
        yield f"{POSTGRES_URL}{'&' if '?' in POSTGRES_URL else '?'}search_path={schema}"
    finally:
        execute(f"DROP SCHEMA {schema} CASCADE")


@cache
def why_no_postgres() -> str | None:
    try:
        execute("SELECT 1")
    except Exception as error:
        return f"no PostgreSQL at {POSTGRES_URL.rpartition('@')[2]}: {error}"
    return None


def execute(sql: str) -> None:
    """In a thread of its own: whoever asks may have a loop running."""
    trouble: list[Exception] = []

    def work() -> None:
        try:
            asyncio.run(_execute(sql))
        except Exception as error:
            trouble.append(error)

    thread = threading.Thread(target=work)
    thread.start()
    thread.join()
    if trouble:
        raise trouble[0]


async def _execute(sql: str) -> None:
    import asyncpg

    connection = await asyncpg.connect(POSTGRES_URL, timeout=5)
    try:
        await connection.execute(sql)
    finally:
        await connection.close()


# ---- fixtures


class Clock:
    """Unix seconds, as told."""

    def __init__(self) -> None:
        self.seconds = 1_800_000_000.0

    def __call__(self) -> float:
        return self.seconds


@pytest.fixture
def clock() -> Clock:
    return Clock()


@pytest.fixture(params=["sqlite", "postgres"])
def url(request: pytest.FixtureRequest, tmp_path: Path) -> Iterator[str]:
    with database(request.param, tmp_path) as url:
        yield url


@pytest.fixture
async def storage(url: str, tmp_path: Path) -> AsyncIterator[Storage]:
    storage = await open_storage(url, tmp_path)
    yield storage
    await storage.close()
