"""The management API on a real server: people, keys, credits, usage, prices; its document and its page."""

import csv
import io
import json
import time
import urllib.error
import urllib.request
from typing import Any, NamedTuple

import jsonschema
import pytest

from parley.office import OPENING_MICRO
from tests.conftest import MakeServer, Server

CREDIT = 1_000_000


class Answer(NamedTuple):
    status: int
    body: Any
    headers: dict[str, str]

    @property
    def code(self) -> str:
        return str(self.body["error"]["code"])


class Api:
    """A program with a key."""

    def __init__(self, server: Server, key: str | None = None) -> None:
        self._url = server.url
        self._key = key or server.key

    def __call__(self, method: str, path: str, body: Any = None, **headers: str) -> Answer:
        data = None if body is None else json.dumps(body).encode()
        sent = {"authorization": f"Bearer {self._key}", "content-type": "application/json", **headers}
        request = urllib.request.Request(f"{self._url}{path}", data, sent, method=method)
        try:
            response = urllib.request.urlopen(request, timeout=20)
        except urllib.error.HTTPError as error:
            response = error
        with response:
            raw, kind = response.read(), response.headers["content-type"]
            found = {name.lower(): value for name, value in response.headers.items()}
            return Answer(response.status, json.loads(raw) if kind == "application/json" else raw.decode(), found)


@pytest.fixture
def admin(server: Server) -> Api:
    return Api(server)


class Person(NamedTuple):
    user: dict[str, Any]
    api: Api


def newcomer(server: Server, role: str = "user") -> Person:
    """Somebody with an account of their own, and a key of theirs for this API."""
    admin = Api(server)
    made = admin("POST", "/api/users", {"email": f"{time.time_ns()}@example.com", "role": role})
    assert made.status == 201
    user = made.body["user"]
    # A key with the scope `admin` is made by an admin, or at the console; it does what its person may do.
    key = admin(
        "POST", f"/api/keys?account={user['account']}", {"name": "script", "rules": {"scopes": ["admin", "realtime"]}}
    )
    assert key.status == 201, key
    return Person(user, Api(server, key.body["value"]))


def test_who_i_am(admin: Api, server: Server) -> None:
    me = admin("GET", "/api/me").body
    assert (me["account"], me["user"]["role"]) == ("local", "admin")
    ann = newcomer(server)
    assert ann.api("GET", "/api/me").body["user"] == ann.user


def test_credits_are_added_once_and_seen(admin: Api, server: Server) -> None:
    ann = newcomer(server)
    where = f"/api/credits?account={ann.user['account']}"
    assert ann.api("GET", "/api/credits").body["balance_micro"] == 0
    for _ in range(2):
        assert admin("POST", where, {"micro": 5 * CREDIT, "id": "invoice-7", "note": "paid"}).status == 200
    assert ann.api("GET", "/api/credits").body["balance_micro"] == 5 * CREDIT
    assert admin("POST", where, {"micro": 6 * CREDIT, "id": "invoice-7"}).code == "idempotency_conflict"
    assert ann.api("POST", "/api/credits", {"micro": 1}).code == "admin_required"
    lines = ann.api("GET", "/api/credits/lines").body
    assert [(line["kind"], line["moved_micro"], line["note"]) for line in lines["data"]] == [
        ("credit", 5 * CREDIT, "paid")
    ]
    assert admin("GET", "/api/credits").body["balance_micro"] <= OPENING_MICRO


def test_lines_come_in_pages(admin: Api, server: Server) -> None:
    ann = newcomer(server)
    for number in range(5):
        admin("POST", f"/api/credits?account={ann.user['account']}", {"micro": 1 + number})
    seen, before = [], ""
    while True:
        page = ann.api("GET", f"/api/credits/lines?limit=2{before}").body
        seen += [line["moved_micro"] for line in page["data"]]
        if page["next"] is None:
            break
        before = f"&before={page['next']}"
    assert sorted(seen) == [1, 2, 3, 4, 5]
    assert ann.api("GET", "/api/credits/lines?before=nonsense").code == "invalid_value"


