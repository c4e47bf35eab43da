"""Pictures from data URLs and from the web: what comes out is small and clean, what is wrong is named, nothing bursts."""

import base64
import io
import struct
import time
import zlib
from collections.abc import AsyncIterator, Iterator
from contextlib import asynccontextmanager, suppress
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from threading import Thread
from typing import Any

import pytest
from PIL import Image

from parley.core.images import image_tokens, jpeg_size
from parley.errors import RequestError
from parley.images import FETCH_S, IMAGE_BYTES_MAX, PIXELS_MAX, SIDE_MAX, Pictures
from parley.outgoing import Outgoing, read_allowed

ORIENTATION = 0x0112
PATH = "item.content[0].image_url"


def picture(
    kind: str = "PNG", size: tuple[int, int] = (8, 6), mode: str = "RGB", color: Any = None, **more: Any
) -> bytes:
    file = io.BytesIO()
    Image.new(mode, size, (200, 30, 30) if color is None else color).save(file, kind, **more)
    return file.getvalue()


def data_url(file: bytes, kind: str = "image/png") -> str:
    return f"data:{kind};base64,{base64.b64encode(file).decode()}"


def seen(url: str) -> Image.Image:
    """What the model gets."""
    assert url.startswith("data:image/jpeg;base64,")
    image = Image.open(io.BytesIO(base64.b64decode(url.partition(",")[2])))
    assert image.format == "JPEG" and image.mode == "RGB"
    assert jpeg_size(url) == image.size, "the core reads the same size"
    return image


def near(image: Image.Image, at: tuple[int, int], color: tuple[int, int, int]) -> bool:
    found = image.getpixel(at)
    assert isinstance(found, tuple)
    return all(abs(have - want) < 20 for have, want in zip(found, color, strict=True))


@asynccontextmanager
async def pictures(allowed: str = "", *, sees: bool = True) -> AsyncIterator[Pictures]:
    opened = Pictures(Outgoing(read_allowed(allowed)), sees=sees)
    try:
        yield opened
    finally:
        await opened.close()


async def ready(url: str, detail: str = "auto") -> str:
    async with pictures() as opened:
        return await opened.ready(url, detail, PATH)


async def refusal(url: str, allowed: str = "", *, sees: bool = True) -> RequestError:
    async with pictures(allowed, sees=sees) as opened:
        with pytest.raises(RequestError) as refused:
            await opened.ready(url, "auto", PATH)
    assert refused.value.param == PATH
    return refused.value


# ---- what comes out


@pytest.mark.parametrize("kind", ["PNG", "JPEG", "WEBP", "GIF"])
async def test_every_format_becomes_a_small_jpeg(kind: str) -> None:
    image = seen(await ready(data_url(picture(kind, (40, 30)), f"image/{kind.lower()}")))
    assert image.size == (40, 30)
    assert near(image, (20, 15), (200, 30, 30))


@pytest.mark.parametrize(
    ("size", "detail", "fits"),
    [((4000, 3000), "auto", (1024, 768)), ((4000, 3000), "low", (512, 384)), ((6000, 100), "high", (2048, 34)), ((700, 500), "auto", (700, 500)), ((1, 1), "low", (1, 1))],
)  # fmt: skip
@pytest.mark.parametrize("kind", ["PNG", "JPEG"])
async def test_it_is_made_as_large_as_its_tokens(
    kind: str, size: tuple[int, int], detail: str, fits: tuple[int, int]
) -> None:
    url = await ready(data_url(picture(kind, size)), detail)
    assert seen(url).size == fits
    assert image_tokens(url, detail) <= 85 + 8 * 170


async def test_of_something_that_moves_the_first_frame() -> None:
    frames = [Image.new("RGB", (20, 20), color) for color in ("red", "blue")]
    for kind in ("GIF", "WEBP"):
        file = io.BytesIO()
        frames[0].save(file, kind, save_all=True, append_images=frames[1:])
        assert near(seen(await ready(data_url(file.getvalue()))), (10, 10), (255, 0, 0)), kind


async def test_behind_what_is_transparent_is_white() -> None:
    for file in (
        picture("PNG", mode="RGBA", color=(0, 0, 0, 0)),
        picture("WEBP", mode="RGBA", color=(0, 0, 0, 0), lossless=True),
        picture("PNG", mode="P", color=0, transparency=0),
    ):
        assert near(seen(await ready(data_url(file))), (4, 3), (255, 255, 255))


async def test_what_cameras_write_beside_it_is_gone_and_it_is_upright() -> None:
    notes = Image.Exif()
    notes[ORIENTATION] = 6
    notes[0x010F] = "a camera of mine"
    image = seen(await ready(data_url(picture("JPEG", (40, 20), exif=notes), "image/jpeg")))
    assert image.size == (20, 40)
    assert not image.getexif() and "a camera of mine" not in str(image.info)


@pytest.mark.parametrize("mode", ["L", "LA", "1", "CMYK", "I;16"])
async def test_every_kind_of_colour(mode: str) -> None:
    kind = "JPEG" if mode == "CMYK" else "PNG"
    assert seen(
        await ready(data_url(picture(kind, mode=mode, color=(0,) * len(Image.new(mode, (1, 1)).getbands()))))
    ).size == (8, 6)


# ---- what is wrong


