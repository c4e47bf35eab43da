"""One request and its answers, whatever gets lost on the way (RFC 3261 section 17, RFC 3262, RFC 6026). Pure.

A transaction is given the time and a way to send. After each call ask `deadline`, and call `expire` then. What is
`reliable` (TCP, TLS) is sent once.

    Served:  request --> (provisional answers) --> final answer, again and again until it is acknowledged --> over
    Asked:   request, again and again until it is answered --> (provisional answers) --> final answer --> over
"""

from collections.abc import Callable
from typing import Final, Protocol

from parley.transports.sip.message import Request, Response

T1: Final = 0.5
"""Seconds of a round trip, as the RFC guesses it."""
T2: Final = 4.0
"""The longest wait between two of the same, for what is not an INVITE."""
T4: Final = 5.0
"""How long a message may stay in the network."""
TIMEOUT: Final = 64 * T1
"""After so long nobody is there."""

Send = Callable[[bytes], None]


class Timed(Protocol):
    @property
    def deadline(self) -> float | None: ...

    def expire(self, now: float) -> None: ...


class Repeat:
    """Something that is sent again after T1, 2 T1, 4 T1 … until it is stopped or has been in vain."""

    def __init__(self, data: bytes, send: Send, now: float, *, cap: float, again: bool) -> None:
        self.data = data
        self._send = send
        self._cap = cap
        self._wait = T1
        self._next = now + T1 if again else float("inf")
        self._end = now + TIMEOUT
        self.vain = False

    @property
    def deadline(self) -> float:
        return min(self._next, self._end)

    def expire(self, now: float) -> None:
        if now >= self._end:
            self.vain = True
        elif now >= self._next:
            self._send(self.data)
            self._wait = min(2 * self._wait, self._cap)
            self._next = now + self._wait


class Served:
    """A request that came, and what we say to it."""

    def __init__(self, request: Request, send: Send, *, reliable: bool) -> None:
        self.request = request
        self.status = 0
        """Of the last answer; 0 before the first."""
        self.acknowledged = False
        """The final answer to an INVITE has arrived there."""
        self.unheard = False
        """It has not, in all the time there is."""
        self.over = False
        """Nobody asks for it any more."""
        self._send = send
        self._reliable = reliable
        self._last = b""
        self._repeat: Repeat | None = None
        self._waits_for_prack = False
        self._forget_at: float | None = None

    @property
    def deadline(self) -> float | None:
        return self._repeat.deadline if self._repeat is not None else self._forget_at

    @property
    def answered(self) -> bool:
        return self.status >= 200

    def respond(self, response: Response, now: float, *, until_prack: bool = False) -> None:
        """Sends an answer; after a final one none. `until_prack`: again and again (RFC 3262 section 3)."""
        if self.answered:
            return
        self.status = response.status
        self._last = bytes(response)
        self._send(self._last)
        self._repeat = None
        if until_prack:
            self._waits_for_prack = True
            self._repeat = Repeat(self._last, self._send, now, cap=TIMEOUT, again=True)
        elif response.status >= 200:
            self._finish(response.status, now)

    def again(self) -> None:
        """The request has come once more: the answer was lost."""
        if self._last and not self.acknowledged:
            self._send(self._last)

    def pracked(self) -> None:
        """A provisional answer has arrived."""
        if self._waits_for_prack and not self.answered:
            self._waits_for_prack = False
            self._repeat = None

    def acked(self, now: float) -> None:
        """ACK has come."""
        if self.answered and not self.acknowledged:
            self.acknowledged = True
            self._repeat = None
            self._forget_at = now + (0.0 if self._reliable else T4)

    def expire(self, now: float) -> None:
        if self._repeat is not None:
            self._repeat.expire(now)
            if self._repeat.vain:
                self._repeat = None
                self.unheard = True
                self.over = self.answered
        elif self._forget_at is not None and now >= self._forget_at:
            self.over = True

    def _finish(self, status: int, now: float) -> None:
        if self.request.method != "INVITE":
            self._forget_at = now + (0.0 if self._reliable else TIMEOUT)
            return
        # 2xx goes end to end and is repeated on any transport (13.3.1.4); others only where they may get lost.
        self._repeat = Repeat(self._last, self._send, now, cap=T2, again=status < 300 or not self._reliable)


class Asked:
    """A request of ours, and what comes back. `heard` gets each new answer; None when none comes in time."""

    def __init__(
        self, request: Request, send: Send, heard: Callable[[Response | None], None], now: float, *, reliable: bool
    ) -> None:
        self.request = request
        self.over = False
        self._send = send
        self._heard = heard
        self._reliable = reliable
        self._answered = False
        self._ack = b""
        self._forget_at: float | None = None
        data = bytes(request)
        invites = request.method == "INVITE"
        self._repeat: Repeat | None = Repeat(data, send, now, cap=TIMEOUT if invites else T2, again=not reliable)
        send(data)

    @property
    def deadline(self) -> float | None:
        return self._repeat.deadline if self._repeat is not None else self._forget_at

    def on_response(self, response: Response, now: float) -> None:
        if self._answered:
            if self._ack:
                self._send(self._ack)
            return
        if response.status < 200:
            if self.request.method == "INVITE":
                self._repeat = Repeat(b"", self._send, now, cap=TIMEOUT, again=False)
            self._heard(response)
            return
        self._answered = True
        self._repeat = None
        self._forget_at = now + (0.0 if self._reliable else TIMEOUT if self.request.method == "INVITE" else T4)
        self._heard(response)

    def acknowledge(self, ack: Request) -> None:
        """Sends the ACK of an INVITE, and again whenever its answer comes again."""
        self._ack = bytes(ack)
        self._send(self._ack)

    def expire(self, now: float) -> None:
        if self._repeat is not None:
            self._repeat.expire(now)
            if self._repeat.vain:
                self._repeat = None
                self.over = self._answered = True
                self._heard(None)
        elif self._forget_at is not None and now >= self._forget_at:
            self.over = True


def served_key(request: Request) -> tuple[str, ...]:
    """What a request and its repetitions have in common (17.2.3); ACK and CANCEL have it with their INVITE.

    Raises `Broken`.
    """
    via = request.via
    method = "INVITE" if request.method in ("ACK", "CANCEL") else request.method
    if via.branch.startswith("z9hG4bK") and len(via.branch) > len("z9hG4bK"):
        return (via.branch, via.host.lower(), str(via.port or 5060), method)
    # The older SIP. An ACK has the To tag of our answer, which its INVITE has not, so tags of To are left out.
    number = str(request.cseq.number)
    return (request.call_id, request.from_tag, number, request.headers.all("via")[0], method)
