"""The listening service: order, batches, failures."""

import asyncio
import threading
from collections.abc import AsyncIterator, Callable, Sequence
from typing import Any

import pytest

from parley.audio.noise import NoiseReduction
from parley.audio.pcm import ms_to_bytes
from parley.audio.vad import FRAME_BYTES, FRAME_SAMPLES, Ear, Evidence, Listener, open_listener
from parley.live.listening import Hearing, Listening
from tests.speech import recordings


class Attentive:
    """A listener without a model: notes its batches, and waits where a test holds it."""

    name = "attentive"

    def __init__(self) -> None:
        self.batches: list[int] = []
        self.threads: set[str] = set()
        self.free = threading.Event()
        self.free.set()
        self.failure: Exception | None = None

    def listen(self, ears: Sequence[Ear]) -> list[tuple[Ear, list[Evidence]]]:
        self.free.wait(30)
        self.batches.append(len(ears))
        self.threads.add(threading.current_thread().name)
        taken = [
            (ear, [(upto, 0.5, upto) for upto in (ear.take()[0] for _ in range(min(ear.frames, 8)))]) for ear in ears
        ]
        if self.failure is not None:
            raise self.failure
        return taken


@pytest.fixture
def listener() -> Attentive:
    return Attentive()


@pytest.fixture
async def listening(listener: Attentive) -> AsyncIterator[Listening]:
    service = Listening(lambda: listener)
    yield service
    listener.free.set()
    await service.close()


async def until(true: Callable[[], object]) -> None:
    """Lets the loop run until something is so; the limit is for a broken build."""
    async with asyncio.timeout(30):
        while not true():
            await asyncio.sleep(0.001)


async def test_real_evidence_is_that_of_the_listener_itself() -> None:
    speech = recordings()[0].pcm[: ms_to_bytes(4_000)]
    ear = Ear()
    ear.hear(speech)
    alone = open_listener()
    wanted: list[Evidence] = []
    while news := alone.listen([ear]):
        wanted += news[0][1]
    listening = Listening()
    await listening.load()
    assert listening.name == "silero"
    told: list[Evidence] = []
    hearing = listening.attach(told.extend)
    for at in range(0, len(speech), 960):
        hearing.hear(speech[at : at + 960])
        if at % 9_600 == 0:
            await asyncio.sleep(0)
    await until(lambda: len(told) == len(wanted))
    assert told == wanted
    await listening.close()


async def test_evidence_comes_on_the_loop_in_order_for_each_ear(listening: Listening, listener: Attentive) -> None:
    told: list[list[int]] = [[] for _ in range(6)]
    callers: set[str] = set()

    def hears(number: int) -> Callable[[list[Evidence]], None]:
        def on_speech(evidence: list[Evidence]) -> None:
            callers.add(threading.current_thread().name)
            told[number] += [upto for upto, *_ in evidence]

        return on_speech

    hearings = [listening.attach(hears(number), start=number * 1_000) for number in range(6)]
    for _ in range(40):
        for hearing in hearings:
            hearing.hear(bytes(960))
        await asyncio.sleep(0.001)
    await until(lambda: all(len(uptos) == 25 for uptos in told))
    assert told == [[number * 1_000 + FRAME_SAMPLES * (n + 1) for n in range(25)] for number in range(6)]
    assert callers == {threading.current_thread().name}
    assert listener.threads == {"listening"}
    assert listening.frames == 6 * 25


async def test_what_comes_in_one_turn_of_the_loop_is_one_batch(listening: Listening, listener: Attentive) -> None:
    told: list[Evidence] = []
    for hearing in [listening.attach(told.extend) for _ in range(5)]:
        hearing.hear(bytes(FRAME_BYTES))
    await until(lambda: len(told) == 5)
    assert listener.batches == [5]


async def test_what_comes_while_the_worker_is_busy_is_the_next_batch(listening: Listening, listener: Attentive) -> None:
    listener.free.clear()
    told: list[Evidence] = []
    hearings = [listening.attach(told.extend) for _ in range(4)]
    hearings[0].hear(bytes(FRAME_BYTES))
    await asyncio.sleep(0.02)
    for hearing in hearings:
        hearing.hear(bytes(FRAME_BYTES))
        await asyncio.sleep(0.002)
    listener.free.set()
    await until(lambda: len(told) == 5)
    assert listener.batches == [1, 3], "the ear that the worker was at brought both of its frames"


