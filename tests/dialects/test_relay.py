"""Events that are passed on between the two spellings: what is renamed, what is moved, what stays."""

import contextlib
import json
from typing import Any

import msgspec
import pytest

from parley.core.config import RealtimeConfig, configured
from parley.dialects.base import EVENT_BYTES_MAX
from parley.dialects.relay import BETA, BETA_UNMARKED, GA, SPELLINGS
from parley.errors import RequestError

Body = dict[str, Any]


def text(**body: Any) -> bytes:
    return json.dumps(body).encode()


GA_SESSION: Body = {
    "type": "realtime",
    "output_modalities": ["audio"],
    "instructions": "Be brief.",
    "audio": {
        "input": {
            "format": {"type": "audio/pcmu"},
            "transcription": {"model": "whisper-1"},
            "turn_detection": {"type": "server_vad", "threshold": 0.4},
        },
        "output": {"format": {"type": "audio/pcm", "rate": 24000}, "voice": "cedar", "speed": 1.1},
    },
    "tool_choice": {"type": "function", "name": "look"},
    "max_output_tokens": 50,
}
BETA_SESSION: Body = {
    "modalities": ["text", "audio"],
    "instructions": "Be brief.",
    "voice": "cedar",
    "speed": 1.1,
    "input_audio_format": "g711_ulaw",
    "output_audio_format": "pcm16",
    "input_audio_transcription": {"model": "whisper-1"},
    "turn_detection": {"type": "server_vad", "threshold": 0.4},
    "tool_choice": "look",
    "max_response_output_tokens": 50,
}


def test_a_session_there_and_back() -> None:
    assert BETA.read_client(text(type="session.update", session=BETA_SESSION))["session"] == GA_SESSION
    written = json.loads(BETA.write_client({"type": "session.update", "event_id": "e", "session": GA_SESSION}))
    assert written == {"type": "session.update", "event_id": "e", "session": BETA_SESSION}
    (created,) = BETA.read_server(text(type="session.created", session={**BETA_SESSION, "novelty": 1}))
    rules = created["session"]["audio"]["input"]["turn_detection"]
    assert rules.pop("idle_timeout_ms") is None
    assert created["session"] == {**GA_SESSION, "truncation": "auto", "prompt": None}
    shown = json.loads(BETA.write_server({"type": "session.created", "session": GA_SESSION})[0])
    assert shown["session"] == {"temperature": 0.8, **BETA_SESSION}


def test_what_the_house_itself_shows_can_be_told_to_a_beta_upstream() -> None:
    config = configured(
        {"type": "realtime", "model": "gpt-realtime"}, RealtimeConfig(model="gpt-realtime"), frozenset({"marin"})
    )
    written = json.loads(BETA.write_client({"type": "session.update", "session": msgspec.to_builtins(config)}))
    assert BETA.read_client(json.dumps(written).encode())["session"]["audio"]["input"]["turn_detection"]


def test_a_transcription_session_has_events_of_its_own() -> None:
    session: Body = {"type": "transcription", "audio": {"input": {"transcription": {"model": "whisper-1"}}}}
    flat = {"input_audio_transcription": {"model": "whisper-1"}}
    written = json.loads(BETA.write_client({"type": "session.update", "session": session}))
    assert written == {"type": "transcription_session.update", "session": flat}
    assert BETA.read_client(json.dumps(written).encode()) == {"type": "session.update", "session": session}
    (updated,) = BETA.read_server(text(type="transcription_session.updated", session=flat))
    assert updated == {"type": "session.updated", "session": session}
    (shown,) = BETA.write_server(updated)
    assert json.loads(shown) == {"type": "transcription_session.updated", "session": flat}


def item(kind: str, status: str = "completed") -> Body:
    part = {"type": kind, "transcript": "Hi."} if "audio" in kind else {"type": kind, "text": "Hi."}
    return {
        "id": "i",
        "object": "realtime.item",
        "type": "message",
        "role": "assistant",
        "status": status,
        "content": [part],
    }


@pytest.mark.parametrize(
    ("ga", "beta"), [("output_text", "text"), ("output_audio", "audio"), ("input_text", "input_text")]
)
def test_parts_of_items_are_renamed(ga: str, beta: str) -> None:
    written = json.loads(BETA.write_client({"type": "conversation.item.create", "item": item(ga)}))
    assert written["item"]["content"][0]["type"] == beta
    assert BETA.read_client(json.dumps(written).encode())["item"]["content"][0]["type"] == ga
    (added, done) = BETA.read_server(text(type="conversation.item.created", event_id="e", item=item(beta)))
    assert (added["type"], added["item"], added["event_id"]) == ("conversation.item.added", item(ga), "e")
    assert (done["type"], done["item"], done["event_id"]) == ("conversation.item.done", item(ga), "e_done")
    (shown,) = BETA.write_server(added)
    assert json.loads(shown)["type"] == "conversation.item.created"
    assert json.loads(shown)["item"]["content"][0]["type"] == beta
    assert BETA.write_server(done) == ()


