"""The browser code of the guides in a real browser, from a page on another origin: only the address is ours."""

import asyncio
import json
import re
import time
import urllib.request
from pathlib import Path
from typing import Any

import pytest
from playwright.sync_api import Error

from parley.cli.sound import write_wav
from tests.conftest import ROOT, Server
from tests.sdk.speaker import Speaker
from tests.speech import word_error_rate
from tests.transports.rtc.browser import CALL, await_event, chromium, sound_of
from tests.transports.rtc.test_phone import QUESTION, SENTENCE, understood

SECOND = 48_000
TRANSCRIPTION = {"model": "whisper-1", "language": "en"}
GA: dict[str, Any] = {
    "mint": "/v1/realtime/client_secrets",
    "mintBody": {
        "session": {
            "type": "realtime",
            "model": "gpt-realtime",
            "audio": {"input": {"transcription": TRANSCRIPTION}, "output": {"voice": "marin"}},
        }
    },
    "path": "/v1/realtime/calls",
    "start": [],
}
BETA: dict[str, Any] = {
    "mint": "/v1/realtime/sessions",
    "mintBody": {
        "model": "gpt-4o-realtime-preview-2024-12-17",
        "voice": "verse",
        "input_audio_transcription": TRANSCRIPTION,
    },
    "path": "/v1/realtime?model=gpt-4o-realtime-preview-2024-12-17",
    "start": [],
}


def microphone(path: Path, delay_s: float) -> Path:
    """A file in which somebody asks the question after so many seconds."""

    async def say() -> bytes:
        speaker = Speaker()
        try:
            return await speaker(QUESTION)
        finally:
            speaker.close()

    spoken = asyncio.run(say())
    write_wav(path, bytes(int(delay_s * SECOND)) + spoken + bytes(60 * SECOND))
    return path


def sessions(server: Server) -> int:
    with urllib.request.urlopen(f"{server.url}/health") as response:
        return int(json.load(response)["sessions"])


@pytest.mark.parametrize("dialect", [GA, BETA], ids=["ga", "beta"])
def test_a_page_talks(server: Server, tmp_path: Path, dialect: dict[str, Any]) -> None:
    with chromium(microphone(tmp_path / "question.wav", 2.0)) as page:
        began = page.evaluate(CALL, {"base": server.url, "key": server.key, **dialect})
        assert began["status"] == 201, began
        assert began["location"].startswith("/v1/realtime/calls/rtc_")
        await_event(page, "session.created")
        heard = await_event(page, "conversation.item.input_audio_transcription.completed")
        assert word_error_rate(QUESTION, heard["transcript"]) <= 0.35, "a browser's own processing costs a little"
        done = await_event(page, "response.done")
        assert done["response"]["output"][0]["content"][0]["transcript"]
        await_event(page, "output_audio_buffer.stopped")
        page.evaluate(ALOUD, f"Say exactly: {SENTENCE}")
        await_event(page, "output_audio_buffer.stopped")
        page.wait_for_timeout(400)
        assert page.evaluate("() => [window.call.streams, window.call.state]") == [1, "connected"]
        remote = sound_of(page)
        before = sessions(server)
        page.reload()
        deadline = time.monotonic() + 10
        while sessions(server) >= before:
            assert time.monotonic() < deadline, "the call outlived its page"
            time.sleep(0.05)
    # A small recogniser hears a synthetic voice through Opus and a page: half of the words prove that it is that sentence.
    assert word_error_rate(SENTENCE, asyncio.run(understood(remote))) <= 0.5


EXAMPLE = """
async ({code, base, key}) => {
    const {call} = await import(URL.createObjectURL(new Blob([code], {type: "text/javascript"})));
    const headers = {Authorization: `Bearer ${key}`, "Content-Type": "application/json"};
    const made = await fetch(`${base}/v1/realtime/client_secrets`, {method: "POST", headers, body: "{}"});
    window.call = {events: []};
    const audio = document.createElement("audio");
    const line = await call(base, (await made.json()).value, audio, (event) => {
        window.call.events.push(event);
        if (event.type === "session.created") line.say({type: "response.create"});
        if (event.type === "response.done") line.hangUp();
    });
    return Boolean(audio.srcObject);
}
"""


