"""What these commands print: tables on a terminal, tabs between the columns elsewhere, JSON where it is asked for.

Standard output has what a script wants. What is said about it goes to standard error.
"""

import json
import sys
from collections.abc import Iterable, Mapping, Sequence


def show_json(what: Mapping[str, object]) -> None:
    print(json.dumps(what, indent=2))


def say(text: str) -> None:
    """Beside the result."""
    print(text, file=sys.stderr)


def show_table(head: Sequence[str], rows: Iterable[Sequence[object]]) -> None:
    """Elsewhere than on a terminal the first line names the columns too. Empty is a minus sign."""
    cells = [[cell(value) for value in row] for row in rows]
    if not sys.stdout.isatty():
        for line in (head, *cells):
            print("\t".join(line))
        return
    from rich.console import Console
    from rich.table import Table
    from rich.text import Text

    table = Table(box=None, header_style="bold", pad_edge=False)
    for name in head:
        table.add_column(name, overflow="fold")
    for line in cells:
        table.add_row(*(Text(text) for text in line))
    Console(highlight=False).print(table)


def show_facts(facts: Mapping[str, object]) -> None:
    """One a line."""
    width = max(len(name) for name in facts) if sys.stdout.isatty() else 0
    for name, value in facts.items():
        print(f"{name:<{width}}  {cell(value)}" if width else f"{name}\t{cell(value)}")


def cell(value: object) -> str:
    """On one line, and without letters that would steer a terminal."""
    text = "" if value is None else str(value)
    return "".join(letter if letter.isprintable() else "?" for letter in text) or "-"
