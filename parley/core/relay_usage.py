"""What an upstream says that a response has cost, as our own `Usage`. Whatever it leaves out counts as nothing."""

from typing import Any

from parley.core.events import CachedTokens, InputTokens, OutputTokens, Usage


def read_usage(told: object) -> Usage | None:
    """protocol.md 6.2. None when nothing usable was told: then our own count holds."""
    if not isinstance(told, dict) or not (_count(told, "input_tokens") or _count(told, "output_tokens")):
        return None
    read, written = _inner(told, "input_token_details"), _inner(told, "output_token_details")
    cached = _inner(read, "cached_tokens_details")
    known = sum(_count(read, kind) for kind in ("text_tokens", "audio_tokens", "image_tokens"))
    said = sum(_count(written, kind) for kind in ("text_tokens", "audio_tokens"))
    tokens_in, tokens_out = max(_count(told, "input_tokens"), known), max(_count(told, "output_tokens"), said)
    return Usage(
        total_tokens=tokens_in + tokens_out,
        input_tokens=tokens_in,
        output_tokens=tokens_out,
        input_token_details=InputTokens(
            text_tokens=_count(read, "text_tokens") + tokens_in - known,
            audio_tokens=_count(read, "audio_tokens"),
            image_tokens=_count(read, "image_tokens"),
            cached_tokens=_count(read, "cached_tokens"),
            cached_tokens_details=CachedTokens(
                text_tokens=_count(cached, "text_tokens"),
                audio_tokens=_count(cached, "audio_tokens"),
                image_tokens=_count(cached, "image_tokens"),
            ),
        ),
        output_token_details=OutputTokens(
            text_tokens=_count(written, "text_tokens") + tokens_out - said,
            audio_tokens=_count(written, "audio_tokens"),
        ),
    )


def _count(told: dict[str, Any], key: str) -> int:
    value = told.get(key)
    return max(0, value) if isinstance(value, int) and not isinstance(value, bool) else 0


def _inner(told: dict[str, Any], key: str) -> dict[str, Any]:
    value = told.get(key)
    return value if isinstance(value, dict) else {}
