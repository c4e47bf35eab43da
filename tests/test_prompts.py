"""Prompts: what is filled in and how, on both databases."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from parley.core.config import INSTRUCTIONS_CHARS_MAX, Prompt
from parley.errors import RequestError
from parley.prompts import VARIABLES_MAX, Prompts, check_template, fill, variables_of
from parley.storage import Script, Sql, Storage
from tests.databases import storage, url

__all__ = ["storage", "url"]

GREET = "Greet {{name}} from {{ city }}, {{name}}!"
PATH = "session.prompt"


# ---- templates


def test_variables_become_text() -> None:
    assert variables_of(GREET) == ("name", "city")
    part = {"type": "input_text", "text": "Paris"}
    assert fill(GREET, {"name": "Ann", "city": part}, PATH) == "Greet Ann from Paris, Ann!"


def test_nothing_is_filled_in_twice() -> None:
    filled = fill(GREET, {"name": "{{city}}", "city": r"\1 \g<name> {{name}}"}, PATH)
    assert filled == r"Greet {{city}} from \1 \g<name> {{name}}, {{city}}!"


@given(st.dictionaries(st.sampled_from(["a", "b"]), st.text(), min_size=2))
def test_whatever_is_filled_in_stands_there_as_it_is(values: dict[str, str]) -> None:
    assert fill("<{{a}}|{{b}}>", values, PATH) == f"<{values['a']}|{values['b']}>"


@pytest.mark.parametrize(
    ("variables", "code", "param"),
    [
        ({"name": "Ann"}, "missing_required_parameter", "city"),
        ({"name": "Ann", "city": "X", "town": "Y"}, "unknown_parameter", "town"),
        ({"name": "Ann", "city": 1}, "invalid_type", "city"),
        ({"name": "Ann", "city": None}, "invalid_type", "city"),
        ({"name": "Ann", "city": ["X"]}, "invalid_type", "city"),
        ({"name": "Ann", "city": {"type": "input_text"}}, "invalid_type", "city"),
        ({"name": "Ann", "city": {"type": "input_image", "image_url": "x"}}, "invalid_value", "city"),
    ],
)
def test_wrong_variables(variables: dict[str, object], code: str, param: str) -> None:
    with pytest.raises(RequestError) as refused:
        fill(GREET, variables, PATH)
    assert (refused.value.code, refused.value.param) == (code, f"{PATH}.variables.{param}")


def test_a_template_that_would_grow_without_end() -> None:
    many = "{{x}}" * 1_000
    with pytest.raises(RequestError, match="longer than"):
        fill(many, {"x": "y" * (INSTRUCTIONS_CHARS_MAX // 1_000 + 1)}, PATH)


@pytest.mark.parametrize("template", ["{{", "{{ }}", "{{a b}}", "{{{a}", "{{1}}", "{{a{{b}}}}", "{{" + "a" * 65 + "}}"])
def test_braces_that_are_no_variable(template: str) -> None:
    with pytest.raises(RequestError) as refused:
        check_template(template, "instructions")
    assert refused.value.param == "instructions"


def test_too_many_variables() -> None:
    names = [f"{{{{v{number}}}}}" for number in range(VARIABLES_MAX + 1)]
    check_template("".join(names[:-1]), "instructions")
    with pytest.raises(RequestError, match="at most"):
        check_template("".join(names), "instructions")


# ---- the store


def _accounts() -> Script[None]:
    for account in ("ann", "bob"):
        yield Sql("INSERT INTO account (id, name, markup_bp, created_at) VALUES ($1, $1, 0, 0)", (account,))
    for id, archived in (("shop", None), ("farm", None), ("gone", 1)):
        yield Sql(
            "INSERT INTO project (id, account, name, created_at, archived_at) VALUES ($1, 'ann', $1, 0, $2)",
            (id, archived),
        )


@pytest.fixture
async def prompts(storage: Storage) -> Prompts:
    await storage.transaction(_accounts)
    return Prompts(storage)


async def refused(prompts: Prompts, account: str, project: str | None, asked: Prompt) -> tuple[str, str | None]:
    with pytest.raises(RequestError) as error:
        await prompts.filled(account, project, asked, PATH)
    return error.value.code, error.value.param


async def test_versions(prompts: Prompts) -> None:
    made = await prompts.create("ann", None, "greeter", "Hello {{name}}.")
    assert (made.name, made.version, made.template) == ("greeter", 1, "Hello {{name}}.")
    second = await prompts.add_version("ann", made.id, "Good day, {{name}}.")
    assert (second.id, second.version) == (made.id, 2)
    assert [one.version for one in await prompts.versions("ann", made.id)] == [2, 1]

    async def filled(version: str | None) -> str:
        return await prompts.filled("ann", None, Prompt(id=made.id, version=version, variables={"name": "Bea"}), PATH)

    assert await filled(None) == "Good day, Bea."
    assert await filled("1") == "Hello Bea."
    assert await refused(prompts, "ann", None, Prompt(id=made.id, version="3")) == ("prompt_not_found", f"{PATH}.id")
    for wrong in ("0", "-1", "v1", "", "1" * 10):
        assert await refused(prompts, "ann", None, Prompt(id=made.id, version=wrong)) == (
            "invalid_value",
            f"{PATH}.version",
        )


async def test_another_account_has_none_of_it(prompts: Prompts) -> None:
    made = await prompts.create("ann", None, "greeter", "Hello.")
    assert await refused(prompts, "bob", None, Prompt(id=made.id)) == ("prompt_not_found", f"{PATH}.id")
    assert await prompts.prompts("bob") == []
    for work in (
        prompts.prompt("bob", made.id),
        prompts.versions("bob", made.id),
        prompts.add_version("bob", made.id, "Mine."),
        prompts.delete("bob", made.id),
    ):
        with pytest.raises(RequestError) as error:
            await work
        assert error.value.code == "prompt_not_found"
    assert (await prompts.prompt("ann", made.id)).template == "Hello."


async def test_a_project_keeps_its_prompts_to_itself(prompts: Prompts) -> None:
    made = await prompts.create("ann", "shop", "seller", "Sell.")
    for project in ("shop", None):
        assert await prompts.filled("ann", project, Prompt(id=made.id), PATH) == "Sell."
    assert (await refused(prompts, "ann", "farm", Prompt(id=made.id)))[0] == "prompt_not_found"
    for wrong in ("gone", "none"):
        with pytest.raises(RequestError) as error:
            await prompts.create("ann", wrong, "x", "x")
        assert error.value.code == "project_not_found"


async def test_deleting(prompts: Prompts) -> None:
    made = await prompts.create("ann", None, "greeter", "Hello.")
    await prompts.add_version("ann", made.id, "Hi.")
    other = await prompts.create("ann", None, "other", "Other.")
    await prompts.delete("ann", made.id)
    assert (await refused(prompts, "ann", None, Prompt(id=made.id)))[0] == "prompt_not_found"
    assert [kept.id for kept in await prompts.prompts("ann")] == [other.id]


async def test_how_many(prompts: Prompts, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("parley.prompts.PROMPTS_MAX", 1)
    monkeypatch.setattr("parley.prompts.VERSIONS_MAX", 2)
    made = await prompts.create("ann", None, "greeter", "Hello.")
    with pytest.raises(RequestError, match="at most 1 prompts"):
        await prompts.create("ann", None, "greeter", "Hello.")
    await prompts.add_version("ann", made.id, "Hi.")
    with pytest.raises(RequestError, match="at most 2 versions"):
        await prompts.add_version("ann", made.id, "Hey.")
