"""A strict judge of what we say, made of the official SDK's own types (protocol.md 10).

    assert check_ga(event) == []

The SDK itself accepts almost anything: extra keys, missing keys, nulls, and an event that fits no type at all. So the
model is chosen by `type`, validated strictly, and then searched for everything that the types let pass: keys they do
not know, keys that are optional to them but not to clients, nulls that break clients, classes that a union should not
have chosen, values that did not survive the trip.

Only the standard library, pydantic and openai are imported here, for `oracle_beta_worker.py` runs this file under
another version of openai as well.
"""

import json
import subprocess
from collections.abc import Iterator, Mapping
from functools import cache
from pathlib import Path
from types import TracebackType
from typing import Any, NamedTuple, Self, get_args

from pydantic import BaseModel, ValidationError

Event = dict[str, Any]


class Rules(NamedTuple):
    """What one SDK union says, and what it forgets. Classes are named `module.Class`."""

    models: Mapping[str, type[BaseModel]]
    allowed: Mapping[str, frozenset[str]]
    """Keys that are legitimate though the class does not know them (protocol.md 10.4)."""
    required: Mapping[str, tuple[str, ...]]
    """Keys that must be there, null or not, though they are optional to the class."""
    filled: Mapping[str, tuple[str, ...]]
    """Keys that must not be null, if they are there (protocol.md 11)."""


def check_ga(event: Event) -> list[str]:
    """What is wrong with a GA server event: one line a finding, none if it is right."""
    return _check(event, _ga())


def check_translation(event: Event) -> list[str]:
    """The same for a server event of a translation session."""
    return _check(event, _translation())


def check_beta(event: Event) -> list[str]:
    """The same for a beta server event, by the beta types of the installed SDK."""
    return _check(_without_false_alarms(event), _beta())


def by_type(union: Any) -> dict[str, type[BaseModel]]:
    """The members of an event union by the literal in their `type`."""
    return {get_args(model.model_fields["type"].annotation)[0]: model for model in _members(union)}


def _members(union: Any) -> Iterator[type[BaseModel]]:
    if isinstance(union, type):
        yield union
        return
    for part in get_args(union):
        if isinstance(part, type) or get_args(part):
            yield from _members(part)


# ---- the check


def _check(event: Event, rules: Rules) -> list[str]:
    model = rules.models.get(str(event.get("type")))
    if model is None:
        return [f"type: {event.get('type')!r} is no event of this dialect"]
    try:
        parsed = model.model_validate(event, strict=True)
    except ValidationError as fault:
        return [f"{'.'.join(str(step) for step in error['loc'])}: {error['msg']}" for error in fault.errors()]
    findings = [finding for path, part in _walk("", parsed) for finding in _check_part(path, part, rules)]
    if not event.get("event_id") and "event_id" in model.model_fields:
        findings.append("event_id: is empty")
    if (dumped := parsed.model_dump(mode="json", by_alias=True, exclude_unset=True)) != event:
        findings.append(f"does not survive the trip: {_difference(event, dumped)}")
    return findings or list(_meaning(event))


def _walk(path: str, value: object) -> Iterator[tuple[str, BaseModel]]:
    if isinstance(value, BaseModel):
        yield path, value
        for name in sorted(value.model_fields_set - set(value.model_extra or ())):
            yield from _walk(f"{path}.{name}".lstrip("."), getattr(value, name))
    elif isinstance(value, list):
        for index, inner in enumerate(value):
            yield from _walk(f"{path}[{index}]", inner)


def _check_part(path: str, part: BaseModel, rules: Rules) -> Iterator[str]:
    name = class_name(part)
    for extra in sorted(set(part.model_extra or ()) - rules.allowed.get(name, frozenset())):
        yield f"{path}.{extra}: is not known to {name}".lstrip(".")
    for key in rules.required.get(name, ()):
        if key not in part.model_fields_set:
            yield f"{path}.{key}: is missing".lstrip(".")
    for key in rules.filled.get(name, ()):
        if key in part.model_fields_set and getattr(part, key) is None:
            yield f"{path}.{key}: is null".lstrip(".")
    if "type" in type(part).model_fields and getattr(part, "type", None) is None:
        yield f"{path}.type: is missing".lstrip(".")
    expected = LANDING.get((str(getattr(part, "type", None)), getattr(part, "role", None)))
    if expected is not None and name.startswith("realtime_") and expected != name.partition(".")[2]:
        yield f"{path}: was taken for a {name}, not a {expected}"


