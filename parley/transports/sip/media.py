"""The sound of one telephone call: its two UDP ports, who may send to them, encryption, keys, and the RTP leg.

datagram --> Latch --> Vault (SRTP) --> a key: told;  sound: Leg --> hear(pcm)
play(pcm) --> Leg --> Keypad --> Vault --> where the peer's media comes from
"""

import asyncio
import random
import time
from collections.abc import Callable, Collection
from typing import Any, Final, NamedTuple

from parley.audio.pacer import SLICE_MS
from parley.errors import RequestError
from parley.transports.rtc import rtp
from parley.transports.rtc.leg import Leg
from parley.transports.rtc.rtp import Report
from parley.transports.sip import quality, sdp
from parley.transports.sip.dtmf import Keypad, Pressed
from parley.transports.sip.latch import Latch, Place
from parley.transports.sip.quality import CallQuality, Reception
from parley.transports.sip.srtp import Crypto, Vault

TRIES: Final = 64
"""Ports that are tried before there is none."""
SLICES_A_SECOND: Final = 1_000 // SLICE_MS
ROUND_TRIP_MS: Final = 60.0
"""What is taken for the way there and back until it is known."""


class Range(NamedTuple):
    """Where media may come to: the first and the last port. Each call takes an even one and the next (RFC 3550 11)."""

    first: int
    last: int


class _Port(asyncio.DatagramProtocol):
    def __init__(self, take: Callable[[bytes, Place], None]) -> None:
        self.wire: asyncio.DatagramTransport
        self._take = take

    def connection_made(self, transport: asyncio.DatagramTransport) -> None:  # type: ignore[override]
        self.wire = transport

    def datagram_received(self, data: bytes, addr: tuple[Any, ...]) -> None:
        self._take(data, Place(addr[0], addr[1]))

    def error_received(self, exc: Exception) -> None:
        """A peer that is gone makes its host complain. Its silence tells us the same."""

    def send(self, data: bytes, place: Place | None) -> None:
        if place is not None and not self.wire.is_closing():
            self.wire.sendto(data, place)


