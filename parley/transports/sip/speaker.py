"""What a session says, as far as a telephone is concerned: its sound, slice by slice, and how far that has come."""

import asyncio
from collections.abc import Callable
from typing import Final

from parley.audio.pacer import SLICE_MS, Pacer, Slice
from parley.core.events import AnyServerEvent, OutputAudioBufferCleared, OutputAudioDelta, ResponseDone
from parley.core.inputs import Played
from parley.live.session import LiveSession

PLAYED_MS: Final = 2 * SLICE_MS
"""How often the session hears how far its sound has come: a third of a short word."""
HIGH_MS: Final = 60_000
LOW_MS: Final = 50_000
"""With more sound than the first waiting an engine is asked to wait, until it is less than the second."""


class Speaker:
    """The session's `Outlet`. `ended` is told once that the session has closed, and why."""

    def __init__(self, live: LiveSession, ended: Callable[[str], None]) -> None:
        self._live = live
        self._ended = ended
        self._pacer = Pacer()
        self._reported: dict[str, int] = {}
        """Of each response that is playing, how many milliseconds the session knows of."""
        self._congested = False
        self._writable: asyncio.Future[None] | None = None
        self._closed = False

    @property
    def congested(self) -> bool:
        self._congested = self._congested or self._pacer.waiting_ms > HIGH_MS
        return self._congested

    def send(self, event: AnyServerEvent) -> None:
        match event:
            case OutputAudioDelta():
                self._pacer.add(event.response_id, event.delta)
            case OutputAudioBufferCleared():
                self._pacer.clear(event.response_id)
                self._reported.pop(event.response_id, None)
                self._relieve()
            case ResponseDone():
                if (last := self._pacer.finish(event.response.id)) is not None:
                    self._report(last)

    async def writable(self) -> None:
        if not self._congested or self._closed:
            return
        if self._writable is None:
            self._writable = asyncio.get_running_loop().create_future()
        await asyncio.shield(self._writable)

    def close(self, code: int, reason: str) -> None:
        if self._closed:
            return
        self._closed = True
        self._wake()
        self._ended(reason or str(code))

    def take(self) -> bytes | None:
        """The next 20 ms of house sound; None: silence. The session is told that it has been played."""
        piece = self._pacer.take()
        if piece is None:
            return None
        self._report(piece)
        self._relieve()
        return piece.pcm

    def _report(self, piece: Slice) -> None:
        reported = self._reported.get(piece.response_id, 0)
        if piece.done:
            self._reported.pop(piece.response_id, None)
        elif piece.played_ms - reported < PLAYED_MS:
            return
        else:
            self._reported[piece.response_id] = piece.played_ms
        self._live.post(Played(response_id=piece.response_id, played_ms=piece.played_ms, done=piece.done))

    def _relieve(self) -> None:
        if self._congested and self._pacer.waiting_ms < LOW_MS:
            self._congested = False
            self._wake()

    def _wake(self) -> None:
        waiting, self._writable = self._writable, None
        if waiting is not None and not waiting.done():
            waiting.set_result(None)