def class_name(part: BaseModel) -> str:
    return f"{type(part).__module__.rpartition('.')[2]}.{type(part).__qualname__}"


def _difference(event: object, dumped: object, path: str = "") -> str:
    if isinstance(event, dict) and isinstance(dumped, dict):
        for key in sorted(event.keys() | dumped.keys()):
            if event.get(key) != dumped.get(key) or (key in event) != (key in dumped):
                return _difference(event.get(key), dumped.get(key), f"{path}.{key}".lstrip("."))
    return f"{path} was {event!r}, became {dumped!r}"


LANDING = {
    ("message", "system"): "RealtimeConversationItemSystemMessage",
    ("message", "user"): "RealtimeConversationItemUserMessage",
    ("message", "assistant"): "RealtimeConversationItemAssistantMessage",
    ("function_call", None): "RealtimeConversationItemFunctionCall",
    ("function_call_output", None): "RealtimeConversationItemFunctionCallOutput",
    ("mcp_list_tools", None): "RealtimeMcpListTools",
    ("mcp_call", None): "RealtimeMcpToolCall",
    ("mcp_approval_request", None): "RealtimeMcpApprovalRequest",
    ("mcp_approval_response", None): "RealtimeMcpApprovalResponse",
    ("realtime", None): "RealtimeSessionCreateRequest",
    ("transcription", None): "RealtimeTranscriptionSessionCreateRequest",
}
"""The class that a union must have chosen, by `type` and `role`."""


# ---- what no type can say


def _meaning(event: Event) -> Iterator[str]:
    name = event["type"]
    if name in ("response.created", "response.done"):
        yield from _response(event["response"], done=name == "response.done")
    if name in ("response.content_part.added", "response.content_part.done"):
        yield from _part(event["part"])
    for path, item in _items(event):
        yield from _item(path, item, name)
    if isinstance(session := event.get("session"), dict):
        yield from _session(session)


def _response(response: Mapping[str, Any], *, done: bool) -> Iterator[str]:
    if done == (response.get("status") == "in_progress"):
        yield f"response.status: is {response.get('status')!r}"
    if not done and (response.get("output") or response.get("usage")):
        yield "response: has output or usage before it began"
    details = response.get("status_details")
    if details and details.get("type") != response.get("status"):
        yield "response.status_details.type: is not the status"
    if response.get("modalities") == ["audio"]:
        yield "response.modalities: is a GA value"
    if usage := response.get("usage"):
        yield from _usage(usage)


def _usage(usage: Mapping[str, Any]) -> Iterator[str]:
    heard, spoken = usage["input_token_details"], usage["output_token_details"]
    if usage["total_tokens"] != usage["input_tokens"] + usage["output_tokens"]:
        yield "response.usage.total_tokens: is not the sum"
    kinds = sum(heard.get(kind, 0) for kind in ("text_tokens", "audio_tokens", "image_tokens"))
    if "image_tokens" in heard and usage["input_tokens"] != kinds:
        yield "response.usage.input_tokens: is not the sum of its kinds"
    if heard["cached_tokens"] > usage["input_tokens"]:
        yield "response.usage.input_token_details.cached_tokens: is no subset"
    if usage["output_tokens"] != spoken["text_tokens"] + spoken["audio_tokens"]:
        yield "response.usage.output_tokens: is not the sum of its kinds"


def _part(part: Mapping[str, Any]) -> Iterator[str]:
    key = "transcript" if part.get("type") == "audio" else "text"
    if not isinstance(part.get(key), str):
        yield f"part.{key}: is not a string"
    if "audio" in part:
        yield "part.audio: does not belong into events"


