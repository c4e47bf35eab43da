"""Relay.handle: a session that an upstream answers, as a pure function of what has happened to it.

It has one connection (*leg*) that counts, and at times a second one that is being opened or waits. Which it is says
everything about the state:

    live ------(Lost, stall, "expired")------> switching --(Opened)--> live
     |  its responses are ended for the client     |
     |                                             +--(Failed)--> closed, the clients are told why
     +--(its hour is nearly over: Dial)--> live, a spare is opened
                                             +--(Opened, and nothing runs)--> live on the spare; the old one hangs up

    any --(Left, drained, cut off, its own time is over)--> closed

Crossing over to another leg means: it is given the configuration, the conversation, and everything that the last one
was asked and did not answer, the sound of an unfinished turn included. Then it is the leg that counts. What comes from
any other leg is dropped. Nothing that may cost twice is asked twice: a response that was lost is ended as failed
(protocol.md 8.3), and one that was asked for and not begun is refused, for the client to ask again.

Two kinds of event are most of the traffic: `input_audio_buffer.append` up and `response.output_audio.delta` down. They
are not read, only counted, and have a way of their own: `heard` and `spoke`. All others go through `handle`.
"""

from collections.abc import Callable
from typing import Final, assert_never

from parley.core import inputs as i
from parley.core.effects import Close
from parley.core.relay_answers import ignore
from parley.core.relay_record import Record
from parley.core.relayed import (
    AnyRelayEffect,
    AnyRelayInput,
    Asked,
    Body,
    Dial,
    HangUp,
    Lost,
    Message,
    Opened,
    RelayTerms,
    Said,
    well_formed,
)
from parley.errors import ERRORS
from parley.ids import NewId

CHECK_S: Final = 0.5
"""How often it is looked whether a running response goes on."""
BRIDGE_S: Final = 60.0
"""So long before an upstream ends a session by itself the next one is opened; `BRIDGE_SHARE` of short ones."""
BRIDGE_SHARE: Final = 0.2
RETRY_S: Final = 5.0
"""When a spare could not be opened, and there is time."""

GOING_AWAY: Final = 1001
REFUSED: Final = 4000
INTERNAL_ERROR: Final = 1011

LOST: Final = "The upstream was lost. The session goes on with another one; ask again for what was interrupted."
GARBLED: Final = "The upstream sent an event that cannot be read."
STALLED: Final = "The upstream has fallen silent in the middle of a response."
EXPIRED: Final = "Your session hit its maximum duration."


