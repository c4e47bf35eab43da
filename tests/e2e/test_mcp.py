"""Remote MCP servers from end to end: the official SDK, a real Parley, a real MCP server, a model that does as it is told.

Every event is judged by the oracle and by the order of events (`tests.sdk.client`).
"""

import asyncio
import json
import statistics
import time
from collections.abc import AsyncIterator, Iterator
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any

import pytest
from openai import AsyncOpenAI

from tests.conftest import Server, running_server
from tests.e2e.backends import PATHS, Backends, running_backends
from tests.engines.fake_backends import Reply, Request
from tests.engines.mcp.running import running_mcp
from tests.engines.mcp.server import KEY, TOKEN
from tests.sdk.client import Client, talking, transcript

SERVERS = 5
TURNS = 5
LATE_S = 0.2
"""Ten times what was measured, on two cores: 10 ms, all of it the work of listing beside."""
Delta = dict[str, Any]


class Mind:
    """A language model that gives one prepared answer after the other, and keeps what it was asked."""

    def __init__(self, backends: Backends) -> None:
        self.answers: list[list[Delta]] = []
        self.asked: list[dict[str, Any]] = []
        backends.fake.routes[PATHS["LLM"]] = self._answer

    def say(self, text: str) -> None:
        self.answers.append([{"content": text}])

    def call(self, *calls: tuple[str, dict[str, Any]], text: str = "") -> None:
        made = [
            {"index": n, "id": f"c{n}", "function": {"name": name, "arguments": json.dumps(arguments)}}
            for n, (name, arguments) in enumerate(calls)
        ]
        self.answers.append([{"content": text}, {"tool_calls": made}])

    @property
    def last(self) -> list[dict[str, Any]]:
        """The messages of the last prompt."""
        messages: list[dict[str, Any]] = self.asked[-1]["messages"]
        return messages

    async def _answer(self, request: Request, reply: Reply) -> None:
        self.asked.append(json.loads(request.body))
        deltas = self.answers.pop(0) if self.answers else [{"content": "Hello there."}]
        chunks = [json.dumps({"choices": [{"index": 0, "delta": delta}]}) for delta in deltas]
        end = json.dumps({"choices": [{"index": 0, "delta": {}, "finish_reason": "stop"}]})
        lines = [f"data: {chunk}\n\n".encode() for chunk in (*chunks, end, "[DONE]")]
        await reply.stream(lines, "text/event-stream")


@pytest.fixture(scope="module")
def backends() -> Iterator[Backends]:
    with running_backends() as backends:
        yield backends


@pytest.fixture(scope="module")
def mcp_url() -> Iterator[str]:
    with running_mcp() as url:
        yield url


@pytest.fixture(scope="module")
def server(backends: Backends, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Server]:
    home = tmp_path_factory.mktemp("mcp")
    env = backends.env(
        PARLEY_ALLOWED_NETWORKS="127.0.0.0/8",
        PARLEY_LOG_LEVEL="debug",
        PARLEY_LOG_FORMAT="json",
        PARLEY_RECORD="transcripts",
    )
    with running_server(home, env=env) as server:
        yield server


@pytest.fixture
def mind(backends: Backends) -> Mind:
    return Mind(backends)


def tool(url: str, label: str = "it", **more: Any) -> dict[str, Any]:
    return {"type": "mcp", "server_label": label, "server_url": url, "require_approval": "never", **more}


@asynccontextmanager
async def having(server: Server, *tools: dict[str, Any], **more: Any) -> AsyncIterator[Client]:
    """A client whose servers are listed."""
    async with talking(server) as client:
        await client.update(tools=tools, output_modalities=["text"], **more)
        for _ in tools:
            await client.until("mcp_list_tools.completed")
        yield client


def about(client: Client, item_id: str) -> list[str]:
    """The events about an item."""
    return [
        event["type"]
        for event in client.events
        if item_id in (event.get("item_id"), event.get("item", {}).get("id")) and not event["type"].endswith("delta")
    ]


