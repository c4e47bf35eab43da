"""How much of what was heard became items, seen from outside: what a response may have to read, and what is counted.

Sound that was heard and forgotten does not count: a microphone may stay open for an hour.
"""

from parley.core.events import (
    AnyServerEvent,
    InputAudioBufferCleared,
    InputAudioBufferCommitted,
    SpeechStarted,
    SpeechStopped,
)
from parley.core.input_audio import BYTES_PER_SAMPLE, SAMPLES_PER_MS

BYTES_PER_MS = BYTES_PER_SAMPLE * SAMPLES_PER_MS


class UserSpeech:
    def __init__(self) -> None:
        self._buffered = 0
        """Bytes of sound in the input buffer."""
        self._from: int | None = None
        self._ms: int | None = None
        """Of the speech that is about to be committed, where the server found its ends."""

    def heard(self, pcm: bytes) -> None:
        self._buffered += len(pcm)

    def sent(self, event: AnyServerEvent) -> int:
        """Milliseconds of speech that became an item with this event."""
        match event:
            case SpeechStarted():
                self._from = event.audio_start_ms
            case SpeechStopped():
                self._ms = event.audio_end_ms - (self._from or 0)
            case InputAudioBufferCommitted():
                committed = self._buffered // BYTES_PER_MS if self._ms is None else self._ms
                self._buffered, self._ms = 0, None
                return committed
            case InputAudioBufferCleared():
                self._buffered, self._ms = 0, None
        return 0
