"""POST /v1/realtime/calls and /v1/realtime: both forms, every credential, and what is wrong said clearly."""

import asyncio
from collections.abc import Iterator
from pathlib import Path
from typing import Any, NamedTuple

import httpx
import pytest
from aiortc import RTCBundlePolicy, RTCConfiguration, RTCPeerConnection
from openai import OpenAI

from parley.app import House
from parley.auth.api_keys import ApiKeys
from parley.live.session import LiveSession
from parley.settings import Settings, SettingsError
from tests.transports.rtc.test_sdp import CHROME
from tests.transports.serving import serving

KEY = "sk-parley-test"
BEARER = {"authorization": f"Bearer {KEY}"}
SDP = {"content-type": "application/sdp"}
NOWHERE = "http://127.0.0.1:9/v1"
CALLS = "/v1/realtime/calls"
SESSION = '{"type":"realtime","model":"gpt-realtime","instructions":"Be brief."}'
CALLS_MAX = 12


class Running(NamedTuple):
    url: str
    house: House


@pytest.fixture(scope="module")
def running(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Running]:
    home: Path = tmp_path_factory.mktemp("home")
    settings = Settings(
        home=home, stt_url=NOWHERE, tts_url=NOWHERE, rtc_port=0, sessions_max=CALLS_MAX,
        ice_servers="stun:stun.example:3478, turn:turn.example:3478", turn_secret="s3cret",
    )  # fmt: skip
    house = House(settings, ApiKeys([KEY]))
    with serving(house.app) as port:
        yield Running(f"http://127.0.0.1:{port}", house)


@pytest.fixture
def http(running: Running) -> Iterator[httpx.Client]:
    """Hangs up what the test has begun."""
    with httpx.Client(base_url=running.url, headers=BEARER, timeout=20) as http:
        yield http
        for call_id in list(running.house.calls._calls):
            http.post(f"{CALLS}/{call_id}/hangup")


def begun(response: httpx.Response) -> str:
    """The id of the call that was answered."""
    assert response.status_code == 201, response.text
    assert response.headers["content-type"] == "application/sdp"
    assert response.text.startswith("v=0\r\n") and "a=setup:active" in response.text
    location = response.headers["location"]
    assert location.startswith(f"{CALLS}/rtc_")
    call_id = location.rpartition("/")[2]
    assert response.headers["x-openai-call-id"] == call_id
    return call_id


def config(running: Running, call_id: str) -> Any:
    live = running.house.calls._calls[call_id].call.live
    assert isinstance(live, LiveSession)
    return live._session.config


def refused(response: httpx.Response) -> tuple[int, str, str | None]:
    error = response.json()["error"]
    assert error["message"]
    return response.status_code, error["code"], error["param"]


def secret(http: httpx.Client, body: Any = None, kind: str = "client_secrets") -> str:
    made = http.post(f"/v1/realtime/{kind}", json=body or {}).json()
    return str(made["value"] if kind == "client_secrets" else made["client_secret"]["value"])


# ---- the forms


def test_a_plain_offer_with_a_key(running: Running, http: httpx.Client) -> None:
    call_id = begun(http.post(f"{CALLS}?model=gpt-realtime-mini", content=CHROME, headers=SDP))
    assert config(running, call_id).model == "gpt-realtime-mini"
    assert len(running.house.registry) == 1
    assert call_id.split("_")[1] == begun(http.post(CALLS, content=CHROME, headers=SDP)).split("_")[1], (
        "the node's name"
    )


@pytest.mark.parametrize(
    "parts",
    [
        {"sdp": (None, CHROME), "session": (None, SESSION)},
        {"sdp": (None, CHROME, "application/sdp"), "session": (None, SESSION, "application/json")},
        {"sdp": ("blob", CHROME, "application/sdp"), "session": ("blob", SESSION, "application/json")},
    ],
)
def test_parts_plain_typed_and_as_files(running: Running, http: httpx.Client, parts: Any) -> None:
    call_id = begun(http.post(CALLS, files=parts))
    assert config(running, call_id).instructions == "Be brief."


def test_an_offer_alone_as_a_part(running: Running, http: httpx.Client) -> None:
    assert config(running, begun(http.post(CALLS, files={"sdp": (None, CHROME)}))).model == "gpt-realtime"


