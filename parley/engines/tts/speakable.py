"""Written text as something to read aloud: what an eye skips, a voice must not spell. Pure functions of text."""

import re
import unicodedata
from collections.abc import Callable, Iterator
from typing import Final

_REWRITES: Final[tuple[tuple[re.Pattern[str], str | Callable[[re.Match[str]], str]], ...]] = (
    (re.compile(r"```\w*|`"), ""),
    (re.compile(r"!?\[([^\]]*)\]\([^)]*\)"), r"\1"),  # [a link](its address)
    (re.compile(r"(?m)^\s*(?:#{1,6}|[-*+•]|>)\s+"), ""),
    (re.compile(r"\*+|~~+|__+|(?<!\w)_|_(?!\w)"), ""),
    (re.compile(r"https?://(?:www\.)?([^\s/?#]+)([^\s?#]*)\S*"), lambda found: found[1] + found[2].rstrip("/")),
    (re.compile(r"[\[\]{}|\\^~]"), " "),
    (re.compile(r"_"), " "),
    (re.compile(r"[“”„«»]"), '"'),
    (re.compile(r"[‘’]"), "'"),
    (re.compile(r"\s*[—–]\s+|\s+[—–]\s*"), ", "),
    (re.compile(r"…"), "..."),
    (re.compile(r"×"), " times "),
    (re.compile(r"÷"), " divided by "),
    (re.compile(r"≤"), " at most "),
    (re.compile(r"≥"), " at least "),
    (re.compile(r"<"), " less than "),
    (re.compile(r">"), " greater than "),
    (re.compile(r"(?<![\d-])(\d{1,3})-(?=\d{1,3}(?![\d-]))|(?<=\d)–(?=\d)"), r"\1 to "),
    (re.compile(r"&"), " and "),
)
_PICTURES: Final = frozenset(("So", "Sk", "Cs", "Co", "Cn", "Cf", "Cc"))
_KEPT: Final = frozenset("°\n\t")


def speakable(text: str) -> str:
    """`text` without markup, pictures and addresses' small print, on one line; empty when nothing can be pronounced."""
    for found, instead in _REWRITES:
        text = found.sub(instead, text)
    text = "".join(sign if sign in _KEPT or unicodedata.category(sign) not in _PICTURES else " " for sign in text)
    return " ".join(text.split()) if is_speakable(text) else ""


def is_speakable(text: str) -> bool:
    """Whether there is a letter or a digit in it."""
    return any(sign.isalnum() for sign in text)


def parts(text: str, chars_max: int) -> Iterator[str]:
    """Cuts long text where a speaker would breathe: after a sentence, else a clause, else a word, else anywhere."""
    while len(text) > chars_max:
        head = text[: chars_max + 1]
        at = max(head.rfind(end) + 1 for end in (". ", "! ", "? "))
        at = at or max(head.rfind(end) + 1 for end in (", ", "; ", ": ")) or head.rfind(" ") or chars_max
        at = at if at > 0 else chars_max
        yield text[:at].strip()
        text = text[at:].strip()
    if text:
        yield text
