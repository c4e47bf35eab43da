"""Prompts that are kept here and named by sessions: ``prompt: {"id": "pmpt_…", "variables": {"city": "Paris"}}``.

    prompts = Prompts(storage)
    made = await prompts.create(account, None, "greeter", "Greet people from {{city}}.")
    words = await prompts.filled(account, None, Prompt(id=made.id, variables={"city": "Paris"}), "session.prompt")

A variable is replaced by its text, once: nothing in that text is a variable again. A variable that the template has and
the session does not name is an error, and so is the reverse. A prompt with a project is there for keys of that project,
and for those that have none.
"""

import re
import time
from collections.abc import Mapping
from typing import Any, Final, NamedTuple

from parley.core.config import INSTRUCTIONS_CHARS_MAX, Prompt
from parley.errors import RequestError
from parley.ids import new_id
from parley.storage import Row, Script, Sql, Storage

TEMPLATE_CHARS_MAX: Final = 50_000
PROMPT_NAME_CHARS_MAX: Final = 200
VARIABLES_MAX: Final = 64
"""Different ones in a template."""
PROMPTS_MAX: Final = 1_000
"""Of one account."""
VERSIONS_MAX: Final = 1_000
"""Of one prompt."""

VARIABLE: Final = re.compile(r"\{\{\s*(?P<name>[A-Za-z_][A-Za-z0-9_]{0,63})\s*\}\}")


class Kept(NamedTuple):
    """A prompt as it stands: its newest version. Moments in milliseconds of Unix time."""

    id: str
    account: str
    project: str | None
    name: str
    created_at: int
    version: int
    template: str
    version_at: int


class Version(NamedTuple):
    version: int
    template: str
    created_at: int


# ---- templates


def variables_of(template: str) -> tuple[str, ...]:
    """The names in a template, in order of appearance."""
    return tuple(dict.fromkeys(match["name"] for match in VARIABLE.finditer(template)))


def check_template(template: str, param: str) -> None:
    """Raises `RequestError` for braces that are no variable, and for too many variables."""
    if "{{" in VARIABLE.sub("", template):
        why = "'{{' begins a variable, such as {{city}}; its name has letters, digits and '_'"
        raise RequestError("invalid_value", f"Invalid '{param}': {why}.", param)
    if len(variables_of(template)) > VARIABLES_MAX:
        raise RequestError("invalid_value", f"Invalid '{param}': at most {VARIABLES_MAX} variables.", param)


def fill(template: str, variables: Mapping[str, Any], path: str) -> str:
    """The template with its variables as text. `path` is that of the prompt. Raises `RequestError`."""
    texts = {name: _text(value, f"{path}.variables.{name}") for name, value in variables.items()}
    wanted = variables_of(template)
    for name in texts:
        if name not in wanted:
            param = f"{path}.variables.{name}"
            message = f"Unknown parameter: '{param}'. The prompt has no such variable."
            raise RequestError("unknown_parameter", message, param)
    for name in wanted:
        if name not in texts:
            param = f"{path}.variables.{name}"
            raise RequestError("missing_required_parameter", f"Missing required parameter: '{param}'.", param)
    if len(template) + sum(len(texts[match["name"]]) for match in VARIABLE.finditer(template)) > INSTRUCTIONS_CHARS_MAX:
        message = f"The filled prompt is longer than {INSTRUCTIONS_CHARS_MAX} characters."
        raise RequestError("invalid_value", message, f"{path}.variables")
    return VARIABLE.sub(lambda match: texts[match["name"]], template)


def _text(value: Any, param: str) -> str:
    """A string, or a content part with text (protocol.md 2.2)."""
    if isinstance(value, dict) and value.get("type") == "input_text":
        value = value.get("text")
    elif isinstance(value, dict):
        raise RequestError(
            "invalid_value", f"Invalid '{param}': only text can be filled in, as a string or an input_text.", param
        )
    if not isinstance(value, str):
        raise RequestError("invalid_type", f"Invalid type for '{param}': expected a string.", param)
    return value


# ---- the store


class Prompts:
    """Methods raise `RequestError`, and `EngineError` with `storage_unavailable`."""

    def __init__(self, storage: Storage) -> None:
        self._storage = storage

    async def filled(self, account: str, project: str | None, asked: Prompt, path: str) -> str:
        """The instructions that a session or response asks for. `path` is that of the prompt in its errors."""
        version = _number(asked.version, path)
        template = await self._storage.read(_template, account, project, asked.id, version)
        if template is None:
            named = "" if version is None else f" in version {version}"
            raise RequestError("prompt_not_found", f"There is no prompt {asked.id!r}{named} here.", f"{path}.id")
        return fill(template, asked.variables or {}, path)

    async def create(self, account: str, project: str | None, name: str, template: str) -> Kept:
        check_template(template, "instructions")
        id = new_id("pmpt")
        await self._storage.transaction(_create, id, account, project, name, template, _now())
        return await self.prompt(account, id)

    async def add_version(self, account: str, id: str, template: str) -> Kept:
        """Sessions that name no version get it from now on."""
        check_template(template, "instructions")
        await self._storage.transaction(_add_version, account, id, template, _now())
        return await self.prompt(account, id)

    async def prompts(self, account: str) -> list[Kept]:
        """Newest first."""
        return await self._storage.read(_all, account)

    async def prompt(self, account: str, id: str) -> Kept:
        found = await self._storage.read(_all, account, id)
        if not found:
            raise _not_found(id)
        return found[0]

    async def versions(self, account: str, id: str) -> list[Version]:
        """Newest first."""
        await self.prompt(account, id)
        return await self._storage.read(_versions, account, id)

    async def delete(self, account: str, id: str) -> None:
        """With all its versions. Sessions that have it keep it."""
        await self._storage.transaction(_delete, account, id)


