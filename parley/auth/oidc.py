"""Signing in with OpenID Connect: the authorization code flow with PKCE (OpenID Connect Core 1.0, RFC 7636).

    provider = Provider(issuer, client_id, client_secret)
    attempt = new_attempt()                                           # kept by the browser, in a cookie
    url = await provider.authorization_url(attempt, redirect_uri)     # where the browser goes
    identity = await provider.identify(attempt, code, redirect_uri)   # when it comes back

Raises `EngineError` where the provider cannot be reached or is wrong, and `RequestError` with `invalid_sign_in` where
what came back proves nothing.
"""

import asyncio
import hashlib
import secrets
import time
from base64 import urlsafe_b64encode
from typing import Any, Final, NamedTuple
from urllib.parse import urlencode, urlsplit

import aiohttp
import jwt
import msgspec

from parley.errors import EngineError, RequestError

METADATA: Final = "/.well-known/openid-configuration"
ALGORITHMS: Final = ("RS256", "RS384", "RS512", "PS256", "PS384", "PS512", "ES256", "ES384", "EdDSA")
"""Signatures with a public key; `none` and shared secrets prove nothing here."""
METADATA_S: Final = 3_600.0
"""How long the provider's addresses and keys are believed."""
KEYS_S_MIN: Final = 10.0
"""An unknown key is looked for no more often."""
TIMEOUT: Final = aiohttp.ClientTimeout(total=10)
ANSWER_BYTES_MAX: Final = 256 * 1024
LEEWAY_S: Final = 60
"""Clocks differ."""
LOOPBACK: Final = ("127.0.0.1", "::1", "localhost")


class Attempt(NamedTuple):
    """One sign-in on its way. `state` ties the answer to the browser, `nonce` the token to the attempt."""

    state: str
    nonce: str
    verifier: str


class Identity(NamedTuple):
    """Who somebody is, over there. `email` only where the provider has verified it."""

    issuer: str
    subject: str
    email: str | None
    name: str


class _Metadata(NamedTuple):
    authorization: str
    token: str
    keys: str
    until: float


def new_attempt() -> Attempt:
    return Attempt(*(secrets.token_urlsafe(32) for _ in Attempt._fields))


