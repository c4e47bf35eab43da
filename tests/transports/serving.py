"""A real server in a thread of its own, and a client that can break every rule of RFC 6455."""

import asyncio
import os
import socket
import struct
import threading
from base64 import b64encode
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any, NamedTuple, Self

import uvloop

from parley.server import Server, listen

TEXT, BINARY, CONTINUATION, CLOSE, PING, PONG = 1, 2, 0, 8, 9, 10
CLIENT_TIMEOUT_S = 10.0


@contextmanager
def serving(app: Any) -> Iterator[int]:
    """Serves `app` on a free port, which is given."""
    with listen("127.0.0.1", 0) as listener:
        started = threading.Event()
        server = Server(app, drain=lambda: asyncio.sleep(0), started=started.set)
        thread = threading.Thread(target=lambda: uvloop.run(server.serve([listener])), daemon=True)
        thread.start()
        assert started.wait(10)
        yield listener.getsockname()[1]
        server.should_exit = True
        thread.join(10)
        assert not thread.is_alive()


class Frame(NamedTuple):
    opcode: int
    payload: bytes
    fin: bool = True

    @property
    def code(self) -> int | None:
        """The close code of a close frame."""
        return struct.unpack("!H", self.payload[:2])[0] if self.payload else None


def frame(
    opcode: int, payload: bytes = b"", *, fin: bool = True, masked: bool = True, rsv: int = 0, size: int | None = None
) -> bytes:
    """The bytes of a frame; `size` lies about the length."""
    length = len(payload) if size is None else size
    head = bytes([fin << 7 | rsv << 4 | opcode])
    if length < 126:
        head += bytes([masked << 7 | length])
    elif length < 65_536:
        head += bytes([masked << 7 | 126]) + struct.pack("!H", length)
    else:
        head += bytes([masked << 7 | 127]) + struct.pack("!Q", length)
    if not masked:
        return head + payload
    mask = os.urandom(4)
    key = (mask * (len(payload) // 4 + 1))[: len(payload)]
    return head + mask + (int.from_bytes(payload) ^ int.from_bytes(key)).to_bytes(len(payload))


class RawClient:
    """A TCP connection. `upgrade` makes it a WebSocket; nothing is answered by itself."""

    def __init__(self, port: int, window_bytes: int | None = None) -> None:
        """`window_bytes` is what the kernel may keep for a client that does not read."""
        self.socket = socket.socket()
        if window_bytes is not None:
            self.socket.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, window_bytes)
        self.socket.settimeout(CLIENT_TIMEOUT_S)
        self.socket.connect(("127.0.0.1", port))
        self._buffer = b""

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *exc: object) -> None:
        self.socket.close()

    def send(self, *data: bytes) -> None:
        self.socket.sendall(b"".join(data))

    def upgrade(self, path: str = "/", tail: bytes = b"", **headers: str) -> bytes:
        """Asks for an upgrade and returns the head of the answer. A header set to "" is left out."""
        fields = {
            "Host": "127.0.0.1",
            "Connection": "Upgrade",
            "Upgrade": "websocket",
            "Sec-WebSocket-Version": "13",
            "Sec-WebSocket-Key": b64encode(os.urandom(16)).decode(),
        } | {name.replace("_", "-"): value for name, value in headers.items()}
        lines = "".join(f"{name}: {value}\r\n" for name, value in fields.items() if value)
        self.send(f"GET {path} HTTP/1.1\r\n{lines}\r\n".encode(), tail)
        return self.head()

    def head(self) -> bytes:
        while b"\r\n\r\n" not in self._buffer:
            self._more()
        head, _, self._buffer = self._buffer.partition(b"\r\n\r\n")
        return head

    def rest(self) -> bytes:
        """Everything until the server closes."""
        try:
            while data := self.socket.recv(65_536):
                self._buffer += data
        except ConnectionResetError:
            pass
        return self._buffer

    def frame(self) -> Frame:
        """The next frame from the server."""
        head = self._take(2)
        assert not head[0] & 0x70
        assert not head[1] & 0x80
        length = head[1] & 0x7F
        if length == 126:
            length = struct.unpack("!H", self._take(2))[0]
        elif length == 127:
            length = struct.unpack("!Q", self._take(8))[0]
        return Frame(head[0] & 0x0F, self._take(length), bool(head[0] & 0x80))

    def is_closed(self) -> bool:
        """Whether the server closes the connection, within the timeout of the socket."""
        try:
            return not self.socket.recv(1)
        except ConnectionResetError:
            return True

    def _take(self, size: int) -> bytes:
        while len(self._buffer) < size:
            self._more()
        taken, self._buffer = self._buffer[:size], self._buffer[size:]
        return taken

    def _more(self) -> None:
        data = self.socket.recv(65_536)
        if not data:
            raise ConnectionError(f"closed after {self._buffer!r}")
        self._buffer += data
