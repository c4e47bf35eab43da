"""What two sides of a call agree on about its sound, offer by offer (RFC 3264)."""

import secrets

from parley.transports.sip import sdp
from parley.transports.sip.media import Media
from parley.transports.sip.message import Request, Response
from parley.transports.sip.rules import sdp_of
from parley.transports.sip.sdp import TURNED, Local
from parley.transports.sip.trunks import Trunk


class Negotiation:
    """Our side of it; what is agreed on goes to `media`."""

    def __init__(self, trunk: Trunk, media: Media) -> None:
        self._trunk = trunk
        self._media = media
        self._session_id = secrets.randbits(31)
        self._version = 0
        self._offered: Local | None = None
        """Our side, where we have offered and wait for the answer."""

    def read(self, message: Request | Response) -> sdp.Media | None:
        """The description in a message; None where there is none. Raises `RequestError`."""
        text = sdp_of(message.headers.one("content-type"), message.body)
        return None if text is None else sdp.read(text, self._trunk.formats, self._trunk.srtp)

    def describe(self, offer: sdp.Media | None, host: str, caller: str) -> str:
        """Our answer to an offer, which is agreed on with that; without one an offer of ours.

        `host` is where we are reached, `caller` the address that signals.
        """
        self._version += 1
        local = Local(host, self._media.port, self._session_id, self._version)
        known = self._media.ours
        if offer is None:
            self._offered = local._replace(crypto=known or sdp.own_key(self._trunk.srtp))
            return sdp.write_offer(self._offered, self._trunk.formats)
        ours = sdp.key_for(offer, () if known is None else (known,))
        self._media.agree(offer, ours, (caller,))
        return sdp.write_answer(offer, local._replace(direction=TURNED[offer.direction], crypto=ours))

    def answered(self, message: Request | Response, caller: str) -> None:
        """The answer to an offer of ours, if we wait for one. Raises `RequestError` where it is none."""
        local, self._offered = self._offered, None
        if local is None:
            return
        text = sdp_of(message.headers.one("content-type"), message.body) or ""
        agreed = sdp.read(text, self._trunk.formats, self._trunk.srtp)
        self._media.agree(agreed, local.crypto if agreed.crypto else None, (caller,))