async def test_a_tool_is_called_and_the_answer_goes_on(server: Server, mind: Mind, mcp_url: str) -> None:
    async with having(server, tool(f"{mcp_url}/mcp")) as client:
        (listed,) = [event["item"] for event in client.of("conversation.item.done")]
        assert {"echo", "write"} <= {each["name"] for each in listed["tools"]}
        assert all(isinstance(each["description"], str) for each in listed["tools"])
        mind.call(("it__echo", {"text": "hello"}), text="One moment.")
        mind.say("It said hello.")
        response = await client.ask("Say hello to the echo!")
        assert [item["type"] for item in response["output"]] == ["message", "mcp_call", "message"]
        call = response["output"][1]
        assert (call["name"], call["output"], call["error"]) == ("echo", "you said hello", None)
        assert json.loads(call["arguments"]) == {"text": "hello"}
        assert transcript(response).endswith("It said hello.")
        assert about(client, call["id"]) == [
            "response.output_item.added", "conversation.item.added", "response.mcp_call_arguments.done",
            "response.mcp_call.in_progress", "response.mcp_call.completed",
            "conversation.item.done", "response.output_item.done",
        ]  # fmt: skip
        assert mind.last[-1] == {"role": "tool", "tool_call_id": call["id"], "content": "you said hello"}
        assert mind.last[-2]["tool_calls"][0]["function"]["name"] == "it__echo"
        usage = response["usage"]
        assert usage["input_tokens"] > 0 and usage["total_tokens"] == usage["input_tokens"] + usage["output_tokens"]


async def test_several_calls_then_one_answer_in_speech(server: Server, mind: Mind, mcp_url: str) -> None:
    async with having(server, tool(f"{mcp_url}/mcp")) as client:
        await client.update(output_modalities=["audio"])
        mind.call(("it__echo", {"text": "a"}), ("it__fail", {}), ("it__slow", {"seconds": 0.2}))
        mind.say("Two of three.")
        response = await client.ask("Do everything!")
        outputs = [(item["output"], item["error"] and item["error"]["type"]) for item in response["output"][:3]]
        assert outputs == [("you said a", None), (None, "tool_execution_error"), ("at last", None)]
        assert transcript(response) == "Two of three." and client.audio(response["id"])
        assert [m["content"] for m in mind.last if m["role"] == "tool"] == [
            "you said a",
            "Error: Error executing tool fail: it is broken",
            "at last",
        ]


async def test_approved_and_refused(server: Server, mind: Mind, mcp_url: str) -> None:
    rules: dict[str, Any] = {"require_approval": {"never": {"read_only": True}}}
    async with having(server, tool(f"{mcp_url}/mcp", **rules)) as client:
        mind.call(("it__write", {"text": "x"}))
        asking = await client.ask("Write x!")
        (request,) = asking["output"]
        assert (request["type"], request["name"]) == ("mcp_approval_request", "write")
        assert not client.of("response.mcp_call.in_progress")
        mind.say("Written.")
        await answer(client, request, approve=True)
        response = await client.done()
        assert [item["type"] for item in response["output"]] == ["mcp_call", "message"]
        assert response["output"][0]["approval_request_id"] == request["id"]
        assert response["output"][0]["output"] == "written: 1"
        assert mind.last[-1] == {"role": "tool", "tool_call_id": request["id"], "content": "written: 1"}
        mind.call(("it__write", {"text": "y"}))
        (request,) = (await client.ask("Write y!"))["output"]
        mind.say("Then not.")
        await answer(client, request, approve=False, reason="too late")
        assert transcript(await client.done()) == "Then not."
        assert mind.last[-1]["content"] == "The user did not allow this call. too late"
        mind.call(("it__echo", {"text": "a"}))
        mind.say("No question.")
        assert [item["type"] for item in (await client.ask("Echo!"))["output"]] == ["mcp_call", "message"]


async def answer(client: Client, request: dict[str, Any], **more: Any) -> None:
    """As agents-js does: without an id, behind the request."""
    item = {"type": "mcp_approval_response", "approval_request_id": request["id"], **more}
    await client.sdk.conversation.item.create(previous_item_id=request["id"], item=item)


