"""What a relayed session's transport plays by itself (WebRTC): the output buffer that an upstream's WebSocket has not.

The upstream believes that its client plays the sound. So the events of protocol.md 7.4 are said here, and where the
sound stops early, the upstream is asked to truncate what was not heard, as a WebSocket client would.
"""

from collections.abc import Iterator

import msgspec

from parley.core.inputs import Played
from parley.core.playback import Playback
from parley.core.relayed import Body


class Speech:
    """A message that an upstream speaks. `ms`: so much of its sound has come."""

    def __init__(self, item_id: str) -> None:
        self.id = item_id
        self.length_ms = 0.0

    @property
    def sound(self) -> "Speech":
        return self

    @property
    def ms(self) -> int:
        return int(self.length_ms)

    def truncate(self, end_ms: int) -> None:
        self.length_ms = min(self.length_ms, end_ms)


class RelayPlayback:
    def __init__(self) -> None:
        self._playback = Playback()
        self._speeches: dict[str, Speech] = {}
        """By item. What has been played is forgotten when there is silence."""
        self._made: set[str] = set()
        """Responses that speak, as long as they run."""
        self._silenced: set[str] = set()
        """Those of them that were cleared: what is still made of them is not played."""

    @property
    def silent(self) -> bool:
        return self._playback.silent

    def sound(self, response_id: str, item_id: str, ms: float) -> list[Body] | None:
        """More sound, and what to say before it. None when it must not be played any more."""
        if response_id in self._silenced:
            return None
        self._made.add(response_id)
        speech = self._speeches.setdefault(item_id, Speech(item_id))
        speech.length_ms += ms
        return [_body(event) for event in self._playback.sound(response_id, speech)]

    def played(self, played: Played) -> list[Body]:
        return [_body(event) for event in self._playback.played(played)]

    def ended(self, response_id: str) -> None:
        """No more sound of this response will come."""
        self._silenced.discard(response_id)
        self._made.discard(response_id)
        if self._playback.silent and not self._made:
            self._speeches.clear()

    def all_ended(self) -> None:
        """No more sound will come."""
        for response_id in tuple(self._made):
            self.ended(response_id)

    def clear(self) -> Iterator[Body]:
        """Silence: what to say about it, then what to ask of the upstream."""
        cleared, truncated = self._playback.clear()
        for said in cleared:
            if said.response_id in self._made:
                self._silenced.add(said.response_id)
            yield _body(said)
        for cut in truncated:
            yield {
                "type": "conversation.item.truncate",
                "item_id": cut.item_id,
                "content_index": cut.content_index,
                "audio_end_ms": cut.audio_end_ms,
            }


def _body(event: object) -> Body:
    body: Body = msgspec.to_builtins(event)
    return body
