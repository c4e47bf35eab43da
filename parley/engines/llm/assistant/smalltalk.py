"""Greetings, thanks, who are you, what can you do, small games: one row each."""

import re
from typing import Final, NamedTuple

from parley.engines.llm.assistant import words
from parley.engines.llm.assistant.dialogue import Dialogue, Reply
from parley.engines.llm.assistant.instructions import introduction, persona, role
from parley.engines.llm.assistant.numbers import with_digits

COUNT_MAX: Final = 50
"""How far it counts aloud."""
SPELLED_CHARS_MAX: Final = 40

HELP: Final = (
    "I can tell the time and the date, calculate, convert units, remember what you tell me, follow simple "
    "instructions, "
    "and call this session's functions."
)


class _Row(NamedTuple):
    """Lines that match whole (after tidying) get one of the answers."""

    pattern: re.Pattern[str]
    answers: tuple[str, ...]


def _row(pattern: str, *answers: str) -> _Row:
    return _Row(re.compile(pattern, re.IGNORECASE), answers)


_WHOLE: Final = (
    _row(
        r"(?:well )?(?:hi+|hello+|hallo|hey|hiya|howdy|greetings|yo|good day|hola|bonjour)(?: (?:there|again|"
        r"everyone|you|parley|assistant|friend|\w+))?",
        "Hello! How can I help you?",
        "Hi there! What can I do for you?",
        "Hello! What would you like to know?",
    ),
    _row(r"good morning(?: \w+)?", "Good morning! How can I help you?"),
    _row(r"good afternoon(?: \w+)?", "Good afternoon! How can I help you?"),
    _row(r"good evening(?: \w+)?", "Good evening! How can I help you?"),
    _row(r"good night(?: \w+)?", "Good night! Sleep well."),
    _row(
        r"(?:ok(?:ay)? |well |thanks |thank you )*(?:good ?bye|bye+|bye bye|see you|see you (?:later|soon|"
        r"tomorrow)|talk to you later|farewell|"
        r"i have to go|i am leaving|that is all|that will be all|take care|have a (?:nice|good|great) (?:day|"
        r"one|evening|weekend))(?: .{0,20})?",
        "Goodbye! It was nice talking to you.",
        "Goodbye! Have a good day.",
        "See you next time!",
    ),
    _row(
        r"(?:ok(?:ay)? |great |perfect |no )*(?:thanks|thank you|thank you (?:so|very) much|thanks a lot|"
        r"many thanks|cheers|i appreciate (?:it|that))(?: .{0,30})?",
        "You're welcome!",
        "My pleasure.",
        "You're welcome. Anything else?",
    ),
    _row(
        r"(?:and |so )?how (?:are|do) you(?: (?:doing|feeling|do|going))?(?: (?:today|this morning|tonight|"
        r"now))?|how is it going|how have you been|"
        r"how is (?:your day|everything|life)(?: going)?|are you (?:ok|okay|well|alright|good)|what is up|how goes it",
        "I'm running well, thank you. How are you?",
        "All my parts are working, thank you. And you?",
    ),
    _row(
        r"(?:i am|i feel|doing|pretty|very|not|all)? ?(?:so|too|very|really|quite)? ?(?:fine|good|great|well|"
        r"not bad|ok|okay|alright|wonderful)(?: (?:thanks|thank you|too|and you|today))*",
        "Good to hear. What can I do for you?",
        "Glad to hear it. How can I help?",
    ),
    _row(r"(?:it is )?(?:very )?nice to (?:meet|talk to|see) you(?: too)?", "Nice to meet you too."),
    _row(
        r"(?:yes|yeah|yep|no|nope|okay|ok|sure|right|alright|all right|i see|got it|of course|fine|cool|great|"
        r"nice|perfect|good)",
        "Okay.",
        "Alright.",
    ),
    _row(r"(?:i am )?(?:so |very )?sorry(?: about that)?|my apologies|excuse me", "No problem."),
    _row(
        r"(?:please )?(?:stop|be quiet|shut up|quiet|silence|hold on|wait(?: a (?:moment|minute|second))?|"
        r"one moment|never mind|forget it|cancel|nothing)(?: please)?",
        "Okay.",
    ),
    _row(
        r"(?:can|do) you (?:hear|understand) me(?: (?:now|well|okay))?|are you (?:there|here|still there|listening|"
        r"awake|online|ready)|is (?:anybody|anyone|somebody|someone) there|"
        r"am i (?:audible|loud enough|coming through)",
        "Yes, I hear you.",
        "Yes, I'm here and listening.",
    ),
    _row(
        r"(?:this is (?:just )?a |just )?(?:test(?:ing)?|mic(?:rophone)? test|sound ?check|check)(?: .{0,30})?",
        "I hear you loud and clear.",
    ),
    _row(
        r"i (?:really )?(?:love|like) you|you are (?:so |very |really )?(?:nice|great|good|smart|funny|cool|"
        r"amazing|awesome|helpful|the best|clever)|good (?:job|work|bot)|well done",
        "Thank you, that is kind.",
    ),
    _row(
        r"you are (?:so |very |really )?(?:bad|stupid|dumb|useless|terrible|slow|wrong|annoying|not helpful)|"
        r"i hate you|that is (?:wrong|not (?:right|correct|true))|bad bot",
        "I'm sorry. I'm only a small assistant, not a language model.",
    ),
    _row(
        r"(?:tell me|do you know|say|another) ?(?:a|another|any|one more)? ?(?:good )?(?:jokes?|something funny)|"
        r"make me laugh",
        "Why did the microphone go to school? To get a little feedback.",
        "I know a joke about silence, but nobody ever hears it.",
        "What does a loudspeaker say when it is tired? I need some time to wind down the volume.",
    ),
    _row(r"(?:flip|toss) a coin|heads or tails", "Heads.", "Tails."),
    _row(
        r"(?:do you |can you )?speak (?:in )?(?:spanish|french|german|italian|chinese|japanese|portuguese|russian|"
        r"dutch|\w+ish)(?: with me| to me)?|(?:which|what|how many) languages? (?:do|can) you (?:speak|know|"
        r"understand)",
        "I speak only English. With a language model connected, I would speak more.",
    ),
    _row(r"(?:do you )?speak english|are you english", "Yes, English is the language I speak."),
    _row(
        r"where are you(?: from| located| now)?|where do you live|where do you come from",
        "I run inside Parley, on the machine that you are connected to.",
    ),
    _row(
        r"how old are you|when (?:were you (?:born|made)|is your birthday)",
        "I have no age. I begin anew with each conversation.",
    ),
    _row(
        r"who (?:made|built|created|wrote|programmed|developed) you|who is your (?:maker|creator|boss|owner)",
        "I'm part of Parley, an open source voice server.",
    ),
    _row(
        r"what is parley|tell me about parley|who is parley",
        "Parley is a voice server that speaks the Realtime protocol and runs on your own machine.",
    ),
    _row(
        r"how can i (?:connect|add|use|configure|set up) (?:a|another|my|the|your)? ?(?:real |other |"
        r"own )?(?:language )?(?:model|llm|brain)|how do i (?:connect|add|use|configure|set up) (?:a|another|my|"
        r"the)? ?(?:real |other |own )?(?:language )?(?:model|llm|brain)",
        "Set PARLEY_LLM_URL and PARLEY_LLM_MODEL to any chat completions server, and restart Parley.",
    ),
    _row(
        r"(?:i have )?(?:a|another|one more|one|a quick) question(?: for you)?|"
        r"(?:(?:can|may|could) i )?ask (?:you )?(?:a question|another question|something)(?: else)?|"
        r"something(?: else)?",
        "Of course. Go ahead.",
    ),
    _row(
        r"what is your favou?rite .{1,40}|do you (?:like|love|enjoy|prefer|want|dream|sleep|eat|feel|"
        r"have (?:feelings|friends|a family))(?: .{0,40})?",
        "I'm a program, so I have no likes and no feelings.",
    ),
)

