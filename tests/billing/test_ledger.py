"""The ledger on both databases: holds, captures, releases, ids, expiry, the outbox."""

import asyncio

import pytest

from parley.billing.audit import audit
from parley.billing.book import AMOUNT_MICRO_MAX, BALANCE_MICRO_MAX, Account, AnyOrder, ExtendHold, Line, Usage
from parley.billing.ledger import HOLDER_S, Ledger
from parley.errors import EngineError, RequestError
from parley.storage import Broken, MakeScript, P, Script, Sql, Storage, T
from tests.databases import Clock


def standing(line: Line) -> tuple[int, int, int]:
    return line.posted, line.held, line.available


async def refused(order: "asyncio.Future[Line] | object") -> str:
    with pytest.raises(RequestError) as caught:
        await order  # type: ignore[misc]
    return caught.value.code


async def test_a_hold_reserves_and_a_release_captures_and_frees_the_rest(ledger: Ledger) -> None:
    assert standing(await ledger.credit("c", "ann", 1000)) == (1000, 0, 1000)
    assert standing(await ledger.hold("h1", "ann", 300, expires_in_s=60)) == (1000, 300, 700)
    assert standing(await ledger.release("k1", "ann", "h1", 120)) == (880, 0, 880)
    assert standing(await ledger.release("k1", "ann", "h1", 120)) == (880, 0, 880)
    assert await ledger.account("ann") == Account("ann", 880, 0)


async def test_a_hold_is_captured_in_parts_and_extended(ledger: Ledger) -> None:
    await ledger.credit("c", "ann", 1000)
    await ledger.hold("h", "ann", 300, expires_in_s=60)
    line = await ledger.capture("r1", "ann", "h", 100)
    assert (standing(line), line.remaining) == ((900, 200, 700), 200)
    line = await ledger.extend("x1", "ann", "h", 400)
    assert (standing(line), line.remaining) == ((900, 600, 300), 600)
    line = await ledger.capture("r2", "ann", "h", 600)
    assert (standing(line), line.remaining) == ((300, 0, 300), 0)
    (hold,) = await ledger.open_holds("ann")
    assert (hold.amount, hold.captured) == (700, 700)
    assert standing(await ledger.release("end", "ann", "h")) == (300, 0, 300)
    assert await ledger.open_holds("ann") == []


async def test_a_capture_beyond_its_hold_takes_what_is_free_and_never_more(ledger: Ledger) -> None:
    await ledger.credit("c", "ann", 500)
    await ledger.hold("h1", "ann", 100, expires_in_s=60)
    await ledger.hold("h2", "ann", 300, expires_in_s=60)
    line = await ledger.capture("r1", "ann", "h1", 1000)
    assert (line.moved, line.missing, standing(line)) == (200, 800, (300, 300, 0))
    assert await refused(ledger.extend("x", "ann", "h1", 1)) == "insufficient_credits"
    line = await ledger.release("end", "ann", "h1", 5)
    assert (line.moved, line.missing) == (0, 5)
    line = await ledger.release("r2", "ann", "h2", 300)
    assert standing(line) == (0, 0, 0)


async def test_what_is_refused_leaves_no_trace_and_may_be_tried_again(ledger: Ledger, storage: Storage) -> None:
    assert await refused(ledger.hold("h", "ann", 1, expires_in_s=60)) == "insufficient_credits"
    await ledger.credit("c", "ann", 10)
    assert await refused(ledger.hold("h", "ann", 11, expires_in_s=60)) == "insufficient_credits"
    assert await ledger.line("h") is None
    await ledger.credit("c2", "ann", 1)
    assert (await ledger.hold("h", "ann", 11, expires_in_s=60)).held == 11


