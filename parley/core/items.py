"""Items and content parts, as they stand on the wire (GA spelling, protocol.md 5).

The structs are frozen; a change makes a new one. Audio bytes are not in here but beside the item, in its
`conversation.Entry`: events never carry them, except `conversation.item.retrieved`.
"""

from typing import Annotated, Any, Literal, dataclass_transform

import msgspec
from msgspec import UNSET, Meta, UnsetType

from parley.core.shapes import shape
from parley.errors import RequestError

ITEM_ID_CHARS_MAX = 128
TEXT_CHARS_MAX = 2_000_000
"""Longest text in one part. Far above any context window; it bounds memory, not conversation."""
PARTS_MAX = 256
IMAGE_URL_CHARS_MAX = 14_000_000

Status = Literal["in_progress", "completed", "incomplete"]
ItemId = Annotated[str, Meta(min_length=1, max_length=ITEM_ID_CHARS_MAX)]
Words = Annotated[str, Meta(max_length=TEXT_CHARS_MAX)]


@dataclass_transform(frozen_default=True, kw_only_default=True, field_specifiers=(msgspec.field,))
class Wire(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """Base of everything that has a shape on the wire."""


class InputText(Wire, tag="input_text"):
    text: Words


class InputAudio(Wire, tag="input_audio"):
    transcript: str | None = None
    audio: bytes | UnsetType = UNSET
    format: dict[str, Any] | UnsetType = UNSET


class InputImage(Wire, tag="input_image"):
    image_url: Annotated[str, Meta(max_length=IMAGE_URL_CHARS_MAX)]
    detail: Literal["auto", "low", "high"] = "auto"


class OutputText(Wire, tag="output_text"):
    text: Words


class OutputAudio(Wire, tag="output_audio"):
    transcript: str | None = None
    audio: bytes | UnsetType = UNSET
    format: dict[str, Any] | UnsetType = UNSET


Part = InputText | InputAudio | InputImage | OutputText | OutputAudio


class Message(Wire, tag="message"):
    role: Literal["system", "user", "assistant"]
    content: Annotated[tuple[Part, ...], Meta(max_length=PARTS_MAX)]
    id: ItemId | None = None
    object: Literal["realtime.item"] = "realtime.item"
    status: Status = "completed"
    phase: Literal["commentary", "final_answer"] | UnsetType = UNSET


class FunctionCall(Wire, tag="function_call"):
    name: Annotated[str, Meta(min_length=1, max_length=256)]
    arguments: Words
    call_id: ItemId | None = None
    id: ItemId | None = None
    object: Literal["realtime.item"] = "realtime.item"
    status: Status = "completed"


class FunctionCallOutput(Wire, tag="function_call_output"):
    call_id: ItemId
    output: Words
    id: ItemId | None = None
    object: Literal["realtime.item"] = "realtime.item"
    status: Status = "completed"


class McpToolInfo(Wire):
    """A tool that a server has."""

    name: str
    input_schema: dict[str, Any]
    description: str = ""
    annotations: dict[str, Any] | None = None

    @property
    def read_only(self) -> bool:
        """Whether the tool says of itself that it changes nothing."""
        return self.annotations is not None and self.annotations.get("readOnlyHint") is True


class McpProtocolError(Wire, tag="protocol_error"):
    code: int
    message: str


class McpToolExecutionError(Wire, tag="tool_execution_error"):
    message: str


class McpHttpError(Wire, tag="http_error"):
    """`code` is an HTTP status: the server's, or what a gateway would say where no answer came."""

    code: int
    message: str


McpError = McpProtocolError | McpToolExecutionError | McpHttpError


class McpListTools(Wire, tag="mcp_list_tools"):
    server_label: str
    tools: tuple[McpToolInfo, ...]
    id: ItemId | None = None
    object: Literal["realtime.item"] = "realtime.item"
    status: Status = "completed"


class McpCall(Wire, tag="mcp_call"):
    """A call that the server makes. `in_progress` until its output or error is there."""

    server_label: str
    name: str
    arguments: Words
    approval_request_id: ItemId | None = None
    output: Words | None = None
    error: McpError | None = None
    id: ItemId | None = None
    object: Literal["realtime.item"] = "realtime.item"
    status: Status = "completed"


class McpApprovalRequest(Wire, tag="mcp_approval_request"):
    server_label: str
    name: str
    arguments: Words
    id: ItemId | None = None
    object: Literal["realtime.item"] = "realtime.item"
    status: Status = "completed"


class McpApprovalResponse(Wire, tag="mcp_approval_response"):
    approval_request_id: ItemId
    approve: bool
    reason: Annotated[str, Meta(max_length=4_096)] | None = None
    id: ItemId | None = None
    object: Literal["realtime.item"] = "realtime.item"
    status: Status = "completed"


class ItemReference(Wire, tag="item_reference"):
    """Only inside the `input` of a `response.create`: stands for an item of the conversation."""

    id: ItemId


McpItem = McpListTools | McpCall | McpApprovalRequest | McpApprovalResponse
"""GA only (protocol.md 5.1)."""

Item = Message | FunctionCall | FunctionCallOutput | McpItem

PARTS_BY_ROLE: dict[str, tuple[type[Part], ...]] = {
    "system": (InputText,),
    "user": (InputText, InputAudio, InputImage),
    "assistant": (OutputText,),
}
"""What a client may put into a message. Assistant audio cannot be populated by clients (protocol.md 3.5)."""


def parse_item(value: object, root: str = "item") -> Item:
    """A client's item. Its status has no effect (protocol.md 5.2). Raises `RequestError`."""
    item: Item = shape(value, Item, root)  # type: ignore[arg-type]
    return _checked(item, root)


def parse_input(value: object, root: str) -> Item | ItemReference:
    """An element of `response.input`: an item, or a reference to one. Raises `RequestError`."""
    item: Item | ItemReference = shape(value, Item | ItemReference, root)  # type: ignore[arg-type]
    return item if isinstance(item, ItemReference) else _checked(item, root)


def _checked(item: Item, root: str) -> Item:
    if isinstance(item, Message):
        for index, part in enumerate(item.content):
            _check_part(item.role, part, f"{root}.content[{index}]")
    return msgspec.structs.replace(item, status="completed")


def _check_part(role: str, part: Part, path: str) -> None:
    allowed = PARTS_BY_ROLE[role]
    if not isinstance(part, allowed):
        listed = ", ".join(repr(kind.__struct_config__.tag) for kind in allowed)
        found = part.__struct_config__.tag
        raise RequestError(
            "invalid_value", f"Invalid value: {found!r}. Supported values are: {listed}.", f"{path}.type"
        )
    if isinstance(part, InputAudio) and part.audio is UNSET and not part.transcript:
        raise RequestError(
            "missing_required_parameter", f"Missing required parameter: '{path}.audio'.", f"{path}.audio"
        )
    if isinstance(part, InputImage) and not part.image_url.startswith(
        ("data:image/png;base64,", "data:image/jpeg;base64,")
    ):
        raise RequestError(
            "invalid_value",
            f"Invalid '{path}.image_url'. Expected a data URL of a PNG or JPEG image (data:image/png;base64,…).",
            f"{path}.image_url",
        )


def with_status(item: Item, status: Status) -> Item:
    return msgspec.structs.replace(item, status=status)
