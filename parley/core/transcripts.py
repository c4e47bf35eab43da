"""Speech that is being put into words.

One `Listening` per user turn: from the first sound of a turn (or from its commit) to the last word. It belongs to one
entry of the conversation once the turn is committed. What clients see of it depends on `shown`; that the words are
needed to answer does not.

    LISTENING --(End told)--> CLOSING --(final Transcribed)--> over
    LISTENING or CLOSING --(an early transcript that covers all speech is taken as the last word)--> over
"""

import msgspec
from msgspec import UNSET

from parley.core.config import Transcription
from parley.core.conversation import Entry
from parley.core.events import AnyServerEvent, Logprob, TranscriptionCompleted, TranscriptionDelta, TranscriptionFailed
from parley.core.inputs import Failed, Transcribed
from parley.core.timing import Clock
from parley.core.usage import CountTokens, user_audio_tokens
from parley.errors import ERRORS

BY_DURATION = frozenset({"whisper-1"})
"""Models billed by the second whose transcript comes as one delta (protocol.md 2.7, 6.2)."""

DEFAULT_TRANSCRIPTION = Transcription()


class Early(msgspec.Struct, frozen=True):
    """An early transcript, and the sample at which it was asked for: it covers all sound before that."""

    heard: Transcribed
    asked_at: int


class Listening:
    def __init__(self, work_id: str, item_id: str, shown: Transcription | None, logprobs: bool) -> None:
        self.work_id = work_id
        self.item_id = item_id
        self.shown = shown
        """The client's transcription settings when it began; None: the client did not ask to see transcripts."""
        self.logprobs = logprobs
        self.entry: Entry | None = None
        """The committed item; None while the turn still goes on."""
        self.asked_at: int | None = None
        """The sample at which the running `Peek` was asked; None when none is running."""
        self.early: Early | None = None
        self.take_early = False
        """The running Peek will be the last word: the turn has ended and nothing was said after it was asked."""
        self.failure: Failed | None = None
        """The transcriber gave up while the turn still went on."""
        self.clock = Clock()
        self._sent = ""

    def deltas(self, heard: Transcribed) -> list[AnyServerEvent]:
        """What may be shown of a hypothesis: the growth of its stable part."""
        if self.shown is None or self.shown.model in BY_DURATION:
            return []
        return self._grow(heard.text[: heard.stable], None)

    def completed(self, heard: Transcribed, count: CountTokens) -> list[AnyServerEvent]:
        """The closing events."""
        if self.shown is None:
            return []
        logprobs = _logprobs(heard) if self.logprobs else None
        languages: tuple[dict[str, str], ...] | msgspec.UnsetType = UNSET
        if self.shown.model in ("gpt-transcribe", "gpt-live-transcribe"):
            languages = ({"code": heard.language},) if heard.language else ()
        return [
            *self._grow(heard.text, logprobs),
            TranscriptionCompleted(
                item_id=self.item_id,
                content_index=0,
                transcript=heard.text,
                usage=self._usage(heard.text, count),
                logprobs=logprobs if logprobs is not None else UNSET,
                languages=languages,
            ),
        ]

    def failed(self, code: str, message: str) -> list[AnyServerEvent]:
        if self.shown is None:
            return []
        body = {"type": "transcription_error", "code": code, "message": message or ERRORS[code].advice}
        return [TranscriptionFailed(item_id=self.item_id, content_index=0, error=body)]

    def _grow(self, text: str, logprobs: tuple[Logprob, ...] | None) -> list[AnyServerEvent]:
        if not text.startswith(self._sent) or text == self._sent:
            return []
        delta = text[len(self._sent) :]
        self._sent = text
        return [
            TranscriptionDelta(
                item_id=self.item_id,
                content_index=0,
                delta=delta,
                logprobs=logprobs if logprobs is not None else UNSET,
            )
        ]

    def _usage(self, text: str, count: CountTokens) -> dict[str, object]:
        assert self.entry is not None
        assert self.shown is not None
        ms = self.entry.audio_ms
        if self.shown.model in BY_DURATION:
            return {"type": "duration", "seconds": ms / 1000}
        audio, words = user_audio_tokens(ms), count(text)
        return {
            "type": "tokens",
            "total_tokens": audio + words,
            "input_tokens": audio,
            "output_tokens": words,
            "input_token_details": {"text_tokens": 0, "audio_tokens": audio},
        }


def _logprobs(heard: Transcribed) -> tuple[Logprob, ...] | None:
    if heard.logprobs is None:
        return None
    return tuple(Logprob(token=token, logprob=value, bytes=tuple(token.encode())) for token, value in heard.logprobs)
