"""Limits over HTTP, as the official client reads them."""

import threading
import time
from collections.abc import Iterator
from http.server import BaseHTTPRequestHandler, HTTPServer

import openai
import pytest

from parley.auth.limits import RateLimited
from parley.core.rates import Rate
from parley.transports import refusal
from parley.transports.rate_headers import duration, rate_headers, refusal_headers

REFUSAL = RateLimited("rate_limit_exceeded", "Rate limit reached.", 0.7, (Rate("requests", 60).spent(60.3),))


def test_a_refusal_says_when_to_come_back() -> None:
    assert refusal_headers(REFUSAL) == {
        "retry-after": "1",
        "x-ratelimit-limit-requests": "60",
        "x-ratelimit-remaining-requests": "0",
        "x-ratelimit-reset-requests": "1m1s",
    }
    assert refusal_headers(RateLimited("too_many_sessions", "", 5.0)) == {"retry-after": "5"}


def test_headers_have_the_limits_that_the_hosted_api_has() -> None:
    assert rate_headers((Rate("tokens", 600).spent(5), Rate("audio_ms", 60_000))) == {
        "x-ratelimit-limit-tokens": "600",
        "x-ratelimit-remaining-tokens": "595",
        "x-ratelimit-reset-tokens": "500ms",
    }


@pytest.mark.parametrize(
    ("seconds", "text"),
    [(0.0, "0s"), (0.0001, "1ms"), (0.9, "900ms"), (0.9999, "1s"), (1.0, "1s"), (59.2, "1m0s"), (360.0, "6m0s")],
)
def test_durations(seconds: float, text: str) -> None:
    assert duration(seconds) == text


@pytest.fixture
def refusing_once() -> Iterator[tuple[str, list[float]]]:
    """A server that refuses the first request; and when requests came."""
    came: list[float] = []

    class Handler(BaseHTTPRequestHandler):
        def do_GET(self) -> None:
            came.append(time.monotonic())
            first = len(came) == 1
            body = refusal.body(REFUSAL) if first else b'{"object": "list", "data": []}'
            self.send_response(refusal.status(REFUSAL) if first else 200)
            headers = refusal_headers(REFUSAL) if first else {}
            for name, value in {
                **headers,
                "content-length": str(len(body)),
                "content-type": "application/json",
            }.items():
                self.send_header(name, value)
            self.end_headers()
            self.wfile.write(body)

        def log_message(self, format: str, *args: object) -> None: ...

    with HTTPServer(("127.0.0.1", 0), Handler) as server:
        thread = threading.Thread(target=server.serve_forever, args=(0.01,))
        thread.start()
        yield f"http://127.0.0.1:{server.server_port}/v1", came
        server.shutdown()
        thread.join()


def test_the_official_client_waits_as_long_as_it_is_told(refusing_once: tuple[str, list[float]]) -> None:
    url, came = refusing_once
    with openai.OpenAI(api_key="sk-x", base_url=url, max_retries=1) as client:
        assert client.models.list().data == []
    assert came[1] - came[0] >= 1.0


def test_the_official_client_shows_the_limits(refusing_once: tuple[str, list[float]]) -> None:
    url, _ = refusing_once
    with (
        openai.OpenAI(api_key="sk-x", base_url=url, max_retries=0) as client,
        pytest.raises(openai.RateLimitError) as refused,
    ):
        client.models.list()
    assert refused.value.code == "rate_limit_exceeded"
    assert refused.value.response.headers["x-ratelimit-remaining-requests"] == "0"