@pytest.mark.parametrize(
    "url",
    [
        "data:image/png;base64,",
        "data:image/png;base64,!!!!",
        "data:image/png;base64,AAAA",
        "data:image/png,plain",
        "data:;base64,AAAA",
        "data:",
        data_url(b"<svg xmlns='http://www.w3.org/2000/svg'/>", "image/svg+xml"),
        data_url(picture("BMP")),
        data_url(picture("TIFF")),
        data_url(picture("PNG", (100, 100))[:120]),
        data_url(picture("JPEG", (400, 400), quality=95)[:300]),
    ],
    ids=lambda url: url[:40],
)
async def test_what_is_no_picture(url: str) -> None:
    error = await refusal(url)
    assert error.code == "invalid_image"
    assert len(error.message) < 300


def test_all_that_is_read_is_allowed_by_name() -> None:
    from parley.images import FORMATS

    assert FORMATS == ("PNG", "JPEG", "WEBP", "GIF"), "EPS, for one, would start a program"


def bomb(width: int, height: int, rows: int) -> bytes:
    """A PNG that says it is that large, and has that many rows of zeros in a few bytes."""

    def chunk(kind: bytes, data: bytes) -> bytes:
        return struct.pack(">I", len(data)) + kind + data + struct.pack(">I", zlib.crc32(kind + data))

    head = struct.pack(">IIBBBBB", width, height, 8, 2, 0, 0, 0)
    packer = zlib.compressobj(9)
    body = b"".join(packer.compress(bytes(1 + 3 * width)) for _ in range(rows)) + packer.flush()
    return b"\x89PNG\r\n\x1a\n" + chunk(b"IHDR", head) + chunk(b"IDAT", body) + chunk(b"IEND", b"")


@pytest.mark.parametrize(
    ("width", "height"),
    [(SIDE_MAX + 1, 1), (1, SIDE_MAX + 1), (5_001, 5_000), (30_000, 30_000), (2**31 - 1, 2**31 - 1)],
)
@pytest.mark.filterwarnings("ignore::PIL.Image.DecompressionBombWarning")
async def test_what_would_burst_is_refused_before_it_is_unpacked(width: int, height: int) -> None:
    began = time.perf_counter()
    error = await refusal(data_url(bomb(width, height, rows=0)))
    assert error.code == "invalid_image"
    assert time.perf_counter() - began < 5.0


async def test_the_largest_that_is_read() -> None:
    assert PIXELS_MAX == 5_000 * 5_000
    assert seen(await ready(data_url(bomb(5_000, 5_000, 5_000)))).size == (768, 768)


async def test_a_gif_that_grows_beyond_its_screen() -> None:
    """Its screen is one pixel, its first frame says 60,000 x 60,000."""
    screen = b"GIF89a" + struct.pack("<HHBBB", 1, 1, 0x80, 0, 0) + bytes(6)
    frame = b"\x2c" + struct.pack("<HHHHB", 0, 0, 60_000, 60_000, 0) + b"\x02\x02\x44\x01\x00\x3b"
    assert (await refusal(data_url(screen + frame, "image/gif"))).code == "invalid_image"


async def test_a_file_that_is_too_large() -> None:
    error = await refusal(data_url(bytes(IMAGE_BYTES_MAX + 3)))
    assert error.code == "invalid_image" and "10 MiB" in error.message


async def test_a_model_without_sight() -> None:
    assert (await refusal(data_url(picture()), sees=False)).code == "image_not_supported"
    assert (await refusal("http://127.0.0.1:1/", sees=False)).code == "image_not_supported", "nothing is fetched either"


# ---- from the web


class Site(BaseHTTPRequestHandler):
    file = picture("PNG", (30, 20))
    asked: list[str]

    def do_GET(self) -> None:
        self.asked.append(self.path)
        match self.path:
            case "/cat.png":
                self._send(200, self.file)
            case "/moved":
                self._send(302, b"", location="/cat.png")
            case "/large":
                self._send(200, bytes(IMAGE_BYTES_MAX + 1))
            case "/page":
                self._send(200, b"<html>")
            case _:
                self._send(404, b"")

    def _send(self, status: int, body: bytes, **headers: str) -> None:
        self.send_response(status)
        for name, value in {"content-length": str(len(body)), **headers}.items():
            self.send_header(name, value)
        self.end_headers()
        with suppress(ConnectionError):  # it has read enough
            self.wfile.write(body)

    def log_message(self, *_: object) -> None:
        pass


@pytest.fixture
def site() -> Iterator[str]:
    Site.asked = []
    server = ThreadingHTTPServer(("127.0.0.1", 0), Site)
    thread = Thread(target=server.serve_forever, daemon=True)
    thread.start()
    yield f"http://127.0.0.1:{server.server_port}"
    server.shutdown()
    server.server_close()
    thread.join()


async def test_a_picture_of_the_web(site: str) -> None:
    async with pictures("127.0.0.1/32") as opened:
        assert seen(await opened.ready(f"{site}/cat.png", "auto", PATH)).size == (30, 20)


async def test_the_guard_stands_in_front(site: str) -> None:
    for url in (f"{site}/cat.png", "http://169.254.169.254/latest/meta-data/", "file:///etc/passwd", "ftp://x.test/a"):
        assert (await refusal(url)).code == "url_not_allowed"
    assert Site.asked == []


@pytest.mark.parametrize(
    ("path", "code"),
    [
        ("moved", "image_not_reached"),
        ("none", "image_not_reached"),
        ("large", "invalid_image"),
        ("page", "invalid_image"),
    ],
)
async def test_what_the_web_answers_wrongly(site: str, path: str, code: str) -> None:
    error = await refusal(f"{site}/{path}", "127.0.0.1/32")
    assert error.code == code
    assert Site.asked == [f"/{path}"], "a redirect is not followed"
    assert site not in error.message


async def test_nobody_there() -> None:
    error = await refusal("http://127.0.0.1:1025/", "127.0.0.1/32")
    assert error.code == "image_not_reached" and FETCH_S == 10.0