class Relay:
    """Call `open` once with the first connection, then `handle` for everything that happens; perform the effects in
    order. When `deadline` comes (same clock as `now`, seconds), feed `Tick()`. Never waits, never raises on input."""

    def __init__(self, *, terms: RelayTerms, new_id: NewId, now: float) -> None:
        self.id = new_id("sess")
        self.closed = False
        self.upstream = ""
        """The name of the upstream that answers now, or did last."""
        self.leg: str | None = None
        """The connection that counts. While there is none, clients should be made to wait."""
        self.needle: bytes | None = None
        """What a sound delta of the running answer contains, its id in quotes; None: nothing may take the short way."""
        self.spoke: Callable[[int], None] = ignore
        """To be told how much base64 was in it, when it is passed on to the clients."""
        self._terms = terms
        self._new_id = new_id
        self._effects: list[AnyRelayEffect] = []
        self._record = Record(terms, self.id, new_id, self._emit)
        self._now = now
        self._expires = now + terms.session_s
        self._spare: str | None = None
        """A leg that is being opened, or waits to be crossed over to: then it is `_ready`."""
        self._ready: Opened | None = None
        self._bridge_at: float | None = None
        """When the spare should be opened."""
        self._check_at: float | None = None
        """Set while a response runs."""
        self._stirred = False
        self._spoken_chars = 0
        """What stirred in the running answers when it was last looked: events, sound."""
        self._stirred_at = 0.0
        self._draining: str | None = None
        self._cut_off: i.CutOff | None = None

    @property
    def deadline(self) -> float | None:
        """When the next `Tick` is due; None once the session is closed."""
        if self.closed:
            return None
        return min(at for at in (self._expires, self._bridge_at, self._check_at) if at is not None)

    def created(self) -> Body:
        """What somebody is told who joins later (protocol.md 7.13)."""
        return {"type": "session.created", "event_id": self._new_id("event"), "session": self._record.session}

    def open(self, opened: Opened) -> list[AnyRelayEffect]:
        """The first words."""
        effects = self._begin()
        self._record.begin(opened)
        self._follow(opened)
        self.leg = opened.leg
        return effects

    # ---- the two events that are only counted

    @property
    def heard(self) -> Callable[[bytes, int], None]:
        """To be told of each append event, with how much base64 is in it, when it is passed on to `leg`, if any."""
        return self._record.pending.sound

    # ---- everything else

    def handle(self, event: AnyRelayInput, now: float) -> list[AnyRelayEffect]:
        """What to do about `event`, which happened at `now`."""
        effects = self._begin()
        if self.closed:
            if isinstance(event, Opened):
                self._emit(HangUp(leg=event.leg))
            return effects
        self._now = now
        self._take(event)
        self._settle()
        return effects

    def _begin(self) -> list[AnyRelayEffect]:
        self._effects = []
        return self._effects

    def _take(self, event: AnyRelayInput) -> None:
        match event:
            case Said():
                if event.leg == self._record.leg:
                    self._said(event)
            case Asked():
                self._asked(event.message)
            case Opened():
                self._opened(event)
            case Lost():
                self._lost(event)
            case i.Failed():
                self._dial_failed(event)
            case i.Malformed():
                self._record.refuse(event.code, event.message, event.param, event.event_id)
            case i.Played():
                self._record.played(event)
            case i.Tick():
                self._tick()
            case i.Drain() | i.CutOff():
                self._end_soon(event)
            case i.Left():
                self._end("session_closed", "The client has left.")
            case _:
                assert_never(event)

    def _end_soon(self, event: i.Drain | i.CutOff) -> None:
        if isinstance(event, i.Drain):
            self._draining = event.reason
        else:
            self._cut_off = self._cut_off or event
            self._record.cancel()

    def _asked(self, message: Message) -> None:
        if self._cut_off is not None and message.kind == "response.create":
            self._record.refuse(self._cut_off.code, self._cut_off.message, event_id=message.event_id)
        else:
            self._record.asked(message, read=well_formed(message.body))

    def _said(self, event: Said) -> None:
        self._stirred = True
        if not well_formed(event.message.body):
            self._give_up(event.leg, "backend_protocol_error", GARBLED)
            return
        over = self._record.said(event.message, self._now)
        if over == "session_expired":
            self._give_up(event.leg, over, LOST)
        elif over is not None:
            self._give_up(event.leg, "backend_refused", LOST)

    # ---- legs

    def _opened(self, opened: Opened) -> None:
        if opened.leg != self._spare:
            self._emit(HangUp(leg=opened.leg))
        else:
            self._ready = opened

    def _lost(self, event: Lost) -> None:
        if event.leg == self._record.leg:
            self._lose(event.code, event.message)
        elif event.leg == self._spare:
            self._no_spare()

    def _dial_failed(self, failed: i.Failed) -> None:
        if failed.work_id != self._spare:
            return
        self._no_spare()
        if self._record.leg is None:
            self._record.refuse(failed.code, failed.message)
            self._end(failed.code, failed.message)
            self._emit(Close(code=INTERNAL_ERROR, reason=failed.code))

    def _no_spare(self) -> None:
        self._spare = self._ready = None
        self._bridge_at = self._now + RETRY_S
        if self._record.leg is None:
            self._dial()

    def _dial(self) -> None:
        self._bridge_at = None
        if self._spare is None:
            self._spare = self._new_id("leg")
            self._emit(Dial(leg=self._spare))

    def _give_up(self, leg: str, code: str, message: str) -> None:
        self._emit(HangUp(leg=leg, code=code))
        self._lose(code, message)

    def _lose(self, code: str, message: str) -> None:
        """The leg that counts is gone. Where it was time for it, clients are not troubled."""
        told = self._record.broken(code, message, self._now)
        if not told and code != "session_expired":
            self._record.refuse(code, LOST)
        self._dial()

    def _cross(self, opened: Opened) -> None:
        if self._record.leg is not None:
            self._emit(HangUp(leg=self._record.leg))
        self._spare = self._ready = None
        self._record.cross(opened)
        self._follow(opened)

    def _follow(self, opened: Opened) -> None:
        self.upstream = opened.upstream
        lasts_s = opened.lasts_s
        self._bridge_at = None
        if lasts_s is not None:
            self._bridge_at = self._now + max(0.0, lasts_s - min(BRIDGE_S, lasts_s * BRIDGE_SHARE))

    # ---- time

    def _tick(self) -> None:
        if self._now >= self._expires:
            self._record.refuse("session_expired", EXPIRED)
            self._end("session_expired", EXPIRED)
            self._emit(Close(code=GOING_AWAY, reason=EXPIRED))
            return
        if self._bridge_at is not None and self._now >= self._bridge_at:
            self._dial()
        if self._check_at is not None and self._now >= self._check_at:
            self._check(self._check_at)

    def _check(self, due: float) -> None:
        """Whether the answers go on. A check that comes late says that we stood still, not that the upstream did."""
        self._record.answers.tell_spoken()
        spoken_chars = self._record.answers.spoken_chars
        late = self._now - due > CHECK_S
        if self._stirred or late or spoken_chars != self._spoken_chars:
            self._stirred, self._stirred_at, self._spoken_chars = False, self._now, spoken_chars
        leg = self._record.leg
        if leg is not None and self._now - self._stirred_at >= self._terms.stall_s:
            self._give_up(leg, "backend_timeout", STALLED)
        self._check_at = self._now + CHECK_S

    def waited(self) -> None:
        """The upstream was not listened to for a while, because a client was slow: its silence does not count."""
        self._stirred = True

    def _settle(self) -> None:
        """What follows from the state, whatever happened."""
        record = self._record
        if not self.closed:
            self._go_on(record)
        self.leg = None if self.closed else record.leg
        if record.playback is None:
            self.needle, self.spoke = record.answers.needle, record.answers.spoke

    def _go_on(self, record: Record) -> None:
        if self._ready is not None and (record.leg is None or self._idle):
            self._cross(self._ready)
        if not record.answers.running:
            self._check_at = None
        elif self._check_at is None:
            self._check_at, self._stirred_at = self._now + CHECK_S, self._now
        if (cut := self._cut_off) is not None and not (cut.finish_sentence and self._speaks):
            record.refuse(cut.code, cut.message)
            self._end(cut.code, cut.message)
            self._emit(Close(code=REFUSED, reason=f"{ERRORS[cut.code].type}.{cut.code}"))
        elif self._draining is not None and self._idle:
            self._end("server_draining", self._draining)
            self._emit(Close(code=GOING_AWAY, reason=self._draining))

    @property
    def _idle(self) -> bool:
        """Between two turns."""
        return not self._speaks and not self._record.speaking and not self._record.pending

    @property
    def _speaks(self) -> bool:
        """Whether an answer runs, or is still being played."""
        record = self._record
        return bool(record.answers.running) or not (record.playback is None or record.playback.silent)

    def _end(self, code: str, message: str) -> None:
        if (leg := self._record.leg) is not None:
            self._record.broken(code if code in ERRORS else "internal_error", message, self._now)
            self._emit(HangUp(leg=leg))
        if self._spare is not None:
            self._emit(HangUp(leg=self._spare))
        self.closed = True

    def _emit(self, effect: AnyRelayEffect) -> None:
        self._effects.append(effect)
