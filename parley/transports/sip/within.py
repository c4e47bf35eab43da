"""What comes within a running call: hold, another codec, keys, news of a transfer, the end (RFC 3261 12.2.2, 14.2)."""

import asyncio
import re
from typing import Final

from parley.errors import RequestError
from parley.transports.sip import sdp
from parley.transports.sip.call import SipCall
from parley.transports.sip.dtmf import key_in
from parley.transports.sip.grammar import words_of
from parley.transports.sip.message import Request
from parley.transports.sip.rules import DTMF_BODIES, media_type, sdp_of
from parley.transports.sip.timer import INTERVAL_MIN_S, TooShort, agree
from parley.transports.sip.transactions import Served
from parley.transports.sip.wires import Flow

_STATUS = re.compile(rb"SIP/2\.0 ([1-6][0-9]{2})")
RETRY: Final = ("Retry-After", "1")


class Within:
    """One call's."""

    def __init__(self, call: SipCall) -> None:
        self.call = call
        self._invite: Served | None = None
        """The last INVITE within the call."""

    def on_request(self, served: Served, flow: Flow) -> None:
        call, request = self.call, served.request
        if not call.dialog.in_order(request):
            call.respond(served, 500, [])
            return
        call.reached_by(flow)
        match request.method:
            case "BYE":
                call.on_bye(served)
            case "PRACK":
                call.on_prack(served, request.headers.one("rack"))
            case "INVITE" | "UPDATE":
                self._describe(served)
            case "INFO":
                self._info(served)
            case "NOTIFY":
                self._notify(served)
            case "OPTIONS":
                call.respond(served, 200, [])
            case _:  # REFER: we call nobody for others
                call.respond(served, 603, [])

    def on_ack(self, request: Request) -> None:
        call, number = self.call, request.cseq.number
        if number == call.served.request.cseq.number:
            call.on_ack(request)
        elif self._invite is not None and number == self._invite.request.cseq.number:
            call.heard(self._invite)
            call.on_answer(request)

    def on_unheard(self, served: Served) -> None:
        if served is self._invite:
            self.call.hang_up("no ACK")
        elif served is self.call.served:
            self.call.on_unheard()

    # ---- inside

    def _describe(self, served: Served) -> None:
        """A target refresh, and perhaps an offer. What cannot be agreed on leaves the call as it was (14.2)."""
        call, request = self.call, served.request
        text = sdp_of(request.headers.one("content-type"), request.body)
        if self._pending() or (request.method == "UPDATE" and text is not None and call.state != "talking"):
            call.respond(served, 500, [RETRY])
            return
        try:
            timer = agree(request)
            offer = None if text is None else sdp.read(text, call.trunk.formats, call.trunk.srtp)
        except TooShort:
            call.respond(served, 422, [("Min-SE", str(INTERVAL_MIN_S))])
            return
        except RequestError:
            call.respond(served, 488, [])
            return
        call.dialog.refresh(request)
        call.timer.refreshed(timer, asyncio.get_running_loop().time())
        more = [] if timer is None else timer.headers(required="timer" in words_of(request.headers.all("supported")))
        if request.method == "INVITE":
            self._invite = served
        body = call.describe(offer) if request.method == "INVITE" or offer is not None else ""
        call.respond(served, 200, more, body)

    def _pending(self) -> bool:
        """Another INVITE is still under way."""
        before = self._invite or self.call.served
        return not before.acknowledged

    def _info(self, served: Served) -> None:
        request = served.request
        self.call.respond(served, 200, [])
        if media_type(request) in DTMF_BODIES and (key := key_in(request.body)) is not None:
            self.call.on_key(key, "info")

    def _notify(self, served: Served) -> None:
        request = served.request
        if request.headers.one("event").partition(";")[0].strip().lower() != "refer":
            self.call.respond(served, 481, [])
            return
        self.call.respond(served, 200, [])
        if (found := _STATUS.match(request.body)) is not None:
            self.call.on_transfer(int(found[1]))
