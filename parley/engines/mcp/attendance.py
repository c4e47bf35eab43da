"""One session attending to one MCP server. Loads the SDK; imported when the first server is configured."""

import asyncio
import logging
from collections.abc import AsyncGenerator, AsyncIterator
from contextlib import suppress
from typing import Any, Final

import httpx2
import msgspec
from mcp import Client, MCPError, types
from mcp.client.streamable_http import streamable_http_client

from parley.core.effects import Attend, Call, Message
from parley.core.inputs import AnyInput, ToolReturned, ToolsListed
from parley.core.items import McpError, McpHttpError, McpProtocolError, McpToolExecutionError, McpToolInfo
from parley.core.mcp_config import McpTool
from parley.engines.mcp.http import FAULT, Fault, Guarded
from parley.engines.mcp.limits import (
    BODY_BYTES_MAX,
    CALL_S,
    CALLS_AT_ONCE_MAX,
    CLOSE_S,
    LIST_S,
    MESSAGE_CHARS_MAX,
    PAGES_MAX,
    TOOLS_MAX,
)
from parley.engines.mcp.reading import text_of, tool_info
from parley.errors import EngineError
from parley.outgoing import Outgoing

POSTS_MAX: Final = 64
UNREADABLE: Final = "It sent something that cannot be read."

for _talkative in ("mcp", "client", "httpx2", "httpcore2"):
    # They log arguments, results and addresses, which are nobody's business.
    logging.getLogger(_talkative).setLevel(logging.CRITICAL + 1)


async def attend(work: Attend, mailbox: AsyncIterator[Message], outgoing: Outgoing) -> AsyncGenerator[AnyInput, None]:
    """Yields `ToolsListed`, then a `ToolReturned` for every `Call`. Raises `EngineError` where there is no list."""
    remote = Remote(work.server, outgoing)
    posts: asyncio.Queue[AnyInput] = asyncio.Queue(POSTS_MAX)
    tasks: set[asyncio.Task[None]] = set()

    async def make(call: Call) -> None:
        output, error = await remote.call(call.name, call.arguments)
        await posts.put(ToolReturned(work_id=work.work_id, call_id=call.call_id, output=output, error=error))

    async def read() -> None:
        async for message in mailbox:
            if isinstance(message, Call):
                start(make(message))

    def start(job: Any) -> None:
        task = asyncio.create_task(job)
        tasks.add(task)
        task.add_done_callback(tasks.discard)

    try:
        yield ToolsListed(work_id=work.work_id, tools=await remote.list())
        start(read())
        while True:
            yield await posts.get()
    finally:
        for task in tasks:
            task.cancel()
        await asyncio.gather(*tasks, return_exceptions=True)
        await remote.close()


