"""Client secrets: short-lived keys for browsers, each bound to a session's configuration (protocol.md 1.2, 1.5).

    secrets = ClientSecrets(MemoryStore(), pepper)
    minted = await secrets.mint(binding, seconds=600)     # the value is told once and not kept
    binding = await secrets.use(minted.value, origin)     # spends one use

What is bound: the account, the dialect, the type of session, its model where one was named, and the configuration that
it begins with (which `session.update` may change, the model and the type excepted: the core sees to that). A secret may
start several sessions until it expires, unless it was made with a number of uses; sessions outlive it. An attempt is a
use, whether or not a session comes of it.

Only HMAC-SHA256 of a secret is stored, under a pepper that lies in a file of its own: who reads the store cannot use
what is in it.
"""

import hashlib
import hmac
import os
import secrets
import time
from collections.abc import Callable
from pathlib import Path
from typing import Final, Literal, NamedTuple, Protocol

import msgspec

from parley.core.config import SessionConfig
from parley.errors import RequestError

PREFIX: Final = "ek_"
SECRET_BYTES: Final = 24
SECONDS_MIN: Final = 10
SECONDS_MAX: Final = 7_200
SECONDS_DEFAULT: Final = 600
"""protocol.md 1.2."""
BETA_SECONDS_DEFAULT: Final = 60
"""protocol.md 1.5."""
USES_MAX: Final = 10_000
ORIGINS_MAX: Final = 16
SECRETS_MAX: Final = 100_000
"""Unexpired ones in memory, about 2 kB each; the next is refused."""
REMEMBERED_S: Final = 300.0
"""For so long after its end a secret is answered with the reason."""
SWEEP_S: Final = 10.0
"""How often at most the memory is searched for expired secrets."""

PEPPER_FILE: Final = "pepper"
PEPPER_BYTES: Final = 32
OWNER_ONLY: Final = 0o600

DialectName = Literal["ga", "beta"]


class Binding(msgspec.Struct, frozen=True, kw_only=True):
    """What a secret is good for."""

    account: str
    user: str | None = None
    api_key: str | None = None
    """The id of the key that made the secret, and whose rules hold for it; none for the local one."""
    dialect: DialectName
    config: SessionConfig
    model_bound: bool
    """Whether the model was named when the secret was made; else the client names one."""
    origins: tuple[str, ...] = ()
    """Web origins that may use it; none: all, and clients that are no browsers."""
    safety_identifier: str | None = None
    """Of the end user, as the developer's server told it (protocol.md 1.1)."""


class Kept(msgspec.Struct, frozen=True, kw_only=True):
    """A secret as a store keeps it."""

    digest: bytes
    binding: Binding
    expires_at: float
    uses_left: int | None
    """None: any number."""


class Minted(NamedTuple):
    """A new secret; the only time that its value is seen. `expires_at` is Unix time."""

    value: str
    expires_at: int


class Used(NamedTuple):
    """A secret that was found good. `id` names it among others, and tells nothing about it."""

    id: str
    binding: Binding


class Store(Protocol):
    """Where secrets are kept."""

    async def keep(self, kept: Kept, now: float) -> bool:
        """False when there is no room."""
        ...

    async def find(self, digest: bytes) -> Kept | None:
        """Also one that has expired or is used up, for some time."""
        ...

    async def spend(self, digest: bytes, now: float) -> Kept | None:
        """Takes one use of an unexpired secret, or says None. Of many who want the last use, one gets it."""
        ...


