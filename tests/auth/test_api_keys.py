"""The local key, and who may come in."""

import stat
from pathlib import Path

import pytest

from parley.auth.api_keys import KEY_FILE, PREFIX, ApiKeys, make_local_key, read_local_key
from parley.auth.credentials import Credential
from parley.errors import RequestError


def test_only_the_keys_open() -> None:
    keys = ApiKeys(["sk-one", "sk-two"])
    keys.check(Credential("sk-one", "authorization"))
    keys.check(Credential("sk-two", "subprotocol"))
    for credential in (
        None,
        Credential("sk-on", "api-key"),
        Credential("sk-onee", "api-key"),
        Credential("é", "api-key"),
    ):
        with pytest.raises(RequestError) as caught:
            keys.check(credential)
        assert caught.value.code == "invalid_api_key"


def test_the_local_key_is_made_once_and_kept_for_its_owner(tmp_path: Path) -> None:
    home = tmp_path / "deep" / "home"
    assert read_local_key(home) is None
    key = make_local_key(home)
    assert key.startswith(PREFIX)
    assert len(key) > len(PREFIX) + 30
    assert read_local_key(home) == key
    assert stat.S_IMODE((home / KEY_FILE).stat().st_mode) == 0o600
    assert [path.name for path in home.iterdir()] == [KEY_FILE]


def test_of_two_first_starts_one_wins(tmp_path: Path) -> None:
    assert make_local_key(tmp_path) == make_local_key(tmp_path) == read_local_key(tmp_path)
