"""A call between the real session core and a carrier whose marks come by hand."""

import asyncio
import base64
import json
from collections import deque
from collections.abc import AsyncGenerator, AsyncIterator, Callable
from functools import partial
from typing import Any, cast

from parley.audio.codecs import Decoder
from parley.audio.noise import NoiseReduction
from parley.auth.gate import Bearer
from parley.core.config import RealtimeConfig, SessionConfig
from parley.core.effects import Generate, Message, Work
from parley.core.events import AnyServerEvent, OutputAudioBufferClear, ResponseCreate
from parley.core.inputs import AnyInput, Ended, Generated, Said, Speech, Spoke
from parley.errors import RequestError
from parley.live.session import LiveSession, Surroundings
from parley.telemetry import Metrics
from parley.transports.carriers import call as calls_module
from parley.transports.carriers.call import LOOK_S, MESSAGE_BYTES_MAX, SILENCE_S, SPEAKER_HIGH_MS, CarrierCall
from parley.transports.carriers.calls import AlsoCarriers, CarrierCalls
from parley.transports.carriers.dialects import TWILIO, Start
from parley.transports.carriers.speaker import AHEAD_MS, MARK_S, PIECE_SLICES
from parley.transports.picows_protocol import Lane
from parley.transports.ringing import NO_PHONES
from tests.core.driver import new_session
from tests.transports.carriers import carrier

PIECE_MS = PIECE_SLICES * 20
LOUD = b"\x10\x20"
START = Start(carrier.STREAM, carrier.CALL, "audio/pcmu", {})
ANN, BOB = Bearer("ann"), Bearer("bob")


class Wire:
    """Stands for the lane: keeps what goes, and gives marks back when it is told to."""

    def __init__(self) -> None:
        self.congested = False
        self.said: list[tuple[str, str]] = []
        self.marks: deque[str] = deque()
        self.ends: dict[str, int] = {}
        """Of each mark, how many milliseconds of sound were sent before it."""
        self.sound = b""
        self.closed: tuple[int, str] | None = None

    def send(self, message: bytes) -> None:
        kind, what = carrier.TWILIO.heard(json.loads(message))
        self.said.append((kind, what))
        if kind == "mark":
            self.marks.append(what)
            self.ends[what] = len(self.sound) // 8
        elif kind == "media":
            self.sound += base64.b64decode(what)

    async def writable(self) -> None: ...

    def close(self, code: int, reason: str) -> None:
        self.closed = self.closed or (code, reason)

    def kinds(self) -> list[str]:
        return [kind for kind, _ in self.said]


class Voice:
    """An engine that speaks as many pieces of 100 ms as it is told, as fast as it is let."""

    def __init__(self) -> None:
        self.pieces = 10
        self.spoken = 0

    async def run(self, work: Work, mailbox: AsyncIterator[Message]) -> AsyncGenerator[AnyInput, None]:
        if not isinstance(work, Generate):
            await asyncio.Event().wait()  # it never says what it has heard
        yield Said(work_id=work.work_id, output=0, text="One two three four five. ")
        for _ in range(self.pieces):
            self.spoken += 1
            yield Spoke(work_id=work.work_id, output=0, pcm=LOUD * 2_400)
            await asyncio.sleep(0)
        yield Ended(work_id=work.work_id, output=0)
        yield Generated(work_id=work.work_id)


class Deaf:
    def attach(self, on_speech: Callable[[list[Any]], None], noise_reduction: NoiseReduction | None, start: int) -> Any:
        return self

    def hear(self, pcm: bytes) -> None: ...
    def set_noise_reduction(self, wanted: NoiseReduction | None) -> None: ...
    def close(self) -> None: ...


class Sideband:
    congested = False

    def __init__(self) -> None:
        self.heard: list[AnyServerEvent] = []

    def send(self, event: AnyServerEvent) -> None:
        self.heard.append(event)

    async def writable(self) -> None: ...
    def close(self, code: int, reason: str) -> None: ...

    def of(self, kind: str) -> list[Any]:
        return [event for event in self.heard if type(event).__name__ == kind]


