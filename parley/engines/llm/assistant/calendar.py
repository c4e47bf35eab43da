"""Days as people name them -> dates: "tomorrow", "next Friday", "the third of May", "Thanksgiving". Pure."""

import re
from collections.abc import Callable
from datetime import date, timedelta
from typing import Final

from parley.engines.llm.assistant.numbers import ORDINALS, ordinal_day, with_digits

WEEKDAYS: Final = ("monday", "tuesday", "wednesday", "thursday", "friday", "saturday", "sunday")
MONTHS: Final = (
    "january",
    "february",
    "march",
    "april",
    "may",
    "june",
    "july",
    "august",
    "september",
    "october",
    "november",
    "december",
)
DAYS_AHEAD_MAX: Final = 100_000
"""Farther than "in N days" may reach."""

_MONTH: Final = "|".join(f"{month[:3]}(?:{month[3:]})?" if len(month) > 3 else month for month in MONTHS)
_DAY: Final = r"(?:\d{1,2}(?:st|nd|rd|th)?|" + "|".join(sorted(ORDINALS, key=len, reverse=True)) + ")"
_MONTH_DAY: Final = re.compile(
    rf"\b(?P<month>{_MONTH})\.? (?:the )?(?P<day>{_DAY})\b(?:,? (?P<year>\d{{4}}))?", re.IGNORECASE
)
_DAY_MONTH: Final = re.compile(
    rf"\b(?P<day>{_DAY}) (?:of )?(?P<month>{_MONTH})\b(?:,? (?P<year>\d{{4}}))?", re.IGNORECASE
)
_WEEKDAY: Final = re.compile(rf"\b(?P<which>next |last |this )?(?P<day>{'|'.join(WEEKDAYS)})\b", re.IGNORECASE)
_SPAN: Final = r"(?P<count>\d+|a|an|one) (?P<unit>day|week|month|year)s?"
_FROM_NOW: Final = re.compile(
    rf"\bin {_SPAN}\b|\b(?:a )?(?P<count2>\d+|a|one) (?P<unit2>day|week)s? from (?:now|today)\b", re.I
)
_AGO: Final = re.compile(rf"\b{_SPAN} ago\b", re.IGNORECASE)
_ISO: Final = re.compile(r"\b(\d{4})-(\d{2})-(\d{2})\b")
_DAY_ONLY: Final = re.compile(rf"\b(?:on )?the (?P<day>{_DAY})\b", re.IGNORECASE)

_RELATIVE: Final = (
    ("day after tomorrow", 2),
    ("day before yesterday", -2),
    ("tomorrow", 1),
    ("yesterday", -1),
    ("tonight", 0),
    ("today", 0),
)


def _easter(year: int) -> date:
    """Gregorian Easter Sunday, by the anonymous method of 1876 (Butcher)."""
    a, b, c = year % 19, year // 100, year % 100
    d, e = b // 4, b % 4
    g = (8 * b + 13) // 25
    h = (19 * a + b - d - g + 15) % 30
    i, k = c // 4, c % 4
    ell = (32 + 2 * e + 2 * i - h - k) % 7
    m = (a + 11 * h + 19 * ell) // 433
    month = (h + ell - 7 * m + 90) // 25
    return date(year, month, (h + ell - 7 * m + 33 * month + 19) % 32)


def _nth(month: int, weekday: int, n: int) -> Callable[[int], date]:
    def in_year(year: int) -> date:
        first = date(year, month, 1)
        return first + timedelta(days=(weekday - first.weekday()) % 7 + 7 * (n - 1))

    return in_year


def _fixed(month: int, day: int) -> Callable[[int], date]:
    return lambda year: date(year, month, day)


def _last_monday_of_may(year: int) -> date:
    last = date(year, 5, 31)
    return last - timedelta(days=last.weekday())


