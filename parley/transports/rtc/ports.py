"""The UDP port that all calls share: one number to open in a firewall (ICE-lite, RFC 8445 2.5; RFC 7983).

We stand at addresses that we can name, and the browser finds the way: we answer its checks and use the address that it
nominates. That needs no port of its own for a call, no check of ours, and no candidate of the browser's: those that it
hides behind mDNS names we never read, and those it has not found yet come by themselves.

    check with a call's fragment and password --> its address is a route of that call; answered
    anything else from a route                --> the call
    anything else                             --> dropped: no answer, no state (the ClientHello race, ASVS 17.2.6)

There is one socket for each address of this machine, so that an answer leaves from where the question came to.
"""

import asyncio
import ipaddress
import logging
import secrets
import socket
from collections.abc import Callable
from contextlib import suppress
from typing import Any, Final, NamedTuple, Protocol

import ifaddr

from parley.telemetry import note
from parley.transports.rtc import stun
from parley.transports.rtc.sdp import Candidate

ROUTES_MAX: Final = 8
"""Addresses of one call. A browser on a machine with many networks checks from each of them."""
ADDRESSES_MAX: Final = 8
"""Addresses of this machine that we stand at."""
LOOK_S: Final = 5.0
"""How long the list of this machine's addresses is believed. A laptop changes its network."""
BUFFER_BYTES: Final = 1 << 20
"""Of each socket: 0.3 s of a hundred calls."""
FRAGMENT_CHARS: Final = 8
PASSWORD_CHARS: Final = 32

Address = tuple[Any, ...]

log = logging.getLogger(__name__)


class Network(NamedTuple):
    """What the operator says about the network."""

    port: int
    """UDP; 0 takes a free one for every address."""
    advertised: tuple[str, ...] = ()
    """Addresses to tell clients instead of this machine's own, as behind 1:1 NAT."""
    loopback: bool = False
    """Whether 127.0.0.1 is worth telling: clients are on this machine."""


class Route(NamedTuple):
    """A way to the peer."""

    transport: asyncio.DatagramTransport
    address: Address

    def send(self, datagram: bytes) -> None:
        """UDP: it may arrive. Not at all once the address has left this machine."""
        if not self.transport.is_closing():
            self.transport.sendto(datagram, self.address)


class Guest(Protocol):
    """A call on the port. Calls come on the event loop."""

    def on_checked(self, route: Route) -> None:
        """The peer has shown that it is there, and wants to be."""
        ...

    def on_nominated(self, lodging: "Lodging", route: Route) -> None:
        """The peer wants to be spoken to there. Comes with every check that says so; `lodging` is what it knew."""
        ...

    def on_datagram(self, datagram: bytes, route: Route) -> None:
        """DTLS, SRTP or SRTCP. A route is one object as long as it is known."""
        ...


class Credentials(NamedTuple):
    """What a peer shows in its checks: both are told to it in the answer, and to nobody else."""

    fragment: str
    password: str


class Lodging:
    """A call's place on the port. Give it back by `leave`."""

    def __init__(self, guest: Guest, leave: Callable[["Lodging"], None]) -> None:
        self.guest = guest
        self.credentials = Credentials(
            secrets.token_urlsafe(FRAGMENT_CHARS)[:FRAGMENT_CHARS],
            secrets.token_urlsafe(PASSWORD_CHARS)[:PASSWORD_CHARS],
        )
        self.password = self.credentials.password.encode()
        self.routes: dict[tuple[_Socket, Address], Route] = {}
        self._leave = leave

    def leave(self) -> None:
        self._leave(self)


class _Resident(NamedTuple):
    """Who is behind an address."""

    lodging: Lodging
    route: Route