async def test_the_same_id_has_the_same_answer_and_no_other_meaning(ledger: Ledger) -> None:
    first = await ledger.credit("c", "ann", 100)
    await ledger.credit("c2", "ann", 100)
    assert await ledger.credit("c", "ann", 100) == first
    assert await refused(ledger.credit("c", "ann", 101)) == "idempotency_conflict"
    assert await refused(ledger.credit("c", "bob", 100)) == "idempotency_conflict"
    hold = await ledger.hold("h", "ann", 50, expires_in_s=60)
    assert await ledger.hold("h", "ann", 50, expires_in_s=90) == hold
    assert await refused(ledger.hold("h", "ann", 51, expires_in_s=60)) == "idempotency_conflict"
    end = await ledger.release("end", "ann", "h", 20)
    assert await ledger.release("end", "ann", "h", 20) == end
    assert await refused(ledger.release("end", "ann", "h", 21)) == "idempotency_conflict"
    assert await refused(ledger.capture("end", "ann", "h", 20)) == "idempotency_conflict"
    assert await ledger.hold("h", "ann", 50, expires_in_s=60) == hold


async def test_asked_many_times_at_once_it_is_done_once(ledger: Ledger, storage: Storage, clock: Clock) -> None:
    """By two processes, each of which asks thirty times."""
    other = Ledger(storage, "node_2", clock)
    lines = await asyncio.gather(*(who.credit("c", "ann", 100) for _ in range(30) for who in (ledger, other)))
    assert set(lines) == {lines[0]}
    assert (await ledger.account("ann")).posted == 100
    mixed = await asyncio.gather(
        *(who.credit("d", "ann", 5 + n % 2) for n in range(20) for who in (ledger, other)), return_exceptions=True
    )
    assert len([line for line in mixed if isinstance(line, Line)]) == 20
    assert (await ledger.account("ann")).posted in (105, 106)


async def test_after_a_restart_the_answer_is_the_same(ledger: Ledger, storage: Storage, clock: Clock) -> None:
    first = await ledger.credit("c", "ann", 100)
    clock.seconds += 7 * 86_400
    again = Ledger(storage, "node_2", clock)
    assert await again.credit("c", "ann", 100) == first
    assert await refused(again.credit("c", "ann", 99)) == "idempotency_conflict"


async def test_somebody_elses_hold_is_as_unknown_as_none(ledger: Ledger) -> None:
    await ledger.credit("c", "ann", 100)
    await ledger.credit("c2", "bob", 100)
    await ledger.hold("h", "ann", 50, expires_in_s=60)
    told = []
    for hold in ("h", "nowhere"):
        with pytest.raises(RequestError) as caught:
            await ledger.release(f"x{hold}", "bob", hold, 50)
        told.append((caught.value.code, caught.value.message.replace(repr(hold), "…")))
    assert told[0] == told[1] == ("hold_not_found", "There is no hold ….")


async def test_a_closed_hold_stays_closed(ledger: Ledger) -> None:
    await ledger.credit("c", "ann", 100)
    await ledger.hold("h", "ann", 50, expires_in_s=60)
    await ledger.release("end", "ann", "h")
    assert await refused(ledger.capture("late", "ann", "h", 1)) == "hold_closed"
    assert await refused(ledger.extend("late", "ann", "h", 1)) == "hold_closed"
    assert await refused(ledger.release("late", "ann", "h")) == "hold_closed"


async def test_a_budget_is_spent_with_the_account(ledger: Ledger) -> None:
    await ledger.credit("c", "ann", 1000)
    assert await refused(ledger.hold("h", "ann", 1, budget="key_1", expires_in_s=60)) == "budget_exceeded"
    await ledger.allot("b", "key_1", 100)
    assert await refused(ledger.hold("h", "ann", 101, budget="key_1", expires_in_s=60)) == "budget_exceeded"
    await ledger.hold("h", "ann", 80, budget="key_1", expires_in_s=60)
    assert await refused(ledger.capture("r0", "ann", "h", 10)) == "hold_not_found"  # another kind of hold
    line = await ledger.release("r", "ann", "h", 500, budget="key_1")
    assert (line.moved, line.missing) == (100, 400)
    assert await ledger.account("ann") == Account("ann", 900, 0)
    assert await ledger.account("key_1") == Account("key_1", 0, 0)


