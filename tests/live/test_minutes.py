"""A transcript, from the events of a session."""

from typing import Any

import pytest

from parley.core import events as e
from parley.core.items import FunctionCallOutput, InputText, Message, OutputText
from parley.live import minutes as minutes_module
from parley.live.minutes import Minutes
from parley.live.timeline import Timeline

SECOND = bytes(48_000)
AT: dict[str, Any] = {"response_id": "resp_1", "item_id": "item_2", "output_index": 0, "content_index": 0}


class Talk:
    """A session, with a clock that is told the time."""

    def __init__(self) -> None:
        self.now = 0.0
        self.timeline = Timeline(0.0)
        self.minutes = Minutes(self.timeline)

    def hear(self, seconds: int) -> None:
        for _ in range(seconds):
            self.now += 1
            self.minutes.hears()
            self.timeline.hear(SECOND, self.now)

    def note(self, *events: e.AnyServerEvent) -> None:
        for event in events:
            self.minutes.note(event, self.now)

    def answer(self, *pieces: str) -> None:
        """Two seconds of sound for each."""
        for text in pieces:
            self.note(e.OutputAudioTranscriptDelta(delta=text, **AT))
            for _ in range(2):
                at = self.timeline.say("item_2", "resp_1", SECOND, self.now)
                self.note(e.OutputAudioDelta(delta=SECOND, format="audio/pcm", **AT))
                self.minutes.plays("item_2", at, 24_000)

    def told(self) -> list[dict[str, Any]]:
        defaults = minutes_module.Line(id="", role="user")
        return [
            {
                name: value
                for name in line.__struct_fields__
                if (value := getattr(line, name)) != getattr(defaults, name)
            }
            for line in self.minutes.lines
        ]


@pytest.fixture
def talk() -> Talk:
    return Talk()


def words(item: str, text: str) -> e.TranscriptionCompleted:
    return e.TranscriptionCompleted(item_id=item, content_index=0, transcript=text, usage={})


def test_a_spoken_turn(talk: Talk) -> None:
    talk.hear(4)
    talk.note(
        e.SpeechStarted(audio_start_ms=1_000, item_id="item_1"),
        e.SpeechStopped(audio_end_ms=3_000, item_id="item_1"),
        e.InputAudioBufferCommitted(item_id="item_1", previous_item_id=None),
        words("item_1", "Hello?"),
    )
    talk.answer("Good day.")
    asked, answered = talk.told()
    assert asked == {"id": "item_1", "start_ms": 1_000, "end_ms": 3_000, "text": "Hello?", "spoken": True}
    assert answered["role"] == "assistant" and (answered["start_ms"], answered["end_ms"]) == (4_000, 6_000)


def test_push_to_talk_has_all_of_its_sound(talk: Talk) -> None:
    talk.hear(2)
    talk.note(e.InputAudioBufferCommitted(item_id="item_1", previous_item_id=None))
    talk.now += 30
    talk.hear(3)
    talk.note(e.InputAudioBufferCommitted(item_id="item_3", previous_item_id=None))
    first, second = talk.told()
    assert (first["end_ms"], second["end_ms"]) == (2_000, 35_000)
    assert second["start_ms"] >= 2_000


def test_of_an_interrupted_answer_what_was_heard(talk: Talk) -> None:
    talk.answer("One two three four. ", "Five six seven eight.")
    talk.note(e.ItemTruncated(item_id="item_2", content_index=0, audio_end_ms=1_000))
    [line] = talk.told()
    assert line["text"] == "One two three four. Five six seven eight."
    assert line["heard"] == "One two" and line["end_ms"] == 1_000


def test_text_and_tools(talk: Talk) -> None:
    talk.now = 1.5
    typed = Message(role="user", content=(InputText(text="What is it?"),), id="item_1")
    history = Message(role="assistant", content=(OutputText(text="from before"),), id="item_0")
    talk.note(
        e.ItemAdded(previous_item_id=None, item=history),
        e.ItemAdded(previous_item_id=None, item=typed),
        e.FunctionCallArgumentsDone(
            response_id="r", item_id="item_2", output_index=0, call_id="c", name="look", arguments="{}"
        ),
        e.ItemAdded(previous_item_id=None, item=FunctionCallOutput(call_id="c", output="42")),
        e.OutputTextDelta(response_id="r", item_id="item_3", output_index=0, content_index=0, delta="It is "),
        e.OutputTextDelta(response_id="r", item_id="item_3", output_index=0, content_index=0, delta="42."),
    )
    here = {"start_ms": 1_500, "end_ms": 1_500}
    assert talk.told() == [
        {"id": "item_1", "text": "What is it?", **here},
        {"id": "item_2", "role": "tool", "name": "look", "text": "{}", "output": "42", **here},
        {"id": "item_3", "role": "assistant", "text": "It is 42.", **here},
    ]


def test_what_could_not_be_understood(talk: Talk) -> None:
    talk.hear(1)
    talk.note(
        e.InputAudioBufferCommitted(item_id="item_1", previous_item_id=None),
        e.TranscriptionFailed(item_id="item_1", content_index=0, error={"code": "x"}),
    )
    assert talk.told()[0]["failed"]


def test_it_is_bounded(talk: Talk, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(minutes_module, "LINES_MAX", 2)
    monkeypatch.setattr(minutes_module, "CHARS_MAX", 10)
    talk.note(words("item_1", "123456"), words("item_2", "123456"), words("item_3", "x"))
    assert [line["text"] for line in talk.told()] == ["123456", "1234"]
    assert talk.minutes.incomplete
