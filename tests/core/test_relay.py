"""A session that an upstream answers: what passes, what is read, and what follows when the upstream is lost."""

from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from parley.core.inputs import CutOff, Drain, Failed, Left, Malformed, Tick
from parley.core.relay import BRIDGE_SHARE, CHECK_S, EXPIRED, LOST, RETRY_S
from parley.core.relay_log import LOG_ITEMS_MAX, UNHEARD, Log, heard
from parley.core.relay_pending import REQUESTS_MAX, SILENCE_BYTES_MAX, SPEECH_BYTES_MAX, Pending
from parley.core.relay_usage import read_usage
from parley.core.relayed import Lost, Message, Opened, RelayTerms
from parley.errors import ERRORS
from tests.core.relay_driver import MANUAL, Body, Driver, begin, finish, session, speak, user_says

USAGE: Body = {
    "total_tokens": 30,
    "input_tokens": 20,
    "output_tokens": 10,
    "input_token_details": {"text_tokens": 5, "audio_tokens": 15, "cached_tokens": 4, "cached_tokens_details": {}},
    "output_token_details": {"text_tokens": 2, "audio_tokens": 8},
}
STALL_S = RelayTerms(model="").stall_s


# ---- what passes


def test_the_session_is_ours_and_its_model_is_what_the_client_asked_for() -> None:
    driver = Driver(expires_at=99)
    (created,) = driver.said
    assert created["type"] == "session.created"
    assert created["session"] == {"type": "realtime", "id": driver.relay.id, "model": "ours", "expires_at": 99}
    assert driver.relay.created()["session"] == created["session"]


def test_an_upstream_that_says_nothing_of_its_session() -> None:
    """As one that begins with conversation.created."""
    driver = Driver(created={"type": "conversation.created", "conversation": {"id": "conv_1"}})
    assert driver.said[0]["session"] == {
        "type": "realtime",
        "object": "realtime.session",
        "id": driver.relay.id,
        "model": "ours",
    }


def test_events_pass_as_the_bytes_that_they_came_as() -> None:
    driver = Driver()
    driver.passed.clear()
    begin(driver)
    speak(driver, "Hello")
    driver.upstream("rate_limits.updated", rate_limits=[])
    driver.upstream("something.nobody.knows", x=[{"deep": 1}])
    finish(driver, "Hello")
    assert all(driver.passed)
    assert len(driver.passed) == 11
    driver.client("response.create", event_id="mine")
    assert driver.asked_raw == [repr({"type": "response.create", "event_id": "mine"}).encode()]


def test_a_configuration_comes_before_the_first_words() -> None:
    driver = Driver(config={"type": "realtime", "model": "ours", "instructions": "Be brief."})
    assert driver.kinds() == []
    assert driver.requests() == [
        {"type": "session.update", "session": {"type": "realtime", "model": "theirs", "instructions": "Be brief."}}
    ]
    driver.upstream("session.updated", session={"type": "realtime", "model": "theirs", "instructions": "Be brief."})
    (created,) = driver.said
    assert (created["type"], created["session"]["instructions"]) == ("session.created", "Be brief.")


def test_a_configuration_that_is_refused_does_not_leave_the_client_without_a_session() -> None:
    driver = Driver(config={"type": "realtime", "voice": "nobody's"})
    driver.upstream("error", error={"type": "x", "message": "no", "event_id": driver.asked[0]["event_id"]})
    assert driver.kinds() == ["session.created"]


def test_an_update_names_the_model_as_the_upstream_does_and_its_answer_as_the_client_does() -> None:
    driver = Driver()
    driver.client("session.update", session={"type": "realtime", "model": "ours", "tools": []})
    assert driver.requests()[-1]["session"] == {"type": "realtime", "model": "theirs", "tools": []}
    driver.upstream("session.updated", session={"type": "realtime", "id": "x", "model": "theirs", "tools": []})
    assert driver.said[-1]["session"]["model"] == "ours"
    assert driver.said[-1]["session"]["id"] == driver.relay.id


def test_an_unreadable_message_is_answered_here() -> None:
    driver = Driver()
    driver.happen(Malformed(code="invalid_event", message="Not JSON.", event_id="mine"))
    error = driver.said[-1]["error"]
    assert (error["code"], error["type"], error["event_id"]) == ("invalid_event", "invalid_request_error", "mine")
    assert driver.asked == []


def test_a_client_event_of_the_wrong_shape_is_the_upstreams_to_refuse() -> None:
    driver = Driver()
    driver.client("conversation.item.create", item="no item")
    assert driver.requests() == [{"type": "conversation.item.create", "item": "no item"}]


def test_late_and_double_words_about_a_response_go_no_further() -> None:
    driver = Driver()
    begin(driver)
    speak(driver, "Hello")
    finish(driver, "Hello", usage=USAGE)
    driver.kinds()
    speak(driver, "late")
    finish(driver, "Hello", usage=USAGE)
    assert driver.kinds() == ["conversation.item.done"]
    assert len(driver.turns) == 1


def test_the_short_way_is_open_while_the_answer_speaks() -> None:
    driver = Driver()
    assert driver.relay.needle is None
    begin(driver)
    assert driver.relay.needle is None
    speak(driver, "Hello")
    assert driver.relay.needle == b'"resp_1"'
    driver.relay.spoke(6_400)
    finish(driver, "Hello")
    assert driver.relay.needle is None
    driver.relay.spoke(6_400)  # nobody's
    assert [(tally.what, tally.ms) for tally in driver.tallies if tally.what == "spoke"] == [("spoke", 200)]


