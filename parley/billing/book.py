"""The rules of the ledger, as a pure function: what is known, one order, what is known then.

    book = Book(accounts, holds, lines)          # everything that the orders name, as it was read under lock
    line = book.apply(order, at)                 # the answer, or RequestError and nothing has changed
    book.changes()                               # what must be written, all of it or nothing

Money only moves forward. A hold reserves; a capture spends, first from its hold, then from what is free, and never more
than there is; closing a hold captures the last amount and frees the rest. Every order carries the caller's id: asking
again is answered by the line of the first time, asking something else under the same id is refused. A refusal has done
nothing and leaves no trace, so it may be tried again.

A hold whose holder is gone, or whose time is over, is *settled*: what is `owed`, the last that the holder told, is
captured, and the rest is free. From then on it is closed to a holder that comes late: nothing is charged twice.

A key's own budget is an account as well: its hold needs room in both, its capture takes from both.
"""

from collections.abc import Iterable, Mapping
from typing import Final, NamedTuple, assert_never

import msgspec

from parley.errors import RequestError

CREDIT_MICRO: Final = 1_000_000
"""Micro-credits in a credit."""
AMOUNT_MICRO_MAX: Final = 10**15
"""A billion credits in one order."""
BALANCE_MICRO_MAX: Final = 9 * 10**15
"""Below 2**53, so that JSON carries every balance exactly. The database knows this number too."""
ID_CHARS_MAX: Final = 200

HOUSE: Final = "house:"
ISSUED: Final = "house:issued"
"""Where credits come from."""
REVENUE: Final = "house:revenue"
"""Where captured ones go …"""
ALLOTTED: Final = "house:allotted"
"""… and, seen from a budget, where its allowance comes from and goes."""


# ---- orders


class Order(msgspec.Struct, frozen=True, kw_only=True):
    """`id` is unique among all orders of all accounts: put something of the account into an id that a client chose."""

    id: str
    account: str
    budget: str | None = None


class Credit(Order, frozen=True, kw_only=True):
    """Give an account more to spend; the first one opens it."""

    amount: int
    note: str = ""
    source: str = ISSUED


class OpenHold(Order, frozen=True, kw_only=True):
    """Reserve `amount`, or refuse. The order's id is the hold's. What is free is held with 0."""

    amount: int
    holder: str
    expires_at: int


class ExtendHold(Order, frozen=True, kw_only=True):
    """Reserve `amount` more, or refuse; and remember what is `owed` should nobody come back."""

    hold: str
    amount: int
    owed: int = 0
    expires_at: int | None = None


class Usage(msgspec.Struct, frozen=True, kw_only=True):
    """What a capture is for. Tokens; cached ones are part of the input."""

    session: str
    model: str
    kind: str
    project: str | None = None
    api_key: str | None = None
    input_text: int = 0
    input_audio: int = 0
    input_image: int = 0
    cached_text: int = 0
    cached_audio: int = 0
    cached_image: int = 0
    output_text: int = 0
    output_audio: int = 0
    milliseconds: int = 0
    calls: int = 0
    estimated: bool = False
    """By our own count, because who did the work told none."""
    price_from: str = ""
    """The day from which the price holds."""
    markup_bp: int = 0
    upstream: str | None = None
    """Who did the work; None: this server."""
    cost: int | None = None
    """What that one asks for it, in micro-credits, as far as its price is known."""


class Capture(Order, frozen=True, kw_only=True):
    """Spend `amount`; the hold stays open. `owed` is what is spent beyond it and not captured yet."""

    hold: str
    amount: int
    owed: int = 0
    usage: Usage | None = None


class CloseHold(Order, frozen=True, kw_only=True):
    """Spend the last `amount` and free the rest."""

    hold: str
    amount: int = 0
    usage: Usage | None = None


class Settle(Order, frozen=True, kw_only=True):
    """Close a hold that nobody will: `abandoned`, or past its time."""

    hold: str
    abandoned: bool


AnyOrder = Credit | OpenHold | ExtendHold | Capture | CloseHold | Settle


def kind_of(order: AnyOrder) -> str:
    match order:
        case Credit():
            return "credit"
        case OpenHold():
            return "hold"
        case ExtendHold():
            return "extend"
        case Capture():
            return "capture"
        case CloseHold():
            return "close"
        case Settle():
            return "settle"
        case _:
            assert_never(order)


# ---- what is known


class Account(NamedTuple):
    """`posted` is what it owns, `held` the part of it that is reserved."""

    id: str
    posted: int
    held: int

    @property
    def available(self) -> int:
        return self.posted - self.held


class Hold(NamedTuple):
    """Reserved: `amount` in all, `captured` of it spent. Moments in milliseconds of Unix time."""

    id: str
    account: str
    budget: str | None
    holder: str
    amount: int
    captured: int
    owed: int
    state: str
    opened_at: int
    expires_at: int

    @property
    def remaining(self) -> int:
        return self.amount - self.captured if self.state == "open" else 0


