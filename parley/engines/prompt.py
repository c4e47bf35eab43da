"""Items of a conversation -> the prompt of a chat model. Pure.

What a chat model sees of speech is words. Rules, beyond the plain translation:

- User audio counts as its transcript. A user message without any word or image reads `INAUDIBLE`, so that the model
  knows somebody spoke, and can ask again.
- Assistant speech that was cut off counts as what was heard of it; if nothing was, the message is left out.
- Chat Completions wants every call of an assistant message answered by the tool messages that stand directly behind
  it. A call without an answer there gets `PENDING`. An answer that comes later (the conversation had gone on), or whose
  call is no longer in the context, stays where it is as a system message that begins with `LATE_RESULT`.
- A call that was cut off in the middle was never made (protocol.md 7.6), and is left out.
- A call of an MCP server is a function call with its output. A request for approval is the call already; a refusal
  answers it, and so does the call that was approved.
"""

from collections.abc import Iterator, Sequence
from typing import Final, assert_never

from msgspec.structs import replace

from parley.core import items
from parley.core.config import NamedFunction, Tool
from parley.core.effects import ContextItem, Generate
from parley.core.mcp_config import function_name
from parley.engines.base import FunctionTool, Image, Message, Prompt, Text, ToolCall

INAUDIBLE: Final = "(inaudible)"
PENDING: Final = "(no result yet)"
LATE_RESULT: Final = "Result of the function call "
REFUSED: Final = "The user did not allow this call."
FAILED: Final = "Error: "


def prompt_of(work: Generate) -> Prompt:
    """All that the model gets to see of this work."""
    choice = work.tool_choice
    return Prompt(
        model=work.model,
        instructions=work.instructions,
        messages=messages_of(work.items),
        tools=tuple(_tool(tool) for tool in work.tools),
        tool_choice=f"function:{choice.name}" if isinstance(choice, NamedFunction) else choice,
        parallel_tool_calls=work.parallel_tool_calls,
        max_output_tokens=work.max_output_tokens,
        temperature=work.temperature,
        reasoning_effort=work.reasoning.effort if work.reasoning else None,
        spoken=work.spoken,
    )


def _tool(tool: Tool) -> FunctionTool:
    return FunctionTool(name=tool.name, description=tool.description or "", parameters=tool.parameters)


def messages_of(context: Sequence[ContextItem]) -> tuple[Message, ...]:
    """The items as messages, in order."""
    messages: list[Message] = []
    for entry in context:
        item = entry.item
        match item:
            case items.Message(role="assistant"):
                if words := _assistant_words(item, entry.heard):
                    messages.append(Message(role="assistant", content=(Text(text=words),)))
            case items.Message():
                messages.append(Message(role=item.role, content=_content(item)))
            case items.FunctionCall():
                if item.status != "incomplete":
                    _add_call(messages, ToolCall(call_id=_call_id(item), name=item.name, arguments=item.arguments))
            case items.FunctionCallOutput():
                _add_result(messages, item.call_id, item.output)
            case items.McpCall() | items.McpApprovalRequest() | items.McpApprovalResponse() | items.McpListTools():
                _add_mcp(messages, item)
            case _:
                assert_never(item)
    return tuple(_with_every_call_answered(messages))


def _assistant_words(item: items.Message, heard: str | None) -> str:
    return heard.strip() if heard is not None else "\n".join(filter(None, map(_words, item.content)))


def _content(item: items.Message) -> tuple[Text | Image, ...]:
    words = "\n".join(filter(None, map(_words, item.content)))
    images = tuple(
        Image(url=part.image_url, detail=part.detail) for part in item.content if isinstance(part, items.InputImage)
    )
    if not words and not images:
        words = INAUDIBLE
    return (*images, Text(text=words)) if words else images


def _words(part: items.Part) -> str:
    match part:
        case items.InputText() | items.OutputText():
            return part.text
        case items.InputAudio() | items.OutputAudio():
            return (part.transcript or "").strip()
        case items.InputImage():
            return ""
        case _:
            assert_never(part)


def _call_id(item: items.FunctionCall) -> str:
    return item.call_id or item.id or item.name


def _add_call(messages: list[Message], call: ToolCall) -> None:
    """Calls of one response belong into one message, together with what was said before them."""
    if messages and messages[-1].role == "assistant":
        messages[-1] = replace(messages[-1], calls=(*messages[-1].calls, call))
    else:
        messages.append(Message(role="assistant", calls=(call,)))


def _add_result(messages: list[Message], call_id: str, output: str) -> None:
    if any(call.call_id == call_id for call in _open_calls(messages)):
        messages.append(Message(role="tool", content=(Text(text=output),), call_id=call_id))
    else:
        call = next((c for m in messages for c in m.calls if c.call_id == call_id), None)
        named = f"{call.name}({call.arguments})" if call else call_id
        messages.append(Message(role="system", content=(Text(text=f"{LATE_RESULT}{named}: {output}"),)))


def _add_mcp(messages: list[Message], item: items.McpItem) -> None:
    match item:
        case items.McpCall():
            _add_mcp_call(messages, item)
        case items.McpApprovalRequest():
            name = function_name(item.server_label, item.name)
            _add_call(messages, ToolCall(call_id=item.id or "", name=name, arguments=item.arguments))
        case items.McpApprovalResponse():
            if not item.approve:
                _add_result(messages, item.approval_request_id, f"{REFUSED} {item.reason or ''}".strip())
        case items.McpListTools():
            pass  # the tools themselves are in the prompt
        case _:
            assert_never(item)


def _add_mcp_call(messages: list[Message], item: items.McpCall) -> None:
    """The call, unless the client was asked about it, which was the call; and what has come of it."""
    if item.status == "incomplete":
        return
    call_id = item.approval_request_id or item.id or ""
    if not any(call.call_id == call_id for message in messages for call in message.calls):
        name = function_name(item.server_label, item.name)
        _add_call(messages, ToolCall(call_id=call_id, name=name, arguments=item.arguments))
    if item.error is not None:
        _add_result(messages, call_id, f"{FAILED}{item.error.message}")
    elif item.output is not None:
        _add_result(messages, call_id, item.output)


def _open_calls(messages: list[Message]) -> list[ToolCall]:
    """Calls that a tool message at the end of `messages` may still answer."""
    answered = set()
    for message in reversed(messages):
        if message.role != "tool":
            return [call for call in message.calls if call.call_id not in answered]
        answered.add(message.call_id)
    return []


def _with_every_call_answered(messages: list[Message]) -> Iterator[Message]:
    unanswered: dict[str, None] = {}
    for message in messages:
        if message.role == "tool":
            unanswered.pop(message.call_id or "", None)
        else:
            yield from map(_pending, unanswered)
            unanswered = dict.fromkeys(call.call_id for call in message.calls)
        yield message
    yield from map(_pending, unanswered)


def _pending(call_id: str) -> Message:
    return Message(role="tool", content=(Text(text=PENDING),), call_id=call_id)