def test_a_second_answer_beside_the_conversation_takes_the_long_way() -> None:
    driver = Driver()
    begin(driver, conversation_id=None)
    speak(driver, "aside")
    assert driver.relay.needle is None


# ---- what it costs


def test_a_turn_says_who_answered_and_what_that_one_calls_the_model() -> None:
    driver = Driver()
    begin(driver)
    driver.lose()
    assert driver.dialled
    driver.happen(Opened(leg=driver.dialled[-1], created=Message(session()), upstream="other", model="prod"))
    begin(driver, "resp_2", "item_b")
    finish(driver, "Yes", "resp_2", "item_b", usage=USAGE)
    told = [(turn.id, turn.model, turn.upstream, turn.upstream_model) for turn in driver.turns]
    assert told == [("resp_1", "ours", "up", "theirs"), ("resp_2", "ours", "other", "prod")]


def test_a_response_is_metered_by_what_the_upstream_says() -> None:
    driver = Driver()
    driver.now = 1.0
    begin(driver)
    driver.now = 2.0
    speak(driver, "Hello")
    driver.now = 3.0
    finish(driver, "Hello", usage=USAGE)
    (turn,) = driver.turns
    assert (turn.kind, turn.id, turn.item_id, turn.model, turn.status) == (
        "response",
        "resp_1",
        "item_a",
        "ours",
        "completed",
    )
    assert (turn.stamps.response_created, turn.stamps.first_audio, turn.stamps.done) == (1.0, 2.0, 3.0)
    assert turn.usage is not None
    assert (turn.usage.total_tokens, turn.usage.input_token_details.audio_tokens) == (30, 15)


@pytest.mark.parametrize("told", [None, {}, [], {"input_tokens": "many"}, {"input_tokens": -5}])
def test_what_the_upstream_does_not_say_is_left_to_our_own_count(told: Any) -> None:
    assert read_usage(told) is None


def test_usage_without_its_parts_counts_as_text() -> None:
    usage = read_usage({"input_tokens": 7, "output_tokens": 3})
    assert usage is not None
    assert (usage.input_token_details.text_tokens, usage.output_token_details.text_tokens) == (7, 3)


def test_transcriptions_are_metered_too() -> None:
    driver = Driver(created=session(audio={"input": {"transcription": {"model": "whisper-1"}, "turn_detection": None}}))
    driver.upstream(
        "conversation.item.input_audio_transcription.completed",
        item_id="item_u",
        content_index=0,
        transcript="hello",
        usage={"type": "duration", "seconds": 2.5},
    )
    (turn,) = driver.turns
    assert (turn.kind, turn.model, turn.audio_ms) == ("transcription", "whisper-1", 2_500)


def test_a_running_answer_is_told_of_while_it_speaks() -> None:
    driver = Driver()
    begin(driver)
    speak(driver, "Hello", chars=64 * 1_000)
    driver.now = driver.relay.deadline or 0
    driver.happen(Tick())
    assert [(tally.what, tally.ms, tally.response_id) for tally in driver.tallies] == [
        ("started", 0, "resp_1"),
        ("spoke", 1_000, "resp_1"),
    ]


# ---- an upstream is lost


def test_a_cut_in_the_middle_of_speech_ends_the_response_once_and_properly() -> None:
    driver = Driver()
    user_says(driver, "Hi.")
    begin(driver)
    speak(driver, "Hello there", chars=64 * 700)
    driver.said.clear()
    driver.lose()
    told = driver.said
    assert driver.kinds() == [
        "response.output_audio.done",
        "response.output_audio_transcript.done",
        "response.content_part.done",
        "conversation.item.done",
        "response.output_item.done",
        "response.done",
        "conversation.item.truncated",
    ]
    assert told[1]["transcript"] == "Hello there"
    assert told[4]["item"]["status"] == "incomplete"
    response = told[5]["response"]
    assert (response["id"], response["status"], response["usage"]) == ("resp_1", "failed", None)
    assert response["status_details"]["error"] == {
        "type": "server_error",
        "code": "backend_unavailable",
        "message": "It broke.",
    }
    assert [item["id"] for item in response["output"]] == ["item_a"]
    assert told[6] == {**told[6], "item_id": "item_a", "content_index": 0, "audio_end_ms": 700}
    assert all(body["event_id"] for body in told)
    assert (driver.turns[-1].status, driver.turns[-1].usage) == ("failed", None)
    assert driver.relay.leg is None
    assert len(driver.dialled) == 1


