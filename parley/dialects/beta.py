"""The beta spelling: flat sessions, old event names, old part types (protocol.md 0.3, 2.5, 6.1).

Tables first. A `Field` says where a beta key lives in the GA object, and how its value translates each way; from these
rows come the translation of what clients send, of what we answer, and of the paths in error messages. What the beta
does not know is refused on the way in and left out on the way back.

A fault of the client that we find here is reported with the GA path, as the core would: `encode` spells it back.
"""

import re
from collections.abc import Callable, Iterable, Mapping
from typing import Any, Final, NamedTuple, get_args

import msgspec

from parley.core.events import (
    AnyClientEvent,
    AnyServerEvent,
    ClientEvent,
    ConversationItemCreate,
    DtmfEventReceived,
    Error,
    ItemAdded,
    ItemDone,
    ItemRetrieved,
    McpEvent,
    OutputAudioDelta,
    OutputAudioTranscriptDelta,
    OutputItemAdded,
    OutputItemDone,
    ResponseCreate,
    ResponseCreated,
    ResponseDone,
    ServerEvent,
    SessionCreated,
    SessionUpdate,
    SessionUpdated,
    TimeoutTriggered,
    TranscriptionCompleted,
)
from parley.core.inputs import Malformed
from parley.core.items import McpItem
from parley.core.shapes import shape
from parley.dialects.base import (
    ECHO_CHARS_MAX,
    Dialect,
    Head,
    client_kinds,
    head,
    heads,
    malformed,
    reader,
    said,
    written,
    written_audio,
)
from parley.errors import RequestError

TEMPERATURE: Final = 0.8
"""What a session shows that has set none (protocol.md 2.5)."""

EVENTS: Final = {
    "conversation.item.added": "conversation.item.created",
    "response.output_text.delta": "response.text.delta",
    "response.output_text.done": "response.text.done",
    "response.output_audio.delta": "response.audio.delta",
    "response.output_audio.done": "response.audio.done",
    "response.output_audio_transcript.delta": "response.audio_transcript.delta",
    "response.output_audio_transcript.done": "response.audio_transcript.done",
}
"""Server events with another name. `conversation.item.created` is said once, when the item is added."""

DROPPED: Final[frozenset[type[ServerEvent]]] = frozenset(
    {ItemDone, TimeoutTriggered, DtmfEventReceived, *get_args(McpEvent)}
)
"""Server events that beta clients do not know."""

PARTS: Final = {
    "input_text": "input_text",
    "input_audio": "input_audio",
    "text": "output_text",
    "audio": "output_audio",
}
"""Content part types, beta to GA."""
PARTS_BACK: Final = {ga: beta for beta, ga in PARTS.items()}

FORMATS: Final[dict[str, dict[str, Any]]] = {
    "pcm16": {"type": "audio/pcm", "rate": 24000},
    "g711_ulaw": {"type": "audio/pcmu"},
    "g711_alaw": {"type": "audio/pcma"},
}
FORMATS_BACK: Final[dict[str, str]] = {value["type"]: name for name, value in FORMATS.items()}


# ---- values


def _same(value: Any, path: str) -> Any:
    return value


def _unchanged(value: Any) -> Any:
    return value


def _one_of(words: Iterable[str], value: Any, path: str) -> str:
    if (word := shape(value, str, path)) not in words:
        listed = ", ".join(repr(known) for known in words)
        raise RequestError(
            "invalid_value", f"Invalid value: {word[:ECHO_CHARS_MAX]!r}. Supported values are: {listed}.", path
        )
    return word


def _modalities(value: Any, path: str) -> list[str]:
    names = [
        _one_of(("text", "audio"), name, f"{path}[{index}]") for index, name in enumerate(shape(value, list, path))
    ]
    if set(names) == {"text"}:
        return ["text"]
    if set(names) == {"text", "audio"}:
        return ["audio"]
    given = sorted(set(names))
    raise RequestError(
        "invalid_value", f"Invalid '{path}': {given}. Supported combinations are: ['text'] and ['audio', 'text'].", path
    )


def _modalities_back(value: Iterable[str]) -> list[str]:
    return ["text", "audio"] if "audio" in value else ["text"]


def _format(value: Any, path: str) -> dict[str, Any]:
    return dict(FORMATS[_one_of(FORMATS, value, path)])


def _format_back(value: Mapping[str, Any]) -> str:
    return FORMATS_BACK[value["type"]]


def _tool_choice(value: Any, path: str) -> Any:
    """Any other word names a function. The GA object is taken too: beta clients were seen to send it."""
    if isinstance(value, str) and value not in ("auto", "none", "required"):
        return {"type": "function", "name": value}
    return value


