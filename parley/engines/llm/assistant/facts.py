"""Facts that a speaker states about himself: "my name is Sarah", "I live in Boston", "remember that …". Pure."""

import re
from collections.abc import Iterable
from typing import Final, NamedTuple

from parley.engines.llm.assistant import words

FACT_LINES_MAX: Final = 100
"""Facts are looked for in so many of the latest lines."""


class Fact(NamedTuple):
    """`told` is how it is told back: "your favorite color is blue". `value` is the end of it."""

    told: str
    value: str


_QUESTION: Final = re.compile(
    r"^(?:what|who|whom|whose|where|when|why|how|which|is|are|am|was|were|do|does|did|can|could|will|would|should|may|"
    r"have|has|tell me|give me|show me|remind me|explain)\b",
    re.IGNORECASE,
)
_NO_NAME: Final = frozenset(
    "a an the not very so fine good great okay ok well here there back ready done sure sorry happy sad tired hungry "
    "busy bored lost late early glad afraid going trying looking calling having interested curious just in on at from "
    "also"
    "still really all new old sick ill single married alone home".split(" ")
)
_MY: Final = re.compile(
    r"\bmy (?P<what>(?:(?!my|what|who|how|is|are|was)[\w'-]+ ){0,4}?(?!is\b|are\b)[\w'-]+) (?P<verb>is|are|was|were) "
    r"(?:called |named )?(?P<value>.+)",
    re.IGNORECASE,
)
_NAMED: Final = re.compile(
    r"^(?:you can |please )?call me (?P<value>[A-Za-z][\w'-]*(?: [A-Z][\w'-]*)?)$", re.IGNORECASE
)
_I_AM: Final = re.compile(r"^(?:i am|this is) (?P<value>[A-Z][a-z'-]+(?: [A-Z][a-z'-]+)?)\b(?! (?:ing|years)\b)")
_AGE: Final = re.compile(r"\bi am (?P<value>[\w -]+?) years old\b", re.IGNORECASE)
_I_VERB: Final = re.compile(
    r"\bi (?P<verb>live|work|study|like|love|prefer|hate|have|own|drive|need|want|play|speak|come|am from|"
    r"was born|grew up|"
    r"ordered|bought|booked|paid|lost|parked|left|put) (?P<value>.+)",
    re.IGNORECASE,
)
_MAY_STATE: Final = re.compile(
    r"\b(?:my|i|i'm|call me|this is|remember|note|keep in mind|do not forget|don't forget)\b", re.IGNORECASE
)
"""Most lines state nothing; this tells so quickly."""
_REMEMBER: Final = re.compile(
    r"^(?:remember|note|keep in mind|do not forget|make a note)(?: down)?(?: that)? (?P<value>.+)", re.IGNORECASE
)


def is_question(line: str) -> bool:
    """Whether a line asks for something."""
    return line.rstrip().endswith("?") or _QUESTION.match(words.core(words.tidy(line))) is not None


def facts_in(lines: Iterable[str]) -> dict[str, Fact]:
    """What the lines state, the latest word on each thing. Keys: "name", "favorite color", "live", "remember"."""
    stated: dict[str, Fact] = {}
    for line in list(lines)[-FACT_LINES_MAX:]:
        if _MAY_STATE.search(line):
            for part in words.sentences(line):
                stated |= stated_in(part)
    return stated


def stated_in(line: str) -> dict[str, Fact]:
    """The facts in one line. A question states nothing."""
    if not _MAY_STATE.search(line):
        return {}
    said = words.tidy(line)
    request = words.core(said)
    if note := _REMEMBER.match(request):
        inner = stated_in(note["value"])
        return inner or {"remember": Fact(words.flip(note["value"]), words.flip(note["value"]))}
    if is_question(line):
        return {}
    if found := _NAMED.match(request) or _I_AM.match(request):
        if found["value"].lower().split()[0] not in _NO_NAME:
            return {"name": Fact(f"your name is {found['value']}", found["value"])}
    stated: dict[str, Fact] = {}
    for part in re.split(r",? and (?=(?:i|my)\b)", said, flags=re.IGNORECASE):
        stated |= _stated_by_verb(part)
    return stated


def _stated_by_verb(part: str) -> dict[str, Fact]:
    if found := _MY.search(part):
        value = words.flip(found["value"])
        what = found["what"].lower()
        if what == "name":
            value = _name(found["value"])
        return {what: Fact(f"your {found['what']} {found['verb'].lower()} {value}", value)}
    if found := _AGE.search(part):
        return {"age": Fact(f"you are {found['value']} years old", found["value"])}
    if found := _I_VERB.search(part):
        verb = found["verb"].lower()
        value = words.flip(found["value"])
        return {verb: Fact(f"{words.flip('I ' + verb)} {value}", value)}
    return {}


def _name(value: str) -> str:
    """Of "Sarah and I live here" the name alone."""
    kept = re.split(r" (?:and|but|by the way|what|how|can|could|i)\b", value, maxsplit=1, flags=re.IGNORECASE)[0]
    return " ".join(word if word[:1].isupper() else word.capitalize() for word in kept.split()[:3])
