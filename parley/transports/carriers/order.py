"""Sound in order, where a carrier does not promise that (Telnyx: "Media frame order is not guaranteed").

As with RTP: nothing waits unless a piece before it is missing, and then for 40 ms at most.
"""

import asyncio
from collections.abc import Callable

from parley.transports.rtc.reorder import Reorder
from parley.transports.rtc.rtp import SEQUENCES, Packet


class Order:
    """Of one stream. Pieces are numbered one by one, beginning anywhere; `hear` is given them."""

    def __init__(self, hear: Callable[[bytes], None]) -> None:
        self._hear = hear
        self._loop = asyncio.get_running_loop()
        self._reorder = Reorder()
        self._timer: asyncio.TimerHandle | None = None

    def push(self, number: int, data: bytes) -> None:
        packet = Packet(payload_type=0, sequence=number % SEQUENCES, timestamp=0, ssrc=0, payload=data)
        for ordered in self._reorder.push(packet, self._loop.time()):
            self._hear(ordered.packet.payload)
        self._wait()

    def close(self) -> None:
        """What is held back now is heard no more."""
        if self._timer is not None:
            self._timer.cancel()

    def _wait(self) -> None:
        deadline = self._reorder.deadline
        if deadline is not None and self._timer is None:
            self._timer = self._loop.call_at(deadline, self._expire)

    def _expire(self) -> None:
        self._timer = None
        for ordered in self._reorder.expire(self._loop.time()):
            self._hear(ordered.packet.payload)
        self._wait()