async def test_servers_that_do_not_work_cost_the_others_nothing(server: Server, mind: Mind, mcp_url: str) -> None:
    bad = [tool(f"{mcp_url}/{path}", f"bad{n}") for n, path in enumerate(("nowhere", "wrong/broken", "private/"))]
    async with talking(server) as client:
        await client.update(tools=[*bad, tool(f"{mcp_url}/mcp")], output_modalities=["text"])
        errors = [(await client.until("error"))["error"] for _ in bad]
        assert len(client.of("mcp_list_tools.failed")) == 3
        while not client.of("mcp_list_tools.completed"):
            await asyncio.sleep(0.01)
        assert sorted(error["code"] for error in errors) == [
            "backend_protocol_error",
            "backend_refused",
            "backend_refused",
        ]
        mind.call(("it__echo", {"text": "a"}))
        mind.say("Good.")
        assert transcript(await client.ask("?")) == "Good."


async def test_a_model_that_calls_for_ever_is_stopped(server: Server, mind: Mind, mcp_url: str) -> None:
    async with having(server, tool(f"{mcp_url}/mcp")) as client:
        for _ in range(8):
            mind.call(("it__echo", {"text": "again"}))
        mind.say("Enough.")
        asked = len(mind.asked)
        response = await client.ask("Go!")
        assert transcript(response) == "Enough." and len(response["output"]) == 9
        choices = [each.get("tool_choice") for each in mind.asked[asked:]]
        assert choices == ["auto"] * 8 + ["none"]


async def test_no_secret_is_written_anywhere(server: Server, mind: Mind, mcp_url: str) -> None:
    """Neither to the client, nor to a client secret's maker, nor into a file of the server."""
    token = TOKEN.removeprefix("Bearer ")
    secret = tool(f"{mcp_url}/private/", authorization=token, headers={"x-key": KEY})
    async with having(server, secret) as client:
        mind.call(("it__secret", {"text": "a"}))
        mind.say("Good.")
        assert transcript(await client.ask("?")) == "Good."
        await client.update(instructions="Be brief.")
        await client.update(tools=[tool(f"{mcp_url}/private/")])  # as a client sends back what it was shown
        mind.call(("it__secret", {"text": "b"}))
        mind.say("Still good.")
        assert transcript(await client.ask("?")) == "Still good."
    session: Any = {"type": "realtime", "tools": [secret]}
    async with AsyncOpenAI(base_url=server.base_url, api_key=server.key) as openai:
        made = await openai.realtime.client_secrets.create(session=session)
    said = json.dumps(client.events) + made.model_dump_json()
    assert token not in said and KEY not in said
    files = [path for path in server.home.rglob("*") if path.is_file()]
    assert server.log in files
    for path in files:
        content = path.read_bytes()
        assert token.encode() not in content and KEY.encode() not in content, path
        if path == server.log:
            assert b"you said" not in content and b"tools/call" not in content


async def test_addresses_inside_are_refused(backends: Backends, mcp_url: str, tmp_path: Path) -> None:
    with running_server(tmp_path, env=backends.env()) as server:
        async with talking(server) as client:
            await client.update(tools=[tool(f"{mcp_url}/mcp")])
            await client.error("url_not_allowed")


async def test_listing_delays_no_answer(server: Server, mind: Mind, mcp_url: str) -> None:
    """The first answer of a session whose servers are being listed meanwhile: five of twenty tools, and one that hangs."""
    tools = [*(tool(f"{mcp_url}/small/", f"s{n}") for n in range(SERVERS)), tool(f"{mcp_url}/wrong/hang", "hanging")]
    plain, listing = [], []
    for _ in range(TURNS):
        plain.append(await first_answer_s(server, []))
        listing.append(await first_answer_s(server, tools))
    assert statistics.median(listing) - statistics.median(plain) < LATE_S


async def first_answer_s(server: Server, tools: list[dict[str, Any]]) -> float:
    async with talking(server, cut_off=True) as client:
        await client.update(tools=tools, output_modalities=["text"])
        await client.write("Hello!")
        began = time.perf_counter()
        await client.sdk.response.create()
        await client.until("response.output_text.delta")
        return time.perf_counter() - began
