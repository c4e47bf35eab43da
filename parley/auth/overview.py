"""Keys of all accounts, for the operator."""

from parley.errors import RequestError
from parley.storage import Script, Sql, Storage


async def account_of_key(storage: Storage, id: str) -> str:
    """Raises `RequestError` with `key_not_found`."""
    return await storage.read(_account_of_key, id)


def _account_of_key(id: str) -> Script[str]:
    rows = yield Sql("SELECT account FROM api_key WHERE id = $1", (id,))
    if not rows:
        raise RequestError("key_not_found", "There is no such key.")
    return str(rows[0][0])
