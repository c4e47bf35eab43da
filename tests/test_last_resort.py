"""A session of our own as one more upstream: in order, at a distance, and with its own end."""

import asyncio
import json
from collections.abc import AsyncGenerator, AsyncIterator
from typing import Any

import pytest

from parley.core.effects import Generate, Message, Work
from parley.core.inputs import AnyInput, Ended, Generated, Said, Spoke
from parley.core.relayed import LOCAL
from parley.errors import EngineError
from parley.last_resort import HIGH_BYTES, LASTS_S, LastResort, LocalLeg
from parley.live.session import LiveSession, Surroundings
from parley.telemetry import Metrics
from tests.core.driver import new_session
from tests.transports.rtc.test_call import Deaf

Body = dict[str, Any]
PIECE = b"\x10\x20" * 2_400
"""100 ms."""


class Voice:
    def __init__(self, pieces: int = 3) -> None:
        self.pieces = pieces
        self.spoken = 0

    async def run(self, work: Work, mailbox: AsyncIterator[Message]) -> AsyncGenerator[AnyInput, None]:
        assert isinstance(work, Generate)
        yield Said(work_id=work.work_id, output=0, text="One two. ")
        for _ in range(self.pieces):
            self.spoken += 1
            yield Spoke(work_id=work.work_id, output=0, pcm=PIECE)
            await asyncio.sleep(0)
        yield Ended(work_id=work.work_id, output=0)
        yield Generated(work_id=work.work_id)


class Ear:
    """Who receives."""

    def __init__(self) -> None:
        self.events: list[Body] = []
        self.lost: tuple[str, str] | None = None

    def on_upstream(self, leg: LocalLeg, raw: bytes) -> None:
        self.events.append(json.loads(raw))

    def on_lost(self, leg: LocalLeg, code: str, message: str) -> None:
        self.lost = (code, message)

    def kinds(self) -> list[str]:
        return [event["type"] for event in self.events]

    async def until(self, kind: str) -> None:
        async with asyncio.timeout(5):
            while kind not in self.kinds():
                await asyncio.sleep(0)


def session(voice: Voice) -> LiveSession:
    around = Surroundings(Deaf(), Metrics(), lambda live, turn: None, lambda live: None, lambda: 0.0)
    return LiveSession(new_session(), voice, around)


def receiving(voice: Voice | None = None) -> tuple[LiveSession, LocalLeg, Ear]:
    live = session(voice or Voice())
    leg, ear = LocalLeg(live), Ear()
    assert json.loads(leg.take_first())["type"] == "session.created"
    leg.receive(ear)
    return live, leg, ear


async def test_nothing_is_said_while_something_is_asked() -> None:
    _, leg, ear = receiving()
    leg.ask({"type": "session.update", "session": {"type": "realtime", "instructions": "Be brief."}})
    assert ear.events == []
    await ear.until("session.updated")


async def test_an_answer_comes_in_order_and_in_the_sessions_format() -> None:
    _, leg, ear = receiving()
    pcmu = {"audio": {"output": {"format": {"type": "audio/pcmu"}}}}
    leg.ask({"type": "session.update", "session": {"type": "realtime", **pcmu}})
    leg.ask({"type": "response.create"})
    await ear.until("response.done")
    kinds = ear.kinds()
    assert kinds.index("response.created") < kinds.index("response.output_audio.delta")
    assert kinds[-1] == "response.done"
    sound = "".join(event["delta"] for event in ear.events if event["type"] == "response.output_audio.delta")
    assert len(sound) == pytest.approx(300 * 8 * 4 / 3, rel=0.05)


async def test_one_who_does_not_listen_makes_the_engine_wait() -> None:
    voice = Voice(10_000)
    _, leg, ear = receiving(voice)
    leg.ask({"type": "response.create"})
    await ear.until("response.output_audio.delta")
    leg.pause()
    heard = len(ear.events)
    for _ in range(200):
        await asyncio.sleep(0)
    stood = voice.spoken
    assert stood < 100 and len(ear.events) == heard
    leg.resume()
    for _ in range(200):
        await asyncio.sleep(0)
    assert voice.spoken > stood + 50 and len(ear.events) > heard
    leg.close()


async def test_before_anybody_receives_what_is_said_waits_within_a_bound() -> None:
    voice = Voice(10_000)
    live = session(voice)
    leg = LocalLeg(live)
    leg.ask({"type": "response.create"})
    for _ in range(500):
        await asyncio.sleep(0)
    assert voice.spoken <= HIGH_BYTES / len(PIECE) + 2
    leg.close()


async def test_closing_ends_the_session_and_nothing_is_told() -> None:
    live, leg, ear = receiving()
    leg.ask({"type": "response.create"})
    leg.close()
    assert live.over.is_set()
    for _ in range(20):
        await asyncio.sleep(0)
    assert ear.events == [] and ear.lost is None
    leg.ask({"type": "response.create"})  # too late, and harmless


@pytest.mark.parametrize(
    ("reason", "code"),
    [("Your session hit its maximum duration.", "session_expired"), ("internal_error", "backend_unavailable")],
)
async def test_a_session_that_ends_is_an_upstream_that_is_lost(reason: str, code: str) -> None:
    live, _, ear = receiving()
    live.close(1001, reason)
    for _ in range(5):
        await asyncio.sleep(0)
    assert ear.lost is not None and ear.lost[0] == code


class Dead:
    """A dialler that reaches nobody."""

    def __init__(self) -> None:
        self.told: list[str] = []

    async def dial(self, model: str, session: str, *, transcribes: bool = False, avoid: Any = ()) -> Any:
        raise EngineError("backend_unavailable", "Nobody.", retryable=True)

    def lost(self, upstream: str, code: str) -> None:
        self.told.append(upstream)


async def test_this_machine_answers_when_nobody_else_does() -> None:
    dead = Dead()

    async def open_session(model: str, transcribes: bool) -> LiveSession:
        assert (model, transcribes) == ("gpt-realtime", False)
        return session(Voice())

    resort = LastResort(dead, open_session)
    call = await resort.dial("gpt-realtime", "sess_1")
    assert (call.target.upstream, call.target.model, call.created.lasts_s) == (LOCAL, "gpt-realtime", LASTS_S)
    assert call.created.body["type"] == "session.created"
    resort.lost(LOCAL, "backend_unavailable")
    resort.lost("far", "backend_unavailable")
    assert dead.told == ["far"]
    call.leg.close()
