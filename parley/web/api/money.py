"""Credits, usage and prices."""

import csv
import io
import time
from datetime import date, timedelta
from typing import Annotated, Final

from msgspec import Meta
from starlette.responses import Response

from parley.billing.book import AMOUNT_MICRO_MAX, Hold, Line
from parley.billing.prices import AMOUNT_MAX, AMOUNTS, Price
from parley.billing.reports import DAY_MS, SUMS, Used, usage_by_day
from parley.errors import RequestError
from parley.ids import new_id
from parley.office import Office
from parley.web.api.operations import AccountQuery, Call, Operation, Shown, Wire

MS: Final = 1_000
LINES_DEFAULT: Final = 50
LINES_MAX: Final = 500
USAGE_DAYS_DEFAULT: Final = 30
USAGE_DAYS_MAX: Final = 366
NOTE_CHARS_MAX: Final = 500
EPOCH: Final = date(1970, 1, 1)
CSV: Final = "text/csv"

Day = Annotated[str, Meta(pattern=r"^\d{4}-\d{2}-\d{2}$")]
Amount = Annotated[int, Meta(ge=0, le=AMOUNT_MAX)]


class HoldShown(Shown):
    id: str
    amount_micro: int
    captured_micro: int
    opened_at: int


class Credits(Shown):
    """`balance_micro` minus `held_micro` is what may be spent; `holds` says on what it waits."""

    account: str
    balance_micro: int
    held_micro: int
    holds: list[HoldShown]


class LineShown(Shown):
    """A line of the ledger. `moved_micro` came (credit) or went; `balance_micro` is what was left."""

    id: str
    kind: str
    moved_micro: int
    balance_micro: int
    held_micro: int
    hold: str | None
    at: int
    note: str


class Lines(Shown):
    """`next` is the `before` of the following page."""

    data: list[LineShown]
    next: str | None


class LinesQuery(AccountQuery):
    before: str | None = None
    limit: Annotated[int, Meta(ge=1, le=LINES_MAX)] = LINES_DEFAULT


class TopUp(Wire):
    """`id` makes asking twice the same as asking once."""

    micro: Annotated[int, Meta(ge=1, le=AMOUNT_MICRO_MAX)]
    note: Annotated[str, Meta(max_length=NOTE_CHARS_MAX)] = ""
    id: Annotated[str, Meta(min_length=1, max_length=100)] | None = None


class UsageQuery(AccountQuery):
    """Days (UTC), the last one included; the last thirty when they are left out."""

    since: Day | None = None
    until: Day | None = None


class UsedShown(Shown):
    """A day of one model, key, project and kind of work; tokens by kind."""

    day: str
    model: str
    api_key: str | None
    project: str | None
    kind: str
    lines: int
    input_text: int
    input_audio: int
    input_image: int
    cached_text: int
    cached_audio: int
    cached_image: int
    output_text: int
    output_audio: int
    milliseconds: int
    calls: int
    micro: int
    cost_micro: int | None
    """What upstreams asked for it. Told to admins, where it is known."""
    margin_micro: int | None
    """What was charged beyond that. Told to admins, where it is known."""


class Usage(Shown):
    data: list[UsedShown]
    since: str
    until: str


class PriceShown(Shown):
    """Micro-credits per million tokens of a kind, per minute, per call; from `since` on. `own`: an admin has set it."""

    model: str
    since: str
    own: bool
    input_text: int
    input_audio: int
    input_image: int
    cached_text: int
    cached_audio: int
    cached_image: int
    output_text: int
    output_audio: int
    minute: int
    call: int


class Prices(Shown):
    data: list[PriceShown]


class NewPrice(Wire):
    """What is left out is free. `since`: the first day (UTC), today when it is left out; never a day that is over."""

    since: Day | None = None
    input_text: Amount = 0
    input_audio: Amount = 0
    input_image: Amount = 0
    cached_text: Amount = 0
    cached_audio: Amount = 0
    cached_image: Amount = 0
    output_text: Amount = 0
    output_audio: Amount = 0
    minute: Amount = 0
    call: Amount = 0


