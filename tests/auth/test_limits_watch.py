"""A real session under limits: what it is told, what it counts, and what it is refused."""

import asyncio
from collections.abc import AsyncGenerator, AsyncIterator, Callable
from typing import Any

import pytest

from parley.audio.noise import NoiseReduction
from parley.auth.limits import LimitRules, RateLimited, Subject
from parley.auth.limits_memory import MemoryLimits
from parley.auth.limits_watch import LimitWatch, open_watch
from parley.core import events as e
from parley.core.effects import Generate, Message, Stamps, Turn, Work
from parley.core.inputs import AnyInput, Generated, Rates, Said, Spoke
from parley.core.rates import Rate
from parley.live.session import LiveSession, Surroundings
from parley.telemetry import Metrics
from tests.core.driver import new_session
from tests.databases import Clock

SPOKEN_MS = 200
TEXT = {"output_modalities": ["text"], "audio": {"input": {"turn_detection": None}}}
SPOKEN = {"audio": {"input": {"turn_detection": None}}}


class Speaker:
    """An engine that says the same again and again."""

    async def run(self, work: Work, mailbox: AsyncIterator[Message]) -> AsyncGenerator[AnyInput, None]:
        if isinstance(work, Generate):
            yield Said(work_id=work.work_id, output=0, text="one two three four")
            if work.spoken:
                yield Spoke(work_id=work.work_id, output=0, pcm=bytes(48 * SPOKEN_MS))
            yield Generated(work_id=work.work_id)


class Deaf:
    def attach(self, on_speech: Callable[[list[Any]], None], noise_reduction: NoiseReduction | None, start: int) -> Any:
        raise AssertionError("nobody speaks here")


class Peer:
    """An outlet that remembers."""

    congested = False

    def __init__(self) -> None:
        self.heard: list[Any] = []
        self.closed: str | None = None

    def send(self, event: e.AnyServerEvent) -> None:
        self.heard.append(event)

    async def writable(self) -> None: ...

    def close(self, code: int, reason: str) -> None:
        self.closed = reason

    def last(self, kind: type) -> Any:
        return [event for event in self.heard if isinstance(event, kind)][-1]


class Stage:
    """One live session of somebody."""

    def __init__(self, live: LiveSession, peer: Peer, watch: LimitWatch) -> None:
        self.live, self.peer, self.watch = live, peer, watch

    async def respond(self) -> e.Response:
        """The response, when it is done and counted."""
        self.live.post(e.ResponseCreate())
        async with asyncio.timeout(10):
            while not isinstance(self.peer.heard[-1], e.ResponseDone):
                await asyncio.sleep(0)
        await self.watch.settled()
        done: e.Response = self.peer.heard[-1].response
        return done

    def shown(self) -> dict[str, tuple[int, int]]:
        rows: tuple[e.RateLimit, ...] = self.peer.last(e.RateLimitsUpdated).rate_limits
        return {row.name: (row.remaining, row.limit) for row in rows}


async def stage(limits: MemoryLimits, who: tuple[Subject, ...], patch: dict[str, Any], name: str = "sess") -> Stage:
    session = new_session(patch)
    live: LiveSession
    watch = await open_watch(limits, who, name, lambda rates: live.post(Rates(rates=rates)))
    around = Surroundings(Deaf(), Metrics(), lambda live, turn: None, lambda live: None, lambda: 0.0)
    live = LiveSession(session, Speaker(), around, witnesses=[watch])
    peer = Peer()
    live.attach(peer)
    live.open()
    return Stage(live, peer, watch)


@pytest.fixture
def clock() -> Clock:
    return Clock()


@pytest.fixture
def limits(clock: Clock) -> MemoryLimits:
    return MemoryLimits(clock)


def somebody(**rules: int) -> tuple[Subject, ...]:
    return (Subject("key:key_1", LimitRules(**rules)),)


async def remaining(limits: MemoryLimits, who: tuple[Subject, ...]) -> dict[str, int]:
    return {rate.name: rate.remaining for rate in await limits.look(who)}


async def test_each_response_shows_how_the_limits_stand(limits: MemoryLimits) -> None:
    who = somebody(requests_per_minute=10, tokens_per_minute=100)
    on = await stage(limits, who, TEXT)
    assert await remaining(limits, who) == {"requests": 9, "tokens": 100}
    done = await on.respond()
    assert done.status == "completed"
    assert on.shown() == {"requests": (8, 10), "tokens": (100, 100)}
    assert done.usage is not None
    left = 100 - done.usage.total_tokens
    assert await remaining(limits, who) == {"requests": 8, "tokens": left}
    await limits.admit(who)  # somebody else, with the same key
    await on.respond()
    assert on.shown()["requests"] == (7, 10)  # nobody has told of that yet
    await on.respond()
    assert on.shown()["requests"] == (5, 10)


