"""What comes in: every client event, and everything that is not one."""

import base64
import json
import os
import timeit
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from parley.core import events
from parley.core.inputs import Malformed
from parley.dialects import base
from parley.dialects.base import BINARY_FRAME, Dialect
from parley.dialects.beta import BETA, BETA_UNMARKED
from parley.dialects.ga import GA
from parley.errors import ERRORS
from tests.dialects.samples import AT, EVENT_ID

DIALECTS = (GA, BETA, BETA_UNMARKED)
each_dialect = pytest.mark.parametrize("dialect", DIALECTS, ids=lambda dialect: dialect.name)

GOOD: list[tuple[dict[str, Any], events.AnyClientEvent]] = [
    ({"type": "input_audio_buffer.append", "audio": "AAE="}, events.InputAudioBufferAppend(audio=b"\x00\x01")),
    ({"type": "input_audio_buffer.append", "audio": ""}, events.InputAudioBufferAppend(audio=b"")),
    ({"type": "input_audio_buffer.commit"}, events.InputAudioBufferCommit()),
    ({"type": "input_audio_buffer.clear"}, events.InputAudioBufferClear()),
    (
        {"type": "conversation.item.create", "item": {"type": "message"}, "previous_item_id": None},
        events.ConversationItemCreate(item={"type": "message"}),
    ),
    (
        {"type": "conversation.item.create", "item": {}, "previous_item_id": "root"},
        events.ConversationItemCreate(item={}, previous_item_id="root"),
    ),
    ({"type": "conversation.item.retrieve", "item_id": "i"}, events.ConversationItemRetrieve(item_id="i")),
    (
        {"type": "conversation.item.truncate", "item_id": "i", "content_index": 0, "audio_end_ms": -1},
        events.ConversationItemTruncate(item_id="i", content_index=0, audio_end_ms=-1),
    ),
    ({"type": "conversation.item.delete", "item_id": "i"}, events.ConversationItemDelete(item_id="i")),
    ({"type": "response.create"}, events.ResponseCreate()),
    ({"type": "response.create", "response": None}, events.ResponseCreate()),
    ({"type": "response.cancel"}, events.ResponseCancel()),
    ({"type": "response.cancel", "response_id": "r"}, events.ResponseCancel(response_id="r")),
    ({"type": "output_audio_buffer.clear"}, events.OutputAudioBufferClear()),
    (
        {"type": "input_audio_buffer.commit", "event_id": "e" * 512, "previous_item_id": None, "stray": [{}]},
        events.InputAudioBufferCommit(event_id="e" * 512),
    ),
    ({"type": "input_audio_buffer.commit", "event_id": None}, events.InputAudioBufferCommit()),
]


@each_dialect
@pytest.mark.parametrize(("body", "event"), GOOD)
def test_a_client_event_is_read(dialect: Dialect, body: dict[str, Any], event: events.AnyClientEvent) -> None:
    text = json.dumps(body)
    assert dialect.decode(text) == event
    assert dialect.decode(text.encode()) == event
    assert dialect.decode(json.dumps(dict(reversed(body.items())), indent=1)) == event


DEEP = base.JSON_DEPTH_MAX + 1
LARGE = base64.b64encode(bytes(base.AUDIO_BYTES_MAX + 3)).decode()

