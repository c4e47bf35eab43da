"""A live session whose client names pictures and prompts: the core is told in order, engines and clocks never wait."""

import asyncio
from typing import cast

import pytest

from parley.core.config import Prompt
from parley.core.events import ConversationItemCreate, InputAudioBufferAppend, InputAudioBufferCommit, SessionUpdate
from parley.core.inputs import AnyInput, Heard, Left, Malformed, Transcribed
from parley.core.session import Session
from parley.live.preparing import Resources
from parley.live.session import LiveSession, Surroundings
from parley.telemetry import Metrics
from tests.live.test_session import Core, Ears, Engine, Peer

APPEND = InputAudioBufferAppend(audio=b"\1\0" * 240)
COMMIT = InputAudioBufferCommit()


class Room:
    """`go` lets pictures and prompts come."""

    def __init__(self) -> None:
        self.go = asyncio.Event()
        self.cancelled = False
        self.core = Core(lambda event: [])
        self.peer = Peer()
        around = Surroundings(Ears(), Metrics(), lambda live, turn: None, lambda live: None)
        resources = Resources(self._picture, self._prompt)
        self.live = LiveSession(cast(Session, self.core), Engine(), around, resources=resources)
        self.live.attach(self.peer)
        self.live.open()

    async def _picture(self, url: str, detail: str, param: str) -> str:
        try:
            await self.go.wait()
        except asyncio.CancelledError:
            self.cancelled = True
            raise
        return "ready"

    async def _prompt(self, asked: Prompt, path: str) -> str:
        await self.go.wait()
        return f"Be {asked.id}."

    async def settle(self) -> list[AnyInput]:
        for _ in range(50):
            await asyncio.sleep(0)
        return self.core.happened


def picture() -> ConversationItemCreate:
    content = [{"type": "input_image", "image_url": "https://cats.test/1.png"}]
    return ConversationItemCreate(item={"type": "message", "role": "user", "content": content})


@pytest.fixture
async def room() -> Room:
    return Room()


async def test_the_core_is_told_in_order(room: Room) -> None:
    room.live.hear(APPEND)
    room.live.post(picture())
    room.live.hear(APPEND)
    room.live.hear(InputAudioBufferAppend(audio=b"\1"))
    room.live.post(COMMIT)
    room.live.post(Malformed(code="invalid_event", message="No."))
    engine = Transcribed(work_id="w", text="x", final=False)
    room.live.post(engine)
    happened = await room.settle()
    assert [type(event) for event in happened] == [Heard, Transcribed], "what is not the client's does not wait"
    room.go.set()
    await room.settle()
    kinds = [type(event) for event in happened[2:]]
    assert kinds[:2] == [ConversationItemCreate, Heard] and kinds[-2:] == [InputAudioBufferCommit, Malformed]
    assert room.core.heard == 480
    room.live.post(COMMIT)
    assert happened[-1] == COMMIT, "nothing waits any more"


async def test_a_prompt_becomes_instructions(room: Room) -> None:
    room.live.post(SessionUpdate(session={"type": "realtime", "prompt": {"id": "kind"}}))
    room.go.set()
    (update,) = await room.settle()
    assert isinstance(update, SessionUpdate)
    assert update.session["instructions"] == "Be kind."


async def test_who_leaves_takes_along_what_waits(room: Room) -> None:
    room.live.post(picture())
    room.live.post(COMMIT)
    await room.settle()
    room.live.leave(room.peer)
    happened = await room.settle()
    assert happened == [Left()]
    assert room.cancelled and room.live.over.is_set()
    room.live.post(COMMIT)
    assert await room.settle() == [Left()]