_WHO: Final = re.compile(
    r"^(?:and |so )?(?:who are you|what are you|who am i (?:talking|speaking) (?:to|with)|who is (?:this|"
    r"there|speaking)|what is this|"
    r"introduce yourself.*|(?:tell me|say something) (?:something |a (?:bit|little) )?about yourself|"
    r"about yourself|present yourself|who do you (?:think you are|work for))$",
    re.IGNORECASE,
)
_YOUR_NAME: Final = re.compile(
    r"^(?:what is your (?:full |first )?name|(?:tell me |say |and )?your name|(?:and )?what is yours|"
    r"do you have a name|what (?:should|can|do|"
    r"may) i call you|what are you called|who are you called|how are you called)$",
    re.I,
)
_MODEL: Final = re.compile(
    r"^(?:are you (?:really )?(?:an? )?(?:ai|a\.?i\.?|robot|bot|human|person|real|real person|machine|"
    r"computer|language model|llm|large language model|chatgpt|gpt.*|alexa|siri|"
    r"claude|gemini|artificial intelligence|virtual assistant|intelligent|alive|conscious)(?: or .*)?|"
    r"(?:which|what) (?:language |ai )?(?:model|llm)(?: are you| is this| do you use| is running|"
    r" are you using)?|"
    r"what kind of (?:ai|assistant|model|bot|robot)(?: are you)?|how do you work)$",
    re.IGNORECASE,
)
_CAN: Final = re.compile(
    r"^(?:what (?:can|do|could) you (?:do|help)(?: (?:for|with) (?:me|us))?|what (?:else )?can you (?:do|"
    r"help me with)|what are you (?:able to do|capable of|good at|for)|"
    r"how can you help(?: me)?|what are your (?:skills|abilities|features|capabilities|functions)|help|"
    r"help me|(?:i )?need (?:some )?help|"
    r"what can i (?:ask|say|do|talk about)(?: you| to you| here)?|what do you know)$",
    re.IGNORECASE,
)
_SAY: Final = re.compile(
    r"^(?:now |then )?(?:(?:say|repeat)(?: (?:exactly|after me|back|the following|these words|this|the words?|"
    r"the phrase|the sentence))*|echo|read(?: this)?(?: aloud)?)[ :,]*\s[\"“']?(?P<words>.+?)[\"”']?$",
    re.IGNORECASE,
)
_SAY_RAW: Final = re.compile(
    r"^.*?\b(?:say|repeat|echo|read)\b(?:,? (?:exactly|after me|back|the following|this|these words|"
    r"the words?|the phrase|the sentence|aloud|to me))*\s*[:,]?\s*(?P<words>.+)$",
    re.IGNORECASE | re.DOTALL,
)
_SPELL: Final = re.compile(
    r"^(?:how do (?:you|i) |how is |how to )?spell(?:ed)?(?: the)?(?: word)? (?P<word>[\w'-]+)(?: spelled)?$|"
    r"^how is (?P<word2>[\w'-]+) spelled$",
    re.I,
)
_COUNT: Final = re.compile(
    r"^count (?P<down>down |backwards )?(?:(?:from )?(?P<a>\d+) )?(?:(?:up )?(?:down )?to (?P<b>\d+))?$", re.IGNORECASE
)
_DICE: Final = re.compile(r"^(?:roll|throw) (?:a|the|two|2|some) (?:die|dice)$", re.IGNORECASE)
_RANDOM: Final = re.compile(
    r"^(?:pick|choose|give me|think of|say|tell me)? ?(?:a |any )?(?:random )?number(?: between| from|"
    r" of)? (?P<a>\d+) (?:and|to|through) (?P<b>\d+)$",
    re.I,
)
_NEEDS_A_FUNCTION: Final = re.compile(
    r"\b(?P<what>weather|forecast|news|stock price|stocks|score|traffic|music|song|alarm|timer|reminder|email|"
    r"lights?|thermostat|flight|hotel|taxi|restaurant)\b",
    re.I,
)


