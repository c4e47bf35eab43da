"""Numbers as people say them <-> values. Pure."""

import re
from typing import Final

SMALL: Final = {
    word: value
    for value, word in enumerate(
        (
            "zero one two three four five six seven eight nine ten eleven twelve thirteen fourteen fifteen sixteen "
            "seventeen eighteen nineteen"
        ).split(" ")
    )
}
TENS: Final = {
    word: 10 * value
    for value, word in enumerate("twenty thirty forty fifty sixty seventy eighty ninety".split(" "), start=2)
}
SCALES: Final = {"thousand": 10**3, "million": 10**6, "billion": 10**9, "trillion": 10**12}

_ORDINAL_UNITS: Final = {
    word: value
    for value, word in enumerate(
        (
            "first second third fourth fifth sixth seventh eighth ninth tenth eleventh twelfth thirteenth fourteenth "
            "fifteenth sixteenth seventeenth eighteenth nineteenth"
        ).split(" "),
        start=1,
    )
}
ORDINALS: Final = {
    **_ORDINAL_UNITS,
    "twentieth": 20,
    "thirtieth": 30,
    **{f"twenty {word}": 20 + value for word, value in _ORDINAL_UNITS.items() if value < 10},
    "thirty first": 31,
}
"""Up to the last day of a month."""

_FRACTIONS: Final = {"half": 0.5, "quarter": 0.25, "third": 1 / 3}
_TOKEN: Final = re.compile(r"\d+(?:,\d{3})+(?:\.\d+)?|\d+\.\d+|\d+|[A-Za-z]+")
_SPOKEN_MAX: Final = 1e15
"""Beyond it, digits help nobody."""


def with_digits(text: str) -> str:
    """The text with every number in digits: "twenty-seven and a half percent" -> "27.5 percent".

    Single digits in a row are a number read out: "four two seven" -> "427".
    """
    joined = re.sub(r"(?i)\b([a-z]+ty)-(?=[a-z])", r"\1 ", text)
    tokens = list(_TOKEN.finditer(joined))
    words = [token.group().lower() for token in tokens]
    out: list[str] = []
    copied = index = 0
    while index < len(tokens):
        found = _number(words, index)
        if found is None or not _adjacent(joined, tokens, index, found[1]):
            index += 1
            continue
        digits, after = found
        out += [joined[copied : tokens[index].start()], digits]
        copied = tokens[after - 1].end()
        index = after
    return "".join(out) + joined[copied:]


def values(text: str) -> list[float]:
    """The numbers in a text, in order."""
    return [float(found) for found in re.findall(r"(?<![\w.])-?\d+(?:\.\d+)?", with_digits(text))]


def _adjacent(text: str, tokens: list[re.Match[str]], first: int, after: int) -> bool:
    """Words of one number have nothing but a space between them."""
    return all(
        text[a.end() : b.start()] == " "
        for a, b in zip(tokens[first : after - 1], tokens[first + 1 : after], strict=True)
    )


def _number(words: list[str], start: int) -> tuple[str, int] | None:
    """The number that begins at `start`, as digits, and the index behind it."""
    if read := _digits_read_out(words, start):
        return read
    whole = _whole(words, start)
    if whole is None:
        return _fraction(words, start)
    text, at = whole
    if at < len(words) and words[at] == "point" and (read := _decimals(words, at + 1)):
        return f"{text}.{read[0]}", read[1]
    if words[at : at + 2] == ["and", "a"] and at + 2 < len(words) and words[at + 2] in ("half", "quarter"):
        return _plain(float(text) + _FRACTIONS[words[at + 2]]), at + 3
    return text, at


def _digits_read_out(words: list[str], start: int) -> tuple[str, int] | None:
    at, digits = start, ""
    while at < len(words) and (digit := _digit(words[at])) is not None:
        digits += digit
        at += 1
    followed = at < len(words) and (words[at] in SCALES or words[at] in ("hundred", "point"))
    return (digits, at) if at - start > 1 and not followed and words[start] != "oh" else None


def _digit(word: str) -> str | None:
    if word == "oh":
        return "0"
    value = SMALL.get(word, 10)
    return str(value) if value < 10 else None


