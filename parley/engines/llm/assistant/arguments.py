"""What was said -> the arguments of a function, guided by names, types and descriptions in its schema. Pure.

Every parameter has a *reader*: a small function that looks for its value in a line. Which one is decided by the type
and, for strings, by the words of the name: a `city` is looked for behind "in", an `email` by its form, a `query` is
what remains when the order itself is taken away.
"""

import difflib
import re
from collections.abc import Callable
from typing import Final, NamedTuple

from parley.engines.llm.assistant import calendar, words
from parley.engines.llm.assistant.dialogue import Dialogue
from parley.engines.llm.assistant.numbers import with_digits
from parley.engines.llm.assistant.places import ZONES
from parley.engines.llm.assistant.schema import Parameter, properties

SIMILAR_MIN: Final = 0.82
"""A misheard word counts as the allowed value that it resembles so much ("aquarious")."""
SIMILAR_CHARS_MIN: Final = 5
VALUE_WORDS_MAX: Final = 6

Value = object


class Line(NamedTuple):
    """Where to look. `whole`: it answers a question about this very parameter, so all of it may be the value."""

    text: str
    dialogue: Dialogue
    whole: bool = False

    @property
    def digits(self) -> str:
        """With numbers in digits and without a mark at the end."""
        return with_digits(self.text.strip().rstrip(".!?"))


def fill(parameters: list[Parameter], line: Line) -> dict[str, Value]:
    """The arguments that the line names. Plain numbers without a name go to numeric parameters in order."""
    filled: dict[str, Value] = {}
    for one in parameters:
        value = read(one, line)
        # What was said for one text is not said a second time for an optional one.
        said_twice = isinstance(value, str) and any(value in str(other) for other in filled.values())
        if value is not None and (one.required or one.choices or not said_twice):
            filled[one.name] = value
    numeric = [
        one for one in parameters if one.type in ("integer", "number") and one.name not in filled and not one.choices
    ]
    spare = _spare_numbers(line.digits, {str(value) for value in filled.values()})
    wanted = [one for one in numeric if one.required] or (numeric if len(numeric) == len(spare) == 1 else [])
    for one, number in zip(wanted, spare, strict=False):
        filled[one.name] = _number(one, number)
    return filled


def read(one: Parameter, line: Line) -> Value | None:
    """The value of one parameter, None when the line does not tell."""
    if one.choices:
        return _choice(one, line)
    match one.type:
        case "string":
            return _string(one, line)
        case "integer" | "number":
            return _named_number(one, line)
        case "boolean":
            return _boolean(one, line)
        case "array":
            return _array(one, line)
        case "object":
            return fill(properties(one.schema, one.schema), line) or None
        case _:
            return None


def remembered(one: Parameter, dialogue: Dialogue) -> Value | None:
    """A value from earlier in the conversation: a fact of that name, or an allowed value that was mentioned."""
    wanted = {words.stem(word) for word in one.words} - _EMPTY_NAME_WORDS
    for key, fact in dialogue.facts.items():
        if wanted and wanted & set(words.content(key)):
            return read(one, Line(fact.value, dialogue, whole=True))
    if _kind(one) is _location and "live" in dialogue.facts:
        return read(one, Line(dialogue.facts["live"].value, dialogue, whole=True))
    if not one.choices:
        return None
    about_me = (line for line in reversed(dialogue.earlier_lines) if _ABOUT_ME.search(line))
    found = (_choice(one, Line(line, dialogue)) for line in about_me)
    return next((value for value in found if value is not None), None)


def is_specific(one: Parameter) -> bool:
    """Whether a value of the parameter can be told from other words by its form."""
    return bool(one.choices) or one.type != "string" or _kind(one) not in (None, _free_text)


_ABOUT_ME: Final = re.compile(r"\b(?:i am|i'm|my|mine|i have|i prefer)\b", re.IGNORECASE)
_EMPTY_NAME_WORDS: Final = frozenset(("id", "number", "value", "user", "name", "type", "key", "code"))


# ---- allowed values