def test_a_browsers_fetch_of_a_bare_string(http: httpx.Client) -> None:
    begun(http.post(CALLS, content=CHROME, headers={"content-type": "text/plain;charset=UTF-8"}))


def test_the_official_client(running: Running) -> None:
    client = OpenAI(base_url=f"{running.url}/v1", api_key=KEY, max_retries=0)
    raw = client.realtime.calls.with_raw_response.create(
        sdp=CHROME, session={"type": "realtime", "model": "gpt-realtime", "instructions": "Be brief."}
    )
    assert raw.status_code == 201
    call_id = raw.headers["location"].rpartition("/")[2]
    assert config(running, call_id).instructions == "Be brief."
    plain = client.realtime.calls.with_raw_response.create(sdp=CHROME)
    client.realtime.calls.hangup(call_id)
    client.realtime.calls.hangup(plain.headers["location"].rpartition("/")[2])
    assert len(running.house.registry) == 0


def test_beta(running: Running, http: httpx.Client) -> None:
    response = http.post("/v1/realtime?model=gpt-4o-realtime-preview", content=CHROME, headers=SDP)
    call = running.house.calls._calls[begun(response)].call
    assert call._dialect.name == "beta"
    call = running.house.calls._calls[begun(http.post(CALLS, content=CHROME, headers=SDP))].call
    assert call._dialect.name == "ga"


# ---- client secrets


def test_a_secret_brings_its_session(running: Running, http: httpx.Client) -> None:
    body = {"session": {"type": "realtime", "model": "gpt-realtime-mini", "instructions": "Be kind."}}
    headers = {"authorization": f"Bearer {secret(http, body)}", **SDP}
    for _ in range(2):
        bound = config(running, begun(http.post(f"{CALLS}?model=gpt-realtime-2", content=CHROME, headers=headers)))
        assert (bound.model, bound.instructions) == ("gpt-realtime-mini", "Be kind."), "whatever the address says"


def test_a_secret_without_a_model_takes_the_one_that_is_named(running: Running, http: httpx.Client) -> None:
    headers = {"authorization": f"Bearer {secret(http)}", **SDP}
    assert config(
        running, begun(http.post(f"{CALLS}?model=gpt-realtime-2", content=CHROME, headers=headers))
    ).model == ("gpt-realtime-2")
    assert refused(http.post(f"{CALLS}?model=gpt-99", content=CHROME, headers=headers))[:2] == (404, "model_not_found")


def test_a_secret_of_the_beta_speaks_beta_everywhere(running: Running, http: httpx.Client) -> None:
    headers = {"authorization": f"Bearer {secret(http, {'voice': 'verse'}, 'sessions')}", **SDP}
    for path in ("/v1/realtime", CALLS):
        call = running.house.calls._calls[begun(http.post(path, content=CHROME, headers=headers))].call
        assert call._dialect.name == "beta"
        assert call.live._session.config.audio.output.voice == "verse"  # type: ignore[union-attr]


def test_a_secret_brings_no_second_session(http: httpx.Client) -> None:
    headers = {"authorization": f"Bearer {secret(http)}"}
    response = http.post(CALLS, files={"sdp": (None, CHROME), "session": (None, SESSION)}, headers=headers)
    assert refused(response) == (400, "invalid_value", "session")


def test_a_secret_for_one_use_and_one_page(http: httpx.Client) -> None:
    value = secret(http, {"max_uses": 1, "allowed_origins": ["https://page.example"]})
    here = {"authorization": f"Bearer {value}", "origin": "https://page.example", **SDP}
    elsewhere = here | {"origin": "https://evil.example"}
    assert refused(http.post(CALLS, content=CHROME, headers=elsewhere))[:2] == (403, "client_secret_origin")
    begun(http.post(CALLS, content=CHROME, headers=here))
    assert refused(http.post(CALLS, content=CHROME, headers=here))[:2] == (401, "client_secret_used")


