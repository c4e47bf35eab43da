"""Results of functions, made into sentences."""

import json
import re
from datetime import datetime
from typing import Final

from parley.engines.base import ToolCall
from parley.engines.llm.assistant import words
from parley.engines.llm.assistant.calendar import MONTHS
from parley.engines.llm.assistant.dialogue import Dialogue, Reply
from parley.engines.llm.assistant.functions import next_calls
from parley.engines.llm.assistant.numbers import spoken
from parley.engines.prompt import LATE_RESULT, PENDING

RESULT_CHARS_MAX: Final = 600
"""A longer result is cut at a word."""
ENTRIES_MAX: Final = 8
LISTED_MAX: Final = 5
DEPTH_MAX: Final = 3

_SPEAKS_FOR_ITSELF: Final = frozenset(
    "message text result answer content summary description output response reply value data speech say "
    "horoscope joke story note".split(" ")
)
_DONE: Final = frozenset(("ok", "success", "successful", "done", "completed", "true", "sent", "created"))
_STATUS_KEYS: Final = frozenset(("success", "ok", "status"))
_LONG_WINDED: Final = re.compile(r"query|question|text|message|body|expression|search|prompt|content", re.IGNORECASE)
_PLACE: Final = re.compile(r"city|location|place|town|country|region|area", re.IGNORECASE)
_UNITS: Final = {
    "c": "degrees Celsius",
    "celsius": "degrees Celsius",
    "f": "degrees Fahrenheit",
    "fahrenheit": "degrees Fahrenheit",
    "km": "kilometers",
    "kmh": "kilometers per hour",
    "kph": "kilometers per hour",
    "mph": "miles per hour",
    "mm": "millimeters",
    "cm": "centimeters",
    "kg": "kilograms",
    "pct": "percent",
    "percent": "percent",
    "usd": "dollars",
    "eur": "euros",
    "gbp": "pounds",
    "ms": "milliseconds",
    "minutes": "minutes",
    "seconds": "seconds",
    "hours": "hours",
    "days": "days",
}
_LATE: Final = re.compile(
    re.escape(LATE_RESULT) + r"(?P<name>[^\s(:]+)(?:\((?P<arguments>.*)\))?: (?P<output>.*)", re.DOTALL
)


def results(dialogue: Dialogue) -> Reply | None:
    """Speaks the results that came since the user spoke, once every call has one; or makes the next planned call."""
    messages = [m for m in dialogue.prompt.messages if m.role != "system" or m.text.startswith(LATE_RESULT)]
    if not messages or messages[-1].role not in ("tool", "system"):
        return None
    if messages[-1].role == "system":
        late = _LATE.fullmatch(messages[-1].text)
        call = ToolCall(
            call_id="", name=late["name"] if late else "", arguments=late["arguments"] or "{}" if late else "{}"
        )
        return Reply(told(call, late["output"] if late else ""))
    calls = [call for message in dialogue.turn for call in message.calls]
    outputs = {m.call_id: m.text for m in dialogue.turn if m.role == "tool"}
    if waiting := [call for call in calls if outputs.get(call.call_id, PENDING) == PENDING]:
        about = words.listed(f"the {words.subject(call.name) or 'result'}" for call in waiting)
        return Reply(f"One moment, I am still waiting for {about}.")
    if more := next_calls(dialogue, len(calls)):
        return Reply(calls=more)
    sentences = [told(call, outputs[call.call_id]) for call in calls if call.call_id in outputs]
    return Reply(" ".join(dict.fromkeys(sentences))) if sentences else None


def told(call: ToolCall, output: str) -> str:
    """One result as a sentence."""
    arguments = _json(call.arguments)
    given = arguments if isinstance(arguments, dict) else {}
    about = words.subject(call.name) or "result"
    data = _json(output)
    match data:
        case dict():
            text = _told_object(data, about, given)
        case list():
            text = _told_list(data, about)
        case bool():
            text = "Done." if data else f"Sorry, the {about} request failed."
        case int() | float():
            text = f"The {about}{_lead(given, about, ' ')} is {spoken(float(data))}."
        case None:
            text = "Done."
        case _ if str(data).lstrip().startswith(("{", "[")):
            text = f"I got an answer for the {about} that I can't read."
        case _:
            text = words.speakable(str(data)) or "Done."
    return _cut(words.sentence(text))


def _json(text: str) -> object:
    """A JSON value, or the text itself when it is none."""
    try:
        return json.loads(text) if text.strip() else None
    except (ValueError, RecursionError):
        return text


def _lead(given: dict[str, object], about: str, before: str = "") -> str:
    """What the call was about: "in Paris", "for Aquarius", "for order 427"."""
    short = [
        (key, str(value)) for key, value in given.items() if isinstance(value, str) and 0 < len(value.split()) <= 3
    ]
    short = [(key, value) for key, value in short if not _LONG_WINDED.search(key)]
    place = next((value for key, value in short if _PLACE.search(key)), None)
    if place:
        return f"{before}in {place}"
    if not short:
        return ""
    key, value = short[0]
    is_id = {"id", "number"} & set(words.split_name(key)) and value[-1:].isdigit()
    return f"{before}for {about} {value}" if is_id else f"{before}for {value}"


