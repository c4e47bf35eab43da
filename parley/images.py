"""Pictures that clients show to the model: from a data URL or the web to one small JPEG.

    pictures = Pictures(outgoing, sees=True)
    url = await pictures.ready("https://example.com/cat.png", "auto", "item.content[0].image_url")   # RequestError
    await pictures.close()

What goes to the model is always our own JPEG: one frame, upright, without transparency and without what cameras and
programs write beside the picture (place, time, owner). It is as large as its tokens pay for (`core.images`).
"""

from __future__ import annotations

import asyncio
import binascii
import io
import re
from concurrent.futures import ThreadPoolExecutor
from typing import TYPE_CHECKING, Final

import pybase64

from parley.core.images import LONG_SIDE_MAX, LOW_SIDE_MAX, SHORT_SIDE_MAX
from parley.errors import RequestError
from parley.outgoing import Outgoing

if TYPE_CHECKING:
    import aiohttp
    from PIL import Image

IMAGE_BYTES_MAX: Final = 10 * 2**20
"""Of the file, as it comes."""
PIXELS_MAX: Final = 25_000_000
"""Of a picture as it comes: 100 MB while it is decoded. What telephones take by default has 12 to 24 million."""
SIDE_MAX: Final = 16_384
DECODERS: Final = 2
"""Pictures that are decoded at a time; the others wait."""
FETCH_S: Final = 10.0
FORMATS: Final = ("PNG", "JPEG", "WEBP", "GIF")
JPEG_QUALITY: Final = 85
BACKGROUND: Final = "white"
"""Behind what is transparent."""
READ_BYTES: Final = 64 * 1024

BLIND: Final = "The language model of this server cannot see. Send text, or connect one that can (`llm_url`)."
_DATA_URL = re.compile(r"data:(?P<type>[a-zA-Z0-9.+-]+/[a-zA-Z0-9.+-]+)?(?:;[^;,]*)*?;base64,", re.IGNORECASE)


class Pictures:
    """Belongs to one event loop, and `outgoing` to it. `sees`: whether the language model takes pictures at all."""

    def __init__(self, outgoing: Outgoing, *, sees: bool) -> None:
        self._outgoing = outgoing
        self._sees = sees
        self._decoders = ThreadPoolExecutor(DECODERS, thread_name_prefix="picture")

    async def ready(self, url: str, detail: str, param: str) -> str:
        """A data URL of the JPEG that the model will see. `param` is the path that errors name.

        Raises `RequestError`: `image_not_supported`, `invalid_image`, `url_not_allowed`, `image_not_reached`.
        """
        if not self._sees:
            raise RequestError("image_not_supported", BLIND, param)
        source = url if url[:5].lower() == "data:" else await self._fetch(url, param)
        return await asyncio.get_running_loop().run_in_executor(self._decoders, _redrawn, source, detail, param)

    async def close(self) -> None:
        self._decoders.shutdown(wait=False, cancel_futures=True)
        await self._outgoing.close()

    async def _fetch(self, url: str, param: str) -> bytes:
        import aiohttp  # this and Pillow are 20 MB that most servers never need

        try:
            async with asyncio.timeout(FETCH_S), self._outgoing.request("GET", url) as response:
                if response.status != 200:
                    raise _not_reached(f"the server answered with status {response.status}", param)
                return await _body(response, param)
        except RequestError as error:
            raise RequestError(error.code, error.message, param) from None
        except TimeoutError:
            raise _not_reached(f"it did not come within {FETCH_S:.0f} s", param) from None
        except (aiohttp.ClientError, OSError):
            raise _not_reached("the server could not be reached", param) from None


async def _body(response: aiohttp.ClientResponse, param: str) -> bytes:
    file = bytearray()
    async for chunk in response.content.iter_chunked(READ_BYTES):
        file += chunk
        if len(file) > IMAGE_BYTES_MAX:
            raise _too_large(param)
    return bytes(file)


# ---- in a thread


def _decoded(url: str, param: str) -> bytes:
    head = _DATA_URL.match(url[:256])
    if head is None:
        raise _invalid("expected a data URL such as data:image/png;base64,… or an http(s) URL", param)
    if (len(url) - head.end()) * 3 // 4 > IMAGE_BYTES_MAX:
        raise _too_large(param)
    try:
        return pybase64.b64decode(url[head.end() :], validate=True)
    except (binascii.Error, ValueError):
        raise _invalid("its base64 cannot be read", param) from None


def _redrawn(source: str | bytes, detail: str, param: str) -> str:
    """The picture in a data URL or a file, as a data URL of the JPEG that the model gets."""
    from PIL import Image, ImageOps

    file = _decoded(source, param) if isinstance(source, str) else source
    try:
        with Image.open(io.BytesIO(file), formats=FORMATS) as image:
            _check_size(image, param)
            image.draft("RGB", _fitting(image.size, detail))  # only JPEG can; it then decodes a smaller one
            upright = ImageOps.exif_transpose(image)
            small = _opaque(upright).resize(_fitting(upright.size, detail), Image.Resampling.LANCZOS, reducing_gap=2.0)
    except RequestError:
        raise
    except Exception:  # its decoders raise whatever a broken file leads them to
        raise _invalid("it is no PNG, JPEG, WebP or GIF, or it is damaged", param) from None
    jpeg = io.BytesIO()
    small.save(jpeg, "JPEG", quality=JPEG_QUALITY)
    return f"data:image/jpeg;base64,{pybase64.b64encode(jpeg.getvalue()).decode()}"


def _check_size(image: Image.Image, param: str) -> None:
    """By what the file says of itself, before anything is decoded."""
    width, height = image.size
    if not 0 < width * height <= PIXELS_MAX or max(width, height) > SIDE_MAX:
        limits = f"at most {PIXELS_MAX} are read, and sides of {SIDE_MAX}"
        raise _invalid(f"it has {width} x {height} pixels; {limits}", param)


def _opaque(image: Image.Image) -> Image.Image:
    if not image.has_transparency_data:
        return image.convert("RGB")
    from PIL import Image

    layered = image.convert("RGBA")
    page = Image.new("RGB", layered.size, BACKGROUND)
    page.paste(layered, mask=layered.getchannel("A"))
    return page


def _fitting(size: tuple[int, int], detail: str) -> tuple[int, int]:
    """How large the model shall see it; small pictures stay as they are."""
    long_max, short_max = (LOW_SIDE_MAX, LOW_SIDE_MAX) if detail == "low" else (LONG_SIDE_MAX, SHORT_SIDE_MAX)
    scale = min(1.0, long_max / max(size), short_max / min(size))
    return max(1, round(size[0] * scale)), max(1, round(size[1] * scale))


# ---- errors


def _invalid(why: str, param: str) -> RequestError:
    return RequestError("invalid_image", f"Invalid '{param}': {why}.", param)


def _too_large(param: str) -> RequestError:
    return _invalid(f"the file is larger than {IMAGE_BYTES_MAX // 2**20} MiB", param)


def _not_reached(why: str, param: str) -> RequestError:
    return RequestError("image_not_reached", f"The image at '{param}' could not be fetched: {why}.", param)