def _items(event: Event) -> Iterator[tuple[str, Mapping[str, Any]]]:
    if isinstance(item := event.get("item"), dict):
        yield "item", item
    if isinstance(response := event.get("response"), dict):
        for index, item in enumerate(response.get("output") or ()):
            yield f"response.output[{index}]", item


def _item(path: str, item: Mapping[str, Any], name: str) -> Iterator[str]:
    for index, part in enumerate(item.get("content") or ()):
        if part["type"] == "input_audio" and "transcript" not in part:
            yield f"{path}.content[{index}].transcript: is missing"
        if "audio" in part and name != "conversation.item.retrieved":
            yield f"{path}.content[{index}].audio: does not belong into this event"
    if name == "response.output_item.added" and item.get("status") not in ("in_progress", None):
        yield f"{path}.status: is {item['status']!r} when the item begins"


def _session(session: Mapping[str, Any]) -> Iterator[str]:
    if session.get("output_modalities") not in (None, ["audio"], ["text"]):
        yield "session.output_modalities: is neither ['audio'] nor ['text']"
    if session.get("modalities") == ["audio"]:
        yield "session.modalities: is a GA value"


# ---- the dialects

_IDENTITY = frozenset({"id", "object", "expires_at"})
_ITEM = ("id", "object", "status")


@cache
def _ga() -> Rules:
    from openai.types import realtime

    return Rules(
        models=by_type(realtime.RealtimeServerEvent),
        allowed={
            "realtime_session_create_request.RealtimeSessionCreateRequest": _IDENTITY,
            "realtime_transcription_session_create_request.RealtimeTranscriptionSessionCreateRequest": _IDENTITY,
            "conversation_item_input_audio_transcription_delta_event"
            ".ConversationItemInputAudioTranscriptionDeltaEvent": frozenset({"obfuscation"}),
            "realtime_mcp_tool_call.RealtimeMcpToolCall": frozenset({"object", "status"}),
            "realtime_mcp_list_tools.RealtimeMcpListTools": frozenset({"object", "status"}),
            "realtime_mcp_approval_request.RealtimeMcpApprovalRequest": frozenset({"object", "status"}),
            "realtime_mcp_approval_response.RealtimeMcpApprovalResponse": frozenset({"object", "status"}),
            "realtime_conversation_item_user_message.Content": frozenset({"format"}),
            "realtime_conversation_item_assistant_message.Content": frozenset({"format"}),
            "realtime_conversation_item_assistant_message.RealtimeConversationItemAssistantMessage": frozenset(
                {"phase"}  # protocol.md 6.7
            ),
            "input_audio_buffer_dtmf_event_received_event.InputAudioBufferDtmfEventReceivedEvent": frozenset(
                {"event_id"}
            ),
        },
        required={
            "realtime_error.RealtimeError": ("code", "param", "event_id"),
            "realtime_session_create_request.RealtimeSessionCreateRequest": (
                *sorted(_IDENTITY),
                *("model", "output_modalities", "instructions", "audio", "tools", "tool_choice", "max_output_tokens"),
                *("truncation", "tracing", "prompt", "include"),
            ),
            "realtime_transcription_session_create_request.RealtimeTranscriptionSessionCreateRequest": (
                *sorted(_IDENTITY),
                *("audio", "include"),
            ),
            "realtime_audio_config.RealtimeAudioConfig": ("input", "output"),
            "realtime_audio_config_input.RealtimeAudioConfigInput": _HEARING,
            "realtime_transcription_session_audio_input.RealtimeTranscriptionSessionAudioInput": _HEARING,
            "realtime_audio_config_output.RealtimeAudioConfigOutput": ("format", "voice", "speed"),
            "realtime_audio_input_turn_detection.ServerVad": (*_SERVER_VAD, "idle_timeout_ms"),
            "realtime_audio_input_turn_detection.SemanticVad": ("eagerness", "create_response", "interrupt_response"),
            "conversation_created_event.Conversation": ("id", "object"),
            "conversation_item_added.ConversationItemAdded": ("previous_item_id",),
            "conversation_item_done.ConversationItemDone": ("previous_item_id",),
            "conversation_item_created_event.ConversationItemCreatedEvent": ("previous_item_id",),
            "input_audio_buffer_committed_event.InputAudioBufferCommittedEvent": ("previous_item_id",),
            "conversation_item_input_audio_transcription_delta_event"
            ".ConversationItemInputAudioTranscriptionDeltaEvent": ("content_index", "delta"),
            "realtime_conversation_item_system_message.RealtimeConversationItemSystemMessage": _ITEM,
            "realtime_conversation_item_user_message.RealtimeConversationItemUserMessage": _ITEM,
            "realtime_conversation_item_assistant_message.RealtimeConversationItemAssistantMessage": _ITEM,
            "realtime_conversation_item_function_call.RealtimeConversationItemFunctionCall": (*_ITEM, "call_id"),
            "realtime_conversation_item_function_call_output.RealtimeConversationItemFunctionCallOutput": _ITEM,
            "realtime_response.RealtimeResponse": (*_RESPONSE, "output_modalities", "max_output_tokens", "metadata"),
            "realtime_response_usage.RealtimeResponseUsage": _USAGE,
            "realtime_response_usage_input_token_details.RealtimeResponseUsageInputTokenDetails": (
                *("text_tokens", "audio_tokens", "image_tokens", "cached_tokens", "cached_tokens_details"),
            ),
            "realtime_response_usage_output_token_details.RealtimeResponseUsageOutputTokenDetails": _SPOKEN,
            "rate_limits_updated_event.RateLimit": _RATE_LIMIT,
            "realtime_function_tool.RealtimeFunctionTool": ("name",),
        },
        filled={
            "response_content_part_added_event.Part": ("text", "transcript", "audio"),
            "response_content_part_done_event.Part": ("text", "transcript", "audio"),
            "conversation_item_input_audio_transcription_failed_event.Error": ("type", "code", "message", "param"),
            "realtime_conversation_item_function_call.RealtimeConversationItemFunctionCall": (*_ITEM, "call_id"),
            "realtime_conversation_item_user_message.RealtimeConversationItemUserMessage": _ITEM,
            "realtime_conversation_item_assistant_message.RealtimeConversationItemAssistantMessage": _ITEM,
            "realtime_response.RealtimeResponse": ("id", "object", "status", "output"),
            "realtime_response.AudioOutput": ("voice", "format"),
            "response_mcp_call_arguments_delta.ResponseMcpCallArgumentsDelta": ("obfuscation",),
        },
    )