def _tool_choice_back(value: Any) -> str:
    if not isinstance(value, dict):
        return str(value)
    return str(value["name"]) if value["type"] == "function" else "auto"


def _refusing(*keys: str) -> Callable[[Any, str], Any]:
    """Objects whose `keys` came with GA. On the way in they are unknown …"""

    def refuse(value: Any, path: str) -> Any:
        for key in keys:
            if isinstance(value, dict) and key in value:
                raise _unknown(f"{path}.{key}")
        return value

    return refuse


def _leaving_out(*keys: str) -> Callable[[Any], Any]:
    """… and on the way back they are left out."""

    def leave_out(value: Any) -> Any:
        return {key: value[key] for key in value if key not in keys} if isinstance(value, dict) else value

    return leave_out


def _tools(value: Any, path: str) -> Any:
    """Servers came with GA."""
    for index, tool in enumerate(value if isinstance(value, list) else ()):
        if isinstance(tool, dict) and "type" in tool:
            _one_of(("function",), tool["type"], f"{path}[{index}].type")
    return value


def _tools_back(value: Iterable[dict[str, Any]]) -> list[dict[str, Any]]:
    return [tool for tool in value if tool["type"] == "function"]


def _items(value: Any, path: str) -> Any:
    return [_item(item, f"{path}[{index}]") for index, item in enumerate(value)] if isinstance(value, list) else value


def _item(item: Any, path: str) -> Any:
    content = item.get("content") if isinstance(item, dict) else None
    if not isinstance(content, list):
        return item
    return {**item, "content": [_part(part, f"{path}.content[{index}]") for index, part in enumerate(content)]}


def _part(part: Any, path: str) -> Any:
    if not isinstance(part, dict) or "type" not in part:
        return part  # the core says what is wrong with it
    return {**part, "type": PARTS[_one_of(PARTS, part["type"], f"{path}.type")]}


def _item_back(item: dict[str, Any]) -> dict[str, Any]:
    known = {key: value for key, value in item.items() if key != "phase"}
    if "content" in known:
        known["content"] = [_part_back(part) for part in known["content"]]
    return known


def _part_back(part: dict[str, Any]) -> dict[str, Any]:
    known = {key: value for key, value in part.items() if key != "format"}
    return {**known, "type": PARTS_BACK.get(part["type"], part["type"])}


def _items_back(items: list[dict[str, Any]]) -> list[dict[str, Any]]:
    return [_item_back(item) for item in items if not item["type"].startswith("mcp_")]


def _usage_back(usage: dict[str, Any] | None) -> dict[str, Any] | None:
    if usage is None:
        return None
    return {**usage, "input_token_details": _leaving_out("image_tokens")(usage["input_token_details"])}


# ---- fields


class Field(NamedTuple):
    """A beta key, its place in the GA object (None: taken and ignored), and its value there and back.

    `there` is given the GA path of the value for its errors, and raises `RequestError`.
    """

    beta: str
    ga: str | None
    there: Callable[[Any, str], Any] = _same
    back: Callable[[Any], Any] = _unchanged


IDENTITY: Final = (Field("id", "id"), Field("object", "object"), Field("expires_at", "expires_at"))
HEARING: Final = (
    Field("input_audio_format", "audio.input.format", _format, _format_back),
    Field(
        "input_audio_transcription",
        "audio.input.transcription",
        _refusing("languages", "keywords", "delay"),
        _leaving_out("languages", "keywords", "delay"),
    ),
    Field(
        "input_audio_noise_reduction", "audio.input.noise_reduction", _refusing("strength"), _leaving_out("strength")
    ),
)
SESSION: Final = (
    *IDENTITY,
    Field("model", "model"),
    Field("modalities", "output_modalities", _modalities, _modalities_back),
    Field("instructions", "instructions"),
    Field("voice", "audio.output.voice"),
    Field("speed", "audio.output.speed"),
    *HEARING,
    Field(
        "turn_detection",
        "audio.input.turn_detection",
        _refusing("idle_timeout_ms"),
        _leaving_out("idle_timeout_ms"),
    ),
    Field("output_audio_format", "audio.output.format", _format, _format_back),
    Field("tools", "tools", _tools, _tools_back),
    Field("tool_choice", "tool_choice", _tool_choice, _tool_choice_back),
    Field("temperature", "temperature"),
    Field("max_response_output_tokens", "max_output_tokens"),
    Field("tracing", "tracing"),
    Field("include", "include"),
    Field("client_secret", None),
)
TRANSCRIPTION: Final = (
    *IDENTITY,
    *HEARING,
    Field(
        "turn_detection",
        "audio.input.turn_detection",
        _refusing("idle_timeout_ms"),
        _leaving_out("idle_timeout_ms", "create_response", "interrupt_response"),  # of no effect there (2.6)
    ),
    Field("include", "include"),
    Field("modalities", None),
    Field("client_secret", None),
)
OPTIONS: Final = (
    Field("conversation", "conversation"),
    Field("input", "input", _items),
    Field("instructions", "instructions"),
    Field("modalities", "output_modalities", _modalities),
    Field("voice", "audio.output.voice"),
    Field("output_audio_format", "audio.output.format", _format),
    Field("tools", "tools", _tools),
    Field("tool_choice", "tool_choice", _tool_choice),
    Field("temperature", "temperature"),
    Field("max_output_tokens", "max_output_tokens"),
    Field("max_response_output_tokens", "max_output_tokens"),
    Field("metadata", "metadata"),
)
"""The overrides of `response.create`."""
RESPONSE: Final = (
    Field("id", "id"),
    Field("object", "object"),
    Field("status", "status"),
    Field("status_details", "status_details"),
    Field("output", "output", back=_items_back),
    Field("conversation_id", "conversation_id"),
    Field("modalities", "output_modalities", back=_modalities_back),
    Field("voice", "audio.output.voice"),
    Field("output_audio_format", "audio.output.format", back=_format_back),
    Field("temperature", "temperature"),
    Field("max_output_tokens", "max_output_tokens"),
    Field("metadata", "metadata"),
    Field("usage", "usage", back=_usage_back),
)
"""The response object."""


