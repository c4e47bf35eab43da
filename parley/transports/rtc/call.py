"""One call: a live session on one side, a WebRTC peer on the other, and two clocks' worth of sound between them.

What the session says goes to the events channel, its sound into the pacer; every 20 ms the pacer gives a slice to the
peer, and the session is told how far it has come (`Played`). What the peer says goes to the session at once.

Whether this machine answers or an upstream makes one difference: the first says events (`send`), the other passes on
text (`send_raw`).
"""

import asyncio
import logging
import time
from collections.abc import Callable
from typing import Final

import msgspec
from pybase64 import b64decode

from parley.audio.pacer import SLICE_MS, Beats, Pacer, Slice
from parley.core.events import (
    AnyServerEvent,
    InputAudioBufferAppend,
    OutputAudioBufferCleared,
    OutputAudioDelta,
    ResponseDone,
)
from parley.core.inputs import Left, Played
from parley.core.relayed import Body
from parley.dialects.base import BINARY_FRAME, Dialect
from parley.dialects.relay import GA
from parley.live.relay import RelayedSession
from parley.live.relay_parts import Spelling
from parley.live.session import LiveSession
from parley.telemetry import note
from parley.transports.rtc.base import RtcPeer
from parley.transports.rtc.events import Events
from parley.transports.rtc.sdp import Offer
from parley.transports.rtc.ticker import Ticker

PLAYED_MS: Final = 2 * SLICE_MS
"""How often the session hears how far its sound has come: a third of a short word."""
SPEAKER_HIGH_MS: Final = 60_000
SPEAKER_LOW_MS: Final = 50_000
"""With more sound than the first waiting an engine is asked to wait, until it is less than the second."""
RELAYED_HIGH_MS: Final = 600_000
RELAYED_LOW_MS: Final = 590_000
"""The same for an upstream, which is heard with everything else that it says: were it not listened to, nobody would
learn that the user speaks. 29 MB; an answer has at most a third of it (protocol.md 6.3: 4,096 tokens)."""
CHANNEL_HIGH_BYTES: Final = 256 * 1024
"""With more waiting on the channel, too."""
CHANNEL_BYTES_MAX: Final = 4 << 20
"""With this much the client is not reading, and the call ends."""

NORMAL: Final = 1_000
INTERNAL_ERROR: Final = 1_011
TRY_AGAIN_LATER: Final = 1_013

log = logging.getLogger(__name__)


