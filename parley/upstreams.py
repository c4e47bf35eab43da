"""The upstreams that the operator has named, and which models they answer: from the settings, for the house.

upstreams = Upstreams(settings)           # SettingsError
upstreams.answer("gpt-realtime")          # else this machine does
await upstreams.begin(); ...; await upstreams.close()
"""

import asyncio
import contextlib
import time
from typing import NamedTuple

import msgspec

from parley.catalog import MODELS
from parley.core.config import RealtimeConfig, SessionConfig
from parley.engines.upstream.dialler import Dialler
from parley.engines.upstream.plan import Plan, plan, plan_one
from parley.engines.upstream.routing import Failure, Listed, Policy, Router, State
from parley.engines.upstream.table import Upstream
from parley.engines.upstream.trial import Trial, ask
from parley.errors import RequestError
from parley.settings import Settings, SettingsError, read_secret

ECHO_CHARS_MAX = 64


class Part(NamedTuple):
    """An upstream's part in a route: `model` (``*``: every model without a route) is answered as `model_there`, as
    number `position` of the targets. `local`: this machine is behind them. `seconds`: see `Known`."""

    model: str
    model_there: str
    position: int
    policy: Policy
    weight: float
    price: float
    local: bool
    seconds: float | None


class Known(NamedTuple):
    """An upstream and how it does. Moments are Unix seconds."""

    upstream: Upstream
    state: State
    open_until: float | None
    """Until when it is left alone; None: it is not."""
    last_failure: Failure | None
    seconds: float | None
    """How long it takes to open a session there."""
    routes: list[Part]


class Upstreams:
    """Belongs to one event loop. Without upstreams it is there as well, and answers nothing."""

    def __init__(self, settings: Settings) -> None:
        """Raises `SettingsError`."""
        self._plan = _plan(settings)
        self.dialler = Dialler(self._plan.upstreams, self._plan.router, connect_s=settings.connect_timeout_s)
        self._probing: asyncio.Task[None] | None = None

    @property
    def names(self) -> list[str]:
        return list(self._plan.upstreams)

    def answer(self, model: str) -> bool:
        return self._plan.router.route(model) is not None

    def falls_back(self, model: str) -> bool:
        """Whether this machine answers when no upstream does."""
        route = self._plan.router.route(model)
        return route is not None and route.local

    def known(self) -> list[Known]:
        """Every upstream and how it does, for people to read."""
        return [self._known(upstream) for upstream in self._plan.upstreams.values()]

    async def test(self, name: str, question: str, model: str | None = None) -> Trial:
        """A real turn. Raises `RequestError` with `upstream_not_found`."""
        upstream = self._plan.upstreams.get(name)
        if upstream is None:
            raise RequestError("upstream_not_found", f"There is no upstream {name[:ECHO_CHARS_MAX]!r}.", "name")
        return await ask(upstream, model or self._plan.router.model_at(name), question)

    def _known(self, upstream: Upstream) -> Known:
        router = self._plan.router
        breaker = router.breakers.get(upstream.name)
        return Known(
            upstream=upstream,
            state="closed" if breaker is None else breaker.state,
            open_until=None if breaker is None or breaker.open_until is None else _wall(breaker.open_until),
            last_failure=None
            if breaker is None or breaker.last_failure is None
            else breaker.last_failure._replace(at=_wall(breaker.last_failure.at)),
            seconds=router.seconds(upstream.name),
            routes=[_part(listed) for listed in router.routes_of(upstream.name)],
        )

    def models(self) -> list[str]:
        """Every name that a client may ask for, this machine's own first."""
        return [*MODELS, *(name for name in self._plan.router.names if name not in MODELS)]

    def engine(self, model: str) -> dict[str, str] | None:
        """Who answers a model, for people to read; None: this machine."""
        route = self._plan.router.route(model)
        return None if route is None else {"upstream": ", ".join(target.upstream for target in route.targets)}

    def check(self, config: SessionConfig) -> None:
        """Raises `RequestError` with `model_not_found` for a session that could never begin here."""
        if isinstance(config, RealtimeConfig) and config.model not in MODELS and not self.answer(config.model):
            named = config.model[:ECHO_CHARS_MAX]
            raise RequestError("model_not_found", f"The model {named!r} does not exist here.", "model")

    async def begin(self) -> None:
        """Those that fail are looked after from now on."""
        if self._plan.upstreams:
            self._probing = asyncio.create_task(self.dialler.probe())

    async def close(self) -> None:
        if self._probing is not None:
            self._probing.cancel()
            with contextlib.suppress(asyncio.CancelledError):
                await self._probing


def _plan(settings: Settings) -> Plan:
    local = settings.upstream_fallback == "local"
    try:
        if settings.upstream or settings.route:
            if settings.upstream_url:
                raise ValueError("set either upstream_url or [[upstream]] tables")
            return plan(settings.upstream, settings.route, read_secret, local=local)
        if settings.upstream_url:
            return plan_one(settings.upstream_url, settings.upstream_api_key, local=local)
    except (ValueError, msgspec.ValidationError) as error:
        raise SettingsError(f"The upstreams are set wrongly: {error}.") from error
    return Plan({}, Router({}))


def _part(listed: Listed) -> Part:
    route, target = listed.route, listed.target
    return Part(
        listed.model, target.model, listed.position, route.policy, target.weight, target.price, route.local,
        listed.seconds,
    )  # fmt: skip


def _wall(moment: float) -> float:
    """A moment of the monotonic clock, as Unix seconds."""
    return time.time() - time.monotonic() + moment
