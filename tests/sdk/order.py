"""What the order of a session's events must be, whatever happened in it (protocol.md 4.1), for recorded events.

    assert disorder(events) == []            # GA
    assert disorder(ga_names(events)) == []  # beta

Only the standard library is imported: the worker with the old SDK uses this file too.
"""

from collections import Counter, defaultdict
from collections.abc import Iterable, Iterator
from typing import Any

Event = dict[str, Any]

BETA_NAMES = {
    "conversation.item.created": "conversation.item.added",
    "response.text.delta": "response.output_text.delta",
    "response.text.done": "response.output_text.done",
    "response.audio.delta": "response.output_audio.delta",
    "response.audio.done": "response.output_audio.done",
    "response.audio_transcript.delta": "response.output_audio_transcript.delta",
    "response.audio_transcript.done": "response.output_audio_transcript.done",
}
DELTAS = {
    "response.output_text": "text",
    "response.output_audio_transcript": "transcript",
    "response.function_call_arguments": "arguments",
    "response.mcp_call_arguments": "arguments",
}
"""Kinds of deltas, and the key of their `.done` event that holds the sum."""
TRANSCRIBED = "conversation.item.input_audio_transcription."
FIRST = ("session.created", "transcription_session.created")


def ga_names(events: Iterable[Event]) -> list[Event]:
    """Beta events under their GA names, with the `conversation.item.done` that beta leaves out."""
    return [{**event, "type": BETA_NAMES.get(event["type"], event["type"])} for event in events]


def disorder(events: list[Event], *, item_done: bool = True, cut_off: bool = False) -> list[str]:
    """What is wrong with the order of all events of a connection: one line a finding.

    `item_done`: this dialect has `conversation.item.done`. `cut_off`: the connection ended while things went on.
    """
    return [
        *_session(events),
        *_items(events, item_done, cut_off),
        *_turns(events, cut_off),
        *_transcriptions(events),
        *_responses(events, item_done, cut_off),
    ]


# ---- the whole session


def _session(events: list[Event]) -> Iterator[str]:
    if not events or events[0]["type"] not in FIRST:
        yield f"the first event is {events[0]['type'] if events else 'missing'}"
    if sum(event["type"] in FIRST for event in events) > 1:
        yield "session.created came twice"
    for event_id, times in Counter(event["event_id"] for event in events).items():
        if times > 1:
            yield f"event id {event_id} was used {times} times"


# ---- items of the conversation


def _items(events: list[Event], item_done: bool, cut_off: bool) -> Iterator[str]:
    """Each item is added once, then done once; it stands behind one that is known; events about items name known ones.

    Only transcription sessions say words before there is an item (7.8).
    """
    listens = events[0].get("session", {}).get("type") == "transcription" or events[0]["type"] == FIRST[1]
    known: set[str] = set()
    done: set[str] = set()
    for event in events:
        kind, item_id = event["type"], _item_id(event)
        if kind == "conversation.item.added":
            if item_id in known:
                yield f"item {item_id} was added twice"
            previous = event["previous_item_id"]
            if previous is not None and previous not in known:
                yield f"item {item_id} stands behind {previous}, which nobody knows"
            known.add(item_id)
        elif kind == "conversation.item.done":
            if item_id not in known or item_id in done:
                yield f"item {item_id} was done {'twice' if item_id in done else 'before it was added'}"
            done.add(item_id)
        elif kind in ("conversation.item.truncated", "conversation.item.deleted", "conversation.item.retrieved"):
            if item_id not in known:
                yield f"{kind} about {item_id}, which was never added"
        elif kind.startswith(TRANSCRIBED) and item_id not in known and not (listens and kind.endswith(".delta")):
            yield f"{kind} about {item_id} before it was added"
    if item_done and not cut_off:
        running = {_item_id(event) for event in events if event["type"] == "response.output_item.added"}
        for item_id in known - done - running:
            yield f"item {item_id} was never done"


# ---- turns of the user


def _turns(events: list[Event], cut_off: bool) -> Iterator[str]:
    """started (stopped) committed, all with one id, then the item; offsets grow."""
    turns = _Turns()
    for event in events:
        yield from turns.hear(event)
    if not cut_off:
        yield from (f"{item_id} was committed, but there is no such item" for item_id in turns.awaited)