class Provider:
    """Belongs to one event loop."""

    def __init__(self, issuer: str, client_id: str, client_secret: str | None) -> None:
        """Raises `ValueError` for an issuer that could be listened to on its way."""
        parts = urlsplit(issuer)
        if parts.scheme != "https" and not (parts.scheme == "http" and parts.hostname in LOOPBACK):
            raise ValueError("an issuer begins with https://")
        self._issuer = issuer.rstrip("/")
        self._client_id = client_id
        self._client_secret = client_secret
        self._metadata: _Metadata | None = None
        self._keys: jwt.PyJWKSet | None = None
        self._keys_at = float("-inf")
        self._asking = asyncio.Lock()

    @property
    def name(self) -> str:
        """For the button."""
        return urlsplit(self._issuer).hostname or ""

    async def authorization_url(self, attempt: Attempt, redirect_uri: str) -> str:
        metadata = await self._where()
        challenge = urlsafe_b64encode(hashlib.sha256(attempt.verifier.encode()).digest()).rstrip(b"=").decode()
        query = {
            "response_type": "code",
            "client_id": self._client_id,
            "redirect_uri": redirect_uri,
            "scope": "openid email profile",
            "state": attempt.state,
            "nonce": attempt.nonce,
            "code_challenge": challenge,
            "code_challenge_method": "S256",
        }
        return f"{metadata.authorization}{'&' if '?' in metadata.authorization else '?'}{urlencode(query)}"

    async def identify(self, attempt: Attempt, code: str, redirect_uri: str) -> Identity:
        """`code` is what the browser brought back."""
        metadata = await self._where()
        form = {
            "grant_type": "authorization_code",
            "code": code,
            "redirect_uri": redirect_uri,
            "client_id": self._client_id,
            "code_verifier": attempt.verifier,
        }
        if self._client_secret is not None:
            form["client_secret"] = self._client_secret
        answer = await _fetch("POST", metadata.token, form)
        claims = await self._verified(str(answer.get("id_token", "")), metadata)
        if not secrets.compare_digest(str(claims.get("nonce", "")), attempt.nonce):
            raise _unproven("its nonce is another attempt's")
        email = claims.get("email")
        known = isinstance(email, str) and claims.get("email_verified") in (True, "true")
        return Identity(
            self._issuer, str(claims["sub"]), email if known else None, str(claims.get("name") or email or "")
        )

    # ---- inside

    async def _verified(self, token: str, metadata: _Metadata) -> dict[str, Any]:
        try:
            header = jwt.get_unverified_header(token)
            key = await self._key(str(header.get("kid", "")), metadata)
            claims: dict[str, Any] = jwt.decode(
                token, key, ALGORITHMS, audience=self._client_id, issuer=self._issuer, leeway=LEEWAY_S,
                options={"require": ["exp", "iat", "sub", "aud", "iss"]},
            )  # fmt: skip
        except jwt.PyJWTError as error:
            raise _unproven(str(error)) from error
        if claims.get("azp", self._client_id) != self._client_id:
            raise _unproven("it was made for somebody else")
        return claims

    async def _key(self, id: str, metadata: _Metadata) -> jwt.PyJWK:
        """The provider's key of this id; asked for again when it is new, for keys change."""
        async with self._asking:
            for fresh in (False, True):
                if fresh and time.monotonic() - self._keys_at >= KEYS_S_MIN:
                    self._keys_at = time.monotonic()
                    try:
                        self._keys = jwt.PyJWKSet.from_dict(await _fetch("GET", metadata.keys))
                    except jwt.PyJWTError as error:
                        raise EngineError("backend_protocol_error", "The sign-in provider has no keys.") from error
                keys = [] if self._keys is None else self._keys.keys
                found = [key for key in keys if key.key_id == id or (not id and len(keys) == 1)]
                if found:
                    return found[0]
        raise _unproven("it was signed with a key that the provider does not have")

    async def _where(self) -> _Metadata:
        if self._metadata is None or self._metadata.until < time.monotonic():
            found = await _fetch("GET", self._issuer + METADATA)
            if str(found.get("issuer", "")).rstrip("/") != self._issuer:
                raise EngineError("backend_protocol_error", "The sign-in provider says that it is another one.")
            authorize, token, keys = (
                str(found.get(name, "")) for name in ("authorization_endpoint", "token_endpoint", "jwks_uri")
            )
            if not all(place.startswith(("https://", "http://")) for place in (authorize, token, keys)):
                raise EngineError("backend_protocol_error", "The sign-in provider does not say where to go.")
            self._metadata = _Metadata(authorize, token, keys, time.monotonic() + METADATA_S)
        return self._metadata


def _unproven(why: str) -> RequestError:
    return RequestError("invalid_sign_in", f"The sign-in provider's answer proves nothing: {why}.")


async def _fetch(method: str, url: str, form: dict[str, str] | None = None) -> dict[str, Any]:
    try:
        async with (
            aiohttp.ClientSession(timeout=TIMEOUT, headers={"accept": "application/json"}) as http,
            http.request(method, url, data=form, allow_redirects=False) as answer,
        ):
            raw = await answer.content.read(ANSWER_BYTES_MAX + 1)
    except (aiohttp.ClientError, TimeoutError, OSError) as error:
        raise EngineError(
            "backend_unavailable", "The sign-in provider could not be reached.", retryable=True
        ) from error
    if answer.status >= 500:
        raise EngineError("backend_refused", f"The sign-in provider answered {answer.status}.", retryable=True)
    if answer.status != 200:
        raise _unproven(f"it answered {answer.status}")
    try:
        return msgspec.json.decode(raw, type=dict[str, Any])
    except msgspec.DecodeError as error:
        raise EngineError("backend_protocol_error", "The sign-in provider's answer cannot be read.") from error
