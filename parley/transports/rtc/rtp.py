"""RTP and RTCP as bytes (RFC 3550): what a media leg reads and says. Pure; no encryption, no time of its own."""

import struct
from collections.abc import Iterator
from typing import Final, NamedTuple

HEADER_BYTES: Final = 12
SEQUENCES: Final = 1 << 16
TIMESTAMPS: Final = 1 << 32
NTP_EPOCH_S: Final = 2_208_988_800
"""From 1900, where NTP begins to count, to 1970."""

SENDER_REPORT: Final = 200
RECEIVER_REPORT: Final = 201
SOURCE_DESCRIPTION: Final = 202
RTCP_TYPES: Final = range(192, 224)
"""RFC 5761: by these values of the second byte RTCP is told from RTP on one port."""

_HEADER = struct.Struct("!BBHII")
_EXTENSION = struct.Struct("!HH")
_RTCP = struct.Struct("!BBH")
_REPORT = struct.Struct("!IIIIII")
_SENDER = struct.Struct("!IQIII")
_WORD = struct.Struct("!I")
_CNAME: Final = 1
_LOSS_MAX: Final = 0x7F_FFFF


class Packet(NamedTuple):
    """One RTP packet. `timestamp` counts in the codec's clock."""

    payload_type: int
    sequence: int
    timestamp: int
    ssrc: int
    payload: bytes


def is_rtcp(datagram: bytes) -> bool:
    return len(datagram) > 1 and datagram[1] in RTCP_TYPES


def read(datagram: bytes) -> Packet | None:
    """The packet, or None for what is not one."""
    if len(datagram) < HEADER_BYTES:
        return None
    first, second, sequence, timestamp, ssrc = _HEADER.unpack_from(datagram)
    if first >> 6 != 2:
        return None
    start = HEADER_BYTES + 4 * (first & 0x0F)
    if first & 0x10:
        if len(datagram) < start + 4:
            return None
        start += 4 + 4 * _EXTENSION.unpack_from(datagram, start)[1]
    end = len(datagram) - (datagram[-1] if first & 0x20 else 0)
    if start > end:
        return None
    return Packet(second & 0x7F, sequence, timestamp, ssrc, datagram[start:end])


def write(packet: Packet, *, marker: bool = False) -> bytes:
    """`marker`: speech begins here, after a silence in which nothing was sent."""
    second = packet.payload_type | (0x80 if marker else 0)
    return _HEADER.pack(0x80, second, packet.sequence, packet.timestamp, packet.ssrc) + packet.payload


class Report(NamedTuple):
    """How a stream arrives, as its receiver tells the sender (RFC 3550 6.4.1)."""

    ssrc: int
    fraction_lost: int
    """Of 256, since the last report."""
    lost: int
    highest: int
    """Extended sequence number."""
    jitter: int
    last_sender_report: int = 0
    delay: int = 0
    """Since that sender report came, in 1/65536 s."""


class SenderReport(NamedTuple):
    """Where a sender is. `ntp` is its wall clock as a 64-bit NTP time, at which its RTP clock shows `timestamp`."""

    ntp: int
    timestamp: int
    packets: int
    octets: int


class Rtcp(NamedTuple):
    """What a compound packet says that a leg wants to know."""

    ssrc: int
    sender: SenderReport | None
    reports: tuple[Report, ...]


def ntp_time(unix_s: float) -> int:
    """64-bit NTP time."""
    return int((unix_s + NTP_EPOCH_S) * (1 << 32))


def read_rtcp(datagram: bytes) -> list[Rtcp]:
    """The reports in a compound packet; what cannot be read ends the list."""
    found = []
    for kind, count, body in _parts(datagram):
        if kind not in (SENDER_REPORT, RECEIVER_REPORT):
            continue
        start = 24 if kind == SENDER_REPORT else 4
        if len(body) < start + count * _REPORT.size:
            break
        (ssrc,) = _WORD.unpack_from(body)
        sender = SenderReport(*_SENDER.unpack_from(body)[1:]) if kind == SENDER_REPORT else None
        reports = tuple(_report(body, start + at * _REPORT.size) for at in range(count))
        found.append(Rtcp(ssrc, sender, reports))
    return found


def _parts(datagram: bytes) -> Iterator[tuple[int, int, bytes]]:
    at = 0
    while at + 8 <= len(datagram):
        first, kind, words = _RTCP.unpack_from(datagram, at)
        end = at + 4 + 4 * words
        if first >> 6 != 2 or end > len(datagram):
            return
        yield kind, first & 0x1F, datagram[at + 4 : end]
        at = end


def _report(body: bytes, at: int) -> Report:
    ssrc, loss, highest, jitter, last, delay = _REPORT.unpack_from(body, at)
    lost = loss & 0xFF_FFFF
    return Report(ssrc, loss >> 24, lost - (1 << 24) if lost >> 23 else lost, highest, jitter, last, delay)


def write_rtcp(rtcp: Rtcp, cname: str) -> bytes:
    """A compound packet: the report, and who says it."""
    body = _WORD.pack(rtcp.ssrc) if rtcp.sender is None else _SENDER.pack(rtcp.ssrc, *rtcp.sender)
    body += b"".join(_written_report(report) for report in rtcp.reports)
    kind = RECEIVER_REPORT if rtcp.sender is None else SENDER_REPORT
    name = cname.encode()
    chunk = _WORD.pack(rtcp.ssrc) + bytes((_CNAME, len(name))) + name
    chunk += bytes(4 - len(chunk) % 4)
    return _part(kind, len(rtcp.reports), body) + _part(SOURCE_DESCRIPTION, 1, chunk)


def _part(kind: int, count: int, body: bytes) -> bytes:
    return _RTCP.pack(0x80 | count, kind, len(body) // 4) + body


def _written_report(report: Report) -> bytes:
    lost = max(-_LOSS_MAX, min(_LOSS_MAX, report.lost)) & 0xFF_FFFF
    return _REPORT.pack(
        report.ssrc,
        report.fraction_lost << 24 | lost,
        report.highest & 0xFFFF_FFFF,
        report.jitter & 0xFFFF_FFFF,
        report.last_sender_report,
        report.delay,
    )
