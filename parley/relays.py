"""Sessions that an upstream answers: let in, dialled, watched, and registered like all others.

relays = Relays(upstreams, office, recordings, registry, around)
live = await relays.start(config, bearer, model)                  # RequestError, EngineError
"""

import time
from collections.abc import Awaitable, Callable
from typing import Any, Final

import msgspec

from parley.auth.gate import Bearer
from parley.core.config import RealtimeConfig, SessionConfig
from parley.core.relay import Relay
from parley.core.relay_config import without_formats
from parley.core.relayed import Body, RelayTerms
from parley.errors import RequestError
from parley.ids import new_id
from parley.last_resort import LastResort
from parley.live.recording import Recordings
from parley.live.registry import Registry
from parley.live.relay import RelayedSession
from parley.live.relay_parts import Dialler, RelaySurroundings
from parley.live.session import LiveSession, Whose
from parley.office import Hooks, Office, RelayTally
from parley.upstreams import Upstreams

NORMAL: Final = 1000

AnswerHere = Callable[[str, bool, Bearer], Awaitable[LiveSession]]
"""A session of this machine for somebody, see `last_resort.OpenSession`."""

PAID_NO_LONGER: Final = {
    "insufficient_credits": "The credits of this account are used up. Add credits, then connect again.",
    "budget_exceeded": "The budget of this API key is used up.",
    "hold_closed": "This server was not heard of for too long, and the session was settled.",
    "storage_unavailable": "The database could not be reached, so that nothing can be paid for.",
}
"""Why a session is cut off, by the code that its meter tells."""
NOT_PAID: Final = "This session can be paid for no longer."


class Relays:
    """Belongs to one event loop."""

    def __init__(
        self,
        upstreams: Upstreams,
        office: Office,
        recordings: Recordings,
        registry: Registry,
        around: RelaySurroundings,
        answer_here: AnswerHere,
    ) -> None:
        self._upstreams = upstreams
        self._office = office
        self._recordings = recordings
        self._registry = registry
        self._around = around
        self._answer_here = answer_here

    async def start(
        self, config: SessionConfig, bearer: Bearer, model: str, call_id: str | None = None
    ) -> RelayedSession:
        """A registered session that is connected and not open; a call's transport plays its sound.

        Raises `RequestError`: no room, no credits; `EngineError` where no upstream could be reached.
        """
        plays = call_id is not None
        terms = RelayTerms(
            model=model,
            config=_told(config, model, plays=plays),
            expires_at=int(time.time() + RelayTerms(model=model).session_s),
            plays=plays,
        )
        relay = Relay(terms=terms, new_id=new_id, now=self._around.now())
        live: RelayedSession
        stop, cut = cut_offs(lambda: live)
        hooks = Hooks(stop, lambda id, micro, session_micro: None, lambda rates: None, cut)
        admission = await self._office.admit(relay.id, model, bearer, hooks)
        dialler = self._dialler(model, bearer)
        transcribes = not isinstance(config, RealtimeConfig)
        try:
            call = await dialler.dial(model, relay.id, transcribes=transcribes)
        except BaseException:
            admission.end()
            raise
        kept = self._recordings.open(relay.id, account=bearer.account, model=model, call_id=call_id)
        live = RelayedSession(
            relay, call, dialler, self._around, model=model, transcribes=transcribes, call_id=call_id,
            whose=whose(bearer), witnesses=(RelayTally(admission, [kept]),),
        )  # fmt: skip
        try:
            self._registry.add(live)
        except RequestError:
            live.close(NORMAL, "")
            raise
        return live

    def _dialler(self, model: str, bearer: Bearer) -> Dialler:
        dialler = self._upstreams.dialler
        if not self._upstreams.falls_back(model):
            return dialler
        return LastResort(dialler, lambda model, transcribes: self._answer_here(model, transcribes, bearer))


def cut_offs(live: Callable[[], LiveSession | RelayedSession]) -> tuple[Callable[[str], None], Callable[[str], None]]:
    """How a session ends that is no longer paid for (by a code), and one whose limit is used up (with a message)."""

    def stop(code: str) -> None:
        live().cut_off(code, PAID_NO_LONGER.get(code, NOT_PAID), finish_sentence=True)

    def cut(message: str) -> None:
        live().cut_off("rate_limit_exceeded", message)

    return stop, cut


def whose(bearer: Bearer) -> Whose:
    return Whose(bearer.account, None if bearer.key is None else bearer.key.id)


def _told(config: SessionConfig, model: str, *, plays: bool) -> Body | None:
    """What an upstream is told before the first words; None: nothing beyond the model."""
    if config == RealtimeConfig(model=model):
        return None
    told: dict[str, Any] = msgspec.to_builtins(config)
    body: Body = without_formats({"session": told})["session"] if plays else told
    return body
