"""baresip, a real telephone, told what to do over its control port."""

import asyncio
import json
import wave
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from tests.speech import HOUSE_RATE_HZ
from tests.transports.sip.booth import free_port, running, until

TONE_HZ = 440
RATE_HZ = 8_000
"""Of G.711."""
SILENCE_S = 60
"""After what is said: longer than any test takes."""
MODULES = Path("/usr/lib/baresip/modules")


class Telephone:
    """One that is running. What it says of its calls is in `events`."""

    def __init__(self, folder: Path, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        self.events: list[str] = []
        self._folder = folder
        self._writer = writer
        self._said = 0
        self._reading = asyncio.create_task(self._read(reader))

    def tell(self, command: str, parameters: str = "") -> None:
        text = json.dumps({"command": command, "params": parameters})
        self._writer.write(f"{len(text)}:{text},".encode())

    async def _read(self, reader: asyncio.StreamReader) -> None:
        while size := (await reader.readuntil(b":"))[:-1]:
            message = json.loads(await reader.readexactly(int(size)))
            await reader.readexactly(1)
            if message.get("event"):
                self.events.append(message["type"])

    def say(self, pcm: bytes) -> None:
        """Says house sound from now on, and is silent after it."""
        self._said += 1
        path = self._folder / f"said-{self._said}.wav"
        every = HOUSE_RATE_HZ // RATE_HZ
        sound = np.frombuffer(pcm, "<i2").astype(float)
        sound = np.convolve(sound, np.ones(every) / every, "same")[::every]
        write_sound(path, np.concatenate((sound, np.zeros(SILENCE_S * RATE_HZ))), RATE_HZ)
        self.tell("ausrc", f"aufile,{path}")

    def heard(self, call: int = 0) -> NDArray[np.float64]:
        """What came out of its loudspeaker in a call, as samples."""
        kept = sorted(self._folder.glob("dump-*-dec.wav"), key=lambda path: path.stat().st_ctime)
        with wave.open(str(kept[call])) as file:
            channels = file.getnchannels()
            return np.frombuffer(file.readframes(file.getnframes()), "<i2").astype(float)[::channels]

    def close(self) -> None:
        self._reading.cancel()
        self._writer.close()


def write_tone(path: Path, rate_hz: int, channels: int) -> None:
    at = np.arange(rate_hz * 20) / rate_hz
    write_sound(path, 8_000 * np.sin(2 * np.pi * TONE_HZ * at), rate_hz, channels)


def write_sound(path: Path, sound: NDArray[np.float64], rate_hz: int, channels: int = 1) -> None:
    with wave.open(str(path), "wb") as file:
        file.setnchannels(channels)
        file.setsampwidth(2)
        file.setframerate(rate_hz)
        file.writeframes(np.repeat(sound.astype("<i2"), channels).tobytes())


@asynccontextmanager
async def telephone(
    folder: Path, codec: str, more: str = "", transport: str = "udp", *, silent: bool = False
) -> AsyncIterator[Telephone]:
    """A telephone that says a tone of 440 Hz in every call, or nothing, and keeps what it hears."""
    control = free_port()
    rate, channels = (48_000, 2) if codec == "opus" else (8_000, 1)
    if silent:
        write_sound(folder / "tone.wav", np.zeros(SILENCE_S * rate), rate, channels)
    else:
        write_tone(folder / "tone.wav", rate, channels)
    modules = ("g711", "opus", "aufile", "sndfile", "srtp", "account", "menu", "ctrl_tcp", "uuid")
    (folder / "config").write_text(
        f"module_path {MODULES}\n"
        + "".join(f"module {name}.so\n" for name in modules)
        + f"audio_source aufile,{folder}/tone.wav\nsnd_path {folder}\nsip_listen 127.0.0.1:0\n"
        + f"ctrl_tcp_listen 127.0.0.1:{control}\nopus_stereo yes\nopus_sprop_stereo yes\n"
    )
    (folder / "accounts").write_text(
        f"<sip:ann@127.0.0.1;transport={transport}>;regint=0;audio_codecs={codec};catchall=yes{more}\n"
    )
    (folder / "contacts").touch()
    async with running("baresip", "-f", str(folder), cwd=folder) as process:
        assert process.stdout is not None
        draining = asyncio.create_task(process.stdout.read())
        reader, writer = await _connected(control)
        phone = Telephone(folder, reader, writer)
        try:
            yield phone
        finally:
            phone.tell("quit")
            phone.close()
            if process.returncode is None:
                process.terminate()
            await process.wait()
            (folder / "baresip.log").write_bytes(await draining)


async def _connected(port: int) -> tuple[asyncio.StreamReader, asyncio.StreamWriter]:
    found: list[tuple[asyncio.StreamReader, asyncio.StreamWriter]] = []

    async def attempt() -> bool:
        try:
            found.append(await asyncio.open_connection("127.0.0.1", port))
        except OSError:
            return False
        return True

    async with asyncio.timeout(10):
        while not await attempt():
            await asyncio.sleep(0.05)
    return found[0]


__all__ = ["TONE_HZ", "Telephone", "telephone", "until"]
