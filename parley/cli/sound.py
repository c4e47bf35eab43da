"""Sound at the command line: files of any kind in, WAV out, a microphone and a loudspeaker where there are some.

Everything is house format (mono PCM16, 24 kHz) once it is here.
"""

import asyncio
import threading
import time
import wave
from collections import deque
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any, Final, Protocol

from parley.audio.pcm import BYTES_PER_MS, HOUSE_RATE, SAMPLE_BYTES
from parley.cli.problem import Problem

CHUNK_MS: Final = 20
CHUNK_BYTES: Final = CHUNK_MS * BYTES_PER_MS
FILE_MS_MAX: Final = 3_600_000
"""An hour, as long as a session can last."""
MIC_CHUNKS_MAX: Final = 250
"""Five seconds of microphone that may wait for a slow connection; then the oldest is dropped."""


def read_sound(path: Path) -> bytes:
    """Any file that PyAV can decode, as house format. Raises `Problem`."""
    import av

    if not path.exists():
        raise Problem(f"There is no file {path}")
    pcm = bytearray()
    try:
        with av.open(str(path)) as container:
            resampler = av.AudioResampler(format="s16", layout="mono", rate=HOUSE_RATE)
            for frame in container.decode(audio=0):
                for part in resampler.resample(frame):
                    pcm += bytes(part.planes[0])[: part.samples * SAMPLE_BYTES]
                if len(pcm) > FILE_MS_MAX * BYTES_PER_MS:
                    raise Problem(f"{path} is longer than an hour", "Cut it into shorter pieces")
            for part in resampler.resample(None):
                pcm += bytes(part.planes[0])[: part.samples * SAMPLE_BYTES]
    except (av.FFmpegError, IndexError) as error:
        raise Problem(f"{path} holds no sound that can be decoded", "Try a WAV, MP3, FLAC, OGG or WebM file") from error
    return bytes(pcm)


def write_wav(path: Path, pcm: bytes) -> None:
    try:
        with path.open("wb") as out, wave.open(out) as file:
            file.setnchannels(1)
            file.setsampwidth(SAMPLE_BYTES)
            file.setframerate(HOUSE_RATE)
            file.writeframes(pcm)
    except OSError as error:
        raise Problem(f"Cannot write {path}: {error.strerror}") from error


async def paced(pcm: bytes) -> AsyncIterator[bytes]:
    """A recording as a microphone would deliver it: `CHUNK_MS` at a time, in real time, then silence for ever."""
    started = time.monotonic()
    silence = bytes(CHUNK_BYTES)
    at = 0
    while True:
        chunk = pcm[at : at + CHUNK_BYTES] if at < len(pcm) else silence
        at += CHUNK_BYTES
        due = started + at / BYTES_PER_MS / 1_000
        await asyncio.sleep(max(0.0, due - time.monotonic()))
        yield chunk + silence[len(chunk) :]


def sound_device() -> Any:
    """The `sounddevice` module. Raises `Problem` when it, or PortAudio under it, is missing."""
    try:
        import sounddevice
    except ImportError as error:
        raise Problem(
            "No microphone support is installed",
            "Install it with: pip install sounddevice, or send a recording: parley talk --wav FILE",
        ) from error
    except OSError as error:
        raise Problem(
            "The PortAudio library is missing",
            "Debian, Ubuntu: apt install libportaudio2; or send a recording: parley talk --wav FILE",
        ) from error
    return sounddevice


