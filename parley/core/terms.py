"""The terms of a session: what the operator and the chosen engine allow, fixed when it opens."""

from collections.abc import Callable

import msgspec


class Terms(msgspec.Struct, frozen=True, kw_only=True):
    voices: frozenset[str]
    count_tokens: Callable[[str], int]
    """Text tokens of a string, as the model would count them."""
    context_tokens: int = 32_768
    output_tokens: int = 4_096
    session_ms: int = 3_600_000
    """protocol.md 8.5: 60 minutes."""
    expires_at: int = 0
    """Unix seconds at which `session_ms` are over; for show, the clock that counts is monotonic."""
    peeks: bool = False
    """Whether asking the transcriber for an early hypothesis is cheap (`SpeechToText.peeks`)."""
    plays: bool = False
    """Whether the transport plays the sound itself (WebRTC, SIP) and reports it by `Played`."""
    requests_per_minute: int = 1_000
    tokens_per_minute: int = 1_000_000
