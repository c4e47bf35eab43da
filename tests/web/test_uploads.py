"""Forms with a file in them, over a real connection: what fits, what does not, and what is left when somebody leaves."""

import contextlib
import hashlib
import os
import socket
import time
from collections.abc import Iterator
from typing import Any, NamedTuple

import httpx
import pytest
from starlette.applications import Starlette
from starlette.requests import ClientDisconnect, Request
from starlette.responses import JSONResponse, Response
from starlette.routing import Route

from parley.transports import http_guard
from parley.web import errors, uploads
from parley.web.uploads import FIELD_BYTES_MAX, UPLOAD_BYTES_MAX, Uploads
from tests.transports.serving import serving

SOUND = os.urandom(2 << 20)


class Place:
    """Answers with what it was sent."""

    def __init__(self) -> None:
        self.uploads = Uploads()
        self.left = 0
        self.on_disk = False
        self.app = Starlette(
            routes=[Route("/", self.take, methods=["POST"])],
            exception_handlers=errors.HANDLERS,
        )

    async def take(self, request: Request) -> Response:
        try:
            async with self.uploads.read(request) as form:
                audio = None
                if form.audio is not None:
                    self.on_disk = bool(getattr(form.audio, "_rolled"))  # noqa: B009
                    os.fstat(form.audio.fileno())
                    audio = hashlib.sha256(form.audio.read()).hexdigest()
                return JSONResponse({"fields": dict(form.fields), "audio": audio})
        except ClientDisconnect:
            self.left += 1
            return Response()


class Running(NamedTuple):
    place: Place
    port: int

    def send(self, fields: Any = None, files: Any = None, **more: Any) -> httpx.Response:
        """A form, whatever there is in it."""
        return httpx.post(f"http://127.0.0.1:{self.port}/", data=fields, files=files, timeout=30, **more)

    def refused(self, *args: Any, **kwargs: Any) -> tuple[int, str]:
        response = self.send(*args, **kwargs)
        return response.status_code, response.json()["error"]["code"]


@pytest.fixture(scope="module")
def running() -> Iterator[Running]:
    place = Place()
    with serving(place.app) as port:
        yield Running(place, port)


@pytest.fixture(autouse=True)
def nothing_is_left(running: Running) -> Iterator[None]:
    yield
    deadline = time.monotonic() + 5
    while running.place.uploads._reading and time.monotonic() < deadline:
        time.sleep(0.01)
    assert running.place.uploads._reading == 0


def test_fields_and_a_file(running: Running) -> None:
    answer = running.send({"model": "m", "text": "Ünïcode"}, {"audio": ("a.webm", SOUND, "audio/webm")}).json()
    assert answer == {"fields": {"model": "m", "text": "Ünïcode"}, "audio": hashlib.sha256(SOUND).hexdigest()}
    assert running.place.on_disk


def test_a_field_that_came_as_a_file_is_a_field(running: Running) -> None:
    answer = running.send(files={"text": ("question.txt", b"What?"), "audio": ("a", b"x")}).json()
    assert answer["fields"] == {"text": "What?"}


def test_no_file_was_chosen(running: Running) -> None:
    head = b'--x\r\nContent-Disposition: form-data; name="audio"; filename=""\r\n\r\n\r\n--x--\r\n'
    answer = running.send(content=head, headers={"content-type": "multipart/form-data; boundary=x"})
    assert answer.json() == {"fields": {}, "audio": None}


def test_an_empty_file_is_told_of(running: Running) -> None:
    assert running.refused(files={"audio": ("a.webm", b"")}) == (422, "invalid_audio")


def test_audio_that_is_no_file(running: Running) -> None:
    assert running.refused(files={"audio": (None, b"UklGRg")}) == (422, "invalid_audio")


def test_the_largest_file_and_one_byte_more(running: Running) -> None:
    assert running.send(files={"audio": ("a", bytes(UPLOAD_BYTES_MAX))}).status_code == 200
    assert running.refused(files={"audio": ("a", bytes(UPLOAD_BYTES_MAX + 1))}) == (413, "request_too_large")


