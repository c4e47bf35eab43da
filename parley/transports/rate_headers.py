"""How limits look over HTTP: `Retry-After` (RFC 9110, 10.2.3), and the `x-ratelimit-…` of the hosted API."""

import math
from collections.abc import Iterable

from parley.auth.limits import RateLimited
from parley.core.rates import SHOWN, Rate


def rate_headers(rates: Iterable[Rate]) -> dict[str, str]:
    """Limit, what is left of it, and the time until all of it is there again: of requests and of tokens."""
    headers = {}
    for rate in rates:
        if rate.name in SHOWN:
            headers[f"x-ratelimit-limit-{rate.name}"] = str(rate.limit)
            headers[f"x-ratelimit-remaining-{rate.name}"] = str(rate.remaining)
            headers[f"x-ratelimit-reset-{rate.name}"] = duration(rate.reset_s)
    return headers


def refusal_headers(error: RateLimited) -> dict[str, str]:
    """What goes with a 429."""
    return {"retry-after": str(max(1, math.ceil(error.retry_s))), **rate_headers(error.rates)}


def duration(seconds: float) -> str:
    """As the hosted API writes it: ``0s``, ``120ms``, ``59s``, ``6m0s``."""
    ms = math.ceil(seconds * 1_000)
    if 0 < ms < 1_000:
        return f"{ms}ms"
    minutes, rest = divmod(math.ceil(seconds), 60)
    return f"{minutes}m{rest}s" if minutes else f"{rest}s"
