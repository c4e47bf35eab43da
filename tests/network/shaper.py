"""A bad network between two namespaces of this machine, made of two TUN devices and a thread that carries packets.

    client's namespace -- tun --> Shaper: loses, delays, reorders --> tun -- server's namespace

The kernel's own tool for this (tc netem) is missing from many kernels, and its chances cannot be told. Only UDP is
shaped: TCP repairs itself, and what is tested is what nobody repairs but us. A thread enters a namespace with `inside`;
sockets and processes that it makes there stay there. Wants root.
"""

import ctypes
import fcntl
import heapq
import ipaddress
import os
import random
import selectors
import struct
import subprocess
import threading
import time
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from typing import Final, NamedTuple

SERVER: Final = "10.99.7.1"
CLIENT: Final = "10.99.7.2"
ELSEWHERE: Final = "10.99.7.3"
"""Where the client seems to be after `Shaper.rebind`, and where it may move to."""
PREFIX: Final = 24
PACKET_BYTES_MAX: Final = 2_048
NETWORK_NAMESPACE: Final = 0x4000_0000
SET_INTERFACE: Final = 0x4004_54CA
TUN_WITHOUT_HEADER: Final = 0x0001 | 0x1000
UDP: Final = 17
QUEUED_MAX: Final = 10_000


class Weather(NamedTuple):
    """What happens to every packet, each way. A packet takes `delay_ms`, give or take `jitter_ms`, and may overtake."""

    loss: float = 0.0
    delay_ms: float = 0.0
    jitter_ms: float = 0.0


class Packets(NamedTuple):
    """How many there were of UDP, and how many of them were lost on purpose."""

    seen: int
    lost: int


class _Way:
    """One direction: from one device to the other, with chances of its own."""

    def __init__(self, source: int, target: int, seed: int) -> None:
        self.source = source
        self.target = target
        self.chance = random.Random(seed)
        self.seen = 0
        self.lost = 0


class Shaper:
    """Carries packets between two devices until it is closed. The same seed loses the same packets."""

    def __init__(self, server: int, client: int, seed: int = 1) -> None:
        self.weather = Weather()
        self._up = _Way(client, server, seed)
        self._down = _Way(server, client, seed + 1)
        self._mapped = CLIENT
        self._waiting: list[tuple[float, int, int, bytes]] = []
        self._queued = 0
        self._closed = threading.Event()
        self._thread = threading.Thread(target=self._run, daemon=True)
        self._thread.start()

    @property
    def up(self) -> Packets:
        """From the client."""
        return Packets(self._up.seen, self._up.lost)

    @property
    def down(self) -> Packets:
        return Packets(self._down.seen, self._down.lost)

    def rebind(self) -> None:
        """The client's router forgets it: from now on its UDP comes from another address, and the old one is dead."""
        self._mapped = ELSEWHERE

    def reset(self) -> None:
        self.weather, self._mapped = Weather(), CLIENT

    def close(self) -> None:
        self._closed.set()
        self._thread.join()

    def _run(self) -> None:
        with selectors.DefaultSelector() as selector:
            for way in (self._up, self._down):
                selector.register(way.source, selectors.EVENT_READ, way)
            while not self._closed.is_set():
                pause = self._waiting[0][0] - time.monotonic() if self._waiting else 0.1
                for key, _ in selector.select(max(0.0, min(0.1, pause))):
                    self._take(key.data)
                self._release(time.monotonic())

    def _take(self, way: _Way) -> None:
        packet = os.read(way.source, PACKET_BYTES_MAX)
        if packet[0] >> 4 != 4:
            return
        if packet[9] != UDP:
            os.write(way.target, packet)
            return
        translated = self._translated(packet, way)
        if translated is None:
            return
        weather = self.weather
        way.seen += 1
        if way.chance.random() < weather.loss or len(self._waiting) >= QUEUED_MAX:
            way.lost += 1
            return
        late_ms = weather.delay_ms + weather.jitter_ms * way.chance.uniform(-1, 1)
        self._queued += 1
        heapq.heappush(self._waiting, (time.monotonic() + late_ms / 1_000, self._queued, way.target, translated))

    def _translated(self, packet: bytes, way: _Way) -> bytes | None:
        """The packet as it leaves the client's router; None where it has no mapping for it."""
        source, target = (str(ipaddress.IPv4Address(packet[at : at + 4])) for at in (12, 16))
        if way is self._up and source == CLIENT != self._mapped:
            return readdressed(packet, source=self._mapped)
        if way is self._down and self._mapped != CLIENT:
            return readdressed(packet, target=CLIENT) if target == self._mapped else None
        return packet

    def _release(self, now: float) -> None:
        while self._waiting and self._waiting[0][0] <= now:
            _, _, target, packet = heapq.heappop(self._waiting)
            os.write(target, packet)


