"""A sound file becomes house sound, in a process of its own: files come from strangers, and decoders have bugs.

    python -I file_decoder.py MS_MAX CPU_S MEMORY_BYTES  < FILE  > house sound

The process stands alone (it imports nothing of ours), limits itself before it looks at the file, opens no other file,
and asks the content, not a name or a content type, what the file is. `transports.sound_files` starts it, and has the
watch. Exit statuses: `DONE`, `UNREADABLE`, `TOO_LONG`; anything else means that a limit or a bug has ended it.
"""

import os
import resource
import sys
from collections.abc import Iterator
from contextlib import suppress
from typing import IO, Any, Final

DONE: Final = 0
UNREADABLE: Final = 3
TOO_LONG: Final = 4

HOUSE_RATE: Final = 24_000
BYTES_PER_MS: Final = 48
SAMPLE_BYTES: Final = 2
HEAD_BYTES: Final = 12
NICENESS: Final = 10
"""Calls have 20 ms for everything; an upload has seconds."""
CODECS: Final = ("opus", "vorbis", "mp3", "mp2", "aac", "alac", "flac")
CODEC_FAMILIES: Final = ("pcm_", "adpcm_")
"""What the containers below carry in practice. A decoder that nobody needs is a door that nobody watches."""


class Unreadable(Exception):
    """Not a sound file, or one of another kind, or damaged from its beginning."""


class TooLong(Exception):
    pass


def container_of(head: bytes) -> str | None:
    """FFmpeg's name for the kind of file that begins like this. Never a playlist: those name other files."""
    match head[:4]:
        case b"\x1aE\xdf\xa3":
            return "matroska"
        case b"OggS":
            return "ogg"
        case b"fLaC":
            return "flac"
        case b"RIFF" if head[8:12] == b"WAVE":
            return "wav"
    if head[4:8] == b"ftyp":
        return "mov"
    mpeg_audio = len(head) > 1 and head[0] == 0xFF and head[1] & 0xE0 == 0xE0 and head[1] & 0x06 != 0
    return "mp3" if mpeg_audio or head[:3] == b"ID3" else None


def decode(file: IO[bytes], ms_max: int) -> Iterator[bytes]:
    """The file's first audio track in the house format, piece by piece. Raises `Unreadable` and `TooLong`."""
    import av

    container = container_of(file.read(HEAD_BYTES))
    file.seek(0)
    if container is None:
        raise Unreadable
    room = ms_max * BYTES_PER_MS
    try:
        with av.open(file, format=container, metadata_errors="ignore") as opened:
            track = opened.streams.audio[0]
            if not _is_known(track.codec_context.codec.canonical_name):
                raise Unreadable
            track.codec_context.thread_type = "NONE"
            resampler = av.AudioResampler(format="s16", layout="mono", rate=HOUSE_RATE)
            for frame in _frames(opened, track):
                for part in resampler.resample(frame):
                    pcm = bytes(part.planes[0])[: part.samples * SAMPLE_BYTES]
                    room -= len(pcm)
                    if room < 0:
                        raise TooLong
                    yield pcm
    except (av.FFmpegError, IndexError, ValueError) as error:
        raise Unreadable from error


def _frames(opened: Any, track: Any) -> Iterator[Any]:
    """Every frame, then None for the resampler's rest. What is damaged is left out; at least one frame is not."""
    import av

    heard = False
    try:
        for packet in opened.demux(track):
            with suppress(av.InvalidDataError):
                for frame in packet.decode():
                    heard = True
                    yield frame
    except av.FFmpegError:  # the file was cut off in the middle of a packet
        if not heard:
            raise
    if not heard:
        raise Unreadable
    yield None


def _is_known(codec: str) -> bool:
    return codec in CODECS or codec.startswith(CODEC_FAMILIES)


def limit(cpu_s: int, memory_bytes: int) -> None:
    """What this process may take, for good."""
    os.nice(NICENESS)
    for what, most in {
        resource.RLIMIT_CPU: cpu_s,
        resource.RLIMIT_AS: memory_bytes,
        resource.RLIMIT_FSIZE: 0,
        resource.RLIMIT_CORE: 0,
    }.items():
        resource.setrlimit(what, (most, most))


def main() -> int:
    ms_max, cpu_s, memory_bytes = map(int, sys.argv[1:])
    limit(cpu_s, memory_bytes)
    try:
        for pcm in decode(sys.stdin.buffer, ms_max):
            sys.stdout.buffer.write(pcm)
        sys.stdout.buffer.flush()
    except Unreadable:
        return UNREADABLE
    except TooLong:
        return TOO_LONG
    return DONE


if __name__ == "__main__":
    sys.exit(main())
