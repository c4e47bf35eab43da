"""What waits for a picture or a prompt, and what goes on meanwhile; nothing is lost, nothing overtakes."""

import asyncio
from typing import Any

import pytest

from parley.core.config import Prompt
from parley.core.events import (
    ConversationItemCreate,
    InputAudioBufferAppend,
    InputAudioBufferCommit,
    ResponseCancel,
    ResponseCreate,
    SessionUpdate,
)
from parley.core.inputs import Malformed
from parley.errors import EngineError, RequestError
from parley.live import preparing
from parley.live.preparing import IMAGES_MAX, FromClient, Preparing, Resources, needs, weight

CAT = "https://cats.test/cat.png"


class Stage:
    """Pictures and prompts come when `go` is set."""

    def __init__(self) -> None:
        self.go = asyncio.Event()
        self.delivered: list[FromClient] = []
        self.fetched: list[str] = []
        self.failure: Exception | None = None
        self.preparing = Preparing(Resources(self.picture, self.prompt), self.delivered.append)

    async def picture(self, url: str, detail: str, param: str) -> str:
        self.fetched.append(url)
        await self.go.wait()
        if self.failure is not None:
            raise self.failure
        return f"data:{detail}:{param}"

    async def prompt(self, asked: Prompt, path: str) -> str:
        await self.go.wait()
        return f"{asked.id} at {path}"

    async def settle(self) -> None:
        for _ in range(50):
            await asyncio.sleep(0)


@pytest.fixture
async def stage() -> Stage:
    return Stage()


def show(*urls: str, event_id: str | None = None) -> ConversationItemCreate:
    content = [{"type": "input_image", "image_url": url} for url in urls]
    return ConversationItemCreate(item={"type": "message", "role": "user", "content": content}, event_id=event_id)


def url_of(event: FromClient, at: int = 0) -> str:
    assert isinstance(event, ConversationItemCreate)
    return str(event.item["content"][at]["image_url"])


async def test_order_is_kept_and_nothing_is_lost(stage: Stage) -> None:
    sound = InputAudioBufferAppend(audio=b"ab")
    after: list[FromClient] = [sound, InputAudioBufferCommit(), Malformed(code="invalid_event", message="x")]
    assert not stage.preparing.take(sound), "nobody waits yet"
    assert stage.preparing.take(show(CAT))
    assert all(stage.preparing.take(event) for event in after)
    await stage.settle()
    assert stage.delivered == []
    stage.go.set()
    await stage.settle()
    assert url_of(stage.delivered[0]) == "data:auto:item.content[0].image_url"
    assert stage.delivered[1:] == after
    assert not stage.preparing.take(sound)


async def test_one_after_the_other(stage: Stage) -> None:
    assert stage.preparing.take(show("a", "b")) and stage.preparing.take(show("c"))
    stage.go.set()
    await stage.settle()
    assert stage.fetched == ["a", "b", "c"]
    assert url_of(stage.delivered[0], 1) == "data:auto:item.content[1].image_url"
    assert len(stage.delivered) == 2


async def test_a_prompt_fills_the_instructions_that_are_not_given(stage: Stage) -> None:
    stage.go.set()
    named: dict[str, Any] = {"type": "realtime", "prompt": {"id": "p"}}
    for session in (named, {**named, "instructions": "Own."}, {**named, "instructions": ""}):
        assert stage.preparing.take(SessionUpdate(session=session))
    assert stage.preparing.take(ResponseCreate(response={"prompt": {"id": "p"}, "instructions": None}))
    await stage.settle()
    found = [event.session if isinstance(event, SessionUpdate) else event.response for event in stage.delivered]  # type: ignore[union-attr]
    assert [(fields or {})["instructions"] for fields in found] == [
        "p at session.prompt", "Own.", "", "p at response.prompt",
    ]  # fmt: skip
    assert all((fields or {})["prompt"] == {"id": "p"} for fields in found)


async def test_pictures_of_a_response_of_its_own_input(stage: Stage) -> None:
    stage.go.set()
    item = show(CAT).item
    assert stage.preparing.take(ResponseCreate(response={"input": [{"type": "item_reference", "id": "x"}, item]}))
    await stage.settle()
    assert item["content"][0]["image_url"] == "data:auto:response.input[1].content[0].image_url"


