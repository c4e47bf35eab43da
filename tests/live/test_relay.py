"""A relayed session between a client and upstreams that fail in every way at every point of an answer."""

import asyncio
import hashlib
import json
import logging
import time
from collections.abc import AsyncIterator, Callable
from contextlib import AsyncExitStack, asynccontextmanager
from typing import Any

import pytest

from parley.core import relay as core_relay
from parley.core.effects import Turn
from parley.core.events import InputAudioBufferAppend, ResponseCreate, SessionUpdate
from parley.core.relay import Relay
from parley.core.relayed import RelayTerms
from parley.dialects.relay import GA, SPELLINGS, Spelling
from parley.engines.upstream.dialler import Dialler
from parley.engines.upstream.routing import Route, Router, Target
from parley.engines.upstream.table import upstream
from parley.ids import new_id
from parley.live.relay import RelayedSession
from parley.live.relay_parts import RelaySurroundings
from parley.live.session import Whose
from parley.telemetry import Metrics
from tests.core.test_relay import check
from tests.engines.upstream.scripted import (
    DELTAS,
    EVENTS,
    SOUND,
    Fault,
    Provider,
    binary,
    close,
    cut,
    repeat_done,
    send,
    stall,
)

Body = dict[str, Any]
KEY = "sk-up-secret"
WAIT_S = 10.0


class Peer:
    """A client: an outlet of the session that remembers everything."""

    def __init__(self, spelling: Spelling = GA) -> None:
        self.spelling = spelling
        self.raw: list[bytes] = []
        self.times: list[float] = []
        self.closed: tuple[int, str] | None = None
        self.paused: list[bool] = []
        self.congested = False
        self.caught_up = asyncio.Event()
        self.news = asyncio.Event()
        self.on_send: Callable[[], None] = lambda: None

    def send_raw(self, raw: bytes) -> None:
        self.on_send()
        self.raw.append(raw)
        self.times.append(time.monotonic())
        self.news.set()

    async def writable(self) -> None:
        await self.caught_up.wait()

    def pause(self) -> None:
        self.paused.append(True)

    def resume(self) -> None:
        self.paused.append(False)

    def close(self, code: int, reason: str) -> None:
        self.closed = (code, reason)
        self.news.set()

    @property
    def heard(self) -> list[Body]:
        return [json.loads(raw) for raw in self.raw]

    def kinds(self) -> list[str]:
        return [body["type"] for body in self.heard]

    async def until(self, kind: str, times: int = 1) -> Body:
        """The event of this type that comes as number `times`."""
        async with asyncio.timeout(WAIT_S):
            while (found := [body for body in self.heard if body["type"] == kind])[times - 1 : times] == []:
                self.news.clear()
                await self.news.wait()
        return found[times - 1]

    async def until_closed(self) -> tuple[int, str]:
        async with asyncio.timeout(WAIT_S):
            while self.closed is None:
                self.news.clear()
                await self.news.wait()
        return self.closed


class Onlooker:
    """A witness that counts what it is told."""

    def __init__(self) -> None:
        self.turns: list[Turn] = []
        self.begun: list[str] = []
        self.spoken_ms = 0
        self.heard_ms = 0
        self.over = 0

    def started(self, response_id: str) -> None:
        self.begun.append(response_id)

    def spoke(self, response_id: str, ms: int) -> None:
        assert response_id in self.begun
        self.spoken_ms += ms

    def heard(self, ms: int) -> None:
        self.heard_ms += ms

    def turn(self, turn: Turn) -> None:
        self.turns.append(turn)

    def ended(self) -> None:
        self.over += 1


class Scene:
    def __init__(self, live: RelayedSession, peer: Peer, onlooker: Onlooker, dialler: Dialler) -> None:
        self.live = live
        self.peer = peer
        self.onlooker = onlooker
        self.dialler = dialler

    def say(self, kind: str, **fields: Any) -> None:
        self.live.relay(json.dumps({"type": kind, **fields}).encode(), self.peer.spelling)


