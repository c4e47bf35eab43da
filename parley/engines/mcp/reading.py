"""What MCP servers say, brought into our own shapes and sizes. Pure."""

from typing import Any

import msgspec
from mcp import types

from parley.core.items import McpToolInfo
from parley.engines.mcp.limits import (
    ANNOTATIONS_CHARS_MAX,
    DESCRIPTION_CHARS_MAX,
    NAME_CHARS_MAX,
    RESULT_CHARS_MAX,
    SCHEMA_CHARS_MAX,
)


def tool_info(tool: types.Tool) -> McpToolInfo | None:
    """None for a tool that nobody could use."""
    schema = _sized(tool.input_schema, SCHEMA_CHARS_MAX)
    if schema is None or not 0 < len(tool.name) <= NAME_CHARS_MAX or not tool.name.isprintable():
        return None
    annotations = tool.annotations.model_dump(by_alias=True, exclude_none=True) if tool.annotations else None
    return McpToolInfo(
        name=tool.name,
        input_schema=schema,
        description=(tool.description or "")[:DESCRIPTION_CHARS_MAX],
        annotations=_sized(annotations, ANNOTATIONS_CHARS_MAX) if annotations else None,
    )


def text_of(result: types.CallToolResult) -> str:
    """A result as a model that reads can use it."""
    text = "\n".join(filter(None, map(_block, result.content)))
    if not text and result.structured_content is not None:
        text = msgspec.json.encode(result.structured_content).decode()
    if len(text) <= RESULT_CHARS_MAX:
        return text
    return f"{text[:RESULT_CHARS_MAX]}\n(cut off: {len(text)} characters in all)"


def _block(block: types.ContentBlock) -> str:
    match block:
        case types.TextContent():
            return block.text
        case types.ResourceLink():
            return f"{block.name}: {block.uri}"
        case types.EmbeddedResource(resource=types.TextResourceContents() as resource):
            return resource.text
        case types.ImageContent() | types.AudioContent():
            return f"({block.type}, {block.mime_type})"
    return f"({block.type})"


def _sized(value: dict[str, Any], chars_max: int) -> dict[str, Any] | None:
    try:
        return value if len(msgspec.json.encode(value)) <= chars_max else None
    except (TypeError, ValueError, RecursionError):
        return None
