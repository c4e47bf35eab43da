"""The two spellings, for events that are passed on: plain data in GA spelling on the inside, text on the outside.

Unlike `ga` and `beta`, which speak to a client as the server itself, these know both directions, and keep what they do
not know: a provider's own keys and events that are newer than this program. The tables are those of `beta`.
"""

from collections.abc import Callable, Mapping
from typing import Any, Final, NamedTuple

import msgspec

from parley.core.relayed import Body
from parley.dialects import beta, peek
from parley.dialects.base import EVENT_BYTES_MAX
from parley.errors import RequestError

_encode = msgspec.json.Encoder().encode
_UNREADABLE: Final = (msgspec.MsgspecError, UnicodeError, RecursionError)

_MISSHAPEN: Final = (KeyError, AttributeError, TypeError, ValueError)
"""What the tables raise of something that has not the shape that they are for."""

AUDIO_GA: Final = b"response.output_audio.delta"
AUDIO_BETA: Final = b"response.audio.delta"


class Spelling(NamedTuple):
    """How one side of a relay speaks. What it reads and writes is the other side of an event in GA spelling."""

    name: str
    read_client: Callable[[bytes], Body]
    """Raises `RequestError`."""
    write_client: Callable[[Body], bytes]
    read_server: Callable[[bytes], tuple[Body, ...]]
    """Raises `ValueError`."""
    write_server: Callable[[Body], tuple[bytes, ...]]
    respell_sound: Callable[[bytes], bytes]
    """A delta of sound of the other spelling, in this one."""
    append_chars: Callable[[bytes], int] = peek.append_chars
    delta_chars: Callable[[bytes, bytes], int] = peek.delta_chars


# ---- JSON


def _object(raw: bytes) -> Body:
    """Raises `RequestError`."""
    if len(raw) > EVENT_BYTES_MAX:
        raise RequestError("event_too_large", f"An event may have at most {EVENT_BYTES_MAX} bytes.")
    try:
        body = msgspec.json.decode(raw)
    except _UNREADABLE:
        raise RequestError("invalid_event", "The message is not valid JSON.") from None
    if not isinstance(body, dict):
        raise RequestError("invalid_event", "The message is not a JSON object.")
    if not isinstance(body.get("type"), str):
        raise RequestError("invalid_event", "The 'type' field is missing.")
    return body


def _server_object(raw: bytes) -> Body:
    """Raises `ValueError`."""
    try:
        return _object(raw)
    except RequestError as error:
        raise ValueError(error.message) from None


# ---- beta to GA

_GA_NAMES: Final = {beta_name: ga_name for ga_name, beta_name in beta.EVENTS.items()}
_items_there: Final = next(field.there for field in beta.OPTIONS if field.beta == "input")
_there: Final = {field.beta: field.there for field in (*beta.SESSION, *beta.OPTIONS)} | {"output": _items_there}
RESPONSE_FIELDS: Final = tuple(
    field._replace(there=_there.get(field.beta, field.there)) for field in beta.RESPONSE if field.beta != "temperature"
)


def _read_beta_client(raw: bytes) -> Body:
    body = _object(raw)
    _check_temperature(body)
    try:
        match body["type"]:
            case "session.update":
                return {
                    **body,
                    "session": {"type": "realtime", **beta.nested(body["session"], beta.SESSION, "session")},
                }
            case "transcription_session.update":
                session = beta.nested(body["session"], beta.TRANSCRIPTION, "session")
                return {**body, "type": "session.update", "session": {"type": "transcription", **session}}
            case "conversation.item.create":
                return {**body, "item": _item_there(body["item"], "item")}
            case "response.create" if isinstance(body.get("response"), dict):
                return {**body, "response": beta.nested(body["response"], beta.OPTIONS, "response")}
    except RequestError:
        raise
    except _MISSHAPEN:
        pass  # not the shape that it should have: the upstream says what is wrong with it
    return body


def _check_temperature(body: Body) -> None:
    """Upstreams that speak GA are not told of it, and would not say that it is wrong. Raises `RequestError`."""
    for key in HEATED:
        part = body.get(key)
        value = part.get("temperature") if isinstance(part, dict) else None
        if isinstance(value, int | float) and not TEMPERATURE_MIN <= value <= TEMPERATURE_MAX:
            raise RequestError(
                "invalid_value",
                f"Invalid '{key}.temperature'. Expected a number from {TEMPERATURE_MIN} to {TEMPERATURE_MAX}.",
                f"{key}.temperature",
            )


