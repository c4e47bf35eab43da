"""WebRTC calls whose model another Parley answers: aiortc, a front without a voice of its own, real speech behind it."""

import asyncio
import json
import os
import signal
from collections.abc import Iterator
from contextlib import ExitStack
from pathlib import Path
from typing import Any

import httpx
import numpy as np
import pytest
from aiortc import RTCSessionDescription
from websockets.asyncio.client import connect

from tests.conftest import Server, running_server
from tests.e2e.backends import running_backends
from tests.e2e.test_money import CREDIT, newcomer, settled
from tests.e2e.test_relay import office_of
from tests.oracle import check_ga
from tests.sdk.speaker import Speaker
from tests.speech import word_error_rate
from tests.transports.rtc.phone import Event, Phone
from tests.transports.rtc.test_phone import QUESTION, SESSION, read_aloud

STORY = "Say exactly: " + "one two three four five six. " * 12
ASKED = {"type": "message", "role": "user", "content": [{"type": "input_text", "text": "Tell me a long story."}]}


@pytest.fixture(scope="module")
def speaker() -> Iterator[Speaker]:
    speaker = Speaker()
    yield speaker
    speaker.close()


@pytest.fixture(scope="module")
def front(server: Server, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Server]:
    env = {"PARLEY_UPSTREAM_URL": server.base_url, "PARLEY_UPSTREAM_API_KEY": server.key}
    with running_server(tmp_path_factory.mktemp("front"), env=env) as front:
        yield front


async def tell_a_story(phone: Phone, sound_s: float) -> None:
    """Until so much of it has been played."""
    phone.say("conversation.item.create", item=ASKED)
    phone.say("response.create", response={"instructions": STORY})
    await phone.until("output_audio_buffer.started")
    await asyncio.sleep(sound_s)


async def silent_from(phone: Phone, at: int) -> None:
    await asyncio.sleep(0.8)
    later = np.abs(np.frombuffer(bytes(phone.heard[at + 48 * 400 :]), "<i2"))  # past its own jitter buffer
    assert later.size > 24 * 100 and later.max() < 500


async def test_a_spoken_question_is_heard_answered_and_paid_for(front: Server, speaker: Speaker) -> None:
    async with office_of(front) as office:
        user, made = await newcomer(office, CREDIT)
        async with Phone(front.url, made.value) as phone:
            await phone.call({**SESSION, "audio": {**SESSION["audio"], "output": {"format": {"type": "audio/pcmu"}}}})
            created = await phone.until("session.created")
            assert created["session"]["audio"]["output"]["format"]["type"] == "audio/pcm"
            phone.speak(await speaker(QUESTION))
            heard = await phone.until("conversation.item.input_audio_transcription.completed")
            assert word_error_rate(QUESTION, heard["transcript"]) <= 0.2
            started = await phone.until("output_audio_buffer.started")
            done = await phone.until("response.done")
            stopped = await phone.until("output_audio_buffer.stopped")
            assert started["response_id"] == stopped["response_id"] == done["response"]["id"]
            assert "144" in done["response"]["output"][0]["content"][0]["transcript"]
            assert "response.output_audio.delta" not in phone.kinds()
            said, heard_words = await read_aloud(phone)
            assert word_error_rate(said, heard_words) <= 0.25
            assert phone.findings() == []
            await phone.hang_up()
        assert 0 < await settled(office, user.account) < CREDIT


async def test_speaking_up_stops_the_sound(front: Server, speaker: Speaker) -> None:
    async with Phone(front.url, front.key) as phone:
        await phone.call(SESSION)
        await phone.until("session.created")
        await tell_a_story(phone, 1.5)
        phone.speak(await speaker(QUESTION))
        await phone.until("input_audio_buffer.speech_started")
        await phone.until("output_audio_buffer.cleared")
        at = len(phone.heard)
        truncated = await phone.until("conversation.item.truncated")
        assert 1_000 <= truncated["audio_end_ms"] <= 5_000
        assert "output_audio_buffer.stopped" not in phone.kinds()
        await silent_from(phone, at)
        await phone.until("conversation.item.input_audio_transcription.completed")
        assert phone.findings() == []


