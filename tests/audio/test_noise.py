"""Noise reduction of the VAD's copy."""

import numpy as np
import pytest

from parley.audio import noise
from parley.audio.noise import BLOCK_BYTES, NoiseReducer, NoiseReduction, installed, noise_reducer

HISS = np.random.default_rng(1).normal(0, 800, 24_000 * 3).astype("<i2").tobytes()


def left_of(wanted: NoiseReduction) -> float:
    """How many dB of a steady hiss are left once the suppressor knows it."""
    cleaned = NoiseReducer(wanted).clean(HISS)
    second = len(HISS) // 3
    before, after = (np.frombuffer(pcm[-second:], "<i2").astype(float).std() for pcm in (HISS, cleaned))
    return float(20 * np.log10(after / before))


def test_the_suppressor_is_a_dependency() -> None:
    assert installed()


def test_far_field_suppresses_more_than_near_field_and_strength_matters() -> None:
    far, near = left_of(NoiseReduction("far_field")), left_of(NoiseReduction("near_field"))
    weak = left_of(NoiseReduction("far_field", 0.3))
    assert far < near < -6
    assert far < weak - 3


def test_sound_comes_in_whole_blocks_and_none_is_lost() -> None:
    reducer = NoiseReducer(NoiseReduction("near_field"))
    sizes = [len(reducer.clean(HISS[at : at + 700])) for at in range(0, 7_000, 700)]
    assert all(size % BLOCK_BYTES == 0 for size in sizes)
    assert sum(sizes) + reducer.held_bytes == 7_000
    assert sum(sizes) + len(reducer.flush()) == 7_000
    assert reducer.held_bytes == 0


def test_chunks_do_not_show() -> None:
    whole, pieces = (NoiseReducer(NoiseReduction("far_field")) for _ in range(2))
    sound = HISS[:48_000]
    assert b"".join(pieces.clean(sound[at : at + 1_234]) for at in range(0, len(sound), 1_234)) == whole.clean(sound)


def test_nothing_wanted_or_nothing_there(monkeypatch: pytest.MonkeyPatch) -> None:
    assert noise_reducer(None) is None
    assert noise_reducer(NoiseReduction("near_field", 0.0)) is None
    assert noise_reducer(NoiseReduction("near_field")) is not None
    monkeypatch.setattr(noise, "find_spec", lambda name: None)
    assert noise_reducer(NoiseReduction("near_field")) is None
