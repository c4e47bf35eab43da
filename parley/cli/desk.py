"""What the commands about people, keys and money share: an open office, who is meant, and how a refusal is told.

They go to the database themselves, by the same rules as the server, and may do so while it runs.
"""

import asyncio
import os
import shlex
from argparse import Namespace
from collections.abc import Awaitable, Callable, Iterator, Mapping
from contextlib import contextmanager
from typing import Final, TypeVar

from parley.auth.accounts import User
from parley.auth.client_secrets import PEPPER_FILE
from parley.auth.keys_store import ApiKey
from parley.auth.overview import account_of_key
from parley.cli.config import loaded_settings
from parley.cli.problem import Problem, Status
from parley.errors import ERRORS, EngineError, RequestError
from parley.office import Office, open_office
from parley.settings import Settings, SettingsError

T = TypeVar("T")

Work = Callable[[Office, Settings, Namespace], Awaitable[T]]

DATABASE_STEP: Final = "Check database_url (parley db url), and that the database runs"
STEPS: Final = {
    "email_taken": "See: parley users list",
    "idempotency_conflict": "Choose another --id",
    "invalid_value": "Correct it and try again",
    "last_admin": "",
    "too_many_keys": "",
}
"""Where the advice of `ERRORS`, which is for clients, does not fit; none where the message gives it."""


def run_action(args: Namespace, actions: Mapping[str, Work[None]]) -> int:
    """The action that was asked for, in an office that is opened for it. Raises `Problem`."""
    in_office(args, actions[args.action])
    return Status.OK


def in_office(args: Namespace, work: Work[T]) -> T:
    """Raises `Problem`."""
    settings = loaded_settings(args.config).settings

    async def opened() -> T:
        office = await open_office(settings)
        try:
            return await work(office, settings, args)
        finally:
            await office.close()

    with told():
        return asyncio.run(opened())


@contextmanager
def told() -> Iterator[None]:
    """The errors of the house as the one line that a command prints."""
    try:
        yield
    except RequestError as error:
        raise Problem(error.message, STEPS.get(error.code, ERRORS[error.code].advice)) from error
    except EngineError as error:
        raise Problem(error.message, DATABASE_STEP, Status.NETWORK) from error
    except SettingsError as error:
        if isinstance(error.__cause__, EngineError):
            raise Problem(str(error), DATABASE_STEP, Status.NETWORK) from error
        raise Problem(str(error), status=Status.CONFIG) from error


def check_pepper(settings: Settings) -> None:
    """What is made with a pepper that the server does not have opens nothing. Raises `Problem`."""
    if settings.pepper is not None:
        return
    place = settings.home / PEPPER_FILE
    if not (place.is_file() and os.access(place, os.R_OK)):
        step = "Run this as the user of the server, with its PARLEY_HOME"
        raise Problem(f"{place} cannot be read, and without it keys and links open nothing", step)


async def find_user(office: Office, who: str) -> User:
    """By id or e-mail address. Raises `Problem`."""
    by_email = "@" in who
    try:
        return await (office.accounts.user_by_email(who) if by_email else office.accounts.user(who))
    except RequestError as error:
        step = f"Create them with: parley users create {shlex.quote(who)}" if by_email else "See: parley users list"
        raise Problem(f"There is no user {who}", step) from error


async def find_welcome_user(office: Office, who: str) -> User:
    """Somebody who may come in. Raises `Problem`."""
    user = await find_user(office, who)
    if user.disabled_at is not None:
        raise Problem(f"{user.email} is disabled", f"Let them in again with: parley users enable {user.email}")
    return user


async def find_key(office: Office, id: str) -> ApiKey:
    """Raises `Problem`."""
    try:
        return await office.keys.key(await account_of_key(office.storage, id), id)
    except RequestError as error:
        raise Problem(f"There is no key with the id {id}", "See: parley keys list") from error
