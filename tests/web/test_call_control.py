"""Call control over REST, by the official client, on calls that only ring in this test."""

import asyncio
from collections.abc import Iterator
from pathlib import Path
from typing import Any, NamedTuple

import httpx
import openai
import pytest
from openai import AsyncOpenAI, OpenAI
from starlette.applications import Starlette

from parley.app import House
from parley.auth.api_keys import ApiKeys
from parley.auth.client_secrets import ClientSecrets, MemoryStore
from parley.auth.gate import LOCAL, Bearer, Gate
from parley.auth.keys_store import Rules
from parley.core.config import RealtimeConfig, SessionConfig
from parley.errors import EngineError, RequestError
from parley.office import open_office
from parley.settings import Settings
from parley.transports.ringing import NO_PHONES, TARGET_CHARS_MAX, RingingCalls, no_call
from parley.transports.sip.phones import SipPhones
from parley.web import call_control, calls, client_secrets, errors
from tests.transports.rtc.test_sdp import CHROME
from tests.transports.serving import serving

KEY = "sk-parley-test"
BEARER = {"authorization": f"Bearer {KEY}"}
CALLS = "/v1/realtime/calls"
NOWHERE = "http://127.0.0.1:9/v1"
ACTIONS: dict[str, Any] = {
    "accept": {"type": "realtime"},
    "reject": {},
    "refer": {"target_uri": "tel:+1"},
    "hangup": None,
}


class Call:
    def __init__(self, owner: Bearer) -> None:
        self.owner = owner
        self.state = "ringing"
        self.config: SessionConfig | None = None
        self.payer: Bearer | None = None
        self.status = 0
        self.target = ""


class Phones:
    """A `RingingCalls` whose calls the test makes."""

    def __init__(self) -> None:
        self.calls: dict[str, Call] = {}
        self.trouble: RequestError | EngineError | None = None

    def ring(self, call_id: str, owner: Bearer = LOCAL) -> Call:
        self.calls[call_id] = Call(owner)
        return self.calls[call_id]

    def find(self, call_id: str, bearer: Bearer, *states: str) -> Call:
        call = self.calls.get(call_id)
        if call is None or not bearer.may_reach(call.owner) or call.state not in states:
            raise no_call(call_id)
        return call

    async def accept(self, call_id: str, config: SessionConfig, bearer: Bearer) -> None:
        call = self.find(call_id, bearer, "ringing")
        call.state = "accepting"
        await asyncio.sleep(0.05)
        if self.trouble is not None:
            call.state = "over"
            raise self.trouble
        call.state, call.config, call.payer = "talking", config, bearer

    def reject(self, call_id: str, status: int, bearer: Bearer) -> None:
        call = self.find(call_id, bearer, "ringing")
        call.state, call.status = "over", status

    async def refer(self, call_id: str, target: str, bearer: Bearer) -> None:
        self.find(call_id, bearer, "talking").target = target
        if self.trouble is not None:
            raise self.trouble

    def hang_up(self, call_id: str, bearer: Bearer) -> None:
        self.find(call_id, bearer, "ringing", "accepting", "talking").state = "over"


def is_a_door(phones: SipPhones) -> RingingCalls:
    """For the type checker: the real door is one."""
    return phones


class Running(NamedTuple):
    url: str
    phones: Phones
    house: House
    settings: Settings


@pytest.fixture(scope="module")
def running(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Running]:
    home: Path = tmp_path_factory.mktemp("home")
    settings = Settings(home=home, stt_url=NOWHERE, tts_url=NOWHERE, rtc_port=0)
    house = House(settings, ApiKeys([KEY]))
    phones = Phones()
    secrets = ClientSecrets(MemoryStore(), b"p" * 32)
    gate = Gate(ApiKeys([KEY]), house.office.keys, secrets)
    routes = [
        *call_control.routes(gate, phones, house.metrics, house.upstreams.check),
        *calls.routes(gate, house.calls, house.metrics, phones=phones),
        *client_secrets.routes(gate, secrets, lambda: None, house.upstreams.check),
    ]
    with serving(Starlette(routes=routes, exception_handlers=errors.HANDLERS, lifespan=house._lifespan)) as port:
        yield Running(f"http://127.0.0.1:{port}", phones, house, settings)


@pytest.fixture(autouse=True)
def nobody_calls(running: Running) -> None:
    running.phones.calls.clear()
    running.phones.trouble = None


@pytest.fixture
def http(running: Running) -> Iterator[httpx.Client]:
    with httpx.Client(base_url=running.url, headers=BEARER, timeout=20) as http:
        yield http


@pytest.fixture
def client(running: Running) -> OpenAI:
    return OpenAI(base_url=f"{running.url}/v1", api_key=KEY)


def refused(response: httpx.Response) -> tuple[int, str, str | None]:
    error = response.json()["error"]
    assert error["message"]
    return response.status_code, error["code"], error["param"]


