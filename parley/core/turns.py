"""When the user starts and stops: policy over evidence.

The Ear says how likely somebody speaks in each 32 ms frame; this file decides what that means. Everything is measured
on the audio clock, so neither a slow network nor a busy machine can end a turn.

    SILENT --(a sure frame, or two likely ones)--> SPEAKING --(silence long enough)--> SILENT
                                                   |    ^
                                   (a short silence)    (speech again)
                                                   v    |
                                                   PAUSED

PAUSED is SPEAKING with doubt: the session may use it to ask for an early transcript. In `server_vad`, "long enough" is
`silence_duration_ms`. In `semantic_vad` it depends on what was said: a sentence that is plainly finished ends soon, one
that hangs on "and …" waits up to the maximum of its eagerness (protocol.md 2.4).
"""

import re
from enum import Enum
from typing import NamedTuple

from parley.core.config import SemanticVad, ServerVad, TurnDetection
from parley.core.input_audio import SAMPLES_PER_MS

FRAME_SAMPLES = 768
"""32 ms: what one piece of evidence is about."""

END_BELOW_THRESHOLD = 0.15
"""Speech goes on until the probability is this much below the threshold that started it."""

SURE_PROBABILITY = 0.75
"""One frame this likely starts a turn at once; less likely ones need a second in a row."""

PAUSE_MS = 200
"""Silence after which an early transcript is worth asking for."""

TURN_MS_MAX = 300_000
"""A turn of five minutes is ended by force, so that it can be answered at all."""

SEMANTIC_THRESHOLD = 0.5
SEMANTIC_PREFIX_MS = 300


class Wait(NamedTuple):
    """Milliseconds of silence that end a turn, by how its words look so far."""

    finished: int
    unsure: int
    hanging: int


WAITS = {
    "high": Wait(220, 450, 2_000),
    "medium": Wait(320, 700, 4_000),
    "auto": Wait(320, 700, 4_000),
    "low": Wait(500, 1_200, 8_000),
}
"""By eagerness. The last column is the documented maximum."""


class Moment(Enum):
    STARTED = "started"
    PAUSED = "paused"
    RESUMED = "resumed"


class TurnDetector:
    """Feed `hear` every piece of evidence and ask `ended` after every sound."""

    def __init__(self) -> None:
        self.speaking = False
        self.paused = False
        self.started_at = 0
        """Sample at which speech began (without padding). Means something while `speaking`."""
        self.voiced_until = 0
        """Sample after the last frame that held speech."""
        self._likely = 0
        self._floor = 0
        self.known = 0
        """Sample up to which there is evidence."""
        self._looks: str | None = None

    def reset(self, floor: int) -> None:
        """Be silent, and ignore evidence about sound before sample `floor` (it was committed or cleared)."""
        self.speaking = self.paused = False
        self._likely = 0
        self._floor = floor
        self._looks = None

    def hear(
        self, upto: int, probability: float, rules: TurnDetection, voiced_upto: int | None = None
    ) -> Moment | None:
        """The Ear's evidence about the frame that ends at sample `upto`; if voiced, then until `voiced_upto`."""
        self.known = upto
        if upto <= self._floor:
            return None
        threshold = rules.threshold if isinstance(rules, ServerVad) else SEMANTIC_THRESHOLD
        if self.speaking:
            voiced = probability >= threshold - END_BELOW_THRESHOLD
            return self._while_speaking(upto, (voiced_upto or upto) if voiced else None, rules)
        self._likely = self._likely + 1 if probability >= threshold else 0
        if self._likely < (1 if probability >= max(SURE_PROBABILITY, threshold) else 2):
            return None
        self.speaking = True
        self.started_at = max(self._floor, upto - self._likely * FRAME_SAMPLES)
        self.voiced_until = upto
        self._likely = 0
        return Moment.STARTED

    def _while_speaking(self, upto: int, voiced_upto: int | None, rules: TurnDetection) -> Moment | None:
        if voiced_upto is not None:
            self.voiced_until = max(self.voiced_until, voiced_upto)
            if self.paused:
                self.paused = False
                self._looks = None
                return Moment.RESUMED
        elif not self.paused and upto - self.voiced_until >= _pause_ms(rules) * SAMPLES_PER_MS:
            self.paused = True
            return Moment.PAUSED
        return None

    def judge(self, words: str) -> None:
        """The early transcript of a paused turn. Decides how long `semantic_vad` waits."""
        if self.paused:
            self._looks = looks(words)

    def ended(self, heard: int, rules: TurnDetection) -> bool:
        """Whether the turn is over, now that `heard` samples have come.

        The sound decides, as far as there is evidence: the last frame may still be incomplete, but a busy Ear that lags
        further behind delays the end of a turn and never invents one.
        """
        if not self.speaking:
            return False
        if self.known - self.started_at >= TURN_MS_MAX * SAMPLES_PER_MS:
            return True
        end = self.voiced_until + self._wait_ms(rules) * SAMPLES_PER_MS
        return heard >= end and self.known >= end - FRAME_SAMPLES

    def sure_until(self, heard: int) -> int:
        """Sound before this sample certainly is of the turn that goes on, or of the silence at its end."""
        return min(heard, self.known + FRAME_SAMPLES)

    def cut(self, heard: int, rules: TurnDetection) -> int:
        """The sample at which a turn that has `ended` is cut.

        What came after it is left for the next turn: turns do not depend on how late the evidence is.
        """
        end = self.voiced_until + self._wait_ms(rules) * SAMPLES_PER_MS
        return min(heard, max(end, self.known) + FRAME_SAMPLES)

    def _wait_ms(self, rules: TurnDetection) -> int:
        if isinstance(rules, ServerVad):
            return max(rules.silence_duration_ms, 1)
        wait = WAITS[rules.eagerness]
        match self._looks:
            case "finished":
                return wait.finished
            case "unsure":
                return wait.unsure
            case _:  # it hangs, or its words are still being made out
                return wait.hanging