class Media:
    """`open` it, `agree` on what was negotiated, as often as that happens; then `tick` and `play` every 20 ms."""

    def __init__(self, hear: Callable[[bytes], None], press: Callable[[str], None]) -> None:
        self.port = 0
        self.heard_at: float | None = None
        """When the last packet came."""
        self.agreed: sdp.Media | None = None
        self.held = False
        """The peer does not listen."""
        self.ours: Crypto | None = None
        self._hear = hear
        self._press = press
        self._leg: Leg | None = None
        self._vault: Vault | None = None
        self._pressed = Pressed()
        self._keypad: Keypad | None = None
        self._latch, self._rtcp_latch = Latch(SLICES_A_SECOND), Latch(1)
        self._reception = Reception(8_000)
        self._reported: Report | None = None
        self._round_trip_ms: float | None = None
        self._sent = 0
        self._rtp: _Port
        self._rtcp: _Port
        self._timer: asyncio.TimerHandle | None = None

    async def open(self, host: str, ports: Range) -> None:
        """Takes two ports. Raises `RequestError` where there are none."""
        loop = asyncio.get_running_loop()
        evens = range(ports.first + ports.first % 2, ports.last, 2)
        for port in random.sample(evens, min(TRIES, len(evens))):
            try:
                _, self._rtp = await loop.create_datagram_endpoint(lambda: _Port(self._on_rtp), (host, port))
            except OSError:
                continue
            try:
                _, self._rtcp = await loop.create_datagram_endpoint(lambda: _Port(self._on_rtcp), (host, port + 1))
            except OSError:
                self._rtp.wire.close()
                continue
            self.port = port
            return
        raise RequestError("calls_unavailable", f"None of the RTP ports {ports.first} to {ports.last} is free.")

    def agree(self, agreed: sdp.Media, ours: Crypto | None, callers: Collection[str]) -> None:
        """What both sides have said. `callers`: addresses from which the peer has signalled."""
        before, now = self.agreed, self._now()
        self.agreed, self.ours = agreed, ours
        self.held = agreed.direction != "sendrecv"
        if ours is not None and agreed.crypto is not None:
            keys = (ours, agreed.crypto)
            if self._vault is None or [key.key for key in self._vault.keys] != [key.key for key in keys]:
                self._vault = Vault(*keys)
        else:
            self._vault = None
        told = Place(agreed.host, agreed.port) if agreed.host else None
        if before is None or (before.host, before.port) != (agreed.host, agreed.port):
            self._latch.open(callers, told)
            self._rtcp_latch.open(callers, told and Place(agreed.host, agreed.rtcp_port))
        if before is None or (before.form, before.payload_type) != (agreed.form, agreed.payload_type):
            self._leg = Leg(agreed.form, agreed.payload_type, self, self._hear, now)
            self._reception = Reception(agreed.form.clock_hz)
            self._sent, self._reported = 0, None
        if before is None or before.events != agreed.events:
            events = agreed.events
            self._keypad = None if events is None else Keypad(events[0], events[1] // SLICES_A_SECOND)

    @property
    def sends(self) -> bool:
        """Whether the peer wants to hear us."""
        return self.agreed is not None and self.agreed.direction in ("sendrecv", "recvonly")

    @property
    def dropped(self) -> int:
        """Packets from strangers."""
        return self._latch.dropped + self._rtcp_latch.dropped

    def close(self) -> None:
        if self._timer is not None:
            self._timer.cancel()
        if self.port:
            self._rtp.wire.close()
            self._rtcp.wire.close()
            self.port = 0

    # ---- every 20 ms

    def tick(self, now: float, wall: float) -> None:
        if self._leg is not None:
            self._leg.tick(now, wall)

    def play(self, pcm: bytes | None) -> None:
        """The next 20 ms of house sound; None: silence. Nothing goes out to who does not listen."""
        if self._leg is not None and self.sends:
            self._leg.play(pcm)

    def skip(self, slices: int) -> None:
        if self._leg is not None:
            self._leg.skip(slices)

    def press(self, keys: str) -> bool:
        """False when they cannot be pressed: no events were agreed on, or there are too many, or one is none."""
        return self._keypad is not None and self._keypad.press(keys)

    # ---- the leg's wire

    def send_rtp(self, packet: bytes) -> None:
        if self._keypad is not None and self._keypad.busy:
            packet = self._keypad.turn(packet)
        self._sent += 1
        self._rtp.send(packet if self._vault is None else self._vault.close_rtp(packet), self._latch.way())

    def send_rtcp(self, packet: bytes) -> None:
        sealed = packet if self._vault is None else self._vault.close_rtcp(packet)
        if self.agreed is not None and self.agreed.muxed:
            self._rtp.send(sealed, self._latch.way())
        else:
            self._rtcp.send(sealed, self._rtcp_latch.way())

    # ---- what comes

    def _on_rtp(self, data: bytes, source: Place) -> None:
        now = self._now()
        if self._leg is None or self.agreed is None or not self._latch.admits(source, now):
            return
        if rtp.is_rtcp(data):
            if self.agreed.muxed:
                self._report(data, now)
            return
        clear = data if self._vault is None else self._vault.open_rtp(data)
        packet = None if clear is None else rtp.read(clear)
        if clear is None or packet is None:
            return
        self._latch.heard(source, now)
        self.heard_at = now
        events = self.agreed.events
        is_key = events is not None and packet.payload_type == events[0]
        self._reception.note(packet, now, sound=not is_key)
        if is_key and (key := self._pressed.take(packet)) is not None:
            self._press(key)
        if not self.held:
            self._leg.on_rtp(clear, now)
            self._wait()

    def _on_rtcp(self, data: bytes, source: Place) -> None:
        now = self._now()
        if rtp.is_rtcp(data) and self._rtcp_latch.admits(source, now) and self._report(data, now):
            self._rtcp_latch.heard(source, now)

    def _report(self, data: bytes, now: float) -> bool:
        """False for what is no report of the peer."""
        clear = data if self._vault is None else self._vault.open_rtcp(data)
        if clear is None or self._leg is None:
            return False
        self._leg.on_rtcp(clear, now)
        for report in (each for said in rtp.read_rtcp(clear) for each in said.reports):
            if report.ssrc == self._leg.ssrc:
                self._reported = report
                trip = quality.round_trip_ms(report, rtp.ntp_time(time.time()))
                self._round_trip_ms = self._round_trip_ms if trip is None else trip
        return True

    def _wait(self) -> None:
        """For packets that are missing."""
        deadline = None if self._leg is None else self._leg.deadline
        if deadline is not None and self._timer is None:
            self._timer = asyncio.get_running_loop().call_at(deadline, self._give_up)

    def _give_up(self) -> None:
        self._timer = None
        if self._leg is not None and self.port:
            self._leg.expire(self._now())
            self._wait()

    def _now(self) -> float:
        return asyncio.get_running_loop().time()

    # ---- what it is like

    def quality(self) -> CallQuality | None:
        """None before anything was agreed on."""
        if self.agreed is None:
            return None
        form = self.agreed.form
        trip = ROUND_TRIP_MS if self._round_trip_ms is None else self._round_trip_ms
        spoken = None
        if self._reported is not None:
            spoken = quality.reported(self._reported, self._sent, form.clock_hz, form.name, trip)
        return CallQuality(self._reception.quality(form.name, trip), spoken, self._round_trip_ms)
