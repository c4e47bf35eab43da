"""What every request must be before anybody looks at what it wants (RFC 3261 8.2). Pure."""

from typing import Final, NamedTuple

from parley.transports.sip.grammar import Broken, read_address, read_uri, scheme_of, words_of
from parley.transports.sip.message import Request

METHODS: Final = ("INVITE", "ACK", "CANCEL", "BYE", "OPTIONS", "UPDATE", "PRACK", "INFO", "NOTIFY", "REFER")
"""What we understand. REFER from outside is understood, and declined: we call nobody for others."""
KNOWN: Final = (*METHODS, "REGISTER", "SUBSCRIBE", "PUBLISH", "MESSAGE")
"""Methods that exist."""
EXTENSIONS: Final = ("100rel", "timer")
"""Option tags that a peer may require of us."""
SDP: Final = "application/sdp"
DTMF_BODIES: Final = ("application/dtmf-relay", "application/dtmf")
BODIES: Final = (SDP, "multipart/mixed", *DTMF_BODIES, "message/sipfrag")
"""What a request may carry."""

ALLOW: Final = ("Allow", ", ".join(METHODS))
SUPPORTED: Final = ("Supported", ", ".join(EXTENSIONS))
ACCEPT: Final = ("Accept", ", ".join((SDP, "multipart/mixed", *DTMF_BODIES)))


class Refusal(NamedTuple):
    """How to answer a request that nobody needs to see."""

    status: int
    headers: tuple[tuple[str, str], ...] = ()


def refusal(request: Request) -> Refusal | None:
    """None: it may be looked at. ACK is never answered, so it is never refused; neither is CANCEL for what it wants."""
    if request.method in ("ACK", "CANCEL"):
        return None
    if request.method not in METHODS:
        return Refusal(405 if request.method in KNOWN else 501, (ALLOW,))
    if scheme_of(request.uri) not in ("sip", "sips", "tel"):
        return Refusal(416)
    unknown = [tag for tag in _tags(request, "require") if tag not in EXTENSIONS]
    if unknown:
        return Refusal(420, (("Unsupported", ", ".join(unknown)),))
    return _about_bodies(request)


def _tags(request: Request, key: str) -> list[str]:
    return [tag.strip() for value in request.headers.all(key) for tag in value.split(",") if tag.strip()]


def _about_bodies(request: Request) -> Refusal | None:
    kind = media_type(request)
    optional = "handling=optional" in request.headers.one("content-disposition").replace(" ", "").lower()
    if request.body and not optional and kind not in BODIES:
        return Refusal(415, (ACCEPT,))
    if request.headers.one("content-encoding").lower() not in ("", "identity"):
        return Refusal(415, (("Accept-Encoding", "identity"),))
    if request.method == "INVITE" and "accept" in request.headers and not _takes_sdp(request):
        return Refusal(406, (ACCEPT,))
    return None


def _takes_sdp(request: Request) -> bool:
    kinds = {word.partition(";")[0].strip() for word in words_of(request.headers.all("accept"))}
    return bool(kinds & {SDP, "application/*", "*/*"})


def media_type(request: Request) -> str:
    """In lower case and without parameters."""
    return request.headers.one("content-type").partition(";")[0].strip().lower()


def sdp_of(content_type: str, body: bytes) -> str | None:
    """The description in a body, also where it is one part of several; None where there is none."""
    kind, _, parameters = content_type.partition(";")
    if kind.strip().lower() == SDP and body.strip():
        return body.decode("utf-8", "replace")
    if kind.strip().lower() != "multipart/mixed":
        return None
    boundary = next(
        (each.partition("=")[2] for each in parameters.split(";") if each.strip().startswith("boundary=")), ""
    )
    boundary = boundary.strip().strip('"')
    for part in body.split(b"--" + boundary.encode()) if boundary else []:
        head, _, content = part.partition(b"\r\n\r\n")
        if SDP.encode() in head.lower():
            return content.decode("utf-8", "replace")
    return None


def answerable(request: Request) -> bool:
    """Whether there is somebody to answer: a Via to send by, and what the sender knows its request by."""
    try:
        return bool(request.via) and request.method != "ACK"
    except (Broken, IndexError):
        return False


def contact_of(request: Request) -> str | None:
    """The URI at which the sender is reached from now on (12.1.1); None where it says none, or not one of SIP."""
    try:
        contacts = request.headers.all("contact")
        uri = read_address(contacts[0]).uri if len(contacts) == 1 else ""
        return uri if scheme_of(uri) in ("sip", "sips") else None
    except Broken:
        return None


def called(request: Request) -> list[str]:
    """Whom a call is for: the Request-URI says it, and To where that names only the account that we registered."""
    found = []
    for uri in (request.uri, read_address(request.headers.one("to")).uri):
        if uri.lower().startswith("tel:"):
            found.append(uri[4:].partition(";")[0])
        else:
            try:
                found.append(read_uri(uri).number)
            except Broken:
                continue
    return [each for each in found if each]


def same(one: Request, other: Request) -> bool:
    """The same INVITE, come by another way (8.2.2.2)."""
    return (one.call_id, one.from_tag, one.cseq) == (other.call_id, other.from_tag, other.cseq)
