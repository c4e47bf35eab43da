"""Remote MCP servers as a client configures them (protocol.md 2.9), and which of their tools it wants.

`authorization` and `headers` are secrets: they go to the server and nowhere else. `config.shown` leaves them out of all
that is said to clients.
"""

import re
import zlib
from collections.abc import Mapping
from typing import Annotated, Any, Final, Literal

import msgspec
from msgspec import UNSET, Meta, UnsetType

from parley.core.items import Wire
from parley.errors import RequestError

SERVERS_MAX: Final = 16
"""MCP servers of one session."""
URL_CHARS_MAX: Final = 2_048
HEADERS_MAX: Final = 32
HEADER_CHARS_MAX: Final = 8_192
TOOL_NAMES_MAX: Final = 256
"""Names in one filter."""
FUNCTION_NAME_CHARS_MAX: Final = 64
"""What language models take for the name of a function."""

SECRETS: Final = ("authorization", "headers")
OWN_HEADERS: Final = frozenset(
    "accept connection content-length content-type cookie expect host keep-alive last-event-id mcp-method mcp-name "
    "mcp-protocol-version mcp-session-id proxy-authorization te trailer transfer-encoding upgrade".split()
)
"""What HTTP and MCP themselves say in headers."""

_HEADER_NAME = re.compile(r"[A-Za-z0-9!#$%&'*+.^_`|~-]{1,256}")
_HEADER_VALUE = re.compile(rf"[\t\x20-\x7e]{{0,{HEADER_CHARS_MAX}}}")
_UNUSABLE = re.compile(r"[^a-zA-Z0-9_-]")

ToolNames = Annotated[tuple[str, ...], Meta(max_length=TOOL_NAMES_MAX)]


class ToolFilter(Wire):
    """Tools by name, by whether they say of themselves that they only read, or both."""

    tool_names: ToolNames | None = None
    read_only: bool | None = None

    def takes(self, name: str, *, read_only: bool) -> bool:
        named = self.tool_names is None or name in self.tool_names
        return named and (self.read_only is None or self.read_only == read_only)


class ApprovalRules(Wire):
    """What `always` takes is asked about; of the rest, what `never` takes is not."""

    always: ToolFilter | None = None
    never: ToolFilter | None = None


class McpTool(Wire, tag="mcp"):
    """A server whose tools the model may call. Once it has gone through `completed`, `server_url` is set."""

    server_label: Annotated[str, Meta(pattern=r"^[a-zA-Z][a-zA-Z0-9_-]{0,63}$")]
    server_url: Annotated[str, Meta(max_length=URL_CHARS_MAX)] | UnsetType | None = UNSET
    connector_id: str | UnsetType | None = UNSET
    tunnel_id: str | UnsetType | None = UNSET
    authorization: str | UnsetType | None = UNSET
    headers: dict[str, str] | UnsetType | None = UNSET
    allowed_tools: ToolNames | ToolFilter | UnsetType | None = UNSET
    require_approval: Literal["always", "never"] | ApprovalRules | UnsetType | None = UNSET
    server_description: Annotated[str, Meta(max_length=4_096)] | UnsetType | None = UNSET
    defer_loading: bool | UnsetType | None = UNSET
    """Of no effect: no answer ever waits for a list of tools."""
    allowed_callers: tuple[Literal["direct"], ...] | UnsetType | None = UNSET

    def allows(self, name: str, *, read_only: bool) -> bool:
        """Whether the model may call this tool of the server."""
        wanted = self.allowed_tools
        if isinstance(wanted, ToolFilter):
            return wanted.takes(name, read_only=read_only)
        return not isinstance(wanted, tuple) or name in wanted

    def asks(self, name: str, *, read_only: bool) -> bool:
        """Whether the client has to approve each call of this tool."""
        rules = self.require_approval
        if not isinstance(rules, ApprovalRules):
            return rules != "never"
        if rules.always is not None and rules.always.takes(name, read_only=read_only):
            return True
        return rules.never is None or not rules.never.takes(name, read_only=read_only)

    def same_place(self, other: "McpTool") -> bool:
        """Whether both mean the same server, reached in the same way."""
        return all(getattr(self, name) == getattr(other, name) for name in ("server_url", *SECRETS))


