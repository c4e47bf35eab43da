"""The conversation: ordered items, each with what does not go over the wire beside it."""

from collections.abc import Iterator

import msgspec

from parley.core.config import BYTES_PER_MS, HOUSE_FORMAT, AudioFormat
from parley.core.items import InputAudio, InputImage, Item, Message, OutputAudio
from parley.core.output_audio import OutputAudio as Sound
from parley.errors import RequestError

IMAGES_CHARS_MAX = 32 * 1024 * 1024
"""Of all pictures in a conversation, as data URLs; some hundred of them."""

ITEMS_MAX = 2_000
"""Items that a client may have in one conversation. The server's own turns are never refused."""

KEPT_AUDIO_BYTES_MAX = 32 * 1024 * 1024
"""Sound kept for `conversation.item.retrieve`: 11 minutes. Beyond it the oldest items lose their sound, but no word."""

RETRIEVED_AUDIO_BYTES_MAX = 700_000
"""Longest sound put into one event (14.6 s of PCM): clients refuse messages over 1 MiB (protocol.md 11.1)."""


class Entry:
    """An item and its company.

    `audio` is the user's sound in `format`; `sound` is the assistant's. `version` counts the changes that alter what a
    model would see, so that prompt caching can tell.
    """

    def __init__(self, item: Item, audio: bytes = b"", audio_format: AudioFormat = HOUSE_FORMAT) -> None:
        self.item = item
        self.audio = audio
        self.audio_ms = len(audio) // BYTES_PER_MS[type(audio_format)]
        self.format = audio_format
        self.sound: Sound | None = None
        self.version = 0

    @property
    def id(self) -> str:
        assert self.item.id is not None
        return self.item.id

    @property
    def heard(self) -> str | None:
        """The words of a truncated assistant message that were heard; None where nothing was cut."""
        return self.sound.transcript if self.sound is not None and self.sound.cut_ms is not None else None

    def set_transcript(self, text: str) -> None:
        """Fill in what was said in the user's `input_audio` part (protocol.md 5.5: no event tells of it)."""
        assert isinstance(self.item, Message)
        parts = tuple(
            msgspec.structs.replace(part, transcript=text) if isinstance(part, InputAudio) else part
            for part in self.item.content
        )
        self.item = msgspec.structs.replace(self.item, content=parts)
        self.version += 1

    def truncate(self, end_ms: int) -> None:
        """Keep of the assistant's speech what was heard until `end_ms`: sound and words (docs/decisions/0004)."""
        assert self.sound is not None
        self.sound.truncate(end_ms)
        self.version += 1
        if isinstance(self.item, Message) and is_audio_message(self.item):
            heard = (OutputAudio(transcript=self.sound.transcript),)
            self.item = msgspec.structs.replace(self.item, content=heard)

    def with_audio(self) -> Item:
        """The item as `conversation.item.retrieved` shows it: with its sound, if that is short enough for an event."""
        if not isinstance(self.item, Message):
            return self.item
        return msgspec.structs.replace(self.item, content=tuple(self._filled(part) for part in self.item.content))

    def _filled(self, part: object) -> object:
        if isinstance(part, InputAudio) and 0 < len(self.audio) <= RETRIEVED_AUDIO_BYTES_MAX:
            return msgspec.structs.replace(part, audio=self.audio, format=msgspec.to_builtins(self.format))
        if isinstance(part, OutputAudio) and self.sound is not None:
            pcm = self.sound.pcm
            if len(pcm) <= RETRIEVED_AUDIO_BYTES_MAX:
                return msgspec.structs.replace(part, audio=pcm, format=msgspec.to_builtins(HOUSE_FORMAT))
        return part


class Conversation:
    def __init__(self, conversation_id: str) -> None:
        self.id = conversation_id
        self._entries: list[Entry] = []
        self._by_id: dict[str, Entry] = {}
        self._audio_bytes = 0

    def __iter__(self) -> Iterator[Entry]:
        return iter(self._entries)

    def __len__(self) -> int:
        return len(self._entries)

    @property
    def last_id(self) -> str | None:
        return self._entries[-1].id if self._entries else None

    def find(self, item_id: str) -> Entry | None:
        return self._by_id.get(item_id)

    def check_room(self, item_id: str | None) -> None:
        """Raises `RequestError` if a client may not add an item (of this id)."""
        if item_id is not None and item_id in self._by_id:
            raise RequestError("item_already_exists", f"An item with id '{item_id}' already exists.", "item.id")
        if len(self._entries) >= ITEMS_MAX:
            raise RequestError(
                "too_many_items", f"The conversation holds {ITEMS_MAX} items, the most it can hold.", "item"
            )

    def check_images(self, item: Item) -> None:
        """Raises `RequestError` if there is no room for the pictures of `item`."""
        new = image_chars(item)
        if new and new + sum(image_chars(entry.item) for entry in self._entries) > IMAGES_CHARS_MAX:
            message = f"The pictures of a conversation have at most {IMAGES_CHARS_MAX} bytes together."
            raise RequestError("too_many_images", message, "item.content")

    def place(self, previous_item_id: str | None) -> int:
        """Where an item goes (protocol.md 3.5): None and "" append, ``root`` is the front. Raises `RequestError`."""
        if not previous_item_id:
            return len(self._entries)
        if previous_item_id == "root":
            return 0
        entry = self._by_id.get(previous_item_id)
        if entry is None:
            raise RequestError(
                "previous_item_not_found",
                f"Error adding item: the previous item with id '{previous_item_id}' does not exist.",
                "previous_item_id",
            )
        return self._entries.index(entry) + 1

    def add(self, entry: Entry, at: int | None = None) -> str | None:
        """Put `entry` in (default: at the end). Returns the id of the item before it."""
        at = len(self._entries) if at is None else at
        self._entries.insert(at, entry)
        self._by_id[entry.id] = entry
        self._audio_bytes += len(entry.audio)
        self._forget_old_sound(entry)
        return self._entries[at - 1].id if at else None

    def previous_id(self, item_id: str) -> str | None:
        at = self._entries.index(self._by_id[item_id])
        return self._entries[at - 1].id if at else None

    def delete(self, item_id: str) -> Entry | None:
        entry = self._by_id.pop(item_id, None)
        if entry is not None:
            self._entries.remove(entry)
            self._audio_bytes -= len(entry.audio)
        return entry

    def keep_sound(self, entry: Entry, sound_bytes: int) -> None:
        """Account for assistant sound that has been added to `entry`."""
        self._audio_bytes += sound_bytes
        self._forget_old_sound(entry)

    def _forget_old_sound(self, newest: Entry) -> None:
        for entry in self._entries:
            if self._audio_bytes <= KEPT_AUDIO_BYTES_MAX:
                return
            if entry is newest:
                continue
            self._audio_bytes -= len(entry.audio)
            entry.audio = b""
            if entry.sound is not None:
                self._audio_bytes -= entry.sound.forget()


def image_chars(item: Item) -> int:
    """The size of the pictures in an item."""
    if not isinstance(item, Message):
        return 0
    return sum(len(part.image_url) for part in item.content if isinstance(part, InputImage))


def is_audio_message(item: Item) -> bool:
    """An assistant message with sound: the only kind that can be truncated."""
    return isinstance(item, Message) and any(isinstance(part, OutputAudio) for part in item.content)


def needs_transcript(entry: Entry) -> bool:
    """A user message whose sound nobody has put into words yet."""
    return (
        bool(entry.audio)
        and isinstance(entry.item, Message)
        and any(isinstance(part, InputAudio) and part.transcript is None for part in entry.item.content)
    )
