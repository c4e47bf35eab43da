"""What a dialect is, and the two halves that all of them share: reading JSON text, and writing it.

Reading has a fast way and a long way round. The fast way is one typed decoder that knows every client event by its
`type`. What it refuses goes the long way, which decodes to plain data, finds the fault, and names it as protocol.md 8.3
does. Nothing that comes in from a client raises here: it is an event, or it is `Malformed`.
"""

import types
from collections.abc import Callable, Iterable, Mapping
from typing import Any, Final, NamedTuple, Union, get_args, get_origin

import msgspec
from pybase64 import b64decode, b64encode

from parley.core.events import (
    EVENT_ID_CHARS_MAX,
    AnyClientEvent,
    AnyServerEvent,
    ClientEvent,
    InputAudioBufferAppend,
    OutputAudioDelta,
    ServerEvent,
)
from parley.core.inputs import Malformed
from parley.core.shapes import shape
from parley.errors import RequestError

AUDIO_BYTES_MAX: Final = 15 * 1024 * 1024
"""Sound in one append, decoded (protocol.md 8.5)."""
AUDIO_CHARS_MAX: Final = AUDIO_BYTES_MAX // 3 * 4
EVENT_BYTES_MAX: Final = 21 * 1024 * 1024
"""One event as text: the largest append in base64, and room for the rest (protocol.md 3.2)."""
JSON_DEPTH_MAX: Final = 64
"""Objects within objects. No event needs half of it; the core may recurse over what passes here."""
ECHO_CHARS_MAX: Final = 64
"""So much of an unknown word is said back."""


class Dialect(NamedTuple):
    """One spelling of the protocol: pure functions between text on the wire and the core's events.

    Event ids are the caller's, and go out as they are: they must need no escaping in JSON, like those of `ids.new_id`.
    """

    name: str
    decode: Callable[[str | bytes], AnyClientEvent | Malformed]
    """Never raises."""
    encode: Callable[[AnyServerEvent, str], tuple[bytes, ...]]
    """The event under this id, as no, one or several messages. `OutputAudioDelta` belongs to `encode_audio`."""
    encode_audio: Callable[[OutputAudioDelta, bytes, str], bytes]
    """The delta with this sound, which the caller has brought into the session's output format, instead of its own."""
    param: Callable[[str], str]
    """A JSON path in GA spelling, as this dialect's clients know it."""


BINARY_FRAME: Final = Malformed(
    code="invalid_event",
    message="Binary messages are not part of the protocol. Send one JSON object per text message, audio as base64.",
)
"""What a transport posts for a binary message (protocol.md 1.1)."""


def malformed(fault: RequestError, event_id: str | None) -> Malformed:
    return Malformed(code=fault.code, message=fault.message, param=fault.param, event_id=event_id)


# ---- reading


class Append(ClientEvent, frozen=True, tag="input_audio_buffer.append"):
    """`input_audio_buffer.append` as it stands on the wire."""

    audio: str


class _Outline(msgspec.Struct):
    event_id: str | None = None


_UNREADABLE = (msgspec.MsgspecError, UnicodeError, RecursionError)
_outline = msgspec.json.Decoder(_Outline).decode


def client_kinds() -> tuple[type[ClientEvent], ...]:
    """Every client event that the core knows, in wire form."""
    return tuple(Append if kind is InputAudioBufferAppend else kind for kind in get_args(AnyClientEvent))


def reader(kinds: tuple[type[ClientEvent], ...]) -> Callable[[str | bytes], Any]:
    """A function from text to one of `kinds` or `Malformed`, with `InputAudioBufferAppend` in place of `Append`."""
    decode = msgspec.json.Decoder(Union[kinds]).decode  # noqa: UP007
    known = {str(kind.__struct_config__.tag): kind for kind in kinds}
    bodies = {kind: body for kind in kinds if (body := _body(kind))}

    def read(raw: str | bytes) -> Any:
        if len(raw) > EVENT_BYTES_MAX:
            return malformed(_too_large("An event", EVENT_BYTES_MAX, None), _event_id(raw))
        try:
            event = decode(raw)
        except _UNREADABLE:
            return _diagnosed(raw, known)
        if type(event) is Append:
            return _heard(event)
        body = bodies.get(type(event))
        if body is not None and _deeper(getattr(event, body), JSON_DEPTH_MAX):
            return malformed(_too_deep(), event.event_id)
        return event

    return read


def _body(kind: type[ClientEvent]) -> str | None:
    """The field of an event that holds an object of any shape, if there is one."""
    for field in msgspec.structs.fields(kind):
        options = get_args(field.type) if isinstance(field.type, types.UnionType) else (field.type,)
        if any(get_origin(option) is dict for option in options):
            return field.name
    return None


