"""Limits in Redis: several processes, leases of those that died, and calls that go on without it."""

import asyncio
import logging
import socket
import subprocess
import sys
import time
from collections.abc import AsyncIterator, Iterator
from pathlib import Path

import pytest

from parley.auth.limits import LimitRules, RateLimited, Spent, Subject
from parley.auth.limits_redis import AWAY_S, BEAT_S, LEASE_S, LEASES_AT_ONCE, RedisLimits
from tests.conftest import ROOT
from tests.databases import Clock
from tests.redis_servers import REDIS_URL, RedisServer, own_prefix, pass_time

KEY = Subject("key:key_1", LimitRules(requests_per_minute=60, sessions_at_once=20))

PROCESS = """
import asyncio, sys
from parley.auth.limits import LimitRules, RateLimited, Subject
from parley.auth.limits_redis import RedisLimits

KEY = Subject("key:key_1", LimitRules(requests_per_minute=60, sessions_at_once=20))
url, prefix, name = sys.argv[1:]

async def goes(work):
    try:
        await work
    except RateLimited:
        return False
    return True

async def main():
    async with RedisLimits(url, prefix) as limits:
        await limits.look((KEY,))
        print("ready", flush=True)
        sys.stdin.readline()
        admitted = sum(await asyncio.gather(*(goes(limits.admit((KEY,))) for _ in range(200))))
        opened = sum(await asyncio.gather(*(goes(limits.open_session((KEY,), f"{name}_{n}")) for n in range(100))))
        print(admitted, opened, flush=True)
        await asyncio.to_thread(sys.stdin.readline)

asyncio.run(main())
"""


@pytest.fixture
def prefix() -> Iterator[str]:
    with own_prefix() as prefix:
        yield prefix


@pytest.fixture
def server(tmp_path: Path) -> Iterator[RedisServer]:
    server = RedisServer(tmp_path)
    server.start()
    yield server
    server.kill()


@pytest.fixture
def clock() -> Clock:
    return Clock()


@pytest.fixture
async def limits(server: RedisServer, clock: Clock) -> AsyncIterator[RedisLimits]:
    async with RedisLimits(server.url, now=clock) as limits:
        yield limits


async def goes(limits: RedisLimits, session: str | None = None) -> bool:
    try:
        await (limits.admit((KEY,)) if session is None else limits.open_session((KEY,), session))
    except RateLimited:
        return False
    return True


# ---- several processes


def test_two_processes_share_what_there_is_and_the_dead_give_it_back(prefix: str) -> None:
    processes = [
        subprocess.Popen(
            [sys.executable, "-c", PROCESS, REDIS_URL, prefix, name],
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            text=True,
            cwd=ROOT,
        )
        for name in ("ann", "bob")
    ]
    try:
        assert [_line(process) for process in processes] == ["ready", "ready"]
        began = time.monotonic()
        for process in processes:
            _go_on(process)
        counts = [[int(count) for count in _line(process).split()] for process in processes]
        flowed_in = time.monotonic() - began
        assert 60 <= counts[0][0] + counts[1][0] <= 60 + flowed_in + 1
        assert counts[0][1] + counts[1][1] == 20
    finally:
        for process in processes:
            process.kill()
            process.communicate()
    asyncio.run(_all_free_when_leases_are_over(prefix))


def _line(process: subprocess.Popen[str]) -> str:
    assert process.stdout is not None
    return process.stdout.readline().strip()


def _go_on(process: subprocess.Popen[str]) -> None:
    assert process.stdin is not None
    process.stdin.write("\n")
    process.stdin.flush()


async def _all_free_when_leases_are_over(prefix: str) -> None:
    async with RedisLimits(REDIS_URL, prefix) as limits:
        assert await limits.sessions(KEY) == 20
        assert not await goes(limits, "eve")
        pass_time(prefix, LEASE_S)
        assert await limits.sessions(KEY) == 0
        assert await goes(limits, "eve")


