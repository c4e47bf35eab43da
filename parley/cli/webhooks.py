"""`parley webhooks`: what was announced and what became of it, once more if need be, and the secret that signs it."""

import time
from argparse import Namespace
from collections.abc import Mapping
from typing import Final

from yarl import URL

from parley.cli.amounts import moment
from parley.cli.desk import Work, run_action
from parley.cli.listing import say, show_json, show_table
from parley.cli.problem import Problem, Status
from parley.office import Office
from parley.settings import Settings
from parley.webhooks import sender, store
from parley.webhooks.signing import new_secret
from parley.webhooks.store import Delivery

SHOWN_MAX: Final = 1_000


def run(args: Namespace) -> int:
    if args.action == "secret":
        return make_secret(args)
    return run_action(args, ACTIONS)


def make_secret(args: Namespace) -> int:
    """Kept nowhere: it belongs into the settings, and to whoever receives."""
    secret = new_secret()
    if args.json:
        show_json({"secret": secret})
    else:
        say("Set it as PARLEY_WEBHOOK_SECRET, and give it to the program that receives:")
        print(secret)
    return Status.OK


async def list_all(office: Office, settings: Settings, args: Namespace) -> None:
    if not 1 <= args.lines <= SHOWN_MAX:
        raise Problem(f"--lines {args.lines} cannot be shown", f"Use 1 to {SHOWN_MAX}", Status.USAGE)
    deliveries = await office.storage.read(store.page, None, args.lines)
    if args.json:
        show_json({"webhooks": [facts_of(delivery) for delivery in deliveries]})
        return
    head = ("id", "event", "endpoint", "state", "attempts", "outcome", "made")
    show_table(head, [
        (each.id, each.event, place(each), each.state, each.attempts, each.outcome, moment(each.created_at))
        for each in deliveries
    ])  # fmt: skip


async def replay(office: Office, settings: Settings, args: Namespace) -> None:
    await sender.replay(office.storage, args.id, None, int(time.time() * 1_000))
    if args.json:
        show_json({"id": args.id, "state": "pending"})
    else:
        print(f"{args.id} is sent again by the server, under the same id.")


ACTIONS: Final[Mapping[str, Work[None]]] = {"list": list_all, "replay": replay}


def facts_of(delivery: Delivery) -> dict[str, object]:
    return {
        "id": delivery.id,
        "account": delivery.account,
        "event": delivery.event,
        "endpoint": place(delivery),
        "state": delivery.state,
        "attempts": delivery.attempts,
        "outcome": delivery.outcome,
        "created_at": moment(delivery.created_at),
        "next_at": moment(delivery.next_at),
        "delivered_at": moment(delivery.delivered_at),
    }


def place(delivery: Delivery) -> str:
    """Without the query, in which there may be a password."""
    return str(URL(delivery.endpoint).with_query(None).with_user(None))
