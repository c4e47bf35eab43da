"""The sound of a session's responses as its clients want it: each in the format of its own, which may need a memory."""

from typing import Final, NamedTuple

from parley.audio.codecs import Encoder
from parley.core.events import OutputAudioDelta

PLAIN_PCM: Final = "audio/pcm"


class Rest(NamedTuple):
    """The last milliseconds of a response. `event` says where they belong."""

    event: OutputAudioDelta
    sound: bytes


class Voices:
    def __init__(self) -> None:
        self._speaking: dict[str, tuple[OutputAudioDelta, Encoder]] = {}

    def encoded(self, event: OutputAudioDelta) -> bytes:
        """The sound of an event, in its format."""
        if event.format == PLAIN_PCM:
            return event.delta
        if event.response_id not in self._speaking:
            self._speaking[event.response_id] = (event, Encoder(event.format))
        return self._speaking[event.response_id][1].encode(event.delta)

    def finish(self, response_id: str) -> Rest | None:
        """What the encoder held back, if anything."""
        event, encoder = self._speaking.pop(response_id, (None, None))
        if event is None or encoder is None or not (sound := encoder.flush()):
            return None
        return Rest(event, sound)

    def drop(self, response_id: str) -> None:
        self._speaking.pop(response_id, None)
