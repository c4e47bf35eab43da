"""The Moonshine tiny-en network (MIT) run by onnxruntime: sound in, words out. Blocking; call it from a worker thread.

Importing this file imports numpy and onnxruntime. The three model files are those of the wheel `moonshine-voice` 0.1.0;
the package itself is never imported, since it brings a runtime of its own.
"""

import ctypes
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any, Final, NamedTuple

import numpy as np
import onnxruntime
from numpy.typing import NDArray

from parley.audio import pcm

RATE_HZ: Final = 16_000
SEGMENT_S_MAX: Final = 16.0
"""Longer sound is cut at a pause: the cost of the encoder grows with the square of the length."""
SEGMENT_S_MIN: Final = 7.0
PAUSE_S: Final = 0.2
FRAME_S: Final = 0.02
INPUT_S_MIN: Final = 0.5
"""Shorter sound is padded with silence: the network needs a little context to hear a single word."""
SILENCE_PEAK: Final = 0.001
SOUND_FRAMES_MIN: Final = 4
"""Where fewer frames (80 ms) exceed -60 dBFS, nothing was said: a click, say, to which the network answers "You"."""
TOKENS_PER_S_MAX: Final = 6.5
TOKENS_EXTRA: Final = 2
BEGIN_TOKEN: Final = 1
END_TOKEN: Final = 2
MAPPED_BLOCK_BYTES: Final = 4 * 2**20
"""Blocks from this size on go back to the system when freed. Smaller would cost page faults at every word."""
M_MMAP_THRESHOLD: Final = -3
"""Of glibc's malloc.h."""
HEADS: Final = 8
HEAD_WIDTH: Final = 36

Samples = NDArray[np.float32]


class Decoded(NamedTuple):
    """The words of one segment, with the natural logarithm of the probability of each token."""

    text: str
    logprobs: tuple[tuple[str, float], ...]


class MoonshineModel:
    """One loaded network. `decode` may run in several threads at once."""

    def __init__(self, home: Path) -> None:
        _give_large_blocks_back()
        self._encoder = _session(home / "encoder_model.ort")
        self._decoder = _session(home / "decoder_model_merged.ort")
        self._pieces = _read_pieces((home / "tokenizer.bin").read_bytes())
        self._past = [put.name for put in self._decoder.get_inputs() if put.name.startswith("past_key_values.")]
        self._present = [put.name for put in self._decoder.get_outputs() if put.name.startswith("present.")]

    def decode(self, samples: Samples, cancelled: Callable[[], bool]) -> Decoded | None:
        """The words in at most about `SEGMENT_S_MAX` of sound (16 kHz, ±1). None as soon as `cancelled()` is true."""
        if not _anything_said(samples):
            return Decoded("", ())
        steps_max = int(samples.size / RATE_HZ * TOKENS_PER_S_MAX) + TOKENS_EXTRA
        samples = np.pad(samples, (0, max(0, int(INPUT_S_MIN * RATE_HZ) - samples.size)))
        tokens: list[int] = []
        logprobs: list[float] = []
        for token, logprob in self._tokens(samples):
            if cancelled():
                return None
            if token == END_TOKEN or len(tokens) == steps_max:
                break
            tokens.append(token)
            logprobs.append(logprob)
        return Decoded(self._text(tokens), tuple(zip((self._text([token]) for token in tokens), logprobs, strict=True)))

    def _tokens(self, samples: Samples) -> Iterator[tuple[int, float]]:
        """The most probable next token and its logprob, without end: the caller knows when to stop."""
        # The decoder wants the mask at the rate of the samples; it thins it out by itself.
        mask = np.ones((1, samples.size), np.int64)
        hidden = self._encoder.run(None, {"input_values": samples[None], "attention_mask": mask})[0]
        feed: dict[str, Any] = {"encoder_attention_mask": mask, "encoder_hidden_states": hidden}
        feed |= {name: np.zeros((0, HEADS, 1, HEAD_WIDTH), np.float32) for name in self._past}
        token, past, present = BEGIN_TOKEN, self._past, self._present
        cached = False
        while True:
            feed |= {"input_ids": np.array([[token]]), "use_cache_branch": np.array([cached])}
            logits, *news = self._decoder.run(["logits", *present], feed)
            feed |= zip(past, news, strict=True)
            token, logprob = _best(logits[0, -1])
            yield token, logprob
            if not cached:
                # What the decoder remembers of the encoder never changes after the first step.
                cached = True
                past = [name for name in past if ".decoder." in name]
                present = [name for name in present if ".decoder." in name]

    def _text(self, tokens: list[int]) -> str:
        pieces = (self._pieces[token] for token in tokens)
        joined = b"".join(
            piece for piece in pieces if not (piece[:1] == b"<" and piece[-1:] == b">" and len(piece) > 2)
        )
        return joined.decode("utf-8", "replace").replace("\N{LOWER ONE EIGHTH BLOCK}", " ")


