#!/usr/bin/env python3
"""Writes the generated parts of docs/*.md and README.md: what stands between these two lines.

    <!-- made: errors -->
    <!-- end -->

Each name is a function in `PARTS`, or `file PATH` for a file of this repository as a code block. `--check` writes
nothing, and fails when something is stale.
"""

import argparse
import ast
import inspect
import re
import sys
from collections.abc import Callable, Iterable, Iterator, Sequence
from pathlib import Path
from typing import Final, NamedTuple

ROOT: Final = Path(__file__).resolve().parent.parent
sys.path.insert(0, str(ROOT))

PART: Final = re.compile(r"<!-- made: (?P<name>[^\n]+?) -->\n(?P<body>.*?)<!-- end -->", re.DOTALL)
LANGUAGES: Final = {".py": "python", ".mjs": "js", ".toml": "toml", ".txt": "text"}
LIMIT: Final = re.compile(r"_(MAX|MIN)$|_TIMEOUT_(S|MS)$|_TIMEOUTS$")
LIMITED: Final = (
    "auth/",
    "core/",
    "dialects/",
    "engines/http.py",
    "engines/cascade.py",
    "live/",
    "transports/",
    "web/",
)
"""Where the limits are that a client or an operator can meet; the others are the business of one file each."""
UNITS: Final = {"MS": "ms", "S": "s", "BYTES": "bytes", "CHARS": "characters", "TOKENS": "tokens", "HZ": "Hz"}


def main() -> int:
    parser = argparse.ArgumentParser(description="Write the generated parts of the documentation.")
    parser.add_argument("--check", action="store_true", help="write nothing; fail when something is stale")
    check = parser.parse_args().check
    stale = [page for page in pages() if refresh(page, write=not check)]
    for page in stale:
        print(f"{page.relative_to(ROOT)}: {'stale; run make docs' if check else 'written'}")
    return 1 if check and stale else 0


def pages() -> list[Path]:
    return [ROOT / "README.md", *sorted((ROOT / "docs").glob("*.md"))]


def refresh(page: Path, *, write: bool) -> bool:
    """Whether the page was stale."""
    old = page.read_text("utf-8")
    new = PART.sub(lambda part: f"<!-- made: {part['name']} -->\n{made(part['name'])}<!-- end -->", old)
    if write and new != old:
        page.write_text(new, "utf-8")
    return new != old


def made(name: str) -> str:
    if name.startswith("file "):
        path = ROOT / name.removeprefix("file ")
        return f"```{LANGUAGES[path.suffix]}\n{path.read_text('utf-8').strip()}\n```\n"
    return "\n".join(PARTS[name]()) + "\n"


def table(head: Sequence[str], rows: Iterable[Sequence[str]]) -> Iterator[str]:
    yield f"| {' | '.join(head)} |"
    yield f"|{' --- |' * len(head)}"
    for row in rows:
        cells = [cell.replace("|", "\\|") for cell in row]
        yield f"| {' | '.join(cells)} |"


def code(text: str) -> str:
    return f"`{text}`" if text else ""


# ---- the parts


def errors() -> Iterator[str]:
    from parley.errors import ERRORS

    rows = [(f"`{code}`", f"`{row.type}`", str(row.http), row.advice) for code, row in ERRORS.items()]
    return table(("code", "type", "HTTP", "what to do"), rows)


def settings() -> Iterator[str]:
    from parley.settings import rows

    lines = [
        (f"`{row.name}`", f"`{row.env}`", row.default if " " in row.default else code(row.default), row.reason)
        for row in rows()
    ]
    return table(("setting", "environment", "default", "what it is"), lines)


def models() -> Iterator[str]:
    from parley.catalog import MODELS, TRANSCRIPTION_MODELS

    yield "Realtime: " + ", ".join(f"`{name}`" for name in MODELS) + "."
    yield ""
    yield "Transcription: " + ", ".join(f"`{name}`" for name in TRANSCRIPTION_MODELS) + "."


def voices() -> Iterator[str]:
    from parley.catalog import VOICES

    rows = [(f"`{voice.name}`", voice.base, f"{voice.pitch_hz} Hz") for voice in VOICES.values()]
    return table(("voice", "accent", "pitch"), rows)


