"""`parley serve`: the server, with what the flags say on top of the other settings."""

import os
from argparse import Namespace
from pathlib import Path

from parley.cli.problem import Problem, Status
from parley.settings import Settings, SettingsError, load

FLAGS = ("host", "port", "tls", "log_level", "log_format")
"""Flags of the command that are settings of the same name."""


def run(args: Namespace) -> int:
    """Serves until it is told to stop. Raises `Problem` for settings that are wrong, or an address that is taken."""
    flags = {name: getattr(args, name) for name in FLAGS}
    try:
        loaded = load(flags, config=None if args.config is None else Path(args.config))
        return served(loaded.settings)
    except SettingsError as error:
        raise Problem(str(error), status=Status.CONFIG) from error


def served(settings: Settings) -> int:
    """Raises `SettingsError`, and `Problem` when the address cannot be had."""
    from parley.app import serve

    try:
        return serve(settings)
    except OSError as error:
        if error.filename is not None:
            raise Problem(f"Cannot use {error.filename}: {error.strerror}", "parley doctor looks closer") from error
        where = f"{settings.host}:{settings.port}"
        why = os.strerror(error.errno) if error.errno else str(error)
        raise Problem(f"Cannot listen on {where}: {why}", "Choose another port with --port", Status.NETWORK) from error
