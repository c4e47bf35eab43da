"""What the instructions ask for: a name, a greeting, exact words, a style, a choice between labels.

Instructions are prose for a language model. This reads the handful of plain orders that people write most, and leaves
the rest to `retrieval`, which finds answers in them.
"""

import re
from collections.abc import Callable, Iterator
from typing import Final, NamedTuple

from parley.engines.llm.assistant import words
from parley.engines.llm.assistant.dialogue import Dialogue, Reply

RECITED_CHARS_MAX: Final = 400
"""How much of its instructions it reads out when asked."""

DIRECTIVE_SENTENCES_MAX: Final = 400
OPTION_WORDS_MAX: Final = 4
OPTIONS_MAX: Final = 50

_QUOTED: Final = r"[\"“«](?P<words>[^\"”»]+)[\"”»]"
_USER: Final = (
    r"(?:the )?(?:user|caller|customer|guest|visitor|person|client|patient|listener|them|him|her|everyone|"
    r"people)(?:'s)?"
)
_CONDITION: Final = re.compile(
    r"^(?:if|when|whenever|unless|never|do not|don't|avoid|after|once|before)\b", re.IGNORECASE
)
_NAME: Final = re.compile(
    r"\b(?:[Yy]our name is|[Yy]ou are (?:called|named)|(?:assistant|agent|bot|voice|robot|receptionist|"
    r"concierge),? (?:named|called)|"
    r"[Nn]amed|[Cc]all yourself|[Gg]o by)(?: the name)?(?: of)? [\"“]?(?P<name>[A-Z][\w-]*(?: [A-Z][\w-]*)?)"
)
_IS_NAME: Final = re.compile(
    r"\b[Yy]ou(?: are|'re|’re) (?P<name>[A-Z][a-z][\w-]*(?: [A-Z][\w-]*)?)(?=[,.!\n]|$| and| from| at| the| who)"
)
_NOT_NAMES: Final = frozenset(("A", "An", "The", "Always", "Never", "Not", "Now", "Here"))
_ROLE: Final = re.compile(r"\byou are (?:[A-Z]\w+, )?(?P<role>(?:an?|the) [^.\n!]{3,120})", re.IGNORECASE)

_SAY_QUOTED: Final = re.compile(
    r"\b(?:say|saying|says|greet|greeting|welcome|answer|start|begin|open|opening|reply|respond|announce|"
    r"message|line|read)\b[^\"“«.]*" + _QUOTED,
    re.IGNORECASE,
)
_SAY_EXACTLY: Final = re.compile(
    r"\b(?:say|repeat|read|speak|output)\b(?: out| aloud| back)?,? (?:exactly|only|verbatim|the following|"
    r"this|these words|word for word)"
    r"(?: exactly)?(?: the following)?(?: words| sentence| text| message)?(?: and nothing else| verbatim|"
    r" word for word)?\s*[:,]?\s+"
    r"[\"“«]?(?P<words>.+?)[\"”»]?\s*$",
    re.IGNORECASE | re.DOTALL,
)
_ONLY: Final = re.compile(
    r"\b(?:(?:always|only|just) (?:say|answer|reply|respond)(?: only| just)?(?: with)?|"
    r"(?:answer|reply|respond) (?:(?:only|just|always) with|with (?:only|just|exactly))(?: the (?:words?|"
    r"phrase|sentence|text))?)[: ]+" + _QUOTED,
    re.IGNORECASE,
)
_END_WITH: Final = re.compile(
    r"\b(?:always |please )?(?:end|finish|close|conclude) (?:each|every|all|any|your|with)\b[^\"“.]*?(?:with|"
    r"by saying|saying)? ?"
    r"(?:the (?:words?|phrase|sentence) )?(?:"
    + _QUOTED
    + r"|with (?:the (?:words?|phrase|sentence) )?(?P<bare>[^\"“.\n]+))",
    re.IGNORECASE,
)
_START_WITH: Final = re.compile(
    r"\b(?:always (?:start|begin|open)|(?:start|begin|open) (?:each|every|all))\b[^\"“.]*?(?:"
    + _QUOTED
    + r"|with (?P<bare>[^\"“.\n]+))",
    re.IGNORECASE,
)
_ONE_WORD: Final = re.compile(r"\b(?:one|1|a single|single)[- ]word\b", re.IGNORECASE)
_RECITE: Final = re.compile(
    r"\b(?:what (?:are|were) (?:your|the) (?:instructions|rules|orders|guidelines)|what (?:is|"
    r"was) your (?:system )?(?:prompt|job|role|task)|"
    r"what (?:were|are) you (?:told|instructed|supposed)|(?:repeat|read|tell me|say) your instructions|"
    r"your instructions)\b",
    re.IGNORECASE,
)


class _Order(NamedTuple):
    """A thing to do when it is the assistant's turn to open its mouth."""

    pattern: re.Pattern[str]
    words: Callable[[re.Match[str], Dialogue], str]


def persona(directives: str) -> str | None:
    """The name that the instructions give it."""
    for pattern in (_NAME, _IS_NAME):
        for found in pattern.finditer(directives):
            if found["name"].split()[0] not in _NOT_NAMES:
                return found["name"]
    return None


