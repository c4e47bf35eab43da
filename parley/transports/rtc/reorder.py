"""Packets in order. A caller is heard, not played: no packet waits unless one before it is missing.

    in order   --> out at once
    ahead      --> held; out when the gap closes, or WAIT_S after it was seen (then the rest is `lost`)
    behind     --> dropped: its place was concealed already, or it is a duplicate

Pure: time is given. After each call ask `deadline`, and call `expire` then.
"""

from typing import Final, NamedTuple

from parley.transports.rtc.rtp import SEQUENCES, Packet

WAIT_S: Final = 0.04
"""How long a missing packet may still come. Reordering beyond two packets of 20 ms is as good as loss."""
HELD_MAX: Final = 50
"""Packets that wait at most: what comes in WAIT_S from the smallest packets there are."""
JUMP_MAX: Final = 3_000
"""A sequence number farther away than this is another stream, not a gap (RFC 3550 appendix A.1)."""


class Ordered(NamedTuple):
    """The next packet, and how many before it never came."""

    packet: Packet
    lost: int


class _Held(NamedTuple):
    packet: Packet
    came: float


class Reorder:
    """One stream of packets."""

    def __init__(self) -> None:
        self.received = 0
        self.late = 0
        self._first: int | None = None
        self._next = 0
        """Extended sequence number of the packet that is waited for."""
        self._held: dict[int, _Held] = {}

    @property
    def deadline(self) -> float | None:
        """When to give up waiting, or None."""
        return min(held.came for held in self._held.values()) + WAIT_S if self._held else None

    @property
    def highest(self) -> int:
        """The highest extended sequence number so far."""
        return max(self._held, default=self._next - 1)

    @property
    def expected(self) -> int:
        """How many packets there should have been."""
        return 0 if self._first is None else self.highest - self._first + 1

    def push(self, packet: Packet, now: float) -> list[Ordered]:
        """What can be heard now."""
        sequence = self._extended(packet.sequence)
        if sequence is None:
            return self._restart(packet)
        self.received += 1
        if sequence < self._next or sequence in self._held:
            self.late += 1
            return []
        self._held[sequence] = _Held(packet, now)
        if sequence == self._next:
            return self._release()
        return self._skip() if len(self._held) > HELD_MAX else []

    def expire(self, now: float) -> list[Ordered]:
        """Gives up on what is missing for too long."""
        ready: list[Ordered] = []
        while self._held and (deadline := self.deadline) is not None and deadline <= now:
            ready += self._skip()
        return ready

    def _extended(self, sequence: int) -> int | None:
        """The number without its wrap-around; None when it belongs to another stream."""
        if self._first is None:
            return None
        ahead = (sequence - self._next) % SEQUENCES
        behind = SEQUENCES - ahead
        if ahead <= JUMP_MAX:
            return self._next + ahead
        return self._next - behind if behind <= JUMP_MAX else None

    def _restart(self, packet: Packet) -> list[Ordered]:
        waiting = [Ordered(held.packet, 0) for _, held in sorted(self._held.items())]
        self._held.clear()
        self._first = packet.sequence
        self._next = packet.sequence + 1
        self.received = 1
        return [*waiting, Ordered(packet, 0)]

    def _skip(self) -> list[Ordered]:
        missing = min(self._held) - self._next
        self._next += missing
        first, *others = self._release()
        return [first._replace(lost=missing), *others]

    def _release(self) -> list[Ordered]:
        ready = []
        while (held := self._held.pop(self._next, None)) is not None:
            ready.append(Ordered(held.packet, 0))
            self._next += 1
        return ready
