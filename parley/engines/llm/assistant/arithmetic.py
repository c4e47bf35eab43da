"""Sums, as they are spoken: "how much is twelve percent of eighty", and then "and times two".

A line is taken as a sum only when all of it can be read as one. Grammar, loosest binding first:

    sum      product (("+" | "-") product)*
    product  power (("*" | "/") power)*
    power    signed ("^" signed)*
    signed   ("-" | "+")? (number "%"? | "sqrt" signed | "(" sum ")")
"""

import math
import re
from typing import Final

from parley.engines.llm.assistant import words
from parley.engines.llm.assistant.dialogue import Dialogue, Reply
from parley.engines.llm.assistant.numbers import spoken, with_digits

POWER_MAX: Final = 1e300
FOLLOW_UP_LINES_MAX: Final = 20
"""How many earlier lines a chain of follow-ups may go back."""

_ASKED: Final = re.compile(
    r"^(?:(?:(?:what|how) about|what(?: is| are| does| do)?|how much(?: is| are| does| do)?|calculate|compute|"
    r"work out|figure out|solve|"
    r"the result of|the answer to|add up|evaluate|is|do the math on) )+",
    re.IGNORECASE,
)
_TRAILING: Final = re.compile(
    r"(?: (?:equals?|equal to|make|makes|is|are|be|come to|in total|altogether|what|=))+$|\s*=\s*$", re.I
)

_REWRITES: Final = tuple(
    (re.compile(pattern, re.IGNORECASE), replacement)
    for pattern, replacement in (
        (r"\b(?:add|sum of|total of) (\S+) (?:and|to|with|plus) (\S+)", r"\1 + \2"),
        (r"\b(?:subtract|take away|take) (\S+) from (\S+)", r"\2 - \1"),
        (r"\b(?:the )?difference (?:between|of) (\S+) and (\S+)", r"\1 - \2"),
        (r"\bmultiply (\S+) (?:by|with|and) (\S+)", r"\1 * \2"),
        (r"\b(?:the )?product of (\S+) and (\S+)", r"\1 * \2"),
        (r"\bdivide (\S+) by (\S+)", r"\1 / \2"),
        (r"(\d+(?:\.\d+)?) ?(?:percent|%) off (?:of )?(\S+)", r"\2 * ( 100 - \1 ) / 100"),
        (r"\b(?:the )?average of (\S+) and (\S+)", r"( \1 + \2 ) / 2"),
        (r"(\d(?:\.\d+)?) ?(?:percent|per cent|%) (?:of|on)\b", r"\1 / 100 *"),
        (r"(\d) ?(?:percent|per cent|%)", r"\1 / 100"),
        (r"\b(?:the )?square root of\b|\b(?:the )?root of\b", "sqrt"),
        (r"\b(?:the )?square of (\S+)", r"\1 ^ 2"),
        (r"\bhalf of\b|\bhalf\b(?= \d)", "0.5 *"),
        (r"\b(?:a |one )?quarter of\b", "0.25 *"),
        (r"\b(?:a |one |1 )third of\b", "1 / 3 *"),
        (r"\btwice\b|\bdouble\b", "2 *"),
        (r"\btriple\b", "3 *"),
        (r"\b(?:raised )?to the power of\b|\*\*", "^"),
        (r"\bto the (?:power )?(\d+)(?:st|nd|rd|th)?(?: power)?\b", r"^ \1"),
        (r"\bsquared\b", "^ 2"),
        (r"\bcubed\b", "^ 3"),
        (r"\b(?:plus|added to|add)\b", "+"),
        (r"\b(?:minus|less|take away|subtract)\b", "-"),
        (r"\b(?:divided by|divide by|divided|over)\b|÷", "/"),
        (r"\b(?:multiplied (?:by|with)|multiply (?:by|with)|times|by|x)\b|×|·", "*"),
        (r"\bnegative\b", "-"),
        (r"(?<=\d) and (?=\d)", "+"),
        (r"\b(?:the|a|dollars?|euros?|pounds?)\b|[$€£]", " "),
    )
)
_WRITTEN_NUMBER: Final = re.compile(r"\d+(?:[-/.]\d+)+|\d+ and \d+")
"""A telephone number, a date or two answers, when nobody asked for a result."""
_HAS_NUMBER: Final = re.compile(r"\d|\bsquared\b|\bcubed\b")
_TOKENS: Final = re.compile(r"\s*(\d+(?:\.\d+)?|sqrt|[-+*/^()])")
_OPERATORS: Final = frozenset("+-*/^")


