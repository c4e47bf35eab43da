"""Signing in at the console with somebody else's word for it (OpenID Connect).

    GET /api/console/oidc            to the provider
    GET /api/console/oidc/callback   and back, with a cookie for the console

Somebody is let in who has signed in this way before, or whose verified address an admin has let in; with `oidc_sign_up`
everybody whom the provider knows.
"""

import hmac
from collections.abc import Sequence
from html import escape
from typing import Final

from starlette.requests import Request
from starlette.responses import HTMLResponse, RedirectResponse, Response
from starlette.routing import Route

from parley.auth.accounts import Accounts, User
from parley.auth.oidc import Attempt, Identity, Provider, new_attempt
from parley.errors import EngineError, RequestError
from parley.transports import refusal
from parley.web.sign_in import check_host, set_cookie

HERE: Final = "/api/console/oidc"
COOKIE: Final = "parley_oidc"
COOKIE_S: Final = 600
"""How long somebody may take over there."""


class Desk:
    """`public_url`: where people reach this server, when it is not where the request says."""

    def __init__(
        self,
        provider: Provider,
        accounts: Accounts,
        hosts: Sequence[str],
        *,
        public_url: str = "",
        sign_up: bool = False,
    ) -> None:
        self._provider = provider
        self._accounts = accounts
        self._hosts = hosts
        self._public_url = public_url.rstrip("/")
        self._sign_up = sign_up

    def routes(self) -> list[Route]:
        return [Route(HERE, self.leave), Route(f"{HERE}/callback", self.come_back)]

    async def leave(self, request: Request) -> Response:
        attempt = new_attempt()
        try:
            url = await self._provider.authorization_url(attempt, self._callback(request))
        except (RequestError, EngineError) as error:
            return _failed(error)
        response = RedirectResponse(url, 303, {"cache-control": "no-store"})
        # Lax: the way back begins on another site.
        response.set_cookie(
            COOKIE, ".".join(attempt), COOKIE_S, path=HERE, secure=self._secure(request), httponly=True, samesite="lax"
        )
        return response

    async def come_back(self, request: Request) -> Response:
        host = check_host(request, self._hosts)
        try:
            attempt = _attempt(request)
            code = request.query_params.get("code", "")
            identity = await self._provider.identify(attempt, code, self._callback(request))
            user = await self._user(identity)
            signed_in = await self._accounts.sign_in_as(user, request.headers.get("user-agent", ""))
        except (RequestError, EngineError) as error:
            return _failed(error)
        response = RedirectResponse("/console/", 303, {"cache-control": "no-store"})
        response.delete_cookie(COOKIE, path=HERE)
        set_cookie(response, request, host, signed_in.token)
        return response

    async def _user(self, identity: Identity) -> User:
        found = await self._accounts.by_identity(identity.issuer, identity.subject)
        if found is not None:
            return found
        user = await self._newcomer(identity)
        if user.disabled_at is not None:
            raise RequestError("invalid_sign_in", "You may not come in any more; ask an admin.")
        await self._accounts.link_identity(identity.issuer, identity.subject, user.id)
        return user

    async def _newcomer(self, identity: Identity) -> User:
        if identity.email is None:
            raise RequestError("invalid_sign_in", "The provider has not verified your address; ask an admin there.")
        try:
            return await self._accounts.user_by_email(identity.email)
        except RequestError:
            if not self._sign_up:
                raise RequestError(
                    "invalid_sign_in", f"Nobody with the address {identity.email} is known here; ask an admin."
                ) from None
        return await self._accounts.create_user(identity.email, identity.name)

    def _callback(self, request: Request) -> str:
        here = self._public_url or f"{request.url.scheme}://{check_host(request, self._hosts)}"
        return f"{here}{HERE}/callback"

    def _secure(self, request: Request) -> bool:
        return (self._public_url or str(request.url)).startswith("https:")


def _attempt(request: Request) -> Attempt:
    """Raises `RequestError` unless this browser is the one that left."""
    kept = request.cookies.get(COOKIE, "").split(".")
    given = request.query_params.get("state", "")
    if len(kept) != len(Attempt._fields) or not hmac.compare_digest(kept[0].encode(), given.encode()):
        raise RequestError("invalid_sign_in", "This sign-in was not begun here, or took too long; begin again.")
    if error := request.query_params.get("error"):
        raise RequestError("invalid_sign_in", f"The provider refused: {error[:100]}.")
    return Attempt(*kept)


def _failed(error: RequestError | EngineError) -> Response:
    """A browser is looking at this."""
    page = (
        '<!doctype html><html lang="en"><meta charset="utf-8"><title>Not signed in</title>'
        '<meta name="color-scheme" content="light dark"><h1>Not signed in</h1>'
        f'<p>{escape(error.message)}</p><p><a href="/console/">Back to the console</a></p></html>'
    )
    headers = {"content-security-policy": "default-src 'none'", "cache-control": "no-store"}
    return HTMLResponse(page, refusal.status(error), headers)
