"""The one UDP port: who shows a call's password gets through to it, and nobody else is even answered."""

import asyncio
import socket
from collections.abc import AsyncIterator
from typing import Any

import pytest
from aioice import stun as oracle

from parley.transports.rtc.ports import ROUTES_MAX, Lodging, Network, Ports, Route, addresses

CLIENT_HELLO = bytes.fromhex("16fefd0000000000000000002f010000230000000000000023fefd") + bytes(33)
MEDIA = b"\x80\x6f" + bytes(30)


class Guest:
    def __init__(self) -> None:
        self.checked = 0
        self.route: Route | None = None
        self.datagrams: list[bytes] = []

    def on_checked(self, route: Route) -> None:
        self.checked += 1

    def on_nominated(self, lodging: Lodging, route: Route) -> None:
        self.route = route

    def on_datagram(self, datagram: bytes, route: Route) -> None:
        self.datagrams.append(datagram)


class Stranger:
    """A UDP socket on the same machine."""

    def __init__(self, port: int) -> None:
        self._socket = socket.socket(socket.AF_INET, socket.SOCK_DGRAM)
        self._socket.bind(("127.0.0.1", 0))
        self._socket.connect(("127.0.0.1", port))
        self._socket.setblocking(False)

    @property
    def port(self) -> int:
        return int(self._socket.getsockname()[1])

    def send(self, datagram: bytes) -> None:
        self._socket.send(datagram)

    async def answer(self, patience_s: float = 5.0) -> bytes:
        loop = asyncio.get_running_loop()
        return await asyncio.wait_for(loop.sock_recv(self._socket, 2_000), patience_s)

    def silence(self) -> bool:
        try:
            self._socket.recv(2_000)
        except BlockingIOError:
            return True
        return False

    def close(self) -> None:
        self._socket.close()


def check(lodging: Lodging, *, nominates: bool = True, **wrong: Any) -> bytes:
    message = oracle.Message(oracle.Method.BINDING, oracle.Class.REQUEST)
    message.attributes["USERNAME"] = wrong.get("username", f"{lodging.credentials.fragment}:them")
    message.attributes[wrong.get("role", "ICE-CONTROLLING")] = 1
    if nominates:
        message.attributes["USE-CANDIDATE"] = None
    message.add_message_integrity(wrong.get("password", lodging.credentials.password).encode())
    return bytes(message)


@pytest.fixture
async def ports() -> AsyncIterator[Ports]:
    ports = Ports(Network(0, loopback=True))
    yield ports
    ports.close()
    await asyncio.sleep(0)


async def port_of(ports: Ports) -> int:
    return next(each.port for each in await ports.candidates() if each.host == "127.0.0.1")


@pytest.fixture
async def stranger(ports: Ports) -> AsyncIterator[Stranger]:
    stranger = Stranger(await port_of(ports))
    yield stranger
    stranger.close()


async def settled(ports: Ports, seen: int) -> None:
    """Returns when so many datagrams have been dropped."""
    async with asyncio.timeout(5):
        while ports.dropped < seen:
            await asyncio.sleep(0.005)


async def test_who_knows_the_password_gets_through(ports: Ports, stranger: Stranger) -> None:
    guest = Guest()
    lodging = ports.lodge(guest)
    stranger.send(check(lodging, nominates=False))
    answer = oracle.parse_message(await stranger.answer())
    assert answer.attributes["XOR-MAPPED-ADDRESS"] == ("127.0.0.1", stranger.port)
    assert answer.check_message_integrity(lodging.password)
    assert (guest.checked, guest.route) == (1, None)
    stranger.send(check(lodging))
    await stranger.answer()
    assert guest.route is not None
    guest.route.send(b"hello")
    assert await stranger.answer() == b"hello"
    stranger.send(MEDIA)
    stranger.send(CLIENT_HELLO)
    async with asyncio.timeout(5):
        while len(guest.datagrams) < 2:
            await asyncio.sleep(0.005)
    assert guest.datagrams == [MEDIA, CLIENT_HELLO]


async def test_strangers_are_neither_heard_nor_answered(ports: Ports, stranger: Stranger) -> None:
    guest = Guest()
    lodging = ports.lodge(guest)
    unsigned = bytes(oracle.Message(oracle.Method.BINDING, oracle.Class.REQUEST))
    attacks = [
        CLIENT_HELLO, MEDIA, b"\x80\xc8" + bytes(26), b"x", bytes(600), unsigned,
        check(lodging, password="a wrong password of thirty-two ch"), check(lodging, username="unknown:them"),
    ]  # fmt: skip
    for attack in attacks:
        stranger.send(attack)
    await settled(ports, len(attacks))
    assert guest.datagrams == [] and guest.checked == 0 and guest.route is None
    assert stranger.silence(), "no byte out: nothing to amplify"


