"""The sound of one assistant message: which words lie where, and what is left of them when it is cut.

An engine says piece after piece: first the words (`say`), then their sound (`speak`). A piece's words share its sound
in proportion to their syllables, which puts a word within about 60 ms of where it really is (median; measured for the
embedded voices, see docs/decisions/0004), and an error never crosses the border of a piece.
"""

import re

from parley.core.input_audio import BYTES_PER_SAMPLE, SAMPLES_PER_MS

UNSPOKEN_MS_PER_SYLLABLE = 180
"""Stands in for the length of a piece whose sound has not all come yet."""

_WORD = re.compile(r"\S+\s*")
_VOWELS = re.compile(r"[aeiouy]+", re.IGNORECASE)


def syllables(word: str) -> int:
    """A rough count, at least 1 for anything that is pronounced. Digits are spoken as words: two syllables each."""
    digits = sum(char.isdigit() for char in word)
    vowels = len(_VOWELS.findall(word))
    silent_e = vowels > 1 and bool(re.search(r"[^aeiouy]e\W*$", word, re.IGNORECASE)) and not re.search(r"le\W*$", word)
    return max(1, vowels - silent_e + 2 * digits)


class _Piece:
    def __init__(self, text: str, start: int) -> None:
        self.text = text
        self.start = start
        self.samples = 0
        self.closed = False

    def heard(self, end: int) -> str:
        """The words of which at least half was played when the sound stops at sample `end`."""
        words = _WORD.findall(self.text)
        weights = [syllables(word) for word in words]
        total = sum(weights) or 1
        length = self.samples
        if not self.closed:
            length = max(length, total * UNSPOKEN_MS_PER_SYLLABLE * SAMPLES_PER_MS)
        lead = len(self.text) - len(self.text.lstrip())
        kept, passed = self.text[:lead], 0
        for word, weight in zip(words, weights, strict=True):
            if self.start + length * (passed + weight / 2) / total > end:
                break
            kept += word
            passed += weight
        return kept


class OutputAudio:
    """Grows while its message is spoken. `cut_ms` is None until somebody truncates it."""

    def __init__(self) -> None:
        self._pieces: list[_Piece] = []
        self._pcm: bytearray | None = bytearray()
        self._samples = 0
        self.cut_ms: int | None = None

    @property
    def ms(self) -> int:
        """How long the sound is, in whole milliseconds; after truncation, what is left."""
        return self._samples // SAMPLES_PER_MS

    @property
    def pcm(self) -> bytes:
        """The sound; empty once it was forgotten."""
        return bytes(self._pcm or b"")

    def say(self, text: str) -> None:
        if self.cut_ms is None:
            self.close()
            self._pieces.append(_Piece(text, self._samples))

    def speak(self, pcm: bytes) -> None:
        if self.cut_ms is not None:
            return
        samples = len(pcm) // BYTES_PER_SAMPLE
        self._samples += samples
        if self._pcm is not None:
            self._pcm += pcm
        if self._pieces:
            self._pieces[-1].samples += samples

    def close(self) -> None:
        """All sound of the last piece has come: its length is final. Not to be called where it was cut short."""
        if self._pieces and self.cut_ms is None:
            self._pieces[-1].closed = True

    def truncate(self, end_ms: int) -> None:
        """Forget everything after `end_ms`. What is said later is not part of the message any more."""
        self.cut_ms = end_ms
        self._samples = min(self._samples, end_ms * SAMPLES_PER_MS)
        if self._pcm is not None:
            del self._pcm[self._samples * BYTES_PER_SAMPLE :]

    def forget(self) -> int:
        """Drop the sound but keep the words. Returns how many bytes that freed."""
        freed = len(self._pcm or b"")
        self._pcm = None
        return freed

    @property
    def transcript(self) -> str:
        """The words that were said or, after truncation, heard."""
        if self.cut_ms is None:
            return "".join(piece.text for piece in self._pieces)
        end = self.cut_ms * SAMPLES_PER_MS
        return "".join(piece.heard(end) for piece in self._pieces if piece.start < end).rstrip()
