"""Watches a live session and tells its meter what will have to be paid for: what a response may have to read (speech
that became an item, text), and the sound that it makes.
"""

import asyncio
import time
from collections.abc import Callable
from functools import partial
from typing import Final

from parley.billing.book import Line
from parley.billing.meter import Meter
from parley.core.effects import Turn
from parley.core.events import AnyServerEvent, ItemAdded, OutputAudioDelta, ResponseCreated
from parley.core.items import FunctionCallOutput, InputText, Message
from parley.core.user_speech import BYTES_PER_MS, UserSpeech

CHARS_PER_TOKEN: Final = 3
"""For what is held, not for what is charged: few texts have more tokens than that."""


class Watch:
    """A `Witness` of one session.

    `charged` is told what a response or a transcription has cost, and everything so far, in micro-credits, when it is
    on the disk; `closed`, when the last of it is, or cannot be had.
    """

    def __init__(
        self,
        meter: Meter,
        charged: Callable[[str, int, int], object],
        closed: Callable[["Watch"], object],
        now: Callable[[], float] = time.monotonic,
    ) -> None:
        self.meter = meter
        self._charged = charged
        self._closed = closed
        self._now = now
        self._began = now()
        self._speech = UserSpeech()
        self._spoken = 0
        """Bytes of an answer that are less than a millisecond."""
        self._closing: asyncio.Task[None] | None = None

    @property
    def session(self) -> str:
        return self.meter.session

    def heard(self, pcm: bytes) -> None:
        self._speech.heard(pcm)

    def sent(self, event: AnyServerEvent) -> None:
        if ms := self._speech.sent(event):
            self.meter.heard(ms)
        match event:
            case OutputAudioDelta():
                ms, self._spoken = divmod(self._spoken + len(event.delta), BYTES_PER_MS)
                self.meter.spoke(event.response_id, ms)
            case ResponseCreated():
                self.meter.started(event.response.id)
            case ItemAdded():
                self.meter.read(_chars(event) // CHARS_PER_TOKEN)

    def turn(self, turn: Turn) -> None:
        self.passed()
        self.meter.turn(turn).add_done_callback(partial(self._tell, turn.id))

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

    def _tell(self, id: str, captured: "asyncio.Task[Line | None]") -> None:
        if not captured.cancelled() and captured.exception() is None and (line := captured.result()) is not None:
            self._charged(id, line.moved, self.meter.charged)

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
