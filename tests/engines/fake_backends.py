"""A fake of OpenAI's audio endpoints on a loopback port, with faults on request.

    async with FakeBackend() as fake:
        fake.transcript = "hello"
        fake.faults = [Status(429, "rate_limit_exceeded")]   # one a request, oldest first
        ... talk to fake.url ...
        assert fake.requests[0].fields["model"] == "whisper-1"

More endpoints join by `fake.routes["/v1/…"] = handler`; the faults work for them too.
"""

import asyncio
import email
import json
import struct
from collections.abc import Awaitable, Callable
from enum import Enum
from typing import NamedTuple, Self


class Status(NamedTuple):
    """Refuse the request with this status and OpenAI's shape of an error."""

    status: int
    code: str = "some_code"
    message: str = "secret words of the backend"


class Fault(Enum):
    RESET = "close the connection without an answer"
    HANG = "never answer"
    NOT_HTTP = "answer in another protocol"
    BAD_JSON = "answer with JSON that was cut"
    CUT = "close the connection in the middle of the body"
    STALL = "stop in the middle of the body, connection open"


class Request(NamedTuple):
    """One request as it arrived. `body` is the raw body, `fields` and `file` those of a multipart form."""

    path: str
    headers: dict[str, str]
    body: bytes
    fields: dict[str, str]
    file: bytes

    @property
    def json(self) -> dict[str, object]:
        decoded: dict[str, object] = json.loads(self.body)
        return decoded


class Reply:
    """Writes one response. `fault` is what must go wrong inside the body, if anything."""

    def __init__(self, writer: asyncio.StreamWriter, fault: Fault | None) -> None:
        self._writer = writer
        self._fault = fault

    async def whole(self, status: int, body: bytes, content_type: str = "application/json") -> None:
        """A response of known length."""
        if self._fault is Fault.BAD_JSON:
            body = body[: len(body) // 2]
        self._writer.write(
            f"HTTP/1.1 {status} Reason\r\nContent-Type: {content_type}\r\nContent-Length: {len(body)}\r\n\r\n".encode()
        )
        await self._body([body])

    async def stream(self, chunks: list[bytes], content_type: str, pause_s: float = 0.0) -> None:
        """A response in HTTP chunks, `pause_s` before each but the first."""
        self._writer.write(
            f"HTTP/1.1 200 OK\r\nContent-Type: {content_type}\r\nTransfer-Encoding: chunked\r\n\r\n".encode()
        )
        framed = [b"%x\r\n%b\r\n" % (len(chunk), chunk) for chunk in chunks if chunk]
        await self._body([*framed, b"0\r\n\r\n"], pause_s)

    async def _body(self, pieces: list[bytes], pause_s: float = 0.0) -> None:
        for number, piece in enumerate(pieces):
            if number and pause_s:
                await asyncio.sleep(pause_s)
            if number == len(pieces) // 2 and self._fault in (Fault.CUT, Fault.STALL):
                self._writer.write(piece[: len(piece) // 2])
                await self._writer.drain()
                if self._fault is Fault.STALL:
                    await asyncio.Event().wait()
                raise ConnectionAbortedError
            self._writer.write(piece)
            await self._writer.drain()


Handler = Callable[[Request, Reply], Awaitable[None]]


class FakeBackend:
    """One fake server. Set the public fields before or between requests."""

    def __init__(self) -> None:
        self.transcript = "hello there"
        self.speech = struct.pack("<4800h", *(range(-2400, 2400)))
        self.speech_type = "audio/pcm"
        self.speech_chunk_bytes = 1_001
        self.speech_pause_s = 0.0
        self.faults: list[Fault | Status] = []
        self.requests: list[Request] = []
        self.connections = 0
        self.hung_up = asyncio.Event()
        """Set when a client closes its connection."""
        self.routes: dict[str, Handler] = {
            "/v1/audio/transcriptions": self._transcriptions,
            "/v1/audio/speech": self._speech,
        }
        self._serving: set[asyncio.Task[None]] = set()

    @property
    def url(self) -> str:
        host, port = self._server.sockets[0].getsockname()[:2]
        return f"http://{host}:{port}/v1"

    async def __aenter__(self) -> Self:
        self._server = await asyncio.start_server(self._serve, "127.0.0.1", 0)
        return self

    async def __aexit__(self, *_: object) -> None:
        self._server.close()
        for task in self._serving:
            task.cancel()
        await asyncio.gather(*self._serving, return_exceptions=True)
        await self._server.wait_closed()

    async def _transcriptions(self, request: Request, reply: Reply) -> None:
        await reply.whole(200, json.dumps({"text": self.transcript}).encode())

    async def _speech(self, request: Request, reply: Reply) -> None:
        size = self.speech_chunk_bytes
        chunks = [self.speech[at : at + size] for at in range(0, len(self.speech), size)]
        await reply.stream(chunks, self.speech_type, self.speech_pause_s)

    async def _serve(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        task = asyncio.current_task()
        assert task is not None
        self._serving.add(task)
        self.connections += 1
        try:
            while True:
                request = await _read_request(reader)
                self.requests.append(request)
                await self._answer(request, writer, self.faults.pop(0) if self.faults else None)
        except (asyncio.IncompleteReadError, ConnectionError, asyncio.CancelledError):
            pass  # the client left, a fault closed the connection, or the test is over
        finally:
            self._serving.discard(task)
            self.hung_up.set()
            writer.close()

    async def _answer(self, request: Request, writer: asyncio.StreamWriter, fault: Fault | Status | None) -> None:
        match fault:
            case Status(status, code, message):
                error = {"error": {"message": message, "type": "some_type", "code": code}}
                await Reply(writer, None).whole(status, json.dumps(error).encode())
            case Fault.RESET:
                raise ConnectionAbortedError
            case Fault.HANG:
                await asyncio.Event().wait()
            case Fault.NOT_HTTP:
                writer.write(b"SSH-2.0-OpenSSH_9.2\r\n")
                raise ConnectionAbortedError
            case _:
                await self.routes[request.path](request, Reply(writer, fault))


async def _read_request(reader: asyncio.StreamReader) -> Request:
    head = (await reader.readuntil(b"\r\n\r\n")).decode("latin-1")
    first, *lines = head.strip().split("\r\n")
    headers = {name.lower(): value.strip() for name, _, value in (line.partition(":") for line in lines)}
    body = await reader.readexactly(int(headers.get("content-length", "0")))
    fields: dict[str, str] = {}
    file = b""
    if headers.get("content-type", "").startswith("multipart/"):
        fields, file = _form(headers["content-type"], body)
    return Request(first.split()[1], headers, body, fields, file)


def _form(content_type: str, body: bytes) -> tuple[dict[str, str], bytes]:
    """The fields and the one file of a multipart form, read by the standard library (so not by our own idea of one)."""
    message = email.message_from_bytes(b"Content-Type: " + content_type.encode() + b"\r\n\r\n" + body)
    fields: dict[str, str] = {}
    file = b""
    for part in message.walk():
        payload = part.get_payload(decode=True)
        if part.is_multipart() or not isinstance(payload, bytes):
            continue
        if part.get_filename() is None:
            fields[str(part.get_param("name", header="content-disposition"))] = payload.decode()
        else:
            file = payload
    return fields, file
