"""A client that knows nothing: a WebSocket and JSON. For what no SDK would send.

async with opened(server) as socket:
    await socket.say({"type": "nonsense", "event_id": "e"})
    error = await socket.error("invalid_value", "e")
"""

import asyncio
import json
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from typing import Any

from websockets.asyncio.client import ClientConnection, connect

from tests.conftest import Server
from tests.oracle import check_ga

PATIENCE_S = 40.0
Event = dict[str, Any]


class Socket:
    """What comes is judged by the oracle when it is read."""

    def __init__(self, connection: ClientConnection) -> None:
        self.connection = connection

    async def say(self, event: Any) -> None:
        await self.connection.send(json.dumps(event))

    async def hear(self) -> Event:
        """The next event."""
        event: Event = json.loads(await asyncio.wait_for(self.connection.recv(), PATIENCE_S))
        assert check_ga(event) == [], event
        return event

    async def until(self, kind: str) -> Event:
        while (event := await self.hear())["type"] != kind:
            assert event["type"] != "error", event
        return event

    async def error(self, code: str, event_id: str | None) -> Event:
        """The next event, which is this error."""
        event = await self.hear()
        assert event["type"] == "error", event
        error: Event = event["error"]
        assert (error["code"], error["event_id"]) == (code, event_id), error
        assert error["message"]
        return error


@asynccontextmanager
async def opened(server: Server, query: str = "model=gpt-realtime", **options: Any) -> AsyncIterator[Socket]:
    """A socket that has been greeted."""
    options.setdefault("additional_headers", {"Authorization": f"Bearer {server.key}"})
    async with connect(f"{server.ws_url}?{query}", max_size=None, **options) as connection:
        socket = Socket(connection)
        created = await socket.hear()
        assert created["type"] == "session.created"
        if created["session"]["type"] == "realtime":
            assert (await socket.hear())["type"] == "conversation.created"
        yield socket
