"""The server's side of the console: who gets in, what a cookie opens, and what a foreign page cannot do."""

import asyncio
import json
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import jsonschema
import pytest
from starlette.applications import Starlette
from starlette.testclient import TestClient

from parley.auth.accounts import LINK_S, SESSION_S, Accounts
from parley.auth.api_keys import ApiKeys
from parley.auth.client_secrets import ClientSecrets, MemoryStore
from parley.auth.gate import LOCAL_ACCOUNT, Gate
from parley.core.effects import Stamps, Turn
from parley.core.events import TranscriptionCompleted
from parley.live.recorder import Recorder
from parley.live.recording import Recordings
from parley.office import Office
from parley.settings import Settings
from parley.upstreams import Upstreams
from parley.web import errors
from parley.web.console import Desk, Files, routes
from parley.web.sessions import PAGE_MAX
from parley.web.sign_in import SignIn
from tests.conftest import ROOT

URL = "http://127.0.0.1:8000"
ORIGIN = {"origin": URL}
KEY = "sk-parley-tests"
HASHED = "assets/index-abc.js"


class House:
    """Everything behind the routes, with a clock that is set by hand."""

    def __init__(self, root: Path) -> None:
        self.now = 1_000_000.0
        settings = Settings(home=root.parent)
        self.office = Office(settings)
        asyncio.run(self.office.open())
        self.accounts = Accounts(self.office.storage, b"pepper", now=lambda: self.now)
        self.sign_in = SignIn(self.accounts, b"secret")
        clock = lambda: self.now  # noqa: E731
        self.recordings = Recordings(self.office.storage, root.parent, "transcripts", 7, unix=clock, clock=clock)
        self.secrets = ClientSecrets(MemoryStore(), b"pepper")
        desk = Desk(
            Gate(ApiKeys([KEY]), self.office.keys, self.secrets),
            self.accounts,
            self.secrets,
            lambda: {"engines": {"language_model": "none"}},
            Upstreams(settings).check,
            lambda: ["gpt-realtime"],
            self.office.charged_for,
            lambda: [{"urls": "stun:stun.example"}],
            ["console.example", "*.parley.example"],
        )
        self.app = Starlette(
            routes=routes(desk, self.sign_in, self.recordings, Files(root)), exception_handlers=errors.HANDLERS
        )

    def client(self, url: str = URL) -> TestClient:
        return TestClient(self.app, url, follow_redirects=False)

    def signed_in(self) -> "Page":
        client = self.client()
        assert client.post("/api/console/sign-in", json={"key": KEY}, headers=ORIGIN).status_code == 204
        return Page(client, client.get("/api/console").json()["csrf"])


class Page:
    """What the real page does."""

    def __init__(self, client: TestClient, csrf: str) -> None:
        self.client = client
        self.headers = {**ORIGIN, "x-parley-csrf": csrf}

    def post(self, path: str, body: Any = None, **headers: str) -> Any:
        given = {name: value for name, value in {**self.headers, **headers}.items() if value}
        return self.client.post(path, json=body, headers=given)


@pytest.fixture
def house(tmp_path: Path) -> House:
    root = tmp_path / "dist"
    (root / "assets").mkdir(parents=True)
    (root / "index.html").write_text("<!doctype html>")
    (root / HASHED).write_text("let plain")
    (root / f"{HASHED}.br").write_text("let brotli")
    (root / f"{HASHED}.gz").write_text("let gzip")
    (tmp_path / "secret.txt").write_text("not yours")
    return House(root)


@pytest.fixture
def page(house: House) -> Iterator[Page]:
    yield house.signed_in()


def code(response: Any) -> str:
    return str(response.json()["error"]["code"])


def token(house: House) -> str:
    return asyncio.run(house.sign_in.new_link(URL)).partition("#sign-in=")[2]


# ---- signing in


