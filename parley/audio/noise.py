"""`noise_reduction` (protocol.md 2.2): what is not a voice is turned down, in the copy of the sound that the VAD hears.

The transcription hears the sound as it came: suppressing noise costs a recogniser more words than it saves. The work is
done by WebRTC's suppressor out of `pywebrtc-audio`; where that is not installed, the VAD hears the noise too.
"""

from importlib.util import find_spec
from typing import Final, Literal, NamedTuple

from parley.audio.pcm import HOUSE_RATE, SAMPLE_BYTES, Resampler, to_pcm, to_samples

SUPPRESSOR_RATE: Final = 16_000
BLOCK_BYTES: Final = HOUSE_RATE // 100 * SAMPLE_BYTES
"""The suppressor works in blocks of 10 ms, and silently pads what is shorter. The resamplers let them through whole."""

STRONGEST: Final = {"near_field": 1, "far_field": 3}
"""Suppression level at full strength; the levels 0 to 3 are 6, 12, 18 and 21 dB."""


class NoiseReduction(NamedTuple):
    """What a client asks for. `strength` is 0 (none) to 1."""

    type: Literal["near_field", "far_field"]
    strength: float = 1.0


def installed() -> bool:
    """Whether noise can be reduced on this machine."""
    return find_spec("pywebrtc_audio") is not None


class NoiseReducer:
    """The suppressor of one microphone: 8 ms of delay, and up to 10 ms of sound wait for their block.

    It works at 16 kHz, which is all that the VAD hears: at higher rates `pywebrtc-audio` 0.2 hardly suppresses anything
    (measured on white noise through its `AudioProcessor`: 7 dB at the level that promises 21).
    """

    def __init__(self, wanted: NoiseReduction) -> None:
        """Raises `ImportError` where nothing can be reduced: see `noise_reducer`."""
        from pywebrtc_audio import NoiseSuppressor

        level = round(STRONGEST[wanted.type] * wanted.strength)
        self._suppressor = NoiseSuppressor(SUPPRESSOR_RATE, level=level)
        self._down = Resampler(HOUSE_RATE, SUPPRESSOR_RATE)
        self._up = Resampler(SUPPRESSOR_RATE, HOUSE_RATE)
        self._rest = b""

    @property
    def held_bytes(self) -> int:
        """How much waits for its block."""
        return len(self._rest)

    def clean(self, pcm: bytes) -> bytes:
        """All whole blocks so far, as long as they came in."""
        sound = self._rest + pcm
        end = len(sound) // BLOCK_BYTES * BLOCK_BYTES
        self._rest = sound[end:]
        if not end:
            return b""
        return to_pcm(self._up.push(self._suppressor.process(self._down.push(to_samples(sound[:end])))))

    def flush(self) -> bytes:
        """What waits for its block, as it came."""
        rest, self._rest = self._rest, b""
        return rest


def noise_reducer(wanted: NoiseReduction | None) -> NoiseReducer | None:
    """None where nothing is wanted, or nothing `installed`."""
    return NoiseReducer(wanted) if wanted is not None and wanted.strength > 0 and installed() else None
