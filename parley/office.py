"""Accounts, keys and money, behind one door: opened from the settings, by the server and by the command line.

    office = Office(settings)
    await office.open()                              # the database, migrated; the local account
    await office.begin(revoked)                      # the server's: it holds money from now on, and keeps its clocks
    tab = await office.open_tab(session, model, bearer, stop)    # RequestError when there is no money
    await office.close()

The local account is the operator's own: the key that the first start makes, and the link that `serve` prints, belong to
it. It begins with a million credits, so that everything is metered and priced from the first word on, and nobody has to
do anything about it.
"""

import asyncio
import hashlib
import logging
import time
from collections.abc import Awaitable, Callable, Iterable, Sequence
from contextlib import AsyncExitStack
from typing import Final, NamedTuple
from weakref import WeakSet

import msgspec

from parley.auth.accounts import Account, Accounts
from parley.auth.client_secrets import read_pepper
from parley.auth.gate import LOCAL_ACCOUNT, LOCAL_USER, Bearer
from parley.auth.keys_store import KeyStore
from parley.auth.limits import LimitRules, Limits, Who, open_limits, subject
from parley.auth.limits_memory import MemoryLimits
from parley.auth.limits_watch import LimitWatch, open_watch
from parley.billing.ledger import BEAT_S, Ledger
from parley.billing.meter import Meter, Tab
from parley.billing.prices import AMOUNTS, PUBLISHED, Price, PriceBook, PriceError, read_prices
from parley.billing.reports import charged_for
from parley.billing.watch import Watch
from parley.core.effects import Turn
from parley.core.rates import Rate
from parley.errors import EngineError, RequestError
from parley.ids import new_node
from parley.live.session import Witness
from parley.settings import Settings, SettingsError
from parley.storage import LateStorage, SchemaError, Script, Sql
from parley.telemetry import note

OPENING_MICRO: Final = 10**12
"""What the local account begins with: a million credits."""
LOCAL_EMAIL: Final = "local@localhost"

SETTLE_S: Final = 15.0
"""How often it is looked for holds of processes that are gone: they wait half a minute to be missed, and this."""
REVOKED_S: Final = 0.5
USED_S: Final = 60.0
SWEEP_S: Final = 3_600.0
PRICES_S: Final = 10.0
"""How soon a price holds that was set through another process."""
OUTBOX_S: Final = 5.0
OUTBOX_LINES: Final = 500

log = logging.getLogger(__name__)


def pepper_of(settings: Settings) -> bytes:
    """What keys, sign-ins and client secrets are hashed under."""
    if settings.pepper is None:
        return read_pepper(settings.home)
    return hashlib.sha256(settings.pepper.encode()).digest()


class Hooks(NamedTuple):
    """What a session must be told while it runs."""

    stop: Callable[[str], object]
    """The code of an error: no more is paid for."""
    charged: Callable[[str, int, int], object]
    """What was charged, for what, and everything so far: id, micro-credits, micro-credits."""
    rates: Callable[[tuple[Rate, ...]], object]
    cut: Callable[[str], object] | None = None
    """A message: a limit is used up. For sessions without responses, see `limits_watch`."""


class Admission(NamedTuple):
    """The witnesses of a session that was let in."""

    limits: LimitWatch
    money: Watch

    def end(self) -> None:
        """Nothing came of it."""
        self.limits.ended()
        self.money.ended()


class RelayTally:
    """The witness of a session that an upstream answers: what it says is counted by its core, not by watching it."""

    def __init__(self, admission: Admission, also: Iterable[Witness] = ()) -> None:
        self._admission = admission
        self._all: tuple[Witness, ...] = (*admission, *also)

    def started(self, response_id: str) -> None:
        self._admission.money.meter.started(response_id)

    def spoke(self, response_id: str, ms: int) -> None:
        self._admission.money.meter.spoke(response_id, ms)
        self._admission.limits.count(made_ms=ms)

    def heard(self, ms: int) -> None:
        self._admission.money.meter.heard(ms)
        self._admission.limits.count(heard_ms=ms)

    def turn(self, turn: Turn) -> None:
        for witness in self._all:
            witness.turn(turn)

    def ended(self) -> None:
        for witness in self._all:
            witness.ended()


