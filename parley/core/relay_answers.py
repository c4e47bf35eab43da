"""The responses that run at an upstream: followed from `response.created` to `response.done`, metered, and ended
properly when the upstream cannot do that any more."""

from collections.abc import Callable
from typing import Final

from parley.core.effects import Meter, Turn
from parley.core.relay_answer import Answer
from parley.core.relay_log import Log
from parley.core.relay_usage import read_usage
from parley.core.relayed import AnyRelayEffect, Body, Tally
from parley.core.timing import Clock
from parley.errors import ERRORS

TELL_MS: Final = 400
"""A meter is told of so much sound at once."""
PCM_CHARS_PER_MS: Final = 64.0
G711_CHARS_PER_MS: Final = 8 * 4 / 3
"""Base64 of 48 and of 8 bytes (protocol.md 2.3)."""


class Answers:
    def __init__(
        self, model: str, log: Log, emit: Callable[[AnyRelayEffect], None], say: Callable[[Body], None]
    ) -> None:
        self.running: dict[str, Answer] = {}
        self.needle: bytes | None = None
        """Sound of the answer that speaks has this in it; None while there is none. See `Relay.needle`."""
        self.spoke: Callable[[int], None] = ignore
        """Takes note of so much base64 of it."""
        self.chars_per_ms = PCM_CHARS_PER_MS
        """Base64 in the session's output format."""
        self.upstream, self.upstream_model = "", model
        """Who answers, and what it calls the model."""
        self._model = model
        self._log = log
        self._emit = emit
        self._say = say

    @property
    def spoken_chars(self) -> int:
        """All sound of the running answers, in base64."""
        return sum(answer.spoken_chars for answer in self.running.values())

    def begin(self, response: Body, clock: Clock) -> None:
        self.running[response["id"]] = Answer(response, clock)
        self._emit(Tally(what="started", response_id=response["id"]))

    def follow(self, answer: Answer, kind: str, body: Body, now: float) -> None:
        """An event about a running answer."""
        if kind == "response.output_audio.delta":
            answer.spoke(len(body.get("delta") or ""))
            if answer.clock.first_audio is None:
                answer.clock.first_audio = now
            if answer.in_conversation and answer.id.isascii():
                self.needle, self.spoke = f'"{answer.id}"'.encode(), answer.spoke
            return
        answer.follow(kind, body)
        if kind == "response.output_item.done" and answer.in_conversation:
            self._log.update(body.get("item") or {})

    def tell_spoken(self) -> None:
        """Brings the meter up to date, where that is worth it."""
        for answer in self.running.values():
            self._tell_spoken(answer, TELL_MS)

    def end(self, answer: Answer, response: Body, now: float) -> None:
        """Its `response.done` has come."""
        del self.running[answer.id]
        if self.spoke == answer.spoke:
            self.needle, self.spoke = None, ignore
        if answer.in_conversation:
            for item in response.get("output") or ():
                self._log.update(item)
            for item_id, chars in answer.lengths.items():
                self._log.spoke(item_id, chars / self.chars_per_ms)
        self._tell_spoken(answer, 1)
        answer.clock.done = now
        error = (response.get("status_details") or {}).get("error") or {}
        turn = Turn(
            kind="response",
            id=answer.id,
            item_id=answer.item_id,
            model=self._model,
            status=str(response.get("status", "completed")),
            stamps=answer.clock.read(),
            usage=read_usage(response.get("usage")),
            error_code=error.get("code"),
            upstream=self.upstream,
            upstream_model=self.upstream_model,
        )
        self._emit(Meter(turn=turn))

    def break_off(self, code: str, message: str, now: float) -> None:
        """Ends all of them in the upstream's place."""
        for answer in list(self.running.values()):
            self._break_off(answer, code, message, now)

    def _break_off(self, answer: Answer, code: str, message: str, now: float) -> None:
        cut = answer.cut_items() if answer.in_conversation else ()
        for body in answer.closing():
            item = body.get("item") or {}
            if body["type"] != "conversation.item.done" or item.get("id") in self._log:
                self._say(body)
            if body["type"] == "response.output_item.done" and answer.in_conversation:
                self._log.update(item)
        done = answer.failed(code, ERRORS[code].type, message)
        self.end(answer, done["response"], now)
        self._say(done)
        for item_id in filter(self._log.__contains__, cut):
            ms = answer.lengths[item_id] / self.chars_per_ms
            self._log.cut(item_id, ms)
            place = {"item_id": item_id, "content_index": 0, "audio_end_ms": int(ms)}
            self._say({"type": "conversation.item.truncated", **place})

    def _tell_spoken(self, answer: Answer, least_ms: int) -> None:
        new_ms = int(answer.spoken_chars / self.chars_per_ms) - answer.told_ms
        if new_ms >= least_ms:
            answer.told_ms += new_ms
            self._emit(Tally(what="spoke", ms=new_ms, response_id=answer.id))


def ignore(chars: int) -> None:
    """There is nobody whose sound it could be."""


def chars_per_ms(side: Body) -> float:
    """Base64 of a millisecond, in the format of `audio.input` or `audio.output`."""
    kind = (side.get("format") or {}).get("type")
    return G711_CHARS_PER_MS if kind in ("audio/pcmu", "audio/pcma") else PCM_CHARS_PER_MS
