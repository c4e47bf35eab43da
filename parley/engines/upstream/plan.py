"""The operator's upstreams and routes, as plain data, made into what a `Dialler` works with.

PARLEY_UPSTREAM_URL, PARLEY_UPSTREAM_API_KEY      one upstream for every model, under the models' own names

[[upstream]]                                      several; keys come from the environment or from files
name = "azure"
url = "https://NAME.openai.azure.com"
key_env = "AZURE_KEY"                             # or key_file = "/run/secrets/azure"
models = ["gpt-realtime"]                         # what it has; empty: whatever is asked for

[[route]]                                         for models that are not simply tried in this order
model = "gpt-realtime"
aliases = ["voice"]
policy = "weights"                                # order, weights, price, latency
targets = [{ upstream = "azure", model = "prod", weight = 3 }, { upstream = "openai" }]
fallback = "local"                                # none, local; left out: as `upstream_fallback` says
"""

from collections.abc import Callable, Iterable
from typing import Final, Literal, NamedTuple

import msgspec

from parley.core.relayed import LOCAL
from parley.engines.upstream.routing import Policy, Route, Router, Target
from parley.engines.upstream.table import Upstream, upstream

DEFAULT_NAME: Final = "upstream"
UPSTREAMS_MAX: Final = 64
ROUTES_MAX: Final = 1_024


class UpstreamTable(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """One `[[upstream]]`."""

    name: str
    url: str
    kind: str = ""
    dialect: str = ""
    key_env: str = ""
    key_file: str = ""
    models: tuple[str, ...] = ()


class TargetTable(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    upstream: str
    model: str = ""
    weight: float = 1.0
    price: float = 0.0


class RouteTable(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """One `[[route]]`."""

    model: str
    targets: tuple[TargetTable, ...]
    policy: Policy = "order"
    aliases: tuple[str, ...] = ()
    fallback: Literal["none", "local"] | None = None


class Plan(NamedTuple):
    upstreams: dict[str, Upstream]
    router: Router


def plan_one(url: str, key: str | None, *, local: bool = False) -> Plan:
    """One upstream in front of all models; `local`: with this machine behind it. Raises `ValueError`."""
    one = upstream(DEFAULT_NAME, url, key=key or "")
    return Plan({one.name: one}, Router({}, default=Route((Target(one.name, ""),), local=local)))


def plan(
    upstreams: Iterable[object], routes: Iterable[object], secret: Callable[[str, str], str], *, local: bool = False
) -> Plan:
    """Several, from the tables of the settings file. Raises `ValueError`, with the fault and never a key.

    `local`: this machine is behind every route that does not say otherwise. `secret(env, file)` reads a key from the
    environment variable or the file that is named; both may be empty.
    """
    listed = msgspec.convert(list(upstreams), list[UpstreamTable])
    planned = msgspec.convert(list(routes), list[RouteTable])
    if len(listed) > UPSTREAMS_MAX or len(planned) > ROUTES_MAX:
        raise ValueError(f"at most {UPSTREAMS_MAX} upstreams and {ROUTES_MAX} routes can be set")
    known: dict[str, Upstream] = {}
    for table in listed:
        if table.name == LOCAL:
            raise ValueError(f"upstream {LOCAL!r}: this name is that of this machine")
        if table.name in known:
            raise ValueError(f"upstream {table.name!r}: the name is used twice")
        key = secret(table.key_env, table.key_file)
        known[table.name] = upstream(table.name, table.url, key=key, kind=table.kind, dialect=table.dialect)
    return Plan(known, Router(*_routes(listed, planned, known, local=local)))


def _routes(
    listed: list[UpstreamTable], planned: list[RouteTable], known: dict[str, Upstream], *, local: bool
) -> tuple[dict[str, Route], dict[str, str], Route | None]:
    targets: dict[str, list[Target]] = {}
    for table in listed:
        for model in table.models:
            targets.setdefault(model, []).append(Target(table.name, model))
    routes = {model: Route(tuple(found), local=local) for model, found in targets.items()}
    aliases: dict[str, str] = {}
    for planned_route in planned:
        for target in planned_route.targets:
            if target.upstream not in known:
                raise ValueError(f"route {planned_route.model!r}: there is no upstream {target.upstream!r}")
        if not planned_route.targets or not any(target.weight > 0 for target in planned_route.targets):
            raise ValueError(f"route {planned_route.model!r}: it needs a target with a weight above zero")
        routes[planned_route.model] = _route(planned_route, local=local)
        aliases |= dict.fromkeys(planned_route.aliases, planned_route.model)
    general = tuple(Target(table.name, "") for table in listed if not table.models)
    return routes, aliases, Route(general, local=local) if general else None


def _route(table: RouteTable, *, local: bool) -> Route:
    targets = (Target(one.upstream, one.model or table.model, max(0.0, one.weight), one.price) for one in table.targets)
    fallback = local if table.fallback is None else table.fallback == "local"
    return Route(tuple(targets), table.policy, fallback)
