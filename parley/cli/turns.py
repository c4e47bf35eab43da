"""What happened in each turn of a conversation, from the events alone, and how long each part of it took.

Times are when the client saw things, in milliseconds of its own monotonic clock: they include the network, as what
a listener hears does.
"""

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any, Final, NamedTuple

STAMPS: Final = {
    "input_audio_buffer.speech_stopped": "stopped",
    "input_audio_buffer.committed": "committed",
    "conversation.item.input_audio_transcription.completed": "transcribed",
    "conversation.item.input_audio_transcription.failed": "transcribed",
    "response.created": "created",
    "response.output_text.delta": "words",
    "response.output_audio_transcript.delta": "words",
    "response.output_audio.delta": "sound",
    "response.done": "done",
}
"""Event -> the stamp that its first arrival sets. Before these come `heard` (speech began) and `last_word`."""

PARTS: Final = (
    ("you spoke", "heard", "last_word"),
    ("sure you finished", "last_word", "committed"),
    ("transcript", "committed", "transcribed"),
    ("first words", "created", "words"),
    ("first sound", "words", "sound"),
    ("rest of the answer", "sound", "done"),
)
"""The bars of the waterfall: label, from, to. A part whose stamps are missing or reversed is left out."""

SPEECH_MS_SHOWN: Final = 600
"""Of a long question only the end is drawn, so that the parts after it stay readable."""
BAR_CELLS: Final = 44


@dataclass
class Turn:
    """One question and its answer."""

    number: int
    item_id: str | None = None
    response_id: str | None = None
    spoken: bool = True
    user: str | None = None
    assistant: str = ""
    status: str = ""
    reason: str = ""
    usage: Mapping[str, Any] | None = None
    stamps: dict[str, float] = field(default_factory=dict)
    """Milliseconds, by name; see `STAMPS`."""

    @property
    def complete(self) -> bool:
        return "done" in self.stamps and (self.user is not None or not self.spoken)

    @property
    def answer_ms(self) -> float | None:
        """From the last word (of a typed question: from sending it) to the first sound, or word if none is spoken."""
        start = self.stamps.get("last_word", self.stamps.get("committed"))
        end = self.stamps.get("sound", self.stamps.get("words"))
        return None if start is None or end is None else end - start

    def as_json(self) -> dict[str, Any]:
        """Times are milliseconds after the turn's first stamp."""
        start = min(self.stamps.values(), default=0.0)
        return {
            "turn": self.number,
            "user": self.user,
            "assistant": self.assistant,
            "status": self.status,
            "reason": self.reason or None,
            "answer_ms": None if self.answer_ms is None else round(self.answer_ms),
            "ms": {name: round(at - start) for name, at in sorted(self.stamps.items(), key=lambda stamp: stamp[1])},
            "usage": self.usage,
        }


class TurnLog:
    """Feed `see` every server event. Turns are numbered from 1."""

    def __init__(self) -> None:
        self.turns: list[Turn] = []

    def see(self, event: Mapping[str, Any], now_ms: float, last_word_ms: float | None = None) -> Turn | None:
        """Returns the turn that the event belongs to. `last_word_ms`: when the speaker was last heard."""
        kind = event["type"]
        turn = self._turn_of(event, now_ms)
        if turn is None:
            return None
        if name := STAMPS.get(kind):
            turn.stamps.setdefault(name, now_ms)
        if kind == "input_audio_buffer.speech_stopped" and last_word_ms is not None:
            turn.stamps["last_word"] = last_word_ms
        elif kind == "conversation.item.input_audio_transcription.completed":
            turn.user = event["transcript"].strip()
        elif kind == "conversation.item.input_audio_transcription.failed":
            turn.user = ""
        elif kind in ("response.output_text.delta", "response.output_audio_transcript.delta"):
            turn.assistant += event["delta"]
        elif kind == "response.done":
            self._end(turn, event["response"])
        return turn

    def ask(self, text: str, now_ms: float) -> Turn:
        """A typed question."""
        turn = Turn(len(self.turns) + 1, spoken=False, user=text, stamps={"committed": now_ms})
        self.turns.append(turn)
        return turn

    @property
    def unanswered(self) -> list[Turn]:
        return [turn for turn in self.turns if not turn.complete]

    def _turn_of(self, event: Mapping[str, Any], now_ms: float) -> Turn | None:
        kind = event["type"]
        if kind == "input_audio_buffer.speech_started":
            self.turns.append(Turn(len(self.turns) + 1, event["item_id"], stamps={"heard": now_ms}))
            return self.turns[-1]
        if kind == "response.created":
            waiting = [turn for turn in self.turns if "committed" in turn.stamps and turn.response_id is None]
            if waiting:
                waiting[-1].response_id = event["response"]["id"]
            return waiting[-1] if waiting else None
        response_id = event["response"]["id"] if kind == "response.done" else event.get("response_id")
        for turn in reversed(self.turns):
            if response_id is not None and turn.response_id == response_id:
                return turn
            if response_id is None and turn.item_id is not None and turn.item_id == event.get("item_id"):
                return turn
        return None

    @staticmethod
    def _end(turn: Turn, response: Mapping[str, Any]) -> None:
        turn.status = response["status"]
        turn.usage = response.get("usage")
        details = response.get("status_details") or {}
        error = details.get("error") or {}
        turn.reason = error.get("message") or error.get("code") or details.get("reason") or ""


class Bar(NamedTuple):
    """One line of the waterfall. `start` and `end` are milliseconds from its left edge."""

    label: str
    start: float
    end: float
    ms: float
    cut: bool = False
    """The part began before the left edge."""


def bars(turn: Turn) -> list[Bar]:
    """The parts of a turn, in order, on one time axis."""
    stamps = turn.stamps
    spans = [
        (label, stamps[a], stamps[b]) for label, a, b in PARTS if a in stamps and b in stamps and stamps[a] < stamps[b]
    ]
    if not spans:
        return []
    edge = max(min(start for _, start, _ in spans), stamps.get("last_word", 0.0) - SPEECH_MS_SHOWN)
    return [Bar(label, max(a, edge) - edge, b - edge, b - a, cut=a < edge) for label, a, b in spans]


def drawn(bar: Bar, total_ms: float, cells: int = BAR_CELLS) -> str:
    """The bar as `cells` characters; a part too short for one is still a sliver."""
    first = min(cells - 1, int(bar.start / total_ms * cells))
    last = max(first + 1, round(bar.end / total_ms * cells))
    line = "━" * (last - first) if (bar.end - bar.start) / total_ms * cells >= 0.5 else "╸"
    line = "┄" + line[1:] if bar.cut and len(line) > 1 else line
    return (" " * first + line)[:cells].ljust(cells)
