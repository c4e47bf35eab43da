"""The guard of outgoing URLs, against a canary: a listener on every address of this machine that counts who connects."""

import asyncio
import ipaddress
import socket
import threading
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager, suppress
from pathlib import Path
from typing import Any

import aiohttp
import pytest
from aiohttp import web
from aiohttp.abc import AbstractResolver, ResolveResult

from parley.errors import RequestError
from parley.outgoing import URL_CHARS_MAX, Allowed, Outgoing, check, is_public, read_allowed

PUBLIC = "93.184.216.34"

HOSTILE = [
    "http://127.0.0.1:{port}/",
    "http://127.255.255.254:{port}/",
    "http://127.1:{port}/",
    "http://2130706433:{port}/",
    "http://0x7f000001:{port}/",
    "http://0x7f.1:{port}/",
    "http://0177.0.0.1:{port}/",
    "http://017700000001:{port}/",
    "http://127.0.0.1.:{port}/",
    "http://0.0.0.0:{port}/",
    "http://0:{port}/",
    "http://①②⑦.⓪.⓪.①:{port}/",
    "http://127。0。0。1:{port}/",
    "http://%31%32%37.0.0.1:{port}/",
    "http://[::1]:{port}/",
    "http://[0:0:0:0:0:0:0:1]:{port}/",
    "http://[::]:{port}/",
    "http://[::ffff:127.0.0.1]:{port}/",
    "http://[::ffff:7f00:1]:{port}/",
    "http://[::127.0.0.1]:{port}/",
    "http://[::ffff:0:127.0.0.1]:{port}/",
    "http://[64:ff9b::7f00:1]:{port}/",
    "http://[64:ff9b:1::7f00:1]:{port}/",
    "http://[2002:7f00:1::]:{port}/",
    "http://[2001:0:7f00:1::80ff:fffe]:{port}/",
    "http://[fe80::1%25lo]:{port}/",
    "http://localhost:{port}/",
    "http://LOCALHOST:{port}/",
    "http://localhost.:{port}/",
    "http://inside.test:{port}/",
    "http://mixed.test:{port}/",
    "http://mapped.test:{port}/",
    "http://public.test@127.0.0.1:{port}/",
    "http://@127.0.0.1:{port}/",
    "http://127.0.0.1:{port}#@public.test/",
    "http://127.0.0.1:{port}\\@public.test/",
    "http://127.0.0.1\t:{port}/",
    "http:\\\\127.0.0.1:{port}/",
    "//127.0.0.1:{port}/",
    "ftp://127.0.0.1:{port}/",
    "gopher://127.0.0.1:{port}/_x",
    "file:///etc/passwd",
    "http://169.254.169.254/latest/meta-data/",
    "http://[fd00:ec2::254]/latest/meta-data/",
    "http://168.63.129.16/metadata",
    "http://192.0.0.192/latest/",
    "http://100.100.100.200/latest/meta-data/",
    "http://10.0.0.1/",
    "http://192.168.0.1/",
    "http://[fc00::1]/",
    "http://224.0.0.1/",
    "http://255.255.255.255/",
]

HERE = (
    "//127.",
    "//[::1]",
    "//[::]",
    "//[::ffff:1",
    "//0.0.0.0",
    "localhost",
    "LOCALHOST",
    "inside.",
    "mapped.",
    "@127.",
)
"""Spellings that lead to this machine and nowhere else, so that they may be called without the guard."""

NAMES = {
    "public.test": [PUBLIC],
    "inside.test": ["127.0.0.1"],
    "mixed.test": [PUBLIC, "127.0.0.1"],
    "mapped.test": ["::ffff:127.0.0.1"],
    "localhost": ["127.0.0.1", "::1"],
    "localhost.": ["127.0.0.1", "::1"],
}


