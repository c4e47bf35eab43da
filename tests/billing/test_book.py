"""The rules of the ledger by themselves, as a history to read."""

import pytest

from parley.billing.book import (
    Account,
    Book,
    Capture,
    CloseHold,
    Credit,
    Entry,
    ExtendHold,
    Line,
    Move,
    OpenHold,
    credits_text,
)
from parley.errors import RequestError


def new_book(posted: int = 1000) -> Book:
    return Book([Account("ann", posted, 0)], [], [])


def opened(id: str, amount: int) -> OpenHold:
    return OpenHold(id=id, account="ann", amount=amount, holder="node", expires_at=99)


def test_a_history() -> None:
    book = new_book()
    orders = (
        (opened("h", 300), (1000, 300, 300)),
        (Capture(id="k1", account="ann", hold="h", amount=120), (880, 180, 180)),
        (Capture(id="k1", account="ann", hold="h", amount=120), (880, 180, 180)),
        (ExtendHold(id="x1", account="ann", hold="h", amount=20), (880, 200, 200)),
        (CloseHold(id="k2", account="ann", hold="h", amount=50), (830, 0, 0)),
        (Credit(id="c", account="ann", amount=70), (900, 0, 0)),
    )
    for order, (posted, held, remaining) in orders:
        line = book.apply(order, 1)
        assert (line.posted, line.held, line.remaining) == (posted, held, remaining)
    changes = book.changes()
    assert changes.moves == [Move("ann", -100, 0)]
    assert [line.id for line in changes.lines] == ["h", "k1", "x1", "k2", "c"]
    assert changes.entries == [
        Entry("ann", "k1", -120), Entry("house:revenue", "k1", 120),
        Entry("ann", "k2", -50), Entry("house:revenue", "k2", 50),
        Entry("ann", "c", 70), Entry("house:issued", "c", -70),
    ]  # fmt: skip
    (hold,) = changes.holds
    assert (hold.amount, hold.captured, hold.state) == (320, 170, "closed")


def test_a_refusal_changes_nothing() -> None:
    book = new_book(100)
    for order in (
        opened("h", 101),
        Capture(id="k", account="ann", hold="h", amount=1),
        Credit(id="", account="ann", amount=1),
        Credit(id="c", account="ann", amount=-1),
    ):
        with pytest.raises(RequestError):
            book.apply(order, 1)
    assert not any(book.changes())


def test_a_refusal_says_how_much_there_is() -> None:
    with pytest.raises(RequestError, match=r"needs 1\.5 credits; 0\.0001 are available"):
        new_book(100).apply(opened("h", 1_500_000), 1)


def test_an_answer_is_told_from_what_was_written() -> None:
    written = Line("k", "capture", "ann", None, "h", 7, 5, 90, 10, 3, 1, "")
    book = Book([Account("ann", 0, 0)], [], [written])
    assert book.apply(Capture(id="k", account="ann", hold="h", amount=7), 2) is written
    assert written.missing == 2
    for other in (
        Capture(id="k", account="ann", hold="h", amount=8),
        Capture(id="k", account="ann", hold="other", amount=7),
        Capture(id="k", account="ann", hold="h", amount=7, budget="b"),
        CloseHold(id="k", account="ann", hold="h", amount=7),
        opened("k", 7),
    ):
        with pytest.raises(RequestError) as caught:
            book.apply(other, 2)
        assert caught.value.code == "idempotency_conflict"


@pytest.mark.parametrize(
    ("micro", "text"),
    [
        (0, "0"),
        (1, "0.000001"),
        (1_250_000, "1.25"),
        (10_000_000, "10"),
        (-500_000, "-0.5"),
        (9 * 10**15, "9000000000"),
    ],
)
def test_credits_are_written_exactly(micro: int, text: str) -> None:
    assert credits_text(micro) == text
