"""Who may call, whom they reach, and how often: the operator's table of trunks, and its rules. Pure: time is given.

[[trunk]]
name = "carrier"
addresses = ["203.0.113.0/28"]          # who is believed by where it calls from …
username = "parley"                     # … and, or instead, by digest
password = "…"
calls_max = 30
calls_per_hour = 600

[[trunk.number]]
number = "+4930123456"                  # or "+4930*"
session = { model = "gpt-realtime" }    # answered at once; without it the webhook is asked
greeting = "Good day, this is Parley."  # … and said at once; `true`: whatever the model says first
"""

import ipaddress
import re
from collections import OrderedDict, deque
from collections.abc import Mapping, Sequence
from typing import Annotated, Any, Final, Literal

import msgspec
from msgspec import Meta

from parley.core.config import RealtimeConfig, SessionConfig
from parley.core.events import ResponseCreate
from parley.errors import RequestError
from parley.transports.rtc.codecs import FORMATS, Format, spoken
from parley.transports.sessions import ga_session
from parley.transports.sip.grammar import Broken, read_uri
from parley.transports.sip.sdp import Security

HOUR_S: Final = 3_600
TRUNKS_MAX: Final = 100
NUMBERS_MAX: Final = 10_000
"""Of one trunk."""
FAILURES_MAX: Final = 5
"""Wrong passwords from one address …"""
FAILURES_S: Final = 600
"""… in so many seconds, after which it is not answered for as long."""
ADDRESSES_MAX: Final = 4_096
"""Addresses whose wrong passwords are remembered."""
GREETING_CHARS_MAX: Final = 1_000
"""A minute of speech: nobody listens longer before it is their turn."""
MINUTE_MICRO_MAX: Final = 10**12

Transport = Literal["udp", "tcp", "tls"]
Network = ipaddress.IPv4Network | ipaddress.IPv6Network

_SEPARATORS = re.compile(r"[\s().-]")
_TEL = re.compile(r"tel:\+?[0-9().-]{1,40}")


class TrunksError(Exception):
    """The table is wrong. The message is one line and says what to do."""