def test_the_next_upstream_is_told_the_conversation() -> None:
    driver = Driver()
    driver.client("session.update", session={"type": "realtime", "audio": {"output": {"voice": "cedar"}}})
    driver.upstream("session.updated", session={"type": "realtime", "model": "theirs"})
    driver.client("session.update", session={"type": "realtime", "audio": {"output": {"speed": 1.2}}, "tools": []})
    driver.upstream("session.updated", session={"type": "realtime", "model": "theirs"})
    user_says(driver, "Hi.")
    begin(driver)
    speak(driver, "Hello there")
    driver.requests()
    driver.lose()
    driver.kinds()
    driver.reopen()
    assert driver.requests() == [
        {
            "type": "session.update",
            "session": {"type": "realtime", "audio": {"output": {"voice": "cedar", "speed": 1.2}}, "tools": []},
        },
        {
            "type": "conversation.item.create",
            "item": {
                "id": "item_u",
                "type": "message",
                "role": "user",
                "content": [{"type": "input_text", "text": "Hi."}],
            },
        },
        {
            "type": "conversation.item.create",
            "item": {
                "id": "item_a",
                "type": "message",
                "role": "assistant",
                "content": [{"type": "output_text", "text": "Hello there"}],
            },
        },
    ]
    driver.upstream("session.updated", session={"type": "realtime", "id": "other", "model": "theirs"})
    item = {"id": "item_u", "type": "message", "role": "user", "content": []}
    driver.upstream("conversation.item.added", item=item)
    driver.upstream("conversation.item.done", item=item)
    assert driver.kinds() == ["session.updated"]
    begin(driver, "resp_2", "item_b")
    speak(driver, "Again", response="resp_2", item="item_b")
    finish(driver, "Again", "resp_2", "item_b")
    assert driver.kinds()[-1] == "response.done"


def test_a_lost_upstream_between_turns_is_told_as_an_error() -> None:
    driver = Driver()
    driver.kinds()
    driver.lose()
    error = driver.said[-1]["error"]
    assert (error["type"], error["code"], error["message"]) == ("server_error", "backend_unavailable", LOST)
    driver.kinds()
    driver.reopen()
    assert driver.kinds() == ["session.updated"]


def test_when_there_is_no_other_the_session_ends() -> None:
    driver = Driver()
    driver.kinds()
    driver.lose()
    driver.happen(Failed(work_id=driver.dialled[-1], code="backend_timeout", message="None answers."))
    assert [body.get("error", {}).get("code") for body in driver.said] == ["backend_unavailable", "backend_timeout"]
    assert driver.closed == (1011, "backend_timeout")
    assert driver.relay.closed
    assert driver.relay.deadline is None


def test_what_was_not_answered_is_asked_again_and_answers_the_client() -> None:
    driver = Driver()
    item = {"id": "item_x", "type": "message", "role": "user", "content": [{"type": "input_text", "text": "Hi."}]}
    driver.client("conversation.item.create", event_id="one", item=item)
    driver.client("session.update", session={"type": "realtime", "instructions": "Be kind."})
    driver.requests()
    driver.kinds()
    driver.lose()
    driver.reopen()
    asked = driver.requests()
    assert [body["type"] for body in asked] == ["conversation.item.create", "session.update"]
    assert asked[0]["event_id"] == "one"
    driver.kinds()
    driver.upstream("conversation.item.added", item=item, previous_item_id=None)
    driver.upstream("conversation.item.done", item=item, previous_item_id=None)
    driver.upstream("session.updated", session={"type": "realtime"})
    assert driver.kinds() == ["conversation.item.added", "conversation.item.done", "session.updated"]


def test_a_response_that_was_not_begun_is_refused_and_never_asked_for_twice() -> None:
    driver = Driver()
    driver.client("response.create", event_id="mine")
    driver.requests()
    driver.kinds()
    driver.lose()
    assert [(body["error"]["event_id"], body["error"]["type"]) for body in driver.said] == [("mine", "server_error")]
    driver.client("response.create", event_id="later")  # never sent to anybody: this one may be
    driver.reopen()
    assert [body.get("event_id") for body in driver.requests()] == ["later"]


def test_the_sound_of_an_unfinished_turn_is_heard_by_the_next_upstream() -> None:
    driver = Driver(created=session(**MANUAL))
    for name in ("a", "b"):
        driver.sound(name)
    driver.client("input_audio_buffer.commit", event_id="c1")
    for name in ("c", "d"):
        driver.sound(name)
    driver.upstream("input_audio_buffer.committed", item_id="item_1", previous_item_id=None)
    driver.client("input_audio_buffer.commit", event_id="c2")
    driver.sound("e")
    driver.requests()
    driver.lose()
    driver.sound("f")
    driver.asked_raw.clear()
    driver.reopen()
    assert driver.asked_raw == [
        b"c",
        b"d",
        repr({"type": "input_audio_buffer.commit", "event_id": "c2"}).encode(),
        b"e",
        b"f",
    ]
    assert [(tally.what, tally.ms) for tally in driver.tallies] == [("heard", 20)]


def test_the_audio_clock_never_jumps_back() -> None:
    driver = Driver()
    for _ in range(100):
        driver.sound("s" * 850)
    driver.upstream("input_audio_buffer.speech_started", item_id="i", audio_start_ms=990)
    assert driver.said[-1]["audio_start_ms"] == 990
    driver.lose()
    driver.reopen()
    driver.upstream("input_audio_buffer.speech_started", item_id="i", audio_start_ms=0)
    assert driver.said[-1]["audio_start_ms"] == 990


def test_a_turn_that_the_upstream_ends_lets_go_of_its_sound_only() -> None:
    driver = Driver()
    for name in "abcde":
        driver.sound(name, 64 * 100)
    driver.upstream("input_audio_buffer.speech_started", item_id="i", audio_start_ms=100)
    driver.upstream("input_audio_buffer.speech_stopped", item_id="i", audio_end_ms=300)
    driver.upstream("input_audio_buffer.committed", item_id="i", previous_item_id=None)
    driver.lose()
    driver.asked_raw.clear()
    driver.reopen()
    assert driver.asked_raw == [b"d", b"e"]
    assert [(tally.what, tally.ms) for tally in driver.tallies] == [("heard", 200)]


