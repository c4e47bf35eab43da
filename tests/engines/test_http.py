"""The shared HTTP client against a fake that misbehaves."""

import asyncio
import traceback
from collections.abc import AsyncIterator

import pytest

from parley.engines.http import LINE_BYTES_MAX, Backend, Timeouts
from parley.errors import ERRORS, EngineError
from tests.engines.fake_backends import FakeBackend, Fault, Reply, Request, Status

KEY = "sk-secret-key"
SECRET = "the words of the user"
PATH = "audio/speech"


@pytest.fixture
async def fake() -> AsyncIterator[FakeBackend]:
    async with FakeBackend() as fake:
        yield fake


@pytest.fixture
async def backend(fake: FakeBackend) -> AsyncIterator[Backend]:
    backend = Backend(fake.url, name="The backend", api_key=KEY, timeouts=Timeouts(idle_s=0.3))
    yield backend
    await backend.close()


async def ask(backend: Backend) -> bytes:
    async with backend.post_json(PATH, {"input": SECRET}) as answer:
        return await answer.body()


async def failure(backend: Backend) -> EngineError:
    with pytest.raises(EngineError) as raised:
        await ask(backend)
    return raised.value


async def test_one_connection_serves_many_requests(fake: FakeBackend, backend: Backend) -> None:
    for _ in range(3):
        assert await ask(backend) == fake.speech
    assert (len(fake.requests), fake.connections) == (3, 1)
    request = fake.requests[0]
    assert request.path == "/v1/audio/speech"
    assert request.json == {"input": SECRET}
    assert request.headers["authorization"] == f"Bearer {KEY}"


async def test_without_a_key_there_is_no_authorization(fake: FakeBackend) -> None:
    backend = Backend(fake.url, name="The backend")
    await ask(backend)
    await backend.close()
    assert "authorization" not in fake.requests[0].headers


@pytest.mark.parametrize(
    ("fault", "code", "retryable", "requests"),
    [
        (Fault.RESET, "backend_unavailable", True, 2),
        (Fault.HANG, "backend_timeout", True, 1),
        (Fault.STALL, "backend_timeout", True, 1),
        (Fault.NOT_HTTP, "backend_protocol_error", True, 1),
        (Fault.CUT, "backend_protocol_error", True, 1),
        (Status(401, "invalid_api_key"), "backend_refused", False, 1),
        (Status(302), "backend_refused", False, 1),
        (Status(404), "backend_refused", False, 1),
        (Status(429), "backend_rate_limited", True, 1),
        (Status(500), "backend_refused", True, 1),
        (Status(503), "backend_refused", True, 2),
    ],
    ids=str,
)
async def test_what_a_fault_becomes(
    fake: FakeBackend, backend: Backend, fault: Fault | Status, code: str, retryable: bool, requests: int
) -> None:
    fake.faults = [fault, fault]
    error = await failure(backend)
    assert (error.code, error.retryable, len(fake.requests)) == (code, retryable, requests)
    assert error.code in ERRORS
    assert error.message.startswith("The backend ")
    fake.faults = []
    assert await ask(backend) == fake.speech, "the backend is of use afterwards"


@pytest.mark.parametrize("fault", [Fault.RESET, Status(503)], ids=str)
async def test_one_lost_request_is_made_again(fake: FakeBackend, backend: Backend, fault: Fault | Status) -> None:
    fake.faults = [fault]
    assert await ask(backend) == fake.speech
    assert len(fake.requests) == 2


async def test_nobody_there() -> None:
    async with FakeBackend() as gone:
        backend = Backend(gone.url, name="The backend")
    error = await failure(backend)
    await backend.close()
    assert (error.code, error.retryable) == ("backend_unavailable", True)


async def test_a_name_that_does_not_resolve() -> None:
    backend = Backend("http://nobody.invalid/v1", name="The backend", timeouts=Timeouts(connect_s=5))
    error = await failure(backend)
    await backend.close()
    assert error.code in ("backend_unavailable", "backend_timeout")


@pytest.mark.parametrize(
    "fault", [Status(401, f"key {KEY}", f"{KEY} said {SECRET}"), Fault.NOT_HTTP, Fault.CUT, Fault.HANG], ids=str
)
async def test_errors_keep_the_key_and_the_words_to_themselves(
    fake: FakeBackend, backend: Backend, fault: Fault | Status
) -> None:
    fake.faults = [fault]
    error = await failure(backend)
    told = "".join(traceback.format_exception(error)) + repr(error.__cause__)
    assert KEY not in told
    assert SECRET not in told
    assert fake.url not in told


async def test_a_refusal_tells_the_backends_own_code(fake: FakeBackend, backend: Backend) -> None:
    fake.faults = [Status(404, "model_not_found")]
    assert "status 404 (model_not_found)" in (await failure(backend)).message


async def test_an_answer_left_early_closes_the_connection(fake: FakeBackend, backend: Backend) -> None:
    fake.speech_pause_s = 0.02
    async with backend.post_json(PATH, {}) as answer:
        async for _ in answer.chunks():
            break
    await asyncio.wait_for(fake.hung_up.wait(), 5)
    fake.speech_pause_s = 0
    assert await ask(backend) == fake.speech


async def test_chunks_come_as_they_are_sent(fake: FakeBackend, backend: Backend) -> None:
    fake.speech_pause_s = 0.02
    async with backend.post_json(PATH, {}) as answer:
        sizes = [len(chunk) async for chunk in answer.chunks()]
    assert sizes[0] <= fake.speech_chunk_bytes
    assert len(sizes) > 3


async def test_lines(fake: FakeBackend, backend: Backend) -> None:
    async def stream(_: Request, reply: Reply) -> None:
        await reply.stream([b"data: o", b"ne\r\n\r\ndata: two\n", b"rest"], "text/event-stream", 0.01)

    fake.routes["/v1/lines"] = stream
    async with backend.post_json("lines", {}) as answer:
        assert answer.content_type == "text/event-stream"
        assert [line async for line in answer.lines()] == [b"data: one", b"", b"data: two", b"rest"]


async def test_a_line_without_an_end(fake: FakeBackend, backend: Backend) -> None:
    async def stream(_: Request, reply: Reply) -> None:
        await reply.stream([bytes(65_536)] * (LINE_BYTES_MAX // 65_536 + 1), "text/event-stream")

    fake.routes["/v1/lines"] = stream
    with pytest.raises(EngineError, match="a line without an end"):
        async with backend.post_json("lines", {}) as answer:
            async for _ in answer.lines():
                pass


@pytest.mark.parametrize("body", [b'{"text": 1}', b"[]", b'{"text": "\xff"}', b"<html>", b""])
async def test_json_of_another_shape(fake: FakeBackend, backend: Backend, body: bytes) -> None:
    async def reply_with(_: Request, reply: Reply) -> None:
        await reply.whole(200, body)

    fake.routes["/v1/json"] = reply_with
    with pytest.raises(EngineError) as raised:
        async with backend.post_json("json", {}) as answer:
            await answer.json(dict[str, str])
    assert raised.value.code == "backend_protocol_error"


async def test_a_large_body_arrives_whole(fake: FakeBackend, backend: Backend) -> None:
    body = bytes(range(256)) * 20_000
    async with backend.post(PATH, body, "application/octet-stream") as answer:
        await answer.body()
    assert fake.requests[0].body == body
