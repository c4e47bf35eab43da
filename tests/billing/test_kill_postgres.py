"""kill -9 of PostgreSQL itself, under load: a cluster of our own, killed and started again.

Writers ask on, under the same ids, until they are answered; in the end everything was done exactly once.
"""

import asyncio
import getpass
import os
import random
import shutil
import signal
import subprocess
import tempfile
import time
from collections.abc import Iterator
from contextlib import suppress
from pathlib import Path

import pytest

from parley.billing.audit import audit
from parley.billing.book import AnyOrder, Line
from parley.billing.ledger import Ledger
from parley.errors import EngineError
from parley.storage import Storage, open_storage
from tests.billing.test_kill import KILLS, SEED
from tests.billing.workers import WRITERS, credits, orders

SERVER_KILLS = max(3, KILLS // 10)
RECOVERY_S = 2.0
ASK_AGAIN_S = 0.02
START_TIMEOUT_S = 30.0


class Cluster:
    """A server of our own, on a socket in its folder."""

    def __init__(self, programs: Path, folder: Path, user: str | None) -> None:
        self.programs = programs
        self.folder = folder
        self.user = user
        self.process: subprocess.Popen[bytes] | None = None

    @property
    def url(self) -> str:
        return f"postgresql://parley@/postgres?host={self.folder}"

    def make(self) -> None:
        self.call("initdb", "--auth=trust", "--username=parley", "--no-sync", "-D", f"{self.folder}/data")
        with (self.folder / "data" / "postgresql.conf").open("a") as settings:
            settings.write(
                f"listen_addresses = ''\nunix_socket_directories = '{self.folder}'\nshared_buffers = '16MB'\n"
            )

    def start(self) -> None:
        with (self.folder / "log").open("ab") as log:
            self.process = subprocess.Popen(
                [self.programs / "postgres", "-D", f"{self.folder}/data"],
                user=self.user, stdout=log, stderr=log, cwd="/",
            )  # fmt: skip
        deadline = time.monotonic() + START_TIMEOUT_S
        while time.monotonic() < deadline:
            ready = [f"{self.programs}/pg_isready", "-q", "-h", f"{self.folder}"]
            if subprocess.run(ready, check=False).returncode == 0:
                return
            if self.process.poll() is not None:
                break
            time.sleep(0.02)
        pytest.fail(f"PostgreSQL did not start: {(self.folder / 'log').read_text()[-2_000:]}")

    def kill(self) -> None:
        """The postmaster; its children notice, and are gone before they could write anything more."""
        if self.process is not None:
            children = subprocess.run(
                ["ps", "-o", "pid=", "--ppid", str(self.process.pid)], capture_output=True, text=True, check=False
            )
            self.process.kill()
            for child in map(int, children.stdout.split()):
                with suppress(ProcessLookupError):
                    os.kill(child, signal.SIGKILL)
            self.process.wait()
            self.process = None

    def call(self, program: str, *args: str) -> None:
        subprocess.run([self.programs / program, *args], check=True, user=self.user, stdout=subprocess.DEVNULL, cwd="/")


def find_programs() -> Path | None:
    found = [Path(path) for path in (shutil.which("initdb"), *Path("/usr/lib/postgresql").glob("*/bin/initdb")) if path]
    return found[0].resolve().parent if found else None


@pytest.fixture
def cluster() -> Iterator[Cluster]:
    programs = find_programs()
    if programs is None:
        pytest.skip("no initdb on this machine, so no cluster of our own to kill")
    user = None
    if os.geteuid() == 0:  # PostgreSQL refuses to be root
        if subprocess.run(["id", "postgres"], capture_output=True, check=False).returncode:
            pytest.skip("PostgreSQL does not run as root, and there is no user postgres")
        user = "postgres"
    with tempfile.TemporaryDirectory(prefix="parley-pg-") as name:
        folder = Path(name)
        shutil.chown(folder, user or getpass.getuser())
        cluster = Cluster(programs, folder, user)
        cluster.make()
        cluster.start()
        yield cluster
        cluster.kill()


async def test_postgres_is_killed_and_nothing_is_lost_or_done_twice(cluster: Cluster, tmp_path: Path) -> None:
    chance = random.Random(SEED)
    storage = await open_storage(cluster.url, tmp_path)
    ledger = Ledger(storage, "node")
    answered: dict[str, Line] = {}
    over = asyncio.Event()
    failures = 0

    async def ask(order: AnyOrder) -> None:
        nonlocal failures
        while True:
            try:
                answered[order.id] = await ledger.order(order)
            except EngineError as error:
                assert error.code == "storage_unavailable", error
                failures += 1
                await asyncio.sleep(ASK_AGAIN_S)
            else:
                return

    async def writer(number: int) -> None:
        round = 0
        while not over.is_set():
            for order in orders(0, number, round):
                await ask(order)
            round += 1

    for order in credits():
        await ask(order)
    writing = [asyncio.create_task(writer(number)) for number in range(WRITERS)]
    for kill in range(SERVER_KILLS):
        await asyncio.sleep(0.1 * chance.random() + 0.05)
        await asyncio.to_thread(cluster.kill)
        before = dict(answered)
        await asyncio.to_thread(cluster.start)
        began = time.monotonic()
        while len(answered) == len(before):
            await asyncio.sleep(0.005)
        took = time.monotonic() - began
        print(f"LEDGER_SEED={SEED}, kill {kill}: answered {took:.3f} s after the start")
        assert took < RECOVERY_S
        assert await lines(storage, list(before)) == list(before.values())
    over.set()
    await asyncio.gather(*writing)
    assert failures
    assert await audit(storage) == []
    await compare(ledger, list(answered.values()))
    await ledger.close()
    await storage.close()


async def lines(storage: Storage, ids: list[str]) -> list[Line | None]:
    from parley.billing.ledger import _line

    return [await storage.read(_line, id) for id in ids]


async def compare(ledger: Ledger, told: list[Line]) -> None:
    """The balances are what the answers say."""
    for credit in credits():
        spent = sum(
            line.moved for line in told
            if line.kind in ("capture", "close") and credit.account in (line.account, line.budget)
        )  # fmt: skip
        account = await ledger.account(credit.account)
        assert (account.posted, account.held) == (credit.amount - spent, 0)
