"""`parley users` and `parley keys`, on both databases."""

from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import pytest

from parley.cli.problem import Status
from parley.errors import RequestError
from parley.office import Office
from parley.storage import Script, Sql
from parley.web.sign_in import link_of
from tests.cli.desk import ANN, Run, ann, at_office, home, opens, parley
from tests.databases import url

__all__ = ["ann", "home", "parley", "url"]


def test_somebody_new_gets_a_link_that_opens_once(parley: Run) -> None:
    made = parley(
        "users", "create", ANN, "--name", "Ann", "--credits", "5", "--url", "https://voice.example/", "--json"
    )
    user = made.json
    assert (user["email"], user["name"], user["role"], user["disabled_at"]) == (ANN, "Ann", "user", None)
    assert (user["balance"], user["balance_micro"], user["held_micro"]) == ("5", 5_000_000, 0)
    begin = link_of("https://voice.example", "")
    assert user["link"].startswith(begin)
    token = user["link"].removeprefix(begin)
    assert at_office(lambda office: office.accounts.use_link(token)).session.user.id == user["id"]
    with pytest.raises(RequestError, match="already used"):
        at_office(lambda office: office.accounts.use_link(token))


def test_a_link_alone_on_standard_output(parley: Run) -> None:
    made = parley("users", "create", ANN)
    assert made.out.startswith("http://127.0.0.1:8000/console/#sign-in=")
    assert made.out.count("\n") == 1
    assert ANN in made.err


def test_a_password_instead_of_a_link(parley: Run) -> None:
    made = parley("users", "create", ANN, "--password-stdin", "--json", stdin="correct horse battery\n").json
    assert made["link"] is None
    signed_in = at_office(lambda office: office.accounts.sign_in(ANN, "correct horse battery"))
    assert signed_in.session.user.id == made["id"]
    for bad in ("", "short\n"):
        refused = parley("users", "create", "bob@example.org", "--password-stdin", stdin=bad)
        assert refused.status != Status.OK
        assert "password" in refused.err.lower()
        assert refused.err.count("\n") == 1
    assert parley("users", "show", "bob@example.org").status == Status.FAILED


def test_an_account_is_shared(parley: Run, ann: dict[str, Any]) -> None:
    for who, account in (("bob@example.org", ANN), ("eve@example.org", ann["account"])):
        assert parley("users", "create", who, "--account", account, "--json").json["account"] == ann["account"]
    refused = parley("users", "create", "joe@example.org", "--account", "acc_none")
    assert (refused.status, refused.out) == (Status.FAILED, "")
    assert "no such account" in refused.err


def test_everybody_is_listed(parley: Run, ann: dict[str, Any]) -> None:
    shown = parley("users", "list", "--json").json["users"]
    assert [user["email"] for user in shown] == ["local@localhost", ANN]
    assert shown[1] == {name: ann[name] for name in shown[1]}
    head, *lines = parley("users", "list").out.splitlines()
    assert head.split("\t")[:4] == ["id", "email", "name", "role"]
    assert lines[1].split("\t")[:4] == [ann["id"], ANN, "ann", "user"]


@pytest.mark.parametrize("by", ["id", "email"])
def test_locked_out_and_let_in_again(by: str, parley: Run, ann: dict[str, Any]) -> None:
    key = parley("keys", "create", "--user", ann[by]).out.strip()
    assert parley("users", "disable", ann[by], "--json").json["disabled_at"] is not None
    assert opens(key) is None
    for refused in (parley("users", "link", ann[by]), parley("keys", "create", "--user", ann[by])):
        assert refused.status == Status.FAILED
        assert f"parley users enable {ANN}" in refused.err
    assert parley("users", "enable", ann[by], "--json").json["disabled_at"] is None
    assert opens(key) is not None
    shown = parley("users", "show", ann[by], "--json").json
    assert (shown["id"], shown["keys"]) == (ann["id"], 1)


def test_the_last_administrator_stays(parley: Run) -> None:
    refused = parley("users", "disable", "local@localhost")
    assert refused.status == Status.FAILED
    assert refused.err == "parley: This is the last administrator; make another one first.\n"
    parley("users", "create", ANN, "--admin")
    assert parley("users", "disable", "local@localhost").status == Status.OK


def test_a_new_link_for_the_operator(parley: Run) -> None:
    shown = parley("users", "link", "--json").json
    assert shown["email"] == "local@localhost"
    assert shown["expires_in_s"] == 86_400
    token = shown["link"].rpartition("=")[2]
    assert at_office(lambda office: office.accounts.use_link(token)).session.user.role == "admin"


