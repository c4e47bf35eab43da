"""Which words of a hypothesis stay."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from parley.engines.stt.hypotheses import StableText, tidy


def told(*hypotheses: str) -> list[tuple[str, str]]:
    """For each hypothesis: the part that stays, and the rest that is shown."""
    stable = StableText()
    heard = [stable.hear(text) for text in hypotheses]
    return [(text[:settled], text[settled:]) for text, settled in heard]


def test_words_settle_when_the_next_hypothesis_agrees() -> None:
    assert told("Go forward", "Go forward ten", "Go forward ten meters.", "Go forward ten meters please.") == [
        ("", "Go forward"),
        ("Go", " forward ten"),
        ("Go forward", " ten meters."),
        ("Go forward ten", " meters please."),
    ]


def test_punctuation_and_case_are_no_disagreement() -> None:
    assert told("Ever tried. Ever", "Ever tried, ever failed", "ever tried ever failed no")[-1] == (
        "Ever tried, ever",
        " failed no",
    )


def test_what_was_settled_stays_when_contradicted() -> None:
    assert told("I had less to", "I had less to be", "Unless to be rather") == [
        ("", "I had less to"),
        ("I had less", " to be"),
        ("I had less", " rather"),
    ]


def test_a_hypothesis_with_a_word_more_is_joined_at_the_right_word() -> None:
    assert told("one two three", "one two three four", "oh one two three four five")[-1] == (
        "one two",
        " three four five",
    )


@given(st.lists(st.lists(st.sampled_from(["a", "b", "c,"]), max_size=6).map(" ".join), max_size=8))
def test_settled_text_only_grows(hypotheses: list[str]) -> None:
    stable = StableText()
    settled = ""
    for hypothesis in hypotheses:
        text, length = stable.hear(hypothesis)
        assert text.startswith(settled)
        assert length >= len(settled)
        assert not length or text[length : length + 1] in ("", " ")
        settled = text[:length]


@pytest.mark.parametrize(
    ("raw", "tidied"),
    [
        (" To-morrow, to-night and good-bye.", "Tomorrow, tonight and goodbye."),
        ("Some one, any one of them, every one", "Someone, any one of them, everyone"),
        ("♪ la la ♪", "la la"),
        ("♪♪♪", ""),
        ("[Music] (applause)", ""),
        ("...", ""),
        ("Hello  there .", "Hello there."),
        ("", ""),
    ],
)
def test_tidy(raw: str, tidied: str) -> None:
    assert tidy(raw) == tidied
