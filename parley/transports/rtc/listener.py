"""The way in: RTP packets become house sound on the caller's own clock.

    RTP --> Reorder --> place on the clock --> conceal, fill --> decode --> hear(pcm), at once

The clock is what was heard, without holes: what got lost is concealed, what was never sent (pauses of DTX, a track that
is switched off) is silence. Where timestamps tell how long a gap was they are believed. While nothing comes at all
silence is heard in real time, so that a turn ends also when its microphone does.
"""

from collections.abc import Callable
from typing import Final

from parley.audio.pcm import HOUSE_RATE, SAMPLE_BYTES, ms_to_samples
from parley.transports.rtc.codecs import Broken, Codec, Format
from parley.transports.rtc.reorder import Ordered, Reorder
from parley.transports.rtc.rtp import TIMESTAMPS, Packet, Report, SenderReport

CONCEAL_SAMPLES_MAX: Final = ms_to_samples(120)
"""What libopus conceals at once. Beyond it a guess is no better than silence."""
FRAME_SAMPLES: Final = ms_to_samples(20)
QUIET_S: Final = 0.2
"""After so long without a packet silence is heard instead. Longer than jitter, shorter than the end of a turn."""
QUIET_BEHIND_SAMPLES: Final = 2 * FRAME_SAMPLES
"""So far silence stays behind the time: the packet that ends it brings a frame, and may bring back the one before."""
JUMP_SAMPLES_MAX: Final = ms_to_samples(60_000)
"""A timestamp farther away begins another stream: nobody is given a minute of silence at once."""


class Listener:
    """One caller. `hear` takes house sound as it comes."""

    def __init__(self, form: Format, payload_type: int, codec: Codec, hear: Callable[[bytes], None]) -> None:
        self.heard = 0
        """House samples so far: the caller's clock."""
        self._form = form
        self._payload_type = payload_type
        self._codec = codec
        self._hear = hear
        self._reorder = Reorder()
        self._reception = Reception(form.clock_hz)
        self._ssrc: int | None = None
        self._timestamp = 0
        """Of the last packet, in the codec's clock …"""
        self._position = 0
        """… and where it lies on the caller's clock, in house samples."""
        self._end = 0
        """Where it ends there."""
        self._came = 0.0
        self._filled = 0
        """House samples of silence since then."""

    @property
    def deadline(self) -> float | None:
        """When to call `expire`, or None."""
        return self._reorder.deadline

    def take(self, packet: Packet, now: float) -> None:
        self._came, self._filled = now, 0
        if packet.ssrc != self._ssrc:
            self._begin(packet)
        self._reception.note(packet.timestamp, now)
        for ordered in self._reorder.push(packet, now):
            self._place(ordered)

    def expire(self, now: float) -> None:
        """Gives up on packets that are missing for too long."""
        for ordered in self._reorder.expire(now):
            self._place(ordered)

    def fill_quiet(self, now: float) -> None:
        """Nothing has come for a while: silence, as much as time has passed, in whole frames."""
        if self._ssrc is None or now - self._came < QUIET_S:
            return
        owed = int((now - self._came) * HOUSE_RATE) - QUIET_BEHIND_SAMPLES - self._filled
        whole = owed - owed % FRAME_SAMPLES
        if whole:
            self._filled += whole
            self._silence(whole)

    def told(self, ssrc: int, report: SenderReport, now: float) -> None:
        if ssrc == self._ssrc:
            self._reception.told(report, now)

    def report(self, now: float) -> Report | None:
        """How the caller's packets arrive; None before the first."""
        return None if self._ssrc is None else self._reception.report(self._ssrc, self._reorder, now)

    # ---- inside

    def _begin(self, packet: Packet) -> None:
        """The first packet, or that of another stream: it follows what was heard so far."""
        self._ssrc = packet.ssrc
        self._reorder, self._reception = Reorder(), Reception(self._form.clock_hz)
        self._timestamp, self._position, self._end = packet.timestamp, self.heard, self.heard
        self._codec.restart()

    def _place(self, ordered: Ordered) -> None:
        packet = ordered.packet
        if packet.payload_type != self._payload_type:
            return  # comfort noise, key presses: silence, which the next timestamp tells of
        self._move(packet.timestamp)
        missing = self._position - self.heard
        if ordered.lost:  # silence may have been heard in its place: what can be repaired is heard all the same
            missing = max(missing, min(self._position - self._end, FRAME_SAMPLES))
        if missing > 0 and ordered.lost:
            self._conceal(missing, packet.payload)
        elif missing > 0:
            self._silence(missing)
        before = self.heard
        try:
            self._say(self._codec.decode(packet.payload))
        except Broken:
            self._say(self._codec.conceal(FRAME_SAMPLES, None))
        self._end = self._position + self.heard - before

    def _move(self, timestamp: int) -> None:
        ticks = (timestamp - self._timestamp + TIMESTAMPS // 2) % TIMESTAMPS - TIMESTAMPS // 2
        moved = ticks * HOUSE_RATE // self._form.clock_hz
        self._timestamp = timestamp
        self._position = self._position + moved if abs(moved) <= JUMP_SAMPLES_MAX else self.heard

    def _conceal(self, samples: int, following: bytes) -> None:
        """A long gap: its edges are guessed, its middle is silence."""
        if samples > CONCEAL_SAMPLES_MAX:
            edge = CONCEAL_SAMPLES_MAX // 2
            self._guess(edge, None)
            self._silence(samples - edge - FRAME_SAMPLES)
            samples = FRAME_SAMPLES
        self._guess(samples, following)

    def _guess(self, samples: int, following: bytes | None) -> None:
        """The end of the guess is what borders on the sound that came."""
        self._say(self._codec.conceal(samples, following)[-samples * SAMPLE_BYTES :])

    def _silence(self, samples: int) -> None:
        self._say(bytes(samples * SAMPLE_BYTES))

    def _say(self, pcm: bytes) -> None:
        self.heard += len(pcm) // SAMPLE_BYTES
        self._hear(pcm)


class Reception:
    """What the caller is told about the packets of one stream (RFC 3550 6.4, appendix A)."""

    def __init__(self, clock_hz: int) -> None:
        self._clock_hz = clock_hz
        self._transit: float | None = None
        self._jitter = 0.0
        self._expected_before = 0
        self._received_before = 0
        self._sender_report = 0
        self._sender_report_came = 0.0

    def note(self, timestamp: int, now: float) -> None:
        """A packet has come. Jitter is the running mean of how much the journey's length changes (A.8)."""
        transit = now * self._clock_hz - timestamp
        if self._transit is not None and (change := abs(transit - self._transit)) < self._clock_hz:
            self._jitter += (change - self._jitter) / 16
        self._transit = transit

    def told(self, report: SenderReport, now: float) -> None:
        self._sender_report = report.ntp >> 16 & 0xFFFF_FFFF
        self._sender_report_came = now

    def report(self, ssrc: int, reorder: Reorder, now: float) -> Report:
        """Since the last report, and in all (A.3)."""
        expected, received = reorder.expected, reorder.received
        due = expected - self._expected_before
        lost = due - (received - self._received_before)
        self._expected_before, self._received_before = expected, received
        delay = int((now - self._sender_report_came) * 65_536) if self._sender_report else 0
        return Report(
            ssrc=ssrc,
            fraction_lost=min(255, (lost << 8) // due) if due > 0 and lost > 0 else 0,
            lost=expected - received,
            highest=reorder.highest,
            jitter=int(self._jitter),
            last_sender_report=self._sender_report,
            delay=delay,
        )
