"""One response of an upstream as its clients have seen it so far: enough to end it properly when the upstream cannot.

Every `response.created` gets its `response.done`, and before it the `.done` of everything that was begun (protocol.md
4.1): with what had been said until then, and items that are `incomplete`.
"""

from collections.abc import Iterator
from typing import Any

from parley.core.relayed import Body
from parley.core.timing import Clock

TEXTS = {
    "response.output_text.delta": "text",
    "response.output_audio_transcript.delta": "transcript",
    "response.function_call_arguments.delta": "arguments",
}
"""Events that carry words, and what these are called when they are complete."""
WHOLE_KINDS = {
    "response.output_text.done": "text",
    "response.output_audio_transcript.done": "transcript",
    "response.function_call_arguments.done": "arguments",
}


class Part:
    """A content part, or the arguments of a call. `chars` counts the base64 of its sound."""

    def __init__(self, kind: str) -> None:
        self.kind = kind
        self.words: list[str] = []
        self.chars = 0
        self.closed: set[str] = set()
        """Which of its `.done` events have been said."""

    @property
    def said(self) -> str:
        return "".join(self.words)


class Output:
    """An output item that is not done."""

    def __init__(self, item: Body) -> None:
        self.item = item
        self.parts: dict[int, Part] = {}

    @property
    def id(self) -> str:
        return str(self.item.get("id", ""))

    @property
    def speaks(self) -> bool:
        return any(part.kind == "audio" for part in self.parts.values())

    @property
    def chars(self) -> int:
        return sum(part.chars for part in self.parts.values())


class Answer:
    def __init__(self, response: Body, clock: Clock) -> None:
        self.response = response
        self.clock = clock
        self.outputs: dict[int, Output] = {}
        self.done: list[Body] = []
        """Items that are complete."""
        self.spoken_chars = 0
        """Base64 of all of its sound."""
        self.told_ms = 0
        """How much of that a meter was told of."""
        self._sounding: Part | None = None
        self.lengths: dict[str, int] = {}
        """Complete items that spoke, and the base64 of their sound."""

    @property
    def id(self) -> str:
        return str(self.response["id"])

    @property
    def in_conversation(self) -> bool:
        """Whether it belongs to the default conversation. Upstreams that do not say so have no other."""
        return "conversation_id" not in self.response or self.response["conversation_id"] is not None

    @property
    def item_id(self) -> str | None:
        items = [item.get("id") for item in self.done] + [output.id for output in self.outputs.values()]
        return next((item_id for item_id in items if isinstance(item_id, str)), None)

    # ---- what it says

    def spoke(self, chars: int) -> None:
        """More sound, of the part that began last. Called for each delta: no more than this may happen here."""
        self.spoken_chars += chars
        if self._sounding is not None:
            self._sounding.chars += chars

    def follow(self, kind: str, body: Body) -> None:
        """An event about it, other than `response.done` and sound."""
        index = body.get("output_index", 0)
        if kind == "response.output_item.added":
            self.outputs[index] = Output(body.get("item") or {})
            return
        output = self.outputs.get(index)
        if output is None:
            return
        if kind == "response.output_item.done":
            self._end(index, body.get("item") or output.item)
            return
        at = body.get("content_index", 0)
        if kind == "response.content_part.added":
            part = output.parts[at] = Part((body.get("part") or {}).get("type", "text"))
            if part.kind == "audio":
                self._sounding = part
        elif kind == "response.content_part.done":
            self._part(output, at, kind).closed.add(kind)
        elif (words := TEXTS.get(kind)) is not None:
            self._part(output, at, kind).words.append(str(body.get("delta", "")))
        elif (words := WHOLE_KINDS.get(kind)) is not None:
            part = self._part(output, at, kind)
            part.words = [str(body.get(words, part.said))]
            part.closed.add(kind)
        elif kind == "response.output_audio.done":
            self._part(output, at, kind).closed.add(kind)

    def _end(self, index: int, item: Body) -> None:
        output = self.outputs.pop(index)
        self.done.append(item)
        if output.speaks:
            self.lengths[output.id] = output.chars

    def _part(self, output: Output, at: int, kind: str) -> Part:
        if at not in output.parts:  # arguments have no part, and not every upstream announces the others
            part = output.parts[at] = Part(_kind_of(kind))
            if part.kind == "audio":
                self._sounding = part
        return output.parts[at]

    # ---- its end, when the upstream does not say it

    def closing(self) -> Iterator[Body]:
        """The events that close what is open. The items are complete in `done` after that, and `incomplete`."""
        for index, output in sorted(self.outputs.items()):
            where = {"response_id": self.id, "item_id": output.id, "output_index": index}
            for at, part in sorted(output.parts.items()):
                yield from _closing(part, where, at, output.item)
            item = _unfinished(output)
            self._end(index, item)
            if self.in_conversation:
                yield {"type": "conversation.item.done", "previous_item_id": None, "item": item}
            yield {"type": "response.output_item.done", **_without(where, "item_id"), "item": item}

    def failed(self, code: str, kind: str, message: str) -> Body:
        """Its `response.done`."""
        error = {"type": kind, "code": code, "message": message}
        details = {"type": "failed", "error": error}
        response = {**self.response, "status": "failed", "status_details": details, "output": self.done, "usage": None}
        return {"type": "response.done", "response": response}

    def cut_items(self) -> list[str]:
        """Items that are speaking now."""
        return [output.id for output in self.outputs.values() if output.speaks]


def _kind_of(event: str) -> str:
    if event.startswith("response.function_call_arguments"):
        return "arguments"
    return "text" if event.startswith("response.output_text") else "audio"


def _closing(part: Part, where: Body, at: int, item: Body) -> Iterator[Body]:
    place = {**where, "content_index": at}
    match part.kind:
        case "arguments":
            # a call that is not complete is not announced as if it were: clients would make it (protocol.md 7.6)
            return
        case "audio":
            last = {"type": "audio", "transcript": part.said}
            ends: list[Body] = [
                {"type": "response.output_audio.done", **place},
                {"type": "response.output_audio_transcript.done", **place, "transcript": part.said},
            ]
        case _:
            last = {"type": "text", "text": part.said}
            ends = [{"type": "response.output_text.done", **place, "text": part.said}]
    for event in (*ends, {"type": "response.content_part.done", **place, "part": last}):
        if event["type"] not in part.closed:
            yield event


def _unfinished(output: Output) -> Body:
    item = {**output.item, "status": "incomplete"}
    if item.get("type") == "function_call":
        return {**item, "arguments": "".join(part.said for part in output.parts.values())}
    return {**item, "content": [_content(part) for _, part in sorted(output.parts.items())]}


def _content(part: Part) -> Body:
    if part.kind == "audio":
        return {"type": "output_audio", "transcript": part.said}
    return {"type": "output_text", "text": part.said}


def _without(body: dict[str, Any], key: str) -> Body:
    return {name: value for name, value in body.items() if name != key}
