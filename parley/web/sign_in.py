"""Who may use the console: one-time links, signed cookies, and proof that a request comes from our own page.

The token of the link travels in the fragment, which browsers never send: it stands in no log and no referrer. The
cookie opens `/api` only. `/v1` knows no cookies; the page calls it with a credential that it is given.

A page elsewhere must not drive a Parley on localhost, so everything that the cookie opens also asks: is the name under
which we were called one of ours (DNS rebinding)? Does the request come from our own page (`Origin`, `Sec-Fetch-Site`)?
Does it know the CSRF token, which only our page can read?
"""

import hashlib
import hmac
import ipaddress
import secrets
import time
from collections import OrderedDict
from collections.abc import Callable, Iterable
from typing import Final
from urllib.parse import urlsplit

from starlette.requests import Request
from starlette.responses import Response

from parley.errors import RequestError

COOKIE: Final = "parley_console"
COOKIE_S: Final = 30 * 86_400
CSRF_HEADER: Final = "x-parley-csrf"
LINK_S: Final = 86_400
"""How long a one-time link waits to be used."""
LINKS_MAX: Final = 16
"""Unused links; more forget the oldest."""


class SignIn:
    """One-time links and signed cookies. `secret` signs; whoever changes it signs everybody out.

    A cookie is ``expires.nonce.signature``. Nothing is stored about it, so that a restart signs nobody out.
    `now` is Unix seconds.
    """

    def __init__(self, secret: bytes, now: Callable[[], float] = time.time) -> None:
        self._key = hmac.digest(secret, b"parley console", hashlib.sha256)
        self._now = now
        self._links: OrderedDict[bytes, float] = OrderedDict()
        """Hash of an unused token -> when it expires."""

    def new_link(self, url: str) -> str:
        """A link that signs in the one who opens it first. `url` is where this server is reached."""
        token = secrets.token_urlsafe(24)
        self._links[_hash(token)] = self._now() + LINK_S
        while len(self._links) > LINKS_MAX:
            self._links.popitem(last=False)
        return f"{url}/console/#sign-in={token}"

    def use(self, token: str) -> None:
        """Raises `RequestError` with `sign_in_required` when the token is unknown, used or too old."""
        expires = self._links.pop(_hash(token), 0.0)
        if expires <= self._now():
            raise RequestError("sign_in_required", "This sign-in link was already used or has expired.")

    def cookie(self) -> str:
        body = f"{int(self._now()) + COOKIE_S}.{secrets.token_urlsafe(12)}"
        return f"{body}.{self._sign('cookie', body)}"

    def check(self, cookie: str | None) -> str:
        """The CSRF token that belongs to a valid cookie. Raises `RequestError` with `sign_in_required`."""
        body, _, signature = (cookie or "").rpartition(".")
        expires = body.partition(".")[0]
        good = hmac.compare_digest(self._sign("cookie", body).encode(), signature.encode())
        if not (good and expires.isdecimal() and int(expires) > self._now()):
            raise RequestError("sign_in_required", "Sign in with the link that `parley serve` prints, or an API key.")
        return self._sign("csrf", cookie or "")

    def _sign(self, purpose: str, text: str) -> str:
        return hmac.digest(self._key, f"{purpose}\0{text}".encode(), hashlib.sha256).hex()


def _hash(token: str) -> bytes:
    return hashlib.sha256(token.encode()).digest()


def check_host(request: Request, allowed: Iterable[str]) -> str:
    """The `Host` of a request, lower case, with its port. Raises `RequestError` with `host_not_allowed`.

    An address in figures cannot be rebound to another machine; a name can, so names must be known.
    """
    host = request.headers.get("host", "").lower()
    name = split_host(host)[0]
    if not (_is_address(name) or name == "localhost" or name.endswith(".localhost") or _matches(name, allowed)):
        raise RequestError("host_not_allowed", f"This server does not answer to the name {name[:100]!r}.")
    return host


def split_host(host: str) -> tuple[str, int | None]:
    """Name and port of a `Host` header; no name where it makes no sense."""
    try:
        parts = urlsplit(f"//{host}")
        return parts.hostname or "", parts.port
    except ValueError:
        return "", None


def _is_address(name: str) -> bool:
    try:
        ipaddress.ip_address(name)
    except ValueError:
        return False
    return True


def _matches(name: str, allowed: Iterable[str]) -> bool:
    return any(
        name.endswith(entry[1:]) if entry.startswith("*.") else name == entry
        for entry in (entry.lower() for entry in allowed)
    )


def check_same_origin(request: Request, host: str) -> None:
    """That our own page sent it. Raises `RequestError` with `origin_not_allowed`.

    Browsers send `Origin` with everything that is not GET or HEAD, and `Sec-Fetch-Site` with everything.
    """
    origin = request.headers.get("origin")
    site = request.headers.get("sec-fetch-site", "same-origin")
    foreign = origin is not None and urlsplit(origin).netloc.lower() != host
    missing = origin is None and request.method not in ("GET", "HEAD")
    if foreign or missing or site not in ("same-origin", "none"):
        raise RequestError("origin_not_allowed", "Only the console's own page may call this.")


def check_csrf(request: Request, csrf: str) -> None:
    """That whoever changes something has read the token. Raises `RequestError` with `origin_not_allowed`."""
    given = request.headers.get(CSRF_HEADER, "")
    if request.method not in ("GET", "HEAD") and not hmac.compare_digest(given.encode(), csrf.encode()):
        raise RequestError("origin_not_allowed", "The CSRF token is missing or wrong; reload the page.")


def cookie_name(host: str) -> str:
    """Browsers do not tell ports apart; two servers on one machine must not sign each other's pages out."""
    port = split_host(host)[1]
    return COOKIE if port is None else f"{COOKIE}_{port}"


def set_cookie(response: Response, request: Request, host: str, value: str, max_age_s: int = COOKIE_S) -> None:
    """`max_age_s` 0 takes the cookie away."""
    # The page's own idea of the scheme: in front of us may stand a proxy that ends TLS.
    secure = request.headers.get("origin", "").startswith("https:")
    response.set_cookie(
        cookie_name(host), value, max_age=max_age_s, path="/api", secure=secure, httponly=True, samesite="strict"
    )
