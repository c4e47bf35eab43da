"""What a running session costs: a hold ahead of what it is about to spend, one capture per response.

    meter = Meter(ledger, tab, price_of, stop)
    await meter.open()                     # RequestError when there is no money for the first seconds
    meter.heard(ms=20)                     # from here on nothing waits
    meter.started("resp_1")
    meter.spoke("resp_1", ms=400)
    meter.turn(turn)                       # exactly what was measured
    await meter.close()

The hold covers what runs and is not captured yet, and beyond it the next seconds at the worst price: a response that
reads the whole conversation, nothing of it cached, and speaks without a pause. When what is ahead falls below `LOW_S`
it is filled up to `AHEAD_S`; when that is refused, `stop` is told, once, and some seconds of speech are paid for still,
to end the sentence in. What a response really cost is known when it ends; that is captured, be it more or less.

Orders have ids made of the session's and the response's: doing them again is doing them once. With each goes what is
`owed`, the sound that was made and not captured yet: should this process die, the ledger captures that and no guess.
"""

import asyncio
import logging
from collections.abc import Awaitable, Callable, Coroutine
from typing import Any, Final, TypeVar

import msgspec

from parley.billing.book import Line, Usage
from parley.billing.ledger import Ledger
from parley.billing.prices import Price, cost
from parley.core.effects import Turn
from parley.core.relayed import LOCAL
from parley.errors import EngineError, RequestError
from parley.telemetry import note

AHEAD_S: Final = 15
"""Speech that is paid for in advance, whenever the hold is moved."""
LOW_S: Final = 5
"""When less than this is ahead, it is moved."""
HOLD_S: Final = 25 * 3_600.0
"""When a hold ends by itself, should everything else fail: later than any session."""
RETRY_DELAYS_S: Final = (0.1, 0.5, 2.0, 5.0)
"""A capture is tried again while the database cannot be reached."""

USER_AUDIO_TOKENS_S: Final = 10
ASSISTANT_AUDIO_TOKENS_S: Final = 20
"""protocol.md 6.2."""
ASSISTANT_TEXT_TOKENS_S: Final = 10
"""Three times as many words as anybody speaks."""

Done = TypeVar("Done")

log = logging.getLogger(__name__)


class Tab(msgspec.Struct, frozen=True, kw_only=True):
    """Who pays for a session."""

    session: str
    model: str
    account: str
    budget: str | None = None
    project: str | None = None
    api_key: str | None = None
    markup_bp: int = 0
    minute_micro: int = 0
    """What a minute costs besides, as of a telephone line."""


# ---- policy: pure


class Running(msgspec.Struct, frozen=True, kw_only=True):
    """A response that was not captured yet, as far as it can be counted from outside."""

    reads: int
    heard_ms: int = 0
    """What the user had said when it began."""
    spoken_ms: int = 0


class Context(msgspec.Struct, frozen=True, kw_only=True):
    """What the next response would read, at most: tokens of the last one, and what was heard since."""

    tokens: int = 0
    heard_ms: int = 0

    @property
    def reads(self) -> int:
        return self.tokens + _whole(self.heard_ms * USER_AUDIO_TOKENS_S, 1_000)


def worst(tab: Tab, price: Price, reads: int, spoken_ms: int) -> int:
    """The most that a response can cost that reads so many tokens and speaks for so long."""
    dearest = max(("input_text", "input_audio", "input_image"), key=lambda kind: int(getattr(price, kind)))
    usage = Usage(
        session=tab.session,
        model=tab.model,
        kind="response",
        output_audio=_audio_tokens(spoken_ms),
        output_text=_whole(spoken_ms * ASSISTANT_TEXT_TOKENS_S, 1_000),
    )
    return cost(msgspec.structs.replace(usage, **{dearest: reads}), price, tab.markup_bp)


def spoken(tab: Tab, price: Price, ms: int) -> int:
    """The least that it can cost: the sound that was made."""
    usage = Usage(session=tab.session, model=tab.model, kind="response", output_audio=_audio_tokens(ms))
    return cost(usage, price, tab.markup_bp)


