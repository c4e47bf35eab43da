"""Conversations as text: what happens stands on one line, what must follow on the next ones; nothing else may follow.

    session {"audio": {"input": {"turn_detection": null}}}    laid over the default configuration; first line, optional
    terms   {"session_ms": 60000}                              first lines, optional
    client  response.create {"response": {}}                   an event, with its fields as JSON
    raw     invalid_event Not JSON.                            an unreadable message, as a dialect would post it
    mic     speech 320 | silence 640 | sound 100               milliseconds of audio (with or without evidence of speech)
    engine  heard "hello" | early "hel" | partial 3 "hello"    about the newest running transcription
    engine  tools docs search write! | returned docs mcp_1 "42" | broke docs mcp_1 "No." | lost docs backend_timeout
    engine  said 0 "Hi." | spoke 0 200 | called 0 f {"a":1} | ended 0 | generated stop | failed backend_timeout
    wait    5000                                               milliseconds pass; due ticks are delivered
    played  resp_1 900 done                                    the transport has played so much
    left | drain | cut insufficient_credits after sentence | charged resp_1 1250 3000
    server  response.done status=completed id=R1               an event that must come, with fields (dots go inside)
    asks    attend | call | transcribe | generate | stop R1 | peek | end | close 1001 | draft

A value that looks like ``R1`` is a name: it takes the value it meets first and must meet the same one later. Everything
after ``#`` is a remark.
"""

import json
import re
import shlex
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Protocol

SCRIPTS = Path(__file__).parent / "scripts"
NAME = re.compile(r"^[A-Z]\d+$")
EXPECTED = ("server", "asks")


@dataclass
class Line:
    number: int
    verb: str
    rest: str


@dataclass
class Step:
    """One happening, and all that must follow it."""

    happens: Line
    follows: list[Line]


class Driver(Protocol):
    def happen(self, line: Line) -> list[tuple[str, dict[str, Any]]]:
        """Let it happen. Returns what followed: ``("server", event)`` and ``("asks", {"what": …, …})``."""
        ...


def lines(path: Path) -> Iterator[Line]:
    for number, text in enumerate(path.read_text().splitlines(), 1):
        text = re.sub(r"(^|\s)#.*$", "", text).strip()
        if text:
            verb, _, rest = text.partition(" ")
            yield Line(number, verb, rest.strip())


def read(path: Path) -> tuple[dict[str, Any], dict[str, Any], list[Step]]:
    """The configuration patch, the terms, and the steps of a script."""
    patch: dict[str, Any] = {}
    terms: dict[str, Any] = {}
    steps: list[Step] = []
    for line in lines(path):
        if line.verb == "session":
            patch = json.loads(line.rest)
        elif line.verb == "terms":
            terms = json.loads(line.rest)
        elif line.verb in EXPECTED:
            steps[-1].follows.append(line)
        else:
            steps.append(Step(line, []))
    return patch, terms, steps


def play(path: Path, make: Callable[[dict[str, Any], dict[str, Any]], Driver], *, interleaved: bool = True) -> int:
    """Run a script against a driver. Returns how many expectations were met; raises AssertionError at the first miss.

    Not `interleaved`: what the server says and what it asks for are seen in two places, and compared one by one.
    """
    patch, terms, steps = read(path)
    driver, names, met = make(patch, terms), dict[str, str](), 0
    for step in steps:
        followed = driver.happen(step.happens)
        if not interleaved:
            followed.sort(key=lambda seen: seen[0])
            step.follows.sort(key=lambda line: line.verb)
        where = f"{path.name}:{step.happens.number} {step.happens.verb} {step.happens.rest}"
        for line, (verb, found) in zip(step.follows, followed, strict=False):
            shown = f"{where}\n  wanted ({line.number}): {line.verb} {line.rest}\n  came: {verb} {_brief(found)}"
            assert line.verb == verb and _matches(line.rest, found, names), shown
            met += 1
        missing = [f"{line.verb} {line.rest}" for line in step.follows[len(followed) :]]
        extra = [f"{verb} {_brief(found)}" for verb, found in followed[len(step.follows) :]]
        assert not missing, f"{where}\n  did not come: {missing}"
        assert not extra, f"{where}\n  came too: {extra}"
    return met


def _brief(found: dict[str, Any]) -> str:
    return json.dumps(found, default=str)[:400]


def _matches(rest: str, found: dict[str, Any], names: dict[str, str]) -> bool:
    head, *pairs = shlex.split(rest)
    if found.get("type", found.get("what")) != head:
        return False
    for pair in pairs:
        key, equals, wanted = pair.partition("=")
        if not equals:
            key, wanted = "id", key
        if not _same(wanted, _dig(found, key), names):
            return False
    return True


def _dig(found: Any, path: str) -> Any:
    for step in path.split("."):
        found = found[int(step)] if isinstance(found, (list, tuple)) else found.get(step, "<absent>")
    return found


def _same(wanted: str, value: Any, names: dict[str, str]) -> bool:
    if NAME.match(wanted):
        return isinstance(value, str) and names.setdefault(wanted, value) == value
    if isinstance(value, str):
        return wanted == value
    return json.dumps(value).replace('"', "") == wanted
