"""The Sessions page in front of a server that records: replay, seek, download, delete, and both themes."""

import json
from collections.abc import Iterator
from pathlib import Path

import pytest
from playwright.sync_api import Page, expect

from tests.conftest import Server
from tests.console.conftest import Launch, OpenTab, Tab, console_server
from tests.console.test_pages import violations

ANSWERED = "talk.turns.turns.filter((turn) => turn.status === 'completed').length >= 1"
TURN_S = 40


@pytest.fixture(scope="module")
def recording(built: Path, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Server]:
    with console_server(tmp_path_factory.mktemp("recording") / "home", PARLEY_RECORD="audio") as server:
        yield server


def call(tab: Tab) -> str:
    """One spoken turn, heard to its end. The id of its session."""
    tab.page.click("button.start")
    tab.wait(ANSWERED, TURN_S)
    session: str = tab.talk("talk.sessionId")
    tab.page.get_by_role("button", name="End", exact=True).click()
    tab.wait("!talk.busy")
    return session


def kept(page: Page, session: str) -> None:
    """Opens what the server keeps, from a browser that keeps nothing itself."""
    page.goto(page.url.partition("/console/")[0] + f"/console/sessions/{session}")
    expect(page.locator("parley-kept-session parley-recording canvas")).to_be_visible(timeout=15_000)


@pytest.mark.parametrize("transport", ["websocket", "webrtc"])
def test_a_call_is_replayed(
    transport: str, recording: Server, launch: Launch, open_tab: OpenTab, one_sentence: Path
) -> None:
    caller = open_tab(launch(one_sentence), recording)
    caller.open(transport=transport)
    session = call(caller)
    caller.go("sessions")
    caller.page.get_by_role("button", name="What the server keeps").click()
    expect(caller.page.locator("parley-kept-session h2").first).to_be_visible()

    other = open_tab(launch(), recording)
    page = other.open("sessions")
    kept(page, session)
    expect(page.locator(".list .policy")).to_contain_text("Recording is on")
    lines = page.locator("parley-kept-lines .line")
    expect(lines.first).to_contain_text("best of times")
    found = page.evaluate("(id) => fetch(`/api/sessions/${id}`).then((answer) => answer.json())", session)
    asked, answered = found["transcript"][:2]

    # Both sides are drawn where they spoke.
    lines.nth(1).click()
    position = page.get_by_role("slider", name="Position")
    expect(position).to_have_value(str(round(answered["start_ms"], -2)))
    expect(lines.nth(1)).to_have_attribute("aria-current", "true")
    painted = page.evaluate(PAINTED, [found["sound_ms"], asked["start_ms"], answered["start_ms"], answered["end_ms"]])
    assert painted["user"] > 4 and painted["parley"] > 4, painted
    assert painted["before"] <= 2, painted

    # It plays, from there on.
    page.get_by_role("button", name="Play").click()
    page.wait_for_function(
        "(at) => Number(document.querySelector('parley-app').renderRoot.querySelector('parley-sessions-page').renderRoot"
        ".querySelector('parley-kept-session').renderRoot.querySelector('parley-recording').renderRoot"
        ".querySelector('input').value) > at",
        arg=answered["start_ms"] + 300,
    )
    page.get_by_role("button", name="Pause").click()

    with page.expect_download() as sound:
        page.get_by_role("link", name="Sound").click()
    [file] = (recording.home / "recordings").rglob(f"{session}.ogg")
    assert sound.value.path().read_bytes() == file.read_bytes()
    with page.expect_download() as text:
        page.get_by_role("button", name="JSON").click()
    assert json.loads(text.value.path().read_text())["transcript"] == found["transcript"]

    page.get_by_role("button", name="Delete this session from the server").click()
    page.get_by_role("button", name="Delete", exact=True).click()
    expect(page.locator("parley-sessions-page")).not_to_contain_text(found["transcript"][1]["text"])
    assert page.request.get(f"{recording.url}/api/sessions/{session}").status == 404
    assert not file.exists()


PAINTED = """([length, asked, from, to]) => {
    const inside = (host, name) => host.renderRoot.querySelector(name);
    const player = inside(inside(inside(document.querySelector('parley-app'), 'parley-sessions-page'), 'parley-kept-session'), 'parley-recording');
    const { user, parley } = player.levels;
    const loudest = (values, start, end) => Math.max(...values.slice(Math.floor(start / 100), Math.ceil(end / 100)));
    return {
        user: Math.round(100 * loudest(user, asked, from)),
        parley: Math.round(100 * loudest(parley, from, to)),
        before: Math.round(100 * loudest(parley, 0, from - 100)),
    };
}"""


@pytest.mark.parametrize("scheme", ["light", "dark"])
def test_axe_finds_nothing(
    scheme: str, recording: Server, launch: Launch, open_tab: OpenTab, one_sentence: Path
) -> None:
    tab = open_tab(launch(one_sentence), recording, color_scheme=scheme)
    page = tab.open()
    call(tab)
    tab.go("sessions")
    page.get_by_role("button", name="What the server keeps").click()
    expect(page.locator("parley-kept-session parley-recording canvas")).to_be_visible(timeout=15_000)
    problems = violations(page)
    for name in ("Turns", "Usage"):
        page.get_by_role("radio", name=name).click()
        problems += violations(page)
    page.set_viewport_size({"width": 390, "height": 844})
    problems += violations(page)
    assert not problems, "\n".join(problems)
    assert page.evaluate("document.documentElement.scrollWidth") <= 390


def test_it_says_that_recording_is_off(console: Server, launch: Launch, open_tab: OpenTab) -> None:
    page = open_tab(launch(), console).open("sessions")
    expect(page.locator("parley-sessions-page .policy").first).to_contain_text("PARLEY_RECORD=audio")
