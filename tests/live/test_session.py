"""The shell around the core, with a scripted core: what is posted, performed, started, stopped and timed."""

import asyncio
import logging
from collections.abc import AsyncGenerator, AsyncIterator, Callable
from typing import Any, cast

import pytest

from parley.audio.noise import NoiseReduction
from parley.core.config import RealtimeConfig, Transcription, configured
from parley.core.effects import (
    AnyEffect,
    Audio,
    Close,
    End,
    Message,
    Meter,
    Send,
    Stamps,
    Start,
    Stop,
    Tell,
    Transcribe,
    Turn,
    Work,
)
from parley.core.events import AnyServerEvent, InputAudioBufferAppend, InputAudioBufferCleared, SpeechStarted
from parley.core.inputs import AnyInput, Drain, Failed, Heard, Left, Malformed, Speech, Tick, Transcribed
from parley.core.session import Session
from parley.errors import EngineError
from parley.live import session as live_session
from parley.live.session import LiveSession, Surroundings
from parley.telemetry import Metrics

CONFIG = RealtimeConfig(model="gpt-realtime")
CLEARED = InputAudioBufferCleared()
WORK = Transcribe(work_id="work_1", item_id="item_1", config=Transcription(), partials=True)
Answer = Callable[[AnyInput], list[AnyEffect]]


class Core:
    """Stands for `core.Session`: remembers what happened, answers as told."""

    def __init__(self, answer: Answer) -> None:
        self.id = "sess_1"
        self.config = CONFIG
        self.deadline: float | None = None
        self.happened: list[AnyInput] = []
        self.heard = 0
        self.answer = answer

    def open(self) -> list[AnyEffect]:
        return [Send(event=SpeechStarted(audio_start_ms=0, item_id="first words"))]

    def handle(self, event: AnyInput, now: float) -> list[AnyEffect]:
        self.happened.append(event)
        if isinstance(event, Heard):
            self.heard += len(event.pcm) // 2
        return self.answer(event)


class Peer:
    """An outlet."""

    def __init__(self) -> None:
        self.heard: list[AnyServerEvent] = []
        self.closed: tuple[int, str] | None = None
        self.congested = False
        self.caught_up = asyncio.Event()
        self.on_send: Callable[[], None] = lambda: None

    def send(self, event: AnyServerEvent) -> None:
        self.heard.append(event)
        self.on_send()

    async def writable(self) -> None:
        await self.caught_up.wait()

    def close(self, code: int, reason: str) -> None:
        self.closed = (code, reason)


class Engine:
    """Yields what the mailbox asks for."""

    def __init__(self) -> None:
        self.stopped = 0
        self.failure: Exception | None = None

    async def run(self, work: Work, mailbox: AsyncIterator[Message]) -> AsyncGenerator[AnyInput, None]:
        try:
            if self.failure:
                raise self.failure
            async for message in mailbox:
                yield Transcribed(work_id=work.work_id, text=type(message).__name__, final=message == End())
                if message == End():
                    return
        finally:
            self.stopped += 1


class Ear:
    def __init__(self, on_speech: Callable[[list[Any]], None], reduction: NoiseReduction | None, start: int) -> None:
        self.on_speech = on_speech
        self.reduction = reduction
        self.start = start
        self.heard = b""
        self.closed = False

    def hear(self, pcm: bytes) -> None:
        self.heard += pcm

    def set_noise_reduction(self, wanted: NoiseReduction | None) -> None:
        self.reduction = wanted

    def close(self) -> None:
        self.closed = True


class Ears(list[Ear]):
    def attach(self, on_speech: Callable[[list[Any]], None], noise_reduction: NoiseReduction | None, start: int) -> Ear:
        self.append(Ear(on_speech, noise_reduction, start))
        return self[-1]


class Stage:
    """A live session and everything around it."""

    def __init__(self, answer: Answer = lambda event: []) -> None:
        self.core = Core(answer)
        self.engine = Engine()
        self.ears = Ears()
        self.peer = Peer()
        self.turns: list[Turn] = []
        self.ended: list[LiveSession] = []
        self.now = 100.0
        around = Surroundings(
            self.ears, Metrics(), lambda live, turn: self.turns.append(turn), self.ended.append, lambda: self.now
        )
        self.live = LiveSession(cast("Session", self.core), self.engine, around)
        self.live.attach(self.peer)
        self.live.open()


async def settled() -> None:
    for _ in range(10):
        await asyncio.sleep(0)


async def test_effects_are_performed_before_post_returns() -> None:
    stage = Stage(lambda event: [Send(event=CLEARED)])
    stage.live.post(Tick())
    assert stage.peer.heard[1:] == [CLEARED]
    assert stage.core.happened == [Tick()]


