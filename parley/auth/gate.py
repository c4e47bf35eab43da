"""The one place where a credential becomes somebody: every door asks here, so that all of them decide alike.

A key may do everything in its account. A client secret may start the sessions that it was made for, and reach the
calls that it has started; it makes no secrets and sees no other calls.
"""

from typing import Final, NamedTuple

from parley.auth.api_keys import ApiKeys
from parley.auth.client_secrets import Binding, ClientSecrets, is_secret
from parley.auth.credentials import Credential
from parley.errors import RequestError

LOCAL_ACCOUNT: Final = "local"
"""Whose the local key is, until there are accounts."""


class Bearer(NamedTuple):
    """Who is asking. `secret_id` is set when it is by a client secret."""

    account: str
    secret_id: str | None = None

    def may_reach(self, owner: "Bearer") -> bool:
        """Whether what `owner` has started is there for this bearer."""
        return self.account == owner.account and self.secret_id in (None, owner.secret_id)


class Admitted(NamedTuple):
    """Somebody who may start a session; with a client secret, the session that it is bound to."""

    bearer: Bearer
    binding: Binding | None


class Gate:
    def __init__(self, keys: ApiKeys, secrets: ClientSecrets) -> None:
        self._keys = keys
        self._secrets = secrets

    async def admit(self, credential: Credential | None, origin: str | None) -> Admitted:
        """To start a session; spends a use of a client secret. Raises `RequestError`."""
        if credential is None or not is_secret(credential.secret):
            return Admitted(self._of_key(credential), None)
        used = await self._secrets.use(credential.secret, origin)
        return Admitted(Bearer(used.binding.account, used.id), used.binding)

    async def know(self, credential: Credential | None, origin: str | None) -> Bearer:
        """To reach what is running. Raises `RequestError`."""
        if credential is None or not is_secret(credential.secret):
            return self._of_key(credential)
        used = await self._secrets.look(credential.secret, origin)
        return Bearer(used.binding.account, used.id)

    def trust(self, credential: Credential | None) -> Bearer:
        """For what takes a key, such as making client secrets (protocol.md 1.2). Raises `RequestError`."""
        if credential is not None and is_secret(credential.secret):
            raise RequestError("client_secret_not_allowed", "A client secret cannot do this; use an API key.")
        return self._of_key(credential)

    def _of_key(self, credential: Credential | None) -> Bearer:
        self._keys.check(credential)
        return Bearer(LOCAL_ACCOUNT)