_ALSO_CALLED: Final = {
    "celsius": ("centigrade", "metric"),
    "c": ("celsius", "centigrade"),
    "f": ("fahrenheit",),
    "metric": ("celsius", "kilometers", "centigrade"),
    "imperial": ("fahrenheit", "miles"),
    "small": ("little", "tiny"),
    "large": ("big",),
    "on": ("activate", "enable", "switch on", "turn on"),
    "off": ("deactivate", "disable", "switch off", "turn off"),
}


def _choice(one: Parameter, line: Line) -> Value | None:
    found = _choices(one, line)
    return found[0] if found else None


def _choices(one: Parameter, line: Line) -> list[Value]:
    """The allowed values that the line names, in the order of the line."""
    text = (
        " "
        + re.sub(r"[^\w'.]+", " ", f"{line.text.lower()} {line.digits.lower()}").replace("'s ", " ").replace(". ", " ")
        + " "
    )
    places = {}
    for value in sorted(one.choices, key=lambda value: -len(str(value))):
        for spoken in _spoken_forms(str(value)):
            if found := re.search(rf"(?<= ){re.escape(spoken)}s?(?=[ .])", text):
                places[found.start()] = value
                text = text[: found.start()] + "_" * len(found.group()) + text[found.end() :]
                break
    if places:
        return [places[at] for at in sorted(places)]
    return _similar(one, text)


def _spoken_forms(value: str) -> list[str]:
    plain = re.sub(r"[\W_]+", " ", value.lower()).strip()
    split = " ".join(words.split_name(value))
    return [form for form in dict.fromkeys((plain, split, *_ALSO_CALLED.get(plain, ()))) if form]


def _similar(one: Parameter, text: str) -> list[Value]:
    by_form = {str(value).lower(): value for value in one.choices if len(str(value)) >= SIMILAR_CHARS_MIN}
    for word in text.split():
        if len(word) >= SIMILAR_CHARS_MIN and (close := difflib.get_close_matches(word, by_form, 1, SIMILAR_MIN)):
            return [by_form[close[0]]]
    return []


# ---- numbers

_NUMBER: Final = r"-?\d+(?:\.\d+)?"
_SECONDS: Final = {"second": 1, "minute": 60, "hour": 3600, "day": 86400, "week": 604800}
_SPAN: Final = re.compile(
    rf"(?P<number>{_NUMBER}|\ban?\b|\bhalf an?\b) (?P<unit>second|minute|hour|day|week)s?\b", re.IGNORECASE
)
_CLOCK: Final = re.compile(
    r"\b\d{1,2}:\d{2}(?: ?[ap]\.?m\b\.?)?|\b\d{1,2} ?[ap]\.?m\b\.?|\b\d{1,2} o'?clock\b|\bnoon\b|\bmidnight\b|"
    r"(?<=\bat )\d{1,2}(?![\d:.]| \w*(?:percent|degree))\b",
    re.I,
)
_COUNTED: Final = {
    "party": "person people guest us",
    "guest": "person people us",
    "people": "person guest us",
    "passenger": "person people adult",
    "quantity": "piece unit of",
    "amount": "dollar euro pound buck",
    "price": "dollar euro pound",
    "temperature": "degree",
    "brightness": "percent",
    "volume": "percent",
    "level": "percent",
    "nights": "night",
    "age": "year",
}


def _named_number(one: Parameter, line: Line) -> Value | None:
    """A number that stands beside a word of the parameter's name, or a span of time in the parameter's unit."""
    text = line.digits
    names = [words.stem(word) for word in one.words]
    told = f"{' '.join(one.words)} {one.description.lower()}"
    unit = next((unit for unit in _SECONDS if re.search(rf"\b{unit}s?\b", told)), None)
    if unit and (found := list(_SPAN.finditer(text))):
        seconds = sum(_amount(span["number"]) * _SECONDS[span["unit"].lower()] for span in found)
        return _number(one, seconds / _SECONDS[unit])
    near = {*names, *(stem for name in names for stem in words.content(_COUNTED.get(name, "")))} - _EMPTY_NAME_WORDS
    for found_number in re.finditer(rf"(?<![\w.:])(?:[$€£] ?)?({_NUMBER})(?![\w:])", _CLOCK.sub(" ", text)):
        after = _CLOCK.sub(" ", text)[found_number.end() :].split()[:2]
        before = _CLOCK.sub(" ", text)[: found_number.start()].split()[-3:]
        if near & {words.stem(word.strip(",.")) for word in (*after, *before)}:
            return _number(one, float(found_number[1]))
    if line.whole and (any_number := re.search(_NUMBER, text)):
        return _number(one, float(any_number.group()))
    return None


