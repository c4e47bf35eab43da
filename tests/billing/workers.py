"""Processes that use a ledger and may be killed at any moment: what they do, and what they tell before they die.

Each writes to a pipe what it is about to ask, and what it was answered: ``? id`` and ``! id moved``. A line that short
is written whole or not at all.
"""

import asyncio
import multiprocessing
import os
import random
import signal
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any, NamedTuple

from parley import storage_postgres, storage_sqlite
from parley.billing.book import AnyOrder, Capture, CloseHold, Credit, ExtendHold, OpenHold
from parley.billing.ledger import Ledger
from parley.errors import RequestError
from parley.storage import open_storage

WRITERS = 6
CONTEXT = multiprocessing.get_context("forkserver")
CONTEXT.set_forkserver_preload(["tests.billing.workers", "asyncpg"])


class Told(NamedTuple):
    """What a process was heard to ask, and what it was answered."""

    asked: set[str]
    answered: dict[str, int]


def hold_of(run: int, writer: int, round: int) -> str:
    return f"r{run}_w{writer}_{round}"


def orders(run: int, writer: int, round: int) -> list[AnyOrder]:
    """One session's life; made of its numbers alone, so that it can be asked for again by somebody else."""
    hold, account = hold_of(run, writer, round), f"acc_{writer % 3}"
    budget = "key" if writer % 2 else None
    chance = random.Random(hold)
    whose: dict[str, Any] = {"account": account, "budget": budget, "hold": hold}
    return [
        OpenHold(id=hold, account=account, budget=budget, amount=1_000, holder=f"run_{run}", expires_at=2**52),
        Capture(id=f"{hold}:a", **whose, amount=chance.randrange(400), owed=chance.randrange(50)),
        ExtendHold(id=f"{hold}:x", **whose, amount=500, owed=chance.randrange(100)),
        Capture(id=f"{hold}:b", **whose, amount=chance.randrange(900)),
        CloseHold(id=f"{hold}:end", **whose, amount=chance.randrange(200)),
    ]


def credits() -> list[Credit]:
    return [Credit(id=f"gift_{id}", account=id, amount=10**12) for id in ("acc_0", "acc_1", "acc_2", "key")]


async def spend(url: str, run: int, told: Callable[[str], None], rounds: int) -> None:
    storage = await open_storage(url, Path())
    ledger = Ledger(storage, f"run_{run}")
    await ledger.open()

    async def ask(order: AnyOrder) -> None:
        told(f"? {order.id}\n")
        line = await ledger.order(order)
        told(f"! {line.id} {line.moved}\n")

    async def writer(number: int) -> None:
        for round in range(rounds):
            for order in orders(run, number, round):
                await ask(order)

    await asyncio.gather(*(ask(order) for order in credits()))
    await asyncio.gather(*(writer(number) for number in range(WRITERS)))
    await ledger.close()
    await storage.close()


# ---- in the process


def run_until_killed(url: str, run: int, pipe: Any, rounds: int, die_at: int | None) -> None:
    """With `die_at` it kills itself: before or after that step towards the disk, whichever the number says."""
    os.setpgid(0, 0)
    if die_at is not None:
        die_at_step(die_at)

    def told(text: str) -> None:
        os.write(pipe.fileno(), text.encode())

    asyncio.run(spend(url, run, told, rounds))


def die_at_step(number: int) -> None:
    """Counts statements and commits on both databases; dies at the given one."""
    steps = iter(range(10**9))

    def step() -> None:
        if next(steps) == number:
            os.kill(os.getpid(), signal.SIGKILL)

    real_lite, real_post, real_once = (
        storage_sqlite._execute,
        storage_postgres._execute,
        storage_postgres.PostgresStorage._once,
    )

    def lite(connection: Any, statement: Any) -> Any:
        step()
        rows = real_lite(connection, statement)
        step()  # the last one of a transaction stands before its commit
        return rows

    async def post(connection: Any, statement: Any) -> Any:
        step()
        rows = await real_post(connection, statement)
        step()
        return rows

    async def once(self: Any, script: Any) -> Any:
        result = await real_once(self, script)
        step()  # committed, and nobody has heard of it
        return result

    real_run = storage_sqlite._Thread._run

    def run(self: Any, begin: str, script: Any) -> Any:
        result = real_run(self, begin, script)
        step()
        return result

    storage_sqlite._execute = lite
    storage_postgres._execute = post
    storage_sqlite._Thread._run = run  # type: ignore[method-assign]
    storage_postgres.PostgresStorage._once = once  # type: ignore[method-assign]


def race(url: str, name: int, start: Any, pipe: Any) -> None:
    """Fifty sessions that want one credit each, from the moment that all processes are ready."""

    async def run() -> None:
        storage = await open_storage(url, Path())
        ledger = Ledger(storage, f"node_{name}")
        await ledger.account("ann")
        start.wait()

        async def session(number: int) -> str:
            try:
                await ledger.hold(f"s{name}_{number}", "ann", 1_000_000, expires_in_s=60)
            except RequestError as refusal:
                return refusal.code
            return "admitted"

        pipe.send(await asyncio.gather(*(session(number) for number in range(50))))
        await ledger.close()
        await storage.close()

    asyncio.run(run())


# ---- beside it


@contextmanager
def process(work: Callable[..., None], *args: Any) -> Iterator[Any]:
    running = CONTEXT.Process(target=work, args=args)
    running.start()
    try:
        yield running
    finally:
        running.kill()
        running.join()
        running.close()


def heard(reading: Any) -> Told:
    """Everything that it wrote, until the end of it."""
    told = Told(set(), {})
    with open(os.dup(reading.fileno())) as file:
        for line in file:
            mark, id, *moved = line.split()
            if mark == "?":
                told.asked.add(id)
            else:
                told.answered[id] = int(moved[0])
    return told
