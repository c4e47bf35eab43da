"""All carriers' calls of this process: starts them, finds them by our id or the carrier's, hangs up."""

import secrets
from collections.abc import Awaitable, Callable
from typing import NamedTuple

from parley.auth.gate import Bearer
from parley.core.config import SessionConfig
from parley.errors import RequestError
from parley.live.session import LiveSession
from parley.telemetry import note
from parley.transports.carriers.call import CarrierCall, Pressed, log
from parley.transports.carriers.dialects import Dialect, Start
from parley.transports.picows_protocol import Lane
from parley.transports.ringing import RingingCalls, no_call

StartSession = Callable[[SessionConfig, Bearer, str], Awaitable[LiveSession]]
"""A session for a call with this id, registered but not open, that plays its sound. Raises `RequestError`."""


class _Owned(NamedTuple):
    call: CarrierCall
    bearer: Bearer


class CarrierCalls:
    """Belongs to one event loop. `node` is a short name of this process among others: part of every call id."""

    def __init__(self, start: StartSession, pressed: Pressed, node: str) -> None:
        self._start = start
        self._pressed = pressed
        self._node = node
        self._calls: dict[str, _Owned] = {}
        self._ids: dict[tuple[str, str], str] = {}
        """Account and the carrier's id -> ours."""

    async def answer(
        self, lane: Lane, dialect: Dialect, start: Start, config: SessionConfig, bearer: Bearer
    ) -> CarrierCall:
        """A call that has not begun. Raises `RequestError`: no room, no money, not for this key; `EngineError`."""
        call_id = f"rtc_{self._node}_{secrets.token_hex(12)}"
        live = await self._start(config, bearer, call_id)
        call = CarrierCall(live, lane, dialect, start, self._pressed, self._forget)
        self._calls[call_id] = _Owned(call, bearer)
        self._ids[bearer.account, start.carrier_call] = call_id
        note(log, "carrier call", call=call_id, carrier=dialect.name, carrier_call=start.carrier_call, session=live.id)
        return call

    def find(self, call_id: str, bearer: Bearer) -> CarrierCall:
        """By our id or the carrier's, such as Twilio's CallSid, which is all that a webhook of theirs knows.

        Raises `RequestError` with `session_not_found`; a call of somebody else's is no call.
        """
        owned = self._calls.get(self._ids.get((bearer.account, call_id), call_id))
        if owned is None or not bearer.may_reach(owned.bearer):
            raise no_call(call_id)
        return owned.call

    def hang_up(self, call_id: str, bearer: Bearer) -> None:
        """Raises like `find`."""
        self.find(call_id, bearer).hang_up()

    def _forget(self, call: CarrierCall) -> None:
        call_id = call.live.call_id
        if call_id is None or (owned := self._calls.pop(call_id, None)) is None:
            return
        named = owned.bearer.account, call.carrier_call
        if self._ids.get(named) == call_id:
            del self._ids[named]


class AlsoCarriers:
    """`RingingCalls` in which carriers' calls can be hung up too; nothing else is decided about those over REST."""

    def __init__(self, carriers: CarrierCalls, phones: RingingCalls) -> None:
        self._carriers = carriers
        self._phones = phones

    async def accept(self, call_id: str, config: SessionConfig, bearer: Bearer) -> None:
        await self._phones.accept(call_id, config, bearer)

    def reject(self, call_id: str, status: int, bearer: Bearer) -> None:
        self._phones.reject(call_id, status, bearer)

    async def refer(self, call_id: str, target: str, bearer: Bearer) -> None:
        await self._phones.refer(call_id, target, bearer)

    def hang_up(self, call_id: str, bearer: Bearer) -> None:
        try:
            self._carriers.hang_up(call_id, bearer)
        except RequestError:
            self._phones.hang_up(call_id, bearer)
