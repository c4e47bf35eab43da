"""What was said in a session, by whom, and when: its transcript, written from the events that the session says.

Positions are milliseconds on the axis of `timeline`. Of an answer that was cut off, what was heard stands beside what
was said. Items that a client deletes leave the conversation, yet they were said: they stay.
"""

from typing import Final, Literal

import msgspec

from parley.core.events import (
    AnyServerEvent,
    FunctionCallArgumentsDone,
    InputAudioBufferCleared,
    InputAudioBufferCommitted,
    ItemAdded,
    ItemTruncated,
    OutputAudioDelta,
    OutputAudioTranscriptDelta,
    OutputItemAdded,
    OutputTextDelta,
    ResponseDone,
    SpeechStarted,
    SpeechStopped,
    TranscriptionCompleted,
    TranscriptionFailed,
)
from parley.core.items import FunctionCallOutput, InputText, Message
from parley.core.output_audio import OutputAudio
from parley.live.timeline import RATE_HZ, Timeline

LINES_MAX: Final = 2_000
"""As many as a conversation may have items."""
CHARS_MAX: Final = 1_000_000
"""Of a session. What is said later is not written down."""

Role = Literal["user", "assistant", "tool"]


class Line(msgspec.Struct, omit_defaults=True):
    """One item. `start_ms` is None as long as it is not known when it begins to be heard."""

    id: str
    role: Role
    start_ms: int | None = None
    end_ms: int | None = None
    text: str = ""
    spoken: bool = False
    heard: str | None = None
    """Of an answer that was cut off: the words that were heard."""
    failed: bool = False
    """Speech that could not be put into words."""
    name: str = ""
    """Of the function that was called; `text` has its arguments …"""
    output: str = ""
    """… and this its answer."""


class Minutes:
    """Growing. `lines` are in the order in which they began."""

    def __init__(self, timeline: Timeline) -> None:
        self.lines: list[Line] = []
        self.incomplete = False
        """More was said than is written down."""
        self._timeline = timeline
        self._by_id: dict[str, Line] = {}
        self._chars = 0
        self._sounds: dict[str, OutputAudio] = {}
        """Of the answers that may still be cut off."""
        self._calls: dict[str, Line] = {}
        self._unheard_from: int | None = None
        """Where the sound begins that is not committed yet."""

    def hears(self) -> None:
        """Sound of the user came in, before the timeline was told."""
        if self._unheard_from is None:
            self._unheard_from = self._timeline.user_end

    def note(self, event: AnyServerEvent, now: float) -> None:
        self._note_user(event, now)
        self._note_assistant(event, now)
        self._note_tools(event, now)

    def plays(self, item: str, at: int, samples: int) -> None:
        """Sound of an answer begins to be heard there."""
        line = self._line(item, "assistant", spoken=True)
        if line.start_ms is None:
            line.start_ms = _ms(at)
        line.end_ms = _ms(at + samples)

    # ---- inside

    def _note_user(self, event: AnyServerEvent, now: float) -> None:
        match event:
            case SpeechStarted():
                line = self._line(event.item_id, "user", spoken=True)
                line.start_ms = _ms(self._timeline.of_input(event.audio_start_ms))
            case SpeechStopped():
                line = self._line(event.item_id, "user", spoken=True)
                line.end_ms = _ms(self._timeline.of_input(event.audio_end_ms))
            case InputAudioBufferCommitted():
                self._commit(event.item_id)
            case InputAudioBufferCleared():
                self._unheard_from = None
            case TranscriptionCompleted():
                line = self._line(event.item_id, "user", spoken=True)
                if line.start_ms is None:  # a recording that the client sent as an item
                    line.start_ms = line.end_ms = _ms(self._timeline.at(now))
                self._write(line, event.transcript)
            case TranscriptionFailed():
                self._line(event.item_id, "user", spoken=True).failed = True
            case ItemAdded(item=Message(role="user") as message):
                if text := "\n".join(part.text for part in message.content if isinstance(part, InputText)):
                    self._write(self._instant(message.id or "", "user", now), text)

    def _note_assistant(self, event: AnyServerEvent, now: float) -> None:
        match event:
            case OutputItemAdded(item=Message() as message):
                self._line(message.id or "", "assistant")
            case OutputTextDelta():
                line = self._line(event.item_id, "assistant")
                if line.start_ms is None:
                    line.start_ms = line.end_ms = _ms(self._timeline.at(now))
                line.text += self._room(event.delta)
            case OutputAudioTranscriptDelta():
                self._sound(event.item_id).say(event.delta)
                self._line(event.item_id, "assistant", spoken=True).text += self._room(event.delta)
            case OutputAudioDelta():
                self._sound(event.item_id).speak(event.delta)
            case ItemTruncated():
                self._cut(event)
            case ResponseDone(response=response) if response.status == "completed":
                for item in response.output:
                    if sound := self._sounds.get(item.id or ""):
                        sound.close()

    def _note_tools(self, event: AnyServerEvent, now: float) -> None:
        match event:
            case FunctionCallArgumentsDone():
                line = self._instant(event.item_id, "tool", now)
                line.name = event.name
                self._write(line, event.arguments)
                self._calls[event.call_id] = line
            case ItemAdded(item=FunctionCallOutput() as answer):
                if (call := self._calls.get(answer.call_id)) is not None:
                    call.output = self._room(answer.output)

    def _line(self, id: str, role: Role, *, spoken: bool = False) -> Line:
        line = self._by_id.get(id)
        if line is None:
            line = Line(id=id, role=role)
            if len(self.lines) < LINES_MAX:
                self._by_id[id] = line
                self.lines.append(line)
            else:
                self.incomplete = True
        line.spoken = line.spoken or spoken
        return line

    def _instant(self, id: str, role: Role, now: float) -> Line:
        line = self._line(id, role)
        line.start_ms = line.end_ms = _ms(self._timeline.at(now))
        return line

    def _write(self, line: Line, text: str) -> None:
        line.text = self._room(text)

    def _room(self, text: str) -> str:
        """As much of it as is kept."""
        kept = text[: CHARS_MAX - self._chars]
        self.incomplete = self.incomplete or len(kept) < len(text)
        self._chars += len(kept)
        return kept

    def _commit(self, item: str) -> None:
        """Where the server did not look for the ends of speech, all of the sound is the turn."""
        line = self._line(item, "user", spoken=True)
        end = self._timeline.user_end
        if line.start_ms is None:
            line.start_ms = _ms(end if self._unheard_from is None else self._unheard_from)
        if line.end_ms is None:
            line.end_ms = _ms(end)
        self._unheard_from = None

    def _sound(self, item: str) -> OutputAudio:
        sound = self._sounds.get(item)
        if sound is None:
            sound = self._sounds[item] = OutputAudio()
            sound.forget()
        return sound

    def _cut(self, event: ItemTruncated) -> None:
        line = self._by_id.get(event.item_id)
        if line is None:
            return
        sound = self._sound(event.item_id)
        sound.truncate(event.audio_end_ms)
        line.heard = sound.transcript
        if line.start_ms is not None and line.end_ms is not None:
            line.end_ms = min(line.end_ms, line.start_ms + event.audio_end_ms)


def _ms(sample: int) -> int:
    return sample * 1_000 // RATE_HZ
