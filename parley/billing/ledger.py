"""The ledger: the only writer of the tables `ledger_…`. The rules are in `book`; here they meet the database.

    ledger = Ledger(storage, holder="node_1")
    await ledger.open()                                            # and `beat` every few seconds
    await ledger.credit("gift_1", "acc_ann", 1_000_000)
    hold = await ledger.hold("sess_1", "acc_ann", 300_000, expires_in_s=3_700)
    await ledger.capture("resp_1", "acc_ann", "sess_1", 120_000)
    await ledger.release("sess_1:end", "acc_ann", "sess_1")

Orders that come while a transaction runs wait for the next one, and go into it together: one commit for all of them.
Such a transaction locks the accounts in the order of their ids, reads what the orders name, asks the `Book`, and writes
what comes of it. That a balance stays at or above zero is seen to three times: by the book under lock, by the condition
of the UPDATE, and by the CHECK of the table. Whoever is answered, the answer is on the disk.

A process that fails between order and answer may order again under the same id, as may a client: it is done once.
"""

import asyncio
import time
from collections import deque
from collections.abc import Callable, Iterable, Sequence
from contextlib import suppress
from typing import Final, NamedTuple

import msgspec

from parley.billing.book import (
    ALLOTTED,
    ISSUED,
    Account,
    AnyOrder,
    Book,
    Capture,
    Changes,
    Charge,
    CloseHold,
    Credit,
    ExtendHold,
    Hold,
    Line,
    OpenHold,
    Settle,
    Usage,
)
from parley.errors import EngineError, RequestError
from parley.storage import Each, Row, Script, Sql, Storage

BATCH_ORDERS_MAX: Final = 256
"""In one transaction. More wait for the next."""
WAITING_ORDERS_MAX: Final = 20_000
"""Beyond it orders are refused with `storage_unavailable`: the database does not keep up."""
PATIENCE_S: Final = 0.02
"""How long orders wait for company that are in no hurry: a commit for ten costs little more than for one."""
HOLDER_S: Final = 30.0
"""A holder that has not been heard of for so long is gone, and its holds are settled …"""
BEAT_S: Final = 10.0
"""… so this often it says that it lives."""
HOLDERS_KEPT_MS: Final = 86_400_000
SETTLE_HOLDS_MAX: Final = 200
"""Settled in one step."""

ACCOUNT_FIELDS: Final = "id, posted, held"
HOLD_FIELDS: Final = ", ".join(Hold._fields)
LINE_FIELDS: Final = ", ".join(Line._fields)
USAGE_FIELDS: Final = (
    "session", "model", "kind", "project", "api_key", "input_text", "input_audio", "input_image", "cached_text",
    "cached_audio", "cached_image", "output_text", "output_audio", "milliseconds", "calls", "estimated", "price_from",
    "markup_bp", "upstream", "cost",
)  # fmt: skip


def _places(count: int) -> str:
    return ", ".join(f"${number}" for number in range(1, count + 1))


OPEN_ACCOUNT: Final = "INSERT INTO ledger_account (id, posted, held) VALUES ($1, 0, 0) ON CONFLICT (id) DO NOTHING"
READ_ACCOUNT: Final = f"SELECT {ACCOUNT_FIELDS} FROM ledger_account WHERE id = $1 FOR UPDATE"  # noqa: S608
READ_HOLD: Final = f"SELECT {HOLD_FIELDS} FROM ledger_hold WHERE id = $1"  # noqa: S608
READ_LINE: Final = f"SELECT {LINE_FIELDS} FROM ledger_line WHERE id = $1"  # noqa: S608
MOVE: Final = (
    "UPDATE ledger_account SET posted = posted + $2, held = held + $3 "
    "WHERE id = $1 AND posted - held + $2 - $3 >= 0 AND held + $3 >= 0 RETURNING id"
)
WRITE_LINE: Final = f"INSERT INTO ledger_line ({LINE_FIELDS}) VALUES ({_places(len(Line._fields))})"  # noqa: S608
WRITE_ENTRY: Final = "INSERT INTO ledger_entry (account, line, amount) VALUES ($1, $2, $3)"
WRITE_HOLD: Final = (
    f"INSERT INTO ledger_hold ({HOLD_FIELDS}) VALUES ({_places(len(Hold._fields))}) "  # noqa: S608
    "ON CONFLICT (id) DO UPDATE SET amount = excluded.amount, captured = excluded.captured, owed = excluded.owed, "
    "state = excluded.state, expires_at = excluded.expires_at"
)
WRITE_USAGE: Final = (
    f"INSERT INTO ledger_usage (line, account, moved, at, {', '.join(USAGE_FIELDS)}) "  # noqa: S608
    f"VALUES ({_places(4 + len(USAGE_FIELDS))})"
)
WRITE_OUTBOX: Final = "INSERT INTO ledger_outbox (line, at, body) VALUES ($1, $2, $3)"
TOLD_KINDS: Final = frozenset({"credit", "capture", "close", "settle"})
"""Lines that go to the outbox, when money has moved."""


