"""`parley version`: what is running."""

import json
import platform
from argparse import Namespace

from parley import __version__
from parley.cli.problem import Status


def run(args: Namespace) -> int:
    facts = {"parley": __version__, "python": platform.python_version(), "platform": platform.platform(terse=True)}
    print(json.dumps(facts) if args.json else f"parley {__version__} (Python {facts['python']}, {facts['platform']})")
    return Status.OK
