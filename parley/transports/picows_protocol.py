"""WebSockets in uvicorn: plain ASGI up to `websocket.accept`, then frames come as calls, without tasks and queues.

    HANDSHAKE --(websocket.accept)--> OPEN --(close, either side; protocol error)--> CLOSING --> gone
        |                                                                              (<= CLOSE_S)
        +--(websocket.http.response.*)--> refused

In HANDSHAKE the application decides in its own time who comes in. After `accept` it gets its `Lane` by calling
``scope["extensions"]["parley.lane"]()``, and nothing is read before it says who receives. picows parses frames and
writes them; what it leaves to its user is here: fragments, UTF-8, reserved bits, the size of a message, close codes,
readers that do not read. Sections in comments are those of RFC 6455.
"""

import asyncio
import logging
from base64 import b64decode
from collections.abc import Callable, Iterable
from typing import Any, Final, NamedTuple, Protocol
from urllib.parse import unquote

import httptools
from picows import (
    WSAutoPingStrategy,
    WSFrame,
    WSListener,
    WSMsgType,
    WSTransport,
    WSUpgradeResponse,
    WSUpgradeResponseWithListener,
)
from picows.picows import WSProtocol  # type: ignore[attr-defined]
from uvicorn.config import Config
from uvicorn.protocols.http.httptools_impl import STATUS_LINE
from uvicorn.protocols.utils import get_local_addr, get_remote_addr, is_ssl
from uvicorn.server import ServerState

from parley.errors import RequestError
from parley.transports import refusal

MESSAGE_BYTES_MAX: Final = 24 * 2**20
"""Beyond it the connection ends with 1009. The dialects answer events from 21 MiB up with an error, the socket open."""
BYTES_MAX: Final = "parley.bytes_max"
"""Key of the scope's `extensions`: what a door that lets strangers in sets, before it accepts, for less than that."""
READ_BUFFER_BYTES: Final = 16_384
"""To begin with; it grows with the largest message of a connection."""

PING_S: Final = 20
"""After so much silence the peer is asked whether it is there, and it has as long again to answer."""
CLOSE_S: Final = 2.0
"""How long the peer may take to answer our close frame."""

OUTBOX_HIGH_BYTES: Final = 256 * 1024
OUTBOX_LOW_BYTES: Final = 64 * 1024
"""Above the first a connection is congested, until it is below the second: 4 s and 1 s of sound."""
OUTBOX_BYTES_MAX: Final = 24 * 2**20
"""A congested connection with more than this waiting is closed. One event of the largest size fits in."""
OUTLET_STALL_S: Final = 10.0
"""So is one that in this time does not take even `OUTBOX_LOW_BYTES`, a tenth of what speech needs."""

NORMAL: Final = 1000
GOING_AWAY: Final = 1001
PROTOCOL_ERROR: Final = 1002
INVALID_TEXT: Final = 1007
TOO_BIG: Final = 1009
INTERNAL_ERROR: Final = 1011
TRY_AGAIN_LATER: Final = 1013

REASON_BYTES_MAX: Final = 123
"""5.5: a control frame carries 125 bytes, two of them the code."""
KEY_BYTES: Final = 16

_TEXT, _BINARY, _CONTINUATION = WSMsgType.TEXT, WSMsgType.BINARY, WSMsgType.CONTINUATION
_CLOSE, _PING, _PONG = WSMsgType.CLOSE, WSMsgType.PING, WSMsgType.PONG

log = logging.getLogger(__name__)
_picows_log = logging.getLogger("picows")


class Receiver(Protocol):
    """What the application does with a connection. Calls come on the event loop, none after `on_gone`."""

    def on_text(self, message: bytes) -> None:
        """A whole message, valid UTF-8."""
        ...

    def on_binary(self, message: bytes) -> None: ...

    def on_gone(self) -> None:
        """Nothing will come, and nothing can be sent any more. Called exactly once."""
        ...


