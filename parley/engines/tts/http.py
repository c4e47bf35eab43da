"""Text-to-speech by any OpenAI-compatible `POST …/audio/speech`, its sound passed on as it streams in."""

from collections.abc import AsyncIterator
from typing import Final

from parley.engines.http import Answer, Backend, protocol_error
from parley.engines.tts.sound import SoundReader, UnreadableSound, slices
from parley.engines.tts.speakable import is_speakable

PATH: Final = "audio/speech"
NO_SOUND: Final = ("application/json", "text/", "audio/mpeg", "audio/ogg", "audio/aac", "audio/flac", "audio/webm")
"""How the types begin that are neither PCM nor WAV. Others are tried, since few servers name them well."""


class HttpSpeech:
    """`TextToSpeech` over HTTP.

    `voice` replaces the public voice of the session; empty, that is passed on. An empty `model` is left to the backend.
    """

    def __init__(self, backend: Backend, model: str, voice: str = "", name: str = "The text-to-speech backend") -> None:
        self._backend = backend
        self._model = model
        self._voice = voice
        self._name = name

    async def speak(self, text: str, voice: str, speed: float) -> AsyncIterator[bytes]:
        """See `TextToSpeech.speak`. Raises what `Backend.post` raises."""
        if not is_speakable(text):
            return
        order: dict[str, object] = {"voice": self._voice or voice, "input": text, "response_format": "pcm"}
        if self._model:
            order["model"] = self._model
        if speed != 1.0:
            # Not every server knows the field.
            order["speed"] = speed
        async with self._backend.post_json(PATH, order) as answer:
            async for chunk in self._house_sound(answer):
                yield chunk

    async def _house_sound(self, answer: Answer) -> AsyncIterator[bytes]:
        if answer.content_type.startswith(NO_SOUND):
            raise protocol_error(self._name, f"{answer.content_type}, which is neither PCM nor WAV")
        reader = SoundReader()
        heard = False
        try:
            async for raw in answer.chunks():
                for chunk in slices(reader.push(raw)):
                    heard = True
                    yield chunk
        except UnreadableSound as error:
            raise protocol_error(self._name, str(error)) from None
        for chunk in slices(reader.flush()):
            yield chunk
        if not heard:
            raise protocol_error(self._name, "no sound")
