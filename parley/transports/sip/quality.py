"""How well a call is heard: what was lost, how unevenly it came, and what people would say of it (MOS). Pure."""

from typing import Final, NamedTuple

from parley.transports.rtc.rtp import SEQUENCES, Packet, Report

DROPOUT_MAX: Final = 3_000
"""A sequence number farther ahead begins another stream (RFC 3550 appendix A.1)."""
CODEC_DELAY_MS: Final = 30
"""Packets of 20 ms, and what the codec looks ahead."""
BURST: Final = {"opus": 30.0, "PCMU": 25.1, "PCMA": 25.1}
"""Bpl of ITU-T G.113 with concealment: how well a codec bears loss. That of Opus is our estimate."""


class Quality(NamedTuple):
    """One direction. `jitter_ms` as in RFC 3550; `mos` from 1 to 4.5 by a simple E-model (ITU-T G.107)."""

    packets: int
    lost: int
    jitter_ms: float
    mos: float


class CallQuality(NamedTuple):
    """What we hear, and what the peer says that it hears (None: it says nothing)."""

    heard: Quality
    spoken: Quality | None
    round_trip_ms: float | None


class Reception:
    """What comes of one stream."""

    def __init__(self, clock_hz: int) -> None:
        self.received = 0
        self._clock_hz = clock_hz
        self._ssrc: int | None = None
        self._expected_before = 0
        self._base = 0
        self._highest = 0
        self._transit = 0.0
        self._jitter = 0.0

    @property
    def lost(self) -> int:
        return max(0, self.expected - self.received)

    @property
    def expected(self) -> int:
        return self._expected_before + (0 if self._ssrc is None else self._highest - self._base + 1)

    @property
    def jitter_ms(self) -> float:
        return self._jitter * 1_000 / self._clock_hz

    def note(self, packet: Packet, now: float, *, sound: bool = True) -> None:
        """A packet has come. Those of keys share a timestamp, so that they say nothing about jitter."""
        transit = now * self._clock_hz - packet.timestamp
        ahead = (packet.sequence - self._highest) % SEQUENCES
        if packet.ssrc != self._ssrc or DROPOUT_MAX < ahead < SEQUENCES - DROPOUT_MAX:
            self._expected_before = self.expected
            self._ssrc, self._base, self._highest = packet.ssrc, packet.sequence, packet.sequence
        else:
            self._highest += ahead if ahead <= DROPOUT_MAX else 0
            change = abs(transit - self._transit)
            if sound and change < self._clock_hz:
                self._jitter += (change - self._jitter) / 16
        self._transit = transit
        self.received += 1

    def quality(self, codec: str, round_trip_ms: float) -> Quality:
        share = self.lost / self.expected if self.expected else 0.0
        return Quality(self.received, self.lost, self.jitter_ms, mos(codec, share, self.jitter_ms, round_trip_ms))


def reported(report: Report, sent: int, clock_hz: int, codec: str, round_trip_ms: float) -> Quality:
    """What the peer hears of us, from its report."""
    lost = max(0, report.lost)
    jitter_ms = report.jitter * 1_000 / clock_hz
    share = lost / sent if sent else 0.0
    return Quality(max(0, sent - lost), lost, jitter_ms, mos(codec, share, jitter_ms, round_trip_ms))


def round_trip_ms(report: Report, ntp: int) -> float | None:
    """From our sender report there and back (RFC 3550 6.4.1); `ntp` is now. None where it answers none of ours."""
    if not report.last_sender_report:
        return None
    units = ((ntp >> 16 & 0xFFFF_FFFF) - report.last_sender_report - report.delay) % (1 << 32)
    return units / 65.536 if units < 1 << 31 else 0.0


def mos(codec: str, loss: float, jitter_ms: float, round_trip_ms: float) -> float:
    """1 (nobody can talk) to 4.5. `loss` is a share from 0 to 1."""
    delay_ms = round_trip_ms / 2 + 2 * jitter_ms + CODEC_DELAY_MS
    late = 0.024 * delay_ms + (0.11 * (delay_ms - 177.3) if delay_ms > 177.3 else 0.0)
    percent = min(1.0, max(0.0, loss)) * 100
    damage = 95.0 * percent / (percent + BURST.get(codec, 25.1))
    rating = min(100.0, max(0.0, 93.2 - late - damage))
    return round(1 + 0.035 * rating + rating * (rating - 60) * (100 - rating) * 7e-6, 2) if rating > 0 else 1.0
