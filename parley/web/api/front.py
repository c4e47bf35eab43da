"""Who sent a request to the management API: somebody at the console, or a program with a key of the scope `admin`."""

from collections.abc import Sequence
from typing import Final

from starlette.requests import Request

from parley.auth.accounts import Accounts
from parley.auth.credentials import presented
from parley.auth.gate import Gate
from parley.web.api.operations import Caller
from parley.web.sign_in import SignIn, check_csrf, check_host, check_same_origin, cookie_name

KEY_HEADERS: Final = ("authorization", "x-api-key", "api-key")


class Front:
    """`hosts`: names of this server besides IP addresses and localhost."""

    def __init__(self, gate: Gate, accounts: Accounts, sign_in: SignIn, hosts: Sequence[str]) -> None:
        self._gate = gate
        self._accounts = accounts
        self._sign_in = sign_in
        self._hosts = hosts

    async def caller(self, request: Request) -> Caller:
        """Raises `RequestError`. A cookie is only looked at where no key is shown."""
        if any(name in request.headers for name in KEY_HEADERS):
            bearer = await self._gate.trust(presented(request.headers, (), request.query_params))
            bearer.allow("admin")
            assert bearer.user is not None
            return Caller(await self._accounts.user(bearer.user))
        host = check_host(request, self._hosts)
        check_same_origin(request, host)
        visitor = await self._sign_in.check(request.cookies.get(cookie_name(host)))
        check_csrf(request, visitor.csrf)
        return Caller(visitor.user, visitor.session)
