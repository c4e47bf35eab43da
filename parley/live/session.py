"""Where the pure core meets tasks and time.

A `LiveSession` owns one `core.Session`, and is the only one who calls it. Transports, engines, ears and the timer
`post` what happened; the session is asked at once, on the event loop, and its effects are performed before `post`
returns. There is no task and no queue in between: nothing waits, so nothing can come in between a check and what
follows from it. What is posted while effects are being performed (a transport that finds its peer gone) has its turn
right after them.

Work runs in tasks of its own, one each, and a task posts what its engine yields. An engine that makes more than a
client takes waits for the client (`Outlet.writable`); sessions never wait for each other.
"""

import asyncio
import logging
import time
from collections import deque
from collections.abc import Callable, Sequence
from contextlib import aclosing
from typing import TYPE_CHECKING, Final, NamedTuple, Protocol, assert_never

from parley.audio.codecs import Decoder
from parley.audio.noise import NoiseReduction
from parley.core.config import AudioFormat, Pcm, SessionConfig, format_name
from parley.core.effects import AnyEffect, Close, Message, Meter, Send, Start, Stop, Tell, Turn, Work
from parley.core.events import AnyServerEvent, ClientEvent, Error, InputAudioBufferAppend
from parley.core.inputs import AnyInput, CutOff, Drain, Failed, Heard, Left, Malformed, Speech, Tick
from parley.core.session import Session
from parley.engines.base import Engine
from parley.errors import EngineError
from parley.live.preparing import FromClient, Preparing, Resources
from parley.telemetry import Metrics, note

if TYPE_CHECKING:
    from parley.audio.vad import Evidence

MAILBOX_MESSAGES_MAX: Final = 4_096
"""Messages that wait for one piece of running work: 80 s of sound in pieces of 20 ms. Beyond it the work has failed."""

TIMER_S_MIN: Final = 0.001
"""The loop's clock is that coarse; a timer set shorter could come too early again and again."""

SAMPLE_BYTES: Final = 2
SAMPLES_PER_S: Final = 24_000

ENDED: Final = 1000
INTERNAL_ERROR: Final = 1011

log = logging.getLogger(__name__)


class Outlet(Protocol):
    """The sending half of a transport, as the session sees it."""

    @property
    def congested(self) -> bool:
        """Whether the peer takes less than it is sent."""
        ...

    def send(self, event: AnyServerEvent) -> None:
        """Says `event` to the peer. Never waits and never fails: it fills a bounded buffer."""
        ...

    async def writable(self) -> None:
        """Returns when the peer has caught up, or is gone."""
        ...

    def close(self, code: int, reason: str) -> None:
        """Ends the connection with a WebSocket close code (protocol.md 8.4)."""
        ...


class Hearing(Protocol):
    """One microphone, see `live.listening`."""

    def hear(self, pcm: bytes) -> None: ...
    def set_noise_reduction(self, wanted: NoiseReduction | None) -> None: ...
    def close(self) -> None: ...


class Ears(Protocol):
    """What hears microphones, see `live.listening`."""

    def attach(
        self, on_speech: "Callable[[list[Evidence]], None]", noise_reduction: NoiseReduction | None, start: int
    ) -> Hearing: ...


class Witness(Protocol):
    """Who looks on while a session lives: its meter, its recorder. On the event loop; never waits, never fails."""

    def heard(self, pcm: bytes) -> None:
        """Sound of the user that the session has taken, house format."""
        ...

    def sent(self, event: AnyServerEvent) -> None:
        """What the session says to its peers."""
        ...

    def turn(self, turn: Turn) -> None: ...

    def ended(self) -> None:
        """Once, when the session is over."""
        ...


class Whose(NamedTuple):
    """To whom a session belongs, by ids."""

    account: str
    api_key: str | None = None


NOBODY: Final = Whose("")


class Surroundings(NamedTuple):
    """What all sessions of a process share."""

    ears: Ears
    metrics: Metrics
    meter: Callable[["LiveSession", Turn], None]
    """Told of every finished turn."""
    ended: Callable[["LiveSession"], None]
    """Told once of every session that ends."""
    now: Callable[[], float] = time.monotonic


