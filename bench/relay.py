#!/usr/bin/env python3
"""What relaying costs, beside a bare picows relay that only peeks at types, in the same run.

Needs the bench tools (see `bench/run.py`). Ratios of one run count; `--rt` (root) keeps others out of the latencies.
"""

import argparse
import json
import statistics
import subprocess
import sys
import tempfile
from pathlib import Path
from typing import Any, Final, Literal, NamedTuple

from bench.run import ROOT, TOOLS

FLOOR: Final = "picows:peek"
OURS: Final = "parley"


class Goal(NamedTuple):
    """What a figure may be at most: so many times the floor's (`x`), so much more than without a relay (`+`), or as
    such (`=`)."""

    suite: str
    figure: tuple[str, ...]
    kind: Literal["x", "+", "="]
    limit: float
    unit: str = ""


GOALS: Final = (
    Goal("flood-", ("flood", "server_cpu_us_per_msg"), "x", 1.5),
    Goal("paced-100", ("server", "cpu_us_per_message"), "x", 1.3),
    Goal("paced-", ("down_us", "p50"), "+", 100.0, "µs"),
    Goal("paced-", ("up_us", "p50"), "+", 100.0, "µs"),
    Goal("paced-", ("down_us", "p99"), "+", 1_000.0, "µs"),
    Goal("paced-", ("up_us", "p99"), "+", 1_000.0, "µs"),
    Goal("memory", ("server", "kb_per_session"), "=", 100.0, "KB"),
    Goal("memory", ("setup_ms", "p50"), "=", 5.0, "ms"),
)
SUITES: Final = ("flood", "paced", "memory")
COMMAND: Final = f"{sys.executable} {ROOT}/bench/relay_server.py --port {{port}} --upstream {{upstream}}"


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--suite", choices=SUITES, action="append", help="may be repeated; default: flood and paced")
    parser.add_argument("--rounds", type=int, default=5)
    parser.add_argument("--sessions", default="20,100", help="of paced")
    parser.add_argument("--rt", action="store_true", help="real-time priority (root)")
    parser.add_argument("--port", type=int, default=29_600)
    args = parser.parse_args()
    if not (TOOLS / "bench.py").exists():
        print(f"There are no bench tools in {TOOLS}; name their folder in BENCH_TOOLS.", file=sys.stderr)
        return 2
    suites = args.suite or ["flood", "paced"]
    with tempfile.TemporaryDirectory() as folder:
        out = Path(folder) / "results.json"
        sessions = "8" if suites == ["flood"] else args.sessions
        command = [
            sys.executable, str(TOOLS / "bench.py"),
            "--targets", f"direct,{FLOOR},{OURS}", "--cmd", f"{OURS}={COMMAND}",
            "--suite", ",".join(suites), "--sessions", sessions, "--rounds", str(args.rounds),
            "--port", str(args.port), "--json", str(out), *(["--rt"] if args.rt else []),
        ]  # fmt: skip
        subprocess.run(command, check=False, env={"PYTHONPATH": str(ROOT), "PATH": "/usr/bin:/bin"})
        results: dict[str, dict[str, list[dict[str, Any]]]] = json.loads(out.read_text())
    figures = [judged(goal, suite, found) for suite, found in results.items() for goal in GOALS if fits(goal, suite)]
    print("\n".join(line for line, _ in figures))
    return 0 if figures and all(reached for _, reached in figures) else 1


def fits(goal: Goal, suite: str) -> bool:
    return suite.startswith(goal.suite)


def judged(goal: Goal, suite: str, targets: dict[str, list[dict[str, Any]]]) -> tuple[str, bool]:
    """A line about the goal, and whether it was reached. A figure that is missing was not."""
    name = f"{suite} {'.'.join(goal.figure)}"
    ours = median(targets.get(OURS, []), goal.figure)
    base = median(targets.get({"x": FLOOR, "+": "direct", "=": OURS}[goal.kind], []), goal.figure)
    if ours is None or base is None:
        return f"{name}: not measured", False
    value = {"x": ours / base, "+": ours - base, "=": ours}[goal.kind]
    reached = value <= goal.limit
    shown = f"{goal.kind if goal.kind != '=' else ''}{value:.2f} {goal.unit}".strip()
    return f"{name}: {ours:.1f}, {shown} (wanted {goal.limit:g}){'' if reached else ' MISSED'}", reached


def median(rounds: list[dict[str, Any]], path: tuple[str, ...]) -> float | None:
    found = [value for one in rounds if (value := dig(one, path)) is not None]
    return statistics.median(found) if found else None


def dig(value: Any, path: tuple[str, ...]) -> float | None:
    for step in path:
        value = value.get(step) if isinstance(value, dict) else None
    return float(value) if isinstance(value, int | float) else None


if __name__ == "__main__":
    sys.exit(main())
