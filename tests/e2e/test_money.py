"""Money behind the doors, on a real server: a key's account pays for what it uses, to the last micro-credit; a session
ends with its sentence when the credits do; a revoked key ends it within a second; a killed server owes nobody anything.
"""

import asyncio
import json
import os
import signal
import time
from collections.abc import AsyncIterator, Iterator
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any

import pytest
from openai import AsyncOpenAI, PermissionDeniedError
from websockets.asyncio.client import ClientConnection, connect
from websockets.exceptions import InvalidStatus

from parley.auth.accounts import User
from parley.auth.gate import LOCAL_ACCOUNT
from parley.auth.keys_store import Made, Rules
from parley.billing.audit import audit
from parley.billing.book import Usage
from parley.billing.prices import cost
from parley.office import OPENING_MICRO, Office, open_office
from parley.settings import Settings
from tests.conftest import Server, running_server
from tests.databases import database
from tests.e2e.backends import Backends, running_backends
from tests.sdk.client import talking

CREDIT = 1_000_000
MODEL = "gpt-realtime"
OFFER = "\r\n".join(
    (
        "v=0",
        "o=- 1 1 IN IP4 127.0.0.1",
        "s=-",
        "t=0 0",
        "a=group:BUNDLE 0",
        "m=audio 9 UDP/TLS/RTP/SAVPF 111",
        "c=IN IP4 0.0.0.0",
        "a=mid:0",
        "a=sendrecv",
        "a=rtcp-mux",
        "a=ice-ufrag:abcd",
        "a=ice-pwd:abcdefghijklmnopqrstuvwx",
        "a=fingerprint:sha-256 " + ":".join(["AB"] * 32),
        "a=setup:actpass",
        "a=rtpmap:111 opus/48000/2",
        "",
    )
)


@pytest.fixture(scope="module")
def backends() -> Iterator[Backends]:
    with running_backends() as backends:
        yield backends


@pytest.fixture(scope="module", params=["sqlite", "postgres"])
def place(request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory) -> Iterator[tuple[Path, str]]:
    home = tmp_path_factory.mktemp("money")
    with database(request.param, home) as url:
        yield home, url


@pytest.fixture(scope="module")
def server(place: tuple[Path, str], backends: Backends) -> Iterator[Server]:
    home, url = place
    with running_server(home, env=backends.env(PARLEY_DATABASE_URL=url)) as server:
        yield server


@asynccontextmanager
async def office_of(place: tuple[Path, str]) -> AsyncIterator[Office]:
    """The same accounts and ledger, as another process sees them."""
    office = await open_office(Settings(home=place[0], database_url=place[1]))
    try:
        yield office
    finally:
        await office.close()


async def newcomer(office: Office, micro: int, rules: Rules | None = None) -> tuple[User, Made]:
    user = await office.accounts.create_user(f"{time.time_ns()}@example.com")
    if micro:
        await office.ledger.credit(f"gift:{user.id}", user.account, micro)
    return user, await office.keys.create(user.account, user.id, "test", rules)


async def settled(office: Office, account: str) -> int:
    """The balance, when nothing is held any more."""
    for _ in range(200):
        if not await office.ledger.open_holds(account):
            return (await office.ledger.account(account)).posted
        await asyncio.sleep(0.05)
    pytest.fail("a hold stays open")


async def test_an_answer_is_charged_to_the_account_of_its_key(
    server: Server, place: tuple[Path, str], backends: Backends
) -> None:
    backends.reset()
    async with office_of(place) as office:
        user, made = await newcomer(office, CREDIT)
        async with talking(server._replace(key=made.value)) as client:
            held = await office.ledger.open_holds(user.account)
            assert [hold.amount > 0 for hold in held] == [True], "held ahead, before anything is said"
            response = await client.ask("What is this?")
        usage = response["usage"]
        read, written = usage["input_token_details"], usage["output_token_details"]
        price = office.price_today(MODEL)
        assert price is not None
        wanted = cost(
            Usage(
                session="", model=MODEL, kind="response",
                input_text=read["text_tokens"], output_text=written["text_tokens"], output_audio=written["audio_tokens"],
            ),
            price,
        )  # fmt: skip
        assert wanted > 0
        assert await settled(office, user.account) == CREDIT - wanted
        statement = await office.ledger.statement(user.account)
        assert sum(line.moved for line in statement.lines if line.kind in ("capture", "close")) == wanted


async def test_event_ledger_and_price_agree(server: Server, place: tuple[Path, str], backends: Backends) -> None:
    backends.reset()
    async with office_of(place) as office:
        user, made = await newcomer(office, CREDIT)
        sdk = AsyncOpenAI(base_url=server.base_url, api_key=made.value)
        async with sdk, sdk.realtime.connect(model=MODEL) as connection:
            opened = await connection.recv()
            assert opened.type == "session.created"
            session: Any = {"type": "realtime", "include": ["parley.price"]}
            await connection.session.update(session=session)
            told = 0
            for _ in range(3):
                await connection.response.create()
                while True:
                    event = json.loads(await connection.recv_bytes())
                    if event["type"] == "parley.price.updated":
                        break
                told += event["micro"]
                assert event["session_micro"] == told
        assert await settled(office, user.account) == CREDIT - told
        assert told > 0


async def test_the_local_key_pays_from_the_operators_own(server: Server, place: tuple[Path, str]) -> None:
    async with office_of(place) as office:
        before = await settled(office, LOCAL_ACCOUNT)
        async with talking(server) as client:
            await client.ask("What is this?")
        assert await settled(office, LOCAL_ACCOUNT) < before <= OPENING_MICRO