async def test_a_lease_that_is_renewed_lasts(prefix: str) -> None:
    assert BEAT_S * 2 < LEASE_S
    many = Subject("account:acct_1", LimitRules(sessions_at_once=LEASES_AT_ONCE + 20))
    async with RedisLimits(REDIS_URL, prefix) as limits:
        for number in range(LEASES_AT_ONCE + 10):
            await limits.open_session((many,), f"sess_{number}")
        await limits.close_session((many,), "sess_0")
        pass_time(prefix, LEASE_S - 1)
        await limits.renew()
        pass_time(prefix, LEASE_S - 1)
        assert await limits.sessions(many) == LEASES_AT_ONCE + 9
        pass_time(prefix, LEASE_S)
        assert await limits.sessions(many) == 0


async def test_leases_are_renewed_by_themselves(prefix: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("parley.auth.limits_redis.BEAT_S", 0.05)
    async with RedisLimits(REDIS_URL, prefix) as limits:
        await limits.open_session((KEY,), "sess_1")
        pass_time(prefix, LEASE_S)
        async with asyncio.timeout(10):
            while await limits.sessions(KEY) == 0:
                await asyncio.sleep(0.02)


async def test_a_crowd_waits_for_its_turn(prefix: str, caplog: pytest.LogCaptureFixture) -> None:
    async with RedisLimits(REDIS_URL, prefix) as limits:
        assert sum(await asyncio.gather(*(goes(limits, f"sess_{number}") for number in range(1_000)))) == 20
    assert caplog.records == []


async def test_redis_forgets_by_itself(prefix: str) -> None:
    fast = Subject("key:key_2", LimitRules(requests_per_minute=600))
    async with RedisLimits(REDIS_URL, prefix) as limits:
        await limits.admit((fast,))
        async with asyncio.timeout(10):
            while await limits._redis.keys(f"{prefix}*"):
                await asyncio.sleep(0.05)


# ---- without Redis


async def test_calls_go_on_when_redis_is_killed_and_it_recovers(
    limits: RedisLimits, server: RedisServer, clock: Clock, caplog: pytest.LogCaptureFixture
) -> None:
    caplog.set_level(logging.INFO)
    assert await goes(limits)
    await limits.open_session((KEY,), "before")
    server.kill()
    assert [await goes(limits) for _ in range(80)] == [True] * 59 + [False] * 21
    assert [await goes(limits, f"sess_{number}") for number in range(40)] == [True] * 19 + [False] * 21
    await limits.close_session((KEY,), "sess_0")
    assert await limits.sessions(KEY) == 19
    assert [record.message for record in caplog.records] == ["redis lost"]
    server.start()
    assert not await goes(limits)  # not asked again yet
    clock.seconds += AWAY_S
    assert await goes(limits)
    assert await limits.sessions(KEY) == 0  # it has forgotten everything
    await limits.renew()
    assert await limits.sessions(KEY) == 19
    assert [record.message for record in caplog.records] == ["redis lost", "redis back"]


async def test_a_restart_of_redis_between_two_calls_is_not_noticed(
    limits: RedisLimits, server: RedisServer, caplog: pytest.LogCaptureFixture
) -> None:
    assert all(await asyncio.gather(*(goes(limits) for _ in range(10))))
    server.kill()
    server.start()
    assert all(await asyncio.gather(*(goes(limits) for _ in range(10))))
    [rate] = await limits.look((KEY,))
    assert rate.remaining >= 50
    assert caplog.records == []


async def test_without_redis_from_the_start_each_process_counts_for_itself(server: RedisServer) -> None:
    server.kill()
    async with RedisLimits(server.url) as limits:
        [rate] = await limits.spend((KEY,), Spent(requests=30))
        assert rate.remaining == 30


async def test_a_redis_that_does_not_answer_holds_up_nobody_for_long() -> None:
    with socket.create_server(("127.0.0.1", 0)) as silent:
        url = f"redis://127.0.0.1:{silent.getsockname()[1]}/0"
        await _holds_up_nobody(url)


async def _holds_up_nobody(url: str) -> None:
    async with RedisLimits(url) as limits:
        began = time.monotonic()
        assert all(await asyncio.gather(*(goes(limits) for _ in range(50))))
        first_s = time.monotonic() - began
        began = time.monotonic()
        assert await goes(limits)
        assert first_s < 15
        assert time.monotonic() - began < 0.2


async def test_a_refused_password_is_no_reason_to_stop_calls(server: RedisServer) -> None:
    async with RedisLimits(server.url.replace("redis://", "redis://:wrong@")) as limits:
        assert await goes(limits)
