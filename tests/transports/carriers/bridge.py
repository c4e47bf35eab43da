"""OpenAI's Twilio demo (the seed links it), step by step as its server does it: between Twilio and /v1/realtime in g711_ulaw.

Only the address and the key are ours. What it does: connects when `start` comes, with the beta header; passes `media` on as
`input_audio_buffer.append`, and every delta as `media` with a mark; when speech starts it truncates the last item at the
time that has gone by on Twilio's clock since its first sound, and clears.
"""

import asyncio
import contextlib
import json
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from typing import Any

from websockets.asyncio.client import ClientConnection, connect
from websockets.asyncio.server import ServerConnection, serve

Event = dict[str, Any]

MODEL = "gpt-4o-realtime-preview-2024-12-17"
SESSION: Event = {
    "modalities": ["text", "audio"],
    "turn_detection": {"type": "server_vad"},
    "voice": "ash",
    "input_audio_transcription": {"model": "whisper-1"},
    "input_audio_format": "g711_ulaw",
    "output_audio_format": "g711_ulaw",
}


class Bridge:
    """One call at a time, as the demo has it."""

    def __init__(self, ws_url: str, key: str, saved_config: Event | None = None) -> None:
        self._place = f"{ws_url}?model={MODEL}"
        self._headers = {"Authorization": f"Bearer {key}", "OpenAI-Beta": "realtime=v1"}
        self._saved_config = saved_config or {}
        self._stream_sid = ""
        self._model: ClientConnection | None = None
        self._listening: asyncio.Task[None] | None = None
        self._last_item: str | None = None
        self._response_start: int | None = None
        self._latest = 0
        self.said: list[Event] = []
        """What the model's side has said, sound left out."""

    @asynccontextmanager
    async def open(self) -> AsyncIterator[str]:
        """The address for `<Stream url>`."""
        async with serve(self._on_call, "127.0.0.1", 0) as server:
            port = next(iter(server.sockets)).getsockname()[1]
            yield f"ws://127.0.0.1:{port}/call"

    def of(self, kind: str) -> list[Event]:
        return [event for event in self.said if event["type"] == kind]

    async def _on_call(self, twilio: ServerConnection) -> None:
        try:
            async for message in twilio:
                await self._on_twilio(twilio, json.loads(message))
        finally:
            if self._listening is not None:
                self._listening.cancel()
            if self._model is not None:
                await self._model.close()

    async def _on_twilio(self, twilio: ServerConnection, event: Event) -> None:
        match event["event"]:
            case "start":
                self._stream_sid = event["start"]["streamSid"]
                self._latest, self._last_item, self._response_start = 0, None, None
                await self._connect(twilio)
            case "media":
                self._latest = int(event["media"]["timestamp"])
                await self._tell({"type": "input_audio_buffer.append", "audio": event["media"]["payload"]})

    async def _connect(self, twilio: ServerConnection) -> None:
        self._model = await connect(self._place, additional_headers=self._headers)
        await self._tell({"type": "session.update", "session": {**SESSION, **self._saved_config}})
        self._listening = asyncio.create_task(self._listen(twilio, self._model))

    async def _tell(self, event: Event) -> None:
        if self._model is not None:
            await self._model.send(json.dumps(event))

    async def _listen(self, twilio: ServerConnection, model: ClientConnection) -> None:
        with contextlib.suppress(Exception):  # either side is gone
            async for message in model:
                await self._on_model(twilio, json.loads(message))

    async def _on_model(self, twilio: ServerConnection, event: Event) -> None:
        match event["type"]:
            case "response.audio.delta":
                await self._play(twilio, event)
                return
            case "input_audio_buffer.speech_started":
                await self._truncate(twilio)
            case "response.output_item.done" if event["item"]["type"] == "function_call":
                output = {"type": "function_call_output", "call_id": event["item"]["call_id"], "output": '{"temp": 21}'}
                await self._tell({"type": "conversation.item.create", "item": output})
                await self._tell({"type": "response.create"})
        self.said.append(event)

    async def _play(self, twilio: ServerConnection, event: Event) -> None:
        if self._response_start is None:
            self._response_start = self._latest
        self._last_item = event.get("item_id", self._last_item)
        sound = {"event": "media", "streamSid": self._stream_sid, "media": {"payload": event["delta"]}}
        await twilio.send(json.dumps(sound))
        await twilio.send(json.dumps({"event": "mark", "streamSid": self._stream_sid}))

    async def _truncate(self, twilio: ServerConnection) -> None:
        if self._last_item is None or self._response_start is None:
            return
        elapsed = max(0, self._latest - self._response_start)
        cut = {"item_id": self._last_item, "content_index": 0, "audio_end_ms": elapsed}
        await self._tell({"type": "conversation.item.truncate", **cut})
        await twilio.send(json.dumps({"event": "clear", "streamSid": self._stream_sid}))
        self._last_item, self._response_start = None, None