def _spare_numbers(text: str, used: set[str]) -> list[float]:
    """Numbers that are no time of day and not taken yet."""
    plain = _CLOCK.sub(" ", text)
    found = [float(number) for number in re.findall(rf"(?<![\w.:-])({_NUMBER})(?![\w:])", plain)]
    return [number for number in found if f"{number:g}" not in used and str(number) not in used]


def _amount(number: str) -> float:
    if number.lower().startswith("half"):
        return 0.5
    return 1.0 if number.lower() in ("a", "an") else float(number)


def _number(one: Parameter, value: float) -> int | float:
    return round(value) if one.type == "integer" or value.is_integer() else value


# ---- yes or no


def _boolean(one: Parameter, line: Line) -> bool | None:
    text = f" {words.tidy(line.text).lower()} "
    topics = [
        word for word in one.words if word not in ("is", "has", "with", "include", "enable", "enabled", "use", "should")
    ]
    name = " ".join(topics)
    if topics and re.search(rf"\b(?:without|no|not|disable|exclude|skip)\b(?: \w+)? {re.escape(name)}", text):
        return False
    if re.search(r"\b(?:turn|switch|shut) (?:\w+ ){0,3}?off\b|\bdisable\b", text):
        return False
    if re.search(r"\b(?:turn|switch) (?:\w+ ){0,3}?on\b|\benable\b", text) and {
        "on",
        "enabled",
        "enable",
        "state",
        "power",
    } & set(one.words):
        return True
    if line.whole and (
        answer := re.search(r"\b(yes|yeah|yep|sure|true|please do|of course|okay)\b|\b(no|nope|not|false)\b", text)
    ):
        return answer[1] is not None
    return True if topics and {words.stem(word) for word in topics} <= set(words.content(text)) else None


# ---- several


def _array(one: Parameter, line: Line) -> list[Value] | None:
    inner = one.items
    if inner.choices:
        return _choices(inner, line) or None
    if inner.type in ("integer", "number"):
        return [_number(inner, number) for number in _spare_numbers(line.digits, set())] or None
    if inner.type != "string":
        return None
    phrase = _string(one, line._replace(text=line.text.replace(" and ", ", ")), several=True)
    parts = [part.strip(" .!?") for part in re.split(r",| and ", str(phrase or ""))]
    return [part for part in parts if part] or None


# ---- strings, by what they are

_Reader = Callable[[Parameter, Line], str | None]

_STOP: Final = (
    r"(?=$|[?.!;]|,(?! (?-i:[A-Z]))| (?:today|tomorrow|tonight|yesterday|now|right now|please|and|on|at|in|"
    r"for|from|to|with|by|next|this|"
    r"during|between|after|before|like|is|are|was|will|if|or|because|so|thanks|thank you|would|right|currently|later|"
    + "|".join(calendar.WEEKDAYS)
    + r")\b)"
)
_NOT_PLACES: Final = frozenset(
    "a an the my your this that it me you us him her them celsius fahrenheit centigrade kelvin english spanish french "
    "german general morning afternoon evening minutes hours days weeks seconds know see tell do go get be have check "
    "find today tomorrow now"
    "tonight monday tuesday wednesday thursday friday saturday sunday".split(" ")
)
_ARTICLE: Final = re.compile(r"^(?:the|a|an|my|your|our) (?=\w)", re.IGNORECASE)


def _string(one: Parameter, line: Line, several: bool = False) -> str | None:
    kind = _kind(one)
    value = kind(one, line) if kind else None
    if value is None and kind in (None, _free_text):
        value = _plain_string(one, line, several)
    if value is None and line.whole:
        value = _whole(one, line)
    return value


