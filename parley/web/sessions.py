"""GET /api/sessions and /api/sessions/{id}: sessions of this process, live and lately ended, for the console.

Who, when, and the figures of every turn. Never what was said.
"""

import time
from collections import OrderedDict
from collections.abc import Callable, Mapping
from typing import Any, Final

from parley.errors import RequestError

SESSIONS_KEPT: Final = 200
TURNS_KEPT: Final = 500
"""Per session."""


class SessionBook:
    """`now` is Unix seconds."""

    def __init__(self, now: Callable[[], float] = time.time) -> None:
        self._now = now
        self._sessions: OrderedDict[str, dict[str, Any]] = OrderedDict()

    def opened(self, session_id: str, model: str, call_id: str | None = None) -> None:
        self._sessions[session_id] = {
            "id": session_id,
            "call_id": call_id,
            "model": model,
            "opened_at": self._now(),
            "ended_at": None,
            "turns": [],
        }
        while len(self._sessions) > SESSIONS_KEPT:
            self._forget_one()

    def turn(self, session_id: str, fields: Mapping[str, object]) -> None:
        """`fields` as `telemetry.turn_fields` makes them."""
        session = self._sessions.get(session_id)
        if session is not None and len(session["turns"]) < TURNS_KEPT:
            session["turns"].append(dict(fields))

    def ended(self, session_id: str) -> None:
        if (session := self._sessions.get(session_id)) is not None:
            session["ended_at"] = self._now()

    def list(self) -> list[dict[str, Any]]:
        """Newest first; the number of turns instead of the turns."""
        return [{**session, "turns": len(session["turns"])} for session in reversed(self._sessions.values())]

    def get(self, session_id: str) -> dict[str, Any]:
        """Raises `RequestError` with `session_not_found`."""
        session = self._sessions.get(session_id)
        if session is None:
            raise RequestError("session_not_found", f"No session {session_id[:64]!r} is remembered here.", "session_id")
        return session

    def _forget_one(self) -> None:
        """The oldest that ended, or the oldest."""
        ended = (session_id for session_id, session in self._sessions.items() if session["ended_at"] is not None)
        del self._sessions[next(ended, next(iter(self._sessions)))]
