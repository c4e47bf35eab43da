"""What a session wants done. Six effects are the whole vocabulary; `Work` is what `Start` starts."""

from typing import Literal, dataclass_transform

import msgspec

from parley.core.config import AudioFormat, FunctionChoice, Pcm, Reasoning, Tool, Transcription
from parley.core.events import AnyServerEvent, Usage
from parley.core.items import Item
from parley.core.mcp_config import McpTool


@dataclass_transform(frozen_default=True, kw_only_default=True, field_specifiers=(msgspec.field,))
class Effect(msgspec.Struct, frozen=True, kw_only=True):
    pass


# ---- work


class Transcribe(Effect, tag="transcribe"):
    """Turn one user turn into words, while it is spoken.

    Sound arrives by `Tell(Audio)`; `Tell(End)` asks for the last word.

    `partials`: post hypotheses as they come. `format` is that of the sound (house format, except for items that a
    client created with audio in the session's input format).
    """

    work_id: str
    item_id: str
    config: Transcription
    partials: bool
    logprobs: bool = False
    format: AudioFormat = Pcm()


class ContextItem(Effect):
    """An item as the model should see it. `heard` is what was heard of an assistant's speech (None: all of it)."""

    item: Item
    heard: str | None = None


class Generate(Effect, tag="generate"):
    """Think of an answer to `items` and, if `spoken`, speak it. Everything is fixed at the start (protocol.md 6.4)."""

    work_id: str
    model: str
    instructions: str
    items: tuple[ContextItem, ...]
    spoken: bool
    voice: str
    speed: float
    tools: tuple[Tool, ...] = ()
    tool_choice: FunctionChoice = "auto"
    parallel_tool_calls: bool = True
    max_output_tokens: int | None = None
    temperature: float | None = None
    reasoning: Reasoning | None = None


class Attend(Effect, tag="attend"):
    """Connect to an MCP server, say which tools it has (`ToolsListed`), then make every `Call`, until stopped."""

    work_id: str
    server: McpTool


Work = Transcribe | Generate | Attend


class Audio(Effect, tag="audio"):
    """More sound for a running transcription."""

    pcm: bytes


class Peek(Effect, tag="peek"):
    """What have you heard so far? Answered by a `Transcribed(peeked=True)`."""


class End(Effect, tag="end"):
    """No more sound will come."""


class Call(Effect, tag="call"):
    """Call a tool of the server that this work attends to. Answered by a `ToolReturned` with this `call_id`."""

    call_id: str
    name: str
    arguments: str


Message = Audio | Peek | End | Call


# ---- the six


class Send(Effect):
    """Say this to the client(s)."""

    event: AnyServerEvent


class Start(Effect):
    work: Work


class Tell(Effect):
    """Pass a message to running work."""

    work_id: str
    message: Message


class Stop(Effect):
    """The result is no longer wanted: cancel the work at once. Whatever it still posts is dropped."""

    work_id: str


class Stamps(Effect):
    """The nine moments of a turn (architecture: one record from which logs, metrics and pages read).

    Seconds on the session's monotonic clock, None where it did not happen. `interrupted_at_ms` is the position in the
    answer's audio where it was cut.
    """

    speech_start: float | None = None
    speech_stop: float | None = None
    committed: float | None = None
    transcript_final: float | None = None
    response_created: float | None = None
    tool_start: float | None = None
    tool_end: float | None = None
    first_audio: float | None = None
    done: float | None = None
    interrupted_at_ms: int | None = None


class Turn(Effect):
    """One finished response (or transcription) with what it cost and how long each part took."""

    kind: Literal["response", "transcription"]
    id: str
    item_id: str | None
    model: str
    status: str
    stamps: Stamps
    usage: Usage | None = None
    audio_ms: int = 0
    """Transcriptions: the sound that was put into words …"""
    text_tokens: int = 0
    """… and the tokens of those words."""
    error_code: str | None = None
    upstream: str | None = None
    """Who answered; None: this server."""
    upstream_model: str = ""
    """What it calls the model."""


class Meter(Effect):
    turn: Turn


class Close(Effect):
    """End the connection(s) with a WebSocket close code (protocol.md 8.4)."""

    code: int
    reason: str


AnyEffect = Send | Start | Tell | Stop | Meter | Close
