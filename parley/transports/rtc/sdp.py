"""Offer and answer of a WebRTC call as text (RFC 8866, RFC 9429). Pure.

We answer one audio section and, if it is offered, one data channel section, both on one transport; whatever else is
offered is refused by port 0. We never offer anything ourselves.
"""

import re
from collections.abc import Iterator, Sequence
from typing import Final, Literal, NamedTuple

from parley.errors import RequestError
from parley.transports.rtc.codecs import STATIC, Format

OFFER_CHARS_MAX: Final = 64 * 1024
SECTIONS_MAX: Final = 16
MESSAGE_BYTES_MAX: Final = 262_144
"""One message on the data channel, either way: what browsers take (protocol.md 11.1)."""
MESSAGE_BYTES_DEFAULT: Final = 65_536
"""What a peer takes that does not say (RFC 8841 6.1)."""
SCTP_PORT: Final = 5_000
HASHES: Final = ("sha-256", "sha-384", "sha-512")

Direction = Literal["sendrecv", "sendonly", "recvonly", "inactive"]
ANSWERED: Final[dict[Direction, Direction]] = {
    "sendrecv": "sendrecv",
    "sendonly": "recvonly",
    "recvonly": "sendonly",
    "inactive": "inactive",
}
"""Direction in an offer -> in its answer."""

PAYLOAD_TYPE_MAX: Final = 127
PORT_MAX: Final = 65_535
HOST_PREFERENCE: Final = 126
"""RFC 8445 5.1.2.2: the type preference of host candidates."""
STREAM: Final = "parley"
TRACK: Final = "voice"

_LINE = re.compile(r"([a-z])=([^\r]*)")
_RTPMAP = re.compile(r"([A-Za-z0-9_.-]{1,64})/(\d{1,6})(?:/(\d))?")
_SECURE = re.compile(r"(?:(?:UDP|TCP)/TLS/)?RTP/SAVPF?")
_NUMBER = re.compile(r"[0-9]{1,10}")
_ICE = re.compile(r"[A-Za-z0-9+/_=-]{4,256}")
_TOKEN = re.compile(r"[A-Za-z0-9.!#$%&'*+^_`{|}~-]{1,64}")


class Fingerprint(NamedTuple):
    """Of a certificate: `algorithm` is one of `HASHES`."""

    algorithm: str
    value: str


class Transport(NamedTuple):
    """How to reach the peer, and how to know it."""

    ufrag: str
    password: str
    fingerprints: tuple[Fingerprint, ...]
    setup: str
    """`actpass`, `active` or `passive`: who begins the DTLS handshake."""


class Channel(NamedTuple):
    """What the peer's side of the data channels takes."""

    port: int
    message_bytes_max: int


class Section(NamedTuple):
    """One `m=` line as it was offered, so that the answer can mirror it."""

    kind: str
    protocol: str
    formats: str
    mid: str | None


class Offer(NamedTuple):
    """What we need to know of an offer. `audio` and `channel_at` are positions in `sections`."""

    sections: tuple[Section, ...]
    audio: int
    form: Format
    payload_type: int
    direction: Direction
    transport: Transport
    channel_at: int | None
    channel: Channel | None


class Candidate(NamedTuple):
    """An address of ours, over UDP. Earlier ones are preferred."""

    host: str
    port: int


class Local(NamedTuple):
    """Our side of the answer."""

    ufrag: str
    password: str
    fingerprint: Fingerprint
    candidates: Sequence[Candidate]
    ssrc: int
    cname: str
    session_id: int
    version: int = 1
    """Of our description: one more with every answer of a call."""


# ---- reading


class _Lines:
    """The attributes of the session, or of one section."""

    def __init__(self) -> None:
        self._values: dict[str, list[str]] = {}

    def add(self, attribute: str) -> None:
        name, _, value = attribute.partition(":")
        self._values.setdefault(name, []).append(value)

    def all(self, name: str) -> list[str]:
        return self._values.get(name, [])

    def one(self, name: str, session: "_Lines | None" = None) -> str | None:
        """The first value, or that of the session."""
        values = self.all(name) or (session.all(name) if session is not None else [])
        return values[0] if values else None


class _Media(NamedTuple):
    kind: str
    port: str
    protocol: str
    formats: str
    lines: _Lines


