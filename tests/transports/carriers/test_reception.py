"""What comes between `start` and the session: kept in order, nothing more is read, and not without bounds."""

import json
from typing import cast

import pytest

from parley.errors import RequestError
from parley.transports.carriers.dialects import TWILIO
from parley.transports.carriers.door import HELD_MAX, Reception
from parley.transports.picows_protocol import Lane
from tests.transports.carriers import carrier


class Wire:
    """Stands for the lane."""

    def __init__(self) -> None:
        self.reads = True
        self.closed: tuple[int, str] | None = None

    def pause(self) -> None:
        self.reads = False

    def resume(self) -> None:
        self.reads = True

    def close(self, code: int, reason: str) -> None:
        self.closed = self.closed or (code, reason)


class Call:
    def __init__(self) -> None:
        self.heard: list[bytes] = []
        self.gone = 0

    def on_text(self, message: bytes) -> None:
        self.heard.append(message)

    def on_binary(self, message: bytes) -> None:
        self.heard.append(message)

    def on_gone(self) -> None:
        self.gone += 1


def reception() -> tuple[Reception, Wire]:
    wire = Wire()
    return Reception(cast(Lane, wire), TWILIO), wire


def begin(desk: Reception) -> None:
    for event in carrier.TWILIO.greeting({"model": "m"}):
        desk.on_text(json.dumps(event).encode())


async def test_what_comes_meanwhile_is_kept() -> None:
    desk, wire = reception()
    begin(desk)
    start = await desk.started()
    assert start is not None and start.parameters == {"model": "m"}
    assert not wire.reads
    came = [b"%d" % number for number in range(HELD_MAX)]
    for message in came:
        desk.on_text(message)
    call = Call()
    desk.hand_over(call)
    assert wire.reads and call.heard == came
    desk.on_text(b"more")
    desk.on_binary(b"most")
    desk.on_gone()
    assert call.heard[-2:] == [b"more", b"most"] and call.gone == 1
    assert wire.closed is None


async def test_it_has_a_bound() -> None:
    desk, wire = reception()
    begin(desk)
    for number in range(HELD_MAX + 1):
        desk.on_text(b"%d" % number)
    assert wire.closed == (4000, "invalid_request_error.rate_limit_exceeded")


async def test_gone_before_the_start() -> None:
    desk, wire = reception()
    desk.on_gone()
    assert await desk.started() is None
    assert wire.closed is None


@pytest.mark.parametrize("message", [b"{}", b"[]"])
async def test_it_says_why_it_refuses(message: bytes) -> None:
    desk, wire = reception()
    desk.on_text(message)
    desk.on_gone()
    assert await desk.started() is None
    assert wire.closed == (4000, "invalid_request_error.invalid_event") and wire.reads
    desk.refuse(RequestError("model_not_found", ""))
    assert wire.closed[1].endswith("invalid_event"), "the first reason counts"