class Upgrade(NamedTuple):
    """A parsed request to become a WebSocket. `headers` have lower-case names; `tail` is what came after the head."""

    method: bytes
    target: bytes
    headers: tuple[tuple[bytes, bytes], ...]
    tail: bytes


class Lane(WSListener):
    """One open WebSocket. picows calls the `on_ws_…` methods."""

    def __init__(
        self,
        transport: asyncio.Transport,
        loop: asyncio.AbstractEventLoop,
        begin: Callable[[], None],
        bytes_max: int = MESSAGE_BYTES_MAX,
    ) -> None:
        self._bytes_max = bytes_max
        self.congested = False
        self.closed: asyncio.Future[None] = loop.create_future()
        """Done when the connection is over, down to the socket."""
        self.close_code: int | None = None
        """The code that ended it, whoever said it first; None while it is open, and 1006 when nobody did."""
        self.close_reason = ""
        self._loop = loop
        self._begin = begin
        self._tcp = transport
        self._peer: WSTransport | None = None
        self._receiver: Receiver | None = None
        self._fragments: bytearray | None = None
        self._fragments_kind = _TEXT
        self._writable: asyncio.Future[None] | None = None
        self._sent_bytes = 0
        self._drained_bytes = 0
        self._stall_timer: asyncio.TimerHandle | None = None
        self._close_timer: asyncio.TimerHandle | None = None

    # ---- the application's side

    def send(self, message: bytes) -> None:
        """Sends a text message (UTF-8). Never waits, never fails: a peer that is gone or too slow is told nothing."""
        if self.close_code is not None or self._peer is None:
            return
        if self.congested and self._tcp.get_write_buffer_size() > OUTBOX_BYTES_MAX:
            self._too_slow()
            return
        self._sent_bytes += len(message)
        self._peer.send(_TEXT, message)

    async def writable(self) -> None:
        """Returns when the connection is no longer congested, or gone."""
        if not self.congested or self.close_code is not None:
            return
        if self._writable is None:
            self._writable = self._loop.create_future()
        await asyncio.shield(self._writable)

    def close(self, code: int, reason: str) -> None:
        """Ends the connection with a close frame (7.1.2). The receiver is told at once; the socket closes after it."""
        if self.close_code is None and self._peer is not None:
            self._peer.send_close(code, reason.encode()[:REASON_BYTES_MAX])  # type: ignore[arg-type]
            self._over(code, reason)
            self._close_timer = self._loop.call_later(CLOSE_S, self._tcp.abort)

    def receive(self, receiver: Receiver) -> None:
        """From now on messages come, to `receiver`. Call it once."""
        self._receiver = receiver
        if self.close_code is None:
            self._begin()
        else:
            receiver.on_gone()

    def pause(self) -> None:
        """Nothing more is read, until `resume`: what the peer sends waits at the peer."""
        if self.close_code is None:
            self._tcp.pause_reading()

    def resume(self) -> None:
        if self.close_code is None:
            self._tcp.resume_reading()

    # ---- picows' side

    def on_ws_connected(self, transport: WSTransport) -> None:
        self._peer = transport
        self._tcp.set_write_buffer_limits(OUTBOX_HIGH_BYTES, OUTBOX_LOW_BYTES)

    def on_ws_frame(self, transport: WSTransport, frame: WSFrame) -> None:
        kind = frame.msg_type
        if kind == _CLOSE:
            self._on_close(transport, frame)
        elif self.close_code is not None:
            pass  # 5.5.1: what comes after our close frame does not count
        elif frame.rsv1 or frame.rsv2 or frame.rsv3:
            self.close(PROTOCOL_ERROR, "reserved bits are set")  # 5.2: no extension was negotiated
        elif kind == _TEXT and frame.fin and self._fragments is None:
            self._on_message(_TEXT, frame.get_payload_as_bytes())
        elif kind == _PING:
            transport.send_pong(frame.get_payload_as_bytes())
        elif kind != _PONG:
            self._on_fragment(frame)

    def on_ws_disconnected(self, transport: WSTransport) -> None:
        self._over(1006, "")
        for timer in (self._close_timer, self._stall_timer):
            if timer is not None:
                timer.cancel()
        if not self.closed.done():
            self.closed.set_result(None)

    def pause_writing(self) -> None:
        self.congested = True
        self._watch()

    def resume_writing(self) -> None:
        self.congested = False
        if self._stall_timer is not None:
            self._stall_timer.cancel()
            self._stall_timer = None
        self._wake()

    # ---- inside

    def _on_fragment(self, frame: WSFrame) -> None:
        """5.4. A message in one frame is a message of one fragment."""
        if (frame.msg_type == _CONTINUATION) is (self._fragments is None):
            self.close(PROTOCOL_ERROR, "fragments out of order")
            return
        if self._fragments is None:
            self._fragments, self._fragments_kind = bytearray(), frame.msg_type
        self._fragments += frame.get_payload_as_memoryview()
        if len(self._fragments) > self._bytes_max:
            self._fragments = None
            self.close(TOO_BIG, f"a message may have at most {self._bytes_max} bytes")
        elif frame.fin:
            message, self._fragments = bytes(self._fragments), None
            self._on_message(self._fragments_kind, message)

    def _on_message(self, kind: WSMsgType, message: bytes) -> None:
        assert self._receiver is not None
        if kind == _TEXT and not (message.isascii() or _is_utf8(message)):
            self.close(INVALID_TEXT, "the text is not UTF-8")  # 8.1
            return
        try:
            if kind == _TEXT:
                self._receiver.on_text(message)
            else:
                self._receiver.on_binary(message)
        except Exception:
            log.exception("the receiver failed")
            self.close(INTERNAL_ERROR, "internal_error")

    def _on_close(self, transport: WSTransport, frame: WSFrame) -> None:
        code = int.from_bytes(frame.get_payload_as_bytes()[:2]) if frame.payload_size else None
        if self.close_code is None:
            if code is None:
                transport.send(_CLOSE, b"")
            else:
                transport.send_close(code if _may_be_sent(code) else PROTOCOL_ERROR)  # type: ignore[arg-type]
            self._over(code or NORMAL, frame.get_close_reason() or "")
        transport.disconnect()
        self._close_timer = self._close_timer or self._loop.call_later(CLOSE_S, self._tcp.abort)

    def _over(self, code: int, reason: str) -> None:
        if self.close_code is not None:
            return
        self.close_code, self.close_reason = code, reason
        self._fragments = None
        self._wake()
        if self._receiver is not None:
            self._receiver.on_gone()

    def _wake(self) -> None:
        waiting, self._writable = self._writable, None
        if waiting is not None and not waiting.done():
            waiting.set_result(None)

    def _watch(self) -> None:
        self._drained_bytes = self._sent_bytes - self._tcp.get_write_buffer_size()
        self._stall_timer = self._loop.call_later(OUTLET_STALL_S, self._check_progress)

    def _check_progress(self) -> None:
        taken = self._sent_bytes - self._tcp.get_write_buffer_size() - self._drained_bytes
        if taken < OUTBOX_LOW_BYTES:
            self._too_slow()
        else:
            self._watch()

    def _too_slow(self) -> None:
        self.close(TRY_AGAIN_LATER, "slow_consumer")


