"""The table of skills, and the order in which they are asked."""

from typing import Final

from parley.engines.llm.assistant import words
from parley.engines.llm.assistant.arithmetic import arithmetic
from parley.engines.llm.assistant.clock import day_and_date, days_until, time_of_day
from parley.engines.llm.assistant.dialogue import Dialogue, Reply, Skill
from parley.engines.llm.assistant.facts import is_question
from parley.engines.llm.assistant.functions import abandoned, function_calls, search_instead
from parley.engines.llm.assistant.honest import cannot_help, inaudible
from parley.engines.llm.assistant.instructions import in_style, obey, open_up, recite
from parley.engines.llm.assistant.memory import recall, recall_known, statement, transcript
from parley.engines.llm.assistant.results import results
from parley.engines.llm.assistant.retrieval import retrieval
from parley.engines.llm.assistant.smalltalk import games, identity, out_of_reach, say, small_talk
from parley.engines.llm.assistant.units import units

SENTENCES_MAX: Final = 4
"""Of a longer turn, the last ones are answered: what was asked last is what waits for an answer."""

TURN_SKILLS: Final[tuple[Skill, ...]] = (results, obey)
"""Look at the whole turn, before any word of the user's."""

KNOWLEDGE: Final[tuple[Skill, ...]] = (arithmetic, units, days_until, time_of_day, day_and_date)
"""What can be reckoned from the line alone."""


def functions_or_knowledge(dialogue: Dialogue) -> Reply | None:
    """A function of the session comes before own knowledge, but own knowledge before a question back."""
    reply = function_calls(dialogue)
    return (_first(KNOWLEDGE, dialogue) or reply) if reply and not reply.calls else reply


LINE_SKILLS: Final[tuple[Skill, ...]] = (inaudible, abandoned, recall_known, transcript, say, functions_or_knowledge)
"""Look at all that the user said in this turn."""

SENTENCE_SKILLS: Final[tuple[Skill, ...]] = (
    recall_known,
    transcript,
    say,
    *KNOWLEDGE,
    identity,
    recite,
    retrieval,
    games,
    small_talk,
    statement,
    recall,
    search_instead,
    out_of_reach,
)
"""Look at one sentence."""


def answer(dialogue: Dialogue) -> Reply:
    """What the assistant says or calls now."""
    reply = _first(TURN_SKILLS, dialogue)
    if reply is None and _must_call(dialogue):
        reply = function_calls(dialogue)
    if reply is None and not dialogue.user_spoke_last:
        reply = open_up(dialogue)
    if reply is None:
        reply = _first(LINE_SKILLS, dialogue) or _by_sentence(dialogue)
    return Reply(text=in_style(dialogue, reply), calls=reply.calls)


def _must_call(dialogue: Dialogue) -> bool:
    return bool(dialogue.prompt.tools) and dialogue.prompt.tool_choice not in ("auto", "none")


def _first(skills: tuple[Skill, ...], dialogue: Dialogue) -> Reply | None:
    return next((reply for skill in skills if (reply := skill(dialogue))), None)


def _by_sentence(dialogue: Dialogue) -> Reply:
    """Answers each sentence. What is not a question and not understood may pass when another sentence was answered."""
    parts = words.sentences(dialogue.line)[-SENTENCES_MAX:]
    if len(parts) == 1:
        return _first(SENTENCE_SKILLS, dialogue) or cannot_help(dialogue)
    answered = [(part, _first(SENTENCE_SKILLS, dialogue.about(part))) for part in parts if words.tidy(part)]
    replies = [reply or cannot_help(dialogue.about(part)) for part, reply in answered if reply or is_question(part)]
    if any(reply.calls for reply in replies):
        return next(reply for reply in replies if reply.calls)
    if not replies:
        return cannot_help(dialogue)
    if len(replies) == 1:
        return replies[0]
    # Who greets and asks wants the answer; "how can I help you?" in between would only be in the way.
    replies = [reply for reply in replies if not reply.polite] or replies[-1:]
    return replies[0] if len(replies) == 1 else Reply(" ".join(reply.text for reply in replies))
