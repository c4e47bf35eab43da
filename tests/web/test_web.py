"""The plain HTTP side: health, readiness, metrics, models, and refusals in one form."""

import json
import urllib.error
import urllib.request
from collections.abc import Iterator
from typing import Any, NamedTuple

import pytest
from openai import NotFoundError, OpenAI
from starlette.applications import Starlette
from starlette.requests import Request
from starlette.responses import Response
from starlette.routing import Route

from parley.auth.api_keys import ApiKeys
from parley.auth.client_secrets import ClientSecrets, MemoryStore
from parley.auth.gate import Gate
from parley.auth.keys_store import KeyStore
from parley.catalog import MODELS, TRANSCRIPTION_MODELS
from parley.storage import LateStorage
from parley.telemetry import Metrics
from parley.web import errors, health, models
from tests.transports.serving import serving

KEY = "sk-parley-test"
ENGINES = {"speech_to_text": "ear", "language_model": "embedded assistant", "text_to_speech": "mouth"}


class House:
    def __init__(self) -> None:
        self.trouble: str | None = None


class Running(NamedTuple):
    url: str
    house: House

    def get(self, path: str, method: str = "GET", **headers: str) -> tuple[int, Any, dict[str, str]]:
        """Status, body (JSON where it is) and headers."""
        request = urllib.request.Request(self.url + path, method=method, headers=headers)
        try:
            response = urllib.request.urlopen(request, timeout=10)
        except urllib.error.HTTPError as error:
            response = error
        with response:
            body = response.read().decode()
            found = {name.lower(): value for name, value in response.headers.items()}
            return response.status, json.loads(body) if "json" in found.get("content-type", "") else body, found


async def broken(request: Request) -> Response:
    raise ZeroDivisionError("secret")


@pytest.fixture(scope="module")
def running() -> Iterator[Running]:
    house = House()
    gate = Gate(ApiKeys([KEY]), KeyStore(LateStorage(), b""), ClientSecrets(MemoryStore(), b""))
    pulse = health.Pulse(lambda: {"version": "1", "engines": ENGINES}, lambda: house.trouble, Metrics())
    app = Starlette(
        routes=[*health.routes(pulse), *models.routes(gate, ENGINES), Route("/broken", broken)],
        exception_handlers=errors.HANDLERS,
    )
    with serving(app) as port:
        yield Running(f"http://127.0.0.1:{port}", house)


def test_health_names_the_engines(running: Running) -> None:
    status, body, _ = running.get("/health")
    assert status == 200
    assert body == {"status": "ok", "version": "1", "engines": ENGINES}


def test_ready_or_why_not(running: Running, monkeypatch: pytest.MonkeyPatch) -> None:
    assert running.get("/ready")[:2] == (200, {"status": "ready"})
    monkeypatch.setattr(running.house, "trouble", "draining")
    assert running.get("/ready")[:2] == (503, {"status": "draining"})
    assert running.get("/health")[0] == 200


def test_metrics_are_a_page_for_prometheus(running: Running) -> None:
    status, body, headers = running.get("/metrics")
    assert status == 200
    assert headers["content-type"].startswith("text/plain; version=")
    assert "parley_sessions 0.0" in body


def test_models_through_the_sdk(running: Running) -> None:
    client = OpenAI(base_url=f"{running.url}/v1", api_key=KEY, max_retries=0)
    listed = {model.id: model for model in client.models.list()}
    assert set(listed) == {*MODELS, *TRANSCRIPTION_MODELS}
    model = client.models.retrieve("gpt-realtime")
    assert (model.object, model.owned_by) == ("model", "parley")
    assert model.model_dump()["engine"] == ENGINES
    assert listed["whisper-1"].model_dump()["engine"] == {"speech_to_text": "ear"}
    with pytest.raises(NotFoundError) as caught:
        client.models.retrieve("gpt-nothing")
    assert caught.value.code == "model_not_found"


@pytest.mark.parametrize("path", ["/v1/models", "/v1/models/gpt-realtime"])
def test_models_need_the_key(running: Running, path: str) -> None:
    assert running.get(path, **{"X-Api-Key": KEY})[0] == 200
    for headers in ({}, {"Authorization": "Bearer wrong"}):
        status, body, found = running.get(path, **headers)
        assert (status, body["error"]["code"]) == (401, "invalid_api_key")
        assert found["www-authenticate"] == "Bearer"
    assert running.get(f"{path}?api_key={KEY}")[1]["error"]["code"] == "key_in_query"


def test_refusals_have_one_form(running: Running) -> None:
    refusals = {
        ("/nowhere", "GET"): (404, "not_found"),
        ("/v1/nowhere", "POST"): (404, "not_found"),
        ("/health", "POST"): (405, "method_not_allowed"),
        ("/broken", "GET"): (500, "internal_error"),
    }
    for (path, method), expected in refusals.items():
        status, body, headers = running.get(path, method)
        assert (status, body["error"]["code"]) == expected
        assert set(body["error"]) == {"message", "type", "param", "code"}
        assert headers["content-type"] == "application/json"
        assert "secret" not in json.dumps(body)
    assert set(running.get("/health", "POST")[2]["allow"].split(", ")) == {"GET", "HEAD"}
