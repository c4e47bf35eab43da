"""Beta: every server event as the old SDKs expect it, and what their clients send as the core expects it."""

import json
from typing import Any

import msgspec
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from parley.catalog import VOICES
from parley.core import config, events
from parley.core.inputs import Malformed
from parley.core.items import parse_item
from parley.dialects.beta import BETA, BETA_UNMARKED, SESSION, flat, nested, param
from parley.errors import RequestError
from tests.dialects import samples
from tests.dialects.samples import AT, EVENT_ID, SAMPLES
from tests.oracle import OtherBeta, check_beta

NOT_IN_BETA = (events.ItemDone, events.TimeoutTriggered, events.DtmfEventReceived)


def said(event: events.AnyServerEvent) -> dict[str, Any]:
    (text,) = BETA.encode(event, EVENT_ID)
    body: dict[str, Any] = json.loads(text)
    return body


def decoded(body: dict[str, Any]) -> Any:
    return BETA.decode(json.dumps(body))


def updated(session: dict[str, Any]) -> Any:
    event = decoded({"type": "session.update", "session": session, "event_id": "e"})
    return event.session if isinstance(event, events.SessionUpdate) else event


# ---- what we say


@pytest.mark.parametrize("event", SAMPLES, ids=lambda event: type(event).__name__)
def test_what_is_said_is_right(event: events.AnyServerEvent) -> None:
    texts = BETA.encode(event, EVENT_ID)
    assert len(texts) == (0 if isinstance(event, NOT_IN_BETA) else 1)
    for text in texts:
        body = json.loads(text)
        assert check_beta(body) == []
        assert body["event_id"] == EVENT_ID
        assert list(body)[:2] == ["type", "event_id"]


def test_what_is_said_is_right_for_the_last_sdk_of_its_time(beta_python: str) -> None:
    with OtherBeta(beta_python) as judge:
        assert judge.version == "1.99.9"
        findings = {
            str(event): judge.check(json.loads(text)) for event in SAMPLES for text in BETA.encode(event, EVENT_ID)
        }
        assert judge.check({"type": "response.output_text.delta"}) != []
    assert {event: found for event, found in findings.items() if found} == {}


def test_a_session_is_flat() -> None:
    assert said(events.SessionCreated(session=samples.session(samples.PLAIN)))["session"] == {
        "id": "sess_1",
        "object": "realtime.session",
        "expires_at": 1_790_000_000,
        "model": "gpt-realtime",
        "modalities": ["text", "audio"],
        "instructions": "",
        "voice": "marin",
        "speed": 1.0,
        "input_audio_format": "pcm16",
        "output_audio_format": "pcm16",
        "input_audio_transcription": None,
        "input_audio_noise_reduction": None,
        "turn_detection": {
            "type": "server_vad",
            "threshold": 0.5,
            "prefix_padding_ms": 300,
            "silence_duration_ms": 500,
            "create_response": True,
            "interrupt_response": True,
        },
        "tools": [],
        "tool_choice": "auto",
        "temperature": 0.8,
        "max_response_output_tokens": "inf",
        "tracing": None,
        "include": None,
    }


def test_a_session_with_everything_set_is_flat() -> None:
    session = said(events.SessionUpdated(session=samples.session(samples.RICH)))["session"]
    assert session["modalities"] == ["text"]
    assert (session["input_audio_format"], session["output_audio_format"]) == ("g711_ulaw", "g711_alaw")
    assert session["input_audio_transcription"] == {"model": "whisper-1", "language": "en", "prompt": "names"}
    assert session["input_audio_noise_reduction"] == {"type": "far_field"}
    assert session["tool_choice"] == "clock"
    assert session["temperature"] == 0.9
    assert session["max_response_output_tokens"] == 500
    assert not session.keys() & {"type", "audio", "output_modalities", "truncation", "prompt", "max_output_tokens"}


