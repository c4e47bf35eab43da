"""Sound files of every kind that clients upload, made by PyAV."""

import io
from fractions import Fraction
from typing import Final

import av
from av.audio.stream import AudioStream

KINDS: Final = {
    "webm": ("webm", "libopus", 48_000, "s16"),
    "ogg": ("ogg", "libopus", 48_000, "s16"),
    "mp3": ("mp3", "libmp3lame", 24_000, "s16p"),
    "m4a": ("mp4", "aac", 24_000, "fltp"),
    "wav": ("wav", "pcm_s16le", 24_000, "s16"),
    "flac": ("flac", "flac", 24_000, "s16"),
}
"""Extension -> container, codec, rate, sample format."""
RATE: Final = 24_000


def sound_file(pcm: bytes, kind: str, options: dict[str, str] | None = None) -> bytes:
    """House sound as a file."""
    container, codec, rate, layout = KINDS[kind]
    out = io.BytesIO()
    with av.open(out, "w", format=container) as file:
        track = file.add_stream(codec, rate=rate, options=options or {})
        assert isinstance(track, AudioStream)
        track.layout = "mono"
        resampler = av.AudioResampler(
            format=layout, layout="mono", rate=rate, frame_size=track.codec_context.frame_size or 1_024
        )
        frame = av.AudioFrame(format="s16", layout="mono", samples=len(pcm) // 2)
        frame.planes[0].update(pcm)
        frame.sample_rate, frame.pts, frame.time_base = RATE, 0, Fraction(1, RATE)
        for part in [*resampler.resample(frame), *resampler.resample(None)]:
            file.mux(track.encode(part))
        file.mux(track.encode(None))
    return out.getvalue()


def bomb(minutes: float) -> bytes:
    """Silence as Opus: a long time in a small file."""
    options = {"b": "6000", "compression_level": "0", "frame_duration": "60"}
    return sound_file(bytes(int(minutes * 60_000) * 48), "ogg", options)
