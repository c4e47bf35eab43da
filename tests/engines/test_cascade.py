"""The cascade over scripted backends: what is streamed, in which order, and what stops when."""

import asyncio
from collections.abc import AsyncIterator, Callable
from typing import Any

import pytest

from parley.core.config import Pcmu, Transcription
from parley.core.effects import Audio, End, Generate, Message, Transcribe, Work
from parley.core.effects import Peek as PeekMessage
from parley.core.inputs import AnyInput, Called, Ended, Generated, Said, Spoke, Transcribed
from parley.core.inputs import Thought as ThoughtInput
from parley.engines.base import CallDelta, Finished, Peek, Prompt, Thought, Transcript, TranscriptionRequest, Words
from parley.engines.cascade import THOUGHT_CHARS, Cascade
from parley.errors import EngineError

Step = Words | Thought | CallDelta | Finished | Exception | asyncio.Event


class Ear:
    """Speech to text: says how many bytes it heard."""

    peeks = True

    def __init__(self) -> None:
        self.request: TranscriptionRequest | None = None
        self.stopped = False

    async def transcribe(
        self, audio: AsyncIterator[bytes | Peek], request: TranscriptionRequest
    ) -> AsyncIterator[Transcript]:
        self.request = request
        size = 0
        try:
            async for sound in audio:
                if isinstance(sound, Peek):
                    yield Transcript(text=str(size), final=False, peeked=True, heard_bytes=size)
                else:
                    size += len(sound)
            yield Transcript(text=f"{size} bytes", final=True, heard_bytes=size, language="en")
        finally:
            self.stopped = True


class Mind:
    """A language model that says what it was told to; an event is waited for."""

    def __init__(self, *thoughts: Step) -> None:
        self.thoughts = thoughts
        self.prompt: Prompt | None = None
        self.stopped = False

    async def generate(self, prompt: Prompt) -> AsyncIterator[Words | Thought | CallDelta | Finished]:
        self.prompt = prompt
        try:
            for thought in self.thoughts:
                if isinstance(thought, asyncio.Event):
                    await thought.wait()
                elif isinstance(thought, Exception):
                    raise thought
                else:
                    yield thought
        finally:
            self.stopped = True


class Mouth:
    """Text to speech: two chunks for each piece. `hold` keeps back the sound of the pieces it names."""

    def __init__(self, hold: dict[str, asyncio.Event] | None = None, failing: str = "") -> None:
        self.hold = hold or {}
        self.failing = failing
        self.begun: list[str] = []
        self.ended: list[str] = []

    async def speak(self, text: str, voice: str, speed: float) -> AsyncIterator[bytes]:
        self.begun.append(text)
        try:
            if text in self.hold:
                await self.hold[text].wait()
            if text == self.failing:
                raise EngineError("backend_refused", "no")
            yield f"{text}|{voice}|{speed}|1".encode()
            yield f"{text}|{voice}|{speed}|2".encode()
        finally:
            self.ended.append(text)


class Letters:
    """A mailbox with everything in it; it stays open."""

    def __init__(self, *messages: Message) -> None:
        self._messages = list(messages)

    def __aiter__(self) -> "Letters":
        return self

    async def __anext__(self) -> Message:
        if not self._messages:
            await asyncio.Event().wait()
        return self._messages.pop(0)


def written(*, spoken: bool = False, voice: str = "marin", speed: float = 1.0) -> Generate:
    return Generate(work_id="w", model="m", instructions="", items=(), spoken=spoken, voice=voice, speed=speed)


def spoken(*, voice: str = "marin", speed: float = 1.0) -> Generate:
    return written(spoken=True, voice=voice, speed=speed)


async def run(cascade: Cascade, work: Work, *letters: Message) -> list[AnyInput]:
    return [event async for event in cascade.run(work, Letters(*letters))]


async def until(condition: Callable[[], bool]) -> None:
    for _ in range(100):
        if condition():
            return
        await asyncio.sleep(0)
    raise AssertionError("it never happened")


STOP = Finished(reason="stop")


# ---- hearing


async def test_sound_peeks_and_the_last_word() -> None:
    ear = Ear()
    config = Transcription(model="whisper-1", language="en", keywords=("Parley",))
    work = Transcribe(work_id="w", item_id="i", config=config, partials=True)
    events = await run(Cascade(ear, Mind(), Mouth()), work, Audio(pcm=b"abcd"), PeekMessage(), Audio(pcm=b"ef"), End())
    assert events == [
        Transcribed(work_id="w", text="4", final=False, peeked=True, heard_bytes=4),
        Transcribed(work_id="w", text="6 bytes", final=True, heard_bytes=6, language="en"),
    ]
    assert ear.request == TranscriptionRequest(model="whisper-1", language="en", keywords=("Parley",), partials=True)


