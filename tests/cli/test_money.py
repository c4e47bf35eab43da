"""`parley credits`, many processes at once, and the same database beside a server."""

import urllib.error
import urllib.request
from datetime import UTC, datetime, timedelta
from typing import Any

import pytest

from parley.cli.problem import Status
from tests.cli.desk import ANN, Run, ann, at_office, ended, home, parley, process
from tests.conftest import MakeServer
from tests.databases import url

__all__ = ["ann", "home", "parley", "url"]

HTTP_S_MAX = 10.0
"""The server looks for revoked keys twice a second; the machine may be busy."""


def test_credits_are_exact(parley: Run, ann: dict[str, Any]) -> None:
    for amount in ("0.1", "0.2", "0.000001", "999999999.999999", "007"):
        parley("credits", "add", "--user", ANN, amount, "--note", f"gift of {amount}")
    shown = parley("credits", "show", "--user", ANN, "--json").json
    assert (shown["balance"], shown["balance_micro"]) == ("1000000007.3", 1_000_000_007_300_000)
    assert (shown["held"], shown["available_micro"]) == ("0", 1_000_000_007_300_000)
    lines = {line["note"]: line for line in shown["lines"]}
    assert lines["gift of 0.000001"]["credits_micro"] == 1
    assert {line["kind"] for line in shown["lines"]} == {"credit"}
    assert len(parley("credits", "show", "--user", ANN, "--lines", "2", "--json").json["lines"]) == 2
    facts, _, table = parley("credits", "show", "--user", ANN).out.partition("\nwhen\t")
    assert "balance\t1000000007.3\n" in facts
    assert table.count("\n") == 6


def test_an_order_with_a_name_is_done_once(parley: Run, ann: dict[str, Any]) -> None:
    order = ("credits", "add", "--user", ANN, "5", "--id", "gift", "--json")
    first = parley(*order).json
    assert parley(*order).json == first
    assert (first["credits"], first["balance"]) == ("5", "5")
    assert parley("credits", "add", "--user", ANN, "6", "--id", "gift").err.endswith("Choose another --id.\n")
    assert parley("credits", "add", "--user", "local@localhost", "6", "--id", "gift").status == Status.OK
    assert parley("credits", "show", "--user", ANN, "--json").json["balance"] == "5"


@pytest.mark.parametrize(
    ("amount", "step"),
    [
        ("-5", "parley users disable"),
        ("0", "Add 0.000001"),
        ("0.000000", "Add 0.000001"),
        ("1000000000.000001", "Add 0.000001 to 1000000000"),
        ("99999999999999999999", "Add 0.000001 to 1000000000"),
        *((text, "at most six places") for text in ("1.0000001", "1e3", "1,5", "NaN", "five", "", "٣", "1.", ".5")),
    ],
)
def test_what_is_no_amount(amount: str, step: str, parley: Run) -> None:
    refused = parley("credits", "add", "--user", "local@localhost", amount)
    assert (refused.status, refused.out, refused.err.count("\n")) == (Status.USAGE, "", 1)
    assert step in refused.err


def test_what_is_held_is_not_available(parley: Run, ann: dict[str, Any]) -> None:
    parley("credits", "add", "--user", ANN, "5")
    at_office(lambda office: office.ledger.hold("h", ann["account"], 2_000_000, expires_in_s=60))
    shown = parley("credits", "show", "--user", ANN, "--json").json
    assert (shown["balance"], shown["held"], shown["available"]) == ("5", "2", "3")
    assert [line["kind"] for line in shown["lines"]] == ["hold", "credit"]
    assert parley("credits", "show", "--user", ANN, "--lines", "-1").status == Status.USAGE


def test_a_note_cannot_steer_the_terminal(parley: Run, ann: dict[str, Any]) -> None:
    parley("credits", "add", "--user", ANN, "5", "--note", "\x1b[2Jgift\nof\tmine")
    assert "?[2Jgift?of?mine\n" in parley("credits", "show", "--user", ANN).out


# ---- several at once


def test_many_processes_and_one_order(parley: Run, ann: dict[str, Any]) -> None:
    """The same order thrice, another one beside it, and an address that three want."""
    same = [process("credits", "add", "--user", ANN, "5", "--id", "gift", "--json") for _ in range(3)]
    other = process("credits", "add", "--user", ANN, "1.5", "--json")
    wanted = [process("users", "create", "bob@example.org", "--credits", "1", "--json") for _ in range(3)]
    answers = {ended(running).out for running in same}
    assert len(answers) == 1
    assert ended(other).status == Status.OK
    assert parley("credits", "show", "--user", ANN, "--json").json["balance"] == "6.5"
    created = [ended(running) for running in wanted]
    assert sorted(result.status for result in created) == [Status.OK, Status.FAILED, Status.FAILED]
    assert parley("users", "show", "bob@example.org", "--json").json["balance"] == "1"
    assert parley("db", "verify", "--json").json == {"ok": True, "findings": []}


def test_beside_a_server_on_the_same_database(
    make_server: MakeServer, url: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    server = make_server(PARLEY_DATABASE_URL=url)
    monkeypatch.setenv("PARLEY_HOME", str(server.home))
    monkeypatch.setenv("PARLEY_DATABASE_URL", url)
    assert ended(process("users", "create", ANN, "--json")).json["email"] == ANN
    made = ended(process("keys", "create", "--user", ANN, "--credits", "5", "--json")).json
    assert models_status(server.base_url, made["key"]) == 200
    assert ended(process("keys", "revoke", made["id"])).status == Status.OK
    deadline = datetime.now(UTC) + timedelta(seconds=HTTP_S_MAX)
    while models_status(server.base_url, made["key"]) != 401:
        assert datetime.now(UTC) < deadline
    assert ended(process("db", "verify")).status == Status.OK


def models_status(base_url: str, key: str) -> int:
    request = urllib.request.Request(f"{base_url}/models", headers={"Authorization": f"Bearer {key}"})
    try:
        with urllib.request.urlopen(request, timeout=HTTP_S_MAX) as response:
            return int(response.status)
    except urllib.error.HTTPError as error:
        error.close()
        return error.code