async def test_a_route_of_one_call_is_none_of_another(ports: Ports, stranger: Stranger) -> None:
    one, other = Guest(), Guest()
    lodging, _ = ports.lodge(one), ports.lodge(other)
    stranger.send(check(lodging))
    await stranger.answer()
    stranger.send(MEDIA)
    async with asyncio.timeout(5):
        while not one.datagrams:
            await asyncio.sleep(0.005)
    assert other.datagrams == []


async def test_after_the_call_its_routes_are_strangers_again(ports: Ports, stranger: Stranger) -> None:
    guest = Guest()
    lodging = ports.lodge(guest)
    stranger.send(check(lodging))
    await stranger.answer()
    lodging.leave()
    stranger.send(MEDIA)
    stranger.send(check(lodging))
    await settled(ports, 2)
    assert guest.datagrams == [] and stranger.silence()


async def test_an_address_that_comes_back_belongs_to_its_new_call(ports: Ports, stranger: Stranger) -> None:
    before, after = Guest(), Guest()
    old, new = ports.lodge(before), ports.lodge(after)
    for lodging in (old, new):
        stranger.send(check(lodging))
        await stranger.answer()
    old.leave()
    stranger.send(MEDIA)
    async with asyncio.timeout(5):
        while not after.datagrams:
            await asyncio.sleep(0.005)
    assert before.datagrams == []


async def test_a_peer_that_moves_is_followed(ports: Ports, stranger: Stranger) -> None:
    guest = Guest()
    lodging = ports.lodge(guest)
    elsewhere = Stranger(await port_of(ports))
    for each in (stranger, elsewhere):
        each.send(check(lodging))
        await each.answer()
    assert guest.route is not None and guest.route.address[1] == elsewhere.port
    elsewhere.close()


async def test_one_call_has_only_so_many_routes(ports: Ports) -> None:
    lodging = ports.lodge(Guest())
    port = await port_of(ports)
    crowd = [Stranger(port) for _ in range(ROUTES_MAX + 3)]
    for each in crowd:
        each.send(check(lodging))
        await each.answer()
    assert len(lodging.routes) == ROUTES_MAX
    for each in crowd:
        each.close()


async def test_a_peer_in_the_wrong_role_is_told(ports: Ports, stranger: Stranger) -> None:
    guest = Guest()
    stranger.send(check(ports.lodge(guest), role="ICE-CONTROLLED"))
    assert oracle.parse_message(await stranger.answer()).attributes["ERROR-CODE"][0] == 487
    assert guest.route is None and guest.checked == 0


async def test_a_public_address_is_told_instead_of_ours() -> None:
    ports = Ports(Network(0, ("203.0.113.7", "2001:db8::7"), loopback=True))
    told = await ports.candidates()
    own = Ports(Network(0, loopback=True))
    assert [each.host for each in told][:1] == ["203.0.113.7"]
    assert {each.host for each in told} <= {"203.0.113.7", "2001:db8::7"}
    assert all(each.port for each in told)
    ports.close()
    own.close()


async def test_one_number_for_every_address() -> None:
    with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as probe:
        probe.bind(("127.0.0.1", 0))
        number = probe.getsockname()[1]
    ports = Ports(Network(number, loopback=True))
    assert {each.port for each in await ports.candidates()} == {number}
    ports.close()


async def test_a_port_that_is_taken_leaves_no_candidates() -> None:
    taken: list[socket.socket] = []
    for host in addresses(loopback=True):
        blocker = socket.socket(socket.AF_INET6 if ":" in host else socket.AF_INET, socket.SOCK_DGRAM)
        blocker.bind((host, taken[0].getsockname()[1] if taken else 0))
        taken.append(blocker)
    ports = Ports(Network(taken[0].getsockname()[1], loopback=True))
    assert await ports.candidates() == []
    for blocker in taken:
        blocker.close()


def test_loopback_is_told_only_where_it_makes_sense() -> None:
    assert "127.0.0.1" in addresses(loopback=True)
    assert not any(host.startswith("127.") or host == "::1" for host in addresses(loopback=False))
