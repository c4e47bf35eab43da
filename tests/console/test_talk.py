"""The Talk page with a real voice: what is said is shown, the answer is heard, and every turn becomes a picture."""

from pathlib import Path
from typing import Any

import pytest
from playwright.sync_api import expect

from tests.console.conftest import Launch, OpenTab, Tab

TRANSPORTS = ("websocket", "webrtc")
ORDER = (
    "speechStart", "speechStop", "committed", "responseCreated", "toolStart", "toolEnd", "firstSent", "firstPlayed", "done",
)  # fmt: skip
LABELS = (
    "Speech started", "Speech stopped", "Committed", "Transcript", "Response created", "Tool called", "Tool answered",
    "First sound sent", "First sound heard", "Done",
)  # fmt: skip
SPOKEN = "best of times"
TOOL = (
    '[{"type": "function", "name": "get_weather", "description": "The weather of a place.", "parameters":'
    ' {"type": "object", "properties": {"city": {"type": "string"}}, "required": ["city"]}}]'
)


def answered(tab: Tab) -> None:
    """The first answer has been heard to its end."""
    tab.wait("talk.turns.turns.some((turn) => turn.status === 'completed')", 30)


@pytest.mark.parametrize("transport", TRANSPORTS)
def test_a_spoken_turn(transport: str, launch: Launch, open_tab: OpenTab, one_sentence: Path) -> None:
    tab = open_tab(launch(one_sentence))
    page = tab.open(transport=transport, instructions='Always say "Those were the days, my friend."')
    tab.talk("talk.changeSound({ record: true })")
    page.click("button.start")
    expect(page.locator("parley-transcript li.user .text")).to_contain_text(SPOKEN, timeout=20_000)
    expect(page.locator("parley-transcript li.assistant .text")).to_contain_text("Those were the days", timeout=10_000)
    expect(page.locator("parley-waterfall .turn").first).to_contain_text(SPOKEN)
    answered(tab)
    turn = tab.talk("talk.turns.turns.find((turn) => turn.status === 'completed')")
    order = [turn["stamps"][name] for name in ("speechStart", "speechStop", "committed", "responseCreated", "firstSent", "firstPlayed", "done")]  # fmt: skip
    assert order == sorted(order)
    assert 2_000 < turn["stamps"]["speechStop"] - turn["stamps"]["speechStart"] < 5_000
    assert turn["stamps"]["done"] - turn["stamps"]["firstPlayed"] > 800, "the answer was heard in real time"
    assert tab.talk("Math.max(...talk.theirs.values)") > 0.01, "there was sound"
    assert turn["usage"]["total_tokens"] > 0

    tab.go("events")
    page.get_by_role("button", name="Hide sound").click()
    types = tab.talk("[...new Set(talk.events.rows.map((row) => row.type))]")
    assert {"session.created", "session.update", "input_audio_buffer.speech_started", "response.done"} <= set(types)
    assert ("response.output_audio.delta" in types) == (transport == "websocket")
    assert page.locator("parley-event-list .event").count() > 10

    tab.go("turns")
    expect(page.locator("parley-turns table")).to_contain_text("To first sound")
    tab.go("code")
    expect(page.locator("pre.code")).to_contain_text('"voice": "marin"')
    tab.go("talk")
    page.get_by_role("button", name="End", exact=True).click()
    tab.go("sessions")
    expect(page.locator("parley-sessions-page .list")).to_contain_text(SPOKEN)
    expect(page.locator("parley-sessions-page parley-transcript")).to_contain_text(SPOKEN)
    recording_has_both_sides(tab)


def recording_has_both_sides(tab: Tab) -> None:
    """The user speaks first, then Parley; and it can be played."""
    page = tab.page
    element = (
        "document.querySelector('parley-app').renderRoot.querySelector('parley-sessions-page')"
        ".renderRoot.querySelector('parley-recording')"
    )
    page.wait_for_function(f"() => {element}?.right")
    user, parley, length = page.evaluate(f"""() => {{
        const {{ left, right }} = {element};
        const first = (side) => side.findIndex((sample) => Math.abs(sample) > 0.05) / 24000;
        return [first(left), first(right), left.length / 24000];
    }}""")
    assert 0 <= user < parley < length
    page.get_by_role("button", name="Play").click()
    expect(page.get_by_role("button", name="Pause")).to_be_visible()


