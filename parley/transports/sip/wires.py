"""Sockets of SIP: UDP, TCP and TLS. Bytes of one message in, bytes of one message out; knows nothing of what they say.

A connection of somebody who cannot be known is closed before a byte is read, one that sends no SIP at its first error.
"""

import asyncio
import logging
import re
import socket
import ssl
from contextlib import suppress
from typing import Any, Final, Protocol, cast

from parley.telemetry import note
from parley.transports.sip.message import HEAD_BYTES_MAX, MESSAGE_BYTES_MAX

CONNECTIONS_MAX: Final = 512
CONNECTIONS_OF_HOST_MAX: Final = 32
IDLE_S: Final = 7_200.0
"""A connection on which nothing comes for so long is closed. No call is that long without a word about it."""
CONNECT_S: Final = 5.0
UNSENT_BYTES_MAX: Final = 1 << 20
"""With so much waiting the peer reads nothing, and the connection is closed."""
BUFFER_BYTES: Final = 1 << 20
"""Of the UDP socket."""
TRIES: Final = 8
"""Free UDP ports that are tried until one is free for TCP as well."""
PING: Final = b"\r\n\r\n"
PONG: Final = b"\r\n"
"""RFC 5626 3.5.1."""

_LENGTH = re.compile(rb"(?im)^(?:content-length|l)[ \t]*:[ \t]*([0-9]{1,9})[ \t]*\r?$")

log = logging.getLogger(__name__)


class Unreadable(Exception):
    """The stream is not one of SIP messages."""


class Framer:
    """A stream of bytes becomes messages (RFC 3261 18.3)."""

    def __init__(self) -> None:
        self._buffer = bytearray()
        self.pings = 0
        """Pings that nobody has answered."""

    def feed(self, data: bytes) -> list[bytes]:
        """The messages that are complete. Raises `Unreadable`."""
        self._buffer += data
        messages = []
        while (message := self._next()) is not None:
            messages.append(message)
        return messages

    def _next(self) -> bytes | None:
        while self._buffer.startswith(PONG):
            self.pings += self._buffer.startswith(PING)
            del self._buffer[: 4 if self._buffer.startswith(PING) else 2]
        end = self._buffer.find(b"\r\n\r\n", 0, HEAD_BYTES_MAX)
        if end < 0:
            if len(self._buffer) >= HEAD_BYTES_MAX:
                raise Unreadable("the headers are too long")
            return None
        found = _LENGTH.findall(bytes(self._buffer[:end]))
        if len(found) != 1:
            raise Unreadable("there is not one Content-Length")
        whole = end + 4 + int(found[0])
        if whole > MESSAGE_BYTES_MAX:
            raise Unreadable("the message is too long")
        if len(self._buffer) < whole:
            return None
        message = bytes(self._buffer[:whole])
        del self._buffer[:whole]
        return message


class Flow(Protocol):
    """A way to somebody, and back (RFC 5626)."""

    transport: str
    """`udp`, `tcp` or `tls`."""
    host: str
    port: int
    """Where they are."""
    local_port: int

    @property
    def reliable(self) -> bool: ...

    def send(self, data: bytes) -> None:
        """What cannot be sent is lost without a word."""
        ...


class Receiver(Protocol):
    """Who is told of messages. Calls come on the event loop."""

    def welcomes(self, host: str, transport: str) -> bool:
        """Whether anybody at this address could be somebody."""
        ...

    def received(self, data: bytes, flow: Flow) -> None: ...


class UdpFlow:
    transport = "udp"
    reliable = False

    def __init__(self, wire: asyncio.DatagramTransport, host: str, port: int, local_port: int) -> None:
        self.host = host
        self.port = port
        self.local_port = local_port
        self._wire = wire

    def at(self, port: int) -> "UdpFlow":
        """To another port of the same host."""
        return UdpFlow(self._wire, self.host, port, self.local_port)

    def send(self, data: bytes) -> None:
        if not self._wire.is_closing():
            self._wire.sendto(data, (self.host, self.port))


class _Udp(asyncio.DatagramProtocol):
    def __init__(self, receiver: Receiver) -> None:
        self.wire: asyncio.DatagramTransport
        self.port = 0
        self._receiver = receiver

    def connection_made(self, transport: asyncio.DatagramTransport) -> None:  # type: ignore[override]
        self.wire = transport
        self.port = transport.get_extra_info("sockname")[1]
        own = transport.get_extra_info("socket")
        with suppress(OSError):
            own.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, BUFFER_BYTES)

    def datagram_received(self, data: bytes, addr: tuple[Any, ...]) -> None:
        host, port = addr[0], addr[1]
        if data.strip() and self._receiver.welcomes(host, "udp"):
            self._receiver.received(data, UdpFlow(self.wire, host, port, self.port))

    def error_received(self, exc: Exception) -> None:
        """Somebody's host complains. Silence tells the same."""