def _kind(one: Parameter) -> _Reader | None:
    """The reader for a string of this name, or by its description where the name says nothing."""
    named = " ".join(one.words)
    declared = str(one.schema.get("format") or "")
    for pattern, reader in _KINDS:
        if pattern.search(named) or (declared and pattern.search(declared)):
            return reader
    for pattern, reader in _KINDS[:6]:
        if pattern.search(one.description.lower()):
            return reader
    return None


def _location(one: Parameter, line: Line) -> str | None:
    named = " ".join(one.words)
    if re.search(r"\b(?:origin|from|departure|pickup|start|source)\b", named):
        prepositions = "from"
    elif re.search(r"\b(?:destination|to|arrival|dropoff|end|target)\b", named):
        prepositions = "to"
    else:
        prepositions = "in|at|for|near|around|of|to|from"
    more = r"(?:, (?-i:[A-Z])[\w.'-]+(?: (?-i:[A-Z])[\w.'-]+)*)?"
    pattern = rf"\b(?:{prepositions}) (?P<place>[\w.'-]+(?: [\w.'-]+){{0,4}}?{more}){_STOP}"
    candidates = [_ARTICLE.sub("", found["place"]) for found in re.finditer(pattern, line.text, re.IGNORECASE)]
    places = [place for place in candidates if place.split()[0].lower() not in _NOT_PLACES and not place[0].isdigit()]
    named_places = [place for place in places if place[0].isupper() or place.lower() in ZONES]
    if found_place := next(iter(named_places or places), None):
        return _titled(found_place.rstrip("."))
    return _known_place(line.text) if len(prepositions) > 4 or line.whole else None


def _known_place(text: str) -> str | None:
    lowered = f" {re.sub(r'[^a-z ]', ' ', text.lower())} "
    found = [place for place in ZONES if f" {place} " in lowered]
    return _titled(max(found, key=len)) if found else None


def _titled(place: str) -> str:
    return place if any(char.isupper() for char in place) else " ".join(word.capitalize() for word in place.split())


_DAY_PHRASE: Final = re.compile(
    r"\b(?:the )?(?:day after tomorrow|tomorrow|today|tonight|yesterday|this weekend|next weekend|next week|"
    r"next month)\b"
    r"|\b(?:next |this )?(?:" + "|".join(calendar.WEEKDAYS) + r")\b",
    re.IGNORECASE,
)


def _date(one: Parameter, line: Line) -> str | None:
    day = calendar.day_in(line.text, line.dialogue.now.date())
    told = f"{one.schema.get('format', '')} {one.description}".lower()
    if day and (
        re.search(r"\bdate\b(?!-)", str(one.schema.get("format") or "")) or re.search(r"yyyy|iso|\d{4}-\d{2}", told)
    ):
        return day.isoformat()
    if phrase := _DAY_PHRASE.search(line.text):
        return re.sub(r"^the ", "", phrase.group(), flags=re.IGNORECASE).lower()
    return day.isoformat() if day else None


def _time(one: Parameter, line: Line) -> str | None:
    found = _CLOCK.search(line.digits)
    if found is None:
        return None
    told = found.group().strip().lower().replace(".", "")
    wants_24_hours = re.search(r"hh:mm|24|iso|\btime$", f"{one.description.lower()} {one.schema.get('format', '')}")
    return (
        _clock_24(told)
        if wants_24_hours and ("hh" in one.description.lower() or "format" in one.schema)
        else told.upper()
    )


def _clock_24(told: str) -> str:
    if told in ("noon", "midnight"):
        return "12:00" if told == "noon" else "00:00"
    hour, _, minute = re.sub(r"[^\d:]", "", told).partition(":")
    shifted = int(hour) % 12 + (12 if "pm" in told else 0) if told[-1] == "m" else int(hour)
    return f"{shifted:02}:{minute or '00'}"


