"""GET /v1/realtime: who may come in, for which session, and then bytes to events and events to bytes (protocol.md 1.1).

Refusals are HTTP answers before the upgrade, with the envelope of 8.1. After it every answer is the session's.
"""

import secrets
from collections.abc import Awaitable, Callable
from contextlib import suppress
from functools import partial
from typing import NamedTuple

from starlette.datastructures import QueryParams
from starlette.responses import Response
from starlette.websockets import WebSocket, WebSocketDisconnect

from parley.auth.client_secrets import Binding
from parley.auth.credentials import presented
from parley.auth.gate import Bearer, Gate
from parley.core.config import RealtimeConfig, SessionConfig, TranscriptionConfig
from parley.core.events import (
    AnyServerEvent,
    InputAudioBufferAppend,
    OutputAudioDelta,
    OutputAudioDone,
    ResponseDone,
    SessionUpdate,
)
from parley.dialects.base import BINARY_FRAME
from parley.dialects.beta import BETA_UNMARKED
from parley.dialects.choose import Choice, beta_by_shape, choose
from parley.errors import EngineError, RequestError
from parley.live.relay import RelayedSession
from parley.live.session import LiveSession
from parley.telemetry import Metrics
from parley.transports import refusal, relay
from parley.transports.picows_protocol import NORMAL, Lane
from parley.transports.sessions import DIALECTS, bound_config, model_name
from parley.transports.voices import Voices


class Door(NamedTuple):
    """What the door needs to know of the house."""

    gate: Gate
    metrics: Metrics
    start: Callable[[SessionConfig, Bearer], Awaitable[LiveSession | RelayedSession]]
    """A session that is registered but not open. Raises `RequestError`, `EngineError`."""
    find_call: Callable[[str, Bearer], Awaitable[LiveSession | RelayedSession]]
    """The session of a call that this bearer may reach. Raises `RequestError` with `session_not_found`."""


def realtime(door: Door) -> Callable[[WebSocket], Awaitable[None]]:
    """The endpoint."""

    async def endpoint(websocket: WebSocket) -> None:
        with suppress(WebSocketDisconnect):  # gone before it was let in
            try:
                await _let_in(door, websocket)
            except (RequestError, EngineError) as error:
                door.metrics.error(error.code)
                await websocket.send_denial_response(
                    Response(refusal.body(error), refusal.status(error), refusal.headers(error))
                )

    return endpoint


async def _let_in(door: Door, websocket: WebSocket) -> None:
    headers, query = websocket.headers, websocket.query_params
    credential = presented(headers, websocket.scope["subprotocols"], query)
    if call_id := query.get("call_id"):
        call = await door.find_call(call_id, await door.gate.know(credential, headers.get("origin")))
        choice = _choice(websocket, None)
        if isinstance(call, RelayedSession):
            await relay.join(websocket, choice, call)
        else:
            await _converse(websocket, choice, call, call.join, sound=False)
        return
    admitted = await door.gate.admit(credential, headers.get("origin"))
    live = await door.start(config_of(query, admitted.binding), admitted.bearer)
    choice = _choice(websocket, admitted.binding)
    try:
        if isinstance(live, RelayedSession):
            await relay.converse(websocket, choice, live)
        else:
            await _converse(websocket, choice, live, partial(_enter, live), sound=True)
    finally:
        live.close(NORMAL, "")  # whatever went wrong: nobody else is in this session


def _enter(live: LiveSession, connection: "Connection") -> None:
    live.attach(connection)
    live.open()


def _choice(websocket: WebSocket, binding: Binding | None) -> Choice:
    return choose(
        method="GET",
        path=websocket.url.path,
        headers=websocket.headers,
        subprotocols=websocket.scope["subprotocols"],
        secret=None if binding is None else DIALECTS[binding.dialect],
    )


async def _converse(
    websocket: WebSocket, choice: Choice, live: LiveSession, enter: Callable[["Connection"], None], *, sound: bool
) -> None:
    """Accepts the connection and makes it an outlet of `live`, until it is over."""
    await websocket.accept(choice.subprotocol)
    lane: Lane = websocket.scope["extensions"]["parley.lane"]()
    connection = Connection(live, lane, choice, websocket.query_params.get("model", ""), sound=sound)
    enter(connection)
    lane.receive(connection)
    await lane.closed


def config_of(query: QueryParams, binding: Binding | None = None) -> SessionConfig:
    """The session that a client asks for, by its secret or by its query. Raises `RequestError`."""
    model = query.get("model")
    if binding is not None:
        return bound_config(binding, None, model)
    if query.get("intent") == "transcription":
        return TranscriptionConfig()
    if not model:
        raise RequestError("missing_required_parameter", "Missing required parameter: 'model'.", "model")
    return RealtimeConfig(model=model_name(model))


class Connection:
    """One client on a lane: what it says goes to the session, what the session says goes to it, in its dialect."""

    def __init__(self, live: LiveSession, lane: Lane, choice: Choice, model: str, *, sound: bool = True) -> None:
        """`sound`: whether it is said here. That of a call goes by its media (protocol.md 11.1)."""
        self._live = live
        self._lane = lane
        self._dialect = choice.dialect
        self._settled = choice.settled
        self._model = model
        self._sound = sound
        self._event_id = f"event_{secrets.token_hex(5)}_"
        self._sent = 0
        self._voices = Voices()

    # ---- what the client says

    def on_text(self, message: bytes) -> None:
        if not self._settled and beta_by_shape(message, self._model):
            self._dialect, self._settled = BETA_UNMARKED, True
        event = self._dialect.decode(message)
        if type(event) is InputAudioBufferAppend:
            self._live.hear(event)
        else:
            self._settled = self._settled or type(event) is SessionUpdate
            self._live.post(event)

    def on_binary(self, message: bytes) -> None:
        self._live.post(BINARY_FRAME)

    def on_gone(self) -> None:
        self._live.leave(self)

    # ---- what the session says

    @property
    def congested(self) -> bool:
        return self._lane.congested

    def send(self, event: AnyServerEvent) -> None:
        match event:
            case OutputAudioDelta():
                if self._sound:
                    self._say_sound(event, self._voices.encoded(event))
                return
            case OutputAudioDone():
                if (rest := self._voices.finish(event.response_id)) is not None:
                    self._say_sound(*rest)
            case ResponseDone():
                self._voices.drop(event.response.id)
        for message in self._dialect.encode(event, self._next_id()):
            self._lane.send(message)

    async def writable(self) -> None:
        await self._lane.writable()

    def close(self, code: int, reason: str) -> None:
        self._lane.close(code, reason)

    # ---- inside

    def _say_sound(self, event: OutputAudioDelta, sound: bytes) -> None:
        self._lane.send(self._dialect.encode_audio(event, sound, self._next_id()))

    def _next_id(self) -> str:
        """Unique on this connection, and among all connections; cheaper than chance for every event."""
        self._sent += 1
        return f"{self._event_id}{self._sent:x}"
