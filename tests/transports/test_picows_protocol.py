"""The lane by itself: an echo application behind it, and a client that does what it likes (RFC 6455)."""

import struct
import time
from collections.abc import Iterator

import pytest
import websockets.sync.client
from starlette.applications import Starlette
from starlette.responses import Response
from starlette.routing import WebSocketRoute
from starlette.websockets import WebSocket
from websockets.typing import Subprotocol

from parley.transports import picows_protocol
from parley.transports.picows_protocol import MESSAGE_BYTES_MAX, Lane
from tests.transports.serving import BINARY, CLOSE, CONTINUATION, PING, PONG, TEXT, RawClient, frame, serving


class Echo:
    """Sends back what it hears; some words are orders."""

    def __init__(self, lane: Lane, gone: list[str]) -> None:
        self.lane = lane
        self.gone = gone

    def on_text(self, message: bytes) -> None:
        if message == b"close":
            self.lane.close(4_000, "as you wish")
        elif message.startswith(b"flood"):
            for _ in range(int(message[5:])):
                self.lane.send(b"x" * 65_536)
        elif message == b"break":
            raise ValueError("as you wish")
        else:
            self.lane.send(message if len(message) < 1_000 else b"%d bytes" % len(message))

    def on_binary(self, message: bytes) -> None:
        self.lane.send(b"binary " + message)

    def on_gone(self) -> None:
        self.gone.append(f"{self.lane.close_code} {self.lane.close_reason}".strip())


GONE: list[str] = []


async def echo(websocket: WebSocket) -> None:
    await websocket.accept("chat" if "chat" in websocket.scope["subprotocols"] else None)
    lane: Lane = websocket.scope["extensions"]["parley.lane"]()
    lane.receive(Echo(lane, GONE))
    await lane.closed


async def refuse(websocket: WebSocket) -> None:
    await websocket.send_denial_response(Response(b"no", 418, {"x-why": "teapot"}))


@pytest.fixture(scope="module")
def port() -> Iterator[int]:
    app = Starlette(routes=[WebSocketRoute("/", echo), WebSocketRoute("/refuse", refuse)])
    with serving(app) as port:
        yield port


@pytest.fixture
def client(port: int) -> Iterator[RawClient]:
    GONE.clear()
    with RawClient(port) as client:
        assert client.upgrade().startswith(b"HTTP/1.1 101 ")
        yield client


@pytest.fixture(autouse=True)
def soon(monkeypatch: pytest.MonkeyPatch) -> None:
    """Nobody waits long for a peer that does not answer a close frame."""
    monkeypatch.setattr(picows_protocol, "CLOSE_S", 0.2)


def wait_for(what: str) -> None:
    deadline = time.monotonic() + 5
    while what not in GONE and time.monotonic() < deadline:
        time.sleep(0.005)
    assert what in GONE


# ---- what is right


def test_text_comes_back(client: RawClient) -> None:
    client.send(frame(TEXT, "grüße".encode()))
    assert client.frame().payload.decode() == "grüße"


def test_fragments_are_joined_and_control_frames_pass_between_them(client: RawClient) -> None:
    letter = "é".encode()
    client.send(
        frame(TEXT, b"caf" + letter[:1], fin=False),
        frame(PING, b"there?"),
        frame(CONTINUATION, b"", fin=False),
        frame(CONTINUATION, letter[1:]),
    )
    assert client.frame() == (PONG, b"there?", True)
    assert client.frame().payload == "café".encode()


def test_binary_is_told_apart(client: RawClient) -> None:
    client.send(frame(BINARY, b"\x00\xff"), frame(BINARY, b"a", fin=False), frame(CONTINUATION, b"b"))
    assert client.frame().payload == b"binary \x00\xff"
    assert client.frame().payload == b"binary ab"


def test_what_came_with_the_handshake_is_not_lost(port: int) -> None:
    with RawClient(port) as client:
        client.upgrade(tail=frame(TEXT, b"first") + frame(TEXT, b"second")[:4])
        assert client.frame().payload == b"first"


