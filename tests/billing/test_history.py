"""Random histories against a model that is as plain as can be, on both databases.

20,000 orders a run and database; LEDGER_STEPS=1000000 for as many as you like, LEDGER_SEED=… to see one again.
Orders come in bunches, so that several share a transaction; ids repeat, with the same meaning and with another.
"""

import asyncio
import os
import random
from dataclasses import dataclass, field
from typing import Any

import pytest

from parley.billing.audit import audit
from parley.billing.book import (
    Account,
    AnyOrder,
    Capture,
    CloseHold,
    Credit,
    ExtendHold,
    Line,
    OpenHold,
    Settle,
    kind_of,
)
from parley.billing.ledger import Ledger
from parley.errors import RequestError
from parley.storage import Storage
from tests.databases import Clock

STEPS = int(os.environ.get("LEDGER_STEPS", "20000"))
SEED = int(os.environ.get("LEDGER_SEED", "0")) or random.SystemRandom().randrange(1, 10**9)
AUDIT_EVERY = max(2_000, STEPS // 20)
ACCOUNTS = ("ann", "bob", "cid")
BUDGETS = (None, None, "key_1", "key_2")


@dataclass
class ModelHold:
    account: str
    budget: str | None
    left: int
    owed: int = 0


@dataclass
class Model:
    """What people own and what is reserved, in dictionaries; every rule once more, without any cleverness."""

    posted: dict[str, int] = field(default_factory=dict)
    holds: dict[str, ModelHold] = field(default_factory=dict)
    open: list[ModelHold] = field(default_factory=list)
    done: dict[str, tuple[AnyOrder, int]] = field(default_factory=dict)

    def held(self, id: str) -> int:
        return sum(hold.left for hold in self.open if id in (hold.account, hold.budget))

    def free(self, order: AnyOrder) -> int:
        return min(self.posted.get(id, 0) - self.held(id) for id in (order.account, order.budget) if id)

    def apply(self, order: AnyOrder) -> int | str:
        """The amount that moved, or the code of the refusal."""
        if order.id in self.done:
            before, moved = self.done[order.id]
            return moved if meaning(before) == meaning(order) else "idempotency_conflict"
        moved_now = self.do(order)
        if isinstance(moved_now, int):
            self.done[order.id] = (order, moved_now)
        return moved_now

    def do(self, order: AnyOrder) -> int | str:
        if isinstance(order, Credit):
            self.posted[order.account] = self.posted.get(order.account, 0) + order.amount
            return order.amount
        if isinstance(order, OpenHold):
            if refusal := self.refusal(order, order.amount):
                return refusal
            self.holds[order.id] = ModelHold(order.account, order.budget, order.amount)
            self.open.append(self.holds[order.id])
            return order.amount
        hold = self.holds.get(order.hold)
        if hold is None or (hold.account, hold.budget) != (order.account, order.budget):
            return "hold_not_found"
        if not any(hold is one for one in self.open):
            return "hold_closed"
        if isinstance(order, ExtendHold):
            if refusal := self.refusal(order, order.amount):
                return refusal
            hold.left += order.amount
            hold.owed = order.owed
            return order.amount
        wanted = hold.owed if isinstance(order, Settle) else order.amount
        moved = min(wanted, hold.left + self.free(order))
        hold.left = max(0, hold.left - wanted)
        for id in (order.account, order.budget):
            if id:
                self.posted[id] = self.posted.get(id, 0) - moved
        if isinstance(order, Capture):
            hold.owed = order.owed
        else:
            self.open = [one for one in self.open if one is not hold]
        return moved

    def refusal(self, order: AnyOrder, amount: int) -> str | None:
        for id, code in ((order.account, "insufficient_credits"), (order.budget, "budget_exceeded")):
            if id and self.posted.get(id, 0) - self.held(id) < amount:
                return code
        return None


def meaning(order: AnyOrder) -> tuple[object, ...]:
    amount = None if isinstance(order, Settle) else order.amount
    hold = None if isinstance(order, Credit | OpenHold) else order.hold
    return kind_of(order), order.account, order.budget, hold, amount


class Orders:
    """Makes them up. Old holds are closed and forgotten, so that a long history has no more open ones than a short one."""

    def __init__(self, chance: random.Random) -> None:
        self.chance = chance
        self.number = 0
        self.holds: list[OpenHold] = []
        self.leaving: list[OpenHold] = []
        self.past: list[AnyOrder] = []

    def next(self) -> AnyOrder:
        if self.past and self.chance.random() < 0.1:
            return self.again(self.chance.choice(self.past))
        order = self.fresh()
        self.past.append(order)
        if len(self.past) > 400:
            self.past.pop(self.chance.randrange(len(self.past)))
        return order

    def again(self, order: AnyOrder) -> AnyOrder:
        """The same once more, or another under the same id."""
        if self.chance.random() < 0.7:
            return order
        other = self.fresh()
        return type(other)(**{name: getattr(other, name) for name in other.__struct_fields__} | {"id": order.id})

    def fresh(self) -> AnyOrder:
        self.number += 1
        id, amount = f"o{self.number}", self.amount()
        if self.leaving:
            old = self.leaving.pop()
            return CloseHold(id=id, account=old.account, budget=old.budget, hold=old.id, amount=amount)
        kind = self.chance.choices(("credit", "hold", "extend", "capture", "close", "settle"), (2, 6, 4, 8, 5, 1))[0]
        if kind == "credit":
            account = self.chance.choice((*ACCOUNTS, "key_1", "key_2"))
            return Credit(id=id, account=account, amount=amount * 3)
        if kind == "hold" or not self.holds:
            hold = OpenHold(
                id=id, account=self.chance.choice(ACCOUNTS), budget=self.chance.choice(BUDGETS), amount=amount,
                holder="node_1", expires_at=2**53,
            )  # fmt: skip
            self.holds.append(hold)
            if len(self.holds) > 30:
                self.leaving.append(self.holds.pop(0))
            return hold
        hold = self.chance.choice(self.holds)
        account = hold.account if self.chance.random() < 0.97 else "bob"
        whose: dict[str, Any] = {"id": id, "account": account, "budget": hold.budget, "hold": hold.id}
        owed = self.amount() // 4
        match kind:
            case "extend":
                return ExtendHold(**whose, amount=amount, owed=owed)
            case "capture":
                return Capture(**whose, amount=amount, owed=owed)
            case "close":
                return CloseHold(**whose, amount=amount)
            case _:
                return Settle(**whose, abandoned=True)

    def amount(self) -> int:
        return self.chance.choice((0, 1, self.chance.randrange(100), self.chance.randrange(5_000)))


async def outcome(ledger: Ledger, order: AnyOrder) -> int | str:
    try:
        return (await ledger.order(order)).moved
    except RequestError as refusal:
        return refusal.code


@pytest.mark.timeout(60 if STEPS <= 20_000 else 0)
async def test_a_random_history_is_what_a_plain_model_says(storage: Storage, clock: Clock) -> None:
    chance = random.Random(SEED)
    ledger, model, orders = Ledger(storage, "node_1", clock), Model(), Orders(chance)
    step = audited = 0
    while step < STEPS:
        bunch = [orders.next() for _ in range(chance.choice((1, 10, 40, 80)))]
        # `gather` starts them in order, and orders are carried out as they came.
        told = await asyncio.gather(*(outcome(ledger, order) for order in bunch))
        assert told == [model.apply(order) for order in bunch], f"LEDGER_SEED={SEED}, at step {step}"
        step += len(bunch)
        for id in (*ACCOUNTS, "key_1", "key_2"):
            expected = Account(id, model.posted.get(id, 0), model.held(id))
            assert await ledger.account(id) == expected, f"LEDGER_SEED={SEED}, at step {step}"
            assert 0 <= expected.held <= expected.posted
        if step - audited >= AUDIT_EVERY:
            audited = step
            assert await audit(storage) == [], f"LEDGER_SEED={SEED}, at step {step}"
    await ledger.close()
    assert await audit(storage) == []


async def test_what_was_answered_is_what_is_written(storage: Storage, clock: Clock) -> None:
    ledger, orders = Ledger(storage, "node_1", clock), Orders(random.Random(SEED))
    answers = await asyncio.gather(*(ledger.order(orders.next()) for _ in range(300)), return_exceptions=True)
    lines = [answer for answer in answers if isinstance(answer, Line)]
    assert lines
    assert [await ledger.line(line.id) for line in lines] == lines