class Line(NamedTuple):
    """One thing done, and how matters stood then: the answer to its order, for ever.

    `asked` is the amount of the order; `moved` what was credited, reserved or captured, less than asked only where a
    capture found too little. `posted` and `held` are the account's, `remaining` the hold's.
    """

    id: str
    kind: str
    account: str
    budget: str | None
    hold: str | None
    asked: int
    moved: int
    posted: int
    held: int
    remaining: int
    at: int
    note: str

    @property
    def available(self) -> int:
        return self.posted - self.held

    @property
    def missing(self) -> int:
        return self.asked - self.moved

    def answers(self, order: AnyOrder) -> bool:
        """Whether it is `order` that this line is about."""
        kind = kind_of(order)
        same = (self.kind, self.account, self.budget) == (kind, order.account, order.budget)
        match order:
            case Settle():
                return same and self.hold == order.hold
            case ExtendHold() | Capture() | CloseHold():
                return same and (self.hold, self.asked) == (order.hold, order.amount)
            case Credit() | OpenHold():
                return same and self.asked == order.amount
            case _:
                assert_never(order)


class Entry(NamedTuple):
    """One side of a movement."""

    account: str
    line: str
    amount: int


class Move(NamedTuple):
    """How an account's sums change."""

    account: str
    posted: int
    held: int


class Charge(NamedTuple):
    """Usage that a line was for."""

    line: Line
    usage: Usage


class Changes(NamedTuple):
    """What is to be written."""

    moves: list[Move]
    lines: list[Line]
    entries: list[Entry]
    holds: list[Hold]
    charges: list[Charge]


