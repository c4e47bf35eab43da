"""Signing in with OpenID Connect, through a browser-like client, a real HTTP provider, and tokens that lie."""

import asyncio
import json
import time
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any
from urllib.parse import parse_qs, urlsplit

import aiohttp
import jwt
import pytest
from aiohttp import web
from cryptography.hazmat.primitives.asymmetric import rsa
from starlette.applications import Starlette

from parley.auth.oidc import Provider
from parley.office import Office, open_office
from parley.settings import Settings
from parley.web import errors
from parley.web.oidc import Desk
from parley.web.sign_in import SignIn, offers
from tests.transports.serving import serving

CLIENT = "parley-tests"
SECRET = "shared-with-the-provider"


class FakeProvider:
    """Does what its fields say; every one of them can be made a lie."""

    def __init__(self) -> None:
        self.key = rsa.generate_private_key(65537, 2048)
        self.claims: dict[str, Any] = {"sub": "1", "email": "ann@example.com", "email_verified": True, "name": "Ann"}
        self.algorithm = "RS256"
        self.signing: Any = self.key
        self.token_status = 200
        self.issuer_lie: str | None = None
        self.issuer = ""
        self.asked: dict[str, str] = {}
        self.form: dict[str, Any] = {}

    async def metadata(self, request: web.Request) -> web.Response:
        return web.json_response(
            {
                "issuer": self.issuer_lie or self.issuer,
                "authorization_endpoint": f"{self.issuer}/authorize",
                "token_endpoint": f"{self.issuer}/token",
                "jwks_uri": f"{self.issuer}/keys",
            }
        )

    async def keys(self, request: web.Request) -> web.Response:
        jwk = json.loads(jwt.algorithms.RSAAlgorithm.to_jwk(self.key.public_key()))
        return web.json_response({"keys": [{**jwk, "kid": "k1", "alg": "RS256", "use": "sig"}]})

    async def authorize(self, request: web.Request) -> web.Response:
        self.asked = dict(request.query)
        raise web.HTTPFound(f"{request.query['redirect_uri']}?code=c0de&state={request.query['state']}")

    async def token(self, request: web.Request) -> web.Response:
        self.form = dict(await request.post())
        now = int(time.time())
        whole = {"iss": self.issuer, "aud": CLIENT, "iat": now, "exp": now + 60, "nonce": self.asked.get("nonce")}
        token = jwt.encode({**whole, **self.claims}, self.signing, self.algorithm, headers={"kid": "k1"})
        return web.json_response({"id_token": token, "access_token": "x"}, status=self.token_status)


@pytest.fixture
async def provider() -> AsyncIterator[FakeProvider]:
    fake = FakeProvider()
    app = web.Application()
    app.router.add_get("/.well-known/openid-configuration", fake.metadata)
    app.router.add_get("/keys", fake.keys)
    app.router.add_get("/authorize", fake.authorize)
    app.router.add_post("/token", fake.token)
    runner = web.AppRunner(app)
    await runner.setup()
    site = web.TCPSite(runner, "127.0.0.1", 0)
    await site.start()
    fake.issuer = f"http://127.0.0.1:{runner.addresses[0][1]}"
    yield fake
    await runner.cleanup()


@pytest.fixture
async def office(tmp_path: Path) -> AsyncIterator[Office]:
    office = await open_office(Settings(home=tmp_path))
    yield office
    await office.close()


class Browser:
    def __init__(self, url: str) -> None:
        self.url = url
        self.http = aiohttp.ClientSession(cookie_jar=aiohttp.CookieJar(unsafe=True))

    async def sign_in(self) -> tuple[int, str]:
        """Where it ends: status and text."""
        async with self.http.get(f"{self.url}/api/console/oidc") as answer:
            return answer.status, str(answer.url) + await answer.text()


@asynccontextmanager
async def console(office: Office, provider: FakeProvider, **more: Any) -> AsyncIterator[Browser]:
    desk = Desk(Provider(provider.issuer, CLIENT, SECRET), office.accounts, (), **more)

    async def page(request: Any) -> Any:
        from starlette.responses import PlainTextResponse

        cookie = next((value for name, value in request.cookies.items() if name.startswith("parley_console")), None)
        return PlainTextResponse(f"signed in {cookie is not None}")

    from starlette.routing import Route

    app = Starlette(
        routes=[offers("127.0.0.1", ()), *desk.routes(), Route("/console/", page)], exception_handlers=errors.HANDLERS
    )
    with serving(app) as port:
        browser = Browser(f"http://127.0.0.1:{port}")
        try:
            yield browser
        finally:
            await browser.http.close()


async def people(office: Office) -> list[str]:
    return [user.email for user in await office.accounts.users()]


