"""What a client may say of MCP servers, and what is never said back."""

import json
from typing import Any

import pytest

from parley.core.config import RealtimeConfig, SessionLock, configured, shown, updated
from parley.core.mcp_config import (
    FUNCTION_NAME_CHARS_MAX,
    HEADER_CHARS_MAX,
    HEADERS_MAX,
    SERVERS_MAX,
    TOOL_NAMES_MAX,
    URL_CHARS_MAX,
    McpTool,
    function_name,
)
from parley.errors import RequestError

CANARY = "a-secret-that-stands-nowhere-else"
VOICES = frozenset({"marin"})
PLAIN = RealtimeConfig(model="gpt-realtime")
SERVER = {"type": "mcp", "server_label": "docs", "server_url": "https://mcp.example/mcp"}


def config(*tools: dict[str, Any], over: RealtimeConfig = PLAIN, **more: Any) -> RealtimeConfig:
    known = {tool.server_label: tool for tool in over.tools if isinstance(tool, McpTool)}
    patch = {"type": "realtime", "tools": list(tools), **more}
    new = updated(patch, over, SessionLock(), VOICES, known)
    assert isinstance(new, RealtimeConfig)
    return new


def server(*tools: dict[str, Any], over: RealtimeConfig = PLAIN) -> McpTool:
    (tool,) = config(*tools, over=over).tools
    assert isinstance(tool, McpTool)
    return tool


REFUSED: list[tuple[dict[str, Any], str, str]] = [
    ({"server_url": None}, "missing_required_parameter", "server_url"),
    ({"server_url": "ftp://x/"}, "invalid_value", "server_url"),
    ({"server_url": "https://" + "x" * URL_CHARS_MAX}, "invalid_value", "server_url"),
    ({"connector_id": "connector_gmail"}, "invalid_value", "connector_id"),
    ({"tunnel_id": "tunnel_" + "a" * 32}, "invalid_value", "tunnel_id"),
    ({"server_label": "1 2"}, "invalid_value", "server_label"),
    ({"authorization": CANARY + "\n"}, "invalid_value", "authorization"),
    ({"authorization": CANARY * 1_000}, "invalid_value", "authorization"),
    ({"authorization": CANARY, "headers": {"AUTHORIZATION": CANARY}}, "invalid_value", "authorization"),
    ({"headers": {"x": CANARY + "\r\n"}}, "invalid_value", "headers"),
    ({"headers": {"x": CANARY + "é"}}, "invalid_value", "headers"),
    ({"headers": {"x": CANARY + "x" * HEADER_CHARS_MAX}}, "invalid_value", "headers"),
    ({"headers": {"a b": CANARY}}, "invalid_value", "headers"),
    ({"headers": {"Host": CANARY}}, "invalid_value", "headers"),
    ({"headers": {"mcp-session-id": CANARY}}, "invalid_value", "headers"),
    ({"headers": {f"x-{n}": CANARY for n in range(HEADERS_MAX + 1)}}, "invalid_value", "headers"),
    ({"allowed_tools": ["x"] * (TOOL_NAMES_MAX + 1)}, "invalid_value", "allowed_tools"),
    ({"allowed_tools": {}}, "invalid_value", "allowed_tools"),
    ({"require_approval": "sometimes"}, "invalid_value", "require_approval"),
    ({"require_approval": {"never": {}}}, "invalid_value", "require_approval.never"),
    ({"meta": 1}, "unknown_parameter", "meta"),
]


@pytest.mark.parametrize(("more", "code", "key"), REFUSED, ids=lambda value: str(value)[:40])
def test_refused(more: dict[str, Any], code: str, key: str) -> None:
    with pytest.raises(RequestError) as refused:
        config({**SERVER, **more})
    assert (refused.value.code, refused.value.param) == (code, f"session.tools[0].{key}")
    assert CANARY not in refused.value.message