def nested(flat: Mapping[str, Any], fields: tuple[Field, ...], root: str) -> dict[str, Any]:
    """The GA object for a client's flat one. Raises `RequestError`, with the GA path below `root`."""
    known = {field.beta: field for field in fields}
    whole: dict[str, Any] = {}
    for key, value in flat.items():
        field = known.get(key)
        if field is None:
            raise _unknown(f"{root}.{key[:ECHO_CHARS_MAX]}")
        if field.ga is not None:
            *outer, last = field.ga.split(".")
            place = whole
            for step in outer:
                place = place.setdefault(step, {})
            place[last] = field.there(value, f"{root}.{field.ga}")
    return whole


def flat(whole: Mapping[str, Any], fields: tuple[Field, ...]) -> dict[str, Any]:
    """The beta object for a GA one of ours; what is not there is not said."""
    found = ((field, _dig(whole, field.ga)) for field in fields if field.ga is not None)
    return {field.beta: field.back(value) for field, value in found if value is not _ABSENT}


_ABSENT: Final = object()


def _dig(value: Any, path: str) -> Any:
    for step in path.split("."):
        if not isinstance(value, dict) or step not in value:
            return _ABSENT
        value = value[step]
    return value


def _unknown(path: str) -> RequestError:
    return RequestError("unknown_parameter", f"Unknown parameter: '{path}'.", path)


# ---- what clients say


class TranscriptionSessionUpdate(ClientEvent, frozen=True, tag="transcription_session.update"):
    session: dict[str, Any]


def _update(event: SessionUpdate) -> SessionUpdate:
    session = nested(event.session, SESSION, "session")
    return SessionUpdate(session={"type": "realtime", **session}, event_id=event.event_id)


def _transcription_update(event: TranscriptionSessionUpdate) -> SessionUpdate:
    session = nested(event.session, TRANSCRIPTION, "session")
    return SessionUpdate(session={"type": "transcription", **session}, event_id=event.event_id)


def _item_create(event: ConversationItemCreate) -> ConversationItemCreate:
    return msgspec.structs.replace(event, item=_item(event.item, "item"))


def _response_create(event: ResponseCreate) -> ResponseCreate:
    if event.response is None:
        return event
    return msgspec.structs.replace(event, response=nested(event.response, OPTIONS, "response"))


TRANSLATED: Final[dict[type, Callable[[Any], AnyClientEvent]]] = {
    SessionUpdate: _update,
    TranscriptionSessionUpdate: _transcription_update,
    ConversationItemCreate: _item_create,
    ResponseCreate: _response_create,
}
"""Client events that differ from GA."""

_read = reader((*client_kinds(), TranscriptionSessionUpdate))


def decode(raw: str | bytes) -> AnyClientEvent | Malformed:
    event: AnyClientEvent | Malformed = _read(raw)
    translate = TRANSLATED.get(type(event))
    if translate is None:
        return event
    try:
        return translate(event)
    except RequestError as fault:
        return malformed(fault, event.event_id)


# ---- what we say