def to_samples(sound: bytes) -> Samples:
    """House audio as the network wants it: 16 kHz, ±1."""
    resampler = pcm.Resampler(pcm.HOUSE_RATE, RATE_HZ)
    heard = np.concatenate((resampler.push(pcm.to_samples(sound)), resampler.flush()))
    return heard.astype(np.float32) / np.float32(32_768)


def _anything_said(samples: Samples) -> bool:
    frame = int(FRAME_S * RATE_HZ)
    peaks = np.abs(samples[: samples.size // frame * frame]).reshape(-1, frame).max(1)
    return int((peaks > SILENCE_PEAK).sum()) >= SOUND_FRAMES_MIN


def segments(samples: Samples) -> list[Samples]:
    """Cuts long sound at its pauses into pieces the network is good at; short sound is one piece."""
    pieces = []
    while samples.size > SEGMENT_S_MAX * RATE_HZ:
        at = _pause(samples)
        pieces.append(samples[:at])
        samples = samples[at:]
    return [*pieces, samples]


def _pause(samples: Samples) -> int:
    """The middle of the quietest stretch of `PAUSE_S` between `SEGMENT_S_MIN` and `SEGMENT_S_MAX`."""
    frame = int(FRAME_S * RATE_HZ)
    first = int(SEGMENT_S_MIN * RATE_HZ)
    frames = samples[first : int(SEGMENT_S_MAX * RATE_HZ)]
    energy = np.square(frames[: frames.size // frame * frame].reshape(-1, frame)).mean(1)
    width = int(PAUSE_S / FRAME_S)
    loudness = np.convolve(energy, np.ones(width), "valid")
    return first + (int(loudness.argmin()) + width // 2) * frame


def _best(logits: NDArray[np.float32]) -> tuple[int, float]:
    token = int(logits.argmax())
    return token, -float(np.log(np.exp(logits - logits[token]).sum()))


def _session(path: Path) -> Any:
    options = onnxruntime.SessionOptions()
    # One thread for one utterance: the caller's pool decides how many are heard at the same time.
    options.intra_op_num_threads = options.inter_op_num_threads = 1
    options.log_severity_level = 3
    # An arena never gives back what the longest utterance needed.
    options.enable_cpu_mem_arena = False
    return onnxruntime.InferenceSession(str(path), options, providers=["CPUExecutionProvider"])


def _give_large_blocks_back() -> None:
    """Has glibc give freed large blocks back; by itself it keeps more the more were freed (measured: 100 MB here)."""
    mallopt = getattr(ctypes.CDLL(None), "mallopt", None)
    if mallopt is not None:
        mallopt(M_MMAP_THRESHOLD, MAPPED_BLOCK_BYTES)


def _read_pieces(data: bytes) -> list[bytes]:
    """The vocabulary: each piece after its length, which is one byte, or two (low seven bits first) from 128 on."""
    pieces = []
    at = 0
    while at < len(data):
        length = data[at]
        at += 1
        if length >= 128:
            length = length - 128 + data[at] * 128
            at += 1
        pieces.append(data[at : at + length])
        at += length
    return pieces
