"""Keys of accounts on both databases: made, found, refused, revoked."""

import hmac
import sqlite3
import time
from pathlib import Path

import argon2
import pytest

from parley.auth.accounts import Accounts, User
from parley.auth.credentials import Credential
from parley.auth.keys_store import CACHE_S, KEYS_MAX, PREFIX, KeyStore, Rules
from parley.errors import EngineError, RequestError
from parley.storage import MakeScript, P, Storage, T, open_storage
from parley.telemetry import masked
from tests.databases import Clock

CHEAP = argon2.PasswordHasher(time_cost=1, memory_cost=8, parallelism=1)


class Counting:
    """A storage that counts how often it is read."""

    def __init__(self, storage: Storage) -> None:
        self._storage = storage
        self.reads = 0

    async def read(self, script: MakeScript[P, T], *args: P.args, **kwargs: P.kwargs) -> T:
        self.reads += 1
        return await self._storage.read(script, *args, **kwargs)

    def __getattr__(self, name: str) -> object:
        return getattr(self._storage, name)


@pytest.fixture
def accounts(storage: Storage, clock: Clock) -> Accounts:
    return Accounts(storage, b"pepper", CHEAP, clock)


@pytest.fixture
async def ann(accounts: Accounts) -> User:
    return await accounts.create_user("ann@example.org")


@pytest.fixture
async def bob(accounts: Accounts) -> User:
    return await accounts.create_user("bob@example.org")


@pytest.fixture
def keys(storage: Storage, clock: Clock) -> KeyStore:
    return KeyStore(storage, b"pepper", now=clock)


def bearer(value: str) -> Credential:
    return Credential(value, "authorization")


async def code_of(awaitable: object) -> str:
    with pytest.raises(RequestError) as caught:
        await awaitable  # type: ignore[misc]
    return caught.value.code


async def test_a_key_opens_what_is_its_owners(keys: KeyStore, ann: User) -> None:
    made = await keys.create(ann.account, ann.id, " laptop ")
    assert made.value.startswith(PREFIX)
    assert len(made.value) == len(PREFIX) + 48
    found = await keys.check(bearer(made.value))
    assert (found.id, found.account, found.user, found.name) == (made.key.id, ann.account, ann.id, "laptop")
    assert found.hint.startswith(made.value[:13])
    assert made.value not in found.hint
    assert masked(f"key {made.value}") == "key sk-[hidden]"


async def test_what_is_no_key_opens_nothing(keys: KeyStore, ann: User) -> None:
    value = (await keys.create(ann.account, ann.id, "laptop")).value
    told = set()
    for wrong in (
        value[:-1], value + "x", value[:-1] + ("a" if value[-1] != "a" else "b"), PREFIX, "sk-other-" + "x" * 48,
        PREFIX + "x" * 48, value.lower() if value.lower() != value else value.upper(), "é" * 57, PREFIX + "é" * 48,
    ):  # fmt: skip
        with pytest.raises(RequestError) as caught:
            await keys.check(bearer(wrong))
        told.add((caught.value.code, caught.value.message))
    assert told == {("invalid_api_key", "Incorrect API key.")}
    assert await code_of(keys.check(None)) == "invalid_api_key"


async def test_a_warm_key_asks_no_database(storage: Storage, clock: Clock, ann: User, keys: KeyStore) -> None:
    value = (await keys.create(ann.account, ann.id, "laptop")).value
    counting = Counting(storage)
    warm = KeyStore(counting, b"pepper", now=clock)  # type: ignore[arg-type]
    for _ in range(50):
        await warm.check(bearer(value))
    assert counting.reads == 1
    clock.seconds += CACHE_S
    await warm.check(bearer(value))
    assert counting.reads == 2
    for _ in range(50):
        assert await code_of(warm.check(bearer(PREFIX + "x" * 48))) == "invalid_api_key"
    assert counting.reads == 3
    began = time.perf_counter()
    for _ in range(500):
        await warm.check(bearer(value))
    assert (time.perf_counter() - began) / 500 < 0.002  # ten times what it may add


async def test_revoked_here_it_is_refused_at_once(keys: KeyStore, ann: User) -> None:
    made = await keys.create(ann.account, ann.id, "laptop")
    await keys.check(bearer(made.value))
    assert await keys.newly_revoked() == []
    await keys.revoke(ann.account, made.key.id)
    await keys.revoke(ann.account, made.key.id)
    assert await code_of(keys.check(bearer(made.value))) == "invalid_api_key"
    assert await keys.newly_revoked() == [made.key.id]
    assert await keys.newly_revoked() == []