async def test_holds_of_a_process_that_is_gone_are_settled_from_what_it_told(
    ledger: Ledger, storage: Storage, clock: Clock
) -> None:
    gone = Ledger(storage, "node_2", clock)
    await gone.open()
    await ledger.credit("c", "ann", 1000)
    await ledger.hold("mine", "ann", 100, expires_in_s=3_600)
    await gone.hold("its", "ann", 400, expires_in_s=3_600)
    await gone.capture("r1", "ann", "its", 50)
    await gone.extend("x1", "ann", "its", 100, owed=70)
    assert await ledger.settle_expired() == []
    clock.seconds += HOLDER_S - 1
    await ledger.beat()
    assert await ledger.settle_expired() == []
    clock.seconds += 1
    (line,) = await ledger.settle_expired()
    assert (line.hold, line.moved, standing(line)) == ("its", 70, (880, 100, 780))
    assert await ledger.settle_expired() == []
    # What comes back to life finds that its hold is closed, and that what it had done is done.
    assert await refused(gone.capture("r2", "ann", "its", 70)) == "hold_closed"
    assert (await gone.capture("r1", "ann", "its", 50)).moved == 50


async def test_a_hold_ends_by_itself(ledger: Ledger, clock: Clock) -> None:
    await ledger.credit("c", "ann", 1000)
    await ledger.hold("h", "ann", 400, expires_in_s=60)
    await ledger.capture("r", "ann", "h", 10, owed=500)
    clock.seconds += 60
    await ledger.beat()
    (line,) = await ledger.settle_expired()
    assert standing(line) == (490, 0, 490)


async def test_many_orphans_are_settled_once_by_whoever_comes_first(
    ledger: Ledger, storage: Storage, clock: Clock
) -> None:
    await ledger.credit("c", "ann", 1000)
    await asyncio.gather(*(ledger.hold(f"h{n}", "ann", 1, expires_in_s=10) for n in range(450)))
    clock.seconds += 3_600
    other = Ledger(storage, "node_2", clock)
    mine, theirs = await asyncio.gather(ledger.settle_expired(), other.settle_expired())
    assert len({line.hold for line in mine + theirs}) == 450
    assert (await ledger.account("ann")) == Account("ann", 1000, 0)


async def test_what_moved_money_is_in_the_outbox_until_it_was_told(ledger: Ledger) -> None:
    await ledger.credit("c", "ann", 100)
    await ledger.hold("h", "ann", 50, expires_in_s=60)
    await ledger.capture("r", "ann", "h", 0)
    await ledger.release("end", "ann", "h", 20)
    waiting = await ledger.outbox()
    assert sorted(told.line for told in waiting) == ["c", "end"]
    assert '"moved":20' in next(told.body for told in waiting if told.line == "end")
    await ledger.told(["c"])
    assert [told.line for told in await ledger.outbox()] == ["end"]


async def test_a_statement_is_read_page_by_page(ledger: Ledger, clock: Clock) -> None:
    for n in range(7):
        await ledger.credit(f"c{n}", "ann", 1, note=f"gift {n}")
        clock.seconds += n % 2
    await ledger.credit("other", "bob", 1)
    page = await ledger.statement("ann", limit=3)
    seen = [line.id for line in page.lines]
    while page.before is not None:
        page = await ledger.statement("ann", limit=3, before=page.before)
        seen += [line.id for line in page.lines]
    assert seen == [f"c{n}" for n in reversed(range(7))]


async def test_usage_stands_beside_the_charge(ledger: Ledger, storage: Storage) -> None:
    def usage() -> Script[list[tuple[object, ...]]]:
        rows = yield Sql("SELECT line, model, input_audio, estimated, moved FROM ledger_usage")
        return [tuple(row) for row in rows]

    await ledger.credit("c", "ann", 100)
    await ledger.hold("h", "ann", 50, expires_in_s=60)
    spent = Usage(session="s", model="m", kind="response", input_audio=7, estimated=True)
    for _ in range(2):
        await ledger.capture("r", "ann", "h", 20, usage=spent)
    assert await storage.read(usage) == [("r", "m", 7, 1, 20)]


