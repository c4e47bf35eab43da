"""Calls over bad networks: what the server hears is compared with what was said, and what comes back is listened to.

A human reads Dickens through the weather; the words that the session transcribes are counted. Then the server reads a
sentence aloud, and the words that arrive are counted too.
"""

import asyncio
import time
from collections.abc import Coroutine
from typing import Final

import httpx
import pytest

from tests.conftest import Server
from tests.network.caller import Caller
from tests.network.shaper import Net, Weather, inside
from tests.speech import TWO_CITIES, recordings, word_error_rate
from tests.transports.rtc.phone import Event
from tests.transports.rtc.test_phone import SENTENCE, understood

pytestmark = pytest.mark.timeout(180)
"""All of it is spoken in real time."""

WORDS: Final = TWO_CITIES.partition(" it was the epoch")[0]
SPEECH: Final = recordings()[1].pcm[: 17 * 24_000]
"""The 8.5 s in which these 24 words are said."""
COMPLETED: Final = "conversation.item.input_audio_transcription.completed"
SESSION: Final[Event] = {
    "type": "realtime",
    "model": "gpt-realtime",
    "audio": {
        "input": {
            "transcription": {"model": "gpt-4o-transcribe", "language": "en"},
            "turn_detection": {"type": "server_vad", "silence_duration_ms": 1_500, "create_response": False},
        }
    },
}
READS_WELL: Final = 0.2
"""What a small ear gets wrong of a synthetic voice even over a perfect line: it hears «to date» for «today»."""
BLACKOUT_S: Final = 5.0
RESUMED_S: Final = 2.0
"""B-14: so soon after a blackout both sides hear each other again."""


def run(net: Net, scenario: Coroutine[object, object, None]) -> None:
    with inside(net.client):
        asyncio.run(scenario)


async def heard_words(caller: Caller) -> float:
    """Says it, and how many of the words the server got wrong."""
    caller.speak(SPEECH)
    completed = await caller.until(COMPLETED)
    return word_error_rate(WORDS, completed["transcript"])


async def read_aloud(caller: Caller) -> float:
    """Has a sentence read, and how many of the words that arrive are wrong."""
    start = caller.mark
    caller.say("response.create", response={"instructions": f"Say exactly: {SENTENCE}"})
    done = await caller.until("response.done")
    assert done["response"]["status"] == "completed"
    await caller.until("output_audio_buffer.stopped")
    await asyncio.sleep(0.3)  # what is still on its way
    return word_error_rate(SENTENCE, await understood(caller.sound(start)))


@pytest.mark.parametrize(
    ("weather", "heard_max", "read_max"),
    [
        (Weather(), 0.05, READS_WELL),
        (Weather(loss=0.05), 0.1, READS_WELL + 0.1),
        (Weather(loss=0.15), 0.2, READS_WELL + 0.2),
        (Weather(delay_ms=40, jitter_ms=30), 0.1, READS_WELL),
        (Weather(loss=0.05, delay_ms=80, jitter_ms=60), 0.2, READS_WELL + 0.1),
    ],
    ids=["clear", "loss-5", "loss-15", "jitter", "all"],
)
def test_both_are_understood(calm: Net, remote: Server, weather: Weather, heard_max: float, read_max: float) -> None:
    async def scenario() -> None:
        async with Caller(remote.url, remote.key) as caller:
            calm.shaper.weather = weather
            await caller.call(SESSION)
            assert await heard_words(caller) <= heard_max
            assert await read_aloud(caller) <= read_max
            assert caller.findings() == []

    before = calm.shaper.up, calm.shaper.down
    run(calm, scenario())
    for now, then in zip((calm.shaper.up, calm.shaper.down), before, strict=True):
        assert now.seen - then.seen > 400
        assert abs((now.lost - then.lost) / (now.seen - then.seen) - weather.loss) < 0.05, "it was that bad"


def test_a_blackout_costs_no_call_and_a_page_that_is_gone_is_missed(calm: Net, remote: Server) -> None:
    """Two calls: of one the machine dies without a word, the other is without a network for five seconds."""

    async def scenario() -> None:
        async with Caller(remote.url, remote.key) as caller, Caller(remote.url, remote.key) as dead:
            await dead.call(SESSION)
            await dead.until("session.created")
            await dead.vanish()
            vanished = time.monotonic()
            await caller.call(SESSION)
            assert await heard_words(caller) <= 0.05
            caller.say("response.create", response={"instructions": f"Say exactly: {SENTENCE}"})
            await caller.until("output_audio_buffer.started")
            calm.shaper.weather = Weather(loss=1.0)
            await asyncio.sleep(BLACKOUT_S)
            calm.shaper.weather = Weather()
            back = time.monotonic()
            await caller.until("output_audio_buffer.stopped")
            assert time.monotonic() - back < RESUMED_S, "events go on"
            assert time.monotonic() - caller.heard_at < 0.5, "sound goes on"
            assert await heard_words(caller) <= 0.05, "no word of the next turn is lost"
            assert await read_aloud(caller) <= READS_WELL
            assert caller.findings() == []
            assert len(caller.events) == len({event["event_id"] for event in caller.events})
            async with httpx.AsyncClient(base_url=remote.url) as http:
                while (await http.get("/health")).json()["sessions"] > 1:
                    assert time.monotonic() - vanished < 40, "the dead call is still there"
                    await asyncio.sleep(0.2)

    run(calm, scenario())


def test_a_caller_whose_router_moves_it_goes_on(calm: Net, remote: Server) -> None:
    """Its packets come from another address, of which it knows nothing: no offer tells of it."""

    async def scenario() -> None:
        async with Caller(remote.url, remote.key) as caller:
            await caller.call(SESSION)
            await caller.until("session.created")
            calm.shaper.rebind()
            moved = time.monotonic()
            await asyncio.sleep(1.0)
            while time.monotonic() - caller.heard_at > 0.5:
                assert time.monotonic() - moved < 15, "it is spoken to where it was"
                await asyncio.sleep(0.1)
            assert await heard_words(caller) <= 0.05
            assert await read_aloud(caller) <= READS_WELL

    run(calm, scenario())
