"""What can happen to a relayed session, and what it wants done.

An event is plain data in GA spelling, because a relay passes on what it need not understand: events that are newer than
this program, and keys of a provider's own. `raw` is the text that it came as, in the dialect of the side it came from;
where nothing was changed, and both sides speak that dialect, it goes out as those bytes.
"""

from typing import Any, Final, Literal

import msgspec

from parley.core.effects import Close, Effect, Meter
from parley.core.inputs import CutOff, Drain, Failed, Input, Left, Malformed, Played, Tick

Body = dict[str, Any]


ANY: Final = "any"
LOCAL: Final = "local"
"""The name of this machine among upstreams."""


class Message(msgspec.Struct, frozen=True):
    body: Body
    raw: bytes | None = None
    dialect: str = ""
    """How `raw` is spelled; `ANY` where the dialects do not differ."""

    @property
    def kind(self) -> str:
        kind = self.body.get("type")
        return kind if isinstance(kind, str) else ""

    @property
    def event_id(self) -> str | None:
        event_id = self.body.get("event_id")
        return event_id if isinstance(event_id, str) else None


# ---- what may be relied on in an event of either side


class _Item(msgspec.Struct):
    id: str | None = None
    type: str | None = None
    content: list[dict[str, Any]] | None = None


class _Details(msgspec.Struct):
    error: dict[str, Any] | None = None


class _Response(msgspec.Struct):
    id: str | None = None
    output: list[_Item] | None = None
    status_details: _Details | None = None


class _Side(msgspec.Struct):
    format: dict[str, Any] | None = None
    transcription: dict[str, Any] | None = None


class _Audio(msgspec.Struct):
    input: _Side | None = None
    output: _Side | None = None


class _Session(msgspec.Struct):
    audio: _Audio | None = None


class _Cost(msgspec.Struct):
    seconds: float | None = None
    output_tokens: int = 0
    input_token_details: dict[str, int] | None = None


class _Transcription(msgspec.Struct, tag_field="type", tag="conversation.item.input_audio_transcription.completed"):
    usage: _Cost | None = None


class _Outline(msgspec.Struct):
    type: str
    item: _Item | None = None
    response: _Response | None = None
    session: _Session | None = None
    error: dict[str, Any] | None = None
    part: dict[str, Any] | None = None
    item_id: str | None = None
    output_index: int = 0
    content_index: int = 0
    audio_start_ms: int = 0
    audio_end_ms: int = 0
    delta: str | None = None


def well_formed(body: Body) -> bool:
    """Whether what this package reads of an event has the shapes of protocol.md 3 and 4. Nothing else is checked."""
    try:
        msgspec.convert(body, _Outline)
        if body["type"] == _Transcription.__struct_config__.tag:
            msgspec.convert(body, _Transcription)
    except msgspec.ValidationError:
        return False
    return True


# ---- what happens. `leg` is the id of a connection to an upstream, given by `Dial`.


class Asked(Input):
    """A client says something."""

    message: Message


class Opened(Input):
    """A connection is there; its upstream has said `created`, and will end it after `lasts_s` (None: never)."""

    leg: str
    created: Message
    upstream: str
    model: str
    """What the upstream calls the model."""
    lasts_s: float | None = None


class Said(Input):
    """An upstream says something."""

    leg: str
    message: Message


class Lost(Input):
    """A connection has ended, with a code of `parley.errors.ERRORS`. That none could be opened is `Failed`."""

    leg: str
    code: str
    message: str


AnyRelayInput = Asked | Opened | Said | Lost | Failed | Malformed | Played | Tick | Drain | CutOff | Left


# ---- what is wanted


class Say(Effect):
    """Say this to the client(s)."""

    message: Message


class Ask(Effect):
    """Say this to the upstream, by this leg."""

    leg: str
    message: Message


class Dial(Effect):
    """Open a connection to the next upstream that will do; answer with `Opened`, or `Failed` when there is none."""

    leg: str


class HangUp(Effect):
    """This connection is no longer needed; or of no more use, with a code of `parley.errors.ERRORS`."""

    leg: str
    code: str = ""


class Tally(Effect):
    """What a meter wants to know while a response runs: it began, so much of it was spoken, so much was heard."""

    what: Literal["started", "spoke", "heard"]
    ms: int = 0
    response_id: str = ""


AnyRelayEffect = Say | Ask | Dial | HangUp | Tally | Meter | Close


class RelayTerms(msgspec.Struct, frozen=True, kw_only=True):
    """What is fixed when a relayed session opens."""

    model: str
    """The public name: what the client asked for."""
    config: Body | None = None
    """A session that is set before the client says anything (that of a client secret), GA spelling."""
    session_s: float = 24 * 3_600.0
    """How long it may last in all, over however many upstreams."""
    expires_at: int = 0
    """Unix seconds at which `session_s` are over, for show."""
    plays: bool = False
    """Whether the transport plays the sound itself (WebRTC), in PCM of 24 kHz, and reports it by `Played`."""
    stall_s: float = 4.0
    """How long an upstream may say nothing while a response runs."""