class Book:
    """What a batch of orders needs to know, and what comes of them."""

    def __init__(self, accounts: Iterable[Account], holds: Iterable[Hold], lines: Iterable[Line]) -> None:
        self._before = {account.id: account for account in accounts}
        self._accounts = dict(self._before)
        self._holds = {hold.id: hold for hold in holds}
        self._lines = {line.id: line for line in lines}
        self._new_lines: list[Line] = []
        self._entries: list[Entry] = []
        self._touched: dict[str, None] = {}
        self._charges: list[Charge] = []

    def apply(self, order: AnyOrder, at: int) -> Line:
        """The order's line. Raises `RequestError`: `insufficient_credits`, `budget_exceeded`, `hold_not_found`,
        `hold_closed`, `idempotency_conflict`, `balance_too_large`.
        """
        _check(order)
        known = self._lines.get(order.id)
        if known is not None:
            if not known.answers(order):
                raise RequestError("idempotency_conflict", f"The id {order.id!r} was used for something else.")
            return known
        match order:
            case Credit():
                return self._credit(order, at)
            case OpenHold():
                return self._open(order, at)
            case ExtendHold():
                return self._extend(order, at)
            case Capture():
                return self._capture(order, self._hold_of(order, order.hold), at)
            case CloseHold():
                return self._close(order, self._hold_of(order, order.hold), "closed", at)
            case Settle():
                return self._settle(order, at)
            case _:
                assert_never(order)

    def changes(self) -> Changes:
        moves = [
            Move(after.id, after.posted - before.posted, after.held - before.held)
            for before, after in ((before, self._accounts[before.id]) for before in self._before.values())
            if after != before
        ]
        return Changes(moves, self._new_lines, self._entries, [self._holds[id] for id in self._touched], self._charges)

    # ---- one order each

    def _credit(self, order: Credit, at: int) -> Line:
        account = self._accounts[order.account]
        if account.posted + order.amount > BALANCE_MICRO_MAX:
            raise RequestError("balance_too_large", "This would be more than an account can have.", "amount")
        self._post(order.account, order.id, order.amount, order.source)
        return self._write(order, None, order.amount, order.amount, 0, at, order.note)

    def _open(self, order: OpenHold, at: int) -> Line:
        self._reserve(order, order.amount)
        self._keep(
            Hold(order.id, order.account, order.budget, order.holder, order.amount, 0, 0, "open", at, order.expires_at)
        )
        return self._write(order, order.id, order.amount, order.amount, order.amount, at)

    def _extend(self, order: ExtendHold, at: int) -> Line:
        hold = self._hold_of(order, order.hold)
        self._reserve(order, order.amount)
        expires_at = hold.expires_at if order.expires_at is None else order.expires_at
        hold = hold._replace(amount=hold.amount + order.amount, owed=order.owed, expires_at=expires_at)
        self._keep(hold)
        return self._write(order, hold.id, order.amount, order.amount, hold.remaining, at)

    def _capture(self, order: Capture, hold: Hold, at: int) -> Line:
        hold, moved = self._spend(order, hold, order.amount)
        self._keep(hold._replace(owed=order.owed))
        line = self._write(order, hold.id, order.amount, moved, hold.remaining, at)
        self._remember_usage(line, order.usage)
        return line

    def _close(self, order: CloseHold, hold: Hold, state: str, at: int) -> Line:
        hold, moved = self._spend(order, hold, order.amount)
        self._free(hold, state)
        line = self._write(order, hold.id, order.amount, moved, 0, at)
        self._remember_usage(line, order.usage)
        return line

    def _settle(self, order: Settle, at: int) -> Line:
        hold = self._hold_of(order, order.hold)
        if not order.abandoned and hold.expires_at > at:
            raise RequestError("hold_closed", f"The hold {hold.id!r} is in use.")
        owed = hold.owed
        hold, moved = self._spend(order, hold, owed)
        self._free(hold, "settled")
        return self._write(order, hold.id, owed, moved, 0, at)

    # ---- steps

    def _hold_of(self, order: AnyOrder, id: str) -> Hold:
        """Somebody else's hold is as unknown as one that was never there."""
        hold = self._holds.get(id)
        if hold is None or (hold.account, hold.budget) != (order.account, order.budget):
            raise RequestError("hold_not_found", f"There is no hold {id!r}.")
        if hold.state != "open":
            raise RequestError("hold_closed", f"The hold {id!r} is closed.")
        return hold

    def _payers(self, order: AnyOrder | Hold) -> list[Account]:
        """The account, and the budget where there is one. One that nobody has credited has nothing."""
        ids = (order.account,) if order.budget is None else (order.account, order.budget)
        return [self._accounts.get(id, Account(id, 0, 0)) for id in ids]

    def _reserve(self, order: OpenHold | ExtendHold, amount: int) -> None:
        payers = self._payers(order)
        for payer, code in zip(payers, ("insufficient_credits", "budget_exceeded"), strict=False):
            if payer.available < amount:
                raise RequestError(
                    code, f"This needs {credits_text(amount)} credits; {credits_text(payer.available)} are available."
                )
        for payer in payers:
            if amount:
                self._accounts[payer.id] = payer._replace(held=payer.held + amount)

    def _spend(self, order: AnyOrder, hold: Hold, amount: int) -> tuple[Hold, int]:
        """What could be taken of `amount`: from the hold, then from what is free."""
        payers = self._payers(order)
        reserved = min(amount, hold.remaining)
        moved = reserved + min(amount - reserved, *(payer.available for payer in payers))
        for payer in payers:
            self._accounts[payer.id] = payer._replace(held=payer.held - reserved)
            self._post(payer.id, order.id, -moved, REVENUE if payer.id == order.account else ALLOTTED)
        return hold._replace(amount=hold.amount + moved - reserved, captured=hold.captured + moved), moved

    def _free(self, hold: Hold, state: str) -> None:
        for payer in self._payers(hold):
            self._accounts[payer.id] = payer._replace(held=payer.held - hold.remaining)
        self._keep(hold._replace(state=state, owed=0))

    def _post(self, id: str, line: str, amount: int, other: str) -> None:
        if amount:
            account = self._accounts[id]
            self._accounts[id] = account._replace(posted=account.posted + amount)
            self._entries += [Entry(id, line, amount), Entry(other, line, -amount)]

    def _keep(self, hold: Hold) -> None:
        self._holds[hold.id] = hold
        self._touched[hold.id] = None

    def _remember_usage(self, line: Line, usage: Usage | None) -> None:
        if usage is not None:
            self._charges.append(Charge(line, usage))

    def _write(
        self, order: AnyOrder, hold: str | None, asked: int, moved: int, remaining: int, at: int, note: str = ""
    ) -> Line:
        account = self._accounts[order.account]
        line = Line(
            order.id, kind_of(order), order.account, order.budget, hold,
            asked, moved, account.posted, account.held, remaining, at, note,
        )  # fmt: skip
        self._lines[line.id] = line
        self._new_lines.append(line)
        return line


def _check(order: AnyOrder) -> None:
    """What only a bug of ours, or somebody's invention, can send."""
    amounts: Mapping[str, object] = {
        "amount": 0 if isinstance(order, Settle) else order.amount,
        "owed": order.owed if isinstance(order, ExtendHold | Capture) else 0,
    }
    for name, amount in amounts.items():
        if isinstance(amount, bool) or not isinstance(amount, int) or not 0 <= amount <= AMOUNT_MICRO_MAX:
            raise RequestError("invalid_value", f"{name} must be 0 to {AMOUNT_MICRO_MAX} micro-credits.", name)
    if not 1 <= len(order.id) <= ID_CHARS_MAX:
        raise RequestError("invalid_value", f"An id has 1 to {ID_CHARS_MAX} characters.", "id")
    if order.account.startswith(HOUSE) or (order.budget or "").startswith(HOUSE) or order.budget == order.account:
        raise RequestError("invalid_value", "This account belongs to the house.", "account")


def credits_text(micro: int) -> str:
    """``1.25`` of 1,250,000: exact, without trailing noughts."""
    sign, micro = ("-", -micro) if micro < 0 else ("", micro)
    whole, part = divmod(micro, CREDIT_MICRO)
    return f"{sign}{whole}.{part:06}".rstrip("0").rstrip(".")