class Names(AbstractResolver):
    """Answers from a table, and counts. What a name leads to may change with each question."""

    def __init__(self, names: dict[str, list[str]] | None = None, then: dict[str, list[str]] | None = None) -> None:
        self._names = dict(NAMES if names is None else names)
        self._then = then or {}
        self.asked: list[str] = []

    async def resolve(
        self, host: str, port: int = 0, family: socket.AddressFamily = socket.AF_INET
    ) -> list[ResolveResult]:
        self.asked.append(host)
        if host not in self._names:
            raise OSError(f"no such name: {host}")
        found = self._names[host]
        self._names[host] = self._then.get(host, found)
        return [
            ResolveResult(
                hostname=host,
                host=address,
                port=port,
                family=socket.AF_INET6 if ":" in address else socket.AF_INET,
                proto=0,
                flags=socket.AI_NUMERICHOST,
            )
            for address in found
        ]

    async def close(self) -> None:
        pass


class Canary:
    """Whoever connects is counted, and answered."""

    def __init__(self) -> None:
        self.accepted = 0
        self.port = 0

    async def answer(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        self.accepted += 1
        with suppress(ConnectionError):
            writer.write(b"HTTP/1.1 200 OK\r\nContent-Length: 2\r\nConnection: close\r\n\r\nok")
            await writer.drain()
        writer.close()


@pytest.fixture
async def canary() -> AsyncIterator[Canary]:
    """On every IPv4 and IPv6 address of the machine, at one port."""
    canary = Canary()
    both = socket.create_server(("::", 0), family=socket.AF_INET6, dualstack_ipv6=True)
    server = await asyncio.start_server(canary.answer, sock=both)
    canary.port = both.getsockname()[1]
    yield canary
    server.close()
    await server.wait_closed()


@asynccontextmanager
async def guarded(allowed: str = "", names: Names | None = None, **more: Any) -> AsyncIterator[Outgoing]:
    outgoing = Outgoing(read_allowed(allowed), resolver=names or Names(), connect_s=2.0, total_s=4.0, **more)
    try:
        yield outgoing
    finally:
        await outgoing.close()


async def status(outgoing: Outgoing, url: str, **more: Any) -> int:
    async with outgoing.request("GET", url, **more) as response:
        return response.status


# ---- no connection


async def test_hostile_urls_reach_nothing(canary: Canary) -> None:
    assert len(HOSTILE) >= 20
    async with guarded() as outgoing:
        for url in HOSTILE:
            with pytest.raises(RequestError) as caught:
                await status(outgoing, url.format(port=canary.port))
            assert caught.value.code == "url_not_allowed", url
    await asyncio.sleep(0.05)
    assert canary.accepted == 0


async def test_the_canary_sings_for_whoever_is_not_guarded(canary: Canary) -> None:
    """So that silence above means something."""
    reached = 0
    async with guarded() as outgoing:
        for url in HOSTILE:
            if "://" in url and any(here in url for here in HERE):
                with suppress(aiohttp.ClientError, ValueError, TimeoutError):
                    reached += await status(outgoing, url.format(port=canary.port), trusted=True) == 200
    assert reached >= 10
    assert canary.accepted >= reached


async def test_a_name_is_asked_for_once_and_cannot_change_its_mind(
    canary: Canary, monkeypatch: pytest.MonkeyPatch
) -> None:
    went: list[str] = []

    def stay_here(self: Outgoing, info: aiohttp.AddrInfoType) -> socket.socket:
        went.append(str(info[4][0]))
        raise OSError("tests leave this machine alone")

    monkeypatch.setattr(Outgoing, "_socket", stay_here)
    names = Names({"rebind.test": [PUBLIC]}, then={"rebind.test": ["127.0.0.1"]})
    async with guarded(names=names) as outgoing:
        with pytest.raises(aiohttp.ClientConnectorError):
            await status(outgoing, f"http://rebind.test:{canary.port}/")
        assert (names.asked, went) == (["rebind.test"], [PUBLIC]), "asked once, and gone where the answer led"
        with pytest.raises(RequestError, match="public"):
            await status(outgoing, f"http://rebind.test:{canary.port}/")
    assert went == [PUBLIC]
    assert canary.accepted == 0


async def test_the_socket_itself_refuses(canary: Canary, monkeypatch: pytest.MonkeyPatch) -> None:
    """Even if everything that reads URLs and names were fooled."""
    monkeypatch.setattr(Outgoing, "vet_all", lambda self, found: None)
    monkeypatch.setattr(Outgoing, "_vet", lambda self, address: None)
    async with guarded() as outgoing:
        for host in ("127.0.0.1", "[::1]", "[::ffff:127.0.0.1]", "inside.test", "mapped.test", "localhost"):
            with pytest.raises(aiohttp.ClientConnectorError, match="not a public address"):
                await status(outgoing, f"http://{host}:{canary.port}/")
    assert canary.accepted == 0


async def test_redirects_are_not_followed(canary: Canary) -> None:
    async def away(request: web.Request) -> web.Response:
        raise web.HTTPFound(f"http://127.0.0.1:{canary.port}/")

    async with receiver(away) as port, guarded("127.0.0.0/8") as outgoing:
        assert await status(outgoing, f"http://127.0.0.1:{port}/") == 302
    assert canary.accepted == 0


@asynccontextmanager
async def receiver(handle: Any) -> AsyncIterator[int]:
    app = web.Application()
    app.router.add_route("*", "/{path:.*}", handle)
    runner = web.AppRunner(app)
    await runner.setup()
    site = web.TCPSite(runner, "127.0.0.1", 0)
    await site.start()
    yield runner.addresses[0][1]
    await runner.cleanup()


async def test_the_systems_own_names(canary: Canary) -> None:
    outgoing = Outgoing()
    for host in ("localhost", "LocalHost"):
        with pytest.raises(RequestError, match="public"):
            await status(outgoing, f"http://{host}:{canary.port}/")
    assert canary.accepted == 0
    await outgoing.close()
    outgoing = Outgoing(read_allowed("127.0.0.0/8, ::1"))
    assert await status(outgoing, f"http://localhost:{canary.port}/") == 200
    await outgoing.close()


async def test_a_slow_name_server_keeps_only_those_waiting_whom_others_name(
    canary: Canary, monkeypatch: pytest.MonkeyPatch
) -> None:
    ask, wake = socket.getaddrinfo, threading.Event()

    def slow(host: str, *args: Any, **kwargs: Any) -> Any:
        if threading.current_thread().name.startswith("resolve"):
            wake.wait(20)
        return ask("127.0.0.1", *args, **kwargs)

    monkeypatch.setattr(socket, "getaddrinfo", slow)
    outgoing = Outgoing(connect_s=5.0, total_s=0.5)
    waiting = [asyncio.create_task(status(outgoing, f"http://{n}.slow.test:{canary.port}/")) for n in range(50)]
    await asyncio.sleep(0.05)
    assert await status(outgoing, f"http://operators.test:{canary.port}/", trusted=True) == 200
    assert await asyncio.to_thread(lambda: "free") == "free"
    results = await asyncio.gather(*waiting, return_exceptions=True)
    assert {type(result) for result in results} <= {TimeoutError, aiohttp.ConnectionTimeoutError}
    wake.set()
    await outgoing.close()
    assert canary.accepted == 1


# ---- what the operator allows


@pytest.mark.parametrize("allowed", ["127.0.0.0/8", "127.0.0.1", "10.0.0.0/8, 127.0.0.0/8", "inside.test"])
async def test_allowed_networks_and_names(canary: Canary, allowed: str) -> None:
    async with guarded(allowed) as outgoing:
        assert await status(outgoing, f"http://inside.test:{canary.port}/") == 200
        with pytest.raises(RequestError, match="public"):
            await status(outgoing, f"http://[::1]:{canary.port}/")


async def test_an_allowed_name_allows_no_address(canary: Canary) -> None:
    async with guarded("inside.test") as outgoing:
        assert await status(outgoing, f"http://inside.test:{canary.port}/") == 200
        for host in ("127.0.0.1", "localhost", "mapped.test"):
            with pytest.raises(RequestError, match="public"):
                await status(outgoing, f"http://{host}:{canary.port}/")
    assert canary.accepted == 1


async def test_what_the_operator_names_is_not_looked_at(canary: Canary) -> None:
    async with guarded() as outgoing:
        assert await status(outgoing, f"http://127.0.0.1:{canary.port}/", trusted=True) == 200


def test_the_setting_is_read() -> None:
    assert read_allowed("") == Allowed()
    read = read_allowed(" 10.0.0.0/8,fd00::/8 , MCP.internal,localhost")
    assert read.networks == (ipaddress.ip_network("10.0.0.0/8"), ipaddress.ip_network("fd00::/8"))
    assert read.names == {"mcp.internal", "localhost"}


@pytest.mark.parametrize("listed", ["10.0.0.1/8", "10.0.0.0/99", "http://x", "a b", "*", "127.1", "0x7f000001", "-x"])
def test_a_wrong_setting_is_refused(listed: str) -> None:
    with pytest.raises(ValueError, match="neither a network"):
        read_allowed(listed)


# ---- rules


@pytest.mark.parametrize(
    "url",
    [
        "https://hooks.example/parley?token=1",
        "http://93.184.216.34/",
        "https://bücher.example:8443/x",
        "HTTP://A.EXAMPLE",
    ],
)
def test_ordinary_urls(url: str) -> None:
    assert check(url).scheme in ("http", "https")


@pytest.mark.parametrize("port", [0, 22, 25, 445, 1_023, 65_536])
def test_ports_of_other_services(port: int) -> None:
    with pytest.raises(RequestError) as caught:
        check(f"http://hooks.example:{port}/")
    assert caught.value.code == "url_not_allowed"


def test_lengths() -> None:
    start = "https://hooks.example/"
    check(start + "x" * (URL_CHARS_MAX - len(start)))
    with pytest.raises(RequestError, match="at most 2048"):
        check(start + "x" * (URL_CHARS_MAX - len(start) + 1))


SPECIAL = (
    "0.0.0.0/8 10.0.0.0/8 100.64.0.0/10 127.0.0.0/8 169.254.0.0/16 172.16.0.0/12 192.0.0.0/24 192.0.2.0/24 "
    "192.168.0.0/16 198.18.0.0/15 198.51.100.0/24 203.0.113.0/24 224.0.0.0/4 240.0.0.0/4 255.255.255.255/32 "
    "::/128 ::1/128 ::/96 ::ffff:0:0/96 64:ff9b::/96 64:ff9b:1::/48 100::/64 2001::/32 2001:2::/48 2001:db8::/32 "
    "2002::/16 fc00::/7 fe80::/10 fec0::/10 ff00::/8"
).split()
"""The special-purpose registries of IANA, and what wraps IPv4."""


@pytest.mark.parametrize("network", SPECIAL)
def test_special_networks_are_not_public(network: str) -> None:
    whole = ipaddress.ip_network(network)
    for address in (whole[0], whole[-1], whole[whole.num_addresses // 2]):
        assert not is_public(address), address


@pytest.mark.parametrize(
    ("address", "public"),
    [
        ("1.1.1.1", True),
        ("172.15.255.255", True),
        ("172.32.0.0", True),
        ("2606:4700:4700::1111", True),
        ("2a00:1450:4001::5efe:7f00:1", False),
        ("2a00:1450:4001:0:200:5efe:7f00:1", False),
        ("168.63.129.16", False),
    ],
)
def test_public_addresses(address: str, public: bool) -> None:
    assert is_public(ipaddress.ip_address(address)) is public


def test_nobody_else_fetches_what_others_name() -> None:
    """Who opens connections besides this guard goes to addresses of the operator's settings."""
    root = Path(__file__).resolve().parent.parent / "parley"
    opening = {
        str(path.relative_to(root)) for path in root.rglob("*.py") if "ClientSession(" in path.read_text("utf-8")
    }
    assert "outgoing.py" in opening
    assert not any(name.startswith(("webhooks/", "web/")) for name in opening)
