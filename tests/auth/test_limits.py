"""Limits of keys and accounts, in memory and in Redis: one suite for both."""

import asyncio
import math
import secrets
from collections.abc import AsyncIterator, Callable
from typing import NamedTuple

import hypothesis.strategies as st
import pytest
from hypothesis import given, settings

from parley.auth.keys_store import Rules
from parley.auth.limits import WORK, LimitRules, Limits, RateLimited, Spent, Subject, open_limits, subject
from parley.auth.limits_memory import SUBJECTS_MAX, MemoryLimits
from parley.auth.limits_redis import RedisLimits
from parley.core.rates import DAY_S, MINUTE_S
from parley.errors import ERRORS
from tests.databases import Clock
from tests.redis_servers import REDIS_URL, own_prefix, pass_time

KEY = subject("key", "key_1", Rules(requests_per_minute=5, sessions_at_once=3, tokens_per_minute=1_000))
OTHER_KEY = subject("key", "key_2", LimitRules(requests_per_minute=100))
ACCOUNT = subject("account", "acct_1", LimitRules(requests_per_minute=8, audio_minutes_per_day=2, sessions_at_once=4))


class Place(NamedTuple):
    """A store, and how time passes for it."""

    limits: Limits
    wait: Callable[[float], None]


@pytest.fixture(params=["memory", "redis"])
async def place(request: pytest.FixtureRequest) -> AsyncIterator[Place]:
    if request.param == "memory":
        clock = Clock()

        def wait(seconds: float) -> None:
            clock.seconds += seconds

        yield Place(MemoryLimits(clock), wait)
        return
    with own_prefix() as prefix:
        async with RedisLimits(REDIS_URL, prefix) as limits:
            yield Place(limits, lambda seconds: pass_time(prefix, seconds))


async def passes(limits: Limits, who: tuple[Subject, ...], tries: int) -> int:
    """How many of so many requests are let in."""
    return [await refused(limits, who) for _ in range(tries)].count(None)


async def refused(limits: Limits, who: tuple[Subject, ...]) -> RateLimited | None:
    try:
        await limits.admit(who)
    except RateLimited as error:
        return error
    return None


async def test_a_key_has_its_requests_and_then_waits(place: Place) -> None:
    for left in (4, 3, 2, 1, 0):
        requests, _ = await place.limits.admit((KEY,))
        assert (requests.name, requests.remaining) == ("requests", left)
    with pytest.raises(RateLimited, match=r"5 requests per minute\. Please try again in 1[12]\.?\d? s") as stopped:
        await place.limits.admit((KEY,))
    assert stopped.value.code == "rate_limit_exceeded"
    assert ERRORS[stopped.value.code].http == 429
    assert stopped.value.retry_s == pytest.approx(12.0, abs=0.5)
    assert {rate.name: rate.remaining for rate in stopped.value.rates} == {"requests": 0, "tokens": 1_000}
    place.wait(12.1)
    assert await passes(place.limits, (KEY,), 3) == 1


async def test_an_account_limits_all_of_its_keys_together(place: Place) -> None:
    assert await passes(place.limits, (KEY, ACCOUNT), 9) == 5
    assert await passes(place.limits, (OTHER_KEY, ACCOUNT), 9) == 3


async def test_a_refused_request_counts_for_nobody(place: Place) -> None:
    assert await passes(place.limits, (KEY, ACCOUNT), 50) == 5
    [account] = [rate for rate in await place.limits.look((ACCOUNT,)) if rate.name == "requests"]
    assert account.remaining == 3


async def test_what_was_spent_holds_up_the_next_one(place: Place) -> None:
    await place.limits.admit((KEY,), WORK)
    [_, tokens] = await place.limits.spend((KEY,), Spent(tokens=2_500))
    assert (tokens.remaining, round(tokens.reset_s)) == (0, 150)
    await place.limits.admit((KEY,))
    with pytest.raises(RateLimited, match="1000 tokens per minute") as stopped:
        await place.limits.admit((KEY,), WORK)
    assert stopped.value.retry_s == pytest.approx(90.0, abs=0.5)
    place.wait(91)
    await place.limits.admit((KEY,), WORK)