def test_a_transcription_session_has_events_of_its_own() -> None:
    session = samples.session(samples.DICTATION, "realtime.transcription_session")
    assert said(events.SessionCreated(session=session))["type"] == "transcription_session.created"
    body = said(events.SessionUpdated(session=session))
    assert body["type"] == "transcription_session.updated"
    assert body["session"]["input_audio_transcription"] == {"model": "gpt-4o-mini-transcribe"}
    assert body["session"].keys() == {
        *("id", "object", "expires_at", "include", "turn_detection"),
        *("input_audio_format", "input_audio_transcription", "input_audio_noise_reduction"),
    }


def test_an_item_is_created_once() -> None:
    added = events.ItemAdded(previous_item_id="item_1", item=samples.BEGUN)
    done = events.ItemDone(previous_item_id="item_1", item=samples.SPOKEN)
    texts = [*BETA.encode(added, "event_1"), *BETA.encode(done, "event_2")]
    assert [json.loads(text) for text in texts] == [
        {
            "type": "conversation.item.created",
            "event_id": "event_1",
            "previous_item_id": "item_1",
            "item": {
                "type": "message",
                "role": "assistant",
                "content": [],
                "id": "item_2",
                "object": "realtime.item",
                "status": "in_progress",
            },
        }
    ]


def test_a_response_is_flat() -> None:
    response = said(events.ResponseDone(response=samples.DONE_RESPONSE))["response"]
    assert response["output"][0]["content"] == [{"type": "audio", "transcript": "Noon."}]
    assert {key: response[key] for key in ("modalities", "voice", "output_audio_format", "temperature")} == {
        "modalities": ["text", "audio"],
        "voice": "marin",
        "output_audio_format": "pcm16",
        "temperature": 0.8,
    }
    assert not response.keys() & {"audio", "output_modalities"}


@pytest.mark.parametrize(
    ("item", "kind"), [(samples.WRITTEN, "text"), (samples.SPOKEN, "audio"), (samples.TYPED, "input_text")]
)
def test_parts_have_their_old_names(item: Any, kind: str) -> None:
    body = said(events.OutputItemDone(response_id="resp_1", output_index=0, item=item))
    assert body["item"]["content"][0]["type"] == kind


def test_servers_and_their_tools_are_never_heard_of() -> None:
    assert not [event for event in samples.MCP if BETA.encode(event, EVENT_ID)]
    session, response = map(said, samples.MCP_AMONG_OTHERS)
    assert [tool["name"] for tool in session["session"]["tools"]] == ["clock"]
    assert session["session"]["tool_choice"] == "auto"
    assert [item["type"] for item in response["response"]["output"]] == ["message"]
    assert "secret" not in f"{session}{response}"


def test_a_delta_carries_the_sound_it_is_given() -> None:
    event = events.OutputAudioDelta(**AT, delta=b"house", format="audio/pcmu")
    body = json.loads(BETA.encode_audio(event, b"wire!?", EVENT_ID))
    assert body == {"type": "response.audio.delta", "event_id": EVENT_ID, **AT, "delta": "d2lyZSE/"}


def test_nothing_of_ga_is_left_in_a_name() -> None:
    names = [json.loads(text)["type"] for event in SAMPLES for text in BETA.encode(event, EVENT_ID)]
    assert [name for name in names if "output_text" in name or "output_audio." in name or ".item.added" in name] == []


# ---- what clients say