async def test_revoked_elsewhere_it_is_noticed_at_the_next_look(
    storage: Storage, clock: Clock, keys: KeyStore, ann: User
) -> None:
    """By a process whose clock is some seconds behind."""
    made = await keys.create(ann.account, ann.id, "laptop")
    await keys.check(bearer(made.value))
    behind = Clock()
    behind.seconds = clock.seconds - 20
    await KeyStore(storage, b"pepper", now=behind).revoke(ann.account, made.key.id)
    clock.seconds += 0.5
    assert await keys.newly_revoked() == [made.key.id]
    assert await keys.newly_revoked() == []
    assert await code_of(keys.check(bearer(made.value))) == "invalid_api_key"
    clock.seconds += 1_000
    assert await keys.newly_revoked() == []


async def test_keys_of_somebody_disabled_are_refused(
    keys: KeyStore, accounts: Accounts, clock: Clock, ann: User, bob: User
) -> None:
    made = await keys.create(ann.account, ann.id, "laptop")
    other = await keys.create(bob.account, bob.id, "laptop")
    await keys.check(bearer(made.value))
    await accounts.disable(ann.id)
    assert await keys.newly_revoked() == [made.key.id]
    assert await code_of(keys.check(bearer(made.value))) == "invalid_api_key"
    await keys.check(bearer(other.value))
    clock.seconds += 1
    await accounts.enable(ann.id)
    clock.seconds += CACHE_S
    await keys.check(bearer(made.value))
    await accounts.disable(ann.id)
    assert await keys.newly_revoked() == [made.key.id]


async def test_a_key_expires(keys: KeyStore, clock: Clock, ann: User) -> None:
    at = int(clock.seconds * 1_000)
    made = await keys.create(ann.account, ann.id, "laptop", expires_at=at + 5_000)
    await keys.check(bearer(made.value))
    clock.seconds += 5
    assert await code_of(keys.check(bearer(made.value))) == "invalid_api_key"
    assert await code_of(keys.create(ann.account, ann.id, "laptop", expires_at=at)) == "invalid_value"


async def test_a_key_may_do_what_its_rules_say(keys: KeyStore, ann: User) -> None:
    rules = Rules(scopes=("realtime",), models=("gpt-realtime",), voices=("marin",))
    value = (await keys.create(ann.account, ann.id, "laptop", rules)).value
    key = await keys.check(bearer(value))
    key.allow("realtime")
    key.allow("realtime", "gpt-realtime", "marin")
    for scope, model, voice in (("pipeline", None, None), ("realtime", "x", None), ("realtime", None, "x")):
        with pytest.raises(RequestError) as caught:
            key.allow(scope, model, voice)  # type: ignore[arg-type]
        assert caught.value.code == "key_not_allowed"
    changed = await keys.change(ann.account, key.id, Rules(budgeted=True))
    assert changed.budget == f"{key.id}:budget"
    assert key.budget is None
    again = await keys.check(bearer(value))
    again.allow("pipeline", "any", "any")
    with pytest.raises(RequestError):
        again.allow("admin")


async def test_somebody_elses_key_is_as_unknown_as_none(keys: KeyStore, ann: User, bob: User) -> None:
    made = await keys.create(ann.account, ann.id, "laptop")
    for id in (made.key.id, "key_none"):
        assert await code_of(keys.key(bob.account, id)) == "key_not_found"
        assert await code_of(keys.revoke(bob.account, id)) == "key_not_found"
        assert await code_of(keys.change(bob.account, id, Rules())) == "key_not_found"
    await keys.check(bearer(made.value))
    assert await code_of(keys.create(ann.account, bob.id, "x")) == "user_not_found"


async def test_keys_are_listed_with_their_last_use(keys: KeyStore, clock: Clock, ann: User) -> None:
    first = await keys.create(ann.account, ann.id, "first")
    clock.seconds += 1
    second = await keys.create(ann.account, ann.id, "second")
    await keys.check(bearer(first.value))
    await keys.write_used()
    await keys.write_used()
    listed = await keys.keys(ann.account)
    assert [(key.name, key.used_at) for key in listed] == [("second", None), ("first", int(clock.seconds * 1_000))]
    await keys.revoke(ann.account, second.key.id)
    assert [key.revoked_at is None for key in await keys.keys(ann.account)] == [False, True]


