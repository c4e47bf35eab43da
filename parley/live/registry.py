"""Who is live, by session and by call id; how many at most; and the end of all.

Sessions live in this process, yet nobody outside should count on that: `find_call` is asynchronous because a call may
be owned by another node one day, and what it returns is only attached to, posted to and closed.
"""

import asyncio
from typing import Final

from parley.errors import RequestError
from parley.live.session import LiveSession

GOING_AWAY: Final = 1001
DRAIN_REASON: Final = "server_draining"


class Registry:
    def __init__(self, sessions_max: int) -> None:
        self._sessions_max = sessions_max
        self._sessions: dict[str, LiveSession] = {}
        self._calls: dict[str, LiveSession] = {}
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
        if live.call_id is not None:
            self._calls[live.call_id] = live

    def remove(self, live: LiveSession) -> None:
        self._sessions.pop(live.id, None)
        if live.call_id is not None:
            self._calls.pop(live.call_id, None)

    async def find_call(self, call_id: str) -> LiveSession:
        """The session of a call. Raises `RequestError` with `session_not_found`."""
        live = self._calls.get(call_id)
        if live is None:
            raise RequestError("session_not_found", f"No call with the id {call_id!r} is running.", "call_id")
        return live

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