def test_what_is_announced_to_be_too_large_is_not_read(running: Running) -> None:
    with socket.create_connection(("127.0.0.1", running.port), 10) as client:
        client.sendall(
            b"POST / HTTP/1.1\r\nHost: x\r\nContent-Type: multipart/form-data; boundary=x\r\n"
            b"Content-Length: 999999999\r\n\r\n--x\r\n"
        )
        assert client.recv(100).startswith(b"HTTP/1.1 413")


def test_what_was_not_announced_is_stopped_when_it_is_too_large(running: Running) -> None:
    def endless() -> Iterator[bytes]:
        yield b'--x\r\nContent-Disposition: form-data; name="audio"; filename="a"\r\n\r\n'
        for _ in range(32):
            yield bytes(1 << 20)

    kind = {"content-type": "multipart/form-data; boundary=x"}
    assert running.refused(content=endless(), headers=kind) == (413, "request_too_large")


@pytest.mark.parametrize("part", [(None, b"x" * (FIELD_BYTES_MAX + 1)), ("text.txt", b"x" * (FIELD_BYTES_MAX + 1))])
def test_a_field_that_is_too_large(running: Running, part: Any) -> None:
    assert running.refused(files={"text": part}) == (413, "request_too_large")


@pytest.mark.parametrize(
    ("kind", "body", "refusal"),
    [
        ("application/json", b"{}", (415, "unsupported_media_type")),
        ("application/x-www-form-urlencoded", b"text=a", (415, "unsupported_media_type")),
        ("multipart/form-data", b"--x--", (400, "invalid_body")),
        ("multipart/form-data; boundary=x", b"no form", (400, "invalid_body")),
        ("multipart/form-data; boundary=x", b"--x\r\nContent-Disposition: form-data\r\n\r\na\r\n--x--", (400, "invalid_body")),
        (
            "multipart/form-data; boundary=x",
            b'--x\r\nContent-Disposition: form-data; name="a"\r\n\r\n1\r\n' * 20 + b"--x--",
            (400, "invalid_body"),
        ),
    ],
)  # fmt: skip
def test_what_is_no_form(running: Running, kind: str, body: bytes, refusal: tuple[int, str]) -> None:
    assert running.refused(content=body, headers={"content-type": kind}) == refusal


def test_fields_that_came_twice(running: Running) -> None:
    twice = [("text", (None, b"a")), ("text", (None, b"b"))]
    assert running.refused(files=twice) == (400, "invalid_body")
    assert running.refused(files=[("audio", ("a", b"a")), ("audio", ("b", b"b"))]) == (400, "invalid_body")


def test_text_that_is_no_text(running: Running) -> None:
    assert running.refused(files={"text": ("q.bin", b"\xff\xfe")}) == (400, "invalid_body")


def begun(port: int) -> socket.socket:
    """A form that does not end."""
    client = socket.create_connection(("127.0.0.1", port), 10)
    head = b"POST / HTTP/1.1\r\nHost: x\r\nContent-Type: multipart/form-data; boundary=x\r\nContent-Length: 9000000\r\n\r\n"
    part = b'--x\r\nContent-Disposition: form-data; name="audio"; filename="a"\r\n\r\n'
    client.sendall(head + part + bytes(3 << 20))
    return client


def await_reading(running: Running, count: int) -> None:
    deadline = time.monotonic() + 10
    while running.place.uploads._reading != count:
        assert time.monotonic() < deadline, running.place.uploads._reading
        time.sleep(0.01)


def test_who_leaves_in_the_middle_leaves_nothing(running: Running) -> None:
    left = running.place.left
    with begun(running.port):
        await_reading(running, 1)
    await_reading(running, 0)
    assert running.place.left == left + 1


def test_who_is_too_slow_is_cut_off(running: Running, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(http_guard, "REQUEST_S", 0.3)
    with begun(running.port) as client, contextlib.suppress(ConnectionResetError):
        assert client.recv(100) == b""
    await_reading(running, 0)


def test_so_many_at_once(running: Running, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(uploads, "UPLOADS_MAX", 1)
    with begun(running.port):
        await_reading(running, 1)
        response = running.send({"text": "a"}, {"audio": ("a", b"x")})
        assert (response.status_code, response.json()["error"]["code"]) == (429, "rate_limit_exceeded")
        assert int(response.headers["retry-after"]) >= 1
