"""One WebRTC peer: a way to it, encryption, a media leg, and its events channel.

    WAITING --(nominated route)--> SHAKING --(DTLS done)--> CONNECTED --(either side, silence)--> GONE
       +-------------- (not connected within CONNECT_S) ------------------------------------------> GONE

ICE and media are ours (`ports`, `leg`); DTLS and SCTP are aiortc's (`association`). Few of aiortc's private names are
used: the role and the two SRTP sessions of its DTLS transport, and SCTP's timers and queues, hence the pinned version.
Media packets are decrypted and heard in the call that brings them, without a task in between.
"""

import asyncio
import logging
import secrets
from collections.abc import Coroutine, Sequence
from enum import Enum, auto
from typing import Any, Final

import pylibsrtp
from aiortc import RTCCertificate, RTCDtlsTransport
from aiortc.rtcdatachannel import RTCDataChannel
from aiortc.rtcdtlstransport import RTCDtlsFingerprint, RTCDtlsParameters
from aiortc.rtcsctptransport import RTCSctpCapabilities

from parley.errors import RequestError
from parley.telemetry import note
from parley.transports.rtc import rtp
from parley.transports.rtc.association import Association
from parley.transports.rtc.base import Host
from parley.transports.rtc.leg import Leg
from parley.transports.rtc.ports import Lodging, Ports, Route
from parley.transports.rtc.sdp import ANSWERED, Candidate, Fingerprint, Local, Offer, begins, write_answer

CHANNEL_LABEL: Final = "oai-events"
"""protocol.md 1.3: the client opens it."""

CERTIFICATE_S: Final = 86_400.0
"""How long one certificate serves. It is made for 30 days; its fingerprint is all that a browser looks at."""
CONNECT_S: Final = 30.0
"""How long a client may take from its offer to an encrypted connection."""
SILENT_S: Final = 20.0
"""A peer that shows no sign of life for so long is gone: browsers check every 2.5 to 5 s (RFC 7675: at most 30)."""
STRANDED_S: Final = 1.0
"""A nominated route on which nothing comes for so long, while the peer shows up on another, is dead: media comes every
20 ms. Without it a caller whose router gave it a new port hears nothing until it nominates again, and some never do."""
FLUSH_S: Final = 1.0
"""How long last events may take to leave when we end the call."""
FLUSH_STEP_S: Final = 0.02
CHANNEL_LOW_BYTES: Final = 64 * 1024
"""A channel on which less than this waits is writable again."""
DATAGRAMS_MAX: Final = 256
"""DTLS datagrams that wait for aiortc; more are lost, and sent again by SCTP."""
EARLY_MAX: Final = 50
"""Media packets that overtake the last of the handshake: a second of sound."""

log = logging.getLogger(__name__)


class _State(Enum):
    WAITING = auto()
    SHAKING = auto()
    CONNECTED = auto()
    GONE = auto()


class _Way:
    """What aiortc's DTLS transport sees of ICE."""

    role = "controlled"

    def __init__(self) -> None:
        self.route: Route | None = None
        self._datagrams: asyncio.Queue[bytes | None] = asyncio.Queue(DATAGRAMS_MAX)

    def put(self, datagram: bytes | None) -> None:
        """None: there will be no more."""
        if datagram is None and self._datagrams.full():
            self._datagrams.get_nowait()
        if not self._datagrams.full():
            self._datagrams.put_nowait(datagram)

    async def _recv(self) -> bytes:
        datagram = await self._datagrams.get()
        if datagram is None:
            raise ConnectionError
        return datagram

    async def _send(self, datagram: bytes) -> None:
        self.send(datagram)

    def send(self, datagram: bytes) -> None:
        if self.route is not None:
            self.route.send(datagram)