async def test_the_first_words_are_said_when_it_opens() -> None:
    assert len(Stage().peer.heard) == 1


async def test_every_outlet_hears_everything() -> None:
    stage = Stage(lambda event: [Send(event=CLEARED)])
    other = Peer()
    stage.live.attach(other)
    stage.live.post(Tick())
    assert other.heard == [CLEARED]


async def test_what_is_posted_by_an_effect_waits_for_the_others() -> None:
    stage = Stage(lambda event: [Send(event=CLEARED), Send(event=CLEARED)] if event == Tick() else [])
    stage.peer.on_send = lambda: stage.live.post(Drain(reason=str(len(stage.peer.heard))))
    stage.live.post(Tick())
    assert stage.core.happened == [Tick(), Drain(reason="2"), Drain(reason="3")]


async def test_work_is_started_told_and_heard() -> None:
    def answer(event: AnyInput) -> list[AnyEffect]:
        if event == Tick():
            tell = [Tell(work_id="work_1", message=message) for message in (Audio(pcm=b"ab"), End())]
            return [Start(work=WORK), *tell]
        return []

    stage = Stage(answer)
    stage.live.post(Tick())
    await settled()
    assert [event.text for event in stage.core.happened if isinstance(event, Transcribed)] == ["Audio", "End"]
    assert stage.engine.stopped == 1


async def test_stop_ends_work_at_once() -> None:
    stage = Stage(lambda event: [Start(work=WORK)] if event == Tick() else [Stop(work_id="work_1")])
    stage.live.post(Tick())
    await settled()
    stage.live.post(Drain(reason=""))
    await settled()
    assert stage.engine.stopped == 1
    assert len(stage.core.happened) == 2


async def test_a_failed_engine_is_an_input() -> None:
    stage = Stage(lambda event: [Start(work=WORK)] if event == Tick() else [])
    stage.engine.failure = EngineError("backend_timeout", "too slow")
    stage.live.post(Tick())
    await settled()
    assert stage.core.happened[1:] == [Failed(work_id="work_1", code="backend_timeout", message="too slow")]


async def test_so_is_a_broken_one_and_it_is_logged(caplog: pytest.LogCaptureFixture) -> None:
    stage = Stage(lambda event: [Start(work=WORK)] if event == Tick() else [])
    stage.engine.failure = ZeroDivisionError()
    stage.live.post(Tick())
    await settled()
    failed = stage.core.happened[1]
    assert isinstance(failed, Failed)
    assert failed.code == "internal_error"
    assert "work failed" in caplog.text


