"""Delivers announcements: at least once, in no certain order, and never so that one slow receiver holds up the others.

    webhooks = Webhooks(storage, keys, outgoing, trusted=frozenset({settings.webhook_url}))
    await webhooks.begin()                                    # goes on with what an earlier process left
    id = await webhooks.send(event, account="acc_1", endpoint=url, life_s=60)
    await webhooks.close()

What is sent was written down before, as taken by this process for `LEASE_S`. Should the process die, somebody else
takes it after that. A receiver knows by `webhook-id` what it has seen.
"""

from __future__ import annotations

import asyncio
import logging
import random
import time
from collections import Counter
from collections.abc import Callable, Coroutine, Sequence
from typing import TYPE_CHECKING, Any, Final

from yarl import URL

from parley import __version__
from parley.errors import EngineError, RequestError
from parley.ids import new_id
from parley.outgoing import TOTAL_S, Outgoing, check
from parley.storage import Storage
from parley.telemetry import note
from parley.webhooks import store
from parley.webhooks.events import Event
from parley.webhooks.signing import signed
from parley.webhooks.store import Delivery

PAUSES_S: Final = (1, 2, 4, 8, 16, 60, 300, 1_800, 7_200, 18_000, 36_000, 36_000)
"""After each attempt that failed. The first ones are for a telephone that rings, the others for a bad night."""
JITTER: Final = 0.2
"""A pause is as long as that, more or less by this part."""
LEASE_S: Final = 2 * TOTAL_S
"""Longer than an attempt can take."""
REPLAY_S: Final = 3_600
"""How long something that is replayed is tried."""
LOOK_S: Final = 1.0
"""How often it is looked for what is due."""
SWEEP_S: Final = 3_600.0
KEPT_S: Final = 7 * 86_400
"""For so long they can be looked at and replayed."""
CLOSE_S: Final = 2.0
"""How long the end of the process waits for attempts that run."""

RUNNING_PER_ENDPOINT: Final = 16
RUNNING_MAX: Final = 512
ENDPOINTS_AT_ONCE: Final = 100
"""Looked at together. More than can be full (`RUNNING_MAX` / `RUNNING_PER_ENDPOINT`): one of them has room."""

GONE: Final = 410
"""A receiver that says so wants no more of it (Standard Webhooks)."""

if TYPE_CHECKING:
    import aiohttp

log = logging.getLogger(__name__)


