"""The embedded assistant, talked to. The transcripts are in test_assistant_talks/; what they may contain stands there."""

import json
import re
import time
from collections.abc import AsyncIterator, Iterator
from datetime import datetime
from pathlib import Path
from typing import Any, NamedTuple
from zoneinfo import ZoneInfo

import msgspec
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from jsonschema.validators import Draft202012Validator

from parley.engines.base import CallDelta, Finished, FunctionTool, Image, Message, Prompt, Text, ToolCall, Words
from parley.engines.llm import BACKENDS, LanguageModelOptions
from parley.engines.llm.assistant import Assistant
from parley.engines.llm.assistant.dialogue import dialogue_of
from parley.engines.llm.assistant.skills import answer

TALKS = Path(__file__).parent / "test_assistant_talks"
NOW = datetime(2026, 11, 21, 15, 42, tzinfo=ZoneInfo("America/New_York"))
REPLY_CHARS_MAX = 3_000

STRING: dict[str, Any] = {"type": "string"}
SIGNS = ("Aries Taurus Gemini Cancer Leo Virgo Libra Scorpio Sagittarius Capricorn Aquarius Pisces").split(" ")


def function(tool: str, description: str, required: str, **properties: Any) -> FunctionTool:
    schema: dict[str, object] = {"type": "object", "properties": properties, "required": required.split()}
    return FunctionTool(name=tool, description=description, parameters=schema)


FUNCTIONS = {
    tool.name: tool
    for tool in (
        function(
            "generate_horoscope",
            "Give today's horoscope for an astrological sign.",
            "sign",
            sign={"type": "string", "description": "The sign for the horoscope.", "enum": SIGNS},
        ),
        function(
            "get_weather",
            "Get the current weather for a location.",
            "location",
            location={"type": "string", "description": "The city"},
            date=STRING,
            unit={"type": "string", "enum": ["celsius", "fahrenheit"]},
        ),
        function("get_time", "Get the current time in a city", "city", city=STRING),
        function("lookup_order", "Return shipping status for one order ID.", "order_id", order_id=STRING),
        function("set_timer", "Start a timer", "minutes", minutes={"type": "integer", "minimum": 1, "maximum": 600}),
        function(
            "send_email", "Send an email to someone", "to_email body", to_email=STRING, subject=STRING, body=STRING
        ),
        function(
            "book_table",
            "Book a table at a restaurant",
            "party_size time",
            party_size={"type": "integer"},
            date={"type": "string", "description": "YYYY-MM-DD"},
            time={"type": "string", "description": "HH:MM"},
            name=STRING,
        ),
        function(
            "set_light_color", "Set the color of the light", "color", color=STRING, brightness={"type": "integer"}
        ),
        function("search_knowledge_base", "Search the knowledge base for an answer", "query", query=STRING),
        function(
            "order_pizza",
            "Order a pizza",
            "size",
            size={"type": "string", "enum": ["small", "medium", "large"]},
            toppings={"type": "array", "items": {"type": "string", "enum": ["cheese", "mushrooms", "ham", "olives"]}},
            extra_cheese={"type": "boolean"},
        ),
        function("add_to_cart", "Add items to the shopping cart", "items", items={"type": "array", "items": STRING}),
        function(
            "find_flights",
            "Find flights between two cities",
            "origin destination",
            origin=STRING,
            destination=STRING,
            date={"type": "string", "format": "date"},
        ),
        function("create_reminder", "Create a reminder", "task", task=STRING, minutes={"type": "integer"}),
        function(
            "translate_text",
            "Translate text into a language",
            "text target_language",
            text=STRING,
            target_language=STRING,
        ),
        function("play_song", "Play a song", "title", title=STRING),
        function("end_call", "Hang up the phone call", ""),
        function("transfer_to_agent", "Transfer the caller to a human agent", "", reason=STRING),
        function(
            "set_temperature", "Set the thermostat temperature", "degrees", degrees={"type": "number"}, room=STRING
        ),
        function("calculate", "Evaluates a mathematical expression", "expression", expression=STRING),
        function("broken", "A broken thing", "thing", thing={"type": "nonsense"}, other={"pattern": "("}),
        function("remote", "A remote thing", "name", name={"$ref": "https://example.com/name.json"}),
    )
}


# ---- transcripts of one line


def single_lines() -> Iterator[tuple[str, str]]:
    for file in ("smalltalk.txt", "knowledge.txt"):
        for line in (TALKS / file).read_text().splitlines():
            if line and not line.startswith("#"):
                said, _, expected = line.partition(" => ")
                yield said, expected


@pytest.mark.parametrize(("said", "expected"), list(single_lines()))
def test_a_line_and_its_answer(said: str, expected: str) -> None:
    told = reply_to(prompt(user(said)))
    assert re.search(expected, told), told
    assert not re.search(r"[*_`#]", told.replace("PARLEY_LLM_URL", "").replace("PARLEY_LLM_MODEL", "")), (
        "unpronounceable"
    )


# ---- whole conversations


class Talk(NamedTuple):
    title: str
    lines: list[tuple[str, str]]


