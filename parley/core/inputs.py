"""What else can happen to a session, besides client events.

Audio positions are counted in house samples (24 kHz) since the session began; they never jump back, not even when the
buffer is cleared (protocol.md 3.4). Inputs about work carry its id, and the session drops those whose work is over.
"""

from typing import dataclass_transform

import msgspec

from parley.core.events import AnyClientEvent, EventId
from parley.core.items import McpError, McpToolInfo
from parley.core.rates import Rate


@dataclass_transform(frozen_default=True, kw_only_default=True, field_specifiers=(msgspec.field,))
class Input(msgspec.Struct, frozen=True, kw_only=True):
    pass


class Heard(Input):
    """Sound from the user, house format. `event_id` is that of the append event it came with."""

    pcm: bytes
    event_id: EventId = None


class Speech(Input):
    """The Ear's evidence: in the frame that ends at sample `upto`, somebody speaks with this probability.

    If so, then until sample `voiced_upto`: a model sees the end of speech late, loudness shows it. Evidence may come
    later than the sound it is about; it is applied by position, not by time of arrival.
    """

    upto: int
    probability: float
    voiced_upto: int | None = None
    """None: to the end of the frame."""


class Transcribed(Input):
    """What the transcription `work_id` makes of the speech so far; `final` ends the work.

    `stable` leading characters will not change. `heard_bytes` is how much of the work's audio this covers.
    """

    work_id: str
    text: str
    final: bool
    stable: int = 0
    heard_bytes: int = 0
    peeked: bool = False
    language: str | None = None
    logprobs: tuple[tuple[str, float], ...] | None = None


class Said(Input):
    """The engine has begun a piece of text of output `output` of a response: written out, or about to be spoken."""

    work_id: str
    output: int
    text: str


class Spoke(Input):
    """Sound of the piece that was last `Said`, house format."""

    work_id: str
    output: int
    pcm: bytes


class Thought(Input):
    """The model thinks: nobody reads or hears it, but it is output all the same."""

    work_id: str
    text: str


class Called(Input):
    """A piece of a function call. The first one of an `output` carries the name and the call id."""

    work_id: str
    output: int
    name: str | None = None
    call_id: str | None = None
    arguments: str = ""


class Ended(Input):
    """Output `output` of a response is complete; others of the same response may still go on.

    A message is a `preamble` where the model goes on with a call.
    """

    work_id: str
    output: int
    preamble: bool = False


class Generated(Input):
    """The response's work is complete. `reason`: `stop`, `length` (token limit) or `content_filter`.

    `reasoning_tokens`: what the model has counted of its thoughts, where it does, whether they were posted or not.
    """

    work_id: str
    reason: str = "stop"
    reasoning_tokens: int | None = None


class Failed(Input):
    """The work failed, with a code of `parley.errors.ERRORS`."""

    work_id: str
    code: str
    message: str


class ToolsListed(Input):
    """The tools of the MCP server that the work attends to."""

    work_id: str
    tools: tuple[McpToolInfo, ...]


class ToolReturned(Input):
    """A call of the work's MCP server is over: its output, or what went wrong."""

    work_id: str
    call_id: str
    output: str | None = None
    error: McpError | None = None


class Played(Input):
    """A transport that plays by itself (WebRTC, SIP) has played a response up to `played_ms`; `done`: all of it."""

    response_id: str
    played_ms: int
    done: bool = False


class Malformed(Input):
    """Something unreadable came in. The session answers it, so that every answer has one source."""

    code: str
    message: str
    param: str | None = None
    event_id: EventId = None


class Tick(Input):
    """`Session.deadline` has come."""


class Drain(Input):
    """The server is stopping: let what runs come to its end, start nothing, then close with this reason."""

    reason: str


class CutOff(Input):
    """Nobody pays for more, or the key was revoked: say why with a code of `parley.errors.ERRORS`, and close.

    With `finish_sentence` the sentence that is being said comes to its end first; nothing new begins.
    """

    code: str
    message: str
    finish_sentence: bool = False


class Rates(Input):
    """How the limits of whoever pays stand, in place of what was told before (protocol.md 6.6); none: no limits."""

    rates: tuple[Rate, ...]


class Pressed(Input):
    """A caller has pressed a key: ``0`` to ``9``, ``*``, ``#``, ``A`` to ``D``; `at` in seconds of Unix time."""

    key: str
    at: int


class Charged(Input):
    """A response or a transcription was charged, and so much has been charged in all."""

    charged_for: str
    micro: int
    session_micro: int


class Left(Input):
    """The last transport is gone: stop all work."""


AnyInput = (
    AnyClientEvent
    | Heard
    | Speech
    | Transcribed
    | Said
    | Spoke
    | Thought
    | Called
    | Ended
    | Generated
    | Failed
    | ToolsListed
    | ToolReturned
    | Played
    | Malformed
    | Tick
    | Drain
    | CutOff
    | Rates
    | Charged
    | Pressed
    | Left
)
