"""One telephone call: what is said about it (RFC 3261), the live session that answers, and the sound between them.

    ringing --accept--> accepting --200--> answered --ACK--> talking --BYE, either way--> over
       |                    |
       +--reject, CANCEL ---+--> over

Somebody decides by `accept` or `reject`; the first one wins. Nothing is played before the ACK: until then an address is
only what somebody says.
"""

import asyncio
import logging
import secrets
import time
from collections import deque
from typing import Final, Literal

from parley.audio.pacer import Beats
from parley.auth.gate import Bearer
from parley.core.config import SessionConfig
from parley.core.events import ResponseCreate
from parley.core.inputs import Left
from parley.errors import EngineError, RequestError
from parley.live.session import LiveSession
from parley.telemetry import note
from parley.transports.sip import sdp
from parley.transports.sip.dialog import Dialog
from parley.transports.sip.dtmf import Once
from parley.transports.sip.grammar import read_address, words_of
from parley.transports.sip.house import STATUSES, House, ask
from parley.transports.sip.ladder import Ladder
from parley.transports.sip.media import Media
from parley.transports.sip.message import Header, Request, Response, answer
from parley.transports.sip.negotiation import Negotiation
from parley.transports.sip.quality import CallQuality
from parley.transports.sip.rules import ALLOW, SUPPORTED
from parley.transports.sip.speaker import Speaker
from parley.transports.sip.timer import SessionTimer, agree
from parley.transports.sip.transactions import Served
from parley.transports.sip.trunks import Number, Trunk, transfer_target
from parley.transports.sip.wires import Flow

SILENCE_S: Final = 60.0
"""A caller of whom nothing is heard for so long, and who is not on hold, is gone."""
PRESSED_MAX: Final = 200
"""Keys of one call that are kept to be looked at."""
LOOK_S: Final = 1.0
"""How often that is looked at, and the session timer."""
DECLINE: Final = 603
"""protocol.md 1.4: what rejects where no status is given."""
STATUS_MIN: Final = 300
STATUS_MAX: Final = 699
NORMAL: Final = 1_000

State = Literal["ringing", "accepting", "answered", "talking", "over"]
log = logging.getLogger(__name__)