def _heard(append: Append) -> InputAudioBufferAppend | Malformed:
    if len(append.audio) > AUDIO_CHARS_MAX:
        return malformed(_too_large("'audio'", AUDIO_BYTES_MAX, "audio"), append.event_id)
    try:
        audio = b64decode(append.audio, validate=True)
    except ValueError:
        return Malformed(
            code="invalid_value",
            message="Invalid 'audio'. Expected base64-encoded audio bytes (mono PCM16 at 24kHz, or the session's own "
            "input format) but got an invalid value.",
            param="audio",
            event_id=append.event_id,
        )
    return InputAudioBufferAppend(audio=audio, event_id=append.event_id)


def _diagnosed(raw: str | bytes, known: Mapping[str, type[ClientEvent]]) -> Malformed:
    """Why the typed decoder refused `raw`."""
    try:
        event = msgspec.json.decode(raw)
    except RecursionError:
        return malformed(_too_deep(), None)  # deeper than any reader goes, so its id is out of reach too
    except _UNREADABLE:
        return malformed(RequestError("invalid_event", "The message is not valid JSON."), _event_id(raw))
    if not isinstance(event, dict):
        return malformed(RequestError("invalid_event", "The message is not a JSON object."), None)
    try:
        _check(event, known)
    except RequestError as fault:
        return malformed(fault, _event_id(raw))
    return malformed(RequestError("invalid_event", "The event cannot be read."), _event_id(raw))


def _check(event: dict[str, Any], known: Mapping[str, type[ClientEvent]]) -> None:
    """Raises `RequestError` for the first fault in the outline of an event."""
    if "type" not in event:
        raise RequestError("invalid_event", "The 'type' field is missing.")
    name = shape(event["type"], str, "type")
    if name not in known:
        listed = ", ".join(repr(one) for one in known)
        raise RequestError(
            "invalid_value", f"Invalid value: {name[:ECHO_CHARS_MAX]!r}. Supported values are: {listed}.", "type"
        )
    for field in msgspec.structs.fields(known[name]):
        if field.name in event:
            shape(event[field.name], field.type, field.name)
        elif field.required:
            raise RequestError("missing_required_parameter", f"Missing required parameter: '{field.name}'.", field.name)


def _event_id(raw: str | bytes) -> str | None:
    """The client's event id, so that an error can name it (protocol.md 3.0), if that much of `raw` can be read."""
    try:
        event_id = _outline(raw).event_id
    except _UNREADABLE:
        return None
    return event_id if event_id is None or len(event_id) <= EVENT_ID_CHARS_MAX else None


def _deeper(value: object, levels: int) -> bool:
    """Whether objects and arrays nest deeper than that in `value`. Iterative, for it guards those that are not."""
    level: list[Any] = [value]
    for _ in range(levels):
        level = [inner for outer in level for inner in _inside(outer) if isinstance(inner, dict | list)]
        if not level:
            return False
    return True


def _inside(outer: dict[Any, Any] | list[Any] | None) -> Iterable[Any]:
    return outer.values() if isinstance(outer, dict) else outer or ()


def _too_deep() -> RequestError:
    return RequestError("invalid_event", f"The event is nested more than {JSON_DEPTH_MAX} levels deep.")


def _too_large(what: str, limit_bytes: int, param: str | None) -> RequestError:
    return RequestError("event_too_large", f"{what} may have at most {limit_bytes} bytes.", param)


# ---- writing


class Head(NamedTuple):
    """How the text of an event begins: what replaces its first `skip` bytes (its `type`), up to the event id."""

    skip: int
    start: bytes


class _Place(msgspec.Struct, frozen=True):
    response_id: str
    item_id: str
    output_index: int
    content_index: int


_encode = msgspec.json.Encoder().encode


def head(kind: type[ServerEvent], name: str) -> Head:
    """The head of events of this kind when they are called `name`."""
    return Head(len(f'{{"type":"{kind.__struct_config__.tag}"'), f'{{"type":"{name}","event_id":"'.encode())


def heads(names: Mapping[str, str]) -> dict[type[ServerEvent], Head]:
    """The heads of all server events, with other names for those in `names`."""
    kinds: dict[str, type[ServerEvent]] = {kind.__struct_config__.tag: kind for kind in get_args(AnyServerEvent)}
    return {kind: head(kind, names.get(name, name)) for name, kind in kinds.items()}


def written(event: ServerEvent, head: Head, event_id: str) -> bytes:
    """The event as it stands, under another head."""
    return b"".join((head.start, event_id.encode(), b'"', _encode(event)[head.skip :]))


def unnamed(event: ServerEvent) -> bytes:
    """The event without an id, as one of them is (protocol.md 4.1)."""
    return _encode(event)


def written_audio(event: OutputAudioDelta, head: Head, sound: bytes, event_id: str) -> bytes:
    """A delta of sound. No JSON encoder looks at its base64, which needs no escaping: they are slow on long strings."""
    place = _encode(_Place(event.response_id, event.item_id, event.output_index, event.content_index))
    return b"".join((head.start, event_id.encode(), b'",', place[1:-1], b',"delta":"', b64encode(sound), b'"}'))


def said(body: Mapping[str, Any], event_id: str) -> bytes:
    """An event that a dialect has rewritten as plain data; `body` has its `type`."""
    return _encode({"type": body["type"], "event_id": event_id, **body})
