"""The door of a relayed session: real sockets on both sides, both dialects, slow readers, and what is refused."""

import asyncio
import json
import threading
import time
from collections.abc import Iterator
from typing import Any

import pytest
import websockets.sync.client
from starlette.applications import Starlette
from starlette.routing import WebSocketRoute
from starlette.websockets import WebSocket
from websockets.sync.client import ClientConnection
from websockets.sync.connection import Connection as Socket

from parley.core.relay import Relay
from parley.core.relayed import RelayTerms
from parley.dialects.choose import choose
from parley.engines.upstream.dialler import Dialler
from parley.engines.upstream.plan import plan_one
from parley.ids import new_id
from parley.live.relay import RelayedSession
from parley.live.relay_parts import RelaySurroundings
from parley.live.session import Whose
from parley.telemetry import Metrics
from parley.transports.relay import converse
from tests.engines.upstream.scripted import DELTAS, SOUND, Provider, Visit
from tests.transports.serving import RawClient, serving

Body = dict[str, Any]


class Flooding(Provider):
    """Speaks without end, as fast as it is read, when it is asked for an answer."""

    def __init__(self) -> None:
        super().__init__(fault=self.flood, at=4)
        self.sent_bytes = 0

    async def flood(self, visit: Visit) -> None:
        response_id = json.loads(visit.sent[-1])["response_id"]
        delta = f'{{"type":"response.output_audio.delta","response_id":"{response_id}","delta":"{SOUND}"}}'
        while True:
            await visit.socket.send(delta)
            self.sent_bytes += len(delta)


class Running:
    def __init__(self, port: int, provider: Provider, lives: list[RelayedSession]) -> None:
        self.port = port
        self.provider = provider
        self.lives = lives

    def connect(self, **headers: str) -> ClientConnection:
        url = f"ws://127.0.0.1:{self.port}/v1/realtime?model=gpt-4o-realtime-preview"
        return websockets.sync.client.connect(url, additional_headers=headers, max_size=None, compression=None)


class Loop:
    """An upstream on a thread of its own."""

    def __init__(self, provider: Provider) -> None:
        self.provider = provider
        self._ready = threading.Event()
        self._thread = threading.Thread(target=lambda: asyncio.run(self._serve()), daemon=True)

    def __enter__(self) -> None:
        self._thread.start()
        assert self._ready.wait(10)

    def __exit__(self, *exc: object) -> None:
        self._loop.call_soon_threadsafe(self._over.set)
        self._thread.join(10)
        assert not self._thread.is_alive()

    async def _serve(self) -> None:
        self._loop, self._over = asyncio.get_running_loop(), asyncio.Event()
        async with self.provider.serving():
            self._ready.set()
            await self._over.wait()


def house(provider: Provider, lives: list[RelayedSession]) -> Starlette:
    async def endpoint(websocket: WebSocket) -> None:
        upstreams, router = plan_one(provider.url, "sk-up")
        upstreams = {
            name: one.__class__(name=name, url=one.url, dialect=provider.dialect) for name, one in upstreams.items()
        }
        dialler = Dialler(upstreams, router, connect_s=2.0)
        relay = Relay(terms=RelayTerms(model="gpt-4o-realtime-preview"), new_id=new_id, now=time.monotonic())
        call = await dialler.dial("mock", relay.id)
        around = RelaySurroundings(Metrics(), lambda live, turn: None, lambda live: None)
        live = RelayedSession(relay, call, dialler, around, model="mock", whose=Whose("acct"))
        lives.append(live)
        choice = choose(
            method="GET", path="/v1/realtime", headers=websocket.headers, subprotocols=websocket.scope["subprotocols"]
        )
        try:
            await converse(websocket, choice, live)
        finally:
            live.close(1000, "")

    return Starlette(routes=[WebSocketRoute("/v1/realtime", endpoint)])


@pytest.fixture(params=["ga", "beta"])
def running(request: pytest.FixtureRequest) -> Iterator[Running]:
    provider, lives = Provider(dialect=request.param), list[RelayedSession]()
    with Loop(provider), serving(house(provider, lives)) as port:
        yield Running(port, provider, lives)


def until(ws: Socket, kind: str) -> list[Body]:
    heard: list[Body] = []
    while not heard or heard[-1]["type"] != kind:
        heard.append(json.loads(ws.recv(10)))
    return heard


@pytest.mark.parametrize("dialect", ["ga", "beta", "shape"])
def test_a_client_of_each_dialect_at_an_upstream_of_each(running: Running, dialect: str) -> None:
    with running.connect(**({"OpenAI-Beta": "realtime=v1"} if dialect == "beta" else {})) as ws:
        until(ws, "session.created")
        flat = {"modalities": ["text", "audio"], "voice": "cedar"}
        nested = {"type": "realtime", "audio": {"output": {"voice": "cedar"}}}
        ws.send(json.dumps({"type": "session.update", "session": nested if dialect == "ga" else flat}))
        session = until(ws, "session.updated")[-1]["session"]
        assert "cedar" in (session.get("voice"), session.get("audio", {}).get("output", {}).get("voice"))
        ws.send('{"type":"response.create"}')
        heard = until(ws, "response.done")
        name = "response.output_audio.delta" if dialect == "ga" else "response.audio.delta"
        assert [body["delta"] for body in heard if body["type"] == name] == [SOUND] * DELTAS
        assert ("response.text.delta" in {body["type"] for body in heard}) == (dialect == "shape")


def test_a_binary_message_is_refused_and_the_session_goes_on(running: Running) -> None:
    with running.connect() as ws:
        until(ws, "session.created")
        ws.send(b"\x00")
        assert until(ws, "error")[-1]["error"]["code"] == "invalid_event"
        ws.send('{"type":"response.create"}')
        until(ws, "response.done")


def test_a_client_that_leaves_hangs_up_the_upstream(running: Running) -> None:
    with running.connect() as ws:
        until(ws, "session.created")
    deadline = time.monotonic() + 5
    while not running.provider.visits[-1].over.is_set() and time.monotonic() < deadline:
        time.sleep(0.01)
    assert running.provider.visits[-1].over.is_set()
    assert running.lives[-1].over.is_set()


def test_a_client_that_does_not_read_slows_its_upstream_and_nobody_else() -> None:
    provider, lives = Flooding(), list[RelayedSession]()
    with Loop(provider), serving(house(provider, lives)) as port:
        running = Running(port, provider, lives)
        with RawClient(port, window_bytes=4_096) as deaf:
            deaf.upgrade("/v1/realtime?model=m")
            deaf.send(masked(b'{"type":"response.create"}'))
            before = -1
            deadline = time.monotonic() + 8
            while provider.sent_bytes != before and time.monotonic() < deadline:
                before = provider.sent_bytes
                time.sleep(0.5)
            assert 0 < provider.sent_bytes == before < 40_000_000
            with running.connect() as ws:
                until(ws, "session.created")
                began = time.monotonic()
                ws.send('{"type":"session.update","session":{"type":"realtime"}}')
                until(ws, "session.updated")
                assert time.monotonic() - began < 1


def masked(payload: bytes) -> bytes:
    """A text frame of a client."""
    assert len(payload) < 126
    return bytes([0x81, 0x80 | len(payload), 0, 0, 0, 0]) + payload