def _email(_: Parameter, line: Line) -> str | None:
    if found := re.search(r"[\w.+-]+@[\w-]+(?:\.[\w-]+)+", line.text):
        return found.group()
    spelled = re.search(
        r"\b(?P<name>[\w.+-]+(?: (?:dot|underscore) \w+)*) at (?P<host>[\w-]+(?: dot \w+)+)", line.text, re.IGNORECASE
    )
    if spelled is None:
        return None
    joined = f"{spelled['name']}@{spelled['host']}".lower()
    return joined.replace(" dot ", ".").replace(" underscore ", "_")


def _phone(_: Parameter, line: Line) -> str | None:
    found = re.search(r"\+?\d[\d ()/.-]{1,20}\d", with_digits(line.text))
    return re.sub(r"[^\d+]", "", found.group()) if found else None


def _url(_: Parameter, line: Line) -> str | None:
    found = re.search(r"https?://\S+|\b(?:www\.)?[\w-]+(?:\.[\w-]+)*\.(?:com|org|net|io|dev|edu|gov)\b\S*", line.text)
    return found.group().rstrip(".,!?") if found else None


def _person(one: Parameter, line: Line) -> str | None:
    stop = (
        r"(?=$|[?.!,;:]| (?:and|at|on|in|to|for|that|saying|about|with|please|tomorrow|today|tonight|is|my|a|the|now|"
        r"by)\b)"
    )
    led = r"(?:to|with|for|named|called|call|text|tell|email|message|contact|invite|name is|i am|i'm|this is|under)"
    for found in re.finditer(rf"\b{led} (?P<name>[A-Za-z][\w'-]*(?: [A-Z][\w'-]*)*){stop}", line.text, re.IGNORECASE):
        first = found["name"].split()[0].lower()
        if first not in _NOT_PLACES and not with_digits(first)[0].isdigit():
            return _titled(found["name"])
    mine = line.dialogue.facts.get("name")
    return mine.value if mine and not re.search(r"recipient|contact|to\b", " ".join(one.words)) else None


def _identifier(one: Parameter, line: Line) -> str | None:
    """Something with a digit in it, best behind a word of the parameter's name."""
    names = "|".join({*map(re.escape, one.words), "number", "id", "code", "is"})
    token = r"#?(?P<id>(?:[A-Za-z]{1,6}-?)?\d[\w-]*)"
    text = with_digits(line.text)
    found = re.search(rf"\b(?:{names})\b(?: (?:is|of|number|id|code|no\.?))*[ :#]*{token}", text, re.IGNORECASE)
    found = found or re.search(rf"(?<![\w.:]){token}(?![:%])(?! ?[ap]m\b)", text)
    return found["id"].rstrip("-") if found else None


def _expression(_: Parameter, line: Line) -> str | None:
    text = re.sub(
        r"^.*?\b(?:what is|what's|how much is|calculate|compute|work out|evaluate|solve)\b", "", line.digits, flags=re.I
    )
    return words.core(" ".join(text.split())) or None


_LANGUAGES: Final = (
    "arabic chinese czech danish dutch english finnish french german greek hebrew hindi hungarian indonesian italian "
    "japanese korean mandarin norwegian polish portuguese romanian russian spanish swedish thai turkish ukrainian "
    "vietnamese"
).split(" ")
_COLORS: Final = (
    "red green blue yellow orange purple pink white black brown grey gray cyan magenta violet turquoise gold silver"
).split(" ")


def _language(one: Parameter, line: Line) -> str | None:
    source = bool({"source", "from"} & set(one.words))
    led = "from" if source else "to|into|in"
    found = re.search(rf"\b(?:{led}) ({'|'.join(_LANGUAGES)})\b", line.text, re.I)
    if found is None and not source:
        found = re.search(rf"\b({'|'.join(_LANGUAGES)})\b", line.text, re.I)
    return found[1].capitalize() if found else None


def _color(_: Parameter, line: Line) -> str | None:
    found = re.search(rf"\b({'|'.join(_COLORS)})\b", line.text, re.IGNORECASE)
    return found[1].lower() if found else None