@asynccontextmanager
async def scene(*providers: Provider, spelling: Spelling = GA, **terms: Any) -> AsyncIterator[Scene]:
    """A session at the first of `providers`, with the others behind it."""
    async with AsyncExitStack() as stack:
        for provider in providers:
            await stack.enter_async_context(provider.serving())
        known = {f"up{n}": upstream(f"up{n}", one.url, key=KEY, dialect=one.dialect) for n, one in enumerate(providers)}
        router = Router({"gpt-realtime": Route(tuple(Target(name, f"model-{name}") for name in known))})
        dialler = Dialler(known, router, connect_s=2.0)
        onlooker = Onlooker()
        around = RelaySurroundings(Metrics(), lambda live, turn: None, lambda live: None)
        relay = Relay(terms=RelayTerms(model="gpt-realtime", **terms), new_id=new_id, now=time.monotonic())
        call = await dialler.dial("gpt-realtime", relay.id)
        live = RelayedSession(
            relay, call, dialler, around, model="gpt-realtime", whose=Whose("acct"), witnesses=(onlooker,)
        )
        peer = Peer(spelling)
        live.attach(peer)
        live.open()
        yield Scene(live, peer, onlooker, dialler)
        live.close(1000, "")
        assert onlooker.over == 1
        assert live.over.is_set()


# ---- all is well


async def test_an_answer_passes_byte_by_byte() -> None:
    provider = Provider()
    async with scene(provider) as s:
        s.say("response.create", event_id="mine")
        await s.peer.until("response.done")
        visit = provider.visits[0]
        assert [raw.decode() for raw in s.peer.raw[1:]] == visit.sent[1:]
        assert len(visit.sent) == 1 + EVENTS - 0
        assert json.loads(visit.raw[0]) == {"type": "response.create", "event_id": "mine"}
        assert s.peer.heard[0]["session"]["id"] == s.live.id
        assert s.peer.heard[0]["session"]["model"] == "gpt-realtime"
        (turn,) = s.onlooker.turns
        assert turn.usage is not None
        assert turn.usage.total_tokens == 30
        assert s.onlooker.spoken_ms == 100 * DELTAS


async def test_a_hundred_thousand_events_pass_in_order_and_unchanged() -> None:
    """By hash: 50,000 appends up, 50,000 deltas down, and now and then something else."""
    provider = Provider()
    count = 50_000
    async with scene(provider) as s:
        s.say("response.create")
        await s.peer.until("response.done")
        visit = provider.visits[0]
        begun = {"id": "resp_long", "status": "in_progress", "output": []}
        await visit.say("response.created", response=begun)
        await s.peer.until("response.created", 2)
        s.peer.raw.clear()
        visit.sent.clear()
        visit.raw.clear()
        up = hashlib.sha256()
        down = asyncio.create_task(flood(visit, count))
        for n in range(count):
            raw = b'{"type":"input_audio_buffer.append","audio":"%s"}' % str(n).zfill(8).encode()
            if n % 1_000 == 0:
                raw = b'{"type":"conversation.item.retrieve", "event_id":"e%d","item_id":"i"}' % n
            up.update(raw)
            s.live.relay(raw, GA)
            if n % 200 == 0:
                await asyncio.sleep(0)
        await asyncio.wait_for(down, 40)
        await s.peer.until("response.done")
        async with asyncio.timeout(20):
            while len(visit.raw) < count:
                await asyncio.sleep(0.01)
        assert hashlib.sha256("".join(visit.raw).encode()).digest() == up.digest()
        assert len(s.peer.raw) == len(visit.sent) > count
        sent = hashlib.sha256("".join(visit.sent).encode()).digest()
        assert hashlib.sha256(b"".join(s.peer.raw)).digest() == sent
        assert s.onlooker.turns[-1].id == "resp_long"


async def flood(visit: Any, count: int) -> None:
    where = {"response_id": "resp_long", "item_id": "item_l", "output_index": 0, "content_index": 0}
    for n in range(count):
        kind = "response.output_audio.delta" if n % 500 else "rate_limits.updated"
        await visit.say(kind, **where, delta=str(n).zfill(8))
    await visit.say("response.done", response={"id": "resp_long", "status": "completed", "output": []})


PAIRS = [(client, server) for client in ("ga", "beta", "beta_unmarked") for server in ("ga", "beta")]
BETA_ANSWER = [
    "response.created",
    "response.output_item.added",
    "conversation.item.created",
    "response.content_part.added",
    *["response.audio_transcript.delta"] * 2,
    *["response.audio.delta"] * DELTAS,
    "response.audio.done",
    "response.audio_transcript.done",
    "response.content_part.done",
    "response.output_item.done",
    "response.done",
]


