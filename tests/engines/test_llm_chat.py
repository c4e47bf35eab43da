"""The chat backend against a scripted server: what it asks, what it understands, and what it makes of failures."""

import asyncio
import json
import time
from collections.abc import Iterable
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from parley.engines.base import (
    CallDelta,
    Finished,
    FunctionTool,
    Image,
    Message,
    Prompt,
    Text,
    Thought,
    ToolCall,
    Words,
)
from parley.engines.llm import BACKENDS, LanguageModelOptions
from parley.engines.llm.chat import Chat, request_body
from parley.engines.llm.thoughts import Thoughts
from parley.errors import EngineError
from tests.engines.fake_chat import CUT, DONE, HANG, STOP, FakeChat, Step, called, event, running, said, status, stream

HELLO = Prompt(model="gpt-realtime", messages=(Message(role="user", content=(Text(text="Hello"),)),))
LOOK = FunctionTool(name="look", description="Looks.", parameters={"type": "object"})


def chat(fake: FakeChat, **options: Any) -> Chat:
    model = BACKENDS["chat"](LanguageModelOptions(url=fake.url, api_key="sk-test", **options))
    assert isinstance(model, Chat)
    return model


async def answer(script: Iterable[Step], **options: Any) -> list[Words | Thought | CallDelta | Finished]:
    """Everything that the model says when the server follows the script."""
    async with running(script) as fake:
        model = chat(fake, **options)
        try:
            return [piece async for piece in model.generate(HELLO)]
        finally:
            await model.close()


async def words(*steps: Step) -> str:
    return "".join(piece.text for piece in await answer(stream(*steps)) if isinstance(piece, Words))


def calls(pieces: Iterable[object]) -> list[tuple[str | None, str | None, str]]:
    """(call id, name, arguments) of each call, in order."""
    found: dict[int, tuple[str | None, str | None, str]] = {}
    for piece in pieces:
        if isinstance(piece, CallDelta):
            call_id, name, arguments = found.get(piece.index, (piece.call_id, piece.name, ""))
            found[piece.index] = (call_id, name, arguments + piece.arguments)
    return [found[index] for index in sorted(found)]


# ---- what it asks


def test_the_smallest_request() -> None:
    assert request_body(HELLO, LanguageModelOptions()) == {
        "model": "gpt-realtime",
        "messages": [{"role": "user", "content": "Hello"}],
        "stream": True,
        "stream_options": {"include_usage": True},
    }


def test_a_request_with_everything() -> None:
    prompt = Prompt(
        model="gpt-realtime",
        instructions="Be brief.",
        messages=(
            Message(role="user", content=(Image(url="data:image/png;base64,AA", detail="low"), Text(text="What?"))),
            Message(role="assistant", calls=(ToolCall(call_id="c1", name="look", arguments="{}"),)),
            Message(role="tool", content=(Text(text="42"),), call_id="c1"),
        ),
        tools=(LOOK,),
        tool_choice="function:look",
        parallel_tool_calls=False,
        max_output_tokens=9,
        temperature=0.5,
        reasoning_effort="low",
    )
    assert request_body(prompt, LanguageModelOptions(model="qwen", limit_field="max_completion_tokens")) == {
        "model": "qwen",
        "messages": [
            {"role": "system", "content": "Be brief."},
            {
                "role": "user",
                "content": [
                    {"type": "image_url", "image_url": {"url": "data:image/png;base64,AA", "detail": "low"}},
                    {"type": "text", "text": "What?"},
                ],
            },
            {
                "role": "assistant",
                "content": None,
                "tool_calls": [{"id": "c1", "type": "function", "function": {"name": "look", "arguments": "{}"}}],
            },
            {"role": "tool", "content": "42", "tool_call_id": "c1"},
        ],
        "tools": [
            {
                "type": "function",
                "function": {"name": "look", "description": "Looks.", "parameters": {"type": "object"}},
            }
        ],
        "tool_choice": {"type": "function", "function": {"name": "look"}},
        "parallel_tool_calls": False,
        "max_completion_tokens": 9,
        "temperature": 0.5,
        "reasoning_effort": "low",
        "stream": True,
        "stream_options": {"include_usage": True},
    }


async def test_where_it_asks_and_with_which_key() -> None:
    async with running(stream(*said("Hi"), STOP)) as fake:
        model = chat(fake)
        assert [piece async for piece in model.generate(HELLO)]
        await model.close()
    assert fake.headers[0]["path"] == "/v1/chat/completions"
    assert fake.headers[0]["authorization"] == "Bearer sk-test"


async def test_a_second_request_uses_the_same_connection() -> None:
    async with running(stream(*said("Hi"), STOP)) as fake:
        model = chat(fake)
        for _ in range(3):
            assert [piece async for piece in model.generate(HELLO)]
        await model.close()
    assert (len(fake.bodies), fake.connections) == (3, 1)


# ---- what it understands


