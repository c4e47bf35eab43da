"""A program as the beta's third-party guides have it: it says nowhere that it speaks beta, and prints what is written.

    python unmarked_client.py URI KEY            needs websockets < 14, for `extra_headers`

It asks for speech, yet prints `response.text.delta`: so do the guides, and it must print the answer (protocol.md 1.9).
"""

import asyncio
import json
import sys
from typing import Any

import websockets

SESSION = {
    "modalities": ["text", "audio"],
    "voice": "nova",
    "input_audio_format": "pcm16",
    "output_audio_format": "pcm16",
    "turn_detection": {"type": "server_vad"},
}
QUESTION = {
    "type": "message",
    "role": "user",
    "content": [{"type": "input_text", "text": "Hello, please introduce yourself"}],
}


async def ask(uri: str, key: str) -> None:
    connect: Any = websockets.connect
    async with connect(uri, extra_headers={"Authorization": f"Bearer {key}"}) as socket:
        await socket.send(json.dumps({"type": "session.update", "session": SESSION}))
        await socket.send(json.dumps({"type": "conversation.item.create", "item": QUESTION}))
        await socket.send(json.dumps({"type": "response.create"}))
        async for message in socket:
            event = json.loads(message)
            if event["type"] == "response.text.delta":
                print(event["delta"], end="")
            elif event["type"] == "response.done":
                return


if __name__ == "__main__":
    asyncio.run(ask(*sys.argv[1:]))