def test_labels_are_unique_and_servers_are_counted() -> None:
    with pytest.raises(RequestError, match="Duplicate tool server_label 'docs'"):
        config(SERVER, SERVER)
    many = [{**SERVER, "server_label": f"s{n}"} for n in range(SERVERS_MAX + 1)]
    assert len(config(*many[1:]).tools) == SERVERS_MAX
    with pytest.raises(RequestError, match="at most 16 MCP servers"):
        config(*many)


def test_a_choice_names_a_server_that_is_there() -> None:
    choice = {"type": "mcp", "server_label": "docs", "name": "search"}
    assert config(SERVER, tool_choice=choice).tool_choice != "auto"
    with pytest.raises(RequestError) as refused:
        config({**SERVER, "server_label": "other"}, tool_choice=choice)
    assert refused.value.param == "session.tool_choice.server_label"


def test_secrets_are_kept_and_never_shown() -> None:
    secret = {**SERVER, "authorization": CANARY, "headers": {"x-key": CANARY}}
    old = config(secret)
    assert CANARY not in json.dumps(shown(old)) and shown(old)["tools"][0]["server_url"] == SERVER["server_url"]
    renamed = updated({"type": "realtime", "instructions": "x"}, old, SessionLock(), VOICES)
    assert isinstance(renamed, RealtimeConfig) and renamed.tools == old.tools
    again = server(shown(old)["tools"][0], over=old)  # a client sends back what it was shown
    assert (again.authorization, again.headers) == (CANARY, {"x-key": CANARY})
    elsewhere = server({**SERVER, "server_url": "https://evil.example/"}, over=old)
    assert not elsewhere.authorization and not elsewhere.headers
    replaced = server({**SERVER, "headers": {"x-key": "new"}}, over=old)
    assert not replaced.authorization and replaced.headers == {"x-key": "new"}


def test_a_known_server_is_named_by_its_label() -> None:
    old = config({**SERVER, "require_approval": "never", "allowed_tools": ["a"]})
    assert server({"type": "mcp", "server_label": "docs"}, over=old) == old.tools[0]
    narrower = server({"type": "mcp", "server_label": "docs", "allowed_tools": ["b"]}, over=old)
    assert (narrower.allowed_tools, narrower.require_approval) == (("b",), "never")
    with pytest.raises(RequestError):
        configured({"tools": [{"type": "mcp", "server_label": "docs"}]}, PLAIN, VOICES)


@pytest.mark.parametrize(
    ("wanted", "reading", "writing"),
    [
        (None, True, True),
        (["search"], True, False),
        ([], False, False),
        ({"read_only": True}, True, False),
        ({"tool_names": ["write"]}, False, True),
        ({"tool_names": ["write"], "read_only": True}, False, False),
    ],
)
def test_allowed_tools(wanted: Any, reading: bool, writing: bool) -> None:
    tool = server({**SERVER, "allowed_tools": wanted})
    assert (tool.allows("search", read_only=True), tool.allows("write", read_only=False)) == (reading, writing)


@pytest.mark.parametrize(
    ("rules", "reading", "writing"),
    [
        (None, True, True),
        ("always", True, True),
        ("never", False, False),
        ({}, True, True),
        ({"never": {"read_only": True}}, False, True),
        ({"never": {"tool_names": ["search", "write"]}, "always": {"tool_names": ["write"]}}, False, True),
        ({"always": {"tool_names": ["search"]}}, True, True),
    ],
)
def test_who_is_asked(rules: Any, reading: bool, writing: bool) -> None:
    """Whatever no rule speaks of is asked about, and so is what both speak of."""
    tool = server({**SERVER, "require_approval": rules})
    assert (tool.asks("search", read_only=True), tool.asks("write", read_only=False)) == (reading, writing)


def test_names_of_functions() -> None:
    assert function_name("docs", "search") == "docs__search"
    names = {function_name("docs", name) for name in ("a.b", "a/b", "a_b", "ü", "x" * 100, "x" * 101)}
    assert len(names) == 6
    assert all(len(name) <= FUNCTION_NAME_CHARS_MAX and name.isascii() and "/" not in name for name in names)
