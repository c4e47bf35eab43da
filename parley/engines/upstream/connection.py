"""The connection to an upstream: a WebSocket of which one end is a session that is answered there.

    leg, created = await connect(upstream, "gpt-realtime", session="sess_1", timeout_s=5.0)
    leg.receive(receiver)           # from now on events come
    leg.send(raw)

Whatever goes wrong is told in our own words, with a code of `parley.errors.ERRORS`: what an upstream says about a
refusal may quote the key. Redirects are not followed: nobody but the operator says where a session goes.
"""

import asyncio
import ssl
import time
from collections.abc import Mapping
from typing import Any, Final, Protocol

from picows import (
    WSAutoPingStrategy,
    WSError,
    WSFrame,
    WSHandshakeError,
    WSListener,
    WSMsgType,
    WSTransport,
    ws_connect,
)

from parley.core.relayed import Body
from parley.dialects.relay import SPELLINGS, Spelling
from parley.engines.upstream.table import Upstream
from parley.errors import EngineError

MESSAGE_BYTES_MAX: Final = 24 * 2**20
PING_S: Final = 20.0
"""After so much silence the upstream is asked whether it is there, and it has half of it to answer."""
OUTBOX_HIGH_BYTES: Final = 256 * 1024
OUTBOX_LOW_BYTES: Final = 64 * 1024
"""Above the first a leg is congested, and its clients wait, until it is below the second."""
OUTBOX_BYTES_MAX: Final = 48 * 2**20
"""A leg with more than this waiting is lost: two events of the largest size."""
OUTBOX_STALL_S: Final = 10.0
"""So is one that is congested for so long."""
EARLY_EVENTS_MAX: Final = 64
"""Events that came with the first one and wait for `receive`."""
EXPIRED_WORDS: Final = ("maximum duration", "session_expired")
"""How upstreams say in a close frame that a session's time is over (protocol.md 8.3)."""

_TEXT, _BINARY, _CONTINUATION = WSMsgType.TEXT, WSMsgType.BINARY, WSMsgType.CONTINUATION
_CLOSE = WSMsgType.CLOSE


class UpstreamError(EngineError):
    """An upstream refused, or failed. `pause_s`: how long it asks to be left alone."""

    def __init__(self, code: str, message: str, pause_s: float | None = None) -> None:
        super().__init__(code, message, retryable=code != "backend_refused")
        self.pause_s = pause_s


class Receiver(Protocol):
    """What a session does with a leg. Calls come on the event loop, none after `on_lost`."""

    def on_upstream(self, leg: "Leg", raw: bytes) -> None:
        """An event, valid UTF-8."""
        ...

    def on_congestion(self, leg: "Leg") -> None:
        """`leg.congested` has changed."""
        ...

    def on_lost(self, leg: "Leg", code: str, message: str) -> None:
        """The connection is over, and not because we closed it. Called at most once."""
        ...


