"""The meter of a session: what it holds ahead, what it captures, when it says stop."""

import asyncio

import hypothesis.strategies as st
import msgspec
import pytest
from hypothesis import given

from parley.billing.audit import audit
from parley.billing.book import AnyOrder, Line, Usage
from parley.billing.ledger import HOLDER_S, Ledger
from parley.billing.meter import (
    AHEAD_S,
    LOW_S,
    RETRY_DELAYS_S,
    Context,
    Meter,
    Running,
    Tab,
    ahead,
    next_context,
    spoken,
    usage_of,
    worst,
)
from parley.billing.prices import Price, cost
from parley.core.effects import Stamps, Turn
from parley.core.events import CachedTokens, InputTokens, OutputTokens
from parley.core.events import Usage as WireUsage
from parley.errors import EngineError, RequestError
from parley.storage import Script, Sql, Storage
from tests.databases import Clock

PRICE = Price(
    model="m", since="2026-01-01", input_text=4_000_000, input_audio=32_000_000, cached_text=400_000,
    cached_audio=400_000, output_text=16_000_000, output_audio=64_000_000,
)  # fmt: skip
WHISPER = Price(model="whisper-1", minute=6_000)
TAB = Tab(session="sess_1", model="m", account="ann", api_key="key_1", project="proj_1")
START = ahead(TAB, PRICE, Context(), AHEAD_S)


def price_of(model: str) -> Price | None:
    return {"m": PRICE, "whisper-1": WHISPER}.get(model)


def wire(text: int = 0, audio: int = 0, cached: int = 0, said: int = 0, spoken: int = 0) -> WireUsage:
    return WireUsage(
        total_tokens=text + audio + said + spoken,
        input_tokens=text + audio,
        output_tokens=said + spoken,
        input_token_details=InputTokens(
            text_tokens=text, audio_tokens=audio, image_tokens=0, cached_tokens=cached,
            cached_tokens_details=CachedTokens(text_tokens=cached),
        ),
        output_token_details=OutputTokens(text_tokens=said, audio_tokens=spoken),
    )  # fmt: skip


def response(id: str, usage: WireUsage | None) -> Turn:
    return Turn(kind="response", id=id, item_id=None, model="m", status="completed", stamps=Stamps(), usage=usage)


def transcription(id: str, ms: int) -> Turn:
    return Turn(
        kind="transcription", id=id, item_id="item", model="whisper-1", status="completed", stamps=Stamps(),
        audio_ms=ms, text_tokens=9,
    )  # fmt: skip


class Stopped(list[str]):
    """Codes that the session was told to stop with."""

    def __call__(self, code: str) -> None:
        self.append(code)


async def settle(meter: Meter) -> None:
    """Until the meter waits for nothing."""
    while meter._tasks:
        await asyncio.gather(*meter._tasks, return_exceptions=True)


# ---- policy


def test_the_next_seconds_at_the_worst_price() -> None:
    # 150 tokens of the user's sound to read, 300 of sound and 150 of words to say.
    assert START == 150 * 32 + 300 * 64 + 150 * 16
    assert ahead(TAB, PRICE, Context(tokens=1000, heard_ms=2_000), AHEAD_S) == START + 1020 * 32
    per_minute = Price(model="m", minute=80_000)
    assert ahead(TAB, per_minute, Context(), 15) == 20_000


