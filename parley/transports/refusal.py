"""How an error looks over HTTP: a status, and the envelope that OpenAI's SDKs read (protocol.md 8.1)."""

from collections.abc import Mapping
from typing import Final

import msgspec

from parley.auth.limits import RateLimited
from parley.errors import ERRORS, EngineError, RequestError
from parley.transports.rate_headers import refusal_headers

AnyError = RequestError | EngineError

UNKNOWN_CODE: Final = ERRORS["internal_error"]

CHALLENGE: Final = {"www-authenticate": "Bearer"}
RETRY_AFTER: Final = {"retry-after": "1"}
EXTRA_HEADERS: Final[Mapping[int, Mapping[str, str]]] = {
    401: CHALLENGE,
    426: {"upgrade": "websocket", "connection": "Upgrade", "sec-websocket-version": "13"},
    429: RETRY_AFTER,
    503: RETRY_AFTER,
}
"""Headers that a status is not complete without (RFC 9110)."""


def status(error: AnyError) -> int:
    return ERRORS.get(error.code, UNKNOWN_CODE).http


def body(error: AnyError) -> bytes:
    """The envelope as JSON."""
    row = ERRORS.get(error.code, UNKNOWN_CODE)
    param = error.param if isinstance(error, RequestError) else None
    return msgspec.json.encode(
        {"error": {"message": error.message, "type": row.type, "param": param, "code": error.code}}
    )


def headers(error: AnyError) -> dict[str, str]:
    """What goes with the envelope, its length excepted."""
    limited = refusal_headers(error) if isinstance(error, RateLimited) else {}
    return {"content-type": "application/json", **EXTRA_HEADERS.get(status(error), {}), **limited}