def prefix_ms(rules: TurnDetection) -> int:
    return rules.prefix_padding_ms if isinstance(rules, ServerVad) else SEMANTIC_PREFIX_MS


def _pause_ms(rules: TurnDetection) -> int:
    if isinstance(rules, SemanticVad):
        return min(PAUSE_MS, WAITS[rules.eagerness].finished)
    return min(PAUSE_MS, rules.silence_duration_ms // 2)


# ---- how finished do words look?


def _words(text: str) -> frozenset[str]:
    return frozenset(text.split())


_HANGING = _words(
    """a an the this that these those my your his her its our their some any every each no
    and or but nor so because although while if unless until when where who whom whose which than as
    of to in on at by for from with without about into onto over under between through during before after
    is am are was were be been being do does did have has had will would shall should can could may might must
    i you he she we they it's i'm we're they're you're let's
    um uh er erm hmm like well actually maybe really very just also then please
    want wants need needs going gonna wanna"""
)
"""A sentence that ends in one of these is not over: determiners, conjunctions, prepositions, auxiliaries, fillers."""

_ANSWERS = _words(
    "yes no yeah yep nope okay ok sure thanks thank hello hi hey goodbye bye stop right exactly correct please help"
)
"""Single words that are whole turns."""

_MAY_END = _words("you it's that this those these please then well so no it be do have did does can will is are was")
"""Words of the first list that end whole sentences often enough: "thank you", "what is that", "yes I do"."""

_NUMBER_TALK = re.compile(r"\b(?:number|code|phone|card|zip|pin)\b", re.IGNORECASE)
_NUMBER_WORD = re.compile(r"^(?:\d+|zero|oh|one|two|three|four|five|six|seven|eight|nine)$")
PHONE_DIGITS_MIN = 7


def looks(words: str) -> str:
    """`finished`, `hanging` or `unsure`: a rule on the last words, since recognisers put a full stop after anything."""
    tokens = re.findall(r"[a-z0-9']+", words.lower())
    if not tokens:
        return "unsure"
    if words.rstrip().endswith((",", "-", "…", "...")):
        return "hanging"
    last = tokens[-1]
    if _NUMBER_WORD.match(last) and _NUMBER_TALK.search(words):
        return "finished" if _digits(tokens) >= PHONE_DIGITS_MIN else "hanging"
    if last in _MAY_END and len(tokens) > 1:
        return "finished" if words.rstrip().endswith("?") or last == "you" else "unsure"
    if last in _HANGING and last not in _ANSWERS:
        return "hanging"
    if len(tokens) == 1:
        return "finished" if last in _ANSWERS else "unsure"
    return "finished" if words.rstrip().endswith((".", "!", "?")) else "unsure"


def _digits(tokens: list[str]) -> int:
    run = 0
    for token in reversed(tokens):
        if not _NUMBER_WORD.match(token):
            break
        run += len(token) if token.isdigit() else 1
    return run