@cache
def _translation() -> Rules:
    from openai.types import realtime

    return Rules(models=by_type(realtime.RealtimeTranslationServerEvent), allowed={}, required={}, filled={})


@cache
def _beta() -> Rules:
    from openai.types.beta import realtime

    return Rules(
        models=by_type(realtime.RealtimeServerEvent),
        allowed={
            "session.Session": frozenset({"object", "expires_at", "include", "client_secret", "prompt"}),
            "transcription_session.TranscriptionSession": _IDENTITY | {"include", "input_audio_noise_reduction"},
            "transcription_session.TurnDetection": frozenset({"create_response", "eagerness"}),
            "conversation_item_input_audio_transcription_delta_event"
            ".ConversationItemInputAudioTranscriptionDeltaEvent": frozenset({"obfuscation"}),
            "realtime_response_usage.InputTokenDetails": frozenset({"cached_tokens_details"}),
            "response_function_call_arguments_done_event.ResponseFunctionCallArgumentsDoneEvent": frozenset({"name"}),
        },
        required={
            "error_event.Error": ("code", "param", "event_id"),
            "session.Session": (
                *("id", "object", "model", "modalities", "instructions", "voice", "speed", "tools", "tool_choice"),
                *("input_audio_format", "output_audio_format", "input_audio_transcription", "turn_detection"),
                *("input_audio_noise_reduction", "temperature", "max_response_output_tokens", "tracing"),
            ),
            "session.TurnDetection": ("create_response", "interrupt_response"),
            "transcription_session.TranscriptionSession": (
                *("id", "object", "input_audio_format", "input_audio_transcription", "turn_detection"),
                "input_audio_noise_reduction",
            ),
            "conversation_created_event.Conversation": ("id", "object"),
            "conversation_item_created_event.ConversationItemCreatedEvent": ("previous_item_id",),
            "input_audio_buffer_committed_event.InputAudioBufferCommittedEvent": ("previous_item_id",),
            "conversation_item_input_audio_transcription_delta_event"
            ".ConversationItemInputAudioTranscriptionDeltaEvent": ("content_index", "delta"),
            "conversation_item.ConversationItem": _ITEM,
            "realtime_response.RealtimeResponse": (
                *(*_RESPONSE, "modalities", "max_output_tokens", "metadata", "temperature"),
            ),
            "realtime_response_usage.RealtimeResponseUsage": _USAGE,
            "realtime_response_usage.InputTokenDetails": ("text_tokens", "audio_tokens", "cached_tokens"),
            "realtime_response_usage.OutputTokenDetails": _SPOKEN,
            "rate_limits_updated_event.RateLimit": _RATE_LIMIT,
            "response_function_call_arguments_done_event.ResponseFunctionCallArgumentsDoneEvent": ("name",),
        },
        filled={
            "response_content_part_added_event.Part": ("text", "transcript", "audio"),
            "response_content_part_done_event.Part": ("text", "transcript", "audio"),
            "conversation_item_input_audio_transcription_failed_event.Error": ("type", "code", "message", "param"),
            "conversation_item.ConversationItem": (*_ITEM, "name", "call_id", "arguments", "output", "role", "content"),
            "realtime_response.RealtimeResponse": ("id", "object", "status", "output", "voice", "output_audio_format"),
        },
    )


