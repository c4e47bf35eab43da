"""The door of /v1/realtime on a whole house: who comes in, by which door, in which dialect, and bytes both ways."""

import base64
import json
import socket
import struct
import threading
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any, NamedTuple

import pytest
import websockets.sync.client
from websockets.exceptions import InvalidStatus
from websockets.sync.client import ClientConnection
from websockets.sync.connection import Connection as Socket

from parley.app import House
from parley.auth.api_keys import ApiKeys
from parley.settings import Settings
from parley.transports import picows_protocol
from tests.transports.serving import BINARY, CLOSE, TEXT, RawClient, frame, serving

KEY = "sk-parley-test"
BEARER = {"Authorization": f"Bearer {KEY}"}
NOWHERE = "http://127.0.0.1:9/v1"


class Running(NamedTuple):
    port: int
    house: House

    def url(self, query: str = "model=gpt-realtime", path: str = "/v1/realtime") -> str:
        return f"ws://127.0.0.1:{self.port}{path}?{query}"

    def connect(self, query: str = "model=gpt-realtime", **options: Any) -> ClientConnection:
        options.setdefault("additional_headers", BEARER)
        return websockets.sync.client.connect(self.url(query), max_size=None, compression=None, **options)


@pytest.fixture(scope="module")
def running(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Running]:
    home: Path = tmp_path_factory.mktemp("home")
    house = House(Settings(home=home, stt_url=NOWHERE, tts_url=NOWHERE, sessions_max=60), ApiKeys([KEY]))
    with serving(house.app) as port:
        yield Running(port, house)


def hear(ws: Socket, kind: str) -> dict[str, Any]:
    """The next event of this type; an error event on the way is a failure."""
    while True:
        event: dict[str, Any] = json.loads(ws.recv(10))
        if event["type"] == kind:
            return event
        assert event["type"] != "error", event


def say(ws: Socket, kind: str, **fields: Any) -> None:
    ws.send(json.dumps({"type": kind, **fields}))


def refusal(running: Running, query: str, **options: Any) -> tuple[int, str, str | None]:
    """Status, code and param with which a connection is refused."""
    with pytest.raises(InvalidStatus) as caught:
        running.connect(query, **options)
    response = caught.value.response
    error = json.loads(response.body)["error"]
    assert error["message"]
    assert response.headers["content-type"] == "application/json"
    return response.status_code, error["code"], error["param"]


# ---- who comes in

DOORS: dict[str, dict[str, Any]] = {
    "bearer": {"additional_headers": BEARER},
    "x-api-key": {"additional_headers": {"x-api-key": KEY}},
    "api-key": {"additional_headers": {"api-key": KEY}},
    "subprotocol": {"additional_headers": {}, "subprotocols": ["realtime", f"openai-insecure-api-key.{KEY}"]},
}
WRONG_DOORS: dict[str, dict[str, Any]] = {
    "nothing": {"additional_headers": {}},
    "a wrong bearer": {"additional_headers": {"Authorization": "Bearer sk-wrong"}},
    "an empty bearer": {"additional_headers": {"Authorization": "Bearer "}},
    "another scheme": {"additional_headers": {"Authorization": f"Basic {KEY}"}},
    "a wrong x-api-key": {"additional_headers": {"x-api-key": KEY + "x"}},
    "a wrong subprotocol": {"additional_headers": {}, "subprotocols": ["realtime", "openai-insecure-api-key.sk-wrong"]},
}


@pytest.mark.parametrize("door", DOORS)
def test_every_door_opens_with_the_key(running: Running, door: str) -> None:
    with running.connect(**DOORS[door]) as ws:
        assert hear(ws, "session.created")["session"]["model"] == "gpt-realtime"
        assert ws.subprotocol == ("realtime" if "subprotocols" in DOORS[door] else None)


@pytest.mark.parametrize("door", WRONG_DOORS)
def test_no_door_opens_without(running: Running, door: str) -> None:
    assert refusal(running, "model=gpt-realtime", **WRONG_DOORS[door])[:2] == (401, "invalid_api_key")


def test_never_by_the_query(running: Running) -> None:
    assert refusal(running, f"model=gpt-realtime&api_key={KEY}")[:2] == (401, "key_in_query")


def test_the_key_is_never_echoed(running: Running) -> None:
    with RawClient(running.port) as client:
        head = client.upgrade(
            "/v1/realtime?model=gpt-realtime", Sec_WebSocket_Protocol=f"openai-insecure-api-key.{KEY}, realtime"
        )
        assert b"101" in head.splitlines()[0]
        assert KEY.encode() not in head
        assert b"sec-websocket-protocol: realtime" in head.lower()


REFUSED = {
    "": (400, "missing_required_parameter", "model"),
    "model=": (400, "missing_required_parameter", "model"),
    "model=gpt-nothing": (404, "model_not_found", "model"),
    "call_id=rtc_nobody": (404, "session_not_found", "call_id"),
}


@pytest.mark.parametrize("query", REFUSED)
def test_queries_that_lead_nowhere(running: Running, query: str) -> None:
    assert refusal(running, query) == REFUSED[query]