async def test_no_credits_no_session(server: Server, place: tuple[Path, str], backends: Backends) -> None:
    backends.reset()
    async with office_of(place) as office:
        _, made = await newcomer(office, 0)
        with pytest.raises(InvalidStatus) as refused:
            async with talking(server._replace(key=made.value)):
                pass
        assert refused.value.response.status_code == 402
        assert b"insufficient_credits" in (refused.value.response.body or b"")
        assert not backends.chats, "refused before any work"


async def test_what_a_key_may_not_do(server: Server, place: tuple[Path, str]) -> None:
    async with office_of(place) as office:
        _, made = await newcomer(office, CREDIT, Rules(scopes=("realtime",), models=("gpt-realtime-mini",)))
        async with AsyncOpenAI(base_url=server.base_url, api_key=made.value, max_retries=0) as client:
            with pytest.raises(InvalidStatus) as refused:
                async with client.realtime.connect(model=MODEL):
                    pass
            assert refused.value.response.status_code == 403
            with pytest.raises(PermissionDeniedError):
                await client.realtime.calls.create(sdp=OFFER, session={"type": "realtime", "model": MODEL})
            async with client.realtime.connect(model="gpt-realtime-mini") as connection:
                assert (await connection.recv()).type == "session.created"


async def test_the_session_ends_with_its_sentence_when_the_credits_do(
    server: Server, place: tuple[Path, str], backends: Backends
) -> None:
    backends.reset()
    backends.words = [f"This is sentence number {n}, and it goes on for a while. " for n in range(200)]
    backends.fake.speech_pause_s = 0.02
    async with office_of(place) as office:
        price = office.price_today(MODEL)
        assert price is not None
        second = cost(Usage(session="", model=MODEL, kind="response", output_audio=20, output_text=10), price)
        user, made = await newcomer(office, 25 * second)
        async with talking(server._replace(key=made.value), cut_off=True) as client:
            await client.write("Tell me everything.")
            await client.sdk.response.create()
            done = (await client.until("response.done"))["response"]
            assert done["status"] == "failed"
            assert done["status_details"]["error"]["code"] == "insufficient_credits"
            await client.error("insufficient_credits")
            gone = (await client.over()).rcvd
            assert gone is not None and (gone.code, gone.reason) == (4000, "insufficient_quota.insufficient_credits")
            spoken = len(client.audio(done["id"])) / 48_000
            said = done["output"][0]["content"][0]["transcript"]
            assert said.rstrip().endswith("while."), "whole sentences"
            assert spoken > 5, "not before the money was nearly spent"
        left = await settled(office, user.account)
        assert 0 <= left < 25 * second
        lines = (await office.ledger.statement(user.account)).lines
        assert not any(line.asked - line.moved for line in lines if line.kind == "capture"), "nothing was given away"


async def test_two_hundred_race_for_the_money_of_twenty(
    server: Server, place: tuple[Path, str], backends: Backends
) -> None:
    backends.reset()
    async with office_of(place) as office:
        rich, made = await newcomer(office, CREDIT)
        async with talking(server._replace(key=made.value)):
            (hold,) = await office.ledger.open_holds(rich.account)
        user, made = await newcomer(office, 20 * hold.amount)

        async def arrive() -> ClientConnection | int:
            headers = {"Authorization": f"Bearer {made.value}"}
            try:
                return await connect(f"{server.ws_url}?model={MODEL}", additional_headers=headers, open_timeout=60)
            except InvalidStatus as refused:
                return refused.response.status_code

        came = await asyncio.gather(*(arrive() for _ in range(200)))
        admitted = [one for one in came if not isinstance(one, int)]
        assert 19 <= len(admitted) <= 20
        assert [one for one in came if isinstance(one, int)] == [402] * (200 - len(admitted))
        account = await office.ledger.account(user.account)
        assert account.held == len(admitted) * hold.amount <= account.posted
        assert not backends.chats, "no work was done for anybody"
        await asyncio.gather(*(one.close() for one in admitted))
        assert await settled(office, user.account) == 20 * hold.amount


async def test_a_revoked_key_ends_its_session_within_a_second(server: Server, place: tuple[Path, str]) -> None:
    async with office_of(place) as office:
        user, made = await newcomer(office, CREDIT)
        async with talking(server._replace(key=made.value), cut_off=True) as client:
            began = time.monotonic()
            await office.keys.revoke(user.account, made.key.id)
            await client.error("invalid_api_key")
            gone = (await client.over()).rcvd
            took = time.monotonic() - began
        assert gone is not None and gone.code == 4000
        assert took < 10, "a second, on a machine that is not busy"
        assert await settled(office, user.account) == CREDIT


async def test_a_killed_server_leaves_nothing_held(place: tuple[Path, str], backends: Backends, tmp_path: Path) -> None:
    """Its hold is settled by the next one: what was said is paid, and the rest is free."""
    backends.reset()
    backends.words = ["One long sentence, that goes on. "] * 50
    backends.fake.speech_pause_s = 0.05
    async with office_of(place) as office:
        user, made = await newcomer(office, CREDIT)
        with running_server(place[0], env=backends.env(PARLEY_DATABASE_URL=place[1])) as doomed:
            async with talking(doomed._replace(key=made.value), cut_off=True) as client:
                await client.write("Go on.")
                await client.sdk.response.create()
                for _ in range(5):
                    await client.until("response.output_audio.delta")
                os.kill(doomed.pid, signal.SIGKILL)
                await client.over()
        assert await office.ledger.open_holds(user.account), "nobody could free it"
        with running_server(place[0], env=backends.env(PARLEY_DATABASE_URL=place[1])):
            for _ in range(600):
                if not await office.ledger.open_holds(user.account):
                    break
                await asyncio.sleep(0.1)
        account = await office.ledger.account(user.account)
        assert account.held == 0 and 0 < account.posted <= CREDIT
        assert not await audit(office.storage)
