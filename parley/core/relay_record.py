"""What a relay knows of its session, learnt from the events that pass: configuration, conversation, running answers.

Reading is all it does to most events. It changes what names the upstream (a session's id and model, the audio clock
after a change of upstream), and it keeps from the client what belongs to another conversation: answers to the relay's
own requests, and late words about a response that has ended.
"""

from collections.abc import Callable
from typing import Any, Final

from parley.core.effects import Meter, Turn
from parley.core.inputs import Played
from parley.core.relay_answers import PCM_CHARS_PER_MS, Answers, chars_per_ms
from parley.core.relay_config import laid_over, without_formats
from parley.core.relay_log import Log, without_sound
from parley.core.relay_pending import SILENCE_BYTES_MAX, SPEECH_BYTES_MAX, TRACKED, Pending
from parley.core.relay_playback import RelayPlayback
from parley.core.relayed import ANY, AnyRelayEffect, Ask, Body, Message, Opened, RelayTerms, Say, Tally
from parley.core.timing import Clock
from parley.core.usage import USER_AUDIO_MS_PER_TOKEN
from parley.errors import ERRORS
from parley.ids import NewId

OURS: Final = "parley_"
"""How the event ids of the relay's own requests begin."""
SOUND: Final = "response.output_audio.delta"
APPEND: Final[Body] = {"type": "input_audio_buffer.append"}
OVER_CODES: Final = frozenset({"session_expired", "invalid_api_key", "account_deactivated", "insufficient_quota"})
"""Errors after which an upstream is of no more use to this session."""
UNBEGUN: Final = "The upstream was lost before it began the response. Nothing was begun; ask for it again."