class Told(NamedTuple):
    """A line of the outbox. `body` is the line as JSON."""

    line: str
    at: int
    body: str


class Statement(NamedTuple):
    """A page of an account's lines, newest first; `before` asks for the next one."""

    lines: list[Line]
    before: tuple[int, str] | None


class Ledger:
    """Belongs to one event loop. `holder` names this process; `now` is Unix seconds.

    Orders raise `RequestError` (see `Book.apply`), and `EngineError` with `storage_unavailable`: then it is not known
    whether the order was done, and asking again under the same id finds out.
    """

    def __init__(self, storage: Storage, holder: str, now: Callable[[], float] = time.time) -> None:
        self._storage = storage
        self._holder = holder
        self._now = now
        self._waiting: deque[_Waiting] = deque()
        self._work: asyncio.Task[None] | None = None
        self._hurry = asyncio.Event()

    async def open(self) -> None:
        """This process may hold from now on, for as long as it beats."""
        await self.beat()

    async def beat(self) -> None:
        """This process lives, for another `HOLDER_S`; to be said every `BEAT_S`."""
        await self._storage.transaction(_beat, self._holder, self._ms())

    async def close(self) -> None:
        """Returns when every order that was given is done. Open holds are settled when this process is missed."""
        self._hurry.set()
        while self._work is not None:
            await asyncio.shield(self._work)

    # ---- orders

    async def order(self, order: AnyOrder, *, hurry: bool = True) -> Line:
        """Carries it out, together with the others that wait."""
        if len(self._waiting) >= WAITING_ORDERS_MAX:
            raise EngineError("storage_unavailable", "Too many orders wait for the database.", retryable=True)
        waiting = _Waiting(order, asyncio.get_running_loop().create_future())
        self._waiting.append(waiting)
        if hurry:
            self._hurry.set()
        if self._work is None:
            self._work = asyncio.create_task(self._work_off())
        return await waiting.line

    async def credit(self, id: str, account: str, amount: int, note: str = "") -> Line:
        """A top-up. The first one opens the account."""
        return await self.order(Credit(id=id, account=account, amount=amount, note=note, source=ISSUED))

    async def allot(self, id: str, budget: str, amount: int, note: str = "") -> Line:
        """More allowance for the budget of a key."""
        return await self.order(Credit(id=id, account=budget, amount=amount, note=note, source=ALLOTTED))

    async def hold(self, id: str, account: str, amount: int, *, expires_in_s: float, budget: str | None = None) -> Line:
        """Reserves; the hold has the same id. It ends by `release`, and by itself after `expires_in_s`."""
        expires_at = self._ms() + int(expires_in_s * 1_000)
        return await self.order(
            OpenHold(
                id=id, account=account, budget=budget, amount=amount, holder=self._holder, expires_at=expires_at
            )
        )  # fmt: skip

    async def extend(
        self,
        id: str,
        account: str,
        hold: str,
        amount: int,
        *,
        budget: str | None = None,
        owed: int = 0,
        hurry: bool = True,
    ) -> Line:
        """Reserves more. `owed`: spent and not captured yet, to be captured should this process be missed."""
        order = ExtendHold(id=id, account=account, budget=budget, hold=hold, amount=amount, owed=owed)
        return await self.order(order, hurry=hurry)

    async def capture(
        self,
        id: str,
        account: str,
        hold: str,
        amount: int,
        *,
        budget: str | None = None,
        owed: int = 0,
        usage: Usage | None = None,
        hurry: bool = True,
    ) -> Line:
        """Spends from a hold, which stays open. `missing` of the line is what could not be had."""
        order = Capture(id=id, account=account, budget=budget, hold=hold, amount=amount, owed=owed, usage=usage)
        return await self.order(order, hurry=hurry)

    async def release(
        self,
        id: str,
        account: str,
        hold: str,
        amount: int = 0,
        *,
        budget: str | None = None,
        usage: Usage | None = None,
    ) -> Line:
        """Captures the last `amount` and frees the rest."""
        return await self.order(CloseHold(id=id, account=account, budget=budget, hold=hold, amount=amount, usage=usage))

    async def settle_expired(self) -> list[Line]:
        """Settles every hold whose time is over or whose holder is gone; what this did, not what others did."""
        at = self._ms()
        settled: list[Line] = []
        while True:
            overdue = await self._storage.read(_overdue, at)
            lines = await asyncio.gather(*(self._settle(hold, at) for hold in overdue))
            done = [line for line in lines if line is not None]
            settled += done
            if not done or len(overdue) < SETTLE_HOLDS_MAX:
                return settled

    async def _settle(self, hold: Hold, at: int) -> Line | None:
        order = Settle(
            id=f"{hold.id}:settled", account=hold.account, budget=hold.budget, hold=hold.id,
            abandoned=hold.expires_at > at,
        )  # fmt: skip
        try:
            return await self.order(order)
        except RequestError:
            return None  # its holder came back, or another process was faster

    # ---- questions

    async def account(self, id: str) -> Account:
        """What it has; nothing when nobody has credited it."""
        return await self._storage.read(_account, id)

    async def open_holds(self, account: str) -> list[Hold]:
        """Oldest first."""
        return await self._storage.read(_open_holds, account)

    async def statement(self, account: str, limit: int = 50, before: tuple[int, str] | None = None) -> Statement:
        lines = await self._storage.read(_statement, account, limit, before)
        return Statement(lines, (lines[-1].at, lines[-1].id) if len(lines) == limit else None)

    async def line(self, id: str) -> Line | None:
        return await self._storage.read(_line, id)

    # ---- the outbox

    async def outbox(self, limit: int = 100) -> list[Told]:
        """The oldest that somebody must still be told."""
        return await self._storage.read(_outbox, limit)

    async def told(self, lines: Iterable[str]) -> None:
        """They were told; told twice by whoever dies before saying so."""
        await self._storage.transaction(_told, list(lines))

    # ---- inside

    def _ms(self) -> int:
        return int(self._now() * 1_000)

    async def _work_off(self) -> None:
        try:
            while self._waiting:
                await self._company()
                batch = [self._waiting.popleft() for _ in range(min(BATCH_ORDERS_MAX, len(self._waiting)))]
                if not self._waiting:
                    self._hurry.clear()
                await self._carry_out(batch)
        finally:
            self._work = None
            for waiting in self._waiting:  # only when this task was cancelled
                waiting.line.cancel()
            self._waiting.clear()

    async def _company(self) -> None:
        """Until somebody is in a hurry, or patience ends."""
        with suppress(TimeoutError):
            async with asyncio.timeout(PATIENCE_S):
                await self._hurry.wait()

    async def _carry_out(self, batch: "Sequence[_Waiting]") -> None:
        """One transaction for all; where that fails for reasons of one of them, one for each."""
        try:
            answers = await self._storage.transaction(carry_out, [waiting.order for waiting in batch], self._ms())
        except asyncio.CancelledError:
            for waiting in batch:
                waiting.line.cancel()
            raise
        except Exception as error:
            if len(batch) == 1 or (isinstance(error, EngineError) and error.retryable):
                for waiting in batch:
                    waiting.fail(error)
                return
            for waiting in batch:
                await self._carry_out([waiting])
            return
        for waiting, answer in zip(batch, answers, strict=True):
            waiting.answer(answer)