HOLIDAYS: Final[dict[str, Callable[[int], date]]] = {
    "new year's eve": _fixed(12, 31),
    "new year's day": _fixed(1, 1),
    "new year": _fixed(1, 1),
    "martin luther king day": _nth(1, 0, 3),
    "valentine's day": _fixed(2, 14),
    "saint patrick's day": _fixed(3, 17),
    "good friday": lambda year: _easter(year) - timedelta(days=2),
    "easter": _easter,
    "mother's day": _nth(5, 6, 2),
    "memorial day": _last_monday_of_may,
    "father's day": _nth(6, 6, 3),
    "independence day": _fixed(7, 4),
    "fourth of july": _fixed(7, 4),
    "labor day": _nth(9, 0, 1),
    "halloween": _fixed(10, 31),
    "thanksgiving": _nth(11, 3, 4),
    "christmas eve": _fixed(12, 24),
    "christmas": _fixed(12, 25),
}


def holiday_in(text: str) -> str | None:
    """The holiday that a text names."""
    lowered = text.lower().replace("st. ", "saint ").replace("st patrick", "saint patrick").replace("'", "")
    return next((name for name in HOLIDAYS if re.search(rf"\b{name.replace(chr(39), '')}", lowered)), None)


def next_holiday(name: str, today: date) -> date:
    """The next time that the holiday comes, today included."""
    this_year = HOLIDAYS[name](today.year)
    return this_year if this_year >= today else HOLIDAYS[name](today.year + 1)


def day_in(text: str, today: date) -> date | None:
    """The day that a text names. A day without a year is the next one."""
    line = with_digits(text).replace(",", " ")
    line = " ".join(line.split())
    if iso := _ISO.search(line):
        return _date(int(iso[1]), int(iso[2]), int(iso[3]))
    for named, days in _RELATIVE:
        if re.search(rf"\b{named}", line, re.IGNORECASE):
            return today + timedelta(days=days)
    if name := holiday_in(line):
        return next_holiday(name, today)
    return _of_month(line, today) or _shifted(line, today) or _weekday(line, today) or _day_only(line, today)


def _of_month(line: str, today: date) -> date | None:
    for source in (line, line.replace("-", " ")):
        if found := _MONTH_DAY.search(source) or _DAY_MONTH.search(source):
            month = next(i for i, name in enumerate(MONTHS, 1) if name.startswith(found["month"].lower()[:3]))
            day = ordinal_day(found["day"])
            year = int(found["year"]) if found["year"] else today.year
            when = _date(year, month, day or 0)
            return _date(year + 1, month, day or 0) if when and when < today and not found["year"] else when
    return None


def _shifted(line: str, today: date) -> date | None:
    if found := _FROM_NOW.search(line):
        return _shift(today, found["count"] or found["count2"], found["unit"] or found["unit2"], 1)
    if found := _AGO.search(line):
        return _shift(today, found["count"], found["unit"], -1)
    if re.search(r"\bnext week\b", line, re.IGNORECASE):
        return today + timedelta(days=7)
    return None


def _shift(today: date, count: str, unit: str, sign: int) -> date | None:
    number = int(count) if count.isdigit() else 1
    days = number * {"day": 1, "week": 7, "month": 30, "year": 365}[unit.lower()]
    try:
        return today + timedelta(days=sign * days) if days <= DAYS_AHEAD_MAX else None
    except OverflowError:
        return None


def _weekday(line: str, today: date) -> date | None:
    found = _WEEKDAY.search(line)
    if found is None:
        return None
    ahead = (WEEKDAYS.index(found["day"].lower()) - today.weekday()) % 7
    if (found["which"] or "").strip().lower() == "last":
        return today - timedelta(days=(today.weekday() - WEEKDAYS.index(found["day"].lower()) - 1) % 7 + 1)
    return today + timedelta(days=ahead or 7)


def _day_only(line: str, today: date) -> date | None:
    found = _DAY_ONLY.search(line)
    day = ordinal_day(found["day"]) if found else None
    if day is None:
        return None
    for months in range(12):
        month = (today.month - 1 + months) % 12 + 1
        when = _date(today.year + (today.month - 1 + months) // 12, month, day)
        if when and when >= today:
            return when
    return None


def _date(year: int, month: int, day: int) -> date | None:
    try:
        return date(year, month, day)
    except ValueError:
        return None


def told(day: date) -> str:
    """ "Saturday, November 21, 2026"."""
    return f"{WEEKDAYS[day.weekday()].capitalize()}, {MONTHS[day.month - 1].capitalize()} {day.day}, {day.year}"
