"""What all telephone calls of a process share, and how they ask something of their callers."""

import ssl
from collections.abc import Awaitable, Callable, Coroutine
from typing import TYPE_CHECKING, Any, Final, NamedTuple

from parley.auth.gate import Bearer
from parley.core.config import SessionConfig
from parley.live.session import LiveSession
from parley.transports.rtc.ticker import Ticker
from parley.transports.sip import digest
from parley.transports.sip.dialog import Dialog
from parley.transports.sip.media import Range
from parley.transports.sip.message import Request, Response
from parley.transports.sip.stack import Stack
from parley.transports.sip.trunks import Registration
from parley.transports.sip.wires import Flow

if TYPE_CHECKING:
    from parley.transports.sip.call import SipCall

STATUSES: Final = {
    "insufficient_credits": 402,
    "budget_exceeded": 402,
    "too_many_sessions": 503,
    "server_draining": 503,
    "calls_unavailable": 503,
}
"""What a caller hears of an error; of any other 500."""

Start = Callable[[SessionConfig, Bearer, str, int], Awaitable[LiveSession]]
"""Somebody's session for a call with this id, registered but not open, that plays its sound. The number is what a
minute of it costs in micro-credits, besides what the model costs.

Raises `RequestError`, `EngineError`.
"""


class Place(NamedTuple):
    """Where we are."""

    host: str
    """Address to listen on."""
    port: int = 5_060
    """UDP and TCP; 0 takes free ones."""
    tls: ssl.SSLContext | None = None
    tls_port: int = 5_061
    ports: Range = Range(20_000, 20_999)
    """Of RTP and RTCP."""
    advertised: str = ""
    """Address to tell callers instead of this machine's own, as behind 1:1 NAT."""


class Reach(NamedTuple):
    """Where we are, as somebody at the other end of a flow sees us."""

    host: str
    via: str
    contact: str


class House(NamedTuple):
    """What all calls of a process share."""

    stack: Stack
    ticker: Ticker
    start: Start
    pressed: Callable[[LiveSession, str, int], None]
    """A key was pressed at this Unix time: says `input_audio_buffer.dtmf_event_received`."""
    over: Callable[["SipCall"], None]
    reach: Callable[[Flow], Reach]
    refresh: "Callable[[SipCall], Coroutine[Any, Any, None]]"
    """Shows that we are there, and learns whether the caller is (RFC 4028 section 10)."""
    spawn: Callable[[Coroutine[Any, Any, None]], None]
    bind: str
    ports: Range


async def ask(
    house: House,
    dialog: Dialog,
    flow: Flow,
    login: Registration | None,
    request: Request,
) -> Response | None:
    """The final answer to a request within a dialog, with the trunk's password where the other side wants it.

    None when there is no answer.
    """
    response = await _send(house, dialog, flow, request)
    if response is None or response.status not in (401, 407) or login is None:
        return response
    kind, name = digest.CHALLENGES[response.status]
    said = digest.credentials(response.headers.all(kind), login.username, login.password, request.method, request.uri)
    if said is None:
        return response
    return await _send(house, dialog, flow, dialog.again(request, (name, said)))


async def _send(house: House, dialog: Dialog, flow: Flow, request: Request) -> Response | None:
    ack = (lambda response: dialog.ack(request, response)) if request.method == "INVITE" else None
    return await house.stack.ask(request, flow, ack)
