"""Client secrets: what they are good for, for how long, how often, and what is kept of them."""

import asyncio
import hashlib
from pathlib import Path
from typing import Any

import pytest

from parley.auth import client_secrets
from parley.auth.accounts import Accounts
from parley.auth.api_keys import ApiKeys
from parley.auth.client_secrets import (
    REMEMBERED_S,
    SWEEP_S,
    Binding,
    ClientSecrets,
    Kept,
    MemoryStore,
    Minted,
    read_pepper,
)
from parley.auth.credentials import Credential
from parley.auth.gate import LOCAL, Bearer, Gate
from parley.auth.keys_store import KeyStore, Rules
from parley.core.config import RealtimeConfig
from parley.errors import RequestError
from parley.storage import Storage

KEY = "sk-parley-test"
CONFIG = RealtimeConfig(model="gpt-realtime", instructions="Be brief.")
PEPPER = b"p" * 32


class Clock:
    def __init__(self) -> None:
        self.now = 1_000_000.0

    def __call__(self) -> float:
        return self.now


class Bench:
    def __init__(self, storage: Storage) -> None:
        self.storage = storage
        self.clock = Clock()
        self.store = MemoryStore()
        self.secrets = ClientSecrets(self.store, PEPPER, self.clock)
        self.gate = Gate(ApiKeys([KEY]), KeyStore(storage, PEPPER), self.secrets)

    async def mint(self, seconds: int = 600, uses: int | None = None, **fields: Any) -> Minted:
        binding = Binding(**{"account": "ann", **fields}, dialect="ga", config=CONFIG, model_bound=True)
        return await self.secrets.mint(binding, seconds=seconds, uses=uses)


@pytest.fixture
def bench(storage: Storage) -> Bench:
    return Bench(storage)


def credential(value: str) -> Credential:
    return Credential(value, "authorization")


async def refused(work: Any) -> str:
    with pytest.raises(RequestError) as caught:
        await work
    return caught.value.code


async def test_a_secret_brings_what_it_was_made_for(bench: Bench) -> None:
    minted = await bench.mint(safety_identifier="user-7")
    assert minted.value.startswith("ek_") and len(minted.value) >= 35
    assert minted.expires_at == 1_000_600
    admitted = await bench.gate.admit(credential(minted.value), None)
    assert admitted.binding is not None
    assert admitted.binding.config == CONFIG and admitted.binding.safety_identifier == "user-7"
    assert admitted.bearer.account == "ann" and admitted.bearer.secret_id


async def test_it_may_start_several_sessions_until_it_expires(bench: Bench) -> None:
    minted = await bench.mint(seconds=60)
    for _ in range(5):
        await bench.secrets.use(minted.value, None)
    bench.clock.now += 59.9
    await bench.secrets.use(minted.value, None)
    bench.clock.now += 0.1
    assert await refused(bench.secrets.use(minted.value, None)) == "client_secret_expired"
    assert await refused(bench.secrets.look(minted.value, None)) == "client_secret_expired"


async def test_of_a_hundred_who_want_the_single_use_one_gets_it(bench: Bench) -> None:
    for _ in range(20):
        minted = await bench.mint(uses=1)
        results = await asyncio.gather(
            *(bench.secrets.use(minted.value, None) for _ in range(100)), return_exceptions=True
        )
        winners = [result for result in results if not isinstance(result, BaseException)]
        losers = {result.code for result in results if isinstance(result, RequestError)}
        assert len(winners) == 1 and losers == {"client_secret_used"}


async def test_looking_spends_nothing(bench: Bench) -> None:
    minted = await bench.mint(uses=2)
    for _ in range(10):
        await bench.secrets.look(minted.value, None)
    await bench.secrets.use(minted.value, None)
    await bench.secrets.use(minted.value, None)
    assert await refused(bench.secrets.use(minted.value, None)) == "client_secret_used"
    await bench.secrets.look(minted.value, None)  # what it started may still be hung up


async def test_origins(bench: Bench) -> None:
    minted = await bench.mint(origins=("https://a.example", "https://b.example"))
    await bench.secrets.use(minted.value, "https://b.example")
    for other in ("https://evil.example", "https://a.example.evil", "null", None):
        assert await refused(bench.secrets.use(minted.value, other)) == "client_secret_origin"


async def test_a_wrong_origin_spends_nothing(bench: Bench) -> None:
    minted = await bench.mint(uses=1, origins=("https://a.example",))
    await refused(bench.secrets.use(minted.value, None))
    await bench.secrets.use(minted.value, "https://a.example")


async def test_only_a_hash_is_kept(bench: Bench) -> None:
    minted = await bench.mint()
    (kept,) = bench.store._kept.values()
    assert minted.value not in repr(kept) and minted.value[3:] not in repr(vars(bench.secrets))
    assert kept.digest != hashlib.sha256(minted.value.encode()).digest(), "the pepper is in it"
    elsewhere = ClientSecrets(bench.store, b"q" * 32, bench.clock)
    assert await refused(elsewhere.use(minted.value, None)) == "invalid_api_key"


