"""Which upstream answers a session: routes by model, and a circuit breaker for each upstream. Pure: time and chance are
given.

    router = Router({"gpt-realtime": Route((Target("azure", "prod"), Target("openai", "gpt-realtime")))})
    for target in router.choose("gpt-realtime", now, chance): ...      # the first that opens is it
    router.opened(target, seconds, now)  |  router.failed(target, now, code)

A breaker:

    closed --(FAILURES_MAX failures in a row, or one that will not pass by itself)--> open
    open --(its pause is over: a probe is due)--> probing --(PROBES good probes)--> closed
      ^                                             |
      +----(a bad probe: the pause is doubled)------+

Sessions go only to upstreams whose breaker is closed; a probe opens a connection that costs nothing and hangs up.
"""

from collections.abc import Iterable, Mapping
from typing import Final, Literal, NamedTuple

from parley.catalog import DEFAULT_MODEL

FAILURES_MAX: Final = 3
PROBES: Final = 2
"""Good probes until an upstream is trusted again."""
PAUSE_S: Final = 2.0
PAUSE_S_MAX: Final = 120.0
LASTING_PAUSE_S: Final = 60.0
"""After a refusal that will not pass by itself: a revoked key, an unknown model."""
LASTING: Final = frozenset({"backend_refused"})
BUSY: Final = frozenset({"backend_rate_limited"})
"""It is well and has no room: the pause is that which it asks for."""
SMOOTHING: Final = 0.2
"""Of the measured time to open: each new one counts so much."""

State = Literal["closed", "open", "probing"]
Policy = Literal["order", "weights", "price", "latency"]


class Target(NamedTuple):
    """A model at an upstream. `price` compares only with other prices."""

    upstream: str
    model: str
    weight: float = 1.0
    price: float = 0.0


class Route(NamedTuple):
    """Where a public model is answered. `order` (the default) is the order of `targets`."""

    targets: tuple[Target, ...]
    policy: Policy = "order"
    local: bool = False
    """Whether this machine answers when none of them can be reached."""


class Listed(NamedTuple):
    """An upstream's part in a route: it is tried as number `position`; opening a session there takes `seconds`."""

    model: str
    route: Route
    position: int
    target: Target
    seconds: float | None


class Failure(NamedTuple):
    code: str
    at: float


class Breaker:
    def __init__(self) -> None:
        self.last_failure: Failure | None = None
        self.failures = 0
        self.open_until: float | None = None
        """None: closed."""
        self._pause_s = PAUSE_S
        self._good = 0
        self._probing = False

    @property
    def closed(self) -> bool:
        return self.open_until is None

    @property
    def state(self) -> State:
        if self.open_until is None:
            return "closed"
        return "probing" if self._probing or self._good else "open"

    def succeeded(self) -> None:
        """A session was opened."""
        if self.closed:
            self.failures = 0

    def failed(self, now: float, code: str, pause_s: float | None) -> None:
        """One was not, or was lost. `pause_s`: how long the upstream asks to be left alone."""
        self.failures += 1
        self.last_failure = Failure(code, now)
        if not self.closed:
            return
        if code in LASTING:
            self._open(now, LASTING_PAUSE_S)
        elif code in BUSY:
            self._open(now, min(pause_s or PAUSE_S, PAUSE_S_MAX))
        elif self.failures >= FAILURES_MAX:
            self._open(now, PAUSE_S)

    def probe_due(self, now: float) -> bool:
        """Whether to probe now. If so, `probed` must follow."""
        if self.open_until is None or self._probing or now < self.open_until:
            return False
        self._probing = True
        return True

    def probed(self, now: float, *, good: bool) -> None:
        self._probing = False
        if not good:
            self._good = 0
            self._open(now, min(self._pause_s * 2, PAUSE_S_MAX))
            return
        self._good += 1
        if self._good >= PROBES:
            self.open_until, self.failures, self._good, self._pause_s = None, 0, 0, PAUSE_S

    def _open(self, now: float, pause_s: float) -> None:
        self._pause_s, self.open_until, self._good = pause_s, now + pause_s, 0


class Router:
    def __init__(
        self, routes: Mapping[str, Route], aliases: Mapping[str, str] | None = None, default: Route | None = None
    ) -> None:
        """`aliases`: other names of models. `default`: the route of models that have none, under their own name."""
        self._routes = routes
        self._aliases = aliases or {}
        self._default = default
        self._seconds: dict[tuple[str, str], float] = {}
        targets = [target for route in (*routes.values(), *filter(None, [default])) for target in route.targets]
        self.breakers = {target.upstream: Breaker() for target in targets}
        self._models = {target.upstream: target.model or DEFAULT_MODEL for target in reversed(targets)}

    @property
    def names(self) -> list[str]:
        """Models that have a route of their own, by all their names."""
        return [*self._routes, *self._aliases]

    def route(self, model: str) -> Route | None:
        """None: this model is not answered by upstreams."""
        name = self._aliases.get(model, model)
        route = self._routes.get(name)
        if route is None and self._default is not None:
            named = tuple(target._replace(model=target.model or name) for target in self._default.targets)
            route = self._default._replace(targets=named)
        return route

    def routes_of(self, upstream: str) -> list[Listed]:
        """Where an upstream has its part, for people to read; `model` is ``*`` for all that have no route."""
        routes = [*self._routes.items(), *([] if self._default is None else [("*", self._default)])]
        return [
            Listed(model, route, position, target, self._seconds.get((upstream, target.model)))
            for model, route in routes
            for position, target in enumerate(route.targets, 1)
            if target.upstream == upstream
        ]

    def seconds(self, upstream: str) -> float | None:
        """How long it takes to open a session there: the model that is fastest. None: none was opened."""
        return min((seconds for (name, _), seconds in self._seconds.items() if name == upstream), default=None)

    def model_at(self, upstream: str) -> str:
        """A model to ask an upstream for, when it is only to be seen whether it is well: the last that it opened."""
        return self._models[upstream]

    def choose(self, model: str, now: float, chance: float, avoid: Iterable[str] = ()) -> list[Target]:
        """Targets to try, best first. `chance` is in [0, 1); upstreams in `avoid` come last."""
        route = self.route(model)
        if route is None:
            return []
        usable = [target for target in route.targets if self.breakers[target.upstream].closed]
        shunned = set(avoid)
        return sorted(self._ordered(route.policy, usable, chance), key=lambda target: target.upstream in shunned)

    def _ordered(self, policy: Policy, targets: list[Target], chance: float) -> list[Target]:
        match policy:
            case "order":
                return targets
            case "price":
                return sorted(targets, key=lambda target: target.price)
            case "latency":  # who was never tried is tried first
                return sorted(targets, key=lambda target: self._seconds.get((target.upstream, target.model), 0.0))
            case "weights":
                return _drawn(targets, chance)

    def opened(self, target: Target, seconds: float) -> None:
        """A session was opened there; it took so long."""
        self.breakers[target.upstream].succeeded()
        self._models[target.upstream] = target.model
        key = (target.upstream, target.model)
        self._seconds[key] = seconds * SMOOTHING + self._seconds.get(key, seconds) * (1 - SMOOTHING)

    def failed(self, upstream: str, now: float, code: str, pause_s: float | None = None) -> None:
        """A session was refused there, or lost."""
        self.breakers[upstream].failed(now, code, pause_s)


def _drawn(targets: list[Target], chance: float) -> list[Target]:
    """One by its weight comes first, the others behind it in order."""
    total = sum(target.weight for target in targets)
    point = chance * total
    for target in targets:
        point -= target.weight
        if point < 0:
            return [target, *(other for other in targets if other is not target)]
    return targets