async def test_words_come_as_they_are_and_usage_at_the_end() -> None:
    usage = b'data: {"choices":[],"usage":{"prompt_tokens":7,"completion_tokens":2}}\n\n'
    assert await answer(stream(*said("Hi", " there."), event(finish="stop"), usage, DONE)) == [
        Words(text="Hi"),
        Words(text=" there."),
        Finished(reason="stop", input_tokens=7, output_tokens=2),
    ]


async def test_a_word_is_passed_on_before_the_next_one_exists() -> None:
    async with running(stream(*said("Hi"), HANG)) as fake:
        model = chat(fake)
        pieces = model.generate(HELLO)
        assert await anext(pieces) == Words(text="Hi")
        await pieces.aclose()  # type: ignore[attr-defined]
        await asyncio.wait_for(fake.hung_up.wait(), 5)
        await model.close()


@pytest.mark.parametrize(
    "finish, reason", [("length", "length"), ("content_filter", "content_filter"), ("eos", "stop")]
)
async def test_why_it_ended(finish: str, reason: str) -> None:
    assert (await answer(stream(*said("Hi"), event(finish=finish), DONE)))[-1] == Finished(reason=reason)  # type: ignore[arg-type]


async def test_a_stream_may_end_without_done() -> None:
    assert (await answer(stream(*said("Hi"), event(finish="stop"))))[-1] == Finished(reason="stop")


async def test_bytes_may_be_cut_anywhere() -> None:
    data = b"".join(said("Grüß", " dich, ", "今日は。")) + STOP
    assert await words(*(data[i : i + 1] for i in range(len(data)))) == "Grüß dich, 今日は。"


async def test_comments_and_other_fields_are_skipped() -> None:
    noise = b": keep-alive\r\n\r\nevent: message\r\nid: 1\r\nretry: 3\r\n"
    assert await words(noise, b'data:{"choices":[{"delta":{"content":"Hi","tool_calls":null}}]}\r\n\r\n', STOP) == "Hi"


async def test_thoughts_beside_and_inside_the_answer_are_kept_apart_from_it() -> None:
    beside = event({"reasoning_content": "One ", "reasoning": "One "}) + event({"reasoning": "two."})
    inside = said("<thi", "nk>three", " four</th", "ink>\n\nHi", "<think>unfinished")
    usage = b'data: {"usage":{"completion_tokens":9,"completion_tokens_details":{"reasoning_tokens":7}}}\n\n'
    pieces = await answer(stream(beside, *inside, event(finish="stop"), usage, DONE))
    thoughts = "".join(piece.text for piece in pieces if isinstance(piece, Thought))
    assert thoughts == "One two.three fourunfinished"
    assert "".join(piece.text for piece in pieces if isinstance(piece, Words)) == "Hi"
    assert pieces[-1] == Finished(reason="stop", output_tokens=9, reasoning_tokens=7)


async def test_a_server_that_refuses_the_effort_is_asked_without() -> None:
    thinking = Prompt(model="m", messages=HELLO.messages, reasoning_effort="xhigh")
    less = Prompt(model="m", messages=HELLO.messages, reasoning_effort="low")
    refusal = status(400, '{"error":{"code":"unsupported_value"}}')
    async with running(refusal, stream(*said("Hi"), STOP)) as fake:
        model = chat(fake)
        for prompt in (thinking, thinking, less):
            assert Words(text="Hi") in [piece async for piece in model.generate(prompt)]
        await model.close()
    assert [body.get("reasoning_effort") for body in fake.bodies] == ["xhigh", None, None, "low"]


async def test_another_refusal_stays_one() -> None:
    thinking = Prompt(model="m", messages=HELLO.messages, reasoning_effort="low")
    async with running(status(401)) as fake:
        model = chat(fake)
        for _ in range(2):
            with pytest.raises(EngineError, match="401"):
                [piece async for piece in model.generate(thinking)]
        await model.close()
    assert [body.get("reasoning_effort") for body in fake.bodies] == ["low", None] * 2, "it was not learnt from"


async def test_reasoning_is_never_spoken() -> None:
    thoughts = event({"reasoning_content": "Hm.", "content": None}) + event({"reasoning": "Hm."})
    assert await words(thoughts, *said("<thi", "nk>Hm, 1 < 2", " so</th", "ink>\n\n", "Hi", " <3"), STOP) == "Hi <3"


async def test_content_in_parts_and_refusals_are_spoken() -> None:
    parts = event({"content": [{"type": "thinking", "thinking": []}, {"type": "text", "text": "Hi"}]})
    assert await words(parts, event({"refusal": " no"}), STOP) == "Hi no"


async def test_a_call_whose_arguments_come_character_by_character() -> None:
    text = json.dumps({"sign": "Aquarius"})
    pieces = await answer(stream(called(0, "c1", "look"), *(called(0, arguments=char) for char in text), STOP))
    assert calls(pieces) == [("c1", "look", text)]
    assert pieces[0] == CallDelta(index=0, call_id="c1", name="look")
    assert pieces[-1] == Finished(reason="tool_calls")


async def test_parallel_calls_interleaved() -> None:
    deltas = [
        called(0, "a", "look", '{"x"'),
        called(1, "b", "hear", "{"),
        called(0, arguments=":1}"),
        called(1, arguments="}"),
    ]
    assert calls(await answer(stream(*deltas, STOP))) == [("a", "look", '{"x":1}'), ("b", "hear", "{}")]


