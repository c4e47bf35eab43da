"""Who may do what: every route of the route table, with every kind of caller, and every place where an id can stand.

A route that is not classified here fails, so that none is added without thought. "Not yours" and "does not exist" get the
same answer, byte for byte but for the id.
"""

import json
import re
import time
import urllib.error
import urllib.request
from collections.abc import Iterator
from enum import Enum
from pathlib import Path
from typing import Any, NamedTuple

import pytest
from starlette.routing import Route, WebSocketRoute
from websockets.exceptions import InvalidStatus
from websockets.sync.client import connect

from parley.app import House
from parley.auth.api_keys import ApiKeys
from parley.settings import Settings
from tests.conftest import Server, running_server
from tests.e2e.backends import running_backends
from tests.e2e.test_money import OFFER


class Opens(Enum):
    """What opens a route."""

    PUBLIC = "nothing is asked"
    KEY = "an API key"
    KEY_OR_SECRET = "an API key, or a client secret"
    COOKIE = "a sign-in at the console"
    KEY_OR_COOKIE = "an API key, or a sign-in"
    MANAGE = "a key with the scope admin, or a sign-in"
    ADMIN = "the same, of an admin"
    START = "nothing yet; the first message says who it is, unless a header does"
    ADDRESS = "a client secret for one use, in the address"


