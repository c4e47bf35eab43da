"""The old SDK beside a running call, by its Python: asks, and prints what is answered.

python -m tests.transports.carriers.beta_beside URL KEY CALL
"""

import asyncio
import sys
from typing import Any

import openai

from tests.sdk.client import BETA, Client, transcript


async def main(url: str, key: str, call_id: str) -> None:
    sdk: Any = openai.AsyncOpenAI(base_url=url, websocket_base_url=url.replace("http", "ws"), api_key=key)
    joining = sdk.beta.realtime.connect(model="gpt-4o-realtime-preview", extra_query={"call_id": call_id})
    async with sdk, joining as connection:
        client = Client(connection, BETA)
        await client.until("session.created")
        assert client.events[0]["session"]["modalities"] == ["text", "audio"], client.events[0]
        print(transcript(await client.ask("How much is twelve times twelve?")))
        await client.stop()
        assert client.findings == [], client.findings


if __name__ == "__main__":
    asyncio.run(main(*sys.argv[1:]))
