"""SVOX Pico (Apache-2.0) through its C interface, `picoapi.h`. Blocking; call it from a worker thread.

The wheel `ttspico` builds the library as the extension module `ctts`, which exports the whole interface. Its own
wrapper is not used: it leaks every byte that it returns, and hands sound over late. Debian's `libttspico0` is the same
library.
"""

import ctypes
import importlib.metadata
import importlib.util
import os
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Final, NamedTuple

MEMORY_BYTES: Final = 3 * 2**20
"""One engine with one language fits; measured, the interface gives no figure."""
TEXT_BYTES_MAX: Final = 30_000
"""Lengths in the interface are 16-bit and signed."""
SOUND_BYTES: Final = 1_024
"""More than one step ever gives (64 bytes)."""
NAME_BYTES: Final = 64
RATE_HZ: Final = 16_000

OK: Final = 0
STEP_IDLE: Final = 200
STEP_BUSY: Final = 201
RESET_SOFT: Final = 0x10

LINGWARE: Final = {"en-US": ("en-US_ta.bin", "en-US_lh0_sg.bin"), "en-GB": ("en-GB_ta.bin", "en-GB_kh0_sg.bin")}
"""Text analysis and signal generation, by language."""
DEBIAN_LIBRARY: Final = "libttspico.so.0"
DEBIAN_LINGWARE: Final = Path("/usr/share/pico/lang")

_HANDLE: Final = ctypes.c_void_p
_HANDLE_OUT: Final = ctypes.POINTER(ctypes.c_void_p)
_SIZE_OUT: Final = ctypes.POINTER(ctypes.c_int16)
_SIGNATURES: Final[dict[str, tuple[object, ...]]] = {
    "pico_initialize": (_HANDLE, ctypes.c_uint32, _HANDLE_OUT),
    "pico_terminate": (_HANDLE_OUT,),
    "pico_loadResource": (_HANDLE, ctypes.c_char_p, _HANDLE_OUT),
    "pico_getResourceName": (_HANDLE, _HANDLE, ctypes.c_char_p),
    "pico_createVoiceDefinition": (_HANDLE, ctypes.c_char_p),
    "pico_addResourceToVoiceDefinition": (_HANDLE, ctypes.c_char_p, ctypes.c_char_p),
    "pico_newEngine": (_HANDLE, ctypes.c_char_p, _HANDLE_OUT),
    "pico_disposeEngine": (_HANDLE, _HANDLE_OUT),
    "pico_putTextUtf8": (_HANDLE, ctypes.c_char_p, ctypes.c_int16, _SIZE_OUT),
    "pico_getData": (_HANDLE, _HANDLE, ctypes.c_int16, _SIZE_OUT, _SIZE_OUT),
    "pico_resetEngine": (_HANDLE, ctypes.c_int32),
}


class PicoError(Exception):
    """The library answered with an error status."""


class PicoFiles(NamedTuple):
    """Where the shared library and the folder of its language files are."""

    library: str
    lingware: Path


def find_pico() -> PicoFiles | None:
    """The installed library: that of the wheel, else Debian's, else None."""
    module = importlib.util.find_spec("ctts")
    if module is not None and module.origin:
        for lingware in _wheel_lingware(Path(module.origin)):
            if _complete(lingware):
                return PicoFiles(module.origin, lingware)
    if _complete(DEBIAN_LINGWARE):
        try:
            ctypes.CDLL(DEBIAN_LIBRARY)
        except OSError:
            return None
        return PicoFiles(DEBIAN_LIBRARY, DEBIAN_LINGWARE)
    return None


def _wheel_lingware(module: Path) -> Iterator[Path]:
    """Where `languages` may be: installers put a wheel's data files under the prefix, whatever that is."""
    yield Path(sys.prefix) / "languages"
    yield module.parent / "languages"
    try:
        files = importlib.metadata.files("ttspico") or ()
    except importlib.metadata.PackageNotFoundError:
        return
    yield from (Path(os.path.abspath(file.locate())).parent for file in files if file.name == LINGWARE["en-US"][0])


def _complete(folder: Path) -> bool:
    return all((folder / name).is_file() for names in LINGWARE.values() for name in names)


class PicoEngine:
    """One engine with one language: one utterance at a time. Costs 3.4 MiB and 5 ms to make."""

    def __init__(self, files: PicoFiles, language: str) -> None:
        self._library = _library(files.library)
        self._memory = ctypes.create_string_buffer(MEMORY_BYTES)
        self._system = ctypes.c_void_p()
        self._engine = ctypes.c_void_p()
        self._sound = ctypes.create_string_buffer(SOUND_BYTES)
        self._call("pico_initialize", self._memory, MEMORY_BYTES, ctypes.byref(self._system))
        self._call("pico_createVoiceDefinition", self._system, b"voice")
        for name in LINGWARE[language]:
            self._add(files.lingware / name)
        self._call("pico_newEngine", self._system, b"voice", ctypes.byref(self._engine))

    def speak(self, markup: str) -> Iterator[bytes]:
        """Yields the sound (mono PCM16, 16 kHz) in steps of about 2 ms; b"" for a step without sound.

        Call `reset` before the next utterance unless this one was taken to its end. Raises `PicoError`.
        """
        text = markup.encode() + b"\0"  # the zero says that the text is complete
        taken = ctypes.c_int16()
        while text:
            piece = text[:TEXT_BYTES_MAX]
            self._call("pico_putTextUtf8", self._engine, piece, len(piece), ctypes.byref(taken))
            text = text[taken.value :]
            yield from self._sound_so_far()

    def reset(self) -> None:
        """Forgets an unfinished utterance."""
        self._call("pico_resetEngine", self._engine, RESET_SOFT)

    def close(self) -> None:
        """Frees everything. The engine is then of no use."""
        self._library.pico_disposeEngine(self._system, ctypes.byref(self._engine))
        self._library.pico_terminate(ctypes.byref(self._system))

    def _sound_so_far(self) -> Iterator[bytes]:
        size, kind = ctypes.c_int16(), ctypes.c_int16()
        status = STEP_BUSY
        while status == STEP_BUSY:
            status = self._library.pico_getData(
                self._engine, self._sound, SOUND_BYTES, ctypes.byref(size), ctypes.byref(kind)
            )
            yield ctypes.string_at(self._sound, size.value)
        if status != STEP_IDLE:
            raise PicoError(f"pico_getData: {status}")

    def _add(self, file: Path) -> None:
        resource, name = ctypes.c_void_p(), ctypes.create_string_buffer(NAME_BYTES)
        self._call("pico_loadResource", self._system, str(file).encode(), ctypes.byref(resource))
        self._call("pico_getResourceName", self._system, resource, name)
        self._call("pico_addResourceToVoiceDefinition", self._system, b"voice", name.value)

    def _call(self, function: str, *arguments: object) -> None:
        status = getattr(self._library, function)(*arguments)
        if status != OK:
            raise PicoError(f"{function}: {status}")


def _library(path: str) -> ctypes.CDLL:
    library = ctypes.CDLL(path)
    for function, parameters in _SIGNATURES.items():
        getattr(library, function).argtypes = parameters
        getattr(library, function).restype = ctypes.c_int32
    return library
