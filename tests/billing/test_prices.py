"""Prices with dates, and exact arithmetic."""

import subprocess
import sys
from fractions import Fraction
from math import ceil
from pathlib import Path

import hypothesis.strategies as st
import pytest
from hypothesis import given, settings

from parley.billing.book import Usage
from parley.billing.prices import AMOUNTS, Price, PriceBook, PriceError, cost, load_prices, read_prices
from parley.catalog import MODELS, TRANSCRIPTION_MODELS
from tests.conftest import ROOT

MINI = Price(model="mini", input_text=600_000, input_audio=10_000_000, cached_audio=300_000, output_audio=20_000_000)


def used(**counts: int) -> Usage:
    return Usage(session="s", model="m", kind="response", **counts)  # type: ignore[arg-type]


def test_a_published_price_to_the_last_micro_credit() -> None:
    price = load_prices().find("gpt-realtime", "2026-11-21")
    assert price is not None
    # 119 + 40 text in of which 64 cached, 30 audio in, 20 text and 80 audio out: dollars of the published list.
    spent = used(input_text=159, cached_text=64, input_audio=30, output_text=20, output_audio=80)
    dollars = (95 * 4 + 64 * Fraction("0.4") + 30 * 32 + 20 * 16 + 80 * 64) / 1_000_000
    assert cost(spent, price) == ceil(dollars * 1_000_000) == 6806


def test_a_line_is_rounded_up_once() -> None:
    third = Price(model="m", input_text=333_333, output_text=333_333, input_audio=333_334)
    assert cost(used(input_text=1, output_text=1, input_audio=1), third) == 1
    assert cost(used(input_text=1, output_text=1, input_audio=2), third) == 2
    assert cost(used(), third) == 0


def test_minutes_and_calls() -> None:
    price = Price(model="m", minute=6_000, call=50)
    assert cost(used(milliseconds=60_000), price) == 6_000
    assert cost(used(milliseconds=1), price) == 1
    assert cost(used(milliseconds=1_500, calls=2), price) == 250


def test_a_mark_up_is_part_of_the_same_rounding() -> None:
    price = Price(model="m", input_text=1_000_000)
    assert cost(used(input_text=10), price, 2_000) == 12
    assert cost(used(input_text=1), price, 1) == 2
    assert cost(used(input_text=3), price, -5_000) == 2
    assert cost(used(input_text=3), price, -10_000) == 0


COUNT = st.integers(0, 10**7)


@settings(max_examples=300)
@given(st.tuples(*[COUNT] * 10), st.tuples(*[st.integers(0, 10**9)] * 10), st.integers(-10_000, 20_000))
def test_it_is_what_fractions_say(counts: tuple[int, ...], amounts: tuple[int, ...], markup: int) -> None:
    price = Price(model="m", **dict(zip(AMOUNTS, amounts, strict=True)))  # type: ignore[arg-type]
    text, audio, image, cached_text, cached_audio, cached_image, out_text, out_audio, ms, calls = counts
    spent = used(
        input_text=text + cached_text, input_audio=audio + cached_audio, input_image=image + cached_image,
        cached_text=cached_text, cached_audio=cached_audio, cached_image=cached_image,
        output_text=out_text, output_audio=out_audio, milliseconds=ms, calls=calls,
    )  # fmt: skip
    per = [Fraction(amount, 1_000_000) for amount in amounts[:8]] + [Fraction(amounts[8], 60_000), Fraction(amounts[9])]
    exact = sum(count * share for count, share in zip(counts, per, strict=True)) * Fraction(10_000 + markup, 10_000)
    assert cost(spent, price, markup) == ceil(exact)


def test_every_model_of_the_published_list_has_its_price() -> None:
    book = load_prices()
    unpriced = {name for name in (*MODELS, *TRANSCRIPTION_MODELS) if book.find(name, "2026-11-21") is None}
    assert unpriced == {"gpt-4o-mini-transcribe-2025-12-15"}