class Call:
    """The session's `Outlet` or `RelayOutlet`, and the peer's `Host`. Nothing happens before `begin`."""

    def __init__(
        self, live: LiveSession | RelayedSession, dialect: Dialect, ticker: Ticker, over: Callable[["Call"], None]
    ) -> None:
        self.live = live
        self.spelling: Spelling = GA
        """In which an upstream's text comes here: it is read, and spelled for the client by the channel."""
        relayed = isinstance(live, RelayedSession)
        self._high_ms, self._low_ms = (
            (RELAYED_HIGH_MS, RELAYED_LOW_MS) if relayed else (SPEAKER_HIGH_MS, SPEAKER_LOW_MS)
        )
        self._dialect = dialect
        self._ticker = ticker
        self._over = over
        self._loop = asyncio.get_running_loop()
        self._pacer = Pacer()
        self._reported: dict[str, int] = {}
        """Of each response that is playing, how many milliseconds the session knows of."""
        self._congested = False
        self._writable: asyncio.Future[None] | None = None
        self._ended = False
        self._peer: RtcPeer
        self._events: Events

    def begin(self, peer: RtcPeer) -> None:
        """The session opens, and time runs."""
        self._peer = peer
        self._events = Events(self._dialect, peer.message_bytes_max, peer.say)
        self.live.attach(self)
        self._ticker.add(self)
        self.live.open()

    async def restart(self, offer: Offer) -> str:
        """See `RtcPeer.restart`."""
        return await self._peer.restart(offer)

    def hang_up(self) -> None:
        """Somebody wants it to be over."""
        self._end("hung up")

    # ---- what the peer says

    def on_sound(self, pcm: bytes) -> None:
        self.live.listen(pcm)

    def on_text(self, message: str) -> None:
        event = self._dialect.decode(message)
        if type(event) is InputAudioBufferAppend:
            self.live.hear(event)
        else:
            self.live.post(event)

    def on_binary(self) -> None:
        self.live.post(BINARY_FRAME)

    def on_channel(self) -> None:
        self._events.open()

    def on_writable(self) -> None:
        self._relieve()

    def on_gone(self, reason: str) -> None:
        self._end(reason)

    # ---- what the session says

    @property
    def congested(self) -> bool:
        self._congested = self._congested or (
            self._pacer.waiting_ms > self._high_ms or self._peer.waiting_bytes > CHANNEL_HIGH_BYTES
        )
        return self._congested

    def send(self, event: AnyServerEvent) -> None:
        match event:
            case OutputAudioDelta():
                self._pacer.add(event.response_id, event.delta)
                return
            case OutputAudioBufferCleared():
                self._fall_silent(event.response_id)
            case ResponseDone():
                self._finish(event.response.id)
        self._events.say(event, self._loop.time())
        self._check_channel()

    def send_raw(self, raw: bytes) -> None:
        event: Body = msgspec.json.decode(raw)
        match event:
            case {"type": "response.output_audio.delta", "response_id": str(response_id), "delta": str(sound)}:
                self._pacer.add(response_id, b64decode(sound))
                return
            case {"type": "output_audio_buffer.cleared", "response_id": str(response_id)}:
                self._fall_silent(response_id)
            case {"type": "response.done", "response": {"id": str(response_id)}}:
                self._finish(response_id)
        self._events.pass_on(event, self._loop.time())
        self._check_channel()

    def pause(self) -> None:
        """A microphone does not wait for an upstream that is slow, or not there: the session keeps its sound."""

    def resume(self) -> None: ...

    async def writable(self) -> None:
        if not self._congested or self._ended:
            return
        if self._writable is None:
            self._writable = self._loop.create_future()
        await asyncio.shield(self._writable)

    def close(self, code: int, reason: str) -> None:
        if self._ended:
            return
        self._ended = True
        self._ticker.remove(self)
        self._events.flush()
        self._peer.close()
        self._wake()
        self._over(self)

    # ---- every 20 ms

    def beat(self, beats: Beats, now: float) -> None:
        try:
            self._beat(beats, now)
        except Exception:  # a bug ends this call, and no other
            log.exception("call failed", extra={"fields": {"call": self.live.call_id}})
            self.live.close(INTERNAL_ERROR, "internal_error")

    def _beat(self, beats: Beats, now: float) -> None:
        if self._peer.connected:
            if beats.skipped:
                self._peer.skip(beats.skipped)
            for _ in range(beats.played):
                self._play()
        self._peer.tick(now, time.time())
        self._events.beat(now)
        self._relieve()

    def _play(self) -> None:
        piece = self._pacer.take()
        self._peer.play(None if piece is None else piece.pcm)
        if piece is not None:
            self._report(piece)

    def _report(self, piece: Slice) -> None:
        """Tells the session what was played, when it is worth telling."""
        reported = self._reported.get(piece.response_id, 0)
        if piece.done:
            self._reported.pop(piece.response_id, None)
        elif piece.played_ms - reported < PLAYED_MS:
            return
        else:
            self._reported[piece.response_id] = piece.played_ms
        self.live.post(Played(response_id=piece.response_id, played_ms=piece.played_ms, done=piece.done))

    # ---- inside

    def _fall_silent(self, response_id: str) -> None:
        self._pacer.clear(response_id)
        self._reported.pop(response_id, None)

    def _finish(self, response_id: str) -> None:
        """All of its sound is there."""
        if (last := self._pacer.finish(response_id)) is not None:
            self._report(last)

    def _check_channel(self) -> None:
        if self._peer.waiting_bytes > CHANNEL_BYTES_MAX:
            self.live.close(TRY_AGAIN_LATER, "slow_consumer")

    def _relieve(self) -> None:
        if self._congested and self._pacer.waiting_ms < self._low_ms and self._peer.waiting_bytes < CHANNEL_HIGH_BYTES:
            self._congested = False
            self._wake()

    def _wake(self) -> None:
        waiting, self._writable = self._writable, None
        if waiting is not None and not waiting.done():
            waiting.set_result(None)

    def _end(self, reason: str) -> None:
        """The session takes its leave, and whoever else is attached is closed with it."""
        note(log, "call over", call=self.live.call_id, reason=reason)
        self.live.post(Left())
        self.live.close(NORMAL, reason)