def _decimals(words: list[str], at: int) -> tuple[str, int] | None:
    digits = ""
    while at < len(words) and ((digit := _digit(words[at])) is not None or words[at].isdigit()):
        digits += digit or words[at]
        at += 1
    return (digits, at) if digits else None


def _fraction(words: list[str], start: int) -> tuple[str, int] | None:
    if words[start] == "point" and (read := _decimals(words, start + 1)):
        return f"0.{read[0]}", read[1]
    return None


def _whole(words: list[str], start: int) -> tuple[str, int] | None:
    """Reads hundreds, thousands and so on. `room`: what follows must be smaller to still belong to the number."""
    first = words[start].replace(",", "")
    if first[0].isdigit():
        return _scaled_digits(words, start, first)
    if first in ("a", "an"):
        if words[start + 1 : start + 2] not in (["hundred"], ["thousand"], ["million"], ["billion"], ["dozen"]):
            return None
        total, group, room, at = 0, 1, 10**3, start + 1
    elif first in SMALL or first in TENS:
        total, group, room, at = 0, 0, 10**15, start
    else:
        return None
    while at < len(words):
        step = _step(words, at, group, room)
        if step is None:
            break
        group, room, at = step
        if room >= 10**3 and group >= 10**3:
            total, group = total + group, 0
    return str(total + group), at


def _step(words: list[str], at: int, group: int, room: int) -> tuple[int, int, int] | None:
    """One more word of a number: (group, room, next index), or None where the number ends."""
    word = words[at]
    if (
        word == "and"
        and 100 <= room < 10**15
        and at + 1 < len(words)
        and (words[at + 1] in SMALL or words[at + 1] in TENS)
    ):
        return group, room, at + 1
    if word in SMALL and SMALL[word] < room and (SMALL[word] or not group):
        return group + SMALL[word], 1, at + 1
    if word in TENS and room >= 100:
        return group + TENS[word], 10, at + 1
    if 10 <= group < 100 and room < 100 and (word in TENS or SMALL.get(word, 0) > 9):
        # "twenty twenty six", "nineteen ninety nine"
        return group * 100 + (TENS.get(word) or SMALL[word]), 10 if word in TENS else 1, at + 1
    if word == "dozen" and 0 < group < 100:
        return group * 12, 1, at + 1
    if word == "hundred" and 0 < group < 100:
        return group * 100, 100, at + 1
    if word in SCALES and group and SCALES[word] < max(room, 10**15 if room <= 1000 else room):
        return group * SCALES[word], SCALES[word], at + 1
    return None


def _scaled_digits(words: list[str], start: int, digits: str) -> tuple[str, int]:
    value, at = float(digits), start + 1
    while at < len(words) and (scale := SCALES.get(words[at]) or {"hundred": 100, "dozen": 12}.get(words[at])):
        value, at = value * scale, at + 1
    return (_plain(value), at) if at > start + 1 else (digits, at)


def _plain(value: float) -> str:
    """In digits, without an exponent and without needless zeros."""
    return f"{value:.10f}".rstrip("0").rstrip(".")


def spoken(value: float) -> str:
    """A number to be heard: at most two decimals, "minus" for the sign, "about" where digits were cut."""
    if value == 0:
        return "0"  # minus zero, too
    if value < 0:
        return f"minus {spoken(-value)}"
    if value >= _SPOKEN_MAX:
        power = len(f"{value:.0f}") - 1
        return f"about {_plain(round(value / 10**power, 2))} times 10 to the power of {power}"
    if value and value < 0.01:
        return f"about {_plain(float(f'{value:.2g}'))}" if value >= 1e-9 else "nearly 0"
    rounded = round(value, 2)
    about = "" if abs(rounded - value) < 1e-9 * max(1.0, value) else "about "
    return f"{about}{_plain(rounded)}"


def ordinal_day(text: str) -> int | None:
    """The day of the month in "the twenty first", "21st" or "21"."""
    if found := re.search(r"\b(\d{1,2})(?:st|nd|rd|th)?\b", text):
        return int(found[1]) if 1 <= int(found[1]) <= 31 else None
    lowered = text.lower().replace("-", " ")
    for word in sorted(ORDINALS, key=len, reverse=True):
        if re.search(rf"\b{word}\b", lowered):
            return ORDINALS[word]
    return None
