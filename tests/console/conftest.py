"""A real browser in front of a real server, with a microphone that plays a recording."""

import asyncio
import os
import signal
import subprocess
import sys
import wave
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import pytest
from playwright.sync_api import Browser, BrowserContext, Page, Playwright, sync_playwright

from scripts.build_console import BuildError, build
from tests.conftest import ROOT, Server, await_ready, clean_environment, free_port
from tests.sdk.speaker import Speaker
from tests.speech import recordings

CHROMIUM = ("/usr/bin/chromium", "/usr/bin/chromium-browser", "/usr/bin/google-chrome")
KEY = "sk-parley-tests"
RATE_HZ = 24_000
STOP_S = 30.0


@pytest.fixture(scope="session")
def built() -> Path:
    """The built console."""
    try:
        build(tests=True)
    except BuildError as error:
        pytest.skip(str(error))
    return ROOT / "parley" / "web" / "console_dist"


@contextmanager
def console_server(home: Path, port: int | None = None, **settings: str) -> Iterator[Server]:
    home.mkdir(exist_ok=True)
    port = port or free_port()
    log = home / "output.log"
    environment = clean_environment(home) | {
        "PARLEY_PORT": str(port),
        "PARLEY_API_KEY": KEY,
        "PARLEY_ALLOWED_HOSTS": "console.example",
        "PARLEY_LLM_SEES": "yes",  # the embedded assistant does not, and says so in words
        **settings,
    }
    with log.open("wb") as output:
        process = subprocess.Popen(
            [sys.executable, "-m", "parley", "serve"],
            env=environment, cwd=ROOT, stdin=subprocess.DEVNULL, stdout=output, stderr=subprocess.STDOUT,
        )  # fmt: skip
    address = f"127.0.0.1:{port}"
    try:
        await_ready(process, f"http://{address}/ready", log)
        yield Server(f"http://{address}", f"ws://{address}/v1/realtime", KEY, process.pid, home, log)
    finally:
        if process.poll() is None:
            process.send_signal(signal.SIGTERM)
            try:
                process.wait(STOP_S)
            except subprocess.TimeoutExpired:
                process.kill()
                process.wait()


@pytest.fixture(scope="session")
def console(built: Path, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Server]:
    with console_server(tmp_path_factory.mktemp("console") / "home") as server:
        yield server


# ---- the microphone


def silence(seconds: float) -> bytes:
    return bytes(int(seconds * RATE_HZ) * 2)


def voice() -> bytes:
    """Somebody says a sentence: "It was the best of times, it was the worst of times"."""
    pcm = next(recording.pcm for recording in recordings() if recording.name == "two_cities")
    return pcm[RATE_HZ * 2 : int(4.2 * RATE_HZ) * 2]  # without the breath before it, which is taken for a word


def write_wav(path: Path, pcm: bytes) -> Path:
    with wave.open(str(path), "wb") as file:
        file.setnchannels(1)
        file.setsampwidth(2)
        file.setframerate(RATE_HZ)
        file.writeframes(pcm)
    return path