def small_talk(dialogue: Dialogue) -> Reply | None:
    """The table."""
    forms = (dialogue.said, dialogue.request, words.ungreeted(dialogue.said))
    for row in _WHOLE:
        if any(row.pattern.fullmatch(form) for form in forms):
            return _greeted(dialogue, dialogue.pick(row.answers))
    return None


def _greeted(dialogue: Dialogue, answer: str) -> Reply:
    """Greets by name whoever has told it."""
    known = dialogue.facts.get("name")
    if known and answer.startswith(("Hello!", "Hi there!", "Goodbye!")):
        head, rest = answer.split("!", 1)
        answer = f"{head.removesuffix(' there')}, {known.value}!{rest}"
    return Reply(answer, brief=words.sentences(answer)[0], polite=True)


def identity(dialogue: Dialogue) -> Reply | None:
    """Who and what it is, and what it can do: always honestly."""
    line = dialogue.request
    name = persona(dialogue.directives)
    if _YOUR_NAME.match(line):
        return Reply(f"My name is {name}." if name else "I'm Parley's embedded assistant.", brief=name or "Parley.")
    if _WHO.match(line):
        what = role(dialogue.directives)
        told = f" My instructions make me {what}." if what else ""
        return Reply(f"{introduction(dialogue)}{told} {HELP if not what else ''}".strip(), brief=name or "Parley.")
    if _MODEL.match(line):
        return Reply(
            "I'm a program, Parley's embedded assistant: a set of small skills, not a language model.",
            brief="A program.",
        )
    return Reply(HELP) if _CAN.match(line) else None


