"""The connection to an upstream, against one that keeps to a script: how it begins, how it ends, what is told of it."""

import asyncio
import json
import socket
import ssl
import time
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path

import pytest

from parley.engines.upstream import connection
from parley.engines.upstream.connection import Created, Leg, UpstreamError, connect
from parley.engines.upstream.table import HOUR_S, upstream
from parley.transports.certificate import local_certificate
from tests.engines.upstream.scripted import Fault, Provider, binary, close, cut

KEY = "sk-up-secret"


class Ear:
    """A receiver."""

    def __init__(self) -> None:
        self.heard: list[str] = []
        self.lost: list[tuple[str, str]] = []
        self.congestion: list[bool] = []
        self.news = asyncio.Event()

    def on_upstream(self, leg: Leg, raw: bytes) -> None:
        self.heard.append(json.loads(raw)["type"])
        self.news.set()

    def on_congestion(self, leg: Leg) -> None:
        self.congestion.append(leg.congested)
        self.news.set()

    def on_lost(self, leg: Leg, code: str, message: str) -> None:
        self.lost.append((code, message))
        self.news.set()

    async def until_lost(self) -> str:
        async with asyncio.timeout(5):
            while not self.lost:
                self.news.clear()
                await self.news.wait()
        return self.lost[0][0]

    async def until(self, kind: str) -> None:
        async with asyncio.timeout(5):
            while kind not in self.heard:
                self.news.clear()
                await self.news.wait()


async def call(provider: Provider, timeout_s: float = 5.0) -> tuple[Leg, Created]:
    where = upstream("up", provider.url, key=KEY, dialect=provider.dialect)
    return await connect(where, "gpt realtime", session="sess_1", timeout_s=timeout_s)


@asynccontextmanager
async def calling(provider: Provider) -> AsyncIterator[tuple[Leg, Ear]]:
    async with provider.serving():
        leg, _ = await call(provider)
        ear = Ear()
        leg.receive(ear)
        yield leg, ear
        leg.close()


async def test_it_asks_for_the_model_with_the_key_and_hears_of_a_session() -> None:
    provider = Provider(lasts_s=600)
    async with provider.serving():
        leg, created = await call(provider)
        assert created.body["session"]["id"] == "sess_theirs"
        assert created.lasts_s is not None
        assert 598 < created.lasts_s <= 600
        request = provider.visits[0].socket.request
        assert request is not None
        assert request.path == "/v1/realtime?model=gpt+realtime"
        assert request.headers["Authorization"] == f"Bearer {KEY}"
        assert KEY not in repr(leg.upstream)
        leg.close()
        leg.close()
        await asyncio.wait_for(provider.visits[0].over.wait(), 5)


@pytest.mark.parametrize("lasts_s", [None, -50])
async def test_an_end_that_is_not_told_or_cannot_be_is_that_of_its_kind(lasts_s: float | None) -> None:
    provider = Provider(lasts_s=lasts_s)
    async with provider.serving():
        leg, created = await call(provider)
        assert created.lasts_s is None
        leg.close()
        official = upstream("up", provider.url, kind="openai")
        leg, created = await connect(official, "m", session="s", timeout_s=5)
        assert created.lasts_s == HOUR_S
        leg.close()


REFUSALS = {
    400: "backend_refused",
    401: "backend_refused",
    403: "backend_refused",
    404: "backend_refused",
    429: "backend_rate_limited",
    500: "backend_unavailable",
    503: "backend_unavailable",
}


@pytest.mark.parametrize("status", REFUSALS)
async def test_refusals_have_a_code_and_never_what_was_said(status: int) -> None:
    provider = Provider(status=status, headers={"Retry-After": "7"})
    async with provider.serving():
        with pytest.raises(UpstreamError) as caught:
            await call(provider)
    assert caught.value.code == REFUSALS[status]
    assert caught.value.pause_s == (7.0 if status in (429, 500, 503) else None)
    assert "sk-" not in caught.value.message
    assert caught.value.__cause__ is None


async def test_redirects_are_not_followed() -> None:
    provider = Provider(status=302, headers={"Location": "ws://127.0.0.1:9/v1/realtime"})
    async with provider.serving():
        with pytest.raises(UpstreamError) as caught:
            await call(provider)
    assert caught.value.code == "backend_refused"


FIRST_WORDS = {
    "no JSON": ("backend_protocol_error", "hello"),
    "no object": ("backend_protocol_error", "[]"),
    "another event": ("backend_protocol_error", '{"type":"session.updated"}'),
    "a refusal": ("backend_refused", '{"type":"error","error":{"code":"invalid_api_key","message":"sk-up"}}'),
    "no room": ("backend_rate_limited", '{"type":"error","error":{"code":"rate_limit_exceeded"}}'),
    "a failure": ("backend_unavailable", '{"type":"error","error":{"type":"server_error"}}'),
    "nonsense": ("backend_refused", '{"type":"error","error":[]}'),
}


@pytest.mark.parametrize("words", FIRST_WORDS)
async def test_first_words_that_are_no_session(words: str) -> None:
    code, text = FIRST_WORDS[words]
    async with Provider(greeting=text).serving() as provider:
        with pytest.raises(UpstreamError) as caught:
            await call(provider)
    assert caught.value.code == code
    assert "sk-up" not in caught.value.message