class _Turns:
    """The user's turns so far. `awaited`: committed, and not an item yet."""

    def __init__(self) -> None:
        self.awaited: set[str] = set()
        self._added: set[str] = set()
        self._open: str | None = None
        self._at_ms = 0

    def hear(self, event: Event) -> Iterator[str]:
        match event["type"]:
            case "input_audio_buffer.speech_started":
                yield from self._started(event["item_id"], event["audio_start_ms"])
            case "input_audio_buffer.speech_stopped":
                yield from self._stopped(event["item_id"], event["audio_end_ms"])
            case "input_audio_buffer.committed":
                yield from self._committed(event["item_id"])
            case "input_audio_buffer.cleared":
                self._open = None
            case "session.updated" if not _detects_turns(event["session"]):
                self._open = None
            case "conversation.item.added":
                self._added.add(event["item"]["id"])
                self.awaited.discard(event["item"]["id"])

    def _started(self, item_id: str, at_ms: int) -> Iterator[str]:
        if self._open is not None:
            yield f"speech started in {item_id} while {self._open} was open"
        if at_ms < self._at_ms:
            yield f"{item_id} starts at {at_ms} ms, before the end of the last turn"
        self._open, self._at_ms = item_id, at_ms

    def _stopped(self, item_id: str, at_ms: int) -> Iterator[str]:
        if self._open != item_id:
            yield f"speech stopped in {item_id}, but {self._open} was open"
        if at_ms < self._at_ms:
            yield f"{item_id} ends before it starts"
        self._at_ms = at_ms

    def _committed(self, item_id: str) -> Iterator[str]:
        if self._open not in (None, item_id):
            yield f"{item_id} was committed while {self._open} was open"
        if item_id in self._added:
            yield f"item {item_id} was added before it was committed"
        self.awaited.add(item_id)
        self._open = None


def _detects_turns(session: Event) -> bool:
    hearing = session.get("audio", {}).get("input", session)
    return hearing.get("turn_detection") is not None


def _transcriptions(events: list[Event]) -> Iterator[str]:
    """Deltas sum up to the transcript, and each item gets one end at most."""
    said: defaultdict[str, str] = defaultdict(str)
    over: set[str] = set()
    for event in events:
        kind, item_id = event["type"].removeprefix(TRANSCRIBED), _item_id(event)
        if kind == event["type"]:
            continue
        if item_id in over:
            yield f"transcription of {item_id}: {kind} after its end"
        if kind == "delta":
            said[item_id] += event["delta"]
        elif kind in ("completed", "failed"):
            over.add(item_id)
        if kind == "completed" and said[item_id] != event["transcript"]:
            yield f"transcription of {item_id}: deltas say {said[item_id]!r}, the end {event['transcript']!r}"


# ---- responses


def _responses(events: list[Event], item_done: bool, cut_off: bool) -> Iterator[str]:
    """`created` first, `done` once and last; one at a time in the conversation; then each by itself."""
    told: defaultdict[str, list[Event]] = defaultdict(list)
    active: str | None = None
    for event in events:
        if (response_id := _response_id(event)) is None:
            continue
        told[response_id].append(event)
        if event["type"] == "response.created" and event["response"]["conversation_id"] is not None:
            if active is not None:
                yield f"{response_id} was created while {active} was running"
            active = response_id
        elif event["type"] == "response.done" and active == response_id:
            active = None
    for response_id, mine in told.items():
        kinds = [event["type"] for event in mine]
        if kinds[0] != "response.created" or kinds.count("response.created") != 1:
            yield f"{response_id} begins with {kinds[0]}, created {kinds.count('response.created')} times"
        if kinds.count("response.done") > 1 or ("response.done" in kinds and kinds[-1] != "response.done"):
            yield f"{response_id} ends with {kinds[-1]}, done {kinds.count('response.done')} times"
        if "response.done" in kinds:
            yield from _response(response_id, mine, events, item_done)
        elif not cut_off:
            yield f"{response_id} has no end"


