"""STUN and TURN servers that pages are told to use, with credentials that expire.

The scheme is that of coturn's `use-auth-secret`, which other TURN servers know too: the user name carries the time of
expiry, the password is its HMAC under a secret that only we and the TURN server know. Nothing needs to be stored.
"""

import base64
import hmac
from typing import Final, NamedTuple

SECONDS: Final = 4_000
"""Longer than the longest session (protocol.md 8.5): a relay is asked again for as long as it is used."""


class IceServers(NamedTuple):
    """What the operator has set. `secret` is that of the TURN servers among `urls`."""

    urls: tuple[str, ...] = ()
    secret: str | None = None


class Told(NamedTuple):
    """What `RTCPeerConnection` takes as `iceServers`, and until when it is good (Unix time)."""

    servers: list[dict[str, object]]
    expires_at: int


def told(ice: IceServers, account: str, now: float) -> Told:
    """The servers for somebody of this account. TURN servers without a secret are told as they are."""
    expires_at = int(now) + SECONDS
    plain = [url for url in ice.urls if ice.secret is None or not url.startswith("turn")]
    relays = [url for url in ice.urls if url not in plain]
    servers: list[dict[str, object]] = [{"urls": plain}] if plain else []
    if relays and ice.secret is not None:
        username = f"{expires_at}:{account}"
        digest = hmac.digest(ice.secret.encode(), username.encode(), "sha1")
        servers.append({"urls": relays, "username": username, "credential": base64.b64encode(digest).decode()})
    return Told(servers, expires_at)
