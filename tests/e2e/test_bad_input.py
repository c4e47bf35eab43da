"""What bad input gets (issue 2, section 6; protocol.md 8): the named error, the client's id, and a socket that stays."""

import base64
import json
import urllib.error
import urllib.request
from collections import Counter
from typing import Any

import pytest
from websockets.asyncio.client import connect
from websockets.exceptions import ConnectionClosed, InvalidStatus
from websockets.typing import Subprotocol

from parley.core.conversation import ITEMS_MAX
from tests.conftest import Server
from tests.e2e.socket import Socket, opened

MESSAGE = {"type": "message", "role": "user", "content": [{"type": "input_text", "text": "Hello!"}]}
SECOND = base64.b64encode(bytes(48_000)).decode()
APPEND_BYTES_MAX = 15 * 2**20


def update(**session: Any) -> dict[str, Any]:
    return {"type": "session.update", "session": {"type": "realtime", **session}}


def create(**item: Any) -> dict[str, Any]:
    return {"type": "conversation.item.create", "item": item}


def respond(**response: Any) -> dict[str, Any]:
    return {"type": "response.create", "response": response}


def hearing(**fields: Any) -> dict[str, Any]:
    return update(audio={"input": fields})


FAULTS: list[tuple[str, str | None, dict[str, Any]]] = [
    # the outline
    ("invalid_event", None, {}),
    ("invalid_value", "type", {"type": "nonsense"}),
    ("invalid_value", "type", {"type": "transcription_session.update", "session": {}}),
    ("invalid_type", "type", {"type": 7}),
    ("missing_required_parameter", "session", {"type": "session.update"}),
    ("missing_required_parameter", "session.type", {"type": "session.update", "session": {}}),
    ("invalid_type", "session", {"type": "session.update", "session": None}),
    ("missing_required_parameter", "audio", {"type": "input_audio_buffer.append"}),
    ("invalid_type", "audio", {"type": "input_audio_buffer.append", "audio": None}),
    # sound
    ("invalid_value", "audio", {"type": "input_audio_buffer.append", "audio": "not base64!"}),
    ("invalid_value", "audio", {"type": "input_audio_buffer.append", "audio": "AAA"}),
    ("invalid_value", "audio", {"type": "input_audio_buffer.append", "audio": base64.b64encode(bytes(3)).decode()}),
    ("input_audio_buffer_commit_empty", None, {"type": "input_audio_buffer.commit"}),
    ("invalid_value", "type", {"type": "output_audio_buffer.clear"}),
    # the session
    ("cannot_update_session_type", "session.type", {"type": "session.update", "session": {"type": "transcription"}}),
    ("invalid_value", "session.type", {"type": "session.update", "session": {"type": "translation"}}),
    ("cannot_update_model", "session.model", update(model="gpt-realtime-mini")),
    ("unknown_parameter", "session.colour", update(colour="red")),
    ("unknown_parameter", "session.modalities", update(modalities=["text"])),
    ("unknown_parameter", "session.audio.input.gain", hearing(gain=2)),
    ("invalid_value", "session.output_modalities", update(output_modalities=["text", "audio"])),
    ("invalid_type", "session.instructions", update(instructions=None)),
    ("invalid_value", "session.audio.output.voice", update(audio={"output": {"voice": "nobody"}})),
    ("invalid_value", "session.audio.output.speed", update(audio={"output": {"speed": 2.0}})),
    ("invalid_value", "session.max_output_tokens", update(max_output_tokens=0)),
    ("invalid_value", "session.max_output_tokens", update(max_output_tokens=4097)),
    ("invalid_value", "session.max_output_tokens", update(max_output_tokens="many")),
    ("invalid_value", "session.audio.input.format.type", hearing(format={"type": "audio/mp3"})),
    ("invalid_value", "session.audio.input.format.rate", hearing(format={"type": "audio/pcm", "rate": 16000})),
    ("invalid_value", "session.audio.input.turn_detection.type", hearing(turn_detection={"type": "magic"})),
    ("invalid_value", "session.audio.input.turn_detection.threshold", hearing(turn_detection={"type": "server_vad", "threshold": 2})),
    ("invalid_value", "session.audio.input.turn_detection.idle_timeout_ms", hearing(turn_detection={"type": "server_vad", "idle_timeout_ms": 100})),
    ("invalid_value", "session.audio.input.turn_detection.eagerness", hearing(turn_detection={"type": "semantic_vad", "eagerness": "very"})),
    ("invalid_value", "session.audio.input.noise_reduction.type", hearing(noise_reduction={"type": "no_field"})),
    ("missing_required_parameter", "session.tools[0].name", update(tools=[{"type": "function"}])),
    ("unknown_parameter", "session.tools[0].function", update(tools=[{"type": "function", "name": "f", "function": {}}])),
    ("invalid_value", "session.tools[0].parameters.type", update(tools=[{"type": "function", "name": "f", "parameters": {"type": "no"}}])),
    ("invalid_value", "session.truncation.retention_ratio", update(truncation={"type": "retention_ratio", "retention_ratio": 2})),
    # items
    ("missing_required_parameter", "item.type", create()),
    ("invalid_value", "item.type", create(type="poem")),
    ("missing_required_parameter", "item.role", create(type="message", content=[])),
    ("invalid_value", "item.role", create(type="message", role="queen", content=[])),
    ("missing_required_parameter", "item.content[0].text", create(type="message", role="user", content=[{"type": "input_text"}])),
    ("invalid_value", "item.content[0].type", create(type="message", role="user", content=[{"type": "text", "text": "x"}])),
    ("invalid_value", "item.content[0].type", create(type="message", role="assistant", content=[{"type": "output_audio", "audio": ""}])),
    ("invalid_value", "item.content[0].audio", create(type="message", role="user", content=[{"type": "input_audio", "audio": "?"}])),
    ("image_not_supported", "item.content[0].image_url", create(type="message", role="user", content=[{"type": "input_image", "image_url": "https://example.com/x.png"}])),
    ("invalid_tool_call_id", "item.call_id", create(type="function_call_output", call_id="call_none", output="{}")),
    ("previous_item_not_found", "previous_item_id", {**create(**MESSAGE), "previous_item_id": "nobody"}),
    ("item_retrieve_invalid_item_id", "item_id", {"type": "conversation.item.retrieve", "item_id": "nobody"}),
    ("item_delete_invalid_item_id", "item_id", {"type": "conversation.item.delete", "item_id": "nobody"}),
    ("item_truncate_invalid_item_id", "item_id", {"type": "conversation.item.truncate", "item_id": "nobody", "content_index": 0, "audio_end_ms": 0}),
    ("invalid_type", "audio_end_ms", {"type": "conversation.item.truncate", "item_id": "nobody", "content_index": 0, "audio_end_ms": 1.5}),
    # responses
    ("response_cancel_not_active", None, {"type": "response.cancel"}),
    ("response_cancel_not_active", None, {"type": "response.cancel", "response_id": "resp_none"}),
    ("invalid_value", "response.conversation", respond(conversation="mine")),
    ("unknown_parameter", "response.speed", respond(speed=1)),
    ("item_not_found", "response.input[0].id", respond(input=[{"type": "item_reference", "id": "nobody"}])),
    ("invalid_value", "response.metadata", respond(metadata={str(number): "x" for number in range(17)})),
    ("invalid_value", "response.audio.output.voice", respond(audio={"output": {"voice": "nobody"}})),
]  # fmt: skip


