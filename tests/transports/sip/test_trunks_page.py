"""The table of trunks in the documentation is one, and its rules are those of the code."""

import re
import tomllib
from pathlib import Path

import pytest

from parley.core.events import ResponseCreate
from parley.transports.sip.trunks import Number, Trunk, TrunksError, greeting, read_trunks

PAGE = Path(__file__).parents[3] / "docs" / "telephone.md"
SESSION = {"type": "realtime"}


def test_the_table_of_the_page_can_be_read() -> None:
    text = PAGE.read_text("utf-8")
    found = re.search(r"^```text\n(\[\[trunk]].*?)^```$", text, re.MULTILINE | re.DOTALL)
    assert found is not None
    trunks = read_trunks(tomllib.loads(found[1]))
    assert [trunk.name for trunk in trunks] == ["carrier", "desk phones", "provider"]
    assert greeting(trunks[0].number[0]) is not None


def test_every_field_is_explained() -> None:
    text = PAGE.read_text("utf-8")
    for kind in (Trunk, Number):
        for name in kind.__struct_fields__:
            assert f"`{name}`" in text or name in ("name", "number"), name


def test_a_greeting_needs_a_session() -> None:
    asked = {"number": "100", "greeting": "Good day."}
    trunk = {"name": "here", "addresses": ["127.0.0.1"], "number": [asked]}
    with pytest.raises(TrunksError, match="needs a realtime session"):
        read_trunks({"trunk": [trunk]})
    asked["session"] = SESSION  # type: ignore[assignment]
    (read,) = read_trunks({"trunk": [trunk]})
    assert read.number[0].greeting == "Good day."


def test_a_greeting_is_the_first_response() -> None:
    assert greeting(Number(number="1", session=SESSION)) is None
    assert greeting(Number(number="1", session=SESSION, greeting="")) is None
    assert greeting(Number(number="1", session=SESSION, greeting=True)) == ResponseCreate()
    first = greeting(Number(number="1", session=SESSION, greeting="Good day."))
    assert first is not None and first.response is not None
    assert first.response["instructions"].endswith(": Good day.")


def test_bounds() -> None:
    trunk = {"name": "here", "addresses": ["127.0.0.1"]}
    for more in ({"minute_micro": -1}, {"number": [{"number": "1", "session": SESSION, "greeting": "a" * 1_001}]}):
        with pytest.raises(TrunksError):
            read_trunks({"trunk": [trunk | more]})