@pytest.mark.parametrize("amount", [-1, AMOUNT_MICRO_MAX + 1, 1.5, True])
async def test_an_amount_is_a_whole_number_within_bounds(ledger: Ledger, amount: int) -> None:
    assert await refused(ledger.credit("c", "ann", amount)) == "invalid_value"


async def test_what_is_free_needs_no_credits(ledger: Ledger) -> None:
    await ledger.hold("h", "ann", 0, budget="key_1", expires_in_s=60)
    line = await ledger.release(
        "end", "ann", "h", 0, budget="key_1", usage=Usage(session="s", model="m", kind="response")
    )
    assert standing(line) == (0, 0, 0)


async def test_nobody_spends_the_houses_money(ledger: Ledger) -> None:
    assert await refused(ledger.credit("c", "house:issued", 1)) == "invalid_value"
    assert await refused(ledger.hold("c", "house:revenue", 1, expires_in_s=1)) == "invalid_value"
    assert await refused(ledger.hold("c", "ann", 1, budget="ann", expires_in_s=1)) == "invalid_value"
    assert await refused(ledger.credit("x" * 201, "ann", 1)) == "invalid_value"


async def test_a_balance_has_an_end(ledger: Ledger) -> None:
    for n in range(9):
        await ledger.credit(f"c{n}", "ann", AMOUNT_MICRO_MAX)
    assert (await ledger.account("ann")).posted == BALANCE_MICRO_MAX
    assert await refused(ledger.credit("more", "ann", 1)) == "balance_too_large"


@pytest.mark.parametrize(
    "harm",
    [
        "UPDATE ledger_account SET posted = posted - 101 WHERE id = 'ann'",
        "UPDATE ledger_account SET held = held + 101 WHERE id = 'ann'",
        "UPDATE ledger_hold SET captured = amount + 1",
        "UPDATE ledger_line SET moved = 1",
        "DELETE FROM ledger_line",
        "UPDATE ledger_entry SET amount = 1",
        "DELETE FROM ledger_entry",
        "INSERT INTO ledger_entry (account, line, amount) VALUES ('ann', 'x', 0)",
    ],
)
async def test_the_database_itself_refuses_what_no_bug_may_do(ledger: Ledger, storage: Storage, harm: str) -> None:
    await ledger.credit("c", "ann", 100)
    await ledger.hold("h", "ann", 50, expires_in_s=60)

    def do() -> Script[None]:
        yield Sql(harm)

    with pytest.raises(Broken):
        await storage.transaction(do)


@pytest.mark.parametrize(
    ("harm", "promise"),
    [
        ("UPDATE ledger_account SET posted = posted + 1", "has the sum of its entries"),
        ("UPDATE ledger_account SET held = held - 1", "holds what its open holds have left"),
        ("UPDATE ledger_hold SET captured = captured + 1", "knows what its lines have captured"),
        ("UPDATE ledger_hold SET state = 'closed'", "open until exactly one line has ended it"),
        ("INSERT INTO ledger_entry (account, line, amount) VALUES ('ann', 'x', 5)", "zero together"),
    ],
)
async def test_an_audit_finds_what_is_wrong(storage: Storage, clock: Clock, harm: str, promise: str) -> None:
    ledger = Ledger(storage, "node_1", clock)
    await ledger.credit("c", "ann", 100)
    await ledger.hold("h", "ann", 50, expires_in_s=60)
    assert await audit(storage) == []

    def do() -> Script[None]:
        yield Sql(harm)

    await storage.transaction(do)
    assert any(promise in finding for finding in await audit(storage))