ROUTES: dict[tuple[str, str], Opens] = {
    ("GET", "/"): Opens.PUBLIC,
    ("GET", "/console"): Opens.PUBLIC,
    ("GET", "/console/{path:path}"): Opens.PUBLIC,
    ("GET", "/health"): Opens.PUBLIC,
    ("GET", "/ready"): Opens.PUBLIC,
    ("GET", "/metrics"): Opens.PUBLIC,
    ("GET", "/api/openapi.json"): Opens.PUBLIC,
    ("GET", "/api/docs"): Opens.PUBLIC,
    ("POST", "/api/console/sign-in"): Opens.PUBLIC,
    ("GET", "/api/console/sign-in"): Opens.PUBLIC,
    ("GET", "/api/console/oidc"): Opens.PUBLIC,
    ("GET", "/api/console/oidc/callback"): Opens.PUBLIC,
    ("GET", "/api/console"): Opens.COOKIE,
    ("POST", "/api/console/sign-out"): Opens.COOKIE,
    ("POST", "/api/console/secret"): Opens.COOKIE,
    ("GET", "/api/sessions"): Opens.COOKIE,
    ("GET", "/api/sessions/{session_id}"): Opens.COOKIE,
    ("DELETE", "/api/sessions/{session_id}"): Opens.COOKIE,
    ("GET", "/api/sessions/{session_id}/audio"): Opens.COOKIE,
    ("GET", "/api/me"): Opens.MANAGE,
    ("PUT", "/api/me/password"): Opens.MANAGE,
    ("GET", "/api/me/sign-ins"): Opens.MANAGE,
    ("DELETE", "/api/me/sign-ins/{sign_in_id}"): Opens.MANAGE,
    ("GET", "/api/projects"): Opens.MANAGE,
    ("POST", "/api/projects"): Opens.MANAGE,
    ("DELETE", "/api/projects/{project_id}"): Opens.MANAGE,
    ("GET", "/api/keys"): Opens.MANAGE,
    ("POST", "/api/keys"): Opens.MANAGE,
    ("GET", "/api/keys/{key_id}"): Opens.MANAGE,
    ("PUT", "/api/keys/{key_id}/rules"): Opens.MANAGE,
    ("POST", "/api/keys/{key_id}/budget"): Opens.MANAGE,
    ("DELETE", "/api/keys/{key_id}"): Opens.MANAGE,
    ("GET", "/api/prompts"): Opens.MANAGE,
    ("POST", "/api/prompts"): Opens.MANAGE,
    ("GET", "/api/prompts/{prompt_id}"): Opens.MANAGE,
    ("DELETE", "/api/prompts/{prompt_id}"): Opens.MANAGE,
    ("GET", "/api/prompts/{prompt_id}/versions"): Opens.MANAGE,
    ("POST", "/api/prompts/{prompt_id}/versions"): Opens.MANAGE,
    ("GET", "/api/credits"): Opens.MANAGE,
    ("GET", "/api/credits/lines"): Opens.MANAGE,
    ("GET", "/api/usage"): Opens.MANAGE,
    ("GET", "/api/usage.csv"): Opens.MANAGE,
    ("GET", "/api/prices"): Opens.MANAGE,
    ("GET", "/api/limits"): Opens.MANAGE,
    ("PUT", "/api/accounts/{account_id}/limits"): Opens.ADMIN,
    ("POST", "/api/credits"): Opens.ADMIN,
    ("PUT", "/api/prices/{model}"): Opens.ADMIN,
    ("GET", "/api/upstreams"): Opens.ADMIN,
    ("POST", "/api/upstreams/{name}/test"): Opens.ADMIN,
    ("GET", "/api/users"): Opens.ADMIN,
    ("POST", "/api/users"): Opens.ADMIN,
    ("PATCH", "/api/users/{user_id}"): Opens.ADMIN,
    ("POST", "/api/users/{user_id}/link"): Opens.ADMIN,
    ("GET", "/api/accounts/{account_id}"): Opens.ADMIN,
    ("PATCH", "/api/accounts/{account_id}"): Opens.ADMIN,
    ("GET", "/api/phone"): Opens.ADMIN,
    ("GET", "/api/phone/calls/{call_id}"): Opens.ADMIN,
    ("GET", "/api/webhooks"): Opens.ADMIN,
    ("POST", "/api/webhooks/{webhook_id}/replay"): Opens.ADMIN,
    ("POST", "/api/realtime/pipeline"): Opens.KEY_OR_COOKIE,
    ("POST", "/api/realtime/session"): Opens.KEY_OR_COOKIE,
    ("POST", "/api/realtime/charge"): Opens.KEY_OR_COOKIE,
    ("*", "/api/realtime/{path:path}"): Opens.PUBLIC,
    ("GET", "/v1/models"): Opens.KEY,
    ("GET", "/v1/models/{model}"): Opens.KEY,
    ("POST", "/v1/realtime/client_secrets"): Opens.KEY,
    ("POST", "/v1/realtime/sessions"): Opens.KEY,
    ("POST", "/v1/realtime/transcription_sessions"): Opens.KEY,
    ("POST", "/v1/realtime"): Opens.KEY_OR_SECRET,
    ("POST", "/v1/realtime/calls"): Opens.KEY_OR_SECRET,
    ("PATCH", "/v1/realtime/calls/{call_id}"): Opens.KEY_OR_SECRET,
    ("POST", "/v1/realtime/calls/{call_id}/hangup"): Opens.KEY_OR_SECRET,
    ("POST", "/v1/realtime/calls/{call_id}/accept"): Opens.KEY,
    ("POST", "/v1/realtime/calls/{call_id}/reject"): Opens.KEY,
    ("POST", "/v1/realtime/calls/{call_id}/refer"): Opens.KEY,
    ("GET", "/v1/realtime/ice_servers"): Opens.KEY_OR_SECRET,
    ("GET", "/v1/realtime"): Opens.PUBLIC,
    ("WS", "/v1/realtime"): Opens.KEY_OR_SECRET,
    ("WS", "/v1/realtime/media/{carrier}"): Opens.START,
    ("WS", "/v1/realtime/media/{carrier}/{secret}"): Opens.ADDRESS,
    ("WS", "/{path:path}"): Opens.PUBLIC,
}
"""`GET /v1/realtime` without an upgrade says that one is needed; `*` and the last line say that nothing is there."""

REFUSED = {401, 403}
AWAY = "http://127.0.0.1:9"
IDS = {"model": "gpt-realtime", "path": "nothing", "carrier": "twilio", "secret": "ek_nothing", "name": "nobody"}


def table(home: Path) -> set[tuple[str, str]]:
    """The route table as it is. OPTIONS and HEAD follow from the others."""
    settings = Settings(home=home, stt_url=AWAY, tts_url=AWAY, oidc_issuer=AWAY)
    house = House(settings, ApiKeys(["k"]))
    found: set[tuple[str, str]] = set()
    for route in house.app.routes:
        match route:
            case Route(methods=methods, path=path) if methods is not None and len(methods - {"OPTIONS"}) > 4:
                found.add(("*", path))
            case Route(methods=methods, path=path):
                found |= {(method, path) for method in methods or () if method not in ("HEAD", "OPTIONS")}
            case WebSocketRoute(path=path):
                found.add(("WS", path))
            case other:
                pytest.fail(f"{other} is no route that this test knows")
    return found