def test_a_flat_session_becomes_nested() -> None:
    assert updated(
        {
            "modalities": ["text", "audio"],
            "instructions": "hi",
            "voice": "nova",
            "speed": 1.1,
            "input_audio_format": "pcm16",
            "output_audio_format": "g711_ulaw",
            "input_audio_transcription": {"model": "whisper-1"},
            "input_audio_noise_reduction": {"type": "near_field"},
            "turn_detection": {"type": "server_vad"},
            "tools": [{"type": "function", "name": "clock", "parameters": {}}],
            "tool_choice": "clock",
            "temperature": 0.7,
            "max_response_output_tokens": "inf",
            "tracing": "auto",
        }
    ) == {
        "type": "realtime",
        "output_modalities": ["audio"],
        "instructions": "hi",
        "audio": {
            "input": {
                "format": {"type": "audio/pcm", "rate": 24000},
                "transcription": {"model": "whisper-1"},
                "noise_reduction": {"type": "near_field"},
                "turn_detection": {"type": "server_vad"},
            },
            "output": {"voice": "nova", "speed": 1.1, "format": {"type": "audio/pcmu"}},
        },
        "tools": [{"type": "function", "name": "clock", "parameters": {}}],
        "tool_choice": {"type": "function", "name": "clock"},
        "temperature": 0.7,
        "max_output_tokens": "inf",
        "tracing": "auto",
    }


@pytest.mark.parametrize(
    ("session", "becomes"),
    [
        ({}, {}),
        ({"turn_detection": None}, {"audio": {"input": {"turn_detection": None}}}),
        ({"input_audio_transcription": None}, {"audio": {"input": {"transcription": None}}}),
        ({"input_audio_noise_reduction": None}, {"audio": {"input": {"noise_reduction": None}}}),
        ({"modalities": ["text"]}, {"output_modalities": ["text"]}),
        ({"modalities": ["audio", "text"]}, {"output_modalities": ["audio"]}),
        ({"tool_choice": "required"}, {"tool_choice": "required"}),
        ({"tool_choice": {"type": "function", "name": "f"}}, {"tool_choice": {"type": "function", "name": "f"}}),
        ({"model": "gpt-4o-realtime-preview"}, {"model": "gpt-4o-realtime-preview"}),
        ({"id": "sess_1", "object": "realtime.session"}, {"id": "sess_1", "object": "realtime.session"}),
        ({"client_secret": {"expires_after": {"anchor": "created_at"}}}, {}),
    ],
)
def test_single_fields(session: dict[str, Any], becomes: dict[str, Any]) -> None:
    assert updated(session) == {"type": "realtime", **becomes}


@pytest.mark.parametrize(
    ("session", "code", "path", "spelled"),
    [
        ({"voices": "x"}, "unknown_parameter", "session.voices", "session.voices"),
        ({"type": "realtime"}, "unknown_parameter", "session.type", "session.type"),
        ({"audio": {}}, "unknown_parameter", "session.audio", "session.audio"),
        ({"output_modalities": []}, "unknown_parameter", "session.output_modalities", "session.output_modalities"),
        ({"max_output_tokens": 5}, "unknown_parameter", "session.max_output_tokens", "session.max_output_tokens"),
        (
            {"tools": [{"type": "mcp", "server_label": "x", "server_url": "https://x/"}]},
            "invalid_value",
            "session.tools[0].type",
            "session.tools[0].type",
        ),
        ({"truncation": "auto"}, "unknown_parameter", "session.truncation", "session.truncation"),
        (
            {"turn_detection": {"idle_timeout_ms": 9000}},
            "unknown_parameter",
            "session.audio.input.turn_detection.idle_timeout_ms",
            "session.turn_detection.idle_timeout_ms",
        ),
        (
            {"input_audio_noise_reduction": {"type": "near_field", "strength": 1}},
            "unknown_parameter",
            "session.audio.input.noise_reduction.strength",
            "session.input_audio_noise_reduction.strength",
        ),
        ({"modalities": ["audio"]}, "invalid_value", "session.output_modalities", "session.modalities"),
        ({"modalities": []}, "invalid_value", "session.output_modalities", "session.modalities"),
        ({"modalities": ["video"]}, "invalid_value", "session.output_modalities[0]", "session.modalities[0]"),
        ({"modalities": "text"}, "invalid_type", "session.output_modalities", "session.modalities"),
        ({"modalities": None}, "invalid_type", "session.output_modalities", "session.modalities"),
        ({"input_audio_format": "mp3"}, "invalid_value", "session.audio.input.format", "session.input_audio_format"),
        (
            {"output_audio_format": {"type": "audio/pcm"}},
            "invalid_type",
            "session.audio.output.format",
            "session.output_audio_format",
        ),
    ],
)
def test_what_the_beta_does_not_know_is_refused(session: dict[str, Any], code: str, path: str, spelled: str) -> None:
    fault = updated(session)
    assert isinstance(fault, Malformed)
    assert (fault.code, fault.param, fault.event_id) == (code, path, "e")
    error = said_of(fault)
    assert error["param"] == spelled
    assert f"'{spelled}'" in error["message"] or "Supported values" in error["message"]


