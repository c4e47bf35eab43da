"""The one HTTP client of the engine room: a pooled connection to a backend, and its failures as `EngineError`.

    backend = Backend("http://127.0.0.1:8000/v1", name="The speech-to-text backend")
    async with backend.post_json("audio/speech", {"input": "Hello"}) as answer:
        async for chunk in answer.chunks(): ...

Nothing here logs. No message of an error carries the address, the key, or a word of what was sent or received; of a
refusal it tells the status and, where the backend names one, its error code.
"""

import asyncio
import errno
import io
import random
from collections.abc import AsyncIterator, Iterator
from contextlib import AbstractAsyncContextManager, asynccontextmanager, contextmanager
from typing import Final, TypeVar

import aiohttp
import msgspec

from parley.errors import EngineError

CONNECTIONS_MAX: Final = 256
"""Per backend. A request beyond it waits for a free connection, within `Timeouts.connect_s`."""
KEEP_ALIVE_S: Final = 60.0
DNS_CACHE_S: Final = 60
RETRY_PAUSE_S: Final = (0.02, 0.06)
"""Bounds of the random wait before the one retry."""
ANSWER_BYTES_MAX: Final = 8 * 2**20
LINE_BYTES_MAX: Final = 2**20
REFUSAL_BYTES_MAX: Final = 4_096
REFUSAL_TIMEOUT_S: Final = 1.0
WARNED_BODY_BYTES: Final = 2**20
"""Above this size aiohttp wants a body as a file, which it then sends in slices."""

T = TypeVar("T")


class Timeouts(msgspec.Struct, frozen=True, kw_only=True):
    """How long to wait: for a connection, between two pieces of an answer, for everything together (None: no limit)."""

    connect_s: float = 5.0
    idle_s: float = 30.0
    total_s: float | None = 60.0


class Answer:
    """A successful response whose body is still on its way. Every method may raise `EngineError`."""

    def __init__(self, response: aiohttp.ClientResponse, name: str) -> None:
        self._response = response
        self._name = name

    @property
    def content_type(self) -> str:
        """Without parameters, in lower case; empty when the backend did not say."""
        return self._response.headers.get("Content-Type", "").partition(";")[0].strip().lower()

    async def chunks(self) -> AsyncIterator[bytes]:
        """The body as it arrives: never waits to fill a chunk."""
        with typed_errors(self._name):
            while chunk := await self._response.content.readany():
                yield chunk

    async def lines(self) -> AsyncIterator[bytes]:
        """The body line by line, each as soon as it is complete, without its line end."""
        rest = b""
        async for chunk in self.chunks():
            *whole, rest = (rest + chunk).split(b"\n")
            for line in whole:
                yield line.removesuffix(b"\r")
            if len(rest) > LINE_BYTES_MAX:
                raise protocol_error(self._name, "a line without an end")
        if rest:
            yield rest

    async def body(self) -> bytes:
        """The whole body, at most `ANSWER_BYTES_MAX`."""
        body = bytearray()
        async for chunk in self.chunks():
            body += chunk
            if len(body) > ANSWER_BYTES_MAX:
                raise protocol_error(self._name, "an answer without an end")
        return bytes(body)

    async def json(self, shape: type[T]) -> T:
        """The whole body as JSON of this shape (any msgspec type)."""
        try:
            return msgspec.json.decode(await self.body(), type=shape)
        except (msgspec.DecodeError, UnicodeDecodeError):
            raise protocol_error(self._name, "JSON that has not the expected shape") from None


