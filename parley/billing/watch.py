"""Watches a live session and tells its meter what will have to be paid for.

What counts is what a response may have to read (speech that became an item, text) and the sound that it makes. Sound
that was heard and forgotten costs nothing: a microphone may stay open for an hour.
"""

import asyncio
import time
from collections.abc import Callable
from typing import Final

from parley.billing.meter import Meter
from parley.core.effects import Turn
from parley.core.events import (
    AnyServerEvent,
    InputAudioBufferCleared,
    InputAudioBufferCommitted,
    ItemAdded,
    OutputAudioDelta,
    ResponseCreated,
    SpeechStarted,
    SpeechStopped,
)
from parley.core.items import FunctionCallOutput, InputText, Message

BYTES_PER_MS: Final = 48
"""House format: 24 kHz, 16 bits."""
CHARS_PER_TOKEN: Final = 3
"""For what is held, not for what is charged: few texts have more tokens than that."""


class Watch:
    """A `Witness` of one session. `closed` is told when its last capture is on the disk, or cannot be had."""

    def __init__(
        self, meter: Meter, closed: Callable[["Watch"], object], now: Callable[[], float] = time.monotonic
    ) -> None:
        self.meter = meter
        self._closed = closed
        self._now = now
        self._began = now()
        self._buffered = 0
        """Bytes of sound that wait in the input buffer."""
        self._speech_from: int | None = None
        self._speech_ms: int | None = None
        """How long the speech was that is about to be committed, where the server found its ends."""
        self._spoken = 0
        """Bytes of an answer that are less than a millisecond."""
        self._closing: asyncio.Task[None] | None = None

    @property
    def session(self) -> str:
        return self.meter.session

    def heard(self, pcm: bytes) -> None:
        self._buffered += len(pcm)

    def sent(self, event: AnyServerEvent) -> None:
        match event:
            case OutputAudioDelta():
                ms, self._spoken = divmod(self._spoken + len(event.delta), BYTES_PER_MS)
                self.meter.spoke(event.response_id, ms)
            case ResponseCreated():
                self.meter.started(event.response.id)
            case SpeechStarted():
                self._speech_from = event.audio_start_ms
            case SpeechStopped():
                self._speech_ms = event.audio_end_ms - (self._speech_from or 0)
            case InputAudioBufferCommitted():
                self.meter.heard(self._buffered // BYTES_PER_MS if self._speech_ms is None else self._speech_ms)
                self._buffered, self._speech_ms = 0, None
            case InputAudioBufferCleared():
                self._buffered, self._speech_ms = 0, None
            case ItemAdded():
                self.meter.read(_chars(event) // CHARS_PER_TOKEN)

    def turn(self, turn: Turn) -> None:
        self.passed()
        self.meter.turn(turn)

    def passed(self) -> None:
        """Time goes by; where it has a price, it is captured."""
        self.meter.passed(int((self._now() - self._began) * 1_000))

    def ended(self) -> None:
        """The session is over: what is still being captured is waited for, and the rest of the hold is freed."""
        if self._closing is None:
            self.passed()
            self._closing = asyncio.create_task(self._close())

    async def settled(self) -> None:
        """Returns when it is known what this session has cost; it must have ended."""
        if self._closing is not None:
            await asyncio.shield(self._closing)

    async def _close(self) -> None:
        try:
            await self.meter.close()
        finally:
            self._closed(self)


def _chars(event: ItemAdded) -> int:
    match event.item:
        case Message(role="user" | "system") as message:
            return sum(len(part.text) for part in message.content if isinstance(part, InputText))
        case FunctionCallOutput() as output:
            return len(output.output)
    return 0
