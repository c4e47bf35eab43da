"""The Phone page: trunks, calls, a call's ladder, announcements; with a call that is made here."""

import asyncio
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any, NamedTuple

import pytest
from playwright.sync_api import Browser, ViewportSize, expect

from tests.conftest import Server
from tests.console.conftest import Launch, OpenTab, console_server
from tests.console.money import row
from tests.console.test_pages import violations
from tests.transports.sip.raw import caller
from tests.webhooks.receivers import SECRET, receiving, with_status
from tests.webhooks.telephone import free_port

PHONE: ViewportSize = {"width": 390, "height": 844}
TRUNKS = """
[[trunk]]
name = "office"
addresses = ["127.0.0.1", "10.0.0.0/8"]
minute_micro = 20000

[[trunk.number]]
number = "100"
session = { type = "realtime" }
greeting = "Good day."

[[trunk.number]]
number = "+4930*"

[[trunk]]
name = "provider"
username = "them"
password = "secret"
register = { server = "sip:127.0.0.1:9", username = "parley", password = "secret" }
"""


class Exchange(NamedTuple):
    server: Server
    sip_port: int


@pytest.fixture(scope="module")
def exchange(built: Path, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Exchange]:
    """A server that was called twice: one call is over, the other was announced to somebody who wants none."""
    home, sip_port = tmp_path_factory.mktemp("phone"), free_port()
    trunks = home / "trunks.toml"
    trunks.write_text(TRUNKS)
    settings: dict[str, Any] = {
        "PARLEY_SIP_PORT": str(sip_port),
        "PARLEY_SIP_TRUNKS": str(trunks),
        "PARLEY_WEBHOOK_SECRET": SECRET,
        "PARLEY_WEBHOOK_URL": f"http://127.0.0.1:{(hooks := free_port())}/hooks",
    }
    with console_server(home / "home", **settings) as server, ThreadPoolExecutor(1) as elsewhere:
        # In this thread may run the loop of Playwright.
        elsewhere.submit(lambda: asyncio.run(call_twice(sip_port, hooks))).result()
        yield Exchange(server, sip_port)


async def call_twice(sip_port: int, hooks: int) -> None:
    async with receiving(hooks) as receiver, caller(sip_port) as ann, caller(sip_port) as bob:
        receiver.answer = with_status(410)
        await ann.call()
        ann.speak(50)
        ann.say("INFO", 2, "Signal=7\r\nDuration=160\r\n", kind="application/dtmf-relay")
        await ann.line.wait("200 OK", 2)
        ann.say("BYE", 3)
        await ann.line.wait("200 OK", 3)
        bob.say("INVITE", 1, bob.sdp(), target="+4930123")
        await bob.line.wait("180")
        while not receiver.received:
            await asyncio.sleep(0.01)
        bob.say("CANCEL", 1, branch=f"z9hG4bKINVITE1{bob.name}")
        await bob.line.wait("487")


@pytest.fixture(scope="module")
def browser(launch: Launch) -> Browser:
    return launch()


@pytest.mark.parametrize("scheme", ["light", "dark"])
def test_calls_and_their_messages(scheme: str, browser: Browser, open_tab: OpenTab, exchange: Exchange) -> None:
    tab = open_tab(browser, exchange.server, color_scheme=scheme)
    page = tab.open("phone")
    expect(page.get_by_text(f"UDP {exchange.sip_port}")).to_be_visible()
    expect(page.get_by_text("not registered")).to_be_visible()
    expect(row(page, "+4930*")).to_contain_text("the webhook of all")
    expect(row(page, "cancelled")).to_be_visible()
    expect(row(page, "realtime.call.incoming")).to_contain_text("410")
    found = {"all": violations(page)}
    row(page, "hung up by the caller").get_by_role("link").click()
    expect(page.get_by_label("Keys", exact=True)).to_contain_text("7")
    expect(page.get_by_text("0 of 50 packets lost")).to_be_visible()
    page.get_by_role("button", name="INVITE, from the caller").click()
    expect(page.get_by_role("region", name="The message")).to_contain_text("Call-ID:")
    found["call"] = violations(page)
    page.set_viewport_size(PHONE)
    assert page.evaluate("document.scrollingElement.scrollWidth") <= PHONE["width"]
    found["call on a phone"] = violations(page)
    page.get_by_role("link", name="All calls").click()
    assert page.evaluate("document.scrollingElement.scrollWidth") <= PHONE["width"]
    found["all on a phone"] = violations(page)
    assert {name: what for name, what in found.items() if what} == {}
    assert "secret" not in page.content()


def test_an_announcement_is_sent_again(browser: Browser, open_tab: OpenTab, exchange: Exchange) -> None:
    page = open_tab(browser, exchange.server).open("phone")
    announced = row(page, "realtime.call.incoming")
    expect(announced).to_contain_text("failed")
    announced.get_by_role("button", name="Announce").click()
    expect(page.get_by_text("It is announced again")).to_be_visible()
    expect(announced).to_contain_text("unreachable", timeout=10_000)


def test_without_a_door_the_page_says_how_to_open_one(browser: Browser, open_tab: OpenTab, console: Server) -> None:
    page = open_tab(browser, console).open("phone")
    expect(page.get_by_text("PARLEY_SIP_PORT=5060")).to_be_visible()