class Office:
    """Belongs to one event loop. Nothing is reached before `open`."""

    def __init__(self, settings: Settings) -> None:
        """Raises `SettingsError` for prices that cannot be read."""
        self._settings = settings
        pepper = pepper_of(settings)
        self.storage = LateStorage()
        self.accounts = Accounts(self.storage, pepper)
        self.keys = KeyStore(self.storage, pepper, settings.key_prefix)
        self.ledger = Ledger(self.storage, f"node_{new_node()}")
        try:
            self._published = read_prices(PUBLISHED)
            self._listed = read_prices(settings.prices) if settings.prices is not None else []
        except PriceError as error:
            raise SettingsError(f"prices is wrong: {error}") from error
        self.own_prices: list[Price] = []
        """Those that an admin has set."""
        self.prices = PriceBook(self._published, self._listed)
        self.limits: Limits = MemoryLimits()
        self._account_limits = LimitRules(
            settings.account_requests_per_minute,
            settings.account_tokens_per_minute,
            settings.account_audio_minutes_per_day,
            settings.account_sessions_at_once,
        )
        self._open = AsyncExitStack()
        self._limit_watches: WeakSet[LimitWatch] = WeakSet()
        self._watches: dict[str, Watch] = {}
        """Of sessions that run, or are being settled."""
        self._clocks: list[asyncio.Task[None]] = []

    async def open(self) -> None:
        """Once; again it does nothing. Raises `SettingsError`."""
        if self.storage.is_open:
            return
        settings = self._settings
        try:
            await self.storage.open(settings.database_url, settings.home)
        except (EngineError, SchemaError, ValueError, OSError) as error:
            raise SettingsError(f"The database cannot be opened: {error}") from error
        await self.storage.transaction(_local_account, int(time.time() * 1_000))
        await self._read_prices()
        await self.ledger.credit(f"{LOCAL_ACCOUNT}:opening", LOCAL_ACCOUNT, OPENING_MICRO, "the operator's own")

    async def begin(self, revoked: Callable[[list[str]], None]) -> None:
        """This process serves. `revoked` is told the ids of keys that open nothing any more. Raises `SettingsError`."""
        await self.ledger.open()
        try:
            self.limits = await self._open.enter_async_context(open_limits(self._settings.redis_url))
        except (ValueError, ModuleNotFoundError) as error:
            raise SettingsError(f"redis_url is wrong: {error}") from error

        async def look_for_revoked() -> None:
            if ids := await self.keys.newly_revoked():
                revoked(ids)

        for every_s, work in (
            (BEAT_S, self.ledger.beat),
            (SETTLE_S, self._settle),
            (REVOKED_S, look_for_revoked),
            (USED_S, self.keys.write_used),
            (SWEEP_S, self.accounts.sweep),
            (PRICES_S, self._read_prices),
            (OUTBOX_S, self._empty_outbox),
            (BEAT_S, self._pass_time),
        ):
            self._clocks.append(asyncio.create_task(_again(every_s, work)))

    async def close(self) -> None:
        """Everything that was metered is captured, as long as the database can be reached."""
        for clock in self._clocks:
            clock.cancel()
        await asyncio.gather(*self._clocks, return_exceptions=True)
        if not self.storage.is_open:
            return
        watches: list[Watch | LimitWatch] = [*self._watches.values(), *self._limit_watches]
        await asyncio.gather(*(watch.settled() for watch in watches), return_exceptions=True)
        try:
            await self.keys.write_used()
        except EngineError:
            log.warning("the last uses of keys were not written down")
        await self._open.aclose()
        await self.ledger.close()
        await self.storage.close()

    # ---- sessions

    async def admit(self, session: str, model: str, bearer: Bearer, hooks: Hooks, minute_micro: int = 0) -> Admission:
        """A session within its limits, with money for its first seconds. Raises `RequestError`.

        `minute_micro` is what a minute costs besides, as of a telephone line. Who gets an admission calls `ended` of
        both its watches.
        """
        account = await self.accounts.account(bearer.account)
        limits = await open_watch(self.limits, self._who(bearer, account), session, hooks.rates, hooks.cut)
        self._limit_watches.add(limits)
        try:
            return Admission(limits, await self._open_tab(session, model, bearer, account, hooks, minute_micro))
        except BaseException:
            limits.ended()
            raise

    async def who(self, bearer: Bearer) -> Who:
        """Whose limits hold for a bearer."""
        return self._who(bearer, await self.accounts.account(bearer.account))

    def _who(self, bearer: Bearer, account: Account) -> Who:
        whole = subject("account", account.id, self._account_limits._replace(**account.limits))
        return (whole,) if bearer.key is None else (subject("key", bearer.key.id, bearer.key.rules), whole)

    async def _open_tab(
        self, session: str, model: str, bearer: Bearer, account: Account, hooks: Hooks, minute_micro: int
    ) -> Watch:
        key = bearer.key
        tab = Tab(
            session=session,
            model=model,
            account=bearer.account,
            budget=None if key is None else key.budget,
            project=None if key is None else key.project,
            api_key=None if key is None else key.id,
            markup_bp=account.markup_bp,
            minute_micro=minute_micro,
        )
        meter = Meter(self.ledger, tab, self.price_today, hooks.stop, cost_of=self._cost_today)
        watch = Watch(meter, hooks.charged, self._closed)
        await meter.open()
        self._watches[session] = watch
        return watch

    def price_today(self, model: str) -> Price | None:
        return self.prices.find(model, time.strftime("%Y-%m-%d", time.gmtime()))

    def _cost_today(self, named: str, model: str) -> Price | None:
        return self.prices.find_cost(named, model, time.strftime("%Y-%m-%d", time.gmtime()))

    def watch(self, session: str) -> Watch | None:
        """Of a session that runs, or is being settled."""
        return self._watches.get(session)

    async def charged_for(self, account: str, sessions: Sequence[str], since: int) -> dict[str, int]:
        """See `reports.charged_for`."""
        return await charged_for(self.storage, account, sessions, since)

    async def set_price(self, price: Price) -> None:
        """From its first day on. Sessions that run keep the price that they began with."""
        await self.storage.transaction(_set_price, price)
        await self._read_prices()

    # ---- inside

    async def _read_prices(self) -> None:
        own = await self.storage.read(_own_prices)
        if own != self.own_prices:
            self.own_prices = own
            self.prices = PriceBook(self._published, [*self._listed, *own])

    def _closed(self, watch: Watch) -> None:
        self._watches.pop(watch.session, None)

    async def _settle(self) -> None:
        for line in await self.ledger.settle_expired():
            note(log, "hold settled", hold=line.hold, captured=line.moved)

    async def _pass_time(self) -> None:
        for watch in list(self._watches.values()):
            watch.passed()

    async def _empty_outbox(self) -> None:
        """Nobody has to be told yet; what was written for them does not pile up."""
        if lines := await self.ledger.outbox(OUTBOX_LINES):
            await self.ledger.told(line.line for line in lines)