@pytest.mark.parametrize(("client", "server"), PAIRS)
async def test_all_pairs_of_dialects(client: str, server: str) -> None:
    provider = Provider(dialect=server)
    async with scene(provider, spelling=SPELLINGS[client]) as s:
        beta = client != "ga"
        voice: Body = {"voice": "cedar"} if beta else {"type": "realtime", "audio": {"output": {"voice": "cedar"}}}
        s.say("session.update", session=voice)
        session = (await s.peer.until("session.updated"))["session"]
        assert (session["voice"] if beta else session["audio"]["output"]["voice"]) == "cedar"
        content = [{"type": "text" if beta else "output_text", "text": "Earlier."}]
        s.say("conversation.item.create", item={"type": "message", "role": "assistant", "content": content})
        s.live.relay(b'{"type":"input_audio_buffer.append","audio":"AAAA"}', s.peer.spelling)
        s.say(
            "response.create", response={"modalities": ["text", "audio"]} if beta else {"output_modalities": ["audio"]}
        )
        await s.peer.until("response.done")
        await asyncio.sleep(0.02)
        visit = provider.visits[0]
        theirs = server == "beta"
        assert visit.asked("conversation.item.create")[0]["item"]["content"][0]["type"] == (
            "text" if theirs else "output_text"
        )
        assert visit.asked("session.update")[0]["session"].get("type") == (None if theirs else "realtime")
        assert list(visit.asked("response.create")[0]["response"]) == ["modalities" if theirs else "output_modalities"]
        assert visit.raw[2] == '{"type":"input_audio_buffer.append","audio":"AAAA"}'
        told = [body for body in s.peer.heard if "Earlier." not in json.dumps(body)]
        kinds = [body["type"] for body in told if not body["type"].startswith("session.")]
        if client == "ga":
            assert len(kinds) == EVENTS
            assert kinds[-3:] == ["conversation.item.done", "response.output_item.done", "response.done"]
            check(s.peer.heard)
        elif client == "beta":
            assert kinds == BETA_ANSWER
        else:
            assert kinds.count("response.text.delta") == 2
        part = told[-1]["response"]["output"][0]["content"][0]
        assert part == {"type": "audio" if beta else "output_audio", "transcript": "Hello there."}
        sounds = [body for body in told if body["type"] in ("response.audio.delta", "response.output_audio.delta")]
        assert [body["delta"] for body in sounds] == [SOUND] * DELTAS
        (turn,) = s.onlooker.turns
        assert turn.usage is not None
        assert s.onlooker.spoken_ms == 100 * DELTAS


async def test_a_message_that_is_no_json_is_answered_here() -> None:
    provider = Provider()
    async with scene(provider) as s:
        s.live.relay(b'{"type":"response.create"', GA)
        s.live.relay(b"[]", GA)
        s.live.relay(b'{"event_id":"mine"}', GA)
        assert [body["error"]["code"] for body in s.peer.heard[1:]] == ["invalid_event"] * 3
        assert s.peer.heard[-1]["error"]["event_id"] == "mine"
        assert provider.visits[0].raw == []


async def test_sound_of_a_call_goes_up_as_an_append() -> None:
    provider = Provider()
    async with scene(provider) as s:
        s.live.listen(b"\x01\x02\x03")
        s.say("input_audio_buffer.commit")
        await s.peer.until("input_audio_buffer.committed")
        assert provider.visits[0].raw[0] == '{"type":"input_audio_buffer.append","audio":"AQID"}'


async def test_others_join_and_the_last_one_who_leaves_ends_it() -> None:
    provider = Provider()
    async with scene(provider) as s:
        other = Peer(SPELLINGS["beta"])
        s.live.join(other)
        assert other.heard[0]["session"]["id"] == s.live.id
        s.say("response.create")
        await other.until("response.done")
        assert "response.audio.delta" in other.kinds()
        s.live.leave(s.peer)
        assert not s.live.over.is_set()
        s.live.leave(other)
        assert s.live.over.is_set()
        late = Peer()
        s.live.join(late)
        assert late.closed == (1000, "")
        await asyncio.wait_for(provider.visits[0].over.wait(), WAIT_S)


# ---- all goes wrong

FAULTS: dict[str, tuple[Fault, str]] = {
    "cut": (cut, "backend_unavailable"),
    "closed": (close(1011), "backend_unavailable"),
    "revoked": (close(4000, "invalid_request_error.invalid_api_key"), "backend_refused"),
    "expired": (close(1001, "Your session hit the maximum duration of 60 minutes."), "session_expired"),
    "stall": (stall, "backend_timeout"),
    "no json": (send("garbage"), "backend_protocol_error"),
    "no object": (send("[]"), "backend_protocol_error"),
    "bad shape": (send('{"type":"response.created","response":7}'), "backend_protocol_error"),
    "binary": (binary, "backend_protocol_error"),
    "key": (send('{"type":"error","error":{"code":"invalid_api_key","message":"sk-up-secret"}}'), "backend_refused"),
}
POINTS = [(name, at) for name in FAULTS for at in range(EVENTS) if (name, at) != ("stall", 0)]
"""An upstream that never begins an answer is waited for: nothing runs yet."""