def said_of(fault: Malformed | RequestError) -> dict[str, Any]:
    """The error event that the core makes of a fault, as the client reads it."""
    body = events.ErrorBody(type="invalid_request_error", code=fault.code, message=fault.message, param=fault.param)
    error: dict[str, Any] = said(events.Error(error=body))["error"]
    return error


def test_a_transcription_session_is_updated_by_its_own_event() -> None:
    event = decoded(
        {
            "type": "transcription_session.update",
            "event_id": "e",
            "session": {
                "input_audio_format": "g711_alaw",
                "input_audio_transcription": {"model": "whisper-1"},
                "modalities": ["text"],
                "turn_detection": None,
                "include": ["item.input_audio_transcription.logprobs"],
            },
        }
    )
    assert event == events.SessionUpdate(
        event_id="e",
        session={
            "type": "transcription",
            "audio": {
                "input": {
                    "format": {"type": "audio/pcma"},
                    "transcription": {"model": "whisper-1"},
                    "turn_detection": None,
                }
            },
            "include": ["item.input_audio_transcription.logprobs"],
        },
    )
    fault = decoded({"type": "transcription_session.update", "session": {"voice": "alloy"}})
    assert (fault.code, fault.param) == ("unknown_parameter", "session.voice")


def test_items_and_overrides_of_a_response() -> None:
    message = {"type": "message", "role": "assistant", "content": [{"type": "text", "text": "hi"}]}
    event = decoded(
        {
            "type": "response.create",
            "event_id": "e",
            "response": {
                "conversation": "none",
                "input": [{"type": "item_reference", "id": "i"}, message, 7],
                "modalities": ["text"],
                "output_audio_format": "g711_ulaw",
                "voice": "echo",
                "tool_choice": "f",
                "temperature": 0.6,
                "max_response_output_tokens": 10,
                "metadata": {"a": "b"},
            },
        }
    )
    assert event == events.ResponseCreate(
        event_id="e",
        response={
            "conversation": "none",
            "input": [
                {"type": "item_reference", "id": "i"},
                {**message, "content": [{"type": "output_text", "text": "hi"}]},
                7,
            ],
            "output_modalities": ["text"],
            "audio": {"output": {"format": {"type": "audio/pcmu"}, "voice": "echo"}},
            "tool_choice": {"type": "function", "name": "f"},
            "temperature": 0.6,
            "max_output_tokens": 10,
            "metadata": {"a": "b"},
        },
    )
    other = decoded({"type": "response.create", "response": {"max_output_tokens": 7}})
    assert other == events.ResponseCreate(response={"max_output_tokens": 7})
    fault = decoded({"type": "response.create", "response": {"speed": 1.2}})
    assert (fault.code, fault.param) == ("unknown_parameter", "response.speed")


@pytest.mark.parametrize(
    ("content", "becomes"),
    [
        ([{"type": "input_text", "text": "a"}], [{"type": "input_text", "text": "a"}]),
        ([{"type": "input_audio", "audio": "AAA="}], [{"type": "input_audio", "audio": "AAA="}]),
        ([{"type": "text", "text": "a"}], [{"type": "output_text", "text": "a"}]),
        ([{"type": "audio"}], [{"type": "output_audio"}]),
        (["a", {"text": "b"}], ["a", {"text": "b"}]),
        ("a", "a"),
    ],
)
def test_parts_of_an_item(content: Any, becomes: Any) -> None:
    item = {"type": "message", "role": "assistant", "content": content}
    event = decoded({"type": "conversation.item.create", "item": item, "previous_item_id": "root"})
    assert event == events.ConversationItemCreate(item={**item, "content": becomes}, previous_item_id="root")


