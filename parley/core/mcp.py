"""The MCP servers of a session: their tools, the calls they are making, and what the client still has to approve.

    known --Attend--> listing --ToolsListed--> ready --(removed, or reached otherwise)--> gone
                         +-------Failed----------------------------------------------------^

A server is one piece of work for as long as the session has it, so that its connection stays warm. Its list of tools is
an item of the conversation, and that item's id is the id of the work. A call lives by itself: the response that made it
may be cancelled, and the call is made all the same, for it may have changed something out there (protocol.md 7.7).
"""

from collections.abc import Callable, Sequence
from typing import Final, NamedTuple

import msgspec

from parley.core.config import AnyTool, Tool, check_schema
from parley.core.conversation import Conversation, Entry
from parley.core.effects import AnyEffect, Attend, Call, Send, Start, Stop, Tell
from parley.core.events import (
    AnyServerEvent,
    Error,
    ErrorBody,
    ItemAdded,
    ItemDone,
    McpCallCompleted,
    McpCallFailed,
    McpCallInProgress,
    McpListToolsCompleted,
    McpListToolsFailed,
    McpListToolsInProgress,
)
from parley.core.inputs import Failed, ToolReturned, ToolsListed
from parley.core.items import (
    McpApprovalRequest,
    McpApprovalResponse,
    McpCall,
    McpError,
    McpHttpError,
    McpListTools,
    McpToolInfo,
)
from parley.core.mcp_config import SERVERS_MAX, McpTool, function_name
from parley.core.terms import Terms
from parley.errors import ERRORS, RequestError
from parley.ids import NewId

TOOLS_SHARE: Final = 3
"""The tools of all servers may take one part in so many of what the model can read. Those beyond it are not listed."""
APPROVALS_MAX: Final = 64
"""Requests that wait for the client. The oldest is forgotten beyond it."""
GONE: Final = "The session is not connected to this MCP server any more."


class Offer(msgspec.Struct, frozen=True, kw_only=True):
    """A server's tool as one response may use it: a function to the model."""

    server: McpTool
    name: str
    asks: bool
    """Whether the client has to approve each call."""
    tool: Tool


class RemoteCall(NamedTuple):
    """A call that this server shall make now. Another one that has taken over its label shall not."""

    entry: Entry
    output_index: int
    server: McpTool


class Question(NamedTuple):
    """What the client is asked about a call of this server."""

    request: McpApprovalRequest
    server: McpTool


class Approved(NamedTuple):
    """A call that the client has approved."""

    call: McpCall
    server: McpTool


class _Server:
    def __init__(self, config: McpTool, entry: Entry) -> None:
        self.config = config
        self.entry = entry
        self.listed = False
        self.failed = False
        self.tools: tuple[McpToolInfo, ...] = ()
        self.tokens = 0
        """What its tools take of the model's context."""

    @property
    def work_id(self) -> str:
        return self.entry.id


class _Calling(msgspec.Struct, frozen=True):
    work_id: str
    entry: Entry
    output_index: int