def test_every_route_is_classified(tmp_path: Path) -> None:
    found = table(tmp_path)
    assert found - ROUTES.keys() == set(), "say here what opens them"
    assert ROUTES.keys() - found == set(), "they are not there any more"


# ---- callers


class Answer(NamedTuple):
    status: int
    body: str


class Town(NamedTuple):
    """A server, and people in it: an admin (the local one), Ann, who has things, and Bob, who wants them."""

    server: Server
    callers: dict[str, dict[str, str]]
    """Kind of caller -> the headers that make one."""
    ann: dict[str, str]
    """What she has: kind of id -> id."""


@pytest.fixture(scope="module")
def town(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Town]:
    home = tmp_path_factory.mktemp("town")
    with running_backends() as backends, running_server(home, env=backends.env(PARLEY_OIDC_ISSUER=AWAY)) as server:
        yield settle(server)


def settle(server: Server) -> Town:
    local = {"authorization": f"Bearer {server.key}"}

    def admin(method: str, path: str, body: Any = None) -> Any:
        answer = send(server, method, path, local, json.dumps(body or {}).encode())
        assert answer.status < 300, (path, answer)
        return json.loads(answer.body)

    def person(name: str) -> tuple[dict[str, Any], dict[str, Any], dict[str, str]]:
        email = f"{name}-{time.time_ns()}@example.com"
        user = admin("POST", "/api/users", {"email": email, "password": "correct horse"})["user"]
        admin("POST", f"/api/credits?account={user['account']}", {"micro": 10**9})
        rules = {"scopes": ["admin", "realtime", "pipeline"]}
        made = admin("POST", f"/api/keys?account={user['account']}", {"name": name, "rules": rules})
        return user, made, {"authorization": f"Bearer {made['value']}"}

    ann, made, ann_key = person("ann")
    bob, _, bob_key = person("bob")
    where = f"/api/keys?account={bob['account']}"
    plain = admin("POST", where, {"name": "plain"})["value"]
    revoked = admin("POST", where, {"name": "revoked", "rules": {"scopes": ["admin", "realtime"]}})
    admin("DELETE", f"/api/keys/{revoked['key']['id']}?account={bob['account']}")
    brief = admin("POST", where, {"name": "brief", "expires_at": int(time.time()) + 2})["value"]
    secret = json.loads(send(server, "POST", "/v1/realtime/client_secrets", bob_key, b"{}").body)["value"]
    callers = {
        "nobody": {},
        "a wrong key": {"authorization": "Bearer sk-gptr2-" + "x" * 48},
        "a revoked key": {"authorization": f"Bearer {revoked['value']}"},
        "an expired key": {"authorization": f"Bearer {brief}"},
        "a client secret": {"authorization": f"Bearer {secret}"},
        "a plain key": {"authorization": f"Bearer {plain}"},
        "a managing key": bob_key,
        "a signed-in user": cookie(server, {"email": bob["email"], "password": "correct horse"}),
        "a signed-in admin": cookie(server, {"key": server.key}),
        "the local key": local,
    }
    time.sleep(2.1)  # the brief key's life
    return Town(server, callers, things_of(server, ann, made, ann_key))


def things_of(server: Server, ann: dict[str, Any], made: dict[str, Any], key: dict[str, str]) -> dict[str, str]:
    project = json.loads(send(server, "POST", "/api/projects", key, b'{"name": "hers"}').body)["id"]
    written = send(server, "POST", "/api/prompts", key, b'{"name": "hers", "instructions": "Be hers."}')
    prompt = json.loads(written.body)
    with connect(f"{server.ws_url}?model=gpt-realtime", additional_headers=key) as socket:
        session = json.loads(socket.recv())["session"]["id"]
    call = send(server, "POST", "/v1/realtime/calls", {**key, "content-type": "application/sdp"}, OFFER.encode())
    assert call.status == 201, call
    sign_in = cookie(server, {"email": ann["email"], "password": "correct horse"})
    login = json.loads(send(server, "GET", "/api/me/sign-ins", sign_in).body)["data"][0]["id"]
    return {
        "account_id": ann["account"],
        "user_id": ann["id"],
        "key_id": made["key"]["id"],
        "prompt_id": prompt["id"],
        "project_id": project,
        "session_id": session,
        "sign_in_id": login,
        "call_id": calls_of(call),
        "webhook_id": "wh_of_a_call_of_hers",  # an admin's business only
    }