def test_a_message_may_be_as_long_as_the_longest_event(client: RawClient) -> None:
    client.send(frame(TEXT, b"x" * (22 * 2**20)))
    assert client.frame().payload == b"%d bytes" % (22 * 2**20)


def test_subprotocols_are_the_applications_choice(port: int) -> None:
    with websockets.sync.client.connect(
        f"ws://127.0.0.1:{port}/", subprotocols=[Subprotocol("other"), Subprotocol("chat")]
    ) as ws:
        assert ws.subprotocol == "chat"
        ws.send("hello")
        assert ws.recv() == "hello"


# ---- closing


@pytest.mark.parametrize("code", [1000, 1001, 1007, 1014, 3000, 4999])
def test_a_close_is_echoed(client: RawClient, code: int) -> None:
    client.send(frame(CLOSE, struct.pack("!H", code) + b"bye"))
    assert client.frame().code == code
    assert client.is_closed()
    wait_for(f"{code} bye")


def test_a_close_without_a_code_is_echoed_without_one(client: RawClient) -> None:
    client.send(frame(CLOSE))
    assert client.frame().payload == b""
    assert client.is_closed()


@pytest.mark.parametrize("code", [0, 999, 1004, 1005, 1006, 1015, 1016, 2999, 5000, 65535])
def test_codes_that_nobody_may_send(client: RawClient, code: int) -> None:
    client.send(frame(CLOSE, struct.pack("!H", code)))
    assert client.frame().code == 1002
    assert client.is_closed()


def test_our_close_waits_for_the_answer(client: RawClient) -> None:
    client.send(frame(TEXT, b"close"))
    closing = client.frame()
    assert (closing.code, closing.payload[2:]) == (4_000, b"as you wish")
    client.send(frame(TEXT, b"ignored"), frame(CLOSE, struct.pack("!H", 4_000)))
    assert client.is_closed()
    assert GONE == ["4000 as you wish"]


def test_our_close_does_not_wait_for_ever(port: int) -> None:
    with RawClient(port) as client:
        client.upgrade()
        client.send(frame(TEXT, b"close"))
        assert client.frame().code == 4_000
        assert client.is_closed()


def test_a_half_closed_connection_is_over(client: RawClient) -> None:
    client.socket.shutdown(1)
    assert client.is_closed()
    wait_for("1006")


def test_a_bug_in_the_application_ends_the_connection(client: RawClient, caplog: pytest.LogCaptureFixture) -> None:
    client.send(frame(TEXT, b"break"))
    assert client.frame().code == 1011
    assert client.is_closed()
    assert "the receiver failed" in caplog.text


# ---- what is wrong

WRONG = {
    "text that is not UTF-8": (1007, [frame(TEXT, b"\xff\xfe")]),
    "UTF-8 that is cut": (1007, [frame(TEXT, "é".encode()[:1])]),
    "surrogates": (1007, [frame(TEXT, b"\xed\xa0\x80")]),
    "fragments that are not UTF-8 together": (1007, [frame(TEXT, b"\xc3", fin=False), frame(CONTINUATION, b"\x28")]),
    "no mask": (1002, [frame(TEXT, b"hi", masked=False)]),
    "a reserved bit": (1002, [frame(TEXT, b"hi", rsv=4)]),
    "a reserved bit in a ping": (1002, [frame(PING, b"hi", rsv=1)]),
    "an unknown opcode": (1002, [frame(3, b"hi")]),
    "a continuation of nothing": (1002, [frame(CONTINUATION, b"hi")]),
    "a message within a message": (1002, [frame(TEXT, b"a", fin=False), frame(TEXT, b"b")]),
    "a fragmented ping": (1002, [frame(PING, b"hi", fin=False)]),
    "a long ping": (1002, [frame(PING, b"x" * 126)]),
    "a close of one byte": (1002, [frame(CLOSE, b"x")]),
    "a reason that is not UTF-8": (1007, [frame(CLOSE, struct.pack("!H", 1000) + b"\xff")]),
    "a frame that is too long": (1009, [frame(TEXT, b"", size=MESSAGE_BYTES_MAX + 1)]),
}


