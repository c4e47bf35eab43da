"""The bill of a call is what the ledger has written for its session, whoever asks and whenever."""

import pytest

from parley.billing.book import Usage
from parley.billing.calls import Bill, Call, CallBook, Used
from parley.billing.ledger import HOLDER_S, Ledger
from parley.billing.meter import Meter, Tab
from parley.billing.prices import Price
from parley.core.effects import Stamps, Turn
from parley.core.events import CachedTokens, InputTokens, OutputTokens
from parley.core.events import Usage as Spent
from parley.storage import Storage, Taken
from tests.databases import Clock

CREDIT = 1_000_000
PRICE = Price(model="realtime-mini", input_text=1_000_000, output_audio=20_000_000)


@pytest.fixture
async def ledger(storage: Storage, clock: Clock) -> Ledger:
    ledger = Ledger(storage, "node_1", clock)
    await ledger.open()
    await ledger.credit("gift", "ann", CREDIT)
    return ledger


def call_of(clock: Clock, session: str = "sess_1", account: str = "ann") -> Call:
    return Call(f"rtc_{session}", account, "key_1", session, "realtime-mini", "marin", int(clock() * 1_000))


def meter_of(ledger: Ledger, session: str = "sess_1") -> Meter:
    tab = Tab(session=session, model="realtime-mini", account="ann")
    return Meter(ledger, tab, lambda model: PRICE, lambda code: None)


def answer(id: str, read: int, spoken: int) -> Turn:
    none = CachedTokens()
    usage = Spent(
        total_tokens=read + spoken,
        input_tokens=read,
        output_tokens=spoken,
        input_token_details=InputTokens(
            text_tokens=read, audio_tokens=0, image_tokens=0, cached_tokens=0, cached_tokens_details=none
        ),
        output_token_details=OutputTokens(text_tokens=0, audio_tokens=spoken),
    )
    return Turn(
        kind="response", id=id, item_id=None, model="realtime-mini", status="completed", stamps=Stamps(), usage=usage
    )


async def bill_of(storage: Storage, call: Call) -> Bill:
    bill = await CallBook(storage).bill(call.id, call.account)
    assert bill is not None
    return bill


async def test_a_call_from_its_first_hold_to_its_last_word(storage: Storage, ledger: Ledger, clock: Clock) -> None:
    call, meter = call_of(clock), meter_of(ledger)
    await meter.open()
    await CallBook(storage).begin(call)
    clock.seconds += 5
    await meter.turn(answer("resp_1", 100, 40))
    running = await bill_of(storage, call)
    assert (running.charged, running.settled) == (900, False)
    assert running.available < CREDIT - 900, "something is held"
    clock.seconds += 7
    await meter.turn(answer("resp_2", 1, 0))
    await meter.close()
    bill = await bill_of(storage, call)
    assert bill.call == call
    assert (bill.charged, bill.available, bill.settled) == (901, CREDIT - 901, True)
    assert bill.ended_at == call.started_at + 12_000
    assert bill.used == Used(101, 0, 0, 0, 0, 0, 0, 40, 0, 0)


async def test_nobody_else_has_it(storage: Storage, clock: Clock) -> None:
    book, call = CallBook(storage), call_of(clock)
    await book.begin(call)
    assert await book.bill(call.id, "bob") is None
    assert await book.bill("rtc_unknown", "ann") is None
    with pytest.raises(Taken):
        await book.begin(call._replace(account="bob"))


async def test_two_calls_are_two_bills(storage: Storage, ledger: Ledger, clock: Clock) -> None:
    for number in (1, 2):
        meter = meter_of(ledger, f"sess_{number}")
        await meter.open()
        await CallBook(storage).begin(call_of(clock, f"sess_{number}"))
        await meter.turn(answer(f"resp_{number}", number, 0))
        await meter.close()
    assert [(await bill_of(storage, call_of(clock, f"sess_{number}"))).charged for number in (1, 2)] == [1, 2]


async def test_a_call_whose_server_died_is_settled_with_what_it_owed(
    storage: Storage, ledger: Ledger, clock: Clock
) -> None:
    call = call_of(clock)
    await CallBook(storage).begin(call)
    await ledger.hold("sess_1:hold", "ann", 5_000, expires_in_s=7_200)
    usage = Usage(session="sess_1", model="realtime-mini", kind="response", output_audio=40)
    await ledger.capture("sess_1:resp_1", "ann", "sess_1:hold", 800, usage=usage, owed=33)
    clock.seconds += HOLDER_S + 1
    assert not (await bill_of(storage, call)).settled
    other = Ledger(storage, "node_2", clock)
    await other.open()
    await other.settle_expired()
    bill = await bill_of(storage, call)
    assert (bill.charged, bill.available, bill.settled) == (833, CREDIT - 833, True)
    assert bill == await bill_of(storage, call)