async def test_a_key_belongs_to_a_project_of_its_account(
    keys: KeyStore, accounts: Accounts, ann: User, bob: User
) -> None:
    ours = await accounts.create_project(ann.account, "ours")
    theirs = await accounts.create_project(bob.account, "theirs")
    made = await keys.create(ann.account, ann.id, "laptop", project=ours.id)
    assert (await keys.check(bearer(made.value))).project == ours.id
    assert await code_of(keys.create(ann.account, ann.id, "x", project=theirs.id)) == "project_not_found"


async def test_names_and_numbers_have_limits(keys: KeyStore, ann: User, monkeypatch: pytest.MonkeyPatch) -> None:
    for name in ("", " ", "x" * 201, "a\nb"):
        assert await code_of(keys.create(ann.account, ann.id, name)) == "invalid_value"
    assert KEYS_MAX == 1_000
    monkeypatch.setattr("parley.auth.keys_store.KEYS_MAX", 2)
    made = [await keys.create(ann.account, ann.id, "x") for _ in range(2)]
    assert await code_of(keys.create(ann.account, ann.id, "x")) == "too_many_keys"
    await keys.revoke(ann.account, made[0].key.id)
    await keys.create(ann.account, ann.id, "x")


async def test_when_the_database_is_gone_a_cold_key_is_not_refused_but_asked_for_again(
    storage: Storage, clock: Clock, keys: KeyStore, ann: User
) -> None:
    made = await keys.create(ann.account, ann.id, "laptop")
    await keys.check(bearer(made.value))
    await storage.close()
    await keys.check(bearer(made.value))
    clock.seconds += CACHE_S
    with pytest.raises(EngineError) as caught:
        await keys.check(bearer(made.value))
    assert (caught.value.code, caught.value.retryable) == ("api_key_lookup_failed", True)


async def test_another_pepper_opens_nothing(storage: Storage, keys: KeyStore, ann: User) -> None:
    made = await keys.create(ann.account, ann.id, "laptop")
    assert await code_of(KeyStore(storage, b"other").check(bearer(made.value))) == "invalid_api_key"


async def test_the_prefix_is_a_setting(storage: Storage, ann: User) -> None:
    keys = KeyStore(storage, b"pepper", prefix="sk-mine-")
    made = await keys.create(ann.account, ann.id, "laptop")
    assert made.value.startswith("sk-mine-")
    await keys.check(bearer(made.value))


async def test_every_refusal_compares_the_whole_digest(
    keys: KeyStore, ann: User, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Found or not, good or not: one comparison of 64 characters each, made for secrets."""
    made = await keys.create(ann.account, ann.id, "laptop")
    compared: list[tuple[int, int]] = []
    real = hmac.compare_digest

    def compare(a: str, b: str) -> bool:
        compared.append((len(a), len(b)))
        return real(a, b)

    monkeypatch.setattr("parley.auth.keys_store.hmac.compare_digest", compare)
    for value in (PREFIX + "x" * 48, made.value[:-1] + "!", "rubbish"):
        assert await code_of(keys.check(bearer(value))) == "invalid_api_key"
    assert compared == [(64, 64)] * 3


async def test_no_key_lies_in_the_database(tmp_path: Path) -> None:
    storage = await open_storage(None, tmp_path)
    ann = await Accounts(storage, b"pepper", CHEAP).create_user("ann@example.org")
    made = await KeyStore(storage, b"pepper").create(ann.account, ann.id, "laptop")
    await storage.close()
    with sqlite3.connect(tmp_path / "parley.db") as database:
        text = "\n".join(database.iterdump())
    database.close()
    assert made.key.id in text
    secret = made.value[len(PREFIX) + 12 :]
    assert secret not in text
    assert not [path for path in tmp_path.iterdir() if secret.encode() in path.read_bytes()]


async def test_what_is_remembered_is_bounded(storage: Storage, clock: Clock, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("parley.auth.keys_store.CACHED_KEYS_MAX", 3)
    counting = Counting(storage)
    keys = KeyStore(counting, b"pepper", now=clock)  # type: ignore[arg-type]
    for letter in "abcda":
        assert await code_of(keys.check(bearer(PREFIX + letter * 48))) == "invalid_api_key"
    assert counting.reads == 5
    assert await code_of(keys.check(bearer(PREFIX + "d" * 48))) == "invalid_api_key"
    assert counting.reads == 5
