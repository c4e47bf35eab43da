"""protocol.md 7.1, 7.2, 7.10, 7.12 with the current SDK: nothing but the address and the key is ours."""

import asyncio
from pathlib import Path
from typing import Any

import openai
import pytest
from openai import AsyncOpenAI

from tests.conftest import Server, running_server
from tests.sdk.client import silence, talking, transcript
from tests.sdk.order import Event

PIXEL = "iVBORw0KGgoAAAANSUhEUgAAAAEAAAABCAYAAAAfFcSJAAAADUlEQVR42mNk+M9QDwADhgGAWjR9awAAAABJRU5ErkJggg=="


async def test_connect(server: Server) -> None:
    async with talking(server) as client:
        session = client.events[0]["session"]
        assert (session["type"], session["model"]) == ("realtime", "gpt-realtime")
        assert session["audio"]["input"]["turn_detection"] == {
            "type": "server_vad", "threshold": 0.5, "prefix_padding_ms": 300, "silence_duration_ms": 500,
            "idle_timeout_ms": None, "create_response": True, "interrupt_response": True,
        }  # fmt: skip
        updated = await client.update(instructions="Be brief.", audio={"output": {"voice": "cedar"}})
        assert updated == {
            **session, "instructions": "Be brief.",
            "audio": {**session["audio"], "output": {**session["audio"]["output"], "voice": "cedar"}},
        }  # fmt: skip
        assert client.kinds() == ["session.created", "conversation.created", "session.updated"]


async def test_text_turn(server: Server) -> None:
    async with talking(server) as client:
        await client.update(output_modalities=["text"])
        question = await client.write("What is two plus two?")
        response = await client.respond()
        assert response["status"] == "completed"
        assert "4" in transcript(response)
        assert client.kinds()[3:] == [
            "conversation.item.added", "conversation.item.done", "response.created", "rate_limits.updated",
            "response.output_item.added", "conversation.item.added", "response.content_part.added",
            *["response.output_text.delta"] * len(client.of("response.output_text.delta")),
            "response.output_text.done", "response.content_part.done", "conversation.item.done",
            "response.output_item.done", "response.done",
        ]  # fmt: skip
        assert client.of("conversation.item.added")[1]["previous_item_id"] == question["id"]
        assert response["usage"]["input_token_details"]["audio_tokens"] == 0


async def test_the_sdks_own_loop(server: Server) -> None:
    """As the SDK's documentation has it, typed events and all."""
    said = ""
    async with (
        AsyncOpenAI(base_url=server.base_url, api_key=server.key) as client,
        client.realtime.connect(model="gpt-realtime") as connection,
    ):
        await connection.session.update(session={"type": "realtime", "output_modalities": ["text"]})
        await connection.conversation.item.create(
            item={"type": "message", "role": "user", "content": [{"type": "input_text", "text": "Say hello!"}]}
        )
        await connection.response.create()
        async for event in connection:
            if event.type == "response.output_text.delta":
                said += event.delta
            elif event.type == "response.done":
                break
    assert "hello" in said.lower()


async def test_a_response_asked_for_in_text_of_a_session_that_speaks(server: Server) -> None:
    async with talking(server) as client:
        response = await client.ask("What is three times three?", output_modalities=["text"], metadata={"n": "1"})
        assert response["output_modalities"] == ["text"] and response["metadata"] == {"n": "1"}
        assert client.of("response.output_audio.delta") == []
        spoken = await client.ask("What is three times four?")
        assert spoken["output_modalities"] == ["audio"] and len(client.audio(spoken["id"])) > 24_000


async def test_memory_and_usage_over_turns(server: Server) -> None:
    async with talking(server) as client:
        await client.update(output_modalities=["text"])
        first = await client.ask("My name is Zoe.")
        second = await client.ask("What is my name?")
        assert "Zoe" in transcript(second)
        assert second["usage"]["input_tokens"] > first["usage"]["input_tokens"]
        assert 0 < second["usage"]["input_token_details"]["cached_tokens"] < second["usage"]["input_tokens"]


async def test_max_output_tokens(server: Server) -> None:
    async with talking(server) as client:
        await client.update(output_modalities=["text"])
        response = await client.ask("Count to thirty.", max_output_tokens=5)
        assert response["status"] == "incomplete"
        assert response["status_details"] == {"type": "incomplete", "reason": "max_output_tokens"}
        assert response["output"][0]["status"] == "incomplete"
        assert response["usage"]["output_tokens"] <= 5


async def test_items(server: Server) -> None:
    """Placement, ids of the client's own, retrieve, delete: 3.5, 3.6, 3.8, 5.4."""
    async with talking(server) as client:

        async def create(text: str, item_id: str, **more: Any) -> Event:
            item = {"id": item_id, "type": "message", "role": "user", "content": [{"type": "input_text", "text": text}]}
            await client.sdk.conversation.item.create(item=item, **more)
            return await client.until("conversation.item.done")

        assert (await create("b", "b"))["previous_item_id"] is None
        assert (await create("d", "d"))["previous_item_id"] == "b"
        assert (await create("c", "c", previous_item_id="b"))["previous_item_id"] == "b"
        assert (await create("a", "a", previous_item_id="root"))["previous_item_id"] is None
        await client.sdk.conversation.item.retrieve(item_id="c")
        assert (await client.until("conversation.item.retrieved"))["item"]["content"][0]["text"] == "c"
        await client.sdk.conversation.item.delete(item_id="c")
        await client.until("conversation.item.deleted", item_id="c")
        await client.sdk.conversation.item.retrieve(item_id="c", event_id="gone")
        await client.error("item_retrieve_invalid_item_id", "gone")


