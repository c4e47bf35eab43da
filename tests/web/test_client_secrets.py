"""POST /v1/realtime/client_secrets, /sessions, /transcription_sessions: shapes, limits, and who may."""

import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import httpx
import pytest
from openai import OpenAI, PermissionDeniedError
from openai.types.beta.realtime import SessionCreateResponse
from openai.types.beta.realtime import TranscriptionSession as BetaTranscriptionSession
from openai.types.realtime import ClientSecretCreateResponse

from parley.app import House
from parley.auth.api_keys import ApiKeys
from parley.settings import Settings
from tests.transports.serving import serving

KEY = "sk-parley-test"
BEARER = {"authorization": f"Bearer {KEY}"}
NOWHERE = "http://127.0.0.1:9/v1"
PATH = "/v1/realtime/client_secrets"


@pytest.fixture(scope="module")
def url(tmp_path_factory: pytest.TempPathFactory) -> Iterator[str]:
    home: Path = tmp_path_factory.mktemp("home")
    house = House(Settings(home=home, stt_url=NOWHERE, tts_url=NOWHERE, rtc_port=0), ApiKeys([KEY]))
    with serving(house.app) as port:
        yield f"http://127.0.0.1:{port}"


@pytest.fixture
def http(url: str) -> Iterator[httpx.Client]:
    with httpx.Client(base_url=url, headers=BEARER, timeout=10) as http:
        yield http


def mint(http: httpx.Client, body: Any = None, path: str = PATH, **headers: str) -> dict[str, Any]:
    response = http.post(path, json=body if body is not None else {}, headers=headers)
    assert response.status_code == 200, response.text
    made: dict[str, Any] = response.json()
    return made


def refused(response: httpx.Response) -> tuple[int, str, str | None]:
    error = response.json()["error"]
    return response.status_code, error["code"], error["param"]


def test_the_session_is_bound_in(http: httpx.Client) -> None:
    session = {
        "type": "realtime",
        "model": "gpt-realtime-mini",
        "instructions": "Be brief.",
        "audio": {"output": {"voice": "cedar"}},
        "tools": [{"type": "function", "name": "look_up"}],
    }
    before = int(time.time())
    made = mint(http, {"session": session, "expires_after": {"anchor": "created_at", "seconds": 60}})
    assert made["value"].startswith("ek_")
    assert before + 60 <= made["expires_at"] <= before + 61
    effective = made["session"]
    assert effective["id"].startswith("sess_") and effective["object"] == "realtime.session"
    assert effective["model"] == "gpt-realtime-mini" and effective["audio"]["output"]["voice"] == "cedar"
    assert effective["audio"]["input"]["turn_detection"]["type"] == "server_vad", "all effective fields"
    ClientSecretCreateResponse.model_validate(made, strict=True)


def test_nothing_asked_gives_the_default(http: httpx.Client) -> None:
    for body in (b"", b"{}"):
        response = http.post(PATH, content=body)
        made = response.json()
        assert made["session"]["model"] == "gpt-realtime"
        assert 595 <= made["expires_at"] - time.time() <= 600
        assert response.headers["cache-control"] == "no-store"


def test_transcription_sessions(http: httpx.Client) -> None:
    made = mint(http, {"session": {"type": "transcription", "audio": {"input": {"transcription": {"language": "en"}}}}})
    assert made["session"]["object"] == "realtime.transcription_session" and "model" not in made["session"]


def test_the_official_client(url: str) -> None:
    client = OpenAI(base_url=f"{url}/v1", api_key=KEY, max_retries=0)
    made = client.realtime.client_secrets.create(
        expires_after={"anchor": "created_at", "seconds": 7_200}, session={"type": "realtime", "model": "gpt-realtime"}
    )
    assert made.value.startswith("ek_")
    mine = OpenAI(base_url=f"{url}/v1", api_key=made.value, max_retries=0)
    with pytest.raises(PermissionDeniedError) as caught:
        mine.realtime.client_secrets.create()
    assert caught.value.code == "client_secret_not_allowed"


@pytest.mark.parametrize(
    ("body", "expected"),
    [
        ({"expires_after": {"anchor": "created_at", "seconds": 9}}, (400, "invalid_value", "expires_after.seconds")),
        ({"expires_after": {"anchor": "created_at", "seconds": 7_201}}, (400, "invalid_value", "expires_after.seconds")),
        ({"expires_after": {"anchor": "created_at", "seconds": 1.5}}, (400, "invalid_type", "expires_after.seconds")),
        ({"expires_after": {"anchor": "now"}}, (400, "invalid_value", "expires_after.anchor")),
        ({"expires_after": 5}, (400, "invalid_type", "expires_after")),
        ({"session": {"model": "gpt-realtime"}}, (400, "missing_required_parameter", "session.type")),
        ({"session": {"type": "translation"}}, (400, "invalid_value", "session.type")),
        ({"session": {"type": "realtime", "model": "gpt-99"}}, (404, "model_not_found", "model")),
        ({"session": {"type": "realtime", "voice": "cedar"}}, (400, "unknown_parameter", "session.voice")),
        ({"session": {"type": "realtime", "temperature": 1.0}}, (400, "unknown_parameter", "session.temperature")),
        (
            {"session": {"type": "realtime", "audio": {"output": {"voice": "nobody"}}}},
            (400, "invalid_value", "session.audio.output.voice"),
        ),
        ({"session": "realtime"}, (400, "invalid_type", "session")),
        ({"sesion": {}}, (400, "unknown_parameter", "sesion")),
        ({"max_uses": 0}, (400, "invalid_value", "max_uses")),
        ({"allowed_origins": "https://a.example"}, (400, "invalid_type", "allowed_origins")),
        ({"allowed_origins": ["https://a.example"] * 17}, (400, "invalid_value", "allowed_origins")),
        ([], (400, "invalid_event", None)),
    ],
)  # fmt: skip
def test_faults_are_named(http: httpx.Client, body: Any, expected: tuple[int, str, str | None]) -> None:
    assert refused(http.post(PATH, json=body)) == expected


