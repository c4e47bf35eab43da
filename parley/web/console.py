"""The console: its built files, and the few routes that its page calls.

    GET  /console/…              the page and its files; needs nothing, holds no secret
    GET  /api/console            who am I, what is there (models, voices, ICE servers)
    POST /api/console/sign-in    {"token"} of the one-time link, {"email", "password"} or {"key"}; sets the cookie
    POST /api/console/sign-out
    POST /api/console/secret     {"session"}: a short-lived credential for one call
    /api/sessions…               see `sessions`

console/openapi.json describes them. What the cookie opens is guarded by `sign_in`.
"""

import mimetypes
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any, Final, NamedTuple

import msgspec
from starlette.requests import Request
from starlette.responses import FileResponse, PlainTextResponse, RedirectResponse, Response
from starlette.routing import Route

from parley import __version__
from parley.auth.accounts import Accounts, SignedIn
from parley.auth.client_secrets import Binding, ClientSecrets
from parley.auth.credentials import Credential
from parley.auth.gate import Gate
from parley.catalog import DEFAULT_MODEL, DEFAULT_VOICE, TRANSCRIPTION_MODELS, VOICES
from parley.errors import RequestError
from parley.live.recording import Recordings
from parley.transports.sessions import Check, ga_session
from parley.web import sessions
from parley.web.answers import private
from parley.web.bodies import body_of
from parley.web.sign_in import SignIn, Visitor, check_csrf, check_host, check_same_origin, cookie_name, set_cookie

BUILT: Final = Path(__file__).parent / "console_dist"
"""Made by scripts/build_console.py."""
INDEX: Final = "index.html"
HASHED: Final = "assets"
"""The folder whose files carry a hash of their content in their name."""
FOREVER: Final = "public, max-age=31536000, immutable"
ENCODINGS: Final = (("br", ".br"), ("gzip", ".gz"))
"""Twins that the build lays beside its files, best first."""
BODY_BYTES_MAX: Final = 1_048_576
SECRET_S: Final = 60
"""How long the credential of a call waits to be used, once."""

NOT_BUILT: Final = "The console is not built here. Run `python scripts/build_console.py`, then reload this page.\n"


class Desk(NamedTuple):
    """What the console needs to know of the house."""

    gate: Gate
    accounts: Accounts
    secrets: ClientSecrets
    facts: Callable[[], dict[str, Any]]
    """What `/health` tells."""
    check: Check
    models: Callable[[], list[str]]
    charged: sessions.Charged
    ice_servers: Callable[[], list[dict[str, Any]]] = list
    """`RTCIceServer` dictionaries for the page; time-limited credentials are made here."""
    hosts: Sequence[str] = ()
    """Names under which this server may be called besides IP addresses and localhost; `*.example.com` for all below."""


# ---- files


def security_headers(host: str) -> dict[str, str]:
    """Headers of the page. `host`, as checked, names the WebSocket for browsers to which 'self' does not mean it."""
    policy = {
        "default-src": "'none'",
        "script-src": "'self'",
        "style-src": "'self'",
        "img-src": "'self' data: blob:",
        "media-src": "'self' blob:",
        "font-src": "'self'",
        "connect-src": f"'self' ws://{host} wss://{host}",
        "manifest-src": "'self'",
        "base-uri": "'none'",
        "form-action": "'none'",
        "frame-ancestors": "'none'",
    }
    return {
        "content-security-policy": "; ".join(f"{name} {value}" for name, value in policy.items()),
        "permissions-policy": "microphone=(self), camera=(self), speaker-selection=(self), geolocation=(), payment=()",
        "referrer-policy": "no-referrer",
        "x-content-type-options": "nosniff",
        "cross-origin-opener-policy": "same-origin",
        "cross-origin-resource-policy": "same-origin",
    }


class Files:
    """The built console. `root` may be missing: then every answer says how to build it."""

    def __init__(self, root: Path = BUILT) -> None:
        self._root = root.resolve()

    def answer(self, path: str, host: str, encodings: str) -> Response:
        """The file at `path`, or the page itself, whose script knows what to show. `encodings`: `Accept-Encoding`."""
        if not (self._root / INDEX).is_file():
            return PlainTextResponse(NOT_BUILT, 503)
        file = (self._root / path).resolve()
        if not (file.is_relative_to(self._root) and file.is_file()):
            if path.startswith(f"{HASHED}/"):  # of an older build: a page instead of it would be run as a script
                return PlainTextResponse("There is no such file.\n", 404)
            file = self._root / INDEX
        hashed = file.parent.name == HASHED
        headers = {
            **security_headers(host),
            "cache-control": FOREVER if hashed else "no-cache",
            "vary": "accept-encoding",
        }
        kind = mimetypes.guess_type(file.name)[0] or "application/octet-stream"
        for name, suffix in ENCODINGS:
            twin = file.with_name(file.name + suffix)
            if name in encodings and twin.is_file():
                return FileResponse(twin, headers={**headers, "content-encoding": name}, media_type=kind)
        return FileResponse(file, headers=headers, media_type=kind)


