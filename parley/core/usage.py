"""Tokens by kind (protocol.md 6.2), and the context window (6.5).

Arithmetic only; text is counted by the function that the session is given.
"""

import math
from collections.abc import Callable, Sequence

import msgspec

from parley.core.config import RealtimeConfig, RetentionRatio, Truncation
from parley.core.conversation import Entry
from parley.core.events import CachedTokens, InputTokens, OutputTokens, Usage
from parley.core.images import image_tokens
from parley.core.items import (
    FunctionCall,
    FunctionCallOutput,
    InputAudio,
    InputImage,
    McpApprovalRequest,
    McpApprovalResponse,
    McpCall,
    McpListTools,
    Message,
    OutputAudio,
)
from parley.errors import EngineError

USER_AUDIO_MS_PER_TOKEN = 100
ASSISTANT_AUDIO_MS_PER_TOKEN = 50
INSTRUCTIONS_TOKENS_MAX = 16_384
"""Instructions and tools together (protocol.md 6.5)."""

CountTokens = Callable[[str], int]


class Tokens(msgspec.Struct, frozen=True):
    text: int = 0
    audio: int = 0
    image: int = 0

    @property
    def total(self) -> int:
        return self.text + self.audio + self.image

    def __add__(self, other: "Tokens") -> "Tokens":
        return Tokens(self.text + other.text, self.audio + other.audio, self.image + other.image)


def user_audio_tokens(ms: int) -> int:
    return math.ceil(ms / USER_AUDIO_MS_PER_TOKEN)


def assistant_audio_tokens(ms: int) -> int:
    return math.ceil(ms / ASSISTANT_AUDIO_MS_PER_TOKEN)


def entry_tokens(entry: Entry, count: CountTokens) -> Tokens:
    """What an item costs as input. Sound counts as sound, whatever it was turned into inside."""
    item = entry.item
    match item:
        case FunctionCall():
            return Tokens(text=count(item.name) + count(item.arguments))
        case FunctionCallOutput():
            return Tokens(text=count(item.output))
        case McpCall():
            returned = item.output or (item.error.message if item.error else "")
            return Tokens(text=count(item.name) + count(item.arguments) + count(returned))
        case McpApprovalRequest():
            return Tokens(text=count(item.name) + count(item.arguments))
        case McpApprovalResponse():
            return Tokens(text=count(item.reason or ""))
        case McpListTools():
            return Tokens()  # the tools are counted with the instructions
        case Message():
            return sum((_part_tokens(entry, part, count) for part in item.content), Tokens())


def _part_tokens(entry: Entry, part: object, count: CountTokens) -> Tokens:
    match part:
        case InputAudio():
            if entry.audio_ms:
                return Tokens(audio=user_audio_tokens(entry.audio_ms))
            return Tokens(text=count(part.transcript or ""))
        case InputImage():
            return Tokens(image=image_tokens(part.image_url, part.detail))
        case OutputAudio():
            words = entry.heard if entry.heard is not None else (part.transcript or "")
            ms = entry.sound.ms if entry.sound is not None else 0
            return Tokens(text=count(words), audio=assistant_audio_tokens(ms))
        case _:
            return Tokens(text=count(getattr(part, "text", "")))


class Line(msgspec.Struct, frozen=True):
    """One line of a prompt as a cache would see it: equal keys are equal text."""

    key: str
    tokens: Tokens


class Context(msgspec.Struct, frozen=True):
    """What a response is given to read: the items that fit, and what all of it costs."""

    entries: tuple[Entry, ...]
    lines: tuple[Line, ...]


def prompt_line(instructions: str, tools: str, count: CountTokens) -> Line:
    return Line(instructions + "\0" + tools, Tokens(text=count(instructions) + count(tools)))


def fit(head: Line, entries: Sequence[Entry], truncation: Truncation, budget: int, count: CountTokens) -> Context:
    """Leave out the oldest turns until the rest fits (protocol.md 6.5). Instructions and tools are never left out.

    Raises `EngineError` (context_length_exceeded) where truncation is disabled or even the newest turn does not fit.
    """
    lines = [Line(f"{entry.id}\0{entry.version}", entry_tokens(entry, count)) for entry in entries]
    total = sum(line.tokens.total for line in lines)
    room = _room(head, truncation, budget)
    if total <= room:
        return Context(tuple(entries), (head, *lines))
    if truncation == "disabled":
        raise _too_long(head.tokens.total + total, budget)
    if isinstance(truncation, RetentionRatio):
        room = int(room * truncation.retention_ratio)
    first = 0
    while first < len(lines) and (total > room or not _may_begin(entries[first])):
        total -= lines[first].tokens.total
        first += 1
    if first == len(lines):
        raise _too_long(head.tokens.total + lines[-1].tokens.total, budget)
    return Context(tuple(entries[first:]), (head, *lines[first:]))


def _room(head: Line, truncation: Truncation, budget: int) -> int:
    room = budget - head.tokens.total
    limits = truncation.token_limits if isinstance(truncation, RetentionRatio) else None
    if limits and isinstance(limits.post_instructions, int):
        room = min(room, limits.post_instructions)
    return room


def _may_begin(entry: Entry) -> bool:
    """Whether a shortened conversation may begin here: at a user's turn, so that no answer or output is orphaned."""
    return isinstance(entry.item, Message) and entry.item.role != "assistant"


def _too_long(needed: int, budget: int) -> EngineError:
    return EngineError(
        "context_length_exceeded", f"The input has {needed} tokens, more than the {budget} that the model can read."
    )


def common_prefix(lines: Sequence[Line], before: Sequence[Line]) -> Tokens:
    """The tokens that a prefix cache would have kept from the response before."""
    cached = Tokens()
    for line, old in zip(lines, before, strict=False):
        if line.key != old.key:
            break
        cached += line.tokens
    return cached


def usage(read: Tokens, cached: Tokens, written_text: int, written_audio: int) -> Usage:
    written = written_text + written_audio
    return Usage(
        total_tokens=read.total + written,
        input_tokens=read.total,
        output_tokens=written,
        input_token_details=InputTokens(
            text_tokens=read.text,
            audio_tokens=read.audio,
            image_tokens=read.image,
            cached_tokens=cached.total,
            cached_tokens_details=CachedTokens(
                text_tokens=cached.text, audio_tokens=cached.audio, image_tokens=cached.image
            ),
        ),
        output_token_details=OutputTokens(text_tokens=written_text, audio_tokens=written_audio),
    )


def input_budget(context_tokens: int, output_tokens: int) -> int:
    """32,768 - 4,096 = 28,672 for the 32k models: one of the two documented figures (protocol.md 9.16)."""
    return context_tokens - output_tokens


def output_limit(config: RealtimeConfig, override: object, cap: int) -> int:
    wanted = override if isinstance(override, (int, str)) else config.max_output_tokens
    return min(wanted, cap) if isinstance(wanted, int) else cap
