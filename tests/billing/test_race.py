"""Many want what few can have: exactly as many get it as there is money for."""

import asyncio

from parley.billing.audit import audit
from parley.billing.book import Account
from parley.billing.ledger import Ledger
from parley.errors import RequestError
from parley.storage import Storage
from tests.billing.workers import CONTEXT, process, race
from tests.databases import Clock

CREDIT = 1_000_000
MONEY_FOR = 20


async def test_two_hundred_sessions_on_money_for_twenty(ledger: Ledger, storage: Storage, clock: Clock) -> None:
    """By two ledgers that know nothing of each other, with a budget on half of them."""
    other = Ledger(storage, "node_2", clock)
    await ledger.credit("c", "ann", MONEY_FOR * CREDIT + CREDIT // 2)
    await ledger.allot("b", "key", 7 * CREDIT)

    async def session(number: int) -> str:
        who = (ledger, other)[number % 2]
        try:
            await who.hold(f"s{number}", "ann", CREDIT, budget="key" if number % 4 < 2 else None, expires_in_s=60)
        except RequestError as refusal:
            return refusal.code
        return "admitted"

    came = await asyncio.gather(*(session(number) for number in range(200)))
    assert came.count("admitted") == MONEY_FOR
    assert came.count("admitted") + came.count("insufficient_credits") + came.count("budget_exceeded") == 200
    held = await ledger.open_holds("ann")
    assert len(held) == MONEY_FOR
    assert len([hold for hold in held if hold.budget]) <= 7
    assert await ledger.account("ann") == Account("ann", MONEY_FOR * CREDIT + CREDIT // 2, MONEY_FOR * CREDIT)


async def test_losers_leave_nothing_behind_and_winners_pay(ledger: Ledger) -> None:
    await ledger.credit("c", "ann", MONEY_FOR * CREDIT)

    async def session(number: int) -> int:
        hold = f"s{number}"
        try:
            await ledger.hold(hold, "ann", CREDIT, expires_in_s=60)
        except RequestError:
            return 0
        captured = await asyncio.gather(
            *(ledger.capture(f"{hold}:{n}", "ann", hold, CREDIT // 3) for n in range(5)), return_exceptions=True
        )
        await ledger.release(f"{hold}:end", "ann", hold)
        return sum(line.moved for line in captured if not isinstance(line, BaseException))

    spent = sum(await asyncio.gather(*(session(number) for number in range(200))))
    account = await ledger.account("ann")
    assert account == Account("ann", MONEY_FOR * CREDIT - spent, 0)


async def test_from_four_processes(storage: Storage, url: str) -> None:
    ledger = Ledger(storage, "node")
    await ledger.credit("c", "ann", MONEY_FOR * CREDIT)
    start = CONTEXT.Barrier(4)
    pipes = [CONTEXT.Pipe(duplex=False) for _ in range(4)]

    def run() -> list[str]:
        from contextlib import ExitStack

        with ExitStack() as stack:
            for number, (_, writing) in enumerate(pipes):
                stack.enter_context(process(race, url, number, start, writing))
            return [answer for reading, _ in pipes for answer in reading.recv()]

    came = await asyncio.to_thread(run)
    for ends in pipes:
        for end in ends:
            end.close()
    assert came.count("admitted") == MONEY_FOR
    assert came.count("insufficient_credits") == 180
    assert await ledger.account("ann") == Account("ann", MONEY_FOR * CREDIT, MONEY_FOR * CREDIT)
    assert await audit(storage) == []