def _item_there(item: Any, path: str) -> Any:
    return _items_there([item], path)[0]


def _read_beta_server(raw: bytes) -> tuple[Body, ...]:
    body = _server_object(raw)
    try:
        return _to_ga(body)
    except (RequestError, *_MISSHAPEN) as error:
        raise ValueError("The event does not have the shape of its type.") from error


def _to_ga(body: Body) -> tuple[Body, ...]:
    kind = body["type"]
    match kind:
        case "session.created" | "session.updated":
            return ({**body, "session": _completed({**GA_ONLY, **_known(body["session"], beta.SESSION)})},)
        case "transcription_session.created" | "transcription_session.updated":
            session = {"type": "transcription", **_known(body["session"], beta.TRANSCRIPTION)}
            return ({**body, "type": kind.removeprefix("transcription_"), "session": session},)
        case "conversation.item.created":
            return _item_created({**body, "item": _ga_item(body["item"])})
        case "response.output_item.done":
            event = {**body, "item": _ga_item(body["item"])}
            ended = {"type": "conversation.item.done", "previous_item_id": None, "item": event["item"]}
            return ({"event_id": f"{body.get('event_id')}_done", **ended}, event)
        case "response.created" | "response.done":
            return ({**body, "response": _ga_response(body["response"])},)
        case "conversation.item.retrieved" | "response.output_item.added":
            return ({**body, "item": _ga_item(body["item"])},)
    return ({**body, "type": _GA_NAMES.get(kind, kind)},)


def _completed(session: Body) -> Body:
    """With what only GA knows, as it is there when nobody has set it."""
    rules = (session.get("audio") or {}).get("input", {}).get("turn_detection")
    if isinstance(rules, dict) and rules.get("type") == "server_vad":
        rules.setdefault("idle_timeout_ms", None)
    return session


def _item_created(event: Body) -> tuple[Body, ...]:
    """One event in the beta, two in GA: the second is said at once, unless an answer is just beginning with it."""
    added = {**event, "type": "conversation.item.added"}
    if event["item"].get("status") == "in_progress":
        return (added,)
    return (added, {**event, "type": "conversation.item.done", "event_id": f"{event.get('event_id')}_done"})


def _ga_item(item: Body) -> Body:
    """Types of parts follow the role: only what an assistant says is called otherwise."""
    return {"object": "realtime.item", **_item_there(item, "item")}


def _ga_response(response: Body) -> Body:
    known = _known(response, RESPONSE_FIELDS)
    if isinstance(usage := known.get("usage"), dict):
        details = {"image_tokens": 0, **(usage.get("input_token_details") or {})}
        known["usage"] = {**usage, "input_token_details": details}
    return known


def _known(flat: Mapping[str, Any], fields: tuple[beta.Field, ...]) -> Body:
    names = {field.beta for field in fields}
    present = {key: value for key, value in flat.items() if key in names and (value is not None or key in NULLABLE)}
    return beta.nested(present, fields, "session")


NULLABLE: Final = frozenset(
    {"turn_detection", "input_audio_transcription", "input_audio_noise_reduction", "tracing", "include"}
    | {"status_details", "conversation_id", "metadata", "usage"}
)
"""Keys of a session or a response whose null means something."""


# ---- GA to beta

_REWRITES: Final[dict[str, Callable[[Body], Body]]] = {
    str(kind.__struct_config__.tag): rewrite for kind, rewrite in beta.REWRITTEN.items()
}
_DROPPED: Final = frozenset(str(kind.__struct_config__.tag) for kind in beta.DROPPED)


def _as_it_is(value: Any) -> Any:
    return value


_backs: Final = {field.beta: field.back for field in (*beta.RESPONSE, *beta.SESSION)} | {"tools": _as_it_is}
SESSION_FIELDS: Final = tuple(field._replace(back=_backs[field.beta]) for field in beta.SESSION)
"""Tools that the beta does not know are told as they are: that they were left out nobody would learn."""
OPTION_FIELDS: Final = tuple(
    field._replace(back=_backs["output"] if field.beta == "input" else _backs.get(field.beta, field.back))
    for field in beta.OPTIONS
    if field.beta != "max_output_tokens"
)


