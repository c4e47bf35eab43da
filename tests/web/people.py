"""People with accounts, keys and credits on a server that runs: what another process does, here in the test."""

import time
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from typing import NamedTuple

from parley.auth.accounts import User
from parley.auth.keys_store import Rules
from parley.office import Office, open_office
from parley.settings import Settings
from tests.conftest import Server

CREDIT = 1_000_000


class Person(NamedTuple):
    """Somebody with an account of their own, and a key."""

    user: User
    key: str
    key_id: str

    @property
    def account(self) -> str:
        return self.user.account


@asynccontextmanager
async def office_of(server: Server, database_url: str | None = None) -> AsyncIterator[Office]:
    """The accounts and the ledger of `server`."""
    office = await open_office(Settings(home=server.home, database_url=database_url))
    try:
        yield office
    finally:
        await office.close()


async def newcomer(office: Office, micro: int = 10 * CREDIT, rules: Rules | None = None) -> Person:
    user = await office.accounts.create_user(f"{time.time_ns()}@example.com")
    if micro:
        await office.ledger.credit(f"gift:{user.id}", user.account, micro)
    made = await office.keys.create(user.account, user.id, "test", rules)
    return Person(user, made.value, made.key.id)


async def spent(office: Office, person: Person, given: int = 10 * CREDIT) -> int:
    """What the ledger has taken from them, which nothing may be held of any more."""
    account = await office.ledger.account(person.account)
    assert account.held == 0
    return given - account.posted
