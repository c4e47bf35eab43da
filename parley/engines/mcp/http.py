"""The HTTP half of the MCP client: the SDK's client on top, our guard of outgoing URLs (`parley.outgoing`) below.

Whatever goes wrong becomes an answer, for an exception here would end the whole connection and every call on it. Such
an answer is a JSON-RPC error that carries a `Fault`, and so comes to whoever asked.
"""

from collections.abc import AsyncIterator, Mapping
from contextlib import AsyncExitStack
from typing import Any, Final

import aiohttp
import httpx2
import msgspec

from parley.engines.mcp.limits import BODY_BYTES_MAX
from parley.errors import RequestError
from parley.outgoing import Outgoing

FAULT: Final = "parley.fault"
"""The key under which a fault stands in the data of a JSON-RPC error."""
FAULT_CODE: Final = -32_000
ERROR_BYTES_MAX: Final = 65_536
"""An answer with an error status is read as far as that."""
SESSION: Final = "mcp-session-id"


class Fault(msgspec.Struct, frozen=True):
    """What went wrong below the protocol: a code of `ERRORS`, the HTTP status that says it, and words for it."""

    code: str
    http: int
    message: str
    gone: bool = False
    """The server does not know the session (any more): another one is needed."""


class Guarded(httpx2.AsyncBaseTransport):
    """Requests of one server. `secrets` are the headers that go with each."""

    def __init__(self, outgoing: Outgoing, secrets: Mapping[str, str]) -> None:
        self._outgoing = outgoing
        self._secrets = dict(secrets)

    async def handle_async_request(self, request: httpx2.Request) -> httpx2.Response:
        if request.method == "GET":  # for what servers have to say unasked, to which nobody here listens
            return httpx2.Response(405)
        async with AsyncExitStack() as stack:
            try:
                body = await request.aread()
                headers = {**request.headers, **self._secrets}
                del headers["host"], headers["accept-encoding"]
                answer = await stack.enter_async_context(
                    self._outgoing.request(request.method, str(request.url), headers=headers, body=body)
                )
                if answer.status >= 400:
                    return await _refusal(answer, had_session=SESSION in request.headers)
            except (RequestError, aiohttp.ClientError, OSError, ValueError) as error:  # a TimeoutError is an OSError
                return _answer(_fault(error))
            return httpx2.Response(
                answer.status, headers=list(answer.headers.items()), stream=_Body(answer, stack.pop_all())
            )
        raise AssertionError("unreachable")


class _Body(httpx2.AsyncByteStream):
    """The rest of an answer, as it comes. Too long, or broken off, it is an error to the SDK."""

    def __init__(self, answer: aiohttp.ClientResponse, stack: AsyncExitStack) -> None:
        self._answer = answer
        self._stack = stack

    async def __aiter__(self) -> AsyncIterator[bytes]:
        left = BODY_BYTES_MAX
        try:
            async for chunk in self._answer.content.iter_any():
                left -= len(chunk)
                if left < 0:
                    raise httpx2.StreamError("the answer is too long")
                yield chunk
        except (aiohttp.ClientError, OSError) as error:
            raise httpx2.StreamError("the answer broke off") from error

    async def aclose(self) -> None:
        await self._stack.aclose()


async def _refusal(answer: aiohttp.ClientResponse, *, had_session: bool) -> httpx2.Response:
    """What the server says of the error itself, if it does so in JSON-RPC."""
    body = await answer.content.read(ERROR_BYTES_MAX)
    try:
        said = msgspec.json.decode(body)
    except (msgspec.MsgspecError, UnicodeError, RecursionError):
        said = None
    if isinstance(said, dict) and isinstance(said.get("error"), dict) and not (had_session and answer.status == 404):
        return httpx2.Response(answer.status, headers={"content-type": "application/json"}, content=body)
    advice = " Check `authorization` and `headers`." if answer.status in (401, 403) else ""
    message = f"The MCP server answered with HTTP status {answer.status}.{advice}"
    gone = had_session and answer.status == 404
    return _answer(Fault("backend_refused", answer.status, message, gone))


def _fault(error: Exception) -> Fault:
    match error:
        case RequestError():
            return Fault(error.code, 403, error.message)
        case TimeoutError():
            return Fault("backend_timeout", 504, "The MCP server did not answer in time.")
    refused: BaseException | None = error
    while refused is not None:
        if isinstance(refused, RequestError):
            return Fault(refused.code, 403, refused.message)
        refused = refused.__cause__ or refused.__context__
    return Fault("backend_unavailable", 502, "The MCP server could not be reached.")


def _answer(fault: Fault) -> httpx2.Response:
    error: dict[str, Any] = {
        "code": FAULT_CODE,
        "message": fault.message,
        "data": {FAULT: msgspec.to_builtins(fault)},
    }
    return httpx2.Response(fault.http, json={"jsonrpc": "2.0", "id": None, "error": error})
