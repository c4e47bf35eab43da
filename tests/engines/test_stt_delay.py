"""How often partial hypotheses are made, by the `delay` that a client allows (protocol.md 2.7)."""

import asyncio
from collections.abc import AsyncIterator

import pytest

from parley.audio.pcm import BYTES_PER_MS
from parley.engines.base import Delay, Peek
from parley.engines.stt.turn import PARTIAL_EVERY_MS, Hypothesis, follow

SPEECH_MS = 6_000
STEP_MS = 100


async def speech() -> AsyncIterator[bytes | Peek]:
    for _ in range(SPEECH_MS // STEP_MS):
        yield bytes(STEP_MS * BYTES_PER_MS)
        for _ in range(5):  # whoever listens has its turn
            await asyncio.sleep(0)


async def hear(sound: bytes) -> Hypothesis:
    return Hypothesis(f"{len(sound) // BYTES_PER_MS} ms")


@pytest.mark.parametrize("delay", PARTIAL_EVERY_MS)
async def test_a_shorter_delay_brings_more_partials(delay: Delay) -> None:
    heard = [transcript async for transcript in follow(speech(), hear, partials=True, delay=delay)]
    partials = [transcript for transcript in heard if not transcript.final]
    wanted = SPEECH_MS / PARTIAL_EVERY_MS[delay]
    assert wanted * 0.7 - 1 <= len(partials) <= wanted
    assert heard[-1].final
