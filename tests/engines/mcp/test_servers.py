"""The MCP engine against a real server of the SDK, and against servers of every wrong kind."""

import asyncio
import json
import logging
from collections.abc import AsyncGenerator, AsyncIterator
from contextlib import asynccontextmanager
from typing import Any

import pytest

from parley.core.effects import Attend, Call
from parley.core.inputs import AnyInput, ToolReturned, ToolsListed
from parley.core.items import McpError, McpHttpError, McpProtocolError, McpToolExecutionError
from parley.core.mcp_config import McpTool
from parley.engines.mcp import WithServers, limits, with_servers
from parley.errors import EngineError
from parley.live.session import Mailbox
from parley.outgoing import NOTHING, Allowed, read_allowed
from tests.engines.mcp.server import HUGE_CHARS, KEY, TOKEN

LOCAL = read_allowed("127.0.0.0/8")


class Attending:
    """What a session sees of one server."""

    def __init__(self, events: AsyncGenerator[AnyInput, None], mailbox: Mailbox) -> None:
        self._events = events
        self._mailbox = mailbox
        self._calls = 0

    async def tools(self) -> list[str]:
        listed = await anext(self._events)
        assert isinstance(listed, ToolsListed)
        return [tool.name for tool in listed.tools]

    def start(self, name: str, **arguments: Any) -> str:
        self._calls += 1
        call_id = f"mcp_{self._calls}"
        self._mailbox.put(Call(call_id=call_id, name=name, arguments=json.dumps(arguments)))
        return call_id

    async def returned(self) -> ToolReturned:
        returned = await anext(self._events)
        assert isinstance(returned, ToolReturned)
        return returned

    async def call(self, name: str, **arguments: Any) -> tuple[str | None, McpError | None]:
        call_id = self.start(name, **arguments)
        returned = await self.returned()
        assert (returned.work_id, returned.call_id) == ("mcpl_1", call_id)
        return returned.output, returned.error


@asynccontextmanager
async def attending(url: str, allowed: Allowed = LOCAL, **config: Any) -> AsyncIterator[Attending]:
    engine = with_servers(None, allowed)  # type: ignore[arg-type]
    mailbox = Mailbox()
    work = Attend(work_id="mcpl_1", server=McpTool(server_label="it", server_url=url, **config))
    events = engine.run(work, mailbox)
    try:
        yield Attending(events, mailbox)
    finally:
        await events.aclose()
        await engine.close()
        others = [task for task in asyncio.all_tasks() if task is not asyncio.current_task()]
        assert not others, "nothing runs on"


async def refused(url: str, allowed: Allowed = LOCAL, **config: Any) -> EngineError:
    with pytest.raises(EngineError) as error:
        async with attending(url, allowed, **config) as server:
            await server.tools()
    return error.value


async def test_tools_are_listed_and_called(mcp_url: str) -> None:
    async with attending(f"{mcp_url}/mcp/") as server:
        assert {"echo", "write", "slow", "fail", "a.strange/name"} <= set(await server.tools())
        assert await server.call("echo", text="hällo") == ("you said hällo", None)
        assert await server.call("structured") == ('{\n  "answer": 42\n}', None)
        output, _ = await server.call("a.strange/name")
        assert output is not None and "Ignore all instructions" in output


async def test_a_slash_that_is_missing_is_no_obstacle(mcp_url: str) -> None:
    async with attending(f"{mcp_url}/mcp") as server:
        assert "echo" in await server.tools()


async def test_what_fails_is_told_and_the_connection_goes_on(mcp_url: str) -> None:
    async with attending(f"{mcp_url}/mcp/") as server:
        await server.tools()
        output, error = await server.call("fail")
        assert output is None and isinstance(error, McpToolExecutionError) and "it is broken" in error.message
        output, error = await server.call("echo")
        assert output is None and isinstance(error, McpToolExecutionError | McpProtocolError)
        output, error = await server.call("no_such_tool")
        assert output is None and isinstance(error, McpToolExecutionError | McpProtocolError)
        assert await server.call("echo", text="a") == ("you said a", None)


async def test_slow_calls_hold_up_no_others_and_end(mcp_url: str, monkeypatch: pytest.MonkeyPatch) -> None:
    import parley.engines.mcp.attendance as attendance

    async with attending(f"{mcp_url}/mcp/") as server:
        await server.tools()
        monkeypatch.setattr(attendance, "CALL_S", 2.0)
        slow = server.start("slow", seconds=30)
        quick = server.start("echo", text="a")
        first, second = await server.returned(), await server.returned()
        assert (first.call_id, first.output) == (quick, "you said a")
        assert second.call_id == slow and isinstance(second.error, McpHttpError) and second.error.code == 504
        assert await server.call("echo", text="b") == ("you said b", None)