async def test_a_full_mailbox_fails_the_work(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(live_session, "MAILBOX_MESSAGES_MAX", 2)
    tell = Tell(work_id="work_1", message=Audio(pcm=b""))
    stage = Stage(lambda event: [Start(work=WORK), tell, tell, tell] if event == Tick() else [])
    stage.live.post(Tick())
    failed = stage.core.happened[1]
    assert isinstance(failed, Failed)
    assert failed.code == "backend_timeout"


async def test_an_engine_waits_for_a_slow_client() -> None:
    tell = Tell(work_id="work_1", message=Audio(pcm=b""))
    stage = Stage(lambda event: [Start(work=WORK), tell, tell, tell] if event == Tick() else [])
    stage.peer.congested = True
    stage.live.post(Tick())
    await settled()
    assert len(stage.core.happened) == 2
    stage.peer.congested = False
    stage.peer.caught_up.set()
    await settled()
    assert len(stage.core.happened) == 4


async def test_turns_are_metered() -> None:
    turn = Turn(kind="response", id="resp_1", item_id=None, model="m", status="completed", stamps=Stamps())
    stage = Stage(lambda event: [Meter(turn=turn)])
    stage.live.post(Tick())
    assert stage.turns == [turn]


# ---- sound


def append(samples: int) -> InputAudioBufferAppend:
    return InputAudioBufferAppend(audio=bytes(2 * samples), event_id="event_1")


async def test_sound_goes_to_the_session_and_to_an_ear() -> None:
    stage = Stage()
    stage.live.hear(append(480))
    assert stage.core.happened == [Heard(pcm=bytes(960), event_id="event_1")]
    assert stage.ears[0].heard == bytes(960)
    stage.ears[0].on_speech([(240, 0.25, 200), (480, 0.75, 480)])
    assert stage.core.happened[1:] == [
        Speech(upto=240, probability=0.25, voiced_upto=200),
        Speech(upto=480, probability=0.75, voiced_upto=480),
    ]


async def test_half_samples_are_not_sound() -> None:
    stage = Stage()
    stage.live.hear(InputAudioBufferAppend(audio=b"abc", event_id="event_1"))
    malformed = stage.core.happened[0]
    assert isinstance(malformed, Malformed)
    assert (malformed.code, malformed.param, malformed.event_id) == ("invalid_value", "audio", "event_1")


async def test_no_ear_without_turn_detection_and_a_late_one_knows_where_it_is() -> None:
    stage = Stage()
    stage.core.config = _config(turn_detection=None)
    stage.live.hear(append(480))
    assert not stage.ears
    stage.core.config = _config(noise_reduction={"type": "far_field"})
    stage.live.hear(append(480))
    assert stage.ears[0].start == 480
    assert stage.ears[0].reduction == NoiseReduction("far_field", 1.0)


async def test_the_ear_follows_the_configuration() -> None:
    stage = Stage()
    stage.live.hear(append(480))
    stage.core.config = _config(noise_reduction={"type": "near_field"})
    stage.live.post(Tick())
    assert stage.ears[0].reduction == NoiseReduction("near_field", 1.0)
    stage.core.config = _config(turn_detection=None)
    stage.live.post(Tick())
    assert stage.ears[0].closed


async def test_other_formats_become_the_house_format() -> None:
    stage = Stage()
    stage.core.config = _config(format={"type": "audio/pcmu"})
    for _ in range(5):
        stage.live.hear(InputAudioBufferAppend(audio=b"\xff" * 160))
    heard = b"".join(event.pcm for event in stage.core.happened if isinstance(event, Heard))
    assert abs(len(heard) - 5 * 960) < 300
    assert not any(heard)


def _config(**audio_input: Any) -> RealtimeConfig:
    config = configured({"audio": {"input": audio_input}}, CONFIG, frozenset({"marin"}))
    assert isinstance(config, RealtimeConfig)
    return config


# ---- time


async def test_the_deadline_is_kept() -> None:
    stage = Stage()
    stage.core.deadline = stage.now + 0.02
    stage.live.post(Drain(reason=""))
    stage.core.deadline = None
    await asyncio.sleep(0.05)
    assert stage.core.happened == [Drain(reason="")]  # it was gone when the timer came
    stage.core.deadline = stage.now
    stage.live.post(Drain(reason=""))
    await asyncio.sleep(0.02)
    assert stage.core.happened[2] == Tick()


async def test_a_timer_that_comes_too_early_looks_again() -> None:
    stage = Stage()
    stage.core.deadline = stage.now + 0.005
    stage.live.post(Drain(reason=""))
    stage.core.deadline = stage.now + 0.03
    await asyncio.sleep(0.015)
    assert Tick() not in stage.core.happened
    stage.now += 1
    await asyncio.sleep(0.05)
    assert Tick() in stage.core.happened


# ---- the end


async def test_close_reaches_the_peers_and_ends_everything() -> None:
    stage = Stage(lambda event: [Start(work=WORK)] if event == Tick() else [Close(code=1001, reason="enough")])
    stage.live.post(Tick())
    await settled()
    stage.live.post(Drain(reason=""))
    assert stage.peer.closed == (1001, "enough")
    assert stage.live.over.is_set()
    assert stage.ended == [stage.live]
    await settled()
    assert stage.engine.stopped == 1
    stage.live.post(Tick())
    assert len(stage.core.happened) == 2


async def test_the_last_peer_to_leave_ends_it() -> None:
    stage = Stage()
    other = Peer()
    stage.live.attach(other)
    stage.live.leave(stage.peer)
    assert not stage.live.over.is_set()
    stage.live.leave(other)
    assert stage.core.happened == [Left()]
    assert stage.ended == [stage.live]


async def test_a_peer_that_vanishes_while_it_is_told_things_is_left_in_order() -> None:
    turn = Turn(kind="response", id="resp_1", item_id=None, model="m", status="cancelled", stamps=Stamps())
    stage = Stage(
        lambda event: (
            [Meter(turn=turn)] if event == Left() else [Send(event=CLEARED), Send(event=CLEARED), Start(work=WORK)]
        )
    )
    stage.peer.on_send = lambda: stage.live.leave(stage.peer)
    stage.live.post(Tick())
    assert stage.core.happened == [Tick(), Left()]
    assert stage.turns == [turn]
    assert stage.ended == [stage.live]
    await settled()
    assert stage.engine.stopped <= 1
    assert not stage.live._tasks


async def test_a_bug_in_the_core_ends_this_session(caplog: pytest.LogCaptureFixture) -> None:
    def answer(event: AnyInput) -> list[AnyEffect]:
        raise ZeroDivisionError

    stage = Stage(answer)
    stage.live.post(Tick())
    assert stage.peer.closed == (1011, "internal_error")
    assert stage.live.over.is_set()
    assert [record.levelno for record in caplog.records if record.message == "session failed"] == [logging.ERROR]
