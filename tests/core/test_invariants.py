"""Whatever happens, in whatever order: the promises of style.md, rule 11."""

from typing import Any

import hypothesis.strategies as st
from hypothesis import given, settings

from parley.core import effects as f
from parley.core import events as e
from parley.core import inputs as i
from parley.core.input_audio import IDLE_AUDIO_MS_MAX, SAMPLES_PER_MS
from parley.core.rates import RATES, Rate
from parley.core.session import Session
from tests.core.driver import new_session, tool_info

ITEM_IDS = [f"item_{n}" for n in range(1, 8)] + ["root", "nowhere"]
RESPONSE_IDS = [f"resp_{n}" for n in range(1, 8)]
WORK_IDS = [f"work_{n}" for n in range(1, 6)]
CALL_IDS = [f"call_{n}" for n in range(1, 4)]
LIST_IDS = [f"mcpl_{n}" for n in range(1, 4)]
MCP_IDS = [f"mcp_{n}" for n in range(1, 5)]
APPROVAL_IDS = [f"mcpr_{n}" for n in range(1, 4)]

FRAME = bytes(1_536)


def message(text: str) -> dict[str, Any]:
    return {"type": "message", "role": "user", "content": [{"type": "input_text", "text": text}]}


TURN_DETECTIONS: list[Any] = [
    None,
    {"type": "server_vad"},
    {"type": "server_vad", "silence_duration_ms": 200, "idle_timeout_ms": 5000},
    {"type": "server_vad", "create_response": False, "interrupt_response": False},
    {"type": "semantic_vad", "eagerness": "high"},
]

PATCHES: list[dict[str, Any]] = [
    {},
    {"type": "realtime", "model": "x"},
    {"type": "realtime", "output_modalities": ["text"]},
    {"type": "realtime", "tools": []},
    {"type": "realtime", "tools": [{"type": "mcp", "server_label": "a", "server_url": "http://a/"}]},
    {"type": "realtime", "tools": [{"type": "mcp", "server_label": "a", "server_url": "http://b/"}]},
    {"type": "realtime", "tools": [{"type": "mcp", "server_label": "a", "require_approval": "never"}]},
]

CLIENT = st.one_of(
    st.sampled_from(TURN_DETECTIONS).map(
        lambda td: e.SessionUpdate(session={"type": "realtime", "audio": {"input": {"turn_detection": td}}})
    ),
    st.sampled_from(PATCHES).map(lambda patch: e.SessionUpdate(session=patch)),
    st.just(e.InputAudioBufferCommit()),
    st.just(e.InputAudioBufferClear()),
    st.sampled_from(ITEM_IDS).map(lambda item_id: e.ConversationItemDelete(item_id=item_id)),
    st.sampled_from(ITEM_IDS).map(lambda item_id: e.ConversationItemRetrieve(item_id=item_id)),
    st.tuples(st.sampled_from(ITEM_IDS), st.integers(-5, 900)).map(
        lambda cut: e.ConversationItemTruncate(item_id=cut[0], content_index=0, audio_end_ms=cut[1])
    ),
    st.sampled_from([*ITEM_IDS, None]).map(
        lambda before: e.ConversationItemCreate(item=message("hello"), previous_item_id=before)
    ),
    st.sampled_from(CALL_IDS).map(
        lambda call: e.ConversationItemCreate(item={"type": "function_call_output", "call_id": call, "output": "1"})
    ),
    st.sampled_from(
        [None, {"conversation": "none"}, {"conversation": "none", "input": [message("x")]}, {"bad": 1}]
    ).map(lambda response: e.ResponseCreate(response=response)),
    st.tuples(st.sampled_from(APPROVAL_IDS), st.booleans()).map(
        lambda answer: e.ConversationItemCreate(
            item={"type": "mcp_approval_response", "approval_request_id": answer[0], "approve": answer[1]}
        )
    ),
    st.sampled_from([None, *RESPONSE_IDS]).map(lambda response_id: e.ResponseCancel(response_id=response_id)),
    st.just(e.OutputAudioBufferClear()),
    st.just(i.Malformed(code="invalid_event", message="?")),
)

