"""The official agents SDK in a real browser over WebRTC: only the address is ours."""

import shutil
import subprocess
from pathlib import Path

import pytest

from scripts.build_console import SOURCE, BuildError, build
from tests.conftest import Server
from tests.e2e.browser import answers, event, forget, heard, microphone, visitor
from tests.speech import word_error_rate, words
from tests.transports.rtc.test_phone import SENTENCE

PAGE = "<!doctype html><title>An agent</title><audio autoplay></audio><script type='module' src='/agent.js'></script>"
COUNTING = "Say exactly: " + "one two three four five six seven eight nine ten. " * 8


@pytest.fixture(scope="module")
def page_of_an_agent(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The page, bundled as its developer would."""
    try:
        build(tests=True)
    except BuildError as error:
        pytest.skip(str(error))
    folder = tmp_path_factory.mktemp("agent")
    bundler = SOURCE / "node_modules" / ".bin" / "rolldown"
    if not bundler.exists() or shutil.which("node") is None:
        pytest.skip("needs Node and the console's packages: cd console && npm ci")
    subprocess.run(
        [bundler, "test/agent.js", "--platform", "browser", "--format", "esm", "--dir", folder],
        cwd=SOURCE, check=True, capture_output=True,
    )  # fmt: skip
    (folder / "page.html").write_text(PAGE)
    return folder / "page.html"


@pytest.fixture
def question(tmp_path: Path) -> Path:
    return microphone(tmp_path / "question.wav", 3.0, "What is the weather in Paris?")


def test_an_agent_listens_calls_a_tool_and_speaks(server: Server, page_of_an_agent: Path, question: Path) -> None:
    with visitor(server, page_of_an_agent, question) as page:
        page.wait_for_function("() => window.start")
        page.evaluate("(address) => window.start(address, 'Be brief.')", server.url)
        asked = event(page, "conversation.item.input_audio_transcription.completed")
        assert word_error_rate("what is the weather in paris", asked["transcript"]) <= 0.35
        event(page, "response.function_call_arguments.done")
        said = answers(page)
        assert page.evaluate("() => window.seen.cities") == ["Paris"]
        assert "snow" in said.lower()
        assert word_error_rate(said, heard(page)) <= 0.5, "the result was heard, not only announced"

        forget(page)
        page.evaluate("(text) => window.session.sendMessage(text)", f"Say exactly: {SENTENCE}")
        said = answers(page)
        assert word_error_rate(said, heard(page)) <= 0.5
        roles = page.evaluate("() => window.session.history.map((item) => item.role ?? item.type)")
        assert roles == ["user", "function_call", "assistant", "user", "assistant"]
        assert page.evaluate("() => window.seen.errors") == []


@pytest.mark.parametrize("by", ["speech", "program"])
def test_an_agent_is_interrupted(server: Server, page_of_an_agent: Path, tmp_path: Path, by: str) -> None:
    late = microphone(tmp_path / "late.wav", 6.0 if by == "speech" else 60.0, "Wait, please stop counting.")
    with visitor(server, page_of_an_agent, late) as page:
        page.wait_for_function("() => window.start")
        page.evaluate("(address) => window.start(address, 'Be brief.')", server.url)
        page.evaluate(
            "(instructions) => window.session.transport.sendEvent({ type: 'response.create', response: { instructions } })",
            COUNTING,
        )
        started = event(page, "output_audio_buffer.started")
        if by == "program":
            page.wait_for_timeout(2_000)
            page.evaluate("() => window.session.interrupt()")
        truncated = event(page, "conversation.item.truncated")
        cleared = event(page, "output_audio_buffer.cleared")
        assert abs(truncated["audio_end_ms"] - (cleared["at"] - started["at"])) < 400
        page.wait_for_timeout(600)
        assert page.evaluate("() => window.call.loudAt") - cleared["at"] < 400, "only what the browser had buffered"
        event(page, "conversation.item.retrieved", f"event.item.id === '{truncated['item_id']}'")
        kept = page.evaluate(
            "(id) => window.session.history.find((item) => item.itemId === id).content[0].transcript",
            truncated["item_id"],
        )
        assert kept and len(words(kept)) < 40 < len(words(COUNTING)), "the SDK knows what was heard, not what was said"
        assert page.evaluate("() => window.seen.errors") == []
