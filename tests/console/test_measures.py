"""What the page costs and how fast it is: measured, printed, and asserted with ten times the room that it needs."""

import re
import time
from pathlib import Path

import pytest
from playwright.sync_api import Browser, Response

from tests.console.conftest import Launch, OpenTab, Tab, console_server
from tests.console.test_pages import flood
from tests.console.test_talk import TRANSPORTS

FIRST_PAINT_MS_MAX = 1_000
RATE = 200
"""Events a second, of a long call that is looked at."""
SECONDS = 6
LONG_TASK_MS_MAX = 100
HEAP_MB_MAX = 150
BUSY = 10
"""Other work may leave the browser a tenth of the machine."""
PAINT = (
    """() => performance.getEntriesByType('paint').find(({ name }) => name === 'first-contentful-paint')?.startTime"""
)
ROWS = """() => {
    // For every turn that ends: how long until its row shows the total.
    const { talk } = document.querySelector('parley-app');
    window.rows = [];
    const seen = new Set();
    const look = () => {
        const page = document.querySelector('parley-app').renderRoot.querySelector('parley-talk-page');
        const total = page.renderRoot.querySelector('parley-waterfall')?.renderRoot.querySelector('.turn:last-of-type .total');
        const turn = talk.turns.last;
        if (turn?.status === 'completed' && !seen.has(turn.n) && /s$/.test(total?.textContent ?? '')) {
            seen.add(turn.n);
            window.rows.push(performance.now() - turn.stamps.done);
        }
        requestAnimationFrame(look);
    };
    look();
}"""


@pytest.fixture(scope="module")
def browser(launch: Launch) -> Browser:
    return launch()


def test_first_paint(browser: Browser, open_tab: OpenTab) -> None:
    tab = open_tab(browser)
    tab.open()
    times = []
    for _ in range(3):
        tab.page.reload()
        tab.page.wait_for_selector("parley-talk-page")
        tab.page.wait_for_function(PAINT)
        times.append(tab.page.evaluate(PAINT))
    print(f"first paint: {', '.join(f'{time:.0f}' for time in times)} ms")
    assert min(times) < FIRST_PAINT_MS_MAX * BUSY


def test_events_at_the_pace_of_a_busy_call(browser: Browser, open_tab: OpenTab) -> None:
    tab = open_tab(browser)
    tab.open("events")
    figures = flood(tab, RATE * SECONDS, a_second=RATE)
    print(f"{RATE} events a second for {SECONDS} s: {shown(figures)}")
    assert figures["rows"] == RATE * SECONDS
    assert figures["longest"] < LONG_TASK_MS_MAX * BUSY


def test_twelve_thousand_events_weigh_little(browser: Browser, open_tab: OpenTab) -> None:
    tab = open_tab(browser)
    tab.open("events")
    figures = flood(tab, 12_000, a_second=3_000)
    heap_mb = heap_bytes(tab) / 1e6
    print(f"12,000 events, 3,000 a second: {shown(figures)}, heap {heap_mb:.0f} MB")
    assert figures["longest"] < LONG_TASK_MS_MAX * BUSY
    assert heap_mb < HEAP_MB_MAX


def heap_bytes(tab: Tab) -> float:
    """`performance.memory` of the page is rounded and old; this is not."""
    tools = tab.page.context.new_cdp_session(tab.page)
    tools.send("Performance.enable")
    metrics = tools.send("Performance.getMetrics")["metrics"]
    return next(float(metric["value"]) for metric in metrics if metric["name"] == "JSHeapUsedSize")


def shown(figures: dict[str, float]) -> str:
    return f"longest task {figures['longest']:.0f} ms, {figures['fps']:.0f} frames a second"


def test_calls_are_made_ready_when_the_page_opens(
    launch: Launch, open_tab: OpenTab, silent: Path, tmp_path: Path
) -> None:
    with console_server(tmp_path / "home") as server:
        loaded = Path(f"/proc/{server.pid}/maps")
        if not loaded.exists():
            pytest.skip("needs Linux: looks at what the server's process has loaded")
        assert "pylibsrtp" not in loaded.read_text(), "it is loaded when it is wanted"
        tab = open_tab(launch(silent), server)
        page = tab.open(transport="webrtc")
        page.wait_for_timeout(200)
        deadline = time.monotonic() + 10
        while "pylibsrtp" not in loaded.read_text():
            assert time.monotonic() < deadline, "nobody has clicked, but somebody will"
            time.sleep(0.05)
        page.click("button.start")
        tab.wait("talk.live")
        page.get_by_role("button", name="End", exact=True).click()


@pytest.mark.parametrize("transport", TRANSPORTS)
def test_a_row_after_every_turn(transport: str, launch: Launch, open_tab: OpenTab, silent: Path) -> None:
    tab = open_tab(launch(silent))
    page = tab.open(transport=transport, turn={"type": "none"})
    began = page.evaluate("performance.now()")
    page.click("button.start")
    tab.wait("talk.live")
    print(f"{transport}: connected {tab.talk('talk.began') - began:.0f} ms after the click")
    page.evaluate(ROWS)
    for number in range(1, 4):
        page.fill("textarea[name=text]", "Say exactly: Good.")
        page.keyboard.press("Enter")
        page.wait_for_function("(number) => window.rows.length === number", arg=number)
    rows: list[float] = page.evaluate("window.rows")
    print(f"{transport}: row {', '.join(f'{row:.0f}' for row in rows)} ms after the turn's end")
    assert max(rows) < 250 * BUSY


def test_the_page_asks_for_few_bytes(browser: Browser, open_tab: OpenTab) -> None:
    """Before anybody has done anything: no call, no chart, no camera."""
    tab = open_tab(browser)
    loaded: dict[str, int] = {}
    tab.page.on("response", lambda response: note(response, loaded))
    tab.open()
    tab.page.wait_for_timeout(500)
    scripts = sum(size for name, size in loaded.items() if name.endswith(".js"))
    print(
        f"first load: {scripts / 1_000:.0f} kB of compressed JavaScript, {sum(loaded.values()) / 1_000:.0f} kB in all"
    )
    assert scripts <= 150_000
    assert sum(loaded.values()) <= 400_000
    assert not [name for name in loaded if re.search("camera|uPlot", name)]


def note(response: Response, loaded: dict[str, int]) -> None:
    if "/assets/" in response.url:
        loaded[response.url.rsplit("/", 1)[1]] = int(response.headers.get("content-length", 0))
