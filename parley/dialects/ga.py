"""The GA spelling. The core speaks it, so one field is all there is to keep away (protocol.md 0.3)."""

from collections.abc import Callable
from typing import Any

import msgspec
from msgspec import UNSET

from parley.core.events import (
    AnyClientEvent,
    AnyServerEvent,
    DtmfEventReceived,
    OutputAudioDelta,
    ResponseCreate,
    ResponseCreated,
    ResponseDone,
    ServerEvent,
    SessionCreated,
    SessionUpdate,
    SessionUpdated,
)
from parley.core.inputs import Malformed
from parley.dialects.base import Dialect, client_kinds, heads, malformed, reader, unnamed, written, written_audio
from parley.errors import RequestError

BODIES: dict[type, str] = {SessionUpdate: "session", ResponseCreate: "response"}
"""Client events that could carry `temperature`, which is beta only, and the field that it would be in."""

_read = reader(client_kinds())
_HEADS = heads({})


def decode(raw: str | bytes) -> AnyClientEvent | Malformed:
    event: AnyClientEvent | Malformed = _read(raw)
    body = BODIES.get(type(event))
    if body is not None and "temperature" in (getattr(event, body) or ()):
        param = f"{body}.temperature"
        return malformed(RequestError("unknown_parameter", f"Unknown parameter: '{param}'.", param), event.event_id)
    return event


def _cool_session(event: SessionCreated | SessionUpdated) -> ServerEvent:
    session = {key: value for key, value in event.session.items() if key != "temperature"}
    return msgspec.structs.replace(event, session=session)


def _cool_response(event: ResponseCreated | ResponseDone) -> ServerEvent:
    return msgspec.structs.replace(event, response=msgspec.structs.replace(event.response, temperature=UNSET))


COOLED: dict[type[ServerEvent], Callable[[Any], ServerEvent]] = {
    SessionCreated: _cool_session,
    SessionUpdated: _cool_session,
    ResponseCreated: _cool_response,
    ResponseDone: _cool_response,
}
"""Server events that lose their `temperature`. A session has one if beta clients share it."""


def encode(event: AnyServerEvent, event_id: str) -> tuple[bytes, ...]:
    if isinstance(event, OutputAudioDelta):
        return (encode_audio(event, event.delta, event_id),)
    kind = type(event)
    if kind is DtmfEventReceived:
        return (unnamed(event),)
    cool = COOLED.get(kind)
    return (written(cool(event) if cool else event, _HEADS[kind], event_id),)


def encode_audio(event: OutputAudioDelta, sound: bytes, event_id: str) -> bytes:
    return written_audio(event, _HEADS[OutputAudioDelta], sound, event_id)


def param(path: str) -> str:
    return path


GA = Dialect("ga", decode, encode, encode_audio, param)
