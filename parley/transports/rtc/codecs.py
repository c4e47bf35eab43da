"""How sound is written in RTP: Opus, or G.711 where a peer offers nothing better (RFC 7587, RFC 3551)."""

from collections.abc import Callable, Mapping
from typing import Final, NamedTuple, Protocol

import numpy as np

from parley.audio import opus
from parley.audio.codecs import Decoder, Encoder
from parley.audio.pacer import SLICE_BYTES, SLICE_MS
from parley.audio.pcm import HOUSE_RATE, SAMPLE_BYTES, to_pcm, to_samples

FADE: Final = 0.5
"""What concealed G.711 loses in volume from one slice to the next."""
FADE_SLICES: Final = 3
"""After so many it is silence."""


class Broken(Exception):
    """A payload that cannot be decoded."""


class Codec(Protocol):
    """One stream each way; sound is in house format."""

    def encode(self, pcm: bytes) -> bytes:
        """The payload for one slice."""
        ...

    def decode(self, payload: bytes) -> bytes:
        """Raises `Broken`."""
        ...

    def conceal(self, samples: int, following: bytes | None) -> bytes:
        """What may have been in up to 120 ms that got lost before the payload `following`; at least `samples` long."""
        ...

    def expect_loss(self, percent: int) -> None:
        """What the peer says about our packets."""
        ...

    def restart(self) -> None:
        """What is decoded next is another stream."""
        ...


class Format(NamedTuple):
    """An encoding as SDP names it. `clock_hz` is that of its RTP timestamps."""

    name: str
    clock_hz: int
    channels: int
    parameters: str
    silence: bytes
    """The payload of 20 ms in which nothing is said."""
    open: Callable[[], Codec]

    @property
    def slice_ticks(self) -> int:
        """By how much the timestamp grows with every slice."""
        return self.clock_hz * SLICE_MS // 1_000


class Opus:
    def __init__(self) -> None:
        self._encoder = opus.Encoder(HOUSE_RATE)
        self._decoder = opus.Decoder(HOUSE_RATE)
        self._loss = 0

    def encode(self, pcm: bytes) -> bytes:
        return self._encoder.encode(pcm)

    def decode(self, payload: bytes) -> bytes:
        try:
            return self._decoder.decode(payload)
        except opus.OpusError as error:
            raise Broken(str(error)) from error

    def conceal(self, samples: int, following: bytes | None) -> bytes:
        try:
            return self._decoder.conceal(samples, following)
        except opus.OpusError:
            return self._decoder.conceal(samples)

    def expect_loss(self, percent: int) -> None:
        if percent != self._loss:
            self._loss = percent
            self._encoder.expect_loss(percent)

    def restart(self) -> None:
        self._decoder.reset()


class G711:
    """Loss is concealed by fading repetition of the last slice, the idea of G.711 appendix I."""

    def __init__(self, wire: str) -> None:
        self._wire = wire
        self._encoder = Encoder(wire)
        self.restart()

    def encode(self, pcm: bytes) -> bytes:
        return self._encoder.encode(pcm)

    def decode(self, payload: bytes) -> bytes:
        sound = self._decoder.decode(payload)
        self._last = sound[-SLICE_BYTES:].ljust(SLICE_BYTES, b"\0")
        return sound

    def conceal(self, samples: int, following: bytes | None) -> bytes:
        last = to_samples(self._last)
        slices = -(-samples * SAMPLE_BYTES // SLICE_BYTES)
        volumes = [FADE ** (at + 1) if at < FADE_SLICES else 0.0 for at in range(slices)]
        return b"".join(to_pcm((last * volume).astype(np.int16)) for volume in volumes)

    def expect_loss(self, percent: int) -> None:
        """There is nothing to do about it."""

    def restart(self) -> None:
        self._decoder = Decoder(self._wire)
        self._last = bytes(SLICE_BYTES)


OPUS: Final = Format("opus", 48_000, 2, "minptime=10;useinbandfec=1", opus.SILENCE, Opus)
PCMU: Final = Format("PCMU", 8_000, 1, "", b"\xff" * 160, lambda: G711("audio/pcmu"))
PCMA: Final = Format("PCMA", 8_000, 1, "", b"\xd5" * 160, lambda: G711("audio/pcma"))

FORMATS: Final[Mapping[str, Format]] = {each.name.lower(): each for each in (OPUS, PCMU, PCMA)}
"""By lower-case name, the best first."""
STATIC: Final = {0: PCMU, 8: PCMA}
"""Payload types that need no rtpmap (RFC 3551)."""


def spoken() -> tuple[Format, ...]:
    """What can be spoken here, the best first: G.711 always, Opus where its library is."""
    return tuple(each for each in FORMATS.values() if each is not OPUS or opus.available())
