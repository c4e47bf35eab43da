"""Backends for a real server, all three in one fake, on a thread and a loop of their own.

with running_backends() as backends, running_server(home, env=backends.env()) as server:
    backends.fake.transcript = "tell me a story"   # what everything that is said sounds like
    backends.words = ["Once ", "upon a time."]     # what the language model says
    backends.fake.speech_pause_s = 0.1             # how slow it speaks
    backends.fake.broken["STT"] = Fault.HANG       # what is wrong with a part, until `reset`
"""

import asyncio
import json
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

from tests.engines.fake_backends import FakeBackend, Fault, Reply, Request, Status

PATHS = {"STT": "/v1/audio/transcriptions", "LLM": "/v1/chat/completions", "TTS": "/v1/audio/speech"}
SPEECH_MS = 1_000
"""Sound of one piece of text."""


class Fake(FakeBackend):
    """Its faults are a part's, not a request's: retries do not help."""

    def __init__(self) -> None:
        super().__init__()
        self.broken: dict[str, Fault | Status] = {}

    async def _answer(self, request: Request, writer: asyncio.StreamWriter, fault: Fault | Status | None) -> None:
        part = next(part for part, path in PATHS.items() if path == request.path)
        await super()._answer(request, writer, self.broken.get(part, fault))


class Backends:
    def __init__(self) -> None:
        self.fake = Fake()
        self.words: list[str] = ["Hello ", "there."]
        self.word_pause_s = 0.0
        self.chats: list[dict[str, Any]] = []
        """What the language model was asked."""
        self.fake.routes[PATHS["LLM"]] = self._chat
        self.reset()

    def reset(self) -> None:
        """As new."""
        self.words, self.word_pause_s = ["Hello ", "there."], 0.0
        self.chats.clear()
        self.fake.broken.clear()
        self.fake.transcript = "hello there"
        self.fake.speech = bytes(48 * SPEECH_MS)
        self.fake.speech_chunk_bytes = 48 * 100
        self.fake.speech_pause_s = 0.0

    def env(self, *parts: str, url: str | None = None, **more: str) -> dict[str, str]:
        """The settings of a server that stands on these parts: STT, LLM, TTS."""
        return {f"PARLEY_{part}_URL": url or self.fake.url for part in parts or PATHS} | more

    async def _chat(self, request: Request, reply: Reply) -> None:
        self.chats.append(json.loads(request.body))
        pieces = [_chunk({"content": word}) for word in self.words]
        await reply.stream([*pieces, _chunk({}, "stop") + b"data: [DONE]\n\n"], "text/event-stream", self.word_pause_s)


def _chunk(delta: dict[str, Any], finish: str | None = None) -> bytes:
    choice = {"index": 0, "delta": delta, "finish_reason": finish}
    return b"data: " + json.dumps({"id": "c1", "choices": [choice]}).encode() + b"\n\n"


@contextmanager
def running_backends() -> Iterator[Backends]:
    loop = asyncio.new_event_loop()
    thread = threading.Thread(target=loop.run_forever, name="backends", daemon=True)
    thread.start()
    backends = Backends()
    asyncio.run_coroutine_threadsafe(backends.fake.__aenter__(), loop).result(10)
    try:
        yield backends
    finally:
        asyncio.run_coroutine_threadsafe(backends.fake.__aexit__(), loop).result(10)
        loop.call_soon_threadsafe(loop.stop)
        thread.join()
        loop.close()