@asynccontextmanager
async def microphone() -> AsyncIterator[AsyncIterator[bytes]]:
    """What the default microphone hears, `CHUNK_MS` at a time. Raises `Problem` when there is none."""
    device = sound_device()
    loop = asyncio.get_running_loop()
    heard: asyncio.Queue[bytes] = asyncio.Queue(MIC_CHUNKS_MAX)

    def keep(chunk: bytes) -> None:
        if heard.full():
            heard.get_nowait()
        heard.put_nowait(chunk)

    def callback(data: Any, _frames: int, _time: Any, _status: Any) -> None:
        loop.call_soon_threadsafe(keep, bytes(data))

    async def chunks() -> AsyncIterator[bytes]:
        while True:
            yield await heard.get()

    try:
        stream = device.RawInputStream(
            samplerate=HOUSE_RATE, channels=1, dtype="int16", blocksize=CHUNK_BYTES // SAMPLE_BYTES, callback=callback
        )
    except device.PortAudioError as error:
        raise Problem(
            f"The microphone cannot be opened: {error}", "Send a recording: parley talk --wav FILE"
        ) from error
    with stream:
        yield chunks()


class Speaker(Protocol):
    """Where answers are heard. A listener who interrupts has heard only the part that was played."""

    def play(self, item_id: str, pcm: bytes) -> None: ...

    def interrupt(self) -> tuple[str, int] | None:
        """Stops at once. Returns the item that was being played and the milliseconds of it that were heard, if any."""
        ...

    def left_s(self) -> float:
        """Seconds until everything so far has been played."""
        ...


class QuietSpeaker:
    """Plays to nobody. `paced`: in real time, so that interruptions fall where a listener would have made them."""

    def __init__(self, *, paced: bool) -> None:
        self._paced = paced
        self.heard = bytearray()
        """All that a listener has heard or will hear."""
        self._item = ""
        self._item_from = 0
        self._ends_at = 0.0

    def play(self, item_id: str, pcm: bytes) -> None:
        if item_id != self._item:
            self._item, self._item_from = item_id, len(self.heard)
        self.heard += pcm
        if self._paced:
            self._ends_at = max(self._ends_at, time.monotonic()) + len(pcm) / BYTES_PER_MS / 1_000

    def interrupt(self) -> tuple[str, int] | None:
        unheard = min(int(self.left_s() * 1_000) * BYTES_PER_MS, len(self.heard) - self._item_from)
        self._ends_at = 0.0
        if not unheard:
            return None
        del self.heard[-unheard:]
        return self._item, (len(self.heard) - self._item_from) // BYTES_PER_MS

    def left_s(self) -> float:
        return max(0.0, self._ends_at - time.monotonic())


class LoudSpeaker:
    """The default output device."""

    def __init__(self) -> None:
        device = sound_device()
        self._lock = threading.Lock()
        self._waiting: deque[tuple[str, bytes]] = deque()
        self._playing = ""
        self._played: dict[str, int] = {}
        try:
            self._stream = device.RawOutputStream(
                samplerate=HOUSE_RATE,
                channels=1,
                dtype="int16",
                blocksize=CHUNK_BYTES // SAMPLE_BYTES,
                callback=self._fill,
            )
            self._stream.start()
        except device.PortAudioError as error:
            raise Problem(f"The loudspeaker cannot be opened: {error}", "Save the answer: --out reply.wav") from error

    def play(self, item_id: str, pcm: bytes) -> None:
        with self._lock:
            self._waiting.append((item_id, pcm))

    def interrupt(self) -> tuple[str, int] | None:
        with self._lock:
            if not self._waiting:
                return None
            self._waiting.clear()
            return self._playing, self._played.get(self._playing, 0) // BYTES_PER_MS

    def left_s(self) -> float:
        with self._lock:
            return sum(len(pcm) for _, pcm in self._waiting) / BYTES_PER_MS / 1_000

    def _fill(self, out: Any, _frames: int, _time: Any, _status: Any) -> None:
        """Called by PortAudio on its own thread for the next `CHUNK_MS`."""
        room = len(out)
        chunk = bytearray()
        with self._lock:
            while self._waiting and len(chunk) < room:
                item_id, pcm = self._waiting.popleft()
                take = pcm[: room - len(chunk)]
                chunk += take
                self._playing = item_id
                self._played[item_id] = self._played.get(item_id, 0) + len(take)
                if len(take) < len(pcm):
                    self._waiting.appendleft((item_id, pcm[len(take) :]))
        out[:] = bytes(chunk).ljust(room, b"\0")