def test_a_link_works_once(house: House) -> None:
    link = asyncio.run(house.sign_in.new_link(URL))
    assert link.startswith(f"{URL}/console/#sign-in="), "in the fragment, which is sent to nobody"
    body = {"token": link.partition("#sign-in=")[2]}
    client = house.client()
    assert client.post("/api/console/sign-in", json=body, headers=ORIGIN).status_code == 204
    assert client.get("/api/console").status_code == 200
    second = house.client().post("/api/console/sign-in", json=body, headers=ORIGIN)
    assert (second.status_code, code(second)) == (401, "sign_in_required")


def test_a_link_waits_for_a_day(house: House) -> None:
    late = token(house)
    house.now += LINK_S
    response = house.client().post("/api/console/sign-in", json={"token": late}, headers=ORIGIN)
    assert (response.status_code, code(response)) == (401, "sign_in_required")


def test_a_password(house: House) -> None:
    asyncio.run(house.accounts.create_user("ann@example.com", password="correct horse"))
    client = house.client()
    wrong = {"email": "ann@example.com", "password": "wrong horse"}
    assert code(client.post("/api/console/sign-in", json=wrong, headers=ORIGIN)) == "invalid_sign_in"
    right = {"email": "Ann@example.com ", "password": "correct horse"}
    assert client.post("/api/console/sign-in", json=right, headers=ORIGIN).status_code == 204
    user = client.get("/api/console").json()["user"]
    assert (user["name"], user["role"]) == ("ann", "user")


def test_a_wrong_key_or_nothing(house: House) -> None:
    client = house.client()
    for body, wanted in (({"key": "sk-wrong"}, "invalid_api_key"), ({}, "missing_required_parameter")):
        assert code(client.post("/api/console/sign-in", json=body, headers=ORIGIN)) == wanted
    assert code(client.get("/api/console")) == "sign_in_required"


def test_the_cookie_is_for_our_page_alone(house: House) -> None:
    response = house.client().post("/api/console/sign-in", json={"key": KEY}, headers=ORIGIN)
    cookie = response.headers["set-cookie"].lower()
    assert cookie.startswith("parley_console_8000=")
    for attribute in ("httponly", "samesite=strict", "path=/api", f"max-age={SESSION_S}"):
        assert attribute in cookie
    assert "secure" not in cookie
    over_tls = house.client("https://console.example").post(
        "/api/console/sign-in", json={"key": KEY}, headers={"origin": "https://console.example"}
    )
    assert "secure" in over_tls.headers["set-cookie"].lower()


def test_a_cookie_ends_and_cannot_be_made(house: House) -> None:
    client = house.signed_in().client
    cookie = client.cookies["parley_console_8000"]

    def opens(value: str) -> bool:
        return house.client().get("/api/console", headers={"cookie": f"parley_console_8000={value}"}).is_success

    assert opens(cookie)
    for wrong in ("", ".", cookie[:-1] + ("0" if cookie[-1] != "0" else "1"), "9" + cookie, cookie + "0"):
        assert not opens(wrong)
    house.now += SESSION_S
    assert not opens(cookie)


def test_signing_out(page: Page) -> None:
    assert page.post("/api/console/sign-out").status_code == 204
    assert page.client.get("/api/console").status_code == 401


# ---- what a cookie opens


def test_a_secret_is_for_one_call_of_this_page(house: House, page: Page) -> None:
    made = page.post("/api/console/secret", {"session": {"type": "realtime", "model": "gpt-realtime"}})
    assert made.headers["cache-control"] == "no-store"
    kept = house.secrets._store._kept.popitem()[1]  # type: ignore[attr-defined]
    assert (kept.uses_left, kept.binding.origins, kept.binding.model_bound) == (1, (URL,), True)
    refused = page.post("/api/console/secret", {"session": {"type": "realtime", "model": "no-such-model"}})
    assert code(refused) == "model_not_found"