class Record:
    def __init__(
        self, terms: RelayTerms, session_id: str, new_id: NewId, emit: Callable[[AnyRelayEffect], None]
    ) -> None:
        self.leg: str | None = None
        """The connection that counts; None while there is none."""
        self.session: Body = {}
        """The session as its clients know it."""
        self.speaking = False
        self.pending = Pending()
        self.log = Log()
        self.answers = Answers(terms.model, self.log, emit, self.say)
        self.playback = RelayPlayback() if terms.plays else None
        """The output buffer, where the transport plays the sound."""
        self._terms = terms
        self._id = session_id
        self._new_id = new_id
        self._emit = emit
        self._config: Body = dict(terms.config or {})
        self._upstream_model = terms.model
        self._greeting = False
        """Clients have not been told of their session yet: the upstream is being given its configuration first."""
        self._held: Message | None = None
        """What the upstream has said meanwhile."""
        self._updates = 0
        """Updates of our own that the upstream has not answered."""
        self._crossed = False
        self._replayed: set[str] = set()
        """Items that this upstream was told by us: to it they are text."""
        self._hushed: set[str] = set()
        """Items that we delete ourselves."""
        self._origin_ms = 0.0
        """What must be added to this upstream's audio clock."""
        self._clock = Clock()
        self._stopped_ms: float | None = None

    # ---- a connection begins

    def begin(self, opened: Opened) -> None:
        """The first one: its `session.created` is that of the clients, unless they are to have a configuration."""
        self._attend(opened)
        if self._config:
            self._greeting = True
            self._ask_update()
        else:
            self.say({"type": "session.created", "session": self.session})

    def cross(self, opened: Opened) -> None:
        """Another one: it is told everything, and is asked again for what the last one did not answer."""
        self._crossed = True
        self._replayed.clear()
        self._hushed.clear()
        self._updates = 0
        self._stopped_ms = None
        self._attend(opened)
        if self._config:
            self._ask_update()
        else:
            self.say({"type": "session.updated", "session": self.session})
        for item in self.log.replays():
            self._replayed.add(item["id"])
            self._ask({"type": "conversation.item.create", "item": item})
        self._origin_ms += self.pending.passed_chars / self._in_chars
        for again in self.pending.again():
            message = Message(APPEND, again, ANY) if isinstance(again, bytes) else again
            self._emit(Ask(leg=opened.leg, message=self._addressed(message)))
        self._keep_sound()

    def _attend(self, opened: Opened) -> None:
        self.leg, self._upstream_model = opened.leg, opened.model
        self.answers.upstream, self.answers.upstream_model = opened.upstream, opened.model
        self._learn(opened.created.body.get("session") or {})

    def _learn(self, session: Body) -> None:
        own: Body = {"id": self._id}
        session = session or {"type": "realtime", "object": "realtime.session", "model": self._terms.model}
        if "model" in session:
            own["model"] = self._terms.model
        if self._terms.expires_at:
            own["expires_at"] = self._terms.expires_at
        if "temperature" in self._config:  # beta only (protocol.md 0.3): not every upstream knows of it
            own["temperature"] = self._config["temperature"]
        self.session = {**session, **own}
        self.answers.chars_per_ms = chars_per_ms(self._audio("output"))
        self._keep_sound()

    def _ask_update(self) -> None:
        self._updates += 1
        self._ask({"type": "session.update", "session": self._config})

    def _ask(self, body: Body) -> None:
        assert self.leg is not None
        self._emit(
            Ask(leg=self.leg, message=self._addressed(Message({"event_id": self._new_id(OURS + "ask"), **body})))
        )

    def _addressed(self, message: Message) -> Message:
        """A session that names its model names the upstream's own."""
        session = message.body.get("session")
        if self._upstream_model != self._terms.model and isinstance(session, dict):
            if session.get("model") == self._terms.model:
                return Message({**message.body, "session": {**session, "model": self._upstream_model}})
        return message

    # ---- what a client says

    def asked(self, message: Message, *, read: bool) -> None:
        """`read`: whether it has the shape of what it says that it is. If not, the upstream may say what is wrong."""
        if self.playback is not None and read and (own := without_formats(message.body)) is not message.body:
            message = Message(own)
        kind, body = message.kind, message.body
        if not read:
            pass
        elif kind == "output_audio_buffer.clear" and self.playback is not None:
            self._fall_silent()
            return
        elif kind == "input_audio_buffer.append":
            if message.raw is not None:
                self.pending.sound(message.raw, len(str(body.get("audio", ""))))
        elif kind == "conversation.item.truncate" and self._truncates_words(body):
            self._truncate(body)
            return
        elif kind in TRACKED:
            self.pending.ask(message, sent=self.leg is not None)
        if self.leg is not None:
            self._emit(Ask(leg=self.leg, message=self._addressed(message)))

    def cancel(self) -> None:
        """Nothing that runs is wanted any more."""
        if self.leg is not None:
            for response_id in self.answers.running:
                self._ask({"type": "response.cancel", "response_id": response_id})

    def _truncates_words(self, body: Body) -> bool:
        """Whether it is about sound that this upstream knows as words only, or will."""
        item_id = body.get("item_id")
        return item_id in self._replayed or (self.leg is None and item_id in self.log)

    def _truncate(self, body: Body) -> None:
        item_id, end_ms = str(body["item_id"]), body.get("audio_end_ms", 0)
        self.log.cut(item_id, end_ms)
        if self.leg is not None:
            self._hushed.add(item_id)
            self._ask({"type": "conversation.item.delete", "item_id": item_id})
            if (item := self.log.replay(item_id)) is not None:
                before = self.log.before(item_id)
                self._ask({"type": "conversation.item.create", "previous_item_id": before, "item": item})
        place = {"item_id": item_id, "content_index": body.get("content_index", 0), "audio_end_ms": end_ms}
        self.say({"type": "conversation.item.truncated", **place})

    # ---- what an upstream says

    def said(self, message: Message, now: float) -> str | None:
        """Reads an event and passes it on. Returns an error's code when the upstream is of no more use."""
        kind, body = message.kind, message.body
        response_id = body.get("response_id")
        if isinstance(response_id, str):
            answer = self.answers.running.get(response_id)
            if answer is None:
                return None  # late words about what has ended
            self.answers.follow(answer, kind, body, now)
            if kind == SOUND and self.playback is not None:
                self._play(message, answer.id)
                return None
        if kind == "error":
            return self._error(message)
        read = READERS.get(kind)
        passed = message if read is None else read(self, message, now)
        if passed is not None:
            self._emit(Say(message=passed))
        return None

    # ---- event by event: each returns what is passed on

    def _created(self, message: Message, now: float) -> Message | None:
        """A session is there: said by `begin`, `cross`. What else is told of its birth is said once, later."""
        if message.kind == "session.created" or self._crossed:
            return None
        if self._greeting:
            self._held = message
            return None
        return message

    def _updated(self, message: Message, now: float) -> Message | None:
        if self._updates:
            self._updates -= 1
        elif (request := self.pending.settle("session.updated")) is not None:
            self._config = laid_over(self._config, request.body.get("session") or {})
        self._learn(message.body.get("session") or {})
        if self._greeting:
            self._greet()
            return None
        return Message({**message.body, "session": self.session})

    def _greet(self) -> None:
        """The first words to the clients, when the upstream has its configuration, or does not want it."""
        self._greeting = False
        self.say({"type": "session.created", "session": self.session})
        held, self._held = self._held, None
        if held is not None:
            self._emit(Say(message=held))

    def _item_added(self, message: Message, now: float) -> Message | None:
        item = message.body.get("item") or {}
        item_id = item.get("id")
        if item_id in self._replayed:
            return None
        request = self.pending.settle(message.kind, item_id)
        after = message.body.get("previous_item_id")
        if request is not None:
            item = {**item, **without_sound(request.body.get("item") or {}), "id": item_id}
            after = request.body.get("previous_item_id")
        self.log.add(item, after)
        return message

    def _item_done(self, message: Message, now: float) -> Message | None:
        item = message.body.get("item") or {}
        if item.get("id") in self._replayed or item.get("id") not in self.log:
            return None
        self.log.update(item)
        return message

    def _item_deleted(self, message: Message, now: float) -> Message | None:
        item_id = str(message.body.get("item_id"))
        if item_id in self._hushed:
            self._hushed.discard(item_id)
            return None
        self.pending.settle(message.kind, item_id)
        self.log.delete(item_id)
        return message

    def _item_truncated(self, message: Message, now: float) -> Message:
        item_id = str(message.body.get("item_id"))
        self.pending.settle(message.kind, item_id)
        self.log.cut(item_id, float(message.body.get("audio_end_ms") or 0))
        return message

    def _item_retrieved(self, message: Message, now: float) -> Message:
        self.pending.settle(message.kind, (message.body.get("item") or {}).get("id"))
        return message

    def _transcribed(self, message: Message, now: float) -> Message:
        body = message.body
        self._clock.transcript_final = now
        self.log.transcribe(str(body.get("item_id")), body.get("content_index", 0), str(body.get("transcript", "")))
        usage = body.get("usage") or {}
        details = usage.get("input_token_details") or {}
        seconds = usage.get("seconds") or details.get("audio_tokens", 0) * USER_AUDIO_MS_PER_TOKEN / 1_000
        turn = Turn(
            kind="transcription",
            id=f"{body.get('item_id')}:{body.get('content_index', 0)}",
            item_id=body.get("item_id"),
            model=self._ear or self._terms.model,
            status="completed",
            stamps=self._clock.read(),
            audio_ms=int(seconds * 1_000),
            text_tokens=usage.get("output_tokens", 0),
            upstream=self.answers.upstream,
            upstream_model=self._ear or self._terms.model,
        )
        self._emit(Meter(turn=turn))
        return message

    def _speech_started(self, message: Message, now: float) -> Message | None:
        self.speaking, self._clock = True, Clock(speech_start=now)
        self.pending.let_go(message.body.get("audio_start_ms", 0) * self._in_chars)
        self._keep_sound()
        told = self._on_our_clock(message)
        if self.playback is None or not self._interrupts:
            return told
        self._emit(Say(message=told))
        self._fall_silent()
        return None

    def _speech_stopped(self, message: Message, now: float) -> Message:
        self._clock.speech_stop = now
        self._stopped_ms = message.body.get("audio_end_ms")
        return self._on_our_clock(message)

    def _on_our_clock(self, message: Message, now: float = 0.0) -> Message:
        if not self._origin_ms:
            return message
        moved = dict(message.body)
        for name in ("audio_start_ms", "audio_end_ms"):
            if name in moved:
                moved[name] += round(self._origin_ms)
        return Message(moved)

    def _committed(self, message: Message, now: float) -> Message:
        before = self.pending.buffered_chars
        if self.pending.settle(message.kind) is None:
            self.pending.let_go(None if self._stopped_ms is None else self._stopped_ms * self._in_chars)
        heard_ms = (before - self.pending.buffered_chars) / self._in_chars
        self.speaking, self._stopped_ms = False, None
        self._clock.committed = now
        self._keep_sound()
        self._emit(Tally(what="heard", ms=int(heard_ms)))
        return message

    def _cleared(self, message: Message, now: float) -> Message:
        self.pending.settle(message.kind)
        self.speaking = False
        self._keep_sound()
        return message

    def _response_created(self, message: Message, now: float) -> Message | None:
        response = message.body.get("response") or {}
        response_id = response.get("id")
        if not isinstance(response_id, str) or response_id in self.answers.running:
            return None
        self.pending.settle(message.kind)
        clock, self._clock = self._clock, Clock()
        clock.response_created = now
        self.answers.begin(response, clock)
        return message

    def _response_done(self, message: Message, now: float) -> Message | None:
        response = message.body.get("response") or {}
        answer = self.answers.running.get(response.get("id") or "")
        if answer is None:
            return None  # said twice, or never begun
        self.answers.end(answer, response, now)
        if self.playback is not None:
            self.playback.ended(answer.id)
        return message

    def _error(self, message: Message) -> str | None:
        error = message.body.get("error") or {}
        event_id, code = error.get("event_id"), error.get("code")
        if code in OVER_CODES:
            return str(code)
        if isinstance(event_id, str) and event_id.startswith(OURS):
            if self.pending.refuse(event_id) is None:
                self._own_request_refused()
            return None
        self.pending.refuse(event_id if isinstance(event_id, str) else None)
        self._emit(Say(message=message))
        return None

    def _own_request_refused(self) -> None:
        """The upstream does not take our configuration, or an item: it goes on with what it has."""
        if self._updates:
            self._updates = 0
            if self._greeting:
                self._greet()
            else:
                self.say({"type": "session.updated", "session": self.session})

    # ---- sound that the transport plays

    def _play(self, message: Message, response_id: str) -> None:
        assert self.playback is not None
        chars = len(message.body.get("delta") or "")
        before = self.playback.sound(response_id, str(message.body.get("item_id")), chars / PCM_CHARS_PER_MS)
        if before is not None:
            for body in before:
                self.say(body)
            self._emit(Say(message=message))

    def played(self, played: Played) -> None:
        """The transport is this far."""
        if self.playback is not None:
            for body in self.playback.played(played):
                self.say(body)

    def _fall_silent(self) -> None:
        """Nothing of what is left is played. The upstream is told how much was heard (protocol.md 7.4)."""
        assert self.playback is not None
        for body in self.playback.clear():
            if body["type"] == "conversation.item.truncate":
                self.asked(Message({"event_id": self._new_id(OURS + "cut"), **body}), read=True)
            else:
                self.say(body)

    @property
    def _interrupts(self) -> bool:
        rules = self._audio("input").get("turn_detection")
        return not isinstance(rules, dict) or bool(rules.get("interrupt_response", True))

    # ---- a connection ends

    def broken(self, code: str, message: str, now: float) -> bool:
        """Ends what ran on it. Returns whether anything of that told the clients that something is wrong."""
        self.leg = None
        told = bool(self.answers.running)
        self.answers.break_off(code, message, now)
        if self.playback is not None:
            self.playback.all_ended()
        for request in self.pending.take_unbegun():
            told = True
            self.refuse(code, UNBEGUN, event_id=request.event_id)
        self.speaking = False
        self.pending.limit = SPEECH_BYTES_MAX
        return told

    # ---- small things

    def say(self, body: Body) -> None:
        """An event of our own."""
        self._emit(Say(message=Message({"type": body["type"], "event_id": self._new_id("event"), **body})))

    def refuse(self, code: str, message: str, param: str | None = None, event_id: str | None = None) -> None:
        error = {"type": ERRORS[code].type, "code": code, "message": message, "param": param, "event_id": event_id}
        self.say({"type": "error", "error": error})

    def _keep_sound(self) -> None:
        by_hand = self._audio("input").get("turn_detection", {}) is None
        self.pending.limit = SPEECH_BYTES_MAX if by_hand or self.speaking else SILENCE_BYTES_MAX

    def _audio(self, side: str) -> dict[str, Any]:
        audio = self.session.get("audio")
        found = audio.get(side) if isinstance(audio, dict) else None
        return found if isinstance(found, dict) else {}

    @property
    def _ear(self) -> str | None:
        model = (self._audio("input").get("transcription") or {}).get("model")
        return model if isinstance(model, str) else None

    @property
    def _in_chars(self) -> float:
        return chars_per_ms(self._audio("input"))


Reader = Callable[[Record, Message, float], Message | None]

READERS: Final[dict[str, Reader]] = {
    "session.created": Record._created,
    "conversation.created": Record._created,
    "session.updated": Record._updated,
    "conversation.item.added": Record._item_added,
    "conversation.item.created": Record._item_added,
    "conversation.item.done": Record._item_done,
    "conversation.item.deleted": Record._item_deleted,
    "conversation.item.truncated": Record._item_truncated,
    "conversation.item.retrieved": Record._item_retrieved,
    "conversation.item.input_audio_transcription.completed": Record._transcribed,
    "input_audio_buffer.speech_started": Record._speech_started,
    "input_audio_buffer.speech_stopped": Record._speech_stopped,
    "input_audio_buffer.timeout_triggered": Record._on_our_clock,
    "input_audio_buffer.committed": Record._committed,
    "input_audio_buffer.cleared": Record._cleared,
    "response.created": Record._response_created,
    "response.done": Record._response_done,
}
"""Events that are read. All others pass as they are."""