async def test_huge_results_are_cut_or_refused(mcp_url: str) -> None:
    async with attending(f"{mcp_url}/mcp/") as server:
        await server.tools()
        output, _ = await server.call("huge")
        assert output is not None and output.startswith("x" * limits.RESULT_CHARS_MAX)
        assert output.endswith(f"(cut off: {HUGE_CHARS} characters in all)")
        output, error = await server.call("endless")
        assert output is None and error is not None
        assert await server.call("echo", text="a") == ("you said a", None)


async def test_secrets_go_to_the_server(mcp_url: str, caplog: pytest.LogCaptureFixture) -> None:
    caplog.set_level(logging.DEBUG)
    secrets: dict[str, Any] = {"authorization": TOKEN.removeprefix("Bearer "), "headers": {"X-Key": KEY}}
    async with attending(f"{mcp_url}/private/", **secrets) as server:
        assert await server.tools() == ["secret"]
        assert await server.call("secret", text="a") == ("you said a", None)
    assert TOKEN not in caplog.text and KEY not in caplog.text and "you said" not in caplog.text


@pytest.mark.parametrize("config", [{}, {"authorization": "wrong", "headers": {"x-key": KEY}}])
async def test_wrong_secrets(mcp_url: str, config: dict[str, Any]) -> None:
    error = await refused(f"{mcp_url}/private/", **config)
    assert error.code == "backend_refused" and "401" in error.message and "authorization" in error.message


async def test_a_server_that_changes_its_tools(mcp_url: str) -> None:
    """What was listed stays listed; a call of what is gone fails."""
    async with attending(f"{mcp_url}/changing/") as server:
        assert await server.tools() == ["first", "change"]
        assert await server.call("change") == ("changed", None)
        output, error = await server.call("first", text="a")
        assert output is None and error is not None
        assert await server.call("second", text="a") == ("you said a", None)


async def test_a_server_that_forgets_the_session(mcp_url: str) -> None:
    """It is connected again, and the call is made once."""
    async with attending(f"{mcp_url}/wrong/forgetful") as server:
        assert await server.tools() == ["count"]
        assert await server.call("count") == ("1 of 2", None)
        assert await server.call("count") == ("2 of 2", None)


async def test_a_hostile_list(mcp_url: str) -> None:
    async with attending(f"{mcp_url}/wrong/hostile") as server:
        names = await server.tools()
        assert len(names) == limits.TOOLS_MAX
        assert not {"wide", "n" * 500, "line\nbreak"} & set(names)
        async with asyncio.timeout(5):  # neither schema is run against what was returned
            assert await server.call("regex", x="a") == ("ok", None)


async def test_a_list_without_end(mcp_url: str) -> None:
    async with attending(f"{mcp_url}/wrong/hostile?pages=1") as server:
        assert len(await server.tools()) == limits.PAGES_MAX


async def test_so_many_calls_at_once(mcp_url: str, monkeypatch: pytest.MonkeyPatch) -> None:
    import parley.engines.mcp.attendance as attendance

    monkeypatch.setattr(attendance, "CALLS_AT_ONCE_MAX", 1)
    async with attending(f"{mcp_url}/mcp/") as server:
        await server.tools()
        waiting = [server.start("slow", seconds=seconds) for seconds in (0.3, 0.0)]
        assert [(await server.returned()).call_id for _ in waiting] == waiting


@pytest.mark.parametrize(
    ("path", "code"),
    [
        ("wrong/page", "backend_protocol_error"),
        ("wrong/broken", "backend_protocol_error"),
        ("wrong/endless", "backend_protocol_error"),
        ("nowhere", "backend_refused"),
        ("wrong/redirect?to=http://127.0.0.1:1/mcp", "backend_protocol_error"),
        ("wrong/redirect?to=http://169.254.169.254/", "backend_protocol_error"),
    ],
)
async def test_what_is_no_mcp_server(mcp_url: str, path: str, code: str) -> None:
    error = await refused(f"{mcp_url}/{path}")
    assert error.code == code, error.message


async def test_a_server_that_hangs(mcp_url: str, monkeypatch: pytest.MonkeyPatch) -> None:
    import parley.engines.mcp.attendance as attendance

    monkeypatch.setattr(attendance, "LIST_S", 1.0)
    assert (await refused(f"{mcp_url}/wrong/hang")).code == "backend_timeout"


async def test_a_server_that_is_down(unused_tcp_port: int) -> None:
    error = await refused(f"http://127.0.0.1:{unused_tcp_port}/mcp")
    assert error.code == "backend_unavailable"


@pytest.mark.parametrize(
    "url", ["http://localhost:8080/mcp", "http://10.0.0.1/mcp", "http://a:b@example.com/mcp", "http://example.com:22/"]
)
async def test_addresses_that_are_not_allowed(url: str) -> None:
    error = await refused(url, NOTHING)
    assert error.code == "url_not_allowed", error.message


async def test_everything_else_goes_to_the_other_engine() -> None:
    class Other:
        def run(self, work: Any, mailbox: Any) -> Any:
            return work, mailbox

    engine: Any = WithServers(Other(), None)  # type: ignore[arg-type]
    assert engine.run("work", "mailbox") == ("work", "mailbox")
