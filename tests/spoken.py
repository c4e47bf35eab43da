"""Speech made on the spot by the embedded voice, for tests that need somebody to say something."""

from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

from parley.cli.sound import write_wav
from parley.engines.tts import open_pico


async def say(text: str, voice: str = "alloy") -> bytes:
    """`text` as house sound, with a quarter of a second of silence before it, as a microphone would have it."""
    with ThreadPoolExecutor(1) as workers:
        return bytes(12_000) + b"".join([chunk async for chunk in open_pico(workers).speak(text, voice, 1.0)])


async def recording(path: Path, *texts: str) -> Path:
    """A WAV file of these sentences with a pause of 1.5 s between them."""
    write_wav(path, bytes(72_000).join([await say(text) for text in texts]))
    return path