def metrics() -> Iterator[str]:
    from parley.telemetry import Metrics

    families = sorted(Metrics().registry.collect(), key=lambda family: family.name)
    suffix = {"counter": "_total"}
    rows = [(f"`{f.name}{suffix.get(f.type, '')}`", f.type, f.documentation) for f in families]
    return table(("metric", "kind", "what it counts"), rows)


def commands() -> Iterator[str]:
    """The arguments of every command, from the parser itself."""
    from parley.__main__ import make_parser

    for name, command in actions_of(make_parser()).items():
        yield from described(f"## parley {name}", command)
        for action, parser in actions_of(command).items():
            yield from described(f"### parley {name} {action}", parser)


def actions_of(parser: argparse.ArgumentParser) -> dict[str, argparse.ArgumentParser]:
    """What its next word may be."""
    groups = [action.choices for action in parser._actions if isinstance(action, argparse._SubParsersAction)]
    return dict(groups[0]) if groups else {}


def described(heading: str, parser: argparse.ArgumentParser) -> Iterator[str]:
    yield from (heading, "", parser.description or "", "")
    if not actions_of(parser):
        yield from table(("argument", "what it does"), [argument(a) for a in parser._actions if a.dest != "help"])
        yield ""


def argument(action: argparse.Action) -> tuple[str, str]:
    value = f"{{{','.join(action.choices)}}}" if action.choices else action.metavar or action.dest.upper()
    if not action.option_strings:
        return f"`{value if action.choices else action.dest}`", action.help or ""
    takes_value = action.nargs != 0
    return f"`{action.option_strings[0]}{f' {value}' if takes_value else ''}`", action.help or ""


class Limit(NamedTuple):
    name: str
    value: str
    reason: str
    file: str


def limits() -> Iterator[str]:
    rows = [(f"`{limit.name}`", limit.value, limit.reason, f"`{limit.file}`") for limit in all_limits()]
    return table(("limit", "value", "what it bounds", "where"), rows)


def all_limits() -> list[Limit]:
    """Every named limit in those rooms: constants called …_MAX, …_MIN or …_TIMEOUT_…, with their docstrings."""
    found = []
    for path in sorted((ROOT / "parley").rglob("*.py")):
        if not path.relative_to(ROOT / "parley").as_posix().startswith(LIMITED):
            continue
        body = ast.parse(path.read_text("utf-8")).body
        for node, after in zip(body, [*body[1:], None], strict=False):
            name, value = assigned(node)
            number = amount(value) if value is not None else None
            if name is not None and number is not None and LIMIT.search(name):
                found.append(Limit(name, measured(name, number), docstring(after), str(path.relative_to(ROOT))))
    return found


def assigned(node: ast.stmt) -> tuple[str | None, ast.expr | None]:
    if isinstance(node, ast.AnnAssign) and isinstance(node.target, ast.Name):
        return node.target.id, node.value
    if isinstance(node, ast.Assign) and isinstance(node.targets[0], ast.Name):
        return node.targets[0].id, node.value
    return None, None


def docstring(node: ast.stmt | None) -> str:
    if isinstance(node, ast.Expr) and isinstance(node.value, ast.Constant) and isinstance(node.value.value, str):
        return " ".join(inspect.cleandoc(node.value.value).split())
    return ""


def amount(value: ast.expr) -> float | None:
    """The number that plain arithmetic comes to; None for anything else."""
    text = ast.unparse(value)
    return eval(text, {"__builtins__": {}}) if re.fullmatch(r"[\d_ .*/+()-]+", text) else None


def measured(name: str, number: float) -> str:
    """With the unit that stands in the name."""
    unit = next((UNITS[word] for word in reversed(name.split("_")) if word in UNITS), "")
    if unit == "bytes" and number >= 2**20 and number % 2**20 == 0:
        return f"{number // 2**20:,} MiB"
    return f"{number:,} {unit}".strip()


PARTS: Final[dict[str, Callable[[], Iterator[str]]]] = {
    "commands": commands,
    "errors": errors,
    "limits": limits,
    "metrics": metrics,
    "models": models,
    "settings": settings,
    "voices": voices,
}


if __name__ == "__main__":
    sys.exit(main())
