from typing import Any

import pytest

from parley.catalog import VOICES
from parley.core.config import (
    SCHEMA_DEPTH_MAX,
    TOOLS_MAX,
    RealtimeConfig,
    SemanticVad,
    ServerVad,
    SessionConfig,
    SessionLock,
    TranscriptionConfig,
    parse_response,
    updated,
)
from parley.errors import ERRORS, RequestError

NAMES = frozenset(VOICES)
REALTIME = RealtimeConfig(model="gpt-realtime")


def update(patch: Any, config: SessionConfig = REALTIME, lock: SessionLock = SessionLock()) -> SessionConfig:  # noqa: B008
    return updated(patch, config, lock, NAMES)


def function(**fields: Any) -> dict[str, Any]:
    return {"type": "realtime", "tools": [{"type": "function", "name": "f", **fields}]}


def schema(inner: Any) -> dict[str, Any]:
    return function(parameters={"type": "object", "properties": {"a": inner}})


def deep(levels: int) -> dict[str, Any]:
    return {"type": "object", "properties": {"a": deep(levels - 1)}} if levels else {"type": "string"}


def audio_input(**fields: Any) -> dict[str, Any]:
    return {"type": "realtime", "audio": {"input": fields}}


def audio_output(**fields: Any) -> dict[str, Any]:
    return {"type": "realtime", "audio": {"output": fields}}


TD = "session.audio.input.turn_detection"

