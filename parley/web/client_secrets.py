"""POST /v1/realtime/client_secrets, and the beta's sessions and transcription_sessions (protocol.md 1.2, 1.5)."""

from collections.abc import Callable
from typing import Final, get_args

from starlette.requests import Request
from starlette.responses import JSONResponse, Response
from starlette.routing import Route

from parley.auth.client_secrets import Binding, ClientSecrets, DialectName
from parley.auth.credentials import presented
from parley.auth.gate import Gate
from parley.errors import RequestError
from parley.transports.sessions import Check, Kind, secret_request, secret_response
from parley.web.bodies import JSON_BYTES_MAX, body_of
from parley.web.cors import Endpoint, open_to_pages

DIALECT: Final[dict[Kind, DialectName]] = {
    "client_secrets": "ga",
    "sessions": "beta",
    "transcription_sessions": "beta",
}
SAFETY_IDENTIFIER: Final = "openai-safety-identifier"
SAFETY_CHARS_MAX: Final = 512


def routes(gate: Gate, secrets: ClientSecrets, about_to_call: Callable[[], None], check: Check) -> list[Route]:
    """`about_to_call` is told whenever a secret was made: its page will call in a moment.

    `check` raises `RequestError` for a session that could never begin here.
    """

    def minting(kind: Kind) -> Endpoint:
        async def mint(request: Request) -> Response:
            bearer = await gate.trust(presented(request.headers, (), request.query_params))
            asked = secret_request(await body_of(request, JSON_BYTES_MAX), kind)
            check(asked.config)
            binding = Binding(
                account=bearer.account,
                user=bearer.user,
                api_key=None if bearer.key is None else bearer.key.id,
                dialect=DIALECT[kind],
                config=asked.config,
                model_bound=asked.model_bound,
                origins=asked.origins,
                safety_identifier=_safety_identifier(request),
            )
            minted = await secrets.mint(binding, seconds=asked.seconds, uses=asked.uses)
            about_to_call()
            response = JSONResponse(secret_response(kind, asked, minted))
            response.headers["cache-control"] = "no-store"
            return response

        return mint

    return [open_to_pages(f"/v1/realtime/{kind}", minting(kind)) for kind in get_args(Kind)]


def _safety_identifier(request: Request) -> str | None:
    found = request.headers.get(SAFETY_IDENTIFIER)
    if found is not None and len(found) > SAFETY_CHARS_MAX:
        raise RequestError(
            "invalid_value", f"The header OpenAI-Safety-Identifier may have at most {SAFETY_CHARS_MAX} characters."
        )
    return found
