"""`parley credits`: what there is to spend."""

from argparse import Namespace
from collections.abc import Mapping
from typing import Final, NamedTuple

from parley.billing.book import Account, Line, credits_text
from parley.cli.amounts import as_json, micro_of, moment
from parley.cli.desk import Work, find_key, find_user, run_action
from parley.cli.listing import show_facts, show_json, show_table
from parley.cli.problem import Problem, Status
from parley.ids import new_id
from parley.office import Office
from parley.settings import Settings

LINES_MAX: Final = 1_000
SIGNS: Final = {"credit": "+", "capture": "-", "close": "-", "settle": "-"}
"""Of the lines that move money; the others only reserve it."""


class Purse(NamedTuple):
    """An account of the ledger: `id`, and whose it is."""

    id: str
    owner: str
    is_budget: bool


def run(args: Namespace) -> int:
    return run_action(args, ACTIONS)


async def add(office: Office, settings: Settings, args: Namespace) -> None:
    amount = micro_of(args.amount)
    purse = await find_purse(office, args)
    # Ids are one namespace for all accounts: nobody's "gift-1" may meet another's.
    id = f"{purse.id}:{new_id('credit') if args.id is None else args.id}"
    order = office.ledger.allot if purse.is_budget else office.ledger.credit
    line = await order(id, purse.id, amount, args.note)
    if args.json:
        show_json({"account": purse.id, **facts_of(line)})
    else:
        print(f"{credits_text(line.moved)} credits for {purse.owner}: {credits_text(line.posted)} in all.")


async def show(office: Office, settings: Settings, args: Namespace) -> None:
    if not 0 <= args.lines <= LINES_MAX:
        raise Problem(f"--lines {args.lines} cannot be", f"Use 0 to {LINES_MAX}", Status.USAGE)
    purse = await find_purse(office, args)
    account = await office.ledger.account(purse.id)
    lines = (await office.ledger.statement(purse.id, args.lines)).lines if args.lines else []
    if args.json:
        show_json({"account": purse.id, **sums_of(account), "lines": [facts_of(line) for line in lines]})
        return
    show_facts({"account": purse.id, "of": purse.owner} | plain_sums(account))
    if lines:
        print()
        head = ("when", "kind", "credits", "balance", "held", "id", "note")
        show_table(head, [row_of(line) for line in lines])


ACTIONS: Final[Mapping[str, Work[None]]] = {"add": add, "show": show}


# ---- parts of them


async def find_purse(office: Office, args: Namespace) -> Purse:
    """Raises `Problem`."""
    if args.key is None:
        user = await find_user(office, args.user)
        return Purse(user.account, user.email, is_budget=False)
    key = await find_key(office, args.key)
    if key.budget is None:
        step = "It spends what its user has: use --user. A budget is given with: parley keys create --budget"
        raise Problem(f"The key {key.id} has no budget of its own", step)
    return Purse(key.budget, f"the budget of {key.id}", is_budget=True)


def sums_of(account: Account) -> dict[str, str | int]:
    return as_json("balance", account.posted) | as_json("held", account.held) | as_json("available", account.available)


def plain_sums(account: Account) -> dict[str, object]:
    return {name: value for name, value in sums_of(account).items() if not name.endswith("_micro")}


def facts_of(line: Line) -> dict[str, object]:
    """`credits` is what the line moved or reserved; `balance` and `held` are as they were then."""
    return {
        "id": line.id,
        "kind": line.kind,
        "hold": line.hold,
        **as_json("credits", line.moved),
        **as_json("asked", line.asked),
        **as_json("balance", line.posted),
        **as_json("held", line.held),
        "at": moment(line.at),
        "note": line.note,
    }


def row_of(line: Line) -> tuple[object, ...]:
    moved = f"{SIGNS.get(line.kind, '')}{credits_text(line.moved)}"
    return (moment(line.at), line.kind, moved, credits_text(line.posted), credits_text(line.held), line.id, line.note)