class Stage:
    def __init__(self) -> None:
        self.voice = Voice()
        self.wire = Wire()
        self.keys: list[str] = []
        self.over: list[CarrierCall] = []
        around = Surroundings(Deaf(), Metrics(), lambda live, turn: None, lambda live: None, lambda: 0.0)
        self.live = LiveSession(new_session(plays=True), self.voice, around, "rtc_1")
        self.call = CarrierCall(
            self.live,
            cast(Lane, self.wire),
            TWILIO,
            START,
            lambda live, key, at: self.keys.append(key),
            self.over.append,
        )
        self.sideband = Sideband()
        self.call.begin()
        self.live.join(self.sideband)

    def say(self, event: dict[str, Any] | str) -> None:
        self.call.on_text((json.dumps(event) if isinstance(event, dict) else event).encode())

    def play(self, marks: int) -> int:
        """The carrier plays on, mark by mark. Gives how many milliseconds of all that was sent are played."""
        name = ""
        for _ in range(marks):
            name = self.wire.marks.popleft()
            self.say(carrier.TWILIO.marked(name))
        return self.wire.ends[name]

    async def answer(self, pieces: int = 10) -> None:
        """A response of so many times 100 ms is made."""
        self.voice.pieces, self.voice.spoken = pieces, 0
        self.live.post(ResponseCreate())
        await self.spoken(pieces)

    async def spoken(self, pieces: int) -> None:
        async with asyncio.timeout(5):
            while self.voice.spoken < pieces:
                await asyncio.sleep(0)
        for _ in range(5):
            await asyncio.sleep(0)

    def speech(self) -> None:
        """The ear hears the caller."""
        self.live.listen(bytes(48 * 400))
        for ms in range(32, 400, 32):
            self.live.post(Speech(upto=ms * 24, probability=1.0))


async def test_sound_goes_ahead_and_marks_say_how_far_it_is() -> None:
    stage = Stage()
    await stage.answer(30)
    assert len(stage.wire.sound) == AHEAD_MS * 8, "and no more before some of it was played"
    assert AHEAD_MS // PIECE_MS <= len(stage.wire.marks) <= AHEAD_MS // 20
    assert stage.wire.kinds()[:4] == ["media", "mark"] * 2
    stage.play(40)
    assert len(stage.wire.sound) == 3_000 * 8 + 160, "to the end; the encoder's last millisecond fills a frame"
    while stage.wire.marks:
        assert not stage.sideband.of("OutputAudioBufferStopped")
        stage.play(1)
    assert len(stage.sideband.of("OutputAudioBufferStopped")) == 1
    assert "clear" not in stage.wire.kinds()
    pcm = Decoder("audio/pcmu").decode(stage.wire.sound)[9_600:96_000]
    assert {abs(sample - 0x2010) < 300 for sample in memoryview(pcm).cast("h")} == {True}


async def test_barge_in_clears_at_once_and_truncates_to_the_last_mark() -> None:
    """In the same step of the event loop in which speech is found: no time of ours passes."""
    stage = Stage()
    await stage.answer(20)
    played_ms = stage.play(13)
    stage.speech()
    assert len(stage.sideband.of("SpeechStarted")) == 1
    assert stage.wire.kinds()[-1] == "clear" and stage.wire.kinds().count("clear") == 1
    (truncated,) = stage.sideband.of("ItemTruncated")
    assert truncated.audio_end_ms == played_ms > 300
    sent = len(stage.wire.said)
    stage.play(len(stage.wire.marks))  # a carrier gives back what it has thrown away, too
    assert len(stage.wire.said) == sent
    assert not stage.sideband.of("OutputAudioBufferStopped")
    await stage.answer(1)
    assert stage.wire.kinds()[sent:][:2] == ["media", "mark"], "the next answer is heard again"


async def test_clear_by_a_client() -> None:
    stage = Stage()
    await stage.answer(20)
    played_ms = stage.play(5)
    stage.live.post(OutputAudioBufferClear())
    assert stage.wire.kinds()[-1] == "clear"
    assert stage.sideband.of("ItemTruncated")[0].audio_end_ms == played_ms
    stage.live.post(OutputAudioBufferClear())
    assert stage.wire.kinds().count("clear") == 1, "there is nothing to be silent about"


async def test_a_mark_stands_for_those_before_it() -> None:
    stage = Stage()
    await stage.answer(10)
    while len(stage.wire.marks) > 1:
        stage.wire.marks.popleft()
    stage.play(1)
    assert len(stage.sideband.of("OutputAudioBufferStopped")) == 1
    stage.say(carrier.TWILIO.marked("1"))
    stage.say(carrier.TWILIO.marked("never heard of"))
    assert stage.wire.closed is None


