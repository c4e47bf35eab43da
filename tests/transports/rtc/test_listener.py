"""The caller's clock: every millisecond that passed is heard once, as sound, as a guess, or as silence."""

import random
from collections.abc import Iterator

import numpy as np
import pytest

from parley.audio import opus
from parley.transports.rtc.codecs import OPUS, PCMA, PCMU, Format
from parley.transports.rtc.listener import Listener
from parley.transports.rtc.reorder import WAIT_S
from parley.transports.rtc.rtp import Packet, SenderReport, ntp_time
from tests.speech import recordings

SLICE = 960
TYPE = 111


class Caller:
    """Speaks a recording in packets of 20 ms."""

    def __init__(self, form: Format = OPUS, start: int = 4_294_960_000) -> None:
        self.heard = bytearray()
        self.form = form
        self.codec = form.open()
        self.listener = Listener(form, TYPE, form.open(), self.heard.extend)
        self.pcm = recordings()[0].pcm[SLICE * 20 :]
        self.start = start
        self.ssrc = 7

    def packet(self, at: int, slice_: int | None = None) -> Packet:
        """The packet with this number; `slice_` is when it was recorded, if the microphone was off in between."""
        when = at if slice_ is None else slice_
        payload = self.codec.encode(self.pcm[when * SLICE : (when + 1) * SLICE])
        timestamp = (self.start + when * self.form.slice_ticks) % (1 << 32)
        return Packet(TYPE, (65_530 + at) % 65_536, timestamp, self.ssrc, payload)

    @property
    def ms(self) -> float:
        return len(self.heard) / 48

    def loudness(self, start_ms: int, end_ms: int) -> float:
        piece = np.frombuffer(bytes(self.heard[start_ms * 48 : end_ms * 48]), "<i2").astype(float)
        return float(np.sqrt((piece**2).mean()))


@pytest.fixture
def caller() -> Iterator[Caller]:
    yield Caller()


def test_sound_is_heard_as_it_comes(caller: Caller) -> None:
    for at in range(100):
        caller.listener.take(caller.packet(at), at * 0.02)
        assert caller.ms == (at + 1) * 20
    assert caller.listener.heard == 100 * 480


@pytest.mark.parametrize("form", [OPUS, PCMU, PCMA])
def test_loss_does_not_shorten_time(form: Format) -> None:
    caller, chance = Caller(form), random.Random(4)
    kept = [at for at in range(200) if at in (0, 199) or chance.random() > 0.15]
    packets = [caller.packet(at) for at in range(200)]
    for at in kept:
        caller.listener.expire(at * 0.02)
        caller.listener.take(packets[at], at * 0.02)
    caller.listener.expire(10.0)
    assert caller.ms == 4_000
    assert caller.listener.deadline is None


def test_one_lost_packet_is_repaired_from_the_next(caller: Caller) -> None:
    caller.codec.expect_loss(30)
    packets = [caller.packet(at) for at in range(100)]
    whole = Caller()
    for at, packet in enumerate(packets):
        whole.listener.take(packet, at * 0.02)
        if at not in (25, 80):
            caller.listener.expire(at * 0.02)
            caller.listener.take(packet, at * 0.02)
    for at in (25, 80):
        here = np.frombuffer(bytes(caller.heard[at * SLICE : (at + 1) * SLICE]), "<i2").astype(float)
        there = np.frombuffer(bytes(whole.heard[at * SLICE : (at + 1) * SLICE]), "<i2").astype(float)
        assert np.corrcoef(here, there)[0, 1] > 0.9
    assert caller.ms == whole.ms == 2_000


def test_a_long_hole_is_silence_between_two_guesses(caller: Caller) -> None:
    for at in (*range(50), *range(100, 110)):
        caller.listener.take(caller.packet(at), at * 0.02)
        caller.listener.expire(at * 0.02 + WAIT_S)
    assert caller.ms == 110 * 20
    assert caller.loudness(1_080, 1_960) == 0.0


def test_reordered_packets_are_heard_in_order(caller: Caller) -> None:
    packets = [caller.packet(at) for at in range(60)]
    straight = Caller()
    for at, packet in enumerate(packets):
        straight.listener.take(packet, at * 0.02)
    for at in range(0, 60, 3):
        for other in (at, at + 2, at + 1):
            caller.listener.take(packets[other], at * 0.02)
    assert caller.heard == straight.heard


def test_a_pause_of_the_sender_is_silence_of_its_length(caller: Caller) -> None:
    caller.listener.take(caller.packet(0), 0.0)
    caller.listener.take(caller.packet(1), 0.02)
    caller.listener.take(caller.packet(2, slice_=9), 0.18)  # nothing was lost, but 140 ms were not sent
    assert caller.ms == 200
    assert caller.loudness(40, 180) == 0.0


def test_while_nothing_comes_silence_is_heard_in_real_time(caller: Caller) -> None:
    caller.listener.take(caller.packet(0), 0.0)
    for beat in range(1, 101):
        caller.listener.fill_quiet(beat * 0.02)
        assert caller.ms <= 20 + beat * 20
    assert caller.ms == 20 + 2_000 - 40
    caller.listener.take(caller.packet(1, slice_=101), 2.02)  # back again, and the clock is where it should be
    assert caller.ms == 102 * 20


