"""The telephone, for admins: who may call, who does, how it sounds, and what was announced to whom."""

from __future__ import annotations

import time
from collections.abc import Mapping
from typing import TYPE_CHECKING, Annotated, Final, Literal, Protocol

from msgspec import Meta
from yarl import URL

from parley.errors import RequestError
from parley.office import Office
from parley.transports.ringing import no_call
from parley.web.api.operations import AccountQuery, Call, Nothing, Operation, Shown
from parley.webhooks import store
from parley.webhooks.sender import replay
from parley.webhooks.store import Delivery

if TYPE_CHECKING:  # half a second that a server without a telephone does without
    from parley.transports.sip.quality import Quality
    from parley.transports.sip.report import Report
    from parley.transports.sip.trunks import Desk as Trunks
    from parley.transports.sip.trunks import Number, Trunk

MS: Final = 1_000
DELIVERIES_DEFAULT: Final = 50
DELIVERIES_MAX: Final = 200


class Phones(Protocol):
    """The door of telephone calls."""

    desk: Trunks
    ports: dict[str, int]

    @property
    def registrations(self) -> Mapping[str, bool]: ...

    @property
    def reports(self) -> tuple[Report, ...]:
        """Of the calls that run and of the last ones, newest first."""
        ...


class NumberShown(Shown):
    """`answer`: a stored session answers, a webhook of its own is asked, or the one of all numbers."""

    number: str
    account: str
    project: str
    answer: Literal["session", "webhook", "settings"]
    greeting: bool


class TrunkShown(Shown):
    """Without its passwords. `registered` is null where there is nothing to register at."""

    name: str
    addresses: list[str]
    password: bool
    transports: list[str]
    srtp: str
    codecs: list[str]
    numbers: list[NumberShown]
    calls: int
    calls_max: int
    calls_per_hour: int
    minute_micro: int
    server: str
    registered: bool | None


class CallShown(Shown):
    """`ended_at` is null while it goes on; `reason` says why it is over."""

    id: str
    trunk: str
    account: str
    caller: str
    called: str
    state: str
    reason: str
    began_at: float
    ended_at: float | None


class QualityShown(Shown):
    """One direction: packets, those that got lost, jitter, and what people would say of it (1 to 4.5)."""

    packets: int
    lost: int
    jitter_ms: float
    mos: float


class KeyPress(Shown):
    at: float
    key: str


class Rung(Shown):
    """One SIP message, keys and credentials hidden."""

    at: float
    way: Literal["in", "out"]
    title: str
    transport: str
    text: str


class CallDetail(Shown):
    """`heard` is what we hear, `spoken` what the other side says that it hears."""

    call: CallShown
    number: str
    peer: str
    transport: str
    codec: str
    media_security: str
    session: str
    transfer: int | None
    keys: list[KeyPress]
    heard: QualityShown | None
    spoken: QualityShown | None
    round_trip_ms: float | None
    ladder: list[Rung]


class Phone(Shown):
    """`ports` by transport; none where the door is not open."""

    ports: dict[str, int]
    trunks: list[TrunkShown]
    calls: list[CallShown]


class DeliveryShown(Shown):
    """An announcement to a program. Of its address only the host is shown. `outcome`: of the last attempt."""

    id: str
    account: str
    host: str
    event: str
    state: Literal["pending", "delivered", "failed"]
    outcome: str
    attempts: int
    created_at: int
    next_at: int | None
    delivered_at: int | None


class Deliveries(Shown):
    """`next` is the `before` of the following page."""

    data: list[DeliveryShown]
    next: str | None


class DeliveriesQuery(AccountQuery):
    """Of all accounts, where none is named."""

    before: str | None = None
    limit: Annotated[int, Meta(ge=1, le=DELIVERIES_MAX)] = DELIVERIES_DEFAULT


