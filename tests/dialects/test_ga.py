"""GA: every server event as the SDK expects it, and the one field that GA does not have."""

import json
from typing import get_args

import pytest

from parley.core import events
from parley.core.inputs import Malformed
from parley.dialects.base import Dialect
from parley.dialects.beta import BETA
from parley.dialects.ga import GA
from tests.dialects.samples import AT, EVENT_ID, KEY, MCP, MCP_AMONG_OTHERS, OURS, SAMPLES
from tests.oracle import check_ga


def test_there_is_a_sample_of_every_server_event() -> None:
    assert {type(sample) for sample in (*SAMPLES, *MCP, OURS, KEY)} == set(get_args(events.AnyServerEvent))


@pytest.mark.parametrize("event", (*SAMPLES, *MCP, *MCP_AMONG_OTHERS), ids=lambda event: type(event).__name__)
def test_what_is_said_is_right(event: events.AnyServerEvent) -> None:
    (text,) = GA.encode(event, EVENT_ID)
    said = json.loads(text)
    assert check_ga(said) == []
    assert said["event_id"] == EVENT_ID
    assert list(said)[:2] == ["type", "event_id"]
    assert "temperature" not in said.get("session", {})
    assert "temperature" not in said.get("response", {})


def test_a_pressed_key_has_no_event_id() -> None:
    (text,) = GA.encode(KEY, EVENT_ID)
    body = json.loads(text)
    assert body == {"type": "input_audio_buffer.dtmf_event_received", "event": "5", "received_at": 1_763_683_200}
    assert check_ga(body) == []
    assert BETA.encode(KEY, EVENT_ID) == ()


@pytest.mark.parametrize("dialect", [GA, BETA], ids=["ga", "beta"])
def test_what_is_ours_is_said_alike(dialect: Dialect) -> None:
    (text,) = dialect.encode(OURS, EVENT_ID)
    body = {"charged_for": "resp_1", "micro": 1_250, "session_micro": 3_000}
    assert json.loads(text) == {"type": "parley.price.updated", "event_id": EVENT_ID, **body}


def test_a_delta_carries_the_sound_it_is_given() -> None:
    event = events.OutputAudioDelta(**AT, delta=b"house", format="audio/pcmu")
    said = json.loads(GA.encode_audio(event, b"wire!?", EVENT_ID))
    assert said == {"type": "response.output_audio.delta", "event_id": EVENT_ID, **AT, "delta": "d2lyZSE/"}
    assert check_ga(said) == []


@pytest.mark.parametrize("item_id", ['a"b', "ü\\\n"])
def test_ids_that_clients_chose_are_escaped(item_id: str) -> None:
    event = events.OutputAudioDelta(**{**AT, "item_id": item_id}, delta=b"", format="audio/pcm")
    assert json.loads(GA.encode_audio(event, b"", EVENT_ID))["item_id"] == item_id


@pytest.mark.parametrize(
    ("text", "param"),
    [
        (
            '{"type":"session.update","event_id":"e","session":{"type":"realtime","temperature":0.8}}',
            "session.temperature",
        ),
        ('{"type":"response.create","event_id":"e","response":{"temperature":0.8}}', "response.temperature"),
    ],
)
def test_temperature_is_unknown(text: str, param: str) -> None:
    assert GA.decode(text) == Malformed(
        code="unknown_parameter", message=f"Unknown parameter: '{param}'.", param=param, event_id="e"
    )


def test_paths_are_the_cores_own() -> None:
    assert GA.param("session.audio.output.voice") == "session.audio.output.voice"
