"""A call between the real session core and a peer that only keeps what it is given. Beats come by hand."""

import asyncio
import json
from collections.abc import AsyncGenerator, AsyncIterator, Callable
from typing import Any

from parley.audio.noise import NoiseReduction
from parley.audio.pacer import Beats
from parley.core.effects import Generate, Message, Work
from parley.core.events import AnyServerEvent, ResponseCancel, ResponseCreate
from parley.core.inputs import AnyInput, Ended, Generated, Said, Spoke
from parley.dialects.ga import GA
from parley.live.session import LiveSession, Surroundings
from parley.telemetry import Metrics
from parley.transports.rtc.call import CHANNEL_BYTES_MAX, SPEAKER_HIGH_MS, Call
from parley.transports.rtc.sdp import Offer
from parley.transports.rtc.ticker import Ticker
from tests.core.driver import new_session

SLICE = 960
LOUD = b"\x10\x20"
ONE = Beats(1, 0)


class Peer:
    """Stands for a WebRTC peer."""

    def __init__(self) -> None:
        self.answer = ""
        self.message_bytes_max = 262_144
        self.connected = True
        self.waiting_bytes = 0
        self.played: list[bytes | None] = []
        self.skipped = 0
        self.said: list[dict[str, Any]] = []
        self.closed = 0
        self.bug: Exception | None = None

    def play(self, pcm: bytes | None) -> None:
        if self.bug:
            raise self.bug
        self.played.append(pcm)

    def skip(self, slices: int) -> None:
        self.skipped += slices

    def tick(self, now: float, wall: float) -> None:
        pass

    def say(self, message: str) -> None:
        self.said.append(json.loads(message))

    async def restart(self, offer: Offer) -> str:
        return ""

    def close(self) -> None:
        self.closed += 1

    def kinds(self) -> list[str]:
        return [event["type"] for event in self.said]


class Voice:
    """An engine that speaks as many pieces of 100 ms as it is told, as fast as it is let."""

    def __init__(self) -> None:
        self.pieces = 10
        self.spoken = 0

    async def run(self, work: Work, mailbox: AsyncIterator[Message]) -> AsyncGenerator[AnyInput, None]:
        assert isinstance(work, Generate)
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
        self.closed: tuple[int, str] | None = None

    def send(self, event: AnyServerEvent) -> None:
        self.heard.append(event)

    async def writable(self) -> None: ...

    def close(self, code: int, reason: str) -> None:
        self.closed = (code, reason)


class Stage:
    def __init__(self, *, connected: bool = True) -> None:
        self.voice = Voice()
        self.peer = Peer()
        self.peer.connected = connected
        self.over: list[Call] = []
        around = Surroundings(Deaf(), Metrics(), lambda live, turn: None, lambda live: None, lambda: 0.0)
        self.live = LiveSession(new_session(plays=True), self.voice, around, "rtc_1")
        self.ticker = Ticker()
        self.call = Call(self.live, GA, self.ticker, self.over.append)
        self.call.begin(self.peer)
        self.ticker.remove(self.call)  # from here on time is made by hand
        self.call.on_channel()

    def ask(self) -> None:
        self.call.on_text('{"type": "response.create"}')

    async def spoken(self, pieces: int | None = None) -> None:
        """Returns when the engine has said so much."""
        async with asyncio.timeout(5):
            while self.voice.spoken < (self.voice.pieces if pieces is None else pieces):
                await asyncio.sleep(0)
        for _ in range(5):
            await asyncio.sleep(0)

    def beat(self, times: int = 1) -> None:
        for _ in range(times):
            self.call.beat(ONE, 0.0)


async def test_sound_is_played_slice_by_slice_and_the_session_follows() -> None:
    stage = Stage()
    stage.beat(3)
    assert stage.peer.played == [None] * 3, "silence keeps the line alive"
    stage.ask()
    await stage.spoken()
    assert stage.peer.kinds()[-1] == "response.done", "said long before it is heard"
    stage.beat(49)
    assert "output_audio_buffer.stopped" not in stage.peer.kinds()
    stage.beat()
    assert stage.peer.kinds()[-1] == "output_audio_buffer.stopped"
    assert b"".join(piece or b"" for piece in stage.peer.played) == LOUD * 24_000
    stage.beat()
    assert stage.peer.played[-1] is None


async def test_clearing_is_silence_from_the_next_slice_on() -> None:
    stage = Stage()
    stage.ask()
    await stage.spoken()
    stage.beat(21)
    stage.call.on_text('{"type": "output_audio_buffer.clear"}')
    assert stage.peer.kinds()[-2:] == ["output_audio_buffer.cleared", "conversation.item.truncated"]
    assert 380 <= stage.peer.said[-1]["audio_end_ms"] <= 420
    stage.beat(2)
    assert stage.peer.played[-2:] == [None, None]