def test_who_may_not(http: httpx.Client, url: str) -> None:
    assert refused(http.post(PATH, content=b"{", headers=BEARER))[1] == "invalid_event"
    assert refused(httpx.post(url + PATH, json={}))[:2] == (401, "invalid_api_key")
    assert refused(httpx.post(url + PATH, json={}, headers={"authorization": "Bearer wrong"}))[:2] == (
        401,
        "invalid_api_key",
    )
    assert refused(httpx.post(f"{url}{PATH}?api_key={KEY}", json={}))[:2] == (401, "key_in_query")
    assert refused(http.post(PATH, content=b" " * (3 << 20)))[:2] == (413, "request_too_large")
    assert refused(http.get(PATH))[:2] == (405, "method_not_allowed")
    assert refused(http.post(PATH, json={}, headers={"openai-safety-identifier": "x" * 600}))[:2] == (
        400,
        "invalid_value",
    )


# ---- beta


def test_beta_sessions(http: httpx.Client) -> None:
    made = mint(
        http,
        {"model": "gpt-4o-realtime-preview", "voice": "verse", "modalities": ["audio", "text"], "temperature": 0.7},
        "/v1/realtime/sessions",
    )
    assert made["client_secret"]["value"].startswith("ek_")
    assert 55 <= made["client_secret"]["expires_at"] - time.time() <= 60, "one minute"
    assert (made["voice"], made["model"], made["temperature"]) == ("verse", "gpt-4o-realtime-preview", 0.7)
    assert made["object"] == "realtime.session" and made["modalities"] == ["text", "audio"] and "audio" not in made
    SessionCreateResponse.model_validate(made, strict=True)


def test_beta_expiry_is_spelt_in_two_ways(http: httpx.Client) -> None:
    after = {"anchor": "created_at", "seconds": 300}
    for path, key in (("sessions", "expires_after"), ("transcription_sessions", "expires_at")):
        made = mint(http, {"client_secret": {key: after}}, f"/v1/realtime/{path}")
        assert 295 <= made["client_secret"]["expires_at"] - time.time() <= 300


def test_beta_transcription_sessions(http: httpx.Client) -> None:
    made = mint(
        http,
        {
            "input_audio_format": "pcm16",
            "input_audio_transcription": {"model": "whisper-1", "language": "en"},
            "turn_detection": {"type": "server_vad", "silence_duration_ms": 300},
        },
        "/v1/realtime/transcription_sessions",
    )
    assert made["object"] == "realtime.transcription_session"
    assert made["input_audio_transcription"]["language"] == "en"
    BetaTranscriptionSession.model_validate(made, strict=True)


@pytest.mark.parametrize(
    ("path", "body", "expected"),
    [
        ("sessions", {"voice": "nobody"}, (400, "invalid_value", "voice")),
        ("sessions", {"audio": {}}, (400, "unknown_parameter", "audio")),
        ("sessions", {"modalities": ["audio"]}, (400, "invalid_value", "modalities")),
        ("sessions", {"input_audio_format": "mp3"}, (400, "invalid_value", "input_audio_format")),
        ("transcription_sessions", {"voice": "verse"}, (400, "unknown_parameter", "voice")),
        ("sessions", {"client_secret": {"expires_after": {"seconds": 1}}}, (400, "invalid_value", "client_secret.expires_after.seconds")),
    ],
)  # fmt: skip
def test_beta_faults_are_named_as_the_beta_spells_them(
    http: httpx.Client, path: str, body: Any, expected: tuple[int, str, str]
) -> None:
    assert refused(http.post(f"/v1/realtime/{path}", json=body)) == expected


# ---- pages of other origins


def test_pages_elsewhere_may_bring_their_own_key(http: httpx.Client) -> None:
    asked = {
        "origin": "https://page.example",
        "access-control-request-method": "POST",
        "access-control-request-headers": "authorization,content-type,x-stainless-os",
    }
    preflight = http.options(PATH, headers=asked)
    assert preflight.status_code == 204
    allowed = preflight.headers["access-control-allow-headers"].split(", ")
    assert {"authorization", "content-type", "x-stainless-os"} <= set(allowed) and "*" not in allowed
    assert preflight.headers["access-control-allow-origin"] == "*"
    assert "access-control-allow-credentials" not in preflight.headers
    assert "access-control-allow-private-network" not in preflight.headers
    for response in (http.post(PATH, json={}), http.post(PATH, json={"x": 1}), httpx.post(http.base_url.join(PATH))):
        assert response.headers["access-control-allow-origin"] == "*", "faults are readable too"
        assert response.headers["access-control-expose-headers"] == "location, x-openai-call-id"


def test_nothing_else_is_open_to_other_pages(http: httpx.Client) -> None:
    for path in ("/v1/models", "/health", "/v1/realtime/calls/rtc_x/hangup", "/metrics"):
        response = http.options(
            path, headers={"origin": "https://page.example", "access-control-request-method": "POST"}
        )
        assert not [name for name in response.headers if name.startswith("access-control-")]
