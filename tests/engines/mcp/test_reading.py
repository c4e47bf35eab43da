"""What servers say, in our sizes."""

from typing import Any

from mcp import types

from parley.engines.mcp.limits import (
    ANNOTATIONS_CHARS_MAX,
    DESCRIPTION_CHARS_MAX,
    NAME_CHARS_MAX,
    RESULT_CHARS_MAX,
    SCHEMA_CHARS_MAX,
)
from parley.engines.mcp.reading import text_of, tool_info

OBJECT: dict[str, Any] = {"type": "object"}


def tool(name: str = "x", schema: dict[str, Any] = OBJECT, **more: Any) -> types.Tool:
    return types.Tool(name=name, input_schema=schema, **more)


def test_tools_of_every_size() -> None:
    assert tool_info(tool(NAME_CHARS_MAX * "x")) is not None
    assert tool_info(tool((NAME_CHARS_MAX + 1) * "x")) is None
    assert tool_info(tool("")) is None and tool_info(tool("a\nb")) is None
    assert tool_info(tool(schema={"type": "object", "title": SCHEMA_CHARS_MAX * "x"})) is None
    cut = tool_info(tool(description="x" * (DESCRIPTION_CHARS_MAX + 1)))
    assert cut is not None and len(cut.description) == DESCRIPTION_CHARS_MAX
    wordy = types.ToolAnnotations(title="x" * ANNOTATIONS_CHARS_MAX, read_only_hint=True)
    unread = tool_info(tool(annotations=wordy))
    assert unread is not None and unread.annotations is None and not unread.read_only
    reading = tool_info(tool(annotations=types.ToolAnnotations(read_only_hint=True)))
    assert reading is not None and reading.read_only and reading.annotations == {"readOnlyHint": True}


def test_results_of_every_kind() -> None:
    blocks: list[types.ContentBlock] = [
        types.TextContent(type="text", text="one"),
        types.ImageContent(type="image", data="", mime_type="image/png"),
        types.ResourceLink(type="resource_link", name="two", uri="https://x.example/"),
        types.EmbeddedResource(type="resource", resource=types.TextResourceContents(uri="x:y", text="three")),
    ]
    assert text_of(types.CallToolResult(content=blocks)) == "one\n(image, image/png)\ntwo: https://x.example/\nthree"
    assert text_of(types.CallToolResult(content=[], structured_content={"a": 1})) == '{"a":1}'
    assert text_of(types.CallToolResult(content=[])) == ""
    long = types.TextContent(type="text", text="x" * (RESULT_CHARS_MAX + 1))
    assert text_of(types.CallToolResult(content=[long])).endswith(
        f"(cut off: {RESULT_CHARS_MAX + 1} characters in all)"
    )
