"""Limits that refill evenly, and what a session makes of them (protocol.md 6.6, 8.3)."""

import math
from typing import Any

import hypothesis.strategies as st
import pytest
from hypothesis import given

from parley.core import effects as f
from parley.core import events as e
from parley.core import inputs as i
from parley.core.rates import DAY_S, MINUTE_S, Allowance, Rate, refusal, tightest, used_up
from parley.core.session import Session
from tests.core.driver import new_session


def test_a_limit_is_used_up_and_refills_evenly() -> None:
    rate = Rate("requests", 7)
    for left in (6, 5, 4, 3, 2, 1, 0):
        assert rate.wait_s() == 0.0
        rate = rate.spent(1)
        assert rate.remaining == left
    assert rate.wait_s() == pytest.approx(MINUTE_S / 7)
    assert rate.reset_s == pytest.approx(MINUTE_S)
    assert rate.later(MINUTE_S / 7).wait_s() == 0.0
    assert rate.later(1_000.0) == Rate("requests", 7)


def test_what_is_overdrawn_is_waited_for() -> None:
    rate = Rate("tokens", 600).spent(700)
    assert (rate.remaining, rate.reset_s) == (0, 70.0)
    assert rate.wait_s() == pytest.approx(10.1)


def test_nothing_fits_into_a_limit_of_zero() -> None:
    rate = Rate("audio_ms", 0)
    assert (rate.remaining, rate.wait_s(), rate.spent(5).reset_s) == (0, DAY_S, 0.0)


@given(st.integers(1, 500), st.lists(st.floats(0.0, 20.0), max_size=300), st.floats(0.0, 120.0))
def test_no_window_has_more_than_the_limit_and_what_flows_in(limit: int, pauses: list[float], window: float) -> None:
    rate, now, passed = Rate("requests", limit), 0.0, list[float]()
    for pause in pauses:
        now += pause
        rate = rate.later(pause)
        if not rate.wait_s():
            rate = rate.spent(1)
            passed.append(now)
    most = limit + math.floor(window * limit / MINUTE_S + 1e-3)
    for start in passed:
        assert sum(start <= at <= start + window for at in passed) <= most


@given(st.integers(1, 10_000), st.floats(0.0, 500.0))
def test_who_waits_as_long_as_told_is_let_in(limit: int, reset_s: float) -> None:
    rate = Rate("requests", limit, reset_s)
    assert rate.later(rate.wait_s()).wait_s() == 0.0


def test_the_tightest_of_several_counts() -> None:
    key, account = Rate("tokens", 100).spent(10), Rate("tokens", 1_000).spent(950)
    assert tightest((key, account, Rate("requests", 5))) == (account, Rate("requests", 5))
    assert tightest((key.spent(200), account)) == (key.spent(200),)
    assert used_up((key, account)) is None
    assert used_up((key.spent(95), account.spent(100))) == key.spent(95)


def test_a_refusal_names_the_limit_and_the_time() -> None:
    assert refusal(Rate("requests", 60).spent(60.25)) == (
        "Rate limit reached: 60 requests per minute. Please try again in 1.3 s."
    )
    assert "2.5 minutes of audio per day. Please try again in 3456" in refusal(Rate("audio_ms", 150_000).spent(156_000))


def test_an_allowance_shows_what_it_was_not_told_and_stops_nobody_by_it() -> None:
    allowance = Allowance((Rate("requests", 60), Rate("tokens", 600)), 0.0)
    allowance.spend(0.0, requests=1, tokens=700)
    requests, tokens = allowance.rows(0.0)
    assert (requests.remaining, tokens.remaining, tokens.reset_seconds) == (59, 0, 70.0)
    assert allowance.used_up(0.0) is None
    requests, tokens = allowance.rows(40.0)
    assert (requests.remaining, tokens.remaining) == (60, 300)


def test_what_is_told_comes_first_and_goes_on_from_there() -> None:
    allowance = Allowance((Rate("requests", 60), Rate("tokens", 600)), 0.0)
    allowance.told((Rate("requests", 10, 30.0), Rate("audio_ms", 60_000, 2 * DAY_S)), 2, 5.0)
    assert [(row.name, row.remaining, row.limit) for row in allowance.rows(5.0)] == [
        ("requests", 3, 10),
        ("tokens", 600, 600),
    ]
    stopped = allowance.used_up(5.0)
    assert stopped is not None
    assert stopped.name == "audio_ms"
    allowance.told((), 0, 6.0)
    assert allowance.used_up(6.0) is None