class _Waiting(NamedTuple):
    order: AnyOrder
    line: "asyncio.Future[Line]"

    def answer(self, answer: "Line | RequestError") -> None:
        if isinstance(answer, RequestError):
            self.fail(answer)
        elif not self.line.done():
            self.line.set_result(answer)

    def fail(self, error: Exception) -> None:
        if not self.line.done():
            self.line.set_exception(error)


# ---- scripts


def carry_out(orders: Sequence[AnyOrder], at: int) -> Script[list[Line | RequestError]]:
    """What came of each order. Raises `EngineError` (`internal_error`) when the database disagrees with the book."""
    opened = {id for order in orders if _may_be_first(order) for id in _payers(order)}
    if opened:
        yield Each(OPEN_ACCOUNT, [(id,) for id in sorted(opened)])
    payers = sorted({id for order in orders for id in _payers(order)})
    # In the order of their ids: two transactions never wait for each other.
    accounts = yield Each(READ_ACCOUNT, [(id,) for id in payers])
    lines = yield Each(READ_LINE, [(id,) for id in sorted({order.id for order in orders})])
    named = sorted({order.hold for order in orders if not isinstance(order, Credit | OpenHold)})
    holds = (yield Each(READ_HOLD, [(id,) for id in named])) if named else []
    book = Book([Account(*row) for row in accounts], [Hold(*row) for row in holds], [Line(*row) for row in lines])
    answers = [_applied(book, order, at) for order in orders]
    yield from _write(book.changes())
    return answers


