"""POST /v1/realtime/calls and, beta, /v1/realtime: an offer comes, a call begins; hang-up (protocol.md 1.3, 1.5)."""

import time
from typing import Final

from starlette.requests import Request
from starlette.responses import JSONResponse, Response
from starlette.routing import Route

from parley.auth.credentials import Credential, presented
from parley.auth.gate import Gate
from parley.auth.turn import IceServers, told
from parley.errors import RequestError
from parley.telemetry import Metrics
from parley.transports.ringing import NO_PHONES, RingingCalls
from parley.transports.rtc.calls import Asked, Calls
from parley.web.bodies import SDP, offer_of
from parley.web.cors import Endpoint, open_to_pages

CALLS: Final = "/v1/realtime/calls"
NO_SERVERS: Final = IceServers()


def routes(
    gate: Gate, calls: Calls, metrics: Metrics, ice: IceServers = NO_SERVERS, phones: RingingCalls = NO_PHONES
) -> list[Route]:
    async def create(request: Request) -> Response:
        admitted = await gate.admit(*_who(request))
        offer = await offer_of(request)
        asked = Asked(
            path=request.url.path,
            headers=request.headers,
            sdp=offer.sdp,
            session=offer.session,
            model=request.query_params.get("model"),
        )
        answered = await calls.answer(asked, admitted)
        headers = {"location": f"{CALLS}/{answered.call_id}", "x-openai-call-id": answered.call_id}
        return Response(answered.sdp, 201, headers, SDP)

    async def restart(request: Request) -> Response:
        """Ours, in the manner of WHIP (RFC 9725 4.3.2): no client of the original API asks for it."""
        bearer = await gate.know(*_who(request))
        offer = await offer_of(request)
        answered = await calls.restart(request.path_params["call_id"], offer.sdp, bearer)
        return Response(answered.sdp, media_type=SDP)

    async def hang_up(request: Request) -> Response:
        call_id, bearer = request.path_params["call_id"], await gate.know(*_who(request))
        try:
            calls.hang_up(call_id, bearer)
        except RequestError:  # a telephone call, or none
            phones.hang_up(call_id, bearer)
        return Response()

    async def ice_servers(request: Request) -> Response:
        """Ours: for `new RTCPeerConnection({iceServers: …})`. A page asks before it calls, so calls are made ready."""
        bearer = await gate.know(*_who(request))
        calls.warm_up()
        servers, expires_at = told(ice, bearer.account, time.time())
        return JSONResponse({"ice_servers": servers, "expires_at": expires_at}, headers={"cache-control": "no-store"})

    def counted(endpoint: Endpoint) -> Endpoint:
        async def count(request: Request) -> Response:
            try:
                return await endpoint(request)
            except RequestError as error:
                metrics.error(error.code)
                raise

        return count

    return [
        open_to_pages(CALLS, counted(create)),
        open_to_pages("/v1/realtime", counted(create)),
        open_to_pages("/v1/realtime/ice_servers", counted(ice_servers), ("GET",)),
        open_to_pages(f"{CALLS}/{{call_id}}", counted(restart), ("PATCH",)),
        Route(f"{CALLS}/{{call_id}}/hangup", counted(hang_up), methods=["POST"]),
    ]


def _who(request: Request) -> tuple[Credential | None, str | None]:
    """The credential, and the page that sent it."""
    return presented(request.headers, (), request.query_params), request.headers.get("origin")