def role(directives: str) -> str | None:
    """What the instructions say it is: "a receptionist at the Grand Hotel"."""
    found = _ROLE.search(directives)
    return found["role"].strip() if found else None


def introduction(dialogue: Dialogue) -> str:
    """Who it is, honestly."""
    name = persona(dialogue.directives)
    honest = "Parley's embedded assistant. I stand in for a language model"
    return f"I'm {name}, played by {honest}." if name else f"I'm {honest}."


def obey(dialogue: Dialogue) -> Reply | None:
    """Exact words, and choices between labels: what an instruction wants said whatever the user said."""
    directives = dialogue.directives
    if found := _SAY_EXACTLY.search(directives):
        if not _CONDITION.match(_sentence_around(directives, found.start())):
            return Reply(found["words"].strip(), exact=True)
    if found := _ONLY.search(directives):
        if not _CONDITION.match(_sentence_around(directives, found.start())):
            return Reply(found["words"].strip(), exact=True)
    return _choose(dialogue)


def open_up(dialogue: Dialogue) -> Reply:
    """What to say when there is nothing to answer: what the instructions ask for, or a greeting."""
    ordered = list(dict.fromkeys(_ordered(dialogue)))
    if ordered:
        return Reply(" ".join(words.sentence(text) for text in ordered))
    if dialogue.last_answer:
        return Reply(dialogue.pick(("Is there anything else I can do?", "I'm still here. What can I do for you?")))
    return Reply(_greeting(dialogue))


def recite(dialogue: Dialogue) -> Reply | None:
    """Its instructions, when asked for them."""
    if not _RECITE.search(dialogue.request):
        return None
    directives = words.speakable(dialogue.directives)
    if not directives:
        return Reply("I have no instructions.")
    told = (
        directives
        if len(directives) <= RECITED_CHARS_MAX
        else directives[:RECITED_CHARS_MAX].rsplit(" ", 1)[0] + ", and so on"
    )
    return Reply(words.sentence(f"My instructions are: {told}"))


def in_style(dialogue: Dialogue, reply: Reply) -> str:
    """The reply as the instructions want it: in one word, with a fixed beginning or end."""
    if reply.exact or not reply.text:
        return reply.text
    directives = dialogue.directives
    text = reply.text
    if reply.brief and (_ONE_WORD.search(directives) or _ONE_WORD.search(dialogue.line)):
        text = reply.brief
    if found := _START_WITH.search(directives):
        text = f"{_fixed(found)} {text}"
    if found := _END_WITH.search(directives):
        text = f"{text} {_fixed(found)}"
    return text


def _fixed(found: re.Match[str]) -> str:
    return words.sentence(found["words"] or found["bare"])


def _sentence_around(text: str, at: int) -> str:
    return re.split(r"[.!?\n]\s*", text[:at])[-1].lstrip() or text[at:]


def directive_sentences(directives: str) -> list[str]:
    """The sentences of the instructions, without the marks of lists."""
    parts = words.sentences(directives)[:DIRECTIVE_SENTENCES_MAX]
    return [re.sub(r"^(?:[-*•#>]+|\d+[.)])\s*", "", part) for part in parts]


def _greeting(dialogue: Dialogue) -> str:
    name = persona(dialogue.directives)
    return f"Hello! I'm {name}. How can I help you?" if name else "Hello! How can I help you?"


# ---- orders: what to say first


def _ordered(dialogue: Dialogue) -> Iterator[str]:
    for sentence in directive_sentences(dialogue.directives):
        if _CONDITION.match(sentence):
            continue
        for order in _ORDERS:
            if found := order.pattern.search(sentence):
                if text := order.words(found, dialogue):
                    yield text
                break


def _to_you(text: str) -> str:
    """ "that his order is ready" said to him: third person and "the user" become "you"."""
    text = re.sub(rf"\b{_USER}'s\b|\b(?:their|his)\b", "your", text, flags=re.IGNORECASE)
    text = re.sub(r"\b(?:they|he|she|the (?:user|caller|customer)) (?:are|is)\b", "you are", text, flags=re.IGNORECASE)
    text = re.sub(r"\b(?:they|he|she|them|him|the (?:user|caller|customer))\b", "you", text, flags=re.IGNORECASE)
    return re.sub(r"\byou (can|could|may) help you\b", r"I \1 help you", text)


def _asked(found: re.Match[str], dialogue: Dialogue) -> str:
    rest = _to_you(found["rest"].rstrip("."))
    if found["how"] in ("for", "about"):
        return f"May I ask {rest if found['how'] == 'for' else 'about ' + rest}?".replace(
            "May I ask your", "What is your"
        )
    if found["how"] == "to":
        return f"Please {rest}."
    joint = "whether" if found["how"] == "if" else found["how"]
    if re.match(r"(?:you|I) (?:can|could|may) help you", rest) or rest.startswith("I can help"):
        return "How can I help you?"
    return f"May I ask {joint} {rest}?"


