"""A Realtime provider that keeps to a script: it answers properly, and commits one fault at one point of an answer."""

import asyncio
import base64
import json
import ssl
import time
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import asynccontextmanager
from http import HTTPStatus
from typing import Any

from websockets.asyncio.server import Server, ServerConnection, serve
from websockets.exceptions import ConnectionClosed
from websockets.http11 import Request, Response

Body = dict[str, Any]
SOUND = base64.b64encode(bytes(4_800)).decode()
"""A tenth of a second."""
DELTAS = 4
EVENTS = 12 + DELTAS
"""Of one answer in GA, `response.created` and `response.done` included."""
USAGE: Body = {
    "total_tokens": 30,
    "input_tokens": 20,
    "output_tokens": 10,
    "input_token_details": {"text_tokens": 5, "audio_tokens": 15, "cached_tokens": 0},
    "output_token_details": {"text_tokens": 2, "audio_tokens": 8},
}
BETA_NAMES = {
    "response.output_audio.delta": "response.audio.delta",
    "response.output_audio.done": "response.audio.done",
    "response.output_audio_transcript.delta": "response.audio_transcript.delta",
    "response.output_audio_transcript.done": "response.audio_transcript.done",
    "conversation.item.added": "conversation.item.created",
}
Fault = Callable[["Visit"], Awaitable[None]]


class Provider:
    """`fault` is committed instead of the event number `at` of each answer, `faults` times."""

    def __init__(
        self,
        *,
        dialect: str = "ga",
        fault: Fault | None = None,
        at: int = 0,
        faults: int = 1,
        status: int | None = None,
        headers: Body | None = None,
        greeting: str | None = None,
        lasts_s: float | None = None,
        usage: Body | None = USAGE,
        delay_s: float = 0.0,
        tls: ssl.SSLContext | None = None,
    ) -> None:
        self.dialect = dialect
        self.fault = fault
        self.at = at
        self.faults = faults
        self.status = status
        self.headers = headers or {}
        self.greeting = greeting
        self.lasts_s = lasts_s
        self.usage = usage
        self.delay_s = delay_s
        self.tls = tls
        self.visits: list[Visit] = []
        self.port = 0
        self._server: Server

    @property
    def url(self) -> str:
        return f"{'wss' if self.tls else 'ws'}://127.0.0.1:{self.port}/v1"

    @asynccontextmanager
    async def serving(self) -> AsyncIterator["Provider"]:
        async with serve(
            self._visit,
            "127.0.0.1",
            0,
            ssl=self.tls,
            process_request=self._admit,
            max_size=None,
            compression=None,
            close_timeout=0.01,
        ) as self._server:
            self.port = next(iter(self._server.sockets)).getsockname()[1]
            yield self

    async def _admit(self, connection: ServerConnection, request: Request) -> Response | None:
        if self.delay_s:
            await asyncio.sleep(self.delay_s)
        if self.status is None:
            return None
        response = connection.respond(HTTPStatus(self.status), '{"error":{"message":"Incorrect API key: sk-up"}}')
        for name, value in self.headers.items():
            response.headers[name] = value
        return response

    async def _visit(self, socket: ServerConnection) -> None:
        visit = Visit(self, socket, len(self.visits))
        self.visits.append(visit)
        try:
            await visit.run()
        except ConnectionClosed:
            pass
        finally:
            visit.over.set()


