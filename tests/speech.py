"""Helpers for tests with real speech: human recordings, what was said in them, and how wrong a transcript is."""

import importlib.util
import re
import wave
from collections.abc import AsyncIterator
from pathlib import Path
from typing import Final, NamedTuple

import numpy as np
from numpy.typing import NDArray

from parley.engines.base import Peek, SpeechToText, TextToSpeech, Transcript, TranscriptionRequest

HOUSE_RATE_HZ: Final = 24_000

BECKETT: Final = "ever tried ever failed no matter try again fail again fail better"
TWO_CITIES: Final = (
    "it was the best of times it was the worst of times it was the age of wisdom it was the age of foolishness"
    " it was the epoch of belief it was the epoch of incredulity it was the season of light it was the season of"
    " darkness it was the spring of hope it was the winter of despair we had everything before us we had nothing"
    " before us we were all going direct to heaven we were all going direct the other way in short the period was so"
    " far like the present period that some of its noisiest authorities insisted on its being received for good or"
    " for evil in the superlative degree of comparison only"
)


class Recording(NamedTuple):
    """Human speech in house format, and the words in it."""

    name: str
    pcm: bytes
    words: str


def recordings() -> list[Recording]:
    """The recordings inside the wheel of the embedded model, and those of Debian's test packages where installed."""
    package = importlib.util.find_spec("moonshine_voice")
    assert package is not None and package.submodule_search_locations, "moonshine-voice is a dependency"
    assets = Path(package.submodule_search_locations[0]) / "assets"
    found = [
        Recording("beckett", read_wav(assets / "beckett.wav"), BECKETT),
        Recording("two_cities", read_wav(assets / "two_cities.wav"), TWO_CITIES),
    ]
    librivox = Path("/usr/share/pocketsphinx/test/data/librivox")
    if librivox.is_dir():
        for line in (librivox / "transcription").read_text().splitlines():
            if said := re.match(r"<s> (.*) </s> \((.*)\)", line):
                found.append(Recording(said[2], read_wav(librivox / f"{said[2]}.wav"), said[1]))
    return found


def read_wav(path: Path) -> bytes:
    """A PCM16 WAV file of any rate in house format."""
    with wave.open(str(path)) as file:
        sound = np.frombuffer(file.readframes(file.getnframes()), "<i2").reshape(-1, file.getnchannels()).mean(1)
        return resampled(sound, file.getframerate())


def resampled(sound: NDArray[np.float64], rate_hz: int) -> bytes:
    """By Fourier transform over the whole: exact, slow, and not the resampler under test."""
    size = round(sound.size * HOUSE_RATE_HZ / rate_hz)
    spectrum = np.fft.rfft(sound)
    bins = size // 2 + 1
    spectrum = spectrum[:bins] if spectrum.size > bins else np.pad(spectrum, (0, bins - spectrum.size))
    return np.clip(np.fft.irfft(spectrum, size) * size / sound.size, -32_768, 32_767).astype("<i2").tobytes()


async def stream(pcm: bytes, slice_ms: int = 20) -> AsyncIterator[bytes | Peek]:
    """Sound in slices, as fast as it is taken."""
    size = slice_ms * HOUSE_RATE_HZ // 1_000 * 2
    for at in range(0, len(pcm), size):
        yield pcm[at : at + size]


async def transcribe(stt: SpeechToText, pcm: bytes) -> str:
    """The final words of a backend about this sound."""
    return (await final(stt.transcribe(stream(pcm), TranscriptionRequest()))).text


async def final(transcripts: AsyncIterator[Transcript]) -> Transcript:
    """The last transcript, which must be the only final one."""
    heard = [transcript async for transcript in transcripts]
    assert [transcript.final for transcript in heard] == [False] * (len(heard) - 1) + [True]
    return heard[-1]


async def say(tts: TextToSpeech, text: str, voice: str = "marin", speed: float = 1.0) -> bytes:
    """The whole sound of a backend for this text."""
    return b"".join([chunk async for chunk in tts.speak(text, voice, speed)])


NUMBERS: Final = dict(enumerate("zero one two three four five six seven eight nine ten eleven twelve".split()))


def words(text: str) -> list[str]:
    """Lower-case words without punctuation, small numbers spelt out."""
    plain = re.sub(r"[^\w\s']", " ", text.lower().replace("'", ""))
    return [NUMBERS.get(int(word), word) if word.isdigit() else word for word in plain.split()]


def word_error_rate(said: str, heard: str) -> float:
    """Words to insert, delete or replace, by the number of words said."""
    reference, hypothesis = words(said), words(heard)
    row = list(range(len(hypothesis) + 1))
    for at, word in enumerate(reference, 1):
        corner, row[0] = row[0], at
        for column, other in enumerate(hypothesis, 1):
            corner, row[column] = row[column], min(row[column] + 1, row[column - 1] + 1, corner + (word != other))
    return row[-1] / len(reference)


def pitch_hz(pcm: bytes) -> float:
    """The median fundamental frequency of the voiced frames, by autocorrelation between 70 and 300 Hz."""
    size, hop = 1_200, 480
    sound = np.frombuffer(pcm, "<i2").astype(np.float64)
    frames = np.lib.stride_tricks.sliding_window_view(sound, size)[::hop]
    spectrum = np.fft.rfft(frames - frames.mean(1, keepdims=True), 2 * size)
    correlation = np.fft.irfft(np.abs(spectrum) ** 2)[:, :size]
    shortest, longest = HOUSE_RATE_HZ // 300, HOUSE_RATE_HZ // 70
    lags = shortest + correlation[:, shortest:longest].argmax(1)
    peaks = correlation[np.arange(lags.size), lags]
    voiced = (correlation[:, 0] > size * 300.0**2) & (peaks > 0.5 * correlation[:, 0])
    return float(np.median(HOUSE_RATE_HZ / lags[voiced]))


def formant_shift(one: bytes, other: bytes) -> float:
    """How much higher the formants of `other` are, by the shift that lays the two average spectra over each other.

    The same words in both; good to about 3 % (logarithmic frequency, 400 to 6000 Hz, pitch smoothed away).
    """
    a, b = _envelope(one), _envelope(other)
    size = a.size
    best = max(
        range(-80, 81),
        key=lambda by: np.corrcoef(a[max(0, -by) : size - max(0, by)], b[max(0, by) : size + min(0, by)])[0, 1],
    )
    return float(np.exp(best * np.log(6_000 / 400) / (size - 1)))


def _envelope(pcm: bytes) -> NDArray[np.float64]:
    size, points = 2_048, 600
    sound = np.frombuffer(pcm, "<i2").astype(np.float64)
    frames = np.lib.stride_tricks.sliding_window_view(sound, size)[:: size // 4] * np.hanning(size)
    power = np.log((np.abs(np.fft.rfft(frames)) ** 2).mean(0) + 1)
    smooth = np.hanning(400 * size // HOUSE_RATE_HZ)
    power = np.convolve(power, smooth / smooth.sum(), "same")
    frequency = np.geomspace(400, 6_000, points)
    spectrum = np.interp(frequency, np.fft.rfftfreq(size, 1 / HOUSE_RATE_HZ), power)
    along = np.linspace(-1, 1, points)
    return spectrum - np.polyval(np.polyfit(along, spectrum, 2), along)
