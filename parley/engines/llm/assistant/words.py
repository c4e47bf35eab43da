"""Spoken lines as words: tidying what a transcript brings, stems, word overlap, and turning "my" into "your". Pure."""

import re
from collections.abc import Iterable
from typing import Final

_CONTRACTIONS: Final = tuple(
    (re.compile(pattern, re.IGNORECASE), opened)
    for pattern, opened in (
        (r"\bwhats\b", "what is"),
        (r"\bhows\b", "how is"),
        (r"\b(what|who|where|when|how|that|it|he|she|there|here)'s\b", r"\1 is"),
        (r"\b(I)'m\b", r"\1 am"),
        (r"\b(you|we|they|what|how|where)'re\b", r"\1 are"),
        (r"\b(I|you|we|they)'ve\b", r"\1 have"),
        (r"\b(I|you|we|they|it|that|what|who)'ll\b", r"\1 will"),
        (r"\b(I|you|we|they)'d\b", r"\1 would"),
        (r"\bcan'?t\b", "cannot"),
        (r"\bwon't\b", "will not"),
        (r"\b(do|does|did|is|are|was|were|have|has|had|could|would|should)n't\b", r"\1 not"),
        (r"\blet's\b", "let us"),
        (r"\bgonna\b", "going to"),
        (r"\bwanna\b", "want to"),
        (r"\bgimme\b", "give me"),
    )
)

_MAY_CONTRACT: Final = re.compile(r"'|\b(?:whats|hows|cant|gonna|wanna|gimme)\b", re.IGNORECASE)
_FILLERS: Final = re.compile(r"\b(?:u+h+m*|u+m+|e+rm*|h+m+|m+h+m*|a+h+|you know what)\b[,.]?", re.IGNORECASE)
_MARKS: Final = re.compile(
    r"(?<![0-9A-Za-z])[.:,]|[.:,](?![0-9A-Za-z])|[!?;\"“”„«»…\[\]{}<>|\\~`_#¿¡]|\((?!\d)|(?<!\d)\)"
)
_STAMMER: Final = re.compile(r"\b(the|an?|i|is|it|and|to|what|my|in|of|you|can|how)(?: \1\b)+", re.IGNORECASE)
_SENTENCE_END: Final = re.compile(r"(?<=[.!?…])(?<!\b[A-Z]\.)(?<!\b(?:Dr|Mr|Ms|St)\.)(?<!\bMrs\.)[\"'”’)]*\s+|\n+")

_LEAD: Final = re.compile(
    r"(?:(?:hey|hi|hello|hallo|okay|ok|so|well|alright|all right|right|yes|yeah|yep|no|please|now|actually|oh|and|but|"
    r"thanks|thank you|excuse me|sorry|just|then|also|listen|look|parley|assistant|good (?:morning|afternoon|evening)|"
    r"hi there|hello there|i wonder|i was wondering|one more question|quick question|by the way|"
    r"(?:can|could|would|will) you(?: please)?(?: (?:just|quickly))?|(?:can|could|may) i ask(?: you)?|"
    r"i(?: would|'d)? (?:like|want|need) (?:you )?to(?: know)?|i want to know|"
    r"(?:do you know|tell me|let me know|remind me)(?= (?:what|who|where|when|how|which|why|if|whether|the|my|"
    r"about)\b)|"
    r"do you happen to know) )+",
    re.IGNORECASE,
)
_GREETING: Final = re.compile(r"^(?:(?:hi|hello|hey|okay|ok|so|well|and|oh)(?: there| parley)? )+", re.IGNORECASE)
_TAIL: Final = re.compile(
    r"(?: (?:please|thanks|thank you|for me|again|right now|now|then|exactly|parley|if you can|do you know|"
    r"by the way))+$",
    re.IGNORECASE,
)

STOP_WORDS: Final = frozenset(
    (
        "a an the this that these those some any is are was were be been being am do does did done have has had will "
        "would shall should can could may might must i me my mine you your yours he him his she her hers it its we us "
        "our ours they them their theirs what which who whom whose where when why how and or but if then so than as "
        "at by for from in into of off on onto out over to up with about there here not no yes please thanks hey hi "
        "hello okay ok just also too very really actually tell give show let get got want need like know say much "
        "many"
    ).split(" ")
)
"""Words that carry no topic."""

_FLIP: Final = {
    "i": "you",
    "me": "you",
    "my": "your",
    "mine": "yours",
    "myself": "yourself",
    "am": "are",
    "i'm": "you're",
    "i've": "you've",
    "you": "I",
    "your": "my",
    "yours": "mine",
    "yourself": "myself",
}
_FLIP_PAIRS: Final = {
    "i am": "you are",
    "am i": "are you",
    "i was": "you were",
    "was i": "were you",
    "you are": "I am",
    "are you": "am I",
    "you were": "I was",
    "were you": "was I",
}
_FLIP_PATTERN: Final = re.compile(
    r"\b(?:" + "|".join([*_FLIP_PAIRS, *sorted(_FLIP, key=len, reverse=True)]) + r")\b(?!')", re.IGNORECASE
)
_TO_ME: Final = re.compile(r"\b(to|for|with|from|at|about|of|tell|told|give|gave|help|call|called|ask|asked) I\b")


