"""Types as validation: turn what a client sent into a struct, or say exactly what is wrong with it.

msgspec checks a value against annotated types and stops at the first fault. `shape` translates that fault into the
code, message and JSON path of protocol.md 8.3, so that the struct definitions are the only place where fields and
limits stand.
"""

import re
import types
from typing import Any, Literal, TypeVar, Union, get_args, get_origin

import msgspec

from parley.errors import RequestError

T = TypeVar("T")

_FAULT = re.compile(r"^(?P<what>.*?)(?: - at (?:`key` in )?`(?P<path>[^`]*)`)?$", re.DOTALL)
_GOT = re.compile(r"Expected `(?P<want>[^`]*)`, got `(?P<got>[^`]*)`")
_ARTICLES = {
    "str": "a string",
    "int": "an integer",
    "float": "a number",
    "bool": "a boolean",
    "array": "an array",
    "object": "an object",
    "null": "null",
}


def shape(value: object, kind: type[T], root: str) -> T:
    """`value` as a `kind`. Raises `RequestError` whose `param` is a path that starts with `root`."""
    try:
        return msgspec.convert(value, kind, strict=True)
    except msgspec.ValidationError as fault:
        raise _translate(str(fault), value, kind, root) from None


def _translate(fault: str, value: object, kind: Any, root: str) -> RequestError:
    match = _FAULT.match(fault)
    assert match is not None
    what = match["what"]
    path = _locate(match["path"] or "$", value)
    param = root + path
    named = re.search(r"field `([^`]+)`", what)
    if named and "missing required" in what:
        param = f"{param}.{named[1]}".lstrip(".")
        return RequestError("missing_required_parameter", f"Missing required parameter: '{param}'.", param)
    if named and "unknown field" in what:
        param = f"{param}.{named[1]}".lstrip(".")
        return RequestError("unknown_parameter", f"Unknown parameter: '{param}'.", param)
    if got := _GOT.search(what):
        want = " or ".join(_ARTICLES.get(name.strip(), name) for name in got["want"].split("|"))
        return RequestError(
            "invalid_type",
            f"Invalid type for '{param}': expected {want}, but got {_ARTICLES.get(got['got'], got['got'])} instead.",
            param,
        )
    found = _look(path, value)
    allowed = _literals(_type_at(path, kind, value))
    if any(isinstance(found, type(name)) for name in allowed):
        listed = ", ".join(repr(name) for name in allowed)
        return RequestError("invalid_value", f"Invalid value: {found!r}. Supported values are: {listed}.", param)
    if what.startswith("Invalid value"):
        tags = _tags(_type_at(path.rpartition(".")[0], kind, value))
        listed = ", ".join(repr(tag) for tag in tags)
        return RequestError("invalid_value", f"Invalid value: {found!r}. Supported values are: {listed}.", param)
    if "base64" in what:
        return RequestError("invalid_value", f"Invalid '{param}'. Expected base64-encoded audio bytes.", param)
    limit = what.removeprefix("Expected ").replace("`", "")
    return RequestError(
        "invalid_value", f"Invalid value for '{param}': expected {limit}, but got {_brief(found)}.", param
    )


def _brief(found: object) -> str:
    text = repr(found)
    return text if len(text) <= 60 else text[:57] + "..."


def _steps(path: str) -> list[str | int]:
    return [int(number) if number else name for name, number in re.findall(r"\.([^.\[\]]+)|\[(\d+)\]", path)]


def _locate(path: str, value: object) -> str:
    """msgspec's path below the root. It writes `[...]` for any key of a map or element it cannot number."""
    return path.removeprefix("$").replace("[...]", "")


def _look(path: str, value: object) -> object:
    for step in _steps(path):
        try:
            value = value[step]  # type: ignore[index]
        except (KeyError, IndexError, TypeError):
            return None
    return value


def _type_at(path: str, kind: Any, value: object) -> Any:
    """The annotation that governs the value at `path`, or None where the walk loses its way."""
    for step in _steps(path):
        kind = _member(kind, step, value)
        value = _look(f"[{step}]" if isinstance(step, int) else f".{step}", value)
        if kind is None:
            return None
    return kind


def _member(kind: Any, step: str | int, value: object) -> Any:
    for option in _options(kind):
        if isinstance(step, int):
            inner = [arg for arg in get_args(option) if arg is not Ellipsis]
            if inner:
                return inner[0]
        elif isinstance(option, type) and issubclass(option, msgspec.Struct):
            config = option.__struct_config__
            if config.tag is not None and isinstance(value, dict) and value.get(config.tag_field) != config.tag:
                continue
            for field in msgspec.structs.fields(option):
                if field.encode_name == step:
                    return field.type
    return None


def _options(kind: Any) -> tuple[Any, ...]:
    while hasattr(kind, "__metadata__"):  # Annotated
        kind = get_args(kind)[0]
    if get_origin(kind) in (Union, types.UnionType):
        return tuple(inner for option in get_args(kind) for inner in _options(option))
    return (kind,)


def _literals(kind: Any) -> list[object]:
    if kind is None:
        return []
    return [value for option in _options(kind) if get_origin(option) is Literal for value in get_args(option)]


def _tags(kind: Any) -> list[object]:
    """The tags of the structs that a union may hold."""
    if kind is None:
        return []
    return [
        option.__struct_config__.tag
        for option in _options(kind)
        if isinstance(option, type) and issubclass(option, msgspec.Struct) and option.__struct_config__.tag is not None
    ]