@pytest.mark.parametrize("transport", TRANSPORTS)
def test_all_nine_stamps_of_a_turn(transport: str, launch: Launch, open_tab: OpenTab, weather: Path) -> None:
    tab = open_tab(launch(weather))
    page = tab.open(transport=transport, tools=TOOL, answers='{"get_weather": {"sky": "snow", "city": "{{city}}"}}')
    page.click("button.start")
    answered(tab)
    turn = tab.talk("talk.turns.turns.find((turn) => turn.status === 'completed')")
    stamps = turn["stamps"]
    order = [stamps[name] for name in ORDER]
    assert order == sorted(order)
    assert stamps["transcript"] > stamps["speechStop"]
    assert stamps["firstPlayed"] - stamps["firstSent"] < 5_000
    print(transport, {name: round(stamps[name] - stamps["speechStop"]) for name in (*ORDER, "transcript")})
    tab.go("turns")
    page.locator("parley-waterfall .turn", has_text="weather").first.focus()
    card = page.locator("parley-waterfall .card")
    for label in LABELS:
        expect(card).to_contain_text(label)


@pytest.mark.parametrize("transport", TRANSPORTS)
def test_words_are_marked_as_they_are_heard(transport: str, launch: Launch, open_tab: OpenTab, silent: Path) -> None:
    tab = open_tab(launch(silent))
    page = tab.open(transport=transport, turn={"type": "none"})
    page.click("button.start")
    tab.wait("talk.live")
    page.evaluate(WATCH_WORDS)
    page.fill("textarea[name=text]", f"Say exactly: {LONG}")
    page.keyboard.press("Enter")
    answered(tab)
    said = LONG.split()
    marked: list[list[Any]] = page.evaluate("window.marked")
    places = [said.index(word) for word, _, _ in marked if word in said]
    assert places == sorted(places), "one after the other"
    assert len(set(places)) >= len(said) * 0.6, f"most words were marked: {marked}"
    assert all("Estimated" in title for _, title, _ in marked)
    times = [at for _, _, at in marked]
    assert times[-1] - times[0] > 1_500, "at the pace of speech, not of the text"
    expect(page.locator("parley-transcript mark")).to_have_count(0)


LONG = "Seven little boats went slowly down a quiet river before anyone woke."
WATCH_WORDS = """() => {
    window.marked = [];
    const page = document.querySelector('parley-app').renderRoot.querySelector('parley-talk-page');
    const look = () => {
        const mark = page.renderRoot.querySelector('parley-transcript')?.renderRoot.querySelector('mark');
        if (mark && mark.textContent !== window.marked.at(-1)?.[0]) window.marked.push([mark.textContent, mark.title, performance.now()]);
        requestAnimationFrame(look);
    };
    look();
}"""


def test_a_row_appears_as_soon_as_the_turn_is_over(launch: Launch, open_tab: OpenTab) -> None:
    tab = open_tab(launch())
    page = tab.open(output="text")
    page.click("button.start")
    tab.wait("talk.live")
    page.evaluate("""() => {
        const { talk } = document.querySelector('parley-app');
        const watch = () => {
            const turn = talk.turns.last;
            const row = document.querySelector('parley-app').renderRoot.querySelector('parley-talk-page')
                .renderRoot.querySelector('parley-waterfall')?.renderRoot.querySelector('.turn .total');
            if (turn?.status === 'completed' && /ms|s$/.test(row?.textContent ?? ''))
                window.rowMs = performance.now() - turn.stamps.done;
            else requestAnimationFrame(watch);
        };
        watch();
    }""")
    page.fill("textarea[name=text]", "What is twelve times seven?")
    page.keyboard.press("Enter")
    page.wait_for_function("() => window.rowMs !== undefined")
    assert page.evaluate("window.rowMs") < 2_500  # ten times what it should be at most, for busy machines
    tab.complaints = [line for line in tab.complaints if "microphone" not in line.lower()]


