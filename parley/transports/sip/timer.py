"""Session timers: a call whose end got lost does not last for ever (RFC 4028). Pure: time is given.

We ask for a timer where the caller knows of it, and leave the refreshing to the caller unless it wants us to.
"""

import re
from typing import Final, Literal, NamedTuple

from parley.transports.sip.grammar import words_of
from parley.transports.sip.message import Headers, Request

INTERVAL_S: Final = 1_800
"""What we ask for, as the RFC recommends."""
INTERVAL_MIN_S: Final = 90
MARGIN_S: Final = 32
"""So long before the end, at most, a call is given up (section 10)."""

Refresher = Literal["uac", "uas"]

_EXPIRES = re.compile(r"\s*([0-9]{1,9})\s*(?:;.*?)?")
_REFRESHER = re.compile(r";\s*refresher\s*=\s*(uac|uas)", re.IGNORECASE)


class TooShort(Exception):
    """The caller wants a shorter interval than we allow: 422 with Min-SE."""


class Agreed(NamedTuple):
    """`ours`: we refresh."""

    interval_s: int
    ours: bool

    def headers(self, *, required: bool) -> list[tuple[str, str]]:
        """For our 2xx."""
        found = [("Session-Expires", f"{self.interval_s};refresher={'uas' if self.ours else 'uac'}")]
        return [*found, ("Require", "timer")] if required else found


def agree(request: Request) -> Agreed | None:
    """What to answer to an INVITE or UPDATE; None: no timer. Raises `TooShort`."""
    supported = "timer" in words_of(request.headers.all("supported") + request.headers.all("require"))
    value = request.headers.one("session-expires")
    found = _EXPIRES.fullmatch(value)
    if found is None:
        return Agreed(INTERVAL_S, ours=False) if supported else None
    interval = int(found[1])
    if interval < INTERVAL_MIN_S:
        raise TooShort
    refresher = _REFRESHER.search(value)
    # A proxy may ask for a timer that the caller knows nothing of: then only we can refresh (section 9).
    ours = not supported or (refresher is not None and refresher[1].lower() == "uas")
    return Agreed(interval, ours)


def wanted(agreed: Agreed) -> list[tuple[str, str]]:
    """For a refresh of ours: we are its caller."""
    return [("Session-Expires", f"{agreed.interval_s};refresher=uac"), ("Min-SE", str(INTERVAL_MIN_S))]


def confirmed(headers: Headers) -> Agreed | None:
    """What the answer to our refresh leaves of it: None, no timer any more."""
    value = headers.one("session-expires")
    found = _EXPIRES.fullmatch(value)
    if found is None:
        return None
    refresher = _REFRESHER.search(value)
    ours = refresher is None or refresher[1].lower() == "uac"
    return Agreed(max(INTERVAL_MIN_S, int(found[1])), ours)


class SessionTimer:
    """When to refresh, and when to give up."""

    def __init__(self) -> None:
        self.agreed: Agreed | None = None
        self._since = 0.0
        self._refreshing = False

    def refreshed(self, agreed: Agreed | None, now: float) -> None:
        """Somebody has shown to be there."""
        self.agreed, self._since, self._refreshing = agreed, now, False

    def due(self, now: float) -> bool:
        """Whether it is for us to refresh now; says so once."""
        if self.agreed is None or not self.agreed.ours or self._refreshing:
            return False
        self._refreshing = now - self._since >= self.agreed.interval_s / 2
        return self._refreshing

    def expired(self, now: float) -> bool:
        """Nobody has refreshed in time."""
        if self.agreed is None:
            return False
        interval = self.agreed.interval_s
        return now - self._since >= interval - min(MARGIN_S, interval / 3)