# ---- routes


def routes(desk: Desk, sign_in: SignIn, recordings: Recordings, files: Files | None = None) -> list[Route]:
    """Everything above, as routes."""
    shelf = files or Files()
    api = Api(desk, sign_in, recordings)

    async def page(request: Request) -> Response:
        host = check_host(request, desk.hosts)
        return shelf.answer(request.path_params["path"], host, request.headers.get("accept-encoding", ""))

    async def home(request: Request) -> Response:
        check_host(request, desk.hosts)
        return RedirectResponse("/console/")

    return [
        Route("/", home),
        Route("/console", home),
        Route("/console/{path:path}", page),
        Route("/api/console", api.about),
        Route("/api/console/sign-in", api.enter, methods=["POST"]),
        Route("/api/console/sign-out", api.leave, methods=["POST"]),
        Route("/api/console/secret", api.secret, methods=["POST"]),
        *sessions.routes(recordings, api.signed_in, desk.charged),
    ]


class Api:
    """What the page calls."""

    def __init__(self, desk: Desk, sign_in: SignIn, recordings: Recordings) -> None:
        self._desk = desk
        self._sign_in = sign_in
        self._recordings = recordings

    async def about(self, request: Request) -> Response:
        visitor = await self.signed_in(request)
        user = visitor.user
        return private(
            {
                "csrf": visitor.csrf,
                "user": {"id": user.id, "name": user.name, "email": user.email, "role": user.role},
                "account": user.account,
                "version": __version__,
                "models": self._desk.models(),
                "voices": list(VOICES),
                "transcription_models": list(TRANSCRIPTION_MODELS),
                "default_model": DEFAULT_MODEL,
                "default_voice": DEFAULT_VOICE,
                "ice_servers": self._desk.ice_servers(),
                "engines": self._desk.facts()["engines"],
                "recording": {"record": self._recordings.record, "days": self._recordings.days},
            }
        )

    async def enter(self, request: Request) -> Response:
        host = check_host(request, self._desk.hosts)
        check_same_origin(request, host)
        signed_in = await self._recognise(await _body(request), request.headers.get("user-agent", ""))
        response = Response(status_code=204)
        set_cookie(response, request, host, signed_in.token)
        return response

    async def _recognise(self, body: dict[str, Any], agent: str) -> SignedIn:
        accounts = self._desk.accounts
        match body:
            case {"token": str(token)}:
                return await accounts.use_link(token, agent)
            case {"email": str(email), "password": str(password)}:
                return await accounts.sign_in(email, password, agent)
            case {"key": str(key)}:
                bearer = await self._desk.gate.trust(Credential(key.strip(), "authorization"))
                assert bearer.user is not None
                return await accounts.sign_in_as(await accounts.user(bearer.user), agent)
        raise RequestError(
            "missing_required_parameter", "Missing required parameter: 'token', 'email' and 'password', or 'key'."
        )

    async def leave(self, request: Request) -> Response:
        visitor = await self.signed_in(request)
        await self._desk.accounts.end_session(visitor.user.id, visitor.session)
        response = Response(status_code=204)
        set_cookie(response, request, request.headers["host"].lower(), "", 0)
        return response

    async def secret(self, request: Request) -> Response:
        user = (await self.signed_in(request)).user
        match await _body(request):
            case {"session": dict(session)}:
                config = ga_session(session)
                self._desk.check(config)
            case _:
                raise RequestError("missing_required_parameter", "Missing required parameter: 'session'.", "session")
        binding = Binding(
            account=user.account,
            user=user.id,
            dialect="ga",
            config=config,
            model_bound=True,
            origins=(request.headers["origin"].lower(),),
        )
        minted = await self._desk.secrets.mint(binding, seconds=SECRET_S, uses=1)
        return private({"value": minted.value, "expires_at": minted.expires_at})

    async def signed_in(self, request: Request) -> Visitor:
        """Who sent a request that its cookie opens. Raises `RequestError`."""
        host = check_host(request, self._desk.hosts)
        check_same_origin(request, host)
        visitor = await self._sign_in.check(request.cookies.get(cookie_name(host)))
        check_csrf(request, visitor.csrf)
        return visitor


async def _body(request: Request) -> dict[str, Any]:
    """The JSON object of a request. Raises `RequestError`."""
    if not request.headers.get("content-type", "").startswith("application/json"):
        raise RequestError("invalid_event", "Send JSON, with `Content-Type: application/json`.")
    raw = await body_of(request, BODY_BYTES_MAX)
    try:
        return msgspec.json.decode(raw, type=dict[str, Any])
    except msgspec.DecodeError:
        raise RequestError("invalid_event", "The body is not a JSON object.") from None
