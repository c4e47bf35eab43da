"""The output buffer that the server manages: sound that a transport plays by itself (WebRTC, SIP; protocol.md 7.4).

    (first sound) --> started --> playing --(all of it played)--> stopped
                                     |
                                     +------(user speaks, or clear)--> cleared

The transport says how far it is (`Played`); on `output_audio_buffer.cleared` it falls silent at once. What was not
played leaves the message, word by word, exactly as when a WebSocket client truncates it.
"""

from typing import Protocol

from parley.core.events import (
    AnyServerEvent,
    ItemTruncated,
    OutputAudioBufferCleared,
    OutputAudioBufferStarted,
    OutputAudioBufferStopped,
)
from parley.core.inputs import Played


class Sound(Protocol):
    @property
    def ms(self) -> int:
        """How long it is so far."""
        ...


class Spoken(Protocol):
    """A message with sound: an `Entry` of a conversation, or what a relay knows of one."""

    @property
    def id(self) -> str: ...
    @property
    def sound(self) -> Sound | None: ...

    def truncate(self, end_ms: int) -> None:
        """Only so much of it was heard."""
        ...


class _Buffered:
    """The sound of one response: its messages in order, and how much of it was played."""

    def __init__(self) -> None:
        self.entries: list[Spoken] = []
        self.played_ms = 0

    def cut(self) -> list[tuple[Spoken, int]]:
        """Each message that was not played to its end, and where in it the sound stopped."""
        cuts, start = [], 0
        for entry in self.entries:
            assert entry.sound is not None
            length = entry.sound.ms
            if self.played_ms < start + length:
                cuts.append((entry, max(0, self.played_ms - start)))
            start += length
        return cuts


class Playback:
    def __init__(self) -> None:
        self._buffered: dict[str, _Buffered] = {}

    @property
    def silent(self) -> bool:
        return not self._buffered

    def sound(self, response_id: str, entry: Spoken) -> list[AnyServerEvent]:
        """Sound of a response is on its way to the transport."""
        buffered = self._buffered.get(response_id)
        events: list[AnyServerEvent] = []
        if buffered is None:
            buffered = self._buffered[response_id] = _Buffered()
            events.append(OutputAudioBufferStarted(response_id=response_id))
        if entry not in buffered.entries:
            buffered.entries.append(entry)
        return events

    def played(self, played: Played) -> list[AnyServerEvent]:
        """The transport is this far. Late news of a cleared response is dropped."""
        buffered = self._buffered.get(played.response_id)
        if buffered is None:
            return []
        buffered.played_ms = max(buffered.played_ms, played.played_ms)
        if not played.done:
            return []
        del self._buffered[played.response_id]
        return [OutputAudioBufferStopped(response_id=played.response_id)]

    def clear(self) -> tuple[list[OutputAudioBufferCleared], list[ItemTruncated]]:
        """Silence. Returns what to say at once, and what to say when interrupted responses have ended."""
        cleared: list[OutputAudioBufferCleared] = []
        truncated: list[ItemTruncated] = []
        for response_id, buffered in self._buffered.items():
            cleared.append(OutputAudioBufferCleared(response_id=response_id))
            for entry, end_ms in buffered.cut():
                entry.truncate(end_ms)
                truncated.append(ItemTruncated(item_id=entry.id, content_index=0, audio_end_ms=end_ms))
        self._buffered.clear()
        return cleared, truncated
