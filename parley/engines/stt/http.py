"""Speech-to-text by any OpenAI-compatible `POST …/audio/transcriptions`: one request for one turn.

A `Peek` costs a request too, so `peeks` is False: callers do without where they can. Partials are not asked for.
"""

import secrets
import struct
from collections.abc import AsyncIterator
from contextlib import aclosing
from typing import Final

import msgspec

from parley.audio.pcm import HOUSE_RATE, SAMPLE_BYTES
from parley.engines.base import Peek, Transcript, TranscriptionRequest
from parley.engines.http import Backend
from parley.engines.stt.turn import Hypothesis, follow

PATH: Final = "audio/transcriptions"


class HttpTranscription:
    """`SpeechToText` over HTTP. `model` replaces the one that the session asks for, unless it is empty."""

    peeks = False

    def __init__(self, backend: Backend, model: str = "") -> None:
        self._backend = backend
        self._model = model

    async def transcribe(
        self, audio: AsyncIterator[bytes | Peek], request: TranscriptionRequest
    ) -> AsyncIterator[Transcript]:
        """See `SpeechToText.transcribe`. Raises what `Backend.post` raises."""
        # The part before the sound is ready before the speech ends.
        boundary = secrets.token_hex(16)
        head = _form_head(_fields(request, self._model), boundary)

        async def hear(pcm: bytes) -> Hypothesis:
            form = b"".join((head, wav_header(len(pcm)), pcm, f"\r\n--{boundary}--\r\n".encode()))
            async with self._backend.post(PATH, form, f"multipart/form-data; boundary={boundary}") as answer:
                words = await answer.json(_Words)
            return Hypothesis(
                words.text.strip(), language=words.language or request.language, logprobs=_logprobs(words.logprobs)
            )

        async with aclosing(follow(audio, hear, partials=False)) as transcripts:
            async for transcript in transcripts:
                yield transcript


class _Logprob(msgspec.Struct):
    token: str
    logprob: float


class _Words(msgspec.Struct):
    text: str
    language: str | None = None
    logprobs: list[_Logprob] | None = None


def _logprobs(found: list[_Logprob] | None) -> tuple[tuple[str, float], ...] | None:
    return None if found is None else tuple((one.token, one.logprob) for one in found)


def _fields(request: TranscriptionRequest, model: str) -> dict[str, str]:
    """The form's fields besides the file. Keywords have no field of their own: models read them in the prompt.

    Of several languages that are expected no server can be told; one alone is the language.
    """
    only = request.languages[0] if len(request.languages) == 1 else ""
    fields = {
        "model": model or request.model,
        "language": request.language or only,
        "include[]": "logprobs" if request.logprobs else "",
        "prompt": " ".join(filter(None, (request.prompt, ", ".join(request.keywords)))),
        "response_format": "json",
    }
    return {name: value for name, value in fields.items() if value}


def _form_head(fields: dict[str, str], boundary: str) -> bytes:
    """A multipart form (RFC 7578) up to where the bytes of the file begin."""
    parts = [
        f'--{boundary}\r\nContent-Disposition: form-data; name="{name}"\r\n\r\n{value}\r\n'
        for name, value in fields.items()
    ]
    file = 'Content-Disposition: form-data; name="file"; filename="turn.wav"\r\nContent-Type: audio/wav\r\n\r\n'
    return f"{''.join(parts)}--{boundary}\r\n{file}".encode()


def wav_header(size: int) -> bytes:
    """The 44 bytes before `size` bytes of house audio in a WAV file."""
    layout = struct.pack("<IHHIIHH", 16, 1, 1, HOUSE_RATE, HOUSE_RATE * SAMPLE_BYTES, SAMPLE_BYTES, SAMPLE_BYTES * 8)
    return b"RIFF" + struct.pack("<I", 36 + size) + b"WAVEfmt " + layout + b"data" + struct.pack("<I", size)