def _write_beta_server(body: Body) -> tuple[bytes, ...]:
    kind = body["type"]
    if kind in _DROPPED:
        return ()
    try:
        return (_encode(_REWRITES[kind](_complete(body))),)
    except _MISSHAPEN:  # nothing to rewrite, or not the shape that it should have: passed on under its name here
        return (_encode({**body, "type": beta.EVENTS.get(kind, kind)}),)


def _complete(body: Body) -> Body:
    """With the keys that every event of ours has, and not every upstream's."""
    match body:
        case {"error": dict(error)}:
            return {**body, "error": {"param": None, "code": None, **error}}
        case {"session": dict(session)}:
            return {**body, "session": {"type": "realtime", **session}}
        case {"response": dict(response)} if isinstance(usage := response.get("usage"), dict):
            usage = {"input_token_details": {}, **usage}
            return {**body, "response": {**response, "usage": usage}}
        case {"item": dict(item)} if item.get("content", ()) is None:
            return {**body, "item": {key: item[key] for key in item if key != "content"}}
    return body


def _write_beta_client(body: Body) -> bytes:
    try:
        return _encode(_to_beta(body))
    except _MISSHAPEN:
        return _encode(body)  # the upstream says what is wrong with it


def _to_beta(body: Body) -> Body:
    match body["type"]:
        case "session.update" if body["session"].get("type") == "transcription":
            flat = beta.flat(body["session"], beta.TRANSCRIPTION)
            return {**body, "type": "transcription_session.update", "session": flat}
        case "session.update":
            return {**body, "session": beta.flat(body["session"], SESSION_FIELDS)}
        case "conversation.item.create":
            return {**body, "item": _backs["output"]([body["item"]])[0]}
        case "response.create" if isinstance(body.get("response"), dict):
            return {**body, "response": beta.flat(body["response"], OPTION_FIELDS)}
    return body


def _write_unmarked_server(body: Body) -> tuple[bytes, ...]:
    """Clients that are beta by shape alone may print `response.text.delta` of what is spoken (protocol.md 1.9)."""
    if body["type"] != "response.output_audio_transcript.delta":
        return _write_beta_server(body)
    also = {**body, "type": "response.text.delta", "event_id": f"{body.get('event_id')}_text"}
    return (*_write_beta_server(body), _encode(also))


# ---- GA

HEATED: Final = ("session", "response")
"""What has a temperature in the beta, and has none in GA (protocol.md 0.3)."""
TEMPERATURE_MIN: Final = 0.6
TEMPERATURE_MAX: Final = 1.2
GA_ONLY: Final[Body] = {"type": "realtime", "truncation": "auto", "prompt": None}


def _write_ga_client(body: Body) -> bytes:
    return _encode(_cooled(body))


def _write_ga_server(body: Body) -> tuple[bytes, ...]:
    return (_encode(_cooled(body)),)


def _cooled(body: Body) -> Body:
    for key in HEATED:
        part = body.get(key)
        if isinstance(part, dict) and "temperature" in part:
            return {**body, key: {name: part[name] for name in part if name != "temperature"}}
    return body


# ---- the spellings


def _sound_in_ga(raw: bytes) -> bytes:
    return raw.replace(AUDIO_BETA, AUDIO_GA, 1)


def _sound_in_beta(raw: bytes) -> bytes:
    return raw.replace(AUDIO_GA, AUDIO_BETA, 1)


GA: Final = Spelling(
    "ga", _object, _write_ga_client, lambda raw: (_server_object(raw),), _write_ga_server, _sound_in_ga
)
BETA: Final = Spelling(
    "beta", _read_beta_client, _write_beta_client, _read_beta_server, _write_beta_server, _sound_in_beta
)
BETA_UNMARKED: Final = BETA._replace(name=beta.BETA_UNMARKED.name, write_server=_write_unmarked_server)
SPELLINGS: Final = {spelling.name: spelling for spelling in (GA, BETA, BETA_UNMARKED)}
"""By the name of the `Dialect` that says the same."""
