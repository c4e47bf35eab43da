"""A carrier calls a real server: who is let in, what is said and heard, how it is interrupted, how it ends."""

import asyncio
import base64
import hashlib
import hmac
import json
import os
import signal
import subprocess
import time
from collections.abc import AsyncIterator
from contextlib import ExitStack, asynccontextmanager
from typing import Any

import httpx
import pytest
from openai import AsyncOpenAI
from websockets.asyncio.client import connect
from websockets.exceptions import InvalidStatus

from parley.audio.codecs import Encoder
from parley.errors import RequestError
from parley.transports.carriers.door import HELD_MAX, START_S, STRANGERS_MAX, Strangers
from tests.conftest import ROOT, MakeServer, Server
from tests.sdk.client import Client, transcript
from tests.sdk.speaker import Speaker
from tests.transports.carriers.carrier import CALL, PLIVO, TELNYX, TWILIO, Carrier, Spelling

PIECE_MS = 40
COMPLETED = "conversation.item.input_audio_transcription.completed"
SESSION = {
    "type": "realtime",
    "model": "gpt-realtime",
    "audio": {"input": {"transcription": {"model": "whisper-1"}}},
}
QUESTION = "Can you tell me how much is twelve times twelve?"
"""The embedded ear understands it over the telephone however its frames fall."""
TWILIO_TOKEN = "0123456789abcdef0123456789abcdef"


def address(server: Server, path: str = "twilio") -> str:
    return f"{server.ws_url}/media/{path}"


async def secret(server: Server, **more: Any) -> str:
    async with httpx.AsyncClient(base_url=server.url) as http:
        headers = {"authorization": f"Bearer {server.key}"}
        body = {"session": SESSION, **more}
        return str((await http.post("/v1/realtime/client_secrets", headers=headers, json=body)).json()["value"])


@asynccontextmanager
async def beside(server: Server, call_id: str = CALL) -> AsyncIterator[Client]:
    """The official client on the call, as soon as that is there."""
    async with asyncio.timeout(30):
        while not await exists(server, call_id):
            await asyncio.sleep(0.05)
    async with (
        AsyncOpenAI(base_url=server.base_url, api_key=server.key) as openai,
        openai.realtime.connect(extra_query={"call_id": call_id}) as sdk,
    ):
        client = Client(sdk)
        await client.until("session.created")
        try:
            yield client
        finally:
            await client.stop()
        assert client.findings == []


async def exists(server: Server, call_id: str) -> bool:
    headers = {"authorization": f"Bearer {server.key}"}
    try:
        async with connect(f"{server.ws_url}?call_id={call_id}", additional_headers=headers):
            return True
    except InvalidStatus as refused:
        assert refused.response.status_code == 404
        return False


# ---- talking


@pytest.mark.parametrize("spelling", [TWILIO, TELNYX, PLIVO], ids=["twilio", "telnyx", "plivo"])
async def test_a_question_is_answered(server: Server, speaker: Speaker, spelling: Spelling) -> None:
    """With a client secret in the address: the one way that every carrier can go."""
    name = {id(TWILIO): "twilio", id(TELNYX): "telnyx", id(PLIVO): "plivo"}[id(spelling)]
    place = address(server, f"{name}/{await secret(server, max_uses=1)}")
    async with Carrier(place, spelling) as caller, beside(server) as client:
        caller.speak(await speaker(QUESTION))
        heard = await client.until(COMPLETED)
        assert "twelve" in heard["transcript"].lower()
        done = await client.until("response.done")
        assert "144" in transcript(done["response"])
        await client.until("output_audio_buffer.stopped")
        assert client.of("output_audio_buffer.started") and not client.of("response.output_audio.delta")
        assert len(caller.played) > 500 * 8, "it was really played before it was said to be"
        assert caller.waiting_bytes_max <= 2_100 * 8
        await caller.press("5")
        key = await client.until("input_audio_buffer.dtmf_event_received")
        assert key["event"] == "5" and abs(key["received_at"] - time.time()) < 30
        await caller.stop()
        await client.over()
    assert not await exists(server, CALL)