def tidy(text: str) -> str:
    """One spoken line, case kept: contractions opened, fillers, stammers and punctuation gone, spaces single."""
    line = text.replace("’", "'").replace("‘", "'").replace("–", "-").replace("—", " ")
    if _MAY_CONTRACT.search(line):
        for pattern, opened in _CONTRACTIONS:
            line = pattern.sub(opened, line)
    line = _MARKS.sub(" ", _FILLERS.sub(" ", line))
    return _STAMMER.sub(r"\1", " ".join(line.split()))


def sentences(text: str) -> list[str]:
    """The sentences of a text, or its lines."""
    return [part.strip() for part in _SENTENCE_END.split(text) if part and part.strip()]


def core(said: str) -> str:
    """A tidy line without the politeness around it: "could you tell me what time it is please" -> "what time it is".

    A line of nothing but politeness stays as it is.
    """
    inner = _TAIL.sub("", said)
    led = _LEAD.match(inner + " ")
    rest = inner[led.end() :] if led else inner
    return rest or inner or said


def ungreeted(said: str) -> str:
    """A tidy line without the greeting before it."""
    return _GREETING.sub("", said) or said


def stem(word: str) -> str:
    """A rough common form: "opening", "opens", "opened" -> "open". For comparing, not for showing."""
    word = word.lower().removesuffix("'s").removesuffix("'").replace("colour", "color").replace("favour", "favor")
    if len(word) > 4 and word.endswith("ies"):
        word = word[:-3] + "y"
    elif len(word) > 4 and word.endswith(("sses", "xes", "ches", "shes", "zes")):
        word = word[:-2]
    elif len(word) > 3 and word.endswith("s") and not word.endswith(("ss", "us", "is")):
        word = word[:-1]
    for ending in ("ing", "ed"):
        if len(word) > len(ending) + 2 and word.endswith(ending):
            word = word[: -len(ending)]
            if len(word) > 3 and word[-1] == word[-2] and word[-1] not in "ls":
                word = word[:-1]
            break
    return word[:-1] if len(word) > 4 and word.endswith("e") else word


def content(text: str) -> tuple[str, ...]:
    """The stems of the words that carry meaning, in order."""
    words = re.findall(r"[^\W_]+(?:'[^\W_]+)?", text)
    return tuple(stem(word) for word in words if word.lower() not in STOP_WORDS)


def flip(text: str) -> str:
    """The same said to the other: "I live with my wife" -> "you live with your wife"."""

    def other(match: re.Match[str]) -> str:
        word = match.group().lower()
        return _FLIP_PAIRS.get(word) or _FLIP[word]

    return _TO_ME.sub(r"\1 me", _FLIP_PATTERN.sub(other, text))


def sentence(text: str) -> str:
    """With a capital at its head and a mark at its end."""
    text = text.strip()
    if not text:
        return ""
    return text[0].upper() + text[1:] + ("" if text[-1] in ".!?…" else ".")


def listed(things: Iterable[str], word: str = "and") -> str:
    """ "a", "a and b", "a, b, and c"."""
    items = list(things)
    if len(items) < 3:
        return f" {word} ".join(items)
    return f"{', '.join(items[:-1])}, {word} {items[-1]}"


def split_name(name: str) -> list[str]:
    """The words in an identifier: "getWeather_forCity" -> ["get", "weather", "for", "city"]."""
    return [part.lower() for part in re.findall(r"[A-Z]+(?![a-z])|[A-Z]?[a-z]+|\d+", name)]


_VERBS: Final = frozenset(
    (
        "get fetch lookup look up find search check show tell set create make generate retrieve query list do run "
        "execute give read current for order book add send play translate cancel transfer end start stop update "
        "delete remove schedule turn call to my the handle perform calculate compute submit request ask"
    ).split(" ")
)


_ALSO_NOUNS: Final = frozenset(("order", "book", "play", "call", "schedule", "request", "update", "list", "transfer"))


def subject(name: str) -> str:
    """What a function is about: "get_weather_forecast" -> "weather forecast", "order_pizza" -> "pizza", "run" -> ""."""
    split = split_name(name)
    while split and split[0] in _VERBS and (len(split) > 1 or split[0] not in _ALSO_NOUNS):
        split = split[1:]
    return " ".join(split)


def speakable(text: str) -> str:
    """Without marks that are for eyes: emphasis, headings, list bullets, link targets, doubled spaces."""
    text = re.sub(r"\[([^\]]*)\]\([^)]*\)", r"\1", text)
    text = re.sub(r"^\s*(?:[-*•#>]+|\d+[.)])\s+", "", text, flags=re.MULTILINE)
    return " ".join(re.sub(r"(?<!\w)[*_`#]{1,3}(?=\S)|(?<=\S)[*_`]{1,3}(?!\w)", "", text).split())
