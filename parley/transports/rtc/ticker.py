"""The one clock that all calls of a process play by: a beat every 20 ms while anybody listens."""

import asyncio
from typing import Protocol

from parley.audio.pacer import Beats, Metronome


class Player(Protocol):
    def beat(self, beats: Beats, now: float) -> None:
        """It is time for the next slice, or for several where time was lost. Must not raise."""
        ...


class Ticker:
    def __init__(self) -> None:
        self._players: dict[Player, None] = {}
        self._metronome: Metronome
        self._timer: asyncio.TimerHandle | None = None

    def add(self, player: Player) -> None:
        self._players[player] = None
        if self._timer is None:
            loop = asyncio.get_running_loop()
            self._metronome = Metronome(loop.time())
            self._timer = loop.call_at(self._metronome.due, self._beat)

    def remove(self, player: Player) -> None:
        self._players.pop(player, None)
        if not self._players and self._timer is not None:
            self._timer.cancel()
            self._timer = None

    def _beat(self) -> None:
        loop = asyncio.get_running_loop()
        self._timer = None
        now = loop.time()
        beats = self._metronome.beats(now)
        for player in tuple(self._players):
            player.beat(beats, now)
        if self._players and self._timer is None:
            self._timer = loop.call_at(self._metronome.due, self._beat)
