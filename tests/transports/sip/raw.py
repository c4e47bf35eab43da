"""A telephone of single datagrams, for what no proper telephone does."""

import asyncio
import itertools
import re
import time
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from typing import Any

from parley.transports.rtc import rtp
from parley.transports.rtc.rtp import Packet
from tests.transports.sip.booth import until

_numbers = itertools.count(1)


class Socket(asyncio.DatagramProtocol):
    """What came, as it came."""

    def __init__(self) -> None:
        self.wire: asyncio.DatagramTransport
        self.host, self.port = "", 0
        self.received: list[bytes] = []
        self.times: list[float] = []
        """When each of them came, by the monotonic clock."""
        self.sources: list[int] = []
        """From which port."""

    def connection_made(self, transport: asyncio.DatagramTransport) -> None:  # type: ignore[override]
        self.wire = transport
        self.host, self.port = transport.get_extra_info("sockname")

    def datagram_received(self, data: bytes, addr: tuple[Any, ...]) -> None:
        self.received.append(data)
        self.times.append(time.monotonic())
        self.sources.append(addr[1])

    def send(self, data: bytes, port: int) -> None:
        self.wire.sendto(data, ("127.0.0.1", port))

    def titles(self) -> list[str]:
        """First lines, without the protocol."""
        lines = [data.split(b"\r\n")[0].decode() for data in self.received]
        return [line.removeprefix("SIP/2.0 ").removesuffix(" SIP/2.0") for line in lines]

    async def wait(self, title: str, times: int = 1) -> str:
        """The last message that begins so, when it has come so often."""
        await until(lambda: sum(each.startswith(title) for each in self.titles()) >= times)
        at = max(at for at, each in enumerate(self.titles()) if each.startswith(title))
        return self.received[at].decode()


@asynccontextmanager
async def udp(host: str = "127.0.0.1") -> AsyncIterator[Socket]:
    _, made = await asyncio.get_running_loop().create_datagram_endpoint(Socket, (host, 0))
    try:
        yield made
    finally:
        made.wire.close()
        await asyncio.sleep(0.01)


class Caller:
    """Somebody with a socket for messages and one for sound."""

    def __init__(self, door: int, line: Socket, sound: Socket) -> None:
        self.door = door
        self.line = line
        self.sound = sound
        self.name = f"raw{next(_numbers)}"
        self.call_id = f"{self.name}@127.0.0.1"
        self.to = "<sip:100@127.0.0.1>"
        self.sdp_host = sound.host
        self.kinds = "0 101"
        self.media_port = 0
        self._sequence = 0

    def sdp(self, more: str = "") -> str:
        return (
            f"v=0\r\no=- 1 1 IN IP4 {self.sdp_host}\r\ns=-\r\nc=IN IP4 {self.sdp_host}\r\nt=0 0\r\n"
            f"m=audio {self.sound.port} RTP/AVP {self.kinds}\r\na=rtpmap:101 telephone-event/8000\r\n{more}"
        )

    def message(
        self,
        method: str,
        number: int,
        body: str = "",
        *more: str,
        branch: str = "",
        kind: str = "application/sdp",
        rport: bool = True,
        target: str = "100",
    ) -> bytes:
        way, own = ";rport" if rport else "", f"z9hG4bK{method}{number}{self.name}"
        lines = [
            f"{method} sip:{target}@127.0.0.1:{self.door} SIP/2.0",
            f"Via: SIP/2.0/UDP {self.line.host}:{self.line.port}{way};branch={branch or own}",
            "Max-Forwards: 70",
            f"From: <sip:ann@{self.line.host}>;tag=raw",
            f"To: {self.to}",
            f"Call-ID: {self.call_id}",
            f"CSeq: {number} {method}",
            f"Contact: <sip:ann@{self.line.host}:{self.line.port}>",
            *more,
            *([f"Content-Type: {kind}"] if body else []),
            f"Content-Length: {len(body)}",
        ]
        return ("\r\n".join(lines) + "\r\n\r\n" + body).encode()

    def say(self, method: str, number: int, body: str = "", *more: str, **options: Any) -> None:
        self.line.send(self.message(method, number, body, *more, **options), self.door)

    async def answered(self) -> str:
        """Waits for 200 to the INVITE, and remembers what it says."""
        ok = await self.line.wait("200 OK")
        self.heed(ok)
        return ok

    def heed(self, ok: str) -> None:
        found, port = re.search(r"(?m)^To: (.*)\r$", ok), re.search(r"m=audio (\d+)", ok)
        assert found is not None
        self.to = found[1]
        self.media_port = int(port[1]) if port is not None else self.media_port

    async def call(self) -> str:
        """INVITE, 200, ACK."""
        self.say("INVITE", 1, self.sdp())
        ok = await self.answered()
        self.say("ACK", 1)
        return ok

    def answer(self, request: str, status: str = "200 OK") -> None:
        """Our answer to a request of theirs."""
        kept = [line for line in request.split("\r\n") if re.match(r"(Via|From|To|Call-ID|CSeq):", line)]
        self.line.send("\r\n".join([f"SIP/2.0 {status}", *kept, "Content-Length: 0", "", ""]).encode(), self.door)

    def speak(self, slices: int, source: Socket | None = None, kind: int = 0, payload: bytes = b"\x10" * 160) -> None:
        """RTP, all at once."""
        for _ in range(slices):
            packet = Packet(kind, self._sequence % 65_536, self._sequence * 160, 77, payload)
            (source or self.sound).send(rtp.write(packet), self.media_port)
            self._sequence += 1


@asynccontextmanager
async def caller(door: int, host: str = "127.0.0.1", sound_host: str = "") -> AsyncIterator[Caller]:
    async with udp(host) as line, udp(sound_host or host) as sound:
        yield Caller(door, line, sound)
