"""From where media is taken, and to where it goes (symmetric RTP, RFC 4961). Pure.

Behind NAT nobody knows where the peer's media will come from: the first packet tells. Whoever else sends to our port
must not become the peer by that ("RTP bleed"), so only hosts that are already part of the call may:

    closed --(packet from a host of the call)--> latched to its address and port
    latched --(packet from elsewhere)--> dropped, unless the latched one has been silent for QUIET_S
    any --(new description)--> closed

Nor may a description turn our sound on somebody who has not asked for it: to a host that has neither called nor sent
anything, a few packets go, which open the way where both sides wait for the other, and then none.
"""

from collections.abc import Collection
from typing import Final, NamedTuple

QUIET_S: Final = 2.0
"""After so long without a packet the peer may come from another port: its NAT has forgotten it."""


PROBES: Final = 4
"""Packets to such a host. All of them are smaller than an INVITE and its ACK."""


class Place(NamedTuple):
    host: str
    port: int


class Latch:
    """One direction pair of one port."""

    def __init__(self, probe_every: int) -> None:
        """`probe_every`: of so many packets to a host that is not known, one is sent."""
        self.dropped = 0
        """Packets from strangers."""
        self._probe_every = probe_every
        self._unsent = 0
        self._probes = 0
        self._callers: frozenset[str] = frozenset()
        self._hosts: frozenset[str] = frozenset()
        self._told: Place | None = None
        self._source: Place | None = None
        self._heard_at = float("-inf")

    def open(self, callers: Collection[str], told: Place | None) -> None:
        """`callers` have signalled; `told` is where the description says that media goes. Both may send."""
        self._callers = frozenset(callers)
        self._hosts = self._callers | ({told.host} if told is not None else set())
        self._told = told
        if self._source is not None and self._source.host not in self._hosts:
            self._source = None
        self._heard_at = float("-inf")

    def way(self) -> Place | None:
        """Where the next packet goes: to where they come from; until then, to where the description says."""
        if self._source is not None or self._told is None or self._told.host in self._callers:
            return self._source or self._told
        self._unsent += 1
        if self._probes == PROBES or self._unsent % self._probe_every:
            return None
        self._probes += 1
        return self._told

    def admits(self, source: Place, now: float) -> bool:
        """Whether a packet from `source` may be looked at."""
        if source.host not in self._hosts:
            self.dropped += 1
            return False
        if self._source in (None, source) or now - self._heard_at > QUIET_S:
            return True
        self.dropped += 1
        return False

    def heard(self, source: Place, now: float) -> None:
        """It was a good packet (decrypted, where there are keys): this is the peer."""
        self._source = source
        self._heard_at = now