def _payers(order: AnyOrder) -> list[str]:
    return [order.account] if order.budget is None else [order.account, order.budget]


def _may_be_first(order: AnyOrder) -> bool:
    """Whether an account that nobody knows can be asked for this: to be given something, or to hold nothing."""
    return isinstance(order, Credit) or (isinstance(order, OpenHold) and not order.amount)


def _applied(book: Book, order: AnyOrder, at: int) -> Line | RequestError:
    try:
        return book.apply(order, at)
    except RequestError as refusal:
        return refusal


def _write(changes: Changes) -> Script[None]:
    if changes.moves:
        moved = yield Each(MOVE, changes.moves)
        if len(moved) != len(changes.moves):
            raise EngineError("internal_error", "The ledger would have gone below zero; nothing was written.")
    if changes.lines:
        yield Each(WRITE_LINE, changes.lines)
    if changes.entries:
        yield Each(WRITE_ENTRY, changes.entries)
    if changes.holds:
        yield Each(WRITE_HOLD, changes.holds)
    if changes.charges:
        yield Each(WRITE_USAGE, [_usage_row(charge) for charge in changes.charges])
    told = [line for line in changes.lines if line.moved and line.kind in TOLD_KINDS]
    if told:
        yield Each(WRITE_OUTBOX, [(line.id, line.at, _body(line)) for line in told])


def _usage_row(charge: Charge) -> tuple[object, ...]:
    line, usage = charge
    fields = (getattr(usage, name) for name in USAGE_FIELDS)
    return (line.id, line.account, line.moved, line.at, *(int(v) if isinstance(v, bool) else v for v in fields))


def _body(line: Line) -> str:
    return msgspec.json.encode(line._asdict()).decode()


def _beat(holder: str, at: int) -> Script[None]:
    yield Sql(
        "INSERT INTO ledger_holder (id, alive_until) VALUES ($1, $2) "
        "ON CONFLICT (id) DO UPDATE SET alive_until = excluded.alive_until",
        (holder, at + int(HOLDER_S * 1_000)),
    )
    # Who is not known any more is as gone as who is silent.
    yield Sql("DELETE FROM ledger_holder WHERE alive_until < $1", (at - HOLDERS_KEPT_MS,))


def _overdue(at: int) -> Script[list[Hold]]:
    rows = yield Sql(
        f"SELECT {HOLD_FIELDS} FROM ledger_hold WHERE state = 'open' AND (expires_at <= $1 OR NOT EXISTS "  # noqa: S608
        "(SELECT 1 FROM ledger_holder WHERE ledger_holder.id = ledger_hold.holder AND alive_until > $1)) "
        f"ORDER BY opened_at LIMIT {SETTLE_HOLDS_MAX}",
        (at,),
    )
    return [Hold(*row) for row in rows]


def _account(id: str) -> Script[Account]:
    rows = yield Sql(f"SELECT {ACCOUNT_FIELDS} FROM ledger_account WHERE id = $1", (id,))  # noqa: S608
    return Account(*rows[0]) if rows else Account(id, 0, 0)


def _open_holds(account: str) -> Script[list[Hold]]:
    rows = yield Sql(
        f"SELECT {HOLD_FIELDS} FROM ledger_hold WHERE account = $1 AND state = 'open' ORDER BY opened_at, id",  # noqa: S608
        (account,),
    )
    return [Hold(*row) for row in rows]


def _statement(account: str, limit: int, before: tuple[int, str] | None) -> Script[list[Line]]:
    at, id = before or (2**62, "")
    rows = yield Sql(
        f"SELECT {LINE_FIELDS} FROM ledger_line WHERE account = $1 AND (at < $2 OR (at = $2 AND id < $3)) "  # noqa: S608
        "ORDER BY at DESC, id DESC LIMIT $4",
        (account, at, id, limit),
    )
    return [Line(*row) for row in rows]


def _line(id: str) -> Script[Line | None]:
    rows: list[Row] = yield Sql(READ_LINE, (id,))
    return Line(*rows[0]) if rows else None


def _outbox(limit: int) -> Script[list[Told]]:
    rows = yield Sql("SELECT line, at, body FROM ledger_outbox ORDER BY at, line LIMIT $1", (limit,))
    return [Told(*row) for row in rows]


def _told(lines: Sequence[str]) -> Script[None]:
    if lines:
        yield Each("DELETE FROM ledger_outbox WHERE line = $1", [(line,) for line in lines])