async def _again(every_s: float, work: Callable[[], Awaitable[None]]) -> None:
    """For ever. A database that is away for a while is told of once."""
    away = False
    while True:
        try:
            await work()
            away = False
        except (EngineError, RequestError) as error:
            if not away:
                note(log, "not done now", logging.WARNING, work=work.__name__, code=error.code)
            away = True
        except Exception:
            log.exception("not done", extra={"fields": {"work": work.__name__}})
        await asyncio.sleep(every_s)


def _local_account(at: int) -> Script[None]:
    yield Sql(
        "INSERT INTO account (id, name, markup_bp, created_at) VALUES ($1, $2, 0, $3) ON CONFLICT (id) DO NOTHING",
        (LOCAL_ACCOUNT, LOCAL_ACCOUNT, at),
    )
    yield Sql(
        "INSERT INTO auth_user (id, account, email, name, role, created_at) VALUES ($1, $2, $3, $4, 'admin', $5) "
        "ON CONFLICT (id) DO NOTHING",
        (LOCAL_USER, LOCAL_ACCOUNT, LOCAL_EMAIL, "Operator", at),
    )


def _set_price(price: Price) -> Script[None]:
    amounts = {name: getattr(price, name) for name in AMOUNTS}
    yield Sql(
        "INSERT INTO price (model, since, amounts) VALUES ($1, $2, $3) "
        "ON CONFLICT (model, since) DO UPDATE SET amounts = excluded.amounts",
        (price.model, price.since, msgspec.json.encode(amounts).decode()),
    )


def _own_prices() -> Script[list[Price]]:
    rows = yield Sql("SELECT model, since, amounts FROM price ORDER BY model, since")
    return [Price(model=model, since=since, **msgspec.json.decode(amounts)) for model, since, amounts in rows]


async def open_office(settings: Settings) -> Office:
    """For the command line: opened, but nothing runs in the background. Raises `SettingsError`."""
    office = Office(settings)
    await office.open()
    return office