def test_a_key_lives_and_dies(server: Server) -> None:
    ann = newcomer(server)
    asked = {"name": "laptop", "rules": {"scopes": ["realtime"], "models": ["gpt-realtime"]}, "budget_micro": CREDIT}
    made = ann.api("POST", "/api/keys", asked)
    assert made.status == 201 and made.body["value"].startswith("sk-gptr2-")
    key = made.body["key"]
    assert key["budget_micro"] == CREDIT and made.body["value"] not in json.dumps(ann.api("GET", "/api/keys").body)
    more = ann.api("POST", f"/api/keys/{key['id']}/budget", {"micro": CREDIT, "id": "x"})
    assert more.body["budget_micro"] == 2 * CREDIT
    changed = ann.api("PUT", f"/api/keys/{key['id']}/rules", {"scopes": ["pipeline"], "voices": ["marin"]})
    assert changed.body["rules"]["scopes"] == ["pipeline"] and changed.body["budget_micro"] == 2 * CREDIT
    assert ann.api("DELETE", f"/api/keys/{key['id']}").status == 200
    assert ann.api("GET", f"/api/keys/{key['id']}").body["revoked_at"] is not None
    assert Api(server, made.body["value"])("GET", "/api/me").code == "invalid_api_key"


def test_a_key_without_the_scope_opens_nothing_here(server: Server) -> None:
    ann = newcomer(server)
    made = ann.api("POST", "/api/keys", {"name": "laptop"}).body
    assert Api(server, made["value"])("GET", "/api/keys").code == "key_not_allowed"
    refused = ann.api("POST", "/api/keys", {"name": "more", "rules": {"scopes": ["admin"]}})
    assert refused.code == "key_not_allowed"


@pytest.mark.parametrize(
    ("body", "code", "param"),
    [
        ({}, "missing_required_parameter", "name"),
        ({"name": "x", "nmae": 1}, "unknown_parameter", "nmae"),
        ({"name": ""}, "invalid_value", "name"),
        ({"name": "x", "rules": {"scopes": ["all"]}}, "invalid_value", "rules.scopes[0]"),
        ({"name": "x", "rules": {"models": ["gpt-9"]}}, "invalid_value", "models"),
        ({"name": "x", "expires_at": 1}, "invalid_value", "expires_at"),
        ({"name": "x", "project": "proj_none"}, "project_not_found", "project"),
        ({"name": "x", "budget_micro": -1}, "invalid_value", "budget_micro"),
    ],
)
def test_what_is_wrong_is_named(admin: Api, body: Any, code: str, param: str) -> None:
    answer = admin("POST", "/api/keys", body)
    assert (answer.code, answer.body["error"]["param"]) == (code, param)


def test_bodies_that_are_none(admin: Api) -> None:
    assert admin("POST", "/api/keys", **{"content-type": "text/plain"}).code == "unsupported_media_type"
    assert admin("POST", "/api/keys", {"name": "x" * 70_000}).code == "request_too_large"
    assert admin("POST", "/api/keys", [1]).code == "invalid_value"


def test_people(admin: Api, server: Server) -> None:
    made = admin("POST", "/api/users", {"email": f"{time.time_ns()}@example.com", "name": "Ann"}).body
    user = made["user"]
    assert made["link"]["token"] and user["account"] != "local"
    assert user in admin("GET", "/api/users").body["data"]
    assert admin("GET", f"/api/users?account={user['account']}").body["data"] == [user]
    changed = admin("PATCH", f"/api/users/{user['id']}", {"role": "admin", "disabled": True}).body
    assert changed["role"] == "admin" and changed["disabled_at"] is not None
    assert admin("PATCH", f"/api/users/{user['id']}", {"disabled": False}).body["disabled_at"] is None
    again = admin("POST", "/api/users", {"email": user["email"]})
    assert again.code == "email_taken"
    assert admin("PATCH", "/api/users/user_none", {"role": "user"}).code == "user_not_found"
    marked = admin("PATCH", f"/api/accounts/{user['account']}", {"markup_bp": 2_000}).body
    assert marked["markup_bp"] == 2_000


def test_projects(server: Server) -> None:
    ann = newcomer(server)
    project = ann.api("POST", "/api/projects", {"name": "Phone"}).body
    assert ann.api("GET", "/api/projects").body["data"] == [project]
    made = ann.api("POST", "/api/keys", {"name": "x", "project": project["id"]}).body
    assert made["key"]["project"] == project["id"]
    assert ann.api("DELETE", f"/api/projects/{project['id']}").status == 200
    assert ann.api("GET", "/api/projects").body["data"] == []