async def test_every_fault_is_named_and_changes_nothing(server: Server) -> None:
    async with opened(server) as socket:
        before = await effective(socket)
        wrong = []
        for number, (code, param, event) in enumerate(FAULTS):
            await socket.say({**event, "event_id": f"e{number}"})
            told = await socket.hear()
            error = told.get("error", told)
            if (error.get("code"), error.get("param"), error.get("event_id")) != (code, param, f"e{number}"):
                wrong.append(f"{event} -> {error}, not {code} {param}")
        assert not wrong, "\n".join(wrong)
        assert await effective(socket) == before
        assert await answers(socket)


RAW = {
    "no JSON": "hello",
    "half JSON": '{"type": "response.create"',
    "an array": "[]",
    "a number": "7",
    "nothing": "",
    "null": "null",
    "deep": '{"type": "response.create", "response": ' + '{"a":' * 200 + "1" + "}" * 201,
    "very deep": "[" * 100_000 + "]" * 100_000,
    "lone surrogate": '{"type": "\\ud800"}',
}


@pytest.mark.parametrize("raw", RAW.values(), ids=RAW.keys())
async def test_no_event_at_all(server: Server, raw: str) -> None:
    async with opened(server) as socket:
        await socket.connection.send(raw)
        told = await socket.hear()
        assert told["type"] == "error" and told["error"]["code"] in ("invalid_event", "invalid_value"), told
        assert await answers(socket)


