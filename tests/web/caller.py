"""A phone that calls by /api/realtime/session: JSON with the offer in it, the id of the call in a header."""

import asyncio
from typing import Any, Final

import httpx
from aiortc import RTCSessionDescription

from tests.transports.rtc.phone import Phone

PATIENCE_S: Final = 20.0


class Caller(Phone):
    """A phone that calls by /api/realtime/session."""

    async def begin(self, model: str = "realtime-mini", **more: Any) -> httpx.Response:
        body = {"model": model, "voice": "marin", "instructions": "Keep answers short.", "sdp": await self.offer()}
        response = await self._http.post(
            "/api/realtime/session", json=body | more, headers={"authorization": f"Bearer {self._key}"}
        )
        if response.status_code == 200:
            self.call_id = response.headers["x-openai-call-id"]
            await self.peer.setRemoteDescription(RTCSessionDescription(response.text, "answer"))
        return response

    async def ask(self) -> None:
        """One turn, in writing; its answer costs something."""
        self.put("What is this?")
        await self.until("response.done")

    def put(self, text: str, **response: Any) -> None:
        content = [{"type": "input_text", "text": text}]
        self.say("conversation.item.create", item={"type": "message", "role": "user", "content": content})
        self.say("response.create", response=response)

    async def over(self) -> None:
        """Returns when the server has let go of the call."""
        async with asyncio.timeout(PATIENCE_S):
            await self.channel_closed.wait()
