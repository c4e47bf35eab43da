"""`parley db`, on both databases."""

import asyncio
import json
from pathlib import Path
from typing import Any

import pytest

from parley.__main__ import main
from parley.cli.problem import Status
from parley.storage import MIGRATIONS, Script, Sql, open_storage
from tests.cli.desk import ANN, Run, ann, at_office, home, parley
from tests.databases import url

__all__ = ["ann", "home", "parley", "url"]


def test_a_backup_is_whole_and_never_overwrites(parley: Run, ann: dict[str, Any], tmp_path: Path, url: str) -> None:
    made = parley("db", "backup", "copy.db", "--json")
    if url.startswith("postgresql:"):
        assert "pg_dump" in made.err
        assert made.status == Status.FAILED
        assert not (tmp_path / "copy.db").exists()
        return
    assert made.json == {"file": "copy.db", "bytes": (tmp_path / "copy.db").stat().st_size}
    again = parley("db", "backup", "copy.db")
    assert (again.status, again.err) == (
        Status.FAILED, "parley: copy.db is there already. Choose a new name; nothing is overwritten.\n",
    )  # fmt: skip
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("PARLEY_DATABASE_URL", "sqlite:///copy.db")
        assert parley("users", "show", ANN, "--json").json["id"] == ann["id"]
        assert parley("db", "verify").status == Status.OK


async def test_a_backup_is_taken_before_the_migration(home: Path, tmp_path: Path) -> None:
    first = tmp_path / "migrations"
    first.mkdir()
    for path in MIGRATIONS.glob("0001_*.sql"):
        (first / path.name).write_text(path.read_text())
    old = await open_storage(None, home, first)
    await old.close()
    assert await asyncio.to_thread(main, ["db", "backup", "copy.db"]) == Status.OK
    copy = await open_storage("sqlite:///copy.db", home, first)  # refuses what is from later on
    await copy.close()


def test_without_a_database_there_is_no_backup(home: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["db", "backup", "copy.db"]) == Status.FAILED
    assert "parley db migrate" in capsys.readouterr().err
    assert not (home / "parley.db").exists()


def test_damage_is_found(parley: Run, ann: dict[str, Any]) -> None:
    parley("credits", "add", "--user", ANN, "5")
    assert parley("db", "verify").out == "Every credit is where it should be.\n"

    def made_up(account: str) -> Script[None]:
        yield Sql("UPDATE ledger_account SET posted = posted + 1 WHERE id = $1", (account,))

    at_office(lambda office: office.storage.transaction(made_up, ann["account"]))
    found = parley("db", "verify", "--json")
    assert found.status == Status.FAILED
    report = json.loads(found.out)
    (finding,) = report["findings"]
    assert finding.startswith(f"broken: an account has the sum of its entries: {ann['account']}, 5000001, ")
    assert report["ok"] is False
    told = parley("db", "verify")
    assert (told.status, told.out) == (Status.FAILED, f"{finding}\n")
    assert "last good backup" in told.err


def test_migrate_says_where_the_database_stands(parley: Run) -> None:
    steps = parley("db", "migrate", "--json").json["steps"]
    assert steps[0] == {"number": 1, "name": "0001_ledger"}
    assert steps[-1]["name"] in parley("db", "migrate").out


@pytest.mark.parametrize(
    ("url", "shown"),
    [
        ("postgresql://ann:geheim@db.example:5433/parley?sslmode=require",
         "postgresql://ann:********@db.example:5433/parley?sslmode=require"),
        ("postgresql://ann:ge/he@im@db.example/parley", "postgresql://ann:********@db.example/parley"),
        ("postgresql:///parley?user=ann&password=geheim&x=1", "postgresql:///parley?user=ann&password=********&x=1"),
        ("postgresql://db.example:5433/parley", "postgresql://db.example:5433/parley"),
        ("sqlite:////var/lib/parley.db", "sqlite:////var/lib/parley.db"),
    ],
)  # fmt: skip
def test_the_url_without_its_password(
    url: str, shown: str, home: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setenv("PARLEY_DATABASE_URL", url)
    assert main(["db", "url"]) == Status.OK
    assert capsys.readouterr().out == f"{shown}\n"


@pytest.mark.parametrize(
    ("url", "status", "text"),
    [
        ("postgresql://root@127.0.0.1:1/parley", Status.NETWORK, "that the database runs"),
        ("mysql://root@127.0.0.1/parley", Status.CONFIG, "sqlite:/// or postgresql://"),
    ],
)
def test_a_database_that_is_not_there(
    url: str, status: Status, text: str, home: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setenv("PARLEY_DATABASE_URL", url)
    assert main(["users", "list"]) == status
    told = capsys.readouterr().err
    assert text in told
    assert told.count("\n") == 1