# ---- the official client


def test_accept(running: Running, client: OpenAI) -> None:
    call = running.phones.ring("rtc_1")
    raw = client.realtime.calls.with_raw_response.accept(
        "rtc_1",
        type="realtime",
        model="gpt-realtime-mini",
        instructions="Be brief.",
        audio={"input": {"turn_detection": {"type": "server_vad", "threshold": 0.6}}, "output": {"voice": "cedar"}},
        tools=[{"type": "function", "name": "hang_up", "parameters": {"type": "object"}}],
        max_output_tokens=500,
    )
    assert (raw.status_code, raw.http_response.content) == (200, b"")
    assert isinstance(call.config, RealtimeConfig)
    assert (call.config.model, call.config.instructions) == ("gpt-realtime-mini", "Be brief.")
    assert (call.config.audio.output.voice, call.config.max_output_tokens) == ("cedar", 500)
    assert call.payer == LOCAL


def test_reject(running: Running, client: OpenAI) -> None:
    for status, expected in ((None, 603), (486, 486), (300, 300), (699, 699)):
        call = running.phones.ring("rtc_1")
        client.realtime.calls.reject("rtc_1", status_code=openai.omit if status is None else status)
        assert (call.state, call.status) == ("over", expected)


def test_refer_and_hangup(running: Running, client: OpenAI) -> None:
    call = running.phones.ring("rtc_1")
    client.realtime.calls.accept("rtc_1", type="realtime")
    client.realtime.calls.refer("rtc_1", target_uri="tel:+493012345")
    assert call.target == "tel:+493012345"
    client.realtime.calls.hangup("rtc_1")
    assert call.state == "over"
    with pytest.raises(openai.NotFoundError):
        client.realtime.calls.hangup("rtc_1")


def test_hangup_of_both_kinds(running: Running, client: OpenAI) -> None:
    call = running.phones.ring("rtc_1")
    web = client.realtime.calls.with_raw_response.create(sdp=CHROME).headers["location"].rpartition("/")[2]
    assert len(running.house.registry) == 1
    client.realtime.calls.hangup(web)
    assert (len(running.house.registry), call.state) == (0, "ringing")
    client.realtime.calls.hangup("rtc_1")
    assert call.state == "over"


# ---- who wins, and who may


async def test_a_race_of_accepts_has_one_winner(running: Running) -> None:
    call = running.phones.ring("rtc_1")

    async def accept(number: int) -> int:
        async with AsyncOpenAI(base_url=f"{running.url}/v1", api_key=KEY) as client:  # with its usual retries
            try:
                await client.realtime.calls.accept("rtc_1", type="realtime", instructions=f"{number}")
            except openai.NotFoundError as error:
                assert error.code == "session_not_found"
                return -1
            return number

    results = await asyncio.gather(*(accept(number) for number in range(10)))
    (winner,) = [number for number in results if number >= 0]
    assert isinstance(call.config, RealtimeConfig)
    assert call.config.instructions == str(winner)


async def test_a_race_of_accept_and_reject_has_one_winner(running: Running) -> None:
    async with httpx.AsyncClient(base_url=running.url, headers=BEARER, timeout=20) as http:
        for number in range(5):
            call = running.phones.ring(f"rtc_{number}")
            asked = ("accept", "reject", "reject")
            answers = await asyncio.gather(
                *(http.post(f"{CALLS}/rtc_{number}/{what}", json=ACTIONS[what]) for what in asked)
            )
            assert sorted(answer.status_code for answer in answers) == [200, 404, 404]
            assert (call.state == "talking") == (answers[0].status_code == 200)


@pytest.mark.parametrize("action", ACTIONS)
def test_calls_belong_to_their_account(running: Running, http: httpx.Client, action: str) -> None:
    theirs = running.phones.ring("rtc_theirs", Bearer("acc_other"))
    for call_id in ("rtc_theirs", "rtc_none"):
        response = http.post(f"{CALLS}/{call_id}/{action}", json=ACTIONS[action])
        assert refused(response) == (404, "session_not_found", "call_id")
    assert theirs.state == "ringing"
    assert refused(httpx.post(f"{running.url}{CALLS}/rtc_theirs/{action}"))[:2] == (401, "invalid_api_key")
    secret = http.post("/v1/realtime/client_secrets", json={}).json()["value"]
    response = http.post(f"{CALLS}/rtc_1/{action}", headers={"authorization": f"Bearer {secret}"})
    expected = (404, "session_not_found") if action == "hangup" else (403, "client_secret_not_allowed")
    assert refused(response)[:2] == expected


