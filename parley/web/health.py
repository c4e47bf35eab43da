"""For operators and their machines: is it alive, may it get traffic, what does it count. No key, no secrets."""

from collections.abc import Callable
from typing import Any, NamedTuple

from prometheus_client import CONTENT_TYPE_LATEST
from starlette.requests import Request
from starlette.responses import JSONResponse, Response
from starlette.routing import Route

from parley.telemetry import Metrics


class Pulse(NamedTuple):
    """How to ask the house how it is."""

    facts: Callable[[], dict[str, Any]]
    """Version, engines, what stands in for what."""
    not_ready: Callable[[], str | None]
    """Why no session can be opened right now, or None."""
    metrics: Metrics


def routes(pulse: Pulse) -> list[Route]:
    async def health(request: Request) -> Response:
        """200 for as long as the process answers."""
        return JSONResponse({"status": "ok", **pulse.facts()})

    async def ready(request: Request) -> Response:
        """200 when sessions can be opened: models loaded, not draining."""
        reason = pulse.not_ready()
        return JSONResponse(
            {"status": "ready"} if reason is None else {"status": reason}, 200 if reason is None else 503
        )

    async def metrics(request: Request) -> Response:
        return Response(pulse.metrics.page(), media_type=CONTENT_TYPE_LATEST)

    return [Route("/health", health), Route("/ready", ready), Route("/metrics", metrics)]