async def test_what_is_in_no_hurry_is_done_all_the_same_and_in_order(ledger: Ledger) -> None:
    await ledger.credit("c", "ann", 10_000)
    await ledger.hold("h", "ann", 600, expires_in_s=60)
    patient = [asyncio.ensure_future(ledger.capture(f"r{n}", "ann", "h", 1, hurry=False)) for n in range(300)]
    await asyncio.sleep(0)
    assert (await ledger.capture("now", "ann", "h", 1)).remaining == 299
    assert [line.remaining for line in await asyncio.gather(*patient)] == list(range(599, 299, -1))
    assert (await ledger.capture("late", "ann", "h", 1, hurry=False)).remaining == 298


async def test_when_the_database_is_gone_everybody_is_told(storage: Storage) -> None:
    ledger = Ledger(storage, "node_1")
    await ledger.credit("c", "ann", 100)
    await storage.close()
    answers = await asyncio.gather(*(ledger.credit(f"d{n}", "ann", 1) for n in range(5)), return_exceptions=True)
    assert all(isinstance(answer, EngineError) and answer.code == "storage_unavailable" for answer in answers)


class Picky:
    """A storage that breaks off every transaction with an order called ``poison`` in it."""

    def __init__(self, storage: Storage) -> None:
        self._storage = storage
        self.transactions = 0

    async def transaction(self, script: MakeScript[P, T], *args: P.args, **kwargs: P.kwargs) -> T:
        self.transactions += 1
        if any(getattr(order, "id", "") == "poison" for order in args[0] if isinstance(args[0], list)):  # type: ignore[attr-defined]
            raise Broken("poison")
        return await self._storage.transaction(script, *args, **kwargs)


async def test_one_order_that_breaks_does_not_take_the_others_with_it(storage: Storage, clock: Clock) -> None:
    picky = Picky(storage)
    ledger = Ledger(picky, "node_1", clock)  # type: ignore[arg-type]
    ids = ["a", "b", "poison", "c"]
    came = await asyncio.gather(*(ledger.credit(id, "ann", 5) for id in ids), return_exceptions=True)
    assert [isinstance(one, Line) for one in came] == [True, True, False, True]
    assert isinstance(came[2], Broken)
    assert picky.transactions == 1 + len(ids)
    await ledger.close()
    assert await audit(storage) == []


async def test_when_the_database_does_not_keep_up_orders_are_refused(
    ledger: Ledger, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("parley.billing.ledger.WAITING_ORDERS_MAX", 3)
    came = await asyncio.gather(*(ledger.credit(f"c{n}", "ann", 1) for n in range(5)), return_exceptions=True)
    assert [isinstance(one, Line) for one in came] == [True, True, True, False, False]
    assert isinstance(came[4], EngineError)
    assert came[4].retryable


async def test_a_holder_that_comes_back_in_time_keeps_its_hold(
    ledger: Ledger, monkeypatch: pytest.MonkeyPatch, clock: Clock
) -> None:
    """It was found overdue, and was extended before it could be settled."""
    await ledger.credit("c", "ann", 100)
    await ledger.hold("h", "ann", 50, expires_in_s=10)
    clock.seconds += 10
    real = ledger.order

    async def late(order: AnyOrder, *, hurry: bool = True) -> Line:
        await real(ExtendHold(id="x", account="ann", hold="h", amount=0, expires_at=int((clock.seconds + 60) * 1_000)))
        return await real(order)

    monkeypatch.setattr(ledger, "order", late)
    assert await ledger.settle_expired() == []
    assert [hold.id for hold in await ledger.open_holds("ann")] == ["h"]


async def test_when_nobody_waits_for_the_answer_it_is_done_all_the_same(ledger: Ledger) -> None:
    asking = asyncio.ensure_future(ledger.credit("c", "ann", 100))
    await asyncio.sleep(0)
    asking.cancel()
    with pytest.raises(asyncio.CancelledError):
        await asking
    assert (await ledger.credit("c", "ann", 100)).posted == 100
