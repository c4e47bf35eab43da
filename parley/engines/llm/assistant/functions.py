"""Calling the session's functions when the user's words match them.

The plan of a turn is derived from the conversation alone, so it can be derived again: which calls to make, in order,
or which question to ask because a required argument was not said. What was asked is recognised by its own words in the
last answer; so nothing has to be remembered between turns. One rule on top of `tool_choice`: once a call of this turn
has its result, the result is spoken, even under `required`, since another forced call could only repeat the first.
"""

import re
from collections.abc import Iterator
from dataclasses import dataclass
from typing import Final

from parley.engines.base import FunctionTool
from parley.engines.llm.assistant import words
from parley.engines.llm.assistant.arguments import Line, fill, is_specific, read, remembered
from parley.engines.llm.assistant.arithmetic import arithmetic
from parley.engines.llm.assistant.dialogue import Call, Dialogue, Reply
from parley.engines.llm.assistant.facts import is_question, stated_in
from parley.engines.llm.assistant.schema import Parameter, fits, parameters_of, properties

CALLS_MAX: Final = 8
"""Calls in one turn."""
CLAUSES_MAX: Final = 12
QUESTIONS_MAX: Final = 6
"""How many of its own questions in a row it follows back."""
SCORE_MIN: Final = 2.0
INHERITING_WORDS_MAX: Final = 4
"""A clause so short ("and in Rome") may mean the function of the clause before it."""
CHOICES_TOLD_MAX: Final = 5

_GENERIC: Final = frozenset(
    "get fetch look lookup find search check show tell set create make generate retrieve query list do run call "
    "execute update give read add send for by of to the a and in on at up my your user current info information data "
    "details function tool api handle"
    "perform start new from with all is".split(" ")
)
_SYNONYMS: Final = tuple(
    frozenset(words.stem(word) for word in group.split(" "))
    for group in (
        "weather forecast temperature rain raining sunny umbrella snow",
        "order package delivery shipment parcel shipping",
        "light lamp lights",
        "message text sms",
        "email mail",
        "music song track",
        "price cost quote",
        "appointment meeting booking",
        "reservation table booking reserve book",
        "buy purchase order",
        "stock share",
        "call phone dial ring",
        "cancel stop abort",
        "timer countdown",
        "remind reminder remember",
        "ticket issue",
        "agent human representative operator person",
        "transfer connect forward speak talk",
        "end hang goodbye bye",
        "schedule calendar agenda",
        "search find look google",
        "translate translation",
        "calculate calculator compute",
        "balance account",
        "horoscope astrology zodiac",
        "time clock",
        "note memo",
        "send write",
        "on activate enable",
        "off deactivate disable",
    )
)
_CLAUSE: Final = re.compile(
    r",?\s+(?:and then|and also|as well as|and|then|also)\s+(?!a half\b|a quarter\b)|(?<=[.!?;])\s+|"
    r",\s+(?=(?:what|how|where|when|who|is)\b)",
    re.IGNORECASE,
)
_LIST: Final = re.compile(r",\s+(?=[^,]+(?:,|\band\b))")
_WISH: Final = re.compile(r"\bi (?:need|want|would like|wanna|have to|must)\b|\bi'd like\b|\bplease\b", re.IGNORECASE)
_ACTIONS: Final = frozenset(
    "set create make send book add order turn update delete cancel remove schedule start stop play open "
    "close transfer end".split(" ")
)
_ASKS_ONLY: Final = re.compile(r"^(?:what|who|when|where|why|how|which|is|are|was|were|do|does|did)\b", re.IGNORECASE)
_SEARCHES: Final = frozenset(("search", "find", "look", "lookup", "query", "google", "ask"))
_QUERY: Final = re.compile(
    r"^(?:query|q|question|search|search_?(?:query|term|text)|prompt|keywords?|user_?(?:query|question))$",
    re.IGNORECASE,
)
_NEVER_MIND: Final = re.compile(
    r"^(?:never ?mind|cancel|forget (?:it|about it)|stop|no thanks?|no thank you|nothing|skip it)(?: .{0,20})?$",
    re.IGNORECASE,
)


