"""What a call says on its events channel: in order, in the call's dialect, in few messages, none of them too long.

A message costs 0.4 ms of CPU and a browser takes 262,144 bytes of it. So deltas of text that come faster than
`MERGE_S` are said together, and an event that is too long loses what is longest in it: sound and images that the client
has anyway, then the ends of long strings. Before the channel is open events wait, within `WAITING_BYTES_MAX`.
"""

import secrets
from collections.abc import Callable
from typing import Any, Final

import msgspec
from msgspec import UNSET

from parley.core.events import (
    AnyServerEvent,
    FunctionCallArgumentsDelta,
    OutputAudioTranscriptDelta,
    OutputTextDelta,
    TranscriptionDelta,
)
from parley.core.relayed import Body
from parley.dialects.base import Dialect
from parley.dialects.relay import SPELLINGS

MERGE_S: Final = 0.1
"""Deltas are said at most ten times a second."""
WAITING_BYTES_MAX: Final = 1 << 20
"""What waits for a channel that is not open. A client that never opens it has no use for more, and gets none."""
HEAVY: Final = ("audio", "image_url", "delta")
"""Keys that are left out of a message that is too long, if their value is long."""
HEAVY_CHARS: Final = 4_096
CUTS: Final = (16_384, 4_096, 1_024, 256)
"""To how many characters the strings of a message are cut, one after the other until it fits."""
ELLIPSIS: Final = "…"

Delta = OutputTextDelta | OutputAudioTranscriptDelta | FunctionCallArgumentsDelta | TranscriptionDelta
_DELTAS: Final = (OutputTextDelta, OutputAudioTranscriptDelta, FunctionCallArgumentsDelta, TranscriptionDelta)
DELTA_KINDS: Final = frozenset(str(kind.__struct_config__.tag) for kind in _DELTAS)


class Events:
    """The writing side of one channel. `send` takes a message once `open` was called."""

    def __init__(self, dialect: Dialect, bytes_max: int, send: Callable[[str], None]) -> None:
        """`bytes_max`: what the client takes as one message; 0: it offered no channel, and everything is dropped."""
        self._dialect = dialect
        self._bytes_max = bytes_max
        self._send = send
        self._open = False
        self._waiting: list[bytes] | None = [] if bytes_max else None
        """Before the channel is open; None: given up."""
        self._waiting_bytes = 0
        self._spelling = SPELLINGS[dialect.name]
        self._pending: dict[tuple[object, ...], Delta | Body] = {}
        self._said_delta_at = float("-inf")
        self._event_id = f"event_{secrets.token_hex(5)}_"
        self._sent = 0

    def open(self) -> None:
        """The channel is open: what waited goes first."""
        self._open = True
        waiting, self._waiting = self._waiting, None
        for message in waiting or ():
            self._send(message.decode())

    def say(self, event: AnyServerEvent, now: float) -> None:
        if isinstance(event, _DELTAS) and not _has_logprobs(event):
            self._merge(event, now)
        else:
            self.flush()
            self._write(event)

    def pass_on(self, event: Body, now: float) -> None:
        """An event of an upstream, GA spelling."""
        if event.get("type") in DELTA_KINDS and isinstance(event.get("delta"), str) and not event.get("logprobs"):
            self._merge(event, now)
        else:
            self.flush()
            self._write(event)

    def beat(self, now: float) -> None:
        """Says deltas whose time has come. To be called often."""
        if self._pending and now - self._said_delta_at >= MERGE_S:
            self._said_delta_at = now
            self.flush()

    def flush(self) -> None:
        """Says deltas that were held back."""
        pending, self._pending = self._pending, {}
        for event in pending.values():
            self._write(event)

    def _merge(self, event: Delta | Body, now: float) -> None:
        if not self._pending and now - self._said_delta_at >= MERGE_S:
            self._said_delta_at = now
            self._write(event)
            return
        key = _place(event)
        before = self._pending.get(key)
        self._pending[key] = event if before is None else _joined(before, event)

    def _write(self, event: AnyServerEvent | Body) -> None:
        if not self._open and self._waiting is None:
            return
        self._sent += 1
        for message in self._spelled(event):
            fitting = message if len(message) <= self._bytes_max else shortened(message, self._bytes_max)
            if self._open:
                self._send(fitting.decode())
            else:
                self._wait(fitting)

    def _spelled(self, event: AnyServerEvent | Body) -> tuple[bytes, ...]:
        if isinstance(event, dict):
            return self._spelling.write_server(event)
        return self._dialect.encode(event, f"{self._event_id}{self._sent:x}")

    def _wait(self, message: bytes) -> None:
        if self._waiting is None:
            return
        self._waiting_bytes += len(message)
        self._waiting.append(message)
        if self._waiting_bytes > WAITING_BYTES_MAX:
            self._waiting = None


def _place(event: Delta | Body) -> tuple[object, ...]:
    """To what a delta belongs."""
    if isinstance(event, dict):
        return event["type"], event.get("item_id"), event.get("content_index")
    return type(event), event.item_id, getattr(event, "content_index", None)


def _joined(before: Delta | Body, event: Delta | Body) -> Delta | Body:
    """Two deltas of the same place, as one."""
    if isinstance(event, dict):
        assert isinstance(before, dict)
        return {**event, "delta": before["delta"] + event["delta"]}
    assert not isinstance(before, dict)
    return msgspec.structs.replace(event, delta=before.delta + event.delta)


def _has_logprobs(event: Delta) -> bool:
    return isinstance(event, TranscriptionDelta) and event.logprobs not in (UNSET, None)


def shortened(message: bytes, bytes_max: int) -> bytes:
    """The same event in at most `bytes_max` bytes, and still valid JSON."""
    event = msgspec.json.decode(message)
    event = _lightened(event)
    for chars in CUTS:
        written = msgspec.json.encode(event)
        if len(written) <= bytes_max:
            return written
        event = _cut(event, chars)
    written = msgspec.json.encode(event)
    if len(written) <= bytes_max:
        return written
    return msgspec.json.encode({key: event[key] for key in ("type", "event_id") if key in event})


def _lightened(value: Any) -> Any:
    if isinstance(value, dict):
        return {key: _lightened(inner) for key, inner in value.items() if not (key in HEAVY and _is_long(inner))}
    return [_lightened(inner) for inner in value] if isinstance(value, list) else value


def _is_long(value: Any) -> bool:
    return isinstance(value, str) and len(value) > HEAVY_CHARS


def _cut(value: Any, chars: int) -> Any:
    if isinstance(value, str):
        return value if len(value) <= chars else value[: chars - 1] + ELLIPSIS
    if isinstance(value, dict):
        return {key: _cut(inner, chars) for key, inner in value.items()}
    return [_cut(inner, chars) for inner in value] if isinstance(value, list) else value