@pytest.mark.parametrize(
    "headers",
    [
        {"origin": "http://evil.example"},
        {"origin": "http://127.0.0.1:9000"},
        {"origin": "null"},
        {"origin": ""},
        {"sec-fetch-site": "cross-site"},
        {"sec-fetch-site": "same-site"},
        {"x-parley-csrf": ""},
        {"x-parley-csrf": "0" * 64},
        {"x-parley-csrf": "é"},
    ],
)
def test_a_foreign_page_gets_nothing_with_the_cookie(headers: dict[str, str], page: Page) -> None:
    given = {name.encode(): value.encode() for name, value in {**page.headers, **headers}.items() if value}
    for path in ("/api/console/secret", "/api/console/sign-out"):
        response = page.client.post(path, json={"session": {"type": "realtime"}}, headers=given)
        assert (response.status_code, code(response)) == (403, "origin_not_allowed")
    assert page.client.get("/api/console").status_code == 200


def test_a_foreign_page_cannot_read_or_sign_in(page: Page) -> None:
    foreign = {"origin": "http://evil.example", "sec-fetch-site": "cross-site"}
    assert page.client.get("/api/sessions", headers=foreign).status_code == 403
    assert page.client.post("/api/console/sign-in", json={"key": KEY}, headers=foreign).status_code == 403


@pytest.mark.parametrize(
    ("host", "allowed"),
    [
        ("127.0.0.1:8000", True),
        ("[::1]:8000", True),
        ("192.168.1.7", True),
        ("localhost:8000", True),
        ("parley.localhost", True),
        ("console.example", True),
        ("CONSOLE.example:443", True),
        ("a.parley.example", True),
        ("parley.example", False),
        ("evil.example", False),
        ("localhost.evil.example", False),
        ("127.0.0.1.evil.example", False),
        ("[", False),
        ("", False),
    ],
)
def test_only_known_names_are_answered(host: str, allowed: bool, house: House) -> None:
    """A name that someone points at this machine is not ours (DNS rebinding)."""
    for path in ("/console/", "/api/console", "/"):
        response = house.client().get(path, headers={"host": host})
        assert (response.status_code != 403) == allowed, path


def test_bodies_are_json_and_bounded(house: House) -> None:
    client = house.client()

    def post(content: bytes, kind: str = "application/json") -> Any:
        headers = {**ORIGIN, "content-type": kind}
        return client.post("/api/console/sign-in", content=content, headers=headers)

    assert post(b"key=1", "application/x-www-form-urlencoded").status_code == 400
    assert post(b'{"key": "1"}', "text/plain").status_code == 400
    assert post(b"[1]").status_code == 400
    assert post(b"{").status_code == 400
    assert post(b" " * 1_100_000).status_code == 413


# ---- files


def test_files_of_the_console(house: House) -> None:
    client = house.client()
    for path in ("/console/", "/console/events", "/console/sessions/sess_1"):
        index = client.get(path)
        assert (index.text, index.headers["cache-control"]) == ("<!doctype html>", "no-cache")
    policy = index.headers["content-security-policy"]
    assert "unsafe" not in policy
    assert "script-src 'self';" in policy
    assert "ws://127.0.0.1:8000" in policy
    script = client.get(f"/console/{HASHED}", headers={"accept-encoding": "identity"})
    assert (script.text, script.headers["cache-control"]) == ("let plain", "public, max-age=31536000, immutable")
    assert script.headers["content-type"].startswith("text/javascript")
    with client.stream("GET", f"/console/{HASHED}", headers={"accept-encoding": "gzip, br"}) as twin:
        assert (twin.headers["content-encoding"], b"".join(twin.iter_raw())) == ("br", b"let brotli")
    assert client.get("/console/assets/index-old.js").status_code == 404
    for path in (
        "/console/../secret.txt",
        "/console/..%2fsecret.txt",
        "/console/%2e%2e/secret.txt",
        "/console//etc/passwd",
    ):
        assert "not yours" not in client.get(path).text
    assert client.get("/").headers["location"] == "/console/"


