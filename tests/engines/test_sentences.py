"""Text in, speakable pieces out: early, natural, and nothing lost."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from parley.engines.sentences import PIECE_CHARS_MAX, Sentences


def cut(text: str) -> list[str]:
    """The pieces of a text that arrives whole."""
    sentences = Sentences()
    return sentences.push(text) + sentences.finish()


def test_the_first_sentence_leaves_with_the_token_of_its_full_stop() -> None:
    sentences = Sentences()
    pieces = [sentences.push(token) for token in ("It", " is", " noon", ".", " The", " sun", " shines", ".")]
    assert pieces == [[], [], [], ["It is noon."], [], [], [], [" The sun shines."]]
    assert sentences.finish() == []


@pytest.mark.parametrize(
    "tokens, early",
    [
        (["Hello there!"], ["Hello there!"]),
        (["Is it late", "?"], ["Is it late?"]),
        (["It costs 3", "."], []),  # might become 3.5
        (["It costs 3", ".", "5 euros"], []),
        (["It costs 3", ".", " Not more"], ["It costs 3."]),
        (["Version 2.", "0 is out."], ["Version 2.0 is out."]),
        (["Ask Dr", ".", " Smith"], []),
        (["Fruit, e.g", ".", " apples."], ["Fruit, e.g. apples."]),
        (["The U.S. economy grew."], ["The U.S. economy grew."]),
        (["J. R. R. Tolkien wrote it."], ["J. R. R. Tolkien wrote it."]),
        (["So am I."], ["So am I."]),
        (["At 10:30 we leave."], ["At 10:30 we leave."]),
        (["At 3 p.m.", " we leave."], ["At 3 p.m. we leave."]),
        (["At 3 p.m.", " We leave"], ["At 3 p.m."]),
        (["Milk, eggs, etc", ".", " Buy them"], ["Milk, eggs, etc."]),
        (["See https://example.com/a.html?x=1.5 now."], ["See https://example.com/a.html?x=1.5 now."]),
        (["See www.example.", "com now."], ["See www.example.com now."]),
        (["Write to ann@example.", "com now."], ["Write to ann@example.com now."]),
        (["Well", "...", " I think so."], ["Well... I think so."]),
        (["Well… I think so."], ["Well… I think so."]),
        (['She said "stop." Then'], ['She said "stop."']),
        (["**Bold.** Then"], ["**Bold.**"]),
        (["1. Open the door."], ["1. Open the door."]),
        (["First line\nsecond line"], ["First line\n"]),
        (["今天天气很好。明天"], ["今天天气很好。"]),
        (["No way?! Really"], ["No way?!"]),
        (["\n\n  ", "... "], []),
    ],
)
def test_where_the_first_piece_ends(tokens: list[str], early: list[str]) -> None:
    sentences = Sentences()
    assert [piece for token in tokens for piece in sentences.push(token)] == early


def test_a_long_sentence_is_cut_at_a_clause() -> None:
    text = "When the sun had gone down behind the hills, the children went home, and the dogs followed them slowly"
    assert cut(text) == [
        "When the sun had gone down behind the hills,",
        " the children went home, and the dogs followed them slowly",
    ]


def test_a_long_sentence_without_commas_is_cut_before_a_conjunction() -> None:
    text = "The quick brown fox jumped over the lazy dog and the dog was not pleased at all"
    assert cut(text)[0] == "The quick brown fox jumped over the lazy dog"


def test_with_speech_ahead_short_sentences_travel_together() -> None:
    first = "This first sentence is long enough to keep the listener busy for a while."
    assert cut(first + " Yes. No. Maybe that is so, who knows. Fine.") == [
        first,
        " Yes. No. Maybe that is so, who knows.",
        " Fine.",
    ]


def test_numbers_with_commas_and_clock_times_stay_whole() -> None:
    text = "Altogether the bridge has cost us about 1,250,000 euros since 10:30 of that cold winter morning, they say"
    assert cut(text) == [text[:-9], text[-9:]]


def test_a_text_without_any_boundary_is_cut_at_the_limit() -> None:
    pieces = cut("x" * (2 * PIECE_CHARS_MAX + 7))
    assert [len(piece) for piece in pieces] == [PIECE_CHARS_MAX, PIECE_CHARS_MAX, 7]


def test_a_forced_cut_prefers_a_space() -> None:
    assert cut("abcd " * 100)[0].endswith("abcd")


def test_finish_makes_ready_for_the_next_answer() -> None:
    sentences = Sentences()
    assert sentences.push("One more thing") == []
    assert sentences.finish() == ["One more thing"]
    assert sentences.push("Hi!") == ["Hi!"]


PROSE = st.text(st.sampled_from(list("abI.,!?… \n-0123456789\"'*;:and。")), max_size=500)


@given(st.lists(st.one_of(PROSE, st.text(max_size=40)), max_size=30))
def test_the_pieces_joined_are_the_text(tokens: list[str]) -> None:
    sentences = Sentences()
    pieces = [piece for token in tokens for piece in sentences.push(token)] + sentences.finish()
    assert "".join(pieces) == "".join(tokens)
    assert all(0 < len(piece) <= PIECE_CHARS_MAX for piece in pieces)


@given(PROSE)
def test_one_big_push_cuts_as_well_as_many_small_ones(text: str) -> None:
    assert all(len(piece) <= PIECE_CHARS_MAX for piece in cut(text))
    assert "".join(cut(text)) == text