def _response(response_id: str, mine: list[Event], events: list[Event], item_done: bool) -> Iterator[str]:
    added = [event for event in mine if event["type"] == "response.output_item.added"]
    done = [event for event in mine if event["type"] == "response.output_item.done"]
    response = mine[-1]["response"]
    if [event["output_index"] for event in added] != list(range(len(added))):
        yield f"{response_id}: output indexes are {[event['output_index'] for event in added]}"
    by_index = [event["item"] for event in sorted(done, key=lambda event: int(event["output_index"]))]
    if [_final(item) for item in response["output"]] != [_final(item) for item in by_index]:
        yield f"{response_id}: its output is not that of its output_item.done events"
    if response["usage"] is None:
        yield f"{response_id}: no usage at its end"
    truncated = {event["item_id"] for event in events if event["type"] == "conversation.item.truncated"}
    for event in added:
        item_id = event["item"]["id"]
        about = [one for one in mine if _item_id(one) == item_id]
        yield from (f"{response_id} {item_id}: {finding}" for finding in _output_item(about, item_id in truncated))
        in_conversation = [one["type"] for one in events if _item_id(one) == item_id and _names_item(one["type"])]
        if response["conversation_id"] is None:
            expected: list[str] = []
        else:
            expected = ["conversation.item.added", *(["conversation.item.done"] if item_done else [])]
        if in_conversation != expected:
            yield f"{response_id} {item_id}: conversation events are {in_conversation}"
        if expected:
            yield from (f"{response_id} {item_id}: {finding}" for finding in _entrance(item_id, events))


def _final(item: Event) -> tuple[Any, ...]:
    return item["id"], item["type"], item["status"], str(item.get("content", item.get("arguments")))


def _names_item(kind: str) -> bool:
    return kind in ("conversation.item.added", "conversation.item.done")


def _entrance(item_id: str, events: list[Event]) -> Iterator[str]:
    """Guarantee 9: `conversation.item.added` comes between `output_item.added` and the first part."""
    kinds = [event["type"] for event in events if _item_id(event) == item_id]
    if kinds[:2] != ["response.output_item.added", "conversation.item.added"]:
        yield f"begins with {kinds[:2]}"


def _output_item(about: list[Event], truncated: bool) -> Iterator[str]:
    """added, its parts or arguments, done; and what the item says is what was said (or, if truncated, its beginning)."""
    kinds = [event["type"] for event in about]
    if kinds[0] != "response.output_item.added" or kinds[-1] != "response.output_item.done":
        yield f"goes from {kinds[0]} to {kinds[-1]}"
        return
    item = about[-1]["item"]
    if item["status"] not in ("completed", "incomplete"):
        yield f"ends as {item['status']}"
    if item["type"] in ("function_call", "mcp_call"):
        yield from _summed(about, f"response.{item['type']}_arguments", item["arguments"])
        return
    if item["type"] == "mcp_approval_request":
        return
    indexes = [event["content_index"] for event in about if event["type"] == "response.content_part.added"]
    if indexes != list(range(len(indexes))) or len(item["content"]) != len(indexes):
        yield f"parts are {indexes}, content has {len(item['content'])}"
    for index in indexes:
        part = [event for event in about if event.get("content_index") == index]
        yield from _part(part, item["content"][index], truncated)


def _part(about: list[Event], content: Event, truncated: bool) -> Iterator[str]:
    kinds = [event["type"] for event in about]
    if kinds[0] != "response.content_part.added" or kinds[-1] != "response.content_part.done":
        yield f"part goes from {kinds[0]} to {kinds[-1]}"
        return
    spoken = about[0]["part"]["type"] == "audio"
    key = "transcript" if spoken else "text"
    final = about[-1]["part"][key]
    if content[key] != final and not (truncated and final.startswith(content[key])):
        yield f"part says {final!r}, the item {content[key]!r}"
    yield from _summed(about, "response.output_audio_transcript" if spoken else "response.output_text", final)
    if kinds.count("response.output_audio.done") != int(spoken):
        yield f"audio was done {kinds.count('response.output_audio.done')} times"
    after = kinds[kinds.index("response.output_audio.done") :] if spoken else []
    if "response.output_audio.delta" in after:
        yield "audio came after its end"


def _summed(about: list[Event], kind: str, final: str) -> Iterator[str]:
    """The deltas of this kind sum up to its one `done`, which says what the end says."""
    deltas = "".join(event["delta"] for event in about if event["type"] == f"{kind}.delta")
    ends = [event[DELTAS[kind]] for event in about if event["type"] == f"{kind}.done"]
    if ends != [final]:
        yield f"{kind}.done says {ends}, the end {final!r}"
    if deltas != final:
        yield f"{kind}: deltas say {deltas!r}, the end {final!r}"


def _response_id(event: Event) -> str | None:
    if isinstance(response := event.get("response"), dict):
        return str(response["id"])
    return event.get("response_id")


def _item_id(event: Event) -> str:
    if isinstance(item := event.get("item"), dict):
        return str(item["id"])
    return str(event.get("item_id"))
