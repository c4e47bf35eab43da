"""Pages made as the official sample and the guides make them, in a real browser: only the address is ours."""

import json
import time
import urllib.request
from pathlib import Path

from tests.conftest import Server
from tests.e2e.browser import PAGES, answers, event, forget, heard, microphone, visitor
from tests.speech import word_error_rate
from tests.transports.rtc.test_phone import SENTENCE

QUESTION = "How much is twelve times twelve?"


def sessions(server: Server) -> int:
    with urllib.request.urlopen(f"{server.url}/health") as response:
        return int(json.load(response)["sessions"])


def test_a_console_of_the_official_kind(server: Server, tmp_path: Path) -> None:
    with visitor(server, PAGES / "sample.html", microphone(tmp_path / "question.wav", 2.0, QUESTION)) as page:
        page.click("#start")
        page.wait_for_function("() => document.querySelector('#state').value === 'ready'")
        asked = event(page, "conversation.item.input_audio_transcription.completed")
        assert word_error_rate(QUESTION, asked["transcript"]) <= 0.35
        assert "144" in answers(page)

        forget(page)
        page.fill("input", "Show a palette for the theme ocean.")
        page.click("form button")
        event(page, "response.function_call_arguments.done")
        page.wait_for_function("() => document.querySelectorAll('#palette li').length === 3")
        assert "ocean" in page.locator("#palette").inner_text().lower()
        assert "ocean" in answers(page)

        forget(page)
        page.fill("input", f"Say exactly: {SENTENCE}")
        page.click("form button")
        assert word_error_rate(answers(page), heard(page)) <= 0.5


def test_a_reload_ends_the_call_and_the_next_one_works(server: Server, tmp_path: Path) -> None:
    with visitor(server, PAGES / "sample.html", microphone(tmp_path / "silence.wav", 30.0)) as page:
        before = sessions(server)
        for _ in range(2):
            page.click("#start")
            page.wait_for_function("() => document.querySelector('#state').value === 'ready'")
            page.fill("input", "Hello")
            page.click("form button")
            event(page, "output_audio_buffer.started")
            assert sessions(server) == before + 1
            page.reload()
            deadline = time.monotonic() + 10
            while sessions(server) > before:
                assert time.monotonic() < deadline, "the call outlived its page"
                time.sleep(0.05)


def test_a_page_whose_server_passes_offers_on(server: Server, tmp_path: Path) -> None:
    with visitor(server, PAGES / "passed_on.html", microphone(tmp_path / "question.wav", 2.0, QUESTION)) as page:
        assert event(page, "session.created")["session"]["audio"]["output"]["voice"] == "marin"
        assert word_error_rate(SENTENCE, answers(page)) <= 0.2
        assert word_error_rate(SENTENCE, heard(page)) <= 0.5


def test_a_beta_page_over_a_websocket(server: Server, tmp_path: Path) -> None:
    with visitor(server, PAGES / "beta_socket.html", microphone(tmp_path / "silence.wav", 1.0)) as page:
        page.evaluate("(question) => window.ask(question)", QUESTION)
        assert event(page, "session.created")["session"]["modalities"]
        assert "144" in event(page, "response.text.done")["text"]
        assert event(page, "response.done")["response"]["status"] == "completed"
