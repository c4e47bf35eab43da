"""Watches a live session, counts what it takes, and tells it how its limits stand (protocol.md 6.6).

    watch = await open_watch(limits, who, session.id, tell)    # RateLimited; else `ended` must be called
    live = LiveSession(..., witnesses=[watch])

A running response is never stopped by a limit: what it took is counted when it ends, and the session, which is told,
refuses the next one. So a limit is overdrawn by one response per session at most.

Minutes of audio are those of speech that was heard, as far as it became an item, and of sound that was made.
"""

import asyncio
from collections.abc import Callable

from parley.auth.limits import WORK, Limits, Spent, Who
from parley.core.effects import Turn
from parley.core.events import AnyServerEvent, OutputAudioDelta, SessionCreated
from parley.core.rates import Rate, refusal, used_up
from parley.core.user_speech import BYTES_PER_MS, UserSpeech

Tell = Callable[[tuple[Rate, ...]], object]
"""Takes how the limits stand, for the session's `inputs.Rates`."""
Cut = Callable[[str], object]
"""Takes the message for a session that may not go on (`rate_limit_exceeded`)."""


async def open_watch(limits: Limits, who: Who, session: str, tell: Tell, cut: Cut | None = None) -> "LimitWatch":
    """Counts a request and a session. Raises `RateLimited`, a `RequestError`.

    `cut` is given for sessions without responses, which have no next one that could be refused: they begin only where
    no limit is used up, and end when one is.
    """
    rates = await (limits.admit(who) if cut is None else limits.admit(who, WORK))
    await limits.open_session(who, session)
    return LimitWatch(limits, who, session, rates, tell, cut)


class LimitWatch:
    """A `Witness` of one session (see `live.session`)."""

    def __init__(
        self, limits: Limits, who: Who, session: str, rates: tuple[Rate, ...], tell: Tell, cut: Cut | None = None
    ) -> None:
        self._limits = limits
        self._who = who
        self._session = session
        self._rates = rates
        self._tell = tell
        self._cut = cut
        self._speech = UserSpeech()
        self._made = 0
        """Bytes of sound that were made and not counted yet."""
        self._heard_ms = 0
        self._owed = Spent()
        self._due = False
        """Something has to be counted, or asked for."""
        self._over = False
        self._working: asyncio.Task[None] | None = None

    def heard(self, pcm: bytes) -> None:
        self._speech.heard(pcm)

    def sent(self, event: AnyServerEvent) -> None:
        self._heard_ms += self._speech.sent(event)
        match event:
            case SessionCreated():
                self._tell(self._rates)
            case OutputAudioDelta():
                self._made += len(event.delta)

    def count(self, *, heard_ms: int = 0, made_ms: int = 0) -> None:
        """The same, for who has counted it: of sessions whose sound passes by."""
        self._heard_ms += heard_ms
        self._made += made_ms * BYTES_PER_MS

    def turn(self, turn: Turn) -> None:
        refused = turn.error_code == "rate_limit_exceeded"
        requests = int(turn.kind == "response" and not refused)
        self._count(requests, turn.text_tokens if turn.usage is None else turn.usage.total_tokens)

    def ended(self) -> None:
        """The session is over. What it took is counted, and its place is free."""
        self._over = True
        self._count()

    async def settled(self) -> None:
        """Returns when everything is counted."""
        if self._working is not None:
            await asyncio.shield(self._working)

    # ---- inside

    def _count(self, requests: int = 0, tokens: int = 0) -> None:
        made_ms, self._made = divmod(self._made, BYTES_PER_MS)
        self._owed = Spent(
            self._owed.requests + requests, self._owed.tokens + tokens, self._owed.audio_ms + self._heard_ms + made_ms
        )
        self._heard_ms, self._due = 0, True
        if self._working is None or self._working.done():
            self._working = asyncio.create_task(self._work_off())

    async def _work_off(self) -> None:
        """One after the other, so that what the session is told last is how things stand."""
        while self._due:
            owed, self._owed, self._due = self._owed, Spent(), False
            rates = await self._limits.spend(self._who, owed)
            if not self._over:
                self._told(rates)
        if self._over:
            await self._limits.close_session(self._who, self._session)

    def _told(self, rates: tuple[Rate, ...]) -> None:
        self._tell(rates)
        late = used_up(rates)
        if self._cut is not None and late is not None:
            self._cut(refusal(late))
