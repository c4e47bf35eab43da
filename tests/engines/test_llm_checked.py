"""No call goes on that the session does not allow, whatever a model does; and one round of repair."""

import json
import random
from collections.abc import AsyncIterator
from typing import Any

import pytest

from parley.engines.base import CallDelta, Finished, FunctionTool, Prompt, Words
from parley.engines.llm.checked import ARGUMENTS_CHARS_MAX, CALLS_MAX, Checked
from parley.errors import EngineError

CLOCK = FunctionTool(
    name="clock",
    parameters={
        "type": "object",
        "properties": {"city": {"type": "string", "maxLength": 20}, "hours": {"type": "integer"}},
        "required": ["city"],
        "additionalProperties": False,
    },
)
LAMP = FunctionTool(name="lamp", parameters={"type": "object", "properties": {"on": {"type": "boolean"}}})
PROMPT = Prompt(model="m", tools=(CLOCK, LAMP))

Piece = Words | CallDelta | Finished


class Mind:
    """Says one list of pieces after the other, one for each time that it is asked."""

    def __init__(self, *answers: list[Piece]) -> None:
        self.answers = list(answers)
        self.prompts: list[Prompt] = []

    async def generate(self, prompt: Prompt) -> AsyncIterator[Piece]:
        self.prompts.append(prompt)
        for piece in self.answers.pop(0):
            yield piece


def call(index: int, name: str, *arguments: str, id: str | None = None) -> list[Piece]:
    return [CallDelta(index=index, call_id=id, name=name), *(CallDelta(index=index, arguments=a) for a in arguments)]


async def made(mind: Mind, prompt: Prompt = PROMPT) -> tuple[str, list[tuple[str, Any]], Finished]:
    """Words, calls, and the end."""
    words, calls, ends = "", dict[int, list[str]](), list[Finished]()
    async for piece in Checked(mind).generate(prompt):
        match piece:
            case Words():
                words += piece.text
            case CallDelta():
                known = calls.setdefault(piece.index, [piece.name or "", ""])
                known[1] += piece.arguments
            case Finished():
                ends.append(piece)
    (end,) = ends
    return words, [(name, json.loads(arguments or "{}")) for name, arguments in calls.values()], end


async def test_right_calls_go_on_as_they_came() -> None:
    mind = Mind(
        [
            Words(text="One moment."), *call(0, "clock", '{"ci', 'ty": "Bern"}', id="call_a"),
            *call(1, "lamp", "{}"), Finished(reason="tool_calls"),
        ]
    )  # fmt: skip
    pieces = [piece async for piece in Checked(mind).generate(PROMPT)]
    assert pieces == [
        Words(text="One moment."),
        CallDelta(index=0, call_id="call_a", name="clock"),
        CallDelta(index=0, arguments='{"ci'),
        CallDelta(index=0, arguments='ty": "Bern"}'),
        CallDelta(index=1, name="lamp"),
        CallDelta(index=1, arguments="{}"),
        Finished(reason="tool_calls"),
    ]


async def test_words_do_not_wait_for_calls() -> None:
    async def slow(prompt: Prompt) -> AsyncIterator[Piece]:
        yield Words(text="I am thinking")
        raise AssertionError("asked for more before the words were passed on")

    mind = Mind()
    mind.generate = slow  # type: ignore[method-assign]
    async for piece in Checked(mind).generate(PROMPT):
        assert piece == Words(text="I am thinking")
        break


@pytest.mark.parametrize(
    ("name", "arguments", "why"),
    [
        ("clock", '{"city": 7}', "7 is not of type 'string'"),
        ("clock", "{}", "'city' is a required property"),
        ("clock", '{"city": "x", "town": 1}', "'town' was unexpected"),
        ("clock", '{"city": ', "not JSON"),
        ("clock", "[1]", "not a JSON object"),
        ("delete_everything", "{}", "no function 'delete_everything'"),
    ],
)
async def test_a_wrong_call_is_repaired_once(name: str, arguments: str, why: str) -> None:
    mind = Mind([*call(0, name, arguments), Finished()], [*call(0, "clock", '{"city": "Bern"}'), Finished()])
    _, calls, _ = await made(mind)
    assert calls == [("clock", {"city": "Bern"})]
    told = mind.prompts[1]
    assert why in told.messages[-1].text and told.messages[-2].calls[0].arguments == arguments
    assert told.tool_choice == ("function:clock" if name == "clock" else "required")
    assert told.messages[-1].call_id == told.messages[-2].calls[0].call_id


