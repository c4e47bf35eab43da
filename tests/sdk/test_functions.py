"""protocol.md 7.6 with the current SDK: the official guide's horoscope, several calls at once, and what can go wrong."""

import json
from typing import Any

from tests.conftest import Server
from tests.sdk.client import calls, talking, transcript
from tests.sdk.order import Event

SIGNS = [
    "Aries", "Taurus", "Gemini", "Cancer", "Leo", "Virgo",
    "Libra", "Scorpio", "Sagittarius", "Capricorn", "Aquarius", "Pisces",
]  # fmt: skip
HOROSCOPE = {
    "type": "function",
    "name": "generate_horoscope",
    "description": "Give today's horoscope for an astrological sign.",
    "parameters": {
        "type": "object",
        "properties": {"sign": {"type": "string", "description": "The sign for the horoscope.", "enum": SIGNS}},
        "required": ["sign"],
    },
}
WEATHER = {
    "type": "function",
    "name": "get_weather",
    "description": "Get the current weather in a city.",
    "parameters": {"type": "object", "properties": {"city": {"type": "string"}}, "required": ["city"]},
}


async def test_horoscope(server: Server) -> None:
    async with talking(server) as client:
        session = await client.update(tools=[HOROSCOPE], tool_choice="auto")
        assert session["tools"] == [HOROSCOPE]
        asking = await client.ask("Give me my horoscope! I am an aquarius.")
        (call,) = calls(asking)
        assert (call["name"], json.loads(call["arguments"])) == ("generate_horoscope", {"sign": "Aquarius"})
        assert (asking["status"], call["status"]) == ("completed", "completed")
        about = [event["type"] for event in client.events if _is_about(event, call["id"])]
        deltas = about.count("response.function_call_arguments.delta")
        assert about == [
            "response.output_item.added", "conversation.item.added",
            *["response.function_call_arguments.delta"] * deltas, "response.function_call_arguments.done",
            "conversation.item.done", "response.output_item.done",
        ]  # fmt: skip
        added = client.of("response.output_item.added")[0]["item"]
        assert (added["status"], added["arguments"], added["call_id"]) == ("in_progress", "", call["call_id"])
        await give(client, call, {"horoscope": "You will soon meet a new friend."})
        spoken = await client.respond()
        assert "new friend" in transcript(spoken)
        assert len(client.audio(spoken["id"])) > 24_000


async def test_calls_side_by_side(server: Server) -> None:
    async with talking(server) as client:
        await client.update(tools=[WEATHER], output_modalities=["text"])
        asking = await client.ask("What is the weather in Paris and in London?")
        wanted = calls(asking)
        assert [json.loads(call["arguments"]) for call in wanted] == [{"city": "Paris"}, {"city": "London"}]
        assert len({call["call_id"] for call in wanted}) == 2
        for call, degrees in zip(wanted, (21, 14), strict=True):
            await give(client, call, {"temperature": degrees})
        answer = transcript(await client.respond())
        assert "21" in answer and "14" in answer


async def test_acting_on_the_item_before_the_response_is_done(server: Server) -> None:
    """Clients dispatch on `output_item.done`; their `response.create` may then come too early, and is refused."""
    async with talking(server) as client:
        await client.update(tools=[HOROSCOPE], output_modalities=["text"])
        await client.write("Give me my horoscope! I am an aquarius.")
        await client.sdk.response.create()
        call = (await client.until("response.output_item.done"))["item"]
        await client.done()
        await give(client, call, {"horoscope": "All is well."})
        assert "well" in transcript(await client.respond())


async def test_tool_choice(server: Server) -> None:
    async with talking(server) as client:
        await client.update(tools=[WEATHER, HOROSCOPE], output_modalities=["text"])
        question = "Give me my horoscope! I am an aquarius."
        assert calls(await client.ask(question, tool_choice="none")) == []
        forced = await client.ask("Hello!", tool_choice={"type": "function", "name": "generate_horoscope"})
        assert [call["name"] for call in calls(forced)] == ["generate_horoscope"]
        required = await client.ask("Hello!", tool_choice="required")
        assert len(calls(required)) >= 1
        assert calls(await client.ask(question, tools=[])) == []


async def test_outputs_of_calls_that_nobody_made(server: Server) -> None:
    async with talking(server) as client:
        output = {"type": "function_call_output", "call_id": "call_none", "output": "{}"}
        await client.sdk.conversation.item.create(item=output, event_id="o")
        error = await client.error("invalid_tool_call_id", "o")
        assert "call_none" in error["message"]


async def test_calls_of_an_earlier_session(server: Server) -> None:
    """Agents bring their history along: a call, and its output."""
    async with talking(server) as client:
        await client.update(tools=[WEATHER], output_modalities=["text"])
        await client.write("What is the weather in Paris?")
        call = {
            "type": "function_call", "call_id": "call_old", "name": "get_weather", "arguments": '{"city": "Paris"}',
        }  # fmt: skip
        await client.sdk.conversation.item.create(item=call)
        item = (await client.until("conversation.item.done"))["item"]
        await give(client, item, {"temperature": 21})
        assert "21" in transcript(await client.respond())


async def test_schemas_that_cannot_be_right(server: Server) -> None:
    async with talking(server) as client:
        for tool, code, param in (
            (
                {"type": "function", "parameters": {"type": "object"}},
                "missing_required_parameter",
                "session.tools[0].name",
            ),
            ({**WEATHER, "meta": 1}, "unknown_parameter", "session.tools[0].meta"),
            ({**WEATHER, "parameters": {"type": "text"}}, "invalid_value", "session.tools[0].parameters.type"),
            ({"type": "magic", "name": "x"}, "invalid_value", "session.tools[0].type"),
        ):
            await client.sdk.session.update(session={"type": "realtime", "tools": [tool]}, event_id="t")
            error = await client.error(code, "t")
            assert error["param"] == param
        assert (await client.update())["tools"] == []


async def give(client: Any, call: Event, output: Event) -> None:
    item = {"type": "function_call_output", "call_id": call["call_id"], "output": json.dumps(output)}
    await client.sdk.conversation.item.create(item=item)
    done = await client.until("conversation.item.done")
    assert done["item"]["output"] == json.dumps(output)


def _is_about(event: Event, item_id: str) -> bool:
    return event.get("item_id") == item_id or (event.get("item") or {}).get("id") == item_id
