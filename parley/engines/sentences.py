"""A stream of text -> pieces worth speaking.

A piece is a sentence, or a clause of a long one: enough to be intoned well, and early enough to be heard soon. The
first sentence leaves with the token that brings its full stop. While little speech is ahead of the listener, pieces are
short; after that, short sentences travel together and long ones are cut later. Nothing is lost, added or reordered: the
pieces, joined, are the text. White space between sentences stands at the head of the later piece, so the last piece may
be all white space.
"""

import re
from typing import Final

PIECE_CHARS_MAX: Final = 320
"""No piece is longer: some 20 s of speech, below the input limits of every speaker we know."""

AHEAD_CHARS: Final = 60
"""Once so much (about 4 s of speech) has left, there is time, and longer pieces sound better."""

JOIN_CHARS_MIN: Final = 30
"""With speech ahead, a shorter sentence waits for the next one."""

EARLY_CLAUSE_CHARS: Final = (24, 60)
"""With nothing ahead, a sentence that reaches the second length is cut at a clause no shorter than the first."""

LATE_CLAUSE_CHARS: Final = (60, 180)
"""The same with speech ahead."""

_STOP: Final = re.compile(r"(?P<marks>[.…]+|[!?]+|[。！？।]|\n+)(?P<closers>[\"'”’»)\]*_`]*)")
_CLAUSE: Final = re.compile(r"(?:[,;:—–…，；、]|\.{3}| -)(?=\s)|[，；、]|(?=\s(?:and|but|because|so|which|while|or)\s)")
_WORD_BEFORE: Final = re.compile(r"[^\s(\[\"'“‘«*_`]*$")
_LIST_NUMBER: Final = re.compile(r"\s*\d{1,3}")
_INITIALS: Final = re.compile(r"(?:[^\W\d_]\.)*[^\W\d_]")

_NEVER_LAST: Final = re.compile(
    r"(?:mr|mrs|ms|dr|prof|st|mt|sr|rev|gen|col|capt|lt|sgt|gov|sen|rep|hon|vs|cf|no|vol|fig|approx|dept|est|tel|ext|"
    r"e\.g|i\.e|viz|al|jan|feb|mar|apr|jun|jul|aug|sept?|oct|nov|dec)",
    re.IGNORECASE,
)
"""Abbreviations that a sentence goes on after."""

_PERHAPS_LAST: Final = re.compile(r"(?:etc|inc|ltd|co|corp|jr|ave|blvd|a\.m|p\.m|ph\.d)", re.IGNORECASE)
"""Abbreviations that end a sentence when a capital follows."""


class Sentences:
    """Cuts one answer. `push` what arrives and speak what comes back; `finish` gives the rest, and all begins anew."""

    def __init__(self) -> None:
        self._rest = ""
        self._left_chars = 0

    def push(self, text: str) -> list[str]:
        """The pieces that `text` completes, in order; often none."""
        self._rest += text
        pieces = []
        start = 0
        while end := self._cut(start):
            pieces.append(self._rest[start:end])
            self._left_chars += end - start
            start = end
        if start:
            self._rest = self._rest[start:]
        return pieces

    def finish(self) -> list[str]:
        """Whatever has not left yet."""
        rest, self._rest, self._left_chars = self._rest, "", 0
        return [rest] if rest else []

    def _cut(self, start: int) -> int:
        """Where the piece that begins at `start` ends, 0 when that is not known yet."""
        ahead = self._left_chars >= AHEAD_CHARS
        limit = start + PIECE_CHARS_MAX
        if end := _sentence_end(self._rest, start, limit, JOIN_CHARS_MIN if ahead else 1):
            return end
        least, most = LATE_CLAUSE_CHARS if ahead else EARLY_CLAUSE_CHARS
        if len(self._rest) - start >= most and (end := _clause_end(self._rest, start + least, limit)):
            return end
        return _forced_end(self._rest, start, limit) if len(self._rest) >= limit else 0


def _sentence_end(text: str, start: int, limit: int, least: int) -> int:
    for stop in _STOP.finditer(text, start, limit):
        if stop.end() - start >= least and _says_something(text, start, stop.start()) and _is_final(text, start, stop):
            return stop.end()
    return 0


def _says_something(text: str, start: int, end: int) -> bool:
    return any(char.isalnum() for char in text[start:end])


def _is_final(text: str, start: int, stop: re.Match[str]) -> bool:
    """Whether a sentence ends here, as far as can be told now: a no may become a yes with the next character."""
    marks = stop["marks"]
    if marks[0] in "\n。！？।":
        return True
    if marks == ".":
        return _full_stop_is_final(text, start, stop)
    if marks[0] in ".…":
        return False  # a pause for thought; the sentence goes on
    after = text[stop.end() : stop.end() + 1]
    return after.isspace() if after else _at_end_of_word(text, stop)


def _full_stop_is_final(text: str, start: int, stop: re.Match[str]) -> bool:
    before = _WORD_BEFORE.search(text[start : stop.start()])
    word = before.group() if before else ""
    after = text[stop.end() : stop.end() + 2]
    if _PERHAPS_LAST.fullmatch(word):
        return len(after) == 2 and after[0].isspace() and (after[1].isupper() or after[0] == "\n")
    if _NEVER_LAST.fullmatch(word) or (_INITIALS.fullmatch(word) and word != "I"):
        return False
    if _LIST_NUMBER.fullmatch(text, start, stop.start()):
        return False  # "1. Open the door": the number belongs to what follows
    if after:
        return after[0].isspace()
    return not word[-1:].isdigit() and _at_end_of_word(text, stop)


def _at_end_of_word(text: str, stop: re.Match[str]) -> bool:
    """Where the text ends for now, inside something like an address, only the next character tells."""
    word = text[: stop.start()].rsplit(maxsplit=1)[-1:]
    return not word or not any(sign in word[0] for sign in ("://", "/", "@", "."))


def _clause_end(text: str, earliest: int, limit: int) -> int:
    clause = _CLAUSE.search(text, earliest, limit)
    return clause.end() if clause else 0


def _forced_end(text: str, start: int, limit: int) -> int:
    """No natural place: the last space, or the limit itself."""
    space = text.rfind(" ", start + 1, limit)
    return space if space > start else limit
