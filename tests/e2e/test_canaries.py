"""Secrets are searched for in everything that a server writes: its log at its most talkative, its database and all other
files of its home, its metrics, what it answers. Every secret is a canary that stands nowhere else.
"""

import json
import os
import secrets
import urllib.error
import urllib.request
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from websockets.exceptions import InvalidStatus
from websockets.sync.client import connect

from tests.conftest import Server, running_server
from tests.e2e.backends import Backends, running_backends
from tests.sdk.client import talking, transcript

FILES_THAT_ARE_SECRETS = {"pepper", "local.key"}
"""Readable by their owner alone (tests of their own); everything else in the home must hold none."""


def canary(kind: str) -> str:
    return f"{kind}{secrets.token_hex(24)}"


@pytest.fixture
def backends() -> Iterator[Backends]:
    with running_backends() as backends:
        yield backends


def send(url: str, body: Any = None, method: str | None = None, **headers: str) -> tuple[str, dict[str, str]]:
    """Whatever comes back, good or bad; and its headers."""
    data = None if body is None else json.dumps(body).encode()
    request = urllib.request.Request(url, data, {"content-type": "application/json", **headers}, method=method)
    try:
        response = urllib.request.urlopen(request, timeout=20)
    except urllib.error.HTTPError as error:
        response = error
    with response:
        return response.read().decode(), {name.lower(): value for name, value in response.headers.items()}


async def test_no_secret_is_written_anywhere(backends: Backends, tmp_path: Path) -> None:
    local, backend_key, password, wrong = canary("sk-local-"), canary("sk-llm-"), canary("pw-"), canary("sk-wrong-")
    spoken = canary("words")
    env = backends.env(
        PARLEY_API_KEY=local, PARLEY_LLM_API_KEY=backend_key, PARLEY_LOG_LEVEL="debug", PARLEY_LOG_FORMAT="json"
    )
    found: dict[str, str] = {}
    answers: list[str] = []
    backends.words = [f"The word is {spoken}."]
    with running_server(tmp_path, env=env) as server:
        bearer = {"authorization": f"Bearer {local}"}
        user = json.loads(send(f"{server.url}/api/users", {"email": "a@b.example", "password": password}, **bearer)[0])
        found["link"] = user["link"]["token"]
        account = user["user"]["account"]
        send(f"{server.url}/api/credits?account={account}", {"micro": 10**9}, **bearer)
        made = json.loads(send(f"{server.url}/api/keys?account={account}", {"name": "canary"}, **bearer)[0])
        found["key"] = made["value"]
        secret = json.loads(send(f"{server.url}/v1/realtime/client_secrets", {}, **bearer)[0])
        found["client secret"] = secret["value"]
        origin = {"origin": server.url}
        _, headers = send(f"{server.url}/api/console/sign-in", {"email": "a@b.example", "password": password}, **origin)
        found["cookie"] = headers["set-cookie"].partition("=")[2].partition(";")[0]
        async with talking(server._replace(key=found["key"])) as client:
            assert spoken in transcript(await client.ask(f"Say {spoken}!"))
        answers += provoke(server, wrong, found, origin)
        answers.append(send(f"{server.url}/metrics")[0])
        answers.append(send(f"{server.url}/health")[0])
    found |= {"local": local, "backend": backend_key, "password": password, "wrong": wrong, "spoken": spoken}
    assert backends.chats, "the backend was asked, with its key"
    for name, value in found.items():
        assert len(value) > 20
        assert_nowhere(name, value, tmp_path)
        assert not [answer for answer in answers if value in answer], f"{name} stands in an answer"


def provoke(server: Server, wrong: str, found: dict[str, str], origin: dict[str, str]) -> list[str]:
    """Every error that has a secret in its hands."""
    answers = [
        send(f"{server.url}/v1/models", authorization=f"Bearer {wrong}")[0],
        send(f"{server.url}/v1/models?api_key={wrong}")[0],
        send(f"{server.url}/api/me", **{"x-api-key": found["key"]})[0],
        send(f"{server.url}/v1/realtime/client_secrets", {}, authorization=f"Bearer {found['client secret']}")[0],
        send(f"{server.url}/api/console/sign-in", {"token": wrong}, **origin)[0],
        send(f"{server.url}/api/console/sign-in", {"key": wrong}, **origin)[0],
        send(f"{server.url}/api/console/sign-in", {"email": "a@b.example", "password": wrong}, **origin)[0],
        send(f"{server.url}/api/realtime/charge", {"callId": wrong}, authorization=f"Bearer {found['key']}")[0],
    ]
    for headers in ({"authorization": f"Bearer {wrong}"}, {"authorization": f"Basic {wrong}"}):
        with (
            pytest.raises(InvalidStatus) as refused,
            connect(f"{server.ws_url}?model=gpt-realtime", additional_headers=headers),
        ):
            pass
        answers.append((refused.value.response.body or b"").decode())
    protocols: Any = ["realtime", f"openai-insecure-api-key.{wrong}"]
    with pytest.raises(InvalidStatus), connect(f"{server.ws_url}?model=gpt-realtime", subprotocols=protocols):
        pass
    return answers


def assert_nowhere(name: str, value: str, home: Path) -> None:
    for folder, _, files in os.walk(home):
        for file in files:
            if file not in FILES_THAT_ARE_SECRETS:
                assert value.encode() not in (Path(folder) / file).read_bytes(), f"{name} stands in {file}"