async def test_a_second_wrong_call_fails_clearly() -> None:
    mind = Mind([*call(0, "clock", "{}"), Finished()], [*call(0, "clock", '{"city": 8}'), Finished()])
    with pytest.raises(EngineError, match=r"wrongly, twice.*8 is not of type") as caught:
        await made(mind)
    assert caught.value.code == "tool_call_invalid"


async def test_a_model_that_gives_up_fails_clearly() -> None:
    mind = Mind([*call(0, "clock", "{}"), Finished()], [Words(text="I cannot."), Finished()])
    with pytest.raises(EngineError, match="required property"):
        await made(mind)


async def test_right_calls_beside_a_wrong_one_go_on() -> None:
    mind = Mind(
        [*call(0, "lamp", '{"on": true}'), *call(1, "clock", "{}"), Finished()],
        [*call(0, "clock", '{"city": "Bern"}'), Finished()],
    )
    _, calls, _ = await made(mind)
    assert calls == [("lamp", {"on": True}), ("clock", {"city": "Bern"})]


async def test_a_call_that_was_cut_off_was_never_made() -> None:
    mind = Mind([*call(0, "clock", '{"city": "Be'), Finished(reason="length")])
    _, calls, end = await made(mind)
    assert calls == [] and end.reason == "length"


async def test_one_call_where_one_is_allowed() -> None:
    prompt = Prompt(model="m", tools=(LAMP,), parallel_tool_calls=False)
    mind = Mind([*call(0, "lamp", "{}"), *call(1, "lamp", "{}"), *call(2, "lamp", "{}"), Finished()])
    _, calls, _ = await made(mind, prompt)
    assert calls == [("lamp", {})]


async def test_bounds() -> None:
    many: list[Piece] = [piece for index in range(CALLS_MAX + 1) for piece in call(index, "lamp", "{}")]
    with pytest.raises(EngineError, match="more than"):
        await made(Mind([*many, Finished()]))
    with pytest.raises(EngineError, match="longer than"):
        await made(Mind([*call(0, "lamp", *["x" * 1_000] * (ARGUMENTS_CHARS_MAX // 1_000 + 1)), Finished()]))


async def test_a_schema_that_cannot_be_applied_refuses_nothing() -> None:
    odd = FunctionTool(
        name="odd", parameters={"type": "object", "properties": {"a": {"$ref": "https://evil.example/x"}}}
    )
    _, calls, _ = await made(Mind([*call(0, "odd", '{"a": 1}'), Finished()]), Prompt(model="m", tools=(odd,)))
    assert calls == [("odd", {"a": 1})]


async def test_a_pattern_that_takes_for_ever_is_not_tried() -> None:
    slow = FunctionTool(
        name="slow", parameters={"type": "object", "properties": {"a": {"type": "string", "pattern": "^(a+)+$"}}}
    )
    arguments = json.dumps({"a": "a" * 60 + "b"})
    _, calls, _ = await made(Mind([*call(0, "slow", arguments), Finished()]), Prompt(model="m", tools=(slow,)))
    assert len(calls) == 1


async def test_hostile_models_call_nothing_that_is_not_allowed() -> None:
    """Random histories: whatever comes out fits, and is bounded."""
    dice = random.Random(7)
    names = ["clock", "lamp", "other", "", "clock ", "CLOCK", "__proto__"]
    texts = [
        '{"city": "Bern"}',
        "{}",
        "[",
        '{"on": 1}',
        '{"on": false}',
        "null",
        '"x"',
        "{" * 200,
        "\x00",
        '{"city": []}',
    ]

    def answer() -> list[Piece]:
        pieces: list[Piece] = []
        for _ in range(dice.randrange(8)):
            match dice.randrange(4):
                case 0:
                    pieces.append(Words(text="hm"))
                case 1:
                    pieces.append(CallDelta(index=dice.randrange(4), name=dice.choice(names)))
                case _:
                    pieces.append(CallDelta(index=dice.randrange(4), arguments=dice.choice(texts)))
        return [*pieces, Finished(reason=dice.choice(("stop", "length", "tool_calls")))]

    failed = passed = 0
    for _ in range(5_000):
        mind = Mind(answer(), answer())
        choice = dice.choice(("auto", "none", "required"))
        try:
            _, calls, _ = await made(mind, Prompt(model="m", tools=(CLOCK, LAMP), tool_choice=choice))
        except EngineError as error:
            assert error.code == "tool_call_invalid"
            failed += 1
            continue
        passed += bool(calls)
        assert len(mind.prompts) <= 2, "it never loops"
        assert choice != "none" or not calls
        for name, arguments in calls:
            assert name in ("clock", "lamp") and isinstance(arguments, dict)
            assert name == "lamp" or isinstance(arguments["city"], str)
            assert isinstance(arguments.get("on", True), bool)
    assert failed > 100 and passed > 100
