"""`parley db`: the database behind accounts and money."""

import asyncio
import re
from argparse import Namespace
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Final

from parley.auth.client_secrets import PEPPER_FILE
from parley.billing.audit import audit
from parley.cli.config import loaded_settings
from parley.cli.desk import in_office, told
from parley.cli.listing import say, show_json
from parley.cli.problem import Problem, Status
from parley.office import Office
from parley.settings import HIDDEN, Settings
from parley.storage import DATABASE_FILE, Row, Script, Sql
from parley.storage_sqlite import open_sqlite

SQLITE: Final = "sqlite:///"
USER_PASSWORD: Final = re.compile(r"^(\w+://[^:/@]*):.*@")
"""To the last @: a password may have one that should have been escaped."""
QUERY_PASSWORD: Final = re.compile(r"(?<=[?&])(\w*password=)[^&]*")


def run(args: Namespace) -> int:
    return ACTIONS[args.action](args)


def backup(args: Namespace) -> int:
    """The database as it is: a copy from before a migration must not be migrated first."""
    settings = loaded_settings(args.config).settings
    source, target = file_of(settings), Path(args.file)
    if source is None:
        step = f"Use its own tools: pg_dump --format=custom --file={target.name} DATABASE_URL"
        raise Problem("PostgreSQL is not copied by Parley", step)
    if not source.is_file():
        raise Problem(f"There is no database {source} yet", "parley serve makes it, and so does: parley db migrate")
    with told():
        try:
            asyncio.run(copy(source, target))
        except FileExistsError as error:
            raise Problem(f"{target} is there already", "Choose a new name; nothing is overwritten") from error
        except OSError as error:
            raise Problem(f"Cannot write {target}: {error.strerror}", "Choose another place") from error
    size = target.stat().st_size
    if args.json:
        show_json({"file": str(target), "bytes": size})
    else:
        print(f"{target}: {size:,} bytes. Keep {settings.home / PEPPER_FILE} with it: no key opens anything without.")
    return Status.OK


async def copy(source: Path, target: Path) -> None:
    storage = await open_sqlite(source)
    try:
        await storage.backup(target)
    finally:
        await storage.close()


def verify(args: Namespace) -> int:
    """Status 1 with findings."""

    async def work(office: Office, settings: Settings, args: Namespace) -> list[str]:
        return await audit(office.storage)

    findings = in_office(args, work)
    if args.json:
        show_json({"ok": not findings, "findings": findings})
    else:
        print("\n".join(findings) or "Every credit is where it should be.")
    if findings:
        say(f"Wrong: {len(findings)}. Stop the server, keep a copy of this database, and restore the last good backup.")
    return Status.FAILED if findings else Status.OK


def migrate(args: Namespace) -> int:
    async def work(office: Office, settings: Settings, args: Namespace) -> list[Row]:
        return await office.storage.read(steps_taken)

    steps = [{"number": number, "name": name} for number, name in in_office(args, work)]
    if args.json:
        show_json({"steps": steps})
    else:
        print(f"The database is up to date: {steps[-1]['name']}.")
    return Status.OK


def steps_taken() -> Script[list[Row]]:
    return (yield Sql("SELECT number, name FROM migration ORDER BY number"))


def url(args: Namespace) -> int:
    shown = shown_url(loaded_settings(args.config).settings)
    if args.json:
        show_json({"url": shown})
    else:
        print(shown)
    return Status.OK


ACTIONS: Final[Mapping[str, Callable[[Namespace], int]]] = {
    "backup": backup,
    "verify": verify,
    "migrate": migrate,
    "url": url,
}


# ---- parts of them


def file_of(settings: Settings) -> Path | None:
    """Of SQLite; None for a database elsewhere."""
    if settings.database_url is None:
        return settings.home / DATABASE_FILE
    is_file = settings.database_url.startswith(SQLITE)
    return Path(settings.database_url.removeprefix(SQLITE)) if is_file else None


def shown_url(settings: Settings) -> str:
    file = file_of(settings)
    if file is not None:
        return f"{SQLITE}{file}"
    address = USER_PASSWORD.sub(rf"\1:{HIDDEN}@", settings.database_url or "")
    return QUERY_PASSWORD.sub(rf"\1{HIDDEN}", address)