async def test_barge_in(server: Server, speaker: Speaker) -> None:
    """Silence at once, and the item has what was marked as played, and no more."""
    async with Carrier(address(server), parameters={"api_key": server.key}) as caller, beside(server) as client:
        await client.write("Please count from one to thirty.")
        await client.sdk.response.create()
        await caller.until(lambda: caller.played_ms > 2_500)
        caller.speak(await speaker(QUESTION))
        await client.until("input_audio_buffer.speech_started")
        found_at = time.monotonic()
        await caller.until(lambda: caller.cleared_at is not None)
        assert caller.cleared_at is not None
        assert caller.cleared_at - found_at < 0.04, "of ours; what the ear needs is its own"
        cleared = await client.until("output_audio_buffer.cleared")
        truncated = await client.until("conversation.item.truncated")
        assert cleared["response_id"] == client.of("output_audio_buffer.started")[0]["response_id"]
        proved = caller.sound_at[caller.marked[caller.marked_when_cleared - 1]] // 8
        assert proved - PIECE_MS <= truncated["audio_end_ms"] <= proved, "one mark may be on its way"
        heard_ms = caller.played_ms_when_cleared
        assert truncated["audio_end_ms"] <= heard_ms <= truncated["audio_end_ms"] + 3 * PIECE_MS
        await client.sdk.conversation.item.retrieve(item_id=truncated["item_id"])
        item = (await client.until("conversation.item.retrieved"))["item"]
        assert "thirty" not in json.dumps(item) and "twenty" not in json.dumps(item)
        done = await client.until("response.done")
        assert "144" in transcript(done["response"])


async def test_session_of_the_parameters(server: Server) -> None:
    parameters = {"api_key": server.key, "model": "gpt-realtime-mini", "voice": "ash", "instructions": "Be brief."}
    async with Carrier(address(server), parameters=parameters), beside(server) as client:
        session = client.events[0]["session"]
        assert (session["model"], session["instructions"]) == ("gpt-realtime-mini", "Be brief.")
        assert session["audio"]["output"]["voice"] == "ash"


async def test_hang_up(server: Server) -> None:
    """By our id or the carrier's; the carrier goes on with its next instruction when the stream is closed."""
    headers = {"authorization": f"Bearer {server.key}"}
    async with (
        Carrier(address(server), parameters={"client_secret": await secret(server)}) as caller,
        beside(server) as client,
        httpx.AsyncClient(base_url=server.url, headers=headers) as http,
    ):
        assert (await http.post(f"/v1/realtime/calls/{CALL}/hangup")).status_code == 200
        assert await caller.over() == (1000, "hung up")
        await client.over()
        assert (await http.post(f"/v1/realtime/calls/{CALL}/hangup")).status_code == 404


async def test_the_beta_client_beside_a_call(server: Server, beta_python: str) -> None:
    async with Carrier(address(server), parameters={"api_key": server.key}), beside(server):
        worker = await asyncio.create_subprocess_exec(
            beta_python, "-m", "tests.transports.carriers.beta_beside", server.base_url, server.key, CALL,
            cwd=ROOT, stdout=subprocess.PIPE, stderr=subprocess.PIPE,
        )  # fmt: skip
        said, trouble = await asyncio.wait_for(worker.communicate(), 50)
        assert worker.returncode == 0, trouble.decode()
        assert "144" in said.decode()


# ---- who comes in


async def refused(server: Server, path: str, headers: dict[str, str] | None = None) -> tuple[int, str]:
    with pytest.raises(InvalidStatus) as caught:
        await connect(address(server, path), additional_headers=headers or {})
    response = caught.value.response
    return response.status_code, json.loads(response.body)["error"]["code"]


async def test_refused_before_the_upgrade(server: Server) -> None:
    often, spent = await secret(server), await secret(server, max_uses=1)
    async with Carrier(address(server, f"twilio/{spent}")), beside(server):
        pass
    assert await refused(server, "nobody") == (404, "not_found")
    assert await refused(server, f"twilio/{server.key}") == (401, "key_in_query")
    assert await refused(server, f"twilio?api_key={server.key}") == (401, "key_in_query")
    assert await refused(server, "twilio/ek_unknown") == (401, "invalid_api_key")
    assert await refused(server, f"twilio/{often}") == (403, "client_secret_not_allowed")
    assert await refused(server, f"twilio/{spent}") == (401, "client_secret_used")
    assert await refused(server, "telnyx", {"x-telnyx-streaming-auth-token": "wrong"}) == (401, "invalid_api_key")


@pytest.mark.parametrize(
    ("parameters", "code"),
    [
        ({}, "invalid_api_key"),
        ({"api_key": "sk-wrong"}, "invalid_api_key"),
        ({"api_key": " "}, "invalid_api_key"),
        ({"client_secret": "ek_wrong"}, "invalid_api_key"),
        ({"api_key": "KEY", "model": "nobody"}, "model_not_found"),
        ({"api_key": "KEY", "voice": "nobody"}, "invalid_value"),
        ({"client_secret": "SECRET", "voice": "ash"}, "invalid_value"),
    ],
)
async def test_refused_at_the_start(server: Server, parameters: dict[str, str], code: str) -> None:
    known = {"KEY": server.key, "SECRET": await secret(server)}
    given = {name: known.get(value, value) for name, value in parameters.items()}
    async with Carrier(address(server), parameters=given) as caller:
        assert await caller.over() == (4000, f"invalid_request_error.{code}")
    assert not await exists(server, CALL)


