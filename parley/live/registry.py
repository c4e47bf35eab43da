"""Who is live in this process; how many at most; and the end of all."""

import asyncio
from collections.abc import Collection
from typing import Final, Protocol

from parley.errors import RequestError
from parley.live.session import Whose

GOING_AWAY: Final = 1001
DRAIN_REASON: Final = "server_draining"


class Session(Protocol):
    """What is live, whoever answers it."""

    @property
    def id(self) -> str: ...
    @property
    def whose(self) -> Whose: ...
    @property
    def over(self) -> asyncio.Event: ...
    def drain(self, reason: str) -> None: ...
    def close(self, code: int, reason: str) -> None: ...
    def cut_off(self, code: str, message: str, *, finish_sentence: bool = False) -> None: ...


class Registry:
    def __init__(self, sessions_max: int) -> None:
        self._sessions_max = sessions_max
        self._sessions: dict[str, Session] = {}
        self.draining = False

    def __len__(self) -> int:
        return len(self._sessions)

    def check_room(self) -> None:
        """Raises `RequestError` when no session can be opened now: `server_draining`, `too_many_sessions`."""
        if self.draining:
            raise RequestError("server_draining", "The server is stopping; connect again in a moment.")
        if len(self._sessions) >= self._sessions_max:
            raise RequestError("too_many_sessions", f"All {self._sessions_max} sessions of this server are in use.")

    def add(self, live: Session) -> None:
        """Raises `RequestError` like `check_room`. Every session that was added must be removed."""
        self.check_room()
        self._sessions[live.id] = live

    def remove(self, live: Session) -> None:
        self._sessions.pop(live.id, None)

    def of_keys(self, keys: Collection[str]) -> list[Session]:
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
