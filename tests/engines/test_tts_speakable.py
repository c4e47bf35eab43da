"""What is read aloud of a text that was written to be seen."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from parley.engines.tts.speakable import parts, speakable


@pytest.mark.parametrize(
    ("text", "spoken"),
    [
        ("Hello, world!", "Hello, world!"),
        ("**Bold** and *soft* and __both__ and `code`", "Bold and soft and both and code"),
        ("# A title\n- one\n* two\n> said", "A title one two said"),
        ("```python\nprint(1)\n```", "print(1)"),
        ("See [the manual](https://example.com/a?b=c).", "See the manual."),
        ("Go to https://www.example.com/help/me?x=1#top now", "Go to example.com/help/me now"),
        ("Nice 😀👍🏽 day", "Nice day"),
        ("snake_case_name", "snake case name"),
        ("“Yes” — she said…", '"Yes", she said...'),
        ("It’s 21 °C", "It's 21 °C"),
        ("1 < 2 & 3 > 2", "1 less than 2 and 3 greater than 2"),
        ("3 × 4 ÷ 2", "3 times 4 divided by 2"),
        ("pages 10-20, call 555-1234", "pages 10 to 20, call 555-1234"),
        ("2 * 3", "2 3"),
        ("a\tb\n\nc", "a b c"),
        ("日本語", "日本語"),
        ("...", ""),
        ("🎉", ""),
        ("", ""),
    ],
)
def test_speakable(text: str, spoken: str) -> None:
    assert speakable(text) == spoken


@given(st.text())
def test_markup_never_survives(text: str) -> None:
    assert not set("<>&*`\n\0") & set(speakable(text))


def test_parts_end_where_one_breathes() -> None:
    assert list(parts("One is done. Two is, too, but longer. Three", 22)) == [
        "One is done.",
        "Two is, too,",
        "but longer. Three",
    ]
    assert list(parts("x" * 7, 3)) == ["xxx", "xxx", "x"]
    assert list(parts("", 3)) == []


@given(st.text(alphabet="ab .,", max_size=60), st.integers(1, 20))
def test_parts_lose_no_word(text: str, chars_max: int) -> None:
    pieces = list(parts(text, chars_max))
    assert all(len(piece) <= chars_max for piece in pieces if piece != text)
    assert "".join("".join(pieces).split()) == "".join(text.split())
