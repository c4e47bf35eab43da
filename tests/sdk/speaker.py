"""A person to talk to the server: text to speech of our own, each sentence made once."""

from concurrent.futures import ThreadPoolExecutor

from parley.engines.tts import choose_embedded
from tests.speech import say

VOICE = "marin"
"""The embedded speech-to-text understands this one best."""


class Speaker:
    """`await speaker("Tell me a story.")` is that sentence, spoken, in house format.

    Each sentence is spoken by an engine that has said nothing before: only then is the sound the same in every run.
    """

    def __init__(self) -> None:
        self._workers = ThreadPoolExecutor(1)
        self._said: dict[tuple[str, str], bytes] = {}

    async def __call__(self, text: str, voice: str = VOICE) -> bytes:
        key = (text, voice)
        if key not in self._said:
            tts, advice = choose_embedded(self._workers)
            assert tts is not None, advice
            self._said[key] = await say(tts, text, voice)
        return self._said[key]

    def close(self) -> None:
        self._workers.shutdown()
