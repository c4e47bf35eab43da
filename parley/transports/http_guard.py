"""uvicorn's HTTP protocol with the limits that it lacks: nobody may hold a connection by saying little or nothing.

A request has `HEAD_S` to bring its head, of at most `HEAD_BYTES_MAX`, and `REQUEST_S` to arrive whole; what cannot be
read is refused with the envelope of protocol.md 8.1. An upgrade to WebSocket goes to `picows_protocol` as it was
parsed.
"""

import asyncio
from typing import Any, Final

import httptools
from uvicorn.protocols.http.httptools_impl import STATUS_LINE, HttpToolsProtocol

from parley.errors import RequestError
from parley.transports import refusal
from parley.transports.picows_protocol import PicowsProtocol, Upgrade

HEAD_S: Final = 10.0
"""From the connection, or the first byte of a further request, to the end of the head."""
REQUEST_S: Final = 60.0
"""To the end of the body."""
HEAD_BYTES_MAX: Final = 16_384

HEAD_TOO_LARGE: Final = 431
BAD_REQUEST: Final = 400


class GuardedHttp(HttpToolsProtocol):
    """Inherits because uvicorn's protocol classes are made to be; overrides callbacks only."""

    def __init__(self, *args: Any, **kwargs: Any) -> None:
        super().__init__(*args, **kwargs)
        self._clock: asyncio.TimerHandle | None = None
        self._head_bytes = 0
        self._head_open = True

    def connection_made(self, transport: asyncio.Transport) -> None:  # type: ignore[override]
        super().connection_made(transport)
        self._allow(HEAD_S)

    def connection_lost(self, exc: Exception | None) -> None:
        self._stop_clock()
        super().connection_lost(exc)

    def data_received(self, data: bytes) -> None:
        self._unset_keepalive_if_required()
        if self._head_open:
            self._head_bytes += len(data)
        try:
            self.parser.feed_data(data)
        except httptools.HttpParserUpgrade as upgrade:
            self._upgrade(data[upgrade.args[0] :])
        except httptools.HttpParserError:
            self._refuse(BAD_REQUEST, "The request is not valid HTTP.")
        else:
            if self._head_open and self._head_bytes > HEAD_BYTES_MAX:
                self._refuse(HEAD_TOO_LARGE, f"The head of a request may have at most {HEAD_BYTES_MAX} bytes.")

    # ---- what the parser calls

    def on_message_begin(self) -> None:
        if not self._head_open:  # a further request on this connection
            self._head_open, self._head_bytes = True, 0
            self._allow(HEAD_S)
        super().on_message_begin()

    def on_headers_complete(self) -> None:
        self._head_open = False
        if len(self.url) + sum(len(name) + len(value) + 4 for name, value in self.headers) > HEAD_BYTES_MAX:
            raise ValueError("head too large")  # the parser turns it into its own error
        self._allow(REQUEST_S)
        super().on_headers_complete()

    def on_message_complete(self) -> None:
        self._stop_clock()
        super().on_message_complete()

    # ---- limits

    def _allow(self, seconds: float) -> None:
        self._stop_clock()
        self._clock = self.loop.call_later(seconds, self._too_slow)

    def _stop_clock(self) -> None:
        if self._clock is not None:
            self._clock.cancel()
            self._clock = None

    def _too_slow(self) -> None:
        """Nothing is said about it: who sends no request does not read an answer either."""
        self.transport.abort()

    def _refuse(self, status: int, message: str) -> None:
        self._stop_clock()
        error = RequestError("invalid_event", message)
        self._answer(status, refusal.headers(error), refusal.body(error))

    def _answer(self, status: int, headers: dict[str, str], body: bytes) -> None:
        lines = [b"%b: %b\r\n" % (name.encode(), value.encode()) for name, value in headers.items()]
        self.transport.write(
            b"".join(
                (STATUS_LINE[status], *lines, b"content-length: %d\r\nconnection: close\r\n\r\n" % len(body), body)
            )
        )
        self.transport.close()

    def _upgrade(self, tail: bytes) -> None:
        self._stop_clock()
        if not self._should_upgrade():
            self._refuse(BAD_REQUEST, "The only upgrade that is offered here is to WebSocket.")
            return
        self.connections.discard(self)
        protocol = PicowsProtocol(self.config, self.server_state, self.app_state)
        protocol.connection_made(self.transport)
        self.transport.set_protocol(protocol)
        protocol.begin(Upgrade(self.parser.get_method(), self.url, tuple(self.headers), tail))
