"""The judge judged: what is right passes, and each fault that protocol.md 10.4 lists is found."""

import copy
import json
from collections.abc import Callable
from typing import Any

import pytest

from parley.dialects.beta import BETA
from parley.dialects.ga import GA
from tests import oracle
from tests.dialects.samples import EVENT_ID, SAMPLES
from tests.oracle import Event, check_beta, check_ga, check_translation

MINIMAL: Event = {
    "type": "session.created",
    "event_id": "event_1",
    "session": {
        "type": "realtime",
        "object": "realtime.session",
        "id": "sess_1",
        "model": "gpt-realtime",
        "output_modalities": ["audio"],
        "instructions": "",
        "tools": [],
        "tool_choice": "auto",
        "max_output_tokens": "inf",
        "tracing": None,
        "truncation": "auto",
        "prompt": None,
        "expires_at": 1790000000,
        "include": None,
        "audio": {
            "input": {
                "format": {"type": "audio/pcm", "rate": 24000},
                "transcription": None,
                "noise_reduction": None,
                "turn_detection": {
                    "type": "server_vad",
                    "threshold": 0.5,
                    "prefix_padding_ms": 300,
                    "silence_duration_ms": 500,
                    "idle_timeout_ms": None,
                    "create_response": True,
                    "interrupt_response": True,
                },
            },
            "output": {"format": {"type": "audio/pcm", "rate": 24000}, "voice": "marin", "speed": 1.0},
        },
    },
}
"""protocol.md 2.2."""


def sample(name: str, dialect: Any = GA) -> Event:
    """The last of our samples with this type: the fullest one."""
    texts = [json.loads(text) for event in SAMPLES for text in dialect.encode(event, EVENT_ID)]
    event: Event = [body for body in texts if body["type"] == name][-1]
    return event


def with_change(event: Event, change: Callable[[Event], object]) -> Event:
    changed = copy.deepcopy(event)
    change(changed)
    assert json.dumps(changed) != json.dumps(event)
    return changed


def test_every_event_type_has_its_model() -> None:
    counts = [len(rules().models) for rules in (oracle._ga, oracle._beta, oracle._translation)]
    assert counts == [46, 34, 7]


def test_only_beta_has_these() -> None:
    assert sorted(oracle._beta().models.keys() - oracle._ga().models.keys()) == [
        "response.audio.delta",
        "response.audio.done",
        "response.audio_transcript.delta",
        "response.audio_transcript.done",
        "response.text.delta",
        "response.text.done",
        "transcription_session.updated",
    ]


def test_the_minimal_session_passes() -> None:
    assert check_ga(MINIMAL) == []


def first_part(event: Event) -> Any:
    return event["item"]["content"][0]


HARD: dict[str, tuple[Event, Callable[[Event], object], str]] = {
    "part `audio` in an item": (
        sample("response.output_item.done"),
        lambda event: first_part(event).update(type="audio"),
        "type",
    ),
    "part `text` in an item": (
        sample("response.output_item.done"),
        lambda event: first_part(event).update(type="text"),
        "type",
    ),
    "part.type `output_audio`": (
        sample("response.content_part.added"),
        lambda event: event["part"].update(type="output_audio"),
        "part.type",
    ),
    "part.type `output_text`": (
        sample("response.content_part.done"),
        lambda event: event["part"].update(type="output_text"),
        "part.type",
    ),
    "no usage": (
        sample("conversation.item.input_audio_transcription.completed"),
        lambda event: event.pop("usage"),
        "usage",
    ),
    "voice object": (
        sample("response.done"),
        lambda event: event["response"]["audio"]["output"].update(voice={"id": "voice_1"}),
        "response.audio.output.voice",
    ),
    "float for int": (
        sample("input_audio_buffer.speech_started"),
        lambda event: event.update(audio_start_ms=300.0),
        "audio_start_ms",
    ),
    "text for int": (
        sample("conversation.item.truncated"),
        lambda event: event.update(content_index="0"),
        "content_index",
    ),
    "session without type": (MINIMAL, lambda event: event["session"].pop("type"), "session"),
}


@pytest.mark.parametrize(("event", "change", "where"), HARD.values(), ids=HARD.keys())
def test_hard_failures_are_found(event: Event, change: Callable[[Event], object], where: str) -> None:
    assert check_ga(event) == []
    findings = check_ga(with_change(event, change))
    assert any(where in finding for finding in findings), findings


