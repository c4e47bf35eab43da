"""Which upstream is taken, and which is left alone."""

from collections import Counter

import pytest
from hypothesis import given
from hypothesis import strategies as st

from parley.catalog import DEFAULT_MODEL
from parley.engines.upstream.routing import (
    FAILURES_MAX,
    LASTING_PAUSE_S,
    PAUSE_S,
    PAUSE_S_MAX,
    PROBES,
    Breaker,
    Policy,
    Route,
    Router,
    Target,
)

A, B, C = (
    Target("a", "m-a", weight=1, price=3),
    Target("b", "m-b", weight=3, price=1),
    Target("c", "m-c", weight=0, price=2),
)


def names(router: Router, now: float = 0.0, chance: float = 0.0, avoid: tuple[str, ...] = ()) -> str:
    return "".join(target.upstream for target in router.choose("m", now, chance, avoid))


def router(policy: Policy = "order") -> Router:
    return Router({"m": Route((A, B, C), policy)})


def test_in_order() -> None:
    assert names(router()) == "abc"
    assert names(router(), avoid=("a",)) == "bca"


def test_by_price() -> None:
    assert names(router("price")) == "bca"


def test_by_weight() -> None:
    drawn = Counter(names(router("weights"), chance=n / 1_000)[0] for n in range(1_000))
    assert drawn == {"a": 250, "b": 750}
    assert names(router("weights"), chance=0.9) == "bac"


def test_by_measured_time_to_open() -> None:
    by_latency = router("latency")
    for target, seconds in ((A, 0.3), (B, 0.1), (C, 0.2)):
        by_latency.opened(target, seconds)
    assert names(by_latency) == "bca"
    for _ in range(30):
        by_latency.opened(B, 0.9)
    assert names(by_latency) == "cab"


def test_aliases_and_models_without_a_route() -> None:
    some = Router({"m": Route((A,))}, {"gpt": "m"}, default=Route((B._replace(model=""), C)))
    assert some.choose("gpt", 0, 0) == [A]
    assert [(target.upstream, target.model) for target in some.choose("other", 0, 0)] == [("b", "other"), ("c", "m-c")]
    assert Router({"m": Route((A,))}).choose("other", 0, 0) == []
    assert some.model_at("a") == "m-a"


def test_one_without_models_is_asked_for_a_model_that_it_has() -> None:
    """A probe that names none would be refused, and the upstream never come back."""
    some = Router({}, default=Route((A._replace(model=""),)))
    assert some.model_at("a") == DEFAULT_MODEL
    some.opened(A._replace(model="other"), 0.1)
    assert some.model_at("a") == "other"


def test_what_people_are_shown() -> None:
    some = Router({"m": Route((A, B), "weights"), "n": Route((B,))}, default=Route((B._replace(model=""),)))
    some.opened(B, 0.25)
    assert [(part.model, part.position, part.seconds) for part in some.routes_of("b")] == [
        ("m", 2, 0.25),
        ("n", 1, 0.25),
        ("*", 1, None),
    ]
    assert (some.seconds("a"), some.seconds("b")) == (None, 0.25)
    breaker = some.breakers["b"]
    states = [breaker.state]
    assert breaker.last_failure is None
    some.failed("b", 3.0, "backend_refused")
    states.append(breaker.state)
    assert breaker.last_failure == ("backend_refused", 3.0)
    assert breaker.open_until is not None and breaker.probe_due(breaker.open_until)
    states.append(breaker.state)
    breaker.probed(breaker.open_until, good=False)
    assert [*states, breaker.state] == ["closed", "open", "probing", "open"]


def test_a_few_failures_in_a_row_open_the_breaker_and_a_success_forgets_them() -> None:
    some = router()
    for _ in range(FAILURES_MAX - 1):
        some.failed("a", 0.0, "backend_unavailable")
    some.opened(A, 0.1)
    for _ in range(FAILURES_MAX - 1):
        some.failed("a", 0.0, "backend_unavailable")
    assert names(some) == "abc"
    some.failed("a", 0.0, "backend_unavailable")
    assert names(some) == "bc"
    assert names(some, now=1_000.0) == "bc"


@pytest.mark.parametrize(
    ("code", "asked", "pause"),
    [
        ("backend_refused", None, LASTING_PAUSE_S),
        ("backend_rate_limited", 30.0, 30.0),
        ("backend_rate_limited", None, PAUSE_S),
        ("backend_rate_limited", 9_999.0, PAUSE_S_MAX),
    ],
)
def test_some_failures_open_it_at_once(code: str, asked: float | None, pause: float) -> None:
    breaker = Breaker()
    breaker.failed(10.0, code, asked)
    assert breaker.open_until == 10.0 + pause


def test_good_probes_close_it_and_bad_ones_double_the_pause() -> None:
    breaker = Breaker()
    breaker.failed(0.0, "backend_rate_limited", 4.0)
    assert not breaker.probe_due(3.9)
    assert breaker.probe_due(4.0)
    assert not breaker.probe_due(4.0)  # one at a time
    breaker.probed(4.0, good=False)
    assert not breaker.probe_due(11.9)
    for _ in range(PROBES):
        assert not breaker.closed
        assert breaker.probe_due(12.0)
        breaker.probed(12.0, good=True)
    assert breaker.closed
    assert breaker.failures == 0
    assert not breaker.probe_due(99.0)


@given(st.lists(st.sampled_from(["fail", "refuse", "probe", "succeed"]), max_size=60))
def test_it_never_stays_open_for_ever_and_never_closes_without_a_probe(steps: list[str]) -> None:
    breaker, now = Breaker(), 0.0
    for step in steps:
        now += 1.0
        was_closed = breaker.closed
        match step:
            case "fail":
                breaker.failed(now, "backend_unavailable", None)
            case "refuse":
                breaker.failed(now, "backend_refused", None)
            case "succeed":
                breaker.succeeded()
            case "probe" if breaker.probe_due(now):
                breaker.probed(now, good=False)
        assert was_closed or not breaker.closed
        assert breaker.open_until is None or breaker.open_until <= now + PAUSE_S_MAX