def _now() -> int:
    return int(time.time() * 1_000)


def _number(version: str | None, path: str) -> int | None:
    if version is None:
        return None
    if not re.fullmatch(r"[1-9][0-9]{0,8}", version):
        param = f"{path}.version"
        raise RequestError("invalid_value", f"Invalid '{param}': expected the number of a version, such as '2'.", param)
    return int(version)


def _not_found(id: str) -> RequestError:
    return RequestError("prompt_not_found", f"There is no prompt {id[:64]!r} here.", "prompt_id")


# ---- scripts

NEWEST: Final = "(SELECT MAX(version) FROM prompt_version WHERE prompt = prompt.id)"


def _template(account: str, project: str | None, id: str, version: int | None) -> Script[str | None]:
    rows = yield Sql(
        "SELECT template FROM prompt JOIN prompt_version ON prompt_version.prompt = prompt.id "  # noqa: S608
        "WHERE prompt.id = $1 AND account = $2 AND ($3 = '' OR project IS NULL OR project = $3) "
        f"AND (version = $4 OR ($4 = 0 AND version = {NEWEST}))",
        (id, account, project or "", version or 0),
    )
    return str(rows[0][0]) if rows else None


def _create(id: str, account: str, project: str | None, name: str, template: str, at: int) -> Script[None]:
    if project is not None:
        rows = yield Sql(
            "SELECT id FROM project WHERE id = $1 AND account = $2 AND archived_at IS NULL", (project, account)
        )
        if not rows:
            raise RequestError("project_not_found", "This account has no such project.", "project")
    yield Sql("SELECT id FROM account WHERE id = $1 FOR UPDATE", (account,))
    rows = yield Sql("SELECT COUNT(*) FROM prompt WHERE account = $1", (account,))
    if rows[0][0] >= PROMPTS_MAX:
        raise RequestError("invalid_value", f"An account has at most {PROMPTS_MAX} prompts; delete one.")
    yield Sql(
        "INSERT INTO prompt (id, account, project, name, created_at) VALUES ($1, $2, $3, $4, $5)",
        (id, account, project, name, at),
    )
    yield from _insert_version(id, 1, template, at)


def _add_version(account: str, id: str, template: str, at: int) -> Script[None]:
    rows = yield Sql("SELECT id FROM prompt WHERE id = $1 AND account = $2 FOR UPDATE", (id, account))
    if not rows:
        raise _not_found(id)
    rows = yield Sql("SELECT MAX(version) FROM prompt_version WHERE prompt = $1", (id,))
    newest = int(rows[0][0])
    if newest >= VERSIONS_MAX:
        raise RequestError("invalid_value", f"A prompt has at most {VERSIONS_MAX} versions; create another one.")
    yield from _insert_version(id, newest + 1, template, at)


def _insert_version(id: str, version: int, template: str, at: int) -> Script[None]:
    yield Sql(
        "INSERT INTO prompt_version (prompt, version, template, created_at) VALUES ($1, $2, $3, $4)",
        (id, version, template, at),
    )


def _all(account: str, id: str = "") -> Script[list[Kept]]:
    rows = yield Sql(
        "SELECT prompt.id, account, project, name, prompt.created_at, version, template, prompt_version.created_at "  # noqa: S608
        "FROM prompt JOIN prompt_version ON prompt_version.prompt = prompt.id "
        f"WHERE account = $1 AND ($2 = '' OR prompt.id = $2) AND version = {NEWEST} "
        "ORDER BY prompt.created_at DESC, prompt.id",
        (account, id),
    )
    return [Kept(*row) for row in rows]


def _versions(account: str, id: str) -> Script[list[Version]]:
    rows: list[Row] = yield Sql(
        "SELECT version, template, prompt_version.created_at FROM prompt_version JOIN prompt ON prompt.id = prompt "
        "WHERE prompt = $2 AND account = $1 ORDER BY version DESC",
        (account, id),
    )
    return [Version(*row) for row in rows]


def _delete(account: str, id: str) -> Script[None]:
    rows = yield Sql("SELECT id FROM prompt WHERE id = $1 AND account = $2 FOR UPDATE", (id, account))
    if not rows:
        raise _not_found(id)
    yield Sql("DELETE FROM prompt_version WHERE prompt = $1", (id,))
    yield Sql("DELETE FROM prompt WHERE id = $1", (id,))
