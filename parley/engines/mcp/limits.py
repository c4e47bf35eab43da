"""What a remote MCP server may take of us. It is somebody else's program: it may be slow, broken or hostile."""

from typing import Final

CONNECT_S: Final = 5.0
LIST_S: Final = 15.0
"""From the first connection to the last page of tools."""
CALL_S: Final = 60.0
"""One call, from the request to the end of its answer."""
CLOSE_S: Final = 2.0
"""For saying goodbye."""

PAGES_MAX: Final = 8
"""Pages of one list of tools."""
TOOLS_MAX: Final = 128
"""Tools of one server. More are left out, and so is each that is over one of the next three."""
NAME_CHARS_MAX: Final = 128
SCHEMA_CHARS_MAX: Final = 16_384
"""The JSON of one tool's input schema."""
ANNOTATIONS_CHARS_MAX: Final = 2_048
DESCRIPTION_CHARS_MAX: Final = 1_024
"""What is longer is cut."""

BODY_BYTES_MAX: Final = 4 * 1024 * 1024
"""One answer over HTTP. A longer one is an error."""
RESULT_CHARS_MAX: Final = 32_768
"""What the model gets to read of one result, about 8,000 tokens. The rest is cut."""
MESSAGE_CHARS_MAX: Final = 1_000
"""What a server says of an error."""
CALLS_AT_ONCE_MAX: Final = 8
"""Calls to one server at a time; others wait."""