async def test_a_race_for_a_single_use_has_one_winner(running: Running, http: httpx.Client) -> None:
    headers = {"authorization": f"Bearer {secret(http, {'max_uses': 1})}", **SDP}
    async with httpx.AsyncClient(base_url=running.url, timeout=30) as crowd:
        responses = await asyncio.gather(*(crowd.post(CALLS, content=CHROME, headers=headers) for _ in range(100)))
    assert sorted(response.status_code for response in responses) == [201, *[401] * 99]


def test_a_secret_hangs_up_its_own_calls_only(http: httpx.Client) -> None:
    mine, yours = ({"authorization": f"Bearer {secret(http)}"} for _ in range(2))
    call_id = begun(http.post(CALLS, content=CHROME, headers=mine | SDP))
    keys = begun(http.post(CALLS, content=CHROME, headers=SDP))
    for foreign in (call_id, "rtc_00000000_unknown"):
        assert refused(http.post(f"{CALLS}/{foreign}/hangup", headers=yours))[:2] == (404, "session_not_found")
    assert refused(http.post(f"{CALLS}/{keys}/hangup", headers=mine))[:2] == (404, "session_not_found")
    assert http.post(f"{CALLS}/{call_id}/hangup", headers=mine).status_code == 200
    assert http.post(f"{CALLS}/{keys}/hangup").status_code == 200, "a key reaches all of its account"


def test_another_offer_for_a_running_call(running: Running, http: httpx.Client) -> None:
    first = http.post(CALLS, content=CHROME, headers=SDP)
    place = f"{CALLS}/{begun(first)}"
    again = http.patch(place, content=CHROME.replace("gg6O", "gg7P"), headers=SDP)
    assert again.status_code == 200 and again.headers["content-type"] == "application/sdp"
    lines = [set(answer.text.split("\r\n")) for answer in (first, again)]
    changed = {line.partition(":")[0].partition("=")[2] for line in lines[0] ^ lines[1]}
    assert {"a", "ice-ufrag", "ice-pwd"} >= {name.split(" ")[0] for name in changed} - {"-"}, changed
    foreign = CHROME.replace("AB:", "CD:")
    assert refused(http.patch(place, content=foreign, headers=SDP)) == (400, "invalid_sdp", "sdp")
    assert refused(http.patch(f"{CALLS}/rtc_x", content=CHROME, headers=SDP))[:2] == (404, "session_not_found")
    mine = {"authorization": f"Bearer {secret(http)}"}
    assert refused(http.patch(place, content=CHROME, headers=SDP | mine))[:2] == (404, "session_not_found")
    http.post(f"{place}/hangup")
    assert refused(http.patch(place, content=CHROME, headers=SDP))[:2] == (404, "session_not_found")


# ---- what is wrong


@pytest.mark.parametrize(
    ("request_", "expected"),
    [
        ({"content": "hello", "headers": SDP}, (400, "invalid_sdp", "sdp")),
        ({"content": b"\xff\xfe", "headers": SDP}, (400, "invalid_sdp", "sdp")),
        ({"content": "", "headers": SDP}, (400, "invalid_sdp", "sdp")),
        ({"content": CHROME.replace("m=audio", "m=video"), "headers": SDP}, (400, "invalid_sdp", "sdp")),
        ({"content": CHROME.replace("111 63 9 0 8", "9"), "headers": SDP}, (400, "unsupported_codec", "sdp")),
        ({"content": CHROME + "a=x:y\r\n" * 20_000, "headers": SDP}, (413, "request_too_large", None)),
        ({"json": {"sdp": CHROME}}, (415, "unsupported_media_type", None)),
        ({"files": {"session": (None, SESSION)}}, (400, "missing_required_parameter", "sdp")),
        ({"files": {"sdp": (None, CHROME), "session": (None, "{")}}, (400, "invalid_event", None)),
        ({"files": {"sdp": (None, CHROME), "session": (None, '{"type":"realtime","x":1}')}}, (400, "unknown_parameter", "session.x")),
        ({"files": {"sdp": (None, CHROME), "session": (None, '{"model":"gpt-realtime"}')}}, (400, "missing_required_parameter", "session.type")),
        ({"content": b"no parts", "headers": {"content-type": "multipart/form-data; boundary=x"}}, (400, "invalid_sdp", "sdp")),
        ({"content": b"no parts", "headers": {"content-type": "multipart/form-data"}}, (400, "invalid_sdp", "sdp")),
        ({"content": CHROME, "headers": SDP | {"authorization": "Bearer wrong"}}, (401, "invalid_api_key", None)),
        ({"content": CHROME, "headers": SDP | {"authorization": "Bearer ek_wrong"}}, (401, "invalid_api_key", None)),
        ({"content": CHROME, "headers": SDP, "params": {"api_key": KEY}}, (401, "key_in_query", None)),
        ({"content": CHROME, "headers": SDP, "params": {"model": "gpt-99"}}, (404, "model_not_found", "model")),
    ],
)  # fmt: skip
def test_what_is_wrong_is_said(
    running: Running, http: httpx.Client, request_: Any, expected: tuple[int, str, str]
) -> None:
    assert refused(http.post(CALLS, **request_)) == expected
    assert len(running.house.registry) == 0, "nothing is left behind"


