"""Limits that refill evenly: the arithmetic of one, and how those of a session stand (protocol.md 6.6).

A limit of 60 requests a minute is a bucket of 60 that fills up by one a second. All that has to be known of a bucket is
how long it will take until it is full (`Rate.reset_s`): what is taken out makes that longer, and time makes it shorter.
No more than one bucket and what flows in meanwhile can be taken in any time.

What is not known before it is used, such as the tokens of an answer, is taken out afterwards and may overdraw the
bucket; then the next one waits until there is something in it again.
"""

import math
from collections.abc import Iterable
from typing import Final, Literal

import msgspec

from parley.core.events import RateLimit

RateName = Literal["requests", "tokens", "audio_ms"]
RATES: Final[tuple[RateName, ...]] = ("requests", "tokens", "audio_ms")
SHOWN: Final[tuple[Literal["requests", "tokens"], ...]] = ("requests", "tokens")
"""The names that `rate_limits.updated` has."""

MINUTE_S: Final = 60.0
DAY_S: Final = 86_400.0
MINUTE_MS: Final = 60_000
WINDOWS_S: Final[dict[RateName, float]] = {"requests": MINUTE_S, "tokens": MINUTE_S, "audio_ms": DAY_S}

ROUNDING_S: Final = 1e-6
"""Sums and differences of moments are not exact. Less than this is nothing."""


class Rate(msgspec.Struct, frozen=True):
    """A limit and how it stands. `limit` is per minute, and of `audio_ms` per day.

    `reset_s`: until the bucket is full; more than its window when it is overdrawn.
    """

    name: RateName
    limit: int
    reset_s: float = 0.0

    @property
    def window_s(self) -> float:
        return WINDOWS_S[self.name]

    @property
    def remaining(self) -> int:
        """Whole units that are left, and never less than none."""
        left_s = self.window_s - self.reset_s + ROUNDING_S
        return max(0, int(left_s * self.limit / self.window_s))

    def cost_s(self, amount: float) -> float:
        """How long it takes to refill `amount`."""
        return amount * self.window_s / self.limit if self.limit else 0.0

    def spent(self, amount: float) -> "Rate":
        return Rate(self.name, self.limit, self.reset_s + self.cost_s(amount))

    def later(self, seconds: float) -> "Rate":
        return Rate(self.name, self.limit, max(0.0, self.reset_s - seconds))

    def wait_s(self) -> float:
        """Seconds until one more fits; 0.0 when it does now. Nothing ever fits into a limit of zero."""
        if not self.limit:
            return self.window_s
        wait = self.reset_s + self.cost_s(1) - self.window_s
        return wait if wait > ROUNDING_S else 0.0

    def __str__(self) -> str:
        match self.name:
            case "audio_ms":
                return f"{self.limit / MINUTE_MS:g} minutes of audio per day"
            case name:
                return f"{self.limit} {name} per minute"


def tightest(rates: Iterable[Rate]) -> tuple[Rate, ...]:
    """Of several limits of one name the one that is used up first, or for the longest."""
    found: dict[RateName, Rate] = {}
    for rate in rates:
        known = found.get(rate.name)
        if known is None or (rate.wait_s(), -rate.remaining) > (known.wait_s(), -known.remaining):
            found[rate.name] = rate
    return tuple(found.values())


def used_up(rates: Iterable[Rate]) -> Rate | None:
    """The limit that has to be waited for longest, if any has."""
    late = max(rates, key=Rate.wait_s, default=None)
    return late if late is not None and late.wait_s() else None


def refusal(rate: Rate) -> str:
    """What somebody is told whom `rate` stops."""
    return f"Rate limit reached: {rate}. Please try again in {math.ceil(rate.wait_s() * 10) / 10:g} s."


class Allowance:
    """The limits of a session: how they stood when it was last told, and what it has done since.

    Limits of which it was told nothing are shown with the figures that it was given first, and stop nobody.
    """

    def __init__(self, shown: Iterable[Rate], now: float) -> None:
        self._shown = {rate.name: rate for rate in shown}
        self._told: dict[RateName, Rate] = {}
        self._at = now

    def told(self, rates: Iterable[Rate], running: int, now: float) -> None:
        """How they stand, in place of everything that was told before; `running` requests are not counted there yet."""
        self._pass(now)
        self._told = {rate.name: rate.spent(running) if rate.name == "requests" else rate for rate in rates}

    def spend(self, now: float, requests: int = 0, tokens: int = 0) -> None:
        self._pass(now)
        for name, amount in (("requests", requests), ("tokens", tokens)):
            for rates in (self._shown, self._told):
                if name in rates:
                    rates[name] = rates[name].spent(amount)

    def rows(self, now: float) -> tuple[RateLimit, ...]:
        """As `rate_limits.updated` shows them."""
        self._pass(now)
        standing = self._shown | self._told
        return tuple(_row(name, standing[name]) for name in SHOWN if name in standing)

    def used_up(self, now: float) -> Rate | None:
        """The limit that stops the next response."""
        self._pass(now)
        return used_up(self._told.values())

    def _pass(self, now: float) -> None:
        seconds, self._at = now - self._at, now
        self._shown = {name: rate.later(seconds) for name, rate in self._shown.items()}
        self._told = {name: rate.later(seconds) for name, rate in self._told.items()}


def _row(name: Literal["requests", "tokens"], rate: Rate) -> RateLimit:
    return RateLimit(name=name, limit=rate.limit, remaining=rate.remaining, reset_seconds=round(rate.reset_s, 3))
