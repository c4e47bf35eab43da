"""The one guard of URLs that somebody other than the operator names: webhooks, MCP servers, images.

    outgoing = Outgoing(read_allowed(settings.allowed_networks))
    async with outgoing.request("POST", url, body=b"{}") as response: ...   # RequestError: `url_not_allowed`
    await outgoing.close()

A name is resolved once for a connection, and the connection goes to the addresses that were looked at, so that nothing
can change in between (DNS rebinding). The socket's own address is looked at once more, just before it connects: that
look does not depend on how anybody reads a URL. Redirects are not followed, cookies not kept, proxies of the
environment not used, bodies not unpacked.
"""

from __future__ import annotations

import errno
import ipaddress
import re
import socket
from collections.abc import AsyncIterator, Mapping
from contextlib import asynccontextmanager
from typing import TYPE_CHECKING, Final, NamedTuple

from yarl import URL

from parley.errors import RequestError

if TYPE_CHECKING:
    import aiohttp
    from aiohttp.abc import AbstractResolver, ResolveResult

    from parley.outgoing_names import System

URL_CHARS_MAX: Final = 2_048
CONNECT_S: Final = 5.0
TOTAL_S: Final = 15.0
"""For everything together, from the name to the last byte that is read."""
CONNECTIONS_MAX: Final = 512
KEEP_ALIVE_S: Final = 30.0
RESOLVING_MAX: Final = 8
"""Names that are looked up at a time."""

SCHEMES: Final = ("http", "https")
LOW_PORTS: Final = (80, 443)
"""The only ones below `FREE_PORTS_FROM`: behind the others are mail, files and shells."""
FREE_PORTS_FROM: Final = 1_024

Address = ipaddress.IPv4Address | ipaddress.IPv6Address
Network = ipaddress.IPv4Network | ipaddress.IPv6Network

GLOBAL_UNICAST: Final = ipaddress.IPv6Network("2000::/3")
"""RFC 4291 2.4. What wraps an IPv4 address elsewhere (mapped, NAT64, compatible) is not in it."""
TUNNELS: Final = (ipaddress.IPv6Network("2001::/32"), ipaddress.IPv6Network("2002::/16"))
"""Teredo and 6to4: they lead to an IPv4 address inside."""
ISATAP: Final = (0x0000_5EFE, 0x0200_5EFE)
"""How an interface identifier begins that has an IPv4 address inside (RFC 5214 6.1)."""
REFUSED: Final = tuple(map(ipaddress.IPv4Network, ("168.63.129.16/32", "192.0.0.0/24", "192.88.99.0/24")))
"""Metadata services of clouds that are neither link-local nor private, and relays of 6to4 (RFC 6890, RFC 7526)."""

_UNSAFE = re.compile(r"[\s\\\x00-\x1f\x7f]")
_NUMBER = re.compile(r"[0-9]+|0[xX][0-9a-fA-F]*")
_NAME = re.compile(r"[a-z0-9]([a-z0-9._-]*[a-z0-9])?")


class Allowed(NamedTuple):
    """What the operator lets others reach that is not public."""

    networks: tuple[Network, ...] = ()
    names: frozenset[str] = frozenset()
    """Wherever they lead."""


NOTHING: Final = Allowed()


def read_allowed(listed: str) -> Allowed:
    """From `10.0.0.0/8, mcp.internal`. Raises `ValueError` for what is neither a network nor a name."""
    networks: list[Network] = []
    names: set[str] = set()
    for word in filter(None, (part.strip().lower() for part in listed.split(","))):
        try:
            networks.append(ipaddress.ip_network(word))
        except ValueError:
            if "/" in word or not _NAME.fullmatch(word) or _is_numeric(word):
                raise ValueError(f"{word!r} is neither a network such as 10.0.0.0/8 nor a name") from None
            names.add(word)
    return Allowed(tuple(networks), frozenset(names))


# ---- rules, without I/O


def is_public(address: Address) -> bool:
    """Whether this address is of the public Internet: not private, shared, local, multicast, a tunnel's or reserved."""
    if address.is_multicast or address.is_reserved or address.is_unspecified or not address.is_global:
        return False
    if isinstance(address, ipaddress.IPv4Address):
        return not any(address in network for network in REFUSED)
    inside = address in GLOBAL_UNICAST and not any(address in tunnel for tunnel in TUNNELS)
    return inside and (int(address) >> 32) & 0xFFFF_FFFF not in ISATAP


