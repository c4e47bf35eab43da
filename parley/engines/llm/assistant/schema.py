"""What a function's JSON schema says about its parameters, and whether arguments fit it."""

import json
import re
from typing import Any, Final, NamedTuple

from parley.engines.base import FunctionTool
from parley.engines.llm.assistant import words

REF_STEPS_MAX: Final = 8
"""References that lead to references, to bound circles."""

Schema = dict[str, Any]


class Parameter(NamedTuple):
    """One property of a schema, made plain: references resolved, the null alternative left out."""

    name: str
    type: str
    schema: Schema
    required: bool

    @property
    def words(self) -> list[str]:
        """The words in its name."""
        return words.split_name(self.name)

    @property
    def description(self) -> str:
        return str(self.schema.get("description") or "")

    @property
    def choices(self) -> list[Any]:
        """The values that are allowed, [] when any is."""
        if "const" in self.schema:
            return [self.schema["const"]]
        found = self.schema.get("enum")
        return [value for value in found if value is not None] if isinstance(found, list) else []

    @property
    def items(self) -> "Parameter":
        """What an array holds."""
        inner = self.schema.get("items")
        return parameter(self.name, inner if isinstance(inner, dict) else {}, False, self.schema)


def parameters_of(tool: FunctionTool) -> list[Parameter]:
    """The parameters of a function, required ones first, otherwise in the order of the schema."""
    return properties(tool.parameters, tool.parameters)


def properties(schema: Schema, root: Schema) -> list[Parameter]:
    found = schema.get("properties")
    if not isinstance(found, dict):
        return []
    wanted = schema.get("required")
    required = set(wanted) if isinstance(wanted, list) and all(isinstance(name, str) for name in wanted) else set()
    listed = [
        parameter(name, inner, name in required, root) for name, inner in found.items() if isinstance(inner, dict)
    ]
    return sorted(listed, key=lambda one: not one.required)


def parameter(name: str, schema: Schema, required: bool, root: Schema) -> Parameter:
    plain = _resolved(schema, root)
    kind = plain.get("type")
    if isinstance(kind, list):
        kind = next((one for one in kind if one != "null"), None)
    if not isinstance(kind, str):
        kind = _guessed(plain)
    return Parameter(name=str(name), type=kind, schema=plain, required=required)


def _resolved(schema: Schema, root: Schema) -> Schema:
    """Follows references within the document and the first alternative that is not null. Nothing is ever fetched."""
    for _ in range(REF_STEPS_MAX):
        reference = schema.get("$ref")
        options = next((schema[key] for key in ("anyOf", "oneOf", "allOf") if isinstance(schema.get(key), list)), None)
        inner: Any = None
        if isinstance(reference, str):
            inner = _within(root, reference)
        elif options:
            inner = next((one for one in options if isinstance(one, dict) and one.get("type") != "null"), None)
        if not isinstance(inner, dict):
            break
        kept = {key: value for key, value in schema.items() if key not in ("$ref", "anyOf", "oneOf", "allOf")}
        schema = {**inner, **kept}
    return schema


def _within(root: Schema, reference: str) -> object:
    found: Any = root
    for step in reference.removeprefix("#").strip("/").split("/"):
        found = found.get(step) if isinstance(found, dict) else None
    return found


def _guessed(schema: Schema) -> str:
    if isinstance(schema.get("properties"), dict):
        return "object"
    values = schema.get("enum")
    if isinstance(values, list) and values and all(isinstance(v, int) and not isinstance(v, bool) for v in values):
        return "integer"
    return "string"


def fits(tool: FunctionTool, arguments: dict[str, object]) -> bool:
    """Whether the arguments fit the function's schema. A schema that cannot be applied fits nothing.

    `jsonschema` is loaded here because it costs a quarter of a second that most sessions never need. The empty registry
    keeps it from fetching references.
    """
    from jsonschema.exceptions import UnknownType
    from jsonschema.validators import Draft202012Validator
    from referencing import Registry
    from referencing.exceptions import Unresolvable

    try:
        return bool(Draft202012Validator(tool.parameters, registry=Registry()).is_valid(arguments))
    except (Unresolvable, UnknownType, RecursionError, TypeError, ValueError, AttributeError, KeyError, re.error):
        # Checking the schema itself first would cost a millisecond a call.
        return False


def encoded(arguments: dict[str, object]) -> str:
    """Arguments as they go on the wire."""
    return json.dumps(arguments, ensure_ascii=False)
