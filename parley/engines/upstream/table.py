"""The kinds of upstream, one row each: where its socket is, how it is told the key, how it spells.

PARLEY_UPSTREAM_URL=wss://api.openai.com/v1       kind `openai`, told from the address
[[upstream]] kind = "azure", url = "https://NAME.openai.azure.com"
"""

from collections.abc import Callable, Mapping
from typing import Final, NamedTuple
from urllib.parse import urlencode, urlsplit, urlunsplit

import msgspec

SCHEMES: Final = {"http": "ws", "https": "wss", "ws": "ws", "wss": "wss"}
HOUR_S: Final = 3_600.0


class Kind(NamedTuple):
    """A provider's habits. Differences in spelling beyond the two dialects have no place here."""

    path: str
    """Appended to the base URL."""
    query: Callable[[str, str], Mapping[str, str]]
    """Of the model's name, and of an id for the session."""
    headers: Callable[[str], Mapping[str, str]]
    """Of the key."""
    dialect: str = "ga"
    session_s: float | None = HOUR_S
    """How long a session lasts where the upstream does not say so (`expires_at`)."""
    greetings: frozenset[str] = frozenset({"session.created"})
    """Its first event is one of these."""
    transcription_query: Mapping[str, str] = {"intent": "transcription"}
    hosts: tuple[str, ...] = ()
    """Ends of host names that tell this kind."""


def _model(model: str, session: str) -> dict[str, str]:
    return {"model": model}


def _bearer(key: str) -> dict[str, str]:
    return {"Authorization": f"Bearer {key}"}


KINDS: Final[Mapping[str, Kind]] = {
    "openai": Kind("/realtime", _model, _bearer, hosts=("api.openai.com",)),
    "openai-beta": Kind(
        "/realtime", _model, lambda key: {**_bearer(key), "OpenAI-Beta": "realtime=v1"}, dialect="beta"
    ),
    "azure": Kind("/openai/v1/realtime", _model, lambda key: {"api-key": key}, hosts=(".openai.azure.com",)),
    "azure-beta": Kind(
        "/openai/realtime",
        lambda model, session: {"api-version": "2025-04-01-preview", "deployment": model},
        lambda key: {"api-key": key},
        dialect="beta",
        session_s=HOUR_S / 2,
    ),
    "xai": Kind(
        "/realtime",
        _model,
        _bearer,
        greetings=frozenset({"session.created", "conversation.created"}),
        hosts=("api.x.ai",),
    ),
    "inworld": Kind(
        "/api/v1/realtime/session",
        lambda model, session: {"key": session, "protocol": "realtime"},
        lambda key: {"Authorization": f"Basic {key}"},
        hosts=("api.inworld.ai",),
    ),
    "vllm": Kind("/realtime", _model, _bearer, session_s=None, transcription_query={}),
    "localai": Kind("/realtime", _model, _bearer, session_s=None),
    "parley": Kind("/realtime", _model, _bearer, session_s=None),
}
PLAIN: Final = "parley"
"""The kind of an address that tells none: it speaks as we do, and says itself how long a session lasts."""


class Upstream(msgspec.Struct, frozen=True, kw_only=True):
    """One upstream as the operator set it. Printing one never shows its key."""

    name: str
    url: str
    """Base URL: http(s) or ws(s), with `/v1` where the provider has it."""
    key: str = ""
    kind: str = PLAIN
    dialect: str = ""
    """Empty: that of its kind."""

    def __repr__(self) -> str:
        return f"Upstream({self.name!r})"

    @property
    def row(self) -> Kind:
        return KINDS[self.kind]

    @property
    def spelling(self) -> str:
        return self.dialect or self.row.dialect

    @property
    def headers(self) -> dict[str, str]:
        return dict(self.row.headers(self.key)) if self.key else {}

    def address(self, model: str, session: str, *, transcribes: bool = False) -> str:
        """The URL of a session's socket. Holds no key."""
        parts = urlsplit(self.url)
        query = self.row.transcription_query if transcribes else self.row.query(model, session)
        path = parts.path.rstrip("/") + self.row.path
        return urlunsplit((SCHEMES[parts.scheme], parts.netloc, path, urlencode(query), ""))


def upstream(name: str, url: str, *, key: str = "", kind: str = "", dialect: str = "") -> Upstream:
    """An upstream, checked. Raises `ValueError` that names the fault, and never the key."""
    parts = urlsplit(url)
    if parts.scheme not in SCHEMES or not parts.hostname:
        raise ValueError(f"upstream {name!r}: the url must begin with wss://, ws://, https:// or http://")
    if parts.username or parts.password or parts.query or parts.fragment:
        raise ValueError(f"upstream {name!r}: the url must not hold a key or a query; the key is set beside it")
    chosen = kind or kind_of(parts.hostname)
    if chosen not in KINDS:
        raise ValueError(f"upstream {name!r}: the kind {chosen!r} is none of {', '.join(KINDS)}")
    if dialect not in ("", "ga", "beta"):
        raise ValueError(f"upstream {name!r}: the dialect must be ga or beta")
    if any(ord(letter) < 33 or ord(letter) > 126 for letter in key):
        raise ValueError(f"upstream {name!r}: the key has a character that no key has")
    return Upstream(name=name, url=url, key=key, kind=chosen, dialect=dialect)


def kind_of(host: str) -> str:
    """The kind that a host name tells."""
    return next((name for name, kind in KINDS.items() if kind.hosts and host.endswith(kind.hosts)), PLAIN)
