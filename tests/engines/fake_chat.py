"""A Chat Completions server on a loopback socket that answers from a script, faults included."""

import asyncio
import json
from collections.abc import AsyncIterator, Iterable
from contextlib import asynccontextmanager
from typing import Any

HANG = object()
"""In a script: say nothing more, and keep the connection open."""
CUT = object()
"""In a script: close the connection in the middle of the body."""

Step = bytes | object


class FakeChat:
    """Each request takes the next script; the last one stays. `bodies` keeps what was asked."""

    def __init__(self, *scripts: Iterable[Step]) -> None:
        self._scripts = [list(script) for script in scripts]
        self.bodies: list[dict[str, Any]] = []
        self.headers: list[dict[str, str]] = []
        self.connections = 0
        self.hung_up = asyncio.Event()
        self.url = ""

    async def serve(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        self.connections += 1
        try:
            while await self._answer(reader, writer):
                pass
        except (ConnectionError, asyncio.IncompleteReadError):
            self.hung_up.set()
        finally:
            writer.close()

    async def _answer(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> bool:
        head = (await reader.readuntil(b"\r\n\r\n")).decode().split("\r\n")
        headers = {name.lower(): value for name, _, value in (line.partition(": ") for line in head[1:] if line)}
        self.headers.append({"path": head[0].split()[1], **headers})
        self.bodies.append(json.loads(await reader.readexactly(int(headers["content-length"]))))
        script = self._scripts.pop(0) if len(self._scripts) > 1 else self._scripts[0]
        for step in script:
            if step is CUT:
                return False
            if step is HANG:
                await reader.read(1)
                self.hung_up.set()
                return False
            assert isinstance(step, bytes)
            writer.write(step)
            await writer.drain()
        return True


@asynccontextmanager
async def running(*scripts: Iterable[Step]) -> AsyncIterator[FakeChat]:
    """The server, listening; `url` is its base."""
    fake = FakeChat(*scripts)
    server = await asyncio.start_server(fake.serve, "127.0.0.1", 0)
    fake.url = f"http://127.0.0.1:{server.sockets[0].getsockname()[1]}/v1"
    try:
        yield fake
    finally:
        server.close()


def status(code: int, body: str = "", retry: str = "") -> list[Step]:
    """A refusal."""
    return [f"HTTP/1.1 {code} No\r\nContent-Length: {len(body)}\r\n{retry}\r\n{body}".encode()]


def stream(*steps: Step, end: bool = True) -> list[Step]:
    """A streamed answer; `end` closes the body properly."""
    head: Step = b"HTTP/1.1 200 OK\r\nContent-Type: text/event-stream\r\nTransfer-Encoding: chunked\r\n\r\n"
    return [
        head,
        *(framed(step) if isinstance(step, bytes) else step for step in steps),
        *([b"0\r\n\r\n"] if end else []),
    ]


def framed(data: bytes) -> bytes:
    return f"{len(data):x}\r\n".encode() + data + b"\r\n"


def event(delta: dict[str, Any] | None = None, finish: str | None = None, **more: Any) -> bytes:
    """One event with one choice."""
    choice = {"index": 0, "delta": delta or {}, "finish_reason": finish}
    return b"data: " + json.dumps({"id": "c1", "choices": [choice], **more}).encode() + b"\n\n"


def said(*words: str) -> list[bytes]:
    return [event({"content": word}) for word in words]


def called(index: int | None, id: str | None = None, name: str | None = None, arguments: Any = "") -> bytes:
    """A delta of a function call; None leaves a field out."""
    fields = {"index": index, "id": id, "function": {"name": name, "arguments": arguments}}
    return event({"tool_calls": [{key: value for key, value in fields.items() if value is not None}]})


DONE = b"data: [DONE]\n\n"
STOP = event(finish="stop") + DONE
