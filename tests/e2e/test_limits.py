"""Limits behind the doors: of keys and of accounts, with Retry-After, over HTTP, in events, and in the console's API."""

import json
import time
from collections.abc import Iterator
from typing import Any

import pytest
from websockets.exceptions import InvalidStatus

from tests.conftest import Server, running_server
from tests.e2e.backends import Backends, running_backends
from tests.redis_servers import RedisServer
from tests.sdk.client import talking
from tests.security.test_matrix import send


@pytest.fixture(scope="module")
def backends() -> Iterator[Backends]:
    with running_backends() as backends:
        yield backends


@pytest.fixture(scope="module", params=["memory", "redis"])
def server(
    request: pytest.FixtureRequest, backends: Backends, tmp_path_factory: pytest.TempPathFactory
) -> Iterator[Server]:
    home = tmp_path_factory.mktemp("limits")
    if request.param == "memory":
        with running_server(home, env=backends.env()) as server:
            yield server
        return
    redis = RedisServer(home)
    redis.start()
    try:
        with running_server(home, env=backends.env(PARLEY_REDIS_URL=redis.url)) as server:
            yield server
    finally:
        redis.kill()


class Somebody:
    """With an account of their own, and limits."""

    def __init__(self, server: Server, rules: dict[str, Any], limits: dict[str, Any] | None = None) -> None:
        self._server = server
        user = self.admin("POST", "/api/users", {"email": f"{time.time_ns()}@example.com"})["user"]
        self.account = user["account"]
        self.admin("POST", f"/api/credits?account={self.account}", {"micro": 10**9})
        if limits is not None:
            self.admin("PUT", f"/api/accounts/{self.account}/limits", limits)
        made = self.admin("POST", f"/api/keys?account={self.account}", {"name": "limited", "rules": rules})
        self.server = server._replace(key=made["value"])

    def admin(self, method: str, path: str, body: Any = None) -> Any:
        key = {"authorization": f"Bearer {self._server.key}"}
        answer = send(self._server, method, path, key, json.dumps(body).encode())
        assert answer.status < 300, answer
        return json.loads(answer.body)

    def limits(self) -> dict[str, tuple[str, int, int]]:
        data = self.admin("GET", f"/api/limits?account={self.account}")["data"]
        return {limit["name"]: (limit["subject"], limit["limit"], limit["remaining"]) for limit in data}


async def refused(server: Server) -> InvalidStatus:
    with pytest.raises(InvalidStatus) as caught:
        async with talking(server):
            pass
    return caught.value


async def test_sessions_at_once(server: Server) -> None:
    ann = Somebody(server, {"sessions_at_once": 1})
    async with talking(ann.server):
        assert ann.limits()["sessions_at_once"] == ("key", 1, 0)
        error = await refused(ann.server)
        assert error.response.status_code == 429 and int(error.response.headers["retry-after"]) >= 1
        assert json.loads(error.response.body or b"")["error"]["code"] == "too_many_sessions"
    for _ in range(100):
        if ann.limits()["sessions_at_once"][2] == 1:
            break
        time.sleep(0.05)
    async with talking(ann.server):
        pass


async def test_requests_of_the_account(server: Server) -> None:
    """Opening a session is one, and each response is one."""
    ann = Somebody(server, {}, {"requests_per_minute": 2})
    async with talking(ann.server) as client:
        first = await client.ask("What is this?")
        assert first["status"] == "completed"
        second = await client.ask("And this?")
        assert second["status"] == "failed"
        assert second["status_details"]["error"]["code"] == "rate_limit_exceeded"
        rates = {rate["name"]: rate for rate in client.of("rate_limits.updated")[-1]["rate_limits"]}
        assert rates["requests"]["limit"] == 2 and rates["requests"]["remaining"] == 0
    error = await refused(ann.server)
    assert error.response.status_code == 429 and error.response.headers["x-ratelimit-limit-requests"] == "2"
    assert ann.limits()["requests_per_minute"][:2] == ("account", 2)


async def test_tokens_and_minutes_are_counted(server: Server) -> None:
    ann = Somebody(server, {"tokens_per_minute": 1_000_000, "audio_minutes_per_day": 60})
    async with talking(ann.server) as client:
        response = await client.ask("What is this?")
    for _ in range(100):
        left = ann.limits()
        if left["tokens_per_minute"][2] < 1_000_000:
            break
        time.sleep(0.05)
    assert left["tokens_per_minute"][2] <= 1_000_000 - response["usage"]["total_tokens"] + 50_000  # it refills
    assert left["audio_minutes_per_day"][2] < 60