class MemoryStore:
    """For one process. Each method is one step of the event loop, so that nothing comes between check and write."""

    def __init__(self) -> None:
        self._kept: dict[bytes, Kept] = {}
        self._swept_at = float("-inf")

    async def keep(self, kept: Kept, now: float) -> bool:
        self._sweep(now)
        if len(self._kept) >= SECRETS_MAX:
            return False
        self._kept[kept.digest] = kept
        return True

    async def find(self, digest: bytes) -> Kept | None:
        return self._kept.get(digest)

    async def spend(self, digest: bytes, now: float) -> Kept | None:
        kept = self._kept.get(digest)
        if kept is None or kept.expires_at <= now or kept.uses_left == 0:
            return None
        if kept.uses_left is not None:
            kept = self._kept[digest] = msgspec.structs.replace(kept, uses_left=kept.uses_left - 1)
        return kept

    def _sweep(self, now: float) -> None:
        if now - self._swept_at < SWEEP_S:
            return
        self._swept_at = now
        self._kept = {digest: kept for digest, kept in self._kept.items() if kept.expires_at + REMEMBERED_S > now}


class ClientSecrets:
    """Makes secrets and knows them again. `now` is Unix time."""

    def __init__(self, store: Store, pepper: bytes, now: Callable[[], float] = time.time) -> None:
        self._store = store
        self._pepper = pepper
        self._now = now

    async def mint(self, binding: Binding, *, seconds: int, uses: int | None = None) -> Minted:
        """Raises `RequestError` with `too_many_client_secrets`."""
        value = PREFIX + secrets.token_urlsafe(SECRET_BYTES)
        now = self._now()
        expires_at = int(now) + seconds
        kept = Kept(digest=self._digest(value), binding=binding, expires_at=expires_at, uses_left=uses)
        if not await self._store.keep(kept, now):
            raise RequestError("too_many_client_secrets", f"{SECRETS_MAX} client secrets are waiting to be used.")
        return Minted(value, expires_at)

    async def use(self, value: str, origin: str | None) -> Used:
        """Spends a use. Raises `RequestError`: not ours, over, used up, or not for this origin."""
        found = await self.look(value, origin)
        if await self._store.spend(self._digest(value), self._now()) is None:
            raise RequestError("client_secret_used", "This client secret has been used as often as it may be.")
        return found

    async def look(self, value: str, origin: str | None) -> Used:
        """Like `use`, but spends nothing: for what belongs to a session that the secret has started."""
        digest = self._digest(value)
        kept = await self._store.find(digest)
        if kept is None:
            raise RequestError("invalid_api_key", "Incorrect client secret. Make a new one: they live for minutes.")
        if kept.expires_at <= self._now():
            raise RequestError("client_secret_expired", "This client secret has expired. Make a new one.")
        if kept.binding.origins and origin not in kept.binding.origins:
            raise RequestError("client_secret_origin", "This client secret is not for this web origin.")
        return Used(digest.hex()[:16], kept.binding)

    def _digest(self, value: str) -> bytes:
        return hmac.digest(self._pepper, value.encode(), hashlib.sha256)


def is_secret(value: str) -> bool:
    return value.startswith(PREFIX)


def read_pepper(home: Path) -> bytes:
    """The pepper of this installation, made at the first call and readable by its owner only.

    Where nothing can be written it is made up anew each time, and secrets do not outlive the process.
    """
    place = home / PEPPER_FILE
    try:
        return place.read_bytes() if place.exists() else _make_pepper(place)
    except OSError:
        return secrets.token_bytes(PEPPER_BYTES)


def _make_pepper(place: Path) -> bytes:
    place.parent.mkdir(parents=True, exist_ok=True, mode=0o700)
    # Written aside and linked: two first starts at once must not have two peppers.
    draft = place.with_name(f"{PEPPER_FILE}.{os.getpid()}.{secrets.token_hex(4)}")
    descriptor = os.open(draft, os.O_WRONLY | os.O_CREAT | os.O_EXCL, OWNER_ONLY)
    with os.fdopen(descriptor, "wb") as file:
        file.write(secrets.token_bytes(PEPPER_BYTES))
    try:
        os.link(draft, place)
    except FileExistsError:
        pass  # another first start was faster
    finally:
        draft.unlink()
    return place.read_bytes()
