"""A browser that changes its address in mid-call, in bad weather: it offers again, and the talk goes on."""

import asyncio
import time
from pathlib import Path
from typing import Any

import pytest
from playwright.sync_api import Error, Page

from parley.cli.sound import write_wav
from tests.conftest import Server
from tests.network.shaper import CLIENT, ELSEWHERE, PREFIX, Net, Weather, inside, ip
from tests.sdk.speaker import Speaker
from tests.speech import word_error_rate
from tests.transports.rtc.browser import CALL, await_event, chromium, sound_of
from tests.transports.rtc.test_chromium import ALOUD, GA, RESTART, SECOND
from tests.transports.rtc.test_phone import QUESTION, SENTENCE, understood

pytestmark = pytest.mark.timeout(180)

FIRST_S, EVERY_S, TIMES = 3, 16, 5
"""When the question is asked: before the move, and as often as it may take after it."""
WEATHER = Weather(loss=0.05, delay_ms=40, jitter_ms=30)


def microphone(path: Path) -> Path:
    async def say() -> bytes:
        speaker = Speaker()
        try:
            return await speaker(QUESTION)
        finally:
            speaker.close()

    spoken = asyncio.run(say())
    write_wav(path, bytes(FIRST_S * SECOND) + spoken.ljust(EVERY_S * SECOND, b"\0") * TIMES)
    return path


def restart(page: Page, where: dict[str, str], patience_s: float = 10.0) -> Any:
    """As a page has to: while its network changes a browser fails every request (ERR_NETWORK_CHANGED)."""
    deadline = time.monotonic() + patience_s
    while True:
        try:
            return page.evaluate(RESTART, where)
        except Error as error:
            assert "Failed to fetch" in error.message and time.monotonic() < deadline, error
            page.wait_for_timeout(300)


def test_a_page_that_moves_offers_again_and_talks_on(calm: Net, remote: Server, tmp_path: Path) -> None:
    calm.shaper.weather = WEATHER
    with inside(calm.client), chromium(microphone(tmp_path / "questions.wav")) as page:
        began = page.evaluate(CALL, {"base": remote.url, "key": remote.key, **GA})
        assert began["status"] == 201, began
        heard = await_event(page, "conversation.item.input_audio_transcription.completed")
        assert word_error_rate(QUESTION, heard["transcript"]) <= 0.35
        await_event(page, "output_audio_buffer.stopped")
        page.evaluate("() => (window.call.events = [])")

        ip(f"address delete {CLIENT}/{PREFIX} dev tun0")
        ip(f"address add {ELSEWHERE}/{PREFIX} dev tun0")
        again = restart(page, {"base": remote.url, "key": remote.key, "location": began["location"]})
        assert again["status"] == 200, again
        await_event(page, "input_audio_buffer.cleared")

        heard = await_event(page, "conversation.item.input_audio_transcription.completed")
        assert word_error_rate(QUESTION, heard["transcript"]) <= 0.35
        await_event(page, "output_audio_buffer.stopped")
        page.evaluate(ALOUD, f"Say exactly: {SENTENCE}")
        await_event(page, "output_audio_buffer.stopped")
        page.wait_for_timeout(600)
        assert page.evaluate("() => window.call.state") == "connected"
        remote_sound = sound_of(page)
    assert word_error_rate(SENTENCE, asyncio.run(understood(remote_sound))) <= 0.5