_SAID_BEFORE_TEXT: Final = re.compile(
    r"\b(?:(?:email|mail|text|message|tell|inform|notify|ask)\b.{1,60}? (?:that|saying|to say)|"
    r"saying(?: that)?|that says|which says|with the (?:words|text|message)|to say(?: that)?|"
    r"(?:tell|remind|text|message|let)(?: \w+(?: [A-Z]\w+)?)? (?:know )?(?:that|to|about)|remember(?: to|"
    r" that)?|reminder (?:to|about|that|for)|"
    r"note(?: that| to| saying|:)?|(?:add|put|write down|write|post|create a task(?: to)?|task(?: to|:)?)|"
    r"(?:search|look|google|browse|query)(?:ing)?(?: the (?:web|internet|database|knowledge base|"
    r"documentation|docs|catalog))?(?: (?:for|up|about|on))*|"
    r"find(?: me)?(?: (?:out|information|something|articles|documents))?(?: (?:about|on|for))?|(?:information|"
    r"articles|news|details|facts|more|documents|something|story|poem|joke) (?:about|on)|"
    r"translate|play|ask(?:ing)?|about)\b:?,?\s*(?P<text>.+)",
    re.IGNORECASE,
)


def _free_text(one: Parameter, line: Line) -> str | None:
    """A message, a task, a query: what remains when the order itself is taken away."""
    if quoted := re.search(r"[\"“«](.+?)[\"”»]", line.text):
        return quoted[1]
    found = _SAID_BEFORE_TEXT.search(line.text)
    if found is None:
        return None
    text = found["text"]
    if not {"message", "body", "content", "text", "note"} & set(one.words):
        text = _KIND_OF_TEXT.sub("", _ARTICLE.sub("", text))
    if {"task", "reminder", "todo", "what"} & set(one.words):
        text = _without_when(text)
    if re.search(r"\btranslate\b", line.text, re.I):
        text = re.sub(rf" (?:to|into|in|from) (?:{'|'.join(_LANGUAGES)})\b", "", text, flags=re.I)
    return _trimmed(text) or None


_KIND_OF_TEXT: Final = re.compile(
    r"^(?:song|track|movie|film|album|video|word|phrase|sentence|note|book|topic) (?:called |named |of )?(?=\w)", re.I
)


def _things(one: Parameter, line: Line) -> str | None:
    """What is added, bought, ordered."""
    led = r"(?:add|put|buy|order|get|need|want|include|remove|delete|take|with|like)"
    found = re.search(
        rf"\b{led}(?: me)?(?: some| the| an?)? (?P<things>.+?)(?= (?:to|on|in|into|from|off) (?:my|the|a|"
        rf"our)\b|[.?!]|$)",
        line.text,
        re.I,
    )
    return _trimmed(found["things"]) if found else None


def _room(_: Parameter, line: Line) -> str | None:
    found = re.search(
        r"\b(?:in|of|for|at) (?:the|my|our) (?P<room>\w+(?: (?:room|floor))?)\b|\b(?P<named>living room|"
        r"bedroom|kitchen|bathroom|office|garage|hallway)\b",
        line.text,
        re.I,
    )
    return (found["room"] or found["named"]).lower() if found else None


def _without_when(text: str) -> str:
    """ "call mom in 10 minutes" -> "call mom"."""
    text = re.sub(
        rf"\b(?:in|for|after) (?:{_NUMBER}|\w+(?: \w+)?) (?:second|minute|hour|day|week)s?\b", " ", text, flags=re.I
    )
    text = re.sub(
        r"\b(?:at )?(?:\w+ )?\d{1,2}(?::\d{2})? ?[ap]\.?m\b\.?|\bat (?:\w+ (?:o'?clock|[ap]m)|\d[\d:]*|noon|midnight)",
        " ",
        text,
        flags=re.I,
    )
    return " ".join(re.sub(rf"\b(?:on )?(?:{_DAY_PHRASE.pattern})", " ", text, flags=re.I).split())


def _trimmed(text: str) -> str:
    text = text.strip().rstrip(".!?,;")
    return re.sub(r"(?: please| thanks| thank you| for me)+$", "", text, flags=re.IGNORECASE).strip(" ,")


