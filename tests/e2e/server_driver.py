"""Plays the scripts against a real server: its doors, dialect, live session and socket; only engine, ear and clock are ours.

with Stage.open() as stage:
    play(path, stage.driver, interleaved=False)

The server runs in this process, on a loop in a thread. A script's `client` lines go over a WebSocket, and its `server`
lines are what comes back. What a script calls `engine` and `mic speech` is told to an engine and an ear that do as they
are told; `asks` lines are what that engine was asked for, and how the connection was closed. The clock moves as the
script says. After each line a question that must be refused shows that everything before it has been answered.
"""

import asyncio
import itertools
import json
import shlex
import threading
from base64 import b64encode
from collections.abc import AsyncGenerator, AsyncIterator, Callable, Coroutine, Iterator
from contextlib import contextmanager, suppress
from typing import Any, TypeVar

from starlette.applications import Starlette
from starlette.routing import WebSocketRoute
from websockets.asyncio.client import ClientConnection, connect
from websockets.exceptions import ConnectionClosed

from parley.audio.noise import NoiseReduction
from parley.auth.api_keys import ApiKeys
from parley.auth.client_secrets import ClientSecrets, MemoryStore
from parley.auth.gate import Bearer, Gate
from parley.auth.keys_store import KeyStore
from parley.core import effects as f
from parley.core import inputs as i
from parley.core.config import SessionConfig
from parley.core.input_audio import SAMPLES_PER_MS
from parley.core.session import Session
from parley.core.turns import FRAME_SAMPLES
from parley.errors import EngineError
from parley.live.registry import Registry
from parley.live.session import LiveSession, Surroundings
from parley.server import Server, listen
from parley.storage import LateStorage
from parley.telemetry import Metrics
from parley.transports.websocket import Door, realtime
from tests.core.driver import STEP_MS, charged, cut_off, new_session, posts, seen
from tests.script import Driver, Line

KEY = "sk-parley-scripts"
HAPPENING_S = 20.0
"""For one line of a script; on a busy machine it takes some milliseconds."""
PROBABILITIES = {"speech": 0.95, "silence": 0.02, "sound": None}

Followed = list[tuple[str, dict[str, Any]]]
T = TypeVar("T")


class Engine:
    """Says what it is told to say, and notes what it is asked for."""

    def __init__(self) -> None:
        self.asked: Followed = []
        self.listening: list[str] = []
        self.generating: list[str] = []
        self.servers: dict[str, str] = {}
        self._jobs: dict[str, Job] = {}

    async def run(self, work: f.Work, mailbox: AsyncIterator[f.Message]) -> AsyncGenerator[i.AnyInput, None]:
        self.asked += seen(f.Start(work=work))
        match work:
            case f.Transcribe():
                self.listening.append(work.work_id)
            case f.Generate():
                self.generating.append(work.work_id)
            case f.Attend():
                self.servers[work.server.server_label] = work.work_id
        job = self._jobs[work.work_id] = Job()
        reading = asyncio.create_task(self._read(work.work_id, mailbox))
        try:
            while not job.over:
                event = await job.posts.get()
                job.over = _is_last(event)
                if isinstance(event, i.Failed):
                    raise EngineError(event.code, event.message)
                yield event
                job.taken.set()
        finally:
            reading.cancel()
            if not job.over:
                self._stopped(work.work_id)
            job.over = True
            job.taken.set()

    def running(self, work_id: str) -> "Job | None":
        """The job that can still say something."""
        job = self._jobs.get(work_id)
        return None if job is None or job.over else job

    async def _read(self, work_id: str, mailbox: AsyncIterator[f.Message]) -> None:
        async for message in mailbox:
            self.asked += seen(f.Tell(work_id=work_id, message=message))

    def _stopped(self, work_id: str) -> None:
        self.asked += seen(f.Stop(work_id=work_id))
        with suppress(ValueError):
            self.listening.remove(work_id)


