"""Opens sessions at upstreams: the first that will do, within a bound; and probes those that failed.

    dialler = Dialler(upstreams, router, connect_s=5.0)
    call = await dialler.dial("gpt-realtime", "sess_1")      # raises EngineError
    ...
    dialler.lost(call.target.upstream, "backend_unavailable")
    probing = asyncio.create_task(dialler.probe())

When an upstream takes longer than `HEDGE_S` to answer, the next one is called beside it, and the first that opens is
it: a connection that nobody uses costs nothing.
"""

import asyncio
import logging
import random
import time
from collections.abc import Callable, Iterable, Mapping
from typing import Final, NamedTuple

from parley.engines.upstream.connection import Created, Leg, UpstreamError, connect
from parley.engines.upstream.routing import Router, Target
from parley.engines.upstream.table import Upstream
from parley.errors import EngineError
from parley.telemetry import note

HEDGE_S: Final = 0.4
ATTEMPTS_MAX: Final = 4
"""Upstreams that are called for one session."""
PROBE_EVERY_S: Final = 0.5
PROBE_TIMEOUT_S: Final = 5.0

log = logging.getLogger(__name__)


class Call(NamedTuple):
    """An open session. Whoever gets it must `receive` from the leg, or close it."""

    leg: Leg
    created: Created
    target: Target


class Dialler:
    """Belongs to one event loop; all sessions of a process share one."""

    def __init__(
        self,
        upstreams: Mapping[str, Upstream],
        router: Router,
        *,
        connect_s: float,
        now: Callable[[], float] = time.monotonic,
        chance: Callable[[], float] = random.random,
    ) -> None:
        self.router = router
        self._upstreams = upstreams
        self._connect_s = connect_s
        self._now = now
        self._chance = chance

    async def dial(self, model: str, session: str, *, transcribes: bool = False, avoid: Iterable[str] = ()) -> Call:
        """Raises `EngineError`: what the last one said, or `backend_unavailable` when there is none to call."""
        targets = self.router.choose(model, self._now(), self._chance(), avoid)[:ATTEMPTS_MAX]
        failure: EngineError = EngineError("backend_unavailable", "No upstream is well enough.", retryable=True)
        waiting: set[asyncio.Task[Call]] = set()
        try:
            while targets or waiting:
                if targets:
                    waiting.add(asyncio.create_task(self._open(targets.pop(0), session, transcribes)))
                done, waiting = await asyncio.wait(
                    waiting, timeout=HEDGE_S if targets else None, return_when=asyncio.FIRST_COMPLETED
                )
                for task in done:
                    if (error := task.exception()) is None:
                        waiting |= done - {task}
                        return task.result()
                    if not isinstance(error, EngineError):
                        raise error
                    failure = error
        finally:
            for task in waiting:
                task.add_done_callback(_hang_up)
        raise failure

    def lost(self, upstream: str, code: str) -> None:
        """A session there was lost. That its time was over says nothing about the upstream."""
        if code != "session_expired":
            self._failed(upstream, code, None)

    async def probe(self) -> None:
        """Looks after upstreams that failed, for as long as it runs."""
        probes: set[asyncio.Task[None]] = set()
        try:
            while True:
                for name, breaker in self.router.breakers.items():
                    if breaker.probe_due(self._now()):
                        task = asyncio.create_task(self._probe(name))
                        probes.add(task)
                        task.add_done_callback(probes.discard)
                await asyncio.sleep(PROBE_EVERY_S)
        finally:
            for task in probes:
                task.cancel()

    async def _probe(self, name: str) -> None:
        breaker = self.router.breakers[name]
        good = False
        try:
            leg, _ = await connect(
                self._upstreams[name], self.router.model_at(name), session="probe", timeout_s=PROBE_TIMEOUT_S
            )
            leg.close()
            good = True
        except EngineError as error:
            note(log, "upstream probed", logging.WARNING, upstream=name, code=error.code)
        finally:
            breaker.probed(self._now(), good=good)
        if breaker.closed:
            note(log, "upstream is back", upstream=name)

    async def _open(self, target: Target, session: str, transcribes: bool) -> Call:
        began = self._now()
        upstream = self._upstreams[target.upstream]
        try:
            leg, created = await connect(
                upstream, target.model, session=session, timeout_s=self._connect_s, transcribes=transcribes
            )
        except UpstreamError as error:
            note(log, "upstream refused", logging.WARNING, upstream=target.upstream, code=error.code)
            self._failed(target.upstream, error.code, error.pause_s)
            raise
        self.router.opened(target, self._now() - began)
        return Call(leg, created, target)

    def _failed(self, upstream: str, code: str, pause_s: float | None) -> None:
        breaker = self.router.breakers[upstream]
        was_closed = breaker.closed
        self.router.failed(upstream, self._now(), code, pause_s)
        if was_closed and not breaker.closed:
            note(log, "upstream is left alone", logging.WARNING, upstream=upstream, code=code)


def _hang_up(task: asyncio.Task[Call]) -> None:
    """A call that came too late to be needed."""
    if not task.cancelled() and task.exception() is None:
        task.result().leg.close()