@pytest.mark.parametrize("action", list(ACTIONS))
async def test_without_telephones_there_are_no_calls(action: str) -> None:
    with pytest.raises(RequestError) as caught:
        match action:
            case "accept":
                await NO_PHONES.accept("rtc_1", RealtimeConfig(model="gpt-realtime"), LOCAL)
            case "reject":
                NO_PHONES.reject("rtc_1", 603, LOCAL)
            case "refer":
                await NO_PHONES.refer("rtc_1", "tel:+1", LOCAL)
            case _:
                NO_PHONES.hang_up("rtc_1", LOCAL)
    assert caught.value.code == "session_not_found"


async def test_what_a_key_may_not(running: Running) -> None:
    office = await open_office(running.settings)
    user = await office.accounts.create_user("ann@example.org")
    bound = await office.keys.create(user.account, user.id, "mini", Rules(models=("gpt-realtime-mini",)))
    other = await office.keys.create(user.account, user.id, "files", Rules(scopes=("pipeline",)))
    await office.close()
    call = running.phones.ring("rtc_1", Bearer(user.account))
    async with httpx.AsyncClient(base_url=running.url, timeout=20) as http:

        async def post(key: str, action: str, body: Any) -> httpx.Response:
            return await http.post(f"{CALLS}/rtc_1/{action}", json=body, headers={"authorization": f"Bearer {key}"})

        for action in ("accept", "reject", "refer"):
            assert refused(await post(other.value, action, ACTIONS[action]))[:2] == (403, "key_not_allowed")
        config = {"type": "realtime", "model": "gpt-realtime"}
        assert refused(await post(bound.value, "accept", config))[:2] == (403, "key_not_allowed")
        assert call.state == "ringing"
        assert (await post(bound.value, "accept", config | {"model": "gpt-realtime-mini"})).status_code == 200
    assert call.payer is not None
    assert (call.payer.account, call.payer.key is not None) == (user.account, True), "so that the key's budget can pay"


# ---- what is wrong


@pytest.mark.parametrize(
    ("action", "body", "expected"),
    [
        ("accept", "", (400, "missing_required_parameter", "type")),
        ("accept", "{", (400, "invalid_event", None)),
        ("accept", "[]", (400, "invalid_event", None)),
        ("accept", '{"type":"transcription"}', (400, "invalid_value", "type")),
        ("accept", '{"type":"realtime","model":"gpt-99"}', (404, "model_not_found", "model")),
        ("accept", '{"type":"realtime","x":1}', (400, "unknown_parameter", "x")),
        ("accept", '{"type":"realtime","audio":{"output":{"voice":7}}}', (400, "invalid_type", "audio.output.voice")),
        ("accept", '{"type":"realtime","instructions":"' + "x" * 2_200_000 + '"}', (413, "request_too_large", None)),
        ("reject", '{"status_code":"busy"}', (400, "invalid_type", "status_code")),
        ("reject", '{"status_code":null}', (400, "invalid_type", "status_code")),
        ("reject", '{"status_code":299}', (400, "invalid_value", "status_code")),
        ("reject", '{"status_code":700}', (400, "invalid_value", "status_code")),
        ("reject", '{"code":486}', (400, "unknown_parameter", "code")),
        ("refer", "{}", (400, "missing_required_parameter", "target_uri")),
        ("refer", '{"target_uri":""}', (400, "invalid_value", "target_uri")),
        ("refer", '{"target_uri":5}', (400, "invalid_type", "target_uri")),
        ("refer", '{"target_uri":"tel:' + "1" * TARGET_CHARS_MAX + '"}', (400, "invalid_value", "target_uri")),
    ],
)  # fmt: skip
def test_what_is_wrong_is_said_and_the_call_rings_on(
    running: Running, http: httpx.Client, action: str, body: str, expected: tuple[int, str, str | None]
) -> None:
    call = running.phones.ring("rtc_1")
    assert refused(http.post(f"{CALLS}/rtc_1/{action}", content=body)) == expected
    assert call.state == "ringing"


def test_what_goes_wrong_inside_is_told(running: Running, http: httpx.Client) -> None:
    running.phones.ring("rtc_1")
    running.phones.trouble = RequestError("insufficient_credits", "No credits.")
    response = http.post(f"{CALLS}/rtc_1/accept", json={"type": "realtime"})
    assert refused(response)[:2] == (402, "insufficient_credits")
    running.phones.ring("rtc_2").state = "talking"
    running.phones.trouble = EngineError("backend_refused", "The telephone side refused.")
    assert refused(http.post(f"{CALLS}/rtc_2/refer", json={"target_uri": "tel:+1"}))[:2] == (502, "backend_refused")


def test_other_methods_and_places(http: httpx.Client) -> None:
    for action in ("accept", "reject", "refer"):
        assert refused(http.get(f"{CALLS}/rtc_1/{action}"))[:2] == (405, "method_not_allowed")
    assert refused(http.post(f"{CALLS}/rtc_1/transfer"))[:2] == (404, "not_found")