async def test_binary_frame(server: Server) -> None:
    async with opened(server) as socket:
        await socket.connection.send(bytes(960))
        await socket.error("invalid_event", None)
        assert await answers(socket)


async def test_event_ids_may_have_512_characters(server: Server) -> None:
    async with opened(server) as socket:
        await socket.say({"type": "response.cancel", "event_id": "x" * 512})
        await socket.error("response_cancel_not_active", "x" * 512)
        await socket.say({"type": "response.cancel", "event_id": "x" * 513})
        assert (await socket.hear())["error"]["event_id"] is None


async def test_stray_keys_are_no_fault(server: Server) -> None:
    async with opened(server) as socket:
        await socket.say({**create(**MESSAGE), "previous_item_id": None, "colour": "red", "event_id": "e"})
        assert (await socket.hear())["type"] == "conversation.item.added"


async def test_events_of_the_largest_size(server: Server) -> None:
    """15 MiB of audio pass (five minutes; the buffer holds more); 16 MiB are refused, and the socket stays."""
    async with opened(server) as socket:
        await socket.say(hearing(turn_detection=None))
        await socket.until("session.updated")
        for size, refused in ((APPEND_BYTES_MAX, False), (APPEND_BYTES_MAX + 2**20, True)):
            audio = base64.b64encode(bytes(size)).decode()
            await socket.say({"type": "input_audio_buffer.append", "audio": audio, "event_id": "big"})
            if refused:
                await socket.error("event_too_large", "big")
        await socket.say({"type": "input_audio_buffer.clear"})
        await socket.until("input_audio_buffer.cleared")
        assert await answers(socket)


async def test_a_message_that_no_event_can_be(server: Server) -> None:
    """Beyond 24 MiB the connection ends with 1009: reading on would only fill the memory."""
    async with opened(server) as socket:
        with pytest.raises(ConnectionClosed) as closed:
            await socket.connection.send("x" * (25 * 2**20))
            await socket.connection.recv()
        assert closed.value.rcvd is None or closed.value.rcvd.code == 1009
    async with opened(server) as socket:
        assert await answers(socket)


async def test_text_that_is_not_utf8(server: Server) -> None:
    async with opened(server) as socket:
        with pytest.raises(ConnectionClosed) as closed:
            await socket.connection.send(b"\xff\xfe", text=True)
            await socket.connection.recv()
        assert closed.value.rcvd is not None and closed.value.rcvd.code == 1007


async def test_ten_thousand_items(server: Server) -> None:
    """There is a limit, it has a name, and the session lives on."""
    async with opened(server) as socket:
        text = json.dumps({**create(**MESSAGE), "event_id": "e"})
        counted: Counter[str] = Counter()
        for _ in range(100):
            for _ in range(100):
                await socket.connection.send(text)
            await socket.say({"type": "response.cancel", "event_id": "last"})
            while (event := json.loads(await socket.connection.recv())).get("error", {}).get("event_id") != "last":
                counted[event.get("error", event).get("code", event["type"])] += 1
        assert counted == {
            "conversation.item.added": ITEMS_MAX,
            "conversation.item.done": ITEMS_MAX,
            "too_many_items": 10_000 - ITEMS_MAX,
        }
        await socket.say(respond(output_modalities=["text"]))  # an answer that has to read all of it
        assert (await socket.until("response.done"))["response"]["status"] == "completed"


