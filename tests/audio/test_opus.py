"""libopus by ctypes: speech survives, loss is repaired, and nothing that comes can break it."""

import random

import numpy as np
import pytest
from numpy.typing import NDArray

from parley.audio import opus
from parley.audio.opus import Decoder, Encoder, OpusError
from tests.speech import recordings

SLICE = 960
"""Bytes of 20 ms at 24 kHz."""
DELAY = 156
"""Samples by which libopus is late at 24 kHz: 6.5 ms."""


@pytest.fixture(scope="module")
def speech() -> bytes:
    return recordings()[0].pcm[: SLICE * 250]


def slices(pcm: bytes) -> list[bytes]:
    return [pcm[at : at + SLICE] for at in range(0, len(pcm), SLICE)]


def likeness(one: bytes, other: bytes) -> float:
    """Correlation of the short-time spectra, 1.0 for the same sound."""
    return float(np.corrcoef(_spectra(one).ravel(), _spectra(other).ravel())[0, 1])


def _spectra(pcm: bytes) -> NDArray[np.float64]:
    sound = np.frombuffer(pcm, "<i2").astype(np.float64)
    frames = np.lib.stride_tricks.sliding_window_view(sound, 480)[::240] * np.hanning(480)
    spectra: NDArray[np.float64] = np.log(np.abs(np.fft.rfft(frames))[:, :160] + 100)
    return spectra


@pytest.mark.parametrize("rate", [24_000, 48_000])
def test_speech_survives(speech: bytes, rate: int) -> None:
    sound = speech if rate == 24_000 else np.repeat(np.frombuffer(speech, "<i2"), 2).tobytes()
    encoder, decoder = Encoder(rate), Decoder(24_000)
    size = rate // 50 * 2
    packets = [encoder.encode(sound[at : at + size]) for at in range(0, len(sound), size)]
    assert {opus.samples_in(packet, 24_000) for packet in packets} == {480}
    assert 60 < sum(map(len, packets)) / len(packets) < 100  # 32 kbit/s
    heard = b"".join(decoder.decode(packet) for packet in packets)
    assert len(heard) == len(speech)
    assert likeness(speech[: -DELAY * 2], heard[DELAY * 2 :]) > 0.93


def test_error_correction_repairs_what_repetition_cannot(speech: bytes) -> None:
    encoder = Encoder(24_000)
    encoder.expect_loss(20)
    packets = [encoder.encode(piece) for piece in slices(speech)]
    lost = set(range(5, len(packets) - 1, 6))
    whole = b"".join(map(Decoder(24_000).decode, packets))

    def received(*, fec: bool) -> bytes:
        decoder, heard = Decoder(24_000), []
        for at, packet in enumerate(packets):
            if at in lost:
                heard.append(decoder.conceal(480, packets[at + 1] if fec else None))
            else:
                heard.append(decoder.decode(packet))
        return b"".join(heard)

    places = sorted(lost)

    def at_losses(pcm: bytes) -> bytes:
        return b"".join(pcm[at * SLICE : (at + 1) * SLICE] for at in places)

    guessed = likeness(at_losses(whole), at_losses(received(fec=False)))
    repaired = likeness(at_losses(whole), at_losses(received(fec=True)))
    assert repaired > guessed + 0.05
    assert repaired > 0.8


def test_concealed_sound_has_the_length_that_was_lost() -> None:
    decoder = Decoder(24_000)
    decoder.decode(Encoder(24_000).encode(bytes(SLICE)))
    assert len(decoder.conceal(480)) == 960
    assert len(decoder.conceal(470)) == 960, "rounded up to 2.5 ms"
    assert len(decoder.conceal(1_000_000)) == 2_880 * 2, "at most 120 ms"


def test_the_silent_packet_is_silent_in_the_middle_of_speech(speech: bytes) -> None:
    encoder, decoder = Encoder(24_000), Decoder(24_000)
    for piece in slices(speech)[:60]:
        decoder.decode(encoder.encode(piece))
    for _ in range(5):
        quiet = decoder.decode(opus.SILENCE)
    assert len(quiet) == SLICE
    assert np.abs(np.frombuffer(quiet, "<i2")).max() < 50


def test_rubbish_is_refused_and_the_stream_goes_on(speech: bytes) -> None:
    encoder, decoder = Encoder(24_000), Decoder(24_000)
    chance = random.Random(1)
    refused = 0
    for piece in slices(speech)[:100]:
        rubbish = chance.randbytes(chance.randrange(0, 80))
        try:
            assert len(decoder.decode(rubbish)) <= 2_880 * 2
        except OpusError:
            refused += 1
        assert len(decoder.decode(encoder.encode(piece))) == SLICE
    assert refused > 10
    with pytest.raises(OpusError):
        decoder.decode(b"")
    with pytest.raises(OpusError):
        opus.samples_in(b"", 24_000)


def test_wrong_arguments_are_refused() -> None:
    with pytest.raises(OpusError):
        Encoder(44_100)
    with pytest.raises(OpusError):
        Decoder(44_100)
    with pytest.raises(OpusError):
        Encoder(24_000).encode(bytes(100))


def test_a_restarted_decoder_remembers_nothing(speech: bytes) -> None:
    packets = [Encoder(24_000).encode(piece) for piece in slices(speech)[50:52]]
    fresh, used = Decoder(24_000), Decoder(24_000)
    for packet in packets:
        used.decode(packet)
    used.reset()
    assert used.decode(packets[0]) == fresh.decode(packets[0])
