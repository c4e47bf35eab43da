"""Which dialect a client speaks, told from how it connects (protocol.md 0.2).

1. header `OpenAI-Beta: realtime=v1`                        beta
2. subprotocol token `openai-beta.realtime-v1`              beta
3. a client secret                                          the dialect that it was made in
4. an address that exists in one dialect only              that one (`BY_REQUEST`)
5. no marker                                                GA, not settled:
6. the first session.update is flat                         beta without a marker (`beta_by_shape`)
"""

from collections.abc import Mapping, Sequence
from fnmatch import fnmatchcase
from typing import Any, Final, NamedTuple

import msgspec

from parley.dialects.base import Dialect
from parley.dialects.beta import BETA, SHAPE
from parley.dialects.ga import GA

ECHOED: Final = "realtime"
BETA_SUBPROTOCOL: Final = "openai-beta.realtime-v1"
BETA_HEADER: Final = "realtime=v1"
BETA_MODELS: Final = "gpt-4o-*realtime-preview*"

BY_REQUEST: Final[dict[tuple[str, str], Dialect]] = {
    ("POST", "/v1/realtime"): BETA,
    ("POST", "/v1/realtime/calls"): GA,
    ("POST", "/v1/realtime/sessions"): BETA,
    ("POST", "/v1/realtime/transcription_sessions"): BETA,
    ("POST", "/v1/realtime/client_secrets"): GA,
}
"""Requests that exist in one dialect only. The last three make client secrets, which carry it on."""


class Choice(NamedTuple):
    """How to talk to a client. Not `settled`: it gave no sign; ask `beta_by_shape` until its first `SessionUpdate`."""

    dialect: Dialect
    subprotocol: str | None
    """What to echo in the handshake: `realtime` if it was offered. Never a key, never what was not offered (1.1)."""
    settled: bool


def choose(
    *,
    method: str,
    path: str,
    headers: Mapping[str, str],
    subprotocols: Sequence[str] = (),
    secret: Dialect | None = None,
) -> Choice:
    """The choice for one request. `headers` has lower-case names; `secret` is the dialect that a client secret has."""
    subprotocol = ECHOED if ECHOED in subprotocols else None
    marked = _marked(headers, subprotocols) or secret or BY_REQUEST.get((method, path.rstrip("/")))
    return Choice(marked or GA, subprotocol, settled=marked is not None)


def _marked(headers: Mapping[str, str], subprotocols: Sequence[str]) -> Dialect | None:
    betas = [word.strip().lower() for word in headers.get("openai-beta", "").split(",")]
    return BETA if BETA_HEADER in betas or BETA_SUBPROTOCOL in subprotocols else None


class _Update(msgspec.Struct):
    type: str
    session: dict[str, Any]


_update = msgspec.json.Decoder(_Update).decode


def beta_by_shape(raw: str | bytes, model: str) -> bool:
    """Whether this message shows that an unmarked client speaks beta.

    A transport asks for each message until the first `SessionUpdate` has come, and on True goes on with
    `BETA_UNMARKED`, this message included. `session.created` has been said in GA by then; no known client minds
    (rule 6). Costs next to nothing for other messages.
    """
    if not _mentions_update(raw):
        return False
    try:
        update = _update(raw)
    except (msgspec.MsgspecError, UnicodeError, RecursionError):
        return False
    if update.type == "transcription_session.update":
        return True
    if update.type != "session.update" or "type" in update.session:
        return False
    if SHAPE.intersection(update.session):
        return True
    return fnmatchcase(model, BETA_MODELS) and not {"audio", "output_modalities"}.intersection(update.session)


def _mentions_update(raw: str | bytes) -> bool:
    return "session.update" in raw if isinstance(raw, str) else b"session.update" in raw