def test_a_stalled_answer_is_given_up_within_five_seconds() -> None:
    driver = Driver()
    begin(driver)
    speak(driver, "Hello")
    while driver.relay.leg is not None:
        assert driver.relay.deadline is not None
        driver.now = driver.relay.deadline
        driver.happen(Tick())
    assert STALL_S <= driver.now <= STALL_S + 2 * CHECK_S <= 5
    done = next(body for body in driver.said if body["type"] == "response.done")
    assert done["response"]["status_details"]["error"]["code"] == "backend_timeout"
    assert driver.hung_up == [("leg_0", "backend_timeout")]


def test_sound_on_the_short_way_keeps_an_answer_alive_and_so_does_a_slow_client() -> None:
    driver = Driver()
    begin(driver)
    speak(driver, "Hello")
    for step in range(30):
        driver.now = driver.relay.deadline or 0
        if step % 2:
            driver.relay.spoke(640)
        else:
            driver.relay.waited()
        driver.happen(Tick())
    assert driver.relay.leg == "leg_0"


def test_when_we_stood_still_ourselves_the_upstream_is_not_to_blame() -> None:
    driver = Driver()
    begin(driver)
    speak(driver, "Hello")
    for _ in range(5):
        driver.now += STALL_S
        driver.happen(Tick())
    assert driver.relay.leg == "leg_0"


def test_an_idle_upstream_may_be_silent_for_ever() -> None:
    driver = Driver(session_s=1_000)
    assert driver.relay.deadline == 1_000


@pytest.mark.parametrize(
    "garbage",
    [
        {"type": "response.created", "response": "resp_1"},
        {"type": "response.output_item.added", "response_id": "resp_1", "item": []},
        {"type": "response.content_part.added", "response_id": "resp_1", "output_index": "first"},
        {"type": "session.updated", "session": {"audio": {"input": 1}}},
        {"type": "conversation.item.added", "item": {"id": 7}},
        {"type": "conversation.item.input_audio_transcription.completed", "usage": {"input_token_details": {"a": []}}},
        {"type": "input_audio_buffer.speech_started", "audio_start_ms": None},
        {"type": "error", "error": "bad"},
    ],
)
def test_garbage_is_a_reason_to_leave(garbage: Body) -> None:
    driver = Driver()
    begin(driver)
    driver.upstream(**{"kind" if key == "type" else key: value for key, value in garbage.items()})
    assert driver.hung_up == [("leg_0", "backend_protocol_error")]
    assert driver.kinds().count("response.done") == 1
    assert len(driver.dialled) == 1


@pytest.mark.parametrize("code", ["invalid_api_key", "account_deactivated", "insufficient_quota"])
def test_what_the_upstream_says_about_our_key_is_not_told(code: str) -> None:
    driver = Driver()
    driver.upstream("error", error={"type": "x", "code": code, "message": "Incorrect API key provided: sk-abc"})
    assert driver.hung_up == [("leg_0", "backend_refused")]
    assert "sk-abc" not in repr(driver.said)


def test_an_error_of_an_upstream_passes_and_settles_what_it_refuses() -> None:
    driver = Driver()
    driver.client("input_audio_buffer.commit", event_id="c1")
    driver.upstream("error", error={"type": "invalid_request_error", "code": "x", "message": "m", "event_id": "c1"})
    assert driver.said[-1]["error"]["event_id"] == "c1"
    driver.client("input_audio_buffer.commit")
    driver.upstream("error", error={"type": "invalid_request_error", "code": "x", "message": "m"})
    driver.lose()
    driver.requests()
    driver.reopen()
    assert driver.requests() == []


def test_a_cut_off_call_is_not_announced_as_one_to_make() -> None:
    driver = Driver()
    driver.upstream("response.created", response={"id": "resp_1"})
    call = {"id": "item_f", "type": "function_call", "name": "look", "call_id": "call_1", "status": "in_progress"}
    driver.upstream("response.output_item.added", response_id="resp_1", output_index=0, item=call)
    driver.upstream("conversation.item.added", item=call)
    driver.upstream(
        "response.function_call_arguments.delta", response_id="resp_1", item_id="item_f", output_index=0, delta='{"a'
    )
    driver.said.clear()
    driver.lose()
    told = driver.said
    assert [body["type"] for body in told] == ["conversation.item.done", "response.output_item.done", "response.done"]
    assert (told[1]["item"]["status"], told[1]["item"]["arguments"]) == ("incomplete", '{"a')
    driver.requests()
    driver.reopen()
    assert driver.requests() == []