async def test_minutes_of_audio_come_back_over_the_day(place: Place) -> None:
    await place.limits.spend((ACCOUNT,), Spent(audio_ms=120_000))
    with pytest.raises(RateLimited, match="2 minutes of audio per day"):
        await place.limits.admit((ACCOUNT,), WORK)
    place.wait(DAY_S / 2)
    [_, audio] = await place.limits.look((ACCOUNT,))
    assert audio.remaining == pytest.approx(60_000, abs=10)


async def test_looking_takes_nothing(place: Place) -> None:
    await place.limits.admit((KEY,))
    for _ in range(20):
        rates = await place.limits.look((KEY, ACCOUNT))
    assert {rate.name: (rate.limit, rate.remaining) for rate in rates} == {
        "requests": (5, 4),
        "tokens": (1_000, 1_000),
        "audio_ms": (120_000, 120_000),
    }


async def test_rules_may_change_while_they_are_used(place: Place) -> None:
    await passes(place.limits, (KEY,), 5)
    wider = Subject(KEY.id, LimitRules(requests_per_minute=500))
    narrower = Subject(KEY.id, LimitRules(requests_per_minute=1))
    assert await place.limits.look((Subject(KEY.id, LimitRules()),)) == ()
    place.wait(30)
    [rate] = await place.limits.look((wider,))
    assert rate.remaining == pytest.approx(250, abs=5)
    [rate] = await place.limits.look((narrower,))
    assert (rate.remaining, round(rate.reset_s)) == (0, 30)


async def test_who_has_no_limits_is_never_stopped(place: Place) -> None:
    nobody = subject("key", "key_3", Rules())
    assert await passes(place.limits, (nobody,), 50) == 50
    for number in range(50):
        await place.limits.open_session((nobody,), f"sess_{number}")
    assert await place.limits.look((nobody,)) == ()
    assert await place.limits.sessions(nobody) == 0


async def test_a_limit_of_zero_lets_nobody_in(place: Place) -> None:
    closed = Subject("key:key_4", LimitRules(requests_per_minute=0, sessions_at_once=0))
    with pytest.raises(RateLimited) as stopped:
        await place.limits.admit((closed,))
    assert stopped.value.retry_s == MINUTE_S
    with pytest.raises(RateLimited, match="At most 0 sessions"):
        await place.limits.open_session((closed,), "sess_1")


# ---- sessions at once


async def test_sessions_are_counted_until_they_close(place: Place) -> None:
    for number in range(3):
        await place.limits.open_session((KEY, ACCOUNT), f"sess_{number}")
    await place.limits.open_session((KEY, ACCOUNT), "sess_0")
    with pytest.raises(RateLimited, match="At most 3 sessions") as stopped:
        await place.limits.open_session((KEY, ACCOUNT), "sess_3")
    assert (stopped.value.code, stopped.value.retry_s) == ("too_many_sessions", 5.0)
    assert (await place.limits.sessions(KEY), await place.limits.sessions(ACCOUNT)) == (3, 3)
    await place.limits.close_session((KEY, ACCOUNT), "sess_1")
    await place.limits.close_session((KEY, ACCOUNT), "sess_1")
    await place.limits.close_session((KEY, ACCOUNT), "never_opened")
    await place.limits.open_session((KEY, ACCOUNT), "sess_3")
    assert (await place.limits.sessions(KEY), await place.limits.sessions(ACCOUNT)) == (3, 3)


async def test_of_two_hundred_who_come_at_once_twenty_get_a_session(place: Place) -> None:
    crowd = Subject("account:acct_2", LimitRules(sessions_at_once=20))

    async def opens(number: int) -> bool:
        try:
            await place.limits.open_session((crowd,), f"sess_{number}")
        except RateLimited:
            return False
        return True

    assert sum(await asyncio.gather(*(opens(number) for number in range(200)))) == 20
    assert await place.limits.sessions(crowd) == 20


