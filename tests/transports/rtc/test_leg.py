"""A leg talks to another leg: what one plays the other hears, and both learn how it arrives."""

import random

import numpy as np
import pytest

from parley.transports.rtc import rtp
from parley.transports.rtc.codecs import OPUS, PCMA, PCMU, Format
from parley.transports.rtc.leg import LOSS_PERCENT_MIN, REPORT_S, Leg
from tests.speech import recordings

SLICE = 960


class Line:
    """A wire that loses packets, and keeps those that are left."""

    def __init__(self, loss: float = 0.0) -> None:
        self.rtp: list[bytes] = []
        self.rtcp: list[bytes] = []
        self._loss = loss
        self._chance = random.Random(5)

    def send_rtp(self, packet: bytes) -> None:
        if self._chance.random() >= self._loss:
            self.rtp.append(packet)

    def send_rtcp(self, packet: bytes) -> None:
        self.rtcp.append(packet)


def converse(form: Format, loss: float, slices: int) -> tuple[Leg, Leg, bytes, Line, Line]:
    """One side speaks, the other listens; both report."""
    there, back = Line(loss), Line()
    heard = bytearray()
    speaker = Leg(form, 111, there, lambda pcm: None, 0.0)
    listener = Leg(form, 111, back, heard.extend, 0.0)
    pcm = recordings()[0].pcm
    for at in range(slices):
        now = at * 0.02
        speaker.play(pcm[at * SLICE : (at + 1) * SLICE] if at % 50 < 40 else None)
        for line, leg in ((there, listener), (back, speaker)):
            for packet in line.rtp:
                leg.on_rtp(packet, now)
            for packet in line.rtcp:
                leg.on_rtcp(packet, now)
            line.rtp.clear()
        listener.expire(now)
        speaker.tick(now, 1_000_000.0 + now)
        listener.tick(now, 1_000_000.0 + now)
    return speaker, listener, bytes(heard), there, back


@pytest.mark.parametrize("form", [OPUS, PCMU, PCMA])
def test_what_is_played_is_heard(form: Format) -> None:
    _, listener, heard, there, back = converse(form, 0.0, 200)
    assert listener.heard_ms == 4_000
    said = np.frombuffer(recordings()[0].pcm[: 40 * SLICE], "<i2").astype(float)
    got = np.frombuffer(heard[: 40 * SLICE], "<i2").astype(float)
    delay = int(np.argmax(np.correlate(got, said, "full")[len(said) - 1 : len(said) + 480]))
    assert delay <= 240
    assert np.corrcoef(said[: len(said) - delay], got[delay:])[0, 1] > 0.9
    assert len(there.rtcp) == len(back.rtcp) == int(3.98 / REPORT_S)


def test_both_learn_how_it_arrives() -> None:
    speaker, _, _, there, back = converse(OPUS, 0.3, 300)
    reports = [report for packet in back.rtcp for said in rtp.read_rtcp(packet) for report in said.reports]
    assert reports[-1].ssrc == speaker.ssrc
    assert 60 <= reports[-1].lost <= 120
    assert speaker._loss > LOSS_PERCENT_MIN
    (first, *_) = rtp.read_rtcp(there.rtcp[-1])
    assert first.sender is not None and first.sender.packets == 251


def test_a_report_about_somebody_else_changes_nothing() -> None:
    leg = Leg(OPUS, 111, Line(), lambda pcm: None, 0.0)
    report = rtp.Report(ssrc=leg.ssrc + 1, fraction_lost=255, lost=9, highest=9, jitter=0)
    leg.on_rtcp(rtp.write_rtcp(rtp.Rtcp(1, None, (report,)), "x"), 0.0)
    assert leg._loss == 0


def test_time_that_was_lost_shows_in_the_timestamps_only() -> None:
    line = Line()
    leg = Leg(OPUS, 111, line, lambda pcm: None, 0.0)
    leg.play(None)
    leg.skip(10)
    leg.play(None)
    first, second = (rtp.read(packet) for packet in line.rtp)
    assert first is not None and second is not None
    assert (second.sequence - first.sequence) % 65_536 == 1
    assert (second.timestamp - first.timestamp) % (1 << 32) == 11 * 960


def test_rubbish_is_not_heard() -> None:
    heard = bytearray()
    leg = Leg(OPUS, 111, Line(), heard.extend, 0.0)
    leg.on_rtp(b"", 0.0)
    leg.on_rtp(b"\x80" * 11, 0.0)
    leg.on_rtcp(b"\x80\xc8", 0.0)
    assert not heard and leg.deadline is None
