"""The moments of a turn, collected while they happen."""

import msgspec

from parley.core.effects import Stamps


class Clock(msgspec.Struct):
    """A `Stamps` that is still being filled in. One per exchange: the user's turn, its answer, the tools in between."""

    speech_start: float | None = None
    speech_stop: float | None = None
    committed: float | None = None
    transcript_final: float | None = None
    response_created: float | None = None
    tool_start: float | None = None
    tool_end: float | None = None
    first_audio: float | None = None
    done: float | None = None
    interrupted_at_ms: int | None = None

    def read(self) -> Stamps:
        return Stamps(**msgspec.structs.asdict(self))

    def after_tools(self) -> "Clock":
        """The clock of the response that answers a tool call: the same exchange goes on."""
        return Clock(
            speech_start=self.speech_start,
            speech_stop=self.speech_stop,
            committed=self.committed,
            transcript_final=self.transcript_final,
            tool_start=self.tool_start,
            tool_end=self.tool_end,
        )
