"""GET /v1/realtime/media/{carrier}: a carrier's media stream becomes a call.

    connecting --(signature, secret of the path)--> open --(start within START_S)--> checked --> a call
         |                                             |                                |
         +--> an HTTP answer                           +--> closed with 4000 and why <--+

Carriers send no header of ours, so a credential comes as a custom parameter of the stream (`api_key` or
`client_secret`), or as the last part of the path: there only a client secret for one use, since addresses are written
into logs. Nothing is started before it was found good.
"""

import asyncio
import logging
from collections.abc import Awaitable, Callable, Mapping
from contextlib import suppress
from typing import Any, Final, NamedTuple

from starlette.responses import Response
from starlette.websockets import WebSocket, WebSocketDisconnect

from parley.auth.client_secrets import is_secret
from parley.auth.credentials import Credential, presented
from parley.auth.gate import Admitted, Gate
from parley.core.config import SessionConfig
from parley.core.session import REFUSED
from parley.errors import ERRORS, EngineError, RequestError
from parley.telemetry import Metrics, note
from parley.transports import refusal
from parley.transports.carriers import signature
from parley.transports.carriers.call import MESSAGE_BYTES_MAX
from parley.transports.carriers.calls import CarrierCalls
from parley.transports.carriers.dialects import DIALECTS, TWILIO, Dialect, Start, read
from parley.transports.picows_protocol import BYTES_MAX, NORMAL, TOO_BIG, Lane, Receiver
from parley.transports.sessions import bound_config, ga_session

START_S: Final = 5.0
"""How long a carrier may take from the handshake to `start`."""
STRANGERS_MAX: Final = 100
"""Connections at once that have not said `start`."""
HELD_MAX: Final = 512
"""Messages that wait for the session to be there. The rest waits at the carrier, for nothing more is read then."""
CREDENTIALS: Final = ("clientsecret", "apikey")
STREAM_TOKEN: Final = "x-telnyx-streaming-auth-token"
"""What Telnyx sends of `stream_auth_token`."""

log = logging.getLogger(__name__)


class Door(NamedTuple):
    """What the door needs to know of the house."""

    gate: Gate
    metrics: Metrics
    calls: CarrierCalls
    twilio_auth_token: str | None = None
    """Where it is given, Twilio's handshakes must be signed with it."""
    public_url: str = ""


def media(door: Door) -> Callable[[WebSocket], Awaitable[None]]:
    """The endpoint. Path parameters: `carrier`, and perhaps `secret`."""
    strangers = Strangers()

    async def endpoint(websocket: WebSocket) -> None:
        with suppress(WebSocketDisconnect):  # gone before it was let in
            try:
                dialect, admitted = await _before(door, websocket)
                with strangers:
                    reception = await _accept(websocket, dialect)
                    start = await reception.started()
            except (RequestError, EngineError) as error:
                door.metrics.error(error.code)
                await websocket.send_denial_response(
                    Response(refusal.body(error), refusal.status(error), refusal.headers(error))
                )
                return
            if start is not None:
                await _answer(door, dialect, reception, start, admitted)
            await reception.lane.closed

    return endpoint


class Strangers:
    """Counts them. Raises `RequestError` with `too_many_sessions`."""

    def __init__(self) -> None:
        self._count = 0

    def __enter__(self) -> None:
        if self._count >= STRANGERS_MAX:
            raise RequestError("too_many_sessions", "Too many media streams are beginning at once. Try again.")
        self._count += 1

    def __exit__(self, *exc: object) -> None:
        self._count -= 1


# ---- before the upgrade


async def _before(door: Door, websocket: WebSocket) -> tuple[Dialect, Admitted | None]:
    """Which carrier, and who it is where the request says so. Raises `RequestError`, `EngineError`."""
    dialect = DIALECTS.get(websocket.path_params["carrier"])
    if dialect is None:
        raise RequestError("not_found", f"No such carrier. There are: {', '.join(DIALECTS)}.")
    if dialect is TWILIO and door.twilio_auth_token is not None:
        base = door.public_url.partition("://")[2].rstrip("/") or websocket.headers.get("host", "")
        known = signature.urls(base, websocket.url.path)
        signature.check(websocket.headers.get(signature.HEADER), known, door.twilio_auth_token)
    credential = presented(websocket.headers, (), websocket.query_params) or _credential(
        websocket.headers.get(STREAM_TOKEN)
    )
    if (secret := websocket.path_params.get("secret")) is not None:
        return dialect, await _admit_once(door.gate, secret)
    return dialect, None if credential is None else await door.gate.admit(credential, None)


async def _admit_once(gate: Gate, secret: str) -> Admitted:
    """A client secret that came in an address: whoever reads that later finds it spent."""
    if not is_secret(secret):
        raise RequestError("key_in_query", "Do not put a key into the URL. Send it as a parameter of the stream.")
    credential = _credential(secret)
    admitted = await gate.admit(credential, None)
    try:
        await gate.admit(credential, None)
    except RequestError as error:
        if error.code == "client_secret_used":
            return admitted
        raise
    raise RequestError("client_secret_not_allowed", "A client secret in a URL must be made with max_uses 1.")


