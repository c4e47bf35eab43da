"""The input audio buffer: what was heard but not committed.

Positions are house samples since the session began. The buffer is a window ``[start, heard)`` on that line: appending
moves `heard`, committing, clearing and forgetting move `start`, and nothing ever moves back.
"""

SAMPLES_PER_MS = 24
BYTES_PER_SAMPLE = 2

INPUT_AUDIO_MS_MAX = 600_000
"""Longest uncommitted audio: 10 minutes. An append beyond it is refused; nothing that was accepted is lost."""

COMMIT_MS_MIN = 100
"""protocol.md 8.5."""

IDLE_AUDIO_MS_MAX = 5_000
"""With turn detection on and nobody speaking, older sound than this is forgotten."""


def to_ms(samples: int) -> int:
    return samples // SAMPLES_PER_MS


def pcm_ms(pcm: bytes) -> int:
    return len(pcm) // (SAMPLES_PER_MS * BYTES_PER_SAMPLE)


class InputAudioBuffer:
    def __init__(self) -> None:
        self.heard = 0
        """All samples ever appended: the audio clock of the session."""
        self._window = bytearray()

    @property
    def start(self) -> int:
        return self.heard - len(self._window) // BYTES_PER_SAMPLE

    @property
    def ms(self) -> float:
        return len(self._window) / (SAMPLES_PER_MS * BYTES_PER_SAMPLE)

    def has_room(self, pcm: bytes) -> bool:
        return len(self._window) + len(pcm) <= INPUT_AUDIO_MS_MAX * SAMPLES_PER_MS * BYTES_PER_SAMPLE

    def append(self, pcm: bytes) -> None:
        self._window += pcm
        self.heard += len(pcm) // BYTES_PER_SAMPLE

    def between(self, first: int, end: int) -> bytes:
        """The sound from sample `first` (or from the window's start, if that is later) to `end`. Takes nothing out."""
        return bytes(memoryview(self._window)[self._offset(first) : self._offset(end)])

    def forget_before(self, sample: int) -> None:
        surplus = (sample - self.start) * BYTES_PER_SAMPLE
        if surplus > 0:
            del self._window[:surplus]

    def take(self, end: int | None = None) -> bytes:
        """Everything before sample `end` (default: all there is), which is then no longer in the window."""
        size = len(self._window) if end is None else self._offset(end)
        pcm = bytes(memoryview(self._window)[:size])
        del self._window[:size]
        return pcm

    def _offset(self, sample: int) -> int:
        return max(0, sample - self.start) * BYTES_PER_SAMPLE
