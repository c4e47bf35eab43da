#!/usr/bin/env python3
"""What money costs: charges a second, a warm key, and a thousand sessions whose holds move.

bench/ledger.py                               SQLite in a temporary folder, full sync
bench/ledger.py --url postgresql://…          PostgreSQL; makes a schema of its own, and drops it
"""

import argparse
import asyncio
import resource
import secrets
import tempfile
import time
from pathlib import Path
from typing import Final

import argon2
import uvloop

from parley.auth.accounts import Accounts
from parley.auth.credentials import Credential
from parley.auth.keys_store import KeyStore
from parley.billing.audit import audit
from parley.billing.ledger import Ledger
from parley.billing.meter import Meter, Tab
from parley.billing.prices import load_prices
from parley.core.effects import Stamps, Turn
from parley.core.events import CachedTokens, InputTokens, OutputTokens, Usage
from parley.storage import Script, Sql, Storage, open_storage

WRITERS: Final = 50
SESSIONS: Final = 1_000
TALK_S: Final = 10.0
TURN_S: Final = 8.0
"""A session's turn: 3 s of the user's speech, 5 s of answer in pieces of 400 ms."""
PIECE_MS: Final = 400
ANSWER_MS: Final = 5_000


def main() -> None:
    parser = argparse.ArgumentParser(description="Measure the ledger.")
    parser.add_argument("--url", help="a database; left out: SQLite in a temporary folder")
    parser.add_argument("--seconds", type=float, default=4.0, help="how long to charge")
    args = parser.parse_args()
    uvloop.run(measure(args.url, args.seconds))


async def measure(url: str | None, seconds: float) -> None:
    schema = f"parley_bench_{secrets.token_hex(4)}"
    with tempfile.TemporaryDirectory() as folder:
        plain = None if url is None else await open_plain(url, schema)
        storage = await open_storage(plain, Path(folder))
        ledger = Ledger(storage, "bench")
        await ledger.open()
        for number in range(WRITERS):
            await ledger.credit(f"gift_{number}", f"acc_{number}", 10**14)
        await charges(ledger, seconds, "50 accounts", lambda writer: f"acc_{writer}")
        await charges(ledger, seconds, "one account", lambda writer: "acc_0")
        await sessions(ledger)
        await keys(storage)
        print("audit:", await audit(storage) or "every promise holds")
        await ledger.close()
        await storage.close()
        if url is not None:
            await drop(url, schema)


async def open_plain(url: str, schema: str) -> str:
    await execute(url, f"CREATE SCHEMA {schema}")
    return f"{url}{'&' if '?' in url else '?'}search_path={schema}"


async def drop(url: str, schema: str) -> None:
    await execute(url, f"DROP SCHEMA {schema} CASCADE")


async def execute(url: str, sql: str) -> None:
    import asyncpg

    connection = await asyncpg.connect(url)
    await connection.execute(sql)
    await connection.close()


def cpu_s() -> float:
    used = resource.getrusage(resource.RUSAGE_SELF)
    return used.ru_utime + used.ru_stime


async def charges(ledger: Ledger, seconds: float, what: str, account_of: object) -> None:
    """A charge is a hold and the capture that ends it, each answered when it is on the disk."""
    assert callable(account_of)
    until, done = time.perf_counter() + seconds, 0
    name = what.replace(" ", "_")

    async def writer(number: int) -> None:
        nonlocal done
        account, round = account_of(number), 0
        while time.perf_counter() < until:
            hold = f"{name}_{number}_{round}"
            await ledger.hold(hold, account, 50_000, expires_in_s=60)
            await ledger.release(f"{hold}:end", account, hold, 31_000)
            round, done = round + 1, done + 1

    began, cpu = time.perf_counter(), cpu_s()
    await asyncio.gather(*(writer(number) for number in range(WRITERS)))
    took = time.perf_counter() - began
    print(
        f"{WRITERS} writers, {what}: {done / took:,.0f} charges/s (hold + capture), "
        f"{2 * done / took:,.0f} orders/s, {(cpu_s() - cpu) / done * 1e6:.0f} us CPU a charge"
    )


async def sessions(ledger: Ledger) -> None:
    """In real time: what the meters, the ledger and the writing thread take of this process."""
    book = load_prices()
    meters = [
        Meter(
            ledger,
            Tab(session=f"sess_{number}", model="gpt-realtime", account=f"acc_{number % WRITERS}"),
            lambda model: book.find(model, "2026-12-01"),
            print,
        )
        for number in range(SESSIONS)
    ]
    await asyncio.gather(*(meter.open() for meter in meters))
    answer = Usage(
        total_tokens=400, input_tokens=250, output_tokens=150,
        input_token_details=InputTokens(
            text_tokens=150, audio_tokens=100, image_tokens=0, cached_tokens=0, cached_tokens_details=CachedTokens()
        ),
        output_token_details=OutputTokens(text_tokens=50, audio_tokens=100),
    )  # fmt: skip

    async def talk(number: int, meter: Meter) -> None:
        await asyncio.sleep(TURN_S * number / SESSIONS)
        for turn in range(int(TALK_S / TURN_S) + 1):
            meter.heard(3_000)
            await asyncio.sleep(3.0)
            id = f"resp_{turn}"
            meter.started(id)
            for _ in range(ANSWER_MS // PIECE_MS):
                meter.spoke(id, PIECE_MS)
                await asyncio.sleep(PIECE_MS / 1_000)
            meter.turn(
                Turn(
                    kind="response", id=id, item_id=None, model="gpt-realtime", status="completed", stamps=Stamps(),
                    usage=answer,
                )
            )  # fmt: skip

    async def idle(number: int) -> None:
        """The same sleeps without a meter: what the simulation itself takes."""
        await asyncio.sleep(TURN_S * number / SESSIONS)
        for _ in range(int(TALK_S / TURN_S) + 1):
            await asyncio.sleep(3.0)
            for _ in range(ANSWER_MS // PIECE_MS):
                await asyncio.sleep(PIECE_MS / 1_000)

    shares = []
    for work in ([talk(n, meter) for n, meter in enumerate(meters)], [idle(n) for n in range(SESSIONS)]):
        began, cpu = time.perf_counter(), cpu_s()
        await asyncio.gather(*work)
        shares.append((cpu_s() - cpu) / (time.perf_counter() - began) * 100)
    await asyncio.gather(*(meter.close() for meter in meters))
    print(f"{SESSIONS} sessions with moving holds: {shares[0] - shares[1]:.1f} % of a core")


async def keys(storage: Storage) -> None:
    accounts = Accounts(storage, b"pepper", argon2.PasswordHasher(time_cost=1, memory_cost=8, parallelism=1))
    ann = await accounts.create_user(f"{secrets.token_hex(4)}@example.org")
    store = KeyStore(storage, b"pepper")
    credential = Credential((await store.create(ann.account, ann.id, "bench")).value, "authorization")
    began = time.perf_counter()
    await store.check(credential)
    cold = time.perf_counter() - began
    began = time.perf_counter()
    for _ in range(20_000):
        await store.check(credential)
    print(f"a key: warm {(time.perf_counter() - began) / 20_000 * 1e3:.4f} ms, cold {cold * 1e3:.2f} ms")

    def rows() -> Script[int]:
        found = yield Sql("SELECT COUNT(*) FROM ledger_line")
        return int(found[0][0])

    print(f"lines in the ledger: {await storage.read(rows):,}")


if __name__ == "__main__":
    main()
