"""Real pages in a real browser: the server of somebody who builds on Parley, and a Chromium that visits it.

with visitor(parley, PAGES / "sample.html", microphone) as page:
    page.click("button")
"""

import asyncio
import json
import shutil
import threading
from base64 import b64decode
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any, Final

import httpx
import pytest
from playwright.sync_api import Page, sync_playwright

from parley.cli.sound import write_wav
from tests.conftest import Server
from tests.sdk.speaker import Speaker
from tests.transports.rtc.browser import ARGUMENTS, NAMES
from tests.transports.rtc.test_phone import SENTENCE, understood

PAGES: Final = Path(__file__).parent / "pages"
WATCH: Final = Path(__file__).parent / "watch.js"
SECOND: Final = 48_000
SESSION: Final[dict[str, Any]] = {
    "type": "realtime",
    "model": "gpt-realtime",
    "audio": {"input": {"transcription": {"model": "whisper-1", "language": "en"}}, "output": {"voice": "marin"}},
}


def microphone(path: Path, silence_s: float, *sentences: str) -> Path:
    """A file in which somebody waits, then says these sentences, each followed by two seconds of silence."""

    async def say() -> list[bytes]:
        speaker = Speaker()
        try:
            return [await speaker(sentence) for sentence in sentences]
        finally:
            speaker.close()

    said = b"".join(sound + bytes(2 * SECOND) for sound in asyncio.run(say()))
    write_wav(path, bytes(int(silence_s * SECOND)) + said + bytes(60 * SECOND))
    return path


class _Developer(BaseHTTPRequestHandler):
    """Keeps the key; its pages get secrets (`/token`) or have their offers passed on (`/api/realtime-session`)."""

    parley: Server
    page: Path
    """Served at `/`, with `PARLEY` and `SOCKET` replaced by the addresses; scripts beside it go by their names."""

    def do_GET(self) -> None:
        if self.path == "/token":
            body = {"session": SESSION}
            made = httpx.post(f"{self.parley.base_url}/realtime/client_secrets", json=body, headers=self._bearer())
            self._answer(made.content, "application/json")
        elif self.path == "/":
            page = self.page.read_text().replace("PARLEY", self.parley.url).replace("SOCKET", self.parley.ws_url)
            self._answer(page.encode(), "text/html")
        elif (script := self.page.parent / self.path[1:]).suffix == ".js" and script.is_file():
            self._answer(script.read_bytes(), "text/javascript")
        else:
            self.send_error(404)

    def do_POST(self) -> None:
        offer = self.rfile.read(int(self.headers["content-length"])).decode()
        session = json.dumps({**SESSION, "instructions": f'Always say "{SENTENCE}"'})
        parts = {"sdp": (None, offer), "session": (None, session)}
        made = httpx.post(f"{self.parley.base_url}/realtime/calls", files=parts, headers=self._bearer())
        self._answer(made.content, "application/sdp", made.status_code)

    def _bearer(self) -> dict[str, str]:
        return {"authorization": f"Bearer {self.parley.key}"}

    def _answer(self, body: bytes, kind: str, status: int = 200) -> None:
        self.send_response(status)
        self.send_header("content-type", kind)
        self.end_headers()
        self.wfile.write(body)

    def log_message(self, format: str, *args: Any) -> None:
        pass


@contextmanager
def developer(parley: Server, page: Path) -> Iterator[str]:
    """The address of the page."""
    kind = type("Developer", (_Developer,), {"parley": parley, "page": page})
    with ThreadingHTTPServer(("127.0.0.1", 0), kind) as server:
        thread = threading.Thread(target=server.serve_forever, daemon=True)
        thread.start()
        yield f"http://127.0.0.1:{server.server_port}/"
        server.shutdown()
        thread.join()


@contextmanager
def visitor(parley: Server, page: Path, wav: Path) -> Iterator[Page]:
    """The page, opened by a Chromium whose microphone plays the file; it may reach Parley and its own server only."""
    executable = next((path for name in NAMES if (path := shutil.which(name))), None)
    if executable is None:
        pytest.skip("needs Chromium: apt install chromium")
    arguments = [*ARGUMENTS, f"--use-file-for-fake-audio-capture={wav}%noloop"]
    with developer(parley, page) as url, sync_playwright() as playwright:
        browser = playwright.chromium.launch(executable_path=executable, args=arguments)
        tab = browser.new_page()
        tab.add_init_script(path=WATCH)
        foreign: list[str] = []
        ours = (url, parley.url, parley.ws_url, "blob:", "data:")
        tab.on("request", lambda request: None if request.url.startswith(ours) else foreign.append(request.url))
        tab.goto(url)
        yield tab
        tab.goto("about:blank")  # hangs up; a browser that is killed is only missed after a while
        browser.close()
    assert foreign == []


def event(page: Page, kind: str, condition: str = "true", patience_s: float = 40.0) -> dict[str, Any]:
    """The first event of this type that the page has received and for which `condition` (of `event`) holds."""
    found = f"window.call.events.find((event) => event.type === '{kind}' && ({condition}))"
    page.wait_for_function(f"() => {found}", timeout=patience_s * 1_000)
    received: dict[str, Any] = page.evaluate(f"() => {found}")
    return received


def answers(page: Page, patience_s: float = 40.0) -> str:
    """Waits for an answer that was spoken to its end; what it was said to be, by the server."""
    event(page, "output_audio_buffer.stopped", patience_s=patience_s)
    page.wait_for_timeout(400)  # what is still in the browser's buffer
    parts = "window.call.events.filter((event) => event.type === 'response.output_audio_transcript.done')"
    said: list[str] = page.evaluate(f"() => {parts}.map((event) => event.transcript)")
    return " ".join(said)


def forget(page: Page) -> None:
    """What was received and heard until now."""
    page.evaluate("() => { window.call.events = []; window.call.sound = []; }")


def heard(page: Page) -> str:
    """What a listener makes of all that came out of the page."""
    pcm = b64decode(page.evaluate("() => window.recording()"))
    with ThreadPoolExecutor(1) as elsewhere:  # in this thread runs the loop of Playwright
        return elsewhere.submit(lambda: asyncio.run(understood(pcm))).result()