REFUSED: list[tuple[Any, str, str]] = [
    ([], "invalid_type", "session"),
    ({}, "missing_required_parameter", "session.type"),
    ({"type": "chat"}, "invalid_value", "session.type"),
    ({"type": "transcription"}, "cannot_update_session_type", "session.type"),
    ({"type": "realtime", "model": "other"}, "cannot_update_model", "session.model"),
    ({"type": "realtime", "nonsense": 1}, "unknown_parameter", "session.nonsense"),
    ({"type": "realtime", "instructions": None}, "invalid_type", "session.instructions"),
    ({"type": "realtime", "instructions": 5}, "invalid_type", "session.instructions"),
    ({"type": "realtime", "output_modalities": ["audio", "text"]}, "invalid_value", "session.output_modalities"),
    ({"type": "realtime", "output_modalities": []}, "invalid_value", "session.output_modalities"),
    ({"type": "realtime", "output_modalities": ["video"]}, "invalid_value", "session.output_modalities[0]"),
    ({"type": "realtime", "audio": 3}, "invalid_type", "session.audio"),
    ({"type": "realtime", "max_output_tokens": 0}, "invalid_value", "session.max_output_tokens"),
    ({"type": "realtime", "max_output_tokens": 5000}, "invalid_value", "session.max_output_tokens"),
    ({"type": "realtime", "max_output_tokens": "many"}, "invalid_value", "session.max_output_tokens"),
    ({"type": "realtime", "max_output_tokens": 1.5}, "invalid_type", "session.max_output_tokens"),
    ({"type": "realtime", "truncation": "never"}, "invalid_value", "session.truncation"),
    (
        {"type": "realtime", "truncation": {"type": "retention_ratio", "retention_ratio": 2}},
        "invalid_value",
        "session.truncation.retention_ratio",
    ),
    ({"type": "realtime", "tool_choice": "perhaps"}, "invalid_value", "session.tool_choice"),
    (
        {"type": "realtime", "tool_choice": {"type": "function", "name": "g"}},
        "invalid_value",
        "session.tool_choice.name",
    ),
    ({"type": "realtime", "prompt": {"version": "1"}}, "missing_required_parameter", "session.prompt.id"),
    ({"type": "realtime", "include": ["everything"]}, "invalid_value", "session.include[0]"),
    (audio_input(format={"type": "audio/mp3"}), "invalid_value", "session.audio.input.format.type"),
    (audio_input(format={"type": "audio/pcm", "rate": 16000}), "invalid_value", "session.audio.input.format.rate"),
    (audio_input(turn_detection={"type": "guess"}), "invalid_value", f"{TD}.type"),
    (audio_input(turn_detection={"type": "server_vad", "threshold": 1.5}), "invalid_value", f"{TD}.threshold"),
    (audio_input(turn_detection={"threshold": -1}), "invalid_value", f"{TD}.threshold"),
    (
        audio_input(turn_detection={"type": "server_vad", "prefix_padding_ms": -1}),
        "invalid_value",
        f"{TD}.prefix_padding_ms",
    ),
    (
        audio_input(turn_detection={"type": "server_vad", "silence_duration_ms": 2.5}),
        "invalid_type",
        f"{TD}.silence_duration_ms",
    ),
    (
        audio_input(turn_detection={"type": "server_vad", "idle_timeout_ms": 4999}),
        "invalid_value",
        f"{TD}.idle_timeout_ms",
    ),
    (
        audio_input(turn_detection={"type": "server_vad", "idle_timeout_ms": 30001}),
        "invalid_value",
        f"{TD}.idle_timeout_ms",
    ),
    (audio_input(turn_detection={"type": "semantic_vad", "eagerness": "keen"}), "invalid_value", f"{TD}.eagerness"),
    (audio_input(turn_detection={"type": "semantic_vad", "threshold": 0.5}), "unknown_parameter", f"{TD}.threshold"),
    (audio_input(noise_reduction={"type": "mid"}), "invalid_value", "session.audio.input.noise_reduction.type"),
    (audio_input(transcription={"modle": "x"}), "unknown_parameter", "session.audio.input.transcription.modle"),
    (
        audio_input(transcription={"model": "gpt-transcribe", "keywords": ["ok", "<b>"]}),
        "invalid_value",
        "session.audio.input.transcription.keywords[1]",
    ),
    (audio_output(voice="bob"), "invalid_value", "session.audio.output.voice"),
    (audio_output(voice={"id": "voice_1"}), "invalid_value", "session.audio.output.voice"),
    (audio_output(speed=0.1), "invalid_value", "session.audio.output.speed"),
    (audio_output(speed=1.6), "invalid_value", "session.audio.output.speed"),
    ({"type": "realtime", "tools": [{"type": "function"}]}, "missing_required_parameter", "session.tools[0].name"),
    ({"type": "realtime", "tools": [{"type": "web", "name": "x"}]}, "invalid_value", "session.tools[0].type"),
    (function(name="no spaces"), "invalid_value", "session.tools[0].name"),
    (function(parameters={"type": "array"}), "invalid_value", "session.tools[0].parameters.type"),
    (function(parameters=[]), "invalid_type", "session.tools[0].parameters"),
    (schema({"type": "text"}), "invalid_value", "session.tools[0].parameters.properties.a.type"),
    (schema("string"), "invalid_value", "session.tools[0].parameters.properties.a"),
    (schema({"anyOf": {}}), "invalid_value", "session.tools[0].parameters.properties.a.anyOf"),
    (schema({"anyOf": [{"type": 7}]}), "invalid_value", "session.tools[0].parameters.properties.a.anyOf[0].type"),
    (schema({"items": 3}), "invalid_value", "session.tools[0].parameters.properties.a.items"),
    (schema({"enum": "a"}), "invalid_value", "session.tools[0].parameters.properties.a.enum"),
    (schema({"required": [1]}), "invalid_value", "session.tools[0].parameters.properties.a.required"),
    (
        function(parameters={"type": "object", "properties": []}),
        "invalid_value",
        "session.tools[0].parameters.properties",
    ),
]


@pytest.mark.parametrize(("patch", "code", "param"), REFUSED, ids=lambda value: str(value)[:60])
def test_refused(patch: Any, code: str, param: str) -> None:
    with pytest.raises(RequestError) as refused:
        update(patch)
    assert (refused.value.code, refused.value.param) == (code, param)
    assert code in ERRORS
    assert refused.value.message


