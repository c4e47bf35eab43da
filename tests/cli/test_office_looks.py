"""How these commands look: help, tables, prices, and their page of the documentation."""

import io
import json
import os
import pty
import re
import select
import shlex
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

from parley.__main__ import main
from parley.billing.prices import load_prices
from parley.cli.problem import Status
from tests.cli.desk import ANN, home
from tests.conftest import ROOT, clean_environment

__all__ = ["home"]


def test_prices_of_a_day(home: Path, capsys: pytest.CaptureFixture[str]) -> None:
    price = load_prices().find("gpt-realtime", "2026-01-01")
    assert price is not None
    assert main(["prices", "gpt-realtime", "--day", "2026-01-01", "--json"]) == Status.OK
    shown = json.loads(capsys.readouterr().out)
    assert shown["day"] == "2026-01-01"
    assert shown["prices"][0]["model"] == "gpt-realtime"
    assert float(shown["prices"][0]["per_million_tokens"]["output_audio"]) * 1_000_000 == price.output_audio
    assert main(["prices"]) == Status.OK
    assert {price.model for price in load_prices().all()} >= {
        line.partition("\t")[0] for line in capsys.readouterr().out.splitlines()[1:]
    }
    assert main(["prices", "no-such-model"]) == Status.FAILED
    assert "parley prices" in capsys.readouterr().err


@pytest.fixture
def terminal() -> Iterator[tuple[int, int]]:
    ends = pty.openpty()
    yield ends
    for end in ends:
        os.close(end)


def test_a_table_on_a_terminal_loses_no_letter(home: Path, terminal: tuple[int, int]) -> None:
    assert main(["users", "create", ANN]) == Status.OK
    outer, inner = terminal
    command = [sys.executable, "-m", "parley", "users", "list"]
    environment = clean_environment(home) | {"TERM": "xterm", "COLUMNS": "60"}
    subprocess.run(command, env=environment, stdout=inner, timeout=50, check=True)
    shown = b""
    while select.select([outer], [], [], 0)[0]:
        shown += os.read(outer, 4_096)
    on_terminal = re.sub(r"\x1b\[[0-9;]*m", "", shown.decode())
    piped = subprocess.run(command, env=environment, capture_output=True, text=True, timeout=50, check=True).stdout
    assert "\t" not in on_terminal
    assert sorted("".join(on_terminal.split())) == sorted("".join(piped.split()))


ACTIONS = {
    "users": ("create", "list", "show", "disable", "enable", "link"),
    "keys": ("create", "list", "revoke"),
    "credits": ("add", "show"),
    "db": ("backup", "verify", "migrate", "url"),
}


@pytest.mark.parametrize("line", [f"{verb} {action}" for verb, actions in ACTIONS.items() for action in actions])
def test_every_action_explains_itself(line: str, capsys: pytest.CaptureFixture[str]) -> None:
    with pytest.raises(SystemExit) as ended:
        main([*line.split(), "--help"])
    assert ended.value.code == Status.OK
    shown = capsys.readouterr().out
    assert all(word in shown for word in ("--json", "--config", "--debug", "Exit status"))
    with pytest.raises(SystemExit):
        main([line.split()[0], "--help"])
    assert f"    {line.split()[1]} " in capsys.readouterr().out


def test_help_imports_nothing_heavy(tmp_path: Path) -> None:
    code = (
        "import sys; from parley.__main__ import main\n"
        "try: main(['keys', 'create', '--help'])\n"
        "except SystemExit: pass\n"
        "print([name for name in ('rich', 'msgspec', 'asyncio', 'sqlite3', 'argon2') if name in sys.modules])"
    )
    result = subprocess.run(
        [sys.executable, "-c", code], env=clean_environment(tmp_path), capture_output=True, text=True, check=True
    )
    assert result.stdout.splitlines()[-1] == "[]"


def test_the_page_of_the_documentation(
    home: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    """Its lines in their order, in one home; KEY_ID is the key that was made last."""
    text = (ROOT / "docs" / "accounts.md").read_text("utf-8")
    lines = re.findall(r"^\$ parley (.+?)(?: +#.*)?$", text, re.MULTILINE)
    assert {line.split()[0] for line in lines} == {*ACTIONS, "prices"}
    monkeypatch.setattr(sys, "stdin", io.StringIO("a good long password\n"))
    for line in lines:
        if "KEY_ID" in line:
            main(["keys", "list", "--json"])
            line = line.replace("KEY_ID", json.loads(capsys.readouterr().out)["keys"][0]["id"])
        assert main(shlex.split(line)) == Status.OK, f"{line}: {capsys.readouterr().err}"
        assert capsys.readouterr().out, line


def test_debug_may_stand_on_either_side(home: Path) -> None:
    for args in (["users", "--debug", "show", "user_0"], ["users", "show", "--debug", "user_0"]):
        with pytest.raises(Exception, match="no user"):
            main(args)
