from typing import Any

import pytest

from parley.cli.turns import Bar, Turn, TurnLog, bars, drawn


def spoken(log: TurnLog, start: float = 0.0, item: str = "item_1", response: str = "resp_1") -> Turn:
    """A whole spoken turn, one event after the other."""
    words = {"type": "response.output_audio_transcript.delta", "response_id": response, "item_id": "a"}
    transcript = {
        "type": "conversation.item.input_audio_transcription.completed",
        "item_id": item,
        "transcript": " Hi. ",
    }
    done = {"id": response, "status": "completed", "usage": {"total_tokens": 9}}
    events: list[tuple[float, dict[str, Any]]] = [
        (100, {"type": "input_audio_buffer.speech_started", "item_id": item}),
        (2_500, {"type": "input_audio_buffer.speech_stopped", "item_id": item}),
        (2_501, {"type": "input_audio_buffer.committed", "item_id": item}),
        (2_510, {"type": "response.created", "response": {"id": response}}),
        (2_560, transcript),
        (2_570, words | {"delta": "Good "}),
        (2_580, {"type": "response.output_audio.delta", "response_id": response, "item_id": "a", "delta": ""}),
        (2_590, words | {"delta": "day."}),
        (2_900, {"type": "response.done", "response": done}),
    ]
    for at, event in events:
        log.see(event, start + at, last_word_ms=start + 2_000)
    return log.turns[-1]


def test_a_spoken_turn() -> None:
    turn = spoken(TurnLog())
    assert turn.complete
    assert (turn.user, turn.assistant, turn.status) == ("Hi.", "Good day.", "completed")
    assert turn.answer_ms == 580
    assert turn.as_json()["ms"] == {
        "heard": 0, "last_word": 1_900, "stopped": 2_400, "committed": 2_401, "created": 2_410, "transcribed": 2_460,
        "words": 2_470, "sound": 2_480, "done": 2_800,
    }  # fmt: skip


def test_turns_do_not_mix() -> None:
    log = TurnLog()
    first = spoken(log)
    second = spoken(log, start=5_000, item="item_2", response="resp_2")
    assert [first.number, second.number] == [1, 2]
    assert first.assistant == second.assistant == "Good day."
    assert log.unanswered == []


def test_a_turn_waits_for_its_transcript() -> None:
    log = TurnLog()
    log.see({"type": "input_audio_buffer.speech_started", "item_id": "i"}, 0)
    log.see({"type": "input_audio_buffer.committed", "item_id": "i"}, 1)
    log.see({"type": "response.created", "response": {"id": "r"}}, 2)
    log.see({"type": "response.done", "response": {"id": "r", "status": "completed"}}, 3)
    assert log.unanswered == log.turns
    log.see({"type": "conversation.item.input_audio_transcription.failed", "item_id": "i"}, 4)
    assert log.unanswered == []
    assert log.turns[0].user == ""


def test_a_failed_answer_says_why() -> None:
    log = TurnLog()
    turn = log.ask("Hello", 0)
    log.see({"type": "response.created", "response": {"id": "r"}}, 1)
    details = {"type": "failed", "error": {"code": "backend_timeout", "message": "The backend did not answer."}}
    log.see({"type": "response.done", "response": {"id": "r", "status": "failed", "status_details": details}}, 2)
    assert turn.complete
    assert (turn.status, turn.reason) == ("failed", "The backend did not answer.")


def test_events_of_nobody_are_ignored() -> None:
    log = TurnLog()
    assert log.see({"type": "session.updated"}, 0) is None
    assert log.see({"type": "response.created", "response": {"id": "greeting"}}, 0) is None
    assert log.see({"type": "response.done", "response": {"id": "greeting", "status": "completed"}}, 0) is None
    assert log.turns == []


def test_the_waterfall_shows_each_part_once_and_cuts_a_long_question() -> None:
    parts = bars(spoken(TurnLog()))
    assert [bar.label for bar in parts] == [
        "you spoke", "sure you finished", "transcript", "first words", "first sound", "rest of the answer",
    ]  # fmt: skip
    assert parts[0] == Bar("you spoke", 0, 600, 1_900, cut=True)
    assert parts[1] == Bar("sure you finished", 600, 1_101, 501)
    assert parts[-1].end == 1_500


def test_a_typed_turn_has_no_speech_in_its_waterfall() -> None:
    log = TurnLog()
    turn = log.ask("Hello", 1_000)
    log.see({"type": "response.created", "response": {"id": "r"}}, 1_010)
    log.see({"type": "response.output_text.delta", "response_id": "r", "delta": "Hi"}, 1_050)
    assert [bar.label for bar in bars(turn)] == ["first words"]
    assert turn.answer_ms == 50
    assert bars(Turn(1)) == []


@pytest.mark.parametrize(
    ("bar", "line"),
    [
        (Bar("a", 0, 100, 100), "━━━━━━━━━━"),
        (Bar("a", 0, 50, 50), "━━━━━     "),
        (Bar("a", 50, 100, 50), "     ━━━━━"),
        (Bar("a", 50, 51, 1), "     ╸    "),
        (Bar("a", 99.9, 100, 0.1), "         ╸"),
        (Bar("a", 0, 50, 900, cut=True), "┄━━━━     "),
    ],
)
def test_bars_are_drawn_to_scale(bar: Bar, line: str) -> None:
    assert drawn(bar, 100, cells=10) == line