class PicowsProtocol(asyncio.Protocol):
    """uvicorn's `ws=` class. Made for one upgrade request, and out of the way once that was accepted."""

    def __init__(self, config: Config, server_state: ServerState, app_state: dict[str, Any]) -> None:
        self._config = config
        self._server = server_state
        self._app_state = app_state
        self._loop = asyncio.get_running_loop()
        self._tcp: asyncio.Transport
        self._upgrade: Upgrade
        self._lane: Lane | None = None
        self._answered = False
        self._gone = False
        self._extensions: dict[str, Any] = {"websocket.http.response": {}, "parley.lane": lambda: self._lane}
        """Of the scope; the application may set `BYTES_MAX` in it."""
        self._task: asyncio.Task[None] | None = None

    # ---- uvicorn's side

    def connection_made(self, transport: asyncio.Transport) -> None:  # type: ignore[override]
        self._tcp = transport
        self._server.connections.add(self)  # type: ignore[arg-type]

    def connection_lost(self, exc: Exception | None) -> None:
        """Only while the application is still deciding; later it is picows that hears of it."""
        self._gone = True
        self._server.connections.discard(self)
        if self._task is not None:
            self._task.cancel()

    def begin(self, upgrade: Upgrade) -> None:
        """Asks the application about this request."""
        self._upgrade = upgrade
        self._tcp.pause_reading()
        try:
            _check_handshake(upgrade)
        except RequestError as error:
            self._refuse(refusal.status(error), refusal.headers(error).items(), refusal.body(error))
            return
        self._task = self._loop.create_task(self._run())
        self._server.tasks.add(self._task)
        self._task.add_done_callback(self._server.tasks.discard)

    def shutdown(self) -> None:
        """uvicorn calls this on every connection when it stops."""
        if self._lane is not None:
            self._lane.close(GOING_AWAY, "server_draining")
        else:
            self._tcp.close()

    # ---- the application's side

    async def _run(self) -> None:
        try:
            await self._config.loaded_app(self._scope(), self._receive, self._send)
        except asyncio.CancelledError:
            if not self._gone:
                raise
        except Exception:
            log.exception("the application failed")
            if self._lane is not None:
                self._lane.close(INTERNAL_ERROR, "internal_error")
        if self._lane is not None:
            self._lane.close(NORMAL, "")
        elif not self._answered:
            self._tcp.close()

    def _scope(self) -> dict[str, Any]:
        request = self._upgrade
        url = httptools.parse_url(request.target)
        offered = b",".join(value for name, value in request.headers if name == b"sec-websocket-protocol")
        return {
            "type": "websocket",
            "asgi": {"version": "3.0", "spec_version": "2.4"},
            "http_version": "1.1",
            "scheme": "wss" if is_ssl(self._tcp) else "ws",
            "path": unquote(url.path.decode("ascii")),
            "raw_path": url.path,
            "query_string": url.query or b"",
            "root_path": self._config.root_path,
            "headers": request.headers,
            "client": get_remote_addr(self._tcp),
            "server": get_local_addr(self._tcp),
            "state": self._app_state.copy(),
            "subprotocols": [token.strip() for token in offered.decode("latin-1").split(",") if token.strip()],
            "extensions": self._extensions,
        }

    async def _receive(self) -> dict[str, Any]:
        return {"type": "websocket.connect"}

    async def _send(self, message: dict[str, Any]) -> None:
        if self._gone:
            raise OSError("the client is gone")
        match message["type"]:
            case "websocket.accept":
                self._accept(message.get("subprotocol"))
            case "websocket.http.response.start":
                self._answered = True
                self._tcp.write(_head(message["status"], _decoded(message.get("headers", ()))))
            case "websocket.http.response.body":
                self._tcp.write(message.get("body", b""))
                if not message.get("more_body"):
                    self._tcp.close()
            case "websocket.close":
                if self._lane is None:
                    self._refuse(403, (), b"")
                else:
                    self._lane.close(message.get("code", NORMAL), message.get("reason") or "")
            case other:
                raise RuntimeError(f"{other} is not for this extension; messages go through the lane")

    def _accept(self, subprotocol: str | None) -> None:
        """Answers 101 and hands the socket to picows. Nothing is read before `_begin`."""
        self._answered = True
        answer = WSUpgradeResponse.create_101_response({"Sec-WebSocket-Protocol": subprotocol} if subprotocol else None)
        bytes_max = self._extensions.get(BYTES_MAX, MESSAGE_BYTES_MAX)
        lane = self._lane = Lane(self._tcp, self._loop, self._begin, bytes_max)
        lane.closed.add_done_callback(lambda _: self._server.connections.discard(self))
        picows = self._picows = _parser(lambda request: WSUpgradeResponseWithListener(answer, lane), bytes_max)
        self._tcp.set_protocol(picows)
        picows.connection_made(self._tcp)
        key = _header(self._upgrade, b"sec-websocket-key")
        _feed(picows, b"GET / HTTP/1.1\r\nHost: x\r\nUpgrade: websocket\r\nConnection: Upgrade\r\n")
        _feed(picows, b"Sec-WebSocket-Version: 13\r\nSec-WebSocket-Key: %b\r\n\r\n" % key)

    def _begin(self) -> None:
        """What came behind the handshake, and then what comes."""
        if self._upgrade.tail:
            _feed(self._picows, self._upgrade.tail)
        self._tcp.resume_reading()

    def _refuse(self, status: int, headers: Iterable[tuple[str, str]], body: bytes) -> None:
        self._answered = True
        self._tcp.write(_head(status, (*headers, ("content-length", str(len(body))))) + body)
        self._tcp.close()