class Remote:
    """A server, connected as long as it is of use; it is connected again when it has forgotten the session."""

    def __init__(self, server: McpTool, outgoing: Outgoing) -> None:
        self._url = str(server.server_url)
        self._guarded = Guarded(outgoing, _secrets(server))
        self._slots = asyncio.Semaphore(CALLS_AT_ONCE_MAX)
        self._link: _Link | None = None

    async def list(self) -> tuple[McpToolInfo, ...]:
        """Raises `EngineError`."""
        try:
            async with asyncio.timeout(LIST_S):
                return tuple([info async for info in self._tools()])
        except TimeoutError:
            raise EngineError("backend_timeout", f"The MCP server took more than {LIST_S:.0f} s.") from None
        except MCPError as error:
            fault = _fault_of(error)
            if fault is not None:
                raise EngineError(fault.code, fault.message) from None
            raise EngineError("backend_protocol_error", f"The MCP server refused: {_brief(error)}") from None
        except Exception as error:
            raise EngineError("backend_protocol_error", _unreadable(error)) from None

    async def call(self, name: str, arguments: str) -> tuple[str | None, McpError | None]:
        """The output, or what went wrong."""
        try:
            async with self._slots, asyncio.timeout(CALL_S):
                result = await self._call(name, msgspec.json.decode(arguments or "{}", type=dict[str, Any]))
        except TimeoutError:
            return None, McpHttpError(code=504, message=f"The MCP server did not answer within {CALL_S:.0f} s.")
        except MCPError as error:
            fault = _fault_of(error)
            if fault is not None:
                return None, McpHttpError(code=fault.http, message=fault.message)
            return None, McpProtocolError(code=error.code, message=_brief(error))
        except msgspec.MsgspecError:
            return None, McpProtocolError(code=types.INVALID_PARAMS, message="The arguments are no JSON object.")
        except Exception as error:
            return None, McpProtocolError(code=types.PARSE_ERROR, message=_unreadable(error))
        text = text_of(result)
        return (None, McpToolExecutionError(message=text)) if result.is_error else (text, None)

    async def close(self) -> None:
        link, self._link = self._link, None
        if link is not None:
            await link.close()

    async def _tools(self) -> AsyncIterator[McpToolInfo]:
        client = await self._client()
        cursor: str | None = None
        seen = 0
        for _ in range(PAGES_MAX):
            page = await client.session.list_tools(params=types.PaginatedRequestParams(cursor=cursor))
            for tool in page.tools:
                info = tool_info(tool)
                if info is not None and seen < TOOLS_MAX:
                    seen += 1
                    yield info
            cursor = page.next_cursor
            if cursor is None or seen >= TOOLS_MAX:
                return

    async def _call(self, name: str, arguments: dict[str, Any]) -> types.CallToolResult:
        """Once more where the server had forgotten us, and so has not done it."""
        request = types.CallToolRequest(params=types.CallToolRequestParams(name=name, arguments=arguments))
        client = await self._client()
        try:
            return await client.session.send_request(request, types.CallToolResult)
        except MCPError as error:
            fault = _fault_of(error)
            if fault is None or not fault.gone:
                raise
        if self._link is not None and self._link.client is client:
            await self.close()
        client = await self._client()
        return await client.session.send_request(request, types.CallToolResult)

    async def _client(self) -> Client:
        if self._link is None or self._link.over:
            self._link = _Link(self._url, self._guarded)
        return await self._link.connected()


class _Link:
    """A connection, held by a task of its own: it has to be left by whoever has entered it."""

    def __init__(self, url: str, guarded: Guarded) -> None:
        self.client: Client | None = None
        self._ready: asyncio.Future[Client] = asyncio.get_running_loop().create_future()
        self._leave = asyncio.Event()
        self._task = asyncio.create_task(self._hold(url, guarded))

    @property
    def over(self) -> bool:
        return self._task.done()

    async def connected(self) -> Client:
        return await asyncio.shield(self._ready)

    async def close(self) -> None:
        self._leave.set()
        with suppress(TimeoutError):
            async with asyncio.timeout(CLOSE_S):
                await asyncio.wait([self._task])
        self._task.cancel()
        await asyncio.wait([self._task])

    async def _hold(self, url: str, guarded: Guarded) -> None:
        try:
            async with httpx2.AsyncClient(transport=guarded, timeout=None, trust_env=False) as http:
                transport = streamable_http_client(url, http_client=http, max_sse_event_size=BODY_BYTES_MAX)
                async with Client(transport, cache=None) as self.client:
                    self._ready.set_result(self.client)
                    await self._leave.wait()
        except Exception as error:
            if not self._ready.done():
                self._ready.set_exception(_innermost(error))
                self._ready.exception()  # it is looked at, whoever else asks
        finally:
            self._ready.cancel()


def _secrets(server: McpTool) -> dict[str, str]:
    headers = {name.lower(): value for name, value in (server.headers or {}).items()}
    if server.authorization:
        token = server.authorization
        headers["authorization"] = token if " " in token else f"Bearer {token}"
    return headers


def _innermost(error: BaseException) -> BaseException:
    """Task groups wrap what went wrong."""
    while isinstance(error, BaseExceptionGroup) and error.exceptions:
        error = error.exceptions[0]
    return error


def _fault_of(error: MCPError) -> Fault | None:
    data = error.data
    if not isinstance(data, dict) or FAULT not in data:
        return None
    try:
        return msgspec.convert(data[FAULT], Fault)
    except msgspec.ValidationError:
        return None


def _brief(error: MCPError) -> str:
    """The server's words; the SDK's own, about what it cannot read, quote too much."""
    return UNREADABLE if error.code == types.PARSE_ERROR else error.message[:MESSAGE_CHARS_MAX]


def _unreadable(error: Exception) -> str:
    return f"{UNREADABLE} ({type(error).__name__})"