class Job:
    """A piece of running work. `taken`: the session has dealt with what was posted last."""

    def __init__(self) -> None:
        self.posts: asyncio.Queue[i.AnyInput] = asyncio.Queue()
        self.taken = asyncio.Event()
        self.over = False


def _is_last(event: i.AnyInput) -> bool:
    return isinstance(event, i.Generated | i.Failed) or (isinstance(event, i.Transcribed) and event.final)


class Ears:
    """Hears what the script says."""

    def __init__(self) -> None:
        self.probability: float | None = None

    def attach(
        self, on_speech: Callable[[list[Any]], None], noise_reduction: NoiseReduction | None, start: int
    ) -> "Ear":
        return Ear(self, on_speech, start)


class Ear:
    def __init__(self, ears: Ears, on_speech: Callable[[list[Any]], None], start: int) -> None:
        self._ears = ears
        self._on_speech = on_speech
        self._heard = start

    def hear(self, pcm: bytes) -> None:
        self._heard += FRAME_SAMPLES
        if self._ears.probability is not None:
            self._on_speech([(self._heard, self._ears.probability, None)])

    def set_noise_reduction(self, wanted: NoiseReduction | None) -> None:
        pass

    def close(self) -> None:
        pass


class Stage:
    """The server and its loop. One script at a time."""

    def __init__(self) -> None:
        self._loop = asyncio.new_event_loop()
        self._registry = Registry(10)
        self._metrics = Metrics()
        self._next: ServerDriver | None = None
        gate = Gate(ApiKeys([KEY]), KeyStore(LateStorage(), b""), ClientSecrets(MemoryStore(), b""))
        door = Door(gate, self._metrics, self._start, self._find_call)
        self._app = Starlette(routes=[WebSocketRoute("/v1/realtime", realtime(door))])

    @classmethod
    @contextmanager
    def open(cls) -> "Iterator[Stage]":
        stage = cls()
        thread = threading.Thread(target=stage._loop.run_forever, name="stage", daemon=True)
        thread.start()
        serving, server = stage.run(stage._serve())
        try:
            yield stage
        finally:
            stage._loop.call_soon_threadsafe(setattr, server, "should_exit", True)
            asyncio.run_coroutine_threadsafe(asyncio.wait_for(serving, HAPPENING_S), stage._loop).result()
            stage._loop.call_soon_threadsafe(stage._loop.stop)
            thread.join()
            stage._loop.close()

    def run(self, happening: Coroutine[Any, Any, T]) -> T:
        """On the server's loop."""
        return asyncio.run_coroutine_threadsafe(asyncio.wait_for(happening, HAPPENING_S), self._loop).result()

    def driver(self, patch: dict[str, Any], terms: dict[str, Any]) -> Driver:
        """A client that has been greeted, whose session is as the script wants it."""
        self._next = ServerDriver(self, new_session(patch, **terms))
        self.run(self._next.connect(self.url))
        return self._next

    async def _serve(self) -> "tuple[asyncio.Task[None], Server]":
        listener = listen("127.0.0.1", 0)
        self.url = f"ws://127.0.0.1:{listener.getsockname()[1]}/v1/realtime?model=gpt-realtime"
        ready = asyncio.Event()
        server = Server(self._app, drain=self._drained, started=ready.set)
        serving = asyncio.create_task(server.serve([listener]))
        await ready.wait()
        return serving, server

    async def _drained(self) -> None:
        self._registry.close_all()

    async def _find_call(self, call_id: str, bearer: Bearer) -> LiveSession:
        raise AssertionError("no script has calls")

    async def _start(self, config: SessionConfig, bearer: Bearer) -> LiveSession:
        driver = self._next
        assert driver is not None
        around = Surroundings(
            ears=driver.ears,
            metrics=self._metrics,
            meter=lambda live, turn: None,
            ended=self._registry.remove,
            now=lambda: driver.now,
        )
        driver.live = LiveSession(driver.session, driver.engine, around)
        self._registry.add(driver.live)
        return driver.live