def read_offer(text: str, formats: Sequence[Format]) -> Offer:
    """The offer; `formats` is what we speak, the best first.

    Raises `RequestError`: `invalid_sdp`, `unsupported_codec`.
    """
    session, media = _split(text)
    audio = _find(media, "audio")
    if audio is None:
        raise _invalid("The offer has no audio section. Add an audio track or transceiver before createOffer().")
    chosen = media[audio]
    if not _SECURE.fullmatch(chosen.protocol):
        raise _invalid(f"The audio section is not one of WebRTC: it says {chosen.protocol[:40]!r}.")
    if chosen.lines.one("rtcp-mux") is None:
        raise _invalid("The audio section does not offer rtcp-mux.")
    if session.one("ice-lite") is not None:
        raise _invalid("Both sides are ICE-lite, so that nobody would look for a way.")
    form, payload_type = _choose(chosen, formats)
    channel_at = _bundled_channel(session, media, chosen)
    return Offer(
        sections=tuple(Section(each.kind, each.protocol, each.formats, _mid(each)) for each in media),
        audio=audio,
        form=form,
        payload_type=payload_type,
        direction=_direction(chosen.lines, session),
        transport=_transport(chosen.lines, session),
        channel_at=channel_at,
        channel=None if channel_at is None else _channel(media[channel_at].lines),
    )


def _split(text: str) -> tuple[_Lines, list[_Media]]:
    """The session's attributes and the sections, as text."""
    if len(text) > OFFER_CHARS_MAX:
        raise _invalid(f"The offer is longer than {OFFER_CHARS_MAX} characters.")
    session, media = _Lines(), list[_Media]()
    for number, line in enumerate(_lines(text)):
        found = _LINE.fullmatch(line)
        if found is None or (number == 0 and line != "v=0"):
            raise _invalid("The body is not SDP. Send what createOffer() gave, beginning with 'v=0'.")
        kind, value = found.groups()
        if kind == "m":
            media.append(_media(value))
        elif kind == "a":
            (media[-1].lines if media else session).add(value)
    if not media:
        raise _invalid("The offer has no media sections.")
    if len(media) > SECTIONS_MAX:
        raise _invalid(f"The offer has more than {SECTIONS_MAX} sections.")
    return session, media


def _lines(text: str) -> Iterator[str]:
    return (line for line in text.replace("\r\n", "\n").split("\n") if line)


def _media(value: str) -> _Media:
    words = value.split(" ", 3)
    if len(words) != 4:
        raise _invalid("A media section is incomplete.")
    kind, port, protocol, formats = words
    return _Media(kind, port, protocol, formats, _Lines())


def _find(media: Sequence[_Media], kind: str) -> int | None:
    """The first section of its kind that is not switched off."""
    return next((at for at, each in enumerate(media) if each.kind == kind and _on(each)), None)


def _on(media: _Media) -> bool:
    return media.port != "0" or media.lines.one("bundle-only") is not None


def _choose(media: _Media, formats: Sequence[Format]) -> tuple[Format, int]:
    """Our best format that is offered, and its payload type."""
    offered = {name: kind for kind, name in reversed(list(_offered(media)))}
    for form in formats:
        payload_type = offered.get((form.name.lower(), form.clock_hz, form.channels))
        if payload_type is not None:
            return form, payload_type
    names = ", ".join(form.name for form in formats)
    raise RequestError(
        "unsupported_codec", f"None of the offered audio codecs is spoken here. Offer one of {names}.", "sdp"
    )


def _offered(media: _Media) -> Iterator[tuple[int, tuple[str, int, int]]]:
    """Payload type, and name in lower case, clock and channels of what it stands for."""
    named = dict(pair.split(" ", 1) for pair in media.lines.all("rtpmap") if " " in pair)
    for kind in media.formats.split(" "):
        if not kind.isascii() or not kind.isdecimal() or int(kind) > PAYLOAD_TYPE_MAX:
            continue
        if (found := _RTPMAP.fullmatch(named.get(kind, ""))) is not None:
            yield int(kind), (found[1].lower(), int(found[2]), int(found[3] or 1))
        elif (form := STATIC.get(int(kind))) is not None and kind not in named:
            yield int(kind), (form.name.lower(), form.clock_hz, form.channels)


def _direction(lines: _Lines, session: _Lines) -> Direction:
    for known in ANSWERED:
        if lines.one(known) is not None:
            return known
    return next((known for known in ANSWERED if session.one(known) is not None), "sendrecv")


def _transport(lines: _Lines, session: _Lines) -> Transport:
    ufrag, password = (lines.one(name, session) or "" for name in ("ice-ufrag", "ice-pwd"))
    if not (_ICE.fullmatch(ufrag) and _ICE.fullmatch(password)):
        raise _invalid("The offer lacks ICE credentials (ice-ufrag, ice-pwd).")
    said = lines.all("fingerprint") or session.all("fingerprint")
    pairs = [each.split(" ", 1) for each in said if " " in each]
    known = tuple(Fingerprint(name.lower(), value.strip()) for name, value in pairs if name.lower() in HASHES)
    if not known:
        raise _invalid("The offer lacks a DTLS fingerprint (sha-256 or better).")
    return Transport(ufrag, password, known, lines.one("setup", session) or "actpass")


def _bundled_channel(session: _Lines, media: Sequence[_Media], audio: _Media) -> int | None:
    """The section of the data channels, if it shares the audio's transport: we have one for both."""
    at = _find(media, "application")
    if at is None or media[at].formats != "webrtc-datachannel":
        return None
    together = {_mid(media[at]), _mid(audio)}
    groups = [group.split() for group in session.all("group")]
    bundled = any(group[0] == "BUNDLE" and together <= set(group[1:]) for group in groups if group)
    return at if bundled else None