def _plain_string(one: Parameter, line: Line, several: bool) -> str | None:
    """ "<name> is VALUE", "named VALUE"; for a required parameter also what stands behind a preposition."""
    if quoted := re.search(r"[\"“«](.+?)[\"”»]", line.text):
        return quoted[1]
    names = "|".join(
        re.escape(word) for word in [" ".join(one.words), *one.words] if word not in ("id", "the", "of", "is")
    )
    end = r"(?=$|[?.!;])" if several else _STOP
    value = rf"(?P<value>[\w.'@+-]+(?: [\w.'@+-]+){{0,{VALUE_WORDS_MAX}}}?)"
    value = value if not several else r"(?P<value>[\w.' ,@+-]+?)"
    patterns = [rf"\b(?:{names})s?(?: (?:is|are|of|to|called|named|should be|set to))+:? {value}{end}"] if names else []
    patterns.append(rf"\b(?:named|called|titled|entitled) {value}{end}")
    if one.required or several:
        patterns.append(rf"\b(?:for|about|of|on|in|with|to|at) (?:the |an? |my )?{value}{end}")
    for pattern in patterns:
        for found in re.finditer(pattern, line.text, re.IGNORECASE):
            if found["value"].split()[0].lower() not in _NOT_PLACES:
                return found["value"].strip(" .")
    return None


_BARE_LEAD: Final = re.compile(
    r"^(?:(?:um|uh|oh|well|okay|ok|yes|sure|please|let us say|let me see|i think|i guess|maybe|how about|"
    r"it is|that is|this is|i am|i would say|"
    r"i want|i would like|make it|for|in|at|to|on|the|an?|about|my \w+(?: \w+)?? is|the \w+(?: \w+)? is|"
    r"call it|name it|just)\b,? ?)+",
    re.IGNORECASE,
)


def _whole(one: Parameter, line: Line) -> str | None:
    """All of a short answer: "it's the blue one" -> "blue one"."""
    said = words.tidy(line.text)
    rest = _trimmed(_BARE_LEAD.sub("", said + " ").strip()) or said
    if _kind(one) is _location or _kind(one) is _person:
        return _titled(rest)
    return with_digits(rest) if _kind(one) is _identifier else rest


_KINDS: Final[tuple[tuple[re.Pattern[str], _Reader], ...]] = tuple(
    (re.compile(pattern), reader)
    for pattern, reader in (
        (r"\be ?mail\b(?! (?:body|subject|text|content))", _email),
        (r"\b(?:phone|telephone|mobile|fax)\b", _phone),
        (r"\b(?:url|uri|link|website)\b", _url),
        (
            r"\b(?:location|city|town|place|address|country|destination|origin|region|state|airport|area|"
            r"where|venue|neighborhood|from|departure city|arrival)\b",
            _location,
        ),
        (r"\b(?:date|day|when|deadline|check ?in|check ?out|birthday)\b", _date),
        (r"\b(?:time|hour|clock)\b(?! zone)", _time),
        (
            r"\b(?:id|code|zip|zipcode|postal|pin|reference|ticket|tracking|confirmation|sku|isbn|identifier|"
            r"invoice|flight|order|number|account|reservation)\b",
            _identifier,
        ),
        (r"\b(?:expression|equation|formula|calculation)\b", _expression),
        (
            r"\b(?:person|contact|recipient|attendee|guest|customer|caller|patient|employee|first|last|full|"
            r"user) ?(?:name)?\b|^name$|\b(?:recipient|contact)\b",
            _person,
        ),
        (r"\b(?:room|zone)\b", _room),
        (r"\b(?:items?|products?|ingredients?|things|goods)\b", _things),
        (r"\blanguage\b", _language),
        (r"\bcolou?r\b", _color),
        (
            r"\b(?:query|q|question|search|text|message|body|content|note|task|title|reminder|todo|topic|"
            r"keywords?|prompt|input|subject|description|reason|issue|summary|song|comment|problem|phrase|"
            r"sentence)\b",
            _free_text,
        ),
    )
)
"""Name of a string -> how to find it. The first six are also looked for in descriptions."""
