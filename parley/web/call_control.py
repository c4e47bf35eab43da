"""POST /v1/realtime/calls/{id}/accept, /reject, /refer: what becomes of a telephone call (protocol.md 1.4).

Hanging up, which is for calls of every kind, is in `web/calls.py`.
"""

from typing import Final

from starlette.requests import Request
from starlette.responses import Response
from starlette.routing import Route

from parley.auth.credentials import presented
from parley.auth.gate import Bearer, Gate
from parley.errors import RequestError
from parley.telemetry import Metrics
from parley.transports.ringing import RingingCalls, accepted_session, rejected_status, transfer_target
from parley.transports.sessions import Check
from parley.web.bodies import JSON_BYTES_MAX, body_of
from parley.web.cors import Endpoint

CALL: Final = "/v1/realtime/calls/{call_id}"


def routes(gate: Gate, phones: RingingCalls, metrics: Metrics, check: Check) -> list[Route]:
    """`check` raises `RequestError` for a session that could never begin here: the call rings on then."""

    async def trusted(request: Request) -> Bearer:
        bearer = await gate.trust(presented(request.headers, (), request.query_params))
        bearer.allow("realtime")
        return bearer

    async def accept(request: Request) -> Response:
        bearer = await trusted(request)
        config = accepted_session(await body_of(request, JSON_BYTES_MAX))
        check(config)
        bearer.allow("realtime", config.model, config.audio.output.voice)
        await phones.accept(request.path_params["call_id"], config, bearer)
        return Response()

    async def reject(request: Request) -> Response:
        bearer = await trusted(request)
        status = rejected_status(await body_of(request, JSON_BYTES_MAX))
        phones.reject(request.path_params["call_id"], status, bearer)
        return Response()

    async def refer(request: Request) -> Response:
        bearer = await trusted(request)
        target = transfer_target(await body_of(request, JSON_BYTES_MAX))
        await phones.refer(request.path_params["call_id"], target, bearer)
        return Response()

    def counted(endpoint: Endpoint) -> Endpoint:
        async def count(request: Request) -> Response:
            try:
                return await endpoint(request)
            except RequestError as error:
                metrics.error(error.code)
                raise

        return count

    return [Route(f"{CALL}/{action.__name__}", counted(action), methods=["POST"]) for action in (accept, reject, refer)]
