"""A conversation with the server through the official SDK, in which every event is judged when it comes.

    async with talking(server) as client:
        await client.update(output_modalities=["text"])
        done = await client.ask("What is two plus two?")

`Client.sdk` is the SDK's own connection: send by its methods. What comes is read by the SDK, and kept as it stood on the
wire. Leaving the block asserts that the oracle and `order.disorder` found nothing. The old SDK's beta connection works
the same with `BETA`; nothing of the server is imported here, so that its Python can run this file.
"""

from __future__ import annotations

import asyncio
import base64
import json
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from typing import TYPE_CHECKING, Any, NamedTuple

from openai import AsyncOpenAI
from websockets.exceptions import ConnectionClosed

from tests.oracle import check_beta, check_ga
from tests.sdk.order import Event, disorder, ga_names

if TYPE_CHECKING:
    from tests.conftest import Server

PATIENCE_S = 40.0
"""For one event. Only a broken server takes that long, or a machine that does something else."""
CHUNK_MS = 20
QUIET_MS = 900
"""Silence that is sent after speech, so that a turn can end."""
BYTES_PER_MS = {"audio/pcm": 48, "audio/pcmu": 8, "audio/pcma": 8}
SILENCE = {"audio/pcm": b"\x00", "audio/pcmu": b"\xff", "audio/pcma": b"\xd5"}


class Spelling(NamedTuple):
    """What differs between the dialects, for a client."""

    check: Callable[[Event], list[str]]
    session: Event
    """What every `session.update` carries."""
    item: str
    """The last event about an item that the client created."""
    audio: str


GA = Spelling(check_ga, {"type": "realtime"}, "conversation.item.done", "response.output_audio.delta")
BETA = Spelling(check_beta, {}, "conversation.item.created", "response.audio.delta")


class Unexpected(AssertionError):
    """What came is not what was waited for."""