@pytest.mark.parametrize("value", ["ek_", "ek_unknown", "ek_" + "x" * 500])
async def test_unknown_secrets(bench: Bench, value: str) -> None:
    await bench.mint()
    assert await refused(bench.gate.admit(credential(value), None)) == "invalid_api_key"
    assert await refused(bench.gate.know(credential(value), None)) == "invalid_api_key"


async def test_expired_ones_are_forgotten(bench: Bench) -> None:
    minted = await bench.mint(seconds=10)
    bench.clock.now += 10 + REMEMBERED_S + SWEEP_S
    await bench.mint()
    assert len(bench.store._kept) == 1
    assert await refused(bench.secrets.use(minted.value, None)) == "invalid_api_key"


async def test_a_full_store_takes_no_more(bench: Bench, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(client_secrets, "SECRETS_MAX", 3)
    for _ in range(3):
        await bench.mint(seconds=10)
    assert await refused(bench.mint()) == "too_many_client_secrets"
    bench.clock.now += 10 + REMEMBERED_S + SWEEP_S
    await bench.mint()


async def test_a_secret_makes_no_secrets(bench: Bench) -> None:
    minted = await bench.mint()
    with pytest.raises(RequestError) as caught:
        await bench.gate.trust(credential(minted.value))
    assert caught.value.code == "client_secret_not_allowed"
    assert await bench.gate.trust(credential(KEY)) == LOCAL
    for none in (None, credential("sk-wrong")):
        with pytest.raises(RequestError, match="API key"):
            await bench.gate.trust(none)


async def test_keys_bring_nothing_and_may_do_everything(bench: Bench) -> None:
    admitted = await bench.gate.admit(credential(KEY), None)
    assert admitted.binding is None and admitted.bearer == LOCAL
    assert await bench.gate.know(credential(KEY), "https://any.example") == LOCAL
    assert await refused(bench.gate.admit(credential("sk-wrong"), None)) == "invalid_api_key"
    assert await refused(bench.gate.admit(None, None)) == "invalid_api_key"


async def test_a_secret_is_worth_no_more_than_its_key(bench: Bench) -> None:
    user = await Accounts(bench.storage, PEPPER).create_user("ann@example.com")
    keys = KeyStore(bench.storage, PEPPER)
    made = await keys.create(user.account, user.id, "page", Rules(models=("gpt-realtime",)))
    bearer = await bench.gate.trust(credential(made.value))
    assert (bearer.account, bearer.user, bearer.key) == (user.account, user.id, made.key)
    minted = await bench.mint(uses=None, api_key=made.key.id, user=user.id, account=user.account)
    admitted = await bench.gate.admit(credential(minted.value), None)
    assert admitted.bearer.key == made.key and admitted.bearer.secret_id
    with pytest.raises(RequestError, match="not for the model"):
        admitted.bearer.allow("realtime", model="gpt-realtime-2")
    await keys.revoke(user.account, made.key.id)
    assert await refused(bench.gate.admit(credential(minted.value), None)) == "invalid_api_key"
    assert await refused(bench.gate.know(credential(minted.value), None)) == "invalid_api_key"


def test_who_reaches_whose_calls() -> None:
    key, other_key = Bearer("ann"), Bearer("bob")
    secret, other_secret = Bearer("ann", "1"), Bearer("ann", "2")
    assert key.may_reach(key) and key.may_reach(secret)
    assert secret.may_reach(secret)
    assert not secret.may_reach(other_secret) and not secret.may_reach(key)
    assert not other_key.may_reach(key) and not other_key.may_reach(secret)


def test_the_pepper_is_made_once_and_is_its_owners(tmp_path: Path) -> None:
    home = tmp_path / "home"
    first = read_pepper(home)
    assert read_pepper(home) == first and len(first) == 32
    assert (home / "pepper").stat().st_mode & 0o777 == 0o600
    assert [path.name for path in home.iterdir()] == ["pepper"]


def test_where_nothing_can_be_written_secrets_live_with_the_process(tmp_path: Path) -> None:
    blocked = tmp_path / "file"
    blocked.write_text("")
    assert len(read_pepper(blocked)) == 32
    assert read_pepper(blocked) != read_pepper(blocked)


async def test_a_store_of_another_kind_may_say_no_at_the_last_moment(bench: Bench) -> None:
    """Between looking and spending somebody else may have been faster: the store decides."""

    class Late(MemoryStore):
        async def spend(self, digest: bytes, now: float) -> Kept | None:
            return None

    secrets = ClientSecrets(Late(), PEPPER, bench.clock)
    minted = await secrets.mint(Binding(account="a", dialect="ga", config=CONFIG, model_bound=True), seconds=60)
    assert await refused(secrets.use(minted.value, None)) == "client_secret_used"
