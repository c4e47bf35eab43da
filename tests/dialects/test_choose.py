"""Which dialect a client gets, from what it shows when it connects (protocol.md 0.2)."""

import json
from typing import Any

import pytest
from starlette.datastructures import Headers

from parley.core import events
from parley.dialects.beta import BETA, BETA_UNMARKED
from parley.dialects.choose import Choice, beta_by_shape, choose
from parley.dialects.ga import GA

KEY = "openai-insecure-api-key.sk-secret"
MARK = {"openai-beta": "realtime=v1"}


def connect(headers: dict[str, str] | None = None, subprotocols: tuple[str, ...] = ()) -> Choice:
    return choose(method="GET", path="/v1/realtime", headers=headers or {}, subprotocols=subprotocols)


@pytest.mark.parametrize(
    ("headers", "subprotocols", "choice"),
    [
        ({}, (), Choice(GA, None, settled=False)),
        (MARK, (), Choice(BETA, None, settled=True)),
        ({"openai-beta": "assistants=v2, Realtime=v1"}, (), Choice(BETA, None, settled=True)),
        ({"openai-beta": "assistants=v2"}, (), Choice(GA, None, settled=False)),
        ({}, ("realtime", KEY), Choice(GA, "realtime", settled=False)),
        ({}, (KEY, "realtime"), Choice(GA, "realtime", settled=False)),
        ({}, (KEY,), Choice(GA, None, settled=False)),
        ({}, ("realtime", KEY, "openai-beta.realtime-v1"), Choice(BETA, "realtime", settled=True)),
        ({}, ("openai-beta.realtime-v1", "openai-agents-sdk.0.20.0", "x"), Choice(BETA, None, settled=True)),
    ],
)
def test_a_websocket(headers: dict[str, str], subprotocols: tuple[str, ...], choice: Choice) -> None:
    assert connect(headers, subprotocols) == choice


def test_the_servers_own_headers_will_do() -> None:
    headers = Headers({"OpenAI-Beta": "realtime=v1"})
    assert choose(method="GET", path="/v1/realtime", headers=headers).dialect is BETA


@pytest.mark.parametrize(
    ("path", "headers", "dialect"),
    [
        ("/v1/realtime", {}, BETA),
        ("/v1/realtime/", {}, BETA),
        ("/v1/realtime/calls", {}, GA),
        ("/v1/realtime/calls", MARK, BETA),
        ("/v1/realtime/client_secrets", {}, GA),
        ("/v1/realtime/sessions", {}, BETA),
        ("/v1/realtime/transcription_sessions", {}, BETA),
    ],
)
def test_a_post(path: str, headers: dict[str, str], dialect: Any) -> None:
    choice = choose(method="POST", path=path, headers=headers)
    assert (choice.dialect, choice.settled) == (dialect, True)


@pytest.mark.parametrize(("secret", "headers", "dialect"), [(BETA, {}, BETA), (GA, {}, GA), (GA, MARK, BETA)])
def test_a_client_secret_carries_its_dialect(secret: Any, headers: dict[str, str], dialect: Any) -> None:
    choice = choose(method="GET", path="/v1/realtime", headers=headers, secret=secret)
    assert (choice.dialect, choice.settled) == (dialect, True)


def update(**session: Any) -> dict[str, Any]:
    return {"type": "session.update", "session": session}


@pytest.mark.parametrize(
    ("body", "model", "beta"),
    [
        (update(modalities=["text", "audio"], voice="nova"), "gpt-realtime", True),
        (update(voice="alloy"), "gpt-realtime", True),
        (update(turn_detection=None), "gpt-realtime", True),
        (update(temperature=0.8), "gpt-realtime", True),
        (update(max_response_output_tokens=5), "gpt-realtime", True),
        ({"type": "transcription_session.update", "session": {}}, "gpt-realtime", True),
        (update(instructions="hi"), "gpt-realtime", False),
        (update(instructions="hi"), "gpt-4o-realtime-preview", True),
        (update(instructions="hi"), "gpt-4o-mini-realtime-preview-2024-12-17", True),
        (update(audio={}), "gpt-4o-realtime-preview", False),
        (update(type="realtime", voice="alloy"), "gpt-4o-realtime-preview", False),
        (update(output_modalities=["text"]), "gpt-realtime", False),
        ({"type": "session.update"}, "gpt-4o-realtime-preview", False),
        ({"type": "session.update", "session": []}, "gpt-4o-realtime-preview", False),
        ({"type": "response.create"}, "gpt-4o-realtime-preview", False),
        ({"type": "x", "session": {"voice": "session.update"}}, "gpt-realtime", False),
        ([update(voice="alloy")], "gpt-realtime", False),
    ],
)
def test_a_client_that_is_beta_by_shape(body: Any, model: str, beta: bool) -> None:
    text = json.dumps(body)
    assert beta_by_shape(text, model) is beta
    assert beta_by_shape(text.encode(), model) is beta


@pytest.mark.parametrize("raw", [b"\xff session.update", '"session.update', '{"a":' * 99_999 + '"session.update"'])
def test_what_cannot_be_read_has_no_shape(raw: str | bytes) -> None:
    assert beta_by_shape(raw, "gpt-4o-realtime-preview") is False


def test_the_client_of_the_fifth_seed_document() -> None:
    """No marker, a flat update, `response.text.delta` awaited though sound is asked for."""
    first = json.dumps(
        update(
            modalities=["text", "audio"],
            voice="nova",
            input_audio_format="pcm16",
            output_audio_format="pcm16",
            turn_detection={"type": "server_vad"},
        )
    )
    choice = connect({"authorization": "Bearer sk-key"})
    assert not choice.settled
    assert beta_by_shape(first, "gpt-4o-realtime-preview")
    event = BETA_UNMARKED.decode(first)
    assert isinstance(event, events.SessionUpdate)
    assert event.session["output_modalities"] == ["audio"]
    words = events.OutputAudioTranscriptDelta(
        response_id="r", item_id="i", output_index=0, content_index=0, delta="Hello"
    )
    heard = [json.loads(text) for text in BETA_UNMARKED.encode(words, "event_1")]
    assert "".join(body["delta"] for body in heard if body["type"] == "response.text.delta") == "Hello"
