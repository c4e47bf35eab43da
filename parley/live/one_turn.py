"""A session of one turn: what was asked goes in, one answer comes out, and the session is over.

    config = config_of(asked)                     # RequestError
    live = await house.start(config, …)           # the same session that everybody gets, metered as every other
    answer = await answer_of(live, asked, hear)   # RequestError, EngineError

Nothing here thinks or speaks: the messages become items, the sound is appended and committed, `response.create` is
posted, and an outlet inside the process keeps what the session says.
"""

import asyncio
from collections.abc import Awaitable, Callable, Sequence
from typing import Any, Final, Literal, NamedTuple, assert_never

from parley.catalog import VOICES
from parley.core.config import RealtimeConfig, SessionConfig, configured
from parley.core.events import (
    AnyClientEvent,
    AnyServerEvent,
    ConversationItemCreate,
    ConversationItemRetrieve,
    Error,
    InputAudioBufferCommit,
    InputAudioBufferCommitted,
    ItemRetrieved,
    OutputAudioDelta,
    Response,
    ResponseCreate,
    ResponseDone,
)
from parley.core.items import InputAudio, Message, OutputAudio, OutputText
from parley.errors import ERRORS, EngineError, RequestError
from parley.live.session import LiveSession

TURN_S: Final = 120.0
"""From the question to the end of the answer. Ten minutes of speech are put into words within it on two cores."""
UNPAID: Final = frozenset({"insufficient_credits", "budget_exceeded"})
"""Where an answer is cut off for one of these, what was paid for is delivered."""

Role = Literal["user", "assistant", "system"]


class Said(NamedTuple):
    """What was said before, as text."""

    role: Role
    text: str


class Asked(NamedTuple):
    """A question, without its sound. `messages`: what came before it."""

    model: str
    voice: str
    instructions: str = ""
    messages: Sequence[Said] = ()
    text: str = ""


class Answer(NamedTuple):
    """`transcript`: the words of the sound that was sent. `pcm`: the answer in the house format."""

    transcript: str
    text: str
    pcm: bytes


def config_of(asked: Asked) -> SessionConfig:
    """The session: no turn detection, for the turn is known. Raises `RequestError`."""
    patch = {
        "instructions": asked.instructions,
        "audio": {"input": {"turn_detection": None}, "output": {"voice": asked.voice}},
    }
    return configured(patch, RealtimeConfig(model=asked.model), frozenset(VOICES))


async def answer_of(live: LiveSession, asked: Asked, hear: Callable[[], Awaitable[bytes]] | None = None) -> Answer:
    """Opens `live`, takes the turn, and ends it, whatever happens. `hear` gives what the user says, house format.

    Raises `RequestError`, `EngineError` where a backend failed or `TURN_S` is over, and what `hear` raises.
    """
    listener = Listener()
    live.attach(listener)
    live.open()
    try:
        for event in _events(asked, with_sound=hear is not None):
            live.post(event)
        if hear is not None:
            live.listen(await hear())
            live.post(InputAudioBufferCommit())
        live.post(ResponseCreate())
        async with asyncio.timeout(TURN_S):
            await listener.over.wait()
        if listener.heard_as is not None:
            live.post(ConversationItemRetrieve(item_id=listener.heard_as))
        return listener.answer()
    except TimeoutError as error:
        raise EngineError("backend_timeout", f"There was no answer within {TURN_S:.0f} s.", retryable=True) from error
    finally:
        live.leave(listener)  # what was made of an answer that nobody waits for any more is metered, too


def _events(asked: Asked, *, with_sound: bool) -> list[AnyClientEvent]:
    """What was said before, and the question in writing."""
    said = [*asked.messages, *([Said("user", asked.text)] if asked.text or not with_sound else [])]
    return [ConversationItemCreate(item=_item(one)) for one in said]


def _item(said: Said) -> dict[str, Any]:
    kind = "output_text" if said.role == "assistant" else "input_text"
    return {"type": "message", "role": said.role, "content": [{"type": kind, "text": said.text}]}


class Listener:
    """The session's `Outlet`. Never congested: how long an answer gets is bounded by the model's output limit."""

    def __init__(self) -> None:
        self.over = asyncio.Event()
        """Set when the answer is complete, or will not come."""
        self.heard_as: str | None = None
        """The item that the user's sound became."""
        self._pcm = bytearray()
        self._transcript = ""
        self._response: Response | None = None
        self._error: RequestError | EngineError | None = None

    @property
    def congested(self) -> bool:
        return False

    async def writable(self) -> None:
        return

    def send(self, event: AnyServerEvent) -> None:
        match event:
            case OutputAudioDelta():
                self._pcm += event.delta
            case InputAudioBufferCommitted():
                self.heard_as = event.item_id
            case ItemRetrieved(item=Message() as message):
                self._transcript = "".join(
                    part.transcript or "" for part in message.content if isinstance(part, InputAudio)
                )
            case ResponseDone():
                self._response = event.response
                self.over.set()
            case Error():
                self._fail(event.error.code or "internal_error", event.error.message, event.error.param)

    def close(self, code: int, reason: str) -> None:
        if not self.over.is_set():
            self._fail("server_draining", "The session was closed before it had answered.", None)

    def answer(self) -> Answer:
        """Raises `RequestError` or `EngineError`."""
        if self._response is None:
            assert self._error is not None
            raise self._error
        details = self._response.status_details or {}
        words = _words(self._response)
        match self._response.status:
            case "completed" | "incomplete":
                pass
            case "failed" | "cancelled" | "in_progress":
                error = details.get("error") or {}
                code = str(error.get("code", "internal_error"))
                if not (code in UNPAID and words):
                    raise _error(code, str(error.get("message", ERRORS["internal_error"].advice)), None)
            case other:
                assert_never(other)
        return Answer(self._transcript, words, bytes(self._pcm))

    def _fail(self, code: str, message: str, param: str | None) -> None:
        if self._error is None:
            self._error = _error(code, message, param)
        self.over.set()


def _words(response: Response) -> str:
    parts = [part for item in response.output if isinstance(item, Message) for part in item.content]
    spoken = [part.transcript or "" for part in parts if isinstance(part, OutputAudio)]
    written = [part.text for part in parts if isinstance(part, OutputText)]
    return "\n".join(filter(None, spoken + written))


def _error(code: str, message: str, param: str | None) -> RequestError | EngineError:
    """Of the kind that its row says: theirs below 500, ours from there on."""
    if ERRORS[code].http < 500:
        return RequestError(code, message, param)
    return EngineError(code, message)