def test_too_many_calls(running: Running, http: httpx.Client) -> None:
    for _ in range(CALLS_MAX):
        begun(http.post(CALLS, content=CHROME, headers=SDP))
    response = http.post(CALLS, content=CHROME, headers=SDP)
    assert refused(response)[:2] == (429, "too_many_sessions") and "retry-after" in response.headers


def test_pages_elsewhere_may_call(http: httpx.Client) -> None:
    asked = {"origin": "https://p.example", "access-control-request-method": "POST", "access-control-request-headers": "authorization"}  # fmt: skip
    for path in (CALLS, "/v1/realtime"):
        preflight = http.options(path, headers=asked)
        assert preflight.status_code == 204 and "authorization" in preflight.headers["access-control-allow-headers"]
        for content in (CHROME, "hello"):
            response = http.post(path, content=content, headers=SDP)
            assert response.headers["access-control-allow-origin"] == "*"
            assert "location" in response.headers["access-control-expose-headers"]


def test_other_methods(http: httpx.Client) -> None:
    assert refused(http.get("/v1/realtime"))[:2] == (426, "upgrade_required")
    assert refused(http.get(CALLS))[:2] == (405, "method_not_allowed")
    assert refused(http.get(f"{CALLS}/rtc_x/hangup"))[:2] == (405, "method_not_allowed")


async def test_a_call_that_nobody_takes_up_leaves_nothing(running: Running) -> None:
    peer = RTCPeerConnection(RTCConfiguration(iceServers=[], bundlePolicy=RTCBundlePolicy.MAX_BUNDLE))
    peer.addTransceiver("audio")
    await peer.setLocalDescription(await peer.createOffer())
    async with httpx.AsyncClient(base_url=running.url, headers=BEARER, timeout=20) as http:
        call_id = begun(await http.post(CALLS, content=peer.localDescription.sdp, headers=SDP))
        assert (await http.post(f"{CALLS}/{call_id}/hangup")).status_code == 200
        async with asyncio.timeout(5):
            while running.house.calls.ports._lodgings:
                await asyncio.sleep(0.02)
    assert len(running.house.registry) == 0
    await peer.close()


def test_ice_servers_for_pages(http: httpx.Client, running: Running) -> None:
    for headers in (BEARER, {"authorization": f"Bearer {secret(http)}"}):
        response = http.get("/v1/realtime/ice_servers", headers=headers)
        stun, turn = response.json()["ice_servers"]
        assert stun == {"urls": ["stun:stun.example:3478"]}
        assert turn["username"] == f"{response.json()['expires_at']}:local" and "s3cret" not in response.text
        assert response.headers["access-control-allow-origin"] == "*"
    assert refused(httpx.get(f"{running.url}/v1/realtime/ice_servers"))[:2] == (401, "invalid_api_key")


def test_ice_servers_that_are_none_are_refused(tmp_path: Path) -> None:
    with pytest.raises(SettingsError, match="ice_servers"):
        House(Settings(home=tmp_path, ice_servers="https://turn.example"), ApiKeys([KEY]))


def test_addresses_that_are_none_are_refused(tmp_path: Path) -> None:
    with pytest.raises(SettingsError, match="rtc_addresses"):
        House(Settings(home=tmp_path, rtc_addresses="my.example, 192.0.2.1"), ApiKeys([KEY]))