class Mailbox:
    """What the session tells a piece of running work. Bounded; iterates for as long as somebody asks."""

    def __init__(self) -> None:
        self._queue: asyncio.Queue[Message] = asyncio.Queue(MAILBOX_MESSAGES_MAX)

    def put(self, message: Message) -> bool:
        """False when it is full."""
        try:
            self._queue.put_nowait(message)
        except asyncio.QueueFull:
            return False
        return True

    def __aiter__(self) -> "Mailbox":
        return self

    async def __anext__(self) -> Message:
        return await self._queue.get()


class _Running(NamedTuple):
    task: asyncio.Task[None]
    mailbox: Mailbox


class LiveSession:
    """A running session. Make it, `attach` an outlet, `open` it; then `post` and `hear`. Lives on one event loop."""

    def __init__(
        self,
        session: Session,
        engine: Engine,
        around: Surroundings,
        call_id: str | None = None,
        whose: Whose = NOBODY,
        witnesses: Sequence[Witness] = (),
        resources: Resources | None = None,
    ) -> None:
        """`resources` are what client events may name; without them the session takes such events as they come."""
        self.call_id = call_id
        self.whose = whose
        self._witnesses = witnesses
        self.over = asyncio.Event()
        """Set when the session has ended and its outlets are closed."""
        self._session = session
        self._engine = engine
        self._around = around
        self._outlets: tuple[Outlet, ...] = ()
        self._inbox: deque[AnyInput] = deque()
        self._handling = False
        self._opened = False
        self._left = False
        """The last outlet is gone: the session ends when it has heard of that."""
        self._running: dict[str, _Running] = {}
        self._tasks: set[asyncio.Task[None]] = set()
        self._timer: asyncio.TimerHandle | None = None
        self._timer_at = 0.0
        self._microphone = Microphone(around.ears, self._on_speech)
        self._preparing = Preparing(resources, self._deliver)

    @property
    def id(self) -> str:
        return self._session.id

    # ---- outlets

    def attach(self, outlet: Outlet) -> None:
        """From now on `outlet` hears everything."""
        self._outlets += (outlet,)

    def join(self, outlet: Outlet) -> None:
        """Like `attach`, for one who comes later: it is told what session this is, or that it is over."""
        if self.over.is_set():
            outlet.close(ENDED, "")
            return
        outlet.send(self._session.created())
        self.attach(outlet)

    def leave(self, outlet: Outlet) -> None:
        """The peer of `outlet` is gone. With the last one the session ends."""
        self._outlets = tuple(other for other in self._outlets if other is not outlet)
        if not self._outlets and not self._left:
            self._left = True
            self.post(Left())

    # ---- what happens

    def open(self) -> None:
        """The first words, and the clock starts."""
        self._opened = True
        self._around.metrics.sessions.inc()
        self._around.metrics.sessions_opened.inc()
        note(log, "session opened", session=self.id)
        for effect in self._session.open():
            self._perform(effect)
        self._work_off()

    def post(self, event: AnyInput) -> None:
        """`event` has happened. Its effects are performed when this returns, unless it came from one of them.

        A client event that names what has to be prepared waits for it, and with it those that come after it.
        """
        if not (isinstance(event, ClientEvent | Malformed) and self._preparing.take(event)):
            self._post(event)

    def hear(self, append: InputAudioBufferAppend) -> None:
        """Sound from a client, in the session's input format."""
        if not self._preparing.take(append):
            self._hear(append)

    def listen(self, pcm: bytes, event_id: str | None = None) -> None:
        """Sound from a client, in house format. `event_id` is that of the event it came with."""
        start = self._session.heard
        self._post(Heard(pcm=pcm, event_id=event_id))
        if self._session.heard > start and not self.over.is_set():
            for witness in self._witnesses:
                witness.heard(pcm)
            self._microphone.hear(pcm, start, self._session.config)

    def cut_off(self, code: str, message: str, *, finish_sentence: bool = False) -> None:
        """It may not go on, for a reason of `parley.errors.ERRORS` that its peers are told."""
        self.post(CutOff(code=code, message=message, finish_sentence=finish_sentence))

    def drain(self, reason: str) -> None:
        """The server is stopping: what runs may come to its end, then the session closes."""
        self.post(Drain(reason=reason))

    def close(self, code: int, reason: str) -> None:
        """End it now, and tell the peers why."""
        if self.over.is_set():
            return
        note(log, "session closed", session=self.id, code=code, reason=reason)
        self._around.metrics.closed(code)
        self._end()
        for outlet in self._outlets:
            outlet.close(code, reason)

    # ---- inside

    def _deliver(self, event: FromClient) -> None:
        if isinstance(event, InputAudioBufferAppend):
            self._hear(event)
        else:
            self._post(event)

    def _hear(self, append: InputAudioBufferAppend) -> None:
        pcm = self._microphone.decode(append.audio, self._session.config)
        if pcm is None:
            self._post(_not_sound(append))
        else:
            self.listen(pcm, append.event_id)

    def _post(self, event: AnyInput) -> None:
        self._inbox.append(event)
        if not self._handling:
            self._work_off()

    def _work_off(self) -> None:
        """Everything in the inbox, in order. A bug in the core ends this session, and no other."""
        self._handling = True
        try:
            while self._inbox and not self.over.is_set():
                for effect in self._session.handle(self._inbox.popleft(), self._around.now()):
                    if not self.over.is_set():
                        self._perform(effect)
        except Exception:
            log.exception("session failed", extra={"fields": {"session": self.id}})
            self.close(INTERNAL_ERROR, "internal_error")
        finally:
            self._handling = False
        if self._left and not self.over.is_set():
            note(log, "session left", session=self.id)
            self._end()
        if not self.over.is_set():
            self._follow()

    def _follow(self) -> None:
        """What depends on the session's state: the timer and the microphone."""
        deadline = self._session.deadline
        if deadline is not None and (self._timer is None or deadline < self._timer_at):
            self._set_timer(deadline)
        self._microphone.follow(self._session.config)

    def _perform(self, effect: AnyEffect) -> None:
        match effect:
            case Send():
                if isinstance(effect.event, Error):
                    self._around.metrics.error(effect.event.error.code or "none")
                for outlet in self._outlets:
                    outlet.send(effect.event)
                for witness in self._witnesses:
                    witness.sent(effect.event)
            case Tell():
                self._tell(effect.work_id, effect.message)
            case Start():
                self._start(effect.work)
            case Stop():
                self._stop(effect.work_id)
            case Meter():
                self._around.metrics.turn(effect.turn)
                self._around.meter(self, effect.turn)
                for witness in self._witnesses:
                    witness.turn(effect.turn)
            case Close():
                self.close(effect.code, effect.reason)
            case _:
                assert_never(effect)

    # ---- work

    def _start(self, work: Work) -> None:
        mailbox = Mailbox()
        task = asyncio.create_task(self._run(work, mailbox))
        self._running[work.work_id] = _Running(task, mailbox)
        self._tasks.add(task)
        task.add_done_callback(self._tasks.discard)

    def _tell(self, work_id: str, message: Message) -> None:
        running = self._running.get(work_id)
        if running is not None and not running.mailbox.put(message):
            self._stop(work_id)
            self.post(Failed(work_id=work_id, code="backend_timeout", message="The engine fell too far behind."))

    def _stop(self, work_id: str) -> None:
        running = self._running.pop(work_id, None)
        if running is not None:
            running.task.cancel()

    async def _run(self, work: Work, mailbox: Mailbox) -> None:
        work_id = work.work_id
        try:
            async with aclosing(self._engine.run(work, mailbox)) as inputs:
                async for event in inputs:
                    self.post(event)
                    for outlet in self._outlets:
                        if outlet.congested:
                            await outlet.writable()
        except EngineError as error:
            self._fail(work, error.code, error.message)
        except Exception:
            log.exception("work failed", extra={"fields": {"session": self.id, "work": work_id}})
            self._fail(work, "internal_error", "Something unexpected went wrong in the engine.")
        finally:
            running = self._running.get(work_id)
            if running is not None and running.mailbox is mailbox:  # the id may have been given to other work by now
                del self._running[work_id]

    def _fail(self, work: Work, code: str, message: str) -> None:
        kind = type(work).__name__.lower()
        self._around.metrics.failure(kind, code)
        note(log, "work failed", logging.WARNING, session=self.id, work=kind, code=code, reason=message)
        self.post(Failed(work_id=work.work_id, code=code, message=message))

    # ---- ears

    def _on_speech(self, evidence: "list[Evidence]") -> None:
        for upto, probability, voiced_upto in evidence:
            self._around.metrics.vad_lag((self._session.heard - upto) / SAMPLES_PER_S)
            self.post(Speech(upto=upto, probability=probability, voiced_upto=voiced_upto))

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
        deadline = self._session.deadline
        if deadline is None:
            return
        if deadline <= self._around.now():
            self.post(Tick())
        else:
            self._set_timer(deadline)

    # ---- the end

    def _end(self) -> None:
        """Stops everything that runs for this session. Nothing is posted to it any more."""
        if self.over.is_set():
            return
        self.over.set()
        if self._opened:
            self._around.metrics.sessions.dec()
        self._inbox.clear()
        self._running.clear()
        for task in self._tasks:
            task.cancel()
        if self._timer is not None:
            self._timer.cancel()
        self._microphone.close()
        self._preparing.close()
        for witness in self._witnesses:
            witness.ended()
        self._around.ended(self)


