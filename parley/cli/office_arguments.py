"""The arguments of commands about people, money, webhooks, the database. Nothing heavy is imported: help is quick."""

from argparse import SUPPRESS, ArgumentParser
from collections.abc import Callable
from typing import Final

Action = Callable[[str, str], ArgumentParser]
"""Adds one action of a command: its name, and what it does."""

WHO: Final = "id or e-mail address"
AMOUNT: Final = "credits, with up to six places: 5 or 1.25"


def actions_of(command: ArgumentParser) -> Action:
    """`parley users create` and the like: each action explains itself, and knows --debug, --config and --json."""
    group = command.add_subparsers(title="actions", metavar="ACTION", dest="action", required=True)

    def action(name: str, text: str) -> ArgumentParser:
        made = group.add_parser(name, help=text.partition(".")[0], description=text, epilog=command.epilog)
        # Without a default: `parley users --debug list` must stay what it is.
        made.add_argument("--debug", action="store_true", default=SUPPRESS, help="show the traceback of an error")
        add_common(made)
        return made

    return action


def add_common(parser: ArgumentParser) -> None:
    parser.add_argument("--config", metavar="FILE", help="settings file")
    parser.add_argument("--json", action="store_true", help="print one JSON object")


def add_users(command: ArgumentParser) -> None:
    action = actions_of(command)
    create = action("create", "Add a person, and print a link that signs them in once.")
    create.add_argument("email", help="e-mail address, by which they are known")
    create.add_argument("--name", help="what to call them (default: the address before the @)")
    create.add_argument("--admin", action="store_true", help="they may do everything")
    create.add_argument("--account", metavar="A", help="share this account: its id, or the address of somebody in it")
    create.add_argument("--password-stdin", action="store_true", help="read a password from standard input; no link")
    create.add_argument("--credits", metavar="N", help=f"begin with so many {AMOUNT}")
    add_url(create)
    action("list", "Show everybody.")
    action("show", "Show one person, with their credits and keys.").add_argument("user", help=WHO)
    disable = action("disable", "Lock somebody out: sign-ins end, keys are refused. What they have stays.")
    disable.add_argument("user", help=WHO)
    action("enable", "Let somebody in again.").add_argument("user", help=WHO)
    link = action("link", "Print a new link that signs somebody in once, within a day.")
    link.add_argument("user", nargs="?", help=f"{WHO} (default: the administrator of this machine)")
    add_url(link)


def add_url(parser: ArgumentParser) -> None:
    parser.add_argument("--url", help="address of the server in the link (default: the one that the settings describe)")


def add_keys(command: ArgumentParser) -> None:
    action = actions_of(command)
    create = action("create", "Make an API key, and print it: the only time that it is seen.")
    create.add_argument("--user", metavar="U", required=True, help=f"whose key it is: {WHO}")
    create.add_argument("--name", default="command line", help="what it is for")
    money = create.add_mutually_exclusive_group()
    money.add_argument("--credits", metavar="N", help="also add so many credits to the user's account")
    money.add_argument("--budget", metavar="N", help="the key may spend so many of the account's credits and no more")
    create.add_argument("--scopes", metavar="A,B", help="realtime, pipeline, admin (default realtime,pipeline)")
    create.add_argument("--models", metavar="A,B", help="only these models (default all)")
    create.add_argument("--voices", metavar="A,B", help="only these voices (default all)")
    create.add_argument("--expires", metavar="WHEN", help="30d, 12h, or its last day (UTC): 2026-12-31")
    create.add_argument("--requests-per-minute", type=int, metavar="N", help="a limit of its own")
    create.add_argument("--sessions-at-once", type=int, metavar="N", help="a limit of its own")
    create.add_argument("--tokens-per-minute", type=int, metavar="N", help="a limit of its own")
    create.add_argument("--audio-minutes-per-day", type=int, metavar="N", help="a limit of its own")
    listed = action("list", "Show the keys, newest first, the revoked ones too.")
    listed.add_argument("--user", metavar="U", help=f"only those of one person: {WHO}")
    action("revoke", "Take a key back: what runs with it ends.").add_argument("key", help="id of the key")


def add_credits(command: ArgumentParser) -> None:
    action = actions_of(command)
    add = action("add", "Add credits to somebody's account, or to the budget of a key.")
    add_whose(add)
    add.add_argument("amount", help=AMOUNT)
    add.add_argument("--note", default="", help="why; it stands in the statement")
    add.add_argument("--id", help="a name for this order: given twice, it is done once")
    show = action("show", "Show what there is, what is reserved, and the latest lines of the statement.")
    add_whose(show)
    show.add_argument("--lines", type=int, default=20, metavar="N", help="how many (default 20)")


def add_whose(parser: ArgumentParser) -> None:
    whose = parser.add_mutually_exclusive_group(required=True)
    whose.add_argument("--user", metavar="U", help=f"the account of this person: {WHO}")
    whose.add_argument("--key", metavar="K", help="the budget of this key: its id")


def add_db(command: ArgumentParser) -> None:
    action = actions_of(command)
    backup = action("backup", "Copy the database (SQLite) to a new file, while the server works on.")
    backup.add_argument("file", help="where to; it must not be there yet")
    action("verify", "Check that no credit is lost or made up. Status 1 when something is wrong.")
    action("migrate", "Bring the database up to this version, as the server does when it starts.")
    action("url", "Print where the database is, without its password.")


def add_webhooks(command: ArgumentParser) -> None:
    action = actions_of(command)
    listed = action("list", "Show what was announced, newest first, and what became of it.")
    listed.add_argument("--lines", type=int, default=20, metavar="N", help="how many (default 20)")
    replay = action("replay", "Announce something again. A running server sends it.")
    replay.add_argument("id", help="id of the webhook")
    action("secret", "Make a secret for webhook_secret, and print it.")


def add_prices(parser: ArgumentParser) -> None:
    parser.add_argument("model", nargs="?", help="only this model")
    parser.add_argument("--day", help="the prices of another day: 2026-12-31 (default today, UTC)")
    add_common(parser)
