"""What a client has asked for and no upstream has answered yet; and the sound that was heard and not yet committed.

When an upstream is lost, the next one is asked again for all of this, in the order in which it came. Answers settle
requests; commits, clears and passing silence let go of sound.
"""

from collections import deque
from collections.abc import Iterator
from typing import Final

from parley.core.relayed import Message

REQUESTS_MAX: Final = 256
"""Unanswered requests. Beyond it the oldest counts as answered."""
REQUEST_BYTES_MAX: Final = 24 * 2**20
"""Their text: one event of the largest size fits in. Beyond it, likewise."""
SILENCE_BYTES_MAX: Final = 20 * 1024
"""Sound that is kept while the upstream's turn detection hears nobody speak: 300 ms, what it puts before a turn."""
SPEECH_BYTES_MAX: Final = 2 * 2**20
"""Sound that is kept of a turn: half a minute. Of a longer one the beginning is forgotten."""

ANSWERS: Final = {
    "session.updated": "session.update",
    "conversation.item.added": "conversation.item.create",
    "conversation.item.created": "conversation.item.create",
    "conversation.item.deleted": "conversation.item.delete",
    "conversation.item.truncated": "conversation.item.truncate",
    "conversation.item.retrieved": "conversation.item.retrieve",
    "input_audio_buffer.committed": "input_audio_buffer.commit",
    "input_audio_buffer.cleared": "input_audio_buffer.clear",
    "response.created": "response.create",
}
"""Which event answers which."""
SPENDING: Final = "response.create"
"""The request that is not made twice: an answer may have begun, and cost something."""
TRACKED: Final = frozenset(ANSWERS.values())


class Request:
    """`at` is how many pieces of sound had come before it; `sent` says whether an upstream has got it."""

    def __init__(self, message: Message, at: int, *, sent: bool) -> None:
        self.message = message
        self.at = at
        self.sent = sent


class Pending:
    def __init__(self) -> None:
        self.limit = SILENCE_BYTES_MAX
        """How much sound is kept now."""
        self.chars = 0
        """Base64 characters of sound that the present upstream has got: its audio clock."""
        self._sounds: deque[tuple[bytes, int]] = deque()
        self._bytes = 0
        self._first = 0
        """The number of the oldest piece that is kept."""
        self._first_chars = 0
        """Its place on the audio clock."""
        self._requests: list[Request] = []

    # ---- sound

    def sound(self, raw: bytes, chars: int) -> None:
        """An append event with so much base64 in it. Called for each of them: no more than this may happen here."""
        self._sounds.append((raw, chars))
        self._bytes += len(raw)
        self.chars += chars
        if self._bytes > self.limit:
            self._trim()

    @property
    def buffered_chars(self) -> int:
        """Sound that is kept."""
        return self.chars - self._first_chars

    @property
    def passed_chars(self) -> int:
        """Sound that the present upstream has got and that is not kept."""
        return self._first_chars

    def let_go(self, upto_chars: float | None = None) -> None:
        """The upstream has taken the sound up to there on its clock (None: all of it) out of its buffer."""
        while self._sounds and (upto_chars is None or self._first_chars + self._sounds[0][1] <= upto_chars):
            self._drop()

    def _trim(self) -> None:
        while self._bytes > self.limit and len(self._sounds) > 1:
            self._drop()

    def _drop(self) -> None:
        raw, chars = self._sounds.popleft()
        self._bytes -= len(raw)
        self._first_chars += chars
        self._first += 1

    # ---- requests

    def __bool__(self) -> bool:
        """Whether requests are unanswered."""
        return bool(self._requests)

    def ask(self, message: Message, *, sent: bool) -> None:
        """A request, to be answered by one of `ANSWERS`."""
        self._requests.append(Request(message, self._first + len(self._sounds), sent=sent))
        while len(self._requests) > REQUESTS_MAX or (len(self._requests) > 1 and self._size > REQUEST_BYTES_MAX):
            del self._requests[0]

    @property
    def _size(self) -> int:
        return sum(len(one.message.raw or b"") for one in self._requests)

    def settle(self, answer: str, item_id: str | None = None) -> Message | None:
        """The request that an event of this type answers, which is done with it. `item_id`: which one, if several."""
        asked = ANSWERS.get(answer)
        found = None
        for request in self._requests:
            if request.sent and request.message.kind == asked:
                wanted = _item_id(request.message)
                if item_id is not None and wanted == item_id:
                    found = request
                    break
                if found is None and (item_id is None or wanted is None):
                    found = request
        if found is None:
            return None
        self._requests.remove(found)
        if asked in ("input_audio_buffer.commit", "input_audio_buffer.clear"):
            while self._sounds and self._first < found.at:
                self._drop()
        return found.message

    def refuse(self, event_id: str | None) -> Message | None:
        """The request with this id was refused; the oldest, if the upstream does not say which (protocol.md 9.14)."""
        for request in self._requests:
            if request.sent and (event_id is None or request.message.event_id == event_id):
                self._requests.remove(request)
                return request.message
        return None

    def take_unbegun(self) -> list[Message]:
        """Answers that an upstream was asked for and had not begun. They are not asked for again."""
        taken = [one for one in self._requests if one.sent and one.message.kind == SPENDING]
        self._requests = [one for one in self._requests if one not in taken]
        return [one.message for one in taken]

    def again(self) -> Iterator[Message | bytes]:
        """Everything, in order, for a new upstream, whose audio clock begins here. Sound comes as its bytes."""
        self.chars -= self._first_chars
        self._first_chars = 0
        requests = deque(self._requests)
        for number, (raw, _) in enumerate(self._sounds, self._first):
            while requests and requests[0].at <= number:
                yield self._sent(requests.popleft())
            yield raw
        for request in requests:
            yield self._sent(request)

    def _sent(self, request: Request) -> Message:
        request.sent = True
        return request.message


def _item_id(message: Message) -> str | None:
    body = message.body
    item = body.get("item")
    item_id = item.get("id") if isinstance(item, dict) else body.get("item_id")
    return item_id if isinstance(item_id, str) else None
