"""The bounds of a session's MCP servers. Their conversations are in tests/scripts/mcp_*.txt."""

from typing import Any

import pytest

from parley.core import effects as f
from parley.core import events as e
from parley.core import inputs as i
from parley.core.items import McpApprovalRequest, McpListTools, McpToolInfo
from parley.core.mcp import APPROVALS_MAX, TOOLS_SHARE, Question
from parley.core.mcp_config import SERVERS_MAX, McpTool
from parley.core.session import Session
from tests.core.driver import new_session

CONTEXT_TOKENS = 1_200


def server(label: str) -> dict[str, Any]:
    return {
        "type": "mcp",
        "server_label": label,
        "server_url": f"https://{label}.example/",
        "require_approval": "never",
    }


def listed(session: Session, work_id: str, tools: list[McpToolInfo]) -> McpListTools:
    """The list as the client sees it."""
    for effect in session.handle(i.ToolsListed(work_id=work_id, tools=tuple(tools)), 0.0):
        if isinstance(effect, f.Send) and isinstance(effect.event, e.ItemDone):
            assert isinstance(effect.event.item, McpListTools)
            return effect.event.item
    raise AssertionError("nothing was listed")


def info(name: str, words: int = 0, schema: dict[str, Any] | None = None) -> McpToolInfo:
    return McpToolInfo(name=name, description="word " * words, input_schema=schema or {"type": "object"})


def test_tools_take_a_share_of_the_context_and_no_more() -> None:
    session = new_session({"tools": [server("a"), server("b")]}, context_tokens=CONTEXT_TOKENS, output_tokens=100)
    session.open()
    share = CONTEXT_TOKENS // TOOLS_SHARE
    first = listed(session, "mcpl_1", [info("half", share // 2), info("too_much", share // 2), info("small", 10)])
    assert [tool.name for tool in first.tools] == ["half", "small"]
    second = listed(session, "mcpl_2", [info("half", share // 2), info("small", 10)])
    assert [tool.name for tool in second.tools] == ["small"]


def test_tools_whose_arguments_nobody_could_check_are_left_out() -> None:
    session = new_session({"tools": [server("a")]})
    session.open()
    deep: dict[str, Any] = {"type": "object"}
    for _ in range(30):
        deep = {"type": "object", "properties": {"x": deep}}
    tools = [info("deep", schema=deep), info("array", schema={"type": "array"}), info("good")]
    assert [tool.name for tool in listed(session, "mcpl_1", tools).tools] == ["good"]


def test_a_session_has_so_many_servers() -> None:
    session = new_session({"output_modalities": ["text"], "tools": [server(f"s{n}") for n in range(SERVERS_MAX)]})
    assert sum(isinstance(effect, f.Start) for effect in session.open()) == SERVERS_MAX
    for label, refused in (("s0", False), ("new", True)):
        event = e.ResponseCreate(response={"conversation": "none", "tools": [server(label)]})
        errors = [x for x in session.handle(event, 0.0) if isinstance(x, f.Send) and isinstance(x.event, e.Error)]
        assert bool(errors) == refused


def test_so_many_approvals_wait() -> None:
    servers = new_session()._servers
    config = McpTool(server_label="a", server_url="https://a.example/")
    for number in range(APPROVALS_MAX + 1):
        request = McpApprovalRequest(id=f"mcpr_{number}", server_label="a", name="x", arguments="{}")
        servers.ask(Question(request, config))
    assert len(servers._waiting) == APPROVALS_MAX and "mcpr_0" not in servers._waiting


@pytest.mark.parametrize("approve", [True, False])
def test_an_answer_of_the_past_is_no_answer(approve: bool) -> None:
    """A copy of an old conversation may have requests and answers in it; nothing is called for them."""
    session = new_session()
    request = {"type": "mcp_approval_request", "id": "old", "server_label": "a", "name": "x", "arguments": "{}"}
    session.handle(e.ConversationItemCreate(item=request), 0.0)
    answer = {"type": "mcp_approval_response", "approval_request_id": "old", "approve": approve}
    (effect,) = session.handle(e.ConversationItemCreate(item=answer), 0.0)
    assert isinstance(effect, f.Send) and isinstance(effect.event, e.Error)
