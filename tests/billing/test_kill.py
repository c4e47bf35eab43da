"""kill -9 at the worst moment: nothing that was answered is lost, nothing is done twice, and it goes on at once.

50 kills a run: half at random on each database, and at every step of the first transactions towards the disk.
LEDGER_KILLS=1000 for as many as you like; LEDGER_SEED=… to see the same again.
"""

import asyncio
import os
import random
import time
from pathlib import Path

from parley.billing.audit import audit
from parley.billing.ledger import HOLDER_S, Ledger
from parley.storage import Script, Sql, Storage, open_storage
from tests.billing.workers import CONTEXT, WRITERS, Told, credits, heard, orders, process, run_until_killed

KILLS = int(os.environ.get("LEDGER_KILLS", "50"))
SEED = int(os.environ.get("LEDGER_SEED", "0")) or random.SystemRandom().randrange(1, 10**9)
RECOVERY_S = 2.0


def killed(url: str, run: int, after_s: float | None = None, die_at: int | None = None, rounds: int = 10_000) -> Told:
    """Starts a process that spends, and kills it so long after its first answer (or lets it kill itself)."""
    reading, writing = CONTEXT.Pipe(duplex=False)
    with reading, process(run_until_killed, url, run, writing, rounds, die_at) as running:
        writing.close()
        if after_s is not None:
            reading.poll(20)
            time.sleep(after_s)
            running.kill()
        running.join(20)
        assert running.exitcode in (-9, 0)
        return heard(reading)


def last_lines(ids: list[str]) -> Script[dict[str, int]]:
    found = {}
    for id in ids:
        rows = yield Sql("SELECT moved FROM ledger_line WHERE id = $1", (id,))
        if rows:
            found[id] = rows[0][0]
    return found


async def check(url: str, home: Path, told: Told, run: int) -> float:
    """What was answered is there, the promises hold, the next order is carried out. Seconds until then."""
    began = time.monotonic()
    storage = await open_storage(url, home)
    ledger = Ledger(storage, f"after_{run}")
    for order in credits():
        await ledger.order(order)
    took = time.monotonic() - began
    assert await audit(storage) == []
    assert await storage.read(last_lines, list(told.answered)) == told.answered
    await ledger.close()
    await storage.close()
    return took


async def test_killed_at_random_and_asked_again(url: str, tmp_path: Path) -> None:
    chance = random.Random(SEED)
    seen: list[Told] = []
    for run in range(KILLS // 2):
        told = killed(url, run, after_s=chance.choice((0.02, 0.1, 0.3)) * chance.random())
        seen.append(told)
        took = await check(url, tmp_path, told, run)
        print(f"LEDGER_SEED={SEED}, run {run}: {len(told.answered)} answers, recovered in {took:.3f} s")
        assert took < RECOVERY_S
    assert sum(len(told.asked) > len(told.answered) for told in seen) >= KILLS // 10
    await ask_all_again(url, tmp_path, seen)


async def ask_all_again(url: str, home: Path, seen: list[Told]) -> None:
    """Every order that anybody had begun to ask, once more, as a client would: each is done exactly once."""
    storage = await open_storage(url, home)
    ledger = Ledger(storage, "again")
    given = {order.account: order.amount for order in credits()}
    spent = dict.fromkeys(given, 0)

    async def again(run: int, writer: int, told: Told) -> None:
        for round in range(10_000):
            life = orders(run, writer, round)
            if life[0].id not in told.asked:
                return
            for line in [await ledger.order(order) for order in life]:
                assert told.answered.get(line.id, line.moved) == line.moved
                if line.kind in ("capture", "close"):
                    for payer in filter(None, (line.account, line.budget)):
                        spent[payer] += line.moved

    await asyncio.gather(*(again(run, writer, told) for run, told in enumerate(seen) for writer in range(WRITERS)))
    for id, amount in given.items():
        account = await ledger.account(id)
        assert (account.posted, account.held) == (amount - spent[id], 0)
    assert await audit(storage) == []
    await ledger.close()
    await storage.close()


async def test_killed_at_every_step_to_the_disk(url: str, tmp_path: Path) -> None:
    """From opening the file on: every statement, every commit, and every answer not yet given."""
    steps = 0
    while True:
        told = killed(url, steps, die_at=steps, rounds=1)
        await check(url, tmp_path, told, steps)
        finished = {order.id for writer in range(WRITERS) for order in orders(steps, writer, 0)} <= told.answered.keys()
        steps += 1
        if finished:
            break
    assert steps > 40


async def test_orphaned_holds_are_settled_within_a_minute(url: str, tmp_path: Path) -> None:
    storage = await open_storage(url, tmp_path)
    for run in range(20):
        killed(url, run, after_s=0.1)
        if await open_holds(storage):
            break
    later = Ledger(storage, "later", lambda: time.time() + HOLDER_S + 1)
    assert HOLDER_S < 60
    await later.open()
    orphans = await open_holds(storage)
    assert orphans
    settled = await later.settle_expired()
    assert {line.hold for line in settled} == set(orphans)
    assert all(line.moved == orphans[line.hold or ""] for line in settled)
    assert await open_holds(storage) == {}
    assert await later.settle_expired() == []
    for id in ("acc_0", "acc_1", "acc_2", "key"):
        assert (await later.account(id)).held == 0
    assert await audit(storage) == []
    await later.close()
    await storage.close()


async def open_holds(storage: Storage) -> dict[str, int]:
    """What is owed on each."""

    def script() -> Script[dict[str, int]]:
        rows = yield Sql("SELECT id, owed FROM ledger_hold WHERE state = 'open'")
        return {row[0]: row[1] for row in rows}

    return await storage.read(script)