def _told_object(data: dict[str, object], about: str, given: dict[str, object]) -> str:
    if problem := data.get("error") or data.get("errors"):
        return f"Sorry, the {about} request failed: {_problem(problem)}"
    echoes = {str(value).lower() for value in given.values()}
    entries = [
        (key, value) for key, value in _flat(data) if value not in (None, "", []) and str(value).lower() not in echoes
    ]
    if all(key in _STATUS_KEYS for key, _ in entries):
        return _told_status(entries, about)
    entries = [(key, value) for key, value in entries if not (key in _STATUS_KEYS and str(value).lower() in _DONE)]
    if len(entries) == 1:
        key, value = entries[0]
        if key.lower() in _SPEAKS_FOR_ITSELF and isinstance(value, str) and len(value.split()) > 2:
            return words.speakable(value)
        if key.lower() in ("result", "value", "answer", "output", "data") and not isinstance(value, list):
            return f"The {about}{_lead(given, about, ' ')} is {_value(value)}"
        if isinstance(value, list):
            return _told_list(value, about)
    lead = _lead(given, about)
    lead = f"{lead[0].upper()}{lead[1:]}, " if lead else ""
    return lead + words.listed(_entry(key, value, data) for key, value in entries[:ENTRIES_MAX] if not _is_unit(key))


def _told_status(entries: list[tuple[str, object]], about: str) -> str:
    if all(value is True or str(value).lower() in _DONE for _, value in entries):
        return "Done."
    if all(value is False for _, value in entries):
        return f"Sorry, the {about} request failed."
    return f"The {about} status is {_value(entries[0][1])}"


def _problem(problem: object) -> str:
    if isinstance(problem, dict):
        problem = problem.get("message") or problem.get("detail") or problem.get("code") or "it gave no reason"
    return words.speakable(str(problem)).replace("_", " ")


def _flat(data: dict[str, object], before: str = "", depth: int = 0) -> list[tuple[str, object]]:
    """Entries of objects within objects, with the outer key before the inner one; deeper ones are left out."""
    out: list[tuple[str, object]] = []
    for key, value in data.items():
        if isinstance(value, dict):
            if depth < DEPTH_MAX:
                outer = "" if key in ("data", "result", "current", "weather", "response") else f"{key}_"
                out += _flat(value, before + outer, depth + 1)
        else:
            out.append((before + str(key), value))
    return out


def _is_unit(key: str) -> bool:
    return key.lower() in ("unit", "units", "currency")


def _entry(key: str, value: object, data: dict[str, object]) -> str:
    *name, last = words.split_name(key) or [key]
    unit = _UNITS.get(last) if name else None
    noun = " ".join(name if unit else [*name, last])
    if isinstance(value, bool):
        return f"it is {'' if value else 'not '}{noun.removeprefix('is ')}"
    if isinstance(value, list):
        return f"the {noun} are {_listed(value)}"
    return f"the {noun} is {_value(value)}{_unit(noun, value, unit, data)}"


def _unit(noun: str, value: object, unit: str | None, data: dict[str, object]) -> str:
    if isinstance(value, str):
        return ""
    told_unit = str(data.get("unit") or data.get("units") or data.get("currency") or "")
    plain = re.sub(r"[^a-z]", "", told_unit.lower())
    if "temperature" in noun or noun in ("temp", "feels like", "high", "low"):
        return f" {unit or _UNITS.get(plain, 'degrees')}"
    return f" {unit}" if unit else ""


def _value(value: object) -> str:
    match value:
        case bool():
            return "yes" if value else "no"
        case int() | float():
            return spoken(float(value))
        case list():
            return _listed(value)
        case str():
            return _moment(value) or words.speakable(value).replace("_", " ").rstrip(".")
        case _:
            return "unknown"


def _moment(text: str) -> str | None:
    """An ISO date or time of day, as people say it."""
    if not re.match(r"\d{4}-\d{2}-\d{2}(?:T|$)", text):
        return None
    try:
        moment = datetime.fromisoformat(text)
    except ValueError:
        return None
    day = f"{MONTHS[moment.month - 1].capitalize()} {moment.day}, {moment.year}"
    clock = f"{moment.hour % 12 or 12}:{moment.minute:02} {'AM' if moment.hour < 12 else 'PM'}"
    return f"{day} at {clock}" if "T" in text else day


def _told_list(data: list[object], about: str) -> str:
    if not data:
        return f"I found nothing for the {about}."
    count = f"{len(data)} result" if len(data) == 1 else f"{len(data)} results"
    return f"I found {count}: {_listed(data)}"


def _listed(data: list[object]) -> str:
    named = [_label(item) for item in data[:LISTED_MAX]]
    if len(data) > LISTED_MAX:
        named.append(f"{len(data) - LISTED_MAX} more")
    return words.listed(named)


def _label(item: object) -> str:
    """What to call one of many: its name, with a price if it has one."""
    if not isinstance(item, dict):
        return _value(item)
    name = next((item[key] for key in ("name", "title", "label", "text", "description", "id") if key in item), None)
    if name is None:
        return words.listed(
            f"{' '.join(words.split_name(str(key)))} {_value(value)}" for key, value in list(item.items())[:3]
        )
    price = next((item[key] for key in ("price", "cost", "time", "date") if key in item), None)
    return _value(name) if price is None else f"{_value(name)} ({_value(price)})".replace("(", "at ").replace(")", "")


def _cut(text: str) -> str:
    return text if len(text) <= RESULT_CHARS_MAX else text[:RESULT_CHARS_MAX].rsplit(" ", 1)[0] + " …"