class SipCall:
    """Made for an INVITE. The session's other side; a `Player` of the ticker."""

    def __init__(self, call_id: str, served: Served, flow: Flow, trunk: Trunk, number: Number, house: House) -> None:
        """Raises `RequestError` for an offer that cannot be answered, `TooShort`."""
        invite = served.request
        self.call_id = call_id
        self.trunk = trunk
        self.number = number
        self.caller = read_address(invite.headers.one("from")).uri
        self.called = invite.uri
        self.sip_headers = _public(invite)
        """For the webhook (protocol.md 1.7): in order, without credentials."""
        self.began_at = time.time()
        self.state: State = "ringing"
        self.reason = ""
        """Why it is over."""
        self.transfer: int | None = None
        """The last status that we were told of a transfer."""
        self.decided = asyncio.Event()
        """Somebody has, or there is nothing to decide any more."""
        self.over = asyncio.Event()
        self.ladder = Ladder()
        self.live: LiveSession | None = None
        self.flow = flow
        self.served = served
        self._house = house
        reach = house.reach(flow)
        self.dialog = Dialog(invite, reach.contact, transport=flow.transport, via=reach.via)
        self.timer = SessionTimer()
        self._agreed_timer = agree(invite)
        self.media = Media(self._hear, lambda key: self.on_key(key, "rtp"))
        self._negotiation = Negotiation(trunk, self.media)
        self._offer = self._negotiation.read(invite)
        self._speaker: Speaker | None = None
        self._rseq = secrets.randbits(16) + 1
        self._owes_bye = False
        self.pressed: deque[tuple[float, str]] = deque(maxlen=PRESSED_MAX)
        """Keys of the caller's, each with its Unix time."""
        self._keys = Once()
        self._talking_since = 0.0
        self._look_at = 0.0

    @property
    def owner(self) -> Bearer:
        """Whose the number is that was called."""
        return Bearer(self.number.account)

    @property
    def media_security(self) -> str:
        return "srtp" if self._offer is not None and self._offer.crypto is not None else "rtp"

    def quality(self) -> CallQuality | None:
        """How it is heard; None before it was answered."""
        return self.media.quality()

    # ---- what somebody decides

    def ring(self) -> None:
        """180, reliably where the caller insists on it (RFC 3262)."""
        reliable = "100rel" in words_of(self.served.request.headers.all("require"))
        more = [("Require", "100rel"), ("RSeq", str(self._rseq))] if reliable else []
        self._respond(self.served, 180, more, until_prack=reliable)

    async def accept(self, config: SessionConfig, bearer: Bearer, first: ResponseCreate | None = None) -> None:
        """Answers the call with a session of `bearer`, which says `first` before it has heard anything.

        Raises `RequestError`: not ringing any more, no room, no money, no port; `EngineError` where that cannot be
        found out. Then the caller has heard of it.
        """
        self._claim()
        try:
            await self.media.open(self._house.bind, self._house.ports)
            live = await self._house.start(config, bearer, self.call_id, self.trunk.minute_micro)
        except (RequestError, EngineError) as error:
            self._fail(STATUSES.get(error.code, 500), error.code)
            raise
        except BaseException:
            self._fail(500, "internal_error")
            raise
        if not self._is("accepting"):  # the caller has gone meanwhile
            self.media.close()
            live.close(NORMAL, "")
            raise self._gone()
        self._begin(live, first)

    def reject(self, status: int = DECLINE) -> None:
        """Refuses the call. Raises `RequestError`: no such status, or not ringing any more."""
        if not STATUS_MIN <= status <= STATUS_MAX:
            raise RequestError(
                "invalid_value", f"Invalid 'status_code': expected {STATUS_MIN} to {STATUS_MAX}.", "status_code"
            )
        self._claim()
        self._refuse(status, f"rejected with {status}")

    async def refer(self, target: str) -> None:
        """Asks the caller's side to call `target` in our place (RFC 3515). When that answers, we leave.

        Raises `RequestError` for a bad target or a call that does not talk, `EngineError` where it is refused.
        """
        uri = transfer_target(self.trunk, target)
        if not self._is("talking"):
            raise self._gone()
        response = await self.ask("REFER", [("Refer-To", f"<{uri}>"), ("Referred-By", f"<{self.dialog.contact}>")])
        if response is None:
            raise EngineError("backend_timeout", "The telephone side did not answer the transfer.", retryable=True)
        if response.status >= 300:
            raise EngineError("backend_refused", f"The telephone side refused the transfer with {response.status}.")

    def hang_up(self, reason: str = "hung up") -> None:
        """Ends it, whatever it is doing."""
        if self._is("ringing") or self._is("accepting"):
            self._refuse(DECLINE, reason)
        elif not self._is("over"):
            self._leave()
            self.end(reason)

    def press(self, keys: str) -> None:
        """Presses keys of our own: 0 to 9, *, #, A to D. Raises `RequestError`."""
        if self._is("talking") and not self.media.press(keys):
            raise RequestError("invalid_value", "These keys cannot be pressed in this call.", "keys")

    # ---- what the caller says

    def on_ack(self, request: Request) -> None:
        """Of the first INVITE."""
        if self.served.acknowledged and self._is("talking"):
            return
        self._house.stack.heard(self.served)
        if self._is("over"):
            if self._owes_bye:
                self._leave()
            return
        self.state = "talking"
        self._talking_since = self._now()
        self.on_answer(request)

    def on_answer(self, request: Request | Response) -> None:
        """An ACK, or the answer to an INVITE of ours, may bring the answer to an offer of ours."""
        try:
            self._negotiation.answered(request, self.flow.host)
        except RequestError as error:
            self.hang_up(error.code)

    def on_cancel(self) -> None:
        if self._is("ringing") or self._is("accepting"):
            self._refuse(487, "cancelled")

    def on_unheard(self) -> None:
        """No PRACK, or no ACK."""
        if self._is("ringing") or self._is("accepting"):
            self._refuse(504, "no PRACK")
        else:
            self._house.spawn(self._bye())
            self.end("no ACK")

    def on_bye(self, served: Served) -> None:
        self._respond(served, 200)
        if self._is("ringing") or self._is("accepting"):
            self._refuse(487, "cancelled")
        else:
            self.heard(self.served)  # no ACK will come any more
        self.end("hung up by the caller")

    def on_prack(self, served: Served, rack: str) -> None:
        cseq = self.served.request.cseq
        if self.served.answered or rack.split() != [str(self._rseq), str(cseq.number), cseq.method]:
            self._respond(served, 481)
            return
        self._house.stack.heard(self.served)
        self._respond(served, 200)

    def on_key(self, key: str, way: str) -> None:
        """A key came, as an RTP event or in INFO."""
        if self.live is not None and not self._is("over") and self._keys.new(key, way, self._now()):
            at = time.time()
            self.pressed.append((at, key))
            self._house.pressed(self.live, key, int(at))

    def on_transfer(self, status: int) -> None:
        """The caller's side tells how far it is with what we asked for by REFER."""
        self.transfer = status
        note(log, "sip transfer", call=self.call_id, status=status)
        if 200 <= status < 300:
            self.hang_up("transferred")

    def heard(self, served: Served) -> None:
        """What we answered has arrived."""
        self._house.stack.heard(served)

    def reached_by(self, flow: Flow) -> None:
        """The caller speaks to us by this way from now on."""
        if flow is self.flow:
            return
        self.flow = flow
        reach = self._house.reach(flow)
        self.dialog.moved(flow.transport, reach.via, reach.contact)

    def describe(self, offer: sdp.Media | None) -> str:
        """See `Negotiation.describe`."""
        return self._negotiation.describe(offer, self._house.reach(self.flow).host, self.flow.host)

    # ---- every 20 ms

    def beat(self, beats: Beats, now: float) -> None:
        try:
            self._beat(beats, now)
        except Exception:  # a bug ends this call, and no other
            log.exception("call failed", extra={"fields": {"call": self.call_id}})
            self.hang_up("internal_error")

    def _beat(self, beats: Beats, now: float) -> None:
        if not self._is("talking") or self._speaker is None:
            return
        self.media.tick(now, time.time())
        self.media.skip(beats.skipped)
        for _ in range(beats.played):
            if self.media.sends:
                self.media.play(self._speaker.take())
            else:
                self.media.skip(1)
        if now >= self._look_at:
            self._look_at = now + LOOK_S
            self._look(now)

    def _look(self, now: float) -> None:
        heard_at = self._talking_since if self.media.heard_at is None else self.media.heard_at
        if not self.media.held and now - heard_at > SILENCE_S:
            self.hang_up("no sound came")
        elif self.timer.expired(now):
            self.hang_up("the session timer ran out")
        elif self.timer.due(now):
            self._house.spawn(self._house.refresh(self))

    def _hear(self, pcm: bytes) -> None:
        if self.live is not None:
            self.live.listen(pcm)

    # ---- requests of ours

    async def ask(self, method: str, headers: list[tuple[str, str]], body: bytes = b"") -> Response | None:
        """Within the dialog. None when there is no answer."""
        request = self.dialog.request(method, headers, body)
        return await ask(self._house, self.dialog, self.flow, self.trunk.register, request)

    def _leave(self) -> None:
        """BYE, but not before the ACK (15)."""
        self._owes_bye = not self.served.acknowledged
        if self.served.acknowledged:
            self._house.spawn(self._bye())

    async def _bye(self) -> None:
        await self.ask("BYE", [])

    # ---- inside

    def respond(self, served: Served, status: int, more: list[tuple[str, str]], body: str = "") -> None:
        """A 2xx, or any other answer, with everything that says what we can do."""
        headers = [*more, ALLOW, SUPPORTED]
        if body:
            headers.append(("Content-Type", "application/sdp"))
        self._respond(served, status, headers, body)

    def _respond(
        self,
        served: Served,
        status: int,
        more: list[tuple[str, str]] | None = None,
        body: str = "",
        *,
        until_prack: bool = False,
    ) -> None:
        contact = [("Contact", f"<{self.dialog.contact}>")] if status < 400 else []
        response = answer(
            served.request, status, [*contact, *(more or [])], body=body.encode(), tag=self.dialog.local_tag
        )
        self._house.stack.respond(served, response, until_prack=until_prack)

    def _begin(self, live: LiveSession, first: ResponseCreate | None) -> None:
        self.live = live
        self._speaker = Speaker(live, self._on_closed)
        self.timer.refreshed(self._agreed_timer, self._now())
        body = self.describe(self._offer)
        known = "timer" in words_of(self.served.request.headers.all("supported"))
        more = self._agreed_timer.headers(required=known) if self._agreed_timer else []
        self.state = "answered"
        self.respond(self.served, 200, more, body)
        live.attach(self._speaker)
        self._house.ticker.add(self)
        live.open()
        if first is not None:
            live.post(first)
        note(log, "sip call answered", call=self.call_id, trunk=self.trunk.name, session=live.id)

    def _claim(self) -> None:
        if not self._is("ringing"):
            raise self._gone()
        self.state = "accepting"
        self.decided.set()

    def _refuse(self, status: int, reason: str) -> None:
        self._respond(self.served, status)
        self.end(reason)

    def _fail(self, status: int, reason: str) -> None:
        """It cannot be answered."""
        self._refuse(status, reason)
        self.media.close()

    def _on_closed(self, reason: str) -> None:
        """The session has ended."""
        self.hang_up(reason)

    def end(self, reason: str) -> None:
        """It is over; what is to be said about it has been said, or will be."""
        if self._is("over"):
            return
        self.state, self.reason = "over", reason
        note(log, "sip call over", call=self.call_id, trunk=self.trunk.name, reason=reason)
        self._house.ticker.remove(self)
        self.media.close()
        if self.live is not None:
            self.live.post(Left())
            self.live.close(NORMAL, reason)
        self.decided.set()
        self.over.set()
        self._house.over(self)

    def _is(self, state: State) -> bool:
        return self.state == state

    def _gone(self) -> RequestError:
        return RequestError("session_not_found", f"The call {self.call_id!r} is not there any more.", "call_id")

    def _now(self) -> float:
        return asyncio.get_running_loop().time()


def _public(invite: Request) -> tuple[Header, ...]:
    return tuple(header for header in invite.headers if header.key not in ("authorization", "proxy-authorization"))
