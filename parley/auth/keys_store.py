"""API keys of accounts: made, found, refused, revoked.

    keys = KeyStore(storage, pepper)
    made = await keys.create(account, user, "laptop", Rules(scopes=("realtime",)))   # made.value is told once
    key = await keys.check(credential)                                               # RequestError unless it is good
    key.allow("realtime", model="gpt-realtime")

A key is ``sk-gptr2-`` and 48 letters and digits. The first twelve of them find its row; all of it, under HMAC-SHA256
with the pepper of this installation, is compared with what is stored there, in the same time whether anything was found
or not. What was found is remembered for `CACHE_S`; what was revoked, here or by another process, is forgotten as soon
as `newly_revoked` has looked.
"""

import hashlib
import hmac
import secrets
import string
import time
from collections.abc import Callable, Iterable
from typing import Final, Literal, NamedTuple

import msgspec

from parley.auth.credentials import Credential
from parley.errors import EngineError, RequestError
from parley.ids import new_id
from parley.storage import Each, Row, Script, Sql, Storage

PREFIX: Final = "sk-gptr2-"
"""protocol.md 1.8."""
ALPHABET: Final = string.ascii_letters + string.digits
LOOKUP_CHARS: Final = 12
SECRET_CHARS: Final = 36
"""214 bits."""
HINT_CHARS: Final = 4
"""Of the key, shown in lists so that people know theirs again."""
CACHE_S: Final = 30.0
CACHED_KEYS_MAX: Final = 10_000
"""Found and not found; about 1 kB each. The oldest are forgotten."""
NO_DIGEST: Final = "0" * 64
LOOK_BACK_S: Final = 60.0
"""Clocks of two processes may differ by so much, and a revocation is still noticed."""
NAME_CHARS_MAX: Final = 200
KEYS_MAX: Final = 1_000
"""Of one account, the revoked ones not counted."""

Scope = Literal["realtime", "pipeline", "admin"]
SCOPES: Final[tuple[Scope, ...]] = ("realtime", "pipeline", "admin")


class Rules(msgspec.Struct, frozen=True, kw_only=True, omit_defaults=True):
    """What a key may do. Nothing listed: all models, all voices; no number: no limit of its own."""

    scopes: tuple[Scope, ...] = ("realtime", "pipeline")
    models: tuple[str, ...] = ()
    voices: tuple[str, ...] = ()
    budgeted: bool = False
    """It has a budget: the ledger's account `ApiKey.budget`."""
    requests_per_minute: int | None = None
    sessions_at_once: int | None = None
    tokens_per_minute: int | None = None
    audio_minutes_per_day: int | None = None


class ApiKey(NamedTuple):
    """A key, without what opens. Moments are milliseconds of Unix time."""

    id: str
    hint: str
    account: str
    user: str
    project: str | None
    name: str
    rules: Rules
    created_at: int
    expires_at: int | None
    used_at: int | None
    revoked_at: int | None

    @property
    def budget(self) -> str | None:
        """Its account in the ledger, for `Ledger.allot` and holds."""
        return f"{self.id}:budget" if self.rules.budgeted else None

    def allow(self, scope: Scope, model: str | None = None, voice: str | None = None) -> None:
        """Raises `RequestError` with `key_not_allowed`."""
        if scope not in self.rules.scopes:
            raise RequestError("key_not_allowed", f"This API key is not for {scope!r}.")
        if model is not None and self.rules.models and model not in self.rules.models:
            raise RequestError("key_not_allowed", f"This API key is not for the model {model!r}.", "model")
        if voice is not None and self.rules.voices and voice not in self.rules.voices:
            raise RequestError("key_not_allowed", f"This API key is not for the voice {voice!r}.", "voice")


class Made(NamedTuple):
    """A new key; the only time that its value is seen."""

    value: str
    key: ApiKey


class _Known(NamedTuple):
    """A row as it is remembered. `digest` is compared; `blocked`: the person may not come in any more."""

    key: ApiKey
    digest: str
    blocked: bool


class _Cached(NamedTuple):
    known: _Known | None
    until: float


KEY_FIELDS: Final = (
    "k.id, k.hint, k.account, k.auth_user, k.project, k.name, k.rules, k.created_at, k.expires_at, k.used_at, "
    "k.revoked_at"
)


