"""What an operator writes down, and what becomes of it."""

from typing import Any

import pytest

from parley.engines.upstream.plan import ROUTES_MAX, UPSTREAMS_MAX, plan, plan_one
from parley.engines.upstream.routing import Target

KEYS = {"AZURE_KEY": "sk-azure", "/run/secrets/openai": "sk-openai", "": ""}
AZURE = {"name": "azure", "url": "https://x.openai.azure.com", "key_env": "AZURE_KEY", "models": ["gpt-realtime"]}
OPENAI = {"name": "openai", "url": "https://api.openai.com/v1", "key_file": "/run/secrets/openai"}


def secret(env: str, file: str) -> str:
    return KEYS[env or file]


def targets(tables: list[Any], routes: list[Any], model: str, chance: float = 0.0) -> list[tuple[str, str]]:
    chosen = plan(tables, routes, secret).router.choose(model, 0.0, chance)
    return [(target.upstream, target.model) for target in chosen]


def test_one_line_puts_one_upstream_before_every_model() -> None:
    known, router = plan_one("wss://api.openai.com/v1", "sk-one")
    assert known["upstream"].kind == "openai"
    assert router.choose("anything", 0.0, 0.0) == [Target("upstream", "anything")]
    assert plan_one("ws://x/v1", None).upstreams["upstream"].headers == {}


def test_several_in_the_order_of_the_file() -> None:
    known, _ = plan([AZURE, OPENAI], [], secret)
    assert known["azure"].headers == {"api-key": "sk-azure"}
    assert known["openai"].headers == {"Authorization": "Bearer sk-openai"}
    assert targets([AZURE, OPENAI], [], "gpt-realtime") == [("azure", "gpt-realtime")]
    assert targets([AZURE, OPENAI], [], "other") == [("openai", "other")]


def test_routes() -> None:
    route = {
        "model": "gpt-realtime",
        "aliases": ["voice"],
        "policy": "weights",
        "targets": [{"upstream": "azure", "model": "prod", "weight": 3}, {"upstream": "openai"}],
    }
    assert targets([AZURE, OPENAI], [route], "voice", 0.7) == [("azure", "prod"), ("openai", "gpt-realtime")]
    assert targets([AZURE, OPENAI], [route], "gpt-realtime", 0.8)[0] == ("openai", "gpt-realtime")


def test_who_is_behind_a_route() -> None:
    targets = [{"upstream": "openai"}]
    routes = [
        {"model": "both", "targets": targets, "fallback": "local"},
        {"model": "theirs", "targets": targets, "fallback": "none"},
        {"model": "like all", "targets": targets},
    ]
    for local in (False, True):
        router = plan([AZURE, OPENAI], routes, secret, local=local).router
        found = {name: route.local for name in ("both", "theirs", "like all", "other") if (route := router.route(name))}
        assert found == {"both": True, "theirs": False, "like all": local, "other": local}
    alone = plan_one("ws://x/v1", None, local=True).router.route("anything")
    assert alone is not None and alone.local


WRONG: dict[str, tuple[list[Any], list[Any]]] = {
    "no url": ([{"name": "a"}], []),
    "a typing mistake": ([{**OPENAI, "keyfile": "x"}], []),
    "our own name": ([{**OPENAI, "name": "local"}], []),
    "twice": ([OPENAI, OPENAI], []),
    "a key in the url": ([{**OPENAI, "url": "wss://x/v1?key=sk-openai"}], []),
    "nobody": ([OPENAI], [{"model": "m", "targets": [{"upstream": "nobody"}]}]),
    "no target": ([OPENAI], [{"model": "m", "targets": []}]),
    "no weight": ([OPENAI], [{"model": "m", "targets": [{"upstream": "openai", "weight": 0}]}]),
    "no policy": ([OPENAI], [{"model": "m", "policy": "luck", "targets": [{"upstream": "openai"}]}]),
    "too many": ([{**OPENAI, "name": str(n)} for n in range(UPSTREAMS_MAX + 1)], []),
    "too many routes": ([OPENAI], [{"model": "m", "targets": [{"upstream": "openai"}]}] * (ROUTES_MAX + 1)),
}


@pytest.mark.parametrize("what", WRONG)
def test_what_cannot_be(what: str) -> None:
    with pytest.raises(ValueError) as caught:
        plan(*WRONG[what], secret)
    assert "sk-" not in str(caught.value)