def check(url: str) -> URL:
    """A URL as it will be called. Pure: where its name leads is looked at when it is called.

    Raises `RequestError` with `url_not_allowed`: not http(s), credentials in it, a port or spelling that is refused.
    """
    if len(url) > URL_CHARS_MAX or _UNSAFE.search(url):
        raise _refused(f"it must have at most {URL_CHARS_MAX} characters, without spaces and backslashes")
    try:
        found = URL(url)
        port = found.port
    except ValueError:
        raise _refused("it cannot be read") from None
    if found.scheme not in SCHEMES or not found.raw_host:
        raise _refused("it must be an absolute http or https URL")
    if "@" in found.raw_authority:
        raise _refused("it must not carry credentials")
    if port not in LOW_PORTS and not (port is not None and port >= FREE_PORTS_FROM):
        raise _refused(f"its port must be 80, 443, or {FREE_PORTS_FROM} and above")
    if _address(found.raw_host) is None and _is_numeric(found.raw_host):
        raise _refused("an IPv4 address is written as four decimal numbers")
    return found


def _address(host: str) -> Address | None:
    try:
        return ipaddress.ip_address(host)
    except ValueError:
        return None


def _is_numeric(host: str) -> bool:
    """What some read as an IPv4 address, such as 0x7f.1 (URL Standard, "ends in a number")."""
    return bool(_NUMBER.fullmatch(host.rstrip(".").rpartition(".")[2]))


def _refused(why: str) -> RequestError:
    return RequestError("url_not_allowed", f"This URL is not allowed: {why}.")


# ---- the client


class Outgoing:
    """Belongs to one event loop. `resolver` is the system's where none is given."""

    def __init__(
        self,
        allowed: Allowed = NOTHING,
        *,
        connect_s: float = CONNECT_S,
        total_s: float = TOTAL_S,
        resolver: AbstractResolver | None = None,
    ) -> None:
        self._allowed = allowed
        self._total_s = total_s
        self._connect_s = connect_s
        self._given = resolver
        self._own: System | None = None
        self._sessions: dict[bool, aiohttp.ClientSession] = {}
        """By whether they look where they connect to."""

    @asynccontextmanager
    async def request(
        self,
        method: str,
        url: str,
        *,
        headers: Mapping[str, str] | None = None,
        body: bytes | None = None,
        trusted: bool = False,
    ) -> AsyncIterator[aiohttp.ClientResponse]:
        """The answer, once its head is there. `trusted` is for what the operator's own settings name.

        Whoever leaves before the body has come closes the connection. A redirect is an answer like another.
        Raises `RequestError` with `url_not_allowed`, `aiohttp.ClientError`, `TimeoutError`.
        """
        target = URL(url) if trusted else check(url)
        host = target.raw_host or ""
        guarded = not (trusted or host in self._allowed.names)
        literal = _address(host)
        if guarded and literal is not None:
            self._vet(literal)
        session = self._session(guarded=guarded)
        async with session.request(method, target, headers=headers, data=body, allow_redirects=False) as response:
            yield response

    async def close(self) -> None:
        """Closes every connection. It may be used again afterwards."""
        sessions, self._sessions = self._sessions, {}
        for session in sessions.values():
            await session.close()
        own, self._own = self._own, None
        if own is not None:
            await own.close()

    def _session(self, *, guarded: bool) -> aiohttp.ClientSession:
        if guarded not in self._sessions:
            import aiohttp  # 12 MB that a server which calls nobody need not carry

            from parley.outgoing_names import Vetting

            self._sessions[guarded] = aiohttp.ClientSession(
                connector=aiohttp.TCPConnector(
                    limit=CONNECTIONS_MAX,
                    keepalive_timeout=KEEP_ALIVE_S,
                    use_dns_cache=False,
                    resolver=Vetting(self._resolver(), self.vet_all) if guarded else self._given,
                    socket_factory=self._socket if guarded else None,
                ),
                timeout=aiohttp.ClientTimeout(total=self._total_s, connect=self._connect_s),
                headers={"Accept-Encoding": "identity"},
                auto_decompress=False,
                cookie_jar=aiohttp.DummyCookieJar(),
                trust_env=False,
            )
        return self._sessions[guarded]

    def _resolver(self) -> AbstractResolver:
        if self._given is not None:
            return self._given
        if self._own is None:
            from parley.outgoing_names import System

            self._own = System(RESOLVING_MAX)
        return self._own

    def _vet(self, address: Address) -> None:
        """Raises `RequestError`."""
        if not self._may_reach(address):
            raise _refused("it does not lead to a public address. The operator can allow it (`allowed_networks`)")

    def vet_all(self, found: list[ResolveResult]) -> None:
        """All addresses of a name, or none. Raises `RequestError`."""
        for each in found:
            self._vet(ipaddress.ip_address(each["host"]))

    def _socket(self, info: aiohttp.AddrInfoType) -> socket.socket:
        """The last look: what this socket is about to connect to."""
        family, kind, protocol, _, place = info
        if not self._may_reach(ipaddress.ip_address(str(place[0]))):
            raise PermissionError(errno.EACCES, "not a public address")
        return socket.socket(family, kind, protocol)

    def _may_reach(self, address: Address) -> bool:
        return is_public(address) or any(address in network for network in self._allowed.networks)