@pytest.mark.parametrize(("name", "at"), POINTS)
async def test_every_fault_at_every_point_of_an_answer(
    name: str, at: int, caplog: pytest.LogCaptureFixture, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(core_relay, "CHECK_S", 0.05)
    caplog.set_level(logging.DEBUG, "parley")
    fault, code = FAULTS[name]
    first, second = Provider(fault=fault, at=at), Provider()
    async with scene(first, second, stall_s=0.2) as s:
        item = {"type": "message", "role": "user", "content": [{"type": "input_text", "text": "Hi."}]}
        s.say("conversation.item.create", item=item)
        await s.peer.until("conversation.item.done")
        began = time.monotonic()
        s.say("response.create", event_id="mine")
        await s.peer.until("session.updated")
        assert time.monotonic() - began < 1.5
        heard = s.peer.heard
        if at == 0:
            refused = next(body["error"] for body in heard if body["type"] == "error")
            assert (refused["event_id"], refused["code"]) == ("mine", code)
        else:
            done = next(body["response"] for body in heard if body["type"] == "response.done")
            assert done["status"] == "failed"
            assert done["status_details"]["error"]["code"] == code
        s.say("response.create")
        await s.peer.until("response.done", 1 if at == 0 else 2)
        check(s.peer.heard)
        told = second.visits[0].asked("conversation.item.create")
        assert told[0]["item"]["content"] == [{"type": "input_text", "text": "Hi."}]
        assert [turn.status for turn in s.onlooker.turns] == ["completed"] if at == 0 else ["failed", "completed"]
        assert s.onlooker.begun == [turn.id for turn in s.onlooker.turns]
    assert KEY not in b"".join(s.peer.raw).decode()
    assert KEY not in caplog.text
    assert "Hello" not in caplog.text


async def test_half_spoken_sound_is_marked_where_it_stopped() -> None:
    first, second = Provider(fault=cut, at=8), Provider()
    async with scene(first, second) as s:
        s.say("response.create")
        truncated = await s.peer.until("conversation.item.truncated")
        assert truncated["audio_end_ms"] == 200
        await s.peer.until("session.updated")
        await asyncio.sleep(0.05)
        (told,) = second.visits[0].asked("conversation.item.create")
        assert told["item"]["id"] == truncated["item_id"]
        assert told["item"]["content"] == [{"type": "output_text", "text": "Hello there."}]
        assert s.onlooker.spoken_ms == 200


async def test_a_late_done_goes_no_further() -> None:
    async with scene(Provider(fault=repeat_done, at=5, faults=2)) as s:
        for n in (1, 2):
            s.say("response.create")
            await s.peer.until("response.done", n)
        await asyncio.sleep(0.05)
        check(s.peer.heard)
        assert len(s.onlooker.turns) == 2


async def test_an_answer_without_usage_is_left_to_our_count() -> None:
    async with scene(Provider(usage=None)) as s:
        s.say("response.create")
        await s.peer.until("response.done")
        assert s.onlooker.turns[0].usage is None
        assert s.onlooker.spoken_ms == 100 * DELTAS


async def test_when_no_upstream_is_left_the_client_is_told_within_a_second() -> None:
    only = Provider(fault=close(1011), at=6)
    async with scene(only) as s:
        only.status = 503
        began = time.monotonic()
        s.say("response.create")
        assert await s.peer.until_closed() == (1011, "backend_unavailable")
        assert time.monotonic() - began < 1
        assert s.peer.kinds()[-1] == "error"
        check(s.peer.heard)
        assert s.live.over.is_set()


async def test_a_session_alone_is_opened_again_at_the_same_upstream() -> None:
    only = Provider(fault=cut, at=6)
    async with scene(only) as s:
        s.say("response.create")
        await s.peer.until("session.updated")
        assert len(only.visits) == 2


async def test_a_mixed_pair_fails_over_in_the_clients_dialect() -> None:
    first, second = Provider(dialect="beta", fault=cut, at=8), Provider(dialect="ga")
    async with scene(first, second) as s:
        s.say("response.create")
        await s.peer.until("session.updated")
        s.say("response.create")
        await s.peer.until("response.done", 2)
        check(s.peer.heard)


async def test_an_hour_that_ends_is_bridged() -> None:
    short, next_one = Provider(lasts_s=2.4), Provider()
    async with scene(short, next_one) as s:
        s.say("response.create")
        await s.peer.until("response.done")
        await s.peer.until("session.updated")
        assert len(next_one.visits) == 1
        await asyncio.wait_for(short.visits[0].over.wait(), WAIT_S)
        assert "error" not in s.peer.kinds()
        s.say("response.create")
        await s.peer.until("response.done", 2)
        assert s.live.upstream == "up1"
        assert s.dialler.router.breakers["up0"].failures == 0


# ---- a slow side slows the other one


async def test_a_slow_client_makes_its_upstream_wait(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(core_relay, "CHECK_S", 0.05)
    provider = Provider()
    async with scene(provider, stall_s=0.2) as s:
        await provider.visits[0].say("response.created", response={"id": "resp_1"})
        await s.peer.until("response.created")
        s.peer.congested = True
        visit = provider.visits[0]
        for _ in range(2):
            await visit.say("rate_limits.updated", rate_limits=[])
            await asyncio.sleep(0.05)
        heard = len(s.peer.raw)
        await visit.say("rate_limits.updated", rate_limits=[])
        await asyncio.sleep(0.1)
        await asyncio.sleep(0.4)  # longer than an upstream that is listened to may be silent
        assert len(s.peer.raw) == heard
        s.peer.congested = False
        s.peer.caught_up.set()
        await s.peer.until("rate_limits.updated", 3)


async def test_clients_wait_while_there_is_no_upstream() -> None:
    first, second = Provider(fault=cut, at=3), Provider(delay_s=0.3)
    async with scene(first, second) as s:
        s.say("response.create")
        await s.peer.until("response.done")
        assert s.peer.paused == [True]
        s.say("input_audio_buffer.append", audio="AAAA")
        s.say("response.create", event_id="later")
        await s.peer.until("session.updated")
        assert s.peer.paused == [True, False]
        await s.peer.until("response.done", 2)
        assert [body["type"] for body in second.visits[0].heard[-2:]] == [
            "input_audio_buffer.append",
            "response.create",
        ]


async def test_a_bug_ends_one_session_only(monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture) -> None:
    async with scene(Provider()) as s:

        def broken(event: object, now: float) -> None:
            raise RuntimeError("a bug")

        monkeypatch.setattr(s.live._relay, "handle", broken)
        s.say("response.create")
        assert s.peer.closed == (1011, "internal_error")
    assert "session failed" in caplog.text


async def test_what_ran_is_paid_for_when_everybody_leaves_or_it_is_closed() -> None:
    for end in ("leave", "close", "gone while it is told"):
        async with scene(Provider(fault=stall, at=6)) as s:
            s.say("response.create")
            await s.peer.until("response.content_part.added")
            if end == "leave":
                s.live.leave(s.peer)
            elif end == "close":
                s.live.close(1001, "server_draining")
            else:
                s.peer.on_send = lambda: s.live.leave(s.peer)
                s.live.relay(b"no event", GA)
            assert [turn.status for turn in s.onlooker.turns] == ["failed"]
            assert s.live.over.is_set()
        assert s.onlooker.over == 1


async def test_a_draining_server_and_one_that_is_not_paid() -> None:
    provider = Provider()
    async with scene(provider) as s:
        s.live.drain("server_draining")
        assert s.peer.closed == (1001, "server_draining")
    async with scene(provider) as s:
        s.live.cut_off("insufficient_credits", "No money.")
        assert s.peer.closed is not None
        assert s.peer.heard[-1]["error"]["code"] == "insufficient_credits"


async def test_events_that_are_read_already_are_asked_in_the_upstreams_spelling() -> None:
    provider = Provider(dialect="beta")
    async with scene(provider) as s:
        s.live.post(SessionUpdate(session={"type": "realtime", "audio": {"output": {"voice": "ash"}}}))
        await s.peer.until("session.updated")
        s.live.post(InputAudioBufferAppend(audio=b"\x00\x00"))
        s.live.hear(InputAudioBufferAppend(audio=b"\x00\x00"))
        s.live.post(ResponseCreate(event_id="mine"))
        await s.peer.until("response.done")
        assert [body["type"] for body in provider.visits[0].heard] == [
            "session.update",
            "input_audio_buffer.append",
            "input_audio_buffer.append",
            "response.create",
        ]
        assert provider.visits[0].heard[-1] == {"type": "response.create", "event_id": "mine"}
        assert provider.visits[0].heard[0]["session"] == {"voice": "ash"}
