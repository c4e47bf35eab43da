"""What each carrier calls things: one table, a reader and a writer. All of them stream JSON text over a WebSocket.

    heard = read(TWILIO, message)                     # Start, Sound, Key, Marked, Stop, or None
    words = Words(TWILIO, heard.stream_id)
    words.media(sound), words.mark("7"), words.clear()

Facts are those of the carriers' own pages: Twilio "Media Streams - WebSocket Messages", Telnyx "Stream call media over
WebSocket", Plivo "Audio Streaming Protocol Reference".
"""

import binascii
import re
from collections.abc import Mapping
from typing import Final, Literal, NamedTuple

import msgspec
from pybase64 import b64decode, b64encode_as_string

from parley.errors import RequestError

G711_RATE: Final = 8_000
NAME_CHARS_MAX: Final = 256
"""Of the ids and mark names that a carrier sends."""
PARAMETERS_MAX: Final = 64
PARAMETER_CHARS_MAX: Final = 16_384
"""Of one custom parameter; Twilio itself allows 500."""
CHUNK: Final = re.compile("[0-9]{1,12}", re.ASCII)
KEYS: Final = frozenset("0123456789*#ABCD")

Path = tuple[str, ...]
Kind = Literal["start", "media", "dtmf", "mark", "stop"]


class Dialect(NamedTuple):
    """One carrier's. Paths lead through the objects of a message; in templates `$stream` is a JSON string."""

    name: str
    kinds: Mapping[str, Kind]
    """What comes, by its `event`."""
    stream_id: Path
    carrier_call: Path
    parameters: Path
    encoding: Path
    rate: Path
    encodings: Mapping[str, str]
    """The carrier's name of an encoding -> ours, of `audio.codecs`."""
    mark_name: Path
    media: str
    mark: str
    clear: str
    remedy: str
    """How the operator gets an encoding that is in the table."""
    in_order: bool = True
    """Whether sound comes in order; else it is numbered."""


TWILIO: Final = Dialect(
    name="twilio",
    kinds={"start": "start", "media": "media", "dtmf": "dtmf", "mark": "mark", "stop": "stop"},
    stream_id=("start", "streamSid"),
    carrier_call=("start", "callSid"),
    parameters=("start", "customParameters"),
    encoding=("start", "mediaFormat", "encoding"),
    rate=("start", "mediaFormat", "sampleRate"),
    encodings={"audio/x-mulaw": "audio/pcmu"},
    mark_name=("mark", "name"),
    media='{"event":"media","streamSid":$stream,"media":{"payload":"$payload"}}',
    mark='{"event":"mark","streamSid":$stream,"mark":{"name":"$name"}}',
    clear='{"event":"clear","streamSid":$stream}',
    remedy="Use <Connect><Stream>, which is always µ-law.",
)
TELNYX: Final = Dialect(
    name="telnyx",
    kinds={"start": "start", "media": "media", "dtmf": "dtmf", "mark": "mark", "stop": "stop"},
    stream_id=("stream_id",),
    carrier_call=("start", "call_control_id"),
    parameters=("start", "custom_parameters"),
    encoding=("start", "media_format", "encoding"),
    rate=("start", "media_format", "sample_rate"),
    encodings={"PCMU": "audio/pcmu", "PCMA": "audio/pcma"},
    mark_name=("mark", "name"),
    media='{"event":"media","stream_id":$stream,"media":{"payload":"$payload"}}',
    mark='{"event":"mark","stream_id":$stream,"mark":{"name":"$name"}}',
    clear='{"event":"clear","stream_id":$stream}',
    remedy='Set codec="PCMU" and bidirectionalCodec="PCMU".',
    in_order=False,
)
PLIVO: Final = Dialect(
    name="plivo",
    kinds={"start": "start", "media": "media", "dtmf": "dtmf", "playedStream": "mark", "stop": "stop"},
    stream_id=("start", "streamId"),
    carrier_call=("start", "callId"),
    parameters=("extra_headers",),
    encoding=("start", "mediaFormat", "encoding"),
    rate=("start", "mediaFormat", "sampleRate"),
    encodings={"audio/x-mulaw": "audio/pcmu"},
    mark_name=("name",),
    media='{"event":"playAudio","media":{"contentType":"audio/x-mulaw","sampleRate":8000,"payload":"$payload"}}',
    mark='{"event":"checkpoint","streamId":$stream,"name":"$name"}',
    clear='{"event":"clearAudio","streamId":$stream}',
    remedy='Set contentType="audio/x-mulaw;rate=8000".',
)
DIALECTS: Final = {dialect.name: dialect for dialect in (TWILIO, TELNYX, PLIVO)}


# ---- what comes


class Start(NamedTuple):
    """The stream begins. `wire` is a format of `audio.codecs`; the names of `parameters` are `normal_name`s."""

    stream_id: str
    carrier_call: str
    wire: str
    parameters: Mapping[str, str]


class Sound(NamedTuple):
    """Of the caller, in the wire format; `number` where that has to be put in order."""

    data: bytes
    number: int | None = None


class Key(NamedTuple):
    key: str


