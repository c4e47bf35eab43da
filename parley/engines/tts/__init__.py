"""Text-to-speech backends: one file each, one row each in `BACKENDS`. Nothing is imported before it is chosen."""

from collections.abc import Callable
from concurrent.futures import Executor
from typing import TYPE_CHECKING, Final

from parley.engines.base import TextToSpeech
from parley.errors import EngineError

if TYPE_CHECKING:
    from parley.engines.http import Backend

NO_PICO: Final = "The embedded text-to-speech is not installed: pip install ttspico==0.3.2 (needs a C compiler)"


def open_pico(workers: Executor) -> TextToSpeech:
    """The embedded backend. Raises `EngineError` when its library is not installed."""
    from parley.engines.tts.pico import Pico
    from parley.engines.tts.pico_library import find_pico

    files = find_pico()
    if files is None:
        raise EngineError("backend_unavailable", NO_PICO)
    return Pico(workers, files)


def open_espeak() -> TextToSpeech:
    """The program espeak-ng. Raises `EngineError` when it is not installed."""
    from parley.engines.tts.espeak import Espeak, find_espeak

    program = find_espeak()
    if program is None:
        raise EngineError("backend_unavailable", "espeak-ng is not installed: apt install espeak-ng")
    return Espeak(program)


def open_http(backend: "Backend", model: str, voice: str = "") -> TextToSpeech:
    """Any OpenAI-compatible speech endpoint."""
    from parley.engines.tts.http import HttpSpeech

    return HttpSpeech(backend, model, voice)


BACKENDS: Final[dict[str, Callable[..., TextToSpeech]]] = {"pico": open_pico, "espeak": open_espeak, "http": open_http}


def choose_embedded(workers: Executor) -> tuple[TextToSpeech | None, str]:
    """The best embedded backend that is installed, or None; and, when it is not the usual one, what to tell people."""
    try:
        return open_pico(workers), ""
    except EngineError as missing:
        try:
            return open_espeak(), f"{missing.message}. Speaking with espeak-ng instead, a far less natural voice."
        except EngineError:
            return None, f"{missing.message}. Until then answers are not spoken."