@pytest.fixture(scope="session")
def one_sentence(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return write_wav(tmp_path_factory.mktemp("wav") / "one.wav", silence(1) + voice() + silence(60))


@pytest.fixture(scope="session")
def weather(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Somebody asks for the weather in Paris."""
    speaker = Speaker()
    with ThreadPoolExecutor(1) as elsewhere:  # in this thread may run the loop of Playwright
        asked = elsewhere.submit(lambda: asyncio.run(speaker("What is the weather in Paris?"))).result()
    speaker.close()
    return write_wav(tmp_path_factory.mktemp("wav") / "weather.wav", silence(2) + asked + silence(60))


@pytest.fixture(scope="session")
def silent(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return write_wav(tmp_path_factory.mktemp("wav") / "silent.wav", silence(60))


@pytest.fixture(scope="session")
def two_sentences(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The second begins while the first is being answered."""
    pcm = silence(1) + voice() + silence(3) + voice() + silence(60)
    return write_wav(tmp_path_factory.mktemp("wav") / "two.wav", pcm)


# ---- the browser


@pytest.fixture(scope="package")
def playwright() -> Iterator[Playwright]:
    with sync_playwright() as running:
        yield running


Launch = Callable[..., Browser]


@pytest.fixture(scope="package")
def launch(playwright: Playwright) -> Iterator[Launch]:
    """A Chromium: `launch(microphone=wav)`; without, there is no microphone and no camera. `allow=False`: both are blocked.

    Tests share browsers of a kind; the recording begins anew for every tab.
    """
    path = next((path for path in CHROMIUM if Path(path).exists()), None)
    if path is None:
        pytest.skip("needs Chromium: apt install chromium")
    started: dict[tuple[Path | None, bool, tuple[str, ...]], Browser] = {}

    def start(microphone: Path | None = None, *more: str, allow: bool = True) -> Browser:
        kind = (microphone, allow, more)
        if browser := started.get(kind):
            return browser
        args = ["--autoplay-policy=no-user-gesture-required", "--disable-dev-shm-usage", *more]
        if os.geteuid() == 0:
            args.append("--no-sandbox")
        if microphone is not None:
            args += ["--use-fake-device-for-media-stream", f"--use-file-for-fake-audio-capture={microphone}%noloop"]
            args += ["--use-fake-ui-for-media-stream"] if allow else []
        browser = started[kind] = playwright.chromium.launch(executable_path=path, args=args)
        return browser

    yield start
    for browser in started.values():
        browser.close()


class Tab:
    """A signed-in page, and what it must not do: ask others for anything, or break its own policy."""

    def __init__(self, context: BrowserContext, server: Server) -> None:
        self.page: Page = context.new_page()
        self.server = server
        self.complaints: list[str] = []
        self.foreign: list[str] = []
        self.expected: tuple[str, ...] = ()
        """Complaints that contain one of these are what the test is about."""
        self.page.on("pageerror", lambda error: self.complaints.append(str(error)))
        self.page.on("console", self._hear)
        self.page.on("request", self._see)

    def _hear(self, message: Any) -> None:
        if message.type == "error" and not any(part in message.text for part in ("401", *self.expected)):
            self.complaints.append(message.text)

    def _see(self, request: Any) -> None:
        if not request.url.startswith((self.server.url, "data:", "blob:")):
            self.foreign.append(request.url)

    def open(self, path: str = "talk", **settings: Any) -> Page:
        """Signs in with the key, with these settings stored as if they had been made before."""
        page = self.page
        page.goto(f"{self.server.url}/console/")
        page.evaluate(
            "([s]) => localStorage.setItem('parley.settings', JSON.stringify(s))",
            [{"transport": "websocket", **settings}],
        )
        page.goto(f"{self.server.url}/console/{path}")
        page.fill("input[name=key]", KEY)
        page.click("form button")
        page.wait_for_selector("nav")
        return page

    def go(self, name: str) -> None:
        self.page.click(f"nav a[href='/console/{name}']")
        self.page.wait_for_selector(f"parley-{name}-page")

    def talk(self, script: str) -> Any:
        """What a script finds about the call; `talk` is the model of the page."""
        return self.page.evaluate(
            f"() => {{ const talk = document.querySelector('parley-app').talk; return ({script}); }}"
        )

    def wait(self, script: str, timeout_s: float = 20) -> None:
        self.page.wait_for_function(
            f"() => {{ const talk = document.querySelector('parley-app').talk; return ({script}); }}",
            timeout=timeout_s * 1_000,
        )

    def close(self) -> None:
        self.page.context.close()
        assert self.complaints == []
        assert self.foreign == []


OpenTab = Callable[..., Tab]


@pytest.fixture
def open_tab(console: Server) -> Iterator[OpenTab]:
    """`open_tab(browser)`: a tab of its own; at the end it must have behaved."""
    tabs: list[Tab] = []

    def start(browser: Browser, server: Server | None = None, **options: Any) -> Tab:
        context = browser.new_context(viewport={"width": 1440, "height": 900}, **options)
        tabs.append(Tab(context, server or console))
        return tabs[-1]

    yield start
    for tab in tabs:
        tab.close()
