"""Sound from a backend as house sound. It knows raw PCM16 of 24 kHz, and WAV of mono PCM16 at any rate."""

import struct
from collections.abc import Iterator
from typing import Final, NamedTuple

from parley.audio.pcm import HOUSE_RATE, Carry, Resampler, to_pcm, to_samples
from parley.engines.base import SPEECH_CHUNK_BYTES_MAX

HEAD_BYTES_MAX: Final = 4_096
PCM_FORMATS: Final = (1, 0xFFFE)
"""Plain and "extensible" (Microsoft's mmreg.h); both say the sample's width in the same place."""
ENDLESS_BYTES: Final = 0x7FFF_F000
"""Programs that stream a WAV do not know its size yet, and write 0 or something about as large as this."""


class UnreadableSound(Exception):
    """Not a sound that this house understands. The message completes "sent …"."""


class WavHead(NamedTuple):
    """What stands before the samples: where they begin, how many bytes they are (None: all that come), their rate."""

    start: int
    size: int | None
    rate_hz: int


class SoundReader:
    """Bytes in as they come, house sound out as soon as it is certain."""

    def __init__(self) -> None:
        self._carry = Carry()
        self._head = b""
        self._head_read = False
        self._left: int | None = None
        self._resampler: Resampler | None = None

    def push(self, chunk: bytes) -> bytes:
        """Whole samples. Raises `UnreadableSound`."""
        if not self._head_read:
            chunk = self._after_head(chunk)
        if self._left is not None:
            chunk = chunk[: self._left]
            self._left -= len(chunk)
        whole = self._carry.whole(chunk)
        return to_pcm(self._resampler.push(to_samples(whole))) if self._resampler else whole

    def flush(self) -> bytes:
        """What is left after the last chunk. Half a sample at the very end is dropped."""
        return to_pcm(self._resampler.flush()) if self._resampler else b""

    def _after_head(self, chunk: bytes) -> bytes:
        self._head += chunk
        if self._head[:4] != b"RIFF"[: len(self._head)]:
            self._head_read = True
            return self._head
        head = read_wav_head(self._head)
        if head is None:
            return b""
        self._head_read = True
        self._left = head.size
        if head.rate_hz != HOUSE_RATE:
            self._resampler = Resampler(head.rate_hz, HOUSE_RATE)
        return self._head[head.start :]


def read_wav_head(data: bytes) -> WavHead | None:
    """Reads the chunks of a RIFF file up to its samples; None when `data` ends before. Raises `UnreadableSound`."""
    at, rate_hz = 12, 0
    while len(data) >= at + 8:
        name, size = struct.unpack_from("<4sI", data, at)
        at += 8
        if name == b"data":
            if not rate_hz:
                raise UnreadableSound("a WAV without a format")
            return WavHead(at, size if 0 < size < ENDLESS_BYTES else None, rate_hz)
        if name == b"fmt " and len(data) >= at + 16:
            rate_hz = _mono_pcm16_rate(data, at)
        at += size + size % 2
        if at > HEAD_BYTES_MAX:
            raise UnreadableSound("a WAV whose samples begin too late")
    return None


def _mono_pcm16_rate(data: bytes, at: int) -> int:
    kind, channels, rate_hz, _, _, bits = struct.unpack_from("<HHIIHH", data, at)
    if kind not in PCM_FORMATS or channels != 1 or bits != 16 or not 8_000 <= rate_hz <= 192_000:
        raise UnreadableSound(f"a WAV of format {kind}, {channels} channels, {bits} bits and {rate_hz} Hz")
    return int(rate_hz)


def slices(pcm: bytes, size: int = SPEECH_CHUNK_BYTES_MAX) -> Iterator[bytes]:
    """House sound in chunks that `TextToSpeech` may yield; nothing for nothing."""
    if len(pcm) <= size:
        if pcm:
            yield pcm
        return
    for at in range(0, len(pcm), size):
        yield pcm[at : at + size]
