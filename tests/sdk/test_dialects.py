"""How a client shows which dialect it speaks: by header, by subprotocol, by shape, or not at all (protocol.md 0.2)."""

import json
import subprocess
from pathlib import Path
from typing import Any

import pytest
from websockets.asyncio.client import connect
from websockets.typing import Subprotocol

from tests.conftest import ROOT, Server
from tests.oracle import check_beta, check_ga

SEED = ROOT.parent / "shared" / "seeds" / "004_015453d1e6fc8514.txt"
"""The reseller's page with the program that must run unchanged; not part of this repository."""
SEED_URI = "wss://crazyrouter.com/v1/realtime"
SEED_KEY = "YOUR_API_KEY"
RUN_S = 40


async def first(server: Server, **options: Any) -> tuple[str | None, dict[str, Any]]:
    """The subprotocol that was agreed on, and the first event."""
    async with connect(f"{server.ws_url}?model=gpt-4o-realtime-preview", **options) as socket:
        return socket.subprotocol, json.loads(await socket.recv())


def tokens(*names: str, key: str) -> list[Subprotocol]:
    return [Subprotocol(name) for name in ("realtime", f"openai-insecure-api-key.{key}", *names)]


async def test_beta_by_header(server: Server) -> None:
    headers = {"Authorization": f"Bearer {server.key}", "OpenAI-Beta": "realtime=v1"}
    subprotocol, event = await first(server, additional_headers=headers)
    assert subprotocol is None
    assert check_beta(event) == []


async def test_beta_by_subprotocol(server: Server) -> None:
    offered = tokens("openai-beta.realtime-v1", key=server.key)
    subprotocol, event = await first(server, subprotocols=offered)
    assert subprotocol == "realtime"
    assert check_beta(event) == []


async def test_ga_in_a_browser(server: Server) -> None:
    offered = tokens("openai-agents-sdk.0.20.0", "openai-organization.org-1", key=server.key)
    subprotocol, event = await first(server, subprotocols=offered)
    assert subprotocol == "realtime"
    assert check_ga(event) == []


@pytest.mark.parametrize("session", [{"modalities": ["text"]}, {"instructions": "Be brief."}, {"temperature": 0.7}])
async def test_beta_by_shape(server: Server, session: dict[str, Any]) -> None:
    """The greeting was GA, for nobody could know; from the flat update on everything is beta."""
    headers = {"Authorization": f"Bearer {server.key}"}
    async with connect(f"{server.ws_url}?model=gpt-4o-realtime-preview", additional_headers=headers) as socket:
        assert check_ga(json.loads(await socket.recv())) == []
        assert check_ga(json.loads(await socket.recv())) == []
        await socket.send(json.dumps({"type": "session.update", "session": session}))
        updated = json.loads(await socket.recv())
        assert updated["type"] == "session.updated" and check_beta(updated) == []
        await socket.send(json.dumps({"type": "session.update", "session": {"type": "realtime"}}))
        assert json.loads(await socket.recv())["error"]["code"] == "unknown_parameter"


async def test_ga_needs_the_type_of_the_session(server: Server) -> None:
    headers = {"Authorization": f"Bearer {server.key}"}
    async with connect(f"{server.ws_url}?model=gpt-realtime", additional_headers=headers) as socket:
        await socket.recv(), await socket.recv()
        await socket.send(json.dumps({"type": "session.update", "session": {"instructions": "x"}, "event_id": "e"}))
        error = json.loads(await socket.recv())["error"]
        assert (error["code"], error["param"], error["event_id"]) == ("missing_required_parameter", "session.type", "e")


def test_a_program_without_any_marker(server: Server, beta_python: str) -> None:
    uri = f"{server.ws_url}?model=gpt-4o-realtime-preview"
    said = run(beta_python, "-m", "tests.sdk.unmarked_client", uri, server.key)
    assert "Parley" in said, said


@pytest.mark.skipif(not SEED.exists(), reason="the page is not part of this repository")
def test_the_page_itself(server: Server, beta_python: str, tmp_path: Path) -> None:
    """Its Python example, with nothing changed but the address and the key."""
    page = SEED.read_text("utf-8")
    code = (
        page[page.index("import asyncio") : page.index("asyncio.run(realtime_chat())")]
        + "asyncio.run(realtime_chat())\n"
    )
    assert SEED_URI in code and SEED_KEY in code
    program = tmp_path / "example.py"
    program.write_text(code.replace(SEED_URI, server.ws_url).replace(SEED_KEY, server.key), "utf-8")
    said = run(beta_python, str(program))
    assert "Parley" in said, said


def run(*command: str) -> str:
    """What a program prints; it must end well."""
    done = subprocess.run(command, cwd=ROOT, capture_output=True, text=True, timeout=RUN_S)
    assert done.returncode == 0, done.stderr
    return done.stdout
