"""Prompts that sessions name: made, listed, given new versions, deleted."""

from typing import Annotated, Final

from msgspec import Meta

from parley.office import Office
from parley.prompts import PROMPT_NAME_CHARS_MAX, TEMPLATE_CHARS_MAX, Kept, Prompts, variables_of
from parley.web.api.operations import Call, Nothing, Operation, Shown, Wire

MS: Final = 1_000
Template = Annotated[str, Meta(min_length=1, max_length=TEMPLATE_CHARS_MAX)]


class NewPrompt(Wire):
    """`instructions` may have variables: ``Greet people from {{city}}.``"""

    name: Annotated[str, Meta(min_length=1, max_length=PROMPT_NAME_CHARS_MAX)]
    instructions: Template
    project: str | None = None


class NewVersion(Wire):
    instructions: Template


class PromptShown(Shown):
    """With its newest version. `project`: only keys of it, and those without one, may name the prompt."""

    id: str
    name: str
    project: str | None
    version: str
    instructions: str
    variables: tuple[str, ...]
    created_at: int
    version_at: int


class PromptList(Shown):
    data: list[PromptShown]


class PromptVersion(Shown):
    version: str
    instructions: str
    variables: tuple[str, ...]
    created_at: int


class PromptVersions(Shown):
    data: list[PromptVersion]


class Desk:
    def __init__(self, office: Office) -> None:
        self._prompts = Prompts(office.storage)

    def operations(self) -> list[Operation]:
        one = "/api/prompts/{prompt_id}"
        return [
            Operation("GET", "/api/prompts", "Prompts, newest first", self.prompts, PromptList),
            Operation("POST", "/api/prompts", "Make a prompt", self.create_prompt, PromptShown, NewPrompt, status=201),
            Operation("GET", one, "A prompt", self.prompt, PromptShown),
            Operation("DELETE", one, "Delete a prompt, with all its versions", self.delete_prompt, Nothing),
            Operation("GET", f"{one}/versions", "Its versions, newest first", self.prompt_versions, PromptVersions),
            Operation(
                "POST", f"{one}/versions", "A new version", self.add_prompt_version, PromptShown, NewVersion, status=201
            ),
        ]

    async def prompts(self, call: Call) -> PromptList:
        return PromptList(data=[_shown(kept) for kept in await self._prompts.prompts(call.account)])

    async def create_prompt(self, call: Call) -> PromptShown:
        asked: NewPrompt = call.body
        return _shown(await self._prompts.create(call.account, asked.project, asked.name, asked.instructions))

    async def prompt(self, call: Call) -> PromptShown:
        return _shown(await self._prompts.prompt(call.account, call.ids["prompt_id"]))

    async def delete_prompt(self, call: Call) -> Nothing:
        await self._prompts.delete(call.account, call.ids["prompt_id"])
        return Nothing()

    async def prompt_versions(self, call: Call) -> PromptVersions:
        found = await self._prompts.versions(call.account, call.ids["prompt_id"])
        return PromptVersions(
            data=[
                PromptVersion(
                    version=str(one.version),
                    instructions=one.template,
                    variables=variables_of(one.template),
                    created_at=one.created_at // MS,
                )
                for one in found
            ]
        )

    async def add_prompt_version(self, call: Call) -> PromptShown:
        asked: NewVersion = call.body
        return _shown(await self._prompts.add_version(call.account, call.ids["prompt_id"], asked.instructions))


def _shown(kept: Kept) -> PromptShown:
    return PromptShown(
        id=kept.id, name=kept.name, project=kept.project, version=str(kept.version), instructions=kept.template,
        variables=variables_of(kept.template), created_at=kept.created_at // MS, version_at=kept.version_at // MS,
    )  # fmt: skip
