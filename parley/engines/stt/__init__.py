"""Speech-to-text backends: one file each, one row each in `BACKENDS`. Nothing is imported before it is chosen."""

from collections.abc import Callable
from concurrent.futures import Executor
from typing import TYPE_CHECKING, Final

from parley.engines.base import SpeechToText
from parley.errors import EngineError

if TYPE_CHECKING:
    from parley.engines.http import Backend


def open_moonshine(workers: Executor) -> SpeechToText:
    """The embedded backend. Raises `EngineError` when its model files are not installed."""
    from parley.engines.stt.moonshine import Moonshine, find_model

    home = find_model()
    if home is None:
        raise EngineError(
            "backend_unavailable", "The embedded speech-to-text is not installed: pip install moonshine-voice==0.1.0"
        )
    return Moonshine(workers, home)


def open_http(backend: "Backend", model: str = "") -> SpeechToText:
    """Any OpenAI-compatible transcription endpoint."""
    from parley.engines.stt.http import HttpTranscription

    return HttpTranscription(backend, model)


BACKENDS: Final[dict[str, Callable[..., SpeechToText]]] = {"moonshine": open_moonshine, "http": open_http}


def choose_embedded(workers: Executor) -> tuple[SpeechToText | None, str]:
    """The best embedded backend that is installed, or None; and, when it is not the usual one, what to tell people."""
    try:
        return open_moonshine(workers), ""
    except EngineError as error:
        return None, f"{error.message}. Until then spoken input is not transcribed."