class Ports:
    """All sockets of a process, and who is reached by them. Belongs to one event loop."""

    def __init__(self, network: Network) -> None:
        self.dropped = 0
        """Datagrams that belong to nobody."""
        self._network = network
        self._sockets: dict[str, _Socket] = {}
        self._lodgings: dict[str, Lodging] = {}
        self._looked_at = float("-inf")
        self._opening = asyncio.Lock()

    async def candidates(self) -> list[Candidate]:
        """Where clients can reach us now; opens what is not open yet. Empty when no socket can be bound.

        An advertised address stands for those of ours of the same family, and has their port.
        """
        async with self._opening:
            await self._look()
        own = [Candidate(host, each.port) for host, each in self._sockets.items()]
        if not self._network.advertised:
            return own
        return [
            Candidate(host, ports[0])
            for host in self._network.advertised
            if (ports := [each.port for each in own if (":" in each.host) == (":" in host)])
        ]

    def lodge(self, guest: Guest) -> Lodging:
        lodging = Lodging(guest, self._leave)
        self._lodgings[lodging.credentials.fragment] = lodging
        return lodging

    def close(self) -> None:
        for each in self._sockets.values():
            each.close()
        self._sockets.clear()

    def check(self, asked: "_Socket", datagram: bytes, address: Address) -> None:
        """A connectivity check has come. One that is not authentic gets no answer."""
        check = stun.read_check(datagram)
        lodging = None if check is None else self._lodgings.get(check.username.partition(":")[0])
        if check is None or lodging is None or not stun.authentic(check, lodging.password):
            self.dropped += 1
            return
        answer = stun.answer(check, address[0], address[1], lodging.password)
        if check.controlled:
            Route(asked.transport, address).send(answer)
            return
        route = self._known_route(lodging, asked, address)
        route.send(answer)
        lodging.guest.on_checked(route)
        if check.nominates:
            lodging.guest.on_nominated(lodging, route)

    def _known_route(self, lodging: Lodging, asked: "_Socket", address: Address) -> Route:
        key = (asked, address)
        known = lodging.routes.get(key)
        if known is not None:
            return known
        if len(lodging.routes) >= ROUTES_MAX:
            self._forget_route(lodging, next(iter(lodging.routes)))
        stranger = asked.guests.get(address)
        if stranger is not None:  # a browser that left and came back takes its old port with it
            stranger.lodging.routes.pop(key, None)
        route = lodging.routes[key] = Route(asked.transport, address)
        asked.guests[address] = _Resident(lodging, route)
        return route

    def _forget_route(self, lodging: Lodging, key: "tuple[_Socket, Address]") -> None:
        del lodging.routes[key]
        asked, address = key
        asked.guests.pop(address, None)

    def _leave(self, lodging: Lodging) -> None:
        self._lodgings.pop(lodging.credentials.fragment, None)
        for key in list(lodging.routes):
            self._forget_route(lodging, key)

    async def _look(self) -> None:
        loop = asyncio.get_running_loop()
        if loop.time() - self._looked_at < LOOK_S:
            return
        hosts = addresses(loopback=self._network.loopback)
        for host in [host for host in self._sockets if host not in hosts]:
            self._sockets.pop(host).close()
        for host in hosts:
            if host not in self._sockets and (opened := await self._open(host)) is not None:
                self._sockets[host] = opened
        self._looked_at = loop.time()

    async def _open(self, host: str) -> "_Socket | None":
        loop = asyncio.get_running_loop()
        try:
            _, opened = await loop.create_datagram_endpoint(
                lambda: _Socket(self), local_addr=(host, self._network.port)
            )
        except OSError as error:
            note(log, "udp port not open", logging.WARNING, host=host, port=self._network.port, reason=str(error))
            return None
        return opened


class _Socket(asyncio.DatagramProtocol):
    """One address of ours."""

    def __init__(self, ports: Ports) -> None:
        self.transport: asyncio.DatagramTransport
        self.port = 0
        self.guests: dict[Address, _Resident] = {}
        """Who has shown to be behind an address."""
        self._ports = ports

    def connection_made(self, transport: asyncio.DatagramTransport) -> None:  # type: ignore[override]
        self.transport = transport
        self.port = transport.get_extra_info("sockname")[1]
        own = transport.get_extra_info("socket")
        for option in (socket.SO_RCVBUF, socket.SO_SNDBUF):
            with suppress(OSError):
                own.setsockopt(socket.SOL_SOCKET, option, BUFFER_BYTES)

    def datagram_received(self, data: bytes, addr: Address) -> None:
        if stun.is_stun(data):
            self._ports.check(self, data, addr)
        elif (resident := self.guests.get(addr)) is not None and data:
            resident.lodging.guest.on_datagram(data, resident.route)
        else:
            self._ports.dropped += 1

    def error_received(self, exc: Exception) -> None:
        """A peer that is gone makes its host complain. Its silence tells us the same."""

    def close(self) -> None:
        self.transport.close()


def addresses(*, loopback: bool) -> list[str]:
    """This machine's addresses that others can name, IPv4 first; with `loopback` also those that only it can."""
    found = []
    for adapter in ifaddr.get_adapters():
        for ip in adapter.ips:
            host = ip.ip if isinstance(ip.ip, str) else ip.ip[0]
            address = ipaddress.ip_address(host)
            if not (address.is_link_local or address.is_unspecified) and (loopback or not address.is_loopback):
                found.append(address)
    found.sort(key=lambda address: (address.is_loopback, address.version))
    return [str(address) for address in found[:ADDRESSES_MAX]]