@pytest.mark.parametrize("index", [None, 0])
async def test_parallel_calls_without_proper_numbers(index: int | None) -> None:
    deltas = [called(index, "a", "look", {"x": 1}), called(index, "b", "hear"), event(finish="stop")]
    assert calls(await answer(stream(*deltas))) == [("a", "look", '{"x":1}'), ("b", "hear", "{}")]


async def test_a_name_after_the_arguments_began() -> None:
    assert calls(
        await answer(stream(called(0, "a", None, "{"), called(0, "a", "look"), called(0, arguments="}"), STOP))
    ) == [("a", "look", "{}")]


# ---- what it makes of failures


async def failure(script: Iterable[Step], **options: Any) -> EngineError:
    with pytest.raises(EngineError) as caught:
        await answer(script, **options)
    return caught.value


@pytest.mark.parametrize(
    "script, code",
    [
        (status(401, '{"error":{"code":"invalid_api_key"}}'), "backend_refused"),
        (status(429), "backend_rate_limited"),
        (status(500), "backend_refused"),
        (status(503), "backend_refused"),
        (stream(b"<html>It works</html>"), "backend_protocol_error"),
        (stream(b"data: {nonsense\n\n"), "backend_protocol_error"),
        (stream(b'data: {"choices": "no"}\n\n'), "backend_protocol_error"),
        (stream(), "backend_protocol_error"),
        (stream(*said("Hi")), "backend_protocol_error"),
        (stream(*said("Hi"), CUT, end=False), "backend_protocol_error"),
        (stream(called(0, "a", None, "{}"), STOP), "backend_protocol_error"),
        (stream(b'data: {"error":{"message":"secret","code":"server_error"}}\n\n'), "backend_refused"),
        (stream(b'data: {"error":{"type":"rate_limit_exceeded"}}\n\n'), "backend_rate_limited"),
        (stream(b'data: {"error":"secret"}\n\n'), "backend_refused"),
        (stream(b'{"error":"secret"}\n'), "backend_refused"),
    ],
)
async def test_what_can_go_wrong(script: list[Step], code: str) -> None:
    error = await failure(script)
    assert error.code == code
    assert "secret" not in error.message and "sk-test" not in error.message


async def test_nobody_listens() -> None:
    async with running(stream()) as fake:
        model = chat(fake)
    with pytest.raises(EngineError, match="could not be reached") as caught:
        [piece async for piece in model.generate(HELLO)]
    assert (caught.value.code, caught.value.retryable) == ("backend_unavailable", True)
    await model.close()


async def test_what_came_before_the_break_was_passed_on() -> None:
    pieces = []
    async with running(stream(*said("Hi"), CUT, end=False)) as fake:
        model = chat(fake)
        with pytest.raises(EngineError):
            async for piece in model.generate(HELLO):
                pieces.append(piece)
        await model.close()
    assert pieces == [Words(text="Hi")]
    assert len(fake.bodies) == 1, "nothing is asked again once words have come"


async def test_a_busy_server_is_asked_once_more() -> None:
    async with running(status(503), stream(*said("Hi"), STOP)) as fake:
        model = chat(fake)
        assert Words(text="Hi") in [piece async for piece in model.generate(HELLO)]
        await model.close()
    assert len(fake.bodies) == 2


@pytest.mark.parametrize(
    "script",
    [
        [HANG],
        stream(HANG),
        stream(b": still thinking\n\n", HANG),
        stream(*said("Hi"), HANG),
        stream(*said("Hi"), b": still alive\n\n", HANG),
    ],
)
async def test_silence_is_not_waited_for_forever(script: list[Step]) -> None:
    error = await failure(script, first_token_s=0.1, next_token_s=0.1)
    assert (error.code, error.retryable) == ("backend_timeout", True)


async def test_a_slow_listener_is_no_silence() -> None:
    async with running(stream(*said("One", " two"), STOP)) as fake:
        model = chat(fake, next_token_s=0.05)
        heard = []
        async for piece in model.generate(HELLO):
            heard.append(piece)
            await asyncio.sleep(0.1)
        await model.close()
    assert heard == [Words(text="One"), Words(text=" two"), Finished()]


@given(st.lists(st.sampled_from(["<think>", "</think>", "<thi", "nk>", "<", "a", " b", ">", "\n"]), max_size=12))
def test_thoughts_are_the_same_however_the_text_is_cut(tokens: list[str]) -> None:
    def heard(pieces: Iterable[str]) -> str:
        thoughts = Thoughts()
        return "".join([thoughts.push(piece) for piece in pieces]) + thoughts.finish()

    assert heard(tokens) == heard("".join(tokens))


async def test_our_own_time_per_token_is_small() -> None:
    count = 2_000
    script = stream(b"".join(said(*["word "] * count)) + STOP)
    began = time.process_time()
    assert len(await answer(script)) == count + 1
    assert (time.process_time() - began) / count < 0.005
