"""A server with a telephone door, and a telephone."""

import socket
import time
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path
from typing import NamedTuple, Self

from starlette.applications import Starlette

from parley.app import House
from parley.auth.api_keys import ApiKeys
from parley.auth.client_secrets import ClientSecrets, MemoryStore
from parley.auth.gate import Gate
from parley.ids import new_id
from parley.outgoing import Outgoing
from parley.settings import Settings
from parley.transports.sip.call import SipCall
from parley.transports.sip.house import Place
from parley.transports.sip.phones import RING_S, Decision, SipPhones
from parley.transports.sip.trunks import read_trunks
from parley.web import call_control, calls, errors
from parley.webhooks.events import incoming_call
from parley.webhooks.opening import open_webhooks
from tests.transports.serving import serving
from tests.webhooks.receivers import SECRET

KEY = "sk-parley-test"
NOWHERE = "http://127.0.0.1:9/v1"
TRUNKS = {"trunk": [{"name": "carrier", "addresses": ["127.0.0.1"], "number": [{"number": "+4930123456"}]}]}


class Running(NamedTuple):
    url: str
    sip_port: int
    house: House


@asynccontextmanager
async def announcing(endpoint: str, home: Path) -> AsyncIterator[Running]:
    """A server with a telephone door that announces its calls to `endpoint`."""
    settings = Settings(
        home=home, stt_url=NOWHERE, tts_url=NOWHERE, rtc_port=0, webhook_url=endpoint, webhook_secret=SECRET
    )
    house = House(settings, ApiKeys([KEY]))
    outgoing = Outgoing()
    webhooks = open_webhooks(settings, house.office.storage, outgoing)
    assert webhooks is not None

    async def announce(call: SipCall) -> Decision:
        headers = [(header.name, header.value) for header in call.sip_headers]
        event = incoming_call(new_id("evt"), call.call_id, headers, call.media_security, int(time.time()))
        await webhooks.send(event, account=call.number.account, endpoint=endpoint, life_s=RING_S)
        return None

    place = Place("127.0.0.1", free_port())
    phones = SipPhones(place, read_trunks(TRUNKS), house.start, announce, lambda *pressed: None, "node")

    @asynccontextmanager
    async def lifespan(app: Starlette) -> AsyncIterator[None]:
        async with house._lifespan(app):
            await webhooks.begin()
            await phones.open()
            yield
            phones.close()
            await webhooks.close()
            await outgoing.close()

    gate = Gate(ApiKeys([KEY]), house.office.keys, ClientSecrets(MemoryStore(), b"p" * 32))
    routes = [
        *call_control.routes(gate, phones, house.metrics, house.upstreams.check),
        *calls.routes(gate, house.calls, house.metrics, phones=phones),
    ]
    with serving(Starlette(routes=routes, exception_handlers=errors.HANDLERS, lifespan=lifespan)) as port:
        yield Running(f"http://127.0.0.1:{port}", phones.ports["udp"], house)


class Caller:
    """A telephone that says little: it calls, and hears what it is answered."""

    def __init__(self, port: int) -> None:
        self._port = port
        self._socket = socket.socket(socket.AF_INET, socket.SOCK_DGRAM)
        self._socket.bind(("127.0.0.1", 0))
        self._socket.setblocking(False)
        self.statuses: list[int] = []

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *exc: object) -> None:
        self._socket.close()

    def call(self) -> None:
        here = f"127.0.0.1:{self._socket.getsockname()[1]}"
        body = "v=0\r\no=- 1 1 IN IP4 127.0.0.1\r\ns=-\r\nc=IN IP4 127.0.0.1\r\nt=0 0\r\nm=audio 9 RTP/AVP 0\r\n"
        lines = (
            "INVITE sip:+4930123456@127.0.0.1 SIP/2.0",
            f"Via: SIP/2.0/UDP {here};branch=z9hG4bKtest;rport",
            "Max-Forwards: 70",
            "From: <sip:ann@a.example>;tag=1",
            "To: <sip:+4930123456@127.0.0.1>",
            f"Call-ID: {here}",
            "CSeq: 1 INVITE",
            f"Contact: <sip:ann@{here}>",
            "X-Order: 17",
            "Content-Type: application/sdp",
            f"Content-Length: {len(body)}",
        )
        self._socket.sendto(("\r\n".join(lines) + "\r\n\r\n" + body).encode(), ("127.0.0.1", self._port))

    def heard(self) -> list[int]:
        """The statuses so far, each once."""
        while True:
            try:
                status = int(self._socket.recv(65_536).split(b" ", 2)[1])
            except (BlockingIOError, ValueError):
                return self.statuses
            if status not in self.statuses:
                self.statuses.append(status)


def free_port() -> int:
    """One that is free for TCP and UDP."""
    while True:
        with socket.socket() as tcp, socket.socket(type=socket.SOCK_DGRAM) as udp:
            tcp.bind(("127.0.0.1", 0))
            port = int(tcp.getsockname()[1])
            try:
                udp.bind(("127.0.0.1", port))
            except OSError:
                continue
            return port
