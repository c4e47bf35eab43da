"""Messages find their transactions, and transactions their time. Between the sockets and the calls; knows neither.

bytes --> read --> a response: to the request that it answers
               --> a request that came before: the same answer again
               --> a new request: judged by who sent it, then given to the host with a transaction
"""

import asyncio
import logging
import re
from collections.abc import Callable
from typing import Final, Literal, Protocol

from parley.telemetry import note
from parley.transports.sip.grammar import Broken, split_values
from parley.transports.sip.message import Headers, Refused, Request, Response, answer, read
from parley.transports.sip.rules import answerable
from parley.transports.sip.transactions import Asked, Served, Timed, served_key
from parley.transports.sip.wires import Flow, UdpFlow

TRANSACTIONS_MAX: Final = 20_000
"""At once. A request beyond them is not heard; its sender asks again."""
PORT: Final = 5_060

_RECEIVED = re.compile(r";\s*received\s*=[^;]*", re.IGNORECASE)
_RPORT = re.compile(r";\s*rport\s*(?:=[^;]*)?(?=;|$)", re.IGNORECASE)

Way = Literal["in", "out"]
log = logging.getLogger(__name__)


class Host(Protocol):
    """Who decides. Calls come on the event loop."""

    def welcomes(self, host: str, transport: str) -> bool:
        """Whether anybody at this address could be somebody."""
        ...

    def judge(self, request: Request, flow: Flow, size: int) -> Response | bool:
        """About a new request of `size` bytes: take it, drop it, or say just this and remember nothing."""
        ...

    def on_request(self, served: Served, flow: Flow) -> None: ...
    def on_ack(self, request: Request, flow: Flow) -> None: ...
    def on_cancel(self, served: Served) -> None:
        """An INVITE that is not answered yet is not wanted any more."""
        ...

    def on_unheard(self, served: Served) -> None:
        """Nobody has acknowledged what we answered."""
        ...

    def on_message(self, way: Way, message: Request | Response, flow: Flow) -> None:
        """For the record."""
        ...


