"""Answers that stand in the instructions: the sentence that shares most words with the question, or none."""

import re
from typing import Final

from parley.engines.llm.assistant import words
from parley.engines.llm.assistant.dialogue import Dialogue, Reply
from parley.engines.llm.assistant.facts import is_question
from parley.engines.llm.assistant.instructions import directive_sentences

SHARE_MIN: Final = 0.5
"""Of a question's topics, so many must be in the sentence that answers it."""

UNKNOWN_SHARE_MAX: Final = 1 / 3
"""Of a question's topics, no more may be strange to all instructions: then they speak of something else."""

_ORDER: Final = re.compile(
    r"^(?:you are|you're|you (?:will|must|should|can|may|have)|your (?:name|job|task|goal|role)|always|never|"
    r"do not|don't|be|keep|speak|"
    r"answer|respond|reply|say|greet|ask|tell|use|act|if|when|please|avoid|help|make|only|talk|start|begin|"
    r"end|introduce|"
    r"welcome|call|confirm|collect|remember|try|ensure|stay|classify)\b",
    re.IGNORECASE,
)
_ASKS_FOR: Final = {
    "when": "time hour date day clock open am pm monday friday daily",
    "where": "address street locate location city floor room",
    "who": "name person manager owner",
    "how much": "price cost dollar euro fee percent",
    "how long": "minute hour day week month year",
    "phone": "telephone number call",
    "cost": "price dollar euro",
    "price": "cost dollar euro",
}
_HINTS: Final = {asked: frozenset(words.content(hints)) for asked, hints in _ASKS_FOR.items()}


def retrieval(dialogue: Dialogue) -> Reply | None:
    """Finds the answer to a question in the instructions and system messages."""
    if not dialogue.topics or not dialogue.directives or not is_question(dialogue.line):
        return None
    asked = dialogue.said.lower()
    hints = frozenset().union(*(stems for word, stems in _HINTS.items() if re.search(rf"\b{word}\b", asked)))
    topics = frozenset(dialogue.topics) - hints
    sentences = {
        one: frozenset(words.content(one)) for one in directive_sentences(dialogue.directives) if not _ORDER.match(one)
    }
    known = frozenset().union(*sentences.values())
    if len(topics - known) > UNKNOWN_SHARE_MAX * len(topics):
        return None
    best = max(sentences, key=lambda one: _score(topics, hints, sentences[one]), default="")
    return Reply(_told(best)) if best and _score(topics, hints, sentences[best]) else None


def _score(topics: frozenset[str], hints: frozenset[str], sentence: frozenset[str]) -> float:
    """0 below the threshold; a sentence that has what is asked for, such as a price, wins over one that has not."""
    shared = len(topics & sentence) / len(topics) if topics else 0.5
    hinted = len(hints & sentence)
    if shared < SHARE_MIN or not (topics & sentence or hinted):
        return 0.0
    return shared + 0.25 * min(hinted, 2) + 0.01 / (1 + len(sentence))


def _told(sentence: str) -> str:
    """To the user: "the user's order" is "your order"; "your shop" (the assistant's) is "my shop"."""
    text = re.sub(r"\byour\b", "my", sentence, flags=re.IGNORECASE)
    text = re.sub(r"\b[Tt]he (?:user|caller|customer)'s\b", "your", text)
    text = re.sub(r"\b[Tt]he (?:user|caller|customer) is\b", "you are", text)
    text = re.sub(r"\b[Tt]he (?:user|caller|customer) has\b", "you have", text)
    return words.sentence(words.speakable(text))