ENGINE = st.one_of(
    st.tuples(st.sampled_from(RESPONSE_IDS), st.integers(0, 2)).map(
        lambda at: i.Said(work_id=at[0], output=at[1], text="some words ")
    ),
    st.tuples(st.sampled_from(RESPONSE_IDS), st.integers(0, 2)).map(
        lambda at: i.Spoke(work_id=at[0], output=at[1], pcm=FRAME)
    ),
    st.tuples(st.sampled_from(RESPONSE_IDS), st.integers(0, 2), st.sampled_from(["f", "a__look", "a__do"])).map(
        lambda at: i.Called(work_id=at[0], output=at[1], name=at[2], arguments="{")
    ),
    st.sampled_from(LIST_IDS).map(
        lambda work_id: i.ToolsListed(work_id=work_id, tools=(tool_info("look"), tool_info("do!")))
    ),
    st.tuples(st.sampled_from(LIST_IDS), st.sampled_from(MCP_IDS)).map(
        lambda call: i.ToolReturned(work_id=call[0], call_id=call[1], output="1")
    ),
    st.tuples(st.sampled_from(RESPONSE_IDS), st.integers(0, 2)).map(lambda at: i.Ended(work_id=at[0], output=at[1])),
    st.tuples(st.sampled_from(RESPONSE_IDS), st.sampled_from(["stop", "length", "content_filter"])).map(
        lambda end: i.Generated(work_id=end[0], reason=end[1])
    ),
    st.sampled_from(RESPONSE_IDS + WORK_IDS + LIST_IDS).map(
        lambda work_id: i.Failed(work_id=work_id, code="backend_timeout", message="slow")
    ),
    st.tuples(st.sampled_from(WORK_IDS), st.sampled_from(["", "hello and", "What time is it?"])).map(
        lambda heard: i.Transcribed(work_id=heard[0], text=heard[1], final=True)
    ),
    st.tuples(st.sampled_from(WORK_IDS), st.sampled_from(["hello and", "What time is it?"])).map(
        lambda heard: i.Transcribed(work_id=heard[0], text=heard[1], final=False, peeked=True)
    ),
    st.sampled_from(WORK_IDS).map(lambda work_id: i.Transcribed(work_id=work_id, text="hel", final=False, stable=3)),
)

TOLD = st.lists(
    st.builds(Rate, st.sampled_from(RATES), st.integers(0, 50), st.floats(0.0, 200.0)),
    max_size=3,
    unique_by=lambda r: r.name,
).map(lambda rates: i.Rates(rates=tuple(rates)))
"""What the shell tells of the limits; about half of them are used up."""

SOUND = st.tuples(st.integers(1, 40), st.booleans())
"""How many 32 ms frames, and whether they hold speech."""

PASSING = st.one_of(st.integers(1, 20_000), st.just(4_000_000))
"""Milliseconds that pass."""

HISTORY = st.lists(st.one_of(CLIENT, ENGINE, ENGINE, SOUND, SOUND, PASSING, TOLD), max_size=60)