def test_an_unknown_path(running: Running) -> None:
    with pytest.raises(InvalidStatus) as caught:
        websockets.sync.client.connect(running.url(path="/v1/live"), additional_headers=BEARER)
    assert caught.value.response.status_code == 404
    assert json.loads(caught.value.response.body)["error"]["code"] == "not_found"


def test_a_full_house(running: Running, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(running.house.registry, "_sessions_max", 0)
    assert refusal(running, "model=gpt-realtime")[:2] == (429, "too_many_sessions")


def test_a_house_that_closes(running: Running, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(running.house.registry, "draining", True)
    assert refusal(running, "model=gpt-realtime")[:2] == (503, "server_draining")


# ---- which session, which dialect


def test_a_transcription_session(running: Running) -> None:
    with running.connect("intent=transcription") as ws:
        assert hear(ws, "session.created")["session"]["type"] == "transcription"


def test_beta_by_header(running: Running) -> None:
    with running.connect(additional_headers={**BEARER, "OpenAI-Beta": "realtime=v1"}) as ws:
        session = hear(ws, "session.created")["session"]
        assert session["modalities"]
        assert "audio" not in session


def test_beta_by_shape(running: Running) -> None:
    with running.connect("model=gpt-4o-realtime-preview") as ws:
        assert "audio" in hear(ws, "session.created")["session"]
        say(ws, "session.update", session={"modalities": ["text"], "voice": "alloy"})
        assert hear(ws, "session.updated")["session"]["modalities"] == ["text"]
        say(ws, "conversation.item.create", item=text_item("Hello!"))
        say(ws, "response.create")
        assert hear(ws, "response.text.delta")["delta"]


def test_ga_stays_ga(running: Running) -> None:
    with running.connect() as ws:
        say(ws, "session.update", session={"type": "realtime", "output_modalities": ["text"]})
        assert hear(ws, "session.updated")["session"]["output_modalities"] == ["text"]
        say(ws, "session.update", session={"modalities": ["text"]})
        assert error_of(ws)["code"] in ("missing_required_parameter", "unknown_parameter")


def text_item(text: str) -> dict[str, Any]:
    return {"type": "message", "role": "user", "content": [{"type": "input_text", "text": text}]}


def error_of(ws: Socket) -> dict[str, Any]:
    while (event := json.loads(ws.recv(10)))["type"] != "error":
        pass
    error: dict[str, Any] = event["error"]
    return error


# ---- bytes both ways


def test_a_written_turn(running: Running) -> None:
    with running.connect() as ws:
        say(ws, "session.update", session={"type": "realtime", "output_modalities": ["text"]})
        say(ws, "conversation.item.create", item=text_item("What is 12 times 12?"))
        say(ws, "response.create")
        assert "144" in hear(ws, "response.output_text.done")["text"]
        assert hear(ws, "response.done")["response"]["status"] == "completed"


def test_event_ids_are_unique(running: Running) -> None:
    seen = []
    for _ in range(2):
        with running.connect() as ws:
            say(ws, "input_audio_buffer.clear")
            seen += [json.loads(ws.recv(10))["event_id"] for _ in range(3)]
    assert len(set(seen)) == 6
    assert all(event_id.startswith("event_") for event_id in seen)


def test_a_backend_that_is_away_fails_the_response_and_not_the_session(running: Running) -> None:
    with running.connect() as ws:
        say(ws, "conversation.item.create", item=text_item("Hello"))
        say(ws, "response.create")
        failed = hear(ws, "response.done")["response"]
        assert failed["status"] == "failed"
        assert failed["status_details"]["error"]["code"] == "backend_unavailable"
        say(ws, "input_audio_buffer.clear")
        assert hear(ws, "input_audio_buffer.cleared")


BAD_MESSAGES = {
    "not JSON": ("{", "invalid_event", None),
    "an array": ("[]", "invalid_event", None),
    "no type": ('{"event_id":"e1"}', "invalid_event", "e1"),
    "an unknown type": ('{"type":"dance","event_id":"e1"}', "invalid_value", "e1"),
    "bad base64": ('{"type":"input_audio_buffer.append","audio":"%%%","event_id":"e1"}', "invalid_value", "e1"),
    "half a sample": ('{"type":"input_audio_buffer.append","audio":"YQ==","event_id":"e1"}', "invalid_value", "e1"),
    "an empty commit": (
        '{"type":"input_audio_buffer.commit","event_id":"e1"}',
        "input_audio_buffer_commit_empty",
        "e1",
    ),
}


@pytest.mark.parametrize("name", BAD_MESSAGES)
def test_bad_messages_are_answered_and_the_socket_stays_open(running: Running, name: str) -> None:
    message, code, event_id = BAD_MESSAGES[name]
    with running.connect() as ws:
        ws.send(message)
        error = error_of(ws)
        assert (error["code"], error["event_id"]) == (code, event_id)
        say(ws, "input_audio_buffer.clear")
        hear(ws, "input_audio_buffer.cleared")


def test_a_binary_message_is_answered(running: Running) -> None:
    with running.connect() as ws:
        ws.send(b"\x00\x01")
        assert error_of(ws)["code"] == "invalid_event"


def test_the_longest_append_passes_and_a_longer_one_is_refused(running: Running) -> None:
    with running.connect() as ws:
        say(ws, "session.update", session={"type": "realtime", "audio": {"input": {"turn_detection": None}}})
        hear(ws, "session.updated")
        sound = base64.b64encode(bytes(15 * 2**20)).decode()
        say(ws, "input_audio_buffer.append", audio=sound)
        say(ws, "input_audio_buffer.append", audio=base64.b64encode(bytes(16 * 2**20)).decode(), event_id="long")
        assert error_of(ws)["code"] == "event_too_large"
        say(ws, "input_audio_buffer.clear")
        hear(ws, "input_audio_buffer.cleared")


def test_beyond_the_hard_limit_the_connection_ends(running: Running) -> None:
    with RawClient(running.port) as client:
        client.upgrade("/v1/realtime?model=gpt-realtime", Authorization=f"Bearer {KEY}")
        assert client.frame().opcode == TEXT
        assert client.frame().opcode == TEXT
        client.send(frame(BINARY, b"", size=picows_protocol.MESSAGE_BYTES_MAX + 1))
        closing = client.frame()
        assert (closing.opcode, closing.code) == (CLOSE, 1009)


def test_a_reader_that_stops_is_closed_and_its_session_ends(running: Running, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(picows_protocol, "OUTLET_STALL_S", 0.3)
    monkeypatch.setattr(picows_protocol, "CLOSE_S", 0.2)
    assert until(lambda: len(running.house.registry) == 0)
    with running.connect() as other, RawClient(running.port, window_bytes=65_536) as slow:
        slow.upgrade("/v1/realtime?model=gpt-realtime", Authorization=f"Bearer {KEY}")
        item = {**text_item("x" * 300_000), "id": "big"}
        slow.send(frame(TEXT, json.dumps({"type": "conversation.item.create", "item": item}).encode()))
        retrieve = frame(TEXT, b'{"type":"conversation.item.retrieve","item_id":"big"}')
        assert until(lambda: len(running.house.registry) == 2)
        for _ in range(60):
            slow.send(retrieve)
        assert until(lambda: len(running.house.registry) == 1)
        say(other, "input_audio_buffer.clear")
        hear(other, "input_audio_buffer.cleared")


def test_fifty_sessions_at_once(running: Running) -> None:
    answers: list[str] = []

    def converse(number: int) -> None:
        with running.connect() as ws:
            say(ws, "session.update", session={"type": "realtime", "output_modalities": ["text"]})
            say(ws, "conversation.item.create", item=text_item(f"What is {number} plus 1000?"))
            say(ws, "response.create")
            answers.append(hear(ws, "response.output_text.done")["text"])

    threads = [threading.Thread(target=converse, args=(number,)) for number in range(50)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join(30)
    assert len(answers) == 50
    assert all(any(str(number + 1000) in answer.replace(",", "") for answer in answers) for number in range(50))
    assert until(lambda: len(running.house.registry) == 0)


def test_a_client_that_vanishes_leaves_nothing_behind(running: Running) -> None:
    assert until(lambda: len(running.house.registry) == 0)
    with RawClient(running.port) as client:
        client.upgrade("/v1/realtime?model=gpt-realtime", Authorization=f"Bearer {KEY}")
        assert until(lambda: len(running.house.registry) == 1)
        client.socket.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))  # a reset, not a goodbye
    assert until(lambda: len(running.house.registry) == 0)


def until(condition: Any) -> bool:
    deadline = time.monotonic() + 10
    while not condition() and time.monotonic() < deadline:
        time.sleep(0.01)
    return bool(condition())


# ---- sound in another format


def test_the_last_milliseconds_leave_the_encoder() -> None:
    from parley.core.events import OutputAudioDelta, OutputAudioDone
    from parley.dialects.choose import Choice
    from parley.dialects.ga import GA
    from parley.transports.websocket import Connection

    sent: list[dict[str, Any]] = []

    class Lane:
        congested = False

        def send(self, message: bytes) -> None:
            sent.append(json.loads(message))

    connection = Connection(None, Lane(), Choice(GA, None, True), "")  # type: ignore[arg-type]
    place: dict[str, Any] = {"response_id": "r", "item_id": "i", "output_index": 0, "content_index": 0}
    for _ in range(10):
        connection.send(OutputAudioDelta(**place, delta=bytes(960), format="audio/pcma"))
    connection.send(OutputAudioDone(**place))
    assert [event["type"] for event in sent][-1] == "response.output_audio.done"
    sound = b"".join(base64.b64decode(event["delta"]) for event in sent[:-1])
    assert 0 <= len(sound) - 10 * 160 <= 24  # up to 3 ms of silence behind it
    assert set(sound) == {0xD5}
    assert len({event["event_id"] for event in sent}) == len(sent)
