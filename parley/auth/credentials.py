"""What a client presents to show who it is, by every door (protocol.md 1.1, 1.8). Whether it is good, others decide."""

import re
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Final, Literal

from parley.errors import RequestError

SECRET_CHARS_MAX: Final = 1_024
SUBPROTOCOL: Final = "openai-insecure-api-key."
KEY_HEADERS: Final[tuple[Literal["x-api-key", "api-key"], ...]] = ("x-api-key", "api-key")
QUERY_NAMES: Final = frozenset(
    {"api_key", "apikey", "api-key", "x-api-key", "key", "token", "access_token", "authorization", "client_secret"}
)
"""Names under which keys were seen in URLs. URLs end up in logs and histories: a key in one is refused, good or not."""

Source = Literal["authorization", "x-api-key", "api-key", "subprotocol"]

_SECRET = re.compile(rf"[\x21-\x7e]{{1,{SECRET_CHARS_MAX}}}")
_BEARER = re.compile(r"bearer +([^ ]+) *", re.IGNORECASE)


@dataclass(frozen=True, slots=True)
class Credential:
    """A key or client secret, and how it came. The secret stays out of `repr`, so that no log line shows it."""

    secret: str = field(repr=False)
    source: Source


def presented(
    headers: Mapping[str, str], subprotocols: Sequence[str] = (), query: Iterable[str] = ()
) -> Credential | None:
    """The credential of a request, or None. `headers` has lower-case names, `query` the names of the parameters.

    Where several came, the first of `Authorization`, `x-api-key`, `api-key`, subprotocol counts.
    Raises `RequestError`: `key_in_query`, or `invalid_api_key` for one that cannot be a key.
    """
    for name in query:
        if name.lower() in QUERY_NAMES:
            raise RequestError(
                "key_in_query", f"Do not put a key into the URL ('{name.lower()}'). Send it in a header."
            )
    found = _header(headers) or _subprotocol(subprotocols)
    if found is not None and not _SECRET.fullmatch(found.secret):
        raise RequestError("invalid_api_key", f"The key in '{found.source}' is empty or not a key.")
    return found


def _header(headers: Mapping[str, str]) -> Credential | None:
    authorization = headers.get("authorization")
    if authorization is not None:
        bearer = _BEARER.fullmatch(authorization.strip())
        if bearer is None:
            raise RequestError(
                "invalid_api_key", "Malformed Authorization header. Expected 'Authorization: Bearer KEY'."
            )
        return Credential(bearer[1], "authorization")
    for name in KEY_HEADERS:
        if name in headers:
            return Credential(headers[name].strip(), name)
    return None


def _subprotocol(subprotocols: Sequence[str]) -> Credential | None:
    for token in subprotocols:
        if token.startswith(SUBPROTOCOL):
            return Credential(token.removeprefix(SUBPROTOCOL), "subprotocol")
    return None
