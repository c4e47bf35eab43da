"""What engines make in bursts, in slices of 20 ms with due times. Never sleeps and reads no clock: it is asked.

pacer.add("resp_1", pcm); pacer.finish("resp_1")
metronome = Metronome(now)
while ...:                                     # at metronome.due
    for _ in range(metronome.beats(now)):
        slice = pacer.take()                   # None: silence
"""

from typing import Final, NamedTuple

from parley.audio.pcm import BYTES_PER_MS, bytes_to_ms

SLICE_MS: Final = 20
SLICE_BYTES: Final = SLICE_MS * BYTES_PER_MS
SLICE_S: Final = SLICE_MS / 1_000
BEATS_MAX: Final = 3
"""So many slices are made up for at once when time was lost; a receiver's jitter buffer takes them. Older beats are
left out: the sound waits for them, it is not hurried."""


class Slice(NamedTuple):
    """20 ms of house sound of one response, of which `played_ms` have been given out with it; `done`: all."""

    pcm: bytes
    response_id: str
    played_ms: int
    done: bool


class _Voice:
    """The sound of one response that waits, from `at` on."""

    def __init__(self) -> None:
        self.pcm = bytearray()
        self.at = 0
        self.played_bytes = 0
        self.finished = False

    @property
    def waiting(self) -> int:
        return len(self.pcm) - self.at

    def take(self) -> bytes:
        piece = bytes(self.pcm[self.at : self.at + SLICE_BYTES])
        self.at += len(piece)
        self.played_bytes += len(piece)
        if self.at >= len(self.pcm) // 2 and self.at > SLICE_BYTES * 50:
            del self.pcm[: self.at]
            self.at = 0
        return piece


class Pacer:
    """The sound that waits to be played: one response after the other, in the order in which they began to speak."""

    def __init__(self) -> None:
        self._voices: dict[str, _Voice] = {}

    @property
    def waiting_ms(self) -> int:
        return bytes_to_ms(sum(voice.waiting for voice in self._voices.values()))

    def add(self, response_id: str, pcm: bytes) -> None:
        """More house sound of a response."""
        voice = self._voices.get(response_id)
        if voice is None:
            voice = self._voices[response_id] = _Voice()
        voice.pcm += pcm

    def finish(self, response_id: str) -> Slice | None:
        """No more sound of it will come. Gives an empty slice if all of it has been played already."""
        voice = self._voices.get(response_id)
        if voice is None:
            return None
        voice.finished = True
        return None if voice.waiting else self._over(response_id, b"")

    def clear(self, response_id: str) -> None:
        """Nothing of this response is played any more."""
        self._voices.pop(response_id, None)

    def take(self) -> Slice | None:
        """The next 20 ms; None when there is nothing to play, or not yet 20 ms of a response that still grows."""
        response_id = next(iter(self._voices), None)
        if response_id is None:
            return None
        voice = self._voices[response_id]
        if voice.waiting < SLICE_BYTES and not voice.finished:
            return None
        pcm = voice.take()
        if voice.finished and not voice.waiting:
            return self._over(response_id, pcm.ljust(SLICE_BYTES, b"\0"))
        return Slice(pcm, response_id, bytes_to_ms(voice.played_bytes), done=False)

    def _over(self, response_id: str, pcm: bytes) -> Slice:
        voice = self._voices.pop(response_id)
        return Slice(pcm, response_id, bytes_to_ms(voice.played_bytes), done=True)


class Metronome:
    """A beat every 20 ms that does not drift: every due time is counted from the first."""

    def __init__(self, now: float) -> None:
        self._start = now
        self._beats = 0

    @property
    def due(self) -> float:
        """When the next beat is, on the clock of `now`."""
        return self._start + self._beats * SLICE_S

    def beats(self, now: float) -> "Beats":
        """What `now` asks for: 0 `played` before `due`."""
        passed = int((now - self.due) / SLICE_S) + 1 if now >= self.due else 0
        self._beats += passed
        played = min(passed, BEATS_MAX)
        return Beats(played, passed - played)


class Beats(NamedTuple):
    """How many slices to play now, and how many beats before them are lost for good."""

    played: int
    skipped: int
