"""What a telephone offers and what we answer, as text (RFC 8866, RFC 3264). Pure.

One audio section is taken, an encrypted one rather than another; every other section is refused by port 0.
"""

import ipaddress
import re
from collections.abc import Collection, Iterator, Sequence
from typing import Final, Literal, NamedTuple

from parley.audio.pacer import SLICE_MS
from parley.errors import RequestError
from parley.transports.rtc.codecs import STATIC, Format
from parley.transports.sip.srtp import SUITES, Crypto, new_crypto, read_crypto

SDP_CHARS_MAX: Final = 32_768
SECTIONS_MAX: Final = 16
PORT_MAX: Final = 65_535
PAYLOAD_TYPE_MAX: Final = 127
EVENTS: Final = "0-15"
"""Key presses: 0 to 9, *, #, A to D (RFC 4733 3.2)."""
OUR_TYPES: Final = {"opus": 111, "PCMU": 0, "PCMA": 8}
"""Payload types in an offer of ours."""
OUR_EVENTS: Final = 101
COMFORT: Final = 13
"""Payload type of comfort noise at 8 kHz (RFC 3389)."""
PLAIN: Final = ("RTP/AVP", "RTP/AVPF")
SECURE: Final = ("RTP/SAVP", "RTP/SAVPF")

Direction = Literal["sendrecv", "sendonly", "recvonly", "inactive"]
TURNED: Final[dict[Direction, Direction]] = {
    "sendrecv": "sendrecv",
    "sendonly": "recvonly",
    "recvonly": "sendonly",
    "inactive": "inactive",
}
"""What one side says -> what the other does."""
Security = Literal["never", "offered", "always"]
"""Whether media is encrypted: not at all, where the peer offers it, or else there is no call."""

_LINE = re.compile(r"([a-z])=(.*)")
_RTPMAP = re.compile(r"([A-Za-z0-9_.-]{1,64})/([0-9]{1,6})(?:/([0-9]))?")
_DIGITS = re.compile(r"[0-9]{1,5}")
_NAME = re.compile(r"[!-~]{1,64}")


class Section(NamedTuple):
    """One `m=` line as it was offered, so that the answer can mirror it."""

    kind: str
    protocol: str
    formats: str


class Media(NamedTuple):
    """The audio that two sides have in common, from what one of them said."""

    sections: tuple[Section, ...]
    at: int
    """Which of the sections it is."""
    form: Format
    payload_type: int
    events: tuple[int, int] | None
    """Payload type and clock of key presses."""
    comfort: bool
    """Silence may come as comfort noise."""
    host: str
    """Where media is to go; empty where that is no address."""
    port: int
    rtcp_port: int
    direction: Direction
    """As its sender sees it."""
    crypto: Crypto | None

    @property
    def muxed(self) -> bool:
        """RTP and RTCP share a port (RFC 5761)."""
        return self.rtcp_port == self.port


class Local(NamedTuple):
    """Our side."""

    host: str
    port: int
    session_id: int
    version: int
    direction: Direction = "sendrecv"
    crypto: Crypto | None = None


class _Part(NamedTuple):
    """A section's lines, or the session's."""

    kind: str
    port: str
    protocol: str
    formats: str
    connection: list[str]
    attributes: list[tuple[str, str]]

    def all(self, name: str) -> list[str]:
        return [value for key, value in self.attributes if key == name]


# ---- reading


def read(text: str, formats: Sequence[Format], security: Security) -> Media:
    """The audio of an offer, or of an answer to ours; `formats` is what we speak, the best first.

    Raises `RequestError`: `invalid_sdp`, `unsupported_codec`.
    """
    session, *parts = _parts(text)
    at = _audio(parts, security)
    part = parts[at]
    form, payload_type = _choose(part, formats)
    secure = part.protocol in SECURE
    crypto = read_crypto(part.all("crypto")) if secure else None
    if secure and crypto is None:
        raise _invalid("The encrypted audio section has no a=crypto line of a suite that is spoken here.")
    host, direction = _host(part, session), _direction(part, session)
    if host in ("0.0.0.0", "::"):  # noqa: S104 - how hold was once said (RFC 3264 8.4)
        host, direction = "", "inactive" if direction in ("recvonly", "inactive") else "sendonly"
    port = int(part.port)
    return Media(
        sections=tuple(Section(each.kind, each.protocol, each.formats) for each in parts),
        at=at,
        form=form,
        payload_type=payload_type,
        events=_events(part, form),
        comfort=form.clock_hz == 8_000 and str(COMFORT) in part.formats.split(),
        host=host,
        port=port,
        rtcp_port=_rtcp_port(part, port),
        direction=direction,
        crypto=crypto,
    )