def talks() -> Iterator[Talk]:
    for block in re.split(r"^== ", (TALKS / "conversations.txt").read_text(), flags=re.MULTILINE)[1:]:
        title, *lines = block.splitlines()
        yield Talk(title, [(line.partition(" ")[0], line.partition(" ")[2].strip()) for line in lines if line])


class Stage:
    """Plays a talk: keeps the prompt, and what the assistant has answered but nobody has checked."""

    def __init__(self) -> None:
        self.prompt = Prompt(model="m")
        self.text = ""
        self.calls: list[ToolCall] = []
        self.unanswered: list[ToolCall] = []

    def play(self, word: str, rest: str) -> None:
        """One line of a talk: its first word is the method below."""
        getattr(self, f"on_{word.replace('-', '_')}")(rest)

    def on_system(self, text: str) -> None:
        if self.prompt.messages or self.prompt.instructions:
            self.add(Message(role="system", content=(Text(text=text),)))
        else:
            self.set(instructions=text)

    def on_tools(self, names: str) -> None:
        self.set(tools=tuple(FUNCTIONS[name] for name in names.split()))

    def on_choice(self, choice: str) -> None:
        self.set(tool_choice=choice)

    def on_one_at_a_time(self, _: str) -> None:
        self.set(parallel_tool_calls=False)

    def on_user(self, text: str) -> None:
        self.done()
        self.add(user(text))
        self.respond()

    def on_create(self, _: str) -> None:
        self.done()
        self.respond()

    def on_says(self, pattern: str) -> None:
        assert re.search(pattern, self.text), self.text or self.calls
        self.text = ""

    def on_exactly(self, text: str) -> None:
        assert self.text == text, self.calls
        self.text = ""

    def on_calls(self, named: str) -> None:
        name, _, arguments = named.partition(" ")
        assert self.calls, self.text
        call = self.calls.pop(0)
        assert (call.name, json.loads(call.arguments)) == (name, json.loads(arguments))

    def on_result(self, text: str) -> None:
        call = self.unanswered.pop(0)
        self.add(Message(role="tool", content=(Text(text=text),), call_id=call.call_id))

    def on_heard(self, text: str) -> None:
        self.set(messages=(*self.prompt.messages[:-1], assistant(text)))

    def set(self, **fields: Any) -> None:
        self.prompt = msgspec.structs.replace(self.prompt, **fields)

    def add(self, message: Message) -> None:
        self.set(messages=(*self.prompt.messages, message))

    def respond(self) -> None:
        reply = answer(dialogue_of(self.prompt, NOW, 0))
        self.text = reply.text
        count = len(self.prompt.messages)
        self.calls = [
            ToolCall(call_id=f"call_{count}_{index}", name=call.name, arguments=json.dumps(call.arguments))
            for index, call in enumerate(reply.calls)
        ]
        self.unanswered = list(self.calls)
        self.add(
            Message(role="assistant", content=(Text(text=reply.text),) if reply.text else (), calls=tuple(self.calls))
        )

    def done(self) -> None:
        assert not self.text, f"nobody expected: {self.text}"
        assert not self.calls, f"nobody expected: {self.calls}"


@pytest.mark.parametrize("talk", list(talks()), ids=lambda talk: talk.title)
def test_a_conversation(talk: Talk) -> None:
    stage = Stage()
    for word, rest in talk.lines:
        stage.play(word, rest)
    stage.done()


# ---- as a language model


def user(text: str) -> Message:
    return Message(role="user", content=(Text(text=text),))


def assistant(text: str) -> Message:
    return Message(role="assistant", content=(Text(text=text),))


def prompt(*messages: Message, **fields: Any) -> Prompt:
    return Prompt(model="gpt-realtime", messages=messages, **fields)


def reply_to(asked: Prompt, seed: int = 0) -> str:
    return answer(dialogue_of(asked, NOW, seed)).text


async def pieces(model: Assistant, asked: Prompt) -> list[Words | CallDelta | Finished]:
    stream: AsyncIterator[Words | CallDelta | Finished] = model.generate(asked)
    return [piece async for piece in stream]


async def test_it_speaks_word_by_word() -> None:
    assert await pieces(Assistant(now=lambda: NOW), prompt(user("What is your name?"))) == [
        Words(text="I'm"),
        Words(text=" Parley's"),
        Words(text=" embedded"),
        Words(text=" assistant."),
        Finished(reason="stop"),
    ]


async def test_it_calls_functions() -> None:
    asked = prompt(user("Give me my horoscope. I am an aquarius."), tools=(FUNCTIONS["generate_horoscope"],))
    assert await pieces(Assistant(now=lambda: NOW), asked) == [
        CallDelta(index=0, name="generate_horoscope"),
        CallDelta(index=0, arguments='{"sign": "Aquarius"}'),
        Finished(reason="tool_calls"),
    ]


async def test_the_table_of_backends_makes_one_with_the_wall_clock() -> None:
    model = BACKENDS["assistant"](LanguageModelOptions(seed=3))
    assert isinstance(model, Assistant)
    told = "".join(
        piece.text for piece in await pieces(model, prompt(user("What year is it?"))) if isinstance(piece, Words)
    )
    assert re.fullmatch(r"It is \d{4}\.", told)


