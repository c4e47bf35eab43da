"""Where sound lies on the axis: by the sample, with a clock that is told the time."""

import numpy as np
import pytest

from parley.live.timeline import AHEAD_S_MAX, HOLD_S, PATIENCE_S, PAUSE_S, RATE_HZ, Placed, Stretch, Timeline

MS = RATE_HZ // 1_000


def sound(ms: int, value: int = 1) -> bytes:
    return np.full(ms * MS, value, "<i2").tobytes()


def places(pieces: tuple[Placed, ...]) -> list[tuple[float, float]]:
    """From and to in milliseconds, neighbours joined."""
    found: list[tuple[float, float]] = []
    for placed in pieces:
        start, end = placed.at / MS, placed.at / MS + len(placed.pcm) / 2 / MS
        if found and found[-1][1] == start:
            found[-1] = (found[-1][0], end)
        else:
            found.append((start, end))
    return found


def microphone(timeline: Timeline, start: float, end: float, step_ms: int = 20) -> None:
    """Sound in real time: each piece comes when its last sample was said."""
    at = start
    while at + step_ms / 1_000 <= end + 1e-9:
        at += step_ms / 1_000
        timeline.hear(sound(step_ms), at)


def test_a_microphone_lies_on_the_clock() -> None:
    timeline = Timeline(100.0)
    microphone(timeline, 100.5, 103.5)
    assert places(timeline.finish(104.0).user) == [(500, 3_500)]
    assert timeline.of_input(1_000) == 1_500 * MS


def test_pieces_that_come_late_are_not_torn_apart() -> None:
    timeline = Timeline(0.0)
    microphone(timeline, 0.0, 1.0)
    for _ in range(50):  # a second was held up on its way, and comes at once
        timeline.hear(sound(20), 2.0)
    microphone(timeline, 2.0, 3.0)
    assert places(timeline.finish(3.0).user) == [(0, 3_000)]


def test_a_pause_stays_a_pause() -> None:
    """Push-to-talk: nothing comes while nobody speaks."""
    timeline = Timeline(0.0)
    microphone(timeline, 0.0, 1.0)
    microphone(timeline, 1.0 + 2 * PAUSE_S, 2.0 + 2 * PAUSE_S)
    assert places(timeline.finish(10.0).user) == [(0, 1_000), (1_000 + 2_000 * PAUSE_S, 2_000 + 2_000 * PAUSE_S)]
    assert timeline.of_input(500) == 500 * MS
    assert timeline.of_input(1_500) == (1_500 + 2_000 * PAUSE_S) * MS


def test_a_file_pushes_the_axis_ahead() -> None:
    """Five seconds in one go: what is answered to them comes after them."""
    timeline = Timeline(0.0)
    timeline.hear(sound(5_000), 0.1)
    at = timeline.say("item", "resp", sound(1_000), 0.3)
    assert at == pytest.approx(5_200 * MS, abs=1)
    stretch = timeline.finish(2.0)
    assert places(stretch.user) == [(0, 5_000)]


def test_large_pieces_in_real_time_are_not_lost() -> None:
    timeline = Timeline(0.0)
    taken: list[Stretch] = []
    for number in range(1, 13):
        timeline.hear(sound(5_000), number * 5.0)
        if stretch := timeline.take(number * 5.0):
            taken.append(stretch)
    taken.append(timeline.finish(60.0))
    assert sum(len(placed.pcm) for stretch in taken for placed in stretch.user) == 60 * RATE_HZ * 2
    assert places(tuple(placed for stretch in taken for placed in stretch.user)) == [(0, 60_000)]


def test_what_is_later_than_anybody_waits_is_put_where_there_is_room() -> None:
    timeline = Timeline(0.0)
    timeline.hear(sound(20), 0.02)
    assert timeline.take(PATIENCE_S + 5) is not None
    timeline.hear(sound(10_000), PATIENCE_S + 5)  # belongs from 5 s on, of which a part was taken
    stretch = timeline.finish(PATIENCE_S + 6)
    assert sum(len(placed.pcm) for placed in stretch.user) == 10 * RATE_HZ * 2
    assert stretch.user[0].at >= stretch.start


def test_answers_play_no_faster_than_they_are_said() -> None:
    timeline = Timeline(0.0)
    assert timeline.say("a", "r", sound(2_000), 1.0) == 1_000 * MS
    assert timeline.say("a", "r", sound(2_000), 1.1) == 3_000 * MS
    assert timeline.say("b", "r", sound(500), 9.0) == 9_000 * MS  # there was silence in between
    assert places(timeline.finish(20.0).assistant) == [(1_000, 5_000), (9_000, 9_500)]


def test_what_was_cut_is_not_there() -> None:
    timeline = Timeline(0.0)
    for _ in range(4):
        timeline.say("a", "r", sound(1_000), 1.0)
    timeline.cut("a", 1_500)
    assert timeline.say("b", "r2", sound(1_000), 2.9) == 2_900 * MS
    assert places(timeline.finish(9.0).assistant) == [(1_000, 2_500), (2_900, 3_900)]


def test_what_was_cleared_ends_now() -> None:
    timeline = Timeline(0.0)
    timeline.say("a", "r", sound(4_000), 1.0)
    timeline.say("b", "other", sound(1_000), 1.0)
    timeline.clear("r", 2.25)
    assert places(timeline.finish(9.0).assistant) == [(1_000, 2_250), (5_000, 6_000)]


def test_a_cut_may_come_late() -> None:
    timeline = Timeline(0.0)
    timeline.say("a", "r", sound(4_000), 0.0)
    late = 1.0 + HOLD_S - 0.1
    first = timeline.take(late)
    assert first is None or first.end <= 1_000 * MS
    timeline.cut("a", 1_000)
    rest = timeline.finish(9.0)
    pieces = (first.assistant if first else ()) + rest.assistant
    assert places(pieces) == [(0, 1_000)]


def test_stretches_follow_each_other_and_hold_everything() -> None:
    timeline = Timeline(0.0)
    stretches: list[Stretch] = []
    timeline.say("a", "r", sound(7_000), 1.0)
    for number in range(500):
        now = (number + 1) * 0.02
        timeline.hear(sound(20), now)
        if stretch := timeline.take(now):
            stretches.append(stretch)
    assert len(stretches) >= 5, "it does not all wait for the end"
    stretches.append(timeline.finish(10.0))
    assert [stretch.start for stretch in stretches] == [0, *(stretch.end for stretch in stretches[:-1])]
    assert places(tuple(placed for stretch in stretches for placed in stretch.user)) == [(0, 10_000)]
    assert places(tuple(placed for stretch in stretches for placed in stretch.assistant)) == [(1_000, 8_000)]


def test_an_hour_of_answers_at_once_is_too_much() -> None:
    timeline = Timeline(0.0)
    for _ in range(int(AHEAD_S_MAX) // 10 + 2):
        timeline.say("a", "r", sound(10_000), 0.0)
    assert timeline.dropped


def test_what_would_have_been_played_after_the_end_never_was() -> None:
    timeline = Timeline(0.0)
    timeline.say("a", "r", sound(5_000), 1.0)
    stretch = timeline.finish(2.5)
    assert places(stretch.assistant) == [(1_000, 2_500)]
    assert stretch.end == 2_500 * MS