@pytest.mark.parametrize("kind", ["output_text", "output_audio", "input_image", "item_reference", "x"])
def test_part_types_of_ga_are_unknown(kind: str) -> None:
    item = {"type": "message", "role": "assistant", "content": [{"type": "text", "text": ""}, {"type": kind}]}
    fault = decoded({"type": "conversation.item.create", "item": item, "event_id": "e"})
    assert fault == Malformed(
        code="invalid_value",
        message=f"Invalid value: '{kind}'. Supported values are: 'input_text', 'input_audio', 'text', 'audio'.",
        param="item.content[1].type",
        event_id="e",
    )


# ---- what the core finds wrong, in the client's words


@pytest.mark.parametrize(
    ("session", "spelled"),
    [
        ({"voice": "nobody"}, "session.voice"),
        ({"speed": 9}, "session.speed"),
        ({"temperature": 2.0}, "session.temperature"),
        ({"max_response_output_tokens": 5000}, "session.max_response_output_tokens"),
        ({"turn_detection": {"type": "server_vad", "threshold": 2}}, "session.turn_detection.threshold"),
        ({"turn_detection": {"type": "server_vad", "sensitivity": 2}}, "session.turn_detection.sensitivity"),
        ({"input_audio_transcription": {"model": 7}}, "session.input_audio_transcription.model"),
        ({"tool_choice": "nothing"}, "session.tool_choice"),
        ({"tools": [{"type": "function", "name": "a b"}]}, "session.tools[0].name"),
    ],
)
def test_a_refused_update_names_the_clients_own_key(session: dict[str, Any], spelled: str) -> None:
    with pytest.raises(RequestError) as refused:
        config.updated(updated(session), samples.PLAIN, config.SessionLock(), frozenset(VOICES))
    error = said_of(refused.value)
    assert error["param"] == spelled
    assert "audio.input" not in error["message"]
    assert "max_output" not in error["message"]


def test_a_refused_part_is_named_as_the_client_knows_it() -> None:
    event = decoded(
        {
            "type": "conversation.item.create",
            "item": {"type": "message", "role": "user", "content": [{"type": "text", "text": "a"}]},
        }
    )
    with pytest.raises(RequestError) as refused:
        parse_item(event.item)
    assert said_of(refused.value) == {
        "type": "invalid_request_error",
        "code": "invalid_value",
        "message": "Invalid value: 'text'. Supported values are: 'input_text', 'input_audio'.",
        "param": "item.content[0].type",
        "event_id": None,
    }


@pytest.mark.parametrize(
    ("ga", "beta"),
    [
        ("session.output_modalities", "session.modalities"),
        ("session.audio.input.turn_detection", "session.turn_detection"),
        ("session.audio.input.turn_detection.type", "session.turn_detection.type"),
        ("session.audio.input.transcription.keywords[3]", "session.input_audio_transcription.keywords[3]"),
        ("session.audio.output.voice", "session.voice"),
        ("session.type", "type"),
        ("session.tool_choice.name", "session.tool_choice"),
        ("session.tools[2].meta", "session.tools[2].meta"),
        ("response.audio.output.format", "response.output_audio_format"),
        ("response.max_output_tokens", "response.max_response_output_tokens"),
        ("item.content[0].text", "item.content[0].text"),
        ("audio", "audio"),
    ],
)
def test_paths(ga: str, beta: str) -> None:
    assert param(ga) == beta


# ---- there and back