@pytest.mark.parametrize(
    ("failure", "code", "param"),
    [
        (
            RequestError("invalid_image", "No.", "item.content[0].image_url"),
            "invalid_image",
            "item.content[0].image_url",
        ),
        (EngineError("storage_unavailable", "No."), "storage_unavailable", None),
        (ZeroDivisionError(), "internal_error", None),
    ],
)
async def test_what_fails_is_told_and_the_rest_goes_on(
    stage: Stage, failure: Exception, code: str, param: str | None
) -> None:
    stage.failure = failure
    stage.go.set()
    stage.preparing.take(show(CAT, event_id="e1"))
    stage.preparing.take(ResponseCancel())
    await stage.settle()
    told = stage.delivered[0]
    assert isinstance(told, Malformed)
    assert (told.code, told.param, told.event_id) == (code, param, "e1")
    assert stage.delivered[1:] == [ResponseCancel()]


async def test_a_prompt_of_a_wrong_shape_is_told_with_its_path(stage: Stage) -> None:
    stage.preparing.take(SessionUpdate(session={"type": "realtime", "prompt": {"id": "p", "name": "x"}}))
    await stage.settle()
    (told,) = stage.delivered
    assert isinstance(told, Malformed)
    assert (told.code, told.param) == ("unknown_parameter", "session.prompt.name")


async def test_too_many_pictures_at_once(stage: Stage) -> None:
    stage.go.set()
    stage.preparing.take(show(*["x"] * (IMAGES_MAX + 1)))
    await stage.settle()
    (told,) = stage.delivered
    assert isinstance(told, Malformed) and told.code == "too_many_images"
    assert stage.fetched == []


async def test_what_takes_too_long(stage: Stage, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(preparing, "PREPARE_S", 0.01)
    stage.preparing.take(show(CAT))
    async with asyncio.timeout(10):
        while not stage.delivered:
            await asyncio.sleep(0.01)
    (told,) = stage.delivered
    assert isinstance(told, Malformed) and told.code == "backend_timeout"


@pytest.mark.parametrize(("limit", "value"), [("WAITING_EVENTS_MAX", 3), ("WAITING_CHARS_MAX", 100)])
async def test_who_sends_too_much_meanwhile_loses_the_picture_and_nothing_else(
    stage: Stage, monkeypatch: pytest.MonkeyPatch, limit: str, value: int
) -> None:
    monkeypatch.setattr(preparing, limit, value)
    stage.preparing.take(show(CAT))
    await stage.settle()
    sounds: list[FromClient] = [InputAudioBufferAppend(audio=bytes(30)) for _ in range(4)]
    assert all(stage.preparing.take(sound) for sound in sounds)
    await stage.settle()
    told, *rest = stage.delivered
    assert isinstance(told, Malformed) and told.code == "backend_timeout"
    assert rest == sounds


async def test_after_the_end_nothing_comes(stage: Stage) -> None:
    stage.preparing.take(show(CAT))
    stage.preparing.take(ResponseCancel())
    await stage.settle()
    stage.preparing.close()
    stage.go.set()
    await stage.settle()
    assert stage.delivered == []


async def test_without_resources_nothing_waits() -> None:
    delivered: list[FromClient] = []
    assert not Preparing(None, delivered.append).take(show(CAT))
    assert delivered == []


@pytest.mark.parametrize(
    "event",
    [
        ConversationItemCreate(item={}),
        ConversationItemCreate(item={"content": "x"}),
        ConversationItemCreate(item={"content": [1, {"type": "input_image"}, {"type": "input_image", "image_url": 1}]}),
        ResponseCreate(),
        ResponseCreate(response={"input": 1, "prompt": None}),
        ResponseCreate(response={"input": [1, {"content": None}]}),
        SessionUpdate(session={"prompt": None}),
        SessionUpdate(session={"prompt": "x"}),
    ],
)
def test_what_is_malformed_is_left_to_the_session(event: FromClient) -> None:
    assert not needs(event)
    assert weight(event) >= 0
