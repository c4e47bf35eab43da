"""Pictures in the core: their size, their tokens, and how many a conversation holds."""

import base64

import pytest

from parley.core import events as e
from parley.core.conversation import IMAGES_CHARS_MAX
from parley.core.effects import AnyEffect, Send
from parley.core.images import JPEG_URL, image_tokens, jpeg_size
from tests.core.driver import new_session


def jpeg(width: int, height: int) -> str:
    """The beginning of a JPEG: an application segment, then the frame header (ITU T.81 B.2.2)."""
    frame = b"\xff\xc0\x00\x11\x08" + height.to_bytes(2) + width.to_bytes(2) + bytes(12)
    return JPEG_URL + base64.b64encode(b"\xff\xd8\xff\xe0\x00\x10" + bytes(14) + frame).decode()


@pytest.mark.parametrize(
    ("width", "height", "detail", "tokens"),
    [
        (1, 1, "auto", 255),
        (512, 512, "high", 255),
        (513, 512, "high", 425),
        (768, 768, "auto", 765),
        (2048, 768, "high", 1445),
        (2048, 768, "low", 85),
    ],
)
def test_tokens_go_by_tiles(width: int, height: int, detail: str, tokens: int) -> None:
    assert jpeg_size(jpeg(width, height)) == (width, height)
    assert image_tokens(jpeg(width, height), detail) == tokens


@pytest.mark.parametrize("url", ["data:image/png;base64,AAAA", JPEG_URL, JPEG_URL + "?", JPEG_URL + "/9j/4AAQ"])
def test_a_picture_of_unknown_size_is_a_square(url: str) -> None:
    assert jpeg_size(url) is None
    assert image_tokens(url, "auto") == 765


def test_pictures_of_a_conversation_are_bounded() -> None:
    session = new_session()
    session.open()
    half = JPEG_URL + "A" * (IMAGES_CHARS_MAX // 3)

    def show(item_id: str) -> list[AnyEffect]:
        content = [{"type": "input_image", "image_url": half}]
        item = {"id": item_id, "type": "message", "role": "user", "content": content}
        return session.handle(e.ConversationItemCreate(item=item), 0.0)

    assert [codes(show(name)) for name in ("one", "two", "three")] == [[], [], ["too_many_images"]]
    session.handle(e.ConversationItemDelete(item_id="one"), 0.0)
    assert codes(show("four")) == []


def codes(effects: list[AnyEffect]) -> list[str | None]:
    said = [effect.event for effect in effects if isinstance(effect, Send)]
    return [event.error.code for event in said if isinstance(event, e.Error)]
