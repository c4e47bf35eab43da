"""Hypotheses about speech that still goes on: which of their words a listener may keep. Pure functions of text."""

import re
from typing import Final

HELD_BACK_WORDS: Final = 1
"""The last word that two hypotheses agree on is the one that more sound may still change ("ten" to "tenor")."""
SEAM_WORDS_MAX: Final = 3
"""How far from its place the last settled word is looked for in a hypothesis that has more or fewer words before it."""


class StableText:
    """Watches successive hypotheses of one turn and says how much of them is settled.

    A word is settled once two successive hypotheses agree on everything up to it, punctuation and case aside. What was
    called settled stays so: a later hypothesis that contradicts it is shown with the settled words in their place.
    """

    def __init__(self) -> None:
        self._told: list[str] = []
        self._last: list[str] = []

    def hear(self, text: str) -> tuple[str, int]:
        """Takes the next hypothesis; returns the text to show and the number of its leading characters that stay."""
        words = text.split()
        agreed = _common(self._last, words) - HELD_BACK_WORDS
        self._last = words
        shown = self._told + words[self._seam(words) :]
        if agreed > len(self._told):
            self._told = shown[:agreed]
        return " ".join(shown), len(" ".join(self._told))

    def _seam(self, words: list[str]) -> int:
        """Where in `words` the settled words end: after the word nearest to that place that equals the last of them."""
        told = len(self._told)
        if not told:
            return 0
        for distance in range(SEAM_WORDS_MAX + 1):
            for end in (told - distance, told + distance):
                if 0 < end <= len(words) and _bare(words[end - 1]) == _bare(self._told[-1]):
                    return end
        return told


def _bare(word: str) -> str:
    return "".join(sign for sign in word.lower() if sign.isalnum())


def _common(one: list[str], other: list[str]) -> int:
    """The number of leading words that both have in common."""
    pairs = enumerate(zip(one, other, strict=False))
    return next((at for at, (a, b) in pairs if _bare(a) != _bare(b)), min(len(one), len(other)))


_SPELLINGS: Final = (
    (re.compile(r"\b([Tt]o)-(?=day\b|night\b|morrow\b)"), r"\1"),
    (re.compile(r"\b([Gg]ood)-(?=bye\b)"), r"\1"),
    (re.compile(r"\b([Ss]ome|[Aa]ny|[Ee]very) (?=one\b(?! of\b))"), r"\1"),
    (re.compile(r"[♩♪♫♬♭♮♯]+"), " "),
    (re.compile(r"[\[(](?:music|applause|laughter|silence|noise|blank_audio)[\])]", re.IGNORECASE), " "),
    (re.compile(r"\s+(?=[,.;:!?])"), ""),
)


def tidy(text: str) -> str:
    """The words a person would write: today's spellings, no musical notes or stage directions, single spaces."""
    for found, instead in _SPELLINGS:
        text = found.sub(instead, text)
    text = " ".join(text.split())
    return text if any(sign.isalnum() for sign in text) else ""
