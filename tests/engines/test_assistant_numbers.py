"""Numbers as they are said, written in digits, and back."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from parley.engines.llm.assistant.numbers import SMALL, TENS, ordinal_day, spoken, with_digits


@pytest.mark.parametrize(
    ("said", "written"),
    [
        ("twenty-seven plus fifteen", "27 plus 15"),
        ("one hundred and five", "105"),
        ("two million three hundred thousand and five", "2300005"),
        ("nine hundred ninety nine thousand", "999000"),
        ("two thousand twenty six", "2026"),
        ("twenty twenty six", "2026"),
        ("nineteen eighty four", "1984"),
        ("one oh five", "105"),
        ("order four two seven", "order 427"),
        ("five five five one two three four", "5551234"),
        ("three point one four", "3.14"),
        ("point five", "0.5"),
        ("two and a half miles", "2.5 miles"),
        ("a hundred dollars", "100 dollars"),
        ("a dozen eggs", "12 eggs"),
        ("3.5 thousand", "3500"),
        ("1,250 dollars", "1250 dollars"),
        ("ten and twenty", "10 and 20"),
        ("a dog and a half", "a dog and a half"),
        ("no numbers here", "no numbers here"),
    ],
)
def test_words_to_digits(said: str, written: str) -> None:
    assert with_digits(said) == written


def in_words(number: int) -> str:
    """The other way round, for numbers below a million."""
    small = {value: word for word, value in {**SMALL, **TENS}.items()}
    if number in small:
        return small[number]
    if number < 100:
        return f"{small[number // 10 * 10]} {small[number % 10]}"
    size, name = (1000, "thousand") if number >= 1000 else (100, "hundred")
    rest = f" {in_words(number % size)}" if number % size else ""
    return f"{in_words(number // size)} {name}{rest}"


@given(st.integers(0, 999_999))
def test_every_number_is_understood(number: int) -> None:
    assert with_digits(in_words(number)) == str(number)


@pytest.mark.parametrize(
    ("value", "told"),
    [
        (42.0, "42"),
        (-5.0, "minus 5"),
        (-0.0, "0"),
        (1 / 3, "about 0.33"),
        (0.1 + 0.2, "0.3"),
        (1_250_000.0, "1250000"),
        (0.00034, "about 0.00034"),
        (1e-12, "nearly 0"),
        (2.0**100, "about 1.27 times 10 to the power of 30"),
    ],
)
def test_a_number_to_be_heard(value: float, told: str) -> None:
    assert spoken(value) == told


@given(st.floats(-1e300, 1e300))
def test_any_number_can_be_told(value: float) -> None:
    assert "e" not in spoken(value).replace("times", "").replace("the power", "").replace("nearly", "")


@pytest.mark.parametrize(
    ("text", "day"), [("the twenty first", 21), ("3rd", 3), ("31", 31), ("45", None), ("soon", None)]
)
def test_the_day_of_a_month(text: str, day: int | None) -> None:
    assert ordinal_day(text) == day
