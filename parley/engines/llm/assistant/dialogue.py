"""What a skill sees, and what it answers."""

import zlib
from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from datetime import datetime
from functools import cached_property
from typing import Final

from parley.engines.base import Message, Prompt
from parley.engines.llm.assistant import words
from parley.engines.llm.assistant.facts import Fact, facts_in
from parley.engines.prompt import INAUDIBLE, LATE_RESULT

HISTORY_LINES_MAX: Final = 200
"""How far back skills look. A reply must take milliseconds, however long the conversation."""

DIRECTIVES_CHARS_MAX: Final = 20_000
"""How much of the instructions is read."""

LINE_CHARS_MAX: Final = 2_000
"""Of a longer line, skills see the beginning and the end."""


@dataclass(frozen=True)
class Call:
    """A function to be called, with arguments that fit its schema."""

    name: str
    arguments: dict[str, object]


@dataclass(frozen=True)
class Reply:
    """An answer. `brief` is its shortest form, for who asked for one word; `exact` words are never dressed up; `polite`
    ones may be left out beside an answer.
    """

    text: str = ""
    brief: str = ""
    calls: tuple[Call, ...] = ()
    exact: bool = False
    polite: bool = False


@dataclass(frozen=True)
class History:
    """The conversation so far, as its skills ask about it. Computed when asked for, and once."""

    prompt: Prompt

    @cached_property
    def recent(self) -> tuple[Message, ...]:
        return self.prompt.messages[-HISTORY_LINES_MAX:]

    @cached_property
    def user_lines(self) -> tuple[str, ...]:
        return tuple(bounded(m.text) for m in self.recent if m.role == "user" and audible(m.text))

    @cached_property
    def facts(self) -> dict[str, Fact]:
        return facts_in(self.user_lines)

    @cached_property
    def directives(self) -> str:
        added = (m.text for m in self.recent if m.role == "system" and not m.text.startswith(LATE_RESULT))
        return "\n".join(filter(None, (self.prompt.instructions, *added)))[:DIRECTIVES_CHARS_MAX]


@dataclass(frozen=True)
class Dialogue:
    """A conversation as the assistant sees it. `line` is what is to be answered now: the user's last turn, or one
    sentence of it. Everything is derived, nothing is kept: the same prompt, clock and seed give the same reply.
    """

    history: History
    now: datetime
    seed: int
    line: str

    @property
    def prompt(self) -> Prompt:
        return self.history.prompt

    @cached_property
    def said(self) -> str:
        """The line, tidied (see `words.tidy`)."""
        return words.tidy(self.line)

    @cached_property
    def request(self) -> str:
        """The line without politeness; the form that skills match."""
        return words.core(self.said)

    @cached_property
    def topics(self) -> tuple[str, ...]:
        """Stems of the words in the line that carry meaning."""
        return words.content(self.said)

    @property
    def user_lines(self) -> tuple[str, ...]:
        """What the user said, the last turn included."""
        return self.history.user_lines

    @property
    def facts(self) -> dict[str, Fact]:
        """What the user has stated; see `facts_in`."""
        return self.history.facts

    @property
    def earlier_lines(self) -> tuple[str, ...]:
        """What the user said before the last turn."""
        return self.user_lines[:-1] if self.user_spoke_last else self.user_lines

    @cached_property
    def last_answer(self) -> str:
        """What was said to the user last, or ""."""
        return next((m.text for m in reversed(self.history.recent) if m.role == "assistant" and m.text), "")

    @cached_property
    def user_spoke_last(self) -> bool:
        """Whether there is something of the user's to answer (results and instructions may have come since)."""
        return next((m.role == "user" for m in reversed(self.history.recent) if m.role in ("user", "assistant")), False)

    @property
    def directives(self) -> str:
        """The instructions, and the system messages since."""
        return self.history.directives

    @cached_property
    def turn(self) -> tuple[Message, ...]:
        """The messages since the user spoke last."""
        messages = self.prompt.messages
        start = next((i for i in range(len(messages) - 1, -1, -1) if messages[i].role == "user"), -1)
        return messages[start + 1 :]

    def about(self, line: str) -> "Dialogue":
        """The same conversation, with attention to one line."""
        return replace(self, line=line)

    def chance(self, sides: int, salt: str = "") -> int:
        """A number below `sides` that depends on seed and conversation alone."""
        told = f"{self.seed}|{len(self.prompt.messages)}|{self.line}|{salt}"
        return zlib.crc32(told.encode("utf-8", "replace")) % sides

    def pick(self, options: Sequence[str]) -> str:
        """One way to put it."""
        return options[self.chance(len(options), options[0])]


Skill = Callable[[Dialogue], Reply | None]
"""Answers what it is sure about, and leaves the rest to others."""


def dialogue_of(prompt: Prompt, now: datetime, seed: int) -> Dialogue:
    """The view of a prompt whose last user turn is to be answered."""
    last = next((m.text for m in reversed(prompt.messages) if m.role == "user"), "")
    return Dialogue(history=History(prompt), now=now, seed=seed, line=bounded(last) if audible(last) else "")


def audible(text: str) -> bool:
    """Whether there is a word in it."""
    return text.strip() != INAUDIBLE and any(char.isalnum() for char in text)


def bounded(text: str) -> str:
    """At most `LINE_CHARS_MAX` of a text, from both ends."""
    if len(text) <= LINE_CHARS_MAX:
        return text
    half = LINE_CHARS_MAX // 2
    return f"{text[:half]} {text[-half:]}"
