"""Opus, straight to and from the rate that is wanted (RFC 6716, RFC 7587).

libopus resamples inside, so that a call needs no resampler of ours: it decodes to the house rate. The library comes
inside PyAV's wheel and is called through ctypes, which lets other threads run meanwhile. Figures: a 20 ms packet costs
about 25 µs to decode and 115 µs to encode.
"""

import ctypes
import ctypes.util
import importlib.util
from functools import lru_cache
from pathlib import Path
from typing import Final
from weakref import finalize

RATES: Final = (8_000, 12_000, 16_000, 24_000, 48_000)
"""What libopus takes and gives, in Hz."""
PACKET_MS_MAX: Final = 120
"""RFC 6716 3.2.5: a packet never holds more."""
STEP_HZ: Final = 400
"""Concealed sound comes in steps of 2.5 ms: a rate divided by this is a step in samples."""
PACKET_BYTES_MAX: Final = 1_275
"""One frame; RFC 6716 3.2.1."""
BITRATE: Final = 32_000
"""Bits per second of what we say: full clarity for speech at 24 kHz."""
COMPLEXITY: Final = 3
"""Of 10. 5 costs a quarter more, which nobody hears in speech; below 2 there is no error correction."""
SILENCE: Final = b"\xf8\xff\xfe"
"""20 ms of nothing, for any decoder in any state."""
SAMPLE_BYTES: Final = 2

_APPLICATION_VOIP: Final = 2_048
_SET_BITRATE: Final = 4_002
_SET_COMPLEXITY: Final = 4_010
_SET_INBAND_FEC: Final = 4_012
_SET_PACKET_LOSS_PERC: Final = 4_014
_RESET_STATE: Final = 4_028


class OpusError(Exception):
    """libopus refused: the packet is broken, or an argument is out of range."""


def find_library() -> str | None:
    """Where libopus is: inside PyAV's wheel, else the system's, else None."""
    package = importlib.util.find_spec("av")
    if package is not None and package.origin is not None:
        home = Path(package.origin).parent
        for folder in (home.with_name("av.libs"), home / ".dylibs"):
            for path in sorted(folder.glob("libopus[-.]*")):
                return str(path)
    return ctypes.util.find_library("opus")


@lru_cache(maxsize=1)
def _library() -> ctypes.CDLL:
    """libopus with its signatures. Raises `OpusError` where there is none."""
    place = find_library()
    if place is None:
        raise OpusError("libopus was not found; install the package 'av' from its wheel, or the system's libopus.")
    try:
        library = ctypes.CDLL(place)
    except OSError as error:
        raise OpusError(f"libopus cannot be loaded: {error}") from error
    handle, number, text = ctypes.c_void_p, ctypes.c_int, ctypes.c_char_p
    library.opus_encoder_create.argtypes = (number, number, number, ctypes.POINTER(number))
    library.opus_encoder_create.restype = handle
    library.opus_encoder_destroy.argtypes = (handle,)
    library.opus_encoder_destroy.restype = None
    library.opus_encoder_ctl.argtypes = (handle, number)  # what comes after is variadic
    library.opus_encode.argtypes = (handle, text, number, text, ctypes.c_int32)
    library.opus_decoder_create.argtypes = (number, number, ctypes.POINTER(number))
    library.opus_decoder_create.restype = handle
    library.opus_decoder_destroy.argtypes = (handle,)
    library.opus_decoder_destroy.restype = None
    library.opus_decoder_ctl.argtypes = (handle, number)
    library.opus_decode.argtypes = (handle, text, ctypes.c_int32, text, number, number)
    library.opus_packet_get_nb_samples.argtypes = (text, ctypes.c_int32, ctypes.c_int32)
    return library


def available() -> bool:
    """Whether Opus can be spoken here."""
    try:
        _library()
    except OpusError:
        return False
    return True


