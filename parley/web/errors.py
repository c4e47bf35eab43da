"""Every refusal of the HTTP side in one form: the envelope of protocol.md 8.1."""

from starlette.exceptions import HTTPException
from starlette.requests import Request
from starlette.responses import Response
from starlette.types import ExceptionHandler
from starlette.websockets import WebSocket

from parley.errors import EngineError, RequestError
from parley.transports import refusal

CODES = {404: "not_found", 405: "method_not_allowed"}
"""Statuses that the router finds by itself."""


def answer(error: RequestError | EngineError) -> Response:
    return Response(refusal.body(error), refusal.status(error), refusal.headers(error))


def not_found(path: str) -> RequestError:
    return RequestError("not_found", f"There is nothing at {path[:200]}.")


async def on_error(request: Request, error: Exception) -> Response:
    assert isinstance(error, RequestError | EngineError)
    return answer(error)


async def on_http_exception(request: Request, error: Exception) -> Response:
    assert isinstance(error, HTTPException)
    code = CODES.get(error.status_code, "internal_error")
    message = f"{request.method} is not offered here." if code == "method_not_allowed" else error.detail
    refused = not_found(request.url.path) if code == "not_found" else RequestError(code, message)
    response = answer(refused)
    response.headers.update(error.headers or {})
    return response


async def on_bug(request: Request, error: Exception) -> Response:
    return answer(RequestError("internal_error", "Something unexpected went wrong in the server."))


HANDLERS: dict[int | type[Exception], ExceptionHandler] = {
    RequestError: on_error,
    EngineError: on_error,
    HTTPException: on_http_exception,
    Exception: on_bug,
}


async def unknown_socket(websocket: WebSocket) -> None:
    """A WebSocket to a path that does not exist."""
    await websocket.send_denial_response(answer(not_found(websocket.url.path)))