def test_the_seed_and_the_conversation_decide_every_word() -> None:
    asked = prompt(user("Tell me a joke."))
    assert reply_to(asked, seed=1) == reply_to(asked, seed=1)
    assert len({reply_to(asked, seed=seed) for seed in range(20)}) > 1


def test_written_answers_name_the_setting_and_spoken_ones_can_be_pronounced() -> None:
    asked = user("What is the capital of France?")
    assert "PARLEY_LLM_URL" in reply_to(prompt(asked, spoken=False))
    assert "_" not in reply_to(prompt(asked, spoken=True))


def test_an_image_without_words() -> None:
    picture = Message(role="user", content=(Image(url="data:image/png;base64,AA"),))
    assert "can't see" in reply_to(prompt(picture))


def test_a_reply_takes_milliseconds() -> None:
    history = [
        message for index in range(300) for message in (user(f"My number {index} is {index}."), assistant("Noted."))
    ]
    tools = tuple(tool for name, tool in FUNCTIONS.items() if name not in ("broken", "remote"))
    asked = prompt(*history, user("What's the weather in Paris, Rome and London tomorrow?"), tools=tools)
    reply_to(asked)
    began = time.process_time()
    for _ in range(5):
        reply_to(asked)
    assert (time.process_time() - began) / 5 < 0.05


@pytest.mark.parametrize(
    "word", ["my ", "a ", "one ", "and ", "is my ", "aaaa", "in Paris, ", "1 ", "what is ", "(", "at "]
)
def test_a_tedious_line_costs_no_more_than_a_moment(word: str) -> None:
    tools = tuple(FUNCTIONS.values())
    began = time.process_time()
    reply_to(prompt(user(word * (20_000 // len(word))), tools=tools))
    assert time.process_time() - began < 1.0


# ---- whatever is said

WORDS = (
    "what is my name the weather in Paris and Rome two plus percent of seven hours until Christmas tomorrow say repeat that "
    "set a timer for minutes please my order number I live you are Bob not . ? , 3.5 12 % ( ) * / how many miles convert to "
    "kilograms never mind hello thanks email at dot com horoscope aquarius \" ' é 今日 \x00 \n"
).split(" ")
SENTENCE = st.one_of(st.lists(st.sampled_from(WORDS), max_size=25).map(" ".join), st.text(max_size=120))
MESSAGE = st.one_of(
    SENTENCE.map(user),
    SENTENCE.map(assistant),
    SENTENCE.map(lambda text: Message(role="system", content=(Text(text=text),))),
    SENTENCE.map(lambda text: Message(role="tool", content=(Text(text=text),), call_id="c")),
    SENTENCE.map(
        lambda text: Message(role="assistant", calls=(ToolCall(call_id="c", name="get_weather", arguments=text),))
    ),
)
PROMPT = st.builds(
    Prompt,
    model=st.just("m"),
    instructions=SENTENCE,
    messages=st.lists(MESSAGE, max_size=8).map(tuple),
    tools=st.lists(st.sampled_from(sorted(FUNCTIONS)), max_size=4, unique=True).map(
        lambda names: tuple(FUNCTIONS[name] for name in names)
    ),
    tool_choice=st.sampled_from(["auto", "none", "required", "function:get_weather", "function:unknown"]),
    parallel_tool_calls=st.booleans(),
    spoken=st.booleans(),
)


@settings(max_examples=300, deadline=None)
@given(PROMPT)
def test_whatever_is_said_there_is_a_short_answer_or_a_fitting_call(asked: Prompt) -> None:
    reply = answer(dialogue_of(asked, NOW, 0))
    assert reply.text.strip() or reply.calls
    assert len(reply.text) <= REPLY_CHARS_MAX
    assert not (reply.calls and asked.tool_choice == "none")
    schemas = {tool.name: tool.parameters for tool in asked.tools}
    for call in reply.calls:
        if asked.tool_choice == "auto":
            assert Draft202012Validator(schemas[call.name]).is_valid(call.arguments)


@settings(max_examples=100, deadline=None)
@given(
    st.recursive(
        st.none() | st.booleans() | st.floats() | st.integers() | st.text(max_size=20),
        lambda inner: st.lists(inner, max_size=4) | st.dictionaries(st.text(max_size=10), inner, max_size=4),
    )
)
def test_whatever_a_function_returns_can_be_said(value: object) -> None:
    call = ToolCall(call_id="c", name="get_weather", arguments='{"location": "Paris"}')
    asked = prompt(
        user("What's the weather in Paris?"),
        Message(role="assistant", calls=(call,)),
        Message(role="tool", content=(Text(text=json.dumps(value)),), call_id="c"),
    )
    told = reply_to(asked)
    assert told.strip()
    assert len(told) <= REPLY_CHARS_MAX


def test_there_are_talks() -> None:
    assert len(list(single_lines())) + sum(len(talk.lines) for talk in talks()) > 300
