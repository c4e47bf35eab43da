"""A telephone booth for tests: our door on free ports, a session that echoes, and real telephones from Debian."""

import asyncio
import shutil
import socket
import ssl
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any, cast
from unittest.mock import patch

import pytest

from parley.auth.gate import Bearer
from parley.core.config import RealtimeConfig, SessionConfig
from parley.core.events import AnyServerEvent, OutputAudioDelta
from parley.core.inputs import AnyInput, Played
from parley.live.session import LiveSession, Outlet
from parley.transports.sip import phones
from parley.transports.sip.call import SipCall
from parley.transports.sip.house import Place
from parley.transports.sip.media import Range
from parley.transports.sip.phones import Accept, Decision, SipPhones
from parley.transports.sip.trunks import Number, Trunk

SCENARIOS = Path(__file__).with_name("scenarios")
LOCAL = Trunk(name="local", addresses=("127.0.0.1",), number=(Number(number="*"),))
ANN = Bearer("local")
CONFIG = RealtimeConfig(model="gpt-realtime")

needs_sipp = pytest.mark.skipif(shutil.which("sipp") is None, reason="sipp is not installed")
needs_baresip = pytest.mark.skipif(shutil.which("baresip") is None, reason="baresip is not installed")


class Echo:
    """A session with the face of `LiveSession` that says what it hears."""

    def __init__(self, config: SessionConfig, call_id: str) -> None:
        self.config = config
        self.call_id = call_id
        self.id = "sess_1"
        self.opened = False
        self.heard = bytearray()
        self.played_ms = 0
        self.posted: list[AnyInput] = []
        self.closed: tuple[int, str] | None = None
        self.keys: list[str] = []
        self._outlet: Outlet | None = None

    def attach(self, outlet: Outlet) -> None:
        self._outlet = outlet

    def open(self) -> None:
        self.opened = True

    def say(self, event: AnyServerEvent) -> None:
        if self._outlet is not None:
            self._outlet.send(event)

    def listen(self, pcm: bytes, event_id: str | None = None) -> None:
        self.heard += pcm
        self.say(
            OutputAudioDelta(
                response_id="resp_1", item_id="item_1", output_index=0, content_index=0, delta=pcm, format="audio/pcm"
            )
        )

    def post(self, event: AnyInput) -> None:
        if isinstance(event, Played):
            self.played_ms = event.played_ms
        else:
            self.posted.append(event)

    def close(self, code: int, reason: str) -> None:
        if self.closed is None:
            self.closed = (code, reason)
            if self._outlet is not None:
                self._outlet.close(code, reason)


class Booth:
    """What happened at the door."""

    def __init__(self) -> None:
        self.phones: SipPhones
        self.calls: list[SipCall] = []
        self.sessions: list[Echo] = []
        self.decide: Callable[[SipCall], Awaitable[Decision]] = self.accept

    async def accept(self, call: SipCall) -> Decision:
        return Accept(CONFIG)

    async def incoming(self, call: SipCall) -> Decision:
        self.calls.append(call)
        return await self.decide(call)

    async def start(self, config: SessionConfig, bearer: Bearer, call_id: str, minute_micro: int) -> LiveSession:
        self.sessions.append(Echo(config, call_id))
        return cast(LiveSession, self.sessions[-1])

    def pressed(self, live: LiveSession, key: str, at: int) -> None:
        cast(Echo, live).keys.append(key)

    @property
    def udp(self) -> int:
        return self.phones.ports["udp"]


@asynccontextmanager
async def booth(*trunks: Trunk, tls: ssl.SSLContext | None = None, ports: Range | None = None) -> AsyncIterator[Booth]:
    made = Booth()
    place = Place("127.0.0.1", 0, tls=tls, tls_port=0, ports=ports or Range(30_000, 39_999))
    made.phones = SipPhones(place, trunks or (LOCAL,), made.start, made.incoming, made.pressed, "test")
    await made.phones.open()
    try:
        yield made
    finally:
        with patch.object(phones, "LEAVE_S", 0.1):  # most tests do not answer the last BYE
            await made.phones.leave()
        made.phones.close()
        await asyncio.sleep(0.05)  # sockets are closed by the loop


async def until(true: Callable[[], object], seconds: float = 10.0) -> None:
    """Waits for what must come true."""
    async with asyncio.timeout(seconds):
        while not true():
            await asyncio.sleep(0.01)


def free_port() -> int:
    with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as probe:
        probe.bind(("127.0.0.1", 0))
        port: int = probe.getsockname()[1]
        return port


@asynccontextmanager
async def running(*command: str, **options: Any) -> AsyncIterator[asyncio.subprocess.Process]:
    """A program that is ended with the test."""
    process = await asyncio.create_subprocess_exec(
        *command,
        stdin=asyncio.subprocess.DEVNULL,
        stdout=asyncio.subprocess.PIPE,
        stderr=asyncio.subprocess.STDOUT,
        **options,
    )
    try:
        yield process
    finally:
        if process.returncode is None:
            process.kill()
        await process.wait()


async def sipp(port: int, scenario: str, folder: Path, *more: str, calls: int = 1, number: str = "100") -> None:
    """Plays a scenario against a port of ours. Fails the test with what sipp wrote about it."""
    command = (
        *("sipp", f"127.0.0.1:{port}", "-sf", str(SCENARIOS / f"{scenario}.xml"), "-s", number, "-m", str(calls)),
        *("-i", "127.0.0.1", "-p", str(free_port()), "-nostdin", "-trace_err", "-timeout", "30", "-timeout_error"),
        *("-cid_str", "%u-%p@%s", "-recv_timeout", "12000", *more),
    )
    async with running(*command, cwd=folder) as process:
        assert process.stdout is not None
        async with asyncio.timeout(40):
            out = await process.stdout.read()
            status = await process.wait()
        if status:
            errors = "\n".join(path.read_text("utf-8", "replace") for path in sorted(folder.glob("*errors.log")))
            pytest.fail(
                f"sipp {scenario} ended with {status}:\n{errors[-3000:]}\n{out.decode('utf-8', 'replace')[-1500:]}"
            )
