"""Where a relayed session meets tasks and time: like `live.session`, with an upstream in place of an engine.

    call = await dialler.dial(model, relay.id)
    live = RelayedSession(relay, call, dialler, around)
    live.attach(outlet); live.open(); live.relay(raw, spelling)

Text comes in at two ends, from clients (`relay`) and from the upstream (`on_upstream`), and goes out at the other at
once, on the event loop, in the order in which it came. The two events that are most of the traffic are not read on the
way; the others are asked of the core. What the other end does not take is not read either: a client that is slow makes
its upstream wait, and the other way round, through the windows of TCP; nothing is queued here.
"""

import asyncio
import logging
from collections import deque
from collections.abc import Coroutine, Sequence
from typing import Final, assert_never

import msgspec
from pybase64 import b64encode

from parley.core.effects import Close, Meter
from parley.core.events import AnyClientEvent, InputAudioBufferAppend
from parley.core.inputs import CutOff, Drain, Failed, Left, Malformed, Played, Tick
from parley.core.relay import Relay
from parley.core.relayed import (
    ANY,
    AnyRelayEffect,
    AnyRelayInput,
    Ask,
    Asked,
    Dial,
    HangUp,
    Lost,
    Message,
    Said,
    Say,
    Tally,
)
from parley.errors import EngineError, RequestError
from parley.live.relay_parts import (
    Call,
    Dialler,
    Leg,
    RelayOutlet,
    RelaySurroundings,
    RelayWitness,
    Spelling,
    event_id_of,
    opened,
)
from parley.live.session import ENDED, INTERNAL_ERROR, TIMER_S_MIN, Whose
from parley.telemetry import note

FIRST_LEG: Final = "leg_first"

log = logging.getLogger(__name__)


