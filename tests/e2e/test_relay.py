"""Two hops: a Parley whose models are answered by another Parley with its embedded engine. Settings, doors, money."""

import asyncio
import json
import time
from collections.abc import AsyncIterator, Iterator
from contextlib import AsyncExitStack, asynccontextmanager
from pathlib import Path
from typing import Any

import pytest
from openai import AsyncOpenAI
from websockets.exceptions import InvalidStatus

from parley.auth.accounts import User
from parley.office import Office, open_office
from parley.settings import Settings
from tests.conftest import Server, running_server
from tests.e2e.backends import Backends, running_backends
from tests.e2e.test_money import CREDIT, MODEL, newcomer, settled
from tests.sdk.client import talking, transcript
from tests.web.test_api import Api


@pytest.fixture(scope="module")
def backends() -> Iterator[Backends]:
    with running_backends() as backends:
        yield backends


@pytest.fixture(scope="module")
def behind(backends: Backends, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Server]:
    with running_server(tmp_path_factory.mktemp("behind"), env=backends.env(PARLEY_API_KEY="sk-behind")) as server:
        yield server


@pytest.fixture(scope="module")
def front(behind: Server, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Server]:
    """With nothing but the two variables."""
    env = {"PARLEY_UPSTREAM_URL": behind.base_url, "PARLEY_UPSTREAM_API_KEY": behind.key}
    with running_server(tmp_path_factory.mktemp("front"), env=env) as server:
        yield server


@asynccontextmanager
async def office_of(server: Server) -> AsyncIterator[Office]:
    office = await open_office(Settings(home=server.home))
    try:
        yield office
    finally:
        await office.close()


async def test_an_answer_comes_through_and_is_charged(front: Server, backends: Backends) -> None:
    backends.reset()
    async with office_of(front) as office:
        user, made = await newcomer(office, CREDIT)
        async with talking(front._replace(key=made.value)) as client:
            response = await client.ask("What is this?")
            assert transcript(response) == "Hello there."
            assert len(client.audio(response["id"])) > 24_000
        assert 0 < await settled(office, user.account) < CREDIT
        used = await office.charged_for(user.account, [client.events[0]["session"]["id"]], 0)
        assert sum(used.values()) == CREDIT - (await office.ledger.account(user.account)).posted


async def test_no_credits_no_upstream(front: Server, behind: Server, backends: Backends) -> None:
    backends.reset()
    async with office_of(front) as office:
        _, made = await newcomer(office, 0)
        with pytest.raises(InvalidStatus) as refused:
            async with talking(front._replace(key=made.value)):
                pass
        assert refused.value.response.status_code == 402


async def test_a_revoked_key_ends_a_relayed_session(front: Server, backends: Backends) -> None:
    backends.reset()
    async with office_of(front) as office:
        user, made = await newcomer(office, CREDIT)
        async with talking(front._replace(key=made.value), cut_off=True) as client:
            await office.keys.revoke(user.account, made.key.id)
            await client.error("invalid_api_key")
            gone = (await client.over()).rcvd
        assert gone is not None and gone.code == 4000


async def test_client_secrets_bind_the_session(front: Server, backends: Backends) -> None:
    backends.reset()
    async with AsyncOpenAI(base_url=front.base_url, api_key=front.key) as sdk:
        session: Any = {"type": "realtime", "model": MODEL, "instructions": "Be brief.", "output_modalities": ["text"]}
        secret = await sdk.realtime.client_secrets.create(session=session)
    async with talking(front._replace(key=secret.value), None) as client:
        assert client.events[0]["session"]["instructions"] == "Be brief."
        response = await client.ask("What is this?")
        assert response["output"][0]["content"][0]["type"] == "output_text"


async def test_models_say_who_answers(front: Server) -> None:
    async with AsyncOpenAI(base_url=front.base_url, api_key=front.key) as sdk:
        models = {model.id: model.to_dict() for model in (await sdk.models.list()).data}
    assert models[MODEL]["engine"] == {"upstream": "upstream"}


async def test_routes_of_a_settings_file(behind: Server, backends: Backends, tmp_path: Path) -> None:
    backends.reset()
    (tmp_path / "key").write_text(f"{behind.key}\n")
    file = tmp_path / "parley.toml"
    file.write_text(
        f"""
        [[upstream]]
        name = "away"
        url = "http://127.0.0.1:9/v1"
        models = ["gpt-realtime"]

        [[upstream]]
        name = "home"
        url = "{behind.base_url}"
        key_file = "{tmp_path / "key"}"
        models = ["gpt-realtime"]

        [[route]]
        model = "house-voice"
        aliases = ["voice"]
        targets = [{{ upstream = "home", model = "gpt-realtime-mini" }}]
        """
    )
    home = tmp_path / "home"
    home.mkdir()
    with running_server(home, ("--config", str(file))) as server:
        for model in ("gpt-realtime", "house-voice", "voice"):
            async with talking(server, model) as client:
                await client.update(output_modalities=["text"])
                assert transcript(await client.ask("What is this?")) == "Hello there."
        with pytest.raises(InvalidStatus) as refused:
            async with talking(server, "no-such-voice"):
                pass
        assert refused.value.response.status_code == 404
        assert json.loads(refused.value.response.body or b"")["error"]["code"] == "model_not_found"
        assert behind.key not in server.log.read_text()


# ---- what admins see


