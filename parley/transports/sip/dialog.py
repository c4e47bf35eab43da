"""What two sides of a call have agreed on to find each other (RFC 3261 section 12). Pure."""

import secrets
from collections.abc import Iterable
from typing import Final

from parley.transports.sip.grammar import MAGIC, Broken, read_address, read_uri
from parley.transports.sip.message import Headers, Request, Response
from parley.transports.sip.rules import contact_of

MAX_FORWARDS: Final = ("Max-Forwards", "70")
TAG_BYTES: Final = 8


def new_tag() -> str:
    return secrets.token_hex(TAG_BYTES)


def new_branch() -> str:
    return MAGIC + secrets.token_hex(12)


class Dialog:
    """As the side that was called. `via` is our `host:port`, `contact` our URI."""

    def __init__(self, invite: Request, contact: str, *, transport: str, via: str) -> None:
        self.call_id = invite.call_id
        self.local_tag = new_tag()
        self.remote_tag = invite.from_tag
        self.contact = contact
        self._transport = transport
        self._via = via
        to = invite.headers.one("to")
        self._local = f"{to};tag={self.local_tag}"
        self._remote = invite.headers.one("from")
        self._target = contact_of(invite) or read_address(self._remote).uri
        self._routes = invite.headers.all("record-route")
        self._remote_number = invite.cseq.number
        self._local_number = secrets.randbits(16)

    def moved(self, transport: str, via: str, contact: str) -> None:
        """We are reached by another way from now on."""
        self._transport, self._via, self.contact = transport, via, contact

    def owns(self, request: Request) -> bool:
        """Whether a request was sent within this dialog."""
        return (request.call_id, request.to_tag, request.from_tag) == (self.call_id, self.local_tag, self.remote_tag)

    def in_order(self, request: Request) -> bool:
        """Whether it is newer than those before (12.2.2). Remembers it."""
        number = request.cseq.number
        if number <= self._remote_number:
            return False
        self._remote_number = number
        return True

    def refresh(self, message: Request | Response) -> None:
        """A target refresh: the peer is at its new Contact."""
        if isinstance(message, Request):
            self._target = contact_of(message) or self._target
        elif contacts := message.headers.all("contact"):
            self._target = read_address(contacts[0]).uri

    def request(self, method: str, more: Iterable[tuple[str, str]] = (), body: bytes = b"") -> Request:
        """The next request to the peer."""
        self._local_number += 1
        return self._made(method, self._local_number, new_branch(), more, body)

    def again(self, request: Request, header: tuple[str, str]) -> Request:
        """The same request with something more in it, as a new one."""
        self._local_number += 1
        own = {"via", "max-forwards", "route", "from", "to", "call-id", "cseq", "contact"}
        more = [*(each for each in request.headers if each.key not in own), header]
        return self._made(request.method, self._local_number, new_branch(), more, request.body)

    def ack(self, invite: Request, response: Response) -> Request:
        """Of an INVITE of ours: a transaction of its own for 2xx, else a part of it (13.2.2.4, 17.1.1.3)."""
        branch = new_branch() if response.status < 300 else invite.via.branch
        return self._made("ACK", invite.cseq.number, branch, (), b"")

    def _made(self, method: str, number: int, branch: str, more: Iterable[tuple[str, str]], body: bytes) -> Request:
        uri, routes = self._way()
        headers = [
            ("Via", f"SIP/2.0/{self._transport.upper()} {self._via};rport;branch={branch}"),
            MAX_FORWARDS,
            *(("Route", route) for route in routes),
            ("From", self._local),
            ("To", self._remote),
            ("Call-ID", self.call_id),
            ("CSeq", f"{number} {method}"),
            ("Contact", f"<{self.contact}>"),
            *more,
        ]
        return Request(method, uri, Headers(headers), body)

    def _way(self) -> tuple[str, list[str]]:
        """Request-URI and Route (12.2.1.1); a first hop that is no loose router gets itself as the Request-URI."""
        if not self._routes:
            return self._target, []
        first = read_address(self._routes[0]).uri
        if _is_loose(first):
            return self._target, self._routes
        return first, [*self._routes[1:], f"<{self._target}>"]


def _is_loose(uri: str) -> bool:
    """Whether a hop is a loose router; what is no SIP URI cannot be asked by its own name."""
    try:
        return "lr" in read_uri(uri).parameters
    except Broken:
        return True