def _mid(media: _Media) -> str | None:
    mid = media.lines.one("mid")
    if mid is not None and not _TOKEN.fullmatch(mid):
        raise _invalid("A section's mid is not a token.")
    return mid


def _channel(lines: _Lines) -> Channel:
    port, size = lines.one("sctp-port") or str(SCTP_PORT), lines.one("max-message-size") or str(MESSAGE_BYTES_DEFAULT)
    if not (_NUMBER.fullmatch(port) and _NUMBER.fullmatch(size)) or not 0 < int(port) <= PORT_MAX:
        raise _invalid("The data channel section has no valid sctp-port and max-message-size.")
    return Channel(int(port), min(int(size) or MESSAGE_BYTES_MAX, MESSAGE_BYTES_MAX))


def _invalid(message: str) -> RequestError:
    return RequestError("invalid_sdp", message, "sdp")


# ---- writing


def write_answer(offer: Offer, local: Local) -> str:
    """The answer: the offer's sections in their order, with all our candidates, for there is no trickling."""
    accepted = [at for at in range(len(offer.sections)) if at in (offer.audio, offer.channel_at)]
    mids = [mid for at in accepted if (mid := offer.sections[at].mid) is not None]
    lines = ["v=0", f"o=- {local.session_id} {local.version} IN IP4 127.0.0.1", "s=-", "t=0 0", "a=ice-lite"]
    if mids:
        lines.append(f"a=group:BUNDLE {' '.join(mids)}")
    lines.append("a=msid-semantic: WMS *")
    for at, section in enumerate(offer.sections):
        if at == offer.audio:
            lines += _answered_audio(offer, local)
        elif at == offer.channel_at:
            lines += _answered_channel(offer, section, local)
        else:
            lines += [
                f"m={section.kind} 0 {section.protocol} {section.formats}",
                "c=IN IP4 0.0.0.0",
                *_identified(section),
            ]
    return "\r\n".join((*lines, ""))


def _answered_audio(offer: Offer, local: Local) -> list[str]:
    section, form, kind = offer.sections[offer.audio], offer.form, offer.payload_type
    channels = f"/{form.channels}" if form.channels > 1 else ""
    direction = ANSWERED[offer.direction]
    lines = [
        f"m=audio {_place(local)[1]} {section.protocol} {kind}",
        _connection(local),
        "a=rtcp:9 IN IP4 0.0.0.0",
        *_identified(section),
        *_reached(offer, local),
        f"a={direction}",
        "a=rtcp-mux",
        f"a=rtpmap:{kind} {form.name}/{form.clock_hz}{channels}",
    ]
    if form.parameters:
        lines.append(f"a=fmtp:{kind} {form.parameters}")
    if direction in ("sendrecv", "sendonly"):  # without a stream a browser's `ontrack` has none to play
        lines += [f"a=msid:{STREAM} {TRACK}", f"a=ssrc:{local.ssrc} cname:{local.cname}"]
    return lines


def _answered_channel(offer: Offer, section: Section, local: Local) -> list[str]:
    return [
        f"m=application {_place(local)[1]} {section.protocol} {section.formats}",
        _connection(local),
        *_identified(section),
        *_reached(offer, local),
        f"a=sctp-port:{SCTP_PORT}",
        f"a=max-message-size:{MESSAGE_BYTES_MAX}",
    ]


def _identified(section: Section) -> list[str]:
    return [] if section.mid is None else [f"a=mid:{section.mid}"]


def _reached(offer: Offer, local: Local) -> list[str]:
    lines = [
        f"a=ice-ufrag:{local.ufrag}",
        f"a=ice-pwd:{local.password}",
        f"a=fingerprint:{local.fingerprint.algorithm} {local.fingerprint.value}",
        f"a=setup:{'active' if begins(offer) else 'passive'}",
    ]
    for at, candidate in enumerate(local.candidates):
        priority = HOST_PREFERENCE << 24 | (0xFFFF - at) << 8 | 255  # RFC 8445 5.1.2.1
        lines.append(f"a=candidate:{at + 1} 1 udp {priority} {candidate.host} {candidate.port} typ host")
    return [*lines, "a=end-of-candidates"]


def begins(offer: Offer) -> bool:
    """Whether we begin the DTLS handshake: whenever the peer leaves it to us."""
    return offer.transport.setup != "active"


def _place(local: Local) -> Candidate:
    """Where media goes by default."""
    return local.candidates[0] if local.candidates else Candidate("0.0.0.0", 9)  # noqa: S104 - means "nowhere" here


def _connection(local: Local) -> str:
    host = _place(local).host
    return f"c=IN {'IP6' if ':' in host else 'IP4'} {host}"