async def test_sound_in_another_format_is_brought_into_the_house() -> None:
    work = Transcribe(work_id="w", item_id="i", config=Transcription(), partials=False, format=Pcmu())
    events = await run(Cascade(Ear(), Mind(), Mouth()), work, Audio(pcm=b"\xff" * 800), End())
    last = events[-1]
    assert isinstance(last, Transcribed)
    assert abs(last.heard_bytes - 800 * 6) < 200


async def test_closing_stops_the_listening() -> None:
    ear = Ear()
    running = Cascade(ear, Mind(), Mouth()).run(
        Transcribe(work_id="w", item_id="i", config=Transcription(), partials=True),
        Letters(Audio(pcm=b"ab"), PeekMessage()),
    )
    await anext(running)
    await running.aclose()
    assert ear.stopped


# ---- writing


async def test_text_streams_as_it_comes() -> None:
    mind = Mind(Words(text="\n"), Words(text="Hel"), Words(text="lo "), Words(text="there"), STOP)
    assert await run(Cascade(Ear(), mind, Mouth()), written()) == [
        Said(work_id="w", output=0, text="Hel"),
        Said(work_id="w", output=0, text="lo "),
        Said(work_id="w", output=0, text="there"),
        Ended(work_id="w", output=0),
        Generated(work_id="w", reason="stop"),
    ]
    assert mind.prompt is not None
    assert not mind.prompt.spoken


async def test_calls_stream_beside_text_and_text_after_them_is_new() -> None:
    mind = Mind(
        Words(text="Well."),
        CallDelta(index=0, call_id="call_1", name="f", arguments="{"),
        CallDelta(index=1, name="g", arguments="{}"),
        CallDelta(index=0, arguments="}"),
        Words(text="Done."),
        Finished(reason="tool_calls"),
    )
    assert await run(Cascade(Ear(), mind, Mouth()), written()) == [
        Said(work_id="w", output=0, text="Well."),
        Ended(work_id="w", output=0, preamble=True),
        Called(work_id="w", output=1, name="f", call_id="call_1", arguments="{"),
        Called(work_id="w", output=2, name="g", call_id=None, arguments="{}"),
        Called(work_id="w", output=1, arguments="}"),
        Said(work_id="w", output=3, text="Done."),
        Ended(work_id="w", output=3),
        Ended(work_id="w", output=1),
        Ended(work_id="w", output=2),
        Generated(work_id="w", reason="stop"),
    ]


@pytest.mark.parametrize("work", [written(), spoken()])
@pytest.mark.parametrize("reason", ["length", "content_filter"])
async def test_why_it_ended(work: Generate, reason: Any) -> None:
    events = await run(Cascade(Ear(), Mind(Words(text="So."), Finished(reason=reason)), Mouth()), work)
    assert events[-1] == Generated(work_id="w", reason=reason)


@pytest.mark.parametrize("work", [written(), spoken()])
async def test_nothing_to_say(work: Generate) -> None:
    events = await run(Cascade(Ear(), Mind(Words(text=" \n"), STOP), Mouth()), work)
    assert events == [Generated(work_id="w", reason="stop")]


@pytest.mark.parametrize("work", [written(), spoken()])
async def test_thoughts_are_told_in_lumps_and_are_no_words(work: Generate) -> None:
    lump = "h" * (THOUGHT_CHARS - 1)
    finished = Finished(reason="stop", reasoning_tokens=9)
    mind = Mind(Thought(text=lump), Thought(text="m"), Words(text="So."), Thought(text="Hm"), finished)
    events = await run(Cascade(Ear(), mind, Mouth()), work)
    assert [event.text for event in events if isinstance(event, ThoughtInput)] == [lump + "m", "Hm"]
    assert [event.text for event in events if isinstance(event, Said)] == ["So."]
    assert events[-1] == Generated(work_id="w", reasoning_tokens=9)


async def test_a_spoken_message_ahead_of_a_call_is_a_preamble() -> None:
    call = CallDelta(index=0, call_id="c", name="f", arguments="{}")
    mind = Mind(Words(text="I'll look."), call, Words(text="Done."), Finished(reason="tool_calls"))
    events = await run(Cascade(Ear(), mind, Mouth()), spoken())
    ended = {event.output: event.preamble for event in events if isinstance(event, Ended)}
    assert ended == {0: True, 1: False, 2: False}


# ---- speaking


def told(events: list[AnyInput]) -> list[str]:
    """Text in quotes, sound by its words, the rest by name."""
    lines = []
    for event in events:
        match event:
            case Said():
                lines.append(f"{event.output} {event.text!r}")
            case Spoke():
                lines.append(f"{event.output} {event.pcm.decode()}")
            case Called():
                lines.append(f"{event.output} {event.name or ''}{event.arguments}")
            case Ended():
                lines.append(f"{event.output} ended")
            case _:
                lines.append(type(event).__name__)
    return lines