class _NotASumError(Exception):
    """The line is about something else."""


def arithmetic(dialogue: Dialogue) -> Reply | None:
    """Works out a sum, or goes on with the last one."""
    try:
        result = evaluate(dialogue.request, None)
        if result is None and _goes_on(dialogue.request):
            result = evaluate(dialogue.request, _last_result(dialogue))
    except ZeroDivisionError:
        return Reply("I can't divide by zero; nobody can.", brief="Impossible.")
    except (OverflowError, ValueError):
        return Reply("That has no answer among the numbers I know.", brief="Impossible.")
    if result is None:
        return None
    told = spoken(result)
    return Reply(dialogue.pick((f"That's {told}.", f"That makes {told}.", f"It's {told}.")), brief=told)


def evaluate(line: str, previous: float | None) -> float | None:
    """The value of a spoken sum, None when the line is none. With `previous`, a line may begin with an operator.

    Raises `ZeroDivisionError`, `OverflowError`, and `ValueError` (the root of a negative number).
    """
    tokens = _tokens(line)
    if tokens is None:
        return None
    if previous is not None and tokens[0] in _OPERATORS:
        tokens = ["(", repr(previous), ")", *tokens]
    elif previous is not None:
        return None
    if not (_OPERATORS & set(tokens[1:]) or "sqrt" in tokens):
        return None
    try:
        value, rest = _sum(tokens)
    except _NotASumError:
        return None
    return None if rest else value


def _goes_on(line: str) -> bool:
    tokens = _tokens(line)
    return tokens is not None and tokens[0] in _OPERATORS


def _tokens(line: str) -> list[str] | None:
    text = with_digits(line)
    if _WRITTEN_NUMBER.fullmatch(text) or not _HAS_NUMBER.search(text):
        return None
    text = _ASKED.sub("", text)
    text = re.sub(r"^(?:the result|that|it|this)\b ?", "", text, flags=re.IGNORECASE)
    text = _TRAILING.sub("", text)
    if text.lower().startswith(("divide", "multiply")):
        text = re.sub(r"^(divide|multiply) (?:that|it|this) ", r"\1 ", text, flags=re.IGNORECASE)
    for pattern, replacement in _REWRITES:
        text = pattern.sub(replacement, text)
    tokens = []
    at = 0
    text = text.strip()
    while at < len(text):
        token = _TOKENS.match(text, at)
        if token is None:
            return None
        tokens.append(token[1])
        at = token.end()
    return tokens or None


def _sum(tokens: list[str]) -> tuple[float, list[str]]:
    value, tokens = _product(tokens)
    while tokens and tokens[0] in "+-":
        right, rest = _product(tokens[1:])
        value = value + right if tokens[0] == "+" else value - right
        tokens = rest
    return value, tokens


def _product(tokens: list[str]) -> tuple[float, list[str]]:
    value, tokens = _power(tokens)
    while tokens and tokens[0] in "*/":
        right, rest = _power(tokens[1:])
        value = value * right if tokens[0] == "*" else value / right
        tokens = rest
    return value, tokens


def _power(tokens: list[str]) -> tuple[float, list[str]]:
    value, tokens = _signed(tokens)
    while tokens and tokens[0] == "^":
        exponent, tokens = _signed(tokens[1:])
        value = math.pow(value, exponent)
        if abs(value) > POWER_MAX:
            raise OverflowError
    return value, tokens


def _signed(tokens: list[str]) -> tuple[float, list[str]]:
    if not tokens:
        raise _NotASumError
    head, rest = tokens[0], tokens[1:]
    if head in "+-":
        value, rest = _signed(rest)
        return (-value if head == "-" else value), rest
    if head == "sqrt":
        value, rest = _signed(rest)
        return math.sqrt(value), rest
    if head == "(":
        value, rest = _sum(rest)
        if rest[:1] != [")"]:
            raise _NotASumError
        return value, rest[1:]
    try:
        return float(head), rest
    except ValueError:
        raise _NotASumError from None


def _last_result(dialogue: Dialogue) -> float | None:
    """The value that the user's earlier lines led to: a sum, and the follow-ups behind it."""
    result: float | None = None
    for line in dialogue.earlier_lines[-FOLLOW_UP_LINES_MAX:]:
        request = words.core(words.tidy(line))
        try:
            new = evaluate(request, None)
            if new is None and result is not None and _goes_on(request):
                new = evaluate(request, result)
        except (ZeroDivisionError, OverflowError, ValueError):
            new = None
        result = result if new is None else new
    return result
