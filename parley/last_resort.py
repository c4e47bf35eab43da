"""This machine as the last upstream: a session of our own that a relayed session talks to as if it were far away.

dialler = LastResort(dialler, open_session)      # open_session(model, transcribes) -> LiveSession, EngineError
call = await dialler.dial(...)                   # at an upstream; at this machine when none could be reached

Both sides speak GA text, as over a socket, so the relay's core need not know: configuration and conversation are
replayed as to any other upstream. Nothing of one side runs inside a call of the other: what the session says waits for
the event loop to come round, in order.
"""

import asyncio
import logging
import secrets
from collections import deque
from collections.abc import Awaitable, Callable, Iterable
from typing import Final, NamedTuple, Protocol

from parley.core.events import (
    AnyServerEvent,
    InputAudioBufferAppend,
    OutputAudioDelta,
    OutputAudioDone,
    ResponseDone,
)
from parley.core.relayed import LOCAL, Body
from parley.dialects.ga import GA as DIALECT
from parley.dialects.relay import GA, Spelling
from parley.errors import EngineError
from parley.live import relay_parts
from parley.live.session import LiveSession
from parley.telemetry import note
from parley.transports.voices import Voices

LASTS_S: Final = 3_600.0
"""How long a session of our own lasts (protocol.md 8.5)."""
HIGH_BYTES: Final = 256 * 1024
LOW_BYTES: Final = 64 * 1024
"""With more than the first waiting an engine waits, until it is less than the second."""
WAITING_BYTES_MAX: Final = 48 * 2**20
"""With more than this the connection is lost, as one to an upstream would be."""

log = logging.getLogger(__name__)

OpenSession = Callable[[str, bool], Awaitable[LiveSession]]
"""A session of a model (or one that transcribes) that is not open, and that nobody meters. Raises `EngineError`."""


class Receiver(Protocol):
    """See `engines.upstream.connection.Receiver`."""

    def on_upstream(self, leg: "LocalLeg", raw: bytes) -> None: ...
    def on_lost(self, leg: "LocalLeg", code: str, message: str) -> None: ...


class LocalLeg:
    """A `Leg` whose other end is here. Nothing comes before `receive`."""

    def __init__(self, live: LiveSession) -> None:
        self.upstream = LOCAL
        self.spelling: Spelling = GA
        self.congested = False
        """Never: a session takes everything at once."""
        self._live = live
        self._mouth = _Mouth(self._on_raw, self._on_closed)
        self._loop = asyncio.get_running_loop()
        self._receiver: Receiver | None = None
        self._waiting: deque[bytes] = deque()
        self._waiting_bytes = 0
        self._paused = True
        self._coming = False
        """Whether the event loop will come round for what waits."""
        self._failure: tuple[str, str] | None = None
        self._over = False
        live.attach(self._mouth)
        live.open()

    def take_first(self) -> bytes:
        """The first event. Raises `EngineError` when there is none."""
        if not self._waiting:
            raise EngineError("backend_unavailable", "No session could be opened here.", retryable=True)
        return self._taken()

    def receive(self, receiver: Receiver) -> None:
        self._receiver = receiver
        self.resume()

    def send(self, raw: bytes) -> None:
        if self._over:
            return
        event = DIALECT.decode(raw)
        if isinstance(event, InputAudioBufferAppend):
            self._live.hear(event)
        else:
            self._live.post(event)

    def ask(self, body: Body) -> None:
        self.send(GA.write_client(body))

    def pause(self) -> None:
        self._paused = True
        self._mouth.hold()

    def resume(self) -> None:
        self._paused = False
        self._come()

    def close(self) -> None:
        self._over = True
        self._waiting.clear()
        self._mouth.let_go()
        self._live.leave(self._mouth)

    # ---- what the session says

    def _on_raw(self, raw: bytes) -> None:
        self._waiting.append(raw)
        self._waiting_bytes += len(raw)
        if self._waiting_bytes > HIGH_BYTES:
            self._mouth.hold()
        if self._waiting_bytes > WAITING_BYTES_MAX:
            self._on_closed("backend_timeout", "What was said here was not taken.")
        self._come()

    def _on_closed(self, code: str, message: str) -> None:
        self._failure = self._failure or (code, message)
        self._come()

    def _come(self) -> None:
        if not self._coming and not self._paused and not self._over:
            self._coming = True
            self._loop.call_soon(self._hand_over)

    def _hand_over(self) -> None:
        self._coming = False
        assert self._receiver is not None
        while self._waiting and not self._paused and not self._over:
            self._receiver.on_upstream(self, self._taken())
        if self._paused or self._over:
            return
        if self._failure is not None:
            self.close()
            self._receiver.on_lost(self, *self._failure)

    def _taken(self) -> bytes:
        raw = self._waiting.popleft()
        self._waiting_bytes -= len(raw)
        if self._waiting_bytes < LOW_BYTES and not self._paused:
            self._mouth.let_go()
        return raw


