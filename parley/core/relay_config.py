"""How an update changes a configuration that is plain data (protocol.md 2.1)."""

from typing import Any, Final

from parley.core.relayed import Body

NESTED: Final = frozenset({"audio", "input", "output"})
"""Objects of a session that an update is laid over key by key. All others replace what was there."""


def laid_over(config: Body, patch: Body) -> Body:
    """A configuration after an update (protocol.md 2.1)."""
    return {**config, **{key: _over(key, config.get(key), value) for key, value in patch.items()}}


def without_formats(body: Body) -> Body:
    """A client's event without its wishes for formats of sound: where the transport plays, they are its own."""
    for key in ("session", "response"):
        part = body.get(key)
        audio = part.get("audio") if isinstance(part, dict) else None
        if isinstance(part, dict) and isinstance(audio, dict):
            return {**body, key: {**part, "audio": {side: _unformatted(value) for side, value in audio.items()}}}
    return body


def _unformatted(side: Any) -> Any:
    return {key: value for key, value in side.items() if key != "format"} if isinstance(side, dict) else side


def _over(key: str, old: Any, new: Any) -> Any:
    return laid_over(old, new) if key in NESTED and isinstance(old, dict) and isinstance(new, dict) else new
