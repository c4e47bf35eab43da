"""What comes in the body of a request, within limits."""

from typing import Final, NamedTuple

from starlette.datastructures import FormData, UploadFile
from starlette.exceptions import HTTPException
from starlette.requests import Request

from parley.errors import RequestError

JSON_BYTES_MAX: Final = 2 << 20
"""The longest instructions, many tools, and room for the rest."""
SDP_BYTES_MAX: Final = 64 * 1024
PARTS_MAX: Final = 8

SDP: Final = "application/sdp"
FORM: Final = "multipart/form-data"


async def body_of(request: Request, bytes_max: int) -> bytes:
    """The body. Raises `RequestError` with `request_too_large` as soon as it is known to be."""
    announced = request.headers.get("content-length", "0")
    if announced.isdecimal() and int(announced) > bytes_max:
        raise _too_large(bytes_max)
    body = bytearray()
    async for chunk in request.stream():
        body += chunk
        if len(body) > bytes_max:
            raise _too_large(bytes_max)
    return bytes(body)


class Described(NamedTuple):
    """An offer, and the session that goes with it (JSON) if one was sent."""

    sdp: str
    session: bytes | None


async def offer_of(request: Request) -> Described:
    """The offer in either form of protocol.md 1.3. Raises `RequestError`."""
    kind = request.headers.get("content-type", "").partition(";")[0].strip().lower()
    if kind == FORM:
        return await _from_form(request)
    body = await body_of(request, SDP_BYTES_MAX)
    if kind not in (SDP, "text/plain", ""):  # a browser's fetch() of a bare string says text/plain
        raise RequestError("unsupported_media_type", f"Send the offer as {SDP}, or as parts of {FORM}.")
    return Described(_text(body), None)


async def _from_form(request: Request) -> Described:
    announced = request.headers.get("content-length", "0")
    if announced.isdecimal() and int(announced) > JSON_BYTES_MAX:
        raise _too_large(JSON_BYTES_MAX)
    try:
        async with request.form(max_files=PARTS_MAX, max_fields=PARTS_MAX, max_part_size=JSON_BYTES_MAX) as form:
            sdp, session = await _part(form, "sdp"), await _part(form, "session")
    except HTTPException as error:
        raise RequestError("invalid_sdp", f"The form cannot be read: {error.detail}", "sdp") from error
    if sdp is None:
        raise RequestError("missing_required_parameter", "Missing required parameter: 'sdp'.", "sdp")
    return Described(_text(sdp), session)


async def _part(form: FormData, name: str) -> bytes | None:
    """A part, whether it came as a plain field or as a file."""
    part = form.get(name)
    if part is None:
        return None
    body = await part.read() if isinstance(part, UploadFile) else part.encode()
    if len(body) > JSON_BYTES_MAX:
        raise _too_large(JSON_BYTES_MAX)
    return body


def _text(sdp: bytes) -> str:
    if len(sdp) > SDP_BYTES_MAX:
        raise _too_large(SDP_BYTES_MAX)
    try:
        return sdp.decode()
    except UnicodeDecodeError as error:
        raise RequestError("invalid_sdp", "The offer is not UTF-8 text.", "sdp") from error


def _too_large(bytes_max: int) -> RequestError:
    return RequestError("request_too_large", f"The body may have at most {bytes_max} bytes.")
