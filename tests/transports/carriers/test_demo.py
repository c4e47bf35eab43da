"""OpenAI's Twilio demo, which bridges by itself, works with only the address and the key changed."""

from tests.conftest import Server
from tests.oracle import check_beta
from tests.sdk.client import transcript
from tests.sdk.speaker import Speaker
from tests.transports.carriers.bridge import Bridge
from tests.transports.carriers.carrier import Carrier

COMPLETED = "conversation.item.input_audio_transcription.completed"
GREETED = bytes(48 * 700)
"""People wait a moment before they speak; what they say before the demo is connected it throws away."""
WEATHER = {
    "name": "get_weather",
    "type": "function",
    "description": "Get the current weather in a city.",
    "parameters": {"type": "object", "properties": {"city": {"type": "string"}}, "required": ["city"]},
}


async def test_a_call_over_the_demo(server: Server, speaker: Speaker) -> None:
    """Something that the embedded assistant makes many words about, an interruption, and an answer to that."""
    bridge = Bridge(server.ws_url, server.key)
    async with bridge.open() as url, Carrier(url) as caller:
        caller.speak(GREETED + await speaker("My grandmother sold the blue bicycle yesterday."))
        await caller.until(lambda: caller.played_ms > 2_000)
        caller.speak(await speaker("Can you tell me how much is twelve times twelve?"))
        await caller.until(lambda: caller.cleared_at is not None)
        heard_ms = caller.played_ms_when_cleared
        await caller.until(lambda: len(bridge.of("response.done")) > 1)
        await caller.until(lambda: len(bridge.of(COMPLETED)) > 1)
        played_ms = caller.played_ms
        await caller.until(lambda: caller.played_ms > played_ms + 300)
    assert "144" in transcript(bridge.of("response.done")[-1]["response"])
    said = [event["transcript"].lower() for event in bridge.of(COMPLETED)]
    assert said[0] and "twelve" in said[1]
    (truncated,) = bridge.of("conversation.item.truncated")
    assert abs(truncated["audio_end_ms"] - heard_ms) < 500, "the demo goes by Twilio's clock, not by marks"
    assert bridge.of("error") == []
    assert [trouble for event in bridge.said for trouble in check_beta(event)] == []


async def test_a_function_over_the_demo(server: Server, speaker: Speaker) -> None:
    bridge = Bridge(server.ws_url, server.key, {"tools": [WEATHER]})
    async with bridge.open() as url, Carrier(url) as caller:
        caller.speak(GREETED + await speaker("Do you know the weather in London?"))
        await caller.until(lambda: len(bridge.of("response.done")) > 1)
        await caller.until(lambda: caller.played_ms > 500)
    (call,) = [item for item in bridge.of("response.done")[0]["response"]["output"] if item["type"] == "function_call"]
    assert call["name"] == "get_weather"
    assert bridge.of("error") == []
