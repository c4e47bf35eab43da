"""The events channel: nothing lost before it opens, few messages, none too long."""

import json
from typing import Any

import msgspec
import pytest

from parley.core.events import (
    AnyServerEvent,
    Error,
    ErrorBody,
    InputAudioBufferCleared,
    ItemAdded,
    ItemRetrieved,
    OutputAudioTranscriptDelta,
    OutputTextDelta,
    SessionUpdated,
    TranscriptionDelta,
)
from parley.core.items import InputAudio, InputImage, InputText, Message
from parley.dialects.beta import BETA
from parley.dialects.ga import GA
from parley.transports.rtc.events import MERGE_S, WAITING_BYTES_MAX, Events, shortened

LIMIT = 262_144


class Channel:
    def __init__(self, limit: int = LIMIT, dialect: Any = GA, *, is_open: bool = True) -> None:
        self.messages: list[str] = []
        self.events = Events(dialect, limit, self.messages.append)
        if is_open:
            self.events.open()

    @property
    def said(self) -> list[dict[str, Any]]:
        return [json.loads(message) for message in self.messages]

    def say(self, event: AnyServerEvent, now: float = 0.0) -> None:
        self.events.say(event, now)


def words(text: str, item: str = "item_1") -> OutputAudioTranscriptDelta:
    return OutputAudioTranscriptDelta(response_id="r1", item_id=item, output_index=0, content_index=0, delta=text)


def test_what_is_said_before_the_channel_opens_waits() -> None:
    channel = Channel(is_open=False)
    channel.say(InputAudioBufferCleared())
    channel.say(words("Hello"), 0.0)
    assert channel.messages == []
    channel.events.open()
    channel.say(InputAudioBufferCleared())
    assert [each["type"] for each in channel.said] == [
        "input_audio_buffer.cleared", "response.output_audio_transcript.delta", "input_audio_buffer.cleared",
    ]  # fmt: skip
    assert len({each["event_id"] for each in channel.said}) == 3


