"""The flows of protocol.md 7 with the beta client of an old SDK; run by its Python, driven by `test_beta.py`.

python -m tests.sdk.beta_client URL KEY SPEECH FLOW …   ->   one JSON line: the SDK's version, then one a flow

SPEECH is a file with `QUESTION` in house format. A flow's line is `[name, events, trouble]`: how many events were judged,
and null or what went wrong.
"""

import asyncio
import base64
import json
import sys
import traceback
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any, NamedTuple

import openai

from tests.sdk.client import BETA, Client, calls, judged, silence, transcript

QUESTION = "How much is twelve times twelve?"
WEATHER = {
    "type": "function",
    "name": "get_weather",
    "description": "Get the current weather in a city.",
    "parameters": {"type": "object", "properties": {"city": {"type": "string"}}, "required": ["city"]},
}
COMPLETED = "conversation.item.input_audio_transcription.completed"


class Place(NamedTuple):
    """Where the server is, and what can be said to it."""

    url: str
    key: str
    speech: bytes
    events: list[int]
    """How many were judged, connection by connection."""

    @asynccontextmanager
    async def talking(self, **options: Any) -> AsyncIterator[Client]:
        sdk: Any = openai.AsyncOpenAI(
            base_url=self.url, websocket_base_url=self.url.replace("http", "ws"), api_key=self.key
        )
        options.setdefault("model", "gpt-4o-realtime-preview")
        async with sdk, sdk.beta.realtime.connect(**options) as connection, judged(Client(connection, BETA)) as client:
            yield client
            self.events.append(len(client.events))


async def connect(place: Place) -> None:
    async with place.talking() as client:
        session = client.events[0]["session"]
        assert session["modalities"] == ["text", "audio"] and session["temperature"] == 0.8, session
        assert session["input_audio_format"] == "pcm16" and session["max_response_output_tokens"] == "inf", session
        updated = await client.update(temperature=0.6, voice="coral", max_response_output_tokens=500)
        assert updated == {**session, "temperature": 0.6, "voice": "coral", "max_response_output_tokens": 500}, updated


async def text_turn(place: Place) -> None:
    async with place.talking() as client:
        await client.update(modalities=["text"])
        await client.write("What is two plus two?")
        response = await client.respond()
        assert "4" in transcript(response), response
        assert response["output"][0]["content"][0]["type"] == "text", response
        assert client.kinds()[3:] == [
            "conversation.item.created", "response.created", "rate_limits.updated", "response.output_item.added",
            "conversation.item.created", "response.content_part.added",
            *["response.text.delta"] * len(client.of("response.text.delta")),
            "response.text.done", "response.content_part.done", "response.output_item.done", "response.done",
        ], client.kinds()  # fmt: skip


async def spoken_turn(place: Place) -> None:
    async with place.talking() as client:
        await client.update(
            turn_detection={"type": "server_vad", "silence_duration_ms": 400},
            input_audio_transcription={"model": "whisper-1"},
        )
        await client.speak(place.speech)
        response = await client.done()
        assert "144" in transcript(response) and response["modalities"] == ["text", "audio"], response
        assert response["output"][0]["content"][0]["type"] == "audio", response
        assert len(client.audio(response["id"])) > 24_000
        assert client.of("response.audio_transcript.done")[0]["transcript"] == transcript(response)
        heard = client.of(COMPLETED) or [await client.until(COMPLETED)]
        assert "twelve" in heard[0]["transcript"].lower(), heard
        item_id = response["output"][0]["id"]
        await client.sdk.conversation.item.truncate(item_id=item_id, content_index=0, audio_end_ms=300)
        await client.until("conversation.item.truncated", item_id=item_id)
        await client.sdk.conversation.item.retrieve(item_id=item_id)
        part = (await client.until("conversation.item.retrieved"))["item"]["content"][0]
        assert part["type"] == "audio" and len(base64.b64decode(part["audio"])) == 300 * 48


async def push_to_talk(place: Place) -> None:
    async with place.talking() as client:
        await client.update(turn_detection=None, modalities=["text"])
        await client.sdk.input_audio_buffer.commit(event_id="c1")
        await client.error("input_audio_buffer_commit_empty", "c1")
        await client.stream(place.speech, times=50)
        await client.sdk.input_audio_buffer.commit()
        await client.until("input_audio_buffer.committed")
        assert "144" in transcript(await client.respond())