@dataclass(frozen=True)
class Ask:
    """A question for a required argument that was not said."""

    text: str


def function_calls(dialogue: Dialogue) -> Reply | None:
    """Calls what the user's words match, or asks for what is missing. See `tool_choice` in `Prompt`."""
    choice = dialogue.prompt.tool_choice
    tools = _offered(dialogue)
    if not tools or choice == "none":
        return None
    plan = _plan(dialogue, tools)
    if choice == "auto":
        if isinstance(plan, Ask):
            return Reply(plan.text, exact=True)
        return Reply(calls=_allowed(plan, dialogue)) if plan else None
    if isinstance(plan, Ask) or not plan:
        plan = (_forced(dialogue, tools),)
    return Reply(calls=_allowed(plan, dialogue))


def next_calls(dialogue: Dialogue, made: int) -> tuple[Call, ...]:
    """What is left of the turn's plan after the calls that were made (one at a time, when parallel calls are off)."""
    if dialogue.prompt.tool_choice != "auto" or not dialogue.line:
        return ()
    plan = _plan(dialogue, _offered(dialogue))
    return () if isinstance(plan, Ask) else _allowed(plan[made:], dialogue)


def abandoned(dialogue: Dialogue) -> Reply | None:
    """ "Never mind", said to a question for an argument."""
    if _NEVER_MIND.match(dialogue.request) and _pending(dialogue, _offered(dialogue)):
        return Reply("Okay, never mind.")
    return None


def _offered(dialogue: Dialogue) -> tuple[FunctionTool, ...]:
    choice = dialogue.prompt.tool_choice
    name = choice.removeprefix("function:")
    return tuple(tool for tool in dialogue.prompt.tools if name in (choice, tool.name))


def _allowed(calls: tuple[Call, ...], dialogue: Dialogue) -> tuple[Call, ...]:
    return calls[: CALLS_MAX if dialogue.prompt.parallel_tool_calls else 1]


# ---- the plan of a turn


def _plan(dialogue: Dialogue, tools: tuple[FunctionTool, ...]) -> tuple[Call, ...] | Ask:
    if _NEVER_MIND.match(dialogue.request):
        return ()
    if pending := _pending(dialogue, tools):
        return _continued(dialogue, *pending)
    named = dialogue.prompt.tool_choice.startswith("function:")
    if not named and _only_states(dialogue.line):
        return ()
    matched = list(_matched_clauses(dialogue, tools))
    if len(matched) < 2:
        tool = tools[0] if named and tools else matched[0][0] if matched else _best(dialogue.line, dialogue, tools)
        return _complete(tool, dialogue.line, dialogue, {}) if tool else ()
    calls: list[Call] = []
    for tool, clause in matched:
        shared = _shared(tool, dialogue)
        step = _complete(tool, clause, dialogue, shared)
        if isinstance(step, Ask):
            return step
        calls += [call for call in step if call not in calls]
    return tuple(calls)


def _only_states(line: str) -> bool:
    """Whether a line is nothing but facts: "my favorite color is blue" is no order to paint something."""
    parts = words.sentences(line)
    if _WISH.search(line):
        return False
    return bool(parts) and all(_fact_keys(part) and not is_question(part) for part in parts)


def _fact_keys(part: str) -> set[str]:
    return set(stated_in(part)) - {"need", "want", "lost", "remember", "booked", "ordered"}


def _matched_clauses(dialogue: Dialogue, tools: tuple[FunctionTool, ...]) -> Iterator[tuple[FunctionTool, str]]:
    """The clauses that ask for a function each. A short one may go on with the function before it."""
    before: FunctionTool | None = None
    for clause in _clauses(dialogue.line):
        tool = _best(clause, dialogue, tools)
        if tool is None and before and _goes_on(before, clause, dialogue):
            tool = before
        if tool:
            before = tool
            yield tool, clause


