"""The process: a socket, uvicorn with our protocols, and signals that drain before they stop.

First SIGTERM or SIGINT: no new sessions, running turns come to their end, then everything is closed. Second: now.
"""

import asyncio
import ipaddress
import logging
import resource
import socket
from collections.abc import Awaitable, Callable
from contextlib import suppress
from pathlib import Path
from typing import Any, Final

import uvicorn

from parley.telemetry import note
from parley.transports.http_guard import GuardedHttp
from parley.transports.picows_protocol import PicowsProtocol

KEEP_ALIVE_S: Final = 10
LISTEN_BACKLOG: Final = 2_048
STOP_S: Final = 3
"""What a connection may still take when everything else has ended."""

log = logging.getLogger(__name__)


class Server(uvicorn.Server):
    """Inherits, for uvicorn has no hooks. `drain` is awaited at the first signal, `started` called when it listens."""

    def __init__(
        self,
        app: Any,
        *,
        drain: Callable[[], Awaitable[None]],
        started: Callable[[], None] = lambda: None,
        certificate: Path | None = None,
        key: Path | None = None,
    ) -> None:
        super().__init__(
            uvicorn.Config(
                app,
                http=GuardedHttp,
                ws=PicowsProtocol,
                lifespan="on",
                log_config=None,
                access_log=False,
                proxy_headers=False,
                server_header=False,
                backlog=LISTEN_BACKLOG,
                timeout_keep_alive=KEEP_ALIVE_S,
                timeout_graceful_shutdown=STOP_S,
                ssl_certfile=certificate,
                ssl_keyfile=key,
            )
        )
        self._drain = drain
        self._on_started = started
        self._draining: asyncio.Task[None] | None = None
        self._loop: asyncio.AbstractEventLoop

    async def serve(self, sockets: list[socket.socket] | None = None) -> None:
        self._loop = asyncio.get_running_loop()  # before a signal can come
        await super().serve(sockets)

    async def startup(self, sockets: list[socket.socket] | None = None) -> None:
        await super().startup(sockets)
        self._on_started()

    def handle_exit(self, sig: int, frame: object) -> None:
        """A signal. It may come between any two instructions, so it only leaves a note."""
        self._loop.call_soon_threadsafe(self.stop)

    def stop(self) -> None:
        """What a signal does."""
        if self._draining is None:
            note(log, "draining")
            self._draining = asyncio.create_task(self._drain_and_exit())
        else:
            self._draining.cancel()
            self.should_exit = True

    async def _drain_and_exit(self) -> None:
        await self._drain()
        self.should_exit = True


def is_local(host: str) -> bool:
    """Whether only this machine can reach what listens on `host`."""
    if host == "localhost":
        return True
    try:
        return ipaddress.ip_address(host).is_loopback
    except ValueError:
        return False


def listen(host: str, port: int) -> socket.socket:
    """A bound socket. Raises `OSError`."""
    family, kind, protocol, _, address = socket.getaddrinfo(
        host, port, type=socket.SOCK_STREAM, flags=socket.AI_PASSIVE
    )[0]
    listener = socket.socket(family, kind, protocol)
    try:
        listener.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        if family == socket.AF_INET6:
            listener.setsockopt(socket.IPPROTO_IPV6, socket.IPV6_V6ONLY, 0)
        listener.bind(address)
        listener.listen(LISTEN_BACKLOG)
    except OSError:
        listener.close()
        raise
    listener.setblocking(False)
    return listener


def raise_file_limit() -> None:
    """Every connection is an open file, and the usual limit of 1,024 is a courtesy to old programs."""
    soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    if soft != hard:
        with suppress(ValueError, OSError):  # some systems lie about the hard limit
            resource.setrlimit(resource.RLIMIT_NOFILE, (hard, hard))


def url_of(listener: socket.socket, *, secure: bool) -> str:
    """Where clients on this machine reach it."""
    host, port = listener.getsockname()[:2]
    address = ipaddress.ip_address(host)
    if address.is_unspecified:
        host = "127.0.0.1"
    return f"{'https' if secure else 'http'}://{f'[{host}]' if ':' in host else host}:{port}"
