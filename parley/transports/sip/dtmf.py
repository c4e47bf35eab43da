"""Keys of a telephone: as events among the RTP packets (RFC 4733), and in INFO. Pure.

Listener of keys:  event packets --> one key each time it is pressed
Keypad:            keys --> event packets in place of silence, one for each slice that goes out
"""

import re
import struct
from collections import deque
from typing import Final, NamedTuple

from parley.transports.rtc import rtp
from parley.transports.rtc.rtp import Packet

KEYS: Final = "0123456789*#ABCD"
"""By event number."""
VOLUME: Final = 10
"""-10 dBm0."""
PRESS_SLICES: Final = 8
"""160 ms: longer than any exchange needs."""
PAUSE_SLICES: Final = 5
ENDS: Final = 3
"""The end of an event is said so often (RFC 4733 2.5.1.4)."""
KEYS_MAX: Final = 64
"""Keys that wait to be pressed, or are remembered."""
SAME_KEY_S: Final = 0.5
"""How far apart the two ways of one press may be."""

_EVENT = struct.Struct("!BBH")
_SIGNAL = re.compile(r"\s*Signal\s*=\s*([0-9*#A-Da-d]|1[0-5])\s*", re.IGNORECASE)


class Pressed:
    """Hears keys. Each is told once, when it begins: packets of one press share a timestamp."""

    def __init__(self) -> None:
        self._last: tuple[int, int, int] | None = None

    def take(self, packet: Packet) -> str | None:
        """The key that has just been pressed, if one has."""
        if len(packet.payload) < _EVENT.size:
            return None
        event = packet.payload[0]
        press = (packet.ssrc, packet.timestamp, event)
        if event >= len(KEYS) or press == self._last or self._older(packet):
            return None
        self._last = press
        return KEYS[event]

    def _older(self, packet: Packet) -> bool:
        """A late packet of an earlier press."""
        if self._last is None or self._last[0] != packet.ssrc:
            return False
        return (packet.timestamp - self._last[1]) % rtp.TIMESTAMPS >= rtp.TIMESTAMPS // 2


def key_in(body: bytes) -> str | None:
    """Of an INFO, `application/dtmf-relay` or `application/dtmf`."""
    text = body.decode("utf-8", "replace").strip()
    found = next((match for line in text.splitlines() if (match := _SIGNAL.fullmatch(line))), None)
    said = found[1].upper() if found is not None else text.upper()
    if said.isdecimal() and len(said) == 2 and said.isascii() and int(said) < len(KEYS):
        return KEYS[int(said)]
    return said if len(said) == 1 and said in KEYS else None


class _Press(NamedTuple):
    event: int
    timestamp: int
    sent: int
    """Packets so far."""


class Once:
    """Telephones may send a key both as RTP event and in INFO, and mean it once. Time is given."""

    def __init__(self) -> None:
        self._told: deque[tuple[str, str, float]] = deque(maxlen=KEYS_MAX)

    def new(self, key: str, way: str, now: float) -> bool:
        """Whether it has not come by the other way just now."""
        for told in self._told:
            if told[0] == key and told[1] != way and now - told[2] < SAME_KEY_S:
                self._told.remove(told)
                return False
        self._told.append((key, way, now))
        return True


class Keypad:
    """Presses keys. Its packets take the place, the number and the source of those that sound would have had."""

    def __init__(self, payload_type: int, ticks: int) -> None:
        """`ticks`: how long a slice is in the clock of the sound, which is that of its timestamps."""
        self._payload_type = payload_type
        self._ticks = ticks
        self._waiting: deque[str] = deque()
        self._press: _Press | None = None
        self._pause = 0

    @property
    def busy(self) -> bool:
        return bool(self._waiting) or self._press is not None

    def press(self, keys: str) -> bool:
        """False when there are too many, or one is none."""
        fits = len(self._waiting) + len(keys) <= KEYS_MAX and all(key in KEYS for key in keys.upper())
        if fits:
            self._waiting.extend(keys.upper())
        return fits

    def turn(self, packet: bytes) -> bytes:
        """The packet to send in place of `packet`, which is a slice of sound."""
        if self._press is None and self._waiting and not self._pause:
            sound = rtp.read(packet)
            assert sound is not None
            self._press = _Press(KEYS.index(self._waiting.popleft()), sound.timestamp, 0)
        if self._press is None:
            self._pause = max(0, self._pause - 1)
            return packet
        return self._pressed(packet, self._press)

    def _pressed(self, packet: bytes, press: _Press) -> bytes:
        sound = rtp.read(packet)
        assert sound is not None
        sent = press.sent + 1
        over = sent > PRESS_SLICES
        duration = min(sent, PRESS_SLICES) * self._ticks
        payload = _EVENT.pack(press.event, VOLUME | (0x80 if over else 0), min(duration, 0xFFFF))
        self._press = press._replace(sent=sent)
        if sent == PRESS_SLICES + ENDS:
            self._press, self._pause = None, PAUSE_SLICES
        said = Packet(self._payload_type, sound.sequence, press.timestamp, sound.ssrc, payload)
        return rtp.write(said, marker=sent == 1)