def _clauses(line: str) -> list[str]:
    parts = [part for part in _CLAUSE.split(line) if part and part.strip()]
    if re.search(r"\band\b", line, re.IGNORECASE):
        parts = [piece for part in parts for piece in _LIST.split(f"{part}, and")]
        parts = [re.sub(r",? ?and$", "", part).strip(" ,") for part in parts]
    return [part for part in parts if part][:CLAUSES_MAX]


def _goes_on(tool: FunctionTool, clause: str, dialogue: Dialogue) -> bool:
    required = [one for one in parameters_of(tool) if one.required]
    if not required or required[0].type not in ("string", "integer") or len(clause.split()) > INHERITING_WORDS_MAX:
        return False
    bare = re.sub(r"^(?:what about|how about|in|for|at|of|to) ", "", words.tidy(clause), flags=re.IGNORECASE)
    one = required[0]
    if one.choices:
        return read(one, Line(clause, dialogue)) is not None
    if one.type != "string":
        return False
    named = bool(bare) and (bare[0].isupper() or read(one, Line(f"in {bare}", dialogue)) is not None)
    return named and not is_question(clause.rstrip("?")) and read(one, Line(clause, dialogue, whole=True)) is not None


def _shared(tool: FunctionTool, dialogue: Dialogue) -> dict[str, object]:
    """What the line says once for all calls: the day, the unit."""
    parameters = [
        one for one in parameters_of(tool) if not one.required and (one.choices or one.name in ("date", "day", "when"))
    ]
    return fill(parameters, Line(dialogue.line, dialogue))


def _complete(tool: FunctionTool, line: str, dialogue: Dialogue, given: dict[str, object]) -> tuple[Call, ...] | Ask:
    """The call with all its arguments, or a question for the first that is missing."""
    parameters = parameters_of(tool)
    arguments = {**given, **fill(parameters, Line(line, dialogue))}
    if line != dialogue.line:
        whole = fill(
            [one for one in parameters if one.required and one.name not in arguments], Line(dialogue.line, dialogue)
        )
        arguments |= whole
    return _checked(tool, arguments, dialogue)


def _checked(tool: FunctionTool, arguments: dict[str, object], dialogue: Dialogue) -> tuple[Call, ...] | Ask:
    for one in parameters_of(tool):
        if one.required and one.name not in arguments:
            value = _constant(one)
            value = remembered(one, dialogue) if value is None else value
            if value is None:
                return Ask(question(tool, one))
            arguments[one.name] = value
    ordered = {one.name: arguments[one.name] for one in parameters_of(tool) if one.name in arguments}
    if fits(tool, ordered):
        return (Call(tool.name, ordered),)
    wrong = next(
        (one for one in parameters_of(tool) if one.name in ordered and not _alone_fits(tool, one, ordered)), None
    )
    if wrong is None:
        return ()
    if wrong.required:
        return Ask(question(tool, wrong))
    return _checked(tool, {name: value for name, value in ordered.items() if name != wrong.name}, dialogue)


def _constant(one: Parameter) -> object | None:
    return one.choices[0] if len(one.choices) == 1 else None


def _alone_fits(tool: FunctionTool, one: Parameter, arguments: dict[str, object]) -> bool:
    alone: dict[str, object] = {"type": "object", "properties": {one.name: one.schema}}
    alone |= {key: tool.parameters[key] for key in ("$defs", "definitions") if key in tool.parameters}
    return fits(FunctionTool(name=tool.name, parameters=alone), {one.name: arguments[one.name]})


# ---- asking for what is missing


def question(tool: FunctionTool, one: Parameter) -> str:
    """The question for an argument. The same words each time, since they are how the answer is recognised."""
    named = [word for word in one.words if word != "to"] or [one.name]
    noun = " ".join("ID" if word == "id" else word for word in named) + (" address" if named[-1] == "email" else "")
    subject = words.subject(tool.name)
    about = "" if not subject or set(named) & set(subject.split()) else f" for the {subject}"
    if one.choices and len(one.choices) <= CHOICES_TOLD_MAX:
        return f"Which {noun}{about}: {words.listed(map(str, one.choices), 'or')}?"
    if one.choices:
        return f"Which {noun}{about}?"
    if one.type in ("integer", "number") and one.name.endswith("s") and len(one.words) == 1:
        return f"How many {noun}{about}?"
    if one.type == "boolean":
        return f"Should it be {noun}{about}, yes or no?"
    return f"What is the {noun}{about}?"