class Leg(WSListener):
    """One open connection. Made by `connect`; picows calls the `on_ws_…` methods."""

    def __init__(self, upstream: Upstream) -> None:
        self.upstream = upstream.name
        self.spelling: Spelling = SPELLINGS[upstream.spelling]
        self.congested = False
        self.over = True
        """Whether the connection is not there: not yet, or no more."""
        self.greeted = False
        """Whether it has begun with a session."""
        self.first: asyncio.Future[bytes] = asyncio.get_running_loop().create_future()
        """The first event. Fails with `UpstreamError` when none comes."""
        self._receiver: Receiver | None = None
        self._early: list[bytes] = []
        self._transport: WSTransport
        self._tcp: asyncio.Transport
        self._fragments: bytearray | None = None
        self._stall: asyncio.TimerHandle | None = None
        self._failure: tuple[str, str] | None = None

    # ---- the session's side

    def receive(self, receiver: Receiver) -> None:
        """From now on events come, to `receiver`. Call it once."""
        self._receiver = receiver
        early, self._early = self._early, []
        for raw in early:
            receiver.on_upstream(self, raw)
        if self._failure is not None:
            receiver.on_lost(self, *self._failure)
        elif not self.over:
            self.resume()

    def send(self, raw: bytes) -> None:
        """Sends an event in the upstream's spelling. Never waits, never fails."""
        if self.over:
            return
        self._transport.send(_TEXT, raw)
        if self.congested and self._tcp.get_write_buffer_size() > OUTBOX_BYTES_MAX:
            self._fail("backend_timeout", "The upstream takes less than it is sent.")

    def ask(self, body: Body) -> None:
        """Sends an event in GA spelling, in the upstream's."""
        self.send(self.spelling.write_client(body))

    def pause(self) -> None:
        """Nothing more is read, until `resume`."""
        if not self.over:
            self._tcp.pause_reading()

    def resume(self) -> None:
        if not self.over:
            self._tcp.resume_reading()

    def close(self) -> None:
        """Ends the connection. Nothing is told any more."""
        if not self.over:
            self._end()
            self._transport.send_close()
            self._transport.disconnect(graceful=not self.congested)

    def give_up(self, _: object) -> None:
        """Nobody waits for it any more. picows cannot be stopped before its handshake is over, or has failed."""
        self.close()
        if not self.first.cancel():
            self.first.exception()

    # ---- picows' side

    def on_ws_connected(self, transport: WSTransport) -> None:
        self._transport, self._tcp, self.over = transport, transport.underlying_transport, False
        self._tcp.set_write_buffer_limits(OUTBOX_HIGH_BYTES, OUTBOX_LOW_BYTES)

    def on_ws_frame(self, transport: WSTransport, frame: WSFrame) -> None:
        kind = frame.msg_type
        if kind is _TEXT and frame.fin and self._fragments is None:
            raw = frame.get_payload_as_bytes()
            if self._receiver is not None and not self.over and raw.isascii():  # nearly always
                self._receiver.on_upstream(self, raw)
            else:
                self._on_text(raw)
        elif kind is _CLOSE:
            code = int.from_bytes(frame.get_payload_as_bytes()[:2]) if frame.payload_size else 0
            self._fail(*_closed(code, frame.get_close_reason() or ""))
        elif kind is _BINARY:
            self._fail("backend_protocol_error", "The upstream sent a binary message.")
        elif kind in (_TEXT, _CONTINUATION):
            self._on_fragment(frame)

    def on_ws_disconnected(self, transport: WSTransport) -> None:
        self._fail("backend_unavailable", "The connection to the upstream broke.")

    def pause_writing(self) -> None:
        self.congested = True
        self._stall = asyncio.get_running_loop().call_later(OUTBOX_STALL_S, self._on_stall)
        self._tell_congestion()

    def resume_writing(self) -> None:
        self.congested = False
        if self._stall is not None:
            self._stall.cancel()
        self._tell_congestion()

    # ---- inside

    def _on_text(self, raw: bytes) -> None:
        if self.over:
            return
        if not (raw.isascii() or _is_utf8(raw)):
            self._fail("backend_protocol_error", "The upstream sent text that is not UTF-8.")
        elif self._receiver is not None:
            self._receiver.on_upstream(self, raw)
        elif not self.first.done():
            self.first.set_result(raw)
            self.pause()
        elif len(self._early) < EARLY_EVENTS_MAX:
            self._early.append(raw)
        else:
            self._fail("backend_protocol_error", "The upstream said too much before it was asked anything.")

    def _on_fragment(self, frame: WSFrame) -> None:
        """RFC 6455, 5.4."""
        if (frame.msg_type == _CONTINUATION) is (self._fragments is None):
            self._fail("backend_protocol_error", "The upstream sent fragments out of order.")
            return
        self._fragments = self._fragments or bytearray()
        self._fragments += frame.get_payload_as_memoryview()
        if len(self._fragments) > MESSAGE_BYTES_MAX:
            self._fail("backend_protocol_error", "The upstream sent an event that is too large.")
        elif frame.fin:
            raw, self._fragments = bytes(self._fragments), None
            self._on_text(raw)

    def _on_stall(self) -> None:
        self._fail("backend_timeout", "The upstream takes less than it is sent.")

    def _tell_congestion(self) -> None:
        if self._receiver is not None and not self.over:
            self._receiver.on_congestion(self)

    def _fail(self, code: str, message: str) -> None:
        if self.over:
            return
        self._end()
        self._transport.disconnect(graceful=False)
        if self._receiver is not None:
            self._receiver.on_lost(self, code, message)
        elif self.first.done():
            self._failure = (code, message)
        else:
            self.first.set_exception(UpstreamError(code, message))

    def _end(self) -> None:
        self.over = True
        self._fragments = None
        if self._stall is not None:
            self._stall.cancel()


class Created:
    """What an upstream said first, and how long the session will last there (None: it does not say)."""

    def __init__(self, body: Body, raw: bytes, lasts_s: float | None) -> None:
        self.body = body
        self.raw = raw
        self.lasts_s = lasts_s


