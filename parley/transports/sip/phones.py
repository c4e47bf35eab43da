"""The telephone door: who may call, which call a message belongs to, and all calls of this process.

    phones = SipPhones(place, trunks, house_start, incoming, pressed, node)
    await phones.open()
    …
    await phones.accept(call_id, config, bearer)      # also reject, refer, hang_up
    await phones.leave()
    phones.close()

Whoever is not in the table of trunks hears nothing, not even a refusal. A caller who is known only by a password is
asked for it with fewer bytes than it sent.
"""

import asyncio
import logging
import secrets
import time
from collections import deque
from collections.abc import Awaitable, Callable, Coroutine
from typing import Any, Final, NamedTuple

from parley.auth.gate import Bearer
from parley.core.config import SessionConfig
from parley.core.events import ResponseCreate
from parley.errors import EngineError, RequestError
from parley.live.session import LiveSession
from parley.telemetry import note
from parley.transports.rtc.ticker import Ticker
from parley.transports.sip.call import DECLINE, SipCall
from parley.transports.sip.digest import Account, Challenger
from parley.transports.sip.grammar import Broken
from parley.transports.sip.house import House, Place, Reach, Start
from parley.transports.sip.message import Request, Response, answer
from parley.transports.sip.refresh import refresh
from parley.transports.sip.registration import Registrar
from parley.transports.sip.report import Report, report_of
from parley.transports.sip.rules import ACCEPT, ALLOW, SUPPORTED, called, refusal, same
from parley.transports.sip.stack import Stack, Way
from parley.transports.sip.timer import INTERVAL_MIN_S, TooShort
from parley.transports.sip.transactions import Served
from parley.transports.sip.trunks import Desk, Number, Trunk, greeting, reached, stored_session
from parley.transports.sip.wires import Flow, Wires, local_address
from parley.transports.sip.within import Within

RING_S: Final = 60.0
"""How long somebody may take to decide about a call."""
CALLS_MAX: Final = 1_000
"""At once, ringing or not, of all trunks."""
PAST_MAX: Final = 50
"""Calls that are over and can still be looked at."""
LEAVE_S: Final = 2.0
"""How long the end waits for answers to what is said at the end."""
BUSY: Final = ("Retry-After", "30")

log = logging.getLogger(__name__)


class Accept(NamedTuple):
    config: SessionConfig
    bearer: Bearer | None = None
    """Whose session it is; None: of whom the number is."""
    first: ResponseCreate | None = None
    """What it says before it has heard anything."""


class Reject(NamedTuple):
    status: int = DECLINE


Decision = Accept | Reject | None
"""None: somebody else decides, by `SipPhones.accept` or `reject`."""
Incoming = Callable[[SipCall], Awaitable[Decision]]
"""Asked about every call whose number has no session of its own, for instance by sending a webhook."""


