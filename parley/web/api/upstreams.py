"""The upstreams of the settings, for admins: how they do, what they cost, and whether they answer."""

import time
from typing import Annotated, Final, Literal

from msgspec import Meta

from parley.billing.reports import DAY_MS, Spent, spent_by_upstream
from parley.office import Office
from parley.upstreams import Known, Part, Upstreams
from parley.web.api.operations import Call, Operation, Shown, Wire

SPENT_DAYS: Final = 30
QUESTION: Final = "Say hello in one short sentence."
NOTHING: Final = Spent("", 0, 0, None)


class RoutePart(Shown):
    """An upstream's part in a route: `model` (``*``: all without a route) is answered as `model_there`, as number
    `position` of the targets. `local`: this machine is behind them."""

    model: str
    model_there: str
    position: int
    policy: Literal["order", "weights", "price", "latency"]
    weight: float
    price: float
    local: bool
    opens_ms: int | None


class UpstreamShown(Shown):
    """`state` is that of its breaker: closed, or open after failures until `open_until`, then probing. `opens_ms`: how
    long it takes to open a session. Money is of the last thirty days; `cost_micro` as far as prices are known."""

    name: str
    kind: str
    url: str
    dialect: str
    has_key: bool
    state: Literal["closed", "open", "probing"]
    open_until: int | None
    failure: str | None
    failed_at: int | None
    opens_ms: int | None
    routes: list[RoutePart]
    turns: int
    charged_micro: int
    cost_micro: int | None


class Fallback(Shown):
    """What this machine answered in the place of upstreams, in the last thirty days."""

    turns: int
    charged_micro: int


class UpstreamsShown(Shown):
    data: list[UpstreamShown]
    fallback: Fallback


class TrialAsked(Wire):
    """`model` is what the upstream calls it; left out: one that it has."""

    question: Annotated[str, Meta(min_length=1, max_length=500)] = QUESTION
    model: Annotated[str, Meta(min_length=1, max_length=128)] | None = None


class TrialShown(Shown):
    """A real turn. Times in milliseconds from its beginning, null where it did not get that far."""

    ok: bool
    model: str
    opened_ms: int | None
    first_ms: int | None
    done_ms: int | None
    answer: str
    code: str
    message: str


class Desk:
    def __init__(self, office: Office, upstreams: Upstreams | None = None) -> None:
        """Without upstreams the table can be read, which is all that documents need."""
        self._office = office
        self._upstreams = upstreams

    def operations(self) -> list[Operation]:
        return [
            Operation("GET", "/api/upstreams", "Upstreams: how they do", self.upstreams, UpstreamsShown, role="admin"),
            Operation(
                "POST", "/api/upstreams/{name}/test", "Ask an upstream a question", self.test_upstream, TrialShown,
                TrialAsked, role="admin",
            ),
        ]  # fmt: skip

    async def upstreams(self, call: Call) -> UpstreamsShown:
        since = int(time.time() * 1_000) - SPENT_DAYS * DAY_MS
        spent = {one.upstream: one for one in await spent_by_upstream(self._office.storage, since)}
        here = next((one for one in spent.values() if one.here), NOTHING)
        known = [] if self._upstreams is None else self._upstreams.known()
        return UpstreamsShown(
            data=[_upstream(one, spent.get(one.upstream.name, NOTHING)) for one in known],
            fallback=Fallback(turns=here.turns, charged_micro=here.micro),
        )

    async def test_upstream(self, call: Call) -> TrialShown:
        assert self._upstreams is not None
        asked: TrialAsked = call.body
        trial = await self._upstreams.test(call.ids["name"], asked.question, asked.model)
        return TrialShown(ok=not trial.code, **trial._asdict())


def _upstream(known: Known, spent: Spent) -> UpstreamShown:
    upstream, failure = known.upstream, known.last_failure
    return UpstreamShown(
        name=upstream.name,
        kind=upstream.kind,
        url=upstream.url,
        dialect=upstream.spelling,
        has_key=bool(upstream.key),
        state=known.state,
        open_until=None if known.open_until is None else int(known.open_until),
        failure=None if failure is None else failure.code,
        failed_at=None if failure is None else int(failure.at),
        opens_ms=_ms(known.seconds),
        routes=[_part(listed) for listed in known.routes],
        turns=spent.turns,
        charged_micro=spent.micro,
        cost_micro=spent.cost,
    )


def _part(part: Part) -> RoutePart:
    fields = {name: getattr(part, name) for name in RoutePart.__struct_fields__ if name != "opens_ms"}
    return RoutePart(**fields, opens_ms=_ms(part.seconds))


def _ms(seconds: float | None) -> int | None:
    return None if seconds is None else round(seconds * 1_000)
