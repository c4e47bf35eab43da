"""POST /api/realtime/session and /charge: twelve clients that lie, forget or insist, and the money right for each.

What is right is what the server has metered: the bill, the account's balance and the ledger's lines say the same.
"""

import asyncio
import contextlib
import json
import os
import signal
from collections.abc import AsyncIterator, Iterator
from pathlib import Path
from typing import Any, Final

import httpx
import pytest

from parley.billing.audit import audit
from parley.office import Office
from parley.storage import Script, Sql
from tests.conftest import Server, running_server
from tests.e2e.backends import Backends, running_backends
from tests.web.caller import Caller
from tests.web.people import CREDIT, Person, newcomer, office_of, spent

PATIENCE_S: Final = 20.0
BILL: Final = {
    "callId", "model", "voice", "status", "creditsCharged", "creditsRemaining", "startedAt", "endedAt",
    "durationSeconds", "usage",
}  # fmt: skip
GIVEN: Final = 10 * CREDIT
ANSWER_TOKENS: Final = 20
"""Of an answer of one second."""
LITTLE: Final = CREDIT // 100


@pytest.fixture(scope="module")
def backends() -> Iterator[Backends]:
    with running_backends() as backends:
        yield backends


@pytest.fixture(scope="module")
def home(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return tmp_path_factory.mktemp("charges")


@pytest.fixture(scope="module")
def server(home: Path, backends: Backends) -> Iterator[Server]:
    with running_server(home, env=backends.env()) as server:
        yield server


@pytest.fixture
async def office(server: Server, backends: Backends) -> AsyncIterator[Office]:
    """At the end, the books are in order."""
    backends.reset()
    async with office_of(server) as office:
        yield office
        assert await audit(office.storage) == []


@pytest.fixture
async def ann(office: Office) -> Person:
    return await newcomer(office, GIVEN)


async def calling(server: Server, person: Person, model: str = "realtime-mini") -> Caller:
    """A call in which a question was answered. To be used as a context manager."""
    caller = Caller(server.url, person.key)
    response = await caller.begin(model)
    assert response.status_code == 200, response.text
    assert response.headers["content-type"] == "application/sdp"
    await caller.until("session.created")
    await caller.ask()
    return caller


async def charge(server: Server, key: str, call_id: Any, model: str = "realtime-mini", **more: Any) -> httpx.Response:
    async with httpx.AsyncClient(base_url=server.url, timeout=PATIENCE_S, verify=False) as http:
        body = {"model": model, "callId": call_id, **more}
        return await http.post("/api/realtime/charge", json=body, headers={"x-api-key": key})


def bill(response: httpx.Response) -> dict[str, Any]:
    assert response.status_code == 200, response.text
    body: dict[str, Any] = response.json()
    assert set(body) == BILL
    return body


def micro(credits: float) -> int:
    return round(credits * CREDIT)


def refusal(response: httpx.Response) -> tuple[int, str]:
    assert list(response.json()) == ["code", "message"]
    return response.status_code, response.json()["code"]


async def right(office: Office, person: Person, told: dict[str, Any]) -> None:
    """The bill, the balance and the lines agree, and it was not for nothing."""
    charged = await spent(office, person, GIVEN)
    lines = (await office.ledger.statement(person.account, limit=1_000)).lines
    assert charged == micro(told["creditsCharged"]) > 0
    assert charged == sum(line.moved for line in lines if line.kind in ("capture", "close", "settle"))
    assert micro(told["creditsRemaining"]) == GIVEN - charged
    assert told["usage"]["outputAudioTokens"] > 0
    assert 0 < told["durationSeconds"] < 60
    assert told["endedAt"] >= told["startedAt"]


async def nothing_held(office: Office, person: Person) -> None:
    async with asyncio.timeout(PATIENCE_S):
        while await office.ledger.open_holds(person.account):
            await asyncio.sleep(0.05)


# ---- who does as he should


async def test_a_call_and_its_bill(server: Server, office: Office, ann: Person) -> None:
    async with await calling(server, ann) as caller:
        told = bill(await charge(server, ann.key, caller.call_id))
        await caller.over()
    assert (told["callId"], told["model"], told["voice"], told["status"]) == (
        caller.call_id, "realtime-mini", "marin", "charged",
    )  # fmt: skip
    await right(office, ann, told)


async def test_the_better_model_has_its_own_price(server: Server, office: Office, ann: Person) -> None:
    bob = await newcomer(office, GIVEN)
    charged = []
    for person, model in ((ann, "realtime-mini"), (bob, "realtime-pro")):
        async with await calling(server, person, model) as caller:
            told = bill(await charge(server, person.key, caller.call_id, model))
        await right(office, person, told)
        charged.append(told["creditsCharged"])
    assert charged[1] > charged[0]


async def test_another_key_of_the_account_may_charge(server: Server, office: Office, ann: Person) -> None:
    other = await office.keys.create(ann.account, ann.user.id, "another")
    async with await calling(server, ann) as caller:
        told = bill(await charge(server, other.value, caller.call_id))
    await right(office, ann, told)


# ---- who does not


async def test_who_never_charges(server: Server, office: Office, ann: Person) -> None:
    async with await calling(server, ann):
        pass
    await nothing_held(office, ann)
    assert await spent(office, ann, GIVEN) > 0


async def test_who_charges_twice(server: Server, office: Office, ann: Person) -> None:
    async with await calling(server, ann) as caller:
        first = bill(await charge(server, ann.key, caller.call_id))
        assert bill(await charge(server, ann.key, caller.call_id)) == first
    await right(office, ann, first)


async def test_who_charges_twenty_times_at_once(server: Server, office: Office, ann: Person) -> None:
    async with await calling(server, ann) as caller:
        answers = await asyncio.gather(*(charge(server, ann.key, caller.call_id) for _ in range(20)))
    told = [bill(answer) for answer in answers]
    assert told == [told[0]] * 20
    await right(office, ann, told[0])


async def test_who_charges_the_call_of_somebody_else(server: Server, office: Office, ann: Person) -> None:
    mallory = await newcomer(office, GIVEN)
    async with await calling(server, ann) as caller:
        refused = await charge(server, mallory.key, caller.call_id)
        unknown = await charge(server, mallory.key, caller.call_id[::-1])
        assert refusal(refused) == refusal(unknown) == (404, "call_not_found")
        assert refused.text.replace(caller.call_id, "") == unknown.text.replace(caller.call_id[::-1], "")
        await caller.ask()
        told = bill(await charge(server, ann.key, caller.call_id))
        assert refusal(await charge(server, mallory.key, caller.call_id)) == (404, "call_not_found")
    await right(office, ann, told)
    assert await spent(office, mallory, GIVEN) == 0


async def test_who_names_the_wrong_model(server: Server, office: Office, ann: Person) -> None:
    async with await calling(server, ann) as caller:
        for model in ("realtime-pro", "starter-voice", "gpt-realtime"):
            refused = await charge(server, ann.key, caller.call_id, model)
            assert refusal(refused) == (400, "unsupported_model")
        await caller.ask()
        told = bill(await charge(server, ann.key, caller.call_id))
    await right(office, ann, told)


async def test_who_charges_in_the_middle_of_an_answer(
    server: Server, office: Office, ann: Person, backends: Backends
) -> None:
    async with await calling(server, ann) as caller:
        backends.fake.speech, backends.fake.speech_pause_s = bytes(48 * 10_000), 0.05
        before = len(caller.events)
        caller.put("Tell me a long story.")
        async with asyncio.timeout(PATIENCE_S):
            while "output_audio_buffer.started" not in caller.kinds()[before:]:
                await asyncio.sleep(0.02)
        first = bill(await charge(server, ann.key, caller.call_id))
        await caller.over()
        assert bill(await charge(server, ann.key, caller.call_id)) == first
    await right(office, ann, first)
    assert first["usage"]["outputAudioTokens"] > ANSWER_TOKENS, "what was made of the second answer is paid for, too"


async def test_who_charges_when_it_is_long_over(server: Server, office: Office, ann: Person) -> None:
    async with await calling(server, ann) as caller:
        assert (await caller.hang_up()).status_code == 200
        await caller.over()
    await nothing_held(office, ann)
    charged = await spent(office, ann, GIVEN)
    told = bill(await charge(server, ann.key, caller.call_id))
    await right(office, ann, told)
    assert micro(told["creditsCharged"]) == charged, "charging costs nothing"


async def test_who_makes_up_an_id(server: Server, office: Office, ann: Person) -> None:
    for made_up in ("call_abc123", "rtc_", "x" * 10_000, "' OR 1=1 --", "\0", "é"):
        assert refusal(await charge(server, ann.key, made_up)) == (404, "call_not_found")
    assert await spent(office, ann, GIVEN) == 0


@pytest.mark.parametrize(
    "claim",
    [
        {"durationSeconds": 0, "seconds": 0, "creditsCharged": 0, "usage": {}, "amount": -1},
        {"durationSeconds": 86_400, "seconds": 86_400, "creditsCharged": 999, "account": "local"},
    ],
    ids=["nothing", "a day"],
)
async def test_who_claims_to_have_talked_for(
    server: Server, office: Office, ann: Person, claim: dict[str, Any]
) -> None:
    async with await calling(server, ann) as caller:
        told = bill(await charge(server, ann.key, caller.call_id, **claim))
    await right(office, ann, told)


async def test_who_sends_rubbish(server: Server, office: Office, ann: Person) -> None:
    async with await calling(server, ann) as caller:
        for call_id, wanted in ((None, "missing_required_parameter"), ("", "missing_required_parameter"),
                                (7, "invalid_type"), ([caller.call_id], "invalid_type")):  # fmt: skip
            assert refusal(await charge(server, ann.key, call_id)) == (400, wanted)
        headers = {"x-api-key": ann.key}
        async with httpx.AsyncClient(base_url=server.url) as http:
            for rubbish in (b"", b"{", json.dumps([caller.call_id]).encode(), b"\xff\xfe"):
                refused = await http.post("/api/realtime/charge", content=rubbish, headers=headers)
                assert refusal(refused) == (400, "invalid_body")
        await caller.ask()
        told = bill(await charge(server, ann.key, caller.call_id))
    await right(office, ann, told)


async def test_who_has_no_more_credits(server: Server, office: Office, backends: Backends) -> None:
    backends.words = ["again and "] * 500  # written, for sound that was paid for is played to its end
    poor = await newcomer(office, LITTLE)
    async with Caller(server.url, poor.key) as caller:
        assert (await caller.begin()).status_code == 200
        await caller.until("session.created")
        async with asyncio.timeout(PATIENCE_S):
            while not caller.channel_closed.is_set():
                caller.put("What is this?", output_modalities=["text"])
                await asyncio.sleep(0.1)
        told = bill(await charge(server, poor.key, caller.call_id))
    charged = await spent(office, poor, LITTLE)
    assert 0 < charged == micro(told["creditsCharged"]) <= LITTLE


# ---- the server dies


def missed() -> Script[None]:
    """As if half a minute had gone by: nobody believes any more that the dead process lives."""
    yield Sql("UPDATE ledger_holder SET alive_until = 0")


async def test_who_charges_after_the_server_was_killed(tmp_path: Path, backends: Backends) -> None:
    backends.reset()
    with running_server(tmp_path, env=backends.env()) as server:
        async with office_of(server) as office:
            ann = await newcomer(office, GIVEN)
            async with await calling(server, ann) as caller:
                async with asyncio.timeout(PATIENCE_S):  # the answer's capture waits 20 ms for company
                    while not await spent_so_far(office, ann):
                        await asyncio.sleep(0.02)
                backends.fake.speech, backends.fake.speech_pause_s = bytes(48 * 10_000), 0.05
                caller.put("Tell me a long story.")
                await caller.until("output_audio_buffer.started")
                os.kill(server.pid, signal.SIGKILL)
                await gone(server)
                await caller.vanish()  # nobody is there to say goodbye to
            call_id = caller.call_id
    with running_server(tmp_path, env=backends.env()) as server:
        async with office_of(server) as office:
            early = await charge(server, ann.key, call_id)
            assert refusal(early) == (503, "call_not_settled")
            assert int(early.headers["retry-after"]) >= 1
            await office.storage.transaction(missed)
            await office.ledger.settle_expired()
            told = bill(await charge(server, ann.key, call_id))
            assert bill(await charge(server, ann.key, call_id)) == told
            await right(office, ann, told)
            assert await audit(office.storage) == []


async def gone(server: Server) -> None:
    """Returns when nobody listens there any more."""
    async with asyncio.timeout(PATIENCE_S), httpx.AsyncClient(base_url=server.url) as http:
        with contextlib.suppress(httpx.TransportError):
            while True:
                await http.get("/health")
                await asyncio.sleep(0.02)


async def spent_so_far(office: Office, person: Person) -> int:
    return GIVEN - (await office.ledger.account(person.account)).posted
