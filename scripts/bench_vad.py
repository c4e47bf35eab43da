"""Measures the VAD: `python scripts/bench_vad.py [sessions ...]`.

Each session sends 20 ms of noise every 20 ms, at its own phase. Printed: CPU of the whole process per second of
session, less that of the generator alone, and how long evidence takes from the chunk that completes a frame to the
callback.
"""

import asyncio
import statistics
import sys
import time
from collections.abc import Callable

import numpy as np
import uvloop

from parley.audio.pcm import SAMPLE_BYTES, ms_to_samples
from parley.audio.vad import Evidence
from parley.live.listening import Listening

CHUNK_S = 0.020
SECONDS = 6.0


class Talker:
    """One session of the bench."""

    def __init__(self) -> None:
        self.delays_ms: list[float] = []
        self.hear: Callable[[bytes], None] = lambda pcm: None
        self._pcm = np.random.default_rng(1).normal(0, 500, ms_to_samples(20)).astype("<i2").tobytes()
        self._sent: list[tuple[int, float]] = []
        self._samples = 0

    def speak(self) -> None:
        self._samples += len(self._pcm) // SAMPLE_BYTES
        self._sent.append((self._samples, time.perf_counter()))
        self.hear(self._pcm)

    def told(self, evidence: list[Evidence]) -> None:
        now = time.perf_counter()
        for upto, *_ in evidence:
            while self._sent[0][0] < upto:
                self._sent.pop(0)
            self.delays_ms.append((now - self._sent[0][1]) * 1_000)


async def talk(talkers: list[Talker]) -> float:
    """Lets all of them talk; milliseconds of CPU per session-second."""
    loop = asyncio.get_running_loop()
    end = loop.time() + SECONDS

    def speak(talker: Talker, due: float) -> None:
        talker.speak()
        if due < end:
            loop.call_at(due + CHUNK_S, speak, talker, due + CHUNK_S)

    spent = time.process_time()
    for number, talker in enumerate(talkers):
        due = loop.time() + CHUNK_S * number / len(talkers)
        loop.call_at(due, speak, talker, due)
    await asyncio.sleep(SECONDS + 0.1)
    return (time.process_time() - spent) * 1_000 / (len(talkers) * SECONDS)


async def main(counts: list[int]) -> None:
    for count in counts:
        generator_ms = await talk([Talker() for _ in range(count)])
        talkers = [Talker() for _ in range(count)]
        listening = Listening()
        await listening.load()
        for talker in talkers:
            talker.hear = listening.attach(talker.told).hear
        spent_ms = await talk(talkers)
        await listening.close()
        delays = sorted(delay for talker in talkers for delay in talker.delays_ms)
        print(
            f"{listening.name}, {count} sessions: {spent_ms - generator_ms:.2f} ms CPU per session-second"
            f" (generator {generator_ms:.2f}); evidence after p50 {statistics.median(delays):.2f},"
            f" p99 {delays[int(len(delays) * 0.99)]:.2f} ms; {listening.frames / listening.batches:.1f} frames a batch"
        )


if __name__ == "__main__":
    with asyncio.Runner(loop_factory=uvloop.new_event_loop) as runner:
        runner.run(main([int(count) for count in sys.argv[1:]] or [1, 4, 10, 25, 50, 100]))
