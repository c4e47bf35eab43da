"""`parley config show` and `parley config check`: what the settings are, and whether they are right."""

import json
from argparse import Namespace
from pathlib import Path

from parley.cli.problem import Problem, Status
from parley.settings import Loaded, SettingsError, load


def run(args: Namespace) -> int:
    loaded = loaded_settings(args.config)
    if args.action == "show":
        show(loaded, origin=args.origin, as_json=args.json)
    elif args.json:
        print(json.dumps({"ok": True}))
    else:
        print("The settings are right.")
    return Status.OK


def loaded_settings(config: str | None) -> Loaded:
    """Raises `Problem` with the one line that says what is wrong."""
    try:
        return load(config=None if config is None else Path(config))
    except SettingsError as error:
        raise Problem(str(error), status=Status.CONFIG) from error


def show(loaded: Loaded, *, origin: bool, as_json: bool) -> None:
    """Secrets are shown as stars."""
    rows = loaded.shown()
    if as_json:
        print(json.dumps({row.name: {"value": row.value, "origin": row.origin} for row in rows}, indent=2))
        return
    width = max(len(row.name) for row in rows)
    value_width = max(len(row.value) for row in rows) if origin else 0
    for row in rows:
        print(f"{row.name:<{width}}  {row.value:<{value_width}}{f'  {row.origin}' if origin else ''}".rstrip())