class SipPhones:
    """Belongs to one event loop. `node` is a short name of this process among others: part of every call id."""

    def __init__(
        self,
        place: Place,
        trunks: tuple[Trunk, ...],
        start: Start,
        incoming: Incoming,
        pressed: Callable[[LiveSession, str, int], None],
        node: str,
    ) -> None:
        self.ports: dict[str, int] = {}
        """By transport."""
        self.desk = Desk(trunks)
        self.stack = Stack(self)
        self.draining = False
        self._place = place
        self._incoming = incoming
        self._node = node
        self._wires = Wires(self.stack)
        self._challenger = Challenger()
        self._calls: dict[str, SipCall] = {}
        self._past: deque[Report] = deque(maxlen=PAST_MAX)
        self._dialogs: dict[str, list[Within]] = {}
        """By Call-ID; several where one caller's INVITE has been forked."""
        self._tasks: set[asyncio.Task[None]] = set()
        self._registrars: list[Registrar] = []
        self._registering: set[asyncio.Task[None]] = set()
        self._house = House(
            stack=self.stack,
            ticker=Ticker(),
            start=start,
            pressed=pressed,
            over=self._over,
            reach=self._reach,
            refresh=refresh,
            spawn=self._spawn,
            bind=place.host,
            ports=place.ports,
        )

    async def open(self) -> None:
        """Listens, and registers where that is wanted. Raises `OSError`."""
        place = self._place
        self.ports = await self._wires.listen(place.host, place.port, place.tls, place.tls_port)
        for trunk in self.desk.trunks:
            if trunk.register is not None:
                registrar = Registrar(trunk, trunk.register, self.stack, self._wires, self._reach, self.desk.learn)
                self._registrars.append(registrar)
                self._registering.add(asyncio.get_running_loop().create_task(registrar.run()))
        note(log, "sip listens", host=place.host, **self.ports)

    async def leave(self) -> None:
        """Ends every call and registration, and waits a moment until that is heard."""
        self.draining = True
        for call in list(self._calls.values()):
            call.hang_up("server_draining")
        for task in self._registering:
            task.cancel()
        for registrar in self._registrars:
            self._spawn(registrar.leave())
        if self._tasks:
            await asyncio.wait(set(self._tasks), timeout=LEAVE_S)

    def close(self) -> None:
        """At once. Whoever is still in a call is told nothing: `leave` comes first."""
        self.draining = True
        for call in list(self._calls.values()):
            call.end("server_draining")
        for task in (*self._tasks, *self._registering):
            task.cancel()
        self.stack.close()
        self._wires.close()

    # ---- calls, from the other side

    @property
    def calls(self) -> tuple[SipCall, ...]:
        """Those that are not over."""
        return tuple(self._calls.values())

    @property
    def reports(self) -> tuple[Report, ...]:
        """Of the calls that run and of the last ones, newest first."""
        return (*(report_of(call) for call in reversed(self.calls)), *reversed(self._past))

    @property
    def registrations(self) -> dict[str, bool]:
        """Trunk -> whether its provider has us on its list."""
        return {registrar.trunk.name: registrar.registered for registrar in self._registrars}

    def find(self, call_id: str, bearer: Bearer) -> SipCall:
        """Raises `RequestError` with `session_not_found`; a call of somebody else's is no call."""
        call = self._calls.get(call_id)
        if call is None or not bearer.may_reach(call.owner):
            raise RequestError("session_not_found", f"No call with the id {call_id[:64]!r} is running.", "call_id")
        return call

    async def accept(self, call_id: str, config: SessionConfig, bearer: Bearer) -> None:
        """See `SipCall.accept`."""
        await self.find(call_id, bearer).accept(config, bearer)

    def reject(self, call_id: str, status: int, bearer: Bearer) -> None:
        self.find(call_id, bearer).reject(status)

    async def refer(self, call_id: str, target: str, bearer: Bearer) -> None:
        await self.find(call_id, bearer).refer(target)

    def hang_up(self, call_id: str, bearer: Bearer) -> None:
        self.find(call_id, bearer).hang_up()

    # ---- the stack's host: who is listened to

    def welcomes(self, host: str, transport: str) -> bool:
        if self.desk.of(host, transport):
            return True
        return bool(self.desk.anywhere(transport)) and not self.desk.shut_out(host, self._now())

    def judge(self, request: Request, flow: Flow, size: int) -> Response | bool:
        if self.desk.of(flow.host, flow.transport) or self._within(request, flow) is not None:
            return True
        if request.method != "INVITE" or self.desk.shut_out(flow.host, self._now()):
            return False
        trunk, number = self._reached(request, self.desk.anywhere(flow.transport))
        if trunk is None or number is None:
            return False
        challenges = self._challenges(trunk, request, flow)
        return next((each for each in challenges if len(bytes(each)) <= size), not challenges)

    def _within(self, request: Request, flow: Flow) -> Within | None:
        """The call that a request belongs to, if it comes from whom that call is with."""
        try:
            within = next((each for each in self._of(request) if each.call.dialog.owns(request)), None)
        except Broken:
            return None
        if within is None:
            return None
        call = within.call
        known = flow.host == call.flow.host or call.trunk in self.desk.of(flow.host, flow.transport)
        return within if known else None

    def _challenges(self, trunk: Trunk, request: Request, flow: Flow) -> list[Response]:
        """Nothing for who has shown the password, or needs none; else 401, at length and in short."""
        if not trunk.username:
            return []
        now, said = self._now(), request.headers.one("authorization")
        account = Account(trunk.username, trunk.password, trunk.realm)
        verdict = self._challenger.check(said, request.method, account, now) if said else None
        if verdict is not None and verdict.right:
            return []
        if verdict is not None and not verdict.stale:
            self.desk.failed(flow.host, now)
            note(log, "sip password wrong", logging.WARNING, trunk=trunk.name, peer=flow.host)
        asked = self._challenger.challenge(trunk.realm, now, stale=verdict is not None and verdict.stale)
        tag = secrets.token_hex(4)
        return [answer(request, 401, headers, tag=tag) for headers in (asked, asked[-1:])]

    # ---- the stack's host: what is wanted

    def on_request(self, served: Served, flow: Flow) -> None:
        request = served.request
        if (why := refusal(request)) is not None:
            self._answer(served, why.status, list(why.headers))
        elif request.to_tag:
            within = self._within(request, flow)
            if within is None:
                self._answer(served, 481)
            else:
                within.on_request(served, flow)
        elif request.method == "OPTIONS":
            self._answer(served, 503 if self.draining else 200, [ALLOW, SUPPORTED, ACCEPT])
        elif request.method == "INVITE":
            self._invite(served, flow)
        else:
            self._answer(served, 603 if request.method == "REFER" else 481)

    def on_ack(self, request: Request, flow: Flow) -> None:
        within = self._within(request, flow)
        if within is not None:
            self.on_message("in", request, flow)
            within.on_ack(request)
            self._forget(within)

    def on_cancel(self, served: Served) -> None:
        for within in self._of(served.request):
            if within.call.served is served:
                within.call.on_cancel()

    def on_unheard(self, served: Served) -> None:
        for within in self._of(served.request):
            within.on_unheard(served)
            self._forget(within)

    def on_message(self, way: Way, message: Request | Response, flow: Flow) -> None:
        for within in self._of(message):
            within.call.ladder.note(way, message, flow.transport, time.time())

    def _of(self, message: Request | Response) -> tuple[Within, ...]:
        return tuple(self._dialogs.get(message.headers.one("call-id"), ()))

    # ---- a new call

    def _invite(self, served: Served, flow: Flow) -> None:
        request = served.request
        candidates = self.desk.of(flow.host, flow.transport) or self.desk.anywhere(flow.transport)
        trunk, number = self._reached(request, candidates)
        if trunk is None or number is None:
            self._answer(served, 404)
            return
        known = trunk in self.desk.of(flow.host, flow.transport)
        challenges = self._challenges(trunk, request, flow) if known else []
        if challenges:
            self.stack.respond(served, challenges[0])
        elif any(same(each.call.served.request, request) for each in self._of(request)):
            self._answer(served, 482)
        elif self.draining or len(self._calls) >= CALLS_MAX or not self.desk.enter(trunk, self._now()):
            note(log, "sip call refused", logging.WARNING, trunk=trunk.name, reason="no room")
            self._answer(served, 503, [BUSY])
        else:
            self._begin(served, flow, trunk, number)

    def _begin(self, served: Served, flow: Flow, trunk: Trunk, number: Number) -> None:
        call_id = f"rtc_{self._node}_{secrets.token_hex(12)}"
        self._answer(served, 100)
        try:
            call = SipCall(call_id, served, flow, trunk, number, self._house)
        except RequestError as error:
            note(log, "sip call refused", trunk=trunk.name, reason=error.code)
            self.desk.leave(trunk)
            self._answer(served, 488)
            return
        except TooShort:
            self.desk.leave(trunk)
            self._answer(served, 422, [("Min-SE", str(INTERVAL_MIN_S))])
            return
        self._calls[call_id] = call
        self._dialogs.setdefault(call.dialog.call_id, []).append(Within(call))
        call.ladder.note("in", served.request, flow.transport, time.time())
        note(log, "sip call", call=call_id, trunk=trunk.name, transport=flow.transport)
        call.ring()
        self._spawn(self._decide(call))

    async def _decide(self, call: SipCall) -> None:
        """Until somebody has decided, or the caller has gone, or nobody decides."""
        try:
            async with asyncio.timeout(RING_S):
                stored = stored_session(call.number)
                answered = None if stored is None else Accept(stored, first=greeting(call.number))
                decision = answered or await self._incoming(call)
                match decision:
                    case Accept():
                        await call.accept(decision.config, decision.bearer or call.owner, decision.first)
                    case Reject():
                        call.reject(decision.status)
                await call.decided.wait()
        except TimeoutError:
            if call.state == "ringing":
                call.reject(480)
        except (RequestError, EngineError) as error:
            note(log, "sip call not answered", call=call.call_id, reason=error.code)
        except Exception:
            log.exception("sip call failed", extra={"fields": {"call": call.call_id}})
            call.hang_up("internal_error")

    # ---- inside

    def _reached(self, request: Request, trunks: list[Trunk]) -> tuple[Trunk | None, Number | None]:
        numbers = called(request)
        for trunk in trunks:
            if (number := reached(trunk, numbers)) is not None:
                return trunk, number
        return None, None

    def _answer(self, served: Served, status: int, more: list[tuple[str, str]] | None = None) -> None:
        self.stack.respond(served, answer(served.request, status, more or (), tag=secrets.token_hex(4)))

    def _over(self, call: SipCall) -> None:
        self._calls.pop(call.call_id, None)
        self._past.append(report_of(call, time.time()))
        self.desk.leave(call.trunk)
        for within in self._of(call.served.request):
            self._forget(within)

    def _forget(self, within: Within) -> None:
        """A call that is over, once its caller knows that it had begun."""
        call = within.call
        awaits_ack = call.served.answered and call.served.status < 300 and not call.served.acknowledged
        if call.over.is_set() and (not awaits_ack or call.served.unheard):
            others = [each for each in self._of(call.served.request) if each is not within]
            if others:
                self._dialogs[call.dialog.call_id] = others
            else:
                self._dialogs.pop(call.dialog.call_id, None)

    def _reach(self, flow: Flow) -> Reach:
        host = self._place.advertised or local_address(flow.host)
        named = f"[{host}]" if ":" in host else host
        port = self.ports[flow.transport]
        suffix = "" if flow.transport == "udp" else f";transport={flow.transport}"
        return Reach(host, f"{named}:{port}", f"sip:{named}:{port}{suffix}")

    def _spawn(self, work: Coroutine[Any, Any, None]) -> None:
        task = asyncio.get_running_loop().create_task(work)
        self._tasks.add(task)
        task.add_done_callback(self._done)

    def _done(self, task: asyncio.Task[None]) -> None:
        self._tasks.discard(task)
        if not task.cancelled() and (error := task.exception()) is not None:
            log.error("sip task failed", exc_info=error)

    def _now(self) -> float:
        return asyncio.get_running_loop().time()
