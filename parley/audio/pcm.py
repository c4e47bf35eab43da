"""The house format, and how other rates become it.

Inside this house sound is mono PCM16, little endian, 24 kHz. Time is counted in samples; bytes and milliseconds are
views of it. The resampler is a polyphase filter, written as one small matrix that is multiplied with overlapping
windows of the input: the fastest way that numpy has, and the VAD can push many microphones through it at once.
"""

from functools import lru_cache
from math import gcd
from typing import Final, NamedTuple

import numpy as np
from numpy.lib.stride_tricks import as_strided
from numpy.typing import NDArray

Samples = NDArray[np.int16]
Floats = NDArray[np.float32]

HOUSE_RATE: Final = 24_000
SAMPLE_BYTES: Final = 2
SAMPLES_PER_MS: Final = HOUSE_RATE // 1_000
BYTES_PER_MS: Final = SAMPLES_PER_MS * SAMPLE_BYTES

TAPS: Final = 24
"""Filter length in samples of the slower side: 1.5 ms at 16 kHz, 3 ms at 8 kHz. Half of it is the delay."""
CUTOFF: Final = 0.94
"""Where the filter is down by 6 dB, as a part of the slower side's Nyquist frequency."""
KAISER_BETA: Final = 8.0
"""Keeps what does not belong into the band about 80 dB down."""
BLOCK_MS: Final = 1
"""Input is worked off in blocks of about this much, or of one period of the ratio if that is longer."""
MATRIX_CELLS_MAX: Final = 4_000_000
"""16 MB of coefficients. Every pair of rates that sound cards and codecs know stays far below."""
MACS_MAX: Final = 200_000
"""Multiplications in one product. Above about 260,000 OpenBLAS starts threads, which then spin on the other cores."""


def ms_to_samples(ms: float) -> int:
    """Whole house samples in `ms`, rounded down."""
    return int(ms * SAMPLES_PER_MS)


def ms_to_bytes(ms: float) -> int:
    """Bytes of house sound in `ms`, whole samples, rounded down."""
    return ms_to_samples(ms) * SAMPLE_BYTES


def samples_to_ms(samples: int) -> int:
    """Whole milliseconds in `samples` of house sound."""
    return samples // SAMPLES_PER_MS


def bytes_to_ms(size: int) -> int:
    """Whole milliseconds in `size` bytes of house sound."""
    return size // BYTES_PER_MS


def to_samples(pcm: bytes) -> Samples:
    """A read-only view of whole PCM16 samples. Raises `ValueError` when a sample is cut in two: see `Carry`."""
    return np.frombuffer(pcm, "<i2")


def to_pcm(samples: Samples) -> bytes:
    return samples.astype("<i2", copy=False).tobytes()


class Carry:
    """Keeps the odd byte when a chunk ends in the middle of a sample, until the next chunk brings the other half."""

    def __init__(self) -> None:
        self._half = b""

    def whole(self, chunk: bytes) -> bytes:
        """All whole samples so far; `chunk` itself when nothing needs to be mended."""
        if not self._half and not len(chunk) & 1:
            return chunk
        joined = self._half + chunk
        end = len(joined) & ~1
        self._half = joined[end:]
        return joined[:end]


class Polyphase(NamedTuple):
    """A change of rate, as arithmetic: `block_in` samples become `block_out`, looking `history` samples back.

    `matrix` has the shape (history + block_in, block_out). The sound comes out `delay` input samples late.
    """

    matrix: Floats
    block_in: int
    block_out: int
    history: int
    delay: int

    def apply(self, rows: Floats) -> Floats:
        """Resamples every row for itself: (n, history + k * block_in) -> (n, k * block_out). Values are not rounded."""
        blocks = (rows.shape[1] - self.history) // self.block_in
        row, item = rows.strides
        shape, strides = (len(rows), blocks, len(self.matrix)), (row, item * self.block_in, item)
        windows = as_strided(rows, shape, strides, writeable=False)
        product: Floats = np.ascontiguousarray(windows) @ self.matrix
        return product.reshape(len(rows), blocks * self.block_out)


@lru_cache(maxsize=64)
def polyphase(rate_in: int, rate_out: int) -> Polyphase:
    """The filter for a pair of rates in Hz. Any ratio is exact. Raises `ValueError` where its table would be absurd."""
    if min(rate_in, rate_out) <= 0:
        raise ValueError(f"rates are positive, not {rate_in} and {rate_out} Hz")
    divisor = gcd(rate_in, rate_out)
    period_in, period_out = rate_in // divisor, rate_out // divisor
    repeats = max(1, round(rate_in * BLOCK_MS / 1_000 / period_in))
    block_in, block_out = period_in * repeats, period_out * repeats
    history = -(-TAPS * max(rate_in, rate_out) // rate_out)
    if (history + block_in) * block_out > MATRIX_CELLS_MAX:
        raise ValueError(f"{rate_in} to {rate_out} Hz is not a ratio of small numbers")
    delay = history // 2
    heard_at = np.arange(history + block_in)[:, None] - history
    wanted_at = np.arange(block_out)[None, :] * (rate_in / rate_out) - delay
    distance = heard_at - wanted_at
    reach = np.clip(1 - (distance / (history / 2)) ** 2, 0, None)
    taps = np.sinc(distance * CUTOFF * min(1.0, rate_out / rate_in)) * np.i0(KAISER_BETA * np.sqrt(reach)) * (reach > 0)
    matrix = (taps / taps.sum(axis=0)).astype(np.float32)
    matrix.flags.writeable = False
    return Polyphase(matrix, block_in, block_out, history, delay)


class Resampler:
    """One stream of PCM16 from one rate to another, for as long as it lasts.

    The sound comes 0.5 to 1.5 ms late. Besides, less than one block of input waits for its other samples: 1 ms, or one
    period of the ratio (14,080 to 24,000 Hz: 3 ms). `flush` gives both back.
    """

    def __init__(self, rate_in: int, rate_out: int) -> None:
        self._filter = polyphase(rate_in, rate_out)
        self._slice = max(1, MACS_MAX // self._filter.matrix.size) * self._filter.block_in
        self._rest: Floats = np.zeros(self._filter.history, np.float32)

    def push(self, samples: Samples) -> Samples:
        """What can be said about the sound so far; empty while no block is complete."""
        sound = np.concatenate((self._rest, samples), dtype=np.float32, casting="same_kind")
        history, block_in = self._filter.history, self._filter.block_in
        end = (len(sound) - history) // block_in * block_in
        self._rest = sound[end:].copy()
        if end <= self._slice:
            return self._resampled(sound[: history + end])
        starts = range(0, end, self._slice)
        return np.concatenate([self._resampled(sound[at : min(at + self._slice, end) + history]) for at in starts])

    def flush(self) -> Samples:
        """The rest of the sound, up to a block of silence behind it. The resampler is then as new."""
        history, block_in, delay = self._filter.history, self._filter.block_in, self._filter.delay
        held = len(self._rest) - history + delay
        tail = self.push(np.zeros(-(-held // block_in) * block_in - (held - delay), np.int16))
        self._rest = np.zeros(history, np.float32)
        return tail

    def _resampled(self, sound: Floats) -> Samples:
        wide = np.rint(self._filter.apply(sound[None])[0])
        samples: Samples = np.clip(wide, -32_768, 32_767, out=wide).astype(np.int16)
        return samples
