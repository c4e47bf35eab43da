"""/api/realtime when something else goes wrong: the database, a backend, ourselves, or the client leaves."""

import socket
import sqlite3
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any, NamedTuple

import httpx
import pytest

from parley.app import House
from parley.auth.api_keys import ApiKeys
from parley.auth.gate import LOCAL_ACCOUNT
from parley.billing.calls import CallBook
from parley.errors import EngineError
from parley.office import OPENING_MICRO
from parley.settings import Settings
from tests.e2e.backends import Backends, running_backends
from tests.engines.fake_backends import Status
from tests.transports.rtc.test_sdp import CHROME
from tests.transports.serving import serving

KEY = "sk-parley-test"
PIPELINE, SESSION, CHARGE = (f"/api/realtime/{name}" for name in ("pipeline", "session", "charge"))
FORM = {"model": (None, b"starter-voice"), "text": (None, b"Tell me a story.")}
OFFER = {"model": "realtime-mini", "sdp": CHROME}
SESSIONS_MAX = 2
PATIENCE_S = 20


class Running(NamedTuple):
    house: House
    http: httpx.Client
    port: int

    def refused(self, path: str, **body: Any) -> tuple[int, str]:
        response = self.http.post(path, **body)
        assert list(response.json()) == ["code", "message"], response.text
        return response.status_code, response.json()["code"]

    def idle(self) -> None:
        """Returns when no session is left."""
        deadline = time.monotonic() + PATIENCE_S
        while len(self.house.registry):
            assert time.monotonic() < deadline
            time.sleep(0.02)


@pytest.fixture(scope="module")
def backends() -> Iterator[Backends]:
    with running_backends() as backends:
        yield backends


@pytest.fixture(scope="module")
def module(tmp_path_factory: pytest.TempPathFactory, backends: Backends) -> Iterator[Running]:
    home: Path = tmp_path_factory.mktemp("home")
    url = backends.fake.url
    settings = Settings(home=home, stt_url=url, llm_url=url, tts_url=url, rtc_port=0, sessions_max=SESSIONS_MAX)
    house = House(settings, ApiKeys([KEY]))
    with serving(house.app) as port:
        headers = {"authorization": f"Bearer {KEY}"}
        with httpx.Client(base_url=f"http://127.0.0.1:{port}", headers=headers, timeout=PATIENCE_S) as http:
            yield Running(house, http, port)


@pytest.fixture
def running(module: Running, backends: Backends) -> Iterator[Running]:
    backends.reset()
    yield module
    for call_id in list(module.house.calls._calls):
        module.http.post(f"/v1/realtime/calls/{call_id}/hangup")
    module.idle()


class Away:
    """A database that cannot be reached."""

    async def read(self, *_: object) -> None:
        raise EngineError("storage_unavailable", "The database is away.", retryable=True)

    transaction = read


def test_keys_cannot_be_looked_up(running: Running, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(running.house.office.keys, "_storage", Away())
    headers = {"authorization": f"Bearer sk-gptr2-{'A' * 48}"}
    for path in (PIPELINE, SESSION, CHARGE):
        assert running.refused(path, headers=headers, json={}) == (500, "api_key_lookup_failed")


def test_a_bug_is_told_in_the_same_form(running: Running, monkeypatch: pytest.MonkeyPatch) -> None:
    def bug(*_: object) -> None:
        raise RuntimeError("not for clients")

    monkeypatch.setattr(running.house.office.accounts, "account", bug)
    assert running.refused(PIPELINE, files=FORM) == (500, "internal_error")
    assert "not for clients" not in running.http.post(PIPELINE, files=FORM).text


def test_a_backend_that_fails(running: Running, backends: Backends) -> None:
    backends.fake.broken["LLM"] = Status(400)
    assert running.refused(PIPELINE, files=FORM) == (502, "backend_refused")


def test_all_sessions_are_in_use(running: Running) -> None:
    for _ in range(SESSIONS_MAX):
        assert running.http.post(SESSION, json=OFFER).status_code == 200
    for path, body in ((SESSION, {"json": OFFER}), (PIPELINE, {"files": FORM})):
        assert running.refused(path, **body) == (429, "too_many_sessions")
        assert int(running.http.post(path, **body).headers["retry-after"]) >= 1


def test_a_call_that_could_not_be_charged_does_not_begin(running: Running, monkeypatch: pytest.MonkeyPatch) -> None:
    async def fail(book: CallBook, call: object) -> None:
        raise EngineError("storage_unavailable", "The database is away.", retryable=True)

    monkeypatch.setattr(CallBook, "begin", fail)
    assert running.refused(SESSION, json=OFFER) == (503, "storage_unavailable")
    assert not running.house.calls._calls
    running.idle()


def test_who_leaves_while_the_answer_is_made_pays_for_what_was_made(running: Running, backends: Backends) -> None:
    backends.fake.speech, backends.fake.speech_pause_s = bytes(48 * 60_000), 0.02
    request = httpx.Request(
        "POST", f"http://127.0.0.1:{running.port}{PIPELINE}", headers={"authorization": f"Bearer {KEY}"}, files=FORM
    )
    head = f"POST {PIPELINE} HTTP/1.1\r\n" + "".join(f"{name}: {value}\r\n" for name, value in request.headers.items())
    with socket.create_connection(("127.0.0.1", running.port), PATIENCE_S) as client:
        client.sendall(head.encode() + b"\r\n" + request.read())
        deadline = time.monotonic() + PATIENCE_S
        while not len(running.house.registry):
            assert time.monotonic() < deadline
            time.sleep(0.02)
        before = posted(running)
        time.sleep(0.5)
    running.idle()
    deadline = time.monotonic() + PATIENCE_S
    while posted(running) == before:
        assert time.monotonic() < deadline
        time.sleep(0.02)
    made = before - posted(running)
    whole = 60 * 20 * 20  # micro-credits of a minute of sound
    assert 0 < made < whole


def posted(running: Running) -> int:
    """What the operator's account has, by a reader of its own."""
    with sqlite3.connect(f"file:{running.house.office._settings.home}/parley.db?mode=ro", uri=True) as database:
        row = database.execute("SELECT posted FROM ledger_account WHERE id = ?", (LOCAL_ACCOUNT,)).fetchone()
    assert 0 < row[0] <= OPENING_MICRO
    return int(row[0])
