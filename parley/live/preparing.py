"""What has to be fetched or looked up before the session can be told: pictures, and prompts that the server keeps.

A session never waits, so its shell does: a client event that names such a thing waits until it is ready, and whatever
the client says after it waits behind it, in order. What does not come from the client (engines, clocks, the sound of a
call) goes on meanwhile.

    event ---> nothing to prepare, nobody waits ------------------------> deliver
          \\--> waiting: prepared one after the other, 20 s each at most --> deliver, or deliver `Malformed`
"""

import asyncio
import logging
from collections import deque
from collections.abc import Awaitable, Callable, Mapping
from typing import Any, Final, NamedTuple

import msgspec

from parley.core.config import Prompt
from parley.core.events import (
    AnyClientEvent,
    ConversationItemCreate,
    InputAudioBufferAppend,
    ResponseCreate,
    SessionUpdate,
)
from parley.core.inputs import Malformed
from parley.core.shapes import shape
from parley.errors import EngineError, RequestError

PREPARE_S: Final = 20.0
"""For all that one event names."""
IMAGES_MAX: Final = 16
"""Of one event."""
WAITING_EVENTS_MAX: Final = 4_096
WAITING_CHARS_MAX: Final = 32 * 2**20
"""What waits behind an event; where more comes, that event is given up, and nothing of what waits is lost."""

GIVEN_UP: Final = "It took too long: too much was sent meanwhile. Send it again."
LATE: Final = f"What the event names did not come within {PREPARE_S:.0f} s."

FromClient = AnyClientEvent | Malformed

log = logging.getLogger(__name__)


class Resources(NamedTuple):
    """Where the things come from. Both raise `RequestError` and `EngineError`, and are given the path for them last."""

    picture: Callable[[str, str, str], Awaitable[str]]
    """URL, detail -> a data URL of what the model will see."""
    prompt: Callable[[Prompt, str], Awaitable[str]]
    """The instructions that a prompt makes."""


class Preparing:
    """Belongs to one session. `deliver` gets what is ready, in the order of `take`."""

    def __init__(self, resources: Resources | None, deliver: Callable[[FromClient], None]) -> None:
        """Without resources nothing ever waits."""
        self._resources = resources
        self._deliver = deliver
        self._waiting: deque[FromClient] = deque()
        self._chars = 0
        self._task: asyncio.Task[None] | None = None
        self._at_work: asyncio.Task[FromClient] | None = None

    def take(self, event: FromClient) -> bool:
        """False where there is nothing to wait for; else it will be delivered."""
        if self._task is None and (self._resources is None or not needs(event)):
            return False
        self._waiting.append(event)
        self._chars += weight(event)
        if self._task is None:
            self._task = asyncio.create_task(self._work_off())
        elif len(self._waiting) > WAITING_EVENTS_MAX or self._chars > WAITING_CHARS_MAX:
            self._give_up()
        return True

    def close(self) -> None:
        """Nothing is delivered any more."""
        self._waiting.clear()
        for task in (self._at_work, self._task):
            if task is not None:
                task.cancel()

    async def _work_off(self) -> None:
        while self._waiting:
            event = self._waiting.popleft()
            self._chars -= weight(event)
            if needs(event):
                event = await self._ready(event)
            self._deliver(event)
        self._task = None

    async def _ready(self, event: FromClient) -> FromClient:
        assert self._resources is not None
        self._at_work = asyncio.create_task(_prepared(event, self._resources))
        done, _ = await asyncio.wait([self._at_work])
        work, self._at_work = done.pop(), None
        return _refused(event, "backend_timeout", GIVEN_UP, None) if work.cancelled() else work.result()

    def _give_up(self) -> None:
        if self._at_work is not None:
            self._at_work.cancel()


# ---- rules


def needs(event: FromClient) -> bool:
    """Whether it names something that is not here yet. What is malformed is not: the session says what is wrong."""
    match event:
        case SessionUpdate(session=session):
            return isinstance(session.get("prompt"), dict)
        case ConversationItemCreate(item=item):
            return bool(_images(item, "item"))
        case ResponseCreate(response=dict() as response):
            return isinstance(response.get("prompt"), dict) or bool(_images_of_input(response))
    return False


def weight(event: FromClient) -> int:
    """About how much memory it takes, in characters."""
    match event:
        case InputAudioBufferAppend(audio=audio):
            return len(audio)
        case SessionUpdate(session=fields) | ConversationItemCreate(item=fields):
            return _chars(fields)
        case ResponseCreate(response=response):
            return _chars(response)
    return 0


def _chars(value: object) -> int:
    """A loop and no recursion: clients choose how deep it is."""
    total, left = 0, [value]
    while left:
        one = left.pop()
        if isinstance(one, dict):
            left += one.values()
        elif isinstance(one, list):
            left += one
        total += len(one) if isinstance(one, str | bytes) else 8
    return total


class _Image(NamedTuple):
    part: dict[str, Any]
    path: str


def _images(item: object, path: str) -> list[_Image]:
    content = item.get("content") if isinstance(item, dict) else None
    return [
        _Image(part, f"{path}.content[{at}].image_url")
        for at, part in enumerate(content if isinstance(content, list) else [])
        if isinstance(part, dict) and part.get("type") == "input_image" and isinstance(part.get("image_url"), str)
    ]


def _images_of_input(response: Mapping[str, Any]) -> list[_Image]:
    items = response.get("input")
    return [
        image
        for at, item in enumerate(items if isinstance(items, list) else [])
        for image in _images(item, f"response.input[{at}]")
    ]


# ---- work


async def _prepared(event: FromClient, resources: Resources) -> FromClient:
    """`event` with everything in it, or what to tell the client."""
    try:
        async with asyncio.timeout(PREPARE_S):
            match event:
                case SessionUpdate(session=session):
                    return msgspec.structs.replace(event, session=await _filled(session, "session.prompt", resources))
                case ConversationItemCreate(item=item):
                    await _see(_images(item, "item"), resources)
                case ResponseCreate(response=dict() as response):
                    await _see(_images_of_input(response), resources)
                    filled = await _filled(response, "response.prompt", resources)
                    return msgspec.structs.replace(event, response=filled)
            return event
    except (RequestError, EngineError) as error:
        return _refused(event, error.code, error.message, getattr(error, "param", None))
    except TimeoutError:
        return _refused(event, "backend_timeout", LATE, None)
    except Exception:
        log.exception("event not prepared")
        return _refused(event, "internal_error", "Something unexpected went wrong with this event.", None)


async def _see(images: list[_Image], resources: Resources) -> None:
    """Puts what the model will see into the parts of the event, which nobody else has seen yet."""
    if len(images) > IMAGES_MAX:
        path = images[IMAGES_MAX].path
        raise RequestError("too_many_images", f"One event brings at most {IMAGES_MAX} pictures.", path)
    for part, path in images:
        part["image_url"] = await resources.picture(part["image_url"], str(part.get("detail", "auto")), path)


async def _filled(fields: dict[str, Any], path: str, resources: Resources) -> dict[str, Any]:
    """`instructions` of its own come before those of the prompt (protocol.md 2.2)."""
    if not isinstance(fields.get("prompt"), dict):
        return fields
    text = await resources.prompt(shape(fields["prompt"], Prompt, path), path)
    own = fields.get("instructions")
    return {**fields, "instructions": text if own is None else own}


def _refused(event: FromClient, code: str, message: str, param: str | None) -> Malformed:
    return Malformed(code=code, message=message, param=param, event_id=event.event_id)