def ahead(tab: Tab, price: Price, context: Context, seconds: int) -> int:
    """The worst that the next seconds can cost: the user speaks, is answered, and the answer takes as long."""
    later = context.reads + seconds * USER_AUDIO_TOKENS_S
    minutes = Usage(session=tab.session, model=tab.model, kind="time", milliseconds=seconds * 1_000)
    return worst(tab, price, later, seconds * 1_000) + cost(minutes, of_time(tab, price), tab.markup_bp)


def of_time(tab: Tab, price: Price) -> Price:
    """What the time of a session costs: that of the model, and of the line by which it is reached."""
    return msgspec.structs.replace(price, minute=price.minute + tab.minute_micro)


def usage_of(turn: Turn, tab: Tab, running: Running | None) -> Usage:
    """What a turn has used, for its line. Where the engine told nothing our own count is taken, and marked.

    Counts come from other servers too: what cannot be (less than nothing, more cached than read) is put right.
    """
    whose = {"session": tab.session, "model": turn.model, "kind": turn.kind, "project": tab.project}
    base = Usage(**whose, api_key=tab.api_key, markup_bp=tab.markup_bp)  # type: ignore[arg-type]
    if turn.kind == "transcription":
        heard = _whole(max(0, turn.audio_ms) * USER_AUDIO_TOKENS_S, 1_000)
        return msgspec.structs.replace(
            base, input_audio=heard, output_text=max(0, turn.text_tokens), milliseconds=max(0, turn.audio_ms)
        )
    if turn.usage is None:
        counted = running or Running(reads=0)
        return msgspec.structs.replace(
            base,
            input_text=counted.reads,
            output_audio=_audio_tokens(counted.spoken_ms),
            estimated=True,
        )
    read, cached, written = (
        turn.usage.input_token_details,
        turn.usage.input_token_details.cached_tokens_details,
        turn.usage.output_token_details,
    )
    return msgspec.structs.replace(
        base,
        input_text=max(0, read.text_tokens),
        input_audio=max(0, read.audio_tokens),
        input_image=max(0, read.image_tokens),
        cached_text=_within(cached.text_tokens, read.text_tokens),
        cached_audio=_within(cached.audio_tokens, read.audio_tokens),
        cached_image=_within(cached.image_tokens, read.image_tokens),
        output_text=max(0, written.text_tokens),
        output_audio=max(0, written.audio_tokens),
    )


def next_context(context: Context, running: Running | None, usage: Usage) -> Context:
    """After a response: the next one reads what it read, what it wrote, and what was heard meanwhile."""
    read = usage.input_text + usage.input_audio + usage.input_image
    heard_ms = context.heard_ms - (running.heard_ms if running is not None else 0)
    return Context(tokens=read + usage.output_text + usage.output_audio, heard_ms=heard_ms)


def _audio_tokens(ms: int) -> int:
    return _whole(ms * ASSISTANT_AUDIO_TOKENS_S, 1_000)


def _within(part: int, whole: int) -> int:
    return max(0, min(part, whole))