class Desk:
    def __init__(self, office: Office) -> None:
        self._office = office
        self._ledger = office.ledger

    def operations(self) -> list[Operation]:
        return [
            Operation("GET", "/api/credits", "Balance, and what is held right now", self.credits, Credits),
            Operation("GET", "/api/credits/lines", "The ledger, newest first", self.lines, Lines, query=LinesQuery),
            Operation("POST", "/api/credits", "Top up an account", self.top_up, Credits, TopUp, role="admin"),
            Operation("GET", "/api/usage", "What was used, by day", self.usage, Usage, query=UsageQuery),
            Operation("GET", "/api/usage.csv", "The same, for a table", self.usage_csv, CSV, query=UsageQuery),
            Operation("GET", "/api/prices", "Every price", self.prices, Prices),
            Operation(
                "PUT", "/api/prices/{model}", "Set a price", self.set_price, PriceShown, NewPrice, role="admin"
            ),
        ]  # fmt: skip

    async def credits(self, call: Call) -> Credits:
        account = await self._ledger.account(call.account)
        holds = await self._ledger.open_holds(call.account)
        return Credits(
            account=call.account, balance_micro=account.posted, held_micro=account.held, holds=[*map(_hold, holds)]
        )

    async def lines(self, call: Call) -> Lines:
        query: LinesQuery = call.query
        page = await self._ledger.statement(call.account, query.limit, _cursor(query.before))
        after = None if page.before is None else f"{page.before[0]}.{page.before[1]}"
        return Lines(data=[*map(_line, page.lines)], next=after)

    async def top_up(self, call: Call) -> Credits:
        asked: TopUp = call.body
        await self._office.accounts.account(call.account)
        id = f"{call.account}:topup:{asked.id or new_id('gift')}"
        await self._ledger.credit(id, call.account, asked.micro, asked.note or f"by {call.caller.user.email}")
        return await self.credits(call)

    async def usage(self, call: Call) -> Usage:
        since, until = _days(call.query)
        return Usage(data=await self._used(call), since=since.isoformat(), until=until.isoformat())

    async def usage_csv(self, call: Call) -> Response:
        text = io.StringIO()
        table = csv.writer(text)
        table.writerow(UsedShown.__struct_fields__)
        table.writerows([getattr(row, name) for name in row.__struct_fields__] for row in await self._used(call))
        headers = {"content-disposition": 'attachment; filename="usage.csv"'}
        return Response(text.getvalue(), headers=headers, media_type=CSV)

    async def prices(self, call: Call) -> Prices:
        own = self._office.own_prices
        return Prices(data=[_price(price, own=price in own) for price in self._office.prices.all()])

    async def set_price(self, call: Call) -> PriceShown:
        asked: NewPrice = call.body
        today = time.strftime("%Y-%m-%d", time.gmtime())
        since = _day(asked.since, "since").isoformat() if asked.since else today
        if since < today:
            raise RequestError("invalid_value", "A price cannot change for days that are over.", "since")
        amounts = {name: getattr(asked, name) for name in AMOUNTS}
        price = Price(model=call.ids["model"], since=since, **amounts)
        await self._office.set_price(price)
        return _price(price, own=True)

    async def _used(self, call: Call) -> list[UsedShown]:
        since, until = _days(call.query)
        first, last = ((day - EPOCH).days * DAY_MS for day in (since, until + timedelta(days=1)))
        knows = call.caller.is_admin
        return [_used(row, cost=knows) for row in await usage_by_day(self._office.storage, call.account, first, last)]


def _days(query: UsageQuery) -> tuple[date, date]:
    """Raises `RequestError`."""
    until = _day(query.until, "until") if query.until else EPOCH + timedelta(days=int(time.time()) // 86_400)
    since = _day(query.since, "since") if query.since else until - timedelta(days=USAGE_DAYS_DEFAULT - 1)
    if not timedelta() <= until - since < timedelta(days=USAGE_DAYS_MAX):
        raise RequestError("invalid_value", f"Ask for 1 to {USAGE_DAYS_MAX} days, in order.", "since")
    return since, until


def _day(text: str, param: str) -> date:
    try:
        return date.fromisoformat(text)
    except ValueError:
        raise RequestError("invalid_value", f"{text!r} is no day.", param) from None


def _cursor(before: str | None) -> tuple[int, str] | None:
    if before is None:
        return None
    at, _, id = before.partition(".")
    if not at.isdecimal() or len(at) > 15:
        raise RequestError("invalid_value", "Use `next` of the page before.", "before")
    return int(at), id


def _hold(hold: Hold) -> HoldShown:
    return HoldShown(id=hold.id, amount_micro=hold.amount, captured_micro=hold.captured, opened_at=hold.opened_at // MS)


def _line(line: Line) -> LineShown:
    return LineShown(
        id=line.id, kind=line.kind, moved_micro=line.moved, balance_micro=line.posted, held_micro=line.held,
        hold=line.hold, at=line.at // MS, note=line.note,
    )  # fmt: skip


def _used(row: Used, *, cost: bool) -> UsedShown:
    sums = {name: getattr(row, name) for name in (*SUMS, "lines", "micro", "model", "api_key", "project", "kind")}
    day = (EPOCH + timedelta(days=row.day)).isoformat()
    asked, margin = (row.cost, row.margin) if cost else (None, None)
    return UsedShown(day=day, **sums, cost_micro=asked, margin_micro=margin)


def _price(price: Price, *, own: bool) -> PriceShown:
    amounts = {name: getattr(price, name) for name in AMOUNTS}
    return PriceShown(model=price.model, since=price.since, own=own, **amounts)
