"""The messages of a call, as the console shows them: who said what, when. Bounded, and without secrets. Pure."""

import re
from collections import deque
from typing import Final, Literal, NamedTuple

from parley.transports.sip.message import Request, Response

RUNGS_MAX: Final = 200
"""Messages of one call that are kept; the oldest go first."""
TEXT_CHARS_MAX: Final = 8_192
HIDDEN: Final = "[hidden]"

_SECRETS = re.compile(
    r"(?im)^((?:proxy-)?authorization|(?:proxy-|www-)?authenticate|identity)[ \t]*:.*$"
    r"|(a=crypto:\S+[ \t]+\S+[ \t]+inline:)\S+"
)


class Rung(NamedTuple):
    """One message. `at` is Unix time in seconds."""

    at: float
    way: Literal["in", "out"]
    title: str
    """`INVITE`, `200 OK (INVITE)`."""
    transport: str
    text: str
    """As it went over the wire, keys and credentials hidden."""


class Ladder:
    def __init__(self) -> None:
        self._rungs: deque[Rung] = deque(maxlen=RUNGS_MAX)

    def note(self, way: Literal["in", "out"], message: Request | Response, transport: str, at: float) -> None:
        self._rungs.append(Rung(at, way, _title(message), transport, shown(bytes(message))))

    @property
    def rungs(self) -> tuple[Rung, ...]:
        return tuple(self._rungs)


def _title(message: Request | Response) -> str:
    if isinstance(message, Request):
        return message.method
    return f"{message.status} {message.reason} ({message.cseq.method})"


def shown(data: bytes) -> str:
    """A message for people to read."""
    text = data.decode("utf-8", "replace").replace("\r\n", "\n")
    return _SECRETS.sub(lambda found: f"{found[1]}: {HIDDEN}" if found[1] else f"{found[2]}{HIDDEN}", text)[
        :TEXT_CHARS_MAX
    ]