def _pending(
    dialogue: Dialogue, tools: tuple[FunctionTool, ...]
) -> tuple[FunctionTool, str, list[tuple[Parameter, str]]] | None:
    """The function whose argument was asked for: with the line that began it, and the answers since."""
    lines = _exchange(dialogue)
    if len(lines) < 2:
        return None
    questions = {question(tool, one): (tool, one) for tool in tools for one in parameters_of(tool) if one.required}
    tool: FunctionTool | None = None
    answers: list[tuple[Parameter, str]] = []
    for asked, line in lines:
        found = _recognised(asked, questions)
        if found is None or (tool and found[0] is not tool):
            return (tool, line, answers) if tool else None
        tool = found[0]
        answers.insert(0, (found[1], line))
    return None


def _exchange(dialogue: Dialogue) -> list[tuple[str, str]]:
    """Pairs of what was said to the user and what the user answered, the latest first."""
    pairs: list[tuple[str, str]] = []
    answer: str | None = None
    for message in reversed(dialogue.prompt.messages[-4 * QUESTIONS_MAX :]):
        if message.role == "user":
            if answer is not None:
                pairs.append(("", answer))
            answer = message.text
        elif message.role == "assistant" and message.text and answer is not None:
            pairs.append((message.text, answer))
            answer = None
    return [*pairs, ("", answer)] if answer is not None else pairs