def calls_of(answer: Answer) -> str:
    found = re.search(r"rtc_\w+", answer.body)
    assert found is not None
    return found[0]


def cookie(server: Server, credential: dict[str, str]) -> dict[str, str]:
    """Headers of a page that somebody has signed in to."""
    request = urllib.request.Request(
        f"{server.url}/api/console/sign-in",
        json.dumps(credential).encode(),
        {"content-type": "application/json", "origin": server.url},
    )
    with urllib.request.urlopen(request, timeout=20) as response:
        jar = {"cookie": response.headers["set-cookie"].partition(";")[0], "origin": server.url}
    csrf = json.loads(send(server, "GET", "/api/console", jar).body)["csrf"]
    return {**jar, "x-parley-csrf": csrf}


def send(server: Server, method: str, path: str, headers: dict[str, str], body: bytes | None = None) -> Answer:
    data = body if method not in ("GET", "HEAD", "DELETE") else None
    sent = {"content-type": "application/json", **headers}
    request = urllib.request.Request(f"{server.url}{path}", data, sent, method=method)
    opener = urllib.request.build_opener(Stays)
    try:
        response = opener.open(request, timeout=20)
    except urllib.error.HTTPError as error:
        response = error
    with response:
        location = response.headers.get("location", "")
        return Answer(response.status, response.read().decode(errors="replace") + location)


class Stays(urllib.request.HTTPRedirectHandler):
    def redirect_request(self, *args: Any) -> None:
        return None


def knock(server: Server, path: str, headers: dict[str, str]) -> Answer:
    """A WebSocket, opened and left again."""
    try:
        with connect(f"{server.ws_url.removesuffix('/v1/realtime')}{path}", additional_headers=headers):
            return Answer(101, "")
    except InvalidStatus as refused:
        return Answer(refused.response.status_code, (refused.response.body or b"").decode())


def try_it(town: Town, method: str, path: str, headers: dict[str, str]) -> Answer:
    if method == "WS":
        return knock(town.server, path, headers)
    return send(town.server, "GET" if method == "*" else method, path, headers, b"{}")


def filled(path: str, ids: dict[str, str]) -> str:
    return re.sub(r"{(\w+)(?::path)?}", lambda found: ids[found[1]], path)


STRANGERS = ("nobody", "a wrong key", "a revoked key", "an expired key")
SIGNED_IN = ("a signed-in user", "a signed-in admin")
KEYS = ("a plain key", "a managing key", "the local key")
LET_IN: dict[Opens, tuple[str, ...]] = {
    Opens.PUBLIC: (*STRANGERS, "a client secret", *KEYS, *SIGNED_IN),
    Opens.KEY: KEYS,
    Opens.KEY_OR_SECRET: (*KEYS, "a client secret"),
    Opens.COOKIE: SIGNED_IN,
    Opens.KEY_OR_COOKIE: (*KEYS, *SIGNED_IN),
    Opens.MANAGE: ("a managing key", "the local key", *SIGNED_IN),
    Opens.ADMIN: ("the local key", "a signed-in admin"),
    Opens.START: ("nobody", *KEYS, "a client secret", *SIGNED_IN),
    Opens.ADDRESS: (),
}
HARMFUL = {("POST", "/api/console/sign-out"), ("PUT", "/api/me/password")}
"""They end what the other tests stand on; who may not do them is tried, who may is tried elsewhere."""