@pytest.mark.parametrize("transport", TRANSPORTS)
def test_speech_interrupts_the_answer(transport: str, launch: Launch, open_tab: OpenTab, two_sentences: Path) -> None:
    tab = open_tab(launch(two_sentences))
    page = tab.open(transport=transport)
    page.evaluate(WATCH_LEVELS)
    page.click("button.start")
    expect(page.locator("parley-transcript .pill.bad").first).to_contain_text("interrupted at", timeout=30_000)
    assert page.locator("parley-transcript s").first.inner_text(), "what was never heard is struck out"
    turn = tab.talk("talk.turns.turns.find((turn) => turn.status === 'interrupted')")
    assert 500 < turn["interruptedAtMs"] < 10_000
    cut = turn["stamps"]["interrupted"]
    page.wait_for_function("(until) => performance.now() > until", arg=cut + 1_500)
    levels = page.evaluate("window.levels")
    assert max(level for at, level in levels if cut - 800 < at < cut) > 0.01, "it was speaking"
    late = [at - cut for at, level in levels if level > 0.005 and cut < at < cut + 1_500]
    assert max(late, default=0) < 1_000, "all that is left is what the browser had buffered"
    types = tab.talk("talk.events.rows.map((row) => row.type)")
    assert "conversation.item.truncated" in types
    assert "error" not in types


WATCH_LEVELS = """() => {
    window.levels = [];
    const { theirs } = document.querySelector('parley-app').talk;
    const push = theirs.push.bind(theirs);
    theirs.push = (level) => (window.levels.push([performance.now(), level]), push(level));
}"""


def test_tools_by_hand_and_by_script(launch: Launch, open_tab: OpenTab, one_sentence: Path) -> None:
    tab = open_tab(launch(one_sentence))
    page = tab.open(tools=TOOL, turn={"type": "none"}, output="text")
    page.click("button.start")
    tab.wait("talk.live")
    page.fill("textarea[name=text]", "What is the weather in Paris?")
    page.keyboard.press("Enter")
    page.fill("parley-transcript textarea", '{"sky": "<b>rain</b>"}')
    page.get_by_role("button", name="Send answer").click()
    answer = page.locator("parley-transcript li.assistant .text")
    expect(answer.first).to_contain_text("rain", timeout=15_000)
    assert page.locator("parley-transcript b", has_text="rain").count() == 0, "what a tool says stays text"
    tab.wait("talk.turns.last.status === 'completed'")
    assert tab.talk("talk.turns.last.tools[0].end > talk.turns.last.tools[0].start")

    tab.talk('talk.change((settings) => (settings.answers = \'{"get_weather": {"sky": "snow", "city": "{{city}}"}}\'))')
    page.fill("textarea[name=text]", "What is the weather in Oslo?")
    page.keyboard.press("Enter")
    expect(answer.last).to_contain_text("snow", timeout=15_000)
    expect(page.locator("parley-transcript li.tool").last).to_contain_text('Script: {"sky":"snow","city":"Oslo"}')


def test_push_to_talk(launch: Launch, open_tab: OpenTab, one_sentence: Path) -> None:
    tab = open_tab(launch(one_sentence))
    page = tab.open(turn={"type": "none"})
    page.click("button.start")
    tab.wait("talk.live")
    page.locator("h1").click()
    page.keyboard.down("Space")
    page.wait_for_timeout(4_800)
    page.keyboard.up("Space")
    expect(page.locator("parley-transcript li.user .text")).to_contain_text("times", timeout=15_000)
    tab.wait("talk.turns.last.stamps.firstPlayed")
    assert tab.talk("talk.turns.last.kind") == "push"


def test_text_is_never_markup(launch: Launch, open_tab: OpenTab, one_sentence: Path) -> None:
    tab = open_tab(launch(one_sentence))
    page = tab.open(output="text", turn={"type": "none"})
    page.click("button.start")
    tab.wait("talk.live")
    nasty = "<img src=x onerror=alert(1)><script>alert(2)</script>"
    page.fill("textarea[name=text]", nasty)
    page.keyboard.press("Enter")
    expect(page.locator("parley-transcript li.user .text")).to_have_text(nasty)
    tab.wait("talk.turns.last?.status === 'completed'")
    for name in ("turns", "events", "talk"):
        tab.go(name)
    assert page.locator("img[src=x]").count() == 0


def test_settings_go_to_the_running_call(launch: Launch, open_tab: OpenTab, one_sentence: Path) -> None:
    tab = open_tab(launch(one_sentence))
    page = tab.open(turn={"type": "none"})
    page.click("button.start")
    tab.wait("talk.live")
    page.get_by_role("radio", name="Meaning").click()
    tab.wait("talk.effective?.audio.input.turn_detection?.type === 'semantic_vad'")
    page.get_by_label("Instructions").fill("Answer in one word.")
    tab.wait("talk.effective?.instructions === 'Answer in one word.'")
