"""What scripts cannot say: sizes, limits, and what the effects carry."""

from typing import Any

import msgspec

from parley.core import effects as f
from parley.core import events as e
from parley.core import inputs as i
from parley.core.conversation import ITEMS_MAX, KEPT_AUDIO_BYTES_MAX, RETRIEVED_AUDIO_BYTES_MAX
from parley.core.input_audio import INPUT_AUDIO_MS_MAX
from parley.core.responder import DRAFT_INPUTS_MAX, OUT_OF_BAND_MAX
from parley.core.session import ERROR_CHARS_MAX, Session
from parley.core.usage import INSTRUCTIONS_TOKENS_MAX
from tests.core.driver import new_session

MANUAL = {"audio": {"input": {"turn_detection": None}}}


def said(effects: list[f.AnyEffect]) -> list[e.AnyServerEvent]:
    return [effect.event for effect in effects if isinstance(effect, f.Send)]


def errors(effects: list[f.AnyEffect]) -> list[str | None]:
    return [event.error.code for event in said(effects) if isinstance(event, e.Error)]


def started(effects: list[f.AnyEffect]) -> Any:
    [work] = [effect.work for effect in effects if isinstance(effect, f.Start)]
    return work


def message(text: str = "hello", **fields: Any) -> e.ConversationItemCreate:
    item = {"type": "message", "role": "user", "content": [{"type": "input_text", "text": text}], **fields}
    return e.ConversationItemCreate(item=item)


def respond(**fields: Any) -> e.ResponseCreate:
    return e.ResponseCreate(response=fields)


def speak(session: Session, frames: int, at: int = 0, probability: float = 0.9) -> list[f.AnyEffect]:
    effects: list[f.AnyEffect] = []
    for frame in range(at + 1, at + frames + 1):
        effects += session.handle(i.Heard(pcm=bytes(1_536)), frame * 0.032)
        effects += session.handle(i.Speech(upto=frame * 768, probability=probability), frame * 0.032)
    return effects


def test_an_error_quotes_no_more_than_fits() -> None:
    update = e.SessionUpdate(session={"type": "realtime", "audio": {"output": {"voice": "x" * 1_000_000}}})
    [error] = said(new_session().handle(update, 0.0))
    assert isinstance(error, e.Error)
    assert len(error.error.message) == ERROR_CHARS_MAX