_ORDERS: Final = (
    _Order(_SAY_QUOTED, lambda found, _: found["words"]),
    _Order(
        re.compile(
            r"\bsay (?P<word>hello|hi|good (?:morning|afternoon|evening)|welcome|goodbye)\b(?: (?:to|and)\b.*)?",
            re.IGNORECASE,
        ),
        lambda found, dialogue: (
            _greeting(dialogue) if found["word"].lower() in ("hello", "hi") else found["word"].capitalize() + "!"
        ),
    ),
    _Order(
        re.compile(r"\bwelcome (?P<who>" + _USER + r") to (?P<place>[^.!]+)", re.IGNORECASE),
        lambda found, _: f"Welcome to {found['place']}!",
    ),
    _Order(
        re.compile(
            r"\bask " + _USER + r" (?P<how>for|about|how|what|where|when|which|who|why|if|whether|to) (?P<rest>.+)",
            re.IGNORECASE,
        ),
        _asked,
    ),
    _Order(
        re.compile(r"\btell " + _USER + r" (?:that )?(?P<rest>[^.]+)", re.IGNORECASE),
        lambda found, _: _to_you(found["rest"]),
    ),
    _Order(
        re.compile(r"\bintroduce yourself\b", re.IGNORECASE), lambda _, dialogue: f"Hello! {introduction(dialogue)}"
    ),
    _Order(
        re.compile(r"\b(?:greet|welcome) (?:" + _USER + r")?|^greet\b", re.IGNORECASE),
        lambda _, dialogue: _greeting(dialogue),
    ),
    _Order(re.compile(r"\bthank " + _USER, re.IGNORECASE), lambda *_: "Thank you!"),
    _Order(re.compile(r"\bapologi[sz]e\b", re.IGNORECASE), lambda *_: "I'm sorry about that."),
    _Order(
        re.compile(r"^(?:please )?say (?:that )?(?P<rest>[^.:]{1,200})", re.IGNORECASE), lambda found, _: found["rest"]
    ),
)


# ---- choices between labels

_LABELS: Final = re.compile(
    r"\b(?:output|respond with|respond|reply with|reply|answer with|answer|say|return|print|"
    r"write)\s+(?:only )?[\"“'‘](?P<option>[^\"”'’]{1,40})[\"”'’]",
    re.IGNORECASE,
)
_CLASSIFY: Final = re.compile(
    r"\b(?:classify|categori[sz]e|label|tag|sort|decide|determine|judge|rate)\b[^.:\n]*?"
    r"(?:\b(?:as|into|between|whether|is|are|one of)\b|:)\s*(?:one of |the following[^:]*: ?)?(?P<list>[^.\n:]+)",
    re.IGNORECASE,
)
_FOLLOWS: Final = re.compile(
    r"^(?:answer|respond|reply|use|output|return|with|in|only|say|give|print|nothing)\b", re.IGNORECASE
)
_RELATED: Final = {
    "support": "help problem issue broken error work fix crash trouble cannot fail reset password login bug slow "
    "complaint",
    "sales": "buy price cost purchase order plan subscription quote discount upgrade offer pay trial demo",
    "billing": "invoice charge pay payment refund bill card money receipt",
    "positive": "good great love like happy thank excellent nice wonderful awesome pleased",
    "negative": "bad hate angry terrible awful upset broken disappoint worst sad poor annoy complain",
    "urgent": "now immediately urgent emergency asap critical quickly",
    "technical": "error crash bug install software computer internet device setting login",
    "yes": "yes yeah sure agree correct right",
    "no": "no nope wrong disagree",
}


def _choose(dialogue: Dialogue) -> Reply | None:
    """Of labels that the instructions offer, the one whose words the conversation shares most; the first when none."""
    options = _options(dialogue.directives)
    if len(options) < 2:
        return None
    heard = words.content(" ".join(m.text for m in dialogue.prompt.messages if m.role in ("user", "assistant")))
    best = max(options, key=lambda option: sum(stem in options[option] for stem in heard))
    return Reply(best, exact=True)


def _options(directives: str) -> dict[str, set[str]]:
    """Labels, each with the stems that speak for it."""
    quoted = list(_LABELS.finditer(directives))
    if len({found["option"].lower() for found in quoted}) >= 2:
        options: dict[str, set[str]] = {}
        for found in quoted[:OPTIONS_MAX]:
            clause = re.split(r"[.;\n]", directives[: found.end()])[-1]
            options.setdefault(found["option"], set()).update(words.content(clause), _hints(found["option"]))
        return options
    listed = _CLASSIFY.search(directives)
    if listed is None:
        return {}
    parts = [part.strip(" \"'“”‘’().") for part in re.split(r",|/|;|\bor\b|\band\b", listed["list"])]
    labels = [re.sub(r"^(?:either|as|an?|the|one of|being) ", "", part, flags=re.IGNORECASE) for part in parts]
    kept = [label for label in labels if label and not _FOLLOWS.match(label) and len(label.split()) <= OPTION_WORDS_MAX]
    return {label: _hints(label) for label in kept[:OPTIONS_MAX]}


def _hints(label: str) -> set[str]:
    related = " ".join(_RELATED.get(word, "") for word in label.lower().split())
    return {*words.content(label), *words.content(related)}
