"""What was said in this conversation: facts to be recalled, lines to be repeated, questions to be counted."""

import re
from typing import Final

from parley.engines.llm.assistant import words
from parley.engines.llm.assistant.dialogue import Dialogue, Reply
from parley.engines.llm.assistant.facts import Fact, is_question, stated_in
from parley.engines.llm.assistant.numbers import ORDINALS

_ASK_NAME: Final = re.compile(
    r"\b(?:what is|what was|do you (?:know|remember)|remember|you know|say|tell me) my name\b|^who am i\b|"
    r"\bwhat am i called\b|^my name$",
    re.IGNORECASE,
)
_ASK_MY: Final = re.compile(
    r"^(?:(?:do|can) you (?:know|remember|recall)|what (?:is|are|was|were)|who (?:is|are)|when is|where (?:is|are)|"
    r"which (?:is|are)|and|tell me|what about|how about)(?: (?:what|who|when|where|"
    r"which))? my (?P<what>[\w' -]+?)(?: (?:is|was|are|again))*$",
    re.IGNORECASE,
)
_ASK_VERB: Final = re.compile(
    r"\b(?:where|what|which \w+|who|when|how many \w+) (?:do|did|am|was) i (?P<verb>live|work|study|like|love|"
    r"prefer|hate|have|own|"
    r"drive|need|want|play|speak|come|from|born|grow up|order|buy|book|pay|lose|park|leave|put)\b|"
    r"\bwhere (?:am i (?P<from>from)|was i (?P<born>born)|did i (?P<grew>grow up))",
    re.IGNORECASE,
)
_PAST: Final = {
    "order": "ordered",
    "buy": "bought",
    "book": "booked",
    "pay": "paid",
    "lose": "lost",
    "park": "parked",
    "leave": "left",
    "born": "was born",
    "from": "am from",
    "grow up": "grew up",
}
_ASK_ALL: Final = re.compile(
    r"\bwhat (?:do|did|have) (?:you|i) (?:know|remember|learned?|told? you|tell you|said) about me\b", re.IGNORECASE
)
_ASK_TOLD: Final = re.compile(
    r"\bwhat did i (?:tell|say to|ask) you to remember\b|\bwhat (?:should|did) you remember\b", re.IGNORECASE
)

_UNKNOWN: Final = "Unknown."
_MY_LAST: Final = re.compile(
    r"\bwhat (?:did|have) i (?:just )?(?:say|said|ask|asked|tell you|told you)\b|\bwhat (?:was|"
    r"were) (?:the )?(?:last|my last) (?:thing|words?) i\b|"
    r"\brepeat what i (?:just )?said\b|\bwhat i (?:just )?said\b",
    re.IGNORECASE,
)
_YOUR_LAST: Final = re.compile(
    r"\bwhat did you (?:just )?(?:say|tell me|answer)\b|^(?:please )?(?:repeat|say)(?: (?:that|it|yourself|"
    r"your (?:last )?answer))?(?: (?:again|once more|one more time))?$|"
    r"^(?:say|repeat) (?:that|it) (?:again|once more)$|^(?:what|pardon|pardon me|come again|say again|"
    r"excuse me|i did not (?:hear|catch|get) (?:that|you|it))$|"
    r"\bwhat was your (?:last )?answer\b|\bcan you repeat\b|^again$",
    re.IGNORECASE,
)
_NTH_LINE: Final = re.compile(
    r"\bwhat was (?:my|the) (?P<nth>first|second|third|fourth|fifth|last|previous) (?P<what>question|sentence|"
    r"thing i (?:said|asked)|message|request)\b|"
    r"\bwhat did i (?:say|ask)(?: you)? (?P<at>first|at the beginning|at first|before that|earlier)\b",
    re.IGNORECASE,
)
_COUNT: Final = re.compile(
    r"\bhow (?:many (?P<what>questions|times|things|messages|sentences)|often|much)\b.*\b(?:have i|did i|"
    r"i have)\b.*\b(?:asked?|said|say|sent|spoken|talked)\b",
    re.IGNORECASE,
)


