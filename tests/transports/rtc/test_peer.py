"""Our peer against aiortc's, without a server: connecting, going, vanishing, and being attacked."""

import asyncio
import json
import socket
import threading
import time
from collections.abc import AsyncIterator
from typing import Any

import pytest
from aiortc import RTCBundlePolicy, RTCConfiguration, RTCDataChannel, RTCPeerConnection, RTCSessionDescription

from parley.transports.rtc.association import RTO_INITIAL_S, RTO_MAX_S, RTO_MIN_S
from parley.transports.rtc.codecs import spoken
from parley.transports.rtc.peer import CONNECT_S, SILENT_S, STRANDED_S, Peer, Peers
from parley.transports.rtc.ports import Network, Ports, Route
from parley.transports.rtc.sdp import read_offer
from tests.transports.rtc.phone import Mouth
from tests.transports.rtc.test_ports import CLIENT_HELLO

ALERT = bytes.fromhex("15fefd00000000000000000002022f")
SERVER_HELLO = bytes.fromhex("16fefd0000000000000000002c0200002000000000000000200000") + bytes(30)


class Host:
    def __init__(self) -> None:
        self.heard = 0
        self.texts: list[str] = []
        self.binaries = 0
        self.channel = asyncio.Event()
        self.gone: list[str] = []
        self.ended = asyncio.Event()

    def on_sound(self, pcm: bytes) -> None:
        self.heard += len(pcm) // 48

    def on_text(self, message: str) -> None:
        self.texts.append(message)

    def on_binary(self) -> None:
        self.binaries += 1

    def on_channel(self) -> None:
        self.channel.set()

    def on_writable(self) -> None: ...

    def on_gone(self, reason: str) -> None:
        self.gone.append(reason)
        self.ended.set()


class Pair:
    """One of ours and one of aiortc's."""

    def __init__(self, ports: Ports) -> None:
        self.host = Host()
        self.ports = ports
        self.theirs = RTCPeerConnection(RTCConfiguration(iceServers=[], bundlePolicy=RTCBundlePolicy.MAX_BUNDLE))
        self.theirs.addTransceiver(Mouth(), direction="sendrecv")
        self.channel: RTCDataChannel = self.theirs.createDataChannel("oai-events")
        self.ours: Peer

    async def connect(self) -> None:
        await self.theirs.setLocalDescription(await self.theirs.createOffer())
        offer = read_offer(self.theirs.localDescription.sdp, spoken())
        self.ours = await Peers(self.ports).open(offer, self.host)
        await self.theirs.setRemoteDescription(RTCSessionDescription(self.ours.answer, "answer"))
        await asyncio.wait_for(self.host.channel.wait(), 20)

    async def close(self) -> None:
        if hasattr(self, "ours"):
            self.ours.close()
        await self.theirs.close()


@pytest.fixture
async def ports() -> AsyncIterator[Ports]:
    ports = Ports(Network(0, loopback=True))
    yield ports
    ports.close()


@pytest.fixture
async def pair(ports: Ports) -> AsyncIterator[Pair]:
    pair = Pair(ports)
    yield pair
    await pair.close()
    async with asyncio.timeout(5):
        while ports._lodgings:
            await asyncio.sleep(0.01)


async def test_texts_go_both_ways_whole_and_in_order(pair: Pair) -> None:
    got: list[str] = []
    pair.channel.on("message", got.append)
    await pair.connect()
    long = json.dumps({"text": "ü" * 100_000}, ensure_ascii=False)
    said = [long, *map(str, range(50)), long]
    for message in said:
        pair.ours.say(message)
        pair.channel.send(message)
    pair.channel.send(b"\x00")
    async with asyncio.timeout(20):
        while len(got) < len(said) or not pair.host.binaries:
            await asyncio.sleep(0.01)
    assert got == said == pair.host.texts
    assert pair.ours.waiting_bytes == 0


async def test_sound_is_heard_in_real_time(pair: Pair) -> None:
    await pair.connect()
    began, before = time.monotonic(), pair.host.heard
    await asyncio.sleep(1.0)
    passed = (time.monotonic() - began) * 1_000
    assert abs(pair.host.heard - before - passed) < 250


async def test_a_peer_that_leaves_is_gone_at_once(pair: Pair) -> None:
    await pair.connect()
    await pair.theirs.close()
    await asyncio.wait_for(pair.host.ended.wait(), 5)
    assert pair.host.gone == ["left"]


async def test_what_was_said_last_still_arrives(pair: Pair) -> None:
    got: list[str] = []
    closed = asyncio.Event()
    pair.channel.on("message", got.append)
    pair.channel.on("close", closed.set)
    await pair.connect()
    for number in range(100):
        pair.ours.say(f"{number} " + "x" * 2_000)
    pair.ours.close()
    await asyncio.wait_for(closed.wait(), 10)
    assert len(got) == 100
    assert pair.host.gone == [], "it was we who ended it"


async def test_a_peer_that_vanishes_is_missed(pair: Pair) -> None:
    await pair.connect()
    for transceiver in pair.theirs.getTransceivers():
        for protocol in transceiver.receiver.transport.transport._connection._protocols:
            protocol.transport.close()
    await asyncio.sleep(0.1)
    now = asyncio.get_running_loop().time()
    pair.ours.tick(now + SILENT_S - 1, 0.0)
    assert pair.host.gone == []
    pair.ours.tick(now + SILENT_S + 1, 0.0)
    assert pair.host.gone == ["vanished"]


