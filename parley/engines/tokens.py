"""How many tokens a text has, as OpenAI's models of the o200k family count them.

The table of 200,000 tokens takes 35 MB, so it is loaded for the first session rather than at start. Where the tokenizer
is not installed, tokens are estimated: four bytes of UTF-8 each, which is right within a tenth for English.
"""

import asyncio
from collections.abc import Callable
from typing import Final

ENCODING: Final = "o200k_base"
BYTES_PER_TOKEN: Final = 4


def estimate(text: str) -> int:
    return -(-len(text.encode()) // BYTES_PER_TOKEN)


class TokenCounter:
    """Counts the tokens of a text; `exact` says whether by the real table."""

    def __init__(self) -> None:
        self.exact = False
        self._count: Callable[[str], int] = estimate
        self._loading: asyncio.Task[None] | None = None

    def __call__(self, text: str) -> int:
        return self._count(text) if text else 0

    async def load(self) -> None:
        """Returns when the table is there, or known to be missing. The first call takes 0.1 s."""
        if self._loading is None:
            self._loading = asyncio.create_task(self._load())
        await asyncio.shield(self._loading)

    async def _load(self) -> None:
        count = await asyncio.to_thread(_open)
        if count is not None:
            self._count, self.exact = count, True


def _open() -> Callable[[str], int] | None:
    try:
        from splintr import Tokenizer
    except ImportError:
        return None
    encode = Tokenizer.from_pretrained(ENCODING).encode
    return lambda text: len(encode(text))
