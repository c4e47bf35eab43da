"""/api/realtime: the three endpoints of protocol.md 1.8, and its errors, which are flat: ``{"code", "message"}``.

    POST /api/realtime/pipeline    a form: one question, one answer                 see `pipeline`
    POST /api/realtime/session     JSON with an SDP offer: a call                   200, the answer, x-openai-call-id
    POST /api/realtime/charge      JSON with its id: the call ends, and its bill    see `charges`

Who asks shows an API key (`Authorization: Bearer`, or `x-api-key`), or is signed in at the console.
"""

import logging
import re
import time
from collections.abc import Sequence
from typing import Any, Final, NamedTuple

import msgspec
from starlette.requests import ClientDisconnect, Request
from starlette.responses import Response
from starlette.routing import Route

from parley.auth.credentials import Credential, presented
from parley.auth.gate import Admitted, Bearer, Gate
from parley.billing.calls import Call
from parley.catalog import CALL_MODELS, DEFAULT_VOICE
from parley.errors import EngineError, RequestError
from parley.telemetry import Metrics
from parley.transports import refusal
from parley.transports.rtc.calls import Asked, Calls
from parley.web.bodies import JSON_BYTES_MAX, SDP, SDP_BYTES_MAX, body_of
from parley.web.charges import Charges
from parley.web.cors import Endpoint, open_to_pages
from parley.web.errors import not_found
from parley.web.pipeline import Pipeline, check_model
from parley.web.sign_in import SignIn, check_csrf, check_host, check_same_origin, cookie_name

ROOT: Final = "/api/realtime"
EVERY_METHOD: Final = ("GET", "HEAD", "POST", "PUT", "PATCH", "DELETE")
BEARER: Final = re.compile(r"bearer +[^ ]+", re.IGNORECASE)
MESSAGES: Final = {"invalid_api_key": "API key is invalid or has been deleted."}
"""Where protocol.md 1.8 says the words too."""

log = logging.getLogger(__name__)


class Desk(NamedTuple):
    """What these endpoints need of the house."""

    gate: Gate
    sign_in: SignIn
    hosts: Sequence[str]
    """See `console.Desk`."""
    metrics: Metrics
    pipeline: Pipeline
    calls: Calls
    charges: Charges


def routes(desk: Desk) -> list[Route]:
    async def pipeline(request: Request) -> Response:
        bearer = await _bearer(request, desk)
        bearer.allow("pipeline")
        return await desk.pipeline.answer(request, bearer)

    async def session(request: Request) -> Response:
        bearer = await _bearer(request, desk)
        return await _begin_call(request, await _json(request), bearer, desk)

    async def charge(request: Request) -> Response:
        bearer = await _bearer(request, desk)
        return await desk.charges.charge(bearer, await _json(request))

    endpoints = {f"{ROOT}/pipeline": pipeline, f"{ROOT}/session": session, f"{ROOT}/charge": charge}

    async def nothing(request: Request) -> Response:
        if request.url.path in endpoints:
            raise RequestError("method_not_allowed", f"{request.method} is not offered here; use POST.")
        raise not_found(request.url.path)

    return [
        *(open_to_pages(path, _flat(endpoint, desk.metrics)) for path, endpoint in endpoints.items()),
        Route(f"{ROOT}/{{path:path}}", _flat(nothing, desk.metrics), methods=EVERY_METHOD),
    ]


# ---- a call


async def _begin_call(request: Request, asked: dict[str, Any], bearer: Bearer, desk: Desk) -> Response:
    model = check_model(asked.get("model"), CALL_MODELS)
    voice = _text(asked, "voice") or DEFAULT_VOICE
    wanted = {
        "type": "realtime",
        "model": model,
        "instructions": _text(asked, "instructions"),
        "audio": {"output": {"voice": voice}},
    }
    call = Asked(
        path=request.url.path,
        headers=request.headers,
        sdp=_offer(asked.get("sdp")),
        session=msgspec.json.encode(wanted),
    )
    answered = await desk.calls.answer(call, Admitted(bearer, None))
    key = None if bearer.key is None else bearer.key.id
    live = desk.calls.find(answered.call_id, bearer).live
    now_ms = int(time.time() * 1_000)
    await desk.charges.begin(Call(answered.call_id, bearer.account, key, live.id, model, voice, now_ms), bearer)
    return Response(answered.sdp, 200, {"x-openai-call-id": answered.call_id, "cache-control": "no-store"}, SDP)