async def test_a_cancelled_response_plays_what_it_has_made() -> None:
    stage = Stage()
    stage.voice.pieces = 1_000_000
    stage.ask()
    await stage.spoken(5)
    stage.live.post(ResponseCancel())
    assert stage.peer.kinds()[-1] == "response.done"
    made = stage.voice.spoken
    stage.beat(5 * made + 5)
    assert stage.peer.kinds()[-1] == "output_audio_buffer.stopped"
    assert sum(piece is not None for piece in stage.peer.played) in (5 * made, 5 * made - 5)


async def test_nothing_is_played_before_somebody_listens() -> None:
    stage = Stage(connected=False)
    stage.ask()
    await stage.spoken()
    stage.beat(10)
    assert stage.peer.played == []
    stage.peer.connected = True
    stage.beat()
    assert stage.peer.played == [LOUD * 480]


async def test_lost_time_is_left_out_and_sound_waits() -> None:
    stage = Stage()
    stage.ask()
    await stage.spoken()
    stage.call.beat(Beats(3, 40), 0.0)
    assert stage.peer.skipped == 40 and len(stage.peer.played) == 3


async def test_an_engine_that_speaks_for_minutes_waits() -> None:
    stage = Stage()
    stage.voice.pieces = 2 * SPEAKER_HIGH_MS // 100
    stage.ask()
    await stage.spoken(SPEAKER_HIGH_MS // 100 + 1)
    made = stage.voice.spoken
    assert made <= SPEAKER_HIGH_MS // 100 + 2
    stage.beat(400)
    for _ in range(5):
        await asyncio.sleep(0)
    assert stage.voice.spoken == made, "not for every slice that is played"
    stage.beat(200)
    for _ in range(5):
        await asyncio.sleep(0)
    assert stage.voice.spoken > made


async def test_a_client_that_does_not_read_is_left() -> None:
    stage = Stage()
    sideband = Sideband()
    stage.live.join(sideband)
    stage.peer.waiting_bytes = CHANNEL_BYTES_MAX + 1
    stage.ask()
    assert stage.peer.closed == 1 and stage.over == [stage.call]
    assert stage.live.over.is_set() and sideband.closed == (1013, "slow_consumer")


async def test_when_the_peer_goes_the_session_ends_for_everybody() -> None:
    stage = Stage()
    stage.voice.pieces = 1_000_000
    sideband = Sideband()
    stage.live.join(sideband)
    assert type(sideband.heard[0]).__name__ == "SessionCreated"
    stage.ask()
    await stage.spoken(3)
    stage.call.on_gone("left")
    kinds = [type(event).__name__ for event in sideband.heard]
    assert kinds[-1] == "ResponseDone", "its turn is counted"
    assert sideband.closed == (1000, "left")
    assert stage.live.over.is_set() and stage.peer.closed == 1
    stage.call.hang_up()
    assert stage.over == [stage.call]


async def test_a_sideband_may_speak_and_go_without_ending_the_call() -> None:
    stage = Stage()
    sideband = Sideband()
    stage.live.join(sideband)
    stage.live.post(ResponseCreate())
    await stage.spoken()
    assert "response.done" in stage.peer.kinds()
    stage.live.leave(sideband)
    assert not stage.live.over.is_set()


async def test_a_bug_ends_its_own_call() -> None:
    stage = Stage()
    stage.peer.bug = ZeroDivisionError("bug")
    stage.beat()
    assert stage.live.over.is_set() and stage.peer.closed == 1


async def test_unreadable_messages_are_answered() -> None:
    stage = Stage()
    stage.call.on_text("{")
    stage.call.on_binary()
    errors = [event["error"]["code"] for event in stage.peer.said if event["type"] == "error"]
    assert errors == ["invalid_event", "invalid_event"]


async def test_one_clock_beats_for_all() -> None:
    class Player:
        def __init__(self) -> None:
            self.beats = 0

        def beat(self, beats: Beats, now: float) -> None:
            self.beats += sum(beats)

    ticker, players = Ticker(), [Player(), Player()]
    for player in players:
        ticker.add(player)
    loop = asyncio.get_running_loop()
    began = loop.time()
    async with asyncio.timeout(10):
        while players[0].beats < 20:
            await asyncio.sleep(0.005)
    assert loop.time() - began >= 19 * 0.02 - 0.01
    ticker.remove(players[0])
    ticker.remove(players[1])
    seen = players[1].beats
    await asyncio.sleep(0.06)
    assert players[1].beats == seen and ticker._timer is None
