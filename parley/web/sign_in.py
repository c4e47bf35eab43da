"""Who is at the console: the cookie of somebody who signed in, and proof that a request comes from our own page.

The token of a link travels in the fragment, which browsers never send: it stands in no log and no referrer. The cookie
opens `/api` only. `/v1` knows no cookies; the page calls it with a credential that it is given.

A page elsewhere must not drive a Parley on localhost, so everything that the cookie opens also asks: is the name under
which we were called one of ours (DNS rebinding)? Does the request come from our own page (`Origin`, `Sec-Fetch-Site`)?
Does it know the CSRF token, which only our page can read?
"""

import hashlib
import hmac
import ipaddress
from collections.abc import Iterable
from typing import Final, NamedTuple
from urllib.parse import urlsplit

from starlette.requests import Request
from starlette.responses import JSONResponse, Response
from starlette.routing import Route

from parley.auth.accounts import SESSION_S, Accounts, User
from parley.auth.gate import LOCAL_USER
from parley.errors import RequestError

COOKIE: Final = "parley_console"
CSRF_HEADER: Final = "x-parley-csrf"


class Visitor(NamedTuple):
    """Who is signed in. `csrf` belongs to the cookie; `session` is what may be ended."""

    user: User
    csrf: str
    session: str


class SignIn:
    """The cookie is the token of a session that `Accounts` keeps. `secret` signs CSRF tokens."""

    def __init__(self, accounts: Accounts, secret: bytes) -> None:
        self._accounts = accounts
        self._key = hmac.digest(secret, b"parley console", hashlib.sha256)

    async def new_link(self, url: str, user: str = LOCAL_USER) -> str:
        """A link that signs in the one who opens it first. `url` is where this server is reached."""
        return link_of(url, await self._accounts.new_link(user))

    async def check(self, cookie: str | None) -> Visitor:
        """Raises `RequestError` with `sign_in_required`."""
        if not cookie:
            raise RequestError("sign_in_required", "Sign in with the link that `parley serve` prints, or an API key.")
        session = await self._accounts.session(cookie)
        csrf = hmac.digest(self._key, f"csrf\0{cookie}".encode(), hashlib.sha256).hex()
        return Visitor(session.user, csrf, session.id)


def link_of(url: str, token: str) -> str:
    """The token stands in the fragment, which browsers send to nobody."""
    return f"{url}/console/#sign-in={token}"


def offers(provider: str | None, hosts: Iterable[str]) -> Route:
    """GET /api/console/sign-in, for who is not signed in: besides link, password and key, what `provider` knows."""

    async def offered(request: Request) -> Response:
        check_host(request, hosts)
        return JSONResponse({"oidc": provider}, headers={"cache-control": "no-store"})

    return Route("/api/console/sign-in", offered)


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


def set_cookie(response: Response, request: Request, host: str, value: str, max_age_s: int = SESSION_S) -> None:
    """`max_age_s` 0 takes the cookie away."""
    # The page's own idea of the scheme: in front of us may stand a proxy that ends TLS.
    secure = request.headers.get("origin", "").startswith("https:") or request.url.scheme == "https"
    response.set_cookie(
        cookie_name(host), value, max_age=max_age_s, path="/api", secure=secure, httponly=True, samesite="strict"
    )