class Desk:
    """`phones` is None where there is no door of telephone calls."""

    def __init__(self, office: Office, phones: Phones | None) -> None:
        self._storage = office.storage
        self._phones = phones

    def operations(self) -> list[Operation]:
        return [
            Operation("GET", "/api/phone", "Trunks, numbers and calls", self.phone, Phone, role="admin"),
            Operation(
                "GET", "/api/phone/calls/{call_id}", "A call, with its messages", self.phone_call, CallDetail,
                role="admin",
            ),
            Operation(
                "GET", "/api/webhooks", "What was announced, newest first", self.deliveries, Deliveries,
                query=DeliveriesQuery, role="admin",
            ),
            Operation(
                "POST", "/api/webhooks/{webhook_id}/replay", "Announce it again", self.replay_webhook, Nothing,
                role="admin",
            ),
        ]  # fmt: skip

    async def phone(self, call: Call) -> Phone:
        phones = self._phones
        if phones is None:
            return Phone(ports={}, trunks=[], calls=[])
        trunks = [_trunk(trunk, phones) for trunk in phones.desk.trunks]
        return Phone(ports=phones.ports, trunks=trunks, calls=[*map(_call, phones.reports)])

    async def phone_call(self, call: Call) -> CallDetail:
        wanted = call.ids["call_id"]
        reports = () if self._phones is None else self._phones.reports
        report = next((report for report in reports if report.call_id == wanted), None)
        if report is None:
            raise no_call(wanted)
        return _detail(report)

    async def deliveries(self, call: Call) -> Deliveries:
        query: DeliveriesQuery = call.query
        found = await self._storage.read(store.page, query.account, query.limit, _cursor(query.before))
        after = f"{found[-1].created_at}.{found[-1].id}" if len(found) == query.limit else None
        return Deliveries(data=[*map(_delivery, found)], next=after)

    async def replay_webhook(self, call: Call) -> Nothing:
        await replay(self._storage, call.ids["webhook_id"], None, int(time.time() * MS))
        return Nothing()


def _cursor(before: str | None) -> tuple[int, str] | None:
    if before is None:
        return None
    at, _, id = before.partition(".")
    if not at.isdecimal() or len(at) > 15:
        raise RequestError("invalid_value", "Use `next` of the page before.", "before")
    return int(at), id


def _trunk(trunk: Trunk, phones: Phones) -> TrunkShown:
    return TrunkShown(
        name=trunk.name,
        addresses=list(trunk.addresses),
        password=bool(trunk.password),
        transports=list(trunk.transports),
        srtp=trunk.srtp,
        codecs=list(trunk.codecs),
        numbers=[*map(_number, trunk.number)],
        calls=phones.desk.running(trunk),
        calls_max=trunk.calls_max,
        calls_per_hour=trunk.calls_per_hour,
        minute_micro=trunk.minute_micro,
        server="" if trunk.register is None else trunk.register.server,
        registered=phones.registrations.get(trunk.name),
    )


def _number(number: Number) -> NumberShown:
    asks: Literal["webhook", "settings"] = "webhook" if number.webhook else "settings"
    return NumberShown(
        number=number.number,
        account=number.account,
        project=number.project,
        answer=asks if number.session is None else "session",
        greeting=bool(number.greeting),
    )


def _call(report: Report) -> CallShown:
    return CallShown(
        id=report.call_id,
        trunk=report.trunk,
        account=report.account,
        caller=report.caller,
        called=report.called,
        state=report.state,
        reason=report.reason,
        began_at=report.began_at,
        ended_at=report.ended_at,
    )


def _detail(report: Report) -> CallDetail:
    quality = report.quality
    return CallDetail(
        call=_call(report),
        number=report.number,
        peer=report.peer,
        transport=report.transport,
        codec=report.codec,
        media_security=report.media_security,
        session=report.session,
        transfer=report.transfer,
        keys=[KeyPress(at=at, key=key) for at, key in report.keys],
        heard=None if quality is None else _quality(quality.heard),
        spoken=None if quality is None or quality.spoken is None else _quality(quality.spoken),
        round_trip_ms=None if quality is None else quality.round_trip_ms,
        ladder=[Rung(**rung._asdict()) for rung in report.ladder.rungs],
    )


def _quality(quality: Quality) -> QualityShown:
    return QualityShown(**quality._asdict())


def _delivery(delivery: Delivery) -> DeliveryShown:
    return DeliveryShown(
        id=delivery.id,
        account=delivery.account,
        host=URL(delivery.endpoint).host or "",
        event=delivery.event,
        state=delivery.state,
        outcome=delivery.outcome,
        attempts=delivery.attempts,
        created_at=delivery.created_at // MS,
        next_at=None if delivery.next_at is None else delivery.next_at // MS,
        delivered_at=None if delivery.delivered_at is None else delivery.delivered_at // MS,
    )
