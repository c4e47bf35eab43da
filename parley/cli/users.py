"""`parley users`: who may come in."""

import getpass
import sys
from argparse import Namespace
from collections.abc import Mapping
from typing import Final

from parley.auth.accounts import LINK_S, Role, User
from parley.auth.gate import LOCAL_USER
from parley.cli.amounts import as_json, micro_of, moment
from parley.cli.desk import Work, check_pepper, find_user, find_welcome_user, run_action
from parley.cli.listing import say, show_facts, show_json, show_table
from parley.cli.place import base_url
from parley.cli.problem import Problem, Status
from parley.office import Office
from parley.settings import Settings


def run(args: Namespace) -> int:
    return run_action(args, ACTIONS)


async def create(office: Office, settings: Settings, args: Namespace) -> None:
    amount = None if args.credits is None else micro_of(args.credits)
    password = read_password() if args.password_stdin else None
    account = await shared_account(office, args.account)
    check_pepper(settings)
    role: Role = "admin" if args.admin else "user"
    user = await office.accounts.create_user(args.email, args.name or "", role, account=account, password=password)
    if amount is not None:
        await office.ledger.credit(f"{user.id}:first", user.account, amount, "the first credits")
    link = await new_link(office, settings, args, user) if password is None else None
    if args.json:
        show_json(await with_balance(office, user) | {"link": link})
        return
    say(f"{user.email} is {user.id} now.{'' if link is None else ' This link signs them in once, within a day:'}")
    print(link or user.id)


async def list_all(office: Office, settings: Settings, args: Namespace) -> None:
    users = await office.accounts.users()
    if args.json:
        show_json({"users": [facts_of(user) for user in users]})
        return
    head = ("id", "email", "name", "role", "account", "created", "disabled")
    rows = [(u.id, u.email, u.name, u.role, u.account, moment(u.created_at), moment(u.disabled_at)) for u in users]
    show_table(head, rows)


async def show(office: Office, settings: Settings, args: Namespace) -> None:
    user = await find_user(office, args.user)
    facts = await with_balance(office, user)
    keys = [key for key in await office.keys.keys(user.account) if key.user == user.id and key.revoked_at is None]
    facts["keys"] = len(keys)
    if args.json:
        show_json(facts)
    else:
        show_facts({name: value for name, value in facts.items() if not name.endswith("_micro")})


async def disable(office: Office, settings: Settings, args: Namespace) -> None:
    user = await find_user(office, args.user)
    await office.accounts.disable(user.id)
    await show_now(office, user.id, args, "disabled: signed out everywhere, and the keys open nothing")


async def enable(office: Office, settings: Settings, args: Namespace) -> None:
    user = await find_user(office, args.user)
    await office.accounts.enable(user.id)
    await show_now(office, user.id, args, "enabled: the keys open again, and with a new link so does the console")


async def link(office: Office, settings: Settings, args: Namespace) -> None:
    user = await find_welcome_user(office, args.user or LOCAL_USER)
    check_pepper(settings)
    made = await new_link(office, settings, args, user)
    if args.json:
        show_json({"user": user.id, "email": user.email, "link": made, "expires_in_s": LINK_S})
        return
    say(f"This link signs {user.email} in once, within a day:")
    print(made)


ACTIONS: Final[Mapping[str, Work[None]]] = {
    "create": create,
    "list": list_all,
    "show": show,
    "disable": disable,
    "enable": enable,
    "link": link,
}


# ---- parts of them


def read_password() -> str:
    """One line of standard input; on a terminal without showing it. Raises `Problem`."""
    typed = getpass.getpass() if sys.stdin.isatty() else sys.stdin.readline().rstrip("\r\n")
    if not typed:
        raise Problem(
            "There was no password on standard input", "Pipe one in, or leave out --password-stdin", Status.USAGE
        )
    return typed


async def shared_account(office: Office, named: str | None) -> str | None:
    """An account by its id, or by somebody who is in it. Raises `Problem`."""
    return named if named is None or "@" not in named else (await find_user(office, named)).account


async def new_link(office: Office, settings: Settings, args: Namespace, user: User) -> str:
    from parley.web.sign_in import link_of  # starlette, which the other commands do without

    return link_of((args.url or base_url(settings)).rstrip("/"), await office.accounts.new_link(user.id))


async def show_now(office: Office, id: str, args: Namespace, became: str) -> None:
    user = await office.accounts.user(id)
    if args.json:
        show_json(facts_of(user))
    else:
        print(f"{user.email} is {became}.")


async def with_balance(office: Office, user: User) -> dict[str, object]:
    account = await office.ledger.account(user.account)
    return facts_of(user) | as_json("balance", account.posted) | as_json("held", account.held)


def facts_of(user: User) -> dict[str, object]:
    return {**user._asdict(), "created_at": moment(user.created_at), "disabled_at": moment(user.disabled_at)}