def test_an_address_is_taken_once(parley: Run, ann: dict[str, Any]) -> None:
    refused = parley("users", "create", ANN.upper())
    assert refused.status == Status.FAILED
    assert refused.err.endswith("See: parley users list.\n")
    assert parley("users", "create", "nobody").err == (
        "parley: This is not an e-mail address. Correct it and try again.\n"
    )


@pytest.mark.parametrize(
    "line",
    ["users show U", "users disable U", "keys create --user U", "credits add --user U 1", "credits show --user U"],
)
def test_nobody_by_that_name(line: str, parley: Run) -> None:
    unknown = parley(*line.replace("U", "bob@example.org").split())
    assert (unknown.status, unknown.out) == (Status.FAILED, "")
    assert unknown.err == (
        "parley: There is no user bob@example.org. Create them with: parley users create bob@example.org.\n"
    )
    assert "parley users list" in parley(*line.replace("U", "user_0").split()).err


# ---- keys


def test_a_key_works_at_once(parley: Run, ann: dict[str, Any]) -> None:
    made = parley("keys", "create", "--user", ANN, "--credits", "5", "--json").json
    found = opens(made["key"])
    assert found is not None
    assert (found.id, found.user, found.account) == (made["id"], ann["id"], ann["account"])

    async def spend(office: Office) -> None:
        await office.ledger.hold("h", found.account, 5_000_000, expires_in_s=60, budget=found.budget)
        await office.ledger.release("h:end", found.account, "h", 5_000_000, budget=found.budget)

    at_office(spend)
    assert parley("credits", "show", "--user", ANN, "--json").json["available"] == "0"


def test_the_value_of_a_key_is_printed_once_and_kept_nowhere(
    parley: Run, ann: dict[str, Any], home: Path, url: str
) -> None:
    made = parley("keys", "create", "--user", ANN)
    value = made.out.strip()
    assert made.out == f"{value}\n"
    assert value.startswith("sk-gptr2-")
    assert value not in made.err
    secret = value[-36:]
    for args in ("keys list", "keys list --json", "users show ann@example.org --json"):
        assert secret not in parley(*args.split()).out
    assert secret not in everything_stored(url, home)


def everything_stored(url: str, home: Path) -> str:
    """Every file of the home and of SQLite, or every row of every table of PostgreSQL."""
    files = [path for folder in (home, home.parent) for path in folder.iterdir() if path.is_file()]
    stored = "".join(path.read_bytes().decode("latin-1") for path in files)
    if url.startswith("postgresql:"):
        rows = at_office(lambda office: office.storage.read(every_row))
        assert any("auth_user" in row for row in rows)
        return stored + "".join(rows)
    assert ANN in stored
    return stored


def every_row() -> Script[list[str]]:
    found = []
    tables = yield Sql("SELECT table_name FROM information_schema.tables WHERE table_schema = current_schema()")
    for (name,) in tables:
        rows = yield Sql(f"SELECT CAST(t AS TEXT) FROM {name} t")
        found += [f"{name}: {row[0]}" for row in rows]
    return found


def test_a_budget_of_its_own(parley: Run, ann: dict[str, Any]) -> None:
    parley("credits", "add", "--user", ANN, "10")
    made = parley("keys", "create", "--user", ANN, "--budget", "2.5", "--json").json
    assert (made["budget"], made["budget_micro"]) == ("2.5", 2_500_000)

    async def hold(office: Office, id: str) -> int:
        line = await office.ledger.hold(id, made["account"], 3_000_000, expires_in_s=60, budget=f"{made['id']}:budget")
        return line.moved

    with pytest.raises(RequestError) as refused:
        at_office(lambda office: hold(office, "h1"))
    assert refused.value.code == "budget_exceeded"
    assert parley("credits", "add", "--key", made["id"], "0.5", "--json").json["balance"] == "3"
    assert at_office(lambda office: hold(office, "h2")) == 3_000_000
    assert parley("credits", "show", "--key", made["id"], "--json").json["available_micro"] == 0
    assert parley("credits", "show", "--user", ANN, "--json").json["available"] == "7"


def test_a_key_without_a_budget_has_none_to_add_to(parley: Run, ann: dict[str, Any]) -> None:
    made = parley("keys", "create", "--user", ANN, "--json").json
    assert "budget" not in made
    assert "use --user" in parley("credits", "add", "--key", made["id"], "1").err
    assert "parley keys list" in parley("credits", "add", "--key", "key_0", "1").err


