"""What goes out with answers that are for one person."""

from typing import Any, Final

from starlette.responses import JSONResponse, Response

PRIVATE: Final = {"cache-control": "no-store", "x-content-type-options": "nosniff"}


def private(content: dict[str, Any]) -> Response:
    return JSONResponse(content, headers=PRIVATE)
