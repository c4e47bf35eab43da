"""Who is live in this process; how many at most; and the end of all."""

import asyncio
from collections.abc import Collection
from typing import Final

from parley.errors import RequestError
from parley.live.session import LiveSession

GOING_AWAY: Final = 1001
DRAIN_REASON: Final = "server_draining"


class Registry:
    def __init__(self, sessions_max: int) -> None:
        self._sessions_max = sessions_max
        self._sessions: dict[str, LiveSession] = {}
        self.draining = False

    def __len__(self) -> int:
        return len(self._sessions)

    def check_room(self) -> None:
        """Raises `RequestError` when no session can be opened now: `server_draining`, `too_many_sessions`."""
        if self.draining:
            raise RequestError("server_draining", "The server is stopping; connect again in a moment.")
        if len(self._sessions) >= self._sessions_max:
            raise RequestError("too_many_sessions", f"All {self._sessions_max} sessions of this server are in use.")

    def add(self, live: LiveSession) -> None:
        """Raises `RequestError` like `check_room`. Every session that was added must be removed."""
        self.check_room()
        self._sessions[live.id] = live

    def remove(self, live: LiveSession) -> None:
        self._sessions.pop(live.id, None)

    def of_keys(self, keys: Collection[str]) -> list[LiveSession]:
        """The sessions that were opened with one of these API keys, by id."""
        return [live for live in self._sessions.values() if live.whose.api_key in keys]

    async def drain(self, timeout_s: float) -> None:
        """No new sessions; running turns come to their end, at most `timeout_s`; then whoever is left is closed."""
        self.draining = True
        for live in list(self._sessions.values()):
            live.drain(DRAIN_REASON)
        over = [asyncio.ensure_future(live.over.wait()) for live in self._sessions.values()]
        if over:
            _, late = await asyncio.wait(over, timeout=timeout_s)
            for waiting in late:
                waiting.cancel()
        self.close_all()

    def close_all(self) -> None:
        """Nothing may finish any more."""
        self.draining = True
        for live in list(self._sessions.values()):
            live.close(GOING_AWAY, DRAIN_REASON)