def _parts(text: str) -> list[_Part]:
    """The session's lines and those of every section."""
    if len(text) > SDP_CHARS_MAX:
        raise _invalid(f"The description is longer than {SDP_CHARS_MAX} characters.")
    parts = [_Part("", "", "", "", [], [])]
    for number, line in enumerate(line for line in text.replace("\r\n", "\n").split("\n") if line):
        found = _LINE.fullmatch(line)
        if number == 0 and line != "v=0":
            raise _invalid("The body is not a session description.")
        if found is None:
            continue  # a line of somebody's own making: what matters is read strictly
        kind, value = found.groups()
        if kind == "m":
            words = value.split(None, 3)
            if len(words) < 4 or not all(_NAME.fullmatch(word) for word in words[:3]):
                raise _invalid("A media section is incomplete.")
            parts.append(_Part(words[0], words[1].partition("/")[0], words[2], words[3].strip(), [], []))
        elif kind == "c":
            parts[-1].connection.append(value)
        elif kind == "a":
            name, _, rest = value.partition(":")
            parts[-1].attributes.append((name, rest.strip()))
    if not 2 <= len(parts) <= SECTIONS_MAX + 1:
        raise _invalid(f"There are no media sections, or more than {SECTIONS_MAX}.")
    return parts


def _audio(parts: Sequence[_Part], security: Security) -> int:
    """Which section to take."""
    wanted = (*(() if security == "never" else SECURE), *(() if security == "always" else PLAIN))
    for protocols in (SECURE, PLAIN):
        for at, part in enumerate(parts):
            fits = part.protocol in protocols and part.protocol in wanted
            if part.kind == "audio" and fits and _DIGITS.fullmatch(part.port) and 0 < int(part.port) <= PORT_MAX:
                return at
    raise _invalid(f"There is no audio section of {' or '.join(wanted)}.")


def _choose(part: _Part, formats: Sequence[Format]) -> tuple[Format, int]:
    """Opus where it is offered, else what the peer names first of what we speak."""
    spoken = {(form.name.lower(), form.clock_hz, form.channels): form for form in formats}
    common = [(spoken[name], kind) for kind, name in _offered(part) if name in spoken]
    if not common:
        names = ", ".join(form.name for form in formats)
        raise RequestError(
            "unsupported_codec", f"None of the offered codecs is spoken here. Offer one of {names}.", "sdp"
        )
    return next((pair for pair in common if pair[0].name == "opus"), common[0])


def _offered(part: _Part) -> Iterator[tuple[int, tuple[str, int, int]]]:
    """Payload type, and name in lower case, clock and channels of what it stands for."""
    named = dict(pair.split(None, 1) for pair in part.all("rtpmap") if " " in pair)
    for kind in part.formats.split():
        if not _DIGITS.fullmatch(kind) or int(kind) > PAYLOAD_TYPE_MAX:
            continue
        if (found := _RTPMAP.fullmatch(named.get(kind, "").strip())) is not None:
            yield int(kind), (found[1].lower(), int(found[2]), int(found[3] or 1))
        elif (form := STATIC.get(int(kind))) is not None and kind not in named:
            yield int(kind), (form.name.lower(), form.clock_hz, form.channels)


def _events(part: _Part, form: Format) -> tuple[int, int] | None:
    """Of the codec's own clock where there is one, as RFC 4733 2.4.1 wants it."""
    found = [(kind, name[1]) for kind, name in _offered(part) if name[0] == "telephone-event"]
    return next((pair for pair in found if pair[1] == form.clock_hz), found[0] if found else None)


def _host(part: _Part, session: _Part) -> str:
    words = next(iter(part.connection or session.connection), "").split()
    host = words[2].partition("/")[0] if len(words) == 3 else ""
    try:
        return str(ipaddress.ip_address(host))
    except ValueError:
        return ""


