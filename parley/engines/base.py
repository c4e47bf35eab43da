"""The protocols of the engine room.

An `Engine` performs `Work` for a session. The cascade is the engine that lives on this machine, and it stands on three
backends with one method each. A backend is a plain class that has the method; cancelling it is closing the iterator (or
cancelling the task that runs it), and it must then stop working at once. A backend raises `EngineError` and nothing
else; times out by itself; never touches the conversation. All audio is the house format: mono PCM16, 24 kHz, little
endian.
"""

from collections.abc import AsyncGenerator, AsyncIterator
from enum import Enum
from typing import Literal, Protocol

import msgspec

from parley.core.effects import Message as WorkMessage
from parley.core.effects import Work
from parley.core.inputs import AnyInput


class Frozen(msgspec.Struct, frozen=True, kw_only=True):
    """Base of the plain values in this file."""


# ---- speech to text


class Peek(Enum):
    """Put into the audio stream: "tell me what you have heard so far". Answered by one `Transcript`, `final=False`."""

    PEEK = "peek"


Delay = Literal["minimal", "low", "medium", "high", "xhigh"]


class TranscriptionRequest(Frozen, frozen=True):
    """What to listen for (protocol.md 2.7). `partials`: the listener wants hypotheses while the speech goes on."""

    model: str = ""
    language: str | None = None
    languages: tuple[str, ...] = ()
    prompt: str | None = None
    keywords: tuple[str, ...] = ()
    partials: bool = False
    logprobs: bool = False
    """How sure it is of each token is wanted too, where the backend can tell."""
    delay: Delay = "medium"
    """How long partial hypotheses may take: more often is sooner, and less sure."""


class Transcript(Frozen, frozen=True):
    """A hypothesis about everything heard so far, or (`final`) the last word on it.

    `stable` is how many leading characters of `text` will not change any more (all of them when `final`).
    `heard_bytes` is how much of the audio stream the hypothesis covers. `confidence` is 0 to 1, None when unknown.
    `peeked` marks the answer to a `Peek`.
    """

    text: str
    final: bool
    stable: int = 0
    heard_bytes: int = 0
    confidence: float | None = None
    peeked: bool = False
    language: str | None = None
    logprobs: tuple[tuple[str, float], ...] | None = None


class SpeechToText(Protocol):
    """Turns one turn of speech into words."""

    peeks: bool
    """Whether a `Peek` is cheap (local model). HTTP backends, where each peek is a paid request, say False."""

    def transcribe(
        self, audio: AsyncIterator[bytes | Peek], request: TranscriptionRequest
    ) -> AsyncIterator[Transcript]:
        """Listens until `audio` ends, then yields exactly one final `Transcript` and ends.

        Audio of no speech gives a final transcript with empty text. Raises `EngineError`.
        """
        ...


# ---- language model


class Text(Frozen, frozen=True, tag="text"):
    text: str


class Image(Frozen, frozen=True, tag="image"):
    url: str
    """A `data:` URL."""
    detail: Literal["auto", "low", "high"] = "auto"


class ToolCall(Frozen, frozen=True):
    call_id: str
    name: str
    arguments: str


class Message(Frozen, frozen=True):
    """One message of the prompt, in the shape that every chat model understands.

    An assistant message may carry `calls`; a `tool` message answers the call with its `call_id`.
    """

    role: Literal["system", "user", "assistant", "tool"]
    content: tuple[Text | Image, ...] = ()
    calls: tuple[ToolCall, ...] = ()
    call_id: str | None = None

    @property
    def text(self) -> str:
        """The words of the message, without its images."""
        return "".join(part.text for part in self.content if isinstance(part, Text))


class FunctionTool(Frozen, frozen=True):
    name: str
    description: str = ""
    parameters: dict[str, object] = {}


class Prompt(Frozen, frozen=True):
    """All that a language model gets to see. `instructions` stand before every message."""

    model: str
    instructions: str = ""
    messages: tuple[Message, ...] = ()
    tools: tuple[FunctionTool, ...] = ()
    tool_choice: str = "auto"
    """`auto`, `none`, `required`, or `function:<name>`."""
    parallel_tool_calls: bool = True
    max_output_tokens: int | None = None
    temperature: float | None = None
    reasoning_effort: str | None = None
    spoken: bool = True
    """Whether the answer will be heard rather than read."""


class Words(Frozen, frozen=True):
    """The next piece of what the model says, exactly as it came (spaces included)."""

    text: str


class Thought(Frozen, frozen=True):
    """A piece of what the model thinks before it says something: counted, never shown or spoken."""

    text: str


class CallDelta(Frozen, frozen=True):
    """A piece of a function call. `index` tells parallel calls apart; the first delta of an index carries the name."""

    index: int
    call_id: str | None = None
    name: str | None = None
    arguments: str = ""


class Finished(Frozen, frozen=True):
    """The model is done. Token counts are the backend's own, when it reports them."""

    reason: Literal["stop", "length", "content_filter", "tool_calls"] = "stop"
    input_tokens: int | None = None
    output_tokens: int | None = None
    reasoning_tokens: int | None = None
    """Those of `output_tokens` that went into thoughts."""


class LanguageModel(Protocol):
    """Thinks of an answer."""

    def generate(self, prompt: Prompt) -> AsyncIterator[Words | Thought | CallDelta | Finished]:
        """Yields words, thoughts and calls as they come, then exactly one `Finished`. Raises `EngineError`."""
        ...


# ---- text to speech


class TextToSpeech(Protocol):
    """Speaks."""

    def speak(self, text: str, voice: str, speed: float) -> AsyncIterator[bytes]:
        """Speaks one piece (a clause or sentence) and yields the sound as it exists, house format, at most
        `SPEECH_CHUNK_BYTES_MAX` at a time and always whole samples. `voice` is a public voice name from the catalog,
        `speed` 0.25 to 1.5. Text without anything to pronounce yields nothing. Raises `EngineError`.
        """
        ...


SPEECH_CHUNK_BYTES_MAX = 9_600
"""200 ms: small enough that one event stays far below every client's message limit."""


# ---- the engine


class Engine(Protocol):
    """Performs the work of sessions: the cascade here, or (later) another realtime server."""

    def run(self, work: Work, mailbox: AsyncIterator[WorkMessage]) -> AsyncGenerator[AnyInput, None]:
        """Works on `work` and yields what the session shall hear of it, in order, with its `work_id`.

        `mailbox` brings what the session `Tell`s this work. Ends after `Generated` or a final `Transcribed`. Closing
        the generator stops the work at once. Raises `EngineError`.
        """
        ...
