"""Sound that comes and goes as a file: an upload is decoded by a child process that is watched, an answer becomes MP3.

The child limits itself (see `audio.file_decoder`), and is watched from here all the same: how long it takes, and how
much it says. Whoever leaves, the child is killed and waited for.
"""

import asyncio
import sys
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager, suppress
from typing import IO, Final

from parley.audio import file_decoder
from parley.audio.file_decoder import DONE, TOO_LONG
from parley.audio.pcm import BYTES_PER_MS, HOUSE_RATE
from parley.core.input_audio import COMMIT_MS_MIN, INPUT_AUDIO_MS_MAX
from parley.errors import RequestError

FILE_MS_MAX: Final = INPUT_AUDIO_MS_MAX
"""What the input buffer of a session takes, ten minutes. 25 MB of Opus can be nine hours."""
DECODE_S: Final = 20.0
"""By the clock, waiting for a turn included …"""
DECODE_CPU_S: Final = 15
"""… and of processor time; ten minutes of Opus take less than two seconds of it."""
DECODE_MEMORY_BYTES: Final = 512 << 20
"""Address space. Ordinary files are decoded within 200 MB."""
DECODERS_MAX: Final = 2
"""Children at once. Others wait."""
READ_BYTES: Final = 64 * 1024

MP3_KBIT_S: Final = 64
"""Speech in one channel; more is not heard."""
MP3_QUALITY: Final = 5
"""LAME's middle way between 2 (best) and 7 (fastest)."""


class Decoders:
    """Belongs to one event loop."""

    def __init__(self) -> None:
        self._turn = asyncio.Semaphore(DECODERS_MAX)

    async def decode(self, file: IO[bytes]) -> bytes:
        """House sound. `file` is a real one, open for reading at its beginning.

        Raises `RequestError`: `invalid_audio`, `audio_too_long`.
        """
        try:
            async with asyncio.timeout(DECODE_S), self._turn, _child(file) as child:
                pcm = await _said(child)
                status = await child.wait()
        except TimeoutError as error:
            raise RequestError("invalid_audio", "The audio takes too long to decode.", "audio") from error
        if status == TOO_LONG or len(pcm) > FILE_MS_MAX * BYTES_PER_MS:
            raise RequestError(
                "audio_too_long", f"The audio is longer than {FILE_MS_MAX // 60_000} minutes; send less.", "audio"
            )
        if status != DONE or len(pcm) < COMMIT_MS_MIN * BYTES_PER_MS:
            raise RequestError(
                "invalid_audio",
                f"No audio of at least {COMMIT_MS_MIN} ms can be read. Send WebM, Ogg, MP3, M4A, WAV or FLAC.",
                "audio",
            )
        return pcm


@asynccontextmanager
async def _child(file: IO[bytes]) -> AsyncIterator[asyncio.subprocess.Process]:
    child = await asyncio.create_subprocess_exec(
        sys.executable, "-I", file_decoder.__file__, str(FILE_MS_MAX), str(DECODE_CPU_S), str(DECODE_MEMORY_BYTES),
        stdin=file, stdout=asyncio.subprocess.PIPE, stderr=asyncio.subprocess.DEVNULL, env={}, cwd="/",
    )  # fmt: skip
    try:
        yield child
    finally:
        with suppress(ProcessLookupError):
            child.kill()
        await child.wait()


async def _said(child: asyncio.subprocess.Process) -> bytes:
    """All of it, or a little more than there may be."""
    assert child.stdout is not None
    said = bytearray()
    while len(said) <= FILE_MS_MAX * BYTES_PER_MS:
        piece = await child.stdout.read(READ_BYTES)
        if not piece:
            return bytes(said)
        said += piece
    return bytes(said)


async def to_mp3(pcm: bytes) -> bytes:
    """House sound as an MP3 file; b"" of nothing."""
    return await asyncio.to_thread(_mp3, pcm) if pcm else b""


def _mp3(pcm: bytes) -> bytes:
    import lameenc

    encoder = lameenc.Encoder()
    encoder.set_bit_rate(MP3_KBIT_S)
    encoder.set_in_sample_rate(HOUSE_RATE)
    encoder.set_channels(1)
    encoder.set_quality(MP3_QUALITY)
    encoder.silence()
    return bytes(encoder.encode(pcm)) + bytes(encoder.flush())