def _check_handshake(upgrade: Upgrade) -> None:
    """4.2.1. Raises `RequestError`."""
    if _header(upgrade, b"sec-websocket-version") != b"13":
        raise RequestError("upgrade_required", "Only version 13 of the WebSocket protocol is spoken here.")
    try:
        key = b64decode(_header(upgrade, b"sec-websocket-key"), validate=True)
    except ValueError:
        key = b""
    if upgrade.method != b"GET" or len(key) != KEY_BYTES:
        raise RequestError("invalid_event", "The request is not a WebSocket handshake (RFC 6455, section 4.1).")


def _header(upgrade: Upgrade, name: bytes) -> bytes:
    return next((value.strip() for key, value in upgrade.headers if key == name), b"")


def _decoded(headers: Iterable[tuple[bytes, bytes]]) -> list[tuple[str, str]]:
    return [(name.decode("latin-1"), value.decode("latin-1")) for name, value in headers]


def _head(status: int, headers: Iterable[tuple[str, str]]) -> bytes:
    lines = "".join(f"{name}: {value}\r\n" for name, value in headers)
    return STATUS_LINE[status] + lines.encode("latin-1") + b"connection: close\r\n\r\n"


def _parser(listener_factory: Callable[[Any], Any], bytes_max: int) -> WSProtocol:
    """A server side of picows. Its own server makes these too, but only from a socket that it listens on itself."""
    host = path = handshake_timeout = extra_headers = None
    is_client, disconnect_on_exception, auto_ping, auto_pong = False, True, True, False
    return WSProtocol(
        host,
        path,
        is_client,
        listener_factory,
        _picows_log,
        disconnect_on_exception,
        handshake_timeout,
        auto_ping,
        PING_S,
        PING_S,
        WSAutoPingStrategy.PING_WHEN_IDLE,
        auto_pong,
        bytes_max,
        extra_headers,
        READ_BUFFER_BYTES,
    )


def _feed(protocol: WSProtocol, data: bytes) -> None:
    """Hands bytes to picows as if they had just been read."""
    rest = memoryview(data)
    while rest:
        space = protocol.get_buffer(len(rest))
        count = min(len(space), len(rest))
        space[:count] = rest[:count]
        protocol.buffer_updated(count)
        rest = rest[count:]


def _is_utf8(text: bytes) -> bool:
    try:
        text.decode()
    except UnicodeDecodeError:
        return False
    return True


def _may_be_sent(code: int) -> bool:
    """7.4: 1004 to 1006 and 1015 are never on the wire, 2999 and below are the standard's, 5000 and above nobody's."""
    return 3_000 <= code < 5_000 or code in {1_000, 1_001, 1_002, 1_003} or 1_007 <= code <= 1_014