async def test_admins_see_what_upstreams_cost(front: Server, backends: Backends) -> None:
    backends.reset()
    admin = Api(front)
    async with office_of(front) as office:
        user, made = await newcomer(office, CREDIT)
        await office.accounts.set_markup(user.account, 5_000)
        async with talking(front._replace(key=made.value)) as client:
            await client.ask("What is this?")
        await settled(office, user.account)
    (row,) = (await asyncio.to_thread(admin, "GET", f"/api/usage?account={user.account}")).body["data"]
    assert row["model"] == MODEL
    assert 0 < row["cost_micro"] < row["micro"]
    assert row["micro"] == -(-row["cost_micro"] * 3 // 2) and row["margin_micro"] == row["micro"] - row["cost_micro"]
    (own,) = (await asyncio.to_thread(Api(front, await managing(front, user)), "GET", "/api/usage")).body["data"]
    assert (own["micro"], own["cost_micro"], own["margin_micro"]) == (row["micro"], None, None)
    shown = (await asyncio.to_thread(admin, "GET", "/api/upstreams")).body["data"]
    (upstream,) = shown
    assert (upstream["name"], upstream["kind"], upstream["state"]) == ("upstream", "parley", "closed")
    assert upstream["turns"] >= 1 and upstream["cost_micro"] >= row["cost_micro"] and upstream["opens_ms"] >= 0
    assert [(part["model"], part["position"], part["policy"]) for part in upstream["routes"]] == [("*", 1, "order")]
    assert "sk-behind" not in json.dumps(shown)


async def managing(server: Server, user: User) -> str:
    """A key with which somebody sees their own account."""
    made = await asyncio.to_thread(
        Api(server), "POST", f"/api/keys?account={user.account}", {"name": "m", "rules": {"scopes": ["admin"]}}
    )
    return str(made.body["value"])


async def test_an_upstream_is_asked_a_question(front: Server, backends: Backends, tmp_path: Path) -> None:
    backends.reset()
    tried = (await asyncio.to_thread(Api(front), "POST", "/api/upstreams/upstream/test", {})).body
    assert (tried["ok"], tried["answer"], tried["code"], tried["model"]) == (True, "Hello there.", "", MODEL)
    assert 0 <= tried["opened_ms"] <= tried["first_ms"] <= tried["done_ms"]
    unknown = await asyncio.to_thread(Api(front), "POST", "/api/upstreams/nobody/test", {})
    assert (unknown.status, unknown.code) == (404, "upstream_not_found")
    wrong = {"PARLEY_UPSTREAM_URL": front.base_url, "PARLEY_UPSTREAM_API_KEY": "sk-wrong"}
    with running_server(tmp_path, env=wrong) as server:
        refused = (await asyncio.to_thread(Api(server), "POST", "/api/upstreams/upstream/test", {})).body
        assert (refused["ok"], refused["code"], refused["opened_ms"]) == (False, "backend_refused", None)
        with pytest.raises(InvalidStatus):
            async with talking(server):
                pass
        (shown,) = (await asyncio.to_thread(Api(server), "GET", "/api/upstreams")).body["data"]
        assert (shown["state"], shown["failure"]) == ("open", "backend_refused")
        assert 0 <= time.time() - shown["failed_at"] < 30 < shown["open_until"] - time.time() < 61


# ---- this machine as the last resort


async def test_without_an_upstream_this_machine_answers_if_it_may(backends: Backends, tmp_path: Path) -> None:
    backends.reset()
    env = backends.env(PARLEY_UPSTREAM_URL="http://127.0.0.1:9/v1", PARLEY_UPSTREAM_FALLBACK="local")
    with running_server(tmp_path, env=env) as server:
        async with talking(server) as client:
            await client.update(audio={"output": {"format": {"type": "audio/pcmu"}}})
            response = await client.ask("What is this?")
            assert transcript(response) == "Hello there."
            assert len(client.audio(response["id"])) > 8_000
        assert "answered here" in server.log.read_text()


async def test_without_leave_it_does_not(backends: Backends, tmp_path: Path) -> None:
    with running_server(tmp_path, env=backends.env(PARLEY_UPSTREAM_URL="http://127.0.0.1:9/v1")) as server:
        with pytest.raises(InvalidStatus) as refused:
            async with talking(server):
                pass
        assert refused.value.response.status_code == 502


async def test_it_takes_over_in_the_middle_and_remembers(backends: Backends, tmp_path: Path) -> None:
    backends.reset()
    homes = tmp_path / "behind", tmp_path / "front"
    for home in homes:
        home.mkdir()
    async with AsyncExitStack() as stack:
        with running_server(homes[0], env=backends.env()) as behind:
            env = backends.env(
                PARLEY_UPSTREAM_URL=behind.base_url,
                PARLEY_UPSTREAM_API_KEY=behind.key,
                PARLEY_UPSTREAM_FALLBACK="local",
            )
            front = stack.enter_context(running_server(homes[1], env=env))
            client = await stack.enter_async_context(talking(front))
            await client.update(instructions="Be brief.")
            await client.ask("My name is Ann.")
        await client.error("backend_unavailable")
        response = await client.ask("What is my name?")
        assert response["status"] == "completed"
        told = json.dumps(backends.chats[-1])
        assert all(words in told for words in ("Be brief.", "My name is Ann.", "Hello there.", "What is my name?"))
