"""Where the sound of both sides lies on one time axis. Arithmetic: no clock, no file.

The axis begins with the session and runs in house samples. The user's sound lies on it as it was said: pieces follow
each other without a seam, however jerkily they come. Only where nothing came for a while (push-to-talk, a line that was
down) the axis goes on by itself, and sound that comes faster than it can be said pushes the axis ahead.

The assistant's sound lies where it was to be played: from the moment it was there, one piece after the other, no faster
than real time. What was truncated, cleared or cancelled was never heard and is not there.

    hear, say, cut, clear  -->  take: the next stretch of the axis, which nothing changes any more
"""

from collections.abc import Callable
from typing import Final, NamedTuple

RATE_HZ: Final = 24_000
SAMPLE_BYTES: Final = 2
BLOCK: Final = 2_400
"""Stretches are whole tenths of a second, the last one excepted."""
STRETCH: Final = RATE_HZ
"""The shortest that is worth taking."""
PAUSE_S: Final = 2.0
"""User sound that is later than this is taken to have been said later, and not to have been held up on its way."""
PAUSE: Final = int(PAUSE_S * RATE_HZ)
HOLD_S: Final = 3.0
"""How long after its time sound can still be cut: news of an interruption comes late."""
PATIENCE_S: Final = 10.0
"""How long the axis waits for user sound that belongs before what is there already."""
AHEAD_S_MAX: Final = 600.0
"""Sound of the assistant that waits for its time; more is not recorded."""


class Placed(NamedTuple):
    """Sound that begins at sample `at`."""

    at: int
    pcm: bytes


class Stretch(NamedTuple):
    """The axis from sample `start` up to `end`, and what lies there."""

    start: int
    end: int
    user: tuple[Placed, ...]
    assistant: tuple[Placed, ...]


class _Said(NamedTuple):
    item: str
    response: str
    begin: int
    """Position in the sound of its item."""
    at: int
    pcm: bytes

    @property
    def size(self) -> int:
        return len(self.pcm) // SAMPLE_BYTES

    @property
    def end(self) -> int:
        return self.at + self.size


class Timeline:
    """`now` is always seconds of one monotonic clock; `began` is that of the beginning."""

    def __init__(self, began: float) -> None:
        self._began = began
        self._lead = 0
        """How far the axis is ahead of the clock."""
        self._heard = 0
        """Samples of user sound: the session's input audio clock."""
        self._user_end = 0
        self._pauses: list[tuple[int, int]] = []
        """(sample of the input audio clock from which on, samples by which the axis is ahead of it)."""
        self._user: list[Placed] = []
        self._said: list[_Said] = []
        self._items: dict[str, int] = {}
        """How much was said of each."""
        self._taken = 0
        self.dropped = False
        """There was more to say than is remembered."""

    def at(self, now: float) -> int:
        return max(0, round((now - self._began) * RATE_HZ) + self._lead)

    def of_input(self, audio_ms: int) -> int:
        """Where a position on the input audio clock lies, such as `audio_start_ms`."""
        sample = audio_ms * RATE_HZ // 1_000
        return sample + next((ahead for begin, ahead in reversed(self._pauses) if begin <= sample), 0)

    @property
    def user_end(self) -> int:
        return self._user_end

    # ---- what happens

    def hear(self, pcm: bytes, now: float) -> None:
        """Sound of the user came in."""
        size = len(pcm) // SAMPLE_BYTES
        here = self.at(now)
        late = here - self._user_end - size
        if late > PAUSE or (late > 0 and not self._heard):
            self._pause(here - size)
        elif self._user_end < self._taken:
            self._pause(self._taken)
        self._user.append(Placed(self._user_end, pcm))
        self._user_end += size
        self._heard += size
        if self._user_end > here:
            self._lead += self._user_end - here

    def say(self, item: str, response: str, pcm: bytes, now: float) -> int:
        """Sound of the assistant is there. Where it begins to be heard."""
        here = self.at(now)
        at = max(here, self._said[-1].end if self._said else 0)
        if at - here > AHEAD_S_MAX * RATE_HZ:
            self.dropped = True
            return at
        begin = self._items.get(item, 0)
        self._said.append(_Said(item, response, begin, at, pcm))
        self._items[item] = begin + len(pcm) // SAMPLE_BYTES
        return at

    def cut(self, item: str, end_ms: int) -> None:
        """Of this item, nothing was heard after `end_ms`."""
        end = end_ms * RATE_HZ // 1_000
        self._keep(lambda said: said.size if said.item != item else end - said.begin)

    def clear(self, response: str, now: float) -> None:
        """Of this response, nothing is heard from now on."""
        here = self.at(now)
        self._keep(lambda said: said.size if said.response != response else here - said.at)

    # ---- what comes of it

    def take(self, now: float) -> Stretch | None:
        """What is certain by now; None where that is little."""
        here = self.at(now)
        certain = min(here - HOLD_S * RATE_HZ, max(self._user_end, here - PATIENCE_S * RATE_HZ))
        end = int(certain) // BLOCK * BLOCK
        return self._take(end) if end - self._taken >= STRETCH else None

    def finish(self, now: float) -> Stretch:
        """The rest. What would have been played later never was."""
        end = max(self.at(now), self._user_end, self._taken)
        self._keep(lambda said: end - said.at)
        return self._take(end)

    # ---- inside

    def _pause(self, user_end: int) -> None:
        self._user_end = user_end
        self._pauses.append((self._heard, user_end - self._heard))

    def _keep(self, samples: Callable[[_Said], int]) -> None:
        """Of each piece, its first so many samples."""
        kept = []
        for said in self._said:
            size = max(0, min(said.size, samples(said)))
            if size:
                kept.append(said._replace(pcm=said.pcm[: size * SAMPLE_BYTES]))
        self._said = kept

    def _take(self, end: int) -> Stretch:
        start, self._taken = self._taken, end
        user = tuple(_before(placed, end) for placed in self._user if placed.at < end)
        assistant = tuple(_before(Placed(said.at, said.pcm), end) for said in self._said if said.at < end)
        self._user = [_after(placed, end) for placed in self._user if _end(placed) > end]
        self._said = [_rest(said, end) for said in self._said if said.end > end]
        return Stretch(start, end, user, assistant)


def _end(placed: Placed) -> int:
    return placed.at + len(placed.pcm) // SAMPLE_BYTES


def _before(placed: Placed, end: int) -> Placed:
    return placed._replace(pcm=placed.pcm[: (end - placed.at) * SAMPLE_BYTES])


def _after(placed: Placed, start: int) -> Placed:
    if placed.at >= start:
        return placed
    return Placed(start, placed.pcm[(start - placed.at) * SAMPLE_BYTES :])


def _rest(said: _Said, start: int) -> _Said:
    rest = _after(Placed(said.at, said.pcm), start)
    return said._replace(begin=said.begin + rest.at - said.at, at=rest.at, pcm=rest.pcm)