async def test_telnyx_may_send_a_token(server: Server) -> None:
    headers = {"x-telnyx-streaming-auth-token": server.key}
    async with Carrier(address(server, "telnyx"), TELNYX, headers=headers), beside(server) as client:
        assert client.events[0]["session"]["model"] == "gpt-realtime"


async def test_nothing_else_is_a_carrier(server: Server) -> None:
    """Garbage, binary, too much, and silence."""
    for message, code, reason in (
        ("nonsense", 4000, "invalid_request_error.invalid_event"),
        (b"nonsense", 4000, "invalid_request_error.invalid_event"),
        ("[" * 60_000, 4000, "invalid_request_error.invalid_event"),
        (json.dumps({"event": "start"}), 4000, "invalid_request_error.invalid_value"),
        ("x" * 65_537, 1009, "Received frame with payload size exceeding max allowed size, 65537 > 65536"),
    ):
        async with connect(address(server)) as socket:
            await socket.send(message)
            await asyncio.wait_for(socket.wait_closed(), 10)
            assert (socket.close_code, socket.close_reason) == (code, reason)
    async with connect(address(server)) as socket:
        began = time.monotonic()
        await socket.send(json.dumps(TWILIO.greeting({})[0]))
        await asyncio.wait_for(socket.wait_closed(), 20)
        assert (socket.close_code, socket.close_reason) == (4000, "invalid_request_error.invalid_event")
        assert time.monotonic() - began >= 4.9


async def test_sound_that_comes_before_the_session_is_there(server: Server, speaker: Speaker) -> None:
    """All at once with the start: nothing of it is lost."""
    sound = await speaker(QUESTION)
    async with connect(address(server)) as socket:
        for event in TWILIO.greeting({"api_key": server.key}):
            await socket.send(json.dumps(event))
        codes = Encoder("audio/pcmu").encode(sound + bytes(48_000))
        for chunk, at in enumerate(range(0, len(codes), 160), 1):
            payload = base64.b64encode(codes[at : at + 160]).decode()
            await socket.send(json.dumps(TWILIO.media(payload, chunk)))
        async with asyncio.timeout(40):
            while json.loads(await socket.recv())["event"] != "media":
                pass


async def test_twilio_signs(make_server: MakeServer) -> None:
    server = make_server(PARLEY_TWILIO_AUTH_TOKEN=TWILIO_TOKEN, PARLEY_PUBLIC_URL="https://voice.example")

    def signed(url: str, token: str = TWILIO_TOKEN) -> dict[str, str]:
        digest = hmac.digest(token.encode(), url.encode(), hashlib.sha1)
        return {"x-twilio-signature": base64.b64encode(digest).decode()}

    url = "wss://voice.example/v1/realtime/media/twilio"
    for headers in ({}, signed(url, "wrong"), signed(f"{url}/other"), signed(url.replace("voice", "vice"))):
        assert await refused(server, "twilio", headers) == (401, "invalid_api_key")
    for known in (url, f"{url}/"):
        place = address(server)
        async with Carrier(place, parameters={"api_key": server.key}, headers=signed(known)), beside(server):
            pass
        while await exists(server, CALL):
            await asyncio.sleep(0.02)
    async with Carrier(address(server, "telnyx"), TELNYX, parameters={"api_key": server.key}), beside(server):
        pass


async def test_strangers_are_counted() -> None:
    strangers = Strangers()
    with ExitStack() as stack:
        for _ in range(STRANGERS_MAX):
            stack.enter_context(strangers)
        with pytest.raises(RequestError) as caught, strangers:
            pass
        assert caught.value.code == "too_many_sessions"
    with strangers:
        assert (STRANGERS_MAX, START_S, HELD_MAX) == (100, 5.0, 512)


async def test_a_full_server_and_one_that_stops(make_server: MakeServer) -> None:
    server = make_server(PARLEY_SESSIONS_MAX="1", PARLEY_DRAIN_S="1")
    async with Carrier(address(server), parameters={"api_key": server.key}) as caller, beside(server):
        async with Carrier(address(server), parameters={"api_key": server.key}) as another:
            assert await another.over() == (4000, "invalid_request_error.too_many_sessions")
        os.kill(server.pid, signal.SIGTERM)
        assert await caller.over() == (1001, "server_draining")


def test_it_is_no_page(server: Server) -> None:
    answer = httpx.get(f"{server.url}/v1/realtime/media/twilio")
    assert answer.status_code in (404, 426)