async def test_each_piece_is_said_right_before_its_sound() -> None:
    mind = Mind(Words(text="One is"), Words(text=" here. Two"), Words(text=" is there."), STOP)
    events = await run(Cascade(Ear(), mind, Mouth()), spoken(voice="coral", speed=1.5))
    assert told(events) == [
        "0 'One is here.'",
        "0 One is here.|coral|1.5|1",
        "0 One is here.|coral|1.5|2",
        "0 ' Two is there.'",
        "0 Two is there.|coral|1.5|1",
        "0 Two is there.|coral|1.5|2",
        "0 ended",
        "Generated",
    ]


async def test_the_first_piece_is_spoken_while_the_model_goes_on_thinking() -> None:
    mouth = Mouth()
    more = asyncio.Event()
    running = Cascade(Ear(), Mind(Words(text="One is here."), more, STOP), mouth).run(spoken(), Letters())
    assert told([await anext(running) for _ in range(3)])[-1] == "0 One is here.|marin|1.0|2"
    more.set()
    assert told([event async for event in running]) == ["0 ended", "Generated"]


async def test_one_piece_is_made_ahead_and_the_order_is_kept() -> None:
    hold = {"One is here.": asyncio.Event()}
    mouth = Mouth(hold)
    sentences = "One is here. Two is there. Three is nowhere to be seen today. Four is the last one of them all."
    running = Cascade(Ear(), Mind(Words(text=sentences), STOP), mouth).run(spoken(), Letters())
    first = asyncio.ensure_future(anext(running))
    await until(lambda: len(mouth.ended) == 1)
    assert mouth.begun == ["One is here.", "Two is there."]  # and no third, before the first has passed
    hold["One is here."].set()
    events = [await first] + [event async for event in running]
    assert [line for line in told(events) if line.endswith("1")] == [
        "0 One is here.|marin|1.0|1",
        "0 Two is there.|marin|1.0|1",
        "0 Three is nowhere to be seen today.|marin|1.0|1",
        "0 Four is the last one of them all.|marin|1.0|1",
    ]


async def test_a_call_does_not_wait_for_the_speech_before_it() -> None:
    hold = {"Let me see": asyncio.Event()}
    mind = Mind(Words(text="Let me see"), CallDelta(index=0, name="look", arguments="{}"), STOP)
    running = Cascade(Ear(), mind, Mouth(hold)).run(spoken(), Letters())
    assert told([await anext(running) for _ in range(2)]) == ["1 look{}", "1 ended"]
    hold["Let me see"].set()
    assert told([event async for event in running]) == [
        "0 'Let me see'",
        "0 Let me see|marin|1.0|1",
        "0 Let me see|marin|1.0|2",
        "0 ended",
        "Generated",
    ]


async def test_speech_after_a_call_is_an_output_of_its_own() -> None:
    mind = Mind(Words(text="First."), CallDelta(index=0, name="f"), Words(text="Then."), STOP)
    lines = told(await run(Cascade(Ear(), mind, Mouth()), spoken()))
    assert [line for line in lines if "|" not in line and "'" not in line and not line.startswith("1")] == [
        "0 ended",
        "2 ended",
        "Generated",
    ]
    assert lines.index("0 ended") < lines.index("2 'Then.'")


async def test_a_model_that_fails_fails_the_work() -> None:
    for work in (written(), spoken()):
        cascade = Cascade(Ear(), Mind(Words(text="One is"), EngineError("backend_timeout", "slow")), Mouth())
        with pytest.raises(EngineError) as caught:
            await run(cascade, work)
        assert caught.value.code == "backend_timeout"


async def test_a_voice_that_fails_fails_the_work_after_what_was_said() -> None:
    mind = Mind(Words(text="One is here. Two is there."), STOP)
    events: list[AnyInput] = []
    with pytest.raises(EngineError) as caught:
        async for event in Cascade(Ear(), mind, Mouth(failing="Two is there.")).run(spoken(), Letters()):
            events.append(event)
    assert caught.value.code == "backend_refused"
    assert told(events)[0] == "0 'One is here.'"
    assert "0 ' Two is there.'" not in told(events)


async def test_closing_stops_mind_and_mouth_before_it_returns() -> None:
    mind = Mind(Words(text="One is here. Two is there."), asyncio.Event())
    mouth = Mouth({"One is here.": asyncio.Event(), "Two is there.": asyncio.Event()})
    running = Cascade(Ear(), mind, mouth).run(spoken(), Letters())
    first = asyncio.ensure_future(anext(running))
    await until(lambda: len(mouth.begun) == 2)
    first.cancel()
    with pytest.raises(asyncio.CancelledError):
        await first
    await running.aclose()
    assert mind.stopped
    assert sorted(mouth.ended) == ["One is here.", "Two is there."]


async def test_a_slow_client_slows_the_backends() -> None:
    mouth = Mouth()
    text = "".join(f"Sentence number {number} is of some considerable length, is it not? " for number in range(60))
    running = Cascade(Ear(), Mind(Words(text=text), STOP), mouth).run(spoken(), Letters())
    await anext(running)
    for _ in range(200):
        await asyncio.sleep(0)
    assert len(mouth.begun) < 20
    await running.aclose()