@pytest.mark.parametrize("name", WRONG)
def test_wrong_frames(client: RawClient, name: str) -> None:
    code, frames = WRONG[name]
    client.send(*frames)
    assert client.frame().code == code
    assert client.is_closed()


def test_fragments_may_not_add_up_to_too_much(port: int, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(picows_protocol, "MESSAGE_BYTES_MAX", 100_000)
    with RawClient(port) as client:
        client.upgrade()
        client.send(frame(TEXT, b"x" * 60_000, fin=False), frame(CONTINUATION, b"x" * 60_000, fin=False))
        assert client.frame().code == 1009


def test_garbage_costs_one_connection_only(port: int, client: RawClient) -> None:
    with RawClient(port) as other:
        other.upgrade()
        other.send(b"\xff" * 4_096)
        assert other.frame().code == 1002
    client.send(frame(TEXT, b"still here"))
    assert client.frame().payload == b"still here"


# ---- the handshake


def test_another_version_is_told_ours(port: int) -> None:
    with RawClient(port) as client:
        head = client.upgrade(Sec_WebSocket_Version="8").lower()
        assert head.startswith(b"http/1.1 426")
        assert b"sec-websocket-version: 13" in head
        assert b"upgrade_required" in client.rest()


@pytest.mark.parametrize("key", ["", "short", "=====", "A" * 40])
def test_a_handshake_needs_a_key(port: int, key: str) -> None:
    with RawClient(port) as client:
        assert client.upgrade(Sec_WebSocket_Key=key).startswith(b"HTTP/1.1 400")
        assert b'"error"' in client.rest()


def test_the_application_may_refuse_with_a_status_of_its_own(port: int) -> None:
    with RawClient(port) as client:
        head = client.upgrade("/refuse")
        assert head.startswith(b"HTTP/1.1 418")
        assert b"x-why: teapot" in head
        assert client.rest() == b"no"


# ---- those who do not listen


def test_a_silent_peer_is_asked_and_then_left(port: int, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(picows_protocol, "PING_S", 0.2)
    with RawClient(port) as client:
        client.upgrade()
        asked = client.frame()
        assert asked.opcode == PING
        client.send(frame(PONG, asked.payload))
        assert client.frame().opcode == PING
        assert client.frame().code == 1001
        assert client.is_closed()


def test_a_peer_that_stops_reading_is_closed_and_others_never_notice(
    port: int, client: RawClient, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(picows_protocol, "OUTLET_STALL_S", 0.2)
    with RawClient(port, window_bytes=65_536) as slow:
        slow.upgrade()
        slow.send(frame(TEXT, b"flood300"))
        wait_for("1013 slow_consumer")
    client.send(frame(TEXT, b"still here"))
    assert client.frame().payload == b"still here"


def test_a_peer_that_reads_slowly_is_kept(port: int, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(picows_protocol, "OUTLET_STALL_S", 0.5)
    monkeypatch.setattr(picows_protocol, "OUTBOX_LOW_BYTES", 1_000)
    with RawClient(port, window_bytes=65_536) as slow:
        slow.upgrade()
        GONE.clear()
        slow.send(frame(TEXT, b"flood200"))
        for _ in range(200):
            assert len(slow.frame().payload) == 65_536
            time.sleep(0.005)
        assert not GONE


def test_the_outbox_has_an_end(port: int, monkeypatch: pytest.MonkeyPatch) -> None:
    GONE.clear()
    monkeypatch.setattr(picows_protocol, "OUTBOX_BYTES_MAX", 1_000_000)
    with RawClient(port, window_bytes=65_536) as slow:
        slow.upgrade()
        slow.send(frame(TEXT, b"flood2000"))
        wait_for("1013 slow_consumer")