@given(st.integers(0, 30_000), st.integers(0, 600_000), st.integers(0, 30_000), st.integers(0, 600_000))
def test_the_worst_is_never_less_than_what_was_made(reads: int, ms: int, text: int, less_ms: int) -> None:
    text, made_ms = min(text, reads), min(ms, less_ms)
    real = Usage(
        session="s", model="m", kind="response", input_text=text, cached_text=text // 2, input_audio=reads - text,
        output_audio=-(-made_ms // 50), output_text=made_ms // 100,
    )  # fmt: skip
    assert spoken(TAB, PRICE, made_ms) <= cost(real, PRICE) <= worst(TAB, PRICE, reads, ms)


def test_the_next_response_reads_what_was_said_and_heard() -> None:
    usage = Usage(session="s", model="m", kind="response", input_audio=100, output_audio=40, output_text=10)
    before, running = Context(tokens=60, heard_ms=5_000), Running(reads=100, heard_ms=4_000)
    assert next_context(before, running, usage) == Context(tokens=150, heard_ms=1_000)
    assert next_context(before, running, usage).reads == 160


def test_counts_that_cannot_be_are_put_right() -> None:
    usage = usage_of(response("r", wire(text=-5, audio=7, cached=100, said=-1, spoken=3)), TAB, None)
    assert (usage.input_text, usage.cached_text, usage.input_audio) == (0, 0, 7)
    assert (usage.output_text, usage.output_audio, usage.estimated) == (0, 3, False)


def test_without_usage_our_own_count_is_taken_and_marked() -> None:
    usage = usage_of(response("r", None), TAB, Running(reads=50, spoken_ms=1_000))
    assert (usage.input_text, usage.output_audio, usage.estimated) == (50, 20, True)


# ---- a session


async def test_a_session_holds_captures_and_frees(ledger: Ledger, storage: Storage) -> None:
    stopped = Stopped()
    await ledger.credit("c", "ann", 10 * START)
    meter = Meter(ledger, TAB, price_of, stopped)
    assert (await meter.open()).held == START
    meter.heard(2_000)
    meter.started("resp_1")
    meter.spoke("resp_1", 1_000)
    usage = wire(text=30, audio=20, said=8, spoken=20)
    line = await meter.turn(response("resp_1", usage))
    assert line is not None
    assert line.id == "sess_1:resp_1"
    assert line.moved == meter.charged == 30 * 4 + 20 * 32 + 8 * 16 + 20 * 64
    told = await meter.turn(transcription("asr_1", 1_500))
    assert told is not None
    assert told.moved == 150
    end = await meter.close()
    assert end is not None
    assert (end.posted, end.held) == (10 * START - meter.charged, 0)
    assert stopped == []

    def rows() -> Script[list[tuple[object, ...]]]:
        rows = yield Sql(
            "SELECT model, kind, api_key, project, input_audio, output_audio, milliseconds, price_from, moved "
            "FROM ledger_usage ORDER BY moved DESC"
        )
        return [tuple(row) for row in rows]

    assert await storage.read(rows) == [
        ("m", "response", "key_1", "proj_1", 20, 20, 0, "2026-01-01", 2168),
        ("whisper-1", "transcription", "key_1", "proj_1", 15, 0, 1_500, "1970-01-01", 150),
    ]


async def test_the_hold_runs_ahead_of_the_speech(ledger: Ledger) -> None:
    await ledger.credit("c", "ann", 100 * START)
    meter = Meter(ledger, TAB, price_of, Stopped())
    await meter.open()
    meter.started("resp_1")
    for _ in range(120):
        meter.spoke("resp_1", 1_000)
        await settle(meter)
        assert meter._short_of(LOW_S) <= 0
    lines = (await ledger.statement("ann")).lines
    moves = [line for line in lines if line.kind == "extend"]
    assert 5 <= len(moves) <= 120 // (AHEAD_S - LOW_S) + 2
    line = await meter.turn(response("resp_1", wire(spoken=2_400)))
    assert line is not None
    assert line.moved == 2_400 * 64
    await meter.close()


async def test_no_money_no_session(ledger: Ledger) -> None:
    await ledger.credit("c", "ann", START - 1)
    meter = Meter(ledger, TAB, price_of, Stopped())
    with pytest.raises(RequestError) as caught:
        await meter.open()
    assert caught.value.code == "insufficient_credits"
    assert (await ledger.account("ann")).held == 0


async def test_when_the_money_ends_the_sentence_is_paid_for(ledger: Ledger) -> None:
    stopped = Stopped()
    await ledger.credit("c", "ann", 2 * START)
    meter = Meter(ledger, TAB, price_of, stopped)
    await meter.open()
    meter.started("resp_1")
    ms = 0
    while not stopped:
        meter.spoke("resp_1", 500)
        ms += 500
        await settle(meter)
    assert stopped == ["insufficient_credits"]
    # What was said until then, and almost the seconds that were held ahead of it.
    made = spoken(TAB, PRICE, ms + (LOW_S - 1) * 1_000)
    assert made <= 2 * START
    meter.spoke("resp_1", 1_000)
    line = await meter.turn(response("resp_1", wire(spoken=(ms + 1_000) // 50)))
    assert line is not None
    assert line.missing == 0
    await meter.close()
    assert stopped == ["insufficient_credits"]


async def test_what_costs_more_than_there_is_takes_all_and_stops(ledger: Ledger) -> None:
    stopped = Stopped()
    await ledger.credit("c", "ann", START + 100)
    meter = Meter(ledger, TAB, price_of, stopped)
    await meter.open()
    line = await meter.turn(response("resp_1", wire(audio=1_000_000)))
    assert line is not None
    assert (line.moved, line.posted, line.held) == (START + 100, 0, 0)
    assert stopped == ["insufficient_credits"]
    await meter.close()


async def test_the_same_response_is_charged_once(ledger: Ledger) -> None:
    await ledger.credit("c", "ann", 10 * START)
    meter = Meter(ledger, TAB, price_of, Stopped())
    await meter.open()
    turn = response("resp_1", wire(audio=10))
    lines = await asyncio.gather(*(meter.turn(turn) for _ in range(5)))
    assert len(set(lines)) == 1
    assert (await ledger.account("ann")).posted == 10 * START - 320
    await meter.close()


async def test_time_and_calls_that_have_a_price(ledger: Ledger) -> None:
    price = Price(model="m", minute=60_000, call=500)
    await ledger.credit("c", "ann", 1_000_000)
    meter = Meter(ledger, TAB, lambda model: price, Stopped())
    await meter.open()
    meter.called()
    meter.passed(61_000)
    meter.passed(61_000)
    meter.passed(90_000)
    await meter.close()
    assert meter.charged == 500 + 90_000
    assert (await ledger.account("ann")).posted == 1_000_000 - 90_500


async def test_what_is_free_is_counted_without_credits(ledger: Ledger, storage: Storage) -> None:
    meter = Meter(ledger, TAB, lambda model: None, Stopped())
    await meter.open()
    meter.started("resp_1")
    meter.spoke("resp_1", 60_000)
    meter.passed(60_000)
    meter.called()
    line = await meter.turn(response("resp_1", wire(audio=10)))
    assert line is not None
    assert line.moved == 0
    await meter.close()


async def test_a_session_that_dies_pays_for_the_sound_it_had_told_of(
    ledger: Ledger, storage: Storage, clock: Clock
) -> None:
    dying = Ledger(storage, "node_2", clock)
    await dying.open()
    await ledger.credit("c", "ann", 100 * START)
    stopped = Stopped()
    meter = Meter(dying, TAB, price_of, stopped)
    await meter.open()
    meter.started("resp_1")
    for _ in range(20):
        meter.spoke("resp_1", 1_000)
        await settle(meter)
    clock.seconds += HOLDER_S + 1
    await ledger.beat()
    (line,) = await ledger.settle_expired()
    assert 0 < line.moved <= spoken(TAB, PRICE, 20_000)
    # Should it not have died after all, it learns that it is over, and nothing is charged twice.
    assert await meter.turn(response("resp_1", wire(spoken=400))) is None
    assert stopped == ["hold_closed"]
    assert await meter.close() is None
    assert (await ledger.account("ann")).posted == 100 * START - line.moved


class Flaky(Ledger):
    """Cannot reach its database a few times: before it has done an order, or after."""

    def __init__(self, storage: Storage, clock: Clock, failures: int, done: bool) -> None:
        super().__init__(storage, "node_2", clock)
        self.failures = failures
        self.done = done

    async def order(self, order: AnyOrder, *, hurry: bool = True) -> Line:
        if self.failures and order.id.endswith("resp_1"):
            self.failures -= 1
            if self.done:
                await super().order(order, hurry=hurry)
            raise EngineError("storage_unavailable", "gone", retryable=True)
        return await super().order(order, hurry=hurry)


@pytest.mark.parametrize("done", [False, True])
async def test_a_capture_is_asked_for_until_it_is_answered(storage: Storage, clock: Clock, done: bool) -> None:
    slept: list[float] = []

    async def sleep(seconds: float) -> None:
        slept.append(seconds)

    ledger = Flaky(storage, clock, len(RETRY_DELAYS_S), done)
    await ledger.credit("c", "ann", 10 * START)
    meter = Meter(ledger, TAB, price_of, Stopped(), sleep)
    await meter.open()
    line = await meter.turn(response("resp_1", wire(audio=10)))
    assert line is not None
    assert slept == list(RETRY_DELAYS_S)
    await meter.close()
    assert (await ledger.account("ann")).posted == 10 * START - 320
    assert await audit(storage) == []


async def test_a_capture_that_is_never_answered_ends_the_session(storage: Storage, clock: Clock) -> None:
    async def sleep(seconds: float) -> None:
        pass

    stopped = Stopped()
    ledger = Flaky(storage, clock, 100, done=False)
    await ledger.credit("c", "ann", 10 * START)
    meter = Meter(ledger, TAB, price_of, stopped, sleep)
    await meter.open()
    with pytest.raises(EngineError):
        await meter.turn(response("resp_1", wire(audio=10)))
    assert stopped == ["storage_unavailable"]
    await meter.close()


async def test_price_events_page_and_ledger_agree(ledger: Ledger, storage: Storage) -> None:
    """The live price is the sum of the lines is the sum of the usage."""

    def usage() -> Script[int]:
        rows = yield Sql("SELECT SUM(moved) FROM ledger_usage WHERE session = $1", (TAB.session,))
        return int(rows[0][0])

    await ledger.credit("c", "ann", 100 * START)
    marked = Tab(session="sess_1", model="m", account="ann", markup_bp=1_234)
    meter = Meter(ledger, marked, price_of, Stopped())
    await meter.open()
    for n in range(20):
        meter.turn(response(f"resp_{n}", wire(text=n, audio=n * 3 % 7, said=n % 5, spoken=n * 11)))
        meter.turn(transcription(f"asr_{n}", n * 37))
    await meter.close()
    lines = (await ledger.statement("ann", limit=200)).lines
    assert meter.charged == sum(line.moved for line in lines if line.kind == "capture") == await storage.read(usage)
    assert (await ledger.account("ann")).posted == 100 * START - meter.charged


async def test_what_an_upstream_asks_stands_beside_what_was_charged(ledger: Ledger, storage: Storage) -> None:
    dear = Tab(session="sess_up", model="m", account="ann", markup_bp=5_000)
    asked = Price(model="theirs", output_audio=32_000_000)
    await ledger.credit("c", "ann", 100 * START)
    meter = Meter(ledger, dear, price_of, Stopped(), cost_of=lambda named, model: asked if named == "theirs" else None)
    await meter.open()
    done = response("r1", wire(spoken=100))
    for turn in (
        msgspec.structs.replace(done, upstream="azure", upstream_model="theirs"),
        msgspec.structs.replace(done, id="r2", upstream="azure", upstream_model="unknown"),
        msgspec.structs.replace(done, id="r3", upstream="local", upstream_model="m"),
        msgspec.structs.replace(done, id="r4"),
    ):
        await meter.turn(turn)

    def written() -> Script[list[tuple[object, ...]]]:
        rows = yield Sql("SELECT line, upstream, cost, moved FROM ledger_usage ORDER BY line")
        return [tuple(row) for row in rows]

    assert await storage.read(written) == [
        ("sess_up:r1", "azure", 3_200, 9_600),
        ("sess_up:r2", "azure", None, 9_600),
        ("sess_up:r3", "local", 0, 9_600),
        ("sess_up:r4", None, None, 9_600),
    ]
    await meter.close()