def statement(dialogue: Dialogue) -> Reply | None:
    """Takes note of a fact."""
    stated = stated_in(dialogue.line)
    if not stated:
        return None
    if "name" in stated:
        name = stated["name"].value
        return Reply(
            dialogue.pick((f"Nice to meet you, {name}.", f"Hello, {name}. Nice to meet you.")), brief=f"Hello, {name}."
        )
    told = words.listed(fact.told for fact in stated.values())
    return Reply(dialogue.pick((f"Okay, {told}.", f"Noted: {told}.", f"I'll remember that {told}.")), brief="Noted.")


def recall(dialogue: Dialogue) -> Reply | None:
    """Tells back a fact that was stated, also one of a similar name, or admits that it was not."""
    line = dialogue.request
    stated = dialogue.facts
    if _ASK_TOLD.search(line) and "remember" in stated:
        return _tell(stated, "remember", "")
    if _ASK_ALL.search(line) or _ASK_TOLD.search(line):
        told = words.listed(fact.told for fact in stated.values())
        return (
            Reply(words.sentence(told))
            if told
            else Reply("You haven't told me anything about yourself yet.", brief=_UNKNOWN)
        )
    if _ASK_NAME.search(line):
        return _tell(stated, "name", "You haven't told me your name yet.")
    if re.search(r"\bhow old am i\b", line, re.IGNORECASE):
        return _tell(stated, "age", "You haven't told me your age.")
    if asked := _ASK_MY.search(line):
        return _recall_mine(stated, asked["what"].lower())
    if asked := _ASK_VERB.search(line):
        verb = (asked["verb"] or asked["from"] or asked["born"] or asked["grew"]).lower()
        return _tell(stated, _PAST.get(verb, verb), "You haven't told me that yet.")
    return None


def recall_known(dialogue: Dialogue) -> Reply | None:
    """The same, for facts that are known by just this name: these come before anything else that could answer."""
    asked = _ASK_MY.search(dialogue.request)
    if asked and asked["what"].lower() not in dialogue.facts:
        return None
    reply = recall(dialogue)
    return None if reply is None or reply.brief == _UNKNOWN else reply


def _recall_mine(stated: dict[str, Fact], what: str) -> Reply:
    if what in stated:
        return _tell(stated, what, "")
    wanted = set(words.content(what))
    close = [key for key in stated if wanted and wanted <= set(words.content(key))]
    return _tell(stated, close[0] if close else what, f"You haven't told me your {what} yet.")


def _tell(stated: dict[str, Fact], key: str, unknown: str) -> Reply:
    fact = stated.get(key)
    return (
        Reply(words.sentence(fact.told), brief=words.sentence(fact.value)) if fact else Reply(unknown, brief=_UNKNOWN)
    )


def transcript(dialogue: Dialogue) -> Reply | None:
    """Repeats and counts what was said."""
    line = dialogue.request
    earlier = dialogue.earlier_lines
    if _COUNT.search(line):
        return _count(dialogue)
    if asked := _NTH_LINE.search(line):
        return _nth_line(earlier, asked)
    if _YOUR_LAST.search(line) or _YOUR_LAST.search(dialogue.said):
        answer = dialogue.last_answer
        return Reply(answer if answer else "I haven't said anything yet.", exact=bool(answer))
    if _MY_LAST.search(line):
        return Reply(
            f"You said: {words.sentence(earlier[-1])}" if earlier else "You haven't said anything before that."
        )
    return None


def _count(dialogue: Dialogue) -> Reply:
    lines = [part for line in dialogue.user_lines for part in words.sentences(line)]
    asked = "question" in dialogue.request.lower()
    number = sum(map(is_question, lines)) if asked else len(dialogue.user_lines)
    noun = "question" if asked else "time"
    verb = "asked" if asked else "spoken"
    counted = "once" if not asked and number == 1 else f"{number} {noun}{'' if number == 1 else 's'}"
    return Reply(f"You have {verb} {counted}, counting this one.", brief=str(number))


def _nth_line(earlier: tuple[str, ...], asked: re.Match[str]) -> Reply:
    what = "question" if asked["what"] == "question" else "line"
    lines = [line for line in earlier if what == "line" or is_question(line)]
    nth = (asked["nth"] or "first").lower()
    index = -1 if nth in ("last", "previous") or asked["at"] in ("before that", "earlier") else ORDINALS[nth] - 1
    try:
        return Reply(f"You {'asked' if what == 'question' else 'said'}: {words.sentence(lines[index])}")
    except IndexError:
        return Reply(f"There is no such {'question' if what == 'question' else 'sentence'} yet.")
