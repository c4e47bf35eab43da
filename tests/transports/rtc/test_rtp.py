"""RTP and RTCP, against aiortc's reading of the same bytes, and against rubbish."""

import random

from aiortc.rtp import RtcpPacket as Oracle
from aiortc.rtp import RtcpRrPacket, RtcpSdesPacket, RtcpSrPacket, RtpPacket
from hypothesis import given
from hypothesis import strategies as st

from parley.transports.rtc import rtp
from parley.transports.rtc.rtp import Packet, Report, Rtcp, SenderReport


def test_what_we_write_others_read() -> None:
    ours = Packet(111, 65_535, 4_294_967_295, 0xDEADBEEF, b"sound")
    theirs = RtpPacket.parse(rtp.write(ours, marker=True))
    assert (theirs.payload_type, theirs.sequence_number, theirs.timestamp, theirs.ssrc) == ours[:4]
    assert theirs.payload == b"sound" and theirs.marker == 1
    assert rtp.read(rtp.write(ours)) == ours


def test_what_others_write_we_read() -> None:
    theirs = RtpPacket(payload_type=0, sequence_number=7, timestamp=8, marker=1)
    theirs.ssrc, theirs.csrc, theirs.payload = 9, [1, 2], b"abc"
    assert rtp.read(theirs.serialize()) == Packet(0, 7, 8, 9, b"abc")
    extended = bytes.fromhex("90eb0001 00000002 00000003 bede0001 10aabb00".replace(" ", "")) + b"abc"
    assert rtp.read(extended) == Packet(107, 1, 2, 3, b"abc")
    padded = bytes.fromhex("a0eb0001 00000002 00000003".replace(" ", "")) + b"abc\0\0\x03"
    assert rtp.read(padded) == Packet(107, 1, 2, 3, b"abc")


@given(st.binary(max_size=60))
def test_rubbish_is_nothing(rubbish: bytes) -> None:
    packet = rtp.read(rubbish)
    assert packet is None or len(packet.payload) <= len(rubbish) - rtp.HEADER_BYTES
    assert isinstance(rtp.read_rtcp(rubbish), list)


def test_lengths_that_lie_are_refused() -> None:
    chance = random.Random(2)
    whole = bytes.fromhex("b2eb0001 00000002 00000003 00000001 00000002 bede0002 1000000010000000".replace(" ", ""))
    assert rtp.read(whole + b"x\0\x02") == Packet(107, 1, 2, 3, b"x")
    for size in range(len(whole)):
        packet = rtp.read(whole[:size])
        assert packet is None or chance, "no exception"
    assert rtp.read(whole + b"\xff") is None, "more padding than there is packet"
    assert rtp.read(b"\x40" + bytes(20)) is None, "another version"


def test_reports_as_others_read_them() -> None:
    report = Report(ssrc=5, fraction_lost=64, lost=-3, highest=70_000, jitter=12, last_sender_report=77, delay=65_536)
    rtcp = Rtcp(6, SenderReport(rtp.ntp_time(0.5), 48_000, 10, 800), (report,))
    written = rtp.write_rtcp(rtcp, "somebody")
    assert len(written) % 4 == 0 and rtp.is_rtcp(written)
    sender, description = Oracle.parse(written)
    assert isinstance(sender, RtcpSrPacket) and isinstance(description, RtcpSdesPacket)
    assert sender.ssrc == 6 and sender.sender_info.packet_count == 10 and sender.sender_info.rtp_timestamp == 48_000
    assert sender.sender_info.ntp_timestamp == rtp.NTP_EPOCH_S << 32 | 1 << 31
    theirs = sender.reports[0]
    assert (theirs.ssrc, theirs.fraction_lost, theirs.packets_lost, theirs.highest_sequence) == (5, 64, -3, 70_000)
    assert (theirs.jitter, theirs.lsr, theirs.dlsr) == (12, 77, 65_536)
    assert description.chunks[0].items == [(1, b"somebody")]
    assert rtp.read_rtcp(written) == [rtcp]


def test_a_report_without_sending() -> None:
    written = rtp.write_rtcp(Rtcp(6, None, ()), "x")
    assert isinstance(Oracle.parse(written)[0], RtcpRrPacket)
    assert rtp.read_rtcp(written) == [Rtcp(6, None, ())]


def test_what_is_not_a_report_is_passed_over() -> None:
    bye = bytes.fromhex("81cb0001 00000006".replace(" ", ""))
    assert rtp.read_rtcp(bye + rtp.write_rtcp(Rtcp(6, None, ()), "x")) == [Rtcp(6, None, ())]
    cut = rtp.write_rtcp(Rtcp(6, None, (Report(1, 0, 0, 0, 0),)), "x")[:20]
    assert rtp.read_rtcp(cut) == []