async def test_with_many_talkers_a_batch_waits_for_company(listening: Listening, listener: Attentive) -> None:
    told: list[Evidence] = []
    hearings = [listening.attach(told.extend) for _ in range(40)]
    for _ in range(30):
        for part in range(8):
            for hearing in hearings[part * 5 : part * 5 + 5]:
                hearing.hear(bytes(FRAME_BYTES))
            await asyncio.sleep(0.001)
    await until(lambda: len(told) == 40 * 30)
    assert listening.frames / listening.batches > 8


async def test_an_upload_is_heard_to_its_end(listening: Listening) -> None:
    told: list[Evidence] = []
    listening.attach(told.extend).hear(bytes(FRAME_BYTES * 100 + 100))
    await until(lambda: len(told) == 100)
    assert told[-1][0] == 100 * FRAME_SAMPLES


async def test_nothing_is_said_for_half_a_frame(listening: Listening, listener: Attentive) -> None:
    listening.attach(lambda evidence: None).hear(bytes(FRAME_BYTES - 2))
    await asyncio.sleep(0.02)
    assert listener.batches == []


async def test_a_closed_hearing_is_told_nothing(listening: Listening, listener: Attentive) -> None:
    listener.free.clear()
    told: list[Evidence] = []
    others: list[Evidence] = []
    leaving, waiting, staying = (listening.attach(tell) for tell in (told.extend, told.extend, others.extend))
    leaving.hear(bytes(FRAME_BYTES))
    await asyncio.sleep(0.01)
    waiting.hear(bytes(FRAME_BYTES))
    staying.hear(bytes(FRAME_BYTES))
    leaving.close()
    waiting.close()
    listener.free.set()
    await until(lambda: others)
    assert told == []
    assert listener.batches == [1, 1], "who has left before the batch is not in it"


async def test_a_failure_of_the_listener_is_reported_and_survived(listening: Listening, listener: Attentive) -> None:
    reports: list[dict[str, Any]] = []
    asyncio.get_running_loop().set_exception_handler(lambda loop, context: reports.append(context))
    listener.failure = RuntimeError("the model is broken")
    told: list[Evidence] = []
    hearing = listening.attach(told.extend)
    hearing.hear(bytes(FRAME_BYTES))
    await until(lambda: reports)
    assert reports[0]["exception"] is listener.failure
    listener.failure = None
    hearing.hear(bytes(FRAME_BYTES))
    await until(lambda: told)
    assert [upto for upto, *_ in told] == [2 * FRAME_SAMPLES]


async def test_a_failing_session_does_not_disturb_the_others(listening: Listening) -> None:
    reports: list[dict[str, Any]] = []
    asyncio.get_running_loop().set_exception_handler(lambda loop, context: reports.append(context))

    def fail(evidence: list[Evidence]) -> None:
        raise LookupError("a bug")

    told: list[Evidence] = []
    for hearing in (listening.attach(fail), listening.attach(told.extend)):
        hearing.hear(bytes(FRAME_BYTES))
    await until(lambda: told and reports)
    assert isinstance(reports[0]["exception"], LookupError)


async def test_load_tells_what_is_wrong() -> None:
    def broken() -> Listener:
        raise OSError("no such model")

    listening = Listening(broken)
    with pytest.raises(OSError, match="no such model"):
        await listening.load()
    await listening.close()


async def test_close_ends_the_thread_and_may_come_at_any_time() -> None:
    await Listening().close()
    listening = Listening(Attentive)
    assert listening.name == "loading"
    await listening.load()
    assert any(thread.name == "listening" for thread in threading.enumerate())
    hearing: Hearing = listening.attach(lambda evidence: None)
    hearing.hear(bytes(FRAME_BYTES))
    await listening.close()
    assert not any(thread.name == "listening" for thread in threading.enumerate())


async def test_noise_reduction_reaches_the_ear(listening: Listening) -> None:
    hearing = listening.attach(lambda evidence: None, NoiseReduction("near_field"))
    assert hearing.ear.noise_reduction == NoiseReduction("near_field")
    hearing.set_noise_reduction(None)
    assert hearing.ear.noise_reduction is None