def test_without_a_build_it_says_how(tmp_path: Path) -> None:
    response = House(tmp_path).client().get("/console/")
    assert response.status_code == 503
    assert "build_console.py" in response.text


# ---- sessions


def keep(house: House, session: str, account: str = LOCAL_ACCOUNT) -> Recorder:
    """A session that begins, and is answered once."""
    recorder = house.recordings.open(session, account=account, model="gpt-realtime")
    recorder.sent(TranscriptionCompleted(item_id="item_1", content_index=0, transcript="Hello?", usage={}))
    recorder.turn(Turn(kind="response", id="resp_1", item_id=None, model="m", status="completed", stamps=Stamps()))
    return recorder


def test_sessions_live_and_past(house: House, page: Page) -> None:
    keep(house, "sess_1").ended()
    house.now += 60
    keep(house, "sess_2")
    keep(house, "sess_other", "another account")
    listed = page.client.get("/api/sessions").json()["data"]
    assert [(one["id"], one["turns"], one["ended_at"]) for one in listed] == [
        ("sess_2", 1, None),
        ("sess_1", 1, house.now - 60),
    ]
    whole = page.client.get("/api/sessions/sess_1").json()
    assert whole["turns"][0]["id"] == "resp_1" and whole["transcript"][0]["text"] == "Hello?"
    for path in ("/api/sessions/sess_9", "/api/sessions/sess_other", "/api/sessions/sess_other/audio"):
        assert code(page.client.get(path)) == "session_not_found"


def test_pages_of_sessions(house: House, page: Page) -> None:
    for number in range(5):
        keep(house, f"sess_{number}").ended()
        house.now += 1
    first = page.client.get("/api/sessions?limit=3").json()
    second = page.client.get(f"/api/sessions?limit=3&after={first['next']}").json()
    assert [one["id"] for one in first["data"] + second["data"]] == [f"sess_{number}" for number in (4, 3, 2, 1, 0)]
    assert second["next"] is None
    for wrong in ("limit=0", f"limit={PAGE_MAX + 1}", "limit=x", "after=nonsense", "after=1.2.3"):
        assert code(page.client.get(f"/api/sessions?{wrong}")) == "invalid_value"


def test_only_our_own_page_deletes(house: House, page: Page) -> None:
    keep(house, "sess_1").ended()
    for headers in ({}, {**page.headers, "x-parley-csrf": "no"}, {**page.headers, "origin": "http://evil.example"}):
        assert code(page.client.delete("/api/sessions/sess_1", headers=headers)) == "origin_not_allowed"
    assert page.client.delete("/api/sessions/sess_1", headers=page.headers).status_code == 204
    assert code(page.client.delete("/api/sessions/sess_1", headers=page.headers)) == "session_not_found"
    assert code(house.client().get("/api/sessions")) == "sign_in_required"


# ---- the description


def test_answers_are_as_described(house: House, page: Page) -> None:
    document = json.loads((ROOT / "console" / "openapi.json").read_text())
    keep(house, "sess_1")

    def check(path: str, method: str, response: Any) -> None:
        described = document["paths"][path][method]["responses"][str(response.status_code)]
        if "$ref" in described:
            described = document["components"]["responses"][described["$ref"].rpartition("/")[2]]
        schema = described["content"]["application/json"]["schema"]
        jsonschema.validate(response.json(), {**schema, "components": document["components"]})

    check("/api/console", "get", page.client.get("/api/console"))
    check("/api/console", "get", house.client().get("/api/console"))
    check("/api/console/secret", "post", page.post("/api/console/secret", {"session": {"type": "realtime"}}))
    check("/api/sessions", "get", page.client.get("/api/sessions"))
    check("/api/sessions/{session_id}", "get", page.client.get("/api/sessions/sess_1"))
    check("/api/sessions/{session_id}", "get", page.client.get("/api/sessions/none"))
    check("/api/sessions/{session_id}/audio", "get", page.client.get("/api/sessions/sess_1/audio"))
