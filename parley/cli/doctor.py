"""`parley doctor`: is everything as it should be? One line a check, and the next step where it is not."""

import asyncio
import json
from argparse import Namespace
from collections.abc import Awaitable, Callable
from typing import Final, NamedTuple

from parley.cli import machine_checks as machine
from parley.cli import model_checks as models
from parley.cli import telephone_checks as telephone
from parley.cli.config import loaded_settings
from parley.cli.machine_checks import Finding, Level
from parley.cli.problem import Problem, Status
from parley.errors import EngineError
from parley.settings import Settings

CHECK_TIMEOUT_S: Final = 40.0
MARKS: Final[dict[Level, tuple[str, str]]] = {
    "ok": ("ok  ", "green"),
    "warn": ("warn", "yellow"),
    "fail": ("fail", "red"),
}


class Check(NamedTuple):
    name: str
    run: Callable[[Settings], Awaitable[Finding] | Finding]


def run(args: Namespace) -> int:
    """Status 1 when a check fails; a warning alone is fine."""
    try:
        settings = loaded_settings(args.config).settings
    except Problem as problem:
        report([("settings", Finding("fail", problem.message, problem.step))], as_json=args.json)
        return Status.CONFIG
    found = asyncio.run(examine(settings))
    report(found, as_json=args.json)
    return Status.FAILED if any(finding.level == "fail" for _, finding in found) else Status.OK


async def examine(settings: Settings) -> list[tuple[str, Finding]]:
    """Every check in turn: they share two cores with the speech that they test."""
    found = [("settings", Finding("ok", "every setting is known and right"))]
    for check in CHECKS:
        found.append((check.name, await outcome(check, settings)))
    return found


async def outcome(check: Check, settings: Settings) -> Finding:
    try:
        result = check.run(settings)
        if isinstance(result, Finding):
            return result
        async with asyncio.timeout(CHECK_TIMEOUT_S):
            return await result
    except TimeoutError:
        return Finding("fail", f"no result in {CHECK_TIMEOUT_S:.0f} s", "Try again when the machine is less busy")
    except EngineError as error:
        return Finding("fail", error.message.rstrip("."), "Check its address, key and model, and that it runs")


def report(found: list[tuple[str, Finding]], *, as_json: bool) -> None:
    if as_json:
        checks = [{"check": name, **finding._asdict()} for name, finding in found]
        print(json.dumps({"ok": all(finding.level != "fail" for _, finding in found), "checks": checks}, indent=2))
        return
    from rich.console import Console

    console = Console(highlight=False, soft_wrap=True)
    width = max(len(name) for name, _ in found)
    for name, finding in found:
        mark, colour = MARKS[finding.level]
        console.print(mark, style=colour, end="  ")
        console.print(f"{name:<{width}}  {finding.text}", markup=False)
        if finding.step:
            console.print(f"{'':<{width}}        {finding.step}.", style="dim", markup=False)


CHECKS: Final = (
    Check("python", machine.check_python),
    Check("clock", machine.check_clock),
    Check("home", machine.check_home),
    Check("local key", machine.check_key_file),
    Check("open files", machine.check_files),
    Check("port", machine.check_port),
    Check("certificate", machine.check_certificate),
    Check("telephone ports", telephone.check_ports),
    Check("telephone trunks", telephone.check_trunks),
    Check("telephone address", telephone.check_address),
    Check("telephone TLS", telephone.check_tls),
    Check("embedded speech", models.check_speech),
    Check("language model", models.check_llm),
    Check("speech to text", models.check_stt),
    Check("text to speech", models.check_tts),
)