def test_what_a_key_may_do(parley: Run, ann: dict[str, Any]) -> None:
    made = parley(
        "keys", "create", "--user", ANN, "--name", "nightly", "--scopes", "realtime, admin", "--models", "a,b,a",
        "--voices", "marin", "--requests-per-minute", "60", "--sessions-at-once", "2", "--tokens-per-minute", "9000",
        "--audio-minutes-per-day", "30", "--expires", "30d", "--json",
    ).json  # fmt: skip
    key = opens(made["key"])
    assert key is not None
    assert key.name == "nightly"
    assert key.rules.scopes == ("realtime", "admin")
    assert (key.rules.models, key.rules.voices) == (("a", "b"), ("marin",))
    assert (key.rules.requests_per_minute, key.rules.sessions_at_once) == (60, 2)
    assert (key.rules.tokens_per_minute, key.rules.audio_minutes_per_day) == (9_000, 30)
    ends = datetime.fromisoformat(made["expires_at"])
    assert abs(ends - datetime.now(UTC) - timedelta(days=30)) < timedelta(minutes=1)


def test_a_key_is_good_on_its_last_day(parley: Run, ann: dict[str, Any]) -> None:
    made = parley("keys", "create", "--user", ANN, "--expires", "2999-12-31", "--json").json
    assert made["expires_at"] == "3000-01-01T00:00:00Z"
    today = datetime.now(UTC).date()
    assert parley("keys", "create", "--user", ANN, "--expires", today.isoformat()).status == Status.OK


@pytest.mark.parametrize(
    ("flag", "value", "step"),
    [
        ("--scopes", "all", "realtime, pipeline, admin"),
        ("--models", " , ", "leave it out"),
        ("--sessions-at-once", "0", "1 or more"),
        ("--expires", "tomorrow", "2026-12-31"),
        ("--expires", "2001-01-01", "30d"),
        ("--expires", "0d", "1h to"),
        ("--expires", "999999d", "1h to"),
        ("--expires", "9999-12-31", "earlier day"),
        ("--budget", "0", "Add 0.000001"),
    ],
)
def test_rules_that_make_no_sense(flag: str, value: str, step: str, parley: Run, ann: dict[str, Any]) -> None:
    refused = parley("keys", "create", "--user", ANN, flag, value)
    assert (refused.status, refused.out, refused.err.count("\n")) == (Status.USAGE, "", 1)
    assert step in refused.err
    assert parley("keys", "list", "--json").json == {"keys": []}


def test_keys_are_listed_and_revoked(parley: Run, ann: dict[str, Any]) -> None:
    parley("users", "create", "bob@example.org")
    kept = parley("keys", "create", "--user", "bob@example.org", "--json").json
    made = parley("keys", "create", "--user", ANN, "--json").json
    assert [key["id"] for key in parley("keys", "list", "--json").json["keys"]] == [made["id"], kept["id"]]
    assert [key["id"] for key in parley("keys", "list", "--user", ANN, "--json").json["keys"]] == [made["id"]]
    revoked = parley("keys", "revoke", made["id"], "--json").json
    assert parley("keys", "revoke", made["id"], "--json").json == revoked
    assert (opens(made["key"]), opens(kept["key"])) != (None, None)
    assert opens(made["key"]) is None
    assert made["hint"] in parley("keys", "list").out
    assert [key["state"] for key in parley("keys", "list", "--json").json["keys"]] == ["revoked", "active"]
    assert "parley keys list" in parley("keys", "revoke", "key_0").err


def test_a_key_that_got_no_credits_is_not_left_behind(parley: Run, ann: dict[str, Any]) -> None:
    for number in range(9):
        assert parley("credits", "add", "--user", ANN, "1000000000", "--id", str(number)).status == Status.OK
    refused = parley("keys", "create", "--user", ANN, "--credits", "1")
    assert (refused.status, refused.out) == (Status.FAILED, "")
    assert "Credit less at once" in refused.err
    assert [key["state"] for key in parley("keys", "list", "--json").json["keys"]] == ["revoked"]


def test_nothing_is_made_with_a_pepper_that_the_server_does_not_have(
    parley: Run, ann: dict[str, Any], home: Path
) -> None:
    (home / "pepper").unlink()
    (home / "pepper").mkdir()  # root reads every file, but no folder
    for args in (("keys", "create", "--user", ANN), ("users", "link", ANN), ("users", "create", "bob@example.org")):
        refused = parley(*args)
        assert (refused.status, refused.out) == (Status.FAILED, "")
        assert "PARLEY_HOME" in refused.err
    assert len(parley("users", "list", "--json").json["users"]) == 2