def test_a_channel_that_never_opens_costs_no_more_than_so_much() -> None:
    channel = Channel(is_open=False)
    error = Error(error=ErrorBody(type="x", code=None, message="m" * 10_000))
    for _ in range(WAITING_BYTES_MAX // 10_000 + 2):
        channel.say(error)
    channel.events.open()
    assert channel.messages == [], "given up"
    channel.say(error)
    assert len(channel.messages) == 1


def test_without_a_channel_nothing_is_said() -> None:
    channel = Channel(0, is_open=False)
    channel.say(InputAudioBufferCleared())
    channel.events.open()
    assert channel.messages == []


def test_deltas_are_said_together_ten_times_a_second() -> None:
    channel = Channel()
    text = [f"word{at} " for at in range(200)]
    for at, word in enumerate(text):
        channel.say(words(word), at * 0.01)
        channel.events.beat(at * 0.01)
    channel.events.flush()
    assert "".join(each["delta"] for each in channel.said) == "".join(text)
    assert len(channel.messages) <= 2 / MERGE_S + 1
    assert channel.said[0]["delta"] == "word0 ", "the first one waits for nothing"


def test_other_events_do_not_overtake_deltas() -> None:
    channel = Channel()
    channel.say(words("a"), 0.0)
    channel.say(words("b"), 0.01)
    channel.say(words("x", "item_2"), 0.02)
    channel.say(words("c"), 0.03)
    channel.say(InputAudioBufferCleared(), 0.04)
    assert [(each["type"].rpartition(".")[2], each.get("delta")) for each in channel.said] == [
        ("delta", "a"), ("delta", "bc"), ("delta", "x"), ("cleared", None),
    ]  # fmt: skip


def test_deltas_of_different_kinds_are_kept_apart() -> None:
    channel = Channel()
    channel.say(words("a"), 0.0)
    place = {"response_id": "r1", "item_id": "item_1", "output_index": 0, "content_index": 0}
    channel.say(OutputTextDelta(**place, delta="t"), 0.01)  # type: ignore[arg-type]
    channel.say(words("b"), 0.02)
    channel.say(TranscriptionDelta(item_id="item_1", content_index=0, delta="u"), 0.02)
    channel.events.beat(MERGE_S)
    assert sorted(each["delta"] for each in channel.said) == ["a", "b", "t", "u"]


def test_deltas_with_probabilities_stay_as_they_are() -> None:
    channel = Channel()
    for _ in range(3):
        channel.say(TranscriptionDelta(item_id="i", content_index=0, delta="u", logprobs=()), 0.0)
    assert len(channel.messages) == 3


def test_the_dialect_of_the_call_is_spoken() -> None:
    channel = Channel(dialect=BETA)
    channel.say(words("a"), 0.0)
    assert channel.said[0]["type"] == "response.audio_transcript.delta"


def test_a_retrieved_item_comes_without_its_sound_if_that_is_too_long() -> None:
    def item(sound: bytes) -> Message:
        return Message(id="i", role="user", status="completed", content=(InputAudio(audio=sound, transcript="hi"),))

    channel = Channel()
    channel.say(ItemRetrieved(item=item(bytes(750))))
    channel.say(ItemRetrieved(item=item(bytes(300_000))))
    short, long = (each["item"]["content"][0] for each in channel.said)
    assert short["audio"] == "A" * 1_000
    assert "audio" not in long and long["transcript"] == "hi"


def test_an_image_is_not_sent_back() -> None:
    parts = (InputImage(image_url="data:image/png;base64," + "A" * 300_000), InputText(text="look"))
    channel = Channel()
    channel.say(ItemAdded(previous_item_id=None, item=Message(id="i", role="user", content=parts)))
    (event,) = channel.said
    assert event["item"]["content"][1]["text"] == "look" and len(channel.messages[0]) < 1_000


@pytest.mark.parametrize("limit", [LIMIT, 65_536, 2_000, 200])
def test_whatever_is_too_long_is_cut_to_fit(limit: int) -> None:
    channel = Channel(limit)
    session = {"type": "realtime", "instructions": "ü" * 300_000, "tools": [{"description": "d" * 9_000}] * 50}
    channel.say(SessionUpdated(session=session))
    (message,) = channel.messages
    assert len(message.encode()) <= limit
    assert channel.said[0]["type"] == "session.updated"


def test_cutting_keeps_as_much_as_fits() -> None:
    event = {"type": "t", "event_id": "e", "text": "x" * 300_000, "kept": "y" * 10_000}
    cut = json.loads(shortened(msgspec.json.encode(event), LIMIT))
    assert len(cut["text"]) == 16_384 and cut["text"].endswith("…") and cut["kept"] == "y" * 10_000


# ---- what an upstream says


def delta(text: str, kind: str = "response.output_audio_transcript.delta", **more: Any) -> dict[str, Any]:
    place = {"response_id": "r1", "item_id": "item_1", "output_index": 0, "content_index": 0}
    return {"type": kind, "event_id": f"event_{text}", **place, "delta": text, **more}


def test_an_upstreams_events_pass_whole_and_its_deltas_are_merged() -> None:
    channel = Channel()
    channel.events.pass_on(delta("One "), 0.0)
    channel.events.pass_on(delta("two "), MERGE_S / 4)
    channel.events.pass_on(delta("three "), MERGE_S / 2)
    channel.events.pass_on({"type": "nobody.knows", "event_id": "e", "deep": [{"x": 1}]}, MERGE_S / 2)
    assert [each.get("delta") for each in channel.said] == ["One ", "two three ", None]
    assert channel.said[-1] == {"type": "nobody.knows", "event_id": "e", "deep": [{"x": 1}]}


def test_deltas_with_probabilities_are_not_merged() -> None:
    channel = Channel()
    kind = "conversation.item.input_audio_transcription.delta"
    for text in ("One ", "two "):
        channel.events.pass_on(delta(text, kind, logprobs=[{"token": text, "logprob": -1.0, "bytes": []}]), 0.0)
    assert [each["delta"] for each in channel.said] == ["One ", "two "]


def test_an_upstreams_events_in_beta() -> None:
    channel = Channel(dialect=BETA)
    channel.events.pass_on(delta("One "), 0.0)
    channel.events.pass_on({"type": "conversation.item.done", "event_id": "e", "item": {}}, 0.0)
    assert [each["type"] for each in channel.said] == ["response.audio_transcript.delta"]
