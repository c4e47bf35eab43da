"""Text-to-speech by the program `espeak-ng`, where it is installed: a robot, but one without any other need.

It is GPL, so it stays a program of its own, and the operator chooses it; nothing of it is loaded into this process.
"""

import asyncio
import os
import shutil
import signal
from asyncio.subprocess import DEVNULL, PIPE, Process
from collections.abc import AsyncIterator
from contextlib import suppress
from typing import Final

from parley.catalog import VOICES, Voice
from parley.engines.tts.sound import SoundReader, UnreadableSound, slices
from parley.engines.tts.speakable import speakable
from parley.errors import EngineError

PROGRAM: Final = "espeak-ng"
WORDS_PER_MINUTE: Final = 175
WORDS_PER_MINUTE_MIN: Final = 80
HIGH_VOICE_HZ: Final = 145
HZ_PER_STEP: Final = 4
"""The program's pitch is 0 to 99 without a unit; this keeps our voices apart and in their order."""
READ_BYTES: Final = 4_096
SILENT_S_MAX: Final = 5.0
"""It speaks hundreds of times faster than real time; one that says nothing for so long is stuck."""


def find_espeak() -> str | None:
    """The path of the program, or None."""
    return shutil.which(PROGRAM)


class Espeak:
    """`TextToSpeech` by one process an utterance. Closing the iterator kills it."""

    def __init__(self, program: str) -> None:
        self._program = program

    async def speak(self, text: str, voice: str, speed: float) -> AsyncIterator[bytes]:
        """See `TextToSpeech.speak`. Raises `EngineError`: `voice_not_found`, `backend_…`."""
        if voice not in VOICES:
            raise EngineError("voice_not_found", f"Supported voices are: {', '.join(VOICES)}.")
        text = speakable(text)
        if not text:
            return
        process = await self._start(VOICES[voice], speed)
        try:
            reader = SoundReader()
            async for raw in _output(process, text):
                for chunk in slices(reader.push(raw)):
                    yield chunk
            for chunk in slices(reader.flush()):
                yield chunk
            if await process.wait():
                raise EngineError("backend_refused", f"espeak-ng ended with status {process.returncode}.")
        except UnreadableSound as error:
            raise EngineError("backend_protocol_error", f"espeak-ng sent {error}.") from None
        except TimeoutError:
            raise EngineError("backend_timeout", "espeak-ng stopped speaking.", retryable=True) from None
        finally:
            await _end(process)

    async def _start(self, voice: Voice, speed: float) -> Process:
        pace = max(WORDS_PER_MINUTE_MIN, round(WORDS_PER_MINUTE * speed))
        speaker = f"{voice.base.lower()}+{'f' if voice.pitch_hz >= HIGH_VOICE_HZ else 'm'}3"
        # The text goes by standard input: everybody on the machine can read the arguments of a process.
        arguments = ("-v", speaker, "-p", str(voice.pitch_hz // HZ_PER_STEP), "-s", str(pace), "--stdin", "--stdout")
        try:
            return await asyncio.create_subprocess_exec(
                self._program, *arguments, stdin=PIPE, stdout=PIPE, stderr=DEVNULL, start_new_session=True
            )
        except OSError as error:
            raise EngineError("backend_unavailable", "espeak-ng could not be started.") from error


async def _output(process: Process, text: str) -> AsyncIterator[bytes]:
    """What the program prints about `text`. Raises `TimeoutError`."""
    assert process.stdin and process.stdout
    process.stdin.write(text.encode())
    process.stdin.write_eof()
    while True:
        async with asyncio.timeout(SILENT_S_MAX):
            chunk = await process.stdout.read(READ_BYTES)
        if not chunk:
            return
        yield chunk


async def _end(process: Process) -> None:
    if process.returncode is None:
        # The whole group: a wrapper script's child would keep the pipe open.
        with suppress(ProcessLookupError):
            os.killpg(process.pid, signal.SIGKILL)
    if process.stdout:
        # Until its output is read to the end, asyncio does not count the process as ended.
        await process.stdout.read()
    await process.wait()