class Microphone:
    """The way of a client's sound: wire format -> house format -> ear. Follows the session's configuration."""

    def __init__(self, ears: Ears, on_speech: "Callable[[list[Evidence]], None]") -> None:
        self._ears = ears
        self._on_speech = on_speech
        self._format: AudioFormat = Pcm()
        self._decoder: Decoder | None = None
        self._config: SessionConfig | None = None
        self._hearing: Hearing | None = None

    def decode(self, audio: bytes, config: SessionConfig) -> bytes | None:
        """House sound, or None when `audio` is not whole samples of the input format."""
        wire = config.audio.input.format
        if isinstance(wire, Pcm):
            return None if len(audio) % SAMPLE_BYTES else audio
        if self._decoder is None or wire != self._format:
            self._format, self._decoder = wire, Decoder(format_name(wire))
        return self._decoder.decode(audio)

    def hear(self, pcm: bytes, start: int, config: SessionConfig) -> None:
        """Sound that the session has taken; `start` is the position of its first sample on the audio clock."""
        if config.audio.input.turn_detection is not None:
            if self._hearing is None:
                self._hearing = self._ears.attach(self._on_speech, _noise_reduction(config), start)
            self._hearing.hear(pcm)

    def follow(self, config: SessionConfig) -> None:
        """The configuration may have changed."""
        if config is self._config:
            return
        self._config = config
        if self._hearing is None:
            return
        if config.audio.input.turn_detection is None:
            self.close()
        else:
            self._hearing.set_noise_reduction(_noise_reduction(config))

    def close(self) -> None:
        hearing, self._hearing = self._hearing, None
        if hearing is not None:
            hearing.close()


def _noise_reduction(config: SessionConfig) -> NoiseReduction | None:
    wanted = config.audio.input.noise_reduction
    return None if wanted is None else NoiseReduction(wanted.type, wanted.strength)


def _not_sound(append: InputAudioBufferAppend) -> Malformed:
    """protocol.md 3.2: odd content."""
    return Malformed(
        code="invalid_value",
        message="Invalid 'audio'. Expected base64-encoded audio bytes (mono PCM16 at 24kHz) but got an invalid value.",
        param="audio",
        event_id=append.event_id,
    )
