"""One client on a lane whose session an upstream answers: text goes through, in the client's spelling."""

from collections.abc import Callable
from typing import Final

from starlette.websockets import WebSocket

from parley.dialects import peek
from parley.dialects.base import BINARY_FRAME
from parley.dialects.choose import Choice, beta_by_shape
from parley.dialects.relay import BETA_UNMARKED, SPELLINGS, Spelling
from parley.live.relay import RelayedSession
from parley.transports.picows_protocol import Lane

UPDATES: Final = frozenset({"session.update", "transcription_session.update"})


SOUNDS: Final = frozenset({"response.output_audio.delta", "response.audio.delta"})


class RelayConnection:
    """A `Receiver` of the lane, and a `RelayOutlet` of the session."""

    def __init__(self, live: RelayedSession, lane: Lane, choice: Choice, model: str, *, sound: bool = True) -> None:
        """`sound`: whether it is said here. That of a call goes by its media (protocol.md 11.1)."""
        self.spelling: Spelling = SPELLINGS[choice.dialect.name]
        self.send_raw = lane.send if sound else self._send_words
        self.writable = lane.writable
        self.pause = lane.pause
        self.resume = lane.resume
        self.close = lane.close
        self._live = live
        self._lane = lane
        self._settled = choice.settled
        self._model = model

    @property
    def congested(self) -> bool:
        return self._lane.congested

    # ---- what the client says

    def on_text(self, message: bytes) -> None:
        if not self._settled:
            self._settle(message)
        self._live.relay(message, self.spelling)

    def on_binary(self, message: bytes) -> None:
        self._live.post(BINARY_FRAME)

    def on_gone(self) -> None:
        self._live.leave(self)

    def _send_words(self, raw: bytes) -> None:
        if peek.kind(raw) not in SOUNDS:
            self._lane.send(raw)

    def _settle(self, message: bytes) -> None:
        """An unmarked client shows by its first update how it speaks (protocol.md 0.2, rule 6)."""
        if beta_by_shape(message, self._model):
            self.spelling, self._settled = BETA_UNMARKED, True
        else:
            self._settled = peek.kind(message) in UPDATES


async def converse(websocket: WebSocket, choice: Choice, live: RelayedSession) -> None:
    """Accepts the connection and makes it an outlet of `live`, which it opens, until it is over."""

    def enter(connection: RelayConnection) -> None:
        live.attach(connection)
        live.open()

    await _converse(websocket, choice, live, enter, sound=True)


async def join(websocket: WebSocket, choice: Choice, live: RelayedSession) -> None:
    """The same, beside a call that runs and that is heard elsewhere."""
    await _converse(websocket, choice, live, live.join, sound=False)


async def _converse(
    websocket: WebSocket, choice: Choice, live: RelayedSession, enter: Callable[[RelayConnection], None], *, sound: bool
) -> None:
    await websocket.accept(choice.subprotocol)
    lane: Lane = websocket.scope["extensions"]["parley.lane"]()
    connection = RelayConnection(live, lane, choice, websocket.query_params.get("model", ""), sound=sound)
    enter(connection)
    lane.receive(connection)
    await lane.closed
