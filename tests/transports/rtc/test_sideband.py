"""GET /v1/realtime?call_id=…: who may join a call, what they hear, and how it ends (protocol.md 7.13)."""

import asyncio
import json
from typing import Any

import httpx
import pytest
from websockets.asyncio.client import ClientConnection, connect
from websockets.exceptions import InvalidStatus

from tests.conftest import Server
from tests.oracle import check_ga
from tests.transports.rtc.phone import Event, Phone

SESSION: Event = {"type": "realtime", "model": "gpt-realtime"}


def joining(server: Server, call_id: str, key: str | None = None) -> Any:
    headers = {"authorization": f"Bearer {key or server.key}"}
    return connect(f"{server.ws_url}?call_id={call_id}", additional_headers=headers)


async def hear(sideband: ClientConnection, kind: str) -> tuple[Event, list[Event]]:
    """The next event of this type, and all up to it."""
    passed: list[Event] = []
    async with asyncio.timeout(30):
        while True:
            event: Event = json.loads(await sideband.recv())
            passed.append(event)
            assert check_ga(event) == []
            if event["type"] == kind:
                return event, passed


async def secret(server: Server) -> str:
    async with httpx.AsyncClient(base_url=server.url) as http:
        made = await http.post(
            "/v1/realtime/client_secrets", headers={"authorization": f"Bearer {server.key}"}, json={}
        )
        return str(made.json()["value"])


async def test_several_join_one_call(server: Server) -> None:
    async with Phone(server.url, await secret(server)) as phone:
        await phone.call()
        created = await phone.until("session.created")
        async with joining(server, phone.call_id) as one, joining(server, phone.call_id) as two:
            for sideband in (one, two):
                first = json.loads(await sideband.recv())
                assert first["type"] == "session.created"
                assert first["session"]["id"] == created["session"]["id"]
            update = {"type": "realtime", "instructions": "You are a parrot."}
            await one.send(json.dumps({"type": "session.update", "session": update}))
            for sideband in (one, two):
                updated, _ = await hear(sideband, "session.updated")
                assert updated["session"]["instructions"] == "You are a parrot."
            assert (await phone.until("session.updated"))["session"]["instructions"] == "You are a parrot."
            item = {
                "type": "message",
                "role": "user",
                "content": [{"type": "input_text", "text": "Twelve times twelve?"}],
            }
            await two.send(json.dumps({"type": "conversation.item.create", "item": item}))
            await two.send(json.dumps({"type": "response.create"}))
            for sideband in (one, two):
                done, passed = await hear(sideband, "response.done")
                kinds = [event["type"] for event in passed]
                assert "144" in done["response"]["output"][0]["content"][0]["transcript"]
                assert "output_audio_buffer.started" in kinds and "response.output_audio.delta" not in kinds
            await phone.until("response.done")
            await two.send(json.dumps({"type": "output_audio_buffer.clear"}))
            await phone.until("output_audio_buffer.cleared")
            await two.close()
            await one.send(json.dumps({"type": "response.create", "response": {"output_modalities": ["text"]}}))
            await hear(one, "response.done")
            assert (await phone.hang_up()).status_code == 200
            await asyncio.wait_for(one.wait_closed(), 10)
            assert one.close_code == 1000


async def test_nobody_elses_call(server: Server) -> None:
    mine, yours = await secret(server), await secret(server)
    async with Phone(server.url, mine) as phone:
        await phone.call()
        async with joining(server, phone.call_id, mine) as sideband:
            assert json.loads(await sideband.recv())["type"] == "session.created"
        for call_id, key, status in (
            (phone.call_id, yours, 404),
            (phone.call_id, "sk-wrong", 401),
            ("rtc_00000000_unknown", server.key, 404),
        ):
            with pytest.raises(InvalidStatus) as caught:
                await joining(server, call_id, key)
            assert caught.value.response.status_code == status
        with pytest.raises(InvalidStatus) as caught:
            await connect(f"{server.ws_url}?call_id={phone.call_id}")
        assert caught.value.response.status_code == 401


async def test_a_secret_opens_a_websocket_too(server: Server) -> None:
    async with httpx.AsyncClient(base_url=server.url) as http:
        body = {"session": {"type": "realtime", "model": "gpt-realtime-mini", "instructions": "Be brief."}}
        headers = {"authorization": f"Bearer {server.key}"}
        value = (await http.post("/v1/realtime/client_secrets", headers=headers, json=body)).json()["value"]
        beta = (await http.post("/v1/realtime/sessions", headers=headers, json={"voice": "verse"})).json()
    protocols: list[Any] = ["realtime", f"openai-insecure-api-key.{value}"]
    async with connect(f"{server.ws_url}?model=gpt-realtime", subprotocols=protocols) as client:
        assert client.subprotocol == "realtime"
        session = json.loads(await client.recv())["session"]
        assert (session["model"], session["instructions"]) == ("gpt-realtime-mini", "Be brief.")
        change = {"type": "realtime", "model": "gpt-realtime", "instructions": "Be long."}
        await client.send(json.dumps({"type": "session.update", "session": change}))
        await client.recv()
        error = json.loads(await client.recv())
        assert error["error"]["code"] == "cannot_update_model", "what is bound cannot be widened"
    headers = {"authorization": f"Bearer {beta['client_secret']['value']}"}
    async with connect(server.ws_url, additional_headers=headers) as client:
        session = json.loads(await client.recv())["session"]
        assert session["voice"] == "verse" and "audio" not in session