class Client:
    def __init__(self, sdk: Any, spelling: Spelling = GA) -> None:
        self.sdk = sdk
        self.events: list[Event] = []
        """Everything that came, in order, as it stood on the wire."""
        self.findings: list[str] = []
        self.closed: ConnectionClosed | None = None
        """How the connection ended; None while it is open."""
        self._spelling = spelling
        self._at = 0
        self._news = asyncio.Event()
        self._listening = asyncio.create_task(self._listen())

    # ---- reading

    async def until(self, kind: str, patience_s: float = PATIENCE_S, **fields: Any) -> Event:
        """The next event of this type (and with these fields) that was not passed yet. Errors are never passed over."""
        try:
            async with asyncio.timeout(patience_s):
                return await self._until(kind, fields)
        except TimeoutError:
            raise Unexpected(f"{kind} {fields or ''} did not come in {patience_s} s; came: {self.kinds()}") from None

    async def _until(self, kind: str, fields: dict[str, Any]) -> Event:
        while True:
            while self._at < len(self.events):
                event = self.events[self._at]
                self._at += 1
                if event["type"] == kind and fields.items() <= event.items():
                    return event
                if event["type"] == "error":
                    raise Unexpected(f"an error while waiting for {kind}: {event['error']}")
            if self.closed is not None:
                raise Unexpected(f"closed ({self.closed}) while waiting for {kind}; came: {self.kinds()}")
            self._news.clear()
            await self._news.wait()

    async def error(self, code: str, event_id: str | None = None) -> Event:
        """The next event is this error (others may come before it)."""
        error: Event = (await self.until("error"))["error"]
        assert (error["code"], error["event_id"]) == (code, event_id), error
        return error

    async def over(self) -> ConnectionClosed:
        """How the server ended it."""
        await asyncio.wait_for(asyncio.shield(self._listening), PATIENCE_S)
        assert self.closed is not None
        return self.closed

    async def settle(self) -> None:
        """Everything that was sent has been answered: the answer to a question asked now is here."""
        await self.sdk.conversation.item.retrieve(item_id="no-such-item", event_id="settle")
        await self.error("item_retrieve_invalid_item_id", "settle")

    def kinds(self) -> list[str]:
        return [event["type"] for event in self.events]

    def of(self, kind: str, **fields: Any) -> list[Event]:
        return [event for event in self.events if event["type"] == kind and fields.items() <= event.items()]

    def audio(self, response_id: str) -> bytes:
        """The sound of a response, in its wire format."""
        return b"".join(
            base64.b64decode(event["delta"], validate=True)
            for event in self.of(self._spelling.audio, response_id=response_id)
        )

    # ---- saying

    async def update(self, **session: Any) -> Event:
        """`session.update`, and the session that came of it."""
        await self.sdk.session.update(session={**self._spelling.session, **session})
        effective: Event = (await self.until("session.updated"))["session"]
        return effective

    async def write(self, text: str, **more: Any) -> Event:
        """A user message of text. Returns it as the server has it."""
        content = [{"type": "input_text", "text": text}]
        await self.sdk.conversation.item.create(item={"type": "message", "role": "user", "content": content}, **more)
        item: Event = (await self.until(self._spelling.item))["item"]
        return item

    async def ask(self, text: str, **response: Any) -> Event:
        """A user message of text and the response to it, done."""
        await self.write(text)
        return await self.respond(**response)

    async def respond(self, **options: Any) -> Event:
        """`response.create`, and the response at its end."""
        await self.sdk.response.create(**({"response": options} if options else {}))
        return await self.done()

    async def done(self) -> Event:
        """The next response that ends."""
        response: Event = (await self.until("response.done"))["response"]
        return response

    async def stream(self, sound: bytes, wire: str = "audio/pcm", times: float = 8.0) -> None:
        """Speech in pieces of 20 ms, `times` faster than it was spoken."""
        size = CHUNK_MS * BYTES_PER_MS[wire]
        clock = asyncio.get_running_loop()
        begun = clock.time()
        for number, at in enumerate(range(0, len(sound), size), 1):
            await self.sdk.input_audio_buffer.append(audio=base64.b64encode(sound[at : at + size]).decode())
            if (ahead := begun + number * CHUNK_MS / 1000 / times - clock.time()) > 0:
                await asyncio.sleep(ahead)

    async def speak(self, sound: bytes, wire: str = "audio/pcm", times: float = 8.0) -> None:
        """A spoken turn: the speech, and the silence after it."""
        await self.stream(sound + silence(QUIET_MS, wire), wire, times)

    # ---- inside

    async def _listen(self) -> None:
        try:
            while True:
                raw = await self.sdk.recv_bytes()
                self.sdk.parse_event(raw)
                event: Event = json.loads(raw)
                self.findings += [f"{event['type']}: {finding}" for finding in self._spelling.check(event)]
                self.events.append(event)
                self._news.set()
        except ConnectionClosed as closed:
            self.closed = closed
            self._news.set()

    async def stop(self) -> None:
        self._listening.cancel()
        await asyncio.gather(self._listening, return_exceptions=True)

    def faults(self, *, cut_off: bool) -> list[str]:
        """What was wrong with anything that came."""
        beta = self._spelling is BETA
        events = ga_names(self.events) if beta else self.events
        return [*self.findings, *disorder(events, item_done=not beta, cut_off=cut_off)]


@asynccontextmanager
async def talking(
    server: Server, model: str | None = "gpt-realtime", *, cut_off: bool = False, **options: Any
) -> AsyncIterator[Client]:
    """A client that has been greeted. `options` go to the SDK's `connect`; `cut_off`: it leaves in the middle."""
    if model is not None:
        options["model"] = model
    async with (
        AsyncOpenAI(base_url=server.base_url, api_key=server.key) as openai,
        openai.realtime.connect(**options) as sdk,
        judged(Client(sdk), cut_off=cut_off) as client,
    ):
        yield client


@asynccontextmanager
async def judged(client: Client, *, cut_off: bool = False) -> AsyncIterator[Client]:
    try:
        await client.until("session.created")
        yield client
    finally:
        await client.stop()
    faults = client.faults(cut_off=cut_off)
    assert not faults, "\n".join(faults)


def silence(ms: int, wire: str = "audio/pcm") -> bytes:
    return SILENCE[wire] * (ms * BYTES_PER_MS[wire])


def transcript(response: Event) -> str:
    """All words of a response, spoken or written."""
    parts = (part for item in response["output"] for part in item.get("content", ()))
    return " ".join(part.get("transcript", part.get("text", "")) for part in parts)


def calls(response: Event) -> list[Event]:
    return [item for item in response["output"] if item["type"] == "function_call"]
