"""Limits counted in Redis, for all processes that share it. Each method is one script, which Redis runs as one step.

Moments are those of Redis, so the clocks of the processes do not matter. What is kept of a subject is forgotten when
its limits are full again. A session that is open is a lease, which its process renews: those of a process that died
are gone after `LEASE_S`.

Calls go on without Redis. Everything is counted in this process too; while Redis does not answer within `ANSWER_S`,
that count decides, and Redis is asked again after `AWAY_S`. So the worst that happens is that each process allows as
much as all of them should. What was spent meanwhile is not made up for; sessions that are open are told to Redis within
`BEAT_S` after it is back.
"""

import asyncio
import logging
import time
from collections.abc import Callable, Iterable, Iterator, Sequence
from typing import Any, Final, Self

from redis.asyncio import Redis
from redis.asyncio.retry import Retry
from redis.backoff import NoBackoff
from redis.commands.core import AsyncScript
from redis.exceptions import RedisError

from parley.auth.limits import REQUEST, Spent, Subject, Who, check, too_many
from parley.auth.limits_memory import MemoryLimits
from parley.core.rates import RATES, ROUNDING_S, Rate, RateName, tightest
from parley.telemetry import note

PREFIX: Final = "parley:limits:"
ANSWER_S: Final = 1.0
"""For a connection, and for an answer; either is tried twice."""
AWAY_S: Final = 2.0
CONNECTIONS_MAX: Final = 16
"""More callers than that wait for their turn."""
LEASE_S: Final = 30.0
BEAT_S: Final = 10.0
"""How often leases are renewed."""
LEASES_AT_ONCE: Final = 500
"""Renewed by one script, for Redis does nothing else meanwhile."""

COUNT: Final = """
-- KEYS: one hash per subject. ARGV: for each subject and limit the seconds to add, and the most that may be there.
local clock = redis.call('TIME')
local now = clock[1] + clock[2] / 1e6
local names = {'requests', 'tokens', 'audio_ms'}
local resets, fits, arg = {}, 1, 0
for k, key in ipairs(KEYS) do
  local kept = redis.call('HMGET', key, 'at', unpack(names))
  local gone = math.max(0, now - (tonumber(kept[1]) or now))
  for n = 1, #names do
    local reset = math.max(0, (tonumber(kept[n + 1]) or 0) - gone)
    if reset > tonumber(ARGV[arg + 2]) then fits = 0 end
    table.insert(resets, reset)
    arg = arg + 2
  end
end
if fits == 1 then
  for k, key in ipairs(KEYS) do
    local first, full, added = (k - 1) * #names, 0, false
    for n = first + 1, first + #names do
      local more = tonumber(ARGV[2 * n - 1])
      resets[n] = resets[n] + more
      full = math.max(full, resets[n])
      added = added or more > 0
    end
    if added then
      local function text(number) return string.format('%.17g', number) end
      redis.call('HSET', key, 'at', text(now), names[1], text(resets[first + 1]), names[2], text(resets[first + 2]),
        names[3], text(resets[first + 3]))
      redis.call('PEXPIRE', key, math.ceil(full * 1000))
    end
  end
end
for n, reset in ipairs(resets) do resets[n] = string.format('%.17g', reset) end
return {fits, resets}
"""

OPEN: Final = """
-- KEYS: one sorted set per subject, sessions by the end of their lease. ARGV: session, seconds, and for each its limit.
local clock = redis.call('TIME')
local now = clock[1] + clock[2] / 1e6
for k, key in ipairs(KEYS) do
  redis.call('ZREMRANGEBYSCORE', key, '-inf', now)
  local others = redis.call('ZCARD', key) - (redis.call('ZSCORE', key, ARGV[1]) and 1 or 0)
  if others >= tonumber(ARGV[k + 2]) then return k end
end
for _, key in ipairs(KEYS) do
  redis.call('ZADD', key, now + ARGV[2], ARGV[1])
  redis.call('PEXPIRE', key, math.ceil(ARGV[2] * 1000))
end
return 0
"""

RENEW: Final = """
-- KEYS: for each lease the sorted set it is in. ARGV: seconds, and for each the session.
local clock = redis.call('TIME')
local now = clock[1] + clock[2] / 1e6
for k, key in ipairs(KEYS) do
  redis.call('ZADD', key, now + ARGV[1], ARGV[k + 1])
  redis.call('PEXPIRE', key, math.ceil(ARGV[1] * 1000))
end
"""

CLOSE: Final = "for _, key in ipairs(KEYS) do redis.call('ZREM', key, ARGV[1]) end"

SESSIONS: Final = """
local clock = redis.call('TIME')
return redis.call('ZCOUNT', KEYS[1], clock[1] + clock[2] / 1e6, '+inf')
"""

ANY: Final = 1e18
NEVER: Final = -1.0
"""Seconds that are always more than there are, and never."""

log = logging.getLogger(__name__)


