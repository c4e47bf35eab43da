"""Headless Chromium with a microphone that plays a file, on a page that some other server has served.

with chromium(wav) as page:
    call = page.evaluate(CALL, {...})
"""

import shutil
import threading
from base64 import b64decode
from collections.abc import Iterator
from contextlib import contextmanager
from http.server import BaseHTTPRequestHandler, HTTPServer
from pathlib import Path
from typing import Any, Final

import pytest
from playwright.sync_api import Page, sync_playwright

NAMES: Final = ("chromium", "chromium-browser", "google-chrome")
ARGUMENTS: Final = (
    "--no-sandbox",
    "--use-fake-ui-for-media-stream",
    "--use-fake-device-for-media-stream",
    "--autoplay-policy=no-user-gesture-required",
)

CALL: Final = """
async ({base, key, mint, mintBody, path, start}) => {
    // The browser code of the guides: a client secret, a connection, a channel, an offer.
    const made = await (await fetch(base + mint, {
        method: "POST",
        headers: {Authorization: `Bearer ${key}`, "Content-Type": "application/json"},
        body: JSON.stringify(mintBody),
    })).json();
    const secret = made.value ?? made.client_secret.value;
    const pc = new RTCPeerConnection();
    const call = window.call = {events: [], sound: [], streams: 0, state: "", loud: 0, pc};
    pc.ontrack = ({streams: [stream]}) => {
        call.streams += stream ? 1 : 0;
        const element = document.createElement("audio");
        element.autoplay = true;
        element.srcObject = stream;
        const context = new AudioContext({sampleRate: 24000});
        const recorder = context.createScriptProcessor(1024, 1, 1);
        recorder.onaudioprocess = ({inputBuffer}) => {
            const samples = inputBuffer.getChannelData(0);
            const loudest = samples.reduce((most, sample) => Math.max(most, Math.abs(sample)), 0);
            if (loudest > 0.02) call.loud = performance.now();
            call.sound.push(Int16Array.from(samples, (sample) => Math.max(-1, Math.min(1, sample)) * 32767));
        };
        context.createMediaStreamSource(stream).connect(recorder).connect(context.destination);
    };
    pc.onconnectionstatechange = () => (call.state = pc.connectionState);
    const media = await navigator.mediaDevices.getUserMedia({audio: true});
    pc.addTrack(media.getTracks()[0]);
    const channel = call.channel = pc.createDataChannel("oai-events");
    channel.onopen = () => start.forEach((event) => channel.send(JSON.stringify(event)));
    channel.onmessage = ({data}) => call.events.push({...JSON.parse(data), at: performance.now()});
    await pc.setLocalDescription(await pc.createOffer());
    const response = await fetch(base + path, {
        method: "POST",
        body: pc.localDescription.sdp,
        headers: {Authorization: `Bearer ${secret}`, "Content-Type": "application/sdp"},
    });
    const sdp = await response.text();
    if (!response.ok) return {status: response.status, sdp};
    await pc.setRemoteDescription({type: "answer", sdp});
    return {status: response.status, location: response.headers.get("Location"), sdp};
}
"""

SOUND: Final = """
() => {
    const all = new Int16Array(window.call.sound.reduce((size, piece) => size + piece.length, 0));
    window.call.sound.reduce((at, piece) => (all.set(piece, at), at + piece.length), 0);
    let text = "";
    new Uint8Array(all.buffer).forEach((byte) => (text += String.fromCharCode(byte)));
    return btoa(text);
}
"""


class _Elsewhere(BaseHTTPRequestHandler):
    def do_GET(self) -> None:
        self.send_response(200)
        self.send_header("content-type", "text/html")
        self.end_headers()
        self.wfile.write(b"<!doctype html><title>A page of somebody else</title>")

    def log_message(self, format: str, *args: Any) -> None:
        pass


@contextmanager
def elsewhere() -> Iterator[str]:
    """The address of an empty page on another origin than Parley's."""
    with HTTPServer(("127.0.0.1", 0), _Elsewhere) as server:
        thread = threading.Thread(target=server.serve_forever, daemon=True)
        thread.start()
        yield f"http://127.0.0.1:{server.server_port}/"
        server.shutdown()
        thread.join()


@contextmanager
def chromium(microphone: Path) -> Iterator[Page]:
    """A page of its own browser. Skips the test where there is no Chromium."""
    executable = next((path for name in NAMES if (path := shutil.which(name))), None)
    if executable is None:
        pytest.skip("needs Chromium: make test installs it where it can")
    arguments = [*ARGUMENTS, f"--use-file-for-fake-audio-capture={microphone}%noloop"]
    with elsewhere() as url, sync_playwright() as playwright:
        browser = playwright.chromium.launch(executable_path=executable, args=arguments)
        page = browser.new_page()
        page.goto(url)
        yield page
        page.goto("about:blank")  # hangs up; a browser that is killed is only missed after a while
        browser.close()


def await_event(page: Page, kind: str, patience_s: float = 40.0) -> dict[str, Any]:
    """The first event of this type that the page has received."""
    found = f"window.call.events.find((event) => event.type === '{kind}')"
    page.wait_for_function(f"() => {found}", timeout=patience_s * 1_000)
    event: dict[str, Any] = page.evaluate(f"() => {found}")
    return event


def sound_of(page: Page) -> bytes:
    """What the page has heard, in house format."""
    return b64decode(page.evaluate(SOUND))