async def connect(
    upstream: Upstream,
    model: str,
    *,
    session: str,
    timeout_s: float,
    transcribes: bool = False,
    tls: ssl.SSLContext | None = None,
) -> tuple[Leg, Created]:
    """An open session at `upstream`. It is not read on before `Leg.receive`. Raises `UpstreamError`."""
    leg = Leg(upstream)
    dialling = asyncio.create_task(
        ws_connect(
            lambda: leg,
            upstream.address(model, session, transcribes=transcribes),
            ssl_context=tls,
            websocket_handshake_timeout=timeout_s,
            enable_auto_ping=True,
            auto_ping_idle_timeout=PING_S,
            auto_ping_reply_timeout=PING_S / 2,
            auto_ping_strategy=WSAutoPingStrategy.PING_WHEN_IDLE,
            max_frame_size=MESSAGE_BYTES_MAX,
            extra_headers=upstream.headers,
            max_redirects=0,
        )
    )
    try:
        async with asyncio.timeout(timeout_s):
            await asyncio.shield(dialling)
            return leg, _greeted(upstream, leg, await leg.first)
    except (WSError, TimeoutError, OSError) as error:
        raise _refused(error) from None  # the original carries the request, with its key
    finally:
        if not leg.greeted:
            dialling.add_done_callback(lambda task: leg.give_up(task.cancelled() or task.exception()))


def _greeted(upstream: Upstream, leg: Leg, raw: bytes) -> Created:
    """Raises `UpstreamError`."""
    try:
        body = leg.spelling.read_server(raw)[0]
    except ValueError:
        raise UpstreamError("backend_protocol_error", "The upstream did not begin with an event.") from None
    if body["type"] == "error":
        raise _refused_by_event(body)
    if body["type"] not in upstream.row.greetings:
        raise UpstreamError("backend_protocol_error", "The upstream did not begin with a session.")
    leg.greeted = True
    session = body.get("session")
    return Created(body, raw, _lasts(session if isinstance(session, dict) else {}, upstream.row.session_s))


def _lasts(session: Mapping[str, Any], known_s: float | None) -> float | None:
    expires_at = session.get("expires_at")
    left_s = expires_at - time.time() if isinstance(expires_at, int) else 0.0
    return left_s if left_s > 0 else known_s


# ---- what went wrong


def _refused(error: WSError | TimeoutError | OSError) -> UpstreamError:
    if isinstance(error, TimeoutError):
        return UpstreamError("backend_timeout", "The upstream did not answer in time.")
    if not isinstance(error, WSHandshakeError) or error.response is None:
        return UpstreamError("backend_unavailable", "The upstream could not be reached.")
    status = int(error.response.status)
    if status == 429:
        return UpstreamError("backend_rate_limited", _said_status(status), _pause(error.response.headers))
    if status >= 500:
        return UpstreamError("backend_unavailable", _said_status(status), _pause(error.response.headers))
    return UpstreamError("backend_refused", _said_status(status))


def _said_status(status: int) -> str:
    return f"The upstream refused the connection with status {status}."


def _pause(headers: Mapping[str, str]) -> float | None:
    told = headers.get("Retry-After", "")
    return float(told) if told.isdigit() else None


def _refused_by_event(body: Body) -> UpstreamError:
    error = body.get("error")
    error = error if isinstance(error, dict) else {}
    if error.get("code") == "rate_limit_exceeded":
        return UpstreamError("backend_rate_limited", "The upstream is at its rate limit.")
    if error.get("type") == "server_error":
        return UpstreamError("backend_unavailable", "The upstream could not begin a session.")
    return UpstreamError("backend_refused", "The upstream refused the session.")


def _closed(code: int, reason: str) -> tuple[str, str]:
    """Close codes in our words (RFC 6455 7.4, protocol.md 8.4)."""
    if any(words in reason for words in EXPIRED_WORDS):
        return "session_expired", "The session's time at the upstream is over."
    if code in (1008, 3000) or 4000 <= code < 5000:
        return "backend_refused", f"The upstream ended the session with close code {code}."
    if code == 1013:
        return "backend_rate_limited", "The upstream has no room for the session."
    return "backend_unavailable", f"The upstream closed the connection with code {code or 'none'}."


def _is_utf8(text: bytes) -> bool:
    try:
        text.decode()
    except UnicodeDecodeError:
        return False
    return True