words = st.text(max_size=10)
formats = st.sampled_from(["pcm16", "g711_ulaw", "g711_alaw"])
vad = st.fixed_dictionaries(
    {"type": st.just("server_vad")},
    optional={
        "threshold": st.floats(0, 1),
        "prefix_padding_ms": st.integers(0, 1000),
        "silence_duration_ms": st.integers(0, 1000),
        "create_response": st.booleans(),
        "interrupt_response": st.booleans(),
    },
)
semantic = st.fixed_dictionaries(
    {"type": st.just("semantic_vad")}, optional={"eagerness": st.sampled_from(["low", "medium", "high", "auto"])}
)
sessions = st.fixed_dictionaries(
    {},
    optional={
        "modalities": st.sampled_from([["text"], ["text", "audio"]]),
        "instructions": words,
        "voice": st.sampled_from(sorted(VOICES)),
        "speed": st.floats(0.25, 1.5),
        "input_audio_format": formats,
        "output_audio_format": formats,
        "input_audio_transcription": st.none()
        | st.fixed_dictionaries({"model": words}, optional={"language": words, "prompt": words}),
        "input_audio_noise_reduction": st.none() | st.fixed_dictionaries({"type": st.sampled_from(["near_field"])}),
        "turn_detection": st.none() | vad | semantic,
        "tools": st.just([{"type": "function", "name": "f", "description": "d", "parameters": {"type": "object"}}]),
        "tool_choice": st.sampled_from(["auto", "none", "required"]),
        "temperature": st.floats(0.6, 1.2),
        "max_response_output_tokens": st.just("inf") | st.integers(1, 4096),
    },
)


@settings(deadline=None)
@given(session=sessions)
def test_a_flat_session_comes_back_as_it_went(session: dict[str, Any]) -> None:
    assert flat(nested(session, SESSION, "session"), SESSION) == session


@settings(deadline=None)
@given(session=sessions)
def test_what_is_updated_is_what_is_shown(session: dict[str, Any]) -> None:
    patch = decoded({"type": "session.update", "session": session}).session
    new = config.updated(patch, samples.PLAIN, config.SessionLock(), frozenset(VOICES))
    event = said(events.SessionUpdated(session=samples.session(new)))
    assert check_beta(event) == []
    for key, value in session.items():
        shown = event["session"][key]
        assert {**shown, **value} == shown if isinstance(value, dict) else shown == value


@settings(deadline=None)
@given(session=sessions)
def test_what_is_shown_can_be_sent_again(session: dict[str, Any]) -> None:
    """Clients read the session, change a key and send all of it."""
    patch = decoded({"type": "session.update", "session": session}).session
    new = config.updated(patch, samples.PLAIN, config.SessionLock(), frozenset(VOICES))
    shown = said(events.SessionUpdated(session=samples.session(new)))["session"]
    again = decoded({"type": "session.update", "session": shown}).session
    assert config.updated(again, new, config.SessionLock(), frozenset(VOICES)) == msgspec.structs.replace(
        new, temperature=shown["temperature"]
    )


# ---- without a marker


def test_an_unmarked_client_reads_the_spoken_words_as_text_too() -> None:
    event = events.OutputAudioTranscriptDelta(**AT, delta="No")
    texts = [json.loads(text) for text in BETA_UNMARKED.encode(event, EVENT_ID)]
    assert [body["type"] for body in texts] == ["response.audio_transcript.delta", "response.text.delta"]
    assert len({body["event_id"] for body in texts}) == 2
    for body in texts:
        assert check_beta(body) == []
        assert {key: body[key] for key in (*AT, "delta")} == {**AT, "delta": "No"}


def test_an_unmarked_client_is_a_beta_client_otherwise() -> None:
    for event in SAMPLES:
        if not isinstance(event, events.OutputAudioTranscriptDelta):
            assert BETA_UNMARKED.encode(event, EVENT_ID) == BETA.encode(event, EVENT_ID)
    assert BETA_UNMARKED.decode is BETA.decode
