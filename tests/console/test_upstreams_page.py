"""The page of upstreams: who answers, how they do, and a real question to each."""

import time
from collections.abc import Iterator
from pathlib import Path

import pytest
from playwright.sync_api import Browser, Locator, Page, expect

from tests.conftest import Server, running_server
from tests.console.conftest import Launch, OpenTab, console_server
from tests.console.money import let_in
from tests.console.test_pages import violations
from tests.e2e.backends import Backends, running_backends

FILE = """
[[upstream]]
name = "home"
url = "{url}"
key_env = "HOME_KEY"

[[upstream]]
name = "away"
url = "http://127.0.0.1:9/v1"
models = ["far-voice"]

[[route]]
model = "house-voice"
policy = "weights"
fallback = "local"
targets = [{{ upstream = "home", model = "gpt-realtime-mini", weight = 3 }}, {{ upstream = "away" }}]
"""


@pytest.fixture(scope="module")
def backends() -> Iterator[Backends]:
    with running_backends() as backends:
        yield backends


@pytest.fixture(scope="module")
def front(built: Path, backends: Backends, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Server]:
    place = tmp_path_factory.mktemp("upstreams")
    (place / "behind").mkdir()
    with running_server(place / "behind", env=backends.env()) as behind:
        file = place / "parley.toml"
        file.write_text(FILE.format(url=behind.base_url))
        settings = backends.env(PARLEY_CONFIG=str(file), HOME_KEY=behind.key)
        with console_server(place / "front", None, **settings) as server:
            yield server


@pytest.fixture(scope="module")
def browser(launch: Launch) -> Browser:
    return launch()


def card(page: Page, name: str) -> Locator:
    return page.get_by_role("region", name=name, exact=True)


def test_an_admin_sees_them_and_asks_them(front: Server, browser: Browser, open_tab: OpenTab) -> None:
    tab = open_tab(browser, front)
    page = tab.open()
    tab.go("upstreams")
    home, away = card(page, "home"), card(page, "away")
    expect(home).to_contain_text("in use")
    route = home.get_by_role("row", name="house-voice")
    for words in ("gpt-realtime-mini", "by weight", "this server"):
        expect(route).to_contain_text(words)
    expect(home.get_by_role("row", name="every other")).to_contain_text("none")
    expect(away.get_by_role("row", name="far-voice")).to_be_visible()
    page.get_by_role("button", name="Test home").click()
    expect(home.get_by_role("status")).to_contain_text("“Hello there.”")
    page.get_by_role("button", name="Test away").click()
    expect(away.get_by_role("status")).to_contain_text("backend_unavailable")
    assert violations(page) == []
    page.set_viewport_size({"width": 390, "height": 844})
    assert page.evaluate("document.scrollingElement.scrollWidth") <= 390
    assert violations(page) == []


def test_who_is_no_admin_sees_nothing_of_them(front: Server, browser: Browser, open_tab: OpenTab) -> None:
    admin = open_tab(browser, front)
    admin.open()
    link = let_in(admin, f"{time.time_ns()}@example.org")
    page = open_tab(browser, front).page
    page.goto(link)
    page.wait_for_selector("nav")
    expect(page.locator("nav a[href='/console/upstreams']")).to_have_count(0)
    page.goto(f"{front.url}/console/upstreams")
    expect(page.get_by_role("heading", name="For admins")).to_be_visible()
    expect(page.locator("body")).not_to_contain_text("far-voice")


def test_a_server_without_upstreams_says_how_to_have_one(
    built: Path, browser: Browser, open_tab: OpenTab, backends: Backends, tmp_path: Path
) -> None:
    with console_server(tmp_path / "home", None, **backends.env()) as server:
        tab = open_tab(browser, server)
        page = tab.open()
        tab.go("upstreams")
        expect(page.get_by_text("PARLEY_UPSTREAM_URL")).to_be_visible()
        page.close()