class Peer:
    """Built on aiortc. It waits for its client from the moment it is made."""

    def __init__(
        self, offer: Offer, host: Host, ports: Ports, candidates: Sequence[Candidate], certificate: RTCCertificate
    ) -> None:
        loop = asyncio.get_running_loop()
        self.message_bytes_max = offer.channel.message_bytes_max if offer.channel else 0
        self._loop = loop
        self._offer = offer
        self._host = host
        self._state = _State.WAITING
        self._began = self._seen = self._there = loop.time()
        self._ports = ports
        self._lodging = ports.lodge(self)
        self._former: Lodging | None = None
        """What an ICE restart leaves, until the peer has come to the new one."""
        self._way = _Way()
        self._dtls = RTCDtlsTransport(self._way, [certificate])  # type: ignore[arg-type]
        self._dtls._set_role("client" if begins(offer) else "server")
        self._dtls.on("statechange", self._on_dtls_state)
        self._sctp = Association(self._dtls)
        self._sctp.on("datachannel", self._on_channel)
        self._channel: RTCDataChannel | None = None
        self._leg = Leg(offer.form, offer.payload_type, self, self._hear, self._began)
        self._sends = ANSWERED[offer.direction] in ("sendrecv", "sendonly")
        self._early: list[bytes] = []
        self._expiry: asyncio.TimerHandle | None = None
        self._tasks: set[asyncio.Task[None]] = set()
        self._certificate = certificate
        self._session_id = secrets.randbits(62)
        self._answers = 0
        self.answer = self._answered(offer, candidates)

    def _answered(self, offer: Offer, candidates: Sequence[Candidate]) -> str:
        self._answers += 1
        return write_answer(
            offer,
            Local(
                ufrag=self._lodging.credentials.fragment,
                password=self._lodging.credentials.password,
                fingerprint=_fingerprint(self._certificate),
                candidates=candidates,
                ssrc=self._leg.ssrc,
                cname=self._leg.cname,
                session_id=self._session_id,
                version=self._answers,
            ),
        )

    # ---- the call's side

    @property
    def connected(self) -> bool:
        return self._state is _State.CONNECTED

    @property
    def waiting_bytes(self) -> int:
        return 0 if self._channel is None else self._channel.bufferedAmount

    def play(self, pcm: bytes | None) -> None:
        self._leg.play(pcm)

    def skip(self, slices: int) -> None:
        self._leg.skip(slices)

    def tick(self, now: float, wall: float) -> None:
        match self._state:
            case _State.CONNECTED:
                self._leg.tick(now, wall)
                if now - self._seen > SILENT_S:
                    self._end("vanished")
            case _State.WAITING | _State.SHAKING:
                if now - self._began > CONNECT_S:
                    self._end("never connected")

    def say(self, message: str) -> None:
        if self._channel is not None and self._channel.readyState == "open":
            self._channel.send(message)

    async def restart(self, offer: Offer) -> str:
        if offer.transport.fingerprints != self._offer.transport.fingerprints:
            raise RequestError("invalid_sdp", "The offer is not one of the same connection.", "sdp")
        candidates = await self._ports.candidates()
        if self._former is not None:
            self._former.leave()
        self._former, self._lodging = self._lodging, self._ports.lodge(self)
        return self._answered(offer, candidates)

    def close(self) -> None:
        if self._state is not _State.GONE:
            self._state = _State.GONE
            self._spawn(self._stop(FLUSH_S))

    # ---- the network's side

    def on_checked(self, route: Route) -> None:
        self._seen = self._loop.time()
        self._follow(route)

    def on_nominated(self, lodging: Lodging, route: Route) -> None:
        if lodging is not self._lodging:
            return  # from before the restart
        self._go(route)
        if self._former is not None:
            self._former.leave()
            self._former = None
        if self._state is _State.WAITING:
            self._state = _State.SHAKING
            self._spawn(self._connect())

    def on_datagram(self, datagram: bytes, route: Route) -> None:
        self._seen = self._loop.time()
        self._follow(route)
        first = datagram[0]
        if 128 <= first < 192:  # RFC 7983
            self._on_media(datagram)
        elif 20 <= first < 64:
            self._way.put(datagram)

    def _follow(self, route: Route) -> None:
        """Goes where the peer is, when it is no longer where it asked to be spoken to: its router may have moved it."""
        if route is self._way.route:
            self._there = self._seen
        elif self._way.route is not None and self._seen - self._there > STRANDED_S:
            note(log, "peer moved", logging.DEBUG)
            self._go(route)

    def _go(self, route: Route) -> None:
        self._way.route = route
        self._there = self._loop.time()

    def _on_media(self, datagram: bytes) -> None:
        srtp: Any = self._dtls._rx_srtp  # None until there are keys
        if srtp is None:
            if len(self._early) < EARLY_MAX:
                self._early.append(datagram)
            return
        try:
            if rtp.is_rtcp(datagram):
                self._leg.on_rtcp(srtp.unprotect_rtcp(datagram), self._seen)
            else:
                self._leg.on_rtp(srtp.unprotect(datagram), self._seen)
        except pylibsrtp.Error:  # forged, replayed, or from another handshake
            return
        self._watch_gap()

    def _watch_gap(self) -> None:
        """What is missing may be waited for a little, also when nothing else comes."""
        if self._expiry is None and (deadline := self._leg.deadline) is not None:
            self._expiry = self._loop.call_at(deadline, self._expire)

    def _expire(self) -> None:
        self._expiry = None
        if self._state is not _State.GONE:
            self._leg.expire(self._loop.time())
            self._watch_gap()

    # ---- encryption and channel

    async def _connect(self) -> None:
        known = [RTCDtlsFingerprint(*each) for each in self._offer.transport.fingerprints]
        await self._dtls.start(RTCDtlsParameters(fingerprints=known))
        if self._dtls.state != "connected" or self._state is _State.GONE:
            return
        self._state = _State.CONNECTED
        note(log, "peer connected", logging.DEBUG, seconds=round(self._loop.time() - self._began, 3))
        early, self._early = self._early, []
        for datagram in early:
            self._on_media(datagram)
        if (channel := self._offer.channel) is not None:
            await self._sctp.start(RTCSctpCapabilities(channel.message_bytes_max), channel.port)

    def _on_dtls_state(self) -> None:
        if self._dtls.state == "failed":
            self._end("not encrypted")
        elif self._dtls.state == "closed":
            self._end("left")

    def _on_channel(self, channel: RTCDataChannel) -> None:
        if channel.label != CHANNEL_LABEL or self._channel is not None:
            channel.close()
            return
        self._channel = channel
        channel.bufferedAmountLowThreshold = CHANNEL_LOW_BYTES
        channel.on("message", self._on_message)
        channel.on("bufferedamountlow", self._host.on_writable)
        self._host.on_channel()

    def _on_message(self, message: str | bytes) -> None:
        if self._state is _State.GONE:
            return
        if isinstance(message, str):
            self._host.on_text(message)
        else:
            self._host.on_binary()

    # ---- media, on its way out and in

    def send_rtp(self, packet: bytes) -> None:
        srtp: Any = self._dtls._tx_srtp
        if srtp is not None and self._sends:
            self._way.send(srtp.protect(packet))

    def send_rtcp(self, packet: bytes) -> None:
        srtp: Any = self._dtls._tx_srtp
        if srtp is not None:
            self._way.send(srtp.protect_rtcp(packet))

    def _hear(self, pcm: bytes) -> None:
        if self._state is not _State.GONE:
            self._host.on_sound(pcm)

    # ---- the end

    def _end(self, reason: str) -> None:
        if self._state is not _State.GONE:
            self._state = _State.GONE
            self._sctp.leave()
            self._host.on_gone(reason)
            self._spawn(self._stop(0.0))

    async def _stop(self, flush_s: float) -> None:
        deadline = self._loop.time() + flush_s
        while self._unsent() and self._loop.time() < deadline:  # noqa: ASYNC110 - aiortc tells nobody when
            await asyncio.sleep(FLUSH_STEP_S)
        if self._expiry is not None:
            self._expiry.cancel()
        await self._sctp.stop()
        self._sctp.leave()
        await self._dtls.stop()
        self._way.put(None)
        self._dtls.remove_all_listeners()
        self._lodging.leave()
        if self._former is not None:
            self._former.leave()

    def _unsent(self) -> bool:
        """Whether the peer has not confirmed all that was said."""
        return self._channel is not None and bool(self._channel.bufferedAmount or self._sctp.unconfirmed)

    def _spawn(self, work: Coroutine[Any, Any, None]) -> None:
        task = self._loop.create_task(work)
        self._tasks.add(task)
        task.add_done_callback(self._tasks.discard)


class Peers:
    """Makes peers on the ports of this process."""

    def __init__(self, ports: Ports) -> None:
        self._ports = ports
        self._certificate: RTCCertificate | None = None
        self._certified_at = 0.0

    async def open(self, offer: Offer, host: Host) -> Peer:
        """Raises `RequestError` with `calls_unavailable` where there is no address to be reached at."""
        candidates = await self._ports.candidates()
        if not candidates:
            raise RequestError("calls_unavailable", "No UDP port could be opened for calls; the log says why.")
        return Peer(offer, host, self._ports, candidates, self._certified())

    def _certified(self) -> RTCCertificate:
        now = asyncio.get_running_loop().time()
        if self._certificate is None or now - self._certified_at > CERTIFICATE_S:
            self._certificate, self._certified_at = RTCCertificate.generateCertificate(), now
        return self._certificate


def _fingerprint(certificate: RTCCertificate) -> Fingerprint:
    """SHA-256, as it stands in SDP."""
    found = next(each for each in certificate.getFingerprints() if each.algorithm == "sha-256")
    return Fingerprint(found.algorithm, found.value)