class Watch:
    """Follows one session and objects to whatever must not happen."""

    def __init__(self, session: Session) -> None:
        self.session = session
        self.now = 0.0
        self.heard = 0
        self.taken_bytes = 0
        self.created: list[str] = []
        self.done: list[str] = []
        self.in_conversation: set[str] = set()
        self.running_work: set[str] = set()
        self.ended_work: set[str] = set()
        self.metered: list[str] = []
        self.opened_parts: set[tuple[str, int]] = set()

    def give(self, event: i.AnyInput) -> None:
        before = self.session.config
        if isinstance(event, (i.Transcribed, i.Failed, i.Generated)) and (
            not isinstance(event, i.Transcribed) or event.final
        ):
            self.ended_work.add(event.work_id)
        effects = self.session.handle(event, self.now)
        for effect in effects:
            self.see(effect)
        if any(isinstance(x, f.Send) and isinstance(x.event, e.Error) for x in effects) and isinstance(
            event, e.SessionUpdate
        ):
            assert self.session.config == before
        running = [response for response in self.created if response not in self.done]
        assert len([response for response in running if response in self.in_conversation]) <= 1

    def see(self, effect: f.AnyEffect) -> None:
        match effect:
            case f.Start(work=work):
                assert work.work_id not in self.running_work or work.work_id in self.ended_work
                self.running_work.add(work.work_id)
            case f.Tell(work_id=work_id):
                assert work_id in self.running_work
            case f.Stop(work_id=work_id):
                assert work_id in self.running_work
                self.running_work.discard(work_id)
            case f.Meter(turn=turn) if turn.kind == "response":
                self.metered.append(turn.id)
            case f.Send(event=event):
                self.hear(event)

    def hear(self, event: e.AnyServerEvent) -> None:
        match event:
            case e.ResponseCreated(response=response):
                assert response.id not in self.created
                self.created.append(response.id)
                if response.conversation_id is not None:
                    self.in_conversation.add(response.id)
            case e.ResponseDone(response=response):
                assert response.id in self.created
                assert response.id not in self.done
                assert response.usage is not None
                assert response.usage.total_tokens == response.usage.input_tokens + response.usage.output_tokens
                assert all(item.status != "in_progress" for item in response.output)
                self.done.append(response.id)
        response_id = getattr(event, "response_id", None)
        if response_id is not None:
            assert response_id in self.created
            assert response_id not in self.done

    def sound(self, frames: int, speech: bool) -> None:
        for _ in range(frames):
            self.now += 0.032
            self.heard += 768
            self.give(i.Heard(pcm=FRAME))
            self.give(i.Speech(upto=self.heard, probability=0.9 if speech else 0.05))

    def wait(self, ms: int) -> None:
        until = self.now + ms / 1000
        while (deadline := self.session.deadline) is not None and deadline <= until:
            self.now = max(self.now, deadline)
            self.give(i.Tick())
        self.now = until

    def close(self) -> None:
        self.give(i.Left())
        assert sorted(self.created) == sorted(self.done)
        assert sorted(self.metered) == sorted(self.done)
        assert self.running_work <= self.ended_work | set(self.done)


@settings(max_examples=400, deadline=None)
@given(HISTORY, st.sampled_from(TURN_DETECTIONS), st.booleans())
def test_promises_hold_for_every_history(history: list[Any], turn_detection: Any, peeks: bool) -> None:
    session = new_session({"audio": {"input": {"turn_detection": turn_detection}}}, peeks=peeks)
    watch = Watch(session)
    for effect in session.open():
        watch.see(effect)
    for step in history:
        match step:
            case (frames, speech):
                watch.sound(frames, speech)
            case int():
                watch.wait(step)
            case _:
                watch.give(step)
    watch.close()


@settings(max_examples=60, deadline=None)
@given(st.lists(st.one_of(st.integers(1, 400), st.just("commit"), st.just("clear")), max_size=40))
def test_no_audio_is_lost_or_used_twice(steps: list[Any]) -> None:
    """Without turn detection every byte ends in exactly one item, or is cleared, or still waits."""
    session = new_session({"audio": {"input": {"turn_detection": None}}})
    heard, told, cleared, waiting = bytearray(), bytearray(), 0, 0
    for number, step in enumerate(steps):
        if isinstance(step, int):
            pcm = bytes([number % 251]) * (step * 2 * SAMPLES_PER_MS)
            heard += pcm
            waiting += len(pcm)
            session.handle(i.Heard(pcm=pcm), 0.0)
            continue
        event = e.InputAudioBufferCommit() if step == "commit" else e.InputAudioBufferClear()
        effects = session.handle(event, 0.0)
        if step == "clear":
            cleared += waiting
            del heard[len(heard) - waiting :]
            waiting = 0
        sounds = [x.message.pcm for x in effects if isinstance(x, f.Tell) and isinstance(x.message, f.Audio)]
        if sounds:
            told += b"".join(sounds)
            waiting = 0
    assert bytes(told) == bytes(heard[: len(heard) - waiting])


def test_idle_listening_keeps_a_bounded_window() -> None:
    session = new_session()
    for frame in range(1, 2_000):
        session.handle(i.Heard(pcm=FRAME), frame * 0.032)
        session.handle(i.Speech(upto=frame * 768, probability=0.0), frame * 0.032)
    assert session._user.buffer.ms <= IDLE_AUDIO_MS_MAX + 32  # and the frame that came since


def test_a_session_of_an_hour_of_calls_takes_no_time() -> None:
    watch = Watch(new_session())
    for _ in range(200):
        watch.sound(10, True)
        watch.sound(20, False)
    assert len(watch.created) >= 1
    watch.wait(4_000_000)
    assert watch.session.closed