async def test_a_peer_is_followed_only_from_a_dead_route(pair: Pair) -> None:
    await pair.connect()
    here = pair.ours._way.route
    assert here is not None
    elsewhere = Route(here.transport, ("127.0.0.1", 9))
    pair.ours.on_checked(elsewhere)
    assert pair.ours._way.route is here, "media still comes from where it was nominated"
    pair.ours._there -= STRANDED_S + 1
    pair.ours.on_checked(elsewhere)
    assert pair.ours._way.route is elsewhere


async def test_events_are_sent_again_as_soon_as_a_browser_would(pair: Pair) -> None:
    await pair.theirs.setLocalDescription(await pair.theirs.createOffer())
    ours = await Peers(pair.ports).open(read_offer(pair.theirs.localDescription.sdp, spoken()), pair.host)
    assert ours._sctp._rto == RTO_INITIAL_S
    ours._sctp._update_rto(0.001)
    assert ours._sctp._rto == RTO_MIN_S
    ours._sctp._update_rto(30.0)
    assert ours._sctp._rto == RTO_MAX_S
    ours.close()


async def test_a_peer_that_never_comes_is_not_waited_for(ports: Ports) -> None:
    pair = Pair(ports)
    await pair.theirs.setLocalDescription(await pair.theirs.createOffer())
    ours = await Peers(ports).open(read_offer(pair.theirs.localDescription.sdp, spoken()), pair.host)
    now = asyncio.get_running_loop().time()
    ours.tick(now + CONNECT_S - 1, 0.0)
    assert pair.host.gone == [] and not ours.connected
    ours.tick(now + CONNECT_S + 1, 0.0)
    assert pair.host.gone == ["never connected"]
    await asyncio.sleep(0.05)
    assert not ports._lodgings
    await pair.theirs.close()


async def test_another_certificate_than_the_offered_one_is_refused(pair: Pair) -> None:
    await pair.theirs.setLocalDescription(await pair.theirs.createOffer())
    offer = read_offer(pair.theirs.localDescription.sdp, spoken())
    print_ = offer.transport.fingerprints[0]._replace(value=":".join(["00"] * 32))
    forged = offer._replace(transport=offer.transport._replace(fingerprints=(print_,)))
    pair.ours = await Peers(pair.ports).open(forged, pair.host)
    await pair.theirs.setRemoteDescription(RTCSessionDescription(pair.ours.answer, "answer"))
    await asyncio.wait_for(pair.host.ended.wait(), 10)
    assert pair.host.gone == ["not encrypted"] and not pair.ours.connected


async def test_a_channel_of_another_name_is_closed(ports: Ports) -> None:
    pair = Pair(ports)
    other = pair.theirs.createDataChannel("something else")
    closed = asyncio.Event()
    other.on("close", closed.set)
    await pair.connect()
    await asyncio.wait_for(closed.wait(), 10)
    assert pair.channel.readyState == "open"
    await pair.close()


async def test_forged_media_is_not_heard(pair: Pair) -> None:
    await pair.connect()
    heard, route = pair.host.heard, pair.ours._way.route
    assert route is not None
    for _ in range(100):
        pair.ours.on_datagram(b"\x80\x60" + bytes(60), route)
        pair.ours.on_datagram(b"\x80\xc8" + bytes(60), route)
        pair.ours.on_datagram(CLIENT_HELLO, route)
        pair.ours.on_datagram(b"\x00\x01", route)
        pair.ours.on_datagram(b"\xff", route)
    await asyncio.sleep(0.3)
    assert pair.host.gone == [] and pair.ours.connected
    assert pair.host.heard - heard < 1_000


class Spray:
    """Strangers' packets at every address of the port, as fast as one thread can."""

    def __init__(self, addresses: list[tuple[str, int]]) -> None:
        self._addresses = [each for each in addresses if ":" not in each[0]]
        self._stopped = threading.Event()
        self._thread = threading.Thread(target=self._run, daemon=True)
        self.sent = 0

    def __enter__(self) -> "Spray":
        self._thread.start()
        return self

    def __exit__(self, *_: Any) -> None:
        self._stopped.set()
        self._thread.join()

    def _run(self) -> None:
        own = socket.socket(socket.AF_INET, socket.SOCK_DGRAM)
        while not self._stopped.wait(0.002):
            for address in self._addresses:
                for packet in (CLIENT_HELLO, SERVER_HELLO, ALERT, b"\x80\x60" + bytes(40)):
                    own.sendto(packet, address)
                    self.sent += 1
        own.close()


async def test_calls_survive_a_spray_of_handshakes(ports: Ports) -> None:
    """The ClientHello race (ASVS 17.2.6): all come up, and all are heard, while strangers shout."""
    addresses = [(each.host, each.port) for each in await ports.candidates()]
    pairs = [Pair(ports) for _ in range(4)]
    with Spray(addresses) as spray:
        for pair in pairs:
            await pair.connect()
        before = [pair.host.heard for pair in pairs]
        await asyncio.sleep(1.0)
        heard = [pair.host.heard - at for pair, at in zip(pairs, before, strict=True)]
    assert all(pair.ours.connected and pair.host.gone == [] for pair in pairs)
    assert min(heard) > 700
    assert spray.sent > 200 and ports.dropped > 100
    for pair in pairs:
        await pair.close()


async def test_calls_that_end_leave_nothing(ports: Ports) -> None:
    before = len(asyncio.all_tasks())
    for _ in range(8):
        pair = Pair(ports)
        await pair.connect()
        await pair.close()
    async with asyncio.timeout(10):
        while len(asyncio.all_tasks()) > before:
            await asyncio.sleep(0.02)
    assert not ports._lodgings
    assert not any(each.guests for each in ports._sockets.values())
