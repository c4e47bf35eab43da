import pytest

from parley.core.config import SemanticVad, ServerVad, TurnDetection
from parley.core.input_audio import SAMPLES_PER_MS
from parley.core.turns import FRAME_SAMPLES, TURN_MS_MAX, WAITS, Moment, TurnDetector, looks

SERVER = ServerVad()


class Line:
    """A detector, and a finger on the audio clock."""

    def __init__(self, rules: TurnDetection = SERVER) -> None:
        self.rules = rules
        self.detector = TurnDetector()
        self.at = 0

    def hear(self, *probabilities: float) -> list[Moment | None]:
        moments = []
        for probability in probabilities:
            self.at += FRAME_SAMPLES
            moments.append(self.detector.hear(self.at, probability, self.rules))
        return moments

    def ended(self) -> bool:
        return self.detector.ended(self.at, self.rules)


def test_one_sure_frame_starts_a_turn_and_a_likely_one_needs_a_second() -> None:
    assert Line().hear(0.1, 0.9) == [None, Moment.STARTED]
    assert Line().hear(0.6, 0.1, 0.6, 0.6) == [None, None, None, Moment.STARTED]


def test_a_higher_threshold_wants_louder_speech() -> None:
    assert Line(ServerVad(threshold=0.95)).hear(0.9, 0.9) == [None, None]


def test_a_turn_begins_where_its_first_frame_began() -> None:
    line = Line()
    line.hear(0.1, 0.6, 0.6)
    assert line.detector.started_at == FRAME_SAMPLES


def test_silence_is_counted_in_audio_and_ends_the_turn() -> None:
    line = Line(ServerVad(silence_duration_ms=320))
    line.hear(0.9, 0.4, *[0.1] * 9)  # 0.4 is still speech: it is above the lower threshold
    assert not line.ended()
    line.hear(0.1)
    assert line.ended()


def test_without_evidence_no_turn_ends_however_much_sound_has_come() -> None:
    """The Ear of a busy machine lags: the sound is there, but nobody has listened to it yet."""
    line = Line()
    line.hear(0.9)
    line.at += 2_000 * SAMPLES_PER_MS
    assert not line.ended()


def test_the_last_frame_need_not_be_complete() -> None:
    line = Line(ServerVad(silence_duration_ms=100))
    line.hear(0.9, 0.1, 0.1, 0.1)
    assert not line.ended()
    line.at += 4 * SAMPLES_PER_MS
    assert line.ended()


def test_a_pause_is_announced_once_and_speech_resumes() -> None:
    line = Line()
    moments = line.hear(0.9, *[0.1] * 8, 0.9)
    assert moments.count(Moment.PAUSED) == 1
    assert moments[-1] is Moment.RESUMED


def test_evidence_about_committed_sound_is_ignored() -> None:
    line = Line()
    line.detector.reset(10 * FRAME_SAMPLES)
    assert line.hear(*[0.9] * 10) == [None] * 10
    assert line.hear(0.9) == [Moment.STARTED]


def test_a_turn_of_five_minutes_is_ended_by_force() -> None:
    line = Line()
    line.hear(*[0.9] * (TURN_MS_MAX // 32 - 1))
    assert not line.ended()
    line.hear(0.9)
    assert line.ended()


@pytest.mark.parametrize("eagerness", ["low", "medium", "high", "auto"])
def test_words_decide_how_long_semantic_vad_waits(eagerness: str) -> None:
    waits = []
    for words in ("What time is it?", "my name is Chicago", "I would like to order a pizza with"):
        line = Line(SemanticVad(eagerness=eagerness))  # type: ignore[arg-type]
        line.hear(0.9, *[0.0] * 8)
        line.detector.judge(words)
        silent = 8 * 32
        while not line.ended():
            line.hear(0.0)
            silent += 32
        waits.append(silent)
    wait = WAITS[eagerness]
    assert all(max(limit, 256) <= silent < max(limit, 256) + 33 for limit, silent in zip(wait, waits, strict=True))
    assert wait.finished <= 500
    assert wait.hanging == {"low": 8000, "medium": 4000, "high": 2000, "auto": 4000}[eagerness]


FINISHED = """
What time is it?
How much is twenty seven plus fifteen.
Thank you.
Hello.
Yes.
So maybe we could meet on Tuesday.
My phone number is five five five one two one two.
Can you tell me about the weather?
I would like to order a pizza with mushrooms.
Please send the package to my office.
What is that?
"""

HANGING = """
So I was thinking that maybe we could.
My phone number is five five five.
Can you tell me about the.
I would like to order a pizza with.
Well um the problem is that, and
If it rains tomorrow then.
Please send the package to
I need to talk to someone about my.
I was wondering,
The reason I am calling is because
"""


@pytest.mark.parametrize("words", FINISHED.strip().splitlines())
def test_finished(words: str) -> None:
    assert looks(words) == "finished"


@pytest.mark.parametrize("words", HANGING.strip().splitlines())
def test_hanging(words: str) -> None:
    assert looks(words) in {"hanging", "unsure"}


def test_nothing_said_is_unsure() -> None:
    assert looks("") == looks(" ... ") == "unsure"