@pytest.mark.parametrize(("method", "path"), sorted(ROUTES), ids=lambda value: value)
def test_every_caller_at_every_route(town: Town, method: str, path: str) -> None:
    """Who is let in may still be told that the body is wrong, or the id unknown."""
    opens = ROUTES[method, path]
    ids = {name: f"{name}_nothing" for name in town.ann} | IDS
    place = filled(path, ids) + ("?model=gpt-realtime" if path == "/v1/realtime" else "")
    for kind, headers in town.callers.items():
        welcome = kind in LET_IN[opens]
        if welcome and (method, path) in HARMFUL:
            continue
        answer = try_it(town, method, place, headers)
        if (method, path) == ("POST", "/api/console/sign-in"):
            assert answer.status in (400, 403), (kind, answer)  # 403 without our page's origin
        elif "oidc" in path:
            assert answer.status in (401, 502), (kind, answer)  # nothing was begun; nobody is there
        elif welcome:
            assert answer.status not in REFUSED and answer.status != 500, (kind, answer)
        elif opens in (Opens.KEY, Opens.KEY_OR_SECRET):
            assert answer.status == (403 if kind == "a client secret" else 401), (kind, answer)
        else:
            assert answer.status in REFUSED, (kind, answer)


# ---- ids

WITH_IDS = sorted((method, path) for method, path in ROUTES if "_id}" in path)
OF_BOB = ("a managing key", "a signed-in user")


@pytest.mark.parametrize(("method", "path"), WITH_IDS, ids=lambda value: value)
def test_not_yours_is_the_same_as_not_there(town: Town, method: str, path: str) -> None:
    for kind in OF_BOB:
        headers = town.callers[kind]
        hers = try_it(town, method, filled(path, town.ann), headers)
        nobodys = {name: id[:-4] + "zzzz" for name, id in town.ann.items()}
        none = try_it(town, method, filled(path, nobodys), headers)
        assert without(hers.body, town.ann) == without(none.body, nobodys), kind
        assert hers.status == none.status, kind
        assert hers.status >= 400 or (method, path) == ("DELETE", "/api/me/sign-ins/{sign_in_id}"), hers


def without(body: str, ids: dict[str, str]) -> str:
    for id in ids.values():
        body = body.replace(id, "ID")
    return body


@pytest.mark.parametrize(
    "path",
    ["/api/keys", "/api/credits", "/api/credits/lines", "/api/usage", "/api/projects", "/api/limits", "/api/prompts"],
)
def test_another_account_cannot_be_named(town: Town, path: str) -> None:
    for kind in OF_BOB:
        hers, none = (
            send(town.server, "GET", f"{path}?account={account}", town.callers[kind])
            for account in (town.ann["account_id"], "acc_nothing")
        )
        assert hers == none and hers.status == 404


def test_ids_in_bodies_and_queries(town: Town) -> None:
    key, call = town.callers["a managing key"], town.ann["call_id"]
    sideband = [knock(town.server, f"/v1/realtime?call_id={id}", key) for id in (call, call[:-4] + "zzzz")]
    assert sideband[0].status == sideband[1].status == 404
    assert sideband[0].body.replace(call, "") == sideband[1].body.replace(call[:-4] + "zzzz", "")
    charges = [
        send(
            town.server,
            "POST",
            "/api/realtime/charge",
            key,
            json.dumps({"callId": id, "model": "realtime-mini"}).encode(),
        )
        for id in (call, call[:-4] + "zzzz")
    ]
    assert charges[0].body.replace(call, "") == charges[1].body.replace(call[:-4] + "zzzz", "")
    assert charges[0].status == charges[1].status == 404
    project = town.ann["project_id"]
    made = [
        send(town.server, "POST", "/api/keys", key, json.dumps({"name": "x", "project": id}).encode())
        for id in (project, project[:-4] + "zzzz")
    ]
    assert made[0] == made[1] and made[0].status == 404


def test_nothing_of_hers_was_lost(town: Town) -> None:
    """After all that Bob has tried."""
    local = town.callers["the local key"]
    keys = json.loads(send(town.server, "GET", f"/api/keys?account={town.ann['account_id']}", local).body)["data"]
    assert [key["revoked_at"] for key in keys] == [None]
    projects = json.loads(send(town.server, "GET", f"/api/projects?account={town.ann['account_id']}", local).body)[
        "data"
    ]
    assert [project["id"] for project in projects] == [town.ann["project_id"]]
    credit = json.loads(send(town.server, "GET", f"/api/credits?account={town.ann['account_id']}", local).body)
    assert credit["balance_micro"] == 10**9