def test_pending_calls_and_images_are_told_as_they_were() -> None:
    driver = Driver()
    image = {"type": "input_image", "image_url": "data:image/png;base64,AAAA"}
    driver.client(
        "conversation.item.create", item={"id": "item_i", "type": "message", "role": "user", "content": [image]}
    )
    bare = {"type": "input_image", "image_url": None}
    shape = {"id": "item_i", "type": "message", "role": "user", "status": "completed", "content": [bare]}
    driver.upstream("conversation.item.added", item=shape)
    driver.upstream("conversation.item.done", item=shape)
    driver.upstream("response.created", response={"id": "resp_1"})
    call = {
        "id": "item_f",
        "type": "function_call",
        "name": "look",
        "call_id": "call_1",
        "arguments": "",
        "status": "in_progress",
    }
    driver.upstream("response.output_item.added", response_id="resp_1", output_index=0, item=call)
    driver.upstream("conversation.item.added", item=call)
    done = {**call, "arguments": "{}", "status": "completed"}
    driver.upstream("conversation.item.done", item=done)
    driver.upstream("response.output_item.done", response_id="resp_1", output_index=0, item=done)
    driver.upstream("response.done", response={"id": "resp_1", "status": "completed", "output": [done]})
    output = {"id": "item_o", "type": "function_call_output", "call_id": "call_1", "output": "42"}
    driver.client("conversation.item.create", item=output)
    driver.upstream("conversation.item.added", item=output)
    driver.requests()
    driver.lose()
    driver.reopen()
    assert [body["item"] for body in driver.requests()] == [
        {"id": "item_i", "type": "message", "role": "user", "content": [image]},
        {"id": "item_f", "type": "function_call", "name": "look", "call_id": "call_1", "arguments": "{}"},
        output,
    ]


def test_what_the_client_cut_short_stays_cut() -> None:
    driver = Driver()
    begin(driver)
    speak(driver, "One two three four", chars=64 * 1_000)
    finish(driver, "One two three four")
    driver.client("conversation.item.truncate", item_id="item_a", content_index=0, audio_end_ms=500)
    driver.upstream("conversation.item.truncated", item_id="item_a", content_index=0, audio_end_ms=500)
    driver.lose()
    driver.requests()
    driver.reopen()
    (told,) = driver.requests()
    assert told["item"]["content"] == [{"type": "output_text", "text": "One two"}]


def test_sound_that_the_next_upstream_knows_as_words_can_still_be_cut() -> None:
    driver = Driver()
    user_says(driver, "Count.")
    begin(driver)
    speak(driver, "One two three four", chars=64 * 1_000)
    finish(driver, "One two three four")
    driver.lose()
    driver.reopen()
    driver.requests()
    driver.kinds()
    driver.client("conversation.item.truncate", item_id="item_a", content_index=0, audio_end_ms=500)
    assert [(body["type"], body.get("audio_end_ms")) for body in driver.said] == [("conversation.item.truncated", 500)]
    deleted, created = driver.requests()
    assert (deleted["type"], deleted["item_id"]) == ("conversation.item.delete", "item_a")
    assert (created["previous_item_id"], created["item"]["content"][0]["text"]) == ("item_u", "One two")
    driver.kinds()
    driver.upstream("conversation.item.deleted", item_id="item_a")
    driver.upstream("conversation.item.added", item=created["item"])
    assert driver.kinds() == []


# ---- its hour is over


def test_an_hour_is_bridged_between_two_turns() -> None:
    driver = Driver(lasts_s=100.0)
    user_says(driver, "Hi.")
    begin(driver)
    speak(driver, "Hello")
    driver.now = 100 * (1 - BRIDGE_SHARE)
    driver.relay.waited()
    driver.happen(Tick())
    assert len(driver.dialled) == 1
    driver.kinds()
    driver.requests()
    driver.reopen(lasts_s=100.0)
    assert driver.relay.leg == "leg_0"
    assert driver.requests() == []
    finish(driver, "Hello")
    assert driver.relay.leg == driver.dialled[0]
    assert driver.hung_up == [("leg_0", "")]
    assert [body["type"] for body in driver.requests()] == ["conversation.item.create"] * 2
    assert driver.kinds() == ["conversation.item.done", "response.output_item.done", "response.done", "session.updated"]
    driver.upstream_of("leg_0", "error", error={"type": "x", "code": "session_expired", "message": "m"})
    assert driver.kinds() == []
    assert driver.relay.deadline == driver.now + 100 * (1 - BRIDGE_SHARE)


def test_a_spare_that_cannot_be_opened_is_tried_again_while_there_is_time() -> None:
    driver = Driver(lasts_s=100.0)
    driver.now = 80.0
    driver.happen(Tick())
    driver.happen(Failed(work_id=driver.dialled[-1], code="backend_unavailable", message="No."))
    assert driver.relay.leg == "leg_0"
    assert driver.relay.deadline == 80 + RETRY_S
    driver.now += RETRY_S
    driver.happen(Tick())
    assert len(driver.dialled) == 2
    assert driver.kinds() == ["session.created"]


def test_a_spare_takes_over_when_the_upstream_is_lost_meanwhile() -> None:
    driver = Driver(lasts_s=100.0)
    begin(driver)
    driver.now = 80.0
    driver.relay.waited()
    driver.happen(Tick())
    driver.reopen()
    driver.lose("session_expired")
    assert driver.relay.leg == driver.dialled[0]
    assert len(driver.dialled) == 1


def test_an_upstream_that_ends_the_hour_itself_is_followed_by_another_without_an_error() -> None:
    driver = Driver()
    driver.kinds()
    driver.upstream("error", error={"type": "x", "code": "session_expired", "message": "60 minutes"})
    assert driver.kinds() == []
    driver.reopen()
    assert driver.kinds() == ["session.updated"]


