"""The snapshot of a conversation, as a chat model gets to see it."""

from typing import Any

from parley.core import items
from parley.core.config import NamedFunction, Reasoning, Tool
from parley.core.effects import ContextItem, Generate
from parley.engines.base import Image, Message, Text
from parley.engines.prompt import INAUDIBLE, PENDING, messages_of, prompt_of

PIXEL = "data:image/png;base64,AA=="


def user(*parts: items.Part) -> items.Message:
    return items.Message(role="user", content=parts)


def spoken(words: str | None) -> items.InputAudio:
    return items.InputAudio(transcript=words)


def assistant(words: str) -> items.Message:
    return items.Message(role="assistant", content=(items.OutputAudio(transcript=words),))


def call(call_id: str, name: str = "look") -> items.FunctionCall:
    return items.FunctionCall(name=name, arguments="{}", call_id=call_id)


def output(call_id: str, words: str = "42") -> items.FunctionCallOutput:
    return items.FunctionCallOutput(call_id=call_id, output=words)


def read(*context: items.Item | ContextItem) -> list[str]:
    """The messages, one line each: `role: words [calls] <answers>`."""
    entries = [entry if isinstance(entry, ContextItem) else ContextItem(item=entry) for entry in context]
    return [_line(message) for message in messages_of(entries)]


def _line(message: Message) -> str:
    calls = f" [{', '.join(call.call_id for call in message.calls)}]" if message.calls else ""
    return f"{message.role}{f' <{message.call_id}>' if message.call_id else ''}: {message.text}{calls}"


def test_speech_and_text_become_words() -> None:
    assert read(
        items.Message(role="system", content=(items.InputText(text="Be brief."),)),
        user(spoken(" Hello there. ")),
        assistant("Hi!"),
        user(items.InputText(text="One."), spoken("Two.")),
    ) == ["system: Be brief.", "user: Hello there.", "assistant: Hi!", "user: One.\nTwo."]


def test_speech_without_words_is_marked() -> None:
    assert read(user(spoken(None)), user(spoken("  "))) == [f"user: {INAUDIBLE}"] * 2
    assert read(user(spoken(""), items.InputText(text="typed"))) == ["user: typed"]


def test_images_go_along() -> None:
    message = messages_of(
        [ContextItem(item=user(items.InputText(text="What is it?"), items.InputImage(image_url=PIXEL)))]
    )
    assert message[0].content == (Image(url=PIXEL), Text(text="What is it?"))


def test_only_what_was_heard_of_an_answer_counts() -> None:
    long = assistant("One, two, three, four.")
    assert read(ContextItem(item=long, heard="One, two,")) == ["assistant: One, two,"]
    assert read(ContextItem(item=long, heard="")) == []


def test_calls_join_the_words_before_them_and_are_answered_in_place() -> None:
    assert read(user(spoken("Look.")), assistant("One moment."), call("a"), call("b"), output("b"), output("a")) == [
        "user: Look.",
        "assistant: One moment. [a, b]",
        "tool <b>: 42",
        "tool <a>: 42",
    ]


def test_a_call_without_a_result_is_pending() -> None:
    assert read(call("a"), call("b"), output("b"), user(spoken("Well?"))) == [
        "assistant:  [a, b]",
        "tool <b>: 42",
        f"tool <a>: {PENDING}",
        "user: Well?",
    ]


def test_a_late_result_stays_in_its_place() -> None:
    assert read(call("a"), user(spoken("Still there?")), assistant("Yes."), output("a")) == [
        "assistant:  [a]",
        f"tool <a>: {PENDING}",
        "user: Still there?",
        "assistant: Yes.",
        "system: Result of the function call look({}): 42",
    ]


def test_a_result_whose_call_has_left_the_context() -> None:
    assert read(output("gone")) == ["system: Result of the function call gone: 42"]


def test_a_second_result_for_one_call() -> None:
    assert read(call("a"), output("a"), output("a", "43"))[-1] == "system: Result of the function call look({}): 43"


def test_a_call_that_was_cut_off_was_never_made() -> None:
    assert read(items.FunctionCall(name="look", arguments='{"wh', call_id="a", status="incomplete")) == []


def remote(**more: Any) -> items.McpCall:
    return items.McpCall(**{"id": "mcp_1", "server_label": "docs", "name": "search", "arguments": "{}", **more})


def test_calls_to_servers_are_calls_with_their_results() -> None:
    failed = items.McpToolExecutionError(message="It broke.")
    assert read(assistant("Let me see."), remote(output="42"), remote(id="mcp_2", error=failed), assistant("42.")) == [
        "assistant: Let me see. [mcp_1]",
        "tool <mcp_1>: 42",
        "assistant:  [mcp_2]",
        "tool <mcp_2>: Error: It broke.",
        "assistant: 42.",
    ]
    assert messages_of([ContextItem(item=remote())])[0].calls[0].name == "docs__search"
    assert read(remote(status="in_progress")) == ["assistant:  [mcp_1]", f"tool <mcp_1>: {PENDING}"]
    assert read(remote(status="incomplete", arguments='{"q')) == []
    assert read(items.McpListTools(id="mcpl_1", server_label="docs", tools=())) == []


def test_a_request_for_approval_is_the_call_already() -> None:
    asked = items.McpApprovalRequest(id="mcpr_1", server_label="docs", name="write", arguments="{}")
    yes = items.McpApprovalResponse(id="a", approval_request_id="mcpr_1", approve=True)
    no = items.McpApprovalResponse(id="a", approval_request_id="mcpr_1", approve=False, reason="Not now.")
    made = remote(approval_request_id="mcpr_1", output="done")
    assert read(asked) == ["assistant:  [mcpr_1]", f"tool <mcpr_1>: {PENDING}"]
    assert read(asked, yes, made) == ["assistant:  [mcpr_1]", "tool <mcpr_1>: done"]
    assert read(asked, no) == ["assistant:  [mcpr_1]", "tool <mcpr_1>: The user did not allow this call. Not now."]
    assert (
        read(asked, user(spoken("Well?")), yes, made)[-1] == "system: Result of the function call docs__write({}): done"
    )
    assert read(made) == ["assistant:  [mcpr_1]", "tool <mcpr_1>: done"]


def test_the_rest_of_the_work_is_passed_on() -> None:
    work = Generate(
        work_id="w",
        model="gpt-realtime",
        instructions="Be kind.",
        items=(),
        spoken=False,
        voice="marin",
        speed=1.0,
        tools=(Tool(name="look", parameters={"type": "object"}),),
        tool_choice=NamedFunction(name="look"),
        parallel_tool_calls=False,
        max_output_tokens=50,
        temperature=0.7,
        reasoning=Reasoning(effort="low"),
    )
    prompt = prompt_of(work)
    assert (prompt.model, prompt.instructions, prompt.spoken) == ("gpt-realtime", "Be kind.", False)
    assert (prompt.tool_choice, prompt.parallel_tool_calls) == ("function:look", False)
    assert (prompt.max_output_tokens, prompt.temperature, prompt.reasoning_effort) == (50, 0.7, "low")
    assert [(tool.name, tool.description, tool.parameters) for tool in prompt.tools] == [
        ("look", "", {"type": "object"})
    ]
