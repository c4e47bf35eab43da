import json
from argparse import Namespace
from pathlib import Path

import pytest

from parley.cli.config import run
from parley.cli.problem import Problem, Status


def arguments(**given: object) -> Namespace:
    return Namespace(**{"action": "show", "config": None, "origin": False, "json": False} | given)


@pytest.fixture(autouse=True)
def home(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> Path:
    monkeypatch.setenv("PARLEY_HOME", str(tmp_path))
    monkeypatch.chdir(tmp_path)
    return tmp_path


def test_values_with_their_origin(
    capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch, home: Path
) -> None:
    (home / "parley.toml").write_text('[llm]\nurl = "http://127.0.0.1:11434/v1"\n')
    monkeypatch.setenv("PARLEY_PORT", "9000")
    assert run(arguments(origin=True)) == Status.OK
    shown = {line.split()[0]: line for line in capsys.readouterr().out.splitlines()}
    assert "9000" in shown["port"]
    assert "PARLEY_PORT" in shown["port"]
    assert shown["llm_url"].endswith("parley.toml")
    assert shown["host"].endswith("default")


def test_secrets_stay_secret(capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("PARLEY_API_KEY", "sk-do-not-print")
    run(arguments())
    run(arguments(json=True))
    assert "sk-do-not-print" not in capsys.readouterr().out


def test_json(capsys: pytest.CaptureFixture[str]) -> None:
    run(arguments(json=True))
    shown = json.loads(capsys.readouterr().out)
    assert shown["port"] == {"value": "8000", "origin": "default"}


def test_check_says_yes(capsys: pytest.CaptureFixture[str]) -> None:
    assert run(arguments(action="check")) == Status.OK
    assert capsys.readouterr().out == "The settings are right.\n"


def test_check_refuses_what_cannot_be(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("PARLEY_SIP_PORT", "70000")
    with pytest.raises(Problem, match="sip_port") as raised:
        run(arguments(action="check"))
    assert raised.value.status is Status.CONFIG