def readdressed(packet: bytes, *, source: str | None = None, target: str | None = None) -> bytes:
    """An IPv4 packet with UDP inside from or to another address. Its UDP has no checksum, which IPv4 allows."""
    size = (packet[0] & 15) * 4
    header = bytearray(packet[:size])
    if source is not None:
        header[12:16] = ipaddress.IPv4Address(source).packed
    if target is not None:
        header[16:20] = ipaddress.IPv4Address(target).packed
    header[10:12] = b"\0\0"
    total = sum(struct.unpack(f"!{size // 2}H", header))
    while total >> 16:
        total = (total & 0xFFFF) + (total >> 16)
    header[10:12] = struct.pack("!H", total ^ 0xFFFF)
    return bytes(header) + packet[size : size + 6] + b"\0\0" + packet[size + 8 :]


class Net(NamedTuple):
    """Two namespaces by name, and what lies between them."""

    server: str
    client: str
    shaper: Shaper


class NoNamespaces(Exception):
    """Why none can be made here."""


@contextmanager
def network() -> Iterator[Net]:
    """Raises `NoNamespaces`."""
    if os.geteuid() != 0:
        raise NoNamespaces("only root may make network namespaces")
    with ExitStack() as stack:
        server, client = (stack.enter_context(_namespace(f"parley-{os.getpid()}-{side}")) for side in ("one", "two"))
        devices = stack.enter_context(_device(server, SERVER)), stack.enter_context(_device(client, CLIENT))
        shaper = Shaper(*devices)
        stack.callback(shaper.close)
        yield Net(server, client, shaper)


@contextmanager
def _namespace(name: str) -> Iterator[str]:
    try:
        subprocess.run(["ip", "netns", "add", name], check=True, capture_output=True, text=True)
    except (OSError, subprocess.CalledProcessError) as error:
        raise NoNamespaces(f"network namespaces cannot be made: {getattr(error, 'stderr', '') or error}") from error
    try:
        yield name
    finally:
        subprocess.run(["ip", "netns", "delete", name], check=True)


@contextmanager
def _device(namespace: str, address: str) -> Iterator[int]:
    """A TUN device with this address, as a file of IP packets."""
    with inside(namespace):
        try:
            file = os.open("/dev/net/tun", os.O_RDWR)
        except OSError as error:
            raise NoNamespaces(f"no TUN devices: {error}") from error
        try:
            fcntl.ioctl(file, SET_INTERFACE, struct.pack("16sH22x", b"tun0", TUN_WITHOUT_HEADER))
            for command in ("link set lo up", "link set tun0 up", f"address add {address}/{PREFIX} dev tun0"):
                ip(command)
        except OSError as error:
            os.close(file)
            raise NoNamespaces(f"no TUN device could be set up: {error}") from error
    try:
        yield file
    finally:
        os.close(file)


def ip(command: str) -> None:
    """In the namespace of this thread."""
    subprocess.run(["ip", *command.split()], check=True)


@contextmanager
def inside(namespace: str) -> Iterator[None]:
    """This thread, and what it starts, is in that namespace."""
    with open("/proc/thread-self/ns/net") as before, open(f"/run/netns/{namespace}") as there:
        _enter(there.fileno())
        try:
            yield
        finally:
            _enter(before.fileno())


def _enter(namespace: int) -> None:
    library = ctypes.CDLL(None, use_errno=True)
    if library.setns(namespace, NETWORK_NAMESPACE):
        raise OSError(ctypes.get_errno(), "setns")