async def test_history_of_the_clients_own(server: Server) -> None:
    """System and assistant messages, as agents bring them from an earlier session."""
    async with talking(server) as client:
        await client.update(output_modalities=["text"])
        for role, kind, text in (
            ("system", "input_text", "The user is in a hurry."),
            ("user", "input_text", "My name is Bob."),
            ("assistant", "output_text", "Hello Bob."),
        ):
            content = [{"type": kind, "text": text}]
            await client.sdk.conversation.item.create(item={"type": "message", "role": role, "content": content})
            assert (await client.until("conversation.item.done"))["item"]["role"] == role
        assert "Bob" in transcript(await client.ask("What is my name?"))


async def test_cancel(server: Server) -> None:
    """7.10: a cancelled response ends as cancelled; a cancel that comes too late is an error that changes nothing."""
    async with talking(server) as client:
        await client.update(output_modalities=["text"])
        await client.sdk.response.cancel(event_id="early")
        await client.error("response_cancel_not_active", "early")
        response = await client.ask("What is two plus two?")
        await client.sdk.response.cancel(response_id=response["id"], event_id="late")
        await client.error("response_cancel_not_active", "late")


async def test_out_of_band(server: Server) -> None:
    """7.12: its own input, no trace in the conversation, beside a response of the conversation."""
    async with talking(server) as client:
        await client.update(output_modalities=["text"])
        kept = await client.write("My name is Zoe.")
        answer = await client.respond(
            conversation="none",
            metadata={"topic": "sum"},
            input=[
                {"type": "item_reference", "id": kept["id"]},
                {"type": "message", "role": "user", "content": [{"type": "input_text", "text": "What is my name?"}]},
            ],
        )
        assert answer["conversation_id"] is None and answer["metadata"] == {"topic": "sum"}
        assert "Zoe" in transcript(answer)
        nothing = await client.respond(conversation="none", input=[])
        assert nothing["status"] == "completed"
        assert [event["item"]["id"] for event in client.of("conversation.item.added")] == [kept["id"]]


async def test_many_at_once(server: Server) -> None:
    async with talking(server) as client:
        await client.update(output_modalities=["text"])
        topics = [str(number) for number in range(8)]
        for topic in topics:
            said = {
                "type": "message",
                "role": "user",
                "content": [{"type": "input_text", "text": f"What is {topic} plus 1?"}],
            }
            await client.sdk.response.create(
                response={"conversation": "none", "metadata": {"topic": topic}, "input": [said]}
            )
        done = [await client.done() for _ in topics]
        assert sorted(response["metadata"]["topic"] for response in done) == topics
        assert {response["status"] for response in done} == {"completed"}


async def test_image(tmp_path: Path) -> None:
    """The embedded assistant is blind, and says so where it is shown one; the image is counted, kept, and given back."""
    with running_server(tmp_path, env={"PARLEY_LLM_SEES": "yes"}) as server:
        await check_image(server)


async def check_image(server: Server) -> None:
    async with talking(server) as client:
        await client.update(output_modalities=["text"])
        url = f"data:image/png;base64,{PIXEL}"
        await client.sdk.conversation.item.create(
            item={"type": "message", "role": "user", "content": [{"type": "input_image", "image_url": url}]}
        )
        item = (await client.until("conversation.item.done"))["item"]
        (part,) = item["content"]
        assert (part["type"], part["detail"]) == ("input_image", "auto")
        assert part["image_url"].startswith("data:image/jpeg;base64,"), "as the model sees it"
        response = await client.respond()
        assert "image" in transcript(response)
        assert response["usage"]["input_token_details"]["image_tokens"] > 0


async def test_models_are_listed(server: Server) -> None:
    async with AsyncOpenAI(base_url=server.base_url, api_key=server.key) as client:
        listed = [model.id async for model in client.models.list()]
        assert {"gpt-realtime", "gpt-4o-realtime-preview", "realtime-mini", "whisper-1"} <= set(listed)
        assert (await client.models.retrieve("gpt-realtime")).id == "gpt-realtime"
        with pytest.raises(openai.NotFoundError) as refused:
            await client.models.retrieve("gpt-nothing")
        assert refused.value.code == "model_not_found"


async def test_leaving_in_the_middle(server: Server) -> None:
    async with talking(server, cut_off=True) as client:
        await client.sdk.input_audio_buffer.append(audio="AAAA" * 4_000)
        await client.write("Count to thirty.")
        await client.sdk.response.create()
        await client.until("response.created")
    async with talking(server) as client:
        await client.stream(silence(40))
        await client.settle()


async def test_twenty_clients(server: Server) -> None:
    async def one(number: int) -> None:
        async with talking(server) as client:
            await client.update(output_modalities=["text"])
            assert str(number * 2) in transcript(await client.ask(f"What is {number} times 2?"))

    await asyncio.gather(*(one(number) for number in range(40, 60)))
