"""What can be told of an event without parsing it, and that it is never told wrongly."""

import json
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from parley.dialects.peek import append_chars, delta_chars, kind

NEEDLE = b'"resp_1"'
DELTA: dict[str, Any] = {
    "type": "response.output_audio.delta",
    "event_id": "event_1",
    "response_id": "resp_1",
    "item_id": "item_1",
    "output_index": 0,
    "content_index": 0,
    "delta": "AAAA",
}
TIGHT = (",", ":")

scalars = st.none() | st.booleans() | st.integers() | st.floats(allow_nan=False, allow_infinity=False) | st.text()
values = st.recursive(scalars, lambda inner: st.lists(inner) | st.dictionaries(st.text(), inner), max_leaves=5)
keys = st.sampled_from(["type", "event_id", "audio", "delta", "session", '"type"', "x"]) | st.text()
events = st.dictionaries(keys, values).map(lambda body: {"type": "append", **body})
separators = st.sampled_from([TIGHT, (", ", ": "), (" ,\n", " : ")])


@given(events, separators, st.randoms(), st.booleans())
def test_the_type_is_the_objects_own_or_not_known(
    body: dict[str, Any], separators: tuple[str, str], random: Any, ascii_only: bool
) -> None:
    members = list(body.items())
    random.shuffle(members)
    raw = json.dumps(dict(members), separators=separators, ensure_ascii=ascii_only).encode()
    assert kind(raw) in (None, body["type"] if isinstance(body["type"], str) else None)


@pytest.mark.parametrize(
    ("raw", "expected"),
    [
        (b'{"type":"a.b"}', "a.b"),
        (b' \n{ "event_id" : "e" , "n": -1.5e3, "x": null, "type" : "a.b" }', "a.b"),
        (b'{"session":{"type":"realtime"},"type":"session.update"}', None),
        (b'{"x":"\\"type\\":\\"y\\"","type":"a"}', None),
        (b'{"x":["type"],"type":"a"}', None),
        (b'[{"type":"a"}]', None),
        (b'{"type":7}', None),
        (b"", None),
    ],
)
def test_types(raw: bytes, expected: str | None) -> None:
    assert kind(raw) == expected


@pytest.mark.parametrize(
    ("raw", "chars"),
    [
        (b'{"type":"input_audio_buffer.append","audio":"AAAA"}', 4),
        (b'{"type": "input_audio_buffer.append", "audio": ""}', 0),
        (b'{"event_id":"e","type":"input_audio_buffer.append","audio":"AAAA" }\n', 4),
        (b'{"type":"input_audio_buffer.append","event_id":"e","audio":"AAAA"}', 4),
        (b'{"audio":"AAAA","type":"input_audio_buffer.append"}', -1),
        (b'{"type":"input_audio_buffer.append","audio":"AAAA","type":"response.create"}', -1),
        (b'{"type":"input_audio_buffer.append","audio":"AAAA"', -1),
        (b'{"type":"input_audio_buffer.append","audio":"AA\\"}', -1),
        (b'{"type":"input_audio_buffer.append","audio":7}', -1),
        (b'{"type":"input_audio_buffer.commit"}', -1),
    ],
)
def test_appends(raw: bytes, chars: int) -> None:
    assert append_chars(raw) == chars


@given(events, separators)
def test_nothing_else_is_taken_for_an_append(body: dict[str, Any], separators: tuple[str, str]) -> None:
    body = {"type": "input_audio_buffer.append", **body}
    raw = json.dumps(body, separators=separators).encode()
    chars = append_chars(raw)
    if chars >= 0:
        assert set(body) <= {"type", "event_id", "audio"}
        assert len(body["audio"]) == chars


def test_deltas() -> None:
    raw = json.dumps(DELTA, separators=TIGHT).encode()
    assert delta_chars(raw, NEEDLE) == 4
    assert delta_chars(raw.replace(b"output_audio", b"audio"), NEEDLE) == 4
    assert delta_chars(raw.replace(b"}", b',"more":"x"}'), NEEDLE) == 4
    assert delta_chars(raw, b'"resp_2"') == -1
    assert delta_chars(raw.replace(b"audio.delta", b"text.delta"), NEEDLE) == -1
    assert delta_chars(json.dumps(DELTA).encode(), NEEDLE) == -1
    assert delta_chars(json.dumps({**DELTA, "delta": None}, separators=TIGHT).encode(), NEEDLE) == -1
    late = {"type": DELTA["type"], "delta": "AAAA", "response_id": "resp_1"}
    assert delta_chars(json.dumps(late, separators=TIGHT).encode(), NEEDLE) == -1
