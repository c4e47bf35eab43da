"""What a picture costs as input: tokens by its size.

The hosted rule is not documented for realtime (protocol.md 9.17). This is the tile rule that OpenAI documents for its
chat models of that time: a picture is made to fit, then each tile of 512 x 512 that it touches has its price. The shell
makes every picture one small JPEG before the session hears of it; its size is read from there.
"""

import base64
import binascii
import math
from typing import Final

LOW_SIDE_MAX: Final = 512
"""Pixels of either side of a picture with ``detail: "low"``."""
LONG_SIDE_MAX: Final = 2_048
SHORT_SIDE_MAX: Final = 768

TILE_SIDE: Final = 512
BASE_TOKENS: Final = 85
"""Of every picture; with ``detail: "low"`` all of them."""
TILE_TOKENS: Final = 170
UNKNOWN_TILES: Final = 4
"""Of a picture whose size cannot be read: a square."""

JPEG_URL: Final = "data:image/jpeg;base64,"
HEAD_CHARS: Final = 2_000
"""Within them the shell's own JPEGs have told their size."""


def image_tokens(url: str, detail: str) -> int:
    """`auto` is `high` (protocol.md 5.5)."""
    if detail == "low":
        return BASE_TOKENS
    size = jpeg_size(url)
    tiles = UNKNOWN_TILES if size is None else math.ceil(size[0] / TILE_SIDE) * math.ceil(size[1] / TILE_SIDE)
    return BASE_TOKENS + TILE_TOKENS * tiles


def jpeg_size(url: str) -> tuple[int, int] | None:
    """Width and height by the frame header of a JPEG (ITU T.81 B.2.2) in a data URL."""
    if not url.startswith(JPEG_URL):
        return None
    try:
        head = base64.b64decode(url[len(JPEG_URL) : len(JPEG_URL) + HEAD_CHARS])
    except (binascii.Error, ValueError):
        return None
    at = 2
    while at + 9 <= len(head) and head[at] == 0xFF:
        marker = head[at + 1]
        if 0xC0 <= marker <= 0xCF and marker not in (0xC4, 0xC8, 0xCC):
            return int.from_bytes(head[at + 7 : at + 9]), int.from_bytes(head[at + 5 : at + 7])
        at += 2 + int.from_bytes(head[at + 2 : at + 4])
    return None
