"""What a model thinks is counted and never said; messages around calls tell what they are (protocol.md 6.7)."""

from typing import Any

from parley.core import events as e
from parley.core import inputs as i
from parley.core.effects import AnyEffect, Generate, Send, Start, Stop
from parley.core.items import Message
from parley.core.session import Session
from tests.core.driver import new_session


def asked(**patch: Any) -> tuple[Session, str]:
    """A session that is answering, and its work."""
    session = new_session({"output_modalities": ["text"], **patch})
    session.open()
    effects = session.handle(e.ResponseCreate(), 0.0)
    (work,) = [effect.work for effect in effects if isinstance(effect, Start) and isinstance(effect.work, Generate)]
    return session, work.work_id


def happen(session: Session, *several: i.AnyInput) -> list[AnyEffect]:
    return [effect for event in several for effect in session.handle(event, 0.0)]


def done(effects: list[AnyEffect]) -> e.Response:
    (response,) = [
        effect.event.response
        for effect in effects
        if isinstance(effect, Send) and isinstance(effect.event, e.ResponseDone)
    ]
    return response


def output_tokens(response: e.Response) -> int:
    assert response.usage is not None
    return response.usage.output_tokens


def test_thoughts_are_counted_and_not_said() -> None:
    session, work = asked()
    assert happen(session, i.Thought(work_id=work, text="one two three")) == []
    effects = happen(
        session,
        i.Said(work_id=work, output=0, text="Four five."),
        i.Ended(work_id=work, output=0),
        i.Generated(work_id=work),
    )
    assert output_tokens(done(effects)) == 5
    assert "three" not in str(effects)


def test_the_model_counts_its_own_thoughts_better() -> None:
    session, work = asked()
    effects = happen(
        session,
        i.Thought(work_id=work, text="one two three"),
        i.Said(work_id=work, output=0, text="Four."),
        i.Generated(work_id=work, reasoning_tokens=40),
    )
    assert output_tokens(done(effects)) == 41


def test_thoughts_count_towards_the_limit() -> None:
    session, work = asked(max_output_tokens=3)
    effects = happen(session, i.Thought(work_id=work, text="one two three four"))
    assert Stop(work_id=work) in effects
    response = done(effects)
    assert response.status_details == {"type": "incomplete", "reason": "max_output_tokens"}
    assert response.output == ()


def test_late_thoughts_of_a_cancelled_response() -> None:
    session, work = asked()
    happen(session, e.ResponseCancel())
    assert happen(session, i.Thought(work_id=work, text="late")) == []


def test_a_message_ahead_of_a_call_is_commentary_and_one_behind_it_the_answer() -> None:
    tool = {"type": "function", "name": "f", "parameters": {"type": "object"}}
    session, work = asked(tools=[tool])
    effects = happen(
        session,
        i.Said(work_id=work, output=0, text="I'll look."),
        i.Ended(work_id=work, output=0, preamble=True),
        i.Called(work_id=work, output=1, name="f", arguments="{}"),
        i.Said(work_id=work, output=2, text="Done."),
        i.Generated(work_id=work),
    )
    phases = [item.phase for item in done(effects).output if isinstance(item, Message)]
    assert phases == ["commentary", "final_answer"]


def test_a_message_alone_has_no_phase() -> None:
    session, work = asked()
    effects = happen(session, i.Said(work_id=work, output=0, text="Hi."), i.Generated(work_id=work))
    (message,) = done(effects).output
    assert isinstance(message, Message) and not isinstance(message.phase, str)