async def test_somebody_whom_an_admin_let_in(office: Office, provider: FakeProvider) -> None:
    ann = await office.accounts.create_user("ann@example.com")
    async with console(office, provider) as browser:
        assert await (await browser.http.get(f"{browser.url}/api/console/sign-in")).json() == {"oidc": "127.0.0.1"}
        status, _ = await browser.sign_in()
        assert status == 200
        cookies = {cookie.key: cookie for cookie in browser.http.cookie_jar}
        token = next(cookie.value for name, cookie in cookies.items() if name.startswith("parley_console"))
        assert (await SignIn(office.accounts, b"").check(token)).user == ann
        assert "parley_oidc" not in cookies, "it is spent"
    assert provider.form["code"] == "c0de" and provider.form["client_secret"] == SECRET
    assert provider.asked["code_challenge_method"] == "S256" and provider.form["code_verifier"]
    # From now on they are known by who they are over there, whatever their address is.
    provider.claims |= {"email": "other@example.com"}
    async with console(office, provider) as browser:
        assert (await browser.sign_in())[0] == 200
    assert "other@example.com" not in await people(office)


async def test_strangers_stay_out_unless_they_may_sign_up(office: Office, provider: FakeProvider) -> None:
    async with console(office, provider) as browser:
        status, text = await browser.sign_in()
        assert status == 401 and "ask an admin" in text
    async with console(office, provider, sign_up=True) as browser:
        assert (await browser.sign_in())[0] == 200
    assert "ann@example.com" in await people(office)


async def test_an_address_that_was_not_verified_is_nobodys(office: Office, provider: FakeProvider) -> None:
    await office.accounts.create_user("ann@example.com")
    provider.claims["email_verified"] = False
    async with console(office, provider, sign_up=True) as browser:
        assert (await browser.sign_in())[0] == 401


async def test_who_was_locked_out_stays_out(office: Office, provider: FakeProvider) -> None:
    ann = await office.accounts.create_user("ann@example.com")
    async with console(office, provider) as browser:
        assert (await browser.sign_in())[0] == 200
        await office.accounts.disable(ann.id)
        assert (await browser.sign_in())[0] == 401


LIES: dict[str, Any] = {
    "another's nonce": {"claims": {"nonce": "other"}},
    "another audience": {"claims": {"aud": "somebody"}},
    "made for another": {"claims": {"aud": [CLIENT, "x"], "azp": "x"}},
    "another issuer": {"claims": {"iss": "https://evil.example"}},
    "too old": {"claims": {"exp": 1}},
    "no end": {"claims": {"exp": None}},
    "refused": {"token_status": 400},
}


@pytest.mark.parametrize("lie", LIES)
async def test_lies(office: Office, provider: FakeProvider, lie: str) -> None:
    await office.accounts.create_user("ann@example.com")
    for name, value in LIES[lie].items():
        if name == "claims":
            provider.claims |= value
        else:
            setattr(provider, name, value)
    async with console(office, provider) as browser:
        status, text = await browser.sign_in()
    assert status == 401, text


async def test_signatures_that_prove_nothing(office: Office, provider: FakeProvider) -> None:
    await office.accounts.create_user("ann@example.com")
    stranger = rsa.generate_private_key(65537, 2048)
    for algorithm, key in (("none", None), ("HS256", SECRET * 2), ("RS256", stranger)):
        provider.algorithm, provider.signing = algorithm, key
        async with console(office, provider) as browser:
            assert (await browser.sign_in())[0] == 401


async def test_an_answer_that_was_not_asked_for(office: Office, provider: FakeProvider) -> None:
    """A link to our callback with an attacker's code must not sign anybody in as the attacker."""
    await office.accounts.create_user("ann@example.com")
    async with console(office, provider) as browser:
        for query in ("code=c0de&state=x", "code=c0de", "state=&code=c0de", "error=access_denied&state=x"):
            async with browser.http.get(f"{browser.url}/api/console/oidc/callback?{query}") as answer:
                assert answer.status == 401
        async with browser.http.get(f"{browser.url}/api/console/oidc", allow_redirects=False) as answer:
            state = parse_qs(urlsplit(answer.headers["location"]).query)["state"][0]
        callback = f"{browser.url}/api/console/oidc/callback?code=c0de&state={state}"
        async with aiohttp.ClientSession() as other, other.get(callback) as answer:
            assert answer.status == 401, "another browser"


async def test_a_provider_that_is_away_or_another(office: Office, provider: FakeProvider) -> None:
    provider.issuer_lie = "https://evil.example"
    async with console(office, provider) as browser:
        status, text = await browser.sign_in()
        assert status == 502 and "another one" in text
    provider.issuer_lie = None
    away = FakeProvider()
    away.issuer = "http://127.0.0.1:1"
    async with console(office, away) as browser:
        assert (await browser.sign_in())[0] == 502


def test_an_issuer_that_can_be_listened_to() -> None:
    async def make() -> Provider:
        return Provider("http://login.example", CLIENT, SECRET)

    with pytest.raises(ValueError, match="https"):
        asyncio.run(make())