def test_the_example_of_the_documentation(server: Server, tmp_path: Path) -> None:
    code = (ROOT / "examples" / "call.js").read_text()
    with chromium(microphone(tmp_path / "late.wav", 30.0)) as page:
        assert page.evaluate(EXAMPLE, {"code": code, "base": server.url, "key": server.key})
        assert await_event(page, "response.done")["response"]["status"] == "completed"
        wrong = {"code": code.replace("${secret}", "ek_wrong"), "base": server.url, "key": server.key}
        with pytest.raises(Error, match="Incorrect client secret"):
            page.evaluate(EXAMPLE, wrong)


ALOUD = """
(instructions) => {
    window.call.events = [];
    window.call.sound = [];
    window.call.channel.send(JSON.stringify({type: "response.create", response: {instructions}}));
}
"""
RESTART = """
async ({base, key, location}) => {
    const {pc} = window.call;
    pc.restartIce();
    await pc.setLocalDescription(await pc.createOffer());
    const response = await fetch(base + location, {
        method: "PATCH",
        body: pc.localDescription.sdp,
        headers: {Authorization: `Bearer ${key}`, "Content-Type": "application/sdp"},
    });
    const sdp = await response.text();
    await pc.setRemoteDescription({type: "answer", sdp});
    window.call.channel.send(JSON.stringify({type: "input_audio_buffer.clear"}));
    return {status: response.status, sdp};
}
"""
PAIRS = """
async () => {
    const pairs = [];
    (await window.call.pc.getStats()).forEach((each) => {
        if (each.type === "candidate-pair" && each.nominated) pairs.push([each.responsesReceived, each.bytesReceived]);
    });
    return pairs;
}
"""


def test_a_page_whose_network_changes_finds_another_way(server: Server, tmp_path: Path) -> None:
    with chromium(microphone(tmp_path / "late.wav", 4.0)) as page:
        began = page.evaluate(CALL, {"base": server.url, "key": server.key, **GA})
        await_event(page, "session.created")
        again = page.evaluate(RESTART, {"base": server.url, "key": server.key, "location": began["location"]})
        assert again["status"] == 200, again
        await_event(page, "input_audio_buffer.cleared")
        old, new = (re.findall(r"a=(?:ice-ufrag|fingerprint|ssrc):\S+", sdp) for sdp in (began["sdp"], again["sdp"]))
        assert old[0] != new[0] and old[1] == new[1] and old[2] == new[2], "new way, same connection"
        assert await_event(page, "response.done")["response"]["status"] == "completed"
        assert page.evaluate("() => window.call.state") == "connected"
        assert all(responses > 0 for responses, _ in page.evaluate(PAIRS))


def test_a_page_interrupts(server: Server, tmp_path: Path) -> None:
    counting = "Say exactly: " + "one two three four five six seven eight nine ten. " * 8
    start = [{"type": "response.create", "response": {"instructions": counting}}]
    with chromium(microphone(tmp_path / "late.wav", 5.0)) as page:
        assert page.evaluate(CALL, {"base": server.url, "key": server.key, **GA, "start": start})["status"] == 201
        started = await_event(page, "output_audio_buffer.started")
        cleared = await_event(page, "output_audio_buffer.cleared")
        assert cleared["at"] - started["at"] > 500, "it was speaking"
        truncated = await_event(page, "conversation.item.truncated")
        played_ms = cleared["at"] - started["at"]
        assert abs(truncated["audio_end_ms"] - played_ms) < 1_500, "of some 5,000"
        page.wait_for_timeout(600)
        quiet_after_ms = page.evaluate("() => window.call.loud") - cleared["at"]
        assert quiet_after_ms < 1_500, "all that is left is what the browser had buffered"