def say(dialogue: Dialogue) -> Reply | None:
    """ "Repeat after me: X" -> X, exactly as it was put."""
    if not _SAY.match(dialogue.request):
        return None
    found = _SAY_RAW.match(dialogue.line)
    text = found["words"].strip().strip("\"“”'").strip() if found else ""
    return Reply(words.sentence(text) if text.islower() else text, exact=True) if text else None


def games(dialogue: Dialogue) -> Reply | None:
    """Spells, counts, rolls dice, picks numbers."""
    line = with_digits(dialogue.request)
    if found := _SPELL.match(dialogue.request):
        word = (found["word"] or found["word2"])[:SPELLED_CHARS_MAX]
        return Reply(f"{word.capitalize()}: {', '.join(word.upper())}.")
    if (found := _COUNT.match(line)) and (found["a"] or found["b"]):
        return _count(found)
    if _DICE.match(dialogue.request):
        rolled = [1 + dialogue.chance(6, str(die)) for die in range(2 if re.search(r"two|2", line) else 1)]
        return Reply(f"I rolled {words.listed(map(str, rolled))}.")
    if found := _RANDOM.match(line):
        low, high = sorted((int(found["a"]), int(found["b"])))
        number = low + dialogue.chance(high - low + 1)
        return Reply(f"{number}.", brief=str(number))
    return None


def _count(found: re.Match[str]) -> Reply:
    low, high = int(found["a"] or 1), int(found["b"] or 1)
    if found["down"] and not found["a"]:
        low, high = high, 1
    if abs(high - low) >= COUNT_MAX:
        return Reply(f"That would take long. I count over {COUNT_MAX} numbers at most.")
    step = 1 if high >= low else -1
    return Reply(", ".join(map(str, range(low, high + step, step))) + ".")


def out_of_reach(dialogue: Dialogue) -> Reply | None:
    """Things of the world outside, for which it would need a function."""
    found = _NEEDS_A_FUNCTION.search(dialogue.request)
    if found is None:
        return None
    what = found["what"].lower()
    return Reply(f"This session has no function for the {what}. Add one to its tools, and I will call it.")