class KeyStore:
    """Belongs to one event loop. `now` is Unix seconds."""

    def __init__(
        self, storage: Storage, pepper: bytes, prefix: str = PREFIX, now: Callable[[], float] = time.time
    ) -> None:
        self._storage = storage
        self._pepper = hmac.digest(pepper, b"parley api key", hashlib.sha256)
        self._prefix = prefix
        self._now = now
        self._cache: dict[str, _Cached] = {}
        """By the letters that find a key."""
        self._used: dict[str, int] = {}
        """Key -> when it was used, since that was written down."""
        self._looked_at = now()
        self._seen_revoked: dict[str, int] = {}

    def is_key(self, secret: str) -> bool:
        """Whether this could be one of ours."""
        return secret.startswith(self._prefix) and len(secret) == len(self._prefix) + LOOKUP_CHARS + SECRET_CHARS

    # ---- at the door

    async def check(self, credential: Credential | None) -> ApiKey:
        """Whose key this is. Raises `RequestError` with `invalid_api_key`, which does not say what is wrong with it,
        and `EngineError` with `api_key_lookup_failed` when that cannot be found out (protocol.md 1.8).
        """
        if credential is None:
            raise RequestError("invalid_api_key", "No API key was sent. Send it as 'Authorization: Bearer KEY'.")
        at = self._now()
        known = await self._find(credential.secret, at) if self.is_key(credential.secret) else None
        expected = NO_DIGEST if known is None else known.digest
        same = hmac.compare_digest(self._digest(credential.secret), expected)
        if known is None or not same or not _is_good(known, int(at * 1_000)):
            raise RequestError("invalid_api_key", "Incorrect API key.")
        self._used[known.key.id] = int(at * 1_000)
        return known.key

    async def _find(self, secret: str, at: float) -> _Known | None:
        lookup = secret[len(self._prefix) :][:LOOKUP_CHARS]
        cached = self._cache.get(lookup)
        if cached is None or cached.until <= at:
            try:
                known = await self._storage.read(_find, lookup)
            except EngineError as error:
                raise EngineError("api_key_lookup_failed", "The key could not be looked up.", retryable=True) from error
            cached = self._remember(lookup, _Cached(known, at + CACHE_S))
        return cached.known

    def _remember(self, lookup: str, cached: _Cached) -> _Cached:
        self._cache.pop(lookup, None)
        self._cache[lookup] = cached
        while len(self._cache) > CACHED_KEYS_MAX:
            del self._cache[next(iter(self._cache))]
        return cached

    # ---- their owners

    async def create(
        self,
        account: str,
        user: str,
        name: str,
        rules: Rules | None = None,
        *,
        project: str | None = None,
        expires_at: int | None = None,
    ) -> Made:
        """Raises `RequestError`: `invalid_value`, `too_many_keys`, `project_not_found`, `user_not_found`."""
        name = name.strip()
        if not name or len(name) > NAME_CHARS_MAX or not name.isprintable():
            raise RequestError("invalid_value", f"A name has 1 to {NAME_CHARS_MAX} printable characters.", "name")
        at = self._ms()
        if expires_at is not None and expires_at <= at:
            raise RequestError("invalid_value", "A key cannot expire in the past.", "expires_at")
        lookup, secret = _letters(LOOKUP_CHARS), _letters(SECRET_CHARS)
        value = f"{self._prefix}{lookup}{secret}"
        hint = f"{self._prefix}{lookup[:HINT_CHARS]}…{secret[-HINT_CHARS:]}"
        key = ApiKey(
            new_id("key"), hint, account, user, project, name, rules or Rules(), at, expires_at, None, None
        )  # fmt: skip
        await self._storage.transaction(_create, key, lookup, self._digest(value))
        return Made(value, key)

    async def keys(self, account: str) -> list[ApiKey]:
        """All of an account, newest first, the revoked ones too."""
        return await self._storage.read(_keys, account)

    async def key(self, account: str, id: str) -> ApiKey:
        """Raises `RequestError` with `key_not_found`."""
        return await self._storage.read(_key, account, id)

    async def still_good(self, account: str, id: str) -> ApiKey:
        """A key that was checked before, as it is now. Raises `RequestError` with `invalid_api_key`."""
        known = await self._storage.read(_known, account, id)
        if known is None or not _is_good(known, self._ms()):
            raise RequestError("invalid_api_key", "The API key behind this is not valid any more.")
        return known.key

    async def change(self, account: str, id: str, rules: Rules) -> ApiKey:
        """Other rules, from now on. Raises `RequestError` with `key_not_found`."""
        key = await self._storage.transaction(_change, account, id, rules)
        self._forget({id})
        return key

    async def revoke(self, account: str, id: str) -> None:
        """It opens nothing any more; done twice is done once. Raises `RequestError` with `key_not_found`."""
        await self._storage.transaction(_revoke, account, id, self._ms())
        self._forget({id})

    async def newly_revoked(self) -> list[str]:
        """Keys that were revoked since the last look, by whichever process, or whose person was disabled.

        To be asked twice a second; what runs with one of them is then to be closed.
        """
        at = self._now()
        found = await self._storage.read(_revoked_since, int((self._looked_at - LOOK_BACK_S) * 1_000))
        fresh = [id for id, when in found if self._seen_revoked.get(id) != when]
        self._looked_at, self._seen_revoked = at, dict(found)
        self._forget(fresh)
        return fresh

    async def write_used(self) -> None:
        """Writes down when keys were last used; once a minute is enough."""
        used, self._used = self._used, {}
        if used:
            await self._storage.transaction(_write_used, used)

    # ---- inside

    def _forget(self, ids: Iterable[str]) -> None:
        gone = set(ids)
        if gone:
            self._cache = {
                lookup: cached
                for lookup, cached in self._cache.items()
                if cached.known is None or cached.known.key.id not in gone
            }

    def _digest(self, value: str) -> str:
        return hmac.digest(self._pepper, value.encode(), hashlib.sha256).hex()

    def _ms(self) -> int:
        return int(self._now() * 1_000)