class Servers:
    def __init__(
        self, conversation: Conversation, terms: Terms, new_id: NewId, emit: Callable[[AnyEffect], None]
    ) -> None:
        self.decided: list[Approved | None] = []
        """What the client has decided and no response has taken up yet: calls to make, None for a refusal."""
        self._servers: dict[str, _Server] = {}
        self._calling: dict[str, _Calling] = {}
        self._waiting: dict[str, Question] = {}
        self._conversation = conversation
        self._terms = terms
        self._new_id = new_id
        self._emit = emit

    @property
    def known(self) -> dict[str, McpTool]:
        return {label: server.config for label, server in self._servers.items()}

    # ---- servers

    def check_room(self, tools: Sequence[AnyTool]) -> None:
        """Raises `RequestError`."""
        labels = {tool.server_label for tool in tools if isinstance(tool, McpTool)}
        if len(labels | self._servers.keys()) > SERVERS_MAX:
            raise RequestError("invalid_value", f"A session has at most {SERVERS_MAX} MCP servers.", "response.tools")

    def attend(self, tools: Sequence[AnyTool]) -> list[str]:
        """Connect to those that are new, have changed, or have failed. Returns the ids of calls that are lost by it."""
        lost: list[str] = []
        for tool in tools:
            if not isinstance(tool, McpTool):
                continue
            server = self._servers.get(tool.server_label)
            if server is not None and not server.failed and server.config.same_place(tool):
                server.config = tool
                continue
            if server is not None:
                lost += self._drop(server)
            self._start(tool)
        return lost

    def drop(self, before: Sequence[AnyTool], now: Sequence[AnyTool]) -> list[str]:
        """Leave those that the session had and has no more. Returns the ids of calls that are lost by it."""
        gone = {tool.server_label for tool in before if isinstance(tool, McpTool)}
        gone -= {tool.server_label for tool in now if isinstance(tool, McpTool)}
        return [
            call_id for label in sorted(gone & self._servers.keys()) for call_id in self._drop(self._servers[label])
        ]

    def end(self) -> None:
        """The session is over: nothing more is said."""
        for server in self._servers.values():
            if not server.failed:
                self._emit(Stop(work_id=server.work_id))
        self._servers.clear()

    def _start(self, tool: McpTool) -> None:
        item = McpListTools(id=self._new_id("mcpl"), server_label=tool.server_label, tools=(), status="in_progress")
        server = self._servers[tool.server_label] = _Server(tool, Entry(item))
        previous = self._conversation.add(server.entry)
        self._say(McpListToolsInProgress(item_id=server.work_id))
        self._say(ItemAdded(previous_item_id=previous, item=item))
        self._emit(Start(work=Attend(work_id=server.work_id, server=tool)))

    def _drop(self, server: _Server) -> list[str]:
        del self._servers[server.config.server_label]
        if server.failed:
            return []
        self._emit(Stop(work_id=server.work_id))
        if not server.listed:
            self._show_none(server)
        return self._lose(server.work_id, McpHttpError(code=503, message=GONE))

    def listed(self, event: ToolsListed) -> None:
        server = self._of(event.work_id)
        if server is None or server.listed or server.failed:
            return
        room = self._terms.context_tokens // TOOLS_SHARE - sum(each.tokens for each in self._servers.values())
        kept: list[McpToolInfo] = []
        for tool in event.tools:
            tokens = self._terms.count_tokens(f"{tool.name} {tool.description} {tool.input_schema}")
            if tokens <= room and _usable(tool):
                kept.append(tool)
                room -= tokens
                server.tokens += tokens
        server.listed, server.tools = True, tuple(kept)
        shown = [tool for tool in kept if server.config.allows(tool.name, read_only=tool.read_only)]
        self._show(server, tuple(shown))
        self._say(McpListToolsCompleted(item_id=server.work_id))

    def failed(self, failed: Failed) -> list[str]:
        """A server is lost. Returns the ids of the calls that are over with it."""
        server = self._of(failed.work_id)
        if server is None or server.failed:
            return []
        server.failed = True
        if not server.listed:
            self._show_none(server)
            message = (
                f"The tools of the MCP server '{server.config.server_label}' could not be listed. {failed.message}"
            )
            body = ErrorBody(type=ERRORS[failed.code].type, code=failed.code, message=message)
            self._say(Error(error=body))
        return self._lose(failed.work_id, McpHttpError(code=ERRORS[failed.code].http, message=failed.message))

    def _lose(self, work_id: str, error: McpError) -> list[str]:
        """The ids of the calls that fail with their server."""
        lost = [call_id for call_id, calling in self._calling.items() if calling.work_id == work_id]
        for call_id in lost:
            self._finish(self._calling.pop(call_id), None, error)
        return lost

    def _show(self, server: _Server, tools: tuple[McpToolInfo, ...]) -> None:
        entry = server.entry
        assert isinstance(entry.item, McpListTools)
        entry.item = msgspec.structs.replace(entry.item, tools=tools, status="completed")
        self._done(entry)

    def _show_none(self, server: _Server) -> None:
        self._show(server, ())
        self._say(McpListToolsFailed(item_id=server.work_id))

    def _of(self, work_id: str) -> _Server | None:
        return next((server for server in self._servers.values() if server.work_id == work_id), None)

    # ---- what a response may use

    def offered(self, tools: Sequence[AnyTool], *, may_ask: bool) -> tuple[Offer, ...]:
        """The tools of those servers that are known by now. Where nobody can be asked, none that has to be approved."""
        taken = {tool.name for tool in tools if isinstance(tool, Tool)}
        offers: list[Offer] = []
        for config in tools:
            server = self._servers.get(config.server_label) if isinstance(config, McpTool) else None
            if server is None or server.failed or not isinstance(config, McpTool):
                continue
            for tool in server.tools:
                offer = _offer(config, tool)
                if offer is not None and offer.tool.name not in taken and (may_ask or not offer.asks):
                    taken.add(offer.tool.name)
                    offers.append(offer)
        return tuple(offers)

    # ---- calls

    def call(self, remote: RemoteCall) -> bool:
        """Make a call. False where it has failed already."""
        entry, output_index, wanted = remote
        assert isinstance(entry.item, McpCall)
        self._say(McpCallInProgress(item_id=entry.id, output_index=output_index))
        server = self._servers.get(wanted.server_label)
        if server is None or server.failed or not server.config.same_place(wanted):
            self._finish(_Calling("", entry, output_index), None, McpHttpError(code=503, message=GONE))
            return False
        self._calling[entry.id] = _Calling(server.work_id, entry, output_index)
        call = Call(call_id=entry.id, name=entry.item.name, arguments=entry.item.arguments)
        self._emit(Tell(work_id=server.work_id, message=call))
        return True

    def returned(self, event: ToolReturned) -> bool:
        """Whether a call is over that nobody had heard of before."""
        calling = self._calling.get(event.call_id)
        if calling is None or calling.work_id != event.work_id:
            return False
        del self._calling[event.call_id]
        self._finish(calling, event.output, event.error)
        return True

    def _finish(self, calling: _Calling, output: str | None, error: McpError | None) -> None:
        entry = calling.entry
        assert isinstance(entry.item, McpCall)
        entry.item = msgspec.structs.replace(entry.item, output=output, error=error, status="completed")
        entry.version += 1
        said = McpCallFailed if error is not None else McpCallCompleted
        self._say(said(item_id=entry.id, output_index=calling.output_index))
        self._done(entry)

    def _done(self, entry: Entry) -> None:
        if self._conversation.find(entry.id) is entry:
            self._say(ItemDone(previous_item_id=self._conversation.previous_id(entry.id), item=entry.item))

    # ---- approvals

    def ask(self, question: Question) -> None:
        """From now on the client may answer this request, which is an item already."""
        assert question.request.id is not None
        if len(self._waiting) >= APPROVALS_MAX:
            del self._waiting[next(iter(self._waiting))]
        self._waiting[question.request.id] = question

    def check_answer(self, answer: McpApprovalResponse) -> None:
        """Raises `RequestError` where nothing waits for this answer."""
        if answer.approval_request_id not in self._waiting:
            raise RequestError(
                "item_not_found",
                f"No approval request with id '{answer.approval_request_id}' waits for an answer.",
                "item.approval_request_id",
            )

    def answer(self, answer: McpApprovalResponse) -> None:
        """Call `check_answer` first."""
        request, server = self._waiting.pop(answer.approval_request_id)
        if not answer.approve:
            self.decided.append(None)
            return
        call = McpCall(
            id=self._new_id("mcp"),
            server_label=request.server_label,
            name=request.name,
            arguments=request.arguments,
            approval_request_id=request.id,
            status="in_progress",
        )
        self.decided.append(Approved(call, server))

    def take_decided(self) -> list[Approved]:
        """The calls that were approved and are not made yet."""
        decided, self.decided = self.decided, []
        return [each for each in decided if each is not None]

    def _say(self, event: AnyServerEvent) -> None:
        self._emit(Send(event=event))


def _usable(tool: McpToolInfo) -> bool:
    """Whether arguments can be checked against its schema."""
    try:
        check_schema(tool.input_schema, tool.name)
    except RequestError:
        return False
    return True


def _offer(config: McpTool, tool: McpToolInfo) -> Offer | None:
    if not config.allows(tool.name, read_only=tool.read_only):
        return None
    name = function_name(config.server_label, tool.name)
    return Offer(
        server=config,
        name=tool.name,
        asks=config.asks(tool.name, read_only=tool.read_only),
        tool=Tool(name=name, description=tool.description, parameters=tool.input_schema),
    )
