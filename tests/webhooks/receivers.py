"""Programs that receive webhooks, well or badly, and what the sender needs to reach them."""

import asyncio
import time
from collections.abc import AsyncIterator, Awaitable, Callable, Mapping
from contextlib import asynccontextmanager
from pathlib import Path
from ssl import PROTOCOL_TLS_SERVER, SSLContext
from typing import NamedTuple

from aiohttp import web
from openai import OpenAI
from openai.types.webhooks import RealtimeCallIncomingWebhookEvent

from parley.outgoing import Outgoing
from parley.storage import Script, Storage
from parley.transports.certificate import local_certificate
from parley.webhooks import store
from parley.webhooks.events import Event, incoming_call
from parley.webhooks.sender import Webhooks
from parley.webhooks.signing import read_secrets
from parley.webhooks.store import Delivery

SECRET = "whsec_" + "c2VjcmV0IG9mIHRlc3RzLCAzMiBieXRlcyBsb25nISE="
WAIT_S = 20.0
"""Generous: the machine may be busy."""

Answer = Callable[[web.Request], Awaitable[web.StreamResponse]]


class Received(NamedTuple):
    headers: Mapping[str, str]
    body: bytes

    @property
    def id(self) -> str:
        return self.headers["webhook-id"]

    def unwrapped(self, secret: str = SECRET) -> RealtimeCallIncomingWebhookEvent:
        """As the official client checks and reads it. Raises `InvalidWebhookSignatureError`."""
        event = OpenAI(api_key="none").webhooks.unwrap(self.body, dict(self.headers), secret=secret)
        assert isinstance(event, RealtimeCallIncomingWebhookEvent)
        return event


class Receiver:
    """Answers as `answer` says, which may be changed at any time."""

    def __init__(self, url: str) -> None:
        self.url = url
        self.received: list[Received] = []
        self.running = 0
        self.running_most = 0
        self.answer: Answer = fine

    async def handle(self, request: web.Request) -> web.StreamResponse:
        self.running += 1
        self.running_most = max(self.running, self.running_most)
        try:
            headers = {name.lower(): value for name, value in request.headers.items()}
            self.received.append(Received(headers, await request.read()))
            return await self.answer(request)
        finally:
            self.running -= 1


async def fine(request: web.Request) -> web.StreamResponse:
    return web.Response(text="ok")


def with_status(status: int, headers: dict[str, str] | None = None) -> Answer:
    async def answer(request: web.Request) -> web.StreamResponse:
        return web.Response(status=status, headers=headers)

    return answer


async def never(request: web.Request) -> web.StreamResponse:
    await asyncio.sleep(3_600)
    return web.Response()


@asynccontextmanager
async def receiving(port: int = 0, tls: SSLContext | None = None) -> AsyncIterator[Receiver]:
    app = web.Application(client_max_size=1 << 20)
    runner = web.AppRunner(app, shutdown_timeout=0.1)
    receiver = Receiver("")
    app.router.add_route("POST", "/{path:.*}", receiver.handle)
    await runner.setup()
    await web.TCPSite(runner, "127.0.0.1", port, ssl_context=tls).start()
    scheme = "http" if tls is None else "https"
    receiver.url = f"{scheme}://127.0.0.1:{runner.addresses[0][1]}/hooks"
    try:
        yield receiver
    finally:
        await runner.cleanup()


def own_certificate(home: Path) -> SSLContext:
    """One that nobody has a reason to believe."""
    chain, key = local_certificate(home)
    context = SSLContext(PROTOCOL_TLS_SERVER)
    context.load_cert_chain(chain, key)
    return context


@asynccontextmanager
async def sending(
    storage: Storage,
    *endpoints: str,
    unix: Callable[[], float] = time.time,
    secret: str = SECRET,
    begun: bool = True,
    total_s: float = 10.0,
) -> AsyncIterator[Webhooks]:
    """Trusts these endpoints, as the operator's own; without `begun` it looks for what is due only when it is told."""
    outgoing = Outgoing(total_s=total_s)
    webhooks = Webhooks(storage, read_secrets(secret), outgoing, frozenset(endpoints), unix=unix, chance=lambda: 0.5)
    if begun:
        await webhooks.begin()
    try:
        yield webhooks
    finally:
        await webhooks.close()
        await outgoing.close()


def ringing(call_id: str = "rtc_1", headers: tuple[tuple[str, str], ...] = (("From", "<sip:ann@a.example>"),)) -> Event:
    return incoming_call("evt_1", call_id, headers, "rtp", int(time.time()))


async def settled(storage: Storage, id: str, state: str = "delivered") -> Delivery:
    """Waits for it."""
    async with asyncio.timeout(WAIT_S):
        while (found := await one(storage, id)).state != state:
            await asyncio.sleep(0.01)
    return found


async def tried(storage: Storage, id: str, attempts: int = 1) -> Delivery:
    """Waits until so many attempts have come to nothing."""
    async with asyncio.timeout(WAIT_S):
        while (found := await one(storage, id)).attempts < attempts or not found.outcome:
            await asyncio.sleep(0.01)
    return found


async def one(storage: Storage, id: str) -> Delivery:
    def script() -> Script[Delivery]:
        (found,) = [each for each in (yield from store.page(None, 1_000)) if each.id == id]
        return found

    return await storage.read(script)


async def until(what: Callable[[], bool]) -> None:
    async with asyncio.timeout(WAIT_S):
        while not what():
            await asyncio.sleep(0.01)
