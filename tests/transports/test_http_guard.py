"""Limits of plain HTTP: nobody may hold a connection by saying little or nothing."""

from collections.abc import Iterator

import pytest
from starlette.applications import Starlette
from starlette.requests import Request
from starlette.responses import PlainTextResponse, Response
from starlette.routing import Route

from parley.transports import http_guard
from tests.transports.serving import RawClient, serving


async def body_size(request: Request) -> Response:
    return PlainTextResponse(str(len(await request.body())))


@pytest.fixture(scope="module")
def port() -> Iterator[int]:
    with serving(Starlette(routes=[Route("/", body_size, methods=["GET", "POST"])])) as port:
        yield port


def test_requests_follow_each_other_on_one_connection(port: int) -> None:
    with RawClient(port) as client:
        for size in (0, 5, 100_000):
            client.send(b"POST / HTTP/1.1\r\nHost: x\r\nContent-Length: %d\r\n\r\n" % size, b"x" * size)
            assert client.head().startswith(b"HTTP/1.1 200")
            assert client._take(len(str(size))) == str(size).encode()


@pytest.mark.parametrize("said", [b"", b"GET / HT", b"GET / HTTP/1.1\r\nHost: x\r\nX-Slow: a"])
def test_a_head_has_to_arrive_in_time(port: int, monkeypatch: pytest.MonkeyPatch, said: bytes) -> None:
    monkeypatch.setattr(http_guard, "HEAD_S", 0.2)
    with RawClient(port) as client:
        client.send(said)
        assert client.is_closed()


def test_so_has_the_second_head(port: int, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(http_guard, "HEAD_S", 0.2)
    with RawClient(port) as client:
        client.send(b"GET / HTTP/1.1\r\nHost: x\r\n\r\n")
        client.head()
        assert client._take(1) == b"0"
        client.send(b"GET / HT")
        assert client.is_closed()


def test_a_body_has_to_arrive_in_time(port: int, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(http_guard, "REQUEST_S", 0.2)
    with RawClient(port) as client:
        client.send(b"POST / HTTP/1.1\r\nHost: x\r\nContent-Length: 10\r\n\r\nabc")
        assert client.is_closed()


def test_a_head_may_not_be_long(port: int) -> None:
    with RawClient(port) as client:
        client.send(b"GET / HTTP/1.1\r\nHost: x\r\nX-Long: ", b"x" * 20_000)
        assert client.head().startswith(b"HTTP/1.1 431")
        assert b'"error"' in client.rest()


def test_nor_one_that_arrives_whole(port: int) -> None:
    with RawClient(port) as client:
        client.send(b"GET / HTTP/1.1\r\nHost: x\r\nX-Long: ", b"x" * 20_000, b"\r\n\r\n")
        assert client.head().startswith((b"HTTP/1.1 431", b"HTTP/1.1 400"))


@pytest.mark.parametrize(
    "said", [b"hello?\r\n\r\n", b"GET /\xff HTTP/1.1\r\nHost: x\r\n\r\n", b"\x16\x03\x01\x02\x00\x01"]
)
def test_what_is_not_http_is_refused_in_the_usual_form(port: int, said: bytes) -> None:
    with RawClient(port) as client:
        client.send(said)
        assert client.head().startswith(b"HTTP/1.1 400")
        assert b'"type":"invalid_request_error"' in client.rest()


def test_other_upgrades_are_refused(port: int) -> None:
    with RawClient(port) as client:
        assert client.upgrade(Upgrade="h2c").startswith(b"HTTP/1.1 400")
