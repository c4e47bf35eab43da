"""In order at once, out of order after a little, too late not at all."""

import random

from parley.transports.rtc.reorder import HELD_MAX, WAIT_S, Reorder
from parley.transports.rtc.rtp import Packet


def packet(sequence: int) -> Packet:
    return Packet(111, sequence % 65_536, sequence * 960, 1, str(sequence).encode())


def push(reorder: Reorder, sequence: int, now: float = 0.0) -> list[tuple[int, int]]:
    """What can be heard: sequence number and how many got lost before it."""
    return [(int(each.packet.payload), each.lost) for each in reorder.push(packet(sequence), now)]


def expire(reorder: Reorder, now: float) -> list[tuple[int, int]]:
    return [(int(each.packet.payload), each.lost) for each in reorder.expire(now)]


def test_in_order_nothing_waits() -> None:
    reorder = Reorder()
    for sequence in range(65_500, 65_600):  # across the wrap-around
        assert push(reorder, sequence) == [(sequence, 0)]
        assert reorder.deadline is None
    assert (reorder.received, reorder.expected, reorder.highest) == (100, 100, 65_599)


def test_a_gap_that_closes_in_time() -> None:
    reorder = Reorder()
    push(reorder, 1)
    assert push(reorder, 3, 1.00) == []
    assert push(reorder, 4, 1.02) == []
    assert reorder.deadline == 1.00 + WAIT_S
    assert push(reorder, 2, 1.03) == [(2, 0), (3, 0), (4, 0)]
    assert reorder.deadline is None


def test_a_gap_that_does_not_close() -> None:
    reorder = Reorder()
    push(reorder, 1)
    push(reorder, 4, 1.00)
    push(reorder, 5, 1.02)
    push(reorder, 7, 1.03)
    assert expire(reorder, 1.00 + WAIT_S - 0.001) == []
    assert expire(reorder, 1.00 + WAIT_S) == [(4, 2), (5, 0)]
    assert reorder.deadline == 1.03 + WAIT_S
    assert push(reorder, 3, 1.05) == [], "its place was taken"
    assert expire(reorder, 2.0) == [(7, 1)]
    assert reorder.expected - reorder.received == 2, "2 and 6; 3 came, though late"


def test_duplicates_are_heard_once() -> None:
    reorder = Reorder()
    push(reorder, 1)
    assert push(reorder, 1) == []
    assert push(reorder, 3) == [] == push(reorder, 3)
    assert push(reorder, 2) == [(2, 0), (3, 0)]


def test_not_more_than_so_many_wait() -> None:
    reorder = Reorder()
    push(reorder, 0)
    heard = [each for sequence in range(2, 2 + HELD_MAX + 1) for each in push(reorder, sequence)]
    assert heard[0] == (2, 1) and len(heard) == HELD_MAX + 1


def test_a_jump_is_another_stream() -> None:
    reorder = Reorder()
    push(reorder, 10)
    push(reorder, 12)
    assert push(reorder, 30_000) == [(12, 0), (30_000, 0)]
    assert push(reorder, 30_001) == [(30_001, 0)]
    assert push(reorder, 29_999) == [], "behind"


def test_any_shuffle_within_the_wait_is_undone() -> None:
    chance = random.Random(3)
    for _ in range(50):
        order = sorted(range(1, 300), key=lambda sequence: sequence + chance.random() * 5)
        reorder = Reorder()
        heard = push(reorder, 0)
        for at, sequence in enumerate(order):
            heard += push(reorder, sequence, at * 0.001)
        assert [sequence for sequence, lost in heard if not lost] == list(range(300))