def _credential(value: str | None) -> Credential | None:
    """Raises `RequestError` with `invalid_api_key` for one that cannot be a key."""
    return None if value is None else presented({"x-api-key": value})


# ---- until it starts


async def _accept(websocket: WebSocket, dialect: Dialect) -> "Reception":
    websocket.scope["extensions"][BYTES_MAX] = MESSAGE_BYTES_MAX  # nobody knows yet who this is
    await websocket.accept()
    lane: Lane = websocket.scope["extensions"]["parley.lane"]()
    reception = Reception(lane, dialect)
    lane.receive(reception)
    return reception


class Reception:
    """The lane's `Receiver` until there is a call. What comes between `start` and that is kept for it."""

    def __init__(self, lane: Lane, dialect: Dialect) -> None:
        self.lane = lane
        self._dialect = dialect
        self._start: asyncio.Future[Start | None] = asyncio.get_running_loop().create_future()
        self._held: list[bytes] = []
        self._call: Receiver | None = None

    async def started(self) -> Start | None:
        """None when nothing comes of it; then the lane is closed, or gone."""
        try:
            async with asyncio.timeout(START_S):
                return await self._start
        except TimeoutError:
            self.refuse(RequestError("invalid_event", f"No start came within {START_S:.0f} s."))
        except RequestError as error:
            self.refuse(error)
        return None

    def refuse(self, error: RequestError | EngineError) -> None:
        """protocol.md 8.4: the kind of an error is the reason of the close frame."""
        note(log, "carrier refused", carrier=self._dialect.name, code=error.code, reason=error.message)
        row = ERRORS.get(error.code, refusal.UNKNOWN_CODE)
        self.lane.resume()  # to read that the carrier closes, too
        self.lane.close(REFUSED, f"{row.type}.{error.code}")

    def hand_over(self, call: Receiver) -> None:
        """To `call` goes what came meanwhile, and all that follows."""
        self._call = call
        for message in self._held:
            call.on_text(message)
        self._held.clear()
        self.lane.resume()

    def on_text(self, message: bytes) -> None:
        if self._call is not None:
            self._call.on_text(message)
        elif len(message) > MESSAGE_BYTES_MAX:
            self.lane.close(TOO_BIG, "message_too_big")
        elif not self._start.done():
            self._read(message)
        elif len(self._held) < HELD_MAX:
            self._held.append(message)
        else:
            self.refuse(RequestError("rate_limit_exceeded", "Too much came before the session was there."))

    def on_binary(self, message: bytes) -> None:
        if self._call is not None:
            self._call.on_binary(message)
        else:
            self._fail(RequestError("invalid_event", "Carriers send text."))

    def on_gone(self) -> None:
        if self._call is not None:
            self._call.on_gone()
        elif not self._start.done():
            self._start.set_result(None)

    def _read(self, message: bytes) -> None:
        try:
            heard = read(self._dialect, message)
        except RequestError as error:
            self._fail(error)
            return
        if isinstance(heard, Start):
            self._start.set_result(heard)
            self.lane.pause()

    def _fail(self, error: RequestError) -> None:
        if not self._start.done():
            self._start.set_exception(error)


# ---- the call


async def _answer(door: Door, dialect: Dialect, reception: Reception, start: Start, admitted: Admitted | None) -> None:
    """Checks who it is and begins the call. A refusal closes the lane."""
    try:
        admitted = admitted or await door.gate.admit(_of(start.parameters), None)
        config = config_of(start.parameters, admitted)
        call = await door.calls.answer(reception.lane, dialect, start, config, admitted.bearer)
    except (RequestError, EngineError) as error:
        door.metrics.error(error.code)
        reception.refuse(error)
        return
    if reception.lane.close_code is not None:  # the caller has hung up meanwhile
        call.live.close(NORMAL, "")
        call.close(NORMAL, "")
        return
    call.begin()
    reception.hand_over(call)


def _of(parameters: Mapping[str, str]) -> Credential | None:
    return next((_credential(parameters[name]) for name in CREDENTIALS if name in parameters), None)


def config_of(parameters: Mapping[str, str], admitted: Admitted) -> SessionConfig:
    """The session: a client secret's own, else what `model`, `voice` and `instructions` say. Raises `RequestError`."""
    model = parameters.get("model")
    if admitted.binding is not None:
        if "voice" in parameters or "instructions" in parameters:
            raise RequestError(
                "invalid_value",
                "A client secret brings its own session: leave voice and instructions out, or use a key.",
            )
        return bound_config(admitted.binding, None, model)
    session: dict[str, Any] = {"type": "realtime"}
    if "voice" in parameters:
        session["audio"] = {"output": {"voice": parameters["voice"]}}
    if "instructions" in parameters:
        session["instructions"] = parameters["instructions"]
    return ga_session(session, model)