SOFT: dict[str, tuple[Event, Callable[[Event], object], str]] = {
    "unknown event": (MINIMAL, lambda event: event.update(type="response.cancelled"), "type"),
    "no event id": (MINIMAL, lambda event: event.pop("event_id"), "event_id"),
    "empty event id": (MINIMAL, lambda event: event.update(event_id=""), "event_id"),
    "extra key": (MINIMAL, lambda event: event.update(extra=1), "extra"),
    "extra key, deep": (
        MINIMAL,
        lambda event: event["session"]["audio"]["input"]["turn_detection"].update(eagerness="low"),
        "session.audio.input.turn_detection.eagerness",
    ),
    "temperature": (MINIMAL, lambda event: event["session"].update(temperature=0.8), "session.temperature"),
    "interrupt_response left out": (
        MINIMAL,
        lambda event: event["session"]["audio"]["input"]["turn_detection"].pop("interrupt_response"),
        "interrupt_response",
    ),
    "both modalities": (
        MINIMAL,
        lambda event: event["session"].update(output_modalities=["text", "audio"]),
        "output_modalities",
    ),
    "format without type": (
        MINIMAL,
        lambda event: event["session"]["audio"]["input"].update(format={}),
        "session.audio.input.format",
    ),
    "no previous_item_id": (
        sample("conversation.item.added"),
        lambda event: event.pop("previous_item_id"),
        "previous_item_id",
    ),
    "no status": (sample("conversation.item.done"), lambda event: event["item"].pop("status"), "item.status"),
    "no object": (sample("conversation.item.done"), lambda event: event["item"].pop("object"), "item.object"),
    "null part": (
        sample("response.content_part.added"),
        lambda event: event["part"].update(text=None),
        "part.text",
    ),
    "sound in an event": (
        sample("conversation.item.done"),
        lambda event: first_part(event).update(audio="AAAA"),
        "audio",
    ),
    "no conversation_id": (
        sample("response.done"),
        lambda event: event["response"].pop("conversation_id"),
        "response.conversation_id",
    ),
    "still in progress": (
        sample("response.done"),
        lambda event: event["response"].update(status="in_progress"),
        "response.status",
    ),
    "sums": (
        sample("response.done"),
        lambda event: event["response"]["usage"].update(total_tokens=1),
        "total_tokens",
    ),
    "error without param": (sample("error"), lambda event: event["error"].pop("param"), "error.param"),
    "null in a failure": (
        sample("conversation.item.input_audio_transcription.failed"),
        lambda event: event["error"].update(code=None),
        "error.code",
    ),
}


@pytest.mark.parametrize(("event", "change", "where"), SOFT.values(), ids=SOFT.keys())
def test_what_the_types_let_pass_is_found(event: Event, change: Callable[[Event], object], where: str) -> None:
    assert check_ga(event) == []
    findings = check_ga(with_change(event, change))
    assert any(where in finding for finding in findings), findings


BETA_FAULTS: dict[str, tuple[str, Callable[[Event], object], str]] = {
    "GA part": ("response.output_item.done", lambda event: first_part(event).update(type="output_audio"), "type"),
    "GA key": ("session.updated", lambda event: event["session"].update(truncation="auto"), "truncation"),
    "GA modalities": ("session.updated", lambda event: event["session"].update(modalities=["audio"]), "modalities"),
    "GA format": (
        "session.updated",
        lambda event: event["session"].update(input_audio_format={"type": "audio/pcm"}),
        "input_audio_format",
    ),
    "no temperature": ("session.updated", lambda event: event["session"].pop("temperature"), "temperature"),
    "GA response": ("response.done", lambda event: event["response"].update(audio={}), "response.audio"),
    "GA event": ("response.text.delta", lambda event: event.update(type="response.output_text.delta"), "type"),
    "unknown in transcription": (
        "transcription_session.updated",
        lambda event: event["session"].update(voice="alloy"),
        "session.voice",
    ),
}


@pytest.mark.parametrize(("name", "change", "where"), BETA_FAULTS.values(), ids=BETA_FAULTS.keys())
def test_faults_of_the_beta_are_found(name: str, change: Callable[[Event], object], where: str) -> None:
    event = sample(name, BETA)
    assert check_beta(event) == []
    findings = check_beta(with_change(event, change))
    assert any(where in finding for finding in findings), findings


def test_false_alarms_of_the_beta_are_not_raised() -> None:
    event = sample("session.updated", BETA)
    event["session"].update(model="realtime-mini", voice="nova")
    assert check_beta(event) == []


def test_legitimate_extras_pass() -> None:
    delta = sample("conversation.item.input_audio_transcription.delta")
    assert check_ga({**delta, "obfuscation": "x"}) == []
    key = {"type": "input_audio_buffer.dtmf_event_received", "event": "5", "received_at": 1_790_000_000}
    assert check_ga(key) == []
    assert check_ga({**key, "event_id": "event_1"}) == []


def test_translation_events_have_a_judge_too() -> None:
    assert check_translation({"type": "session.output_transcript.delta", "event_id": "e", "delta": "a"}) == []
    assert check_translation({"type": "session.output_transcript.delta", "event_id": "e"}) != []