class Visit:
    """One connection."""

    def __init__(self, provider: Provider, socket: ServerConnection, number: int) -> None:
        self.provider = provider
        self.socket = socket
        self.number = number
        self.heard: list[Body] = []
        self.raw: list[str] = []
        self.sent: list[str] = []
        self.over = asyncio.Event()
        self.model = "mock"
        self.voice = "marin"
        self.n = 0

    async def run(self) -> None:
        if self.provider.greeting is not None:
            await self.socket.send(self.provider.greeting)
        else:
            await self.say("session.created", session=self.session())
        async for raw in self.socket:
            assert isinstance(raw, str)
            self.raw.append(raw)
            body = json.loads(raw)
            self.heard.append(body)
            await self.answer(body)

    def asked(self, kind: str) -> list[Body]:
        return [body for body in self.heard if body["type"] == kind]

    def session(self) -> Body:
        lasts_s = self.provider.lasts_s
        ends: Body = {} if lasts_s is None else {"expires_at": int(time.time() + lasts_s)}
        if self.provider.dialect == "beta":
            flat = {"voice": self.voice, "modalities": ["text", "audio"], "input_audio_format": "pcm16"}
            return {
                "id": "sess_theirs",
                "object": "realtime.session",
                "model": self.model,
                "turn_detection": None,
                **flat,
                **ends,
            }
        audio = {"input": {"turn_detection": None}, "output": {"voice": self.voice}}
        return {
            "type": "realtime",
            "id": "sess_theirs",
            "object": "realtime.session",
            "model": self.model,
            "audio": audio,
            **ends,
        }

    async def answer(self, body: Body) -> None:
        match body["type"]:
            case "session.update":
                session = body["session"]
                self.voice = session.get("voice") or session.get("audio", {}).get("output", {}).get("voice", self.voice)
                await self.say("session.updated", session=self.session())
            case "conversation.item.create":
                await self.item({"id": self.new("item"), "status": "completed", **body["item"]})
            case "conversation.item.delete":
                await self.say("conversation.item.deleted", item_id=body["item_id"])
            case "input_audio_buffer.commit":
                item = {"id": self.new("item"), "type": "message", "role": "user", "status": "completed"}
                await self.say("input_audio_buffer.committed", item_id=item["id"], previous_item_id=None)
                await self.item({**item, "content": [{"type": "input_audio", "transcript": None}]})
            case "response.create":
                await self.respond()

    async def item(self, item: Body) -> None:
        await self.say("conversation.item.added", item=item, previous_item_id=None)
        if self.provider.dialect == "ga":
            await self.say("conversation.item.done", item=item, previous_item_id=None)

    async def respond(self) -> None:
        for number, (kind, fields) in enumerate(self.response()):
            if self.provider.fault is not None and self.provider.faults > 0 and number == self.provider.at:
                self.provider.faults -= 1
                await self.provider.fault(self)
            await self.say(kind, **fields)

    def response(self) -> list[tuple[str, Body]]:
        beta = self.provider.dialect == "beta"
        response, item_id = self.new("resp"), self.new("item")
        where = {"response_id": response, "item_id": item_id, "output_index": 0, "content_index": 0}
        item = {"id": item_id, "object": "realtime.item", "type": "message", "role": "assistant"}
        begun = {**item, "status": "in_progress", "content": []}
        words = "Hello there."
        part = {"type": "audio" if beta else "output_audio", "transcript": words}
        done = {**item, "status": "completed", "content": [part]}
        body = {"id": response, "object": "realtime.response", "conversation_id": "conv_1", "metadata": None}
        events: list[tuple[str, Body]] = [
            ("response.created", {"response": {**body, "status": "in_progress", "output": [], "usage": None}}),
            ("response.output_item.added", {"response_id": response, "output_index": 0, "item": begun}),
            ("conversation.item.added", {"item": begun, "previous_item_id": None}),
            ("response.content_part.added", {**where, "part": {"type": "audio", "transcript": ""}}),
            ("response.output_audio_transcript.delta", {**where, "delta": "Hello "}),
            ("response.output_audio_transcript.delta", {**where, "delta": "there."}),
            *[("response.output_audio.delta", {**where, "delta": SOUND})] * DELTAS,
            ("response.output_audio.done", where),
            ("response.output_audio_transcript.done", {**where, "transcript": words}),
            ("response.content_part.done", {**where, "part": {"type": "audio", "transcript": words}}),
            *([] if beta else [("conversation.item.done", {"item": done, "previous_item_id": None})]),
            ("response.output_item.done", {"response_id": response, "output_index": 0, "item": done}),
            ("response.done", {"response": {**body, "status": "completed", "output": [done], "usage": self.provider.usage}}),
        ]  # fmt: skip
        return events

    async def say(self, kind: str, **fields: Any) -> None:
        name = BETA_NAMES.get(kind, kind) if self.provider.dialect == "beta" else kind
        text = json.dumps({"type": name, "event_id": self.new("event"), **fields}, separators=(",", ":"))
        self.sent.append(text)
        await self.socket.send(text)

    def new(self, kind: str) -> str:
        self.n += 1
        return f"{kind}_{id(self):x}_{self.n}"


# ---- faults


async def cut(visit: Visit) -> None:
    """The connection breaks without a word."""
    visit.socket.transport.abort()
    await visit.socket.wait_closed()
    await visit.say("nobody.hears")


async def stall(visit: Visit) -> None:
    """Nothing more comes, and the connection stays."""
    await visit.socket.wait_closed()
    await visit.say("nobody.hears")


def close(code: int, reason: str = "") -> Fault:
    async def fault(visit: Visit) -> None:
        await visit.socket.close(code, reason)
        await visit.say("nobody.hears")

    return fault


def send(text: str) -> Fault:
    """Something that is no part of the script."""

    async def fault(visit: Visit) -> None:
        await visit.socket.send(text)

    return fault


async def binary(visit: Visit) -> None:
    await visit.socket.send(b"\x00\x01")


async def repeat_done(visit: Visit) -> None:
    """A late `response.done`, of the answer that was given before."""
    last = [text for text in visit.sent if '"response.done"' in text]
    if last:
        await visit.socket.send(last[-1])
