"""Session.handle: the one match.

A session is three parts and what couples them. `UserTurns` hears, `Responder` answers, `Conversation` remembers. This
file decides turn taking: a started turn interrupts the answer, a committed turn causes one, an answer waits for the
words it has to read, silence after an answer may become a turn, and after an hour everything ends.

    open --> live --(Drain)---> draining --(nothing runs)-----> closed
              +--(CutOff)-----> cut off --(the sentence is over)--^
              +--(60 minutes, Left)-------------------------------^
"""

from collections.abc import Callable, Sequence
from typing import Any, assert_never

import msgspec

from parley.core import events as e
from parley.core import inputs as i
from parley.core.config import (
    RealtimeConfig,
    ResponseOptions,
    SemanticVad,
    ServerVad,
    SessionConfig,
    SessionLock,
    Tool,
    TurnDetection,
    parse_response,
    shown,
    updated,
)
from parley.core.conversation import Conversation, Entry, needs_transcript
from parley.core.effects import AnyEffect, Close, Meter, Send, Turn
from parley.core.items import (
    FunctionCall,
    FunctionCallOutput,
    InputAudio,
    Item,
    ItemReference,
    McpApprovalResponse,
    Message,
    parse_input,
    parse_item,
)
from parley.core.mcp import Approved, Servers
from parley.core.playback import Playback
from parley.core.responder import Made, Responder
from parley.core.terms import Terms
from parley.core.timing import Clock
from parley.core.transcripts import Listening
from parley.core.turns import Moment
from parley.core.usage import INSTRUCTIONS_TOKENS_MAX
from parley.core.user_turns import UserTurns
from parley.errors import ERRORS, RequestError
from parley.ids import NewId

TRUNCATE_EXCESS_MS_MAX = 20
"""A client's clock may run ahead of the sound by one frame (protocol.md 11.1)."""

HUNG_UP = "The transcriber stopped listening before the turn was over."

ERROR_CHARS_MAX = 1_000
"""An error quotes what was wrong, and no more of it than fits here."""

REFUSED = 4000
"""Close code, with ``type.code`` of the error as its reason (protocol.md 8.4)."""

EXPIRED = "Your session hit the maximum duration of {minutes} minutes."


