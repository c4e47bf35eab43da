"""The server goes and comes back, the page is reloaded: nothing that was said is lost, nothing is left behind."""

import os
import signal
import time
from pathlib import Path

import httpx
import pytest
from playwright.sync_api import expect

from tests.conftest import Server, free_port
from tests.console.conftest import Launch, OpenTab, Tab, console_server
from tests.console.test_talk import SPOKEN, TOOL, TRANSPORTS

RECONNECT_MS_MAX = 3_000
"""From the moment that the server is ready again."""
BUSY = 10
pytestmark = pytest.mark.timeout(180)  # each starts two servers and speaks in real time
AWAY = ("ERR_CONNECTION", "WebSocket")
"""What Chromium says about a server that is gone."""


def kill(server: Server) -> None:
    """No word to anybody: no close frame, no farewell to the calls."""
    os.kill(server.pid, signal.SIGKILL)


@pytest.mark.parametrize("transport", TRANSPORTS)
def test_a_sentence_survives_the_server(
    transport: str, launch: Launch, open_tab: OpenTab, one_sentence: Path, tmp_path: Path
) -> None:
    port = free_port()
    with console_server(tmp_path / "home", port) as server:
        tab = open_tab(launch(one_sentence), server)
        tab.expected = AWAY
        page = tab.open(transport=transport, instructions='Always say "It was indeed."')
        page.click("button.start")
        tab.wait("talk.transcript.messages.some(({ state }) => state === 'listening')")
        first = tab.talk("talk.sessionId")
        kill(server)
        killed = time.monotonic()
    with console_server(tmp_path / "home", port):
        ready = time.monotonic()
        tab.wait(f"talk.live && talk.sessionId && talk.sessionId !== '{first}'", 60)
        took_ms = (time.monotonic() - ready) * 1_000
        print(f"{transport}: away for {ready - killed:.1f} s, connected {took_ms:.0f} ms after the server was ready")
        assert took_ms < RECONNECT_MS_MAX * BUSY
        expect(page.locator("parley-transcript li.user .text")).to_contain_text(SPOKEN, timeout=20_000)
        tab.wait("talk.turns.last?.status === 'completed'", 30)
        page.get_by_role("button", name="End", exact=True).click()


@pytest.mark.parametrize("transport", TRANSPORTS)
def test_what_was_written_and_called_survives_the_server(
    transport: str, launch: Launch, open_tab: OpenTab, silent: Path, tmp_path: Path
) -> None:
    port = free_port()
    with console_server(tmp_path / "home", port) as server:
        tab = open_tab(launch(silent), server)
        tab.expected = AWAY
        page = tab.open(transport=transport, tools=TOOL, turn={"type": "none"}, output="text")
        page.click("button.start")
        tab.wait("talk.live")
        page.fill("textarea[name=text]", "My name is Ada.")
        page.keyboard.press("Enter")
        tab.wait("talk.turns.last?.status === 'completed'")
        page.fill("textarea[name=text]", "What is the weather in Paris?")
        page.keyboard.press("Enter")
        expect(page.locator("parley-transcript form")).to_be_visible()
        tab.wait("!talk.responding")
        kill(server)
        tab.wait("talk.state === 'reconnecting'", 30)
        page.fill("parley-transcript textarea", '{"sky": "snow"}')
        page.get_by_role("button", name="Send answer").click()
    with console_server(tmp_path / "home", port):
        tab.wait("talk.live", 60)
        expect(page.locator("parley-transcript li.assistant .text").last).to_contain_text("snow", timeout=15_000)
        page.fill("textarea[name=text]", "What is my name?")
        page.keyboard.press("Enter")
        expect(page.locator("parley-transcript li.assistant .text").last).to_contain_text("Ada", timeout=15_000)
        assert tab.talk("talk.problem") is None
        page.get_by_role("button", name="End", exact=True).click()


@pytest.mark.parametrize("transport", TRANSPORTS)
def test_a_reload_ends_the_call(transport: str, launch: Launch, open_tab: OpenTab, silent: Path) -> None:
    tab = open_tab(launch(silent))
    page = tab.open(transport=transport)
    seen: list[str] = []
    for _ in range(2):
        page.click("button.start")
        tab.wait("talk.live")
        page.fill("textarea[name=text]", "Hello")
        page.keyboard.press("Enter")
        tab.wait("talk.turns.last?.stamps.firstPlayed")
        seen.append(tab.talk("talk.sessionId"))
        page.reload()
        page.wait_for_selector("button.start")
        deadline = time.monotonic() + 10
        while live(tab):
            assert time.monotonic() < deadline, "the call outlived its page"
            time.sleep(0.05)
    assert len(set(seen)) == 2


def live(tab: Tab) -> int:
    """Sessions that the server has now."""
    return int(httpx.get(f"{tab.server.url}/health").json()["sessions"])