def _direction(part: _Part, session: _Part) -> Direction:
    for lines in (part, session):
        for known in TURNED:
            if any(name == known for name, _ in lines.attributes):
                return known
    return "sendrecv"


def _rtcp_port(part: _Part, port: int) -> int:
    if any(name == "rtcp-mux" for name, _ in part.attributes):
        return port
    said = next(iter(part.all("rtcp")), "").partition(" ")[0]
    return int(said) if _DIGITS.fullmatch(said) and 0 < int(said) <= PORT_MAX else min(port + 1, PORT_MAX)


def _invalid(message: str) -> RequestError:
    return RequestError("invalid_sdp", message, "sdp")


# ---- writing


def write_answer(offer: Media, local: Local) -> str:
    lines = _session(local)
    for at, section in enumerate(offer.sections):
        if at == offer.at:
            lines += _answered(offer, section, local)
        else:
            lines.append(f"m={section.kind} 0 {section.protocol} {section.formats}")
    return "\r\n".join((*lines, ""))


def _session(local: Local) -> list[str]:
    where = _where(local.host)
    return ["v=0", f"o=- {local.session_id} {local.version} {where}", "s=-", f"c={where}", "t=0 0"]


def _where(host: str) -> str:
    return f"IN {'IP6' if ':' in host else 'IP4'} {host}"


def _answered(offer: Media, section: Section, local: Local) -> list[str]:
    form, kind = offer.form, offer.payload_type
    kinds = [str(kind)]
    lines = _named(form, kind)
    if offer.comfort:
        kinds.append(str(COMFORT))
        lines.append(f"a=rtpmap:{COMFORT} CN/8000")
    if offer.events is not None:
        kinds.append(str(offer.events[0]))
        lines += _named_events(*offer.events)
    if offer.muxed:
        lines.append("a=rtcp-mux")
    if local.crypto is not None:
        lines.append(f"a=crypto:{local.crypto.line()}")
    return [
        f"m=audio {local.port} {section.protocol} {' '.join(kinds)}",
        *lines,
        f"a=ptime:{SLICE_MS}",
        f"a={local.direction}",
    ]


def write_offer(local: Local, formats: Sequence[Format]) -> str:
    """For an INVITE that brings no offer; encrypted where `local` has a key."""
    kinds, lines = [], []
    for form in formats:
        kinds.append(str(OUR_TYPES[form.name]))
        lines += _named(form, OUR_TYPES[form.name])
    kinds.append(str(OUR_EVENTS))
    lines += _named_events(OUR_EVENTS, 8_000)
    if local.crypto is not None:
        lines.append(f"a=crypto:{local.crypto.line()}")
    protocol = PLAIN[0] if local.crypto is None else SECURE[0]
    head = f"m=audio {local.port} {protocol} {' '.join(kinds)}"
    return "\r\n".join((*_session(local), head, *lines, f"a=ptime:{SLICE_MS}", f"a={local.direction}", ""))


def _named(form: Format, kind: int) -> list[str]:
    channels = f"/{form.channels}" if form.channels > 1 else ""
    lines = [f"a=rtpmap:{kind} {form.name}/{form.clock_hz}{channels}"]
    return [*lines, f"a=fmtp:{kind} {form.parameters}"] if form.parameters else lines


def _named_events(kind: int, clock_hz: int) -> list[str]:
    return [f"a=rtpmap:{kind} telephone-event/{clock_hz}", f"a=fmtp:{kind} {EVENTS}"]


def key_for(offer: Media, before: Collection[Crypto] = ()) -> Crypto | None:
    """Our key to an encrypted offer: the same as before where nothing has changed, so that streams go on."""
    if offer.crypto is None:
        return None
    known = next((each for each in before if each.suite == offer.crypto.suite), None)
    return known._replace(tag=offer.crypto.tag) if known else new_crypto(offer.crypto.tag, offer.crypto.suite)


def own_key(security: Security) -> Crypto | None:
    """For an offer of ours."""
    suite = "AES_CM_128_HMAC_SHA1_80"
    return new_crypto("1", suite) if security == "always" and suite in SUITES else None
