"""One table says what the management API is: routes, its OpenAPI document and its documentation are made of it.

    Operation("POST", "/api/keys", "Make a key", create, body=NewKey, reply=MadeKey, status=201)

A handler gets a `Call`: who asks, whose account it is about, the path's ids, the query, the body. What it returns goes
out as JSON of its struct. Everybody manages their own account; an admin manages all, and names one by `?account=`.
"""

import re
from collections.abc import Awaitable, Callable, Mapping, Sequence
from typing import Any, Final, Literal, NamedTuple, Protocol, dataclass_transform

import msgspec
from starlette.requests import Request
from starlette.responses import Response
from starlette.routing import Route

from parley.auth.accounts import Role, User
from parley.errors import RequestError
from parley.web.bodies import body_of

BODY_BYTES_MAX: Final = 64 * 1024
PRIVATE: Final = {"cache-control": "no-store", "x-content-type-options": "nosniff"}
JSON: Final = "application/json"
PARAMETER: Final = re.compile(r"{(\w+)}")
PATH_OF_ERROR: Final = re.compile(r"^(?P<what>.*?)(?: - at `\$\.?(?P<path>[^`]*)`)?$", re.DOTALL)


@dataclass_transform(frozen_default=True, kw_only_default=True, field_specifiers=(msgspec.field,))
class Wire(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """What comes in. Unknown keys are refused, so that a slip of the pen is never silently ignored."""


@dataclass_transform(frozen_default=True, kw_only_default=True, field_specifiers=(msgspec.field,))
class Shown(msgspec.Struct, frozen=True, kw_only=True):
    """What goes out. Moments are Unix seconds, money is whole micro-credits."""


class Nothing(Shown):
    """Done; there is nothing to tell."""


class AccountQuery(Wire):
    """`account`: an admin may name somebody else's."""

    account: str | None = None


class Caller(NamedTuple):
    """Who asks, and by what right: a cookie, or a key with the scope `admin`. `sign_in`: whose cookie it is."""

    user: User
    sign_in: str | None = None

    @property
    def is_admin(self) -> bool:
        return self.user.role == "admin"


class Call(NamedTuple):
    caller: Caller
    account: str
    """Whose things this is about: the caller's, or the one that an admin has named."""
    ids: Mapping[str, str]
    query: Any
    body: Any


class Front(Protocol):
    """Knows who sent a request."""

    async def caller(self, request: Request) -> Caller:
        """Raises `RequestError`."""
        ...


Method = Literal["GET", "POST", "PUT", "PATCH", "DELETE"]
Handler = Callable[[Call], Awaitable[msgspec.Struct | Response]]


class Operation(NamedTuple):
    method: Method
    path: str
    summary: str
    handler: Handler
    reply: type[msgspec.Struct] | str
    """The struct, or the content type of what is no JSON."""
    body: type[Wire] | None = None
    query: type[Wire] = AccountQuery
    role: Role = "user"
    status: int = 200

    @property
    def id(self) -> str:
        """A name for generated clients: ``createKey``."""
        first, *others = self.handler.__name__.split("_")
        return first + "".join(word.capitalize() for word in others)

    @property
    def parameters(self) -> list[str]:
        return PARAMETER.findall(self.path)


def routes(operations: Sequence[Operation], front: Front) -> list[Route]:
    return [
        Route(operation.path, _endpoint(operation, front), methods=[operation.method], name=operation.id)
        for operation in operations
    ]


def _endpoint(operation: Operation, front: Front) -> Callable[[Request], Awaitable[Response]]:
    async def endpoint(request: Request) -> Response:
        caller = await front.caller(request)
        if operation.role == "admin" and not caller.is_admin:
            raise RequestError("admin_required", "Only an admin may do this.")
        query = _query(request, operation.query)
        account = _account(caller, getattr(query, "account", None))
        body = None if operation.body is None else await _body(request, operation.body)
        answer = await operation.handler(Call(caller, account, request.path_params, query, body))
        if isinstance(answer, Response):
            answer.headers.update(PRIVATE)
            return answer
        return Response(msgspec.json.encode(answer), operation.status, PRIVATE, JSON)

    return endpoint


def _account(caller: Caller, named: str | None) -> str:
    """Somebody else's account is not there, for who is no admin."""
    if named is None or named == caller.user.account:
        return caller.user.account
    if not caller.is_admin:
        raise RequestError("account_not_found", "There is no such account.", "account")
    return named


def _query(request: Request, kind: type[Wire]) -> Wire:
    try:
        return msgspec.convert(dict(request.query_params), kind, strict=False)
    except msgspec.ValidationError as error:
        raise _wrong(error) from None


async def _body(request: Request, kind: type[Wire]) -> Wire:
    if not request.headers.get("content-type", "").startswith(JSON):
        raise RequestError("unsupported_media_type", f"Send JSON, with `Content-Type: {JSON}`.")
    raw = await body_of(request, BODY_BYTES_MAX)
    try:
        return msgspec.json.decode(raw or b"{}", type=kind)
    except msgspec.ValidationError as error:
        raise _wrong(error) from None
    except (msgspec.DecodeError, UnicodeError, RecursionError):
        raise RequestError("invalid_event", "The body is not a JSON object.") from None


def _wrong(error: msgspec.ValidationError) -> RequestError:
    found = PATH_OF_ERROR.match(str(error))
    assert found is not None
    what, path = found["what"], found["path"] or None
    if "missing required field" in what:
        named = what.rpartition("`")[0].rpartition("`")[2]
        return RequestError("missing_required_parameter", f"Missing required parameter: '{named}'.", named)
    if "contains unknown field" in what:
        named = what.rpartition("`")[0].rpartition("`")[2]
        return RequestError("unknown_parameter", f"Unknown parameter: '{named}'.", named)
    return RequestError("invalid_value", f"{what}.", path)


# ---- the document


def openapi(operations: Sequence[Operation], version: str) -> dict[str, Any]:
    """OpenAPI 3.1 of the table."""
    structs: dict[type[msgspec.Struct], None] = {}
    for operation in operations:
        for kind in (operation.reply, operation.body):
            if isinstance(kind, type):
                structs[kind] = None
    schemas, components = msgspec.json.schema_components(structs, ref_template="#/components/schemas/{name}")
    refs = dict(zip(structs, schemas, strict=True))
    paths: dict[str, dict[str, Any]] = {}
    for operation in operations:
        paths.setdefault(operation.path, {})[operation.method.lower()] = _described(operation, refs)
    return {
        "openapi": "3.1.0",
        "info": {
            "title": "Parley management API",
            "version": version,
            "description": "Accounts, keys, credits, usage, limits and prices of a Parley. Moments are Unix seconds, "
            "money is whole micro-credits (a credit is 1,000,000 of them).",
        },
        "security": [{"key": []}, {"cookie": []}],
        "paths": paths,
        "components": {
            "schemas": {**components, "Refusal": REFUSAL},
            "securitySchemes": {
                "key": {"type": "http", "scheme": "bearer", "description": "An API key with the scope `admin`."},
                "cookie": {"type": "apiKey", "in": "cookie", "name": "parley_console", "description": "The console's."},
            },
        },
    }


REFUSAL: Final[dict[str, Any]] = {
    "type": "object",
    "required": ["error"],
    "properties": {
        "error": {
            "type": "object",
            "required": ["message", "type", "code", "param"],
            "properties": {
                "message": {"type": "string"},
                "type": {"type": "string"},
                "code": {"type": "string"},
                "param": {"type": ["string", "null"]},
            },
        }
    },
}


def _described(operation: Operation, refs: Mapping[type[msgspec.Struct], dict[str, Any]]) -> dict[str, Any]:
    reply = operation.reply
    content = {reply: {}} if isinstance(reply, str) else {JSON: {"schema": refs[reply]}}
    described: dict[str, Any] = {
        "operationId": operation.id,
        "summary": operation.summary,
        "description": "For admins." if operation.role == "admin" else "For the account of the caller.",
        "parameters": [*map(_in_path, operation.parameters), *_in_query(operation.query)],
        "responses": {
            str(operation.status): {"description": "Done.", "content": content},
            "4XX": {
                "description": "Refused; the message says what to do.",
                "content": {JSON: {"schema": {"$ref": "#/components/schemas/Refusal"}}},
            },
        },
    }
    if operation.body is not None:
        described["requestBody"] = {"required": True, "content": {JSON: {"schema": refs[operation.body]}}}
    return described


def _in_path(name: str) -> dict[str, Any]:
    return {"name": name, "in": "path", "required": True, "schema": {"type": "string"}}


def _in_query(kind: type[Wire]) -> list[dict[str, Any]]:
    _, components = msgspec.json.schema_components([kind])
    properties = components[kind.__name__]["properties"]
    return [{"name": name, "in": "query", "schema": schema} for name, schema in properties.items()]
