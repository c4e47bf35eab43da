"""The one place where a credential becomes somebody: every door asks here, so that all of them decide alike.

A key may do in its account what its rules allow. A client secret may start the sessions that it was made for, and reach
the calls that it has started; it makes no secrets and sees no other calls.
"""

from typing import Final, NamedTuple

from parley.auth.api_keys import ApiKeys
from parley.auth.client_secrets import Binding, ClientSecrets, Used, is_secret
from parley.auth.credentials import Credential
from parley.auth.keys_store import ApiKey, KeyStore, Scope
from parley.errors import RequestError

LOCAL_ACCOUNT: Final = "local"
"""Whose the local key is: the operator's."""
LOCAL_USER: Final = "user_local"


class Bearer(NamedTuple):
    """Who is asking: by a client secret (`secret_id`), by a key of an account, by the local key, or at the console."""

    account: str
    secret_id: str | None = None
    user: str | None = None
    key: ApiKey | None = None

    def may_reach(self, owner: "Bearer") -> bool:
        """Whether what `owner` has started is there for this bearer."""
        return self.account == owner.account and self.secret_id in (None, owner.secret_id)

    def allow(self, scope: Scope, model: str | None = None, voice: str | None = None) -> None:
        """Raises `RequestError` with `key_not_allowed`."""
        if self.key is not None:
            self.key.allow(scope, model, voice)


class Admitted(NamedTuple):
    """Somebody who may start a session; with a client secret, the session that it is bound to."""

    bearer: Bearer
    binding: Binding | None


LOCAL: Final = Bearer(LOCAL_ACCOUNT, user=LOCAL_USER)


class Gate:
    """Methods raise `RequestError`, and `EngineError` with `api_key_lookup_failed` when it cannot be found out."""

    def __init__(self, local: ApiKeys, keys: KeyStore, secrets: ClientSecrets) -> None:
        self._local = local
        self._keys = keys
        self._secrets = secrets

    async def admit(self, credential: Credential | None, origin: str | None) -> Admitted:
        """To start a session; spends a use of a client secret."""
        if credential is None or not is_secret(credential.secret):
            return Admitted(await self._of_key(credential), None)
        used = await self._secrets.use(credential.secret, origin)
        return Admitted(await self._of_secret(used), used.binding)

    async def know(self, credential: Credential | None, origin: str | None) -> Bearer:
        """To reach what is running."""
        if credential is None or not is_secret(credential.secret):
            return await self._of_key(credential)
        return await self._of_secret(await self._secrets.look(credential.secret, origin))

    async def trust(self, credential: Credential | None) -> Bearer:
        """For what takes a key, such as making client secrets (protocol.md 1.2)."""
        if credential is not None and is_secret(credential.secret):
            raise RequestError("client_secret_not_allowed", "A client secret cannot do this; use an API key.")
        return await self._of_key(credential)

    async def _of_key(self, credential: Credential | None) -> Bearer:
        if credential is not None and self._keys.is_key(credential.secret) and not self._local.knows(credential):
            key = await self._keys.check(credential)
            return Bearer(key.account, user=key.user, key=key)
        self._local.check(credential)
        return LOCAL

    async def _of_secret(self, used: Used) -> Bearer:
        """A secret is worth no more than the key that made it is now."""
        binding = used.binding
        key = None if binding.api_key is None else await self._keys.still_good(binding.account, binding.api_key)
        return Bearer(binding.account, used.id, binding.user, key)