class Webhooks:
    """Belongs to one event loop. `trusted` are endpoints of the operator's settings, which may be anywhere.

    `unix` is seconds of Unix time, `chance` a number from 0 to 1.
    """

    def __init__(
        self,
        storage: Storage,
        keys: Sequence[bytes],
        outgoing: Outgoing,
        trusted: frozenset[str] = frozenset(),
        unix: Callable[[], float] = time.time,
        chance: Callable[[], float] = random.random,
    ) -> None:
        self._storage = storage
        self._keys = tuple(keys)
        self._outgoing = outgoing
        self._trusted = trusted
        self._unix = unix
        self._chance = chance
        self._running: Counter[str] = Counter()
        """Attempts by endpoint; places are taken before anything is awaited."""
        self._attempts: set[asyncio.Task[None]] = set()
        self._clocks: list[asyncio.Task[None]] = []

    async def begin(self) -> None:
        self._clocks = [
            asyncio.create_task(_again(LOOK_S, self.look)),
            asyncio.create_task(_again(SWEEP_S, self.sweep)),
        ]

    async def close(self) -> None:
        """Attempts that run may end; whatever did not come to an end is tried again by the next process."""
        for clock in self._clocks:
            clock.cancel()
        await asyncio.gather(*self._clocks, return_exceptions=True)
        if self._attempts:
            _, late = await asyncio.wait(self._attempts, timeout=CLOSE_S)
            for attempt in late:
                attempt.cancel()
            await asyncio.gather(*late, return_exceptions=True)

    async def send(self, event: Event, *, account: str, endpoint: str, life_s: float, project: str = "") -> str:
        """Its id, when it is written down; it is on its way then. After `life_s` it is tried no more.

        Raises `RequestError` with `url_not_allowed`, `EngineError` with `storage_unavailable`.
        """
        if endpoint not in self._trusted:
            check(endpoint)
        taken = self._take_places(endpoint, 1)
        now = self._ms()
        delivery = Delivery(
            id=new_id("wh"),
            account=account,
            project=project,
            endpoint=endpoint,
            event=event.type,
            body=event.body.decode(),
            created_at=now,
            expires_at=now + int(life_s * 1_000),
            attempts=taken,
            next_at=now + _lease_ms() if taken else now,
        )
        try:
            await self._storage.transaction(store.add, delivery)
        except BaseException:
            self._give_places(endpoint, taken)
            raise
        if taken:
            self._start(delivery)
        return delivery.id

    async def replay(self, id: str, account: str | None = None) -> None:
        """Sends it again, under the same id; without an account: anybody's. Raises `RequestError`."""
        now = self._ms()
        await replay(self._storage, id, account, now)
        await self.look()

    async def look(self) -> None:
        """Starts what is due, as far as there is room."""
        for endpoint in await self._storage.read(store.due, self._ms(), ENDPOINTS_AT_ONCE):
            places = self._take_places(endpoint, RUNNING_PER_ENDPOINT)
            claimed: list[Delivery] = []
            try:
                if places:
                    now = self._ms()
                    claimed = await self._storage.transaction(store.claim, endpoint, now, now + _lease_ms(), places)
            finally:
                self._give_places(endpoint, places - len(claimed))
            for delivery in claimed:
                self._start(delivery)

    async def sweep(self) -> None:
        await self._storage.transaction(store.sweep, self._ms() - KEPT_S * 1_000)

    # ---- one attempt

    def _start(self, delivery: Delivery) -> None:
        """Its place is taken already."""
        task = asyncio.create_task(self._attempt(delivery))
        self._attempts.add(task)
        task.add_done_callback(self._attempts.discard)

    async def _attempt(self, delivery: Delivery) -> None:
        try:
            outcome, retryable = await self._post(delivery)
            await self._write_down(delivery, outcome, retryable=retryable)
        except EngineError as error:  # it comes back when its lease is over
            note(log, "webhook not settled", logging.WARNING, webhook=delivery.id, code=error.code)
        except Exception:
            log.exception("webhook failed", extra={"fields": {"webhook": delivery.id}})
        finally:
            self._give_places(delivery.endpoint, 1)

    async def _post(self, delivery: Delivery) -> tuple[str, bool]:
        """What came of it, and whether another attempt may help."""
        body = delivery.body.encode()
        headers = {
            "content-type": "application/json",
            "user-agent": f"Parley/{__version__}",
            **signed(self._keys, delivery.id, int(self._unix()), body),
        }
        trusted = delivery.endpoint in self._trusted
        try:
            request = self._outgoing.request("POST", delivery.endpoint, headers=headers, body=body, trusted=trusted)
            async with request as response:  # what it says besides the status is not read
                return str(response.status), response.status != GONE
        except RequestError as error:
            return error.code, False
        except TimeoutError:
            return "timeout", True
        except _client_errors() as error:
            return _named(error), True

    async def _write_down(self, delivery: Delivery, outcome: str, *, retryable: bool) -> None:
        facts = {
            "webhook": delivery.id,
            "host": URL(delivery.endpoint).host,
            "attempt": delivery.attempts,
            "outcome": outcome,
        }
        if _is_fine(outcome):
            note(log, "webhook delivered", **facts)
            await self._storage.transaction(store.delivered, delivery.id, self._ms(), outcome)
            return
        next_at = next_attempt(delivery, self._ms(), self._chance()) if retryable else None
        note(log, "webhook failed", logging.WARNING, again=next_at is not None, **facts)
        await self._storage.transaction(store.failed, delivery.id, delivery.attempts, next_at, outcome)

    # ---- places

    def _take_places(self, endpoint: str, wanted: int) -> int:
        free = min(RUNNING_PER_ENDPOINT - self._running[endpoint], RUNNING_MAX - self._running.total())
        taken = max(0, min(wanted, free))
        self._running[endpoint] += taken
        return taken

    def _give_places(self, endpoint: str, places: int) -> None:
        self._running[endpoint] -= places
        if not self._running[endpoint]:
            del self._running[endpoint]

    def _ms(self) -> int:
        return int(self._unix() * 1_000)


async def replay(storage: Storage, id: str, account: str | None, now: int) -> None:
    """Makes it due; whoever serves sends it. Raises `RequestError` with `webhook_not_found`."""
    if not await storage.transaction(store.replay, id, account, now, now + REPLAY_S * 1_000):
        raise RequestError("webhook_not_found", f"There is no webhook with the id {id[:64]!r}.", "id")


def next_attempt(delivery: Delivery, now: int, chance: float) -> int | None:
    """When to try again what has just failed; None: never. Moments in milliseconds, `chance` from 0 to 1. Pure."""
    if delivery.attempts > len(PAUSES_S):
        return None
    pause_s = PAUSES_S[delivery.attempts - 1] * (1 + JITTER * (2 * chance - 1))
    at = now + int(pause_s * 1_000)
    return at if at < delivery.expires_at else None


def _is_fine(outcome: str) -> bool:
    return outcome.startswith("2")


def _client_errors() -> type[aiohttp.ClientError]:
    import aiohttp  # what a server without webhooks need not carry

    return aiohttp.ClientError


def _named(error: aiohttp.ClientError) -> str:
    import aiohttp

    """A word for what went wrong; the message would carry the address."""
    if isinstance(error, aiohttp.ClientSSLError):
        return "tls"
    return "unreachable" if isinstance(error, aiohttp.ClientConnectionError) else "not http"


def _lease_ms() -> int:
    return int(LEASE_S * 1_000)


async def _again(every_s: float, work: Callable[[], Coroutine[Any, Any, None]]) -> None:
    """For ever. A database that is away for a while is told of once."""
    away = False
    while True:
        try:
            await work()
            away = False
        except EngineError as error:
            if not away:
                note(log, "webhooks wait", logging.WARNING, work=work.__name__, code=error.code)
            away = True
        except Exception:
            log.exception("webhooks not sent")
        await asyncio.sleep(every_s)