def _whole(part: int, per: int) -> int:
    return -(-part // per)


# ---- shell


class Meter:
    """Of one session, on its event loop.

    `price_of` knows the price of a model today, None where it is free of charge. `stop` is told once, with the code of
    an error, when the session may go on no longer than its sentence.
    """

    def __init__(
        self,
        ledger: Ledger,
        tab: Tab,
        price_of: Callable[[str], Price | None],
        stop: Callable[[str], object],
        sleep: Callable[[float], Awaitable[None]] = asyncio.sleep,
        cost_of: Callable[[str, str], Price | None] = lambda named, model: None,
    ) -> None:
        """`cost_of` knows what upstreams ask, see `PriceBook.find_cost`."""
        self._ledger = ledger
        self._tab = tab
        self._price_of = price_of
        self._price = self._price_now(tab.model)
        self._stop = stop
        self._sleep = sleep
        self._cost_of = cost_of
        self._hold = f"{tab.session}:hold"
        self._left = 0
        """Of the hold, by the last line."""
        self._context = Context()
        self._running: dict[str, Running] = {}
        self._second = worst(tab, self._price, 0, 1_000)
        """What a second of speech costs at most."""
        self._safe_ms = 0
        """So much speech may be made before the hold must be looked at again."""
        self._extensions = 0
        self._extending = False
        self._tasks: set[asyncio.Task[Any]] = set()
        self._stopped = False
        self._timed_ms = 0
        """Time of the session that was captured, or is about to be."""
        self.charged = 0
        """Micro-credits so far: the live price of the session, as it stands in the ledger."""

    @property
    def session(self) -> str:
        return self._tab.session

    async def open(self, reads: int = 0) -> Line:
        """Holds for the first seconds; `reads` is what the instructions have in tokens. Raises `RequestError`."""
        self._context = Context(tokens=reads)
        line = await self._ledger.hold(
            self._hold,
            self._tab.account,
            ahead(self._tab, self._price, self._context, AHEAD_S),
            budget=self._tab.budget,
            expires_in_s=HOLD_S,
        )
        self._left = line.remaining
        return line

    # ---- while it runs

    def heard(self, ms: int) -> None:
        """Sound of the user that a response may have to read."""
        self._context = Context(tokens=self._context.tokens, heard_ms=self._context.heard_ms + ms)

    def read(self, tokens: int) -> None:
        """Something that a response will read besides sound."""
        self._context = Context(tokens=self._context.tokens + tokens, heard_ms=self._context.heard_ms)

    def started(self, response_id: str) -> None:
        self._running[response_id] = Running(reads=self._context.reads, heard_ms=self._context.heard_ms)
        self._look_ahead()

    def spoke(self, response_id: str, ms: int) -> None:
        """So much more sound of an answer was made."""
        running = self._running.get(response_id)
        if running is not None:
            self._running[response_id] = msgspec.structs.replace(running, spoken_ms=running.spoken_ms + ms)
            self._safe_ms -= ms
            if self._safe_ms < 0:
                self._look_ahead()

    def turn(self, turn: Turn) -> "asyncio.Task[Line | None]":
        """Captures what a response or a transcription has cost.

        There is nothing to wait for; who does gets the line, or None when the ledger has closed this session's hold.
        """
        running = self._running.pop(turn.id, None)
        usage = usage_of(turn, self._tab, running)
        if turn.kind == "response":
            self._context = next_context(self._context, running, usage)
        return self._capture(turn.id, self._with_cost(usage, turn))

    def passed(self, ms: int) -> None:
        """The session has run for so long in all. Captures its time, where time has a price."""
        if of_time(self._tab, self._price).minute and ms > self._timed_ms:
            self._capture(f"time_{ms}", msgspec.structs.replace(self._usage("time"), milliseconds=ms - self._timed_ms))
            self._timed_ms = ms

    def called(self) -> None:
        """The session is a call that was taken. Captures the price of a call, where it has one."""
        if self._price.call:
            self._capture("call", msgspec.structs.replace(self._usage("call"), calls=1))

    async def close(self) -> Line | None:
        """Waits for what is being captured, and frees the rest. None when the hold was closed already."""
        while self._tasks:
            await asyncio.gather(*self._tasks, return_exceptions=True)
        tab = self._tab
        return await self._surely(
            lambda: self._ledger.release(f"{tab.session}:end", tab.account, self._hold, budget=tab.budget)
        )

    # ---- inside

    def _with_cost(self, usage: Usage, turn: Turn) -> Usage:
        if turn.upstream is None:
            return usage
        asked = Price(model="") if turn.upstream == LOCAL else self._cost_of(turn.upstream_model, turn.model)
        spent = None if asked is None else cost(usage, asked)
        return msgspec.structs.replace(usage, upstream=turn.upstream, cost=spent)

    def _price_now(self, model: str) -> Price:
        return self._price_of(model) or Price(model=model)

    def _usage(self, kind: str) -> Usage:
        tab = self._tab
        return Usage(
            session=tab.session, model=tab.model, kind=kind, project=tab.project, api_key=tab.api_key,
            markup_bp=tab.markup_bp, price_from=self._price.since,
        )  # fmt: skip

    def _capture(self, what: str, usage: Usage) -> "asyncio.Task[Line | None]":
        price = self._price if usage.model == self._tab.model else self._price_now(usage.model)
        price = of_time(self._tab, price) if usage.kind == "time" else price
        usage = msgspec.structs.replace(usage, price_from=price.since)
        return self._do(self._captured(f"{self._tab.session}:{what}", usage, cost(usage, price, self._tab.markup_bp)))

    async def _captured(self, id: str, usage: Usage, amount: int) -> Line | None:
        tab, owed = self._tab, self._owed
        try:
            line = await self._surely(
                lambda: self._ledger.capture(
                    id, tab.account, self._hold, amount, budget=tab.budget, owed=owed, usage=usage, hurry=False
                )
            )
        except (EngineError, RequestError) as error:
            note(log, "not captured", logging.ERROR, session=tab.session, line=id, micro=amount, code=error.code)
            self._starve(error.code)
            raise
        if line is not None:
            self.charged += line.moved
            self._left = line.remaining
            if line.missing:
                self._starve("insufficient_credits")
            self._look_ahead()
        return line

    async def _surely(self, ask: Callable[[], Awaitable[Line]]) -> Line | None:
        """Money that was earned is asked for until the database answers. Raises `EngineError` when it never does."""
        for delay in (*RETRY_DELAYS_S, None):
            try:
                return await ask()
            except EngineError as error:
                if not error.retryable or delay is None:
                    raise
                await self._sleep(delay)
            except RequestError as refusal:
                if refusal.code != "hold_closed":
                    raise
                # We were believed dead, and the hold was settled: this session is over.
                note(log, "hold closed", logging.WARNING, session=self._tab.session)
                self._starve(refusal.code)
                return None
        raise AssertionError

    def _look_ahead(self) -> None:
        if self._stopped or self._extending:
            return
        spare = -self._short_of(LOW_S)
        if spare < 0:
            self._extending = True
            self._do(self._extend())
        else:
            self._safe_ms = spare * 1_000 // max(1, self._second)

    def _short_of(self, seconds: int) -> int:
        """What is missing in the hold to cover what runs and the next seconds."""
        underway = sum(worst(self._tab, self._price, one.reads, one.spoken_ms) for one in self._running.values())
        return underway + ahead(self._tab, self._price, self._context, seconds) - self._left

    @property
    def _owed(self) -> int:
        return sum(spoken(self._tab, self._price, one.spoken_ms) for one in self._running.values())

    async def _extend(self) -> None:
        """Fills the hold up; where that much cannot be had, the least that will do."""
        try:
            for seconds in (AHEAD_S, LOW_S):
                try:
                    line = await self._extended(max(0, self._short_of(seconds)))
                except (RequestError, EngineError) as error:
                    code = error.code
                else:
                    self._left = line.remaining
                    break
            else:
                self._starve(code)
        finally:
            self._extending = False
        self._look_ahead()

    async def _extended(self, amount: int) -> Line:
        self._extensions += 1
        tab, id = self._tab, f"{self._tab.session}:ahead_{self._extensions}"
        return await self._ledger.extend(
            id, tab.account, self._hold, amount, budget=tab.budget, owed=self._owed, hurry=False
        )

    def _do(self, work: "Coroutine[None, None, Done]") -> "asyncio.Task[Done]":
        task = asyncio.create_task(work)
        self._tasks.add(task)
        task.add_done_callback(self._over)
        return task

    def _over(self, task: "asyncio.Task[Any]") -> None:
        self._tasks.discard(task)
        if not task.cancelled():
            task.exception()  # was logged; whoever waits for the task is told as well

    def _starve(self, code: str) -> None:
        if not self._stopped:
            self._stopped = True
            self._stop(code)