def _is_good(known: _Known, at: int) -> bool:
    key = known.key
    return key.revoked_at is None and not known.blocked and (key.expires_at is None or key.expires_at > at)


def _letters(count: int) -> str:
    return "".join(secrets.choice(ALPHABET) for _ in range(count))


# ---- scripts


def _key_of(row: Row) -> ApiKey:
    id, hint, account, user, project, name, rules, *moments = row[:11]
    return ApiKey(id, hint, account, user, project, name, msgspec.json.decode(rules, type=Rules), *moments)


def _written(rules: Rules) -> str:
    return msgspec.json.encode(rules).decode()


KNOWN: Final = f"SELECT {KEY_FIELDS}, k.digest, u.disabled_at FROM api_key k JOIN auth_user u ON u.id = k.auth_user "  # noqa: S608


def _find(lookup: str) -> Script[_Known | None]:
    return _only((yield Sql(f"{KNOWN} WHERE k.lookup = $1", (lookup,))))


def _known(account: str, id: str) -> Script[_Known | None]:
    return _only((yield Sql(f"{KNOWN} WHERE k.account = $1 AND k.id = $2", (account, id))))


def _only(rows: list[Row]) -> _Known | None:
    return _Known(_key_of(rows[0]), rows[0][-2], rows[0][-1] is not None) if rows else None


def _create(key: ApiKey, lookup: str, digest: str) -> Script[None]:
    rows = yield Sql("SELECT id FROM auth_user WHERE id = $1 AND account = $2", (key.user, key.account))
    if not rows:
        raise RequestError("user_not_found", "There is no such person.")
    if key.project is not None:
        rows = yield Sql(
            "SELECT id FROM project WHERE id = $1 AND account = $2 AND archived_at IS NULL", (key.project, key.account)
        )
        if not rows:
            raise RequestError("project_not_found", "There is no such project.", "project")
    rows = yield Sql("SELECT COUNT(*) FROM api_key WHERE account = $1 AND revoked_at IS NULL", (key.account,))
    if rows[0][0] >= KEYS_MAX:
        raise RequestError("too_many_keys", f"An account has at most {KEYS_MAX} keys; revoke some first.")
    yield Sql(
        "INSERT INTO api_key (id, hint, account, auth_user, project, name, rules, created_at, expires_at, used_at, "
        "revoked_at, lookup, digest) VALUES ($1, $2, $3, $4, $5, $6, $7, $8, $9, $10, $11, $12, $13)",
        (*key._replace(rules=_written(key.rules)), lookup, digest),  # type: ignore[arg-type]
    )


def _keys(account: str) -> Script[list[ApiKey]]:
    rows = yield Sql(
        f"SELECT {KEY_FIELDS} FROM api_key k WHERE k.account = $1 ORDER BY k.created_at DESC, k.id",  # noqa: S608
        (account,),
    )
    return [_key_of(row) for row in rows]


def _key(account: str, id: str) -> Script[ApiKey]:
    rows = yield Sql(f"SELECT {KEY_FIELDS} FROM api_key k WHERE k.account = $1 AND k.id = $2", (account, id))  # noqa: S608
    if not rows:
        raise RequestError("key_not_found", "There is no such key.")
    return _key_of(rows[0])


def _change(account: str, id: str, rules: Rules) -> Script[ApiKey]:
    key = yield from _key(account, id)
    yield Sql("UPDATE api_key SET rules = $2 WHERE id = $1", (id, _written(rules)))
    return key._replace(rules=rules)


def _revoke(account: str, id: str, at: int) -> Script[None]:
    yield from _key(account, id)
    yield Sql("UPDATE api_key SET revoked_at = $2 WHERE id = $1 AND revoked_at IS NULL", (id, at))


def _revoked_since(at: int) -> Script[list[tuple[str, int]]]:
    revoked = yield Sql("SELECT id, revoked_at FROM api_key WHERE revoked_at >= $1", (at,))
    disabled = yield Sql(
        "SELECT k.id, u.disabled_at FROM auth_user u JOIN api_key k ON k.auth_user = u.id "
        "WHERE u.disabled_at >= $1 AND k.revoked_at IS NULL",
        (at,),
    )
    return [(str(id), int(when)) for id, when in (*revoked, *disabled)]


def _write_used(used: dict[str, int]) -> Script[None]:
    yield Each(
        "UPDATE api_key SET used_at = $2 WHERE id = $1 AND (used_at IS NULL OR used_at < $2)", sorted(used.items())
    )