def samples_in(packet: bytes, rate_hz: int) -> int:
    """How many samples at `rate_hz` a packet holds. Raises `OpusError` for what is not a packet."""
    return _checked(_library().opus_packet_get_nb_samples(packet, len(packet), rate_hz))


class Encoder:
    """Mono PCM16 to Opus, for one stream. Every packet may help to restore the one before it (in-band FEC)."""

    def __init__(self, rate_hz: int, bitrate: int = BITRATE) -> None:
        """`rate_hz` is one of `RATES`. Raises `OpusError`."""
        self._opus = _library()
        status = ctypes.c_int()
        self._state = ctypes.c_void_p(
            self._opus.opus_encoder_create(rate_hz, 1, _APPLICATION_VOIP, ctypes.byref(status))
        )
        _checked(status.value)
        finalize(self, self._opus.opus_encoder_destroy, self._state)
        self._packet = ctypes.create_string_buffer(PACKET_BYTES_MAX)
        for request, value in ((_SET_BITRATE, bitrate), (_SET_COMPLEXITY, COMPLEXITY), (_SET_INBAND_FEC, 1)):
            self._control(request, value)

    def encode(self, pcm: bytes) -> bytes:
        """One packet for 2.5, 5, 10, 20, 40 or 60 ms. Raises `OpusError` for another length."""
        samples = len(pcm) // SAMPLE_BYTES
        size = _checked(self._opus.opus_encode(self._state, pcm, samples, self._packet, PACKET_BYTES_MAX))
        return ctypes.string_at(self._packet, size)

    def expect_loss(self, percent: int) -> None:
        """How many packets get lost. With more loss, more of each packet is spent on the one before it."""
        self._control(_SET_PACKET_LOSS_PERC, max(0, min(100, percent)))

    def _control(self, request: int, value: int) -> None:
        _checked(self._opus.opus_encoder_ctl(self._state, request, ctypes.c_int(value)))


class Decoder:
    """Opus to mono PCM16 at a rate of one's choice, for one stream; stereo is mixed."""

    def __init__(self, rate_hz: int) -> None:
        """`rate_hz` is one of `RATES`. Raises `OpusError`."""
        self._opus = _library()
        status = ctypes.c_int()
        self._state = ctypes.c_void_p(self._opus.opus_decoder_create(rate_hz, 1, ctypes.byref(status)))
        _checked(status.value)
        finalize(self, self._opus.opus_decoder_destroy, self._state)
        self._samples_max = rate_hz * PACKET_MS_MAX // 1_000
        self._step = rate_hz // STEP_HZ
        self._pcm = ctypes.create_string_buffer(self._samples_max * SAMPLE_BYTES)

    def decode(self, packet: bytes) -> bytes:
        """The sound of a packet. Raises `OpusError` for a broken one; the stream goes on."""
        return self._decode(packet, self._samples_max, 0)

    def conceal(self, samples: int, following: bytes | None = None) -> bytes:
        """What may have been in `samples` that got lost, rounded up to 2.5 ms, at most `PACKET_MS_MAX`.

        `following` is the packet after the gap, which must be decoded next: if it carries FEC, the last frame of the
        gap is what was really said, at a lower quality.
        """
        steps = min(self._samples_max, -(-samples // self._step) * self._step)
        return self._decode(following, steps, int(following is not None))

    def reset(self) -> None:
        """As new: what comes next is another stream."""
        _checked(self._opus.opus_decoder_ctl(self._state, _RESET_STATE))

    def _decode(self, packet: bytes | None, samples: int, fec: int) -> bytes:
        size = 0 if packet is None else len(packet)
        if packet is not None and not size:
            raise OpusError("the packet is empty")
        decoded = _checked(self._opus.opus_decode(self._state, packet, size, self._pcm, samples, fec))
        return ctypes.string_at(self._pcm, decoded * SAMPLE_BYTES)


def _checked(status: int) -> int:
    if status < 0:
        raise OpusError(f"libopus refused with status {status}")
    return status