def test_a_generated_item_is_done_when_its_output_is() -> None:
    (added,) = BETA.read_server(text(type="conversation.item.created", item=item("audio", "in_progress")))
    assert added["type"] == "conversation.item.added"
    ended, done = BETA.read_server(text(type="response.output_item.done", response_id="r", item=item("audio")))
    assert (ended["type"], done["type"]) == ("conversation.item.done", "response.output_item.done")
    assert ended["item"] == done["item"] == item("output_audio")


USAGE = {"input_tokens": 5, "output_tokens": 2, "total_tokens": 7, "input_token_details": {"audio_tokens": 5}}


def test_a_response_there_and_back() -> None:
    flat = {
        "id": "r",
        "status": "completed",
        "modalities": ["text", "audio"],
        "voice": "cedar",
        "output_audio_format": "pcm16",
        "output": [item("audio")],
        "usage": USAGE,
        "conversation_id": None,
        "temperature": 0.8,
    }
    (done,) = BETA.read_server(text(type="response.done", response=flat))
    response = done["response"]
    assert response["output_modalities"] == ["audio"]
    assert response["audio"] == {"output": {"voice": "cedar", "format": {"type": "audio/pcm", "rate": 24000}}}
    assert response["output"] == [item("output_audio")]
    assert response["conversation_id"] is None
    assert response["usage"]["input_token_details"] == {"image_tokens": 0, "audio_tokens": 5}
    assert json.loads(BETA.write_server(done)[0])["response"] == flat


def test_options_of_a_response() -> None:
    flat = {
        "modalities": ["text"],
        "input": [item("text"), {"type": "item_reference", "id": "x"}],
        "tool_choice": "none",
        "output_audio_format": "pcm16",
        "max_response_output_tokens": 9,
    }
    read = BETA.read_client(text(type="response.create", response=flat))
    assert read["response"]["output_modalities"] == ["text"]
    assert read["response"]["input"][0]["content"][0]["type"] == "output_text"
    assert json.loads(BETA.write_client(read))["response"] == flat


def test_names_of_events() -> None:
    for ga, beta in (
        ("response.output_text.delta", "response.text.delta"),
        ("response.output_audio.done", "response.audio.done"),
        ("response.output_audio_transcript.delta", "response.audio_transcript.delta"),
        ("rate_limits.updated", "rate_limits.updated"),
        ("something.new", "something.new"),
    ):
        assert json.loads(BETA.write_server({"type": ga, "x": 1})[0]) == {"type": beta, "x": 1}
        assert BETA.read_server(text(type=beta, x=1)) == ({"type": ga, "x": 1},)


def test_sound_is_respelled_without_being_read() -> None:
    ga = b'{"type":"response.output_audio.delta","delta":"response.audio.delta"}'
    beta = b'{"type":"response.audio.delta","delta":"response.audio.delta"}'
    assert BETA.respell_sound(ga) == beta
    assert GA.respell_sound(beta) == ga


def test_errors_get_the_keys_that_they_should_have() -> None:
    (shown,) = BETA.write_server({"type": "error", "error": {"type": "x", "message": "m"}})
    assert json.loads(shown)["error"] == {"param": None, "code": None, "type": "x", "message": "m"}


def test_unmarked_clients_hear_the_words_of_sound_as_text_too() -> None:
    said = BETA_UNMARKED.write_server({"type": "response.output_audio_transcript.delta", "event_id": "e", "delta": "x"})
    assert [json.loads(one)["type"] for one in said] == ["response.audio_transcript.delta", "response.text.delta"]
    assert len({json.loads(one)["event_id"] for one in said}) == 2
    assert len(BETA_UNMARKED.write_server({"type": "response.created", "response": {}})) == 1
    assert set(SPELLINGS) == {"ga", "beta", "beta_unmarked"}


@pytest.mark.parametrize("raw", [b"", b"{", b"[]", b"7", b"{}", b'{"type":7}', b"\xff", b"[" * 100_000])
def test_what_is_no_event(raw: bytes) -> None:
    for spelling in SPELLINGS.values():
        with pytest.raises(RequestError) as caught:
            spelling.read_client(raw)
        assert caught.value.code == "invalid_event"
        with pytest.raises(ValueError):
            spelling.read_server(raw)


def test_an_event_has_a_largest_size() -> None:
    with pytest.raises(RequestError) as caught:
        GA.read_client(b" " * (EVENT_BYTES_MAX + 1))
    assert caught.value.code == "event_too_large"


