"""The same conversation with the old beta client: `pip install "openai[realtime]==1.99.9"`.

    python examples/beta_client.py "Hello"

Nothing of the program changes but the address and the key. (The old SDK needs the WebSocket address in addition,
because it would use wss otherwise.)
"""

import asyncio
import os
import sys

from openai import AsyncOpenAI


async def main(question: str) -> None:
    base_url = os.environ["OPENAI_BASE_URL"]
    client = AsyncOpenAI(base_url=base_url, websocket_base_url=base_url.replace("http", "ws", 1))
    async with client.beta.realtime.connect(model="gpt-4o-realtime-preview") as connection:
        await connection.session.update(session={"modalities": ["text"]})
        await connection.conversation.item.create(
            item={"type": "message", "role": "user", "content": [{"type": "input_text", "text": question}]}
        )
        await connection.response.create()
        async for event in connection:
            if event.type == "response.text.delta":
                print(event.delta, end="", flush=True)
            elif event.type == "response.done":
                print()
                break


if __name__ == "__main__":
    asyncio.run(main(" ".join(sys.argv[1:]) or "Hello, who are you?"))