class Stack:
    """All transactions of a process. Belongs to one event loop."""

    def __init__(self, host: Host) -> None:
        self.dropped = 0
        """Messages that nobody wanted."""
        self._host = host
        self._served: dict[tuple[str, ...], Served] = {}
        self._flows: dict[Served, Flow] = {}
        self._asked: dict[tuple[str, str], Asked] = {}
        self._timers: dict[Timed, asyncio.TimerHandle] = {}

    def __len__(self) -> int:
        return len(self._served) + len(self._asked)

    # ---- what comes

    def welcomes(self, host: str, transport: str) -> bool:
        return self._host.welcomes(host, transport)

    def received(self, data: bytes, flow: Flow) -> None:
        try:
            self._read(data, flow)
        except Broken:
            self.dropped += 1
        except Exception:  # a bug ends this message, and no other
            log.exception("sip message failed", extra={"fields": {"peer": flow.host}})

    def _read(self, data: bytes, flow: Flow) -> None:
        try:
            message = read(data, stream=flow.reliable)
        except Refused as refused:
            self._refuse(refused, flow, len(data))
            return
        if isinstance(message, Response):
            self._heard(message, flow)
        else:
            self._take(stamped(message, flow), flow, len(data))

    def _heard(self, response: Response, flow: Flow) -> None:
        asked = self._asked.get((response.via.branch, response.cseq.method))
        if asked is None or len(response.headers.all("via")) != 1:
            self.dropped += 1
            return
        self._host.on_message("in", response, flow)
        asked.on_response(response, self._now())
        self._follow(asked)

    def _take(self, request: Request, flow: Flow, size: int) -> None:
        key = served_key(request)
        served = self._served.get(key)
        if request.method == "ACK":
            self._acked(served, request, flow)
        elif request.method == "CANCEL":
            self._cancel(served, request, flow, size)
        elif served is not None:
            served.again()
        else:
            self._begin(key, request, flow, size)

    def _begin(self, key: tuple[str, ...], request: Request, flow: Flow, size: int) -> None:
        judged = self._host.judge(request, flow, size)
        if judged is False or len(self) >= TRANSACTIONS_MAX:
            self.dropped += 1
        elif isinstance(judged, Response):
            _back(request, flow).send(bytes(judged))
        else:
            served = Served(request, _back(request, flow).send, reliable=flow.reliable)
            self._served[key], self._flows[served] = served, flow
            self._host.on_message("in", request, flow)
            self._host.on_request(served, flow)

    def _acked(self, served: Served | None, request: Request, flow: Flow) -> None:
        if served is not None:
            served.acked(self._now())
            self._follow(served)
        self._host.on_ack(request, flow)

    def _cancel(self, served: Served | None, request: Request, flow: Flow, size: int) -> None:
        """Answered without a transaction: the same question has the same answer (9.2)."""
        if served is None:
            if self._host.judge(request, flow, size) is True:
                _back(request, flow).send(bytes(answer(request, 481)))
            else:
                self.dropped += 1
            return
        self._host.on_message("in", request, flow)
        _back(request, flow).send(bytes(answer(request, 200)))
        if not served.answered:
            self._host.on_cancel(served)

    def _refuse(self, refused: Refused, flow: Flow, size: int) -> None:
        """Somebody known is told; to others this was noise."""
        request = refused.request
        if not answerable(request) or self._host.judge(request, flow, size) is not True:
            self.dropped += 1
            return
        note(log, "sip request refused", status=refused.status, reason=refused.reason, peer=flow.host)
        stamp = stamped(request, flow)
        _back(stamp, flow).send(bytes(answer(stamp, refused.status, reason=refused.reason)))

    # ---- what goes

    def respond(self, served: Served, response: Response, *, until_prack: bool = False) -> None:
        """Answers, as long as it is not answered finally. It arrives, or `on_unheard` tells."""
        if served.answered:
            return
        if (flow := self._flows.get(served)) is not None:
            self._host.on_message("out", response, flow)
        served.respond(response, self._now(), until_prack=until_prack)
        self._follow(served)

    def heard(self, served: Served) -> None:
        """What was repeated has arrived: by an ACK of its own transaction, or a PRACK."""
        if served.answered:
            served.acked(self._now())
        else:
            served.pracked()
        self._follow(served)

    async def ask(
        self, request: Request, flow: Flow, ack: Callable[[Response], Request] | None = None
    ) -> Response | None:
        """The final answer to a request of ours; None when there is none. `ack` makes what an INVITE wants."""
        answered: asyncio.Future[Response | None] = asyncio.get_running_loop().create_future()

        def heard(response: Response | None) -> None:
            if response is not None and response.status >= 200 and ack is not None:
                asked.acknowledge(ack(response))
            if (response is None or response.status >= 200) and not answered.done():
                answered.set_result(response)

        self._host.on_message("out", request, flow)
        asked = Asked(request, flow.send, heard, self._now(), reliable=flow.reliable)
        self._asked[request.via.branch, request.method] = asked
        self._follow(asked)
        return await answered

    def close(self) -> None:
        for timer in self._timers.values():
            timer.cancel()
        self._timers.clear()
        self._served.clear()
        self._flows.clear()
        self._asked.clear()

    # ---- time

    def _now(self) -> float:
        return asyncio.get_running_loop().time()

    def _follow(self, timed: Served | Asked) -> None:
        """Its deadline may have changed."""
        timer = self._timers.pop(timed, None)
        if timer is not None:
            timer.cancel()
        if timed.over:
            self._forget(timed)
        elif timed.deadline is not None:
            self._timers[timed] = asyncio.get_running_loop().call_at(timed.deadline, self._expire, timed)

    def _expire(self, timed: Served | Asked) -> None:
        unheard = isinstance(timed, Served) and timed.unheard
        timed.expire(self._now())
        self._follow(timed)
        if isinstance(timed, Served) and timed.unheard and not unheard:
            self._host.on_unheard(timed)

    def _forget(self, timed: Served | Asked) -> None:
        request = timed.request
        if isinstance(timed, Served):
            self._served.pop(served_key(request), None)
            self._flows.pop(timed, None)
        else:
            self._asked.pop((request.via.branch, request.method), None)


def stamped(request: Request, flow: Flow) -> Request:
    """With where it really came from in its Via (18.2.1, RFC 3581). Raises `Broken`."""
    headers = list(request.headers)
    at = next((at for at, header in enumerate(headers) if header.key == "via"), None)
    if at is None:
        raise Broken("no Via")
    first, *others = split_values(headers[at].value)
    via = request.via
    if "rport" in via.parameters:
        first = _RPORT.sub(f";rport={flow.port}", first)
    if "rport" in via.parameters or via.host.strip("[]") != flow.host:
        first = f"{_RECEIVED.sub('', first)};received={flow.host}"
    headers[at] = headers[at]._replace(value=", ".join((first, *others)))
    return request._replace(headers=Headers(headers))


def _back(request: Request, flow: Flow) -> Flow:
    """The way of an answer: where it came from, but over UDP without `rport` to the port that Via names (18.2.2)."""
    if not isinstance(flow, UdpFlow) or "rport" in request.via.parameters:
        return flow
    return flow.at(request.via.port or PORT)