async def test_of_two_hundred_who_ask_at_once_as_many_are_let_in_as_there_is_room_for(place: Place) -> None:
    crowd = Subject("account:acct_3", LimitRules(requests_per_minute=20))
    let_in = sum(
        error is None for error in await asyncio.gather(*(refused(place.limits, (crowd,)) for _ in range(200)))
    )
    assert 20 <= let_in <= 22  # one more flows in every three seconds


# ---- for every history

PAUSES = st.lists(st.floats(0.0, 30.0), max_size=60)


@settings(max_examples=100, deadline=None)
@given(st.integers(1, 30), PAUSES, st.floats(0.0, 120.0))
def test_no_window_has_more_than_the_limit_and_what_flows_in(limit: int, pauses: list[float], window: float) -> None:
    async def history() -> list[float]:
        clock = Clock()
        limits, passed = MemoryLimits(clock), []
        for pause in pauses:
            clock.seconds += pause
            for _ in range(5):
                if await refused(limits, (Subject("key:1", LimitRules(requests_per_minute=limit)),)) is None:
                    passed.append(clock())
        return passed

    passed = asyncio.run(history())
    most = limit + math.floor(window * limit / MINUTE_S + 1e-3)
    for start in passed:
        assert sum(start <= at <= start + window for at in passed) <= most


NEARLY_S = 5.0

ACTS = st.lists(
    st.one_of(
        st.just("admit"),
        st.just("work"),
        st.builds(Spent, st.integers(0, 2), st.integers(0, 2_000), st.integers(0, 60_000)),
        st.integers(1, 40),
    ),
    max_size=15,
)


@settings(max_examples=25, deadline=None)
@given(ACTS)
def test_both_stores_count_alike(acts: list[object]) -> None:
    """Redis is told the same as memory. Its clock goes on meanwhile, so what is decided by less than that is left out."""

    async def act(limits: Limits, act: object) -> dict[str, float]:
        try:
            if isinstance(act, Spent):
                rates = await limits.spend((KEY, ACCOUNT), act)
            else:
                rates = await limits.admit((KEY, ACCOUNT), WORK if act == "work" else ("requests",))
        except RateLimited as error:
            return {"refused for": error.retry_s}
        return {rate.name: rate.reset_s for rate in rates}

    async def history() -> None:
        clock = Clock()
        memory = MemoryLimits(clock)
        with own_prefix() as prefix:
            async with RedisLimits(REDIS_URL, prefix) as shared:
                for step in acts:
                    if isinstance(step, int):
                        clock.seconds += step
                        pass_time(prefix, step)
                        continue
                    wanted, found = await act(memory, step), await act(shared, step)
                    if wanted.get("refused for", found.get("refused for", NEARLY_S)) < NEARLY_S:
                        return
                    assert found == pytest.approx(wanted, abs=NEARLY_S)

    asyncio.run(history())


# ---- memory


async def test_memory_forgets_whose_limits_are_full_again() -> None:
    clock = Clock()
    limits = MemoryLimits(clock)
    for number in range(1_000):
        await limits.admit((Subject(f"key:{number}", KEY.rules),))
    assert len(limits) == 1_000
    clock.seconds += 12.1
    await limits.admit((KEY,))
    assert len(limits) == 1


async def test_memory_is_bounded(monkeypatch: pytest.MonkeyPatch) -> None:
    assert SUBJECTS_MAX == 100_000
    monkeypatch.setattr("parley.auth.limits_memory.SUBJECTS_MAX", 100)
    limits = MemoryLimits(Clock())
    for number in range(110):
        await limits.admit((Subject(f"key:{number}", KEY.rules),))
    assert len(limits) == 100
    assert (await limits.look((Subject("key:9", KEY.rules),)))[0].remaining == 5
    assert (await limits.look((Subject("key:10", KEY.rules),)))[0].remaining == 4


async def test_no_setting_means_memory() -> None:
    async with open_limits("") as limits:
        assert isinstance(limits, MemoryLimits)
    async with open_limits(REDIS_URL) as shared:
        assert isinstance(shared, RedisLimits)
    with pytest.raises(ValueError, match="scheme"):
        async with open_limits(f"http://{secrets.token_hex(4)}"):
            pass
