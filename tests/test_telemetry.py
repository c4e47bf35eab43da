"""Lines that tell what happened and nothing that was said; numbers that add up."""

import io
import json
import logging
from collections.abc import Iterator
from typing import Any

import pytest

from parley.core.effects import Stamps, Turn
from parley.telemetry import HIDDEN, Metrics, note, redacted, segments, set_up_logs, turn_fields


@pytest.fixture
def stream() -> Iterator[io.StringIO]:
    root = logging.getLogger()
    handlers, level = root.handlers[:], root.level
    yield io.StringIO()
    root.handlers[:] = handlers
    root.setLevel(level)


def lines(stream: io.StringIO) -> list[dict[str, Any]]:
    return [json.loads(line) for line in stream.getvalue().splitlines()]


def test_one_line_per_event(stream: io.StringIO) -> None:
    set_up_logs("info", "json", stream)
    log = logging.getLogger("parley.test")
    note(log, "turn", session="sess_1", ms=12.5, error=None)
    note(log, "unimportant", logging.DEBUG, session="sess_1")
    [line] = lines(stream)
    assert (line["event"], line["session"], line["ms"], line["error"]) == ("turn", "sess_1", 12.5, None)
    assert (line["level"], line["logger"]) == ("info", "parley.test")


@pytest.mark.parametrize("style", ["json", "text"])
def test_keys_and_speech_are_hidden(stream: io.StringIO, style: Any) -> None:
    set_up_logs("info", style, stream)
    log = logging.getLogger("parley.test")
    note(log, "x", api_key="hush-1", authorization="hush-2", transcript="hush-3", text="hush-4", pcm=b"hush-5")
    note(log, "x", reason="key sk-hush6 is wrong", url="openai-insecure-api-key.hush7", header="Bearer hush8")
    log.warning("refused ek_hush9 and whsec_hush10")
    try:
        raise ValueError("sk-hush11")
    except ValueError:
        log.exception("failed", extra={"fields": {"session": "sess_1"}})
    assert "hush" not in stream.getvalue()
    assert HIDDEN in stream.getvalue()
    assert "sess_1" in stream.getvalue()


def test_names_that_only_look_private_stay() -> None:
    fields = {"tokens_in": 5, "tokens_out": 7, "context": "c", "audio_ms": 3, "contents": "x"}
    assert redacted(fields) == fields


def test_long_values_are_cut() -> None:
    assert len(str(redacted({"reason": "x" * 10_000})["reason"])) == 500


STAMPS = Stamps(
    speech_start=1.0,
    speech_stop=2.0,
    committed=2.5,
    transcript_final=2.6,
    response_created=2.61,
    first_audio=2.9,
    done=4.0,
)


def test_the_parts_of_a_turn() -> None:
    parts = {name: round(seconds, 3) for name, seconds in segments(STAMPS).items()}
    assert parts == {
        "speech": 1.0,
        "end_of_turn": 0.5,
        "transcription": 0.1,
        "dispatch": 0.01,
        "first_audio": 0.29,
        "speaking": 1.1,
        "response": 1.39,
        "voice_to_voice": 0.9,
    }
    assert segments(Stamps()) == {}


def test_a_turn_as_fields_has_no_empty_ones() -> None:
    turn = Turn(kind="response", id="resp_1", item_id=None, model="m", status="failed", stamps=STAMPS, error_code="e")
    fields = turn_fields(turn)
    assert fields["error"] == "e"
    assert fields["voice_to_voice_ms"] == 900.0
    assert None not in fields.values()


def test_metrics_count() -> None:
    metrics = Metrics()
    turn = Turn(kind="response", id="resp_1", item_id=None, model="m", status="completed", stamps=STAMPS)
    metrics.turn(turn)
    metrics.turn(turn)
    metrics.error("invalid_value")
    metrics.failure("transcribe", "backend_timeout")
    metrics.closed(1001)
    metrics.vad_lag(0.03)
    page = metrics.page().decode()
    assert 'parley_turns_total{kind="response",status="completed"} 2.0' in page
    assert 'parley_turn_seconds_count{segment="voice_to_voice"} 2.0' in page
    assert 'parley_errors_total{code="invalid_value"} 1.0' in page
    assert 'parley_engine_failures_total{code="backend_timeout",work="transcribe"} 1.0' in page
    assert 'parley_connections_closed_total{code="1001"} 1.0' in page
    assert "parley_vad_lag_seconds_count 1.0" in page
