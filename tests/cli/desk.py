"""The command line of people, keys and money, for tests: on an empty database of each kind, and as processes."""

import asyncio
import io
import json
import os
import subprocess
import sys
from collections.abc import Awaitable, Callable
from pathlib import Path
from typing import Any, NamedTuple, TypeVar

import pytest

from parley.__main__ import main
from parley.auth.credentials import Credential
from parley.auth.keys_store import ApiKey
from parley.cli.problem import Status
from parley.errors import RequestError
from parley.office import Office, open_office
from parley.settings import load
from tests.conftest import clean_environment

ANN = "ann@example.org"

T = TypeVar("T")


class Result(NamedTuple):
    status: int
    out: str
    err: str

    @property
    def json(self) -> dict[str, Any]:
        assert self.status == Status.OK, self.err
        shown = json.loads(self.out)
        assert isinstance(shown, dict)
        return shown


Run = Callable[..., Result]


@pytest.fixture
def home(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> Path:
    for name in [name for name in os.environ if name.startswith("PARLEY_")]:
        monkeypatch.delenv(name)
    monkeypatch.setenv("PARLEY_HOME", str(tmp_path / "home"))
    monkeypatch.chdir(tmp_path)
    return tmp_path / "home"


@pytest.fixture
def parley(home: Path, url: str, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]) -> Run:
    """The command line on an empty database: `parley("users", "list")`."""
    monkeypatch.setenv("PARLEY_DATABASE_URL", url)

    def run(*args: str, stdin: str = "") -> Result:
        monkeypatch.setattr(sys, "stdin", io.StringIO(stdin))
        status = main(args)
        return Result(status, *capsys.readouterr())

    return run


@pytest.fixture
def ann(parley: Run) -> dict[str, Any]:
    return parley("users", "create", ANN, "--json").json


def at_office(ask: Callable[[Office], Awaitable[T]]) -> T:
    """What another process finds in the same database."""

    async def work() -> T:
        office = await open_office(load().settings)
        try:
            return await ask(office)
        finally:
            await office.close()

    return asyncio.run(work())


def opens(key: str) -> ApiKey | None:
    """What a server would say to it."""

    async def check(office: Office) -> ApiKey | None:
        try:
            return await office.keys.check(Credential(key, "authorization"))
        except RequestError as error:
            assert error.code == "invalid_api_key"
            return None

    return at_office(check)


def process(*args: str) -> "subprocess.Popen[str]":
    """With the settings of this test."""
    return subprocess.Popen(
        [sys.executable, "-m", "parley", *args], stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True,
        env=clean_environment(Path()) | dict(os.environ),
    )  # fmt: skip


def ended(running: "subprocess.Popen[str]") -> Result:
    out, err = running.communicate(timeout=50)
    return Result(running.returncode, out, err)
