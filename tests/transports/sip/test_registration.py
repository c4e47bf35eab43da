"""We register at a provider, which SIPp plays; then its calls are taken, and nobody else's."""

from pathlib import Path

import pytest

from parley.transports.sip.trunks import Number, Registration, Trunk
from tests.transports.sip.booth import SCENARIOS, booth, free_port, needs_sipp, running, sipp, until

pytestmark = needs_sipp


def trunk(port: int, password: str, transport: str) -> Trunk:
    server = f"sip:127.0.0.1:{port};transport={transport}"
    login = Registration(server=server, username="parley", password=password)
    return Trunk(name="provider", number=(Number(number="*"),), register=login)


@pytest.mark.parametrize("transport", ["udp", "tcp"])
@pytest.mark.parametrize("password", ["secret", "wrong"])
async def test_registering(transport: str, password: str, tmp_path: Path) -> None:
    port = free_port()
    command = (
        "sipp",
        "-sf",
        str(SCENARIOS / "registrar.xml"),
        "-i",
        "127.0.0.1",
        "-p",
        str(port),
        "-m",
        "1",
        "-nostdin",
    )
    async with running(*command, "-t", "u1" if transport == "udp" else "t1", cwd=tmp_path) as provider:
        await until(lambda: _listens(port, transport))
        async with booth(trunk(port, password, transport)) as door:
            assert door.phones.registrations == {"provider": False}
            await provider.wait()
            if password == "wrong":
                assert door.phones.registrations == {"provider": False}
                return
            await until(lambda: door.phones.registrations == {"provider": True})
            await sipp(door.udp, "basic", tmp_path)
            assert len(door.sessions) == 1


async def test_a_provider_that_is_not_there() -> None:
    async with booth(trunk(free_port(), "secret", "tcp")) as door:
        assert door.phones.registrations == {"provider": False}
        await until(lambda: door.phones.desk.of("127.0.0.1", "udp"))


def _listens(port: int, transport: str) -> bool:
    """Whether a socket of this machine has the port."""
    table = Path(f"/proc/net/{transport}").read_text()
    return f":{port:04X} " in table
