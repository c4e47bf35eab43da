"""What time it is, which day it is, and how long until another one."""

import re
from datetime import date, datetime, timedelta
from typing import Final
from zoneinfo import ZoneInfo, ZoneInfoNotFoundError

from parley.engines.llm.assistant.calendar import MONTHS, WEEKDAYS, day_in, holiday_in, next_holiday, told
from parley.engines.llm.assistant.dialogue import Dialogue, Reply
from parley.engines.llm.assistant.numbers import with_digits
from parley.engines.llm.assistant.places import ZONES

_TIME: Final = re.compile(
    r"^(?:what(?: is)? )?(?:the )?(?:current |exact |local )?time(?: is it| it is| do you have| do we have| is)?\b"
    r"|^do you have the time|^how late is it|^what time\b",
    re.IGNORECASE,
)
_OTHER_TIME: Final = re.compile(
    r"\btimes\b|\btime (?:does|do|did|will|should|are|difference|zone|for)\b|\bdifference\b", re.IGNORECASE
)
_SHIFTED: Final = re.compile(
    r"\b(?:what time|how late) (?:will it be|is it) in (?:about )?(?P<number>\d+(?:\.\d+)?|an?) (?P<unit>hour|"
    r"minute)s?\b",
    re.IGNORECASE,
)
_IS_IT: Final = re.compile(
    rf"^is (?:it|today)(?: already| still)? (?:an? )?(?P<day>{'|'.join(WEEKDAYS)})(?: today| yet)?$", re.IGNORECASE
)
_PLACE: Final = re.compile(
    r"\b(?:in|at|for|over in) (?:the )?(?P<place>[\w .'-]+?)(?: (?:right )?now| at the moment)?$", re.IGNORECASE
)
_DATE: Final = re.compile(
    r"\b(?:what|which) (?:is )?(?:the )?(?:day|date|weekday)\b|^(?:the |today's |current )*date(?: today| is it)?$"
    r"|\btoday's date\b|\bwhat is today\b|\bwhat (?:day|date) (?:is|was|will)\b|^when is\b|\bwhat (?:is|was|"
    r"will be) (?:tomorrow|yesterday)'s date\b",
    re.IGNORECASE,
)
_UNTIL: Final = re.compile(
    r"\bhow (?:many (?P<unit>days?|weeks?|hours?|months?)|long|far away|soon)\b.*?\b(?P<way>until|till|to|"
    r"before|since|is)\b(?P<day>.+)",
    re.IGNORECASE,
)
_YEAR: Final = re.compile(r"\bwhat (?P<unit>year|month)\b(?! (?:was|were|did))", re.IGNORECASE)
_HOURS_PER_DAY: Final = 24
SHIFT_MAX: Final = 1_000
"""How many hours or minutes from now it reckons the time."""


def time_of_day(dialogue: Dialogue) -> Reply | None:
    """What time is it, here or in a city whose time zone is known; or in two hours."""
    if shifted := _SHIFTED.search(with_digits(dialogue.request)):
        return _time_shifted(dialogue.now, shifted)
    if not _TIME.search(dialogue.request) or _OTHER_TIME.search(dialogue.request):
        return None
    place = _PLACE.search(dialogue.request)
    if place is None:
        clock = _clock(dialogue.now)
        return Reply(dialogue.pick((f"It's {clock}.", f"It is {clock} now.", f"The time is {clock}.")), brief=clock)
    return _time_in(place["place"], dialogue.now)


def _time_shifted(now: datetime, shifted: re.Match[str]) -> Reply | None:
    number = float(shifted["number"]) if shifted["number"][0].isdigit() else 1.0
    if number > SHIFT_MAX:
        return None
    hours = number if shifted["unit"].lower() == "hour" else number / 60
    then = now + timedelta(hours=hours)
    return Reply(f"It will be {_clock(then)}{_other_day(then, now)}.", brief=_clock(then))


def _time_in(place: str, now: datetime) -> Reply:
    zone = ZONES.get(place.lower())
    if zone is None:
        return Reply(f"I don't know the time zone of {place}. Here it is {_clock(now)}.")
    try:
        there = now.astimezone(ZoneInfo(zone))
    except ZoneInfoNotFoundError:
        return Reply(f"This machine has no time zone tables. Here it is {_clock(now)}.")
    return Reply(f"In {_title(place)} it is {_clock(there)}{_other_day(there, now)}.", brief=_clock(there))