def test_our_own_time_ends_it() -> None:
    driver = Driver(session_s=10.0)
    begin(driver)
    driver.now = 10.0
    driver.happen(Tick())
    assert driver.closed == (1001, EXPIRED)
    assert driver.kinds().count("response.done") == 1
    assert driver.hung_up[-1][0] == "leg_0"


def test_a_draining_server_lets_the_turn_end() -> None:
    driver = Driver()
    begin(driver)
    driver.happen(Drain(reason="server_draining"))
    assert driver.closed is None
    finish(driver, "Hello")
    assert driver.closed == (1001, "server_draining")


def test_a_session_that_nobody_pays_for_is_ended_after_its_sentence() -> None:
    driver = Driver()
    begin(driver)
    driver.happen(CutOff(code="insufficient_credits", message="No money.", finish_sentence=True))
    assert driver.requests() == [{"type": "response.cancel", "response_id": "resp_1"}]
    driver.client("response.create", event_id="more")
    assert driver.said[-1]["error"]["event_id"] == "more"
    finish(driver, "Hel")
    assert driver.closed == (4000, f"{ERRORS['insufficient_credits'].type}.insufficient_credits")
    assert driver.said[-1]["error"]["code"] == "insufficient_credits"


def test_a_revoked_key_ends_it_at_once() -> None:
    driver = Driver()
    begin(driver)
    driver.happen(CutOff(code="invalid_api_key", message="Revoked."))
    assert driver.closed == (4000, "invalid_request_error.invalid_api_key")
    assert driver.kinds().count("response.done") == 1


def test_nothing_happens_after_the_end_but_a_late_leg_is_hung_up() -> None:
    driver = Driver()
    driver.lose()
    driver.happen(Left())
    driver.kinds()
    driver.happen(driver.opened("leg_late"))
    assert driver.hung_up[-1] == ("leg_late", "")
    driver.client("response.create")
    assert driver.kinds() == []


def test_a_leg_that_nobody_waits_for_is_hung_up() -> None:
    driver = Driver()
    driver.happen(Opened(leg="leg_x", created=Message(session()), upstream="up", model="m"))
    assert driver.hung_up == [("leg_x", "")]


# ---- what is remembered


def test_the_words_that_were_heard() -> None:
    assert heard("One two three", 1_000, None) == "One two three"
    assert heard("One two three", 1_000, 1_000) == "One two three"
    assert heard("One two three", 1_000, 700) == "One two"
    assert heard("One two three", 1_000, 0) == ""
    assert heard("Onetwothree", 1_000, 500) == ""


def test_speech_without_a_transcript_is_said_to_be_so() -> None:
    log = Log()
    log.add({"id": "i", "type": "message", "role": "user", "content": [{"type": "input_audio", "transcript": None}]})
    assert next(log.replays())["content"] == [{"type": "input_text", "text": UNHEARD}]
    log.transcribe("i", 0, "Hello.")
    assert next(log.replays())["content"] == [{"type": "input_text", "text": "Hello."}]


def test_the_log_is_bounded_and_keeps_its_order() -> None:
    log = Log()
    for n in range(LOG_ITEMS_MAX + 5):
        log.add({"id": f"i{n}", "type": "message", "role": "user", "content": [{"type": "input_text", "text": "x"}]})
    assert len(log) == LOG_ITEMS_MAX
    log.add({"id": "first", "type": "message", "role": "system", "content": []}, "root")
    log.add({"id": "second", "type": "message", "role": "user", "content": []}, "i9")
    assert log.before("second") == "i9"
    log.delete("i9")
    assert log.before("second") == "i8"


def test_an_output_without_its_call_is_not_told() -> None:
    log = Log()
    log.add({"id": "o", "type": "function_call_output", "call_id": "c", "output": "1"})
    log.add({"id": "t", "type": "mcp_list_tools", "server_label": "x", "tools": []})
    assert list(log.replays()) == []


def test_pending_sound_is_bounded() -> None:
    pending = Pending()
    for _ in range(100):
        pending.sound(b"x" * 1_000, 900)
    assert pending.buffered_chars <= SILENCE_BYTES_MAX
    pending.limit = SPEECH_BYTES_MAX
    for _ in range(4_000):
        pending.sound(b"x" * 1_000, 900)
    assert SPEECH_BYTES_MAX * 0.8 < pending.buffered_chars <= SPEECH_BYTES_MAX


def test_pending_requests_are_bounded() -> None:
    pending = Pending()
    for n in range(REQUESTS_MAX + 9):
        pending.ask(Message({"type": "conversation.item.create", "event_id": str(n), "item": {}}), sent=True)
    asked = [again.event_id for again in pending.again() if isinstance(again, Message)]
    assert asked == [str(n) for n in range(9, REQUESTS_MAX + 9)]


# ---- every history

STEPS = st.sampled_from(
    "user begin aside speak finish double late create item update commit sound started stopped committed"
    " lose expire reopen fail tick cancel truncate garbage".split()
)


