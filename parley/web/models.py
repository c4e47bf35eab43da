"""GET /v1/models and /v1/models/{id}: the names that a client may ask for, and which engine answers to them."""

from collections.abc import Callable, Iterable, Mapping
from typing import Any, Final

from starlette.requests import Request
from starlette.responses import JSONResponse, Response
from starlette.routing import Route

from parley.auth.credentials import presented
from parley.auth.gate import Gate
from parley.catalog import MODELS, TRANSCRIPTION_MODELS
from parley.errors import RequestError

CREATED: Final = 1_763_683_200
"""Unix seconds. SDKs want a number; ours means the day on which these names were collected."""
OWNER: Final = "parley"


Upstream = Callable[[str], dict[str, str] | None]
"""Model -> who answers it; None: this machine."""


def routes(
    gate: Gate, engines: Mapping[str, str], names: Iterable[str] = MODELS, upstream: Upstream = lambda model: None
) -> list[Route]:
    """`engines`: part (`speech_to_text`, `language_model`, `text_to_speech`) -> name of what does it here."""
    table = {name: _row(name, upstream(name) or dict(engines)) for name in names}
    table |= {name: _row(name, {"speech_to_text": engines["speech_to_text"]}) for name in TRANSCRIPTION_MODELS}

    async def models(request: Request) -> Response:
        await _check(request)
        return JSONResponse({"object": "list", "data": list(table.values())})

    async def model(request: Request) -> Response:
        await _check(request)
        name = request.path_params["model"]
        if name not in table:
            raise RequestError("model_not_found", f"The model {name[:64]!r} does not exist here.", "model")
        return JSONResponse(table[name])

    async def _check(request: Request) -> None:
        await gate.trust(presented(request.headers, (), request.query_params))

    return [Route("/v1/models", models), Route("/v1/models/{model}", model)]


def _row(name: str, engine: dict[str, str]) -> dict[str, Any]:
    return {"id": name, "object": "model", "created": CREATED, "owned_by": OWNER, "engine": engine}