class _Mouth:
    """The session's `Outlet`."""

    def __init__(self, say: Callable[[bytes], None], closed: Callable[[str, str], None]) -> None:
        self._say = say
        self._closed = closed
        self._held: asyncio.Future[None] | None = None
        self._voices = Voices()
        self._event_id = f"event_{secrets.token_hex(5)}_"
        self._sent = 0

    @property
    def congested(self) -> bool:
        return self._held is not None

    def hold(self) -> None:
        if self._held is None:
            self._held = asyncio.get_running_loop().create_future()

    def let_go(self) -> None:
        held, self._held = self._held, None
        if held is not None:
            held.set_result(None)

    def send(self, event: AnyServerEvent) -> None:
        match event:
            case OutputAudioDelta():
                self._say_sound(event, self._voices.encoded(event))
                return
            case OutputAudioDone():
                if (rest := self._voices.finish(event.response_id)) is not None:
                    self._say_sound(*rest)
            case ResponseDone():
                self._voices.drop(event.response.id)
        for raw in DIALECT.encode(event, self._next_id()):
            self._say(raw)

    def _say_sound(self, event: OutputAudioDelta, sound: bytes) -> None:
        self._say(DIALECT.encode_audio(event, sound, self._next_id()))

    def _next_id(self) -> str:
        self._sent += 1
        return f"{self._event_id}{self._sent:x}"

    async def writable(self) -> None:
        if self._held is not None:
            await asyncio.shield(self._held)

    def close(self, code: int, reason: str) -> None:
        expired = "maximum duration" in reason
        self._closed("session_expired" if expired else "backend_unavailable", "The session here has ended.")


class _Created(NamedTuple):
    body: Body
    raw: bytes
    lasts_s: float | None


class _Target(NamedTuple):
    upstream: str
    model: str


class LocalCall(NamedTuple):
    """A `Call`, see `live.relay_parts`."""

    leg: LocalLeg
    created: _Created
    target: _Target


class LastResort:
    """A `Dialler` of one session, on top of the one for all."""

    def __init__(self, dialler: relay_parts.Dialler, open_session: OpenSession) -> None:
        self._dialler = dialler
        self._open_session = open_session

    async def dial(
        self, model: str, session: str, *, transcribes: bool = False, avoid: Iterable[str] = ()
    ) -> relay_parts.Call:
        """Raises `EngineError` when not even this machine answers."""
        try:
            return await self._dialler.dial(model, session, transcribes=transcribes, avoid=avoid)
        except EngineError as error:
            note(log, "answered here", logging.WARNING, session=session, code=error.code)
        leg = LocalLeg(await self._open_session(model, transcribes))
        raw = leg.take_first()
        return LocalCall(leg, _Created(GA.read_server(raw)[0], raw, LASTS_S), _Target(LOCAL, model))

    def lost(self, upstream: str, code: str) -> None:
        if upstream != LOCAL:
            self._dialler.lost(upstream, code)
