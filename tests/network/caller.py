"""A phone for bad networks: speaks Opus with in-band FEC, as browsers do, and hears what a patient listener would.

aiortc's own receiver neither conceals nor repairs. So packets are kept as they come, and decoded when they are asked
for: in order, with what FEC gives back and concealment for the rest.
"""

import fractions
import time
from typing import Any, Final

from av import Packet as Encoded

from parley.audio import opus
from parley.transports.rtc import rtp
from tests.speech import HOUSE_RATE_HZ
from tests.transports.rtc.phone import SLICE, Mouth, Phone

FRAME: Final = SLICE // 2
LOSS_PERCENT: Final = 15
"""What the caller prepares for; a browser learns it from the receiver's reports."""
CLOCK_HZ: Final = 48_000
HOLE_MAX: Final = 6
"""Frames that libopus conceals at once."""


class Opus(Mouth):
    """Gives packets instead of frames: aiortc's encoder knows no FEC."""

    def __init__(self) -> None:
        super().__init__()
        self._encoder = opus.Encoder(HOUSE_RATE_HZ)
        self._encoder.expect_loss(LOSS_PERCENT)

    async def recv(self) -> Any:
        frame = await super().recv()
        packet = Encoded(self._encoder.encode(bytes(frame.planes[0])[:SLICE]))
        packet.pts, packet.time_base = frame.pts, fractions.Fraction(1, HOUSE_RATE_HZ)
        return packet


class Caller(Phone):
    def __init__(self, base_url: str, key: str) -> None:
        super().__init__(base_url, key)
        self._mouth = Opus()
        self.peer.getTransceivers()[0].sender.replaceTrack(self._mouth)
        self._packets: dict[int, rtp.Packet] = {}
        """By extended sequence number."""
        self._highest = 0
        self.heard_at = 0.0
        """When the last packet came."""

    async def call(self, session: dict[str, Any] | None = None, path: str = "/v1/realtime/calls") -> None:
        self._listen_in()
        await super().call(session, path)

    @property
    def mark(self) -> int:
        """Now, as a place in what is heard."""
        return self._highest + 1

    def sound(self, start: int) -> bytes:
        """What was heard since that mark."""
        decoder = opus.Decoder(HOUSE_RATE_HZ)
        heard, before = bytearray(), start - 1
        for at in sorted(at for at in self._packets if at >= start):
            payload = self._packets[at].payload
            missing = at - before - 1
            if missing > HOLE_MAX:
                heard += bytes((missing - HOLE_MAX) * SLICE)
            if missing:
                heard += decoder.conceal(min(missing, HOLE_MAX) * FRAME, payload)
            heard += decoder.decode(payload)
            before = at
        return bytes(heard)

    def concealed(self, start: int) -> float:
        """The share of packets since that mark which never came."""
        came = [at for at in self._packets if at >= start]
        return 1 - len(came) / (max(came) - start + 1)

    def _listen_in(self) -> None:
        transport: Any = self.peer.getTransceivers()[0].receiver.transport
        handle = transport._handle_rtp_data

        async def spy(data: bytes, **more: Any) -> None:
            if (packet := rtp.read(data)) is not None:
                self._keep(packet)
            await handle(data, **more)

        transport._handle_rtp_data = spy

    def _keep(self, packet: rtp.Packet) -> None:
        ahead = (packet.sequence - self._highest + rtp.SEQUENCES // 2) % rtp.SEQUENCES - rtp.SEQUENCES // 2
        at = self._highest + ahead if self._packets else packet.sequence
        self._packets[at] = packet
        self._highest = max(self._highest, at) if len(self._packets) > 1 else at
        self.heard_at = time.monotonic()
