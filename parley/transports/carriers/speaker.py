"""The sound of a session on its way to a carrier, and how much of it was really played.

A carrier keeps what it is sent and plays it at its pace. So sound goes ahead of time, in pieces of 40 ms with a mark
behind each, and the next piece goes when a mark comes back: never more than `AHEAD_MS` are under way. A mark that comes
back is the only proof that a piece was heard, and exactly that is what the session is told (`Played`).
"""

from collections import deque
from collections.abc import Callable
from typing import Final, NamedTuple

from parley.audio.codecs import CODES, G711_RATE, Encoder
from parley.audio.pacer import SLICE_MS, Pacer, Slice
from parley.core.inputs import Played
from parley.transports.carriers.dialects import Words

PIECE_SLICES: Final = 2
"""Slices of 20 ms to a mark: a third of a short word, the grain with which an answer is cut off."""
AHEAD_MS: Final = 2_000
"""Sound that waits at the carrier: outlasts a network that stalls, or we do; `clear` drops it at once."""
MARK_S: Final = 10.0
"""So long after a mark is due it must have come, or the carrier plays nothing."""
FRAME_BYTES: Final = G711_RATE * SLICE_MS // 1_000


class _Piece(NamedTuple):
    """What is under way, and what its mark will prove."""

    mark: str
    ms: int
    played: Played
    sent_at: float


class Speaker:
    """Of one stream. Never waits; `say` fills a bounded buffer."""

    def __init__(self, words: Words, wire: str, say: Callable[[bytes], None], played: Callable[[Played], None]) -> None:
        """`wire` is a format of G.711."""
        self._words = words
        self._wire = wire
        self._say = say
        self._played = played
        self._encoder = Encoder(wire)
        self._silence = CODES[wire][:1].tobytes()
        self._pacer = Pacer()
        self._under_way: deque[_Piece] = deque()
        self._ahead_ms = 0
        self._marks = 0

    @property
    def waiting_ms(self) -> int:
        """Sound that has not been sent yet."""
        return self._pacer.waiting_ms

    def add(self, response_id: str, pcm: bytes, now: float) -> None:
        """More house sound of a response."""
        self._pacer.add(response_id, pcm)
        self._send(now)

    def finish(self, response_id: str, now: float) -> None:
        """No more sound of it will come."""
        if (last := self._pacer.finish(response_id)) is not None:
            self._send_piece([last], now)
        self._send(now)

    def clear(self, response_id: str) -> None:
        """Silence. The session clears all that plays, one after the other, and so does a carrier."""
        self._pacer.clear(response_id)
        if self._under_way:
            self._say(self._words.clear())
        self._under_way.clear()
        self._ahead_ms = 0
        self._encoder = Encoder(self._wire)

    def marked(self, name: str, now: float) -> None:
        """A mark came back. Those of cleared sound do too, and are not known any more."""
        if not any(piece.mark == name for piece in self._under_way):
            return
        while True:
            piece = self._under_way.popleft()
            self._ahead_ms -= piece.ms
            if piece.mark == name or piece.played.done:
                self._played(piece.played)
            if piece.mark == name:
                break
        self._send(now)

    def stuck(self, now: float) -> bool:
        """Whether a mark did not come that is long due."""
        if not self._under_way:
            return False
        return now - self._under_way[0].sent_at > MARK_S + AHEAD_MS / 1_000

    def _send(self, now: float) -> None:
        while self._ahead_ms < AHEAD_MS and (slices := self._take()):
            self._send_piece(slices, now)

    def _take(self) -> list[Slice]:
        """The next slices, of one response."""
        slices: list[Slice] = []
        while len(slices) < PIECE_SLICES and (piece := self._pacer.take()) is not None:
            slices.append(piece)
            if piece.done:
                break
        return slices

    def _send_piece(self, slices: list[Slice], now: float) -> None:
        last = slices[-1]
        sound = self._encoder.encode(b"".join(piece.pcm for piece in slices))
        if last.done:
            sound += self._encoder.flush()
            sound += self._silence * (-len(sound) % FRAME_BYTES)
        self._marks += 1
        played = Played(response_id=last.response_id, played_ms=last.played_ms, done=last.done)
        piece = _Piece(str(self._marks), len(sound) * 1_000 // G711_RATE, played, now)
        self._under_way.append(piece)
        self._ahead_ms += piece.ms
        self._say(self._words.media(sound))
        self._say(self._words.mark(piece.mark))
