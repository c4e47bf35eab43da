"""The management API as routes: every desk's operations, the OpenAPI document, and the page that shows it."""

from typing import Final

from starlette.requests import Request
from starlette.responses import HTMLResponse, JSONResponse, Response
from starlette.routing import Route

from parley import __version__
from parley.office import Office
from parley.upstreams import Upstreams
from parley.web.api import docs_page, keys, limits, money, people, phone, prompts, upstreams
from parley.web.api.operations import Front, Operation, openapi
from parley.web.api.operations import routes as routes_of

PAGE_POLICY: Final = (
    "default-src 'none'; style-src 'unsafe-inline'; base-uri 'none'; form-action 'none'; frame-ancestors 'none'"
)


def operations(office: Office, phones: phone.Phones | None = None, relayed: Upstreams | None = None) -> list[Operation]:
    desks = (
        people.Desk(office),
        keys.Desk(office),
        money.Desk(office),
        limits.Desk(office),
        prompts.Desk(office),
        phone.Desk(office, phones),
        upstreams.Desk(office, relayed),
    )
    return [operation for desk in desks for operation in desk.operations()]


def routes(
    office: Office, front: Front, phones: phone.Phones | None = None, relayed: Upstreams | None = None
) -> list[Route]:
    """The document and its page are for everybody: they hold nothing of this installation."""
    table = operations(office, phones, relayed)
    document = openapi(table, __version__)
    shown = docs_page.page(document)

    async def as_json(request: Request) -> Response:
        return JSONResponse(document)

    async def as_page(request: Request) -> Response:
        return HTMLResponse(shown, headers={"content-security-policy": PAGE_POLICY})

    return [Route("/api/openapi.json", as_json), Route("/api/docs", as_page), *routes_of(table, front)]