class NamedMcp(Wire, tag="mcp"):
    """The choice of one server, or of one of its tools."""

    server_label: str
    name: str | UnsetType | None = UNSET


def function_name(label: str, name: str) -> str:
    """What the model knows a tool by: always the same for the same tool, and usable as the name of a function."""
    whole = f"{label}__{name}"
    plain = _UNUSABLE.sub("_", whole)
    if plain == whole and len(plain) <= FUNCTION_NAME_CHARS_MAX:
        return plain
    return f"{plain[: FUNCTION_NAME_CHARS_MAX - 9]}_{zlib.crc32(whole.encode()):08x}"


def completed(entry: McpTool, known: Mapping[str, McpTool], path: str) -> McpTool:
    """`entry` with what it leaves out of a server that is known by its label. Raises `RequestError`.

    Its secrets belong to its address: with another `server_url` it is another server, of which nothing is known.
    """
    before = known.get(entry.server_label)
    if before is not None and entry.server_url in (UNSET, None, before.server_url):
        given = {name: value for name, value in msgspec.structs.asdict(entry).items() if value is not UNSET}
        secrets = dict.fromkeys(SECRETS, UNSET) if given.keys() & set(SECRETS) else {}
        whole = {**msgspec.structs.asdict(before), **secrets, **given, "server_url": before.server_url}
        entry = McpTool(**whole)
    _check(entry, path)
    return msgspec.structs.replace(
        entry,
        connector_id=UNSET,
        tunnel_id=UNSET,
        authorization=entry.authorization or UNSET,
        headers=entry.headers or UNSET,
        allowed_tools=None if entry.allowed_tools is UNSET else entry.allowed_tools,
        require_approval=entry.require_approval or "always",
    )


def _check(entry: McpTool, path: str) -> None:
    for key in ("connector_id", "tunnel_id"):
        if getattr(entry, key):
            raise _wrong(f"{path}.{key}", "this server has no connectors and tunnels. Give 'server_url' instead")
    if not entry.server_url:
        raise RequestError(
            "missing_required_parameter",
            f"Missing required parameter: '{path}.server_url'. Only a server that this session already has may be "
            "named by its label alone.",
            f"{path}.server_url",
        )
    if not entry.server_url.startswith(("https://", "http://")):
        raise _wrong(f"{path}.server_url", "expected an http or https URL")
    _check_secrets(entry, path)
    for place, chosen in _filters(entry):
        if chosen.tool_names is None and chosen.read_only is None:
            raise _wrong(f"{path}.{place}", "the filter needs 'tool_names', 'read_only' or both")


def _check_secrets(entry: McpTool, path: str) -> None:
    """Here and not in the types, whose errors quote what they refuse."""
    headers = entry.headers or {}
    if len(headers) > HEADERS_MAX:
        raise _wrong(f"{path}.headers", f"at most {HEADERS_MAX} headers are sent")
    for name, value in headers.items():
        if not _HEADER_NAME.fullmatch(name) or name.lower() in OWN_HEADERS:
            raise _wrong(f"{path}.headers", "a header has a name that cannot be set here")
        if not _HEADER_VALUE.fullmatch(value):
            raise _wrong(
                f"{path}.headers", f"a header has a value that cannot be sent, or over {HEADER_CHARS_MAX} characters"
            )
    if entry.authorization and not _HEADER_VALUE.fullmatch(entry.authorization):
        raise _wrong(
            f"{path}.authorization", f"it cannot be sent in a header, or is over {HEADER_CHARS_MAX} characters"
        )
    if entry.authorization and any(name.lower() == "authorization" for name in headers):
        raise _wrong(f"{path}.authorization", "there is an Authorization among the headers, too. Give only one")


def _filters(entry: McpTool) -> list[tuple[str, ToolFilter]]:
    found: list[tuple[str, Any]] = [("allowed_tools", entry.allowed_tools)]
    if isinstance(rules := entry.require_approval, ApprovalRules):
        found += [("require_approval.always", rules.always), ("require_approval.never", rules.never)]
    return [(place, value) for place, value in found if isinstance(value, ToolFilter)]


def _wrong(path: str, why: str) -> RequestError:
    return RequestError("invalid_value", f"Invalid '{path}': {why}.", path)
