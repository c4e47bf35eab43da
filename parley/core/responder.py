"""The server's side: which responses run, what they read, and how each one ends.

At most one response writes to the conversation (`active`); out-of-band ones run beside it (protocol.md 6.4). A *draft*
is an answer begun on a guess, while the user may still go on speaking: its work runs, but nothing of it is said until
the turn has really ended, and if the guess was wrong nobody ever hears of it.
"""

from collections.abc import Callable, Sequence
from typing import Any

from parley.core.config import RealtimeConfig, ResponseOptions
from parley.core.conversation import Conversation, Entry
from parley.core.effects import AnyEffect, Generate, Meter, Send, Start, Stop, Turn
from parley.core.events import AnyServerEvent, RateLimitsUpdated
from parley.core.inputs import Called, Ended, Failed, Generated, Said, Spoke, Thought
from parley.core.mcp import Approved, RemoteCall, Servers
from parley.core.plan import Plan, plan
from parley.core.playback import Playback
from parley.core.rates import Allowance, Rate, refusal
from parley.core.responses import Made as MadeByRun
from parley.core.responses import Run
from parley.core.terms import Terms
from parley.core.timing import Clock
from parley.core.usage import Line, Tokens, common_prefix, fit, input_budget, prompt_line, usage
from parley.errors import ERRORS, EngineError, RequestError
from parley.ids import NewId

OUT_OF_BAND_MAX = 16
"""Responses with ``conversation:"none"`` that may run at once."""

DRAFT_INPUTS_MAX = 2_000
"""A draft that has grown beyond this is dropped; the answer is then made when the turn has ended."""

Emit = Callable[[AnyEffect], None]
Made = Said | Spoke | Thought | Called | Ended | Generated | Failed
"""What an engine posts about a response."""


class _Draft:
    def __init__(self, work: Generate, words: str) -> None:
        self.work = work
        self.words = words
        """The transcript it answers; it is worth nothing if the last word is another."""
        self.made: list[Made] = []