class Number(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """Whom a called number reaches."""

    number: str
    """As it is called; a `*` at its end stands for the rest."""
    account: str = "local"
    project: str = ""
    webhook: str = ""
    """Where the call is announced, if not where all are."""
    session: Mapping[str, Any] | None = None
    """The session with which calls are answered, as JSON of the API; None: somebody is asked."""
    greeting: bool | Annotated[str, Meta(max_length=GREETING_CHARS_MAX)] = False
    """With a session: whether it speaks first, or in which words."""


class Registration(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """At a provider who calls only those who register."""

    server: str
    """`sip:provider.example;transport=tcp`."""
    username: str
    password: str
    expires_s: Annotated[int, Meta(ge=60, le=86_400)] = 600


class Trunk(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """Somebody who may call."""

    name: str
    addresses: tuple[str, ...] = ()
    """IP addresses and networks; none: anywhere, with a password."""
    username: str = ""
    password: str = ""
    transports: tuple[Transport, ...] = ("udp", "tcp", "tls")
    srtp: Security = "offered"
    codecs: tuple[str, ...] = tuple(FORMATS)
    number: tuple[Number, ...] = ()
    calls_max: Annotated[int, Meta(ge=0)] = 30
    """At once."""
    calls_per_hour: Annotated[int, Meta(ge=0)] = 1_000
    transfer_to: tuple[str, ...] = ("",)
    """How numbers begin to which a call may be transferred; "": any."""
    register: Registration | None = None
    minute_micro: Annotated[int, Meta(ge=0, le=MINUTE_MICRO_MAX)] = 0
    """Micro-credits that a minute of its calls costs, besides what the model costs."""

    @property
    def realm(self) -> str:
        return self.name

    @property
    def formats(self) -> tuple[Format, ...]:
        return tuple(form for form in spoken() if form.name.lower() in self.codecs)


class _Table(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    trunk: tuple[Trunk, ...] = ()


def read_trunks(table: object) -> tuple[Trunk, ...]:
    """From the parsed TOML of the table. Raises `TrunksError`."""
    try:
        trunks = msgspec.convert(table, _Table).trunk
    except msgspec.ValidationError as error:
        raise TrunksError(f"The table of trunks is wrong: {error}.") from None
    if len(trunks) > TRUNKS_MAX or len({trunk.name for trunk in trunks}) < len(trunks):
        raise TrunksError(f"There are more than {TRUNKS_MAX} trunks, or two of the same name.")
    for trunk in trunks:
        _check(trunk)
    return trunks


def _check(trunk: Trunk) -> None:
    for address in trunk.addresses:
        try:
            ipaddress.ip_network(address)
        except ValueError as error:
            raise TrunksError(f"Trunk {trunk.name!r}: {error}.") from None
    if bool(trunk.username) != bool(trunk.password):
        raise TrunksError(f"Trunk {trunk.name!r}: give both a username and a password, or neither.")
    if not (trunk.addresses or trunk.username or trunk.register):
        raise TrunksError(f"Trunk {trunk.name!r} would let anybody call: give addresses, or a username and password.")
    if len(trunk.number) > NUMBERS_MAX:
        raise TrunksError(f"Trunk {trunk.name!r} has more than {NUMBERS_MAX} numbers.")
    if unknown := set(trunk.codecs) - set(FORMATS):
        raise TrunksError(f"Trunk {trunk.name!r}: unknown codec {min(unknown)!r}; there are {', '.join(FORMATS)}.")
    for number in trunk.number:
        try:
            stored = stored_session(number)
        except RequestError as error:
            raise TrunksError(f"Trunk {trunk.name!r}, number {number.number!r}: {error.message}") from None
        if number.greeting and not isinstance(stored, RealtimeConfig):
            raise TrunksError(f"Trunk {trunk.name!r}, number {number.number!r}: a greeting needs a realtime session.")
    if trunk.register is not None:
        try:
            read_uri(trunk.register.server)
        except Broken as error:
            raise TrunksError(f"Trunk {trunk.name!r}: register.server is no SIP URI: {error}.") from None


def stored_session(number: Number) -> SessionConfig | None:
    """With which calls to this number are answered. Raises `RequestError`."""
    return None if number.session is None else ga_session(dict(number.session), None)


def greeting(number: Number) -> ResponseCreate | None:
    """The first thing that happens in a call to this number. Pure."""
    match number.greeting:
        case str(words) if words:
            asked = f"Say exactly the following and nothing else: {words}"
            return ResponseCreate(response={"instructions": asked, "tool_choice": "none"})
        case True:
            return ResponseCreate()
    return None


def plain_number(text: str) -> str:
    """Without what only helps to read it."""
    return _SEPARATORS.sub("", text).removeprefix("+").lower()


def reached(trunk: Trunk, called: Sequence[str]) -> Number | None:
    """Whom a call reaches; `called` are the ways in which it says so. The longest fitting number wins."""
    for each in called:
        dialled = plain_number(each)
        fitting = [number for number in trunk.number if _fits(number.number, dialled)]
        if fitting:
            return max(fitting, key=lambda number: (not number.number.endswith("*"), len(number.number)))
    return None


def _fits(pattern: str, dialled: str) -> bool:
    if pattern.endswith("*"):
        return dialled.startswith(plain_number(pattern[:-1]))
    return dialled == plain_number(pattern)


def transfer_target(trunk: Trunk, target: str) -> str:
    """The URI for Refer-To. Raises `RequestError` for what is none, or where this trunk may not transfer to."""
    if _TEL.fullmatch(target):
        number = target.removeprefix("tel:")
    else:
        try:
            uri = read_uri(target)
        except Broken:
            raise RequestError(
                "invalid_value", "Invalid 'target_uri': expected tel:+… or sip:….", "target_uri"
            ) from None
        if uri.headers:
            raise RequestError("invalid_value", "Invalid 'target_uri': it must not carry headers.", "target_uri")
        number = uri.number or uri.host
    dialled = plain_number(number)
    if not any(dialled.startswith(plain_number(prefix)) for prefix in trunk.transfer_to):
        raise RequestError("invalid_value", "Calls of this trunk may not be transferred to there.", "target_uri")
    return target


class Desk:
    """Who somebody is by where they call from, and whether there is room for another call."""

    def __init__(self, trunks: Sequence[Trunk]) -> None:
        self.trunks = tuple(trunks)
        self._networks: dict[str, tuple[Network, ...]] = {
            trunk.name: tuple(ipaddress.ip_network(address) for address in trunk.addresses) for trunk in trunks
        }
        self._learned: dict[str, frozenset[str]] = {}
        self._running: dict[str, int] = {trunk.name: 0 for trunk in trunks}
        self._begun: dict[str, deque[float]] = {
            trunk.name: deque(maxlen=max(1, trunk.calls_per_hour)) for trunk in trunks
        }
        self._failures: OrderedDict[str, deque[float]] = OrderedDict()

    # ---- who

    def learn(self, trunk: Trunk, hosts: Sequence[str]) -> None:
        """Where a provider is at whom we are registered."""
        self._learned[trunk.name] = frozenset(hosts)

    def of(self, host: str, transport: str) -> list[Trunk]:
        """The trunks that this address is known to belong to."""
        return [trunk for trunk in self.trunks if transport in trunk.transports and self._stands_at(trunk, host)]

    def anywhere(self, transport: str) -> list[Trunk]:
        """The trunks whose callers come from anywhere, and are known by their password."""
        return [
            trunk for trunk in self.trunks if transport in trunk.transports and trunk.username and not trunk.addresses
        ]

    def _stands_at(self, trunk: Trunk, host: str) -> bool:
        if host in self._learned.get(trunk.name, ()):
            return True
        try:
            address = ipaddress.ip_address(host)
        except ValueError:
            return False
        mapped = getattr(address, "ipv4_mapped", None)
        return any((mapped or address) in network for network in self._networks[trunk.name])

    # ---- wrong passwords

    def failed(self, host: str, now: float) -> None:
        times = self._failures.setdefault(host, deque(maxlen=FAILURES_MAX))
        times.append(now)
        self._failures.move_to_end(host)
        if len(self._failures) > ADDRESSES_MAX:
            self._failures.popitem(last=False)

    def shut_out(self, host: str, now: float) -> bool:
        """Whether this address has guessed too often."""
        times = self._failures.get(host)
        return times is not None and len(times) == FAILURES_MAX and now - times[0] < FAILURES_S

    # ---- room

    def enter(self, trunk: Trunk, now: float) -> bool:
        """Counts a call in, where there is room. Give it back by `leave`."""
        begun = self._begun[trunk.name]
        full = len(begun) == begun.maxlen and now - begun[0] < HOUR_S
        if full or not trunk.calls_per_hour or self._running[trunk.name] >= trunk.calls_max:
            return False
        begun.append(now)
        self._running[trunk.name] += 1
        return True

    def leave(self, trunk: Trunk) -> None:
        self._running[trunk.name] -= 1

    def running(self, trunk: Trunk) -> int:
        """Calls at this moment."""
        return self._running[trunk.name]