class RelayedSession:
    """A running session that an upstream answers. Lives on one event loop."""

    def __init__(
        self,
        relay: Relay,
        call: Call,
        dialler: Dialler,
        around: RelaySurroundings,
        *,
        model: str,
        transcribes: bool = False,
        call_id: str | None = None,
        whose: Whose,
        witnesses: Sequence[RelayWitness] = (),
    ) -> None:
        """`call` is the first connection, which belongs to this session from now on."""
        self.call_id = call_id
        self.whose = whose
        self.over = asyncio.Event()
        """Set when the session has ended and its outlets are closed."""
        self._relay = relay
        self._dialler = dialler
        self._around = around
        self._model = model
        self._transcribes = transcribes
        self._witnesses = witnesses
        self._first: Call | None = call
        self._outlets: tuple[RelayOutlet, ...] = ()
        self._inbox: deque[AnyRelayInput] = deque()
        self._handling = False
        self._legs: dict[str, Leg] = {FIRST_LEG: call.leg}
        self._leg: Leg | None = call.leg
        """The one that counts."""
        self._heard = relay.heard
        self._append_chars = call.leg.spelling.append_chars
        self._delta_chars = call.leg.spelling.delta_chars
        self._tasks: set[asyncio.Task[None]] = set()
        self._listening = True
        """Whether the upstream is read: not while a client is slow."""
        self._clients_wait = False
        self._timer: asyncio.TimerHandle | None = None
        self._timer_at = 0.0

    @property
    def id(self) -> str:
        return self._relay.id

    @property
    def upstream(self) -> str:
        """The name of the upstream that answers now."""
        return self._relay.upstream

    # ---- outlets

    def attach(self, outlet: RelayOutlet) -> None:
        """From now on `outlet` hears everything."""
        self._outlets += (outlet,)
        if self._clients_wait:
            outlet.pause()

    def join(self, outlet: RelayOutlet) -> None:
        """Like `attach`, for one who comes later: it is told what session this is, or that it is over."""
        if self.over.is_set():
            outlet.close(ENDED, "")
            return
        for raw in outlet.spelling.write_server(self._relay.created()):
            outlet.send_raw(raw)
        self.attach(outlet)

    def leave(self, outlet: RelayOutlet) -> None:
        """The peer of `outlet` is gone. With the last one the session ends."""
        self._outlets = tuple(other for other in self._outlets if other is not outlet)
        if not self._outlets and not self.over.is_set():
            note(log, "session left", session=self.id)
            self._end()

    # ---- what happens

    def open(self) -> None:
        """The first words, and the clock starts."""
        self._around.metrics.sessions.inc()
        self._around.metrics.sessions_opened.inc()
        call, self._first = self._first, None
        assert call is not None, "open it once"
        note(log, "session opened", session=self.id, upstream=call.target.upstream)
        self._handling = True
        self._perform_all(self._relay.open(opened(FIRST_LEG, call)))
        self._handling = False
        call.leg.receive(self)
        self._work_off()

    def relay(self, raw: bytes, spelling: Spelling) -> None:
        """An event from a client, valid UTF-8, as it came."""
        chars = self._append_chars(raw)
        if chars >= 0:
            self._heard(raw, chars)
            if self._leg is not None:
                self._leg.send(raw)
            return
        try:
            body = spelling.read_client(raw)
        except RequestError as fault:
            self._post(Malformed(code=fault.code, message=fault.message, param=fault.param, event_id=event_id_of(raw)))
        else:
            self._post(Asked(message=Message(body, raw, spelling.name)))

    def post(self, event: AnyClientEvent | Malformed | Played | Left) -> None:
        """An event from a client that is read already, or what else its transport has to say."""
        if isinstance(event, Malformed | Played | Left):
            self._post(event)
        elif isinstance(event, InputAudioBufferAppend):
            self.listen(event.audio, event.event_id)
        else:
            body = {key: value for key, value in msgspec.to_builtins(event).items() if value is not None}
            self._post(Asked(message=Message(body)))

    def listen(self, sound: bytes, event_id: str | None = None) -> None:
        """Sound from a client, in the session's input format."""
        raw = b'{"type":"input_audio_buffer.append","audio":"' + b64encode(sound) + b'"}'
        self._heard(raw, len(raw) - len(b'{"type":"input_audio_buffer.append","audio":""}'))
        if self._leg is not None:
            self._leg.send(raw)

    def hear(self, append: InputAudioBufferAppend) -> None:
        """The same, as an event."""
        self.listen(append.audio, append.event_id)

    def cut_off(self, code: str, message: str, *, finish_sentence: bool = False) -> None:
        """It may not go on, for a reason of `parley.errors.ERRORS` that its peers are told."""
        self._post(CutOff(code=code, message=message, finish_sentence=finish_sentence))

    def drain(self, reason: str) -> None:
        """The server is stopping: what runs may come to its end, then the session closes."""
        self._post(Drain(reason=reason))

    def close(self, code: int, reason: str) -> None:
        """End it now, and tell the peers why."""
        if self.over.is_set():
            return
        note(log, "session closed", session=self.id, code=code, reason=reason)
        self._around.metrics.closed(code)
        self._end()
        for outlet in self._outlets:
            outlet.close(code, reason)

    # ---- what the upstream says

    def on_upstream(self, leg: Leg, raw: bytes) -> None:
        relay = self._relay
        needle = relay.needle
        if needle is not None and leg is self._leg and (chars := self._delta_chars(raw, needle)) >= 0:
            relay.spoke(chars)
            spelling = leg.spelling
            for outlet in self._outlets:
                outlet.send_raw(raw if outlet.spelling is spelling else outlet.spelling.respell_sound(raw))
                if outlet.congested:
                    self._wait_for(outlet)
            return
        self._read(leg, raw)
        for outlet in self._outlets:
            if outlet.congested:
                self._wait_for(outlet)

    def on_congestion(self, leg: Leg) -> None:
        self._throttle()

    def on_lost(self, leg: Leg, code: str, message: str) -> None:
        name = self._name_of(leg)
        if name is not None:
            del self._legs[name]
            self._note_lost(leg, code)
            self._post(Lost(leg=name, code=code, message=message))

    def _read(self, leg: Leg, raw: bytes) -> None:
        name = self._name_of(leg)
        if name is None:
            return
        try:
            bodies = leg.spelling.read_server(raw)
        except ValueError:
            leg.close()
            self.on_lost(leg, "backend_protocol_error", "The upstream sent an event that cannot be read.")
            return
        for body in bodies:
            # a translation may make two events of one; the text belongs to the one that it spells
            own = len(bodies) == 1 or body["type"] != "conversation.item.done"
            self._post(Said(leg=name, message=Message(body, raw if own else None, leg.spelling.name)))

    def _name_of(self, leg: Leg) -> str | None:
        return next((name for name, known in self._legs.items() if known is leg), None)

    def _note_lost(self, leg: Leg, code: str) -> None:
        self._dialler.lost(leg.upstream, code)
        self._around.metrics.failure("upstream", code)
        note(log, "upstream lost", logging.WARNING, session=self.id, upstream=leg.upstream, code=code)

    # ---- inside

    def _post(self, event: AnyRelayInput) -> None:
        self._inbox.append(event)
        if not self._handling:
            self._work_off()

    def _work_off(self) -> None:
        """Everything in the inbox, in order. A bug in the core ends this session, and no other."""
        self._handling = True
        try:
            while self._inbox and not self.over.is_set():
                self._perform_all(self._relay.handle(self._inbox.popleft(), self._around.now()))
        except Exception:
            log.exception("session failed", extra={"fields": {"session": self.id}})
            self._relay.closed = True
            self.close(INTERNAL_ERROR, "internal_error")
        finally:
            self._handling = False
        if not self.over.is_set():
            self._follow()

    def _perform_all(self, effects: Sequence[AnyRelayEffect]) -> None:
        for effect in effects:
            self._perform(effect)
        self._leg = None if self._relay.leg is None else self._legs.get(self._relay.leg)

    def _follow(self) -> None:
        """What depends on the session's state: the timer, and whether clients have to wait."""
        deadline = self._relay.deadline
        if deadline is not None and (self._timer is None or deadline < self._timer_at):
            self._set_timer(deadline)
        self._throttle()

    def _perform(self, effect: AnyRelayEffect) -> None:
        match effect:
            case Say():
                self._say(effect.message)
            case Ask():
                self._ask(effect.leg, effect.message)
            case Dial():
                self._start(self._dial(effect.leg))
            case HangUp():
                self._hang_up(effect.leg, effect.code)
            case Tally():
                self._tally(effect)
            case Meter():
                self._around.metrics.turn(effect.turn)
                self._around.meter(self, effect.turn)
                for witness in self._witnesses:
                    witness.turn(effect.turn)
            case Close():
                self.close(effect.code, effect.reason)
            case _:
                assert_never(effect)

    def _say(self, message: Message) -> None:
        if message.kind == "error":
            self._around.metrics.error(str(message.body["error"].get("code") or "none"))
        for outlet in self._outlets:
            if message.raw is not None and message.dialect == outlet.spelling.name:
                outlet.send_raw(message.raw)
            else:
                for raw in outlet.spelling.write_server(message.body):
                    outlet.send_raw(raw)

    def _ask(self, name: str, message: Message) -> None:
        leg = self._legs.get(name)
        if leg is None:
            return
        if message.raw is not None and message.dialect in (ANY, leg.spelling.name):
            leg.send(message.raw)
        else:
            leg.ask(message.body)

    def _tally(self, effect: Tally) -> None:
        for witness in self._witnesses:
            match effect.what:
                case "started":
                    witness.started(effect.response_id)
                case "spoke":
                    witness.spoke(effect.response_id, effect.ms)
                case "heard":
                    witness.heard(effect.ms)

    # ---- legs

    def _start(self, work: Coroutine[None, None, None]) -> None:
        task = asyncio.create_task(work)
        self._tasks.add(task)
        task.add_done_callback(self._tasks.discard)

    async def _dial(self, name: str) -> None:
        try:
            call = await self._dialler.dial(
                self._model, self.id, transcribes=self._transcribes, avoid=(self._relay.upstream,)
            )
        except EngineError as error:
            self._post(Failed(work_id=name, code=error.code, message=error.message))
            return
        if self.over.is_set():
            call.leg.close()
            return
        self._legs[name] = call.leg
        note(log, "upstream called", session=self.id, upstream=call.target.upstream)
        self._post(opened(name, call))
        call.leg.receive(self)

    def _hang_up(self, name: str, code: str) -> None:
        leg = self._legs.pop(name, None)
        if leg is not None:
            leg.close()
            if code:
                self._note_lost(leg, code)

    # ---- slow sides

    def _wait_for(self, outlet: RelayOutlet) -> None:
        """A client is slow: its upstream waits."""
        if self._listening and self._leg is not None:
            self._listening = False
            self._leg.pause()
            self._start(self._until_writable(outlet, self._leg))

    async def _until_writable(self, outlet: RelayOutlet, leg: Leg) -> None:
        await outlet.writable()
        self._listening = True
        leg.resume()

    def _throttle(self) -> None:
        """Clients wait for an upstream that is slow, or not there."""
        wait = self._leg is None or self._leg.congested
        if wait is not self._clients_wait:
            self._clients_wait = wait
            for outlet in self._outlets:
                if wait:
                    outlet.pause()
                else:
                    outlet.resume()

    # ---- time

    def _set_timer(self, deadline: float) -> None:
        """Only for an earlier moment: a timer that comes too early looks again, which is cheaper than moving it."""
        if self._timer is not None:
            self._timer.cancel()
        delay = max(TIMER_S_MIN, deadline - self._around.now())
        self._timer = asyncio.get_running_loop().call_later(delay, self._on_timer)
        self._timer_at = deadline

    def _on_timer(self) -> None:
        self._timer = None
        deadline = self._relay.deadline
        if deadline is None:
            return
        if deadline <= self._around.now():
            if not self._listening:
                self._relay.waited()
            self._post(Tick())
        else:
            self._set_timer(deadline)

    # ---- the end

    def _end(self) -> None:
        """Hangs up, stops what runs. Nothing is posted any more."""
        if self.over.is_set():
            return
        self.over.set()
        self._around.metrics.sessions.dec()
        self._inbox.clear()
        if not self._relay.closed:
            self._perform_all(self._relay.handle(Left(), self._around.now()))  # what ran is ended, and paid for
        for leg in self._legs.values():
            leg.close()
        self._legs.clear()
        self._leg = None
        for task in self._tasks:
            task.cancel()
        if self._timer is not None:
            self._timer.cancel()
        for witness in self._witnesses:
            witness.ended()
        self._around.ended(self)