async def test_keys_and_garbage() -> None:
    stage = Stage()
    for key in "0*#D":
        stage.say(carrier.TWILIO.dtmf(key))
    assert stage.keys == ["0", "*", "#", "D"]
    stage.say("nonsense")
    stage.call.on_binary(b"nonsense")
    assert [error.error.code for error in stage.sideband.of("Error")] == ["invalid_event"] * 2
    stage.say(carrier.TWILIO.greeting({})[-1])
    stage.say({"event": "tomorrow"})
    assert stage.wire.closed is None
    stage.call.on_text(b" " * (MESSAGE_BYTES_MAX + 1))
    assert stage.wire.closed == (1009, "message_too_big") and stage.over == [stage.call]


async def test_ends() -> None:
    ends: tuple[Callable[[Stage], None], ...] = (
        lambda stage: stage.say(carrier.TWILIO.stop or ""),
        lambda stage: stage.call.on_gone(),
        lambda stage: stage.call.hang_up(),
        lambda stage: stage.live.close(1000, "elsewhere"),
    )
    for end in ends:
        stage = Stage()
        end(stage)
        assert stage.live.over.is_set() and stage.over == [stage.call]
        assert stage.wire.closed is not None and stage.wire.closed[0] == 1000
        stage.call.hang_up()
        assert stage.over == [stage.call]


async def test_a_silent_carrier_and_one_without_marks_are_left(monkeypatch: Any) -> None:
    stage = Stage()
    loop = asyncio.get_running_loop()
    began = loop.time()

    def look(after_s: float) -> None:
        monkeypatch.setattr(loop, "time", lambda: began + after_s)
        stage.call._look()
        monkeypatch.undo()

    look(SILENCE_S - 1)
    assert not stage.live.over.is_set()
    look(SILENCE_S + 1)
    assert stage.wire.closed == (1000, "no sound came")
    stage = Stage()
    await stage.answer(10)
    began = loop.time()
    look(MARK_S + AHEAD_MS / 1_000 - 1)
    assert not stage.live.over.is_set()
    look(MARK_S + AHEAD_MS / 1_000 + 1)
    assert stage.wire.closed == (1000, "no marks came")
    assert LOOK_S <= 1


async def test_an_engine_that_speaks_for_minutes_waits() -> None:
    stage = Stage()
    stage.voice.pieces = 2 * SPEAKER_HIGH_MS // 100
    stage.live.post(ResponseCreate())
    enough = (SPEAKER_HIGH_MS + AHEAD_MS) // 100
    await stage.spoken(enough + 1)
    made = stage.voice.spoken
    assert made <= enough + 2 and stage.call.congested
    assert len(stage.wire.marks) <= AHEAD_MS // 20
    stage.play(12_000 // 20)
    await stage.spoken(made + 1)
    stage.call.hang_up()
    assert stage.live.over.is_set()


# ---- all calls of a process


async def test_calls_are_found_by_both_ids_and_by_their_owner() -> None:
    stage = Stage()

    async def start(config: SessionConfig, bearer: Bearer, call_id: str) -> LiveSession:
        stage.live.call_id = call_id
        return stage.live

    calls = CarrierCalls(start, lambda live, key, at: None, "n1")
    config = RealtimeConfig(model="gpt-realtime")
    call = await calls.answer(cast(Lane, stage.wire), TWILIO, START, config, ANN)
    call_id = call.live.call_id
    assert call_id is not None and call_id.startswith("rtc_n1_")
    assert calls.find(call_id, ANN) is calls.find(carrier.CALL, ANN) is call
    for wrong, bearer in ((call_id, BOB), (carrier.CALL, BOB), ("rtc_n1_0", ANN)):
        assert _refused(partial(calls.find, wrong, bearer)) == "session_not_found"
    both = AlsoCarriers(calls, NO_PHONES)
    assert _refused(lambda: both.hang_up(call_id, BOB)) == "session_not_found"
    assert _refused(lambda: both.reject(call_id, 603, ANN)) == "session_not_found"
    call.begin()
    both.hang_up(carrier.CALL, ANN)
    assert stage.live.over.is_set()
    assert _refused(lambda: calls.find(carrier.CALL, ANN)) == "session_not_found"
    assert not calls._calls and not calls._ids


def _refused(what: Callable[[], object]) -> str:
    try:
        what()
    except RequestError as error:
        return error.code
    return ""


def test_the_bounds_are_written_down() -> None:
    assert (calls_module.MESSAGE_BYTES_MAX, SILENCE_S, MARK_S, AHEAD_MS) == (65_536, 30.0, 10.0, 2_000)