def _offer(sdp: object) -> str:
    if not isinstance(sdp, str) or not sdp.strip():
        raise RequestError("invalid_sdp", "WebRTC session requests require a valid SDP offer in 'sdp'.", "sdp")
    if len(sdp) > SDP_BYTES_MAX:
        raise RequestError("request_too_large", f"The offer may have at most {SDP_BYTES_MAX} bytes.", "sdp")
    return sdp


def _text(asked: dict[str, Any], name: str) -> str:
    value = asked.get(name)
    if value is not None and not isinstance(value, str):
        raise RequestError("invalid_type", f"Invalid type for '{name}': expected a string.", name)
    return value or ""


async def _json(request: Request) -> dict[str, Any]:
    """Raises `RequestError`. Whatever the content type says: only an object will do."""
    try:
        return msgspec.json.decode(await body_of(request, JSON_BYTES_MAX), type=dict[str, Any])
    except (msgspec.MsgspecError, UnicodeError, RecursionError) as error:
        raise RequestError("invalid_body", "The body is not a JSON object.") from error


# ---- who


async def _bearer(request: Request, desk: Desk) -> Bearer:
    """Raises `RequestError`, and `EngineError` with `api_key_lookup_failed`."""
    authorization = request.headers.get("authorization")
    if authorization is not None and not BEARER.fullmatch(authorization.strip()):
        raise RequestError("invalid_authorization", "The Authorization header must be: Bearer KEY.")
    credential = presented(request.headers, (), request.query_params)
    return await _signed_in(request, desk) if credential is None else await _of_key(credential, desk.gate)


async def _of_key(credential: Credential, gate: Gate) -> Bearer:
    """With the words of protocol.md 1.8 where it has some."""
    try:
        return await gate.trust(credential)
    except RequestError as error:
        raise RequestError(error.code, MESSAGES.get(error.code, error.message), error.param) from error


async def _signed_in(request: Request, desk: Desk) -> Bearer:
    """Who has signed in at the console, from its own page."""
    cookie = request.cookies.get(cookie_name(request.headers.get("host", "").lower()))
    if cookie is None:
        raise RequestError("unauthorized", "No API key was sent, and nobody is signed in.")
    check_same_origin(request, check_host(request, desk.hosts))
    try:
        visitor = await desk.sign_in.check(cookie)
    except RequestError as error:
        raise RequestError("unauthorized", "The sign-in has ended. Sign in again, or send an API key.") from error
    check_csrf(request, visitor.csrf)
    return Bearer(visitor.user.account, user=visitor.user.id)


# ---- errors


def _flat(endpoint: Endpoint, metrics: Metrics) -> Endpoint:
    """Every refusal as ``{"code", "message"}``, a bug of ours included."""

    async def answer(request: Request) -> Response:
        try:
            return await endpoint(request)
        except (RequestError, EngineError) as error:
            return _refusal(error, metrics)
        except ClientDisconnect:
            return Response()  # to nobody
        except Exception:
            log.exception("request failed", extra={"fields": {"path": request.url.path}})
            bug = EngineError("internal_error", "Something unexpected went wrong in the server.")
            return _refusal(bug, metrics)

    return answer


def _refusal(error: RequestError | EngineError, metrics: Metrics) -> Response:
    metrics.error(error.code)
    body = msgspec.json.encode({"code": error.code, "message": error.message})
    allow = {"allow": "POST"} if error.code == "method_not_allowed" else {}
    return Response(body, refusal.status(error), {**refusal.headers(error), **allow})
