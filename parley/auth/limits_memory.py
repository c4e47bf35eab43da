"""Limits counted in this process. Each method is one step of the event loop: nothing comes between check and write."""

import time
from collections import OrderedDict
from collections.abc import Callable, Sequence
from typing import Final, NamedTuple

from parley.auth.limits import REQUEST, Spent, Subject, Who, check, too_many
from parley.core.rates import Rate, RateName, tightest

SUBJECTS_MAX: Final = 100_000
"""Of whom something is remembered, about 0.5 kB each. Beyond it those who were not seen for longest start afresh."""


class _Kept(NamedTuple):
    """When each limit will be full again, and all of them."""

    full_at: dict[RateName, float]
    all_at: float


class MemoryLimits:
    """`Limits` for one process. `now` is any clock of seconds that only goes forward."""

    def __init__(self, now: Callable[[], float] = time.monotonic) -> None:
        self._now = now
        self._kept: OrderedDict[str, _Kept] = OrderedDict()
        """By subject, the one that was used last at the end."""
        self._sessions: dict[str, set[str]] = {}

    def __len__(self) -> int:
        """Subjects of whom something is remembered."""
        return len(self._kept)

    async def admit(self, who: Who, needs: Sequence[RateName] = ("requests",)) -> tuple[Rate, ...]:
        check(self.rates(who), needs)
        return self.count(who, REQUEST)

    async def spend(self, who: Who, spent: Spent) -> tuple[Rate, ...]:
        return self.count(who, spent)

    async def look(self, who: Who) -> tuple[Rate, ...]:
        return tightest(self.rates(who))

    async def open_session(self, who: Who, session: str) -> None:
        for subject in who:
            limit, others = subject.rules.sessions_at_once, self._sessions.get(subject.id, set()) - {session}
            if limit is not None and len(others) >= limit:
                raise too_many(subject)
        self.hold(who, session)

    async def close_session(self, who: Who, session: str) -> None:
        for subject in who:
            held = self._sessions.get(subject.id, set())
            held.discard(session)
            if not held:
                self._sessions.pop(subject.id, None)

    async def sessions(self, subject: Subject) -> int:
        return len(self._sessions.get(subject.id, ()))

    # ---- each for itself

    def rates(self, who: Who) -> list[Rate]:
        """Of every subject, one by one."""
        return [rate for subject in who for rate in self._rates_of(subject)]

    def count(self, who: Who, spent: Spent) -> tuple[Rate, ...]:
        """Whether or not there is room."""
        after = [[rate.spent(getattr(spent, rate.name)) for rate in self._rates_of(subject)] for subject in who]
        for subject, rates in zip(who, after, strict=True):
            self._keep(subject, rates)
        self._forget()
        return tightest(rate for rates in after for rate in rates)

    def hold(self, who: Who, session: str) -> None:
        """Whether or not there is room."""
        for subject in who:
            if subject.rules.sessions_at_once is not None:
                self._sessions.setdefault(subject.id, set()).add(session)

    # ---- inside

    def _rates_of(self, subject: Subject) -> list[Rate]:
        kept, now = self._kept.get(subject.id), self._now()
        if kept is None:
            return list(subject.rules.rates)
        return [
            Rate(rate.name, rate.limit, max(0.0, kept.full_at.get(rate.name, now) - now))
            for rate in subject.rules.rates
        ]

    def _keep(self, subject: Subject, rates: Sequence[Rate]) -> None:
        now = self._now()
        self._kept.pop(subject.id, None)
        full_at = {rate.name: now + rate.reset_s for rate in rates if rate.reset_s}
        if full_at:
            self._kept[subject.id] = _Kept(full_at, max(full_at.values()))

    def _forget(self) -> None:
        """From the front: whose limits are full again, and whoever there is no room for."""
        now = self._now()
        while self._kept:
            first = next(iter(self._kept.values()))
            if first.all_at > now and len(self._kept) <= SUBJECTS_MAX:
                return
            self._kept.popitem(last=False)
