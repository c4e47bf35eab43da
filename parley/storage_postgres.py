"""PostgreSQL, by a pool of connections."""

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any, Final, cast

import asyncpg

from parley.storage import (
    BackupNotHere,
    Broken,
    Ddl,
    Dialect,
    Each,
    MakeScript,
    P,
    Row,
    Script,
    Sql,
    Statement,
    T,
    Taken,
    unavailable,
)

CONNECTIONS_MAX: Final = 8
CONNECT_TIMEOUT_S: Final = 10.0
COMMAND_TIMEOUT_S: Final = 30.0
ATTEMPTS_MAX: Final = 4
"""How often a script is run when PostgreSQL broke it off because of others (deadlock, serialization)."""
MIGRATION_LOCK: Final = 7_265_616_481
"""Of many servers that start at once, one migrates."""

UNAVAILABLE: Final = (
    asyncpg.PostgresConnectionError,
    asyncpg.OperatorInterventionError,
    asyncpg.InsufficientResourcesError,
    asyncpg.PostgresSystemError,
    asyncpg.DeadlockDetectedError,
    asyncpg.SerializationError,
    asyncpg.InterfaceError,
    asyncpg.InvalidCatalogNameError,
    asyncpg.InvalidAuthorizationSpecificationError,
    asyncio.TimeoutError,
    OSError,
)

Connection = Any
"""`asyncpg.pool.PoolConnectionProxy`, which forwards what it does not declare."""


async def open_postgres(url: str) -> "PostgresStorage":
    """`url` as PostgreSQL's own tools take it; parameters that they do not know become settings of the session."""
    async with _told():
        pool = await asyncpg.create_pool(
            url, min_size=1, max_size=CONNECTIONS_MAX, timeout=CONNECT_TIMEOUT_S, command_timeout=COMMAND_TIMEOUT_S
        )
    return PostgresStorage(pool)


class PostgresStorage:
    dialect: Dialect = "postgres"

    def __init__(self, pool: "asyncpg.Pool[asyncpg.Record]") -> None:
        self._pool = pool

    async def transaction(self, script: MakeScript[P, T], *args: P.args, **kwargs: P.kwargs) -> T:
        async with _told():
            for _ in range(ATTEMPTS_MAX - 1):
                try:
                    return await self._once(script(*args, **kwargs))
                except (asyncpg.DeadlockDetectedError, asyncpg.SerializationError):
                    continue
            return await self._once(script(*args, **kwargs))

    async def read(self, script: MakeScript[P, T], *args: P.args, **kwargs: P.kwargs) -> T:
        async with (
            _told(),
            self._pool.acquire() as connection,
            connection.transaction(isolation="repeatable_read", readonly=True),
        ):
            return await _drive(connection, script(*args, **kwargs))

    async def backup(self, target: Path) -> None:
        raise BackupNotHere("Back up PostgreSQL with pg_dump or pg_basebackup.")

    async def damage(self) -> list[str]:
        return []

    async def close(self) -> None:
        await self._pool.close()

    async def _once(self, script: Script[T]) -> T:
        async with self._pool.acquire() as connection, connection.transaction():
            return await _drive(connection, script)


@asynccontextmanager
async def _told() -> AsyncIterator[None]:
    """The driver's errors in the words of the house."""
    try:
        yield
    except asyncpg.UniqueViolationError as error:
        raise Taken(str(error)) from error
    except asyncpg.IntegrityConstraintViolationError as error:
        raise Broken(str(error)) from error
    except UNAVAILABLE as error:
        raise unavailable(error) from error


async def _drive(connection: Connection, script: Script[T]) -> T:
    try:
        statement = next(script)
        while True:
            statement = script.send(await _execute(connection, statement))
    except StopIteration as end:
        result: T = end.value
        return result
    finally:
        script.close()


async def _execute(connection: Connection, statement: Statement) -> list[Row]:
    match statement:
        case Sql(text, args):
            return cast(list[Row], await connection.fetch(text, *args))
        case Each(text, lists):
            return cast(list[Row], await connection.fetchmany(text, lists))
        case Ddl(text):
            # Before the first look at the schema, so that a second server waits until it is made.
            await connection.execute(f"SELECT pg_advisory_xact_lock({MIGRATION_LOCK})")
            await connection.execute(text)
            return []