def test_a_price_holds_from_its_day_on() -> None:
    old, new = Price(model="m", since="2026-01-01", call=1), Price(model="m", since="2026-12-01", call=2)
    book = PriceBook([new, old])
    assert book.find("m", "2025-12-31") is None
    assert book.find("m", "2026-01-01") == old
    assert book.find("m", "2026-11-30") == old
    assert book.find("m", "2026-12-01") == new


def test_the_operators_price_counts_from_its_day_on_whatever_we_publish_later() -> None:
    ours = [Price(model="m", call=1), Price(model="m", since="2026-12-01", call=2)]
    own = [Price(model="m", since="2026-11-01", call=9), Price(model="*", call=5)]
    book = PriceBook(ours, own)
    days = ("2026-10-31", "2026-11-01", "2027-01-01")
    assert [found.call for day in days if (found := book.find("m", day))] == [1, 9, 9]
    assert (other := book.find("unheard of", "2026-01-01")) and other.call == 5
    assert [(price.model, price.call) for price in book.all()] == [("*", 5), ("m", 1), ("m", 9)]


def test_an_operators_file(tmp_path: Path) -> None:
    file = tmp_path / "prices.toml"
    file.write_text('[[price]]\nmodels = ["a", "b"]\nfrom = 2026-12-01\ninput_text = 1_000\nminute = 3\n')
    a, b = read_prices(file)
    assert a == Price(model="a", since="2026-12-01", input_text=1_000, minute=3)
    assert b.model == "b"
    assert load_prices(file).find("a", "2026-12-24") == a


@pytest.mark.parametrize(
    ("text", "what"),
    [
        ('[[price]]\nmodels = ["a"]\ninput = 1', "price 1: unknown key 'input'"),
        ("[[price]]\ninput_text = 1", "`models` must list"),
        ('[[price]]\nmodels = "a"', "`models` must list"),
        ('[[price]]\nmodels = ["a"]\nfrom = "2026-12-01"', "must be a day"),
        ('[[price]]\nmodels = ["a"]\ncall = 0.5', "call: expected a whole number"),
        ('[[price]]\nmodels = ["a"]\ncall = -1', "call: expected a whole number"),
        ('[[price]]\nmodels = ["a"]\ncall = true', "call: expected a whole number"),
        ('[[price]]\nmodels = ["a", "a"]', "two prices"),
        ("[price]\ncall = 1", r"expected \[\[price\]\]"),
        ("x = 1", r"expected \[\[price\]\]"),
        ("=", "Cannot read"),
    ],
)
def test_a_wrong_file_says_where(tmp_path: Path, text: str, what: str) -> None:
    file = tmp_path / "prices.toml"
    file.write_text(text)
    with pytest.raises(PriceError, match=what):
        read_prices(file)


def test_a_missing_file_is_told(tmp_path: Path) -> None:
    with pytest.raises(PriceError, match="Cannot read"):
        load_prices(tmp_path / "nowhere.toml")


def test_the_published_prices_are_those_of_the_package() -> None:
    pytest.importorskip("genai_prices")
    made = subprocess.run(
        [sys.executable, ROOT / "scripts" / "make_prices.py", "--check"], capture_output=True, text=True
    )
    assert made.returncode == 0, made.stdout + made.stderr


def test_what_an_upstream_asks_is_published_and_never_what_clients_pay() -> None:
    published = [Price(model="gpt", output_audio=64), Price(model="azure-gpt", output_audio=60)]
    own = [Price(model="gpt", output_audio=100), Price(model="prod", output_audio=50), Price(model="*", call=1)]
    book = PriceBook(published, own)

    def asked(named: str, model: str) -> int | None:
        price = book.find_cost(named, model, "2026-12-01")
        return None if price is None else price.output_audio

    assert asked("gpt", "gpt") == 64
    assert asked("azure-gpt", "gpt") == 60
    assert asked("prod", "gpt") == 50, "a deployment that the operator has priced"
    assert asked("unheard-of", "gpt") == 64
    assert asked("unheard-of", "voice") is None
    assert PriceBook([], own).find_cost("gpt", "gpt", "2026-12-01") is None
