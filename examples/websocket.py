"""No SDK, only a WebSocket (`pip install websockets`): every event is a JSON object with a `type`.

python examples/websocket.py "Hello"
"""

import asyncio
import json
import os
import sys

import websockets


async def main(question: str) -> None:
    url = os.environ["OPENAI_BASE_URL"].replace("http", "ws", 1) + "/realtime?model=gpt-realtime"
    headers = {"Authorization": f"Bearer {os.environ['OPENAI_API_KEY']}"}
    async with websockets.connect(url, additional_headers=headers) as socket:
        message = {"type": "message", "role": "user", "content": [{"type": "input_text", "text": question}]}
        await socket.send(json.dumps({"type": "conversation.item.create", "item": message}))
        await socket.send(json.dumps({"type": "response.create", "response": {"output_modalities": ["text"]}}))
        async for text in socket:
            event = json.loads(text)
            if event["type"] == "response.output_text.delta":
                print(event["delta"], end="", flush=True)
            elif event["type"] == "response.done":
                print()
                break


if __name__ == "__main__":
    asyncio.run(main(" ".join(sys.argv[1:]) or "Hello, who are you?"))
