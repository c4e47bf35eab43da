"""API keys: made, listed, changed, revoked."""

from typing import Annotated, Final

from msgspec import Meta

from parley.auth.keys_store import NAME_CHARS_MAX, ApiKey, Rules, Scope
from parley.billing.book import AMOUNT_MICRO_MAX
from parley.catalog import MODELS, TRANSCRIPTION_MODELS, VOICES
from parley.errors import RequestError
from parley.ids import new_id
from parley.office import Office
from parley.web.api.operations import Call, Caller, Nothing, Operation, Shown, Wire

MS: Final = 1_000
NAMES_MAX: Final = 64
Limit = Annotated[int, Meta(ge=0, le=1_000_000_000)]
Names = Annotated[tuple[str, ...], Meta(max_length=NAMES_MAX)]
Micro = Annotated[int, Meta(ge=1, le=AMOUNT_MICRO_MAX)]


class KeyRules(Wire):
    """What a key may do. Nothing listed: all models, all voices; null: no limit of its own."""

    scopes: tuple[Scope, ...] = ("realtime", "pipeline")
    models: Names = ()
    voices: Names = ()
    requests_per_minute: Limit | None = None
    sessions_at_once: Limit | None = None
    tokens_per_minute: Limit | None = None
    audio_minutes_per_day: Limit | None = None


class NewKey(Wire):
    """With a `budget_micro` the key spends so much of its account's credits, and no more."""

    name: Annotated[str, Meta(min_length=1, max_length=NAME_CHARS_MAX)]
    rules: KeyRules = KeyRules()
    project: str | None = None
    expires_at: Annotated[int, Meta(ge=0)] | None = None
    budget_micro: Micro | None = None


class KeyShown(Shown):
    """`hint` is what people know theirs by. `budget_micro`: what is left of its own budget; null: it has none."""

    id: str
    hint: str
    name: str
    user: str
    project: str | None
    rules: KeyRules
    budget_micro: int | None
    created_at: int
    expires_at: int | None
    used_at: int | None
    revoked_at: int | None


class Keys(Shown):
    data: list[KeyShown]


class MadeKey(Shown):
    """`value` is shown this once."""

    value: str
    key: KeyShown


class MoreBudget(Wire):
    """`id` makes asking twice the same as asking once."""

    micro: Micro
    id: Annotated[str, Meta(min_length=1, max_length=100)] | None = None


class Desk:
    def __init__(self, office: Office) -> None:
        self._keys = office.keys
        self._accounts = office.accounts
        self._ledger = office.ledger

    def operations(self) -> list[Operation]:
        return [
            Operation("GET", "/api/keys", "API keys, newest first", self.keys, Keys),
            Operation("POST", "/api/keys", "Make a key", self.create_key, MadeKey, NewKey, status=201),
            Operation("GET", "/api/keys/{key_id}", "A key", self.key, KeyShown),
            Operation("PUT", "/api/keys/{key_id}/rules", "What it may do", self.change_key, KeyShown, KeyRules),
            Operation("POST", "/api/keys/{key_id}/budget", "More budget", self.add_budget, KeyShown, MoreBudget),
            Operation("DELETE", "/api/keys/{key_id}", "Revoke a key", self.revoke_key, Nothing),
        ]

    async def keys(self, call: Call) -> Keys:
        return Keys(data=[await self._shown(key) for key in await self._keys.keys(call.account)])

    async def create_key(self, call: Call) -> MadeKey:
        asked: NewKey = call.body
        rules = rules_of(asked.rules, call.caller, budgeted=asked.budget_micro is not None)
        made = await self._keys.create(
            call.account,
            await self._owner(call),
            asked.name,
            rules,
            project=asked.project,
            expires_at=None if asked.expires_at is None else asked.expires_at * MS,
        )
        if asked.budget_micro is not None and made.key.budget is not None:
            await self._ledger.allot(f"{made.key.id}:first", made.key.budget, asked.budget_micro)
        return MadeKey(value=made.value, key=await self._shown(made.key))

    async def key(self, call: Call) -> KeyShown:
        return await self._shown(await self._keys.key(call.account, call.ids["key_id"]))

    async def change_key(self, call: Call) -> KeyShown:
        id = call.ids["key_id"]
        key = await self._keys.key(call.account, id)
        rules = rules_of(call.body, call.caller, budgeted=key.rules.budgeted)
        return await self._shown(await self._keys.change(call.account, id, rules))

    async def add_budget(self, call: Call) -> KeyShown:
        key = await self._keys.key(call.account, call.ids["key_id"])
        if key.budget is None:
            raise RequestError("invalid_value", "This key has no budget of its own; make one with `budget_micro`.")
        await self._ledger.allot(f"{key.id}:{call.body.id or new_id('more')}", key.budget, call.body.micro)
        return await self._shown(key)

    async def revoke_key(self, call: Call) -> Nothing:
        await self._keys.revoke(call.account, call.ids["key_id"])
        return Nothing()

    async def _owner(self, call: Call) -> str:
        """Whose key it will be: the caller's, or the oldest person's of the account that an admin has named."""
        user = call.caller.user
        if call.account == user.account:
            return user.id
        people = await self._accounts.users(call.account)
        if not people:
            raise RequestError("account_not_found", "There is no such account.", "account")
        return people[0].id

    async def _shown(self, key: ApiKey) -> KeyShown:
        left = None if key.budget is None else (await self._ledger.account(key.budget)).posted
        rules = {name: getattr(key.rules, name) for name in KeyRules.__struct_fields__}
        return KeyShown(
            id=key.id, hint=key.hint, name=key.name, user=key.user, project=key.project, rules=KeyRules(**rules),
            budget_micro=left, created_at=key.created_at // MS, expires_at=_s(key.expires_at), used_at=_s(key.used_at),
            revoked_at=_s(key.revoked_at),
        )  # fmt: skip


def rules_of(asked: KeyRules, caller: Caller, *, budgeted: bool) -> Rules:
    """Raises `RequestError`: unknown names, or a scope that the caller does not have."""
    if "admin" in asked.scopes and not caller.is_admin:
        raise RequestError("key_not_allowed", "Only an admin may make a key with the scope 'admin'.", "scopes")
    _check_known(asked.models, {*MODELS, *TRANSCRIPTION_MODELS}, "models")
    _check_known(asked.voices, VOICES.keys(), "voices")
    return Rules(**{name: getattr(asked, name) for name in KeyRules.__struct_fields__}, budgeted=budgeted)


def _check_known(names: tuple[str, ...], known: object, param: str) -> None:
    for name in names:
        if name not in known:  # type: ignore[operator]
            raise RequestError("invalid_value", f"There is no {param[:-1]} {name[:64]!r} here.", param)


def _s(at_ms: int | None) -> int | None:
    return None if at_ms is None else at_ms // MS