def test_when_the_network_comes_back_the_clock_is_right(caller: Caller) -> None:
    """What the first packet brings back of the one before it takes the place that silence has left."""
    for at in range(50):
        caller.listener.take(caller.packet(at), at * 0.02)
    for beat in range(50, 301):
        caller.listener.fill_quiet(beat * 0.02)
    caller.listener.take(caller.packet(300), 300 * 0.02)
    caller.listener.expire(300 * 0.02 + WAIT_S)
    assert caller.ms == 301 * 20


def test_packets_that_were_only_late_are_heard_all_the_same(caller: Caller) -> None:
    caller.listener.take(caller.packet(0), 0.0)
    caller.listener.fill_quiet(0.4)
    before = caller.ms
    for at in range(1, 21):
        caller.listener.take(caller.packet(at), 0.41)
    assert caller.ms == before + 400 == 20 + 400 - 40 + 400
    caller.listener.take(caller.packet(21, slice_=41), 0.83)  # a pause takes back what was heard too much
    assert caller.ms == 42 * 20


def test_after_a_stall_loss_is_repaired_as_before(caller: Caller) -> None:
    """Packets that were late for half a second were heard after a silence: the clock is ahead, and words still count."""
    caller.codec.expect_loss(30)
    packets = [caller.packet(at) for at in range(100)]
    whole = Caller()
    for at, packet in enumerate(packets):
        whole.listener.take(packet, at * 0.02)
    for at in range(20):
        caller.listener.take(packets[at], at * 0.02)
    caller.listener.fill_quiet(0.9)
    ahead = len(caller.heard) - 20 * SLICE
    assert ahead == 24 * SLICE, "since 0.38 s, less two frames"
    for at in range(20, 100):
        if at != 80:
            caller.listener.take(packets[at], 0.9 + at * 0.001)
            caller.listener.expire(9.0)
    here = np.frombuffer(bytes(caller.heard[ahead + 80 * SLICE : ahead + 81 * SLICE]), "<i2").astype(float)
    there = np.frombuffer(bytes(whole.heard[80 * SLICE : 81 * SLICE]), "<i2").astype(float)
    assert np.corrcoef(here, there)[0, 1] > 0.9


def test_nothing_is_heard_before_the_first_packet(caller: Caller) -> None:
    caller.listener.fill_quiet(100.0)
    assert caller.ms == 0 and caller.listener.report(1.0) is None


def test_another_stream_follows_at_once(caller: Caller) -> None:
    caller.listener.take(caller.packet(0), 0.0)
    caller.ssrc, caller.start = 8, 12_345
    caller.listener.take(caller.packet(500, slice_=20), 0.02)
    assert caller.ms == 40


def test_a_timestamp_from_nowhere_gives_nobody_an_hour_of_silence(caller: Caller) -> None:
    caller.listener.take(caller.packet(0), 0.0)
    caller.listener.take(caller.packet(1)._replace(timestamp=2_000_000_000), 0.02)
    assert caller.ms == 40


def test_broken_packets_cost_their_own_time_only(caller: Caller) -> None:
    caller.listener.take(caller.packet(0), 0.0)
    caller.listener.take(caller.packet(1)._replace(payload=b"\xff" * 3), 0.02)
    caller.listener.take(caller.packet(2)._replace(payload=b""), 0.04)
    caller.listener.take(caller.packet(3), 0.06)
    assert caller.ms == 80


def test_key_presses_and_comfort_noise_are_silence(caller: Caller) -> None:
    caller.listener.take(caller.packet(0), 0.0)
    caller.listener.take(caller.packet(1)._replace(payload_type=101, payload=b"\x05\x0a\x00\xa0"), 0.02)
    caller.listener.take(caller.packet(2), 0.04)
    assert caller.ms == 60


def test_dtx_packets_of_one_byte_are_heard(caller: Caller) -> None:
    caller.listener.take(caller.packet(0), 0.0)
    caller.listener.take(caller.packet(1)._replace(payload=opus.SILENCE[:1]), 0.02)
    assert caller.ms == 40


def test_packets_of_other_lengths_are_heard_too() -> None:
    caller = Caller(PCMU)
    for at in range(10):
        caller.listener.take(Packet(TYPE, at, at * 480, 7, b"\xff" * 480), at * 0.06)
    assert caller.ms == 600


def test_reports_count_what_got_lost(caller: Caller) -> None:
    for at in range(100):
        if at % 4:
            caller.listener.take(caller.packet(at), at * 0.02)
            caller.listener.expire(at * 0.02)
    caller.listener.told(7, SenderReport(ntp_time(1_000.0), 0, 0, 0), 2.0)
    report = caller.listener.report(2.5)
    assert report is not None
    assert report.lost == 24 and 60 <= report.fraction_lost <= 66
    assert report.jitter < 100 and report.delay == 32_768
    assert report.last_sender_report == ntp_time(1_000.0) >> 16 & 0xFFFF_FFFF
    again = caller.listener.report(3.0)
    assert again is not None and again.fraction_lost == 0 and again.lost == 24
