"""The operator's own key: the local one, which the first start makes, or the one that the environment brings.

Keys of accounts are in `keys_store`.
"""

import hmac
import os
import secrets
from collections.abc import Iterable
from pathlib import Path
from typing import Final

from parley.auth.credentials import Credential
from parley.errors import RequestError

PREFIX: Final = "sk-parley-"
KEY_FILE: Final = "local.key"
KEY_BYTES: Final = 24
OWNER_ONLY: Final = 0o600


class ApiKeys:
    """The keys that open this server."""

    def __init__(self, keys: Iterable[str]) -> None:
        self._keys = tuple(key.encode() for key in keys)

    def knows(self, credential: Credential) -> bool:
        """Takes the same time for each key."""
        given = credential.secret.encode()
        return sum([hmac.compare_digest(given, key) for key in self._keys]) > 0

    def check(self, credential: Credential | None) -> None:
        """Raises `RequestError` with `invalid_api_key` unless this is one of the keys."""
        if credential is None:
            raise RequestError("invalid_api_key", "No API key was sent. Send it as 'Authorization: Bearer KEY'.")
        if not self.knows(credential):
            raise RequestError(
                "invalid_api_key", "Incorrect API key. `parley serve` prints the local one when it starts."
            )


def read_local_key(home: Path) -> str | None:
    """The local key of an earlier start, or None. Raises `OSError`."""
    try:
        return (home / KEY_FILE).read_text("ascii").strip() or None
    except FileNotFoundError:
        return None


def make_local_key(home: Path) -> str:
    """Makes a key and keeps it in `home`, readable by its owner only. Raises `OSError`."""
    key = PREFIX + secrets.token_urlsafe(KEY_BYTES)
    home.mkdir(parents=True, exist_ok=True, mode=0o700)
    # Written aside and moved: two first starts at once must not leave half a key.
    draft = home / f"{KEY_FILE}.{os.getpid()}"
    descriptor = os.open(draft, os.O_WRONLY | os.O_CREAT | os.O_TRUNC, OWNER_ONLY)
    with os.fdopen(descriptor, "w", encoding="ascii") as file:
        file.write(key + "\n")
    try:
        os.link(draft, home / KEY_FILE)
    except FileExistsError:
        return read_local_key(home) or key
    finally:
        draft.unlink()
    return key
