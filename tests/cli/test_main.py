"""The command line as a user meets it: a process of its own, its output and its exit status."""

import json
import os
import subprocess
import sys
import time
from pathlib import Path

import pytest

from parley import __version__
from parley.cli.problem import Problem, Status
from tests.conftest import clean_environment, free_port

VERBS = ("serve", "talk", "say", "doctor", "config", "version")
HELP_S_MAX = 2.0
"""Ten times what is promised (200 ms), because the machine may be busy."""


def parley(*args: str, home: Path, **env: str) -> subprocess.CompletedProcess[str]:
    return subprocess.run(
        [sys.executable, "-m", "parley", *args],
        env=clean_environment(home) | env,
        capture_output=True,
        text=True,
        timeout=30,
        check=False,
    )


def test_help_is_quick_and_names_every_command(tmp_path: Path) -> None:
    parley("--help", home=tmp_path)  # compiles
    started = time.monotonic()
    result = parley("--help", home=tmp_path)
    assert time.monotonic() - started < HELP_S_MAX
    assert result.returncode == Status.OK
    for verb in VERBS:
        assert f"    {verb} " in result.stdout


@pytest.mark.parametrize("verb", VERBS)
def test_every_command_explains_itself(verb: str, tmp_path: Path) -> None:
    result = parley(verb, "--help", home=tmp_path)
    assert result.returncode == Status.OK
    assert "Exit status" in result.stdout


def test_help_and_version_import_nothing_heavy(tmp_path: Path) -> None:
    heavy = ("rich", "websockets", "aiohttp", "numpy", "msgspec", "asyncio", "starlette", "onnxruntime")
    code = (
        "import sys; from parley.__main__ import main; main(['version']);"
        f"print([name for name in {heavy} if name in sys.modules])"
    )
    result = subprocess.run(
        [sys.executable, "-c", code], env=clean_environment(tmp_path), capture_output=True, text=True, check=True
    )
    assert result.stdout.splitlines()[-1] == "[]"


def test_version(tmp_path: Path) -> None:
    assert parley("version", home=tmp_path).stdout.startswith(f"parley {__version__} ")
    assert json.loads(parley("version", "--json", home=tmp_path).stdout)["parley"] == __version__


def test_no_command_is_wrong_usage(tmp_path: Path) -> None:
    result = parley(home=tmp_path)
    assert result.returncode == Status.USAGE
    assert "commands:" in result.stdout


def test_a_mistyped_setting_is_one_line_with_a_suggestion(tmp_path: Path) -> None:
    result = parley("serve", home=tmp_path, PARLEY_PROT="9000")
    assert result.returncode == Status.CONFIG
    assert result.stderr.count("\n") == 1
    assert "PARLEY_PORT?" in result.stderr


def test_a_traceback_only_with_debug(tmp_path: Path) -> None:
    plain = parley("config", "check", home=tmp_path, PARLEY_PORT="many")
    debug = parley("config", "check", "--debug", home=tmp_path, PARLEY_PORT="many")
    assert "Traceback" not in plain.stderr
    assert "Traceback" in debug.stderr


@pytest.mark.parametrize("verb", [("say", "hello"), ("talk", "--text", "hello")])
def test_without_a_server_the_next_step_is_offered(verb: tuple[str, ...], tmp_path: Path) -> None:
    result = parley(*verb, "--key", "sk-x", home=tmp_path, PARLEY_PORT=str(free_port()))
    assert result.returncode == Status.NETWORK
    assert result.stderr.count("\n") == 1
    assert "parley serve" in result.stderr


def test_an_address_that_is_none(tmp_path: Path) -> None:
    result = parley("say", "hello", "--key", "sk-x", "--url", "ftp://example.org", home=tmp_path)
    assert result.returncode == Status.USAGE
    assert "is not an address" in result.stderr


def test_a_reader_who_leaves_is_no_error(tmp_path: Path) -> None:
    reader, writer = os.pipe()
    os.close(reader)
    command = [sys.executable, "-m", "parley", "config", "show"]
    result = subprocess.run(
        command, env=clean_environment(tmp_path), stdout=writer, stderr=subprocess.PIPE, timeout=30, check=False
    )
    os.close(writer)
    assert result.returncode in (Status.OK, 120)  # 120: Python could not flush its last words
    assert b"Traceback" not in result.stderr


def test_a_problem_reads_as_sentences() -> None:
    assert str(Problem("No server answers", "Start one with: parley serve")) == (
        "No server answers. Start one with: parley serve."
    )
    assert str(Problem("Unknown setting. Did you mean PARLEY_PORT?")) == "Unknown setting. Did you mean PARLEY_PORT?"