async def functions(place: Place) -> None:
    async with place.talking() as client:
        await client.update(tools=[WEATHER], tool_choice="auto", modalities=["text"])
        (call,) = calls(await client.ask("What is the weather in Paris?"))
        assert json.loads(call["arguments"]) == {"city": "Paris"}, call
        output = {"type": "function_call_output", "call_id": call["call_id"], "output": '{"temperature": 21}'}
        await client.sdk.conversation.item.create(item=output)
        await client.until("conversation.item.created")
        assert "21" in transcript(await client.respond())
        named = await client.update(tool_choice="get_weather")
        assert named["tool_choice"] == "get_weather", named


async def out_of_band(place: Place) -> None:
    async with place.talking() as client:
        kept = await client.write("My name is Zoe.")
        response = await client.respond(
            conversation="none",
            modalities=["text"],
            metadata={"topic": "name"},
            input=[
                {"type": "item_reference", "id": kept["id"]},
                {"type": "message", "role": "user", "content": [{"type": "input_text", "text": "What is my name?"}]},
            ],
        )
        assert "Zoe" in transcript(response) and response["conversation_id"] is None, response


async def errors(place: Place) -> None:
    async with place.talking() as client:
        for session, code, param in (
            ({"output_modalities": ["text"]}, "unknown_parameter", "session.output_modalities"),
            ({"modalities": ["audio"]}, "invalid_value", "session.modalities"),
            ({"temperature": 3}, "invalid_value", "session.temperature"),
            ({"turn_detection": {"type": "server_vad", "idle_timeout_ms": 6000}}, "unknown_parameter", None),
            ({"voice": "nobody"}, "invalid_value", "session.voice"),
        ):
            await client.sdk.session.update(session=session, event_id="u")
            error = await client.error(code, "u")
            assert param is None or error["param"] == param, error
        await client.sdk.response.cancel(event_id="x")
        await client.error("response_cancel_not_active", "x")
        part = {"type": "output_text", "text": "x"}
        await client.sdk.conversation.item.create(
            item={"type": "message", "role": "assistant", "content": [part]}, event_id="p"
        )
        await client.error("invalid_value", "p")
        await client.sdk.conversation.item.create(
            item={"type": "message", "role": "assistant", "content": [{**part, "type": "text"}]}
        )
        assert (await client.until("conversation.item.created"))["item"]["content"][0]["type"] == "text"


async def telephone(place: Place) -> None:
    async with place.talking() as client:
        await client.update(input_audio_format="g711_ulaw", output_audio_format="g711_alaw")
        await client.stream(silence(400, "audio/pcmu"), "audio/pcmu")
        response = await client.ask("Hello!")
        assert response["output_audio_format"] == "g711_alaw", response
        assert len(client.audio(response["id"])) > 4_000


async def transcription(place: Place) -> None:
    sdk: Any = openai.AsyncOpenAI(
        base_url=place.url, websocket_base_url=place.url.replace("http", "ws"), api_key=place.key
    )
    options = {"model": "gpt-4o-transcribe", "extra_query": {"intent": "transcription"}}
    async with sdk, sdk.beta.realtime.connect(**options) as connection:
        client = Client(connection, BETA)
        await client.until("transcription_session.created")
        await client.sdk.transcription_session.update(
            session={
                "input_audio_format": "pcm16",
                "input_audio_transcription": {"model": "gpt-4o-transcribe", "language": "en"},
                "turn_detection": {"type": "server_vad", "silence_duration_ms": 400},
            }
        )
        updated = (await client.until("transcription_session.updated"))["session"]
        assert updated["turn_detection"]["silence_duration_ms"] == 400, updated
        await client.speak(place.speech)
        assert "twelve" in (await client.until(COMPLETED))["transcript"].lower()
        await client.stop()
        faults = client.faults(cut_off=False)
        assert not faults, "\n".join(faults)
        place.events.append(len(client.events))


FLOWS: dict[str, Callable[[Place], Awaitable[None]]] = {
    flow.__name__: flow
    for flow in (
        connect,
        text_turn,
        spoken_turn,
        push_to_talk,
        functions,
        out_of_band,
        errors,
        telephone,
        transcription,
    )
}


async def play(name: str, place: Place) -> tuple[str, int, str | None]:
    try:
        await FLOWS[name](place)
    except Exception:
        return name, sum(place.events), traceback.format_exc()
    return name, sum(place.events), None


def main(url: str, key: str, speech: str, *flows: str) -> None:
    print(json.dumps(openai.__version__), flush=True)
    for name in flows:
        place = Place(url, key, Path(speech).read_bytes(), [])
        print(json.dumps(asyncio.run(play(name, place))), flush=True)


if __name__ == "__main__":
    main(*sys.argv[1:])
