"""How much a key and its account may do: requests, tokens, minutes of audio, and sessions at once.

    async with open_limits(settings.redis_url) as limits:
        who = (subject("key", key.id, key.rules), subject("account", key.account, settings_rules))
        rates = await limits.admit(who)                  # RateLimited, a RequestError, unless all of them have room
        await limits.open_session(who, live.id)          # RateLimited when too many are open
        rates = await limits.spend(who, Spent(requests=1, tokens=900, audio_ms=4_000))
        await limits.close_session(who, live.id)

The arithmetic of a limit is in `core.rates`; here is who has which, and what a store of them promises. Two stores keep
it: `limits_memory` for one process, `limits_redis` for several. Limits that are not set are not counted.
"""

from collections.abc import AsyncIterator, Mapping, Sequence
from contextlib import asynccontextmanager
from typing import Final, Literal, NamedTuple, Protocol

from parley.auth.keys_store import Rules
from parley.core.rates import MINUTE_MS, Rate, RateName, refusal, tightest, used_up
from parley.errors import RequestError

SESSION_RETRY_S: Final = 5.0
"""When to ask again for a session: nobody knows when one will end."""


class LimitRules(NamedTuple):
    """The limits of one subject; None: no limit, zero: nothing at all."""

    requests_per_minute: int | None = None
    tokens_per_minute: int | None = None
    audio_minutes_per_day: int | None = None
    sessions_at_once: int | None = None

    @property
    def rates(self) -> tuple[Rate, ...]:
        """Those that refill, unused."""
        minutes = self.audio_minutes_per_day
        limits: Mapping[RateName, int | None] = {
            "requests": self.requests_per_minute,
            "tokens": self.tokens_per_minute,
            "audio_ms": None if minutes is None else minutes * MINUTE_MS,
        }
        return tuple(Rate(name, limit) for name, limit in limits.items() if limit is not None)


class Subject(NamedTuple):
    """Whose limits these are. `id` tells it from all others: ``key:key_1``, ``account:acct_1``."""

    id: str
    rules: LimitRules


Who = Sequence[Subject]
"""All whose limits hold, as a key and its account. Either each of them has room, or nothing is counted for any."""


class Spent(NamedTuple):
    """What a piece of work has taken."""

    requests: int = 0
    tokens: int = 0
    audio_ms: int = 0


REQUEST: Final = Spent(requests=1)
WORK: Final[tuple[RateName, ...]] = ("requests", "tokens", "audio_ms")


class RateLimited(RequestError):
    """Not now. `retry_s`: seconds after which the same may succeed, for `Retry-After`; `rates`: how limits stand."""

    def __init__(self, code: str, message: str, retry_s: float, rates: tuple[Rate, ...] = ()) -> None:
        super().__init__(code, message)
        self.retry_s = retry_s
        self.rates = rates


class Limits(Protocol):
    """Counts for all who have limits. Rates come back as the tightest of each name, of all subjects."""

    async def admit(self, who: Who, needs: Sequence[RateName] = ("requests",)) -> tuple[Rate, ...]:
        """Counts one request. Raises `RateLimited` with `rate_limit_exceeded` when one of `needs` is used up.

        `needs` is `WORK` for what speaks, hears or thinks at once; a session's responses are asked about one by one.
        """
        ...

    async def spend(self, who: Who, spent: Spent) -> tuple[Rate, ...]:
        """Counts what was done, whether or not there was room for it: what overdraws a limit holds up the next one."""
        ...

    async def look(self, who: Who) -> tuple[Rate, ...]:
        """Counts nothing."""
        ...

    async def open_session(self, who: Who, session: str) -> None:
        """Counts a session until it is closed; twice is once. Raises `RateLimited` with `too_many_sessions`."""
        ...

    async def close_session(self, who: Who, session: str) -> None:
        """Whether or not it was open."""
        ...

    async def sessions(self, subject: Subject) -> int:
        """How many it has open; 0 where they are not counted, for there is no limit."""
        ...


def subject(kind: Literal["key", "account"], id: str, rules: Rules | LimitRules) -> Subject:
    """Of a key's rules, its limits."""
    if isinstance(rules, Rules):
        rules = LimitRules(
            rules.requests_per_minute, rules.tokens_per_minute, rules.audio_minutes_per_day, rules.sessions_at_once
        )
    return Subject(f"{kind}:{id}", rules)


@asynccontextmanager
async def open_limits(redis_url: str | None = None) -> AsyncIterator[Limits]:
    """Counted in this process, or in Redis for all that share it. Raises `ValueError` when that is no address of Redis,
    and `ModuleNotFoundError` without the package (the extra `redis`)."""
    if not redis_url:
        from parley.auth.limits_memory import MemoryLimits

        yield MemoryLimits()
        return
    from parley.auth.limits_redis import RedisLimits  # what others need not carry

    async with RedisLimits(redis_url) as limits:
        yield limits


# ---- for the stores


def check(rates: Sequence[Rate], needs: Sequence[RateName]) -> None:
    """Raises `RateLimited` when one of `needs` is used up."""
    late = used_up(rate for rate in rates if rate.name in needs)
    if late is not None:
        raise RateLimited("rate_limit_exceeded", refusal(late), late.wait_s(), tightest(rates))


def too_many(subject: Subject) -> RateLimited:
    limit = subject.rules.sessions_at_once
    message = f"At most {limit} sessions at once are allowed here; close one, or try again later."
    return RateLimited("too_many_sessions", message, SESSION_RETRY_S)