class Backend:
    """One HTTP service with an address, a key and a pool of connections. Opened at first use, inside the event loop.

    `url` is the base that OpenAI clients call `base_url`, with its `/v1`. `name` begins the messages of errors.
    Proxies and `.netrc` of the environment are used only when `trust_env` says so.
    """

    def __init__(
        self,
        url: str,
        *,
        name: str,
        api_key: str | None = None,
        timeouts: Timeouts | None = None,
        trust_env: bool = False,
    ) -> None:
        self._url = url.rstrip("/") + "/"
        self._name = name
        self._api_key = api_key
        self._timeouts = timeouts or Timeouts()
        self._trust_env = trust_env
        self._session: aiohttp.ClientSession | None = None

    def post_json(self, path: str, body: object) -> AbstractAsyncContextManager[Answer]:
        """Posts `body` as JSON to `path` (relative to the base) and gives the answer once its headers are there."""
        return self.post(path, msgspec.json.encode(body), "application/json")

    @asynccontextmanager
    async def post(self, path: str, body: bytes | bytearray, content_type: str) -> AsyncIterator[Answer]:
        """Posts a ready body. Leaving the context early closes the connection, so that the backend can stop too.

        Retries once when the connection was refused or broke before a response, and after a 503: nothing had been
        answered yet, and none of these requests changes anything at the other side.

        Raises `EngineError`: `backend_unavailable`, `backend_timeout`, `backend_refused`, `backend_rate_limited`,
        `backend_protocol_error`.
        """
        response = await self._send(path, body, content_type)
        try:
            if response.status != 200:
                raise await self._refusal(response)
            yield Answer(response, self._name)
        finally:
            # Back to the pool when the body was read to its end, closed otherwise.
            response.release()

    async def close(self) -> None:
        """Closes every connection. The backend may be used again afterwards."""
        session, self._session = self._session, None
        if session is not None:
            await session.close()

    async def _send(self, path: str, body: bytes | bytearray, content_type: str) -> aiohttp.ClientResponse:
        try:
            response = await self._send_once(path, body, content_type)
        except _RAISED as error:
            if not _broke_before_the_answer(error):
                raise engine_error(self._name, error) from None
        else:
            if response.status != 503:
                return response
            response.release()
        await asyncio.sleep(random.uniform(*RETRY_PAUSE_S))
        with typed_errors(self._name):
            return await self._send_once(path, body, content_type)

    async def _send_once(self, path: str, body: bytes | bytearray, content_type: str) -> aiohttp.ClientResponse:
        return await self._pool().post(
            self._url + path,
            data=io.BytesIO(body) if len(body) > WARNED_BODY_BYTES else body,
            headers={"Content-Type": content_type},
            # A redirect would carry speech and key to a place that the operator did not name.
            allow_redirects=False,
        )

    def _pool(self) -> aiohttp.ClientSession:
        if self._session is None:
            headers = {"Accept-Encoding": "identity", "User-Agent": "parley"}
            if self._api_key:
                headers["Authorization"] = f"Bearer {self._api_key}"
            self._session = aiohttp.ClientSession(
                connector=aiohttp.TCPConnector(
                    limit=CONNECTIONS_MAX, keepalive_timeout=KEEP_ALIVE_S, ttl_dns_cache=DNS_CACHE_S
                ),
                headers=headers,
                timeout=aiohttp.ClientTimeout(
                    total=self._timeouts.total_s,
                    connect=self._timeouts.connect_s,
                    sock_read=self._timeouts.idle_s,
                    ceil_threshold=self._timeouts.idle_s,
                ),
                cookie_jar=aiohttp.DummyCookieJar(),
                trust_env=self._trust_env,
            )
        return self._session

    async def _refusal(self, response: aiohttp.ClientResponse) -> EngineError:
        status = response.status
        code = await _named_code(response)
        text = f"{self._name} answered with status {status}{f' ({code})' if code else ''}."
        if status == 429:
            return EngineError("backend_rate_limited", text, retryable=True)
        return EngineError("backend_refused", text, retryable=status >= 500)


class _RefusalError(msgspec.Struct):
    code: str | int | None = None
    type: str | None = None


class _RefusalBody(msgspec.Struct):
    error: _RefusalError


async def _named_code(response: aiohttp.ClientResponse) -> str:
    """The `error.code` of an OpenAI-shaped refusal, or "". Only a plain word: a message could quote key or speech."""
    try:
        async with asyncio.timeout(REFUSAL_TIMEOUT_S):
            body = await response.content.read(REFUSAL_BYTES_MAX)
        error = msgspec.json.decode(body, type=_RefusalBody).error
    except (aiohttp.ClientError, TimeoutError, msgspec.DecodeError, UnicodeDecodeError):
        return ""
    code = error.code if isinstance(error.code, str) else error.type or ""
    return code if len(code) <= 64 and code.replace("_", "").isalpha() else ""


_RAISED: Final = (aiohttp.ClientError, TimeoutError, OSError)


def _broke_before_the_answer(error: Exception) -> bool:
    """Whether the connection was refused, or lost without a word of an answer (as an idle one that was closed)."""
    if isinstance(error, OSError):
        return error.errno in {errno.ECONNREFUSED, errno.ECONNRESET, errno.EPIPE}
    return isinstance(error, aiohttp.ServerDisconnectedError)


@contextmanager
def typed_errors(name: str) -> Iterator[None]:
    """Turns what the HTTP client raises into `EngineError`.

    The original is not kept as its cause: it carries the request with its key, and may quote the answer.
    """
    try:
        yield
    except _RAISED as error:
        raise engine_error(name, error) from None


def engine_error(name: str, error: Exception) -> EngineError:
    """What an error of the HTTP client means."""
    if isinstance(error, TimeoutError):
        return EngineError("backend_timeout", f"{name} did not answer in time.", retryable=True)
    if isinstance(error, aiohttp.ClientPayloadError | aiohttp.ClientResponseError):
        return protocol_error(name, "a broken HTTP response")
    return EngineError("backend_unavailable", f"{name} could not be reached.", retryable=True)


def protocol_error(name: str, what: str) -> EngineError:
    """The backend answered, but not in the language that was agreed on. `what` completes "sent …"."""
    return EngineError("backend_protocol_error", f"{name} sent {what}.", retryable=True)
