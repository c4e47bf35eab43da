from typing import Annotated, Any, Literal

import pytest
from msgspec import Meta

from parley.core.items import Wire
from parley.core.shapes import shape
from parley.errors import RequestError


class Cat(Wire, tag="cat"):
    lives: Annotated[int, Meta(ge=1, le=9)] = 9


class Dog(Wire, tag="dog"):
    name: str
    mood: Literal["good", "better"] = "good"


class House(Wire):
    pets: tuple[Cat | Dog, ...] = ()
    guest: Cat | Dog | None = None
    size: Literal["small"] | Annotated[int, Meta(ge=1)] = 1
    notes: dict[str, Annotated[str, Meta(max_length=3)]] = {}
    sound: bytes = b""


CASES: list[tuple[Any, str, str, str]] = [
    ([], "invalid_type", "house", "expected an object, but got an array"),
    ({"pets": None}, "invalid_type", "house.pets", "expected an array, but got null"),
    ({"pets": [{"type": "cat"}, {"type": "cow"}]}, "invalid_value", "house.pets[1].type", "'cat', 'dog'"),
    ({"pets": [{"lives": 3}]}, "missing_required_parameter", "house.pets[0].type", "Missing required"),
    ({"pets": [{"type": "dog"}]}, "missing_required_parameter", "house.pets[0].name", "Missing required"),
    (
        {"pets": [{"type": "dog", "name": "x", "mood": "bad"}]},
        "invalid_value",
        "house.pets[0].mood",
        "'good', 'better'",
    ),
    ({"guest": {"type": "cat", "lives": 12}}, "invalid_value", "house.guest.lives", "<= 9, but got 12"),
    ({"guest": {"type": "cat", "tail": 1}}, "unknown_parameter", "house.guest.tail", "Unknown parameter"),
    ({"guest": {"type": 3}}, "invalid_type", "house.guest.type", "expected a string"),
    ({"size": "huge"}, "invalid_value", "house.size", "'small'"),
    ({"size": 0}, "invalid_value", "house.size", ">= 1, but got 0"),
    ({"size": 1.5}, "invalid_type", "house.size", "an integer or a string"),
    ({"notes": {"a": "long!"}}, "invalid_value", "house.notes", "length <= 3"),
    ({"sound": "%%%"}, "invalid_value", "house.sound", "base64"),
    ({"x" * 100: 1}, "unknown_parameter", "house." + "x" * 100, "Unknown parameter"),
]


@pytest.mark.parametrize(("value", "code", "param", "words"), CASES, ids=lambda value: str(value)[:40])
def test_faults(value: Any, code: str, param: str, words: str) -> None:
    with pytest.raises(RequestError) as fault:
        shape(value, House, "house")
    assert (fault.value.code, fault.value.param) == (code, param)
    assert words in fault.value.message


def test_what_fits_passes() -> None:
    house = shape({"pets": [{"type": "dog", "name": "Rex"}], "size": "small", "sound": "AAEC"}, House, "house")
    assert house == House(pets=(Dog(name="Rex"),), size="small", sound=b"\x00\x01\x02")