class StreamFlow(asyncio.Protocol):
    """One connection."""

    reliable = True

    def __init__(self, wires: "Wires", transport: str, *, ours: bool) -> None:
        self.transport = transport
        self.host = ""
        self.port = 0
        self.local_port = 0
        self._wires = wires
        self._ours = ours
        self._framer = Framer()
        self._wire: asyncio.Transport | None = None
        self._idle: asyncio.TimerHandle | None = None

    def send(self, data: bytes) -> None:
        wire = self._wire
        if wire is None or wire.is_closing():
            return
        wire.write(data)
        if wire.get_write_buffer_size() > UNSENT_BYTES_MAX:
            wire.abort()

    def close(self) -> None:
        if self._wire is not None:
            self._wire.close()

    @property
    def open(self) -> bool:
        return self._wire is not None and not self._wire.is_closing()

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        peer, own = transport.get_extra_info("peername"), transport.get_extra_info("sockname")
        self.host, self.port, self.local_port = peer[0], peer[1], own[1]
        self._wire = cast(asyncio.Transport, transport)  # uvloop's is one by its methods, not by its class
        if not self._wires.takes(self, ours=self._ours):
            self._wire.abort()
            return
        self._watch()

    def data_received(self, data: bytes) -> None:
        self._watch()
        try:
            messages = self._framer.feed(data)
        except Unreadable as error:
            note(log, "sip connection unreadable", transport=self.transport, reason=str(error))
            self.close()
            return
        for _ in range(self._framer.pings):
            self.send(PONG)
        self._framer.pings = 0
        for message in messages:
            self._wires.receiver.received(message, self)

    def connection_lost(self, exc: Exception | None) -> None:
        if self._idle is not None:
            self._idle.cancel()
        self._wires.lost(self)

    def _watch(self) -> None:
        if self._idle is not None:
            self._idle.cancel()
        self._idle = asyncio.get_running_loop().call_later(IDLE_S, self.close)


class Wires:
    """All sockets of SIP. Belongs to one event loop."""

    def __init__(self, receiver: Receiver) -> None:
        self.receiver = receiver
        self._udp: _Udp | None = None
        self._servers: list[asyncio.Server] = []
        self._connections: set[StreamFlow] = set()

    async def listen(self, host: str, port: int, tls: ssl.SSLContext | None, tls_port: int) -> dict[str, int]:
        """Opens UDP and TCP on one port, and TLS where there is a certificate. Returns the ports; 0 takes a free one.

        Raises `OSError`.
        """
        loop = asyncio.get_running_loop()
        for attempt in range(1 if port else TRIES):
            _, self._udp = await loop.create_datagram_endpoint(lambda: _Udp(self.receiver), local_addr=(host, port))
            ports = {"udp": self._udp.port}
            try:
                ports["tcp"] = await self._serve("tcp", host, ports["udp"], None)
                break
            except OSError:
                self._udp.wire.close()
                if port or attempt == TRIES - 1:
                    raise
        if tls is not None:
            ports["tls"] = await self._serve("tls", host, tls_port, tls)
        return ports

    async def _serve(self, transport: str, host: str, port: int, tls: ssl.SSLContext | None) -> int:
        loop = asyncio.get_running_loop()
        server = await loop.create_server(lambda: StreamFlow(self, transport, ours=False), host, port, ssl=tls)
        self._servers.append(server)
        opened: int = server.sockets[0].getsockname()[1]
        return opened

    async def connect(self, transport: str, host: str, port: int, name: str) -> Flow:
        """A way to a server. `name` is what its certificate must say. Raises `OSError`, `TimeoutError`."""
        if transport == "udp":
            if self._udp is None:
                raise OSError("no UDP socket is open")
            return UdpFlow(self._udp.wire, host, port, self._udp.port)
        for flow in self._connections:
            if (flow.transport, flow.host, flow.port) == (transport, host, port) and flow.open:
                return flow
        context = ssl.create_default_context() if transport == "tls" else None
        async with asyncio.timeout(CONNECT_S):
            _, made = await asyncio.get_running_loop().create_connection(
                lambda: StreamFlow(self, transport, ours=True),
                host,
                port,
                ssl=context,
                server_hostname=name if context else None,
            )
        return made

    def takes(self, flow: StreamFlow, *, ours: bool) -> bool:
        """Whether a new connection may stay."""
        same = sum(1 for each in self._connections if each.host == flow.host)
        room = len(self._connections) < CONNECTIONS_MAX and same < CONNECTIONS_OF_HOST_MAX
        if not ours and not (room and self.receiver.welcomes(flow.host, flow.transport)):
            return False
        self._connections.add(flow)
        return True

    def lost(self, flow: StreamFlow) -> None:
        self._connections.discard(flow)

    def close(self) -> None:
        if self._udp is not None:
            self._udp.wire.close()
        for server in self._servers:
            server.close()
        for flow in tuple(self._connections):
            flow.close()


def local_address(peer: str) -> str:
    """The address of this machine from which `peer` is reached. Sends nothing."""
    family = socket.AF_INET6 if ":" in peer else socket.AF_INET
    with socket.socket(family, socket.SOCK_DGRAM) as probe:
        try:
            probe.connect((peer, 9))
        except OSError:
            return "::1" if family == socket.AF_INET6 else "127.0.0.1"
        host: str = probe.getsockname()[0]
        return host
