"""One call of a carrier: a live session on one side, the carrier's WebSocket on the other.

    carrier: media, dtmf -----> session        session: sound -----> media + mark
    carrier: mark ------------> Played         session: cleared ---> clear
    carrier: stop, gone ------> Left           session: closed ----> the WebSocket ends

A carrier has no use for events: they go to whoever joins the call by its id (protocol.md 7.13).
"""

import asyncio
import logging
import time
from collections.abc import Callable
from typing import Final, assert_never

from parley.audio.codecs import Decoder
from parley.core.events import AnyServerEvent, OutputAudioBufferCleared, OutputAudioDelta, ResponseDone
from parley.core.inputs import Left, Malformed
from parley.dialects.base import BINARY_FRAME
from parley.errors import RequestError
from parley.live.session import LiveSession
from parley.telemetry import note
from parley.transports.carriers.dialects import Dialect, Key, Marked, Sound, Start, Stop, Words, read
from parley.transports.carriers.order import Order
from parley.transports.carriers.speaker import Speaker
from parley.transports.picows_protocol import NORMAL, TOO_BIG, Lane

MESSAGE_BYTES_MAX: Final = 65_536
"""Of a carrier: 6 s of sound. Theirs have 20 ms."""
SILENCE_S: Final = 30.0
"""Carriers send sound all the time, also when nobody speaks; one that has not for so long is gone."""
LOOK_S: Final = 1.0
"""How often that is looked at, and whether marks come back."""
SPEAKER_HIGH_MS: Final = 60_000
SPEAKER_LOW_MS: Final = 50_000
"""With more sound than the first waiting an engine is asked to wait, until it is less than the second."""

Pressed = Callable[[LiveSession, str, int], None]
"""A key was pressed at this Unix time: says `input_audio_buffer.dtmf_event_received`."""

log = logging.getLogger(__name__)


class CarrierCall:
    """The session's `Outlet`, and the lane's `Receiver`. Nothing happens before `begin`."""

    def __init__(
        self,
        live: LiveSession,
        lane: Lane,
        dialect: Dialect,
        start: Start,
        pressed: Pressed,
        over: Callable[["CarrierCall"], None],
    ) -> None:
        self.live = live
        self.carrier_call = start.carrier_call
        """What the carrier calls it."""
        self._lane = lane
        self._dialect = dialect
        self._pressed = pressed
        self._over = over
        self._loop = asyncio.get_running_loop()
        self._decoder = Decoder(start.wire)
        self._speaker = Speaker(Words(dialect, start.stream_id), start.wire, lane.send, live.post)
        self._order = Order(self._hear)
        self._heard_at = self._loop.time()
        self._congested = False
        self._writable: asyncio.Future[None] | None = None
        self._timer: asyncio.TimerHandle | None = None
        self._ended = False

    def begin(self) -> None:
        """The session opens, and time runs."""
        self.live.attach(self)
        self._look()
        self.live.open()

    def hang_up(self, reason: str = "hung up") -> None:
        """Ends it: the session takes its leave, and whoever else is attached is closed with it."""
        if self._ended:
            return
        note(log, "carrier call over", call=self.live.call_id, carrier=self._dialect.name, reason=reason)
        self.live.post(Left())
        self.live.close(NORMAL, reason)

    # ---- what the carrier says

    def on_text(self, message: bytes) -> None:
        if len(message) > MESSAGE_BYTES_MAX:
            self.live.close(TOO_BIG, "message_too_big")
            return
        try:
            heard = read(self._dialect, message)
        except RequestError as error:
            self.live.post(Malformed(code=error.code, message=error.message, param=error.param))
            return
        match heard:
            case Sound():
                self._heard_at = self._loop.time()
                if heard.number is None:
                    self._hear(heard.data)
                else:
                    self._order.push(heard.number, heard.data)
            case Marked():
                self._speaker.marked(heard.name, self._loop.time())
                self._relieve()
            case Key():
                self._pressed(self.live, heard.key, int(time.time()))
            case Stop():
                self.hang_up("hung up by the caller")
            case Start() | None:
                pass  # nothing of a second start can be changed any more
            case _:
                assert_never(heard)

    def on_binary(self, message: bytes) -> None:
        self.live.post(BINARY_FRAME)

    def on_gone(self) -> None:
        self.hang_up("the carrier has gone")

    # ---- what the session says

    @property
    def congested(self) -> bool:
        self._congested = self._congested or self._speaker.waiting_ms > SPEAKER_HIGH_MS
        return self._congested or self._lane.congested

    def send(self, event: AnyServerEvent) -> None:
        match event:
            case OutputAudioDelta():
                self._speaker.add(event.response_id, event.delta, self._loop.time())
            case OutputAudioBufferCleared():
                self._speaker.clear(event.response_id)
                self._relieve()
            case ResponseDone():
                self._speaker.finish(event.response.id, self._loop.time())

    async def writable(self) -> None:
        await self._lane.writable()
        if not self._congested or self._ended:
            return
        if self._writable is None:
            self._writable = self._loop.create_future()
        await asyncio.shield(self._writable)

    def close(self, code: int, reason: str) -> None:
        if self._ended:
            return
        self._ended = True
        if self._timer is not None:
            self._timer.cancel()
        self._order.close()
        self._wake()
        self._over(self)
        self._lane.close(code, reason)

    # ---- inside

    def _hear(self, data: bytes) -> None:
        self.live.listen(self._decoder.decode(data))

    def _look(self) -> None:
        now = self._loop.time()
        self._timer = self._loop.call_later(LOOK_S, self._look)
        if now - self._heard_at > SILENCE_S:
            self.hang_up("no sound came")
        elif self._speaker.stuck(now):
            self.hang_up("no marks came")

    def _relieve(self) -> None:
        if self._congested and self._speaker.waiting_ms < SPEAKER_LOW_MS:
            self._congested = False
            self._wake()

    def _wake(self) -> None:
        waiting, self._writable = self._writable, None
        if waiting is not None and not waiting.done():
            waiting.set_result(None)
