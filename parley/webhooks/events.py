"""What is announced, as bytes of OpenAI's events (protocol.md 1.7). Pure."""

from collections.abc import Iterable
from typing import Final, NamedTuple

import msgspec

INCOMING: Final = "realtime.call.incoming"


class Event(NamedTuple):
    """`body` is JSON, and is never written anew: the signature is over its bytes."""

    type: str
    body: bytes


def incoming_call(
    event_id: str, call_id: str, headers: Iterable[tuple[str, str]], media_security: str, created_at: int
) -> Event:
    """A telephone call rings. `headers` are those of its INVITE in order, without credentials; `created_at` in s.

    Somebody else wrote the headers: what is no Unicode in them is replaced.
    """
    data = {
        "call_id": call_id,
        "sip_headers": [{"name": _text(name), "value": _text(value)} for name, value in headers],
        "sip_media_security": media_security,
    }
    content = {"id": event_id, "object": "event", "created_at": created_at, "type": INCOMING, "data": data}
    return Event(INCOMING, msgspec.json.encode(content))


def _text(raw: str) -> str:
    return raw.encode("utf-8", "surrogateescape").decode("utf-8", "replace")
