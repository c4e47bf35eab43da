"""`parley say "text"`: one typed question, and its answer."""

from argparse import Namespace

from parley.cli import talk


def run(args: Namespace) -> int:
    return talk.run(args)