async def test_commit_of_less_than_100_ms(server: Server) -> None:
    async with opened(server) as socket:
        await socket.say(hearing(turn_detection=None))
        await socket.until("session.updated")
        await socket.say({"type": "input_audio_buffer.append", "audio": base64.b64encode(bytes(48 * 99)).decode()})
        await socket.say({"type": "input_audio_buffer.commit", "event_id": "c"})
        assert "99.00ms" in (await socket.error("input_audio_buffer_commit_empty", "c"))["message"]
        await socket.say({"type": "input_audio_buffer.append", "audio": base64.b64encode(bytes(48)).decode()})
        await socket.say({"type": "input_audio_buffer.commit", "event_id": "c"})
        assert (await socket.hear())["type"] == "input_audio_buffer.committed"


async def test_a_buffer_that_nobody_commits(server: Server) -> None:
    """The sound that is too much is refused, what is there stays, and can be committed."""
    async with opened(server) as socket:
        await socket.say(hearing(turn_detection=None))
        await socket.until("session.updated")
        for _ in range(4):
            audio = base64.b64encode(bytes(APPEND_BYTES_MAX)).decode()
            await socket.say({"type": "input_audio_buffer.append", "audio": audio, "event_id": "full"})
        await socket.say({"type": "response.cancel", "event_id": "last"})
        codes = []
        while (told := (await socket.hear())["error"])["event_id"] != "last":
            codes.append(told["code"])
        assert codes and set(codes) == {"input_audio_buffer_full"}
        assert await answers(socket)


async def test_items_that_are_there_already(server: Server) -> None:
    async with opened(server) as socket:
        await socket.say(create(id="mine", **MESSAGE))
        await socket.until("conversation.item.done")
        await socket.say({**create(id="mine", **MESSAGE), "event_id": "e"})
        await socket.error("item_already_exists", "e")


# ---- at the door

ERROR_KEYS = {"message", "type", "param", "code"}


async def refused(server: Server, query: str = "model=gpt-realtime", **options: Any) -> tuple[int, str]:
    """The status and the code of a refusal before the upgrade, whose body is the envelope of protocol.md 8.1."""
    with pytest.raises(InvalidStatus) as told:
        async with connect(f"{server.ws_url}?{query}", **options):
            pass
    response = told.value.response
    assert response.headers["content-type"] == "application/json"
    error = json.loads(response.body or b"")["error"]
    assert set(error) == ERROR_KEYS
    return response.status_code, error["code"]


WRONG_KEYS: dict[str, dict[str, Any]] = {
    "none": {},
    "bearer": {"additional_headers": {"Authorization": "Bearer sk-wrong"}},
    "no bearer": {"additional_headers": {"Authorization": "Basic c2s6eA=="}},
    "empty bearer": {"additional_headers": {"Authorization": "Bearer "}},
    "x-api-key": {"additional_headers": {"x-api-key": "sk-wrong"}},
    "api-key": {"additional_headers": {"api-key": "sk-wrong"}},
    "subprotocol": {"subprotocols": [Subprotocol("realtime"), Subprotocol("openai-insecure-api-key.sk-wrong")]},
}


@pytest.mark.parametrize("options", WRONG_KEYS.values(), ids=WRONG_KEYS.keys())
async def test_wrong_keys(server: Server, options: dict[str, Any]) -> None:
    assert await refused(server, **options) == (401, "invalid_api_key")


async def test_right_keys(server: Server) -> None:
    token = Subprotocol(f"openai-insecure-api-key.{server.key}")
    for options in (
        {"additional_headers": {"Authorization": f"Bearer {server.key}"}},
        {"additional_headers": {"authorization": f"bearer {server.key}"}},
        {"additional_headers": {"x-api-key": server.key}},
        {"additional_headers": {"api-key": server.key}},
        {"additional_headers": {}, "subprotocols": [Subprotocol("realtime"), token]},
    ):
        async with opened(server, **options) as socket:
            assert socket.connection.subprotocol in (None, "realtime")
            assert server.key not in str(socket.connection.response)


@pytest.mark.parametrize("name", ["api_key", "key", "token"])
async def test_keys_in_the_query(server: Server, name: str) -> None:
    """Refused even when the header has a good one: the address has been written down somewhere by now."""
    headers = {"Authorization": f"Bearer {server.key}"}
    query = f"model=gpt-realtime&{name}={server.key}"
    assert await refused(server, query, additional_headers=headers) == (401, "key_in_query")
    assert await refused(server, query) == (401, "key_in_query")


