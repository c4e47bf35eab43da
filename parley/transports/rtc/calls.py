"""All WebRTC calls of this process: answers offers, knows whose a call is, hangs up."""

import asyncio
import secrets
from collections.abc import Awaitable, Callable, Mapping
from typing import TYPE_CHECKING, Final, NamedTuple

from parley.auth.gate import Admitted, Bearer
from parley.core.config import SessionConfig
from parley.dialects.base import Dialect
from parley.dialects.choose import choose
from parley.errors import RequestError
from parley.live.relay import RelayedSession
from parley.live.session import LiveSession
from parley.transports.rtc.call import Call
from parley.transports.rtc.codecs import spoken
from parley.transports.rtc.ports import Network, Ports
from parley.transports.rtc.sdp import Offer, read_offer
from parley.transports.rtc.ticker import Ticker
from parley.transports.sessions import DIALECTS, bound_config, ga_session, read_json

NORMAL: Final = 1_000

if TYPE_CHECKING:
    from parley.transports.rtc.peer import Peers

Start = Callable[[SessionConfig, Bearer, str], Awaitable[LiveSession | RelayedSession]]
"""A session for a call with this id, registered but not open, that plays its sound. Raises `RequestError`."""


class Asked(NamedTuple):
    """A request for a call, as it came over HTTP. `headers` has lower-case names, `session` is JSON."""

    path: str
    headers: Mapping[str, str]
    sdp: str
    session: bytes | None = None
    model: str | None = None


class Answered(NamedTuple):
    """What the client gets."""

    call_id: str
    sdp: str


class Calls:
    """Belongs to one event loop. `node` is a short name of this process among others: part of every call id."""

    def __init__(self, network: Network, start: Start, node: str) -> None:
        self.ports = Ports(network)
        self._start = start
        self._node = node
        self._ticker = Ticker()
        self._formats = spoken()
        self._calls: dict[str, _Owned] = {}
        self._preparing = asyncio.Lock()
        self._peers: Peers | None = None
        self._warming: asyncio.Task[Peers] | None = None

    async def answer(self, asked: Asked, admitted: Admitted) -> Answered:
        """A call that runs from now on. Raises `RequestError`: bad offer or session, no room, no port."""
        offer = read_offer(asked.sdp, self._formats)
        config = _config(asked, admitted)
        binding = admitted.binding
        choice = choose(
            method="POST",
            path=asked.path,
            headers=asked.headers,
            secret=None if binding is None else DIALECTS[binding.dialect],
        )
        return await self._begin(offer, config, choice.dialect, admitted.bearer)

    async def _begin(self, offer: Offer, config: SessionConfig, dialect: Dialect, bearer: Bearer) -> Answered:
        call_id = f"rtc_{self._node}_{secrets.token_hex(12)}"
        live = await self._start(config, bearer, call_id)
        call = Call(live, dialect, self._ticker, self._forget)
        try:
            peer = await (await self.prepare()).open(offer, call)
        except BaseException:
            live.close(NORMAL, "")
            raise
        self._calls[call_id] = _Owned(call, bearer)
        call.begin(peer)
        return Answered(call_id, peer.answer)

    async def prepare(self) -> "Peers":
        """Loads what calls need, which otherwise the first one waits for. It does not hold up the event loop."""
        async with self._preparing:
            if self._peers is None:
                kind = await asyncio.to_thread(_load)
                self._peers = kind(self.ports)
            return self._peers

    def warm_up(self) -> None:
        """Somebody is about to call: `prepare` begins."""
        if self._peers is None and self._warming is None:
            self._warming = asyncio.create_task(self.prepare())

    def hang_up(self, call_id: str, bearer: Bearer) -> None:
        """Raises `RequestError` with `session_not_found` where there is no such call of this bearer's."""
        self.find(call_id, bearer).hang_up()

    async def restart(self, call_id: str, sdp: str, bearer: Bearer) -> Answered:
        """A caller whose network has changed offers again (ICE restart). Raises `RequestError`."""
        call = self.find(call_id, bearer)
        return Answered(call_id, await call.restart(read_offer(sdp, self._formats)))

    def find(self, call_id: str, bearer: Bearer) -> Call:
        """Raises `RequestError`; a call of somebody else's is no call."""
        owned = self._calls.get(call_id)
        if owned is None or not bearer.may_reach(owned.bearer):
            raise RequestError("session_not_found", f"No call with the id {call_id[:64]!r} is running.", "call_id")
        return owned.call

    def close(self) -> None:
        if self._warming is not None:
            self._warming.cancel()
        self.ports.close()

    def _forget(self, call: Call) -> None:
        if call.live.call_id is not None:
            self._calls.pop(call.live.call_id, None)


def _load() -> "type[Peers]":
    from parley.transports.rtc.peer import Peers

    return Peers


class _Owned(NamedTuple):
    call: Call
    bearer: Bearer


def _config(asked: Asked, admitted: Admitted) -> SessionConfig:
    if asked.session is None:
        return bound_config(admitted.binding, None, asked.model)
    if admitted.binding is not None:
        raise RequestError(
            "invalid_value", "A client secret brings its own session: send the offer alone, or use a key.", "session"
        )
    return bound_config(None, ga_session(read_json(asked.session), asked.model), None)