def test_prices(admin: Api, server: Server) -> None:
    assert any(row["model"] == "gpt-realtime" for row in admin("GET", "/api/prices").body["data"])
    day = time.strftime("%Y-%m-%d", time.gmtime())
    set_ = admin("PUT", "/api/prices/my-model", {"input_text": 5, "minute": 7}).body
    assert (set_["model"], set_["since"], set_["own"], set_["input_text"]) == ("my-model", day, True, 5)
    assert set_ in newcomer(server).api("GET", "/api/prices").body["data"]
    assert admin("PUT", "/api/prices/my-model", {"since": "2020-01-01"}).code == "invalid_value"
    assert newcomer(server).api("PUT", "/api/prices/my-model", {}).code == "admin_required"


def test_usage(admin: Api, server: Server) -> None:
    used = admin("GET", "/api/usage").body
    assert used["until"] == time.strftime("%Y-%m-%d", time.gmtime())
    table = admin("GET", "/api/usage.csv")
    assert table.headers["content-type"].startswith("text/csv")
    rows = list(csv.DictReader(io.StringIO(table.body)))
    assert [int(row["micro"]) for row in rows] == [row["micro"] for row in used["data"]]
    for wrong in ("since=2026-02-30", "since=2026-03-01&until=2026-02-01", "since=2020-01-01&until=2026-01-01"):
        assert admin("GET", f"/api/usage?{wrong}").code == "invalid_value"


def test_the_document_describes_every_answer(admin: Api, server: Server) -> None:
    document = admin("GET", "/api/openapi.json").body
    assert document["openapi"] == "3.1.0"
    for path, methods in document["paths"].items():
        if "get" not in methods or "{" in path:
            continue
        content = methods["get"]["responses"]["200"]["content"]
        answer = admin("GET", path)
        assert answer.status == 200, (path, answer)
        if "application/json" in content:
            schema = {**content["application/json"]["schema"], "components": document["components"]}
            jsonschema.validate(answer.body, schema)
    names = [described["operationId"] for methods in document["paths"].values() for described in methods.values()]
    assert len(names) == len(set(names))


def test_the_page_of_it_needs_nothing_from_elsewhere(admin: Api) -> None:
    page = admin("GET", "/api/docs")
    assert page.status == 200 and "/api/keys" in page.body
    assert "<script" not in page.body and "http://" not in page.body.replace("http://127.0.0.1:8000", "")
    assert "default-src 'none'" in page.headers["content-security-policy"]


def test_the_cookie_opens_it_too_but_not_for_a_foreign_page(make_server: MakeServer) -> None:
    server = make_server()
    origin = {"origin": server.url}
    opener = urllib.request.build_opener()

    def send(method: str, path: str, body: Any = None, **headers: str) -> tuple[int, Any, str]:
        data = None if body is None else json.dumps(body).encode()
        request = urllib.request.Request(
            f"{server.url}{path}", data, {"content-type": "application/json", **headers}, method=method
        )
        try:
            response = opener.open(request, timeout=20)
        except urllib.error.HTTPError as error:
            response = error
        with response:
            raw = response.read()
            return response.status, json.loads(raw) if raw else None, response.headers.get("set-cookie", "")

    status, _, cookie = send("POST", "/api/console/sign-in", {"key": server.key}, **origin)
    assert status == 204
    jar = {"cookie": cookie.partition(";")[0]}
    csrf = send("GET", "/api/console", **jar)[1]["csrf"]
    good = {**jar, **origin, "x-parley-csrf": csrf}
    assert send("POST", "/api/keys", {"name": "mine"}, **good)[0] == 201
    for bad in (
        {**good, "x-parley-csrf": "0" * 64},
        {**jar, **origin},
        {**good, "origin": "https://evil.example"},
        {**good, "sec-fetch-site": "cross-site"},
        {**good, "host": "evil.example"},
    ):
        status, body, _ = send("POST", "/api/keys", {"name": "theirs"}, **bad)
        assert status == 403, (bad, body)
    assert [key["name"] for key in send("GET", "/api/keys", **jar)[1]["data"]] == ["mine"]