def day_and_date(dialogue: Dialogue) -> Reply | None:
    """Which day is today, tomorrow, Christmas; the year and the month."""
    line = dialogue.request
    today = dialogue.now.date()
    if (asked := _YEAR.search(line)) and not _DATE.search(line):
        answer = str(today.year) if asked["unit"].lower() == "year" else MONTHS[today.month - 1].capitalize()
        return Reply(f"It is {answer}.", brief=answer)
    if guess := _IS_IT.match(line):
        weekday = WEEKDAYS[today.weekday()].capitalize()
        right = guess["day"].lower() == weekday.lower()
        return Reply(f"{'Yes' if right else 'No'}, today is {weekday}.", brief="Yes." if right else "No.")
    if not _DATE.search(line):
        return None
    day = _named_day(line, dialogue)
    if day is None:
        return (
            None
            if line.lower().startswith("when is") or _about_another(line)
            else _day_reply("Today", "is", today, line)
        )
    if day == today:
        return _day_reply("Today", "is", today, line)
    name = _name_of(line, day, today)
    if name.endswith(str(day.day)):
        return Reply(
            f"{name}, {day.year} is a {WEEKDAYS[day.weekday()].capitalize()}.",
            brief=WEEKDAYS[day.weekday()].capitalize(),
        )
    return _day_reply(name, "was" if day < today else "is", day, line)


def days_until(dialogue: Dialogue) -> Reply | None:
    """How many days or weeks until a holiday or a date."""
    asked = _UNTIL.search(dialogue.request)
    if asked is None:
        return None
    today = dialogue.now.date()
    day = _named_day(asked["day"], dialogue)
    if day is None:
        return None
    days = (day - today).days
    name = _name_of(asked["day"], day, today)
    if days == 0:
        return Reply(f"{name} is today!", brief="Today.")
    count = _span(abs(days), (asked["unit"] or "day").lower().rstrip("s"))
    if days < 0:
        return Reply(f"{name} was {count} ago.", brief=count)
    return Reply(f"It is {count} until {name}.", brief=count)


def _named_day(text: str, dialogue: Dialogue) -> date | None:
    today = dialogue.now.date()
    if found := day_in(text, today):
        return found
    if mine := re.search(r"\bmy (?P<what>[\w' ]+?)(?: on| again)?$", text.strip(), re.IGNORECASE):
        stated = dialogue.facts.get(mine["what"].lower())
        return day_in(stated.value, today) if stated else None
    return None


def _about_another(line: str) -> bool:
    """ "What is the date of the meeting": not about today."""
    return (
        re.search(r"\b(?:of|for|does|do|did|are|is (?:the|my|your))\b(?! (?:the )?(?:week|today|day|date)\b)", line)
        is not None
    )


def _day_reply(name: str, verb: str, day: date, line: str) -> Reply:
    weekday = WEEKDAYS[day.weekday()].capitalize()
    only_day = re.search(r"\b(?:day|weekday)\b", line, re.IGNORECASE) and not re.search(
        r"\bdate\b", line, re.IGNORECASE
    )
    return Reply(f"{name} {verb} {told(day)}.", brief=weekday if only_day else told(day))


def _name_of(text: str, day: date, today: date) -> str:
    if holiday := holiday_in(text):
        if next_holiday(holiday, today) == day:
            return " ".join(part if part == "of" else part.capitalize() for part in holiday.split())
    near = {1: "Tomorrow", -1: "Yesterday", 0: "Today"}.get((day - today).days)
    if near and near.lower() in text.lower():
        return near
    if mine := re.search(r"\bmy (?P<what>[\w' ]+?)$", text.strip(), re.IGNORECASE):
        return f"your {mine['what']}"
    return f"{MONTHS[day.month - 1].capitalize()} {day.day}"


def _span(days: int, unit: str) -> str:
    if unit == "hour":
        return f"about {days * _HOURS_PER_DAY} hours"
    if unit == "week":
        weeks, rest = divmod(days, 7)
        parts = [_count(weeks, "week")] if weeks else []
        return " and ".join(parts + ([_count(rest, "day")] if rest or not weeks else []))
    if unit == "month" and days >= 30:
        return f"about {_count(round(days / 30.44), 'month')}"
    return _count(days, "day")


def _count(number: int, noun: str) -> str:
    return f"{number} {noun}" if number == 1 else f"{number} {noun}s"


def _clock(moment: datetime) -> str:
    return f"{moment.hour % 12 or 12}:{moment.minute:02} {'AM' if moment.hour < 12 else 'PM'}"


def _other_day(there: datetime, here: datetime) -> str:
    if there.date() == here.date():
        return ""
    return f" on {WEEKDAYS[there.weekday()].capitalize()}"


def _title(place: str) -> str:
    return place.upper() if place.lower() in ("uk", "utc") else " ".join(word.capitalize() for word in place.split())
