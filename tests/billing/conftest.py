"""A ledger on each database."""

from collections.abc import AsyncIterator

import pytest

from parley.billing.audit import audit
from parley.billing.ledger import Ledger
from parley.storage import Storage
from tests.databases import Clock, clock, storage, url

__all__ = ["Clock", "clock", "storage", "url"]


@pytest.fixture
async def ledger(storage: Storage, clock: Clock) -> AsyncIterator[Ledger]:
    """Whatever a test has done with it: afterwards every promise holds."""
    ledger = Ledger(storage, "node_1", clock)
    await ledger.open()
    yield ledger
    await ledger.close()
    assert await audit(storage) == []