def test_a_full_buffer_refuses_and_keeps_what_it_has() -> None:
    session = new_session(MANUAL)
    minute = bytes(48 * 60_000)
    for _ in range(INPUT_AUDIO_MS_MAX // 60_000):
        assert session.handle(i.Heard(pcm=minute), 0.0) == []
    assert errors(session.handle(i.Heard(pcm=b"\0\0", event_id="more"), 0.0)) == ["input_audio_buffer_full"]
    effects = session.handle(e.InputAudioBufferCommit(), 0.0)
    [sound] = [x.message.pcm for x in effects if isinstance(x, f.Tell) and isinstance(x.message, f.Audio)]
    assert len(sound) == 48 * INPUT_AUDIO_MS_MAX
    assert session.handle(i.Heard(pcm=minute), 0.0) == []


def test_a_conversation_has_room_for_so_many_items() -> None:
    session = new_session(MANUAL)
    for _ in range(ITEMS_MAX):
        assert errors(session.handle(message(), 0.0)) == []
    assert errors(session.handle(message(), 0.0)) == ["too_many_items"]
    session.handle(e.ConversationItemDelete(item_id="item_1"), 0.0)
    assert errors(session.handle(message(), 0.0)) == []


def test_old_sound_makes_room_for_new_and_words_stay() -> None:
    session = new_session(MANUAL)
    half = KEPT_AUDIO_BYTES_MAX // 2 + 2
    for _ in range(2):
        session.handle(i.Heard(pcm=bytes(half)), 0.0)
        session.handle(e.InputAudioBufferCommit(), 0.0)
    first, second = session._conversation
    assert first.audio == b""
    assert first.audio_ms > 0
    assert len(second.audio) == half


def test_retrieved_sound_fits_into_an_event() -> None:
    session = new_session(MANUAL)
    for size in (RETRIEVED_AUDIO_BYTES_MAX, RETRIEVED_AUDIO_BYTES_MAX + 2):
        session.handle(i.Heard(pcm=bytes(size)), 0.0)
        session.handle(e.InputAudioBufferCommit(), 0.0)
    shown = []
    for number in (1, 2):
        [event] = said(session.handle(e.ConversationItemRetrieve(item_id=f"item_{number}"), 0.0))
        shown.append("audio" in msgspec.to_builtins(event)["item"]["content"][0])
    assert shown == [True, False]


def test_so_many_answers_run_beside_the_conversation() -> None:
    session = new_session(MANUAL)
    for _ in range(OUT_OF_BAND_MAX):
        assert errors(session.handle(respond(conversation="none"), 0.0)) == []
    assert errors(session.handle(respond(conversation="none"), 0.0)) == ["too_many_responses"]
    assert errors(session.handle(respond(), 0.0)) == []


def test_long_instructions_are_refused() -> None:
    words = "word " * (INSTRUCTIONS_TOKENS_MAX + 1)
    update = e.SessionUpdate(session={"type": "realtime", "instructions": words})
    assert errors(new_session().handle(update, 0.0)) == ["invalid_value"]


def test_a_conversation_that_does_not_fit_fails_where_truncation_is_disabled() -> None:
    session = new_session({**MANUAL, "truncation": "disabled"}, context_tokens=110, output_tokens=10)
    session.handle(message("word " * 120), 0.0)
    done = said(session.handle(respond(), 0.0))[-1]
    assert isinstance(done, e.ResponseDone)
    assert done.response.status == "failed"
    assert done.response.status_details is not None
    assert done.response.status_details["error"]["code"] == "context_length_exceeded"


def test_overrides_hold_for_one_response_only() -> None:
    tool = {"type": "function", "name": "f"}
    session = new_session({**MANUAL, "tools": [tool], "tool_choice": {"type": "function", "name": "f"}})
    own = respond(
        instructions="Be short.",
        output_modalities=["text"],
        tools=[],
        max_output_tokens=7,
        temperature=0.7,
        parallel_tool_calls=False,
        reasoning={"effort": "high"},
        audio={"output": {"voice": "cedar", "format": {"type": "audio/pcmu"}}},
    )
    first = started(session.handle(own, 0.0))
    assert (first.instructions, first.spoken, first.tools, first.tool_choice) == ("Be short.", False, (), "auto")
    assert (first.max_output_tokens, first.temperature, first.voice) == (7, 0.7, "cedar")
    assert (first.parallel_tool_calls, first.reasoning.effort) == (False, "high")
    session.handle(i.Generated(work_id=first.work_id), 0.0)
    second = started(session.handle(respond(), 0.0))
    assert (second.instructions, second.spoken, len(second.tools), second.voice) == ("", True, 1, "marin")


def test_the_second_reading_of_the_same_words_is_cached() -> None:
    session = new_session({**MANUAL, "output_modalities": ["text"], "instructions": "be brief please"})
    cached = []
    for step in ("one", "two", "instructions"):
        if step == "instructions":
            session.handle(e.SessionUpdate(session={"type": "realtime", "instructions": "be long"}), 0.0)
        session.handle(message("some words"), 0.0)
        work = started(session.handle(respond(), 0.0))
        done = said(session.handle(i.Generated(work_id=work.work_id), 0.0))[-1]
        assert isinstance(done, e.ResponseDone)
        assert done.response.usage is not None
        cached.append(done.response.usage.input_token_details.cached_tokens)
    assert cached == [0, 5, 0]


def test_output_stops_at_the_limit_to_the_byte() -> None:
    session = new_session({**MANUAL, "max_output_tokens": 12})
    work = started(session.handle(respond(), 0.0))
    session.handle(i.Said(work_id=work.work_id, output=0, text="one two"), 0.0)
    effects = session.handle(i.Spoke(work_id=work.work_id, output=0, pcm=bytes(48_000)), 0.0)
    [sound] = [event.delta for event in said(effects) if isinstance(event, e.OutputAudioDelta)]
    assert len(sound) == 10 * 50 * 48
    done = said(effects)[-1]
    assert isinstance(done, e.ResponseDone)
    assert done.response.status == "incomplete"
    assert done.response.usage is not None
    assert done.response.usage.output_tokens == 12


def test_a_draft_that_grows_too_long_or_fails_is_dropped() -> None:
    for made in ("much", "failure"):
        session = new_session({"audio": {"input": {"turn_detection": {"type": "semantic_vad", "eagerness": "low"}}}})
        listening = started(speak(session, 10))
        speak(session, 7, at=10, probability=0.0)
        heard = i.Transcribed(work_id=listening.work_id, text="Hello there.", final=False, peeked=True)
        draft = started(session.handle(heard, 0.6))
        effects: list[f.AnyEffect] = []
        if made == "failure":
            effects += session.handle(i.Failed(work_id=draft.work_id, code="backend_timeout", message=""), 0.6)
        else:
            for _ in range(DRAFT_INPUTS_MAX + 1):
                effects += session.handle(i.Said(work_id=draft.work_id, output=0, text="x "), 0.6)
        assert effects == [f.Stop(work_id=draft.work_id)]


def test_a_draft_is_not_used_when_the_last_words_differ() -> None:
    session = new_session({"audio": {"input": {"turn_detection": {"type": "semantic_vad", "eagerness": "low"}}}})
    listening = started(speak(session, 10))
    speak(session, 7, at=10, probability=0.0)
    heard = i.Transcribed(work_id=listening.work_id, text="Hello there.", final=False, peeked=True)
    draft = started(session.handle(heard, 0.6))
    effects = session.handle(message("and something typed"), 0.6)
    assert f.Stop(work_id=draft.work_id) in effects


def test_speech_that_is_sent_at_once_is_heard_from_its_beginning() -> None:
    """A client may send a whole file in one event; the Ear needs its time for it."""
    session = new_session()
    speech, silence = 300, 60
    session.handle(i.Heard(pcm=bytes(1_536 * 2 * (speech + silence))), 0.0)
    effects: list[f.AnyEffect] = []
    for frame in range(1, 2 * (speech + silence) + 1):
        spoken = (frame - 1) % (speech + silence) < speech
        effects += session.handle(i.Speech(upto=frame * 768, probability=0.9 if spoken else 0.0), 0.1)
    turns = [event for event in said(effects) if isinstance(event, (e.SpeechStarted, e.SpeechStopped))]
    bounds = [getattr(event, "audio_start_ms", None) or getattr(event, "audio_end_ms", None) for event in turns]
    assert len(turns) == 4
    told = sum(len(x.message.pcm) for x in effects if isinstance(x, f.Tell) and isinstance(x.message, f.Audio))
    assert told >= 2 * speech * 1_536
    assert bounds[2] is not None
    assert 11_000 <= bounds[2] <= 11_520


def test_stamps_tell_a_turn_from_first_sound_to_end() -> None:
    session = new_session()
    listening = started(speak(session, 10))
    speak(session, 20, at=10, probability=0.0)
    work = started(session.handle(i.Transcribed(work_id=listening.work_id, text="hello", final=True), 1.1))
    session.handle(i.Said(work_id=work.work_id, output=0, text="Hi."), 1.2)
    session.handle(i.Spoke(work_id=work.work_id, output=0, pcm=bytes(480)), 1.3)
    effects = session.handle(i.Generated(work_id=work.work_id), 1.4)
    [turn] = [effect.turn for effect in effects if isinstance(effect, f.Meter)]
    stamps = turn.stamps
    order = [stamps.speech_start, stamps.speech_stop, stamps.committed, stamps.transcript_final, stamps.first_audio]
    assert order == sorted(order, key=lambda stamp: stamp or 0.0)
    assert (stamps.transcript_final, stamps.first_audio, stamps.done) == (1.1, 1.3, 1.4)
    assert stamps.speech_stop is not None
    assert abs(stamps.speech_stop - 0.32) < 0.001


def test_tools_are_timed_across_responses() -> None:
    session = new_session({**MANUAL, "tools": [{"type": "function", "name": "f"}]})
    first = started(session.handle(respond(), 1.0))
    session.handle(i.Called(work_id=first.work_id, output=0, name="f", call_id="c", arguments="{}"), 1.1)
    session.handle(i.Generated(work_id=first.work_id), 1.2)
    output = {"type": "function_call_output", "call_id": "c", "output": "1"}
    session.handle(e.ConversationItemCreate(item=output), 1.7)
    second = started(session.handle(respond(), 1.8))
    effects = session.handle(i.Generated(work_id=second.work_id), 1.9)
    [turn] = [effect.turn for effect in effects if isinstance(effect, f.Meter)]
    assert (turn.stamps.tool_start, turn.stamps.tool_end, turn.stamps.response_created) == (1.2, 1.7, 1.8)


def test_transcription_usage_logprobs_and_languages() -> None:
    config = {
        "type": "transcription",
        "audio": {"input": {"transcription": {"model": "gpt-transcribe"}, "turn_detection": None}},
        "include": ["item.input_audio_transcription.logprobs"],
    }
    session = new_session(config)
    work = started(session.handle(i.Heard(pcm=bytes(48 * 250)), 0.0))
    assert work.logprobs
    assert work.partials
    session.handle(e.InputAudioBufferCommit(), 0.0)
    heard = i.Transcribed(
        work_id=work.work_id, text="hé", final=True, stable=2, language="fr", logprobs=(("hé", -0.25),)
    )
    effects = session.handle(heard, 0.0)
    done = said(effects)[-1]
    assert isinstance(done, e.TranscriptionCompleted)
    shown = msgspec.to_builtins(done)
    assert shown["usage"]["total_tokens"] == 3 + 1
    assert shown["languages"] == ({"code": "fr"},)
    assert shown["logprobs"] == ({"token": "hé", "logprob": -0.25, "bytes": (104, 195, 169)},)
    [turn] = [effect.turn for effect in effects if isinstance(effect, f.Meter)]
    assert (turn.kind, turn.audio_ms, turn.text_tokens) == ("transcription", 250, 1)


def test_nothing_happens_to_a_closed_session() -> None:
    session = new_session()
    session.handle(i.Left(), 0.0)
    assert session.closed
    assert session.deadline is None
    assert session.handle(message(), 1.0) == []


def test_a_session_without_transcription_never_listens() -> None:
    config = {"type": "transcription", "audio": {"input": {"transcription": None, "turn_detection": None}}}
    session = new_session(config)
    assert session.handle(i.Heard(pcm=bytes(48 * 250)), 0.0) == []
    effects = session.handle(e.InputAudioBufferCommit(), 0.0)
    assert [type(event).__struct_config__.tag for event in said(effects)] == [
        "input_audio_buffer.committed",
        "conversation.item.added",
        "conversation.item.done",
    ]


def test_only_where_the_server_plays_is_there_an_output_buffer_to_clear() -> None:
    assert errors(new_session(plays=True).handle(e.OutputAudioBufferClear(), 0.0)) == []
    assert errors(new_session().handle(e.OutputAudioBufferClear(), 0.0)) == ["invalid_value"]