# ---- in a session


def create(session: Session, now: float) -> list[f.AnyEffect]:
    return session.handle(e.ResponseCreate(), now)


def said(effects: list[f.AnyEffect]) -> list[Any]:
    return [effect.event for effect in effects if isinstance(effect, f.Send)]


def test_a_response_beyond_the_limit_fails_without_any_work() -> None:
    session = new_session({"output_modalities": ["text"]})
    session.handle(i.Rates(rates=(Rate("tokens", 600, 70.0),)), 0.0)
    effects = create(session, 1.0)
    created, limits, done = said(effects)
    assert isinstance(created, e.ResponseCreated)
    assert [(row.name, row.remaining) for row in limits.rate_limits] == [("requests", 1_000), ("tokens", 0)]
    assert done.response.status == "failed"
    assert done.response.status_details["error"] == {
        "type": "invalid_request_error",
        "code": "rate_limit_exceeded",
        "message": "Rate limit reached: 600 tokens per minute. Please try again in 9.1 s.",
    }
    assert not any(isinstance(effect, f.Start) for effect in effects)
    assert [effect.turn.error_code for effect in effects if isinstance(effect, f.Meter)] == ["rate_limit_exceeded"]
    assert any(isinstance(effect, f.Start) for effect in create(session, 11.0))


def test_a_running_response_is_never_stopped_by_a_limit() -> None:
    session = new_session({"output_modalities": ["text"]})
    [work] = [effect.work for effect in create(session, 0.0) if isinstance(effect, f.Start)]
    assert session.handle(i.Rates(rates=(Rate("tokens", 600, 90.0),)), 0.0) == []
    session.handle(i.Said(work_id=work.work_id, output=0, text="Hello."), 0.0)
    done = said(session.handle(i.Generated(work_id=work.work_id), 0.0))[-1]
    assert done.response.status == "completed"


def test_a_session_obeys_its_own_spending_until_it_is_told_again() -> None:
    session = new_session({"output_modalities": ["text"]})
    session.handle(i.Rates(rates=(Rate("requests", 2),)), 0.0)
    for left in (1, 0):
        effects = create(session, 0.0)
        assert said(effects)[1].rate_limits[0].remaining == left
        session.handle(e.ResponseCancel(), 0.0)
    assert said(create(session, 0.0))[-1].response.status_details["error"]["code"] == "rate_limit_exceeded"


USED_UP = i.Rates(rates=(Rate("tokens", 600, 70.0),))


def turn_of(session: Session, after_draft: i.AnyInput | None = None) -> list[f.AnyEffect]:
    """Somebody asks for the time; the transcriber hears it early. `after_draft` happens when a draft has begun."""
    seen: list[f.AnyEffect] = []

    def give(event: i.AnyInput) -> None:
        for effect in session.handle(event, 0.0):
            seen.append(effect)
            if isinstance(effect, f.Tell) and isinstance(effect.message, f.Peek):
                give(i.Transcribed(work_id=effect.work_id, text="What time is it", final=False, peeked=True))
            elif after_draft is not None and isinstance(effect, f.Start) and isinstance(effect.work, f.Generate):
                give(after_draft)

    for frame in range(1, 60):
        give(i.Heard(pcm=bytes(1_536)))
        give(i.Speech(upto=frame * 768, probability=0.95 if frame < 20 else 0.02))
    return seen


def generated(effects: list[f.AnyEffect]) -> list[str]:
    return [
        effect.work.work_id for effect in effects if isinstance(effect, f.Start) and isinstance(effect.work, f.Generate)
    ]


def semantic() -> Session:
    return new_session({"audio": {"input": {"turn_detection": {"type": "semantic_vad"}}}}, peeks=True)


def test_nothing_is_drafted_where_a_limit_is_used_up() -> None:
    assert len(generated(turn_of(semantic()))) == 1
    limited = semantic()
    limited.handle(USED_UP, 0.0)
    effects = turn_of(limited)
    assert generated(effects) == []
    assert said(effects)[-1].response.status_details["error"]["code"] == "rate_limit_exceeded"


def test_a_draft_is_dropped_when_a_limit_is_used_up_meanwhile() -> None:
    effects = turn_of(semantic(), USED_UP)
    [draft] = generated(effects)
    assert [effect.work_id for effect in effects if isinstance(effect, f.Stop) and effect.work_id == draft] == [draft]
    done = said(effects)[-1].response
    assert done.status == "failed"
    assert done.id != draft