class RedisLimits:
    """`Limits` for several processes. A context: what it opened is closed at its end; leases are renewed in between."""

    def __init__(self, url: str, prefix: str = PREFIX, now: Callable[[], float] = time.monotonic) -> None:
        """Connects when it is first asked. Raises `ValueError` when `url` is none."""
        self._redis = Redis.from_url(
            url,
            max_connections=CONNECTIONS_MAX,
            socket_timeout=ANSWER_S,
            socket_connect_timeout=ANSWER_S,
            retry=Retry(NoBackoff(), 1),  # a connection that broke while nobody used it
        )
        self._turns = asyncio.Semaphore(CONNECTIONS_MAX)
        self._count, self._open, self._renew, self._close, self._sessions = (
            self._redis.register_script(script) for script in (COUNT, OPEN, RENEW, CLOSE, SESSIONS)
        )
        self._prefix = prefix
        self._now = now
        self._local = MemoryLimits(now)
        self._mine: dict[str, Who] = {}
        """Open sessions of this process."""
        self._away_until: float | None = None
        """Redis did not answer, and is not asked before this moment."""
        self._beating: asyncio.Task[None] | None = None

    async def __aenter__(self) -> Self:
        self._beating = asyncio.create_task(self._beat())
        return self

    async def __aexit__(self, *exception: object) -> None:
        if self._beating is not None:
            self._beating.cancel()
        await self._redis.aclose()

    # ---- limits that refill

    async def admit(self, who: Who, needs: Sequence[RateName] = ("requests",)) -> tuple[Rate, ...]:
        return await self._spend(who, REQUEST, needs)

    async def spend(self, who: Who, spent: Spent) -> tuple[Rate, ...]:
        return await self._spend(who, spent, ())

    async def look(self, who: Who) -> tuple[Rate, ...]:
        return await self._spend(who, Spent(), ())

    async def _spend(self, who: Who, spent: Spent, needs: Sequence[RateName]) -> tuple[Rate, ...]:
        limited = [subject for subject in who if subject.rules.rates]
        if not limited:
            return ()
        asked = [argument for subject in limited for argument in _asked(subject, spent, needs)]
        answer = await self._ask(self._count, [f"{self._prefix}rates:{subject.id}" for subject in limited], asked)
        if answer is None:
            check(self._local.rates(limited), needs)
            return self._local.count(limited, spent)
        fits, resets = answer
        rates = _rates(limited, [float(reset) for reset in resets])
        if not fits:
            check(rates, needs)
        self._local.count(limited, spent)
        return tightest(rates)

    # ---- sessions

    async def open_session(self, who: Who, session: str) -> None:
        limited = [subject for subject in who if subject.rules.sessions_at_once is not None]
        if limited:
            limits = [subject.rules.sessions_at_once or 0 for subject in limited]
            full = await self._ask(self._open, self._leases(limited), [session, LEASE_S, *limits])
            if full:
                raise too_many(limited[full - 1])
            if full is None:
                await self._local.open_session(limited, session)
            self._local.hold(limited, session)
            self._mine[session] = limited

    async def close_session(self, who: Who, session: str) -> None:
        limited = self._mine.pop(session, None)
        if limited is not None:
            await self._local.close_session(limited, session)
            await self._ask(self._close, self._leases(limited), [session])

    async def sessions(self, subject: Subject) -> int:
        count = await self._ask(self._sessions, self._leases([subject]), [])
        return await self._local.sessions(subject) if count is None else int(count)

    async def renew(self) -> None:
        """The leases of this process, once."""
        leases = [(key, session) for session, who in self._mine.items() for key in self._leases(who)]
        for first in range(0, len(leases), LEASES_AT_ONCE):
            keys, sessions = zip(*leases[first : first + LEASES_AT_ONCE], strict=True)
            await self._ask(self._renew, list(keys), [LEASE_S, *sessions])

    async def _beat(self) -> None:
        while True:
            await asyncio.sleep(BEAT_S)
            await self.renew()

    def _leases(self, who: Iterable[Subject]) -> list[str]:
        return [f"{self._prefix}sessions:{subject.id}" for subject in who]

    # ---- Redis

    async def _ask(self, script: AsyncScript, keys: Sequence[str], args: Sequence[str | float]) -> Any:
        """What the script returns; None when Redis does not answer. While it is away, one caller asks at a time."""
        async with self._turns:
            if self._away_until is not None:
                if self._now() < self._away_until:
                    return None
                self._away_until = self._now() + AWAY_S
            try:
                answer = await script(keys, args)
            except (RedisError, OSError) as error:
                self._lost(error)
                return None
            self._found()
            return answer

    def _lost(self, error: Exception) -> None:
        if self._away_until is None:
            note(log, "redis lost", logging.WARNING, reason=type(error).__name__)
        self._away_until = self._now() + AWAY_S

    def _found(self) -> None:
        if self._away_until is not None:
            note(log, "redis back")
        self._away_until = None


def _asked(subject: Subject, spent: Spent, needs: Sequence[RateName]) -> Iterator[float]:
    """For each limit: the seconds to add, and the most that may be there before."""
    rates = {rate.name: rate for rate in subject.rules.rates}
    for name in RATES:
        rate = rates.get(name)
        yield 0.0 if rate is None else rate.cost_s(getattr(spent, name))
        yield ANY if rate is None or name not in needs else _most(rate)


def _most(rate: Rate) -> float:
    """`Rate.reset_s` with which one more still fits."""
    return rate.window_s - rate.cost_s(1) + ROUNDING_S if rate.limit else NEVER


def _rates(who: Who, resets: Sequence[float]) -> list[Rate]:
    rates = []
    for number, subject in enumerate(who):
        found = dict(zip(RATES, resets[number * len(RATES) :], strict=False))
        rates += [Rate(rate.name, rate.limit, found[rate.name]) for rate in subject.rules.rates]
    return rates
