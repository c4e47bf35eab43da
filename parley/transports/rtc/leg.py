"""The media of one call: RTP that comes becomes house sound, slices of house sound become RTP every 20 ms.

Silence is sent too: a stream without holes keeps the listener's jitter buffer calm. Shared by WebRTC and SIP; knows
nothing of sockets or encryption, and is given the time.
"""

import secrets
from collections.abc import Callable
from typing import Final, Protocol

from parley.audio.pcm import HOUSE_RATE
from parley.transports.rtc import rtp
from parley.transports.rtc.codecs import Format
from parley.transports.rtc.listener import Listener
from parley.transports.rtc.rtp import Packet, Report, Rtcp, SenderReport

REPORT_S: Final = 1.0
"""How often each side is told how its packets arrive; a browser adapts its error correction to it."""
LOSS_PERCENT_MIN: Final = 5
"""What is always prepared for, so that the first loss of a call can be repaired too."""


class Wire(Protocol):
    """Where packets go, in clear; what cannot be sent is lost without a word."""

    def send_rtp(self, packet: bytes) -> None: ...
    def send_rtcp(self, packet: bytes) -> None: ...


class Leg:
    """Made for one negotiated format. `hear` takes house sound as it comes."""

    def __init__(self, form: Format, payload_type: int, wire: Wire, hear: Callable[[bytes], None], now: float) -> None:
        self.ssrc = secrets.randbits(32)
        self.cname = secrets.token_urlsafe(12)
        self._codec = form.open()
        self._codec.expect_loss(LOSS_PERCENT_MIN)
        self._listener = Listener(form, payload_type, self._codec, hear)
        self._form = form
        self._payload_type = payload_type
        self._wire = wire
        self._sequence = secrets.randbits(15)
        self._timestamp = secrets.randbits(32)
        self._packets = 0
        self._octets = 0
        self._loss = 0
        self._report_at = now + REPORT_S

    @property
    def heard_ms(self) -> float:
        """The caller's clock."""
        return self._listener.heard * 1_000 / HOUSE_RATE

    @property
    def deadline(self) -> float | None:
        """When to call `expire`, or None."""
        return self._listener.deadline

    # ---- what comes

    def on_rtp(self, datagram: bytes, now: float) -> None:
        packet = rtp.read(datagram)
        if packet is not None:
            self._listener.take(packet, now)

    def expire(self, now: float) -> None:
        """Gives up on packets that are missing for too long."""
        self._listener.expire(now)

    def on_rtcp(self, datagram: bytes, now: float) -> None:
        for said in rtp.read_rtcp(datagram):
            if said.sender is not None:
                self._listener.told(said.ssrc, said.sender, now)
            for report in said.reports:
                if report.ssrc == self.ssrc:
                    self._adapt(report)

    def _adapt(self, report: Report) -> None:
        """Prepares for the loss that the peer sees. Quick to believe in more, slow to believe in less."""
        self._loss = max(report.fraction_lost * 100 // 256, self._loss // 2)
        self._codec.expect_loss(max(LOSS_PERCENT_MIN, self._loss))

    # ---- what goes

    def play(self, pcm: bytes | None) -> None:
        """Sends the next slice; None: silence."""
        payload = self._form.silence if pcm is None else self._codec.encode(pcm)
        packet = Packet(self._payload_type, self._sequence, self._timestamp, self.ssrc, payload)
        self._wire.send_rtp(rtp.write(packet, marker=not self._packets))
        self._sequence = (self._sequence + 1) % rtp.SEQUENCES
        self._packets += 1
        self._octets += len(payload)
        self.skip(1)

    def skip(self, slices: int) -> None:
        """Time passes in which nothing is sent."""
        self._timestamp = (self._timestamp + slices * self._form.slice_ticks) % rtp.TIMESTAMPS

    def tick(self, now: float, wall: float) -> None:
        """Every 20 ms or so. `wall` is Unix time, for the peer's clocks."""
        self._listener.fill_quiet(now)
        if now >= self._report_at:
            self._report_at = now + REPORT_S
            self._report(now, wall)

    def _report(self, now: float, wall: float) -> None:
        about_peer = self._listener.report(now)
        mine = SenderReport(rtp.ntp_time(wall), self._timestamp, self._packets, self._octets % (1 << 32))
        rtcp = Rtcp(self.ssrc, mine, () if about_peer is None else (about_peer,))
        self._wire.send_rtcp(rtp.write_rtcp(rtcp, self.cname))
