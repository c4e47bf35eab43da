"""Looks on while one session lives, and knows what is to be kept of it: figures, words, sound.

How much that is, the operator says: `off` keeps figures (who, when, how long, what it cost), `transcripts` also what
both sides said, `audio` also how it sounded.
"""

import base64
import logging
import time
from collections.abc import Callable
from typing import Any, Final, NamedTuple

import msgspec

from parley.core.effects import Stamps, Turn
from parley.core.events import (
    AnyServerEvent,
    ItemTruncated,
    OutputAudioBufferCleared,
    OutputAudioDelta,
    ResponseDone,
    TranscriptionCompleted,
    Usage,
)
from parley.live.minutes import Minutes
from parley.live.past import Figures, Record, Saved, Sound, Summary, Words
from parley.live.tape import Tape
from parley.live.timeline import RATE_HZ, SAMPLE_BYTES, Stretch, Timeline
from parley.telemetry import turn_fields

TURNS_MAX: Final = 2_000
"""Of a session; more are not kept. An hour of fast talk has about 1,200."""

ROLL_S: Final = 1.0

log = logging.getLogger(__name__)


class Begun(NamedTuple):
    """What is known of a session when it begins. `opened_at`: Unix seconds."""

    id: str
    account: str
    model: str
    call_id: str | None
    opened_at: float