def _paths() -> dict[str, str]:
    """GA paths that are spelled differently, longest first."""
    pairs = {"session.type": "type", "session.tool_choice.name": "session.tool_choice"}
    for root, fields in (("session", SESSION), ("response", OPTIONS)):
        pairs |= {
            f"{root}.{field.ga}": f"{root}.{field.beta}" for field in fields if field.ga not in (None, field.beta)
        }
    return dict(sorted(pairs.items(), key=lambda pair: -len(pair[0])))


_PATHS: Final = _paths()


def param(path: str) -> str:
    for ga, beta in _PATHS.items():
        if path == ga or path.startswith((f"{ga}.", f"{ga}[")):
            return beta + path[len(ga) :]
    return path


def _error_back(body: dict[str, Any]) -> dict[str, Any]:
    error = body["error"]
    path = error["param"]
    if path is None:
        return body
    if error["code"] == "unknown_parameter" and path in _PATHS:
        return body  # the client's own words: a GA key is unknown here, and the core knows all of them
    spelled = param(path)
    message = error["message"].replace(f"'{path}'", f"'{spelled}'")
    if path.endswith("].type"):
        message = _part_names_back(message)
    return {**body, "error": {**error, "param": spelled, "message": message}}


def _part_names_back(message: str) -> str:
    return re.sub(r"'(output_\w+)'", lambda name: repr(PARTS_BACK.get(name[1], name[1])), message).replace(
        ", 'input_image'", ""
    )


def _session_back(body: dict[str, Any]) -> dict[str, Any]:
    session = body["session"]
    if session["type"] == "transcription":
        return {**body, "type": f"transcription_{body['type']}", "session": flat(session, TRANSCRIPTION)}
    return {**body, "session": {"temperature": TEMPERATURE, **flat(session, SESSION)}}


def _response_back(body: dict[str, Any]) -> dict[str, Any]:
    return {**body, "response": {"temperature": TEMPERATURE, **flat(body["response"], RESPONSE)}}


def _with_item_back(body: dict[str, Any]) -> dict[str, Any]:
    return {**body, "type": EVENTS.get(body["type"], body["type"]), "item": _item_back(body["item"])}


REWRITTEN: Final[dict[type[ServerEvent], Callable[[dict[str, Any]], dict[str, Any]]]] = {
    Error: _error_back,
    SessionCreated: _session_back,
    SessionUpdated: _session_back,
    ItemAdded: _with_item_back,
    ItemRetrieved: _with_item_back,
    OutputItemAdded: _with_item_back,
    OutputItemDone: _with_item_back,
    ResponseCreated: _response_back,
    ResponseDone: _response_back,
    TranscriptionCompleted: _leaving_out("languages"),
}
"""Server events whose fields differ from GA."""

WITH_ITEM: Final = (ItemAdded, ItemRetrieved, OutputItemAdded, OutputItemDone)

_HEADS: Final = heads(EVENTS)


def encode(event: AnyServerEvent, event_id: str) -> tuple[bytes, ...]:
    if isinstance(event, OutputAudioDelta):
        return (encode_audio(event, event.delta, event_id),)
    kind = type(event)
    if kind in DROPPED or (isinstance(event, WITH_ITEM) and isinstance(event.item, McpItem)):
        return ()
    rewrite = REWRITTEN.get(kind)
    if rewrite is None:
        return (written(event, _HEADS[kind], event_id),)
    return (said(rewrite(msgspec.to_builtins(event)), event_id),)


def encode_audio(event: OutputAudioDelta, sound: bytes, event_id: str) -> bytes:
    return written_audio(event, _HEADS[OutputAudioDelta], sound, event_id)


BETA: Final = Dialect("beta", decode, encode, encode_audio, param)


# ---- beta without a marker

ALSO: Final[dict[type[ServerEvent], Head]] = {
    OutputAudioTranscriptDelta: head(OutputAudioTranscriptDelta, "response.text.delta")
}
"""Clients that are beta by shape alone may print `response.text.delta` though they ask for sound (protocol.md 1.9): to
them the words of the sound are said under that name as well."""


def encode_unmarked(event: AnyServerEvent, event_id: str) -> tuple[bytes, ...]:
    """The second message has an id of its own, made from `event_id`."""
    also = ALSO.get(type(event))
    if also is None:
        return encode(event, event_id)
    return (*encode(event, event_id), written(event, also, f"{event_id}_text"))


BETA_UNMARKED: Final = BETA._replace(name="beta_unmarked", encode=encode_unmarked)


SHAPE: Final = frozenset(field.beta for field in SESSION if field.ga not in (None, field.beta)) | {"temperature"}
"""Keys of a session that only a beta client sends (protocol.md 0.2, rule 6)."""
