"""Which backends answer: an HTTP endpoint where the settings name one, otherwise what is embedded and installed."""

import asyncio
from collections.abc import AsyncIterator, Awaitable, Callable
from concurrent.futures import Executor
from typing import TYPE_CHECKING, Final, Generic, NamedTuple, TypeVar
from urllib.parse import urlsplit

from parley.engines.base import LanguageModel, Peek, SpeechToText, TextToSpeech, Transcript, TranscriptionRequest
from parley.engines.llm import BACKENDS as LANGUAGE_MODELS
from parley.engines.llm import LanguageModelOptions
from parley.engines.stt import choose_embedded as choose_embedded_ear
from parley.engines.stt import open_http as open_http_ear
from parley.engines.tts import choose_embedded as choose_embedded_voice
from parley.engines.tts import open_http as open_http_voice
from parley.errors import EngineError
from parley.settings import Settings

if TYPE_CHECKING:
    from parley.engines.http import Backend

ASSISTANT: Final = "embedded assistant"
NOTHING: Final = "none"
OPENAI: Final = "api.openai.com"
"""Its reasoning models know the limit of output only by its newer name, which small servers do not know."""

T = TypeVar("T")


class Part(NamedTuple, Generic[T]):
    """One of the three backends, what people call it, and what they should know about it."""

    backend: T
    name: str
    note: str = ""


class Missing:
    """Stands where a backend is not installed: the work fails, and its error says what to do."""

    peeks = False

    def __init__(self, advice: str) -> None:
        self._advice = advice

    async def transcribe(
        self, audio: AsyncIterator[bytes | Peek], request: TranscriptionRequest
    ) -> AsyncIterator[Transcript]:
        raise EngineError("backend_unavailable", self._advice)
        yield

    async def speak(self, text: str, voice: str, speed: float) -> AsyncIterator[bytes]:
        raise EngineError("backend_unavailable", self._advice)
        yield


class EngineRoom(NamedTuple):
    stt: Part[SpeechToText]
    llm: Part[LanguageModel]
    tts: Part[TextToSpeech]
    connections: tuple["Backend", ...]

    @property
    def names(self) -> dict[str, str]:
        return {
            "speech_to_text": self.stt.name,
            "language_model": self.llm.name,
            "text_to_speech": self.tts.name,
        }

    @property
    def notes(self) -> list[str]:
        """What stands in for something better, and how to get that."""
        return [part.note for part in (self.stt, self.llm, self.tts) if part.note]

    @property
    def embedded(self) -> bool:
        """Whether models live in this process."""
        return bool(self._loads)

    async def load(self) -> None:
        """Loads the models that live in this process. Raises `EngineError`."""
        await asyncio.gather(*(load() for load in self._loads))

    @property
    def _loads(self) -> list[Callable[[], Awaitable[None]]]:
        loads = [getattr(part.backend, "load", None) for part in (self.stt, self.llm, self.tts)]
        return [load for load in loads if load is not None]

    async def close(self) -> None:
        """Closes the connections to backends."""
        for connection in self.connections:
            await connection.close()
        if (close := getattr(self.llm.backend, "close", None)) is not None:
            await close()


def open_engine_room(settings: Settings, workers: Executor) -> EngineRoom:
    """Nothing is loaded or connected yet."""
    connections: list[Backend] = []
    return EngineRoom(
        _speech_to_text(settings, workers, connections),
        _language_model(settings),
        _text_to_speech(settings, workers, connections),
        tuple(connections),
    )


def _speech_to_text(settings: Settings, workers: Executor, connections: "list[Backend]") -> Part[SpeechToText]:
    if settings.stt_url:
        connections.append(_connect(settings, settings.stt_url, settings.stt_api_key, "The speech-to-text backend"))
        backend = open_http_ear(connections[-1], settings.stt_model)
        return Part(backend, _endpoint(settings.stt_url, settings.stt_model))
    ear, note = choose_embedded_ear(workers)
    return Part(Missing(note), NOTHING, note) if ear is None else Part(ear, _embedded(ear), note)


def _text_to_speech(settings: Settings, workers: Executor, connections: "list[Backend]") -> Part[TextToSpeech]:
    if settings.tts_url:
        connections.append(_connect(settings, settings.tts_url, settings.tts_api_key, "The text-to-speech backend"))
        backend = open_http_voice(connections[-1], settings.tts_model, settings.tts_voice)
        return Part(backend, _endpoint(settings.tts_url, settings.tts_model))
    voice, note = choose_embedded_voice(workers)
    return Part(Missing(note), NOTHING, note) if voice is None else Part(voice, _embedded(voice), note)


def language_model_options(settings: Settings) -> LanguageModelOptions:
    return LanguageModelOptions(
        url=settings.llm_url,
        api_key=settings.llm_api_key,
        model=settings.llm_model,
        connect_s=settings.connect_timeout_s,
        first_token_s=settings.backend_timeout_s,
        next_token_s=settings.backend_timeout_s,
        seed=settings.assistant_seed,
        limit_field="max_completion_tokens" if urlsplit(settings.llm_url).hostname == OPENAI else "max_tokens",
    )


def _language_model(settings: Settings) -> Part[LanguageModel]:
    options = language_model_options(settings)
    if settings.llm_url:
        return Part(LANGUAGE_MODELS["chat"](options), _endpoint(settings.llm_url, settings.llm_model))
    note = f"The {ASSISTANT} stands in for a language model; PARLEY_LLM_URL brings a real one."
    return Part(LANGUAGE_MODELS["assistant"](options), ASSISTANT, note)


def _connect(settings: Settings, url: str, key: str | None, name: str) -> "Backend":
    from parley.engines.http import Backend, Timeouts  # its client takes 7 MB and 0.3 s

    timeouts = Timeouts(connect_s=settings.connect_timeout_s, idle_s=settings.backend_timeout_s, total_s=None)
    return Backend(url, name=name, api_key=key, timeouts=timeouts)


def _endpoint(url: str, model: str) -> str:
    """The host is told, the rest of the address is not: it may hold what is nobody's business."""
    host = url.partition("://")[2].partition("/")[0].rpartition("@")[2]
    return f"{model} at {host}" if model else f"endpoint at {host}"


def _embedded(backend: object) -> str:
    return f"embedded {type(backend).__name__}"
