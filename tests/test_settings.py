"""Where settings come from, who wins, and what is refused."""

from pathlib import Path

import pytest

from parley.settings import HIDDEN, SettingsError, load, rows


def write(path: Path, text: str) -> Path:
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(text)
    return path


@pytest.fixture
def env(tmp_path: Path) -> dict[str, str]:
    return {"PARLEY_HOME": str(tmp_path / "home"), "PATH": "/bin", "OTHER_PORT": "1"}


def test_the_later_source_wins_and_every_value_knows_its_origin(tmp_path: Path, env: dict[str, str]) -> None:
    file = write(
        tmp_path / "parley.toml", 'port = 1001\nhost = "::1"\nllm_url = "http://a/v1"\n[stt]\nurl = "http://b/v1"\n'
    )
    env |= {"PARLEY_PORT": "1002", "PARLEY_HOST": "0.0.0.0"}
    settings, origins = load({"port": 1003, "tls": None}, environ=env, folder=tmp_path)
    assert (settings.port, origins["port"]) == (1003, "--port")
    assert (settings.host, origins["host"]) == ("0.0.0.0", "the environment (PARLEY_HOST)")
    assert (settings.llm_url, origins["llm_url"]) == ("http://a/v1", str(file))
    assert (settings.stt_url, origins["stt_url"]) == ("http://b/v1", str(file))
    assert (settings.drain_s, origins["drain_s"]) == (30.0, "default")
    assert settings.home == tmp_path / "home"


def test_the_first_file_that_applies(tmp_path: Path, env: dict[str, str]) -> None:
    in_home = write(tmp_path / "home" / "config.toml", "port = 1")
    assert load(environ=env, folder=tmp_path).origins["port"] == str(in_home)
    local = write(tmp_path / "parley.toml", "port = 2")
    assert load(environ=env, folder=tmp_path).origins["port"] == str(local)
    named = write(tmp_path / "named.toml", "port = 3")
    assert load(environ=env | {"PARLEY_CONFIG": str(named)}, folder=tmp_path).settings.port == 3
    given = write(tmp_path / "given.toml", "port = 4")
    assert load(config=given, environ=env | {"PARLEY_CONFIG": str(named)}, folder=tmp_path).settings.port == 4


def test_an_empty_variable_is_not_set(env: dict[str, str], tmp_path: Path) -> None:
    loaded = load(environ=env | {"PARLEY_PORT": "", "PARLEY_API_KEY": ""}, folder=tmp_path)
    assert loaded.settings.api_key is None
    assert loaded.origins["port"] == "default"


WRONG_ENV = {
    "PARLEY_PROT": ("1", "Unknown setting PARLEY_PROT in the environment. Did you mean PARLEY_PORT?"),
    "PARLEY_LLM_ULR": ("x", "Did you mean PARLEY_LLM_URL?"),
    "PARLEY_ZZZZ": ("x", "`parley config show` lists them all"),
    "PARLEY_PORT": ("many", "port (from the environment (PARLEY_PORT)) is wrong"),
    "PARLEY_TLS": ("on", "tls (from the environment (PARLEY_TLS)) is wrong"),
    "PARLEY_SESSIONS_MAX": ("0", "sessions_max"),
    "PARLEY_DRAIN_S": ("-1", "drain_s"),
    "PARLEY_CONFIG": ("/nowhere.toml", "There is no settings file /nowhere.toml"),
}


@pytest.mark.parametrize("variable", WRONG_ENV)
def test_what_the_environment_gets_wrong(env: dict[str, str], tmp_path: Path, variable: str) -> None:
    value, message = WRONG_ENV[variable]
    with pytest.raises(SettingsError) as caught:
        load(environ=env | {variable: value}, folder=tmp_path)
    assert message in str(caught.value)
    assert "\n" not in str(caught.value)


WRONG_FILES = {
    "prot = 1": "Unknown setting prot",
    "[llm]\nulr = 'x'": "Did you mean llm_url?",
    "port = true": "port (from",
    "port =": "Cannot read",
    "api_key = 5": "api_key",
}


@pytest.mark.parametrize("text", WRONG_FILES)
def test_what_a_file_gets_wrong(env: dict[str, str], tmp_path: Path, text: str) -> None:
    write(tmp_path / "parley.toml", text)
    with pytest.raises(SettingsError, match=r"parley\.toml") as caught:
        load(environ=env, folder=tmp_path)
    assert WRONG_FILES[text] in str(caught.value)


def test_secrets_are_never_shown(env: dict[str, str], tmp_path: Path) -> None:
    telling = ("_key", "_secret", "database_url", "redis_url", "pepper")
    names = [row.name for row in rows() if row.name.endswith(telling) and row.name != "tls_key"]
    assert len(names) == 11
    loaded = load(environ=env | {f"PARLEY_{name.upper()}": "sk-do-not-print" for name in names}, folder=tmp_path)
    assert "sk-do-not-print" not in str(loaded.shown())
    assert [row.value for row in loaded.shown() if row.name in names] == [HIDDEN] * len(names)


def test_the_table_has_a_reason_for_everything() -> None:
    table = {row.name: row for row in rows()}
    assert table["llm_url"].env == "PARLEY_LLM_URL"
    assert table["port"].default == "8000"
    assert all(row.reason.endswith(".") for row in table.values())