async def test_a_client_stops_the_sound_and_the_sideband_hears_of_it(front: Server) -> None:
    async with Phone(front.url, front.key) as phone:
        await phone.call(SESSION)
        await phone.until("session.created")
        url = f"{front.ws_url}?call_id={phone.call_id}"
        async with connect(url, additional_headers={"authorization": f"Bearer {front.key}"}) as sideband:
            first: Event = json.loads(await sideband.recv())
            assert first["type"] == "session.created"
            await sideband.send(json.dumps({"type": "session.update", "session": {"type": "realtime", "tools": []}}))
            await phone.until("session.updated")
            await tell_a_story(phone, 1.0)
            phone.say("response.cancel")
            phone.say("output_audio_buffer.clear")
            await phone.until("output_audio_buffer.cleared")
            await silent_from(phone, len(phone.heard))
            kinds = await heard_until(sideband, "conversation.item.truncated")
            assert {"session.updated", "output_audio_buffer.started", "output_audio_buffer.cleared"} <= kinds
            assert "response.output_audio.delta" not in kinds


async def heard_until(sideband: Any, kind: str) -> set[str]:
    kinds: set[str] = set()
    async with asyncio.timeout(30):
        while kind not in kinds:
            event: Event = json.loads(await sideband.recv())
            assert check_ga(event) == []
            kinds.add(event["type"])
    return kinds


async def test_the_beta_address(front: Server) -> None:
    async with Phone(front.url, front.key) as phone:
        await phone.call(path="/v1/realtime?model=gpt-realtime")
        created = await phone.until("session.created")
        assert created["session"]["output_audio_format"] == "pcm16"
        phone.say("conversation.item.create", item=ASKED)
        phone.say("response.create", response={"instructions": "Say exactly: Hello."})
        done = await phone.until("response.done")
        await phone.until("output_audio_buffer.stopped")
        assert done["response"]["output"][0]["content"][0]["type"] == "audio"
        assert phone.findings(beta=True) == []


async def test_the_address_of_our_own(front: Server) -> None:
    async with Phone(front.url, front.key) as phone, httpx.AsyncClient(base_url=front.url, timeout=40) as http:
        body = {"sdp": await phone.offer(), "model": "realtime-mini", "voice": "marin"}
        answer = await http.post("/api/realtime/session", headers={"authorization": f"Bearer {front.key}"}, json=body)
        assert answer.status_code == 200, answer.text
        await phone.peer.setRemoteDescription(RTCSessionDescription(answer.text, "answer"))
        assert (await phone.until("session.created"))["session"]["model"] == "realtime-mini"
        await tell_a_story(phone, 0.2)


async def test_this_machine_takes_over_in_the_middle_of_a_call(tmp_path: Path) -> None:
    """What was said is played to its end; the next answer is ours, and the caller stays."""
    homes = tmp_path / "behind", tmp_path / "front"
    for home in homes:
        home.mkdir()
    with running_backends() as backends, ExitStack() as stack:
        behind = stack.enter_context(running_server(homes[0], env=backends.env()))
        env = backends.env(
            PARLEY_UPSTREAM_URL=behind.base_url,
            PARLEY_UPSTREAM_API_KEY=behind.key,
            PARLEY_UPSTREAM_FALLBACK="local",
        )
        with running_server(homes[1], env=env) as front:
            async with Phone(front.url, front.key) as phone:
                await phone.call(SESSION)
                await phone.until("session.created")
                phone.say("conversation.item.create", item=ASKED)
                phone.say("response.create")
                await phone.until("response.done")
                os.kill(behind.pid, signal.SIGKILL)
                await until_lost(phone)
                async with asyncio.timeout(20):
                    while "output_audio_buffer.stopped" not in phone.kinds():
                        await asyncio.sleep(0.05)
                phone.say("conversation.item.create", item=ASKED)
                phone.say("response.create")
                assert (await phone.until("response.done"))["response"]["status"] == "completed"
                await phone.until("output_audio_buffer.stopped")
                assert phone.findings() == []


async def until_lost(phone: Phone) -> None:
    with pytest.raises(AssertionError, match="The upstream was lost"):
        await phone.until("nothing")
