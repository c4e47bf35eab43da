"""Which pages of other origins may read what we answer: those that bring a credential of their own, on the
paths that begin a call.

What they are answered never depends on a cookie (/api/realtime takes that of our own page only), so there is nothing
that a foreign page could borrow; every other path is for pages of this server (protocol.md 11).
"""

from collections.abc import Awaitable, Callable, Sequence
from typing import Final

from starlette.requests import Request
from starlette.responses import Response
from starlette.routing import Route

from parley.errors import RequestError
from parley.web.errors import answer

Endpoint = Callable[[Request], Awaitable[Response]]

HEADERS: Final = (
    "authorization", "x-api-key", "content-type", "accept", "openai-beta", "openai-organization", "openai-project",
    "openai-safety-identifier", "x-openai-agents-sdk", "user-agent",
)  # fmt: skip
"""What clients send. Authorization must be named: a wildcard does not cover it."""
TELEMETRY: Final = "x-stainless-"
"""Headers of OpenAI's SDKs that begin like this are allowed too."""
EXPOSED: Final = "location, x-openai-call-id"
PREFLIGHT_S: Final = 600


def open_to_pages(path: str, endpoint: Endpoint, methods: Sequence[str] = ("POST",)) -> Route:
    """A route that answers pages of any origin, its refusals included."""

    async def open_endpoint(request: Request) -> Response:
        if request.method == "OPTIONS":
            return _preflight(request, methods)
        try:
            response = await endpoint(request)
        except RequestError as error:
            response = answer(error)
        response.headers["access-control-allow-origin"] = "*"
        response.headers["access-control-expose-headers"] = EXPOSED
        return response

    return Route(path, open_endpoint, methods=[*methods, "OPTIONS"])


def _preflight(request: Request, methods: Sequence[str]) -> Response:
    wanted = request.headers.get("access-control-request-headers", "").lower().replace(" ", "").split(",")
    telemetry = [name for name in wanted if name.startswith(TELEMETRY)]
    return Response(
        status_code=204,
        headers={
            "access-control-allow-origin": "*",
            "access-control-allow-methods": ", ".join(methods),
            "access-control-allow-headers": ", ".join((*HEADERS, *telemetry)),
            "access-control-max-age": str(PREFLIGHT_S),
        },
    )