def test_too_deep_and_too_many() -> None:
    with pytest.raises(RequestError, match="deeper than 16"):
        update(function(parameters=deep(SCHEMA_DEPTH_MAX)))
    assert update(function(parameters=deep(SCHEMA_DEPTH_MAX - 1)))
    many = [{"type": "function", "name": f"f{n}"} for n in range(TOOLS_MAX + 1)]
    with pytest.raises(RequestError) as refused:
        update({"type": "realtime", "tools": many})
    assert refused.value.param == "session.tools"
    with pytest.raises(RequestError, match="Duplicate tool name 'f0'"):
        update({"type": "realtime", "tools": [many[0], many[0]]})


def test_a_patch_changes_only_what_it_names() -> None:
    first = update(audio_input(turn_detection={"type": "server_vad", "threshold": 0.9}))
    second = update({"type": "realtime", **audio_input(format={"type": "audio/pcma"})}, first)
    assert second.audio.input.turn_detection == ServerVad(threshold=0.9)
    third = update(audio_input(turn_detection={"type": "semantic_vad"}), second)
    assert third.audio.input.turn_detection == SemanticVad()
    assert third.audio.input.format == second.audio.input.format
    assert update(audio_input(turn_detection=None), third).audio.input.turn_detection is None


def test_a_turn_detection_without_type_is_server_vad() -> None:
    off = update(audio_input(turn_detection=None))
    assert update(audio_input(turn_detection={"threshold": 0.7}), off).audio.input.turn_detection == ServerVad(
        threshold=0.7
    )


def test_what_agents_sdks_send_is_taken() -> None:
    config = update(
        {
            "type": "realtime",
            "model": "gpt-realtime",
            "id": "sess_1",
            "object": "realtime.session",
            "expires_at": 1,
            "audio": {"input": {"turn_detection": {"type": "semantic_vad", "model_version": "v2"}}},
            "tools": [{"type": "function", "name": "f", "parameters": {}}],
            "tool_choice": {"type": "function", "name": "f"},
        }
    )
    assert config.audio.input.turn_detection == SemanticVad()


def test_transcription_sessions_have_no_output() -> None:
    config = TranscriptionConfig()
    new = update({"type": "transcription", "audio": {"input": {"transcription": {"model": "whisper-1"}}}}, config)
    assert new.audio.input.transcription is not None
    with pytest.raises(RequestError) as refused:
        update({"type": "transcription", "instructions": "x"}, config)
    assert refused.value.code == "unknown_parameter"


def test_locks() -> None:
    speaking = SessionLock(voice=True, speed=True)
    assert update(audio_output(voice="marin", speed=1.0), lock=speaking) == REALTIME
    for patch, code in (
        (audio_output(voice="ash"), "cannot_update_voice"),
        (audio_output(speed=1.1), "cannot_update_speed"),
    ):
        with pytest.raises(RequestError) as refused:
            update(patch, lock=speaking)
        assert refused.value.code == code


RESPONSES: list[tuple[Any, str, str]] = [
    ({"conversation": "maybe"}, "invalid_value", "response.conversation"),
    ({"metadata": {"k" * 65: "v"}}, "invalid_value", "response.metadata"),
    ({"metadata": {str(n): "v" for n in range(17)}}, "invalid_value", "response.metadata"),
    ({"metadata": {"a": 1}}, "invalid_type", "response.metadata"),
    ({"audio": {"output": {"voice": "bob"}}}, "invalid_value", "response.audio.output.voice"),
    ({"audio": {"output": {"speed": 1}}}, "unknown_parameter", "response.audio.output.speed"),
    ({"turn_detection": None}, "unknown_parameter", "response.turn_detection"),
    (
        {"tools": [{"type": "function", "name": "f", "parameters": {"type": "x"}}]},
        "invalid_value",
        "response.tools[0].parameters.type",
    ),
    ({"tools": [], "tool_choice": {"type": "function", "name": "f"}}, "invalid_value", "response.tool_choice.name"),
    ({"input": "hello"}, "invalid_type", "response.input"),
]


@pytest.mark.parametrize(("body", "code", "param"), RESPONSES, ids=lambda value: str(value)[:50])
def test_response_overrides_refused(body: Any, code: str, param: str) -> None:
    with pytest.raises(RequestError) as refused:
        parse_response(body, REALTIME, SessionLock(), NAMES)
    assert (refused.value.code, refused.value.param) == (code, param)