@pytest.mark.parametrize(
    "body",
    [
        {"type": "session.update"},
        {"type": "session.update", "session": "x"},
        {"type": "conversation.item.create", "item": 7},
        {"type": "response.create", "response": []},
        {"type": "session.update", "session": {"audio": {"input": {"format": 7}}}},
    ],
)
def test_client_events_of_the_wrong_shape_are_left_to_the_upstream(body: Body) -> None:
    if "audio" not in (body.get("session") or ()):
        assert BETA.read_client(json.dumps(body).encode()) == body
    assert json.loads(BETA.write_client(body)) == body


def test_a_clients_fault_is_named() -> None:
    with pytest.raises(RequestError) as caught:
        BETA.read_client(text(type="session.update", session={"voices": "cedar"}))
    assert caught.value.code == "unknown_parameter"


@pytest.mark.parametrize(
    "body",
    [
        {"type": "session.created"},
        {"type": "session.created", "session": []},
        {"type": "session.created", "session": {"input_audio_format": "mp3"}},
        {"type": "response.done", "response": {"output": 7, "usage": []}},
        {"type": "conversation.item.created", "item": None},
    ],
)
def test_an_upstreams_nonsense_is_refused_or_passed_but_never_raises_otherwise(body: Body) -> None:
    with contextlib.suppress(ValueError):
        assert all(one["type"] for one in BETA.read_server(json.dumps(body).encode()))


@pytest.mark.parametrize(
    "body",
    [
        {"type": "session.updated", "session": {"audio": {"input": {"format": {}}}}},
        {"type": "response.done", "response": {"output": [{"content": [{}]}], "usage": {}}},
        {"type": "conversation.item.added", "item": {"content": [{}]}},
        {"type": "error", "error": "x"},
    ],
)
def test_an_upstreams_odd_event_still_reaches_a_beta_client(body: Body) -> None:
    (shown,) = BETA.write_server(body)
    assert json.loads(shown)["type"] in (body["type"], "conversation.item.created")


@pytest.mark.parametrize("kind", ["realtime", "transcription"])
def test_a_session_keeps_its_event_id_in_beta(kind: str) -> None:
    session = {"type": kind, "audio": {"input": {}}}
    (raw,) = BETA.write_server({"type": "session.updated", "event_id": "event_1", "session": session})
    assert json.loads(raw)["event_id"] == "event_1"


def test_temperature_is_the_betas_alone() -> None:
    body = BETA.read_client(b'{"type":"session.update","session":{"temperature":0.7,"voice":"ash"}}')
    assert json.loads(BETA.write_client(body))["session"] == {"temperature": 0.7, "voice": "ash"}
    assert "temperature" not in json.loads(GA.write_client(body))["session"]
    response = {"type": "response.create", "response": {"temperature": 0.7}}
    assert json.loads(GA.write_client(response)) == {"type": "response.create", "response": {}}
    updated = {"type": "session.updated", "event_id": "e", "session": {"type": "realtime", "temperature": 0.7}}
    (raw,) = GA.write_server(updated)
    assert json.loads(raw)["session"] == {"type": "realtime"}
    (raw,) = BETA.write_server(updated)
    assert json.loads(raw)["session"] == {"temperature": 0.7}


@pytest.mark.parametrize("heat", [0.5, 1.3, 3])
@pytest.mark.parametrize("key", ["session", "response"])
def test_a_temperature_that_cannot_be_is_refused_here(key: str, heat: float) -> None:
    kind = {"session": "session.update", "response": "response.create"}[key]
    with pytest.raises(RequestError) as refused:
        BETA.read_client(json.dumps({"type": kind, key: {"temperature": heat}}).encode())
    assert (refused.value.code, refused.value.param) == ("invalid_value", f"{key}.temperature")


def test_a_session_of_a_beta_upstream_has_what_only_ga_knows() -> None:
    raw = b'{"type":"session.updated","event_id":"e","session":{"id":"s","turn_detection":{"type":"server_vad"}}}'
    (body,) = BETA.read_server(raw)
    session = body["session"]
    assert (session["truncation"], session["prompt"]) == ("auto", None)
    assert session["audio"]["input"]["turn_detection"] == {"type": "server_vad", "idle_timeout_ms": None}


def test_a_tool_that_the_beta_does_not_know_is_the_upstreams_to_refuse() -> None:
    tools = [{"type": "mcp", "server_label": "x"}, {"type": "function", "name": "f"}]
    for kind, key in (("session.update", "session"), ("response.create", "response")):
        body = {"type": kind, key: {"type": "realtime", "tools": tools} if key == "session" else {"tools": tools}}
        assert json.loads(BETA.write_client(body))[key]["tools"] == tools
