"""Whole calls: aiortc on one side, `parley serve` with the embedded engine on the other, over loopback."""

import asyncio
import os
import signal
import time
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor

import httpx
import numpy as np
import pytest
from websockets.asyncio.client import connect

from parley.engines.stt import choose_embedded
from tests.conftest import MakeServer, Server
from tests.sdk.speaker import Speaker
from tests.speech import transcribe, word_error_rate
from tests.transports.rtc.phone import Event, Phone

SESSION: Event = {
    "type": "realtime",
    "model": "gpt-realtime",
    "audio": {"input": {"transcription": {"model": "gpt-4o-transcribe", "language": "en"}}},
}
QUESTION = "How much is twelve times twelve?"
SENTENCE = "The weather is nice today, and we walk to the park."


@pytest.fixture(scope="module")
def speaker() -> Iterator[Speaker]:
    speaker = Speaker()
    yield speaker
    speaker.close()


async def understood(pcm: bytes) -> str:
    """What a listener makes of a recording."""
    with ThreadPoolExecutor(1) as workers:
        stt, advice = choose_embedded(workers)
        assert stt is not None, advice
        return await transcribe(stt, pcm)


async def read_aloud(phone: Phone) -> tuple[str, str]:
    """Lets it say a longer sentence. What it says that it said, and what was heard of it."""
    start = len(phone.heard)
    phone.say("response.create", response={"instructions": f"Say exactly: {SENTENCE}"})
    done = await phone.until("response.done")
    await phone.until("output_audio_buffer.stopped")
    await asyncio.sleep(0.3)  # what is still in the listener's jitter buffer
    said: str = done["response"]["output"][0]["content"][0]["transcript"]
    assert word_error_rate(SENTENCE, said) <= 0.2
    return said, await understood(bytes(phone.heard[start:]))


async def test_a_spoken_question_is_heard_and_answered_aloud(server: Server, speaker: Speaker) -> None:
    async with Phone(server.url, server.key) as phone:
        await phone.call(SESSION)
        assert phone.call_id.startswith("rtc_")
        created = await phone.until("session.created")
        assert created["session"]["audio"]["input"]["transcription"]["language"] == "en"
        phone.speak(await speaker(QUESTION))
        heard = await phone.until("conversation.item.input_audio_transcription.completed")
        assert word_error_rate(QUESTION, heard["transcript"]) <= 0.2
        started = await phone.until("output_audio_buffer.started")
        done = await phone.until("response.done")
        stopped = await phone.until("output_audio_buffer.stopped")
        assert started["response_id"] == stopped["response_id"] == done["response"]["id"]
        said = done["response"]["output"][0]["content"][0]["transcript"]
        assert "144" in said
        assert "response.output_audio.delta" not in phone.kinds()
        said, heard_words = await read_aloud(phone)
        assert word_error_rate(said, heard_words) <= 0.25
        assert phone.findings() == []


async def test_a_peer_that_only_speaks_g711(server: Server, speaker: Speaker) -> None:
    async with Phone(server.url, server.key, codecs=("PCMU",)) as phone:
        await phone.call(SESSION)
        assert "PCMU/8000" in phone.answer and "opus" not in phone.answer
        phone.speak(await speaker(QUESTION))
        heard = await phone.until("conversation.item.input_audio_transcription.completed")
        assert word_error_rate(QUESTION, heard["transcript"]) <= 0.35
        await phone.until("output_audio_buffer.stopped")
        said, heard_words = await read_aloud(phone)
        assert word_error_rate(said, heard_words) <= 0.4


async def test_speaking_up_stops_the_sound(server: Server, speaker: Speaker) -> None:
    async with Phone(server.url, server.key) as phone:
        await phone.call(SESSION)
        await phone.until("session.created")
        text = {"type": "message", "role": "user", "content": [{"type": "input_text", "text": "Tell me a long story."}]}
        phone.say("conversation.item.create", item=text)
        phone.say("response.create", response={"instructions": "Say exactly: " + "one two three four five six. " * 12})
        await phone.until("output_audio_buffer.started")
        await asyncio.sleep(1.5)
        phone.speak(await speaker(QUESTION))
        await phone.until("input_audio_buffer.speech_started")
        cleared = await phone.until("output_audio_buffer.cleared")
        at = len(phone.heard)
        truncated = await phone.until("conversation.item.truncated")
        assert 1_000 <= truncated["audio_end_ms"] <= 5_000
        kinds = phone.kinds()
        assert kinds.count("output_audio_buffer.started") == 1
        assert "output_audio_buffer.stopped" not in kinds
        assert cleared["response_id"]
        await asyncio.sleep(0.8)
        later = np.abs(np.frombuffer(bytes(phone.heard[at + 48 * 400 :]), "<i2"))  # past its own jitter buffer
        assert later.size > 24 * 100 and later.max() < 500


async def test_hanging_up_ends_everything(server: Server) -> None:
    async with Phone(server.url, server.key) as phone, httpx.AsyncClient(base_url=server.url) as http:
        await phone.call(SESSION)
        await phone.until("session.created")
        headers = {"authorization": f"Bearer {server.key}"}
        async with connect(f"{server.ws_url}?call_id={phone.call_id}", additional_headers=headers) as sideband:
            assert (await phone.hang_up("sk-wrong")).status_code == 401
            response = await phone.hang_up()
            assert (response.status_code, response.content) == (200, b"")
            await asyncio.wait_for(sideband.wait_closed(), 10)
        await asyncio.wait_for(phone.channel_closed.wait(), 10)
        gone = await phone.hang_up()
        assert gone.status_code == 404
        assert gone.json()["error"]["code"] == "session_not_found"
        assert (await http.get("/health")).status_code == 200


async def test_beta_calls_speak_beta(server: Server, speaker: Speaker) -> None:
    async with httpx.AsyncClient(base_url=server.url) as http:
        made = await http.post(
            "/v1/realtime/sessions",
            headers={"authorization": f"Bearer {server.key}"},
            json={"model": "gpt-4o-realtime-preview", "voice": "verse", "modalities": ["text", "audio"]},
        )
    secret = made.json()["client_secret"]["value"]
    async with Phone(server.url, secret) as phone:
        await phone.call(path="/v1/realtime?model=gpt-4o-realtime-preview")
        created = await phone.until("session.created")
        assert created["session"]["voice"] == "verse" and "audio" not in created["session"]
        phone.speak(await speaker(QUESTION))
        done = await phone.until("response.done")
        assert "144" in done["response"]["output"][0]["content"][0]["transcript"]
        assert "response.audio_transcript.delta" in phone.kinds() and "response.audio.delta" not in phone.kinds()
        assert phone.findings(beta=True) == []


async def test_without_a_channel_the_call_still_talks(server: Server, speaker: Speaker) -> None:
    async with Phone(server.url, server.key, channel=False) as phone:
        await phone.call(SESSION)
        assert "m=application" not in phone.answer
        phone.speak(await speaker(QUESTION))
        deadline = time.monotonic() + 20
        while not np.abs(np.frombuffer(bytes(phone.heard), "<i2")).max(initial=0) > 2_000:
            assert time.monotonic() < deadline, "nothing was heard"
            await asyncio.sleep(0.1)


async def test_a_server_that_stops_says_goodbye(make_server: MakeServer) -> None:
    server = await asyncio.to_thread(make_server)
    async with Phone(server.url, server.key) as phone:
        await phone.call(SESSION)
        await phone.until("session.created")
        os.kill(server.pid, signal.SIGTERM)
        await asyncio.wait_for(phone.channel_closed.wait(), 15)