_HEARING = ("format", "transcription", "noise_reduction", "turn_detection")
_SERVER_VAD = ("threshold", "prefix_padding_ms", "silence_duration_ms", "create_response", "interrupt_response")
_RESPONSE = ("id", "object", "status", "status_details", "output", "conversation_id", "usage")
_USAGE = ("total_tokens", "input_tokens", "output_tokens", "input_token_details", "output_token_details")
_SPOKEN = ("text_tokens", "audio_tokens")
_RATE_LIMIT = ("name", "limit", "remaining", "reset_seconds")


def _without_false_alarms(event: Event) -> Event:
    """A beta event with what the types are known to get wrong put right (protocol.md 10.4)."""
    session = event.get("session")
    if not isinstance(session, dict):
        return event
    if str(event["type"]).startswith("transcription_session."):
        session = {"client_secret": {"value": "ek_none", "expires_at": 0}, **session}
        if isinstance(session.get("input_audio_transcription"), dict):
            session["input_audio_transcription"] = {**session["input_audio_transcription"], "model": "whisper-1"}
        return {**event, "type": "transcription_session.updated", "session": session}
    if isinstance(session.get("model"), str):
        session = {**session, "model": "gpt-4o-realtime-preview"}
    return {**event, "session": session}


# ---- the beta types of another SDK


class OtherBeta:
    """`check_beta` by the types of another SDK, in a process of its own.

    with OtherBeta(beta_python) as beta:  # the fixture
        assert beta.check(event) == []
    """

    def __init__(self, python: str) -> None:
        self._worker = subprocess.Popen(
            [python, "-m", "tests.oracle_beta_worker"],
            cwd=Path(__file__).parent.parent,
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            text=True,
            encoding="utf-8",
        )
        self.version: str = self._answer()

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, fault: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._worker.communicate(timeout=10)

    def check(self, event: Event) -> list[str]:
        assert self._worker.stdin is not None
        self._worker.stdin.write(json.dumps(event) + "\n")
        self._worker.stdin.flush()
        findings: list[str] = self._answer()
        return findings

    def _answer(self) -> Any:
        assert self._worker.stdout is not None
        line = self._worker.stdout.readline()
        assert line, "the beta worker has died"
        return json.loads(line)
