"""How the limits of an account and its keys stand; and, for admins, what an account's are."""

from typing import Final, Literal

from msgspec import UNSET, UnsetType

from parley.auth.gate import Bearer
from parley.auth.limits import LimitRules, Subject, subject
from parley.office import Office
from parley.web.api.keys import Limit
from parley.web.api.operations import Call, Nothing, Operation, Shown, Wire

MINUTE_MS: Final = 60_000
LimitName = Literal["requests_per_minute", "tokens_per_minute", "audio_minutes_per_day", "sessions_at_once"]
NAMES: Final[dict[str, LimitName]] = {
    "requests": "requests_per_minute",
    "tokens": "tokens_per_minute",
    "audio_ms": "audio_minutes_per_day",
}


class LimitShown(Shown):
    """`reset_seconds`: when all of it is there again, if nothing more is used."""

    subject: Literal["account", "key"]
    id: str
    name: LimitName
    limit: int
    remaining: int
    reset_seconds: float


class Limits(Shown):
    """Only limits that are set."""

    data: list[LimitShown]


class AccountLimits(Wire):
    """What is left out is as the settings say for all accounts; null lifts a limit."""

    requests_per_minute: Limit | UnsetType | None = UNSET
    tokens_per_minute: Limit | UnsetType | None = UNSET
    audio_minutes_per_day: Limit | UnsetType | None = UNSET
    sessions_at_once: Limit | UnsetType | None = UNSET


class Desk:
    def __init__(self, office: Office) -> None:
        self._office = office

    def operations(self) -> list[Operation]:
        return [
            Operation("GET", "/api/limits", "How limits stand", self.limits, Limits),
            Operation(
                "PUT", "/api/accounts/{account_id}/limits", "Set an account's limits", self.set_limits, Nothing,
                AccountLimits, role="admin",
            ),
        ]  # fmt: skip

    async def limits(self, call: Call) -> Limits:
        (account,) = await self._office.who(Bearer(call.account))
        shown = await self._of("account", call.account, account)
        for key in await self._office.keys.keys(call.account):
            if key.revoked_at is None:
                shown += await self._of("key", key.id, subject("key", key.id, key.rules))
        return Limits(data=shown)

    async def set_limits(self, call: Call) -> Nothing:
        asked = {name: getattr(call.body, name) for name in AccountLimits.__struct_fields__}
        wanted = {name: limit for name, limit in asked.items() if limit is not UNSET}
        await self._office.accounts.set_limits(call.ids["account_id"], wanted)
        return Nothing()

    async def _of(self, kind: Literal["account", "key"], id: str, whose: Subject) -> list[LimitShown]:
        if whose.rules == LimitRules():
            return []
        limits = self._office.limits
        shown = []
        for rate in await limits.look((whose,)):
            unit = MINUTE_MS if rate.name == "audio_ms" else 1
            shown.append(
                LimitShown(
                    subject=kind, id=id, name=NAMES[rate.name], limit=rate.limit // unit,
                    remaining=rate.remaining // unit, reset_seconds=rate.reset_s,
                )
            )  # fmt: skip
        if (most := whose.rules.sessions_at_once) is not None:
            open_now = await limits.sessions(whose)
            shown.append(
                LimitShown(
                    subject=kind, id=id, name="sessions_at_once", limit=most, remaining=max(0, most - open_now),
                    reset_seconds=0.0,
                )
            )  # fmt: skip
        return shown