async def test_nobody_there_and_nobody_who_answers() -> None:
    with socket.socket() as nobody:
        nobody.bind(("127.0.0.1", 0))
        url = f"ws://127.0.0.1:{nobody.getsockname()[1]}/v1"
        with pytest.raises(UpstreamError) as caught:
            await connect(upstream("up", url), "m", session="s", timeout_s=5)
        assert caught.value.code == "backend_unavailable"
        nobody.listen()
        with pytest.raises(UpstreamError) as caught:
            await connect(upstream("up", url), "m", session="s", timeout_s=0.2)
        assert caught.value.code == "backend_timeout"


ENDS: dict[str, tuple[str, Fault]] = {
    "cut": ("backend_unavailable", cut),
    "closed": ("backend_unavailable", close(1000)),
    "failed": ("backend_unavailable", close(1011, "oops")),
    "expired": ("session_expired", close(1001, "Your session hit the maximum duration of 60 minutes.")),
    "revoked": ("backend_refused", close(4000, "invalid_request_error.invalid_api_key")),
    "policy": ("backend_refused", close(1008)),
    "full": ("backend_rate_limited", close(1013)),
    "binary": ("backend_protocol_error", binary),
}


@pytest.mark.parametrize("end", ENDS)
async def test_every_end_has_a_code(end: str) -> None:
    code, fault = ENDS[end]
    async with calling(Provider(fault=fault, at=2)) as (leg, ear):
        leg.ask({"type": "response.create"})
        assert await ear.until_lost() == code
        assert ear.heard == ["response.created", "response.output_item.added"]
        leg.send(b"{}")  # too late, and no harm
        leg.pause()
        await asyncio.sleep(0.05)
        assert len(ear.lost) == 1


async def test_what_comes_before_anybody_listens_is_kept() -> None:
    async with Provider().serving() as provider:
        leg, _ = await call(provider)
        visit = provider.visits[0]
        await visit.say("rate_limits.updated", rate_limits=[])
        await asyncio.sleep(0.05)
        ear = Ear()
        leg.receive(ear)
        await ear.until("rate_limits.updated")
        leg.close()


async def test_an_end_before_anybody_listens_is_told_to_who_does() -> None:
    async with Provider().serving() as provider:
        leg, _ = await call(provider)
        leg.resume()
        await provider.visits[0].socket.close(1011)
        async with asyncio.timeout(5):
            while not leg.over:
                await asyncio.sleep(0.01)
        ear = Ear()
        leg.receive(ear)
        assert await ear.until_lost() == "backend_unavailable"


async def test_a_fragmented_event_is_one_event() -> None:
    provider = Provider()
    async with calling(provider) as (_, ear):
        await provider.visits[0].socket.send(['{"type":"rate_', 'limits.updated"}'])
        await ear.until("rate_limits.updated")


async def test_a_paused_leg_is_not_read() -> None:
    provider = Provider()
    async with calling(provider) as (leg, ear):
        leg.pause()
        await provider.visits[0].say("rate_limits.updated", rate_limits=[])
        await asyncio.sleep(0.1)
        assert ear.heard == []
        leg.resume()
        await ear.until("rate_limits.updated")


async def test_an_upstream_that_does_not_read_congests_the_leg_and_is_given_up(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(connection, "OUTBOX_STALL_S", 0.3)
    provider = Provider()
    enough = asyncio.Event()

    async def deaf(body: object) -> None:
        await enough.wait()

    async with calling(provider) as (leg, ear):
        monkeypatch.setattr(provider.visits[0], "answer", deaf)
        leg.ask({"type": "response.create"})
        began = time.monotonic()
        try:
            while not leg.over and time.monotonic() - began < 5:
                if not leg.congested:
                    leg.send(b'{"type":"input_audio_buffer.append","audio":"' + b"A" * 100_000 + b'"}')
                await asyncio.sleep(0.001)
        finally:
            enough.set()
        assert await ear.until_lost() == "backend_timeout"
        assert ear.congestion[-1]


async def test_a_beta_upstream_is_asked_in_its_spelling() -> None:
    provider = Provider(dialect="beta")
    async with calling(provider) as (leg, ear):
        leg.ask({"type": "session.update", "session": {"type": "realtime", "audio": {"output": {"voice": "cedar"}}}})
        await ear.until("session.updated")
        assert provider.visits[0].heard == [{"type": "session.update", "session": {"voice": "cedar"}}]


async def test_text_that_is_not_utf8_is_garbage() -> None:
    provider = Provider()
    async with calling(provider) as (_, ear):
        await provider.visits[0].socket.send(b"\xff", text=True)
        assert await ear.until_lost() == "backend_protocol_error"


async def test_text_that_is_not_ascii_is_none() -> None:
    provider = Provider()
    async with calling(provider) as (_, ear):
        await provider.visits[0].socket.send('{"type":"grüß.dich"}')
        await ear.until("grüß.dich")


async def test_over_tls_and_only_to_who_can_prove_it(tmp_path: Path) -> None:
    files = local_certificate(tmp_path)
    theirs = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    theirs.load_cert_chain(files.certificate, files.key)
    async with Provider(tls=theirs).serving() as provider:
        one = upstream("up", provider.url, key=KEY)
        trusting = ssl.create_default_context(cafile=str(files.certificate))
        leg, _ = await connect(one, "m", session="s", timeout_s=5, tls=trusting)
        ear = Ear()
        leg.receive(ear)
        leg.ask({"type": "response.create"})
        await ear.until("response.done")
        leg.close()
        with pytest.raises(UpstreamError) as caught:
            await connect(one, "m", session="s", timeout_s=5)
        assert caught.value.code == "backend_unavailable"
        assert len(provider.visits) == 1
