"""An hour of call between two clocks that differ, in seconds: nothing piles up, and nothing runs out. Time is given.

A quartz is off by up to 100 millionths: 360 ms in an hour. Who plays at his own pace has to give or take them somewhere;
we hear at the caller's pace, and speak at our own, and our packets say so.
"""

import random
from collections.abc import Iterator
from heapq import heappop, heappush

import pytest

from parley.audio.pacer import BEATS_MAX, SLICE_BYTES, SLICE_S, Metronome
from parley.audio.pcm import HOUSE_RATE
from parley.transports.rtc import rtp
from parley.transports.rtc.codecs import OPUS, Format
from parley.transports.rtc.leg import Leg
from parley.transports.rtc.listener import FRAME_SAMPLES, Listener
from parley.transports.rtc.reorder import WAIT_S

HOUR_S = 3_600
SLICES = round(HOUR_S / SLICE_S)
SKEWS = pytest.mark.parametrize("skew", [-100e-6, 0.0, 100e-6], ids=["slow", "equal", "fast"])
JITTER_S = 0.03
MINUTE, BLACKOUT = 3_000, 250
"""In slices."""
TYPE = 111


class Number:
    """A codec whose payload says which slice it is, and sounds like it."""

    def encode(self, pcm: bytes) -> bytes:
        return pcm[:4]

    def decode(self, payload: bytes) -> bytes:
        return payload.ljust(SLICE_BYTES, b"\0")

    def conceal(self, samples: int, following: bytes | None) -> bytes:
        return bytes(2 * samples)

    def expect_loss(self, percent: int) -> None: ...
    def restart(self) -> None: ...


FORM: Format = OPUS._replace(open=Number)


def speech(number: int) -> bytes:
    return (number + 1).to_bytes(4, "big").ljust(SLICE_BYTES, b"\0")


class Ear:
    """Notes which slices were heard, and when."""

    def __init__(self) -> None:
        self.now = 0.0
        self.heard: list[tuple[int, float]] = []

    def hear(self, pcm: bytes) -> None:
        if number := int.from_bytes(pcm[:4], "big"):
            self.heard.append((number - 1, self.now))


def journeys(skew: float, chance: random.Random, lost: float) -> Iterator[tuple[float, int]]:
    """When each packet of an hour arrives by our clock, in the order of arrival; some never do."""
    waiting: list[tuple[float, int]] = []
    for number in range(SLICES):
        sent = number * SLICE_S * (1 - skew)
        while waiting and waiting[0][0] <= sent:
            yield heappop(waiting)
        if chance.random() >= lost:
            heappush(waiting, (sent + chance.uniform(0, JITTER_S), number))
    while waiting:
        yield heappop(waiting)


@SKEWS
@pytest.mark.parametrize("lost", [0.0, 0.05])
def test_a_caller_is_heard_at_his_own_pace_for_an_hour(skew: float, lost: float) -> None:
    ear, came = Ear(), dict[int, float]()
    listener = Listener(FORM, TYPE, Number(), ear.hear)
    beat = 0.0
    for now, number in journeys(skew, random.Random(3), lost):
        while beat <= now:
            listener.fill_quiet(beat)
            beat += SLICE_S
        if (deadline := listener.deadline) is not None and deadline <= now:
            ear.now = deadline
            listener.expire(deadline)
        ear.now = came[number] = now
        packet = rtp.Packet(TYPE, number % rtp.SEQUENCES, number * 960 % rtp.TIMESTAMPS, 7, speech(number)[:4])
        listener.take(packet, now)
    ear.now += WAIT_S
    listener.expire(ear.now)
    assert [number for number, _ in ear.heard] == sorted(came), "who came was heard, once and in order"
    assert max(when - came[number] for number, when in ear.heard) <= WAIT_S + 1e-6, "and nobody waits longer, ever"
    assert abs(listener.heard - HOUR_S * HOUSE_RATE) <= 3 * SLICE_S * HOUSE_RATE, "an hour of his is an hour"


def test_blackouts_leave_nothing_behind() -> None:
    """Five seconds of nothing every minute of an hour: silence takes their place, and the clock is right again."""
    listener = Listener(FORM, TYPE, Number(), lambda pcm: None)
    for number in range(SLICES):
        now = number * SLICE_S
        listener.fill_quiet(now)
        if (deadline := listener.deadline) is not None and deadline <= now:
            listener.expire(deadline)
        since = number % MINUTE
        if since < MINUTE - BLACKOUT:
            listener.take(rtp.Packet(TYPE, number % rtp.SEQUENCES, number * 960 % rtp.TIMESTAMPS, 7, b"1234"), now)
            if since > 2 * WAIT_S / SLICE_S:
                assert listener.heard == (number + 1) * FRAME_SAMPLES


class Peer:
    """Takes what a leg sends, by a clock of its own."""

    def __init__(self, skew: float) -> None:
        self.now = 0.0
        self.skew = skew
        self.sent: list[tuple[float, rtp.Packet]] = []
        self.reports: list[tuple[float, rtp.SenderReport]] = []
        self.leg = Leg(FORM, TYPE, self, lambda pcm: None, 0.0)
        self.listening = Leg(FORM, TYPE, self, lambda pcm: None, 0.0)
        self.back: list[rtp.Report] = []

    @property
    def own(self) -> float:
        return self.now * (1 + self.skew)

    def send_rtp(self, packet: bytes) -> None:
        read = rtp.read(packet)
        assert read is not None
        self.sent.append((self.now, read))
        self.listening.on_rtp(packet, self.own)

    def send_rtcp(self, packet: bytes) -> None:
        for said in rtp.read_rtcp(packet):
            if said.ssrc == self.leg.ssrc and said.sender is not None:
                self.reports.append((self.now, said.sender))
            self.back += [report for report in said.reports if report.ssrc == self.leg.ssrc]


@SKEWS
def test_we_speak_at_our_own_pace_for_an_hour(skew: float) -> None:
    """The timestamps follow our clock, also past stalls; the reports tie the two; the peer misses nothing."""
    chance, peer, metronome = random.Random(5), Peer(skew), Metronome(0.0)
    while peer.now < HOUR_S:
        late_s = 0.7 if chance.random() < 0.000_1 else chance.uniform(0, 0.005)
        peer.now = max(peer.now, metronome.due) + late_s
        beats = metronome.beats(peer.now)
        peer.leg.skip(beats.skipped)
        for _ in range(beats.played):
            peer.leg.play(bytes(SLICE_BYTES))
        peer.leg.tick(peer.now, peer.now)
        peer.listening.tick(peer.own, peer.own)
    began, first = peer.sent[0]
    for now, packet in peer.sent:
        spoken_s = (packet.timestamp - first.timestamp) % rtp.TIMESTAMPS / 48_000
        assert -BEATS_MAX * SLICE_S - 0.005 <= spoken_s - (now - began) <= 0.006
    for now, report in peer.reports:
        said_s = (report.timestamp - first.timestamp) % rtp.TIMESTAMPS / 48_000
        assert abs(said_s - (now - began)) <= SLICE_S + 0.006, "also right after a stall"
        assert abs(report.ntp - rtp.ntp_time(now)) <= 1 << 20
    assert peer.back[-1].lost == 0 and len(peer.reports) > HOUR_S - 60
    # What the peer has heard is what we have said, by its count of our clock: an hour of ours, whatever its own says.
    assert abs(peer.listening.heard_ms / 1_000 - HOUR_S) < 1
