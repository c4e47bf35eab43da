"""The conversation as a relay remembers it, so that it can be told to another upstream.

Sound is not kept: what was spoken is remembered as its words (protocol.md 3.5: a client cannot populate assistant
audio), images as they were. What an answer said beyond the point where it was cut is forgotten. Bounded: the oldest
turns are forgotten first, and never a function call without its output.
"""

import math
from collections.abc import Iterable, Iterator
from typing import Any, Final

from parley.core.relayed import Body

LOG_CHARS_MAX: Final = 8 * 2**20
"""All items together: thousands of turns, or a few images."""
LOG_ITEMS_MAX: Final = 2_000
UNHEARD: Final = "[The user spoke here; there is no transcript of it.]"
"""Stands for speech that nobody put into words: turn on `audio.input.transcription` to keep them."""

FORGOTTEN_KINDS: Final = frozenset({"mcp_list_tools"})
"""Items that an upstream makes by itself, from the session's tools."""


class Line:
    """One item. `sound_ms` is how long its sound is; `cut_ms` how much of that was heard, if not all of it."""

    def __init__(self, item: Body) -> None:
        self.item = item
        self.sound_ms = 0.0
        self.cut_ms: float | None = None
        self.chars = _chars(item)


class Log:
    def __init__(self) -> None:
        self._lines: dict[str, Line] = {}
        self._order: list[str] = []
        self._chars = 0

    def __contains__(self, item_id: object) -> bool:
        return item_id in self._lines

    def __len__(self) -> int:
        return len(self._order)

    def add(self, item: Body, after: str | None = None) -> None:
        """A new item, behind `after` (``root``: before all others), or at the end. One that is known is updated."""
        item_id = item.get("id")
        if not isinstance(item_id, str):
            return
        if item_id in self._lines:
            self.update(item)
            return
        if after == "root":
            self._order.insert(0, item_id)
        elif after in self._lines:
            self._order.insert(self._order.index(after) + 1, item_id)
        else:
            self._order.append(item_id)
        self._lines[item_id] = line = Line(item)
        self._chars += line.chars
        self._forget()

    def update(self, item: Body) -> None:
        """The item as it is now. What is known and is not repeated (images, words of the user) stays."""
        line = self._lines.get(item.get("id", ""))
        if line is None:
            return
        merged = {**line.item, **item}
        merged["content"] = _merged(line.item.get("content"), item.get("content"))
        self._chars -= line.chars
        line.item = {key: value for key, value in merged.items() if value is not None}
        line.chars = _chars(line.item)
        self._chars += line.chars
        self._forget()

    def transcribe(self, item_id: str, content_index: int, words: str) -> None:
        """The words of the user's sound."""
        line = self._lines.get(item_id)
        content = line.item.get("content") if line is not None else None
        if line is not None and isinstance(content, list) and 0 <= content_index < len(content):
            parts = list(content)
            parts[content_index] = {**parts[content_index], "transcript": words}
            self.update({"id": item_id, "content": parts})

    def spoke(self, item_id: str, ms: float) -> None:
        """The item's sound is so long in all."""
        if item_id in self._lines:
            self._lines[item_id].sound_ms = ms

    def cut(self, item_id: str, ms: float) -> None:
        """Only so much of the item's sound was heard."""
        if item_id in self._lines:
            self._lines[item_id].cut_ms = ms

    def delete(self, item_id: str) -> None:
        line = self._lines.pop(item_id, None)
        if line is not None:
            self._order.remove(item_id)
            self._chars -= line.chars

    def before(self, item_id: str) -> str:
        """What `previous_item_id` must say to put something where this item is."""
        at = self._order.index(item_id)
        return self._order[at - 1] if at else "root"

    def replay(self, item_id: str) -> Body | None:
        """The item as a client may create it, or None when it cannot."""
        line = self._lines.get(item_id)
        return None if line is None else _creatable(line)

    def replays(self) -> Iterator[Body]:
        """All items that can be created, in order."""
        calls: set[str] = set()
        for item_id in self._order:
            item = self.replay(item_id)
            if item is None:
                continue
            if item["type"] == "function_call":
                calls.add(item.get("call_id", ""))
            if item["type"] != "function_call_output" or item.get("call_id") in calls:
                yield item

    def _forget(self) -> None:
        while len(self._order) > 1 and (self._chars > LOG_CHARS_MAX or len(self._order) > LOG_ITEMS_MAX):
            self.delete(self._order[0])


def _creatable(line: Line) -> Body | None:
    item = {key: value for key, value in line.item.items() if key not in ("object", "status", "phase")}
    match item.get("type"):
        case "message":
            content = list(_parts(line, item.get("content") or ()))
            return {**item, "content": content} if content else None
        case "function_call":
            return item if line.item.get("status", "completed") == "completed" else None
        case kind if kind is None or kind in FORGOTTEN_KINDS:
            return None
    return item


def _parts(line: Line, content: Iterable[Body]) -> Iterator[Body]:
    spoken = "output_text" if line.item.get("role") == "assistant" else "input_text"
    for part in content:
        match part.get("type"):
            case "output_audio":
                if words := heard(part.get("transcript") or "", line.sound_ms, line.cut_ms):
                    yield {"type": spoken, "text": words}
            case "input_audio":
                yield {"type": spoken, "text": part.get("transcript") or UNHEARD}
            case "output_text" | "input_text":
                if part.get("text"):
                    yield {"type": part["type"], "text": part["text"]}
            case _:
                yield part


def heard(words: str, sound_ms: float, cut_ms: float | None) -> str:
    """The words that were heard of `words`, spoken evenly over `sound_ms`, until `cut_ms`: whole words only."""
    if cut_ms is None or cut_ms >= sound_ms:
        return words
    end = math.floor(len(words) * max(0.0, cut_ms) / sound_ms)
    if end < len(words) and not words[end].isspace():
        end = words.rfind(" ", 0, end) + 1
    return words[:end].rstrip()


def _merged(old: Any, new: Any) -> Any:
    """The parts as they are now; a part that is said without what it holds keeps what is known of it."""
    if not isinstance(new, list):
        return old
    if not isinstance(old, list) or len(old) != len(new):
        return new
    return [{**before, **{key: value for key, value in now.items() if value is not None}}
            if before.get("type") == now.get("type") else now
            for before, now in zip(old, new, strict=True)]  # fmt: skip


def _chars(value: Any) -> int:
    """Text in a value of any shape. Items are two or three levels deep."""
    if isinstance(value, str):
        return len(value)
    if isinstance(value, dict):
        return sum(map(_chars, value.values()))
    if isinstance(value, list | tuple):
        return sum(map(_chars, value))
    return 0


def without_sound(item: Body) -> Body:
    """A client's item as it is remembered."""
    content = item.get("content")
    if not isinstance(content, list):
        return item
    parts = [{key: part[key] for key in part if key != "audio"} if isinstance(part, dict) else part for part in content]
    return {**item, "content": parts}