class Responder:
    def __init__(
        self,
        conversation: Conversation,
        terms: Terms,
        new_id: NewId,
        emit: Emit,
        now: float,
        servers: Servers,
        playback: Playback | None = None,
    ) -> None:
        """`playback` is given where the transport plays the sound itself."""
        self.active: Run | None = None
        """The one response that writes to the conversation."""
        self.voice_used = False
        """Assistant audio has been produced: the voice is fixed."""
        self.open_calls: set[str] = set()
        """Function calls that the client has not answered yet."""
        self._runs: dict[str, Run] = {}
        self._draft: _Draft | None = None
        self._conversation = conversation
        self._terms = terms
        self._new_id = new_id
        self._emit = emit
        self._playback = playback
        self._servers = servers
        self._cut_off: tuple[str, str] | None = None
        """Code and message of what ends each response before its next sentence; none may begin."""
        shown = (Rate("requests", terms.requests_per_minute), Rate("tokens", terms.tokens_per_minute))
        self._allowance = Allowance(shown, now)
        self._read_before: tuple[Line, ...] = ()

    @property
    def busy(self) -> bool:
        return bool(self._runs)

    # ---- beginnings

    def check_room(self, options: ResponseOptions) -> None:
        """Raises `RequestError` where another response may not start now."""
        if self._cut_off is not None:
            raise RequestError(*self._cut_off)
        if options.conversation == "auto" and self.active is not None:
            raise RequestError(
                "conversation_already_has_active_response",
                f"Conversation already has an active response in progress: {self.active.id}. "
                "Wait until the response is finished before creating a new one.",
            )
        if options.conversation == "none" and len(self._runs) - (self.active is not None) >= OUT_OF_BAND_MAX:
            raise RequestError("too_many_responses", f"At most {OUT_OF_BAND_MAX} out-of-band responses run at once.")

    def create(
        self,
        config: RealtimeConfig,
        options: ResponseOptions,
        entries: Sequence[Entry],
        waits_for: set[str],
        clock: Clock,
        now: float,
        calls: Sequence[Approved] = (),
    ) -> Run:
        """Announce a response; it generates as soon as nothing of `waits_for` is missing. Call `check_room` first.

        `calls` are made before that, and their results read.

        Where a limit is used up it fails at once (protocol.md 8.3: `rate_limit_exceeded` in its status details).
        """
        stopped_by = self._allowance.used_up(now)
        if stopped_by is not None:
            self.drop_draft()
        draft = self._draft
        response_id = draft.work.work_id if draft is not None else self._new_id("resp")
        run = self._run(response_id, config, options, clock)
        run.entries = tuple(entries)
        run.waits_for = waits_for
        clock.response_created = now
        self._runs[run.id] = run
        if run.plan.in_conversation:
            self.active = run
        run.create()
        if stopped_by is None:
            self._allowance.spend(now, requests=1)
        self._say(RateLimitsUpdated(rate_limits=self._allowance.rows(now)))
        if stopped_by is not None:
            self._fail(run, "rate_limit_exceeded", refusal(stopped_by), now)
        elif calls:
            self._begin_calls(run, [run.take_up(call) for call in calls], now)
            self._go_on(run, now)
        elif not waits_for:
            self._generate(run, now)
        return run

    def may_begin(self, now: float) -> bool:
        """Whether a response that nobody asks for may start now."""
        return self._cut_off is None and self.active is None and self._allowance.used_up(now) is None

    def know_rates(self, rates: Sequence[Rate], now: float) -> None:
        """How the limits stand, the responses that run not counted yet."""
        self._allowance.told(rates, len(self._runs), now)

    def words_have_come(self, work_id: str, now: float) -> None:
        """A transcription has ended: responses that waited for it alone can start."""
        for run in list(self._runs.values()):
            if work_id in run.waits_for:
                run.waits_for.discard(work_id)
                if not run.waits_for and not run.calling:
                    self._generate(run, now)

    def words_will_not_come(self, work_id: str, code: str, message: str, now: float) -> None:
        """A transcription has failed, and with it every response that had to read it."""
        for run in list(self._runs.values()):
            if work_id in run.waits_for:
                self._fail(run, code, message, now)

    def _run(self, response_id: str, config: RealtimeConfig, options: ResponseOptions, clock: Clock) -> Run:
        return Run(
            response_id,
            plan(config, options, self._terms.output_tokens, self._servers),
            conversation=self._conversation,
            say=self._say,
            new_id=self._new_id,
            count=self._terms.count_tokens,
            clock=clock,
        )

    def _generate(self, run: Run, now: float) -> None:
        try:
            run.contexts.append(self._fit(run.plan, run.reading()))
        except EngineError as error:
            self._fail(run, error.code, error.message, now)
            return
        run.generating, run.returned_calls = True, 0
        draft, self._draft = self._draft, None
        if draft is None:
            self._emit(Start(work=run.work()))
        elif draft.work != run.work():
            self._emit(Stop(work_id=draft.work.work_id))
            self._emit(Start(work=run.work()))
        else:
            for made in draft.made:
                self.take(made, now)

    def _fit(self, chosen: Plan, entries: Sequence[Entry]) -> Any:
        count = self._terms.count_tokens
        tools = "\n".join(f"{tool.name} {tool.description or ''} {tool.parameters}" for tool in chosen.tools)
        budget = input_budget(self._terms.context_tokens, self._terms.output_tokens)
        return fit(prompt_line(chosen.instructions, tools, count), entries, chosen.truncation, budget, count)

    # ---- drafts

    def draft(self, config: RealtimeConfig, entries: Sequence[Entry], words: str, now: float) -> None:
        """Begin to answer on the guess that the user's turn ends with `words`."""
        if self.active is not None or self._draft is not None or self._allowance.used_up(now) is not None:
            return
        run = self._run(self._new_id("resp"), config, ResponseOptions(), Clock())
        try:
            run.contexts.append(self._fit(run.plan, entries))
        except EngineError:
            return  # the real response will say so
        self._draft = _Draft(run.work(), words)
        self._emit(Start(work=self._draft.work))

    def drop_draft(self) -> None:
        if self._draft is not None:
            self._emit(Stop(work_id=self._draft.work.work_id))
            self._draft = None

    def drop_draft_unless(self, words: str) -> None:
        if self._draft is not None and self._draft.words != words:
            self.drop_draft()

    # ---- what engines post

    def take(self, made: Made, now: float) -> None:
        """Late posts of responses that are over have no run any more, and are dropped here."""
        draft = self._draft
        if draft is not None and made.work_id == draft.work.work_id:
            draft.made.append(made)
            if len(draft.made) > DRAFT_INPUTS_MAX or isinstance(made, Failed):
                self.drop_draft()
            return
        run = self._runs.get(made.work_id)
        if run is None or not run.generating:
            return
        match made:
            case Said() if run.began and self._cut_off is not None:
                self._abort(run, *self._cut_off, now)
                return
            case Said() | Thought() | Called():
                run.wrote(made)
            case Spoke():
                self._spoke(run, made, now)
            case Ended():
                self._begin_calls(run, run.ended(made.output, preamble=made.preamble), now)
            case Generated():
                run.thoughts_counted(made.reasoning_tokens)
                self._generated(run, made.reason, now)
                return
            case Failed():
                self._fail(run, made.code, made.message, now)
                return
        if run.full:
            self._emit(Stop(work_id=run.id))
            self._end(run, "incomplete", {"type": "incomplete", "reason": "max_output_tokens"}, now)

    def _spoke(self, run: Run, spoke: Spoke, now: float) -> None:
        if self._playback is not None and run.silenced:
            return  # the buffer was cleared: what is still made is not played
        if run.clock.first_audio is None:
            run.clock.first_audio = now
        self.voice_used = True
        if self._playback is not None and run.speaking is not None:
            for event in self._playback.sound(run.id, run.speaking):
                self._say(event)
        run.spoke(spoke)

    def _generated(self, run: Run, reason: str, now: float) -> None:
        match reason:
            case "length":
                self._end(run, "incomplete", {"type": "incomplete", "reason": "max_output_tokens"}, now)
            case "content_filter":
                self._end(run, "incomplete", {"type": "incomplete", "reason": "content_filter"}, now)
            case _:
                self._begin_calls(run, run.all_ended(), now)
                self._go_on(run, now)

    # ---- calls to MCP servers

    def _begin_calls(self, run: Run, several: Sequence[MadeByRun], now: float) -> None:
        for made in several:
            if not isinstance(made, RemoteCall):
                self._servers.ask(made)
                continue
            if run.clock.tool_start is None:
                run.clock.tool_start = now
            if not self._servers.call(made):
                run.returned(made.entry.id)
                run.clock.tool_end = now

    def returned(self, item_id: str, now: float) -> None:
        """A call is over; the response that made it, if it still runs, may go on."""
        for run in list(self._runs.values()):
            if run.returned(item_id):
                run.clock.tool_end = now
                self._go_on(run, now)

    def _go_on(self, run: Run, now: float) -> None:
        """When engine and servers are done: the model reads what was returned, unless the client has its turn first."""
        if run.generating or run.calling or run.waits_for:
            return
        if self._cut_off is not None:
            self._abort(run, *self._cut_off, now)
        elif run.returned_calls and not run.asked and not run.completed_calls:
            self._generate(run, now)
        else:
            self._end(run, "completed", {"type": "completed"}, now)

    # ---- ends

    def find(self, response_id: str | None) -> Run | None:
        """The running response of this id; without one, the active response."""
        return self.active if response_id is None else self._runs.get(response_id)

    def cancel(self, run: Run, reason: str, now: float) -> None:
        self._stop(run)
        if reason == "turn_detected":
            run.clock.interrupted_at_ms = run.spoken_ms
        self._end(run, "cancelled", {"type": "cancelled", "reason": reason}, now)

    def cut_off(self, code: str, message: str, now: float, *, finish_sentence: bool) -> None:
        """Nothing may begin; what runs ends now, or with the sentence that is being said."""
        self._cut_off = (code, message)
        self.drop_draft()
        for run in list(self._runs.values()):
            if not (finish_sentence and run.began and run.generating):
                self._abort(run, code, message, now)

    def end_all(self, code: str, message: str, now: float) -> None:
        """The session is over: nothing that was created stays without its end."""
        self.drop_draft()
        for run in list(self._runs.values()):
            self._abort(run, code, message, now)

    def _stop(self, run: Run) -> None:
        if run.generating:
            self._emit(Stop(work_id=run.id))

    def _abort(self, run: Run, code: str, message: str, now: float) -> None:
        self._stop(run)
        self._fail(run, code, message, now)

    def _fail(self, run: Run, code: str, message: str, now: float) -> None:
        error = {"type": ERRORS[code].type, "code": code, "message": message}
        self._end(run, "failed", {"type": "failed", "error": error}, now, code)

    def _end(self, run: Run, status: str, details: dict[str, Any], now: float, code: str | None = None) -> None:
        del self._runs[run.id]
        if self.active is run:
            self.active = None
        spent = self._spent(run)
        run.clock.done = now
        run.finish(status, details, spent)
        for call_id in run.completed_calls:
            self.open_calls.add(call_id)
            run.clock.tool_start = now
        self._allowance.spend(now, tokens=spent.total_tokens)
        self._emit(
            Meter(
                turn=Turn(
                    kind="response",
                    id=run.id,
                    item_id=None,
                    model=run.plan.model,
                    status=status,
                    stamps=run.clock.read(),
                    usage=spent,
                    error_code=code,
                )
            )
        )

    def _spent(self, run: Run) -> Any:
        """What was read and written so far, also for a response that did not come to its own end (protocol.md 6.2)."""
        text, audio = run.written_tokens
        read, cached = Tokens(), Tokens()
        for context in run.contexts:
            read = sum((line.tokens for line in context.lines), read)
            cached += common_prefix(context.lines, self._read_before)
            if run.plan.in_conversation:
                self._read_before = context.lines
        return usage(read, cached, text, audio)

    def _say(self, event: AnyServerEvent) -> None:
        self._emit(Send(event=event))