class History:
    """Plays steps as far as they make sense, as an upstream and a client would."""

    def __init__(self, **terms: Any) -> None:
        self.driver = Driver(lasts_s=300.0, **terms)
        self.n = 0
        self.running: list[tuple[str, str]] = []

    def play(self, step: str) -> None:  # noqa: C901 - one case a step
        driver, live = self.driver, self.driver.relay.leg is not None
        self.n += 1
        driver.now += 0.3
        if driver.relay.closed:
            return
        if driver.relay.leg is None:
            self.running.clear()
        match step:
            case "begin" | "aside" if live:
                pair = (f"resp_{self.n}", f"item_{self.n}")
                aside: Body = {"conversation_id": None} if step == "aside" else {}
                begin(driver, *pair, **aside)
                self.running.append(pair)
            case "speak" if live and self.running:
                response, item = self.running[-1]
                speak(driver, "word ", 640, response, item)
                if driver.relay.needle == f'"{response}"'.encode():
                    driver.relay.spoke(640)
            case "finish" if live and self.running:
                response, item = self.running.pop(0)
                finish(driver, "word", response, item, USAGE)
            case "double" if live:
                finish(driver, "word", "resp_1", "item_1", USAGE)
            case "late" if live:
                speak(driver, "late", 640, "resp_0", "item_0")
            case "user" if live:
                user_says(driver, "Hi.", f"item_{self.n}")
            case "create":
                driver.client("response.create", event_id=f"e{self.n}")
            case "item":
                driver.client(
                    "conversation.item.create",
                    item={
                        "id": f"item_{self.n}",
                        "type": "message",
                        "role": "user",
                        "content": [{"type": "input_text", "text": "x"}],
                    },
                )
            case "update":
                driver.client("session.update", session={"type": "realtime", "instructions": str(self.n)})
            case "commit":
                driver.client("input_audio_buffer.commit")
            case "sound":
                driver.sound(f"sound_{self.n}")
            case "started" if live:
                driver.upstream("input_audio_buffer.speech_started", item_id="i", audio_start_ms=0)
            case "stopped" if live:
                driver.upstream("input_audio_buffer.speech_stopped", item_id="i", audio_end_ms=self.n)
            case "committed" if live:
                driver.upstream("input_audio_buffer.committed", item_id="i", previous_item_id=None)
            case "lose" if live:
                driver.lose()
            case "expire" if live:
                driver.upstream("error", error={"type": "x", "code": "session_expired", "message": "m"})
            case "garbage" if live:
                driver.upstream("response.created", response=7)
            case "reopen" if driver.dialled:
                driver.reopen(lasts_s=300.0)
            case "fail" if driver.dialled:
                driver.happen(Failed(work_id=driver.dialled[-1], code="backend_unavailable", message="No."))
            case "tick" if driver.relay.deadline is not None:
                driver.now = max(driver.now, driver.relay.deadline)
                driver.happen(Tick())
            case "cancel":
                driver.client("response.cancel")
            case "truncate":
                driver.client("conversation.item.truncate", item_id="item_1", content_index=0, audio_end_ms=5)


@given(st.lists(STEPS, max_size=60))
@settings(max_examples=300, deadline=None)
def test_every_history(steps: list[str]) -> None:
    history = History()
    driver = history.driver
    for step in steps:
        history.play(step)
        assert (driver.relay.deadline is None) == driver.relay.closed
        assert len(set(driver.dialled)) == len(driver.dialled)
    driver.happen(Left())
    check(driver.said)
    check_sound(driver)
    begun = [tally.response_id for tally in driver.tallies if tally.what == "started"]
    assert sorted(begun) == sorted(turn.id for turn in driver.turns)
    for turn in driver.turns:
        assert turn.error_code is None or turn.error_code in ERRORS


def check(said: list[Body]) -> None:
    """At most one `response.done` for each `response.created`, in this order, and nothing about it outside of them."""
    running: set[str] = set()
    ended: set[str] = set()
    for body in said:
        if body["type"] == "response.created":
            assert body["response"]["id"] not in running | ended
            running.add(body["response"]["id"])
        elif body["type"] == "response.done":
            running.remove(body["response"]["id"])
            ended.add(body["response"]["id"])
        elif "response_id" in body:
            assert body["response_id"] in running
    assert running == set()
    assert sum(body["type"] == "session.created" for body in said) == 1


def check_sound(driver: Driver) -> None:
    """Sound is told again in order, and never twice to one upstream."""
    told = [raw for raw in driver.asked_raw if raw is not None and raw.startswith(b"sound_")]
    positions = [int(raw.split(b"_")[1]) for raw in told]
    starts = [at for at in range(1, len(positions)) if positions[at] <= positions[at - 1]]
    assert len(starts) <= len(driver.dialled)


# ---- odd ones


def test_text_and_calls_that_are_cut_are_closed_with_what_was_said() -> None:
    driver = Driver()
    driver.upstream("response.created", response={"id": "resp_1"})
    shape = {"id": "item_t", "type": "message", "role": "assistant", "status": "in_progress", "content": []}
    driver.upstream("response.output_item.added", response_id="resp_1", output_index=0, item=shape)
    driver.upstream("conversation.item.added", item=shape)
    where = {"response_id": "resp_1", "item_id": "item_t", "output_index": 0, "content_index": 0}
    driver.upstream("response.output_text.delta", **where, delta="One ")
    driver.upstream("response.output_text.delta", **where, delta="two")
    driver.upstream("response.output_text.delta", **{**where, "output_index": 7}, delta="nobody's")
    driver.said.clear()
    driver.lose()
    told = driver.said
    assert [body["type"] for body in told] == [
        "response.output_text.done",
        "response.content_part.done",
        "conversation.item.done",
        "response.output_item.done",
        "response.done",
    ]
    assert told[0]["text"] == "One two"
    assert told[3]["item"]["content"] == [{"type": "output_text", "text": "One two"}]


