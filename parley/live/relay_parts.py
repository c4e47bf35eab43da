"""What a relayed session is given, as it sees it: spellings, clients, upstreams, onlookers."""

import time
from collections.abc import Callable, Iterable
from typing import TYPE_CHECKING, Any, NamedTuple, Protocol

import msgspec

from parley.core.effects import Turn
from parley.core.relayed import Body, Message, Opened
from parley.telemetry import Metrics

if TYPE_CHECKING:
    from parley.live.relay import RelayedSession


class Spelling(Protocol):
    """How a side speaks, see `dialects.relay`."""

    @property
    def name(self) -> str: ...
    @property
    def read_client(self) -> Callable[[bytes], Body]: ...
    @property
    def read_server(self) -> Callable[[bytes], tuple[Body, ...]]: ...
    @property
    def write_server(self) -> Callable[[Body], tuple[bytes, ...]]: ...
    @property
    def respell_sound(self) -> Callable[[bytes], bytes]: ...
    @property
    def append_chars(self) -> Callable[[bytes], int]: ...
    @property
    def delta_chars(self) -> Callable[[bytes, bytes], int]: ...


class RelayOutlet(Protocol):
    """The sending half of a client's connection, as a relayed session sees it."""

    @property
    def spelling(self) -> Spelling:
        """How this client speaks; may change until its first `session.update`."""
        ...

    @property
    def congested(self) -> bool:
        """Whether the peer takes less than it is sent."""
        ...

    def send_raw(self, raw: bytes) -> None:
        """Says an event to the peer, in its spelling. Never waits and never fails: it fills a bounded buffer."""
        ...

    async def writable(self) -> None:
        """Returns when the peer has caught up, or is gone."""
        ...

    def pause(self) -> None:
        """Nothing more is read from the peer, until `resume`."""
        ...

    def resume(self) -> None: ...

    def close(self, code: int, reason: str) -> None:
        """Ends the connection with a WebSocket close code (protocol.md 8.4)."""
        ...


class Leg(Protocol):
    """A connection to an upstream, see `engines.upstream.connection`."""

    @property
    def upstream(self) -> str: ...
    @property
    def spelling(self) -> Spelling: ...
    @property
    def congested(self) -> bool: ...

    def receive(self, receiver: Any) -> None: ...
    def send(self, raw: bytes) -> None: ...
    def ask(self, body: Body) -> None: ...
    def pause(self) -> None: ...
    def resume(self) -> None: ...
    def close(self) -> None: ...


class Created(Protocol):
    @property
    def body(self) -> Body: ...
    @property
    def raw(self) -> bytes: ...
    @property
    def lasts_s(self) -> float | None: ...


class Target(Protocol):
    @property
    def upstream(self) -> str: ...
    @property
    def model(self) -> str: ...


class Call(Protocol):
    @property
    def leg(self) -> Leg: ...
    @property
    def created(self) -> Created: ...
    @property
    def target(self) -> Target: ...


class Dialler(Protocol):
    """Who opens connections, see `engines.upstream.dialler`."""

    async def dial(self, model: str, session: str, *, transcribes: bool = False, avoid: Iterable[str] = ()) -> Call: ...
    def lost(self, upstream: str, code: str) -> None: ...


class RelayWitness(Protocol):
    """Who looks on while a relayed session lives. Called on the event loop; never waits, never fails."""

    def started(self, response_id: str) -> None: ...
    def spoke(self, response_id: str, ms: int) -> None: ...

    def heard(self, ms: int) -> None:
        """So much speech became an item."""
        ...

    def turn(self, turn: Turn) -> None: ...

    def ended(self) -> None:
        """Once, when the session is over."""
        ...


class RelaySurroundings(NamedTuple):
    """What all relayed sessions of a process share."""

    metrics: Metrics
    meter: Callable[["RelayedSession", Turn], None]
    """Told of every finished turn."""
    ended: Callable[["RelayedSession"], None]
    """Told once of every session that ends."""
    now: Callable[[], float] = time.monotonic


def opened(name: str, call: Call) -> Opened:
    """What the core is told of a connection that is there."""
    created = call.created
    return Opened(
        leg=name,
        created=Message(created.body, created.raw, call.leg.spelling.name),
        upstream=call.target.upstream,
        model=call.target.model,
        lasts_s=created.lasts_s,
    )


class _Outline(msgspec.Struct):
    event_id: str | None = None


def event_id_of(raw: bytes) -> str | None:
    """The client's event id, so that an error can name it (protocol.md 3.0), if that much can be read."""
    try:
        return msgspec.json.decode(raw, type=_Outline).event_id
    except (msgspec.MsgspecError, UnicodeError, RecursionError):
        return None
