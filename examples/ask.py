"""Ask one question in writing, read the answer as it comes.

    python examples/ask.py "What is seventeen times three?"

Needs `pip install "openai[realtime]"`, and the address and key that `parley serve` prints:
OPENAI_BASE_URL=http://127.0.0.1:8000/v1 and OPENAI_API_KEY.
"""

import asyncio
import sys

from openai import AsyncOpenAI


async def main(question: str) -> None:
    client = AsyncOpenAI()  # or AsyncOpenAI(base_url="http://127.0.0.1:8000/v1", api_key="sk-parley-…")
    async with client.realtime.connect(model="gpt-realtime") as connection:
        await connection.session.update(session={"type": "realtime", "output_modalities": ["text"]})
        await connection.conversation.item.create(
            item={"type": "message", "role": "user", "content": [{"type": "input_text", "text": question}]}
        )
        await connection.response.create()
        async for event in connection:
            if event.type == "response.output_text.delta":
                print(event.delta, end="", flush=True)
            elif event.type == "response.done":
                print()
                break


if __name__ == "__main__":
    asyncio.run(main(" ".join(sys.argv[1:]) or "Hello, who are you?"))