@pytest.mark.parametrize(
    ("query", "status", "code"),
    [
        ("model=gpt-nothing", 404, "model_not_found"),
        ("model=", 400, "missing_required_parameter"),
        ("", 400, "missing_required_parameter"),
        ("intent=dancing", 400, "missing_required_parameter"),
        ("call_id=rtc_nobody", 404, "session_not_found"),
        ("model=gpt-realtime&call_id=rtc_nobody", 404, "session_not_found"),
    ],
)
async def test_sessions_that_cannot_be(server: Server, query: str, status: int, code: str) -> None:
    headers = {"Authorization": f"Bearer {server.key}"}
    assert await refused(server, query, additional_headers=headers) == (status, code)


async def test_queries_that_say_more(server: Server) -> None:
    """Unknown keys do not matter, and `intent` beside a model is a transcription session (1.1)."""
    async with opened(server, "model=gpt-realtime&temperature=1&model_version=2"):
        pass
    async with opened(server, "intent=transcription&model=gpt-4o-transcribe") as socket:
        await socket.say({"type": "response.create", "event_id": "r"})
        await socket.error("session_type_not_supported", "r")


@pytest.mark.parametrize(
    ("method", "path", "status", "code"),
    [
        ("GET", "/v1/nothing", 404, "not_found"),
        ("GET", "/nothing", 404, "not_found"),
        ("GET", "/v1/live/sessions", 404, "not_found"),
        ("POST", "/v1/models", 405, "method_not_allowed"),
        ("GET", "/v1/realtime", 426, "upgrade_required"),
        ("GET", "/v1/models/gpt-nothing", 404, "model_not_found"),
    ],
)
def test_paths(server: Server, method: str, path: str, status: int, code: str) -> None:
    assert fetched(server, method, path, {"Authorization": f"Bearer {server.key}"}) == (status, code)


async def test_sockets_on_unknown_paths(server: Server) -> None:
    with pytest.raises(InvalidStatus) as told:
        async with connect(f"{server.ws_url}/nowhere"):
            pass
    assert told.value.response.status_code == 404
    assert json.loads(told.value.response.body or b"")["error"]["code"] == "not_found"


def test_models_need_a_key(server: Server) -> None:
    assert fetched(server, "GET", "/v1/models", {"Authorization": "Bearer sk-wrong"}) == (401, "invalid_api_key")
    assert fetched(server, "GET", f"/v1/models?api_key={server.key}", {}) == (401, "key_in_query")


async def test_too_many_sessions(make_server: Any) -> None:
    server = make_server(PARLEY_SESSIONS_MAX="1")
    headers = {"Authorization": f"Bearer {server.key}"}
    async with opened(server):
        assert await refused(server, additional_headers=headers) == (429, "too_many_sessions")
    async with opened(server):  # there is room again
        pass


def test_nothing_of_it_is_in_the_log(server: Server) -> None:
    """Run last in this file: keys, right or wrong, and what was said, have left no trace."""
    log = server.log.read_text()
    assert server.key not in log and "sk-wrong" not in log
    assert "Hello!" not in log
    assert "Traceback" not in log


# ---- helpers


def fetched(server: Server, method: str, path: str, headers: dict[str, str]) -> tuple[int, str]:
    request = urllib.request.Request(server.url + path, method=method, headers=headers)
    with pytest.raises(urllib.error.HTTPError) as told:
        urllib.request.urlopen(request, timeout=20)
    with told.value as response:
        error = json.load(response)["error"]
        assert set(error) == ERROR_KEYS
        return int(response.status or 0), error["code"]


async def effective(socket: Socket) -> dict[str, Any]:
    """The session as it is."""
    await socket.say(update())
    session: dict[str, Any] = (await socket.until("session.updated"))["session"]
    return session


async def answers(socket: Socket) -> bool:
    """Whether it still does what it is for."""
    said = [{"type": "message", "role": "user", "content": [{"type": "input_text", "text": "Hello!"}]}]
    await socket.say(respond(conversation="none", output_modalities=["text"], input=said))
    return bool((await socket.until("response.done"))["response"]["status"] == "completed")