class ServerDriver:
    def __init__(self, stage: Stage, session: Session) -> None:
        self.session = session
        self.engine = Engine()
        self.ears = Ears()
        self.live: LiveSession
        self.now = 0.0
        self._stage = stage
        self._socket: ClientConnection
        self._greeting: Followed = []
        self._questions = itertools.count()
        self._closed = False

    async def connect(self, url: str) -> None:
        self._socket = await connect(url, additional_headers={"Authorization": f"Bearer {KEY}"})
        self._greeting = await self._followed()

    def happen(self, line: Line) -> Followed:
        return self._stage.run(self._happen(line))

    async def _happen(self, line: Line) -> Followed:
        if line.verb == "open":
            return self._greeting
        followed: Followed = []
        async for _ in getattr(self, f"_{line.verb}")(line.rest):
            followed += await self._followed()
        return followed

    # ---- what can happen; each `yield` waits until it has been dealt with

    async def _client(self, rest: str) -> AsyncIterator[None]:
        kind, _, body = rest.partition(" ")
        await self._send({"type": kind, **json.loads(body or "{}")})
        yield

    async def _raw(self, rest: str) -> AsyncIterator[None]:
        with suppress(ConnectionClosed):
            await self._socket.send(rest.partition(" ")[2])
        yield

    async def _mic(self, rest: str) -> AsyncIterator[None]:
        kind, ms = rest.split()
        self.ears.probability = PROBABILITIES[kind]
        audio = b64encode(bytes(2 * STEP_MS * SAMPLES_PER_MS)).decode()
        for _ in range(int(ms) // STEP_MS):
            self.now += STEP_MS / 1000
            await self._send({"type": "input_audio_buffer.append", "audio": audio})
            yield

    async def _engine(self, rest: str) -> AsyncIterator[None]:
        verb, *args = shlex.split(rest)
        for event in posts(verb, args, self.engine.listening, self.engine.generating, self.engine.servers):
            job = self.engine.running(event.work_id)  # type: ignore[union-attr]
            if job is None:
                self.live.post(event)  # too late
            else:
                job.taken.clear()
                job.posts.put_nowait(event)
                await job.taken.wait()
            yield

    async def _wait(self, rest: str) -> AsyncIterator[None]:
        until = self.now + int(rest) / 1000
        while self.session.deadline is not None and self.session.deadline <= until:
            self.now = self.session.deadline
            self.live.post(i.Tick())
            yield
        self.now = until
        yield

    async def _played(self, rest: str) -> AsyncIterator[None]:
        response_id, ms, *done = rest.split()
        self.live.post(i.Played(response_id=response_id, played_ms=int(ms), done=bool(done)))
        yield

    async def _left(self, rest: str) -> AsyncIterator[None]:
        await self._socket.close()
        await self.live.over.wait()
        yield

    async def _drain(self, rest: str) -> AsyncIterator[None]:
        self.live.drain(rest)
        yield

    async def _cut(self, rest: str) -> AsyncIterator[None]:
        self.live.post(cut_off(rest))
        yield

    async def _charged(self, rest: str) -> AsyncIterator[None]:
        self.live.post(charged(rest))
        yield

    # ---- what follows

    async def _followed(self) -> Followed:
        """Everything that was said and asked for by now."""
        question = f"question-{next(self._questions)}"
        followed: Followed = []
        try:
            await self._send({"type": "conversation.item.delete", "item_id": question, "event_id": question})
            while (event := json.loads(await self._socket.recv())).get("error", {}).get("event_id") != question:
                followed.append(("server", event))
        except ConnectionClosed as closed:
            if (told := closed.rcvd) is not None and not self._closed:
                followed.append(("asks", {"what": "close", "id": told.code, "reason": told.reason}))
            self._closed = True
            await asyncio.sleep(0.01)  # nothing is asked of the server that could be waited for
        asked, self.engine.asked = self.engine.asked, []
        return asked + followed

    async def _send(self, event: dict[str, Any]) -> None:
        with suppress(ConnectionClosed):
            await self._socket.send(json.dumps(event))