BAD: list[tuple[str, str | bytes, str, str | None, str | None]] = [
    # what it is, the text, code, param, event_id
    ("nothing", "", "invalid_event", None, None),
    ("words", "hello", "invalid_event", None, None),
    ("half an object", '{"type":"response.create"', "invalid_event", None, None),
    ("bad UTF-8", b'{"type":"response.cancel","response_id":"\xff"}', "invalid_event", None, None),
    ("lone surrogate", '{"type":"response.cancel","response_id":"\\ud800"}', "invalid_event", None, None),
    ("byte order mark", '\ufeff{"type":"response.create"}', "invalid_event", None, None),
    ("not a number", '{"type":"response.create","response":{"x":NaN}}', "invalid_event", None, None),
    ("huge number", '{"event_id":"e","type":"response.create","response":{"x":1e999}}', "invalid_event", None, "e"),
    ("array", "[]", "invalid_event", None, None),
    ("array of events", '[{"type":"response.create","event_id":"e"}]', "invalid_event", None, None),
    ("string", '"response.create"', "invalid_event", None, None),
    ("null", "null", "invalid_event", None, None),
    ("no type", '{"event_id":"e"}', "invalid_event", None, "e"),
    ("null type", '{"type":null,"event_id":"e"}', "invalid_type", "type", "e"),
    ("number type", '{"type":7,"event_id":"e"}', "invalid_type", "type", "e"),
    ("unknown type", '{"type":"response.made","event_id":"e"}', "invalid_value", "type", "e"),
    ("server type", '{"type":"session.created","session":{},"event_id":"e"}', "invalid_value", "type", "e"),
    (
        "long event id",
        json.dumps({"type": "response.create", "event_id": "e" * 513}),
        "invalid_value",
        "event_id",
        None,
    ),
    ("number event id", '{"type":"response.create","event_id":7}', "invalid_type", "event_id", None),
    ("no session", '{"type":"session.update","event_id":"e"}', "missing_required_parameter", "session", "e"),
    ("null session", '{"type":"session.update","session":null,"event_id":"e"}', "invalid_type", "session", "e"),
    ("array session", '{"type":"session.update","session":[],"event_id":"e"}', "invalid_type", "session", "e"),
    ("no audio", '{"type":"input_audio_buffer.append","event_id":"e"}', "missing_required_parameter", "audio", "e"),
    ("null audio", '{"type":"input_audio_buffer.append","audio":null}', "invalid_type", "audio", None),
    ("list audio", '{"type":"input_audio_buffer.append","audio":[1],"event_id":"e"}', "invalid_type", "audio", "e"),
    ("not base64", '{"type":"input_audio_buffer.append","audio":"@@@@","event_id":"e"}', "invalid_value", "audio", "e"),
    ("no padding", '{"type":"input_audio_buffer.append","audio":"AAA","event_id":"e"}', "invalid_value", "audio", "e"),
    ("line break", '{"type":"input_audio_buffer.append","audio":"AA\\nAA"}', "invalid_value", "audio", None),
    ("URL alphabet", '{"type":"input_audio_buffer.append","audio":"-_-_"}', "invalid_value", "audio", None),
    ("not ASCII", '{"type":"input_audio_buffer.append","audio":"äöüß"}', "invalid_value", "audio", None),
    (
        "over 15 MiB",
        '{"type":"input_audio_buffer.append","event_id":"e","audio":"' + LARGE + '"}',
        "event_too_large",
        "audio",
        "e",
    ),
    (
        "over 21 MiB",
        '{"type":"response.create","x":"' + "x" * base.EVENT_BYTES_MAX + '","event_id":"e"}',
        "event_too_large",
        None,
        "e",
    ),
    ("no item", '{"type":"conversation.item.create","event_id":"e"}', "missing_required_parameter", "item", "e"),
    ("text item", '{"type":"conversation.item.create","item":"hi"}', "invalid_type", "item", None),
    (
        "number previous",
        '{"type":"conversation.item.create","item":{},"previous_item_id":1}',
        "invalid_type",
        "previous_item_id",
        None,
    ),
    ("no item id", '{"type":"conversation.item.retrieve"}', "missing_required_parameter", "item_id", None),
    ("null item id", '{"type":"conversation.item.delete","item_id":null}', "invalid_type", "item_id", None),
    (
        "no index",
        '{"type":"conversation.item.truncate","item_id":"i","audio_end_ms":1}',
        "missing_required_parameter",
        "content_index",
        None,
    ),
    (
        "float ms",
        '{"type":"conversation.item.truncate","item_id":"i","content_index":0,"audio_end_ms":1.5}',
        "invalid_type",
        "audio_end_ms",
        None,
    ),
    (
        "text ms",
        '{"type":"conversation.item.truncate","item_id":"i","content_index":0,"audio_end_ms":"1"}',
        "invalid_type",
        "audio_end_ms",
        None,
    ),
    (
        "true ms",
        '{"type":"conversation.item.truncate","item_id":"i","content_index":0,"audio_end_ms":true}',
        "invalid_type",
        "audio_end_ms",
        None,
    ),
    ("text response", '{"type":"response.create","response":"now","event_id":"e"}', "invalid_type", "response", "e"),
    ("number response id", '{"type":"response.cancel","response_id":1}', "invalid_type", "response_id", None),
    (
        "too deep",
        '{"type":"response.create","event_id":"e","response":{"metadata":' + "[" * DEEP + "]" * DEEP + "}}",
        "invalid_event",
        None,
        "e",
    ),
    ("bottomless", '{"event_id":"e","x":' + "[" * 500_000, "invalid_event", None, None),
    ("bottomless objects", '{"x":' * 500_000 + "1" + "}" * 500_000, "invalid_event", None, None),
]


@each_dialect
@pytest.mark.parametrize(("text", "code", "param", "event_id"), [row[1:] for row in BAD], ids=[row[0] for row in BAD])
def test_a_fault_has_its_code_its_place_and_its_event(
    dialect: Dialect, text: str | bytes, code: str, param: str | None, event_id: str | None
) -> None:
    fault = dialect.decode(text)
    assert isinstance(fault, Malformed)
    assert (fault.code, fault.param, fault.event_id) == (code, param, event_id)
    assert fault.message.endswith(".")
    assert len(fault.message) < 1_000
    assert code in ERRORS


def test_the_wording_of_the_usual_faults() -> None:
    def wording(text: str) -> str:
        fault = GA.decode(text)
        assert isinstance(fault, Malformed)
        return fault.message

    assert wording('{"event_id":"e"}') == "The 'type' field is missing."
    assert wording('{"type":"x"}').startswith(
        "Invalid value: 'x'. Supported values are: 'session.update', 'input_audio"
    )
    assert wording('{"type":"conversation.item.delete"}') == "Missing required parameter: 'item_id'."
    assert wording('{"type":"conversation.item.delete","item_id":null}') == (
        "Invalid type for 'item_id': expected a string, but got null instead."
    )
    assert wording('{"type":"input_audio_buffer.append","audio":"?"}').startswith(
        "Invalid 'audio'. Expected base64-encoded audio bytes (mono PCM16 at 24kHz"
    )