async def test_tokens_that_are_used_up_refuse_the_next_response_only(limits: MemoryLimits, clock: Clock) -> None:
    who = somebody(tokens_per_minute=6)
    on = await stage(limits, who, TEXT)
    first = await on.respond()
    assert first.status == "completed"
    second = await on.respond()
    assert second.status == "completed"
    refused = await on.respond()
    assert refused.status == "failed"
    assert refused.status_details is not None
    assert refused.status_details["error"]["code"] == "rate_limit_exceeded"
    assert "6 tokens per minute" in refused.status_details["error"]["message"]
    assert on.shown()["tokens"] == (0, 6)
    clock.seconds += 600
    await on.respond()  # is refused by what the session knows, and learns better
    assert (await on.respond()).status == "completed"


async def test_refused_responses_are_no_requests(limits: MemoryLimits, clock: Clock) -> None:
    who = somebody(requests_per_minute=2)
    on = await stage(limits, who, TEXT)
    assert [(await on.respond()).status for _ in range(5)] == ["completed", *["failed"] * 4]
    clock.seconds += 60
    assert await remaining(limits, who) == {"requests": 2}


async def test_sound_that_is_made_and_sound_that_is_heard_count(limits: MemoryLimits) -> None:
    who = somebody(audio_minutes_per_day=1)
    on = await stage(limits, who, SPOKEN)
    await on.respond()
    assert await remaining(limits, who) == {"audio_ms": 60_000 - SPOKEN_MS}
    on.live.listen(bytes(48 * 500))
    on.live.post(e.InputAudioBufferClear())
    on.live.listen(bytes(48 * 300))
    on.live.post(e.InputAudioBufferCommit())
    on.live.close(1000, "")
    await on.watch.settled()
    assert await remaining(limits, who) == {"audio_ms": 60_000 - SPOKEN_MS - 300}


def test_of_detected_speech_its_length_counts() -> None:
    async def count() -> dict[str, int]:
        limits, who = MemoryLimits(Clock()), somebody(audio_minutes_per_day=1)
        watch = await open_watch(limits, who, "sess", lambda rates: None)
        watch.heard(bytes(48 * 5_000))
        watch.sent(e.SpeechStarted(audio_start_ms=1_000, item_id="item_1"))
        watch.sent(e.SpeechStopped(audio_end_ms=3_500, item_id="item_1"))
        watch.sent(e.InputAudioBufferCommitted(item_id="item_1", previous_item_id=None))
        watch.ended()
        await watch.settled()
        return await remaining(limits, who)

    assert asyncio.run(count()) == {"audio_ms": 57_500}


async def test_a_session_takes_a_place_until_it_ends(limits: MemoryLimits) -> None:
    who = somebody(sessions_at_once=1)
    on = await stage(limits, who, TEXT)
    with pytest.raises(RateLimited) as refused:
        await stage(limits, who, TEXT, "another")
    assert refused.value.code == "too_many_sessions"
    on.live.close(1000, "")
    await on.watch.settled()
    await stage(limits, who, TEXT, "another")


async def test_what_ends_while_it_is_counted_is_counted_once() -> None:
    class Slow(MemoryLimits):
        async def spend(self, *args: Any) -> tuple[Rate, ...]:
            await asyncio.sleep(0.01)
            return await super().spend(*args)

    limits, who, told = Slow(Clock()), somebody(tokens_per_minute=1_000, sessions_at_once=1), list[tuple[Rate, ...]]()
    watch = await open_watch(limits, who, "sess", told.append)
    for _ in range(5):
        watch.turn(turn(tokens=10))
    await asyncio.sleep(0)
    watch.turn(turn(tokens=10))
    watch.ended()
    await watch.settled()
    assert await remaining(limits, who) == {"tokens": 940}
    assert await limits.sessions(who[0]) == 0
    assert told == []


async def test_a_session_without_responses_is_cut_when_a_limit_is_used_up(limits: MemoryLimits) -> None:
    who, cut = somebody(tokens_per_minute=20), list[str]()
    watch = await open_watch(limits, who, "sess", lambda rates: None, cut.append)
    watch.turn(turn(tokens=10))
    await watch.settled()
    assert cut == []
    watch.turn(turn(tokens=30))
    await watch.settled()
    assert cut == ["Rate limit reached: 20 tokens per minute. Please try again in 63 s."]
    with pytest.raises(RateLimited, match="20 tokens per minute"):
        await open_watch(limits, who, "another", lambda rates: None, cut.append)


def turn(tokens: int) -> Turn:
    return Turn(
        kind="transcription",
        id="work_1",
        item_id="item_1",
        model="gpt-4o-transcribe",
        status="completed",
        stamps=Stamps(),
        text_tokens=tokens,
    )
