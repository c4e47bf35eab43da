"""The house format and the resampler."""

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from parley.audio.pcm import (
    BYTES_PER_MS,
    Carry,
    Resampler,
    Samples,
    bytes_to_ms,
    ms_to_bytes,
    ms_to_samples,
    polyphase,
    samples_to_ms,
    to_pcm,
    to_samples,
)

RATES = [
    (8_000, 24_000), (16_000, 24_000), (24_000, 16_000), (24_000, 8_000), (48_000, 24_000), (24_000, 48_000),
    (22_050, 24_000), (44_100, 24_000), (14_080, 24_000), (17_280, 24_000), (13_440, 24_000), (14_720, 24_000),
]  # fmt: skip


def sine(rate: int, frequency: float, seconds: float = 1.0, amplitude: int = 16_000) -> Samples:
    wave: Samples = np.rint(amplitude * np.sin(2 * np.pi * frequency * np.arange(int(rate * seconds)) / rate)).astype(
        np.int16
    )
    return wave


def through(samples: Samples, rate_in: int, rate_out: int, chunk: int) -> Samples:
    resampler = Resampler(rate_in, rate_out)
    pieces = [resampler.push(samples[at : at + chunk]) for at in range(0, len(samples), chunk)]
    return np.concatenate([*pieces, resampler.flush()])


def fitted(samples: Samples, rate: int, frequency: float) -> tuple[float, float, float]:
    """Amplitude, delay in seconds and SNR in dB of the best sine of this frequency, away from the edges."""
    steady = samples[rate // 10 : rate * 9 // 10].astype(float)
    time = np.arange(rate // 10, rate * 9 // 10) / rate
    basis = np.stack([np.sin(2 * np.pi * frequency * time), np.cos(2 * np.pi * frequency * time)], axis=1)
    (along, across), *_ = np.linalg.lstsq(basis, steady)
    noise = steady - basis @ np.array([along, across])
    delay = np.arctan2(-across, along) / (2 * np.pi * frequency)
    return float(np.hypot(along, across)), float(delay), float(20 * np.log10(steady.std() / noise.std()))


def test_units() -> None:
    assert BYTES_PER_MS == 48
    assert (ms_to_bytes(20), ms_to_samples(20)) == (960, 480)
    assert (bytes_to_ms(959), samples_to_ms(480)) == (19, 20)
    assert ms_to_bytes(0.03) == 0, "whole samples only"


def test_pcm_is_little_endian() -> None:
    assert to_samples(b"\x01\x00\xff\x7f\x00\x80").tolist() == [1, 32_767, -32_768]
    assert to_pcm(np.array([1, -2], np.int16)) == b"\x01\x00\xfe\xff"
    with pytest.raises(ValueError):
        to_samples(b"\x01")


@given(st.lists(st.binary(max_size=7), max_size=20))
def test_carry_mends_split_samples(chunks: list[bytes]) -> None:
    carry = Carry()
    pieces = [carry.whole(chunk) for chunk in chunks]
    sent = b"".join(chunks)
    assert all(len(piece) % 2 == 0 for piece in pieces)
    assert b"".join(pieces) == sent[: len(sent) // 2 * 2]


def test_carry_leaves_whole_chunks_alone() -> None:
    chunk = bytes(960)
    assert Carry().whole(chunk) is chunk


@pytest.mark.parametrize(("rate_in", "rate_out"), RATES)
def test_a_tone_keeps_its_pitch_level_and_purity(rate_in: int, rate_out: int) -> None:
    amplitude, delay, snr_db = fitted(through(sine(rate_in, 200), rate_in, rate_out, rate_in // 50), rate_out, 200)
    assert amplitude == pytest.approx(16_000, rel=0.001)
    assert 0.000_4 < delay <= 0.001_51
    assert snr_db >= 80
    *_, snr_db = fitted(through(sine(rate_in, 1_000), rate_in, rate_out, rate_in // 50), rate_out, 1_000)
    assert snr_db >= 80


@pytest.mark.parametrize(("rate_in", "rate_out", "frequency"), [(24_000, 16_000, 9_600), (24_000, 8_000, 4_800)])
def test_what_the_lower_rate_cannot_carry_is_gone(rate_in: int, rate_out: int, frequency: int) -> None:
    folded = Resampler(rate_in, rate_out).push(sine(rate_in, frequency))[rate_out // 10 :]
    assert folded.astype(float).std() < 16_000 / 5_000


@pytest.mark.parametrize(("rate_in", "rate_out"), RATES)
def test_chunks_do_not_show(rate_in: int, rate_out: int) -> None:
    sound = np.random.default_rng(1).integers(-20_000, 20_000, rate_in // 4).astype(np.int16)
    whole = through(sound, rate_in, rate_out, len(sound))
    for chunk in (1 + rate_in // 700, rate_in // 50, rate_in // 7):
        # one unit: sums of 32-bit floats may round differently in products of another height
        assert np.abs(through(sound, rate_in, rate_out, chunk).astype(int) - whole).max() <= 1


@pytest.mark.parametrize(("rate_in", "rate_out"), RATES)
def test_no_sound_is_lost(rate_in: int, rate_out: int) -> None:
    sound = sine(rate_in, 300, seconds=0.2)
    length = len(through(sound, rate_in, rate_out, 100)) / rate_out
    assert 0.2 <= length <= 0.2 + 0.0015 + polyphase(rate_in, rate_out).block_in / rate_in
    click = np.zeros(rate_in // 10, np.int16)
    click[-1] = 20_000
    assert np.abs(through(click, rate_in, rate_out, 50)).max() > 3_000, "the last sample is heard after flush"


def test_real_time_chunks_come_out_whole() -> None:
    assert len(Resampler(8_000, 24_000).push(np.zeros(160, np.int16))) == 480
    assert len(Resampler(24_000, 8_000).push(np.zeros(480, np.int16))) == 160


def test_after_flush_it_is_as_new() -> None:
    resampler = Resampler(16_000, 24_000)
    first = np.concatenate([resampler.push(sine(16_000, 500)), resampler.flush()])
    second = np.concatenate([resampler.push(sine(16_000, 500)), resampler.flush()])
    assert (first == second).all()


def test_loud_sound_is_clipped_and_does_not_wrap() -> None:
    square = np.where(np.arange(800) // 40 % 2, 32_767, -32_768).astype(np.int16)
    up = through(square, 8_000, 24_000, 160)
    assert up.max() == 32_767
    assert up.min() == -32_768


@pytest.mark.parametrize(("rate_in", "rate_out"), [(0, 24_000), (-8_000, 24_000), (44_101, 24_000)])
def test_absurd_rates_are_refused(rate_in: int, rate_out: int) -> None:
    with pytest.raises(ValueError, match=r"rates are positive|small numbers"):
        Resampler(rate_in, rate_out)