class Recorder:
    """A `Witness`. A bug in here ends the recording, and no session. `unix` is Unix time, `now` the session's clock."""

    def __init__(
        self,
        begun: Begun,
        record: Record,
        tape: Tape | None = None,
        unix: Callable[[], float] = time.time,
        now: Callable[[], float] = time.monotonic,
    ) -> None:
        self.begun = begun
        self.record = record
        self.tape = tape
        self.dirty = True
        """There is something that was not saved."""
        self.ended_at: float | None = None
        """Unix seconds."""
        self.on_end: Callable[[], object] = lambda: None
        self._unix = unix
        self._now = now
        self._began = now()
        self._roll_at = self._began + ROLL_S
        self._timeline = Timeline(self._began)
        self._minutes = None if record == "off" else Minutes(self._timeline)
        self._turns: list[dict[str, object]] = []
        self._usage = Sums()
        self._stopped = False

    # ---- as a witness

    def heard(self, pcm: bytes) -> None:
        self._try(self._heard, pcm)

    def sent(self, event: AnyServerEvent) -> None:
        self._try(self._sent, event)

    def turn(self, turn: Turn) -> None:
        self._try(self._turn, turn)

    def ended(self) -> None:
        self._try(self._ended)
        if self.ended_at is None:
            self.ended_at = self._unix()
        self.dirty = True
        self.on_end()

    def discard(self) -> None:
        """Nothing of this session is to be kept, now or later."""
        self._stopped = True
        if self.tape is not None:
            self.tape.end(keep=False)

    # ---- to be saved

    @property
    def settled(self) -> bool:
        """Nothing will change any more."""
        return self.ended_at is not None and (self.tape is None or self.tape.ended.done())

    def summary(self) -> Summary:
        begun, sound, seconds = self.begun, *self._sound()
        return Summary(
            id=begun.id,
            account=begun.account,
            call_id=begun.call_id,
            model=begun.model,
            record=self.record,
            opened_at=_ms(begun.opened_at),
            ended_at=None if self.ended_at is None else _ms(self.ended_at),
            saved_at=_ms(self._unix()),
            turns=len(self._turns),
            input_tokens=self._usage.input_tokens,
            output_tokens=self._usage.output_tokens,
            sound=sound,
            sound_ms=_ms(seconds),
        )

    def saved(self) -> Saved:
        figures = Figures(_json(self._turns), _json(self._usage))
        if self._minutes is None:
            return Saved(self.summary(), figures, None)
        peaks = b"" if self.tape is None else bytes(self.tape.peaks)
        words = Words(_json(self._minutes.lines), self._minutes.incomplete, base64.b64encode(peaks).decode())
        return Saved(self.summary(), figures, words)

    # ---- inside

    def _try(self, step: Callable[..., None], *args: object) -> None:
        if self._stopped:
            return
        try:
            step(*args)
        except Exception:
            log.exception("recording failed", extra={"fields": {"session": self.begun.id}})
            self._stopped = True
            if self.tape is not None:
                self.tape.incomplete = True
                self.tape.end()

    def _heard(self, pcm: bytes) -> None:
        if self._minutes is not None:
            now = self._now()
            self._minutes.hears()
            self._timeline.hear(pcm, now)
            self._roll(now)

    def _sent(self, event: AnyServerEvent) -> None:
        if self._minutes is None:
            return
        now = self._now()
        self._minutes.note(event, now)
        match event:
            case OutputAudioDelta():
                at = self._timeline.say(event.item_id, event.response_id, event.delta, now)
                self._minutes.plays(event.item_id, at, len(event.delta) // SAMPLE_BYTES)
                self._roll(now)
            case ItemTruncated():
                self._timeline.cut(event.item_id, event.audio_end_ms)
                self.dirty = True
            case OutputAudioBufferCleared():
                self._timeline.clear(event.response_id, now)
            case ResponseDone():
                if event.response.status == "cancelled":
                    self._timeline.clear(event.response.id, now)
                self.dirty = True
            case TranscriptionCompleted():
                self.dirty = True

    def _turn(self, turn: Turn) -> None:
        if len(self._turns) < TURNS_MAX:
            fields = turn_fields(turn)
            now = self._now()
            began = min(_moments(turn.stamps), default=now)
            ahead = self._timeline.at(now) / RATE_HZ - (now - self._began)
            self._turns.append({**fields, "at_ms": max(0, _ms(began - self._began + ahead))})
        self._usage.add(turn)
        self.dirty = True

    def _ended(self) -> None:
        self.ended_at = self._unix()
        if self.tape is not None:
            self._write(self._timeline.finish(self._now()))
            self.tape.end()

    def _roll(self, now: float) -> None:
        """What is certain goes to the disk, once a second."""
        if now < self._roll_at:
            return
        self._roll_at = now + ROLL_S
        if stretch := self._timeline.take(now):
            self._write(stretch)

    def _write(self, stretch: Stretch) -> None:
        if self.tape is not None:
            self.tape.write(stretch)
            self.tape.incomplete = self.tape.incomplete or self._timeline.dropped

    def _sound(self) -> tuple[Sound, float]:
        if self.tape is None:
            return "none", 0.0
        if not self.tape.ended.done():
            return "live", 0.0
        end = self.tape.ended.result()
        if not end.seconds:
            return "none", 0.0
        return "incomplete" if end.incomplete else "whole", end.seconds


class Sums(msgspec.Struct):
    """What all turns of a session used together: tokens by kind, and sound that was put into words."""

    input_tokens: int = 0
    output_tokens: int = 0
    cached_tokens: int = 0
    input_text_tokens: int = 0
    input_audio_tokens: int = 0
    input_image_tokens: int = 0
    output_text_tokens: int = 0
    output_audio_tokens: int = 0
    transcribed_ms: int = 0

    def add(self, turn: Turn) -> None:
        self.transcribed_ms += turn.audio_ms
        if turn.usage is not None:
            self._add(turn.usage)

    def _add(self, usage: Usage) -> None:
        read, said = usage.input_token_details, usage.output_token_details
        self.input_tokens += usage.input_tokens
        self.output_tokens += usage.output_tokens
        self.cached_tokens += read.cached_tokens
        self.input_text_tokens += read.text_tokens
        self.input_audio_tokens += read.audio_tokens
        self.input_image_tokens += read.image_tokens
        self.output_text_tokens += said.text_tokens
        self.output_audio_tokens += said.audio_tokens


def _moments(stamps: Stamps) -> list[float]:
    return [at for at in (stamps.speech_start, stamps.committed, stamps.response_created) if at is not None]


def _ms(seconds: float) -> int:
    return round(seconds * 1_000)


def _json(value: Any) -> str:
    return msgspec.json.encode(value).decode()
