"""Bursts become slices; beats do not drift."""

from parley.audio.pacer import BEATS_MAX, SLICE_BYTES, SLICE_S, Metronome, Pacer, Slice

MS = 48


def sound(ms: int, fill: bytes = b"\x01\x02") -> bytes:
    return fill * (ms * MS // 2)


def drain(pacer: Pacer) -> list[Slice]:
    taken = []
    while (piece := pacer.take()) is not None:
        taken.append(piece)
    return taken


def test_bursts_become_slices() -> None:
    pacer = Pacer()
    pacer.add("r1", sound(50))
    pacer.add("r1", sound(15))
    assert pacer.waiting_ms == 65
    taken = drain(pacer)
    assert [(piece.response_id, piece.played_ms, piece.done) for piece in taken] == [
        ("r1", 20, False), ("r1", 40, False), ("r1", 60, False),
    ]  # fmt: skip
    assert {len(piece.pcm) for piece in taken} == {SLICE_BYTES}
    assert pacer.waiting_ms == 5, "less than a slice waits for more"


def test_the_last_slice_is_filled_up_and_says_so() -> None:
    pacer = Pacer()
    pacer.add("r1", sound(25))
    assert pacer.finish("r1") is None
    first, last = drain(pacer)
    assert (first.played_ms, first.done) == (20, False)
    assert (last.played_ms, last.done) == (25, True)
    assert last.pcm == sound(5) + bytes(15 * MS)
    assert pacer.take() is None and pacer.waiting_ms == 0


def test_a_response_that_ends_after_its_sound_was_played() -> None:
    pacer = Pacer()
    pacer.add("r1", sound(40))
    drain(pacer)
    assert pacer.finish("r1") == Slice(b"", "r1", 40, done=True)
    assert pacer.finish("r1") is None and pacer.finish("unknown") is None


def test_one_response_after_the_other() -> None:
    pacer = Pacer()
    pacer.add("r1", sound(20))
    pacer.add("r2", sound(40, b"\x05\x06"))
    pacer.add("r1", sound(20))
    assert [piece.response_id for piece in drain(pacer)] == ["r1", "r1"], "r1 may still grow"
    pacer.finish("r1")
    assert [piece.response_id for piece in drain(pacer)] == ["r2", "r2"]


def test_what_is_cleared_is_not_played() -> None:
    pacer = Pacer()
    pacer.add("r1", sound(1_000))
    pacer.add("r2", sound(20))
    pacer.take()
    pacer.clear("r1")
    assert pacer.waiting_ms == 20
    assert [piece.response_id for piece in drain(pacer)] == ["r2"]
    pacer.clear("r1")


def test_no_byte_is_lost_or_played_twice() -> None:
    pacer = Pacer()
    whole = bytes(at % 251 for at in range(20 * MS * 600))
    for at in range(0, len(whole), 7_778):
        pacer.add("r1", whole[at : at + 7_778])
    pacer.finish("r1")
    assert b"".join(piece.pcm for piece in drain(pacer)) == whole


def test_an_hour_without_drift() -> None:
    metronome, played, now = Metronome(100.0), 0, 100.0
    for beat in range(180_000):
        now = max(now, metronome.due) + (0.000_3 if beat % 7 else 0.004)  # always late, never early
        played += sum(metronome.beats(now))
    assert played == 180_000
    assert abs(metronome.due - (100.0 + 3_600.0)) < 0.001


def test_lost_time_is_made_up_for_a_little_and_then_left_out() -> None:
    metronome = Metronome(0.0)
    assert metronome.beats(0.0) == (1, 0)
    assert metronome.beats(0.001) == (0, 0)
    assert metronome.beats(3 * SLICE_S + 0.001) == (3, 0)
    assert metronome.beats(1.0) == (BEATS_MAX, 50 - 3 - BEATS_MAX)
    assert abs(metronome.due - 51 * SLICE_S) < 1e-9