def test_an_item_that_was_never_added_is_not_said_to_be_done() -> None:
    driver = Driver()
    driver.upstream("response.created", response={"id": "resp_1"})
    shape = {"id": "item_a", "type": "message", "role": "assistant", "content": []}
    driver.upstream("response.output_item.added", response_id="resp_1", output_index=0, item=shape)
    driver.kinds()
    driver.lose()
    assert driver.kinds() == ["response.output_item.done", "response.done"]


def test_what_was_closed_is_not_closed_again() -> None:
    driver = Driver()
    begin(driver)
    speak(driver, "Hello")
    where = {"response_id": "resp_1", "item_id": "item_a", "output_index": 0, "content_index": 0}
    driver.upstream("response.output_audio.done", **where)
    driver.upstream("response.output_audio_transcript.done", **where, transcript="Hello.")
    driver.upstream("response.content_part.done", **where, part={"type": "audio", "transcript": "Hello."})
    driver.kinds()
    driver.lose()
    assert driver.kinds() == [
        "conversation.item.done",
        "response.output_item.done",
        "response.done",
        "conversation.item.truncated",
    ]


def test_sound_without_an_announced_part_is_counted_all_the_same() -> None:
    driver = Driver()
    driver.upstream("response.created", response={"id": "resp_1"})
    shape = {"id": "item_a", "type": "message", "role": "assistant", "content": []}
    driver.upstream("response.output_item.added", response_id="resp_1", output_index=0, item=shape)
    driver.upstream("conversation.item.added", item=shape)
    where = {"response_id": "resp_1", "item_id": "item_a", "output_index": 0, "content_index": 0}
    driver.upstream("response.output_audio_transcript.delta", **where, delta="Hi")
    driver.upstream("response.output_audio.delta", **where, delta="A" * 6_400)
    driver.lose()
    assert driver.said[-1]["audio_end_ms"] == 100


def test_a_cleared_buffer_is_not_heard_again_and_deleted_items_are_not_told() -> None:
    driver = Driver(created=session(**MANUAL))
    user_says(driver, "Hi.")
    driver.sound("a")
    driver.client("input_audio_buffer.clear")
    driver.sound("b")
    driver.upstream("input_audio_buffer.cleared")
    driver.client("conversation.item.delete", item_id="item_u")
    driver.upstream("conversation.item.deleted", item_id="item_u")
    driver.client("conversation.item.retrieve", item_id="item_x")
    driver.upstream("conversation.item.retrieved", item={"id": "item_x"})
    driver.upstream("conversation.created", conversation={"id": "c"})
    driver.lose()
    driver.asked_raw.clear()
    driver.requests()
    driver.kinds()
    driver.reopen()
    assert driver.asked_raw == [b"b"]
    driver.upstream("conversation.created", conversation={"id": "c2"})
    driver.upstream("session.created", session={"id": "x"})
    assert driver.kinds() == ["session.updated"]


def test_an_append_in_an_unusual_spelling_is_sound_like_any_other() -> None:
    driver = Driver()
    driver.client("input_audio_buffer.append", audio="AAAA")
    driver.lose()
    driver.asked_raw.clear()
    driver.reopen()
    assert driver.asked_raw == [repr({"type": "input_audio_buffer.append", "audio": "AAAA"}).encode()]


def test_words_that_come_late_are_remembered_and_g711_is_counted_as_such() -> None:
    audio = {
        "input": {"turn_detection": None, "format": {"type": "audio/pcmu"}},
        "output": {"format": {"type": "audio/pcmu"}},
    }
    driver = Driver(created=session(audio=audio))
    shape = {
        "id": "item_u",
        "type": "message",
        "role": "user",
        "content": [{"type": "input_audio", "transcript": None}],
    }
    driver.sound("a", 3_200)
    driver.client("input_audio_buffer.commit")
    driver.upstream("input_audio_buffer.committed", item_id="item_u", previous_item_id=None)
    assert driver.tallies[-1].ms == 300
    driver.upstream("conversation.item.added", item=shape)
    kind = "conversation.item.input_audio_transcription.completed"
    driver.upstream(kind, item_id="item_u", content_index=0, transcript="Hello.")
    driver.lose()
    driver.requests()
    driver.reopen()
    assert driver.requests()[0]["item"]["content"] == [{"type": "input_text", "text": "Hello."}]


def test_a_spare_that_is_lost_before_it_is_needed_is_replaced() -> None:
    driver = Driver(lasts_s=100.0)
    begin(driver)
    driver.now = 80.0
    driver.relay.waited()
    driver.happen(Tick())
    driver.reopen()
    driver.happen(Lost(leg=driver.dialled[0], code="backend_unavailable", message="It broke."))
    driver.happen(Failed(work_id="leg_x", code="backend_unavailable", message="Nobody's."))
    assert driver.relay.leg == "leg_0"
    driver.now += RETRY_S
    driver.relay.waited()
    driver.happen(Tick())
    assert len(driver.dialled) == 2


def test_an_item_that_the_next_upstream_refuses_is_not_the_clients_trouble() -> None:
    driver = Driver()
    user_says(driver, "Hi.")
    driver.lose()
    driver.asked.clear()
    driver.reopen()
    driver.kinds()
    driver.upstream("error", error={"type": "x", "message": "no", "event_id": driver.asked[0]["event_id"]})
    assert driver.kinds() == []
