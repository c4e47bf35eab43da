"""What the page says when something is missing, and how it finds its way back."""

from pathlib import Path

import pytest
from playwright.sync_api import expect

from tests.conftest import free_port
from tests.console.conftest import Launch, OpenTab, console_server
from tests.console.test_talk import TRANSPORTS


def test_no_microphone_is_no_reason_not_to_talk(launch: Launch, open_tab: OpenTab) -> None:
    tab = open_tab(launch())
    page = tab.open(output="text")
    page.click("button.start")
    expect(page.get_by_role("alert")).to_contain_text("No microphone was found")
    page.fill("textarea[name=text]", "Hello")
    page.keyboard.press("Enter")
    tab.wait("talk.turns.last?.status === 'completed'")


def test_a_blocked_microphone(launch: Launch, open_tab: OpenTab, one_sentence: Path) -> None:
    tab = open_tab(launch(one_sentence, allow=False))
    page = tab.open()
    page.click("button.start")
    expect(page.get_by_role("alert")).to_contain_text("blocked")
    expect(page.get_by_role("alert")).to_contain_text("address bar")


@pytest.mark.parametrize("transport", TRANSPORTS)
def test_a_page_that_is_not_secure_can_still_write(
    transport: str, launch: Launch, open_tab: OpenTab, silent: Path
) -> None:
    """Opened by a name over plain HTTP: no microphone, no camera, no worklets."""
    browser = launch(silent, "--host-resolver-rules=MAP console.example 127.0.0.1")
    tab = open_tab(browser)
    tab.server = tab.server._replace(url=tab.server.url.replace("127.0.0.1", "console.example"))
    tab.expected = ("Cross-Origin-Opener-Policy",)
    page = tab.open(output="text", transport=transport)
    assert not page.evaluate("isSecureContext")
    page.click("button.start")
    expect(page.get_by_role("alert")).to_contain_text("secure pages only")
    expect(page.get_by_role("alert")).to_contain_text("--tls local")
    tab.wait("talk.live")
    page.fill("textarea[name=text]", "Hello")
    page.keyboard.press("Enter")
    tab.wait("talk.turns.last?.status === 'completed'")


def test_no_way_through_the_network(launch: Launch, open_tab: OpenTab, silent: Path, tmp_path: Path) -> None:
    """The server names an address at which nobody is (RFC 5737)."""
    with console_server(tmp_path / "home", PARLEY_RTC_ADDRESSES="192.0.2.1") as server:
        tab = open_tab(launch(silent), server)
        page = tab.open(transport="webrtc")
        page.click("button.start")
        expect(page.get_by_role("alert")).to_contain_text("No way through the network", timeout=30_000)
        expect(page.get_by_role("alert")).to_contain_text("UDP port")
        assert tab.talk("talk.state") == "idle"
        page.get_by_role("radio", name="WebSocket").click()
        page.get_by_role("button", name="Start talking").click()
        tab.wait("talk.live")
        page.get_by_role("button", name="End", exact=True).click()


def test_a_server_that_is_not_there(launch: Launch, open_tab: OpenTab, silent: Path, tmp_path: Path) -> None:
    with console_server(tmp_path / "home") as server:
        tab = open_tab(launch(silent), server)
        page = tab.open()
    tab.expected = ("ERR_CONNECTION",)
    page.click("button.start")
    expect(page.get_by_role("alert")).to_contain_text("Parley cannot be reached")
    expect(page.get_by_role("alert")).to_contain_text("parley serve")
    assert tab.talk("talk.state") == "idle"


def test_wrong_tools_are_named_before_anything_is_called(launch: Launch, open_tab: OpenTab) -> None:
    tab = open_tab(launch())
    page = tab.open(tools="[{]")
    page.click("button.start")
    expect(page.get_by_role("alert").first).to_contain_text("not valid")
    assert tab.talk("talk.state") == "idle"


def test_a_server_that_comes_back_is_found_again(
    launch: Launch, open_tab: OpenTab, one_sentence: Path, tmp_path: Path
) -> None:
    port = free_port()
    with console_server(tmp_path / "home", port) as server:
        tab = open_tab(launch(one_sentence), server)
        page = tab.open(output="text", turn={"type": "none"})
        page.click("button.start")
        tab.wait("talk.live")
        page.fill("textarea[name=text]", "My name is Ada.")
        page.keyboard.press("Enter")
        tab.wait("talk.turns.last?.status === 'completed'")
        first = tab.talk("talk.sessionId")
    tab.wait("talk.state === 'reconnecting'")
    expect(page.get_by_role("alert")).to_contain_text("connection to Parley was lost")
    with console_server(tmp_path / "home", port):
        tab.wait("talk.state === 'live'", 15)
        assert tab.talk("talk.sessionId") != first
        expect(page.locator("parley-transcript")).to_contain_text("Connected again")
        handed = tab.talk(
            "talk.events.rows.filter((row) => row.direction === 'out' && row.text.includes('item_restored')).length"
        )
        assert handed == 2, "what both said was handed over"
        page.get_by_role("button", name="End", exact=True).click()
    tab.complaints = [line for line in tab.complaints if "ERR_CONNECTION" not in line and "WebSocket" not in line]
