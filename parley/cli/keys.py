"""`parley keys`: API keys, for scripts and for people. The value of a key is printed once, and kept nowhere."""

import time
from argparse import Namespace
from collections.abc import Mapping
from typing import Final, cast

import msgspec

from parley.auth.accounts import User
from parley.auth.keys_store import SCOPES, ApiKey, Rules, Scope
from parley.cli.amounts import as_json, expiry_ms, micro_of, moment
from parley.cli.desk import Work, check_pepper, find_key, find_user, find_welcome_user, run_action
from parley.cli.listing import say, show_json, show_table
from parley.cli.problem import Problem, Status
from parley.errors import EngineError, RequestError
from parley.office import Office
from parley.settings import Settings

LIMITS: Final = ("requests_per_minute", "sessions_at_once", "tokens_per_minute", "audio_minutes_per_day")


def run(args: Namespace) -> int:
    return run_action(args, ACTIONS)


async def create(office: Office, settings: Settings, args: Namespace) -> None:
    rules = rules_of(args)
    expires_at = None if args.expires is None else expiry_ms(args.expires)
    given = args.credits if args.budget is None else args.budget
    amount = None if given is None else micro_of(given)
    user = await find_welcome_user(office, args.user)
    check_pepper(settings)
    made = await office.keys.create(user.account, user.id, args.name, rules, expires_at=expires_at)
    if amount is not None:
        await fund(office, made.key, user, amount)
    if args.json:
        show_json({"key": made.value, **await facts_of(office, made.key, user.email)})
        return
    say(f"{made.key.id} of {user.email}. Keep it well, it is not shown again:")
    print(made.value)


async def list_all(office: Office, settings: Settings, args: Namespace) -> None:
    users = [await find_user(office, args.user)] if args.user else await office.accounts.users()
    emails = {user.id: user.email for user in users}
    keys = [key for account in {user.account for user in users} for key in await office.keys.keys(account)]
    keys = sorted((key for key in keys if key.user in emails), key=lambda key: (-key.created_at, key.id))
    if args.json:
        show_json({"keys": [await facts_of(office, key, emails[key.user]) for key in keys]})
        return
    head = ("id", "key", "name", "user", "state", "scopes", "last used")
    rows = [
        (key.id, key.hint, key.name, emails[key.user], state(key), ",".join(key.rules.scopes), moment(key.used_at))
        for key in keys
    ]
    show_table(head, rows)


async def revoke(office: Office, settings: Settings, args: Namespace) -> None:
    key = await find_key(office, args.key)
    await office.keys.revoke(key.account, key.id)
    key = await office.keys.key(key.account, key.id)
    if args.json:
        show_json({"id": key.id, "revoked_at": moment(key.revoked_at)})
    else:
        print(f"{key.id} ({key.name}) is revoked and opens nothing any more.")


ACTIONS: Final[Mapping[str, Work[None]]] = {"create": create, "list": list_all, "revoke": revoke}


# ---- parts of them


def rules_of(args: Namespace) -> Rules:
    """Raises `Problem`."""
    scopes = words(args.scopes, "--scopes")
    for scope in scopes:
        if scope not in SCOPES:
            raise Problem(f"There is no scope {scope!r}", f"Use some of: {', '.join(SCOPES)}", Status.USAGE)
    limits = {name: getattr(args, name) for name in LIMITS}
    for name, limit in limits.items():
        if limit is not None and limit < 1:
            step = "Use 1 or more, or leave it out"
            raise Problem(f"--{name.replace('_', '-')} {limit} would let nothing through", step, Status.USAGE)
    return Rules(
        scopes=cast(tuple[Scope, ...], scopes) or Rules().scopes,
        models=words(args.models, "--models"),
        voices=words(args.voices, "--voices"),
        budgeted=args.budget is not None,
        **limits,
    )


def words(listed: str | None, flag: str) -> tuple[str, ...]:
    """Raises `Problem` for a list with nothing in it: it would mean everything."""
    if listed is None:
        return ()
    found = tuple(dict.fromkeys(word.strip() for word in listed.split(",") if word.strip()))
    if not found:
        raise Problem(f"{flag} lists nothing", "Name some, with commas, or leave it out", Status.USAGE)
    return found


async def fund(office: Office, key: ApiKey, user: User, amount: int) -> None:
    """The key's budget, or the account that it spends from. A key that got nothing is not left behind.

    Raises `RequestError`, and `Problem` when it is not known whether the money came.
    """
    id = f"{key.id}:first"
    try:
        if key.budget is not None:
            await office.ledger.allot(id, key.budget, amount, "the first allowance")
        else:
            await office.ledger.credit(id, user.account, amount, f"with {key.id}")
    except RequestError:
        await office.keys.revoke(key.account, key.id)
        raise
    except EngineError as error:
        step = f"Look with: parley credits show --user {user.email}; then: parley keys revoke {key.id}"
        raise Problem(f"{error.message} The key was made, perhaps without its credits", step) from error


async def facts_of(office: Office, key: ApiKey, email: str) -> dict[str, object]:
    budget = {} if key.budget is None else as_json("budget", (await office.ledger.account(key.budget)).posted)
    return {
        "id": key.id,
        "hint": key.hint,
        "name": key.name,
        "user": key.user,
        "email": email,
        "account": key.account,
        "state": state(key),
        **budget,
        **{name: value for name, value in msgspec.structs.asdict(key.rules).items() if name != "budgeted"},
        "created_at": moment(key.created_at),
        "expires_at": moment(key.expires_at),
        "used_at": moment(key.used_at),
        "revoked_at": moment(key.revoked_at),
    }


def state(key: ApiKey) -> str:
    if key.revoked_at is not None:
        return "revoked"
    return "expired" if key.expires_at is not None and key.expires_at <= time.time() * 1_000 else "active"