class Session:
    """One conversation, as a pure function of what has happened to it.

    Call `open` once, then `handle` for everything that happens, and perform the effects in order. When `deadline` (same
    clock as `now`, seconds) comes, feed `Tick()`. `handle` never waits and never raises on input.
    """

    def __init__(self, *, config: SessionConfig, terms: Terms, new_id: NewId, now: float) -> None:
        self.id = new_id("sess")
        self.config = config
        self.closed = False
        self._terms = terms
        self._new_id = new_id
        self._now = now
        self._effects: list[AnyEffect] = []
        self._expires = now + terms.session_ms / 1000
        self._idle_until: float | None = None
        self._draining: str | None = None
        self._cut_off: i.CutOff | None = None
        self._tool_clock: Clock | None = None
        self._conversation = Conversation(new_id("conv"))
        self._user = UserTurns(self._conversation, new_id, self._emit, peeks=terms.peeks)
        self._playback = Playback()
        self._servers = Servers(self._conversation, terms, new_id, self._emit)
        self._responder = Responder(
            self._conversation, terms, new_id, self._emit, now, self._servers, self._playback if terms.plays else None
        )

    @property
    def deadline(self) -> float | None:
        """When the next `Tick` is due; None once the session is closed."""
        if self.closed:
            return None
        return self._expires if self._idle_until is None else min(self._expires, self._idle_until)

    @property
    def heard(self) -> int:
        """The audio clock: house samples that were taken since the session began."""
        return self._user.buffer.heard

    def open(self) -> list[AnyEffect]:
        """The first words: `session.created` (protocol.md 7.1)."""
        effects = self._begin()
        self._say(self.created())
        if isinstance(self.config, RealtimeConfig):
            conversation = {"id": self._conversation.id, "object": "realtime.conversation"}
            self._say(e.ConversationCreated(conversation=conversation))
            self._servers.attend(self.config.tools)
        return effects

    def created(self) -> e.SessionCreated:
        """The session as it is now: what is said first, also to somebody who joins it later (protocol.md 7.13)."""
        return e.SessionCreated(session=self._effective())

    def handle(self, event: i.AnyInput, now: float) -> list[AnyEffect]:
        """What to do about `event`, which happened at `now`."""
        if self.closed:
            return []
        self._now = now
        effects = self._begin()
        try:
            self._take(event)
        except RequestError as error:
            self._refuse(error.code, error.message, error.param, getattr(event, "event_id", None))
        self._follow_up()
        self._leave_if_idle()
        return effects

    def _begin(self) -> list[AnyEffect]:
        self._effects = []
        return self._effects

    def _take(self, event: i.AnyInput) -> None:  # noqa: C901 - the one match
        match event:
            case i.Heard():
                self._hear(event)
            case i.Speech():
                self._notice(event)
            case i.Said() | i.Spoke() | i.Thought() | i.Called() | i.Ended() | i.Generated():
                self._made(event)
            case i.Transcribed():
                self._transcribed(event)
            case i.Failed():
                self._failed(event)
            case i.ToolsListed():
                self._servers.listed(event)
            case i.ToolReturned():
                if self._servers.returned(event):
                    self._returned(event.call_id)
            case e.InputAudioBufferAppend():
                self._hear(i.Heard(pcm=event.audio, event_id=event.event_id))
            case e.InputAudioBufferCommit():
                self._commit()
            case e.InputAudioBufferClear():
                self._clear()
            case e.SessionUpdate():
                self._update(event)
            case e.ConversationItemCreate():
                self._create_item(event)
            case e.ConversationItemRetrieve():
                self._retrieve(event)
            case e.ConversationItemTruncate():
                self._truncate(event)
            case e.ConversationItemDelete():
                self._delete(event)
            case e.ResponseCreate():
                self._create_response(event)
            case e.ResponseCancel():
                self._cancel(event)
            case e.OutputAudioBufferClear():
                self._clear_output()
            case i.Played():
                self._say_all(self._playback.played(event))
            case i.Malformed():
                self._refuse(event.code, event.message, event.param, event.event_id)
            case i.Tick():
                self._tick()
            case i.Drain():
                self._draining = event.reason
            case i.CutOff():
                self._cut_off = self._cut_off or event
                self._responder.cut_off(event.code, event.message, self._now, finish_sentence=event.finish_sentence)
            case i.Rates():
                self._responder.know_rates(event.rates, self._now)
            case i.Pressed():
                self._say(e.DtmfEventReceived(event=event.key, received_at=event.at))
            case i.Charged():
                self._tell_price(event)
            case i.Left():
                self._end("session_closed", "The client has left.")
            case _:
                assert_never(event)

    # ---- what the user says

    def _hear(self, heard: i.Heard) -> None:
        self._user.hear(heard, self.config)
        self._end_turn_if_over()

    def _notice(self, speech: i.Speech) -> None:
        rules = self._rules()
        if rules is None:
            return
        match self._user.notice(speech, rules):
            case Moment.STARTED:
                self._turn_started(rules)
            case Moment.RESUMED:
                self._responder.drop_draft()
            case _:
                pass
        self._end_turn_if_over()

    def _turn_started(self, rules: TurnDetection) -> None:
        self._idle_until = None
        self._responder.drop_draft()
        self._user.start(self.config, rules, self._now)
        if rules.interrupt_response:
            cleared, truncated = self._playback.clear()
            self._say_all(cleared)
            if self._responder.active is not None:
                self._responder.cancel(self._responder.active, "turn_detected", self._now)
            self._say_all(truncated)

    def _end_turn_if_over(self) -> None:
        rules = self._rules()
        if rules is None or self._user.current is None or (end := self._user.over(rules)) is None:
            return
        self._user.stop(end, self._now)
        self._turn_committed(end, respond=rules.create_response)

    def _commit(self) -> None:
        self._user.check_length()
        self._turn_committed(self._user.buffer.heard, respond=False)

    def _turn_committed(self, end: int, *, respond: bool) -> None:
        """An item of what was heard; then the words for it; then the answer, if one is due."""
        needs_words = isinstance(self.config, RealtimeConfig) or self.config.audio.input.transcription is not None
        listening = self._user.commit(self.config, end, self._now, needs_words=needs_words)
        if listening is None:
            return
        if listening.early is not None:
            heard = listening.early.heard
            self._responder.drop_draft_unless(heard.text)
            self._words(listening, heard)
        else:
            self._responder.drop_draft()
        if respond:
            self._answer([*self._conversation], listening.clock)
        if listening.failure is not None:
            self._deaf(listening, listening.failure)

    def _clear(self) -> None:
        self._responder.drop_draft()
        self._user.clear()
        self._say(e.InputAudioBufferCleared())

    # ---- the words for it

    def _transcribed(self, heard: i.Transcribed) -> None:
        listening = self._user.running.get(heard.work_id)
        if listening is None:
            return
        if heard.final and listening is self._user.current:
            self._failed_early(listening, i.Failed(work_id=heard.work_id, code="transcription_failed", message=HUNG_UP))
        elif heard.final:
            self._words(listening, heard)
        elif heard.peeked:
            self._early_words(heard)
        elif listening.entry is not None or not isinstance(self.config, RealtimeConfig):
            self._say_all(listening.deltas(heard))

    def _early_words(self, heard: i.Transcribed) -> None:
        listening = self._user.early(heard)
        if listening is None:
            return
        if listening.take_early:
            self._words(listening, heard)
            return
        self._user.detector.judge(heard.text)
        rules = self._rules()
        if isinstance(rules, SemanticVad) and rules.create_response and heard.text:
            self._draft(listening, heard.text)
        self._end_turn_if_over()

    def _draft(self, listening: Listening, words: str) -> None:
        if isinstance(self.config, RealtimeConfig) and not self._user.pending_for(self._conversation):
            guess = Entry(Message(id=listening.item_id, role="user", content=(InputAudio(transcript=words),)))
            self._responder.draft(self.config, [*self._conversation, guess], words, self._now)

    def _words(self, listening: Listening, heard: i.Transcribed) -> None:
        """The last word on a turn: the item gets its transcript, and whoever waited for it goes on."""
        if heard.final:
            self._user.running.pop(listening.work_id)
        else:
            self._user.drop(listening)
        if listening.entry is None:
            return
        listening.clock.transcript_final = self._now
        listening.entry.set_transcript(heard.text)
        self._say_all(listening.completed(heard, self._terms.count_tokens))
        self._meter_transcription(listening, heard.text)
        self._responder.words_have_come(listening.work_id, self._now)

    def _meter_transcription(self, listening: Listening, text: str) -> None:
        if listening.shown is None or listening.entry is None:
            return
        turn = Turn(
            kind="transcription",
            id=listening.work_id,
            item_id=listening.item_id,
            model=listening.shown.model,
            status="completed",
            stamps=listening.clock.read(),
            audio_ms=listening.entry.audio_ms,
            text_tokens=self._terms.count_tokens(text),
        )
        self._emit(Meter(turn=turn))

    def _failed(self, failed: i.Failed) -> None:
        listening = self._user.running.get(failed.work_id)
        if listening is None:
            for call_id in self._servers.failed(failed):
                self._returned(call_id)
            self._made(failed)
        elif listening is self._user.current:
            self._failed_early(listening, failed)
        else:
            self._deaf(listening, failed)

    def _failed_early(self, listening: Listening, failed: i.Failed) -> None:
        """There will be no words for the turn that goes on. Told when it is committed."""
        listening.failure = failed
        self._user.detector.judge("")

    def _deaf(self, listening: Listening, failure: i.Failed) -> None:
        """There will be no words for a committed turn."""
        del self._user.running[listening.work_id]
        self._say_all(listening.failed(failure.code, failure.message))
        if listening.entry is not None:
            listening.entry.set_transcript("")
        self._responder.words_will_not_come(listening.work_id, failure.code, failure.message, self._now)

    # ---- answers

    def _answer(self, entries: Sequence[Entry], clock: Clock) -> None:
        """The automatic response at the end of a turn. It is left out where one is still running (protocol.md 2.4)."""
        if self._cut_off is None and isinstance(self.config, RealtimeConfig) and self._responder.active is None:
            self._respond(ResponseOptions(), entries, clock)

    def _create_response(self, event: e.ResponseCreate) -> None:
        config = self._realtime("response.create")
        options = parse_response(event.response, config, self._lock(), self._terms.voices, self._servers.known)
        self._responder.check_room(options)
        if options.tools is not msgspec.UNSET:
            self._servers.check_room(options.tools)
        entries = self._own_input(options)
        self._responder.drop_draft()
        clock, self._tool_clock = self._tool_clock or Clock(), None
        self._respond(options, entries, clock)
        if options.tools is not msgspec.UNSET:
            for call_id in self._servers.attend(options.tools):
                self._returned(call_id)

    def _follow_up(self) -> None:
        """What the client has decided about calls is carried out, as soon as nobody speaks (protocol.md 7.7)."""
        ready = self._servers.decided and self._user.current is None and self._responder.may_begin(self._now)
        if ready and not self.closed and self._draining is None:
            self._responder.drop_draft()
            self._respond(ResponseOptions(), [*self._conversation], Clock(), self._servers.take_decided())

    def _respond(
        self, options: ResponseOptions, entries: Sequence[Entry], clock: Clock, calls: Sequence[Approved] = ()
    ) -> None:
        assert isinstance(self.config, RealtimeConfig)
        self._idle_until = None
        waits_for = self._user.pending_for(entries)
        self._responder.create(self.config, options, entries, waits_for, clock, self._now, calls)

    def _own_input(self, options: ResponseOptions) -> list[Entry]:
        """What the response reads: the conversation, or the request's own items and references (protocol.md 6.3)."""
        if not isinstance(options.input, tuple):
            return [*self._conversation]
        parsed = [parse_input(value, f"response.input[{at}]") for at, value in enumerate(options.input)]
        entries = [self._resolve(item, f"response.input[{at}]") for at, item in enumerate(parsed)]
        for entry in entries:
            if needs_transcript(entry) and self._conversation.find(entry.id) is not entry:
                self._user.listen_to(entry, self.config)
        return entries

    def _resolve(self, item: Item | ItemReference, path: str) -> Entry:
        if isinstance(item, ItemReference):
            entry = self._conversation.find(item.id)
            if entry is None:
                raise RequestError("item_not_found", f"The item with id '{item.id}' does not exist.", f"{path}.id")
            return entry
        return self._entry(item)

    def _cancel(self, event: e.ResponseCancel) -> None:
        run = self._responder.find(event.response_id)
        if run is None:
            raise RequestError("response_cancel_not_active", "Cancellation failed: no active response found")
        self._responder.cancel(run, "client_cancelled", self._now)

    def _made(self, made: Made) -> None:
        self._over(lambda: self._responder.take(made, self._now))

    def _returned(self, call_id: str) -> None:
        self._over(lambda: self._responder.returned(call_id, self._now))

    def _over(self, happen: Callable[[], None]) -> None:
        """Let it happen; it may have been the end of the active response."""
        active = self._responder.active
        happen()
        if active is not None and self._responder.active is None:
            self._response_over(active.spoken_ms, active.clock, bool(active.completed_calls))

    def _response_over(self, spoken_ms: int, clock: Clock, called: bool) -> None:
        """After the active response silence may become a turn (protocol.md 7.9), and a tool may be at work."""
        if called:
            self._tool_clock = clock
        rules = self._rules()
        if isinstance(rules, ServerVad) and rules.idle_timeout_ms is not None and self._user.current is None:
            self._idle_until = self._now + (spoken_ms + rules.idle_timeout_ms) / 1000

    # ---- items

    def _create_item(self, event: e.ConversationItemCreate) -> None:
        item = parse_item(event.item)
        self._conversation.check_room(item.id)
        self._conversation.check_images(item)
        at = self._conversation.place(event.previous_item_id)
        if isinstance(item, FunctionCallOutput):
            self._check_call(item)
        if isinstance(item, McpApprovalResponse):
            self._servers.check_answer(item)
        entry = self._entry(item)
        self._responder.drop_draft()
        previous = self._conversation.add(entry, at)
        if needs_transcript(entry):
            self._user.listen_to(entry, self.config)
        self._say(e.ItemAdded(previous_item_id=previous, item=entry.item))
        self._say(e.ItemDone(previous_item_id=previous, item=entry.item))
        if isinstance(item, McpApprovalResponse):
            self._servers.answer(item)

    def _check_call(self, output: FunctionCallOutput) -> None:
        calls = [entry.item.call_id for entry in self._conversation if isinstance(entry.item, FunctionCall)]
        if output.call_id not in calls:
            raise RequestError(
                "invalid_tool_call_id", f"Tool call ID '{output.call_id}' not found in conversation.", "item.call_id"
            )
        self._responder.open_calls.discard(output.call_id)
        if self._tool_clock is not None:
            self._tool_clock.tool_end = self._now
            self._tool_clock = self._tool_clock.after_tools()

    def _entry(self, item: Item) -> Entry:
        """An entry for a client's item. Its sound goes beside it: events do not carry audio."""
        item = msgspec.structs.replace(item, id=item.id or self._new_id("item"))
        if isinstance(item, FunctionCall) and item.call_id is None:
            item = msgspec.structs.replace(item, call_id=self._new_id("call"))
        if not isinstance(item, Message):
            return Entry(item)
        audio = b"".join(
            part.audio for part in item.content if isinstance(part, InputAudio) and isinstance(part.audio, bytes)
        )
        silent = tuple(
            msgspec.structs.replace(part, audio=msgspec.UNSET) if isinstance(part, InputAudio) else part
            for part in item.content
        )
        return Entry(msgspec.structs.replace(item, content=silent), audio, self.config.audio.input.format)

    def _find(self, item_id: str, action: str, verb: str) -> Entry:
        entry = self._conversation.find(item_id)
        if entry is None:
            raise RequestError(
                f"item_{action}_invalid_item_id",
                f"Error {verb} item: the item with id '{item_id}' does not exist.",
                "item_id",
            )
        return entry

    def _retrieve(self, event: e.ConversationItemRetrieve) -> None:
        self._say(e.ItemRetrieved(item=self._find(event.item_id, "retrieve", "retrieving").with_audio()))

    def _delete(self, event: e.ConversationItemDelete) -> None:
        self._find(event.item_id, "delete", "deleting")
        self._responder.drop_draft()
        self._conversation.delete(event.item_id)
        self._say(e.ItemDeleted(item_id=event.item_id))

    def _truncate(self, event: e.ConversationItemTruncate) -> None:
        entry = self._find(event.item_id, "truncate", "truncating")
        self._check_cut(entry, event)
        assert entry.sound is not None
        entry.truncate(min(event.audio_end_ms, entry.sound.ms))
        self._responder.drop_draft()
        self._say(
            e.ItemTruncated(item_id=event.item_id, content_index=event.content_index, audio_end_ms=event.audio_end_ms)
        )

    def _check_cut(self, entry: Entry, event: e.ConversationItemTruncate) -> None:
        sound = entry.sound
        if sound is None:
            raise RequestError(
                "unsupported_content_type", "Only model output audio messages can be truncated", "item_id"
            )
        if event.content_index != 0:
            raise RequestError(
                "invalid_value", f"Invalid value: {event.content_index}. Supported values are: 0.", "content_index"
            )
        end_ms = event.audio_end_ms
        if end_ms < 0:
            raise RequestError(
                "invalid_value",
                f"Invalid value for 'audio_end_ms': expected int >= 0, but got {end_ms}.",
                "audio_end_ms",
            )
        if end_ms > sound.ms + TRUNCATE_EXCESS_MS_MAX:
            code = "item_truncate_audio_too_short" if sound.cut_ms is None else "item_already_truncated"
            message = f"Audio content of {sound.ms}ms is already shorter than {end_ms}ms"
            raise RequestError(code, message, "audio_end_ms")

    # ---- the session itself

    def _update(self, event: e.SessionUpdate) -> None:
        old = self.config
        new = updated(event.session, old, self._lock(), self._terms.voices, self._servers.known)
        self._check_prompt_size(new)
        self.config = new
        self._responder.drop_draft()
        if (new.audio.input.turn_detection is None) != (old.audio.input.turn_detection is None):
            self._user.give_up()
            self._idle_until = None
        self._say(e.SessionUpdated(session=self._effective()))
        if isinstance(new, RealtimeConfig) and isinstance(old, RealtimeConfig):
            for call_id in (*self._servers.drop(old.tools, new.tools), *self._servers.attend(new.tools)):
                self._returned(call_id)

    def _tell_price(self, charged: i.Charged) -> None:
        if self.config.include and "parley.price" in self.config.include:
            self._say(
                e.PriceUpdated(
                    charged_for=charged.charged_for, micro=charged.micro, session_micro=charged.session_micro
                )
            )

    def _check_prompt_size(self, config: SessionConfig) -> None:
        """Instructions and tools together (protocol.md 6.5). Counting is skipped where there is no need to."""
        if not isinstance(config, RealtimeConfig):
            return
        text = config.instructions + "".join(
            f"{tool.description} {tool.parameters}" for tool in config.tools if isinstance(tool, Tool)
        )
        if len(text) > INSTRUCTIONS_TOKENS_MAX and self._terms.count_tokens(text) > INSTRUCTIONS_TOKENS_MAX:
            raise RequestError(
                "invalid_value",
                f"Instructions and tools are longer than {INSTRUCTIONS_TOKENS_MAX} tokens together.",
                "session.instructions",
            )

    def _clear_output(self) -> None:
        if not self._terms.plays:
            raise RequestError(
                "invalid_value",
                "There is no output audio buffer on a WebSocket session: the client plays the sound.",
                "type",
            )
        for events in self._playback.clear():
            self._say_all(events)

    def _tick(self) -> None:
        if self._now >= self._expires:
            message = EXPIRED.format(minutes=self._terms.session_ms // 60_000)
            self._refuse("session_expired", message, None, None)
            self._end("session_expired", message)
            self._emit(Close(code=1001, reason=message))
        elif self._idle_until is not None and self._now >= self._idle_until:
            self._idle_until = None
            self._time_out()

    def _time_out(self) -> None:
        rules = self._rules()
        if not isinstance(rules, ServerVad) or rules.idle_timeout_ms is None or self._user.current is not None:
            return
        self._user.time_out(rules.idle_timeout_ms)
        if rules.create_response:
            self._answer([*self._conversation], Clock(committed=self._now))

    def _leave_if_idle(self) -> None:
        if self.closed:
            return
        if (cut := self._cut_off) is not None:
            if not self._responder.busy and (self._playback.silent or not cut.finish_sentence):
                self._refuse(cut.code, cut.message, None, None)
                self._end(cut.code, cut.message)
                self._emit(Close(code=REFUSED, reason=f"{ERRORS[cut.code].type}.{cut.code}"))
        elif self._draining is not None:
            self._drain_if_idle(self._draining)

    def _drain_if_idle(self, reason: str) -> None:
        at_work = self._user.current is not None or self._responder.busy or self._responder.open_calls
        if not at_work and self._playback.silent:
            self._end("server_draining", reason)
            self._emit(Close(code=1001, reason=reason))

    def _end(self, code: str, message: str) -> None:
        self._responder.end_all(code if code in ERRORS else "internal_error", message, self._now)
        for listening in list(self._user.running.values()):
            self._user.drop(listening)
        self._servers.end()
        self.closed = True

    # ---- small things

    def _rules(self) -> TurnDetection | None:
        return self.config.audio.input.turn_detection

    def _lock(self) -> SessionLock:
        return SessionLock(voice=self._responder.voice_used, speed=self._responder.active is not None)

    def _realtime(self, what: str) -> RealtimeConfig:
        if not isinstance(self.config, RealtimeConfig):
            raise RequestError(
                "session_type_not_supported", f"'{what}' is not supported in a transcription session.", "type"
            )
        return self.config

    def _effective(self) -> dict[str, Any]:
        kind = "realtime.session" if isinstance(self.config, RealtimeConfig) else "realtime.transcription_session"
        own = {"id": self.id, "object": kind, "expires_at": self._terms.expires_at}
        return {**own, **shown(self.config)}

    def _refuse(self, code: str, message: str, param: str | None, event_id: str | None) -> None:
        body = e.ErrorBody(
            type=ERRORS[code].type,
            code=code,
            message=message[:ERROR_CHARS_MAX],
            param=param and param[:ERROR_CHARS_MAX],
            event_id=event_id,
        )
        self._say(e.Error(error=body))

    def _say(self, event: e.AnyServerEvent) -> None:
        self._emit(Send(event=event))

    def _say_all(self, several: Sequence[e.AnyServerEvent]) -> None:
        for event in several:
            self._say(event)

    def _emit(self, effect: AnyEffect) -> None:
        self._effects.append(effect)
