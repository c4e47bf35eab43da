"""A form with a sound file in it: streamed to the disk as it comes, within limits.

async with uploads.read(request) as form:     # RequestError
    form.fields["text"], form.audio           # a real file, open for reading; gone afterwards
"""

from collections.abc import AsyncGenerator, AsyncIterator, Mapping
from contextlib import asynccontextmanager
from typing import IO, Final, NamedTuple

from starlette.datastructures import FormData, UploadFile
from starlette.formparsers import MultiPartException, MultiPartParser
from starlette.requests import Request

from parley.errors import RequestError
from parley.web.bodies import FORM

UPLOAD_BYTES_MAX: Final = 25 * 1024 * 1024
"""protocol.md 1.8: 25 MB."""
FIELD_BYTES_MAX: Final = 256 * 1024
"""Of any other part: the longest is `messages`."""
FORM_BYTES_MAX: Final = 26 * 1024 * 1024
"""All of the body; nobody is listened to for longer."""
PARTS_MAX: Final = 16
UPLOADS_MAX: Final = 64
"""Forms that are being read at once, in this process: 1.6 GB of disk at most."""
AUDIO: Final = "audio"


class Form(NamedTuple):
    fields: Mapping[str, str]
    audio: IO[bytes] | None


class Uploads:
    """Belongs to one event loop."""

    def __init__(self) -> None:
        self._reading = 0

    @asynccontextmanager
    async def read(self, request: Request) -> AsyncIterator[Form]:
        """Raises `RequestError`: `unsupported_media_type`, `invalid_body`, `invalid_audio`, `request_too_large`, and
        `rate_limit_exceeded`.
        """
        kind = request.headers.get("content-type", "").partition(";")[0].strip().lower()
        if kind != FORM:
            raise RequestError("unsupported_media_type", f"Send the fields as {FORM}.")
        if self._reading >= UPLOADS_MAX:
            raise RequestError("rate_limit_exceeded", f"{UPLOADS_MAX} forms are being read; try again in a moment.")
        self._reading += 1
        try:
            form = await _parsed(request)
            try:
                yield await _form(form)
            finally:
                await form.close()
        finally:
            self._reading -= 1


async def _parsed(request: Request) -> FormData:
    announced = request.headers.get("content-length", "0")
    if announced.isdecimal() and int(announced) > FORM_BYTES_MAX:
        raise _too_large()
    parser = MultiPartParser(
        request.headers, _bounded(request), max_files=PARTS_MAX, max_fields=PARTS_MAX, max_part_size=FIELD_BYTES_MAX
    )
    try:
        return await parser.parse()
    except MultiPartException as error:
        if "exceeded maximum size" in error.message:
            raise _field_too_large() from error
        raise RequestError("invalid_body", f"The form cannot be read: {error.message}") from error


async def _bounded(request: Request) -> AsyncGenerator[bytes, None]:
    size = 0
    async for chunk in request.stream():
        size += len(chunk)
        if size > FORM_BYTES_MAX:
            raise _too_large()
        yield chunk


async def _form(form: FormData) -> Form:
    fields: dict[str, str] = {}
    audio: IO[bytes] | None = None
    for name, part in form.multi_items():
        if name in fields or (name == AUDIO and audio is not None):
            raise RequestError("invalid_body", f"The form has the field {name[:64]!r} twice.", name[:64])
        if name == AUDIO:
            audio = _sound(part)
        elif isinstance(part, UploadFile):  # `curl -F text=@question.txt`
            fields[name] = await _text(part, name)
        else:
            fields[name] = part
    return Form(fields, audio)


def _sound(part: UploadFile | str) -> IO[bytes] | None:
    """None for the empty part that a page sends where nobody has chosen a file."""
    if isinstance(part, str):
        raise RequestError("invalid_audio", "Send the audio as a file, with a filename.", AUDIO)
    size = part.size or 0
    if size > UPLOAD_BYTES_MAX:
        raise _too_large()
    if not size and part.filename:
        raise RequestError("invalid_audio", "The audio file is empty.", AUDIO)
    return part.file if size else None


async def _text(part: UploadFile, name: str) -> str:
    if (part.size or 0) > FIELD_BYTES_MAX:
        raise _field_too_large()
    try:
        return (await part.read()).decode()
    except UnicodeDecodeError as error:
        raise RequestError("invalid_body", f"The field {name[:64]!r} is not UTF-8 text.", name[:64]) from error


def _too_large() -> RequestError:
    return RequestError("request_too_large", f"The audio may have at most {UPLOAD_BYTES_MAX >> 20} MB.", AUDIO)


def _field_too_large() -> RequestError:
    return RequestError("request_too_large", f"A field besides the audio may have at most {FIELD_BYTES_MAX} bytes.")