class Marked(NamedTuple):
    """Everything that was sent before the mark of this name has been played, or cleared."""

    name: str


class Stop(NamedTuple):
    pass


Heard = Start | Sound | Key | Marked | Stop | None

_decoder: Final = msgspec.json.Decoder(dict[str, object])


def read(dialect: Dialect, message: bytes) -> Heard:
    """None for what does not matter here: other events, the other direction's sound.

    Raises `RequestError` with `invalid_event` or `invalid_value`.
    """
    try:
        said = _decoder.decode(message)
    except (msgspec.MsgspecError, UnicodeError, RecursionError) as error:
        raise RequestError("invalid_event", "The message is not a JSON object.") from error
    event = said.get("event")
    if not isinstance(event, str):
        raise RequestError("invalid_event", "The message has no string 'event'.", "event")
    match dialect.kinds.get(event):
        case "media":
            return _sound(dialect, said)
        case "mark":
            return Marked(_text(said, dialect.mark_name))
        case "dtmf":
            return _key(said)
        case "start":
            return _start(dialect, said)
        case "stop":
            return Stop()
        case None:
            return None


def _sound(dialect: Dialect, said: Mapping[str, object]) -> Sound | None:
    if _at(said, ("media", "track")) not in (None, "inbound"):
        return None
    payload = _at(said, ("media", "payload"))
    if not isinstance(payload, str):
        raise _wrong(("media", "payload"))
    try:
        return Sound(b64decode(payload, validate=True), None if dialect.in_order else _number(said))
    except (binascii.Error, ValueError) as error:
        raise _wrong(("media", "payload")) from error


def _number(said: Mapping[str, object]) -> int | None:
    chunk = _at(said, ("media", "chunk"))
    return int(chunk) if isinstance(chunk, str | int) and CHUNK.fullmatch(str(chunk)) else None


def _key(said: Mapping[str, object]) -> Key:
    key = _text(said, ("dtmf", "digit")).upper()
    if key not in KEYS:
        raise _wrong(("dtmf", "digit"))
    return Key(key)


def _start(dialect: Dialect, said: Mapping[str, object]) -> Start:
    encoding, rate = _text(said, dialect.encoding), _at(said, dialect.rate)
    wire = dialect.encodings.get(encoding.partition(";")[0])
    if wire is None or rate not in (G711_RATE, str(G711_RATE)):
        raise RequestError(
            "unsupported_codec", f"{encoding[:64]!r} at {str(rate)[:16]} Hz is not spoken here. {dialect.remedy}"
        )
    return Start(
        stream_id=_text(said, dialect.stream_id),
        carrier_call=_text(said, dialect.carrier_call),
        wire=wire,
        parameters=_parameters(_at(said, dialect.parameters)),
    )


def _parameters(given: object) -> dict[str, str]:
    """Custom parameters: an object, or what Plivo has, `a=1;b=2`."""
    if isinstance(given, str):
        pairs = (pair.partition("=") for pair in re.split("[;,]", given[:PARAMETER_CHARS_MAX]))
        given = {name: value for name, equals, value in pairs if equals}
    if not isinstance(given, dict):
        return {}
    if len(given) > PARAMETERS_MAX:
        raise RequestError("invalid_value", f"A stream may have at most {PARAMETERS_MAX} custom parameters.")
    return {normal_name(str(name)): str(value)[:PARAMETER_CHARS_MAX] for name, value in given.items()}


def normal_name(name: str) -> str:
    """`client_secret`, `clientSecret` and `X-PH-ClientSecret` are one: some carriers allow letters and digits only."""
    return name.strip().lower().removeprefix("x-ph-").replace("_", "").replace("-", "")


def _text(said: Mapping[str, object], path: Path) -> str:
    found = _at(said, path)
    if not isinstance(found, str) or not 0 < len(found) <= NAME_CHARS_MAX:
        raise _wrong(path)
    return found


def _at(said: object, path: Path) -> object:
    for key in path:
        said = said.get(key) if isinstance(said, dict) else None
    return said


def _wrong(path: Path) -> RequestError:
    spelled = ".".join(path)
    return RequestError("invalid_value", f"Invalid '{spelled}'.", spelled)


# ---- what goes


class Words:
    """What one stream is told."""

    def __init__(self, dialect: Dialect, stream_id: str) -> None:
        stream = msgspec.json.encode(stream_id).decode()
        head, tail = (part.replace("$stream", stream) for part in dialect.media.split("$payload"))
        self._media = head, tail
        head, tail = (part.replace("$stream", stream) for part in dialect.mark.split("$name"))
        self._mark = head, tail
        self._clear = dialect.clear.replace("$stream", stream).encode()

    def media(self, sound: bytes) -> bytes:
        """Play this after what was sent before."""
        head, tail = self._media
        return f"{head}{b64encode_as_string(sound)}{tail}".encode()

    def mark(self, name: str) -> bytes:
        """Say so when everything that was sent before has been played. `name`: letters and digits."""
        head, tail = self._mark
        return f"{head}{name}{tail}".encode()

    def clear(self) -> bytes:
        """Be silent at once."""
        return self._clear
