"""A process that sends one webhook and may be killed meanwhile: `python -m tests.webhooks.worker DATABASE ENDPOINT`."""

import asyncio
import sys
from pathlib import Path

from parley.storage import open_storage
from tests.webhooks.receivers import ringing, sending


async def main(url: str, endpoint: str) -> None:
    storage = await open_storage(url, Path())
    async with sending(storage, endpoint, begun=False) as webhooks:
        print(await webhooks.send(ringing(), account="local", endpoint=endpoint, life_s=600), flush=True)
        await asyncio.sleep(60)


if __name__ == "__main__":
    asyncio.run(main(*sys.argv[1:]))