def test_the_list_of_supported_types_is_the_dialects_own() -> None:
    def listed(dialect: Dialect) -> int:
        fault = dialect.decode('{"type":"x"}')
        assert isinstance(fault, Malformed)
        return fault.message.count("'") // 2 - 1

    assert (listed(GA), listed(BETA)) == (11, 12)


@each_dialect
def test_the_largest_sound_passes(dialect: Dialect) -> None:
    sound = os.urandom(1024) * (base.AUDIO_BYTES_MAX // 1024)
    text = json.dumps({"type": "input_audio_buffer.append", "audio": base64.b64encode(sound).decode()})
    assert dialect.decode(text) == events.InputAudioBufferAppend(audio=sound)


def test_a_deep_event_passes_up_to_the_limit() -> None:
    levels = base.JSON_DEPTH_MAX - 1  # `response` itself is one
    text = '{"type":"response.create","response":{"x":' + "[" * levels + "]" * levels + "}}"
    assert isinstance(GA.decode(text), events.ResponseCreate)


def test_a_binary_frame_is_an_error_like_any_other() -> None:
    assert BINARY_FRAME.code in ERRORS
    assert "text message" in BINARY_FRAME.message


# ---- anything at all

TYPES = [*(body["type"] for body, _ in GOOD), "session.update", "transcription_session.update", "error", ""]
KEYS = [
    *(
        "type",
        "event_id",
        "session",
        "item",
        "response",
        "audio",
        "item_id",
        "content_index",
        "audio_end_ms",
        "content",
    ),
    *("role", "modalities", "voice", "turn_detection", "tool_choice", "input_audio_format", "input", "temperature"),
    *("input_audio_transcription", "max_output_tokens", "text", "previous_item_id", "response_id", "idle_timeout_ms"),
]
json_values = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats() | st.text() | st.sampled_from(TYPES),
    lambda inner: st.lists(inner, max_size=4) | st.dictionaries(st.sampled_from(KEYS) | st.text(), inner, max_size=4),
    max_leaves=12,
)
like_events = st.dictionaries(st.sampled_from(KEYS), json_values, max_size=5).flatmap(
    lambda body: st.sampled_from(TYPES).map(lambda name: {**body, "type": name})
)


def check_any(dialect: Dialect, raw: str | bytes) -> None:
    event = dialect.decode(raw)
    assert isinstance(event, events.ClientEvent | Malformed)
    if isinstance(event, Malformed):
        assert event.code in ERRORS
        assert event.event_id is None or len(event.event_id) <= 512


@settings(deadline=None)
@given(raw=st.binary() | st.text(st.characters()))
def test_no_bytes_raise(raw: bytes | str) -> None:
    for dialect in DIALECTS:
        check_any(dialect, raw)


@settings(deadline=None)
@given(value=json_values | like_events)
def test_no_json_raises(value: Any) -> None:
    for dialect in DIALECTS:
        check_any(dialect, json.dumps(value))


@settings(deadline=None)
@given(body=like_events, event_id=st.text(max_size=20))
def test_a_fault_names_the_event_whenever_it_can(body: dict[str, Any], event_id: str) -> None:
    text = json.dumps({**body, "event_id": event_id}, allow_nan=False, ensure_ascii=False) if _sane(body) else "{}"
    for dialect in DIALECTS:
        event = dialect.decode(text)
        if text != "{}":
            assert event.event_id == event_id


def _sane(value: Any) -> bool:
    """Whether JSON can say it."""
    try:
        json.dumps(value, allow_nan=False, ensure_ascii=False).encode()
    except ValueError:
        return False
    return True


# ---- how fast

RUNS = 20_000


def measured() -> dict[str, float]:
    """Microseconds per call on the two hot paths. Run this file to see them."""
    append = json.dumps({"type": "input_audio_buffer.append", "audio": base64.b64encode(os.urandom(960)).decode()})
    sound = os.urandom(4_800)
    delta = events.OutputAudioDelta(**AT, delta=sound, format="audio/pcm")
    words = events.OutputAudioTranscriptDelta(**AT, delta="hello")
    calls = {
        "decode a 20 ms append": lambda: GA.decode(append),
        "decode a 20 ms append, beta": lambda: BETA.decode(append),
        "encode a 100 ms delta": lambda: GA.encode_audio(delta, sound, EVENT_ID),
        "encode a word": lambda: GA.encode(words, EVENT_ID),
        "encode a word, beta": lambda: BETA.encode(words, EVENT_ID),
    }
    return {name: min(timeit.repeat(call, number=RUNS, repeat=3)) / RUNS * 1e6 for name, call in calls.items()}


def test_the_hot_paths_are_not_ten_times_slower_than_they_were() -> None:
    figures = measured()
    assert figures["decode a 20 ms append"] < 20
    assert figures["encode a 100 ms delta"] < 10


if __name__ == "__main__":
    for name, figure_us in measured().items():
        print(f"{name:<30} {figure_us:6.2f} µs")
