"""What travels on the wire, and the house format. G.711 is 8 kHz, a byte a sample, by table (ITU-T G.711)."""

from typing import Final, TypeVar

import numpy as np
from numpy.typing import NDArray

from parley.audio.pcm import HOUSE_RATE, Carry, Resampler, Samples, to_pcm, to_samples

Codes = NDArray[np.uint8]
Numbers = NDArray[np.int32]
Number = TypeVar("Number", np.uint8, np.int16)

G711_RATE: Final = 8_000

_EVERY_CODE: Final[Numbers] = np.arange(256, dtype=np.int32)
_EVERY_SAMPLE: Final[Numbers] = np.arange(65_536, dtype=np.uint16).view(np.int16).astype(np.int32)
"""In the order of their bit patterns, so that a sample seen as unsigned is its own index."""


def _segment(magnitude: Numbers, width: int) -> Numbers:
    """How many bits `magnitude` has beyond `width`."""
    bits: Numbers = np.frexp(magnitude)[1]
    return np.maximum(bits - width, 0)


def _mulaw_codes() -> Codes:
    """14-bit magnitude plus the bias 33, as segment and 4 bits of mantissa, all bits inverted (G.711 table 2)."""
    sample = _EVERY_SAMPLE >> 2
    biased = np.minimum(np.abs(sample), 8_158) + 33
    segment = _segment(biased, 6)
    code = segment << 4 | biased >> (segment + 1) & 0x0F
    codes: Codes = (code ^ np.where(sample < 0, 0x7F, 0xFF)).astype(np.uint8)
    return codes


def _mulaw_samples() -> Samples:
    code = ~_EVERY_CODE & 0xFF
    magnitude = (((code & 0x0F) << 3) + 132 << (code >> 4 & 7)) - 132
    samples: Samples = np.where(code & 0x80, -magnitude, magnitude).astype(np.int16)
    return samples


def _alaw_codes() -> Codes:
    """13-bit magnitude, as segment and 4 bits of mantissa, even bits inverted (G.711 table 1)."""
    sample = _EVERY_SAMPLE >> 3
    magnitude = np.where(sample < 0, ~sample, sample)
    segment = _segment(magnitude, 5)
    code = segment << 4 | magnitude >> np.maximum(segment, 1) & 0x0F
    codes: Codes = (code ^ np.where(sample < 0, 0x55, 0xD5)).astype(np.uint8)
    return codes


def _alaw_samples() -> Samples:
    code = _EVERY_CODE ^ 0x55
    segment = code >> 4 & 7
    magnitude = ((code & 0x0F) << 4) + 8 + np.where(segment > 0, 256, 0) << np.maximum(segment - 1, 0)
    samples: Samples = np.where(code & 0x80, magnitude, -magnitude).astype(np.int16)
    return samples


CODES: Final[dict[str, Codes]] = {"audio/pcmu": _mulaw_codes(), "audio/pcma": _alaw_codes()}
"""Format -> the code of every sample, indexed by the sample's bit pattern."""
SAMPLES: Final[dict[str, Samples]] = {"audio/pcmu": _mulaw_samples(), "audio/pcma": _alaw_samples()}
"""Format -> the sample of every code."""
FORMATS: Final = ("audio/pcm", *CODES)


class Decoder:
    """Wire bytes to house sound, for one stream."""

    def __init__(self, wire: str) -> None:
        """`wire` is one of `FORMATS`; raises `ValueError` for another."""
        self._table = _table(SAMPLES, wire)
        self._carry = Carry()
        self._resampler = Resampler(G711_RATE, HOUSE_RATE)

    def decode(self, data: bytes) -> bytes:
        """House PCM, whole samples. PCM that needs no mending comes back as the same object."""
        if self._table is None:
            return self._carry.whole(data)
        return to_pcm(self._resampler.push(self._table[np.frombuffer(data, np.uint8)]))

    def flush(self) -> bytes:
        """What the resampler still holds, about 3 ms, when the stream has ended. A half PCM sample is dropped."""
        self._carry = Carry()
        return b"" if self._table is None else to_pcm(self._resampler.flush())


class Encoder:
    """House sound to wire bytes, for one stream."""

    def __init__(self, wire: str) -> None:
        """`wire` is one of `FORMATS`; raises `ValueError` for another."""
        self._table = _table(CODES, wire)
        self._carry = Carry()
        self._resampler = Resampler(HOUSE_RATE, G711_RATE)

    def encode(self, pcm: bytes) -> bytes:
        """Wire bytes. PCM that needs no mending comes back as the same object."""
        whole = self._carry.whole(pcm)
        return whole if self._table is None else _codes(self._table, self._resampler.push(to_samples(whole)))

    def flush(self) -> bytes:
        """What the resampler still holds, about 3 ms, when the stream has ended. A half PCM sample is dropped."""
        self._carry = Carry()
        return b"" if self._table is None else _codes(self._table, self._resampler.flush())


def _table(tables: dict[str, NDArray[Number]], wire: str) -> NDArray[Number] | None:
    if wire not in FORMATS:
        raise ValueError(f"the wire formats are {', '.join(FORMATS)}, not {wire!r}")
    return tables.get(wire)


def _codes(table: Codes, samples: Samples) -> bytes:
    return table[samples.view(np.uint16)].tobytes()