def _recognised(
    asked: str, questions: dict[str, tuple[FunctionTool, Parameter]]
) -> tuple[FunctionTool, Parameter] | None:
    """The question, also when only its beginning was heard, or when the instructions dressed it up."""
    asked = asked.strip()
    for text, found in questions.items():
        if asked and (text in asked or (len(asked) >= len(text) // 2 and text.startswith(asked))):
            return found
    return None


def _continued(
    dialogue: Dialogue, tool: FunctionTool, line: str, answers: list[tuple[Parameter, str]]
) -> tuple[Call, ...] | Ask:
    """The plan of the line that began it, with the answers put in. An answer that is a new request is none."""
    arguments = fill(parameters_of(tool), Line(line, dialogue))
    *_, (last, answer) = answers
    if last.type == "string" and not last.choices and is_question(answer):
        return ()
    for one, text in answers:
        others = [
            other
            for other in parameters_of(tool)
            if other.name != one.name and other.name not in arguments and is_specific(other)
        ]
        value = read(one, Line(text, dialogue, whole=True))
        if value is not None:
            arguments[one.name] = value
        if len(text.split()) > INHERITING_WORDS_MAX:
            arguments |= {name: found for name, found in fill(others, Line(text, dialogue)).items() if found != value}
    if last.name not in arguments and is_question(answer):
        return ()
    return _checked(tool, arguments, dialogue)


# ---- which function is meant


def _nouns(tool: FunctionTool) -> list[str]:
    """The words in a function's name that say what it is about."""
    split = words.split_name(tool.name)
    return [word for word in split if word not in _GENERIC and not word.isdigit()] or split


class _Heard:
    """The words of a line, as scores need them."""

    def __init__(self, line: str, dialogue: Dialogue) -> None:
        said = words.tidy(line)
        self.line = Line(line, dialogue)
        self.spoken = {words.stem(word) for word in re.findall(r"[\w']+", said.lower())}
        self.topics = set(words.content(said))
        self.asks_only = _ASKS_ONLY.match(words.core(said)) is not None
        self.is_sum = arithmetic(dialogue.about(line)) is not None


def _best(line: str, dialogue: Dialogue, tools: tuple[FunctionTool, ...]) -> FunctionTool | None:
    heard = _Heard(line, dialogue)
    scored = [(_score(tool, heard), -index, tool) for index, tool in enumerate(tools)]
    best = max(scored, default=None, key=lambda entry: entry[:2])
    return best[2] if best and best[0] >= SCORE_MIN else None


def _score(tool: FunctionTool, heard: _Heard) -> float:
    """How much a line speaks for a function. One sure sign, such as half of the name's nouns, reaches `SCORE_MIN`."""
    parameters = parameters_of(tool)
    nouns = {words.stem(word) for word in _nouns(tool)}
    verbs = {words.stem(word) for word in words.split_name(tool.name)} - nouns
    described = set(words.content(tool.description)) & heard.topics
    named = sum(bool({words.stem(word) for word in one.words} & heard.topics) for one in parameters)
    total = 4.0 * sum(_is_said(noun, heard.spoken) for noun in nouns) / len(nouns)
    total += 0.5 * bool(verbs & heard.spoken) + 0.4 * min(len(described), 3) + 0.2 * min(named, 2)
    if len(described) >= 2 and 2 * len(described) >= len(heard.topics):
        total += 1.0
    if described and any(one.choices and read(one, heard.line) is not None for one in parameters):
        total += 1.0
    if verbs & _SEARCHES and heard.spoken & _SEARCHES and _query_of(tool):
        total += 2.0
    if heard.is_sum and any(one.name in ("expression", "equation", "formula") for one in parameters):
        total += 2.0
    # "What is your favorite color?" does not want the light changed.
    return total - 1.0 * (heard.asks_only and bool((verbs | nouns) & _ACTIONS))


def search_instead(dialogue: Dialogue) -> Reply | None:
    """A question that nobody else can answer goes to a function that takes any query, if there is one."""
    if dialogue.prompt.tool_choice != "auto" or not is_question(dialogue.line):
        return None
    for tool in dialogue.prompt.tools:
        if one := _query_of(tool):
            call = Call(tool.name, {one.name: words.core(dialogue.line.strip())})
            if fits(tool, call.arguments):
                return Reply(calls=(call,))
    return None


def _query_of(tool: FunctionTool) -> Parameter | None:
    """The one required parameter, if it takes any question."""
    required = [one for one in parameters_of(tool) if one.required]
    return (
        required[0] if len(required) == 1 and required[0].type == "string" and _QUERY.match(required[0].name) else None
    )


def _is_said(stem: str, spoken: set[str]) -> bool:
    return stem in spoken or any(stem in group and group & spoken for group in _SYNONYMS)


# ---- calls that must be made


def _forced(dialogue: Dialogue, tools: tuple[FunctionTool, ...]) -> Call:
    """The likeliest function with the best arguments there are; where nothing was said, defaults stand in."""
    heard = _Heard(dialogue.line, dialogue)
    tool = max(tools, key=lambda tool: _score(tool, heard))
    parameters = parameters_of(tool)
    arguments = fill(parameters, Line(dialogue.line, dialogue))
    for one in parameters:
        if one.required and one.name not in arguments:
            value = remembered(one, dialogue)
            arguments[one.name] = _stand_in(one, dialogue.line) if value is None else value
    for one in parameters:
        if one.name in arguments and not _alone_fits(tool, one, arguments):
            del arguments[one.name]
            if one.required:
                arguments[one.name] = _stand_in(one, "")
    return Call(tool.name, {one.name: arguments[one.name] for one in parameters if one.name in arguments})


def _stand_in(one: Parameter, line: str) -> object:
    """A value of the right form: default, first allowed or example value, the words that were said, or the smallest."""
    examples = one.schema.get("examples")
    if "default" in one.schema:
        return one.schema["default"]
    if one.choices:
        return one.choices[0]
    if isinstance(examples, list) and examples:
        return examples[0]
    match one.type:
        case "integer" | "number":
            return one.schema.get("minimum", 1)
        case "boolean":
            return False
        case "array":
            return [_stand_in(one.items, line)] if one.schema.get("minItems") else []
        case "object":
            return {
                inner.name: _stand_in(inner, line) for inner in properties(one.schema, one.schema) if inner.required
            }
        case _:
            return line.strip() or " ".join(one.words) or one.name
