"""The telephone as the management API shows it, on a real server with a real webhook receiver."""

import asyncio
import json
from pathlib import Path
from typing import Any

from tests.conftest import MakeServer, Server
from tests.security.test_matrix import send
from tests.transports.sip.booth import until
from tests.transports.sip.raw import Caller, caller
from tests.webhooks.receivers import SECRET, receiving, with_status
from tests.webhooks.telephone import free_port

TRUNKS = """
[[trunk]]
name = "here"
addresses = ["127.0.0.1"]
minute_micro = 5

[[trunk.number]]
number = "100"
session = { type = "realtime" }
greeting = "Good day."

[[trunk.number]]
number = "2*"

[[trunk]]
name = "provider"
register = { server = "sip:127.0.0.1:9", username = "parley", password = "very secret" }
username = "them"
password = "also secret"
"""


async def ask(server: Server, method: str, path: str, status: int = 200) -> Any:
    headers = {"authorization": f"Bearer {server.key}"}
    answer = await asyncio.to_thread(send, server, method, path, headers, b"{}")
    assert answer.status == status, answer
    assert "secret" not in answer.body
    return json.loads(answer.body)


async def test_without_a_door_there_is_nothing(server: Server) -> None:
    assert await ask(server, "GET", "/api/phone") == {"ports": {}, "trunks": [], "calls": []}
    await ask(server, "GET", "/api/phone/calls/rtc_nothing", 404)
    await ask(server, "POST", "/api/webhooks/wh_nothing/replay", 404)


async def test_calls_and_announcements(make_server: MakeServer, tmp_path: Path) -> None:
    port, trunks = free_port(), tmp_path / "trunks.toml"
    trunks.write_text(TRUNKS)
    async with receiving() as receiver, caller(port) as ann, caller(port) as bob:
        receiver.answer = with_status(410)
        server = await asyncio.to_thread(
            make_server,
            PARLEY_SIP_PORT=str(port),
            PARLEY_SIP_TRUNKS=str(trunks),
            PARLEY_WEBHOOK_URL=f"{receiver.url}?token=secret",
            PARLEY_WEBHOOK_SECRET=SECRET,
        )
        await ann.call()
        ann.speak(20)
        ann.say("INFO", 2, "Signal=7\r\nDuration=160\r\n", kind="application/dtmf-relay")
        await ann.line.wait("200 OK", 2)
        phone = await ask(server, "GET", "/api/phone")
        here, provider = phone["trunks"]
        assert phone["ports"]["udp"] == port
        assert (here["calls"], here["minute_micro"], here["password"], here["registered"]) == (1, 5, False, None)
        assert [(number["answer"], number["greeting"]) for number in here["numbers"]] == [
            ("session", True), ("settings", False),
        ]  # fmt: skip
        assert (provider["password"], provider["registered"]) == (True, False)
        (call,) = phone["calls"]
        assert (call["state"], call["trunk"], call["ended_at"]) == ("talking", "here", None)
        await check_detail(server, call["id"])
        ann.say("BYE", 3)
        await ann.line.wait("200 OK", 3)
        over = await ask(server, "GET", f"/api/phone/calls/{call['id']}")
        assert over["call"]["reason"] == "hung up by the caller"
        assert [rung["title"] for rung in over["ladder"][-2:]] == ["BYE", "200 OK (BYE)"]
        await announce_twice(server, bob, receiver.received)


async def check_detail(server: Server, id: str) -> None:
    detail = await ask(server, "GET", f"/api/phone/calls/{id}")
    assert [press["key"] for press in detail["keys"]] == ["7"]
    assert detail["codec"] == "PCMU"
    assert (detail["heard"]["packets"], detail["heard"]["lost"]) == (20, 0)
    assert 3.5 < detail["heard"]["mos"] <= 4.5
    assert [rung["title"] for rung in detail["ladder"]][:4] == [
        "INVITE", "180 Ringing (INVITE)", "200 OK (INVITE)", "ACK",
    ]  # fmt: skip
    assert detail["session"].startswith("sess_")


async def announce_twice(server: Server, bob: Caller, received: list[Any]) -> None:
    """The program wants no more of it, and is told again by hand."""
    bob.say("INVITE", 1, bob.sdp(), target="200")
    await until(lambda: received)
    await until_failed(server)
    (delivery,) = (await ask(server, "GET", "/api/webhooks"))["data"]
    assert (delivery["host"], delivery["outcome"], delivery["attempts"]) == ("127.0.0.1", "410", 1)
    await ask(server, "POST", f"/api/webhooks/{delivery['id']}/replay")
    await until(lambda: len(received) == 2)
    assert received[0].id == received[1].id == delivery["id"]
    assert received[0].body == received[1].body


async def until_failed(server: Server) -> None:
    async with asyncio.timeout(10):
        while (await ask(server, "GET", "/api/webhooks"))["data"][0]["state"] != "failed":
            await asyncio.sleep(0.05)
