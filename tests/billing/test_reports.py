"""Usage by day, on both databases."""

from parley.billing.book import Usage
from parley.billing.ledger import Ledger
from parley.billing.reports import DAY_MS, Spent, spent_by_upstream, usage_by_day
from parley.storage import Storage
from tests.databases import Clock


async def test_usage_is_added_up_by_day_model_and_key(ledger: Ledger, storage: Storage, clock: Clock) -> None:
    await ledger.credit("c", "ann", 1_000_000)
    await ledger.credit("d", "bob", 1_000_000)
    began = int(clock.seconds * 1_000)
    for number, (account, model, key) in enumerate(
        [("ann", "mini", "k1"), ("ann", "mini", "k1"), ("ann", "pro", None), ("bob", "mini", "k1")]
    ):
        for day in range(2):
            hold = f"h{number}_{day}"
            await ledger.hold(hold, account, 100, expires_in_s=60)
            usage = Usage(session="s", model=model, kind="response", api_key=key, input_audio=3, output_audio=day)
            await ledger.release(f"{hold}:end", account, hold, 10 + number, usage=usage)
            clock.seconds += 86_400 if day == 0 else -86_400
    found = await usage_by_day(storage, "ann", began, began + 2 * DAY_MS)
    today = began // DAY_MS
    assert [(row.day - today, row.model, row.api_key, row.lines, row.input_audio, row.output_audio, row.micro) for row in found] == [
        (1, "mini", "k1", 2, 6, 2, 21), (1, "pro", None, 1, 3, 1, 12),
        (0, "mini", "k1", 2, 6, 0, 21), (0, "pro", None, 1, 3, 0, 12),
    ]  # fmt: skip
    assert [row.day - today for row in await usage_by_day(storage, "ann", began, began + DAY_MS)] == [0, 0]
    assert sum(row.micro for row in found) == 1_000_000 - (await ledger.account("ann")).posted


async def test_costs_and_margins_where_they_are_known(ledger: Ledger, storage: Storage, clock: Clock) -> None:
    await ledger.credit("c", "ann", 1_000_000)
    began = int(clock.seconds * 1_000)
    for number, (model, upstream, cost) in enumerate(
        [("pro", "azure", 70), ("pro", "azure", None), ("pro", None, None), ("mini", None, None), ("mini", "local", 0)]
    ):
        hold = f"h{number}"
        await ledger.hold(hold, "ann", 100, expires_in_s=60)
        usage = Usage(session="s", model=model, kind="response", upstream=upstream, cost=cost)
        await ledger.release(f"{hold}:end", "ann", hold, 100, usage=usage)
    found = await usage_by_day(storage, "ann", began, began + DAY_MS)
    assert [(row.model, row.micro, row.cost, row.margin) for row in found] == [
        ("mini", 200, 0, 100),
        ("pro", 300, 70, 30),
    ]
    assert await spent_by_upstream(storage, began) == [Spent("azure", 2, 200, 70), Spent("local", 1, 100, 0)]
    assert await spent_by_upstream(storage, began + 1) == []
