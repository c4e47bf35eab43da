"""G.711 against the words of the standard, and the streams that use it."""

import sys
import warnings

import numpy as np
import pytest

from parley.audio.codecs import CODES, SAMPLES, Decoder, Encoder
from parley.audio.pcm import to_pcm
from tests.audio.test_pcm import fitted, sine

EVERY_SAMPLE = range(-32_768, 32_768)


def mulaw_code(sample: int) -> int:
    """Search of the segment among the decision values of G.711 table 2, scaled to 14 bits."""
    magnitude, sign = min(abs(sample >> 2) + 33, 8_191), sample < 0
    segment = next(s for s in range(8) if magnitude < 64 << s)
    step = (magnitude - (32 << segment)) // (2 << segment)
    return (255 - (segment * 16 + step)) & (0x7F if sign else 0xFF)


def mulaw_sample(code: int) -> int:
    segment, step = divmod(127 - code % 128, 16)
    magnitude = 4 * (((2 * step + 33) << segment) - 33)
    return magnitude if code >= 128 else -magnitude


def alaw_code(sample: int) -> int:
    """Search of the segment among the decision values of G.711 table 1, scaled to 13 bits."""
    value = sample >> 3
    magnitude = value if value >= 0 else -value - 1
    bounds = [0, 32, 64, 128, 256, 512, 1_024, 2_048, 4_096]
    segment = next(s for s in range(8) if magnitude < bounds[s + 1])
    step = (magnitude - bounds[segment]) * 16 // (bounds[segment + 1] - bounds[segment])
    return (segment * 16 + step + (128 if value >= 0 else 0)) ^ 0x55


def alaw_sample(code: int) -> int:
    segment, step = divmod((code ^ 0x55) % 128, 16)
    magnitude = (2 * step + 1) * 8 if segment == 0 else (2 * step + 33) * 8 << segment - 1
    return magnitude if (code ^ 0x55) >= 128 else -magnitude


def test_mulaw_follows_the_standard() -> None:
    by_value = {sample: int(CODES["audio/pcmu"][sample & 0xFFFF]) for sample in EVERY_SAMPLE}
    assert by_value == {sample: mulaw_code(sample) for sample in EVERY_SAMPLE}
    assert SAMPLES["audio/pcmu"].tolist() == [mulaw_sample(code) for code in range(256)]


def test_alaw_follows_the_standard() -> None:
    by_value = {sample: int(CODES["audio/pcma"][sample & 0xFFFF]) for sample in EVERY_SAMPLE}
    assert by_value == {sample: alaw_code(sample) for sample in EVERY_SAMPLE}
    assert SAMPLES["audio/pcma"].tolist() == [alaw_sample(code) for code in range(256)]


def test_well_known_values() -> None:
    assert SAMPLES["audio/pcmu"][[0x00, 0x7F, 0x80, 0xFF]].tolist() == [-32_124, 0, 32_124, 0]
    assert SAMPLES["audio/pcma"][[0x2A, 0xAA, 0x55, 0xD5]].tolist() == [-32_256, 32_256, -8, 8]
    assert (CODES["audio/pcmu"][0], CODES["audio/pcma"][0]) == (0xFF, 0xD5), "silence"


@pytest.mark.skipif(sys.version_info >= (3, 13), reason="audioop has left the standard library")
@pytest.mark.parametrize(("wire", "law"), [("audio/pcmu", "ulaw"), ("audio/pcma", "alaw")])
def test_same_as_audioop(wire: str, law: str) -> None:
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", DeprecationWarning)
        audioop = pytest.importorskip("audioop")
    every = np.arange(65_536, dtype=np.uint16).astype("<u2").tobytes()
    assert CODES[wire].tobytes() == getattr(audioop, f"lin2{law}")(every, 2)
    assert SAMPLES[wire].astype("<i2").tobytes() == getattr(audioop, f"{law}2lin")(bytes(range(256)), 2)


@pytest.mark.parametrize("wire", ["audio/pcmu", "audio/pcma"])
def test_a_tone_survives_the_telephone(wire: str) -> None:
    encoder, decoder = Encoder(wire), Decoder(wire)
    pcm = to_pcm(sine(24_000, 1_000))
    codes = [encoder.encode(pcm[at : at + 960]) for at in range(0, len(pcm), 960)]
    assert {len(code) for code in codes} == {160}, "20 ms are 160 bytes"
    heard = b"".join([decoder.decode(code) for code in codes] + [decoder.decode(encoder.flush()), decoder.flush()])
    assert len(pcm) <= len(heard) <= len(pcm) + 48 * 8
    amplitude, _, snr_db = fitted(np.frombuffer(heard, "<i2"), 24_000, 1_000)
    assert amplitude == pytest.approx(16_000, rel=0.02)
    assert snr_db > 35, "what G.711 itself allows"


@pytest.mark.parametrize("stream", [Decoder("audio/pcm").decode, Encoder("audio/pcm").encode])
def test_pcm_passes_and_split_samples_are_mended(stream) -> None:  # type: ignore[no-untyped-def]
    chunk = bytes(range(240)) * 4
    assert stream(chunk) is chunk
    assert [stream(b"\x01\x02\x03"), stream(b"\x04\x05"), stream(b"\x06")] == [b"\x01\x02", b"\x03\x04", b"\x05\x06"]


def test_pcm_holds_nothing_but_half_a_sample() -> None:
    decoder = Decoder("audio/pcm")
    assert decoder.decode(b"\x01\x02\x03") == b"\x01\x02"
    assert decoder.flush() == b""
    assert decoder.decode(b"\x04\x05") == b"\x04\x05"


def test_g711_encoder_takes_split_samples() -> None:
    pcm = to_pcm(sine(24_000, 500, seconds=0.1))
    whole, split = Encoder("audio/pcma"), Encoder("audio/pcma")
    wanted = whole.encode(pcm) + whole.flush()
    assert split.encode(pcm[:1001]) + split.encode(pcm[1001:]) + split.flush() == wanted


def test_unknown_formats_are_refused() -> None:
    with pytest.raises(ValueError, match="audio/pcmu"):
        Decoder("audio/opus")
    with pytest.raises(ValueError, match="audio/pcmu"):
        Encoder("g711_ulaw")
