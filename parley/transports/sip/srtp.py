"""Keys of media that stand in the description (SDES, RFC 4568, RFC 7714): read, made, and put to use.

They are as secret as the signalling: over UDP or TCP they keep nobody out who reads along.
"""

import base64
import binascii
import re
import secrets
from typing import Final, NamedTuple

import pylibsrtp
from pylibsrtp import Policy, Session


class Suite(NamedTuple):
    """`key_bytes`: master key and salt."""

    profile: int
    key_bytes: int


SUITES: Final = {
    "AEAD_AES_256_GCM": Suite(Policy.SRTP_PROFILE_AEAD_AES_256_GCM, 44),
    "AEAD_AES_128_GCM": Suite(Policy.SRTP_PROFILE_AEAD_AES_128_GCM, 28),
    "AES_CM_128_HMAC_SHA1_80": Suite(Policy.SRTP_PROFILE_AES128_CM_SHA1_80, 30),
    "AES_CM_128_HMAC_SHA1_32": Suite(Policy.SRTP_PROFILE_AES128_CM_SHA1_32, 30),
}
"""What we can do, by the names of the registry."""

_LINE = re.compile(r"([0-9]{1,9})\s+([A-Za-z0-9_]+)\s+inline:([A-Za-z0-9+/=]+)(?:\|(?:2\^)?[0-9]+)?\s*")


class Crypto(NamedTuple):
    """One line of a description. `tag` links an answer to what it takes."""

    tag: str
    suite: str
    key: bytes

    def line(self) -> str:
        return f"{self.tag} {self.suite} inline:{base64.b64encode(self.key).decode()}"


def read_crypto(lines: list[str]) -> Crypto | None:
    """The first that we can do; None where there is none. Key identifiers and session parameters we cannot."""
    for line in lines:
        found = _LINE.fullmatch(line)
        suite = SUITES.get(found[2].upper()) if found is not None else None
        if found is None or suite is None:
            continue
        try:
            key = base64.b64decode(found[3], validate=True)
        except binascii.Error:
            continue
        if len(key) == suite.key_bytes:
            return Crypto(found[1], found[2].upper(), key)
    return None


def new_crypto(tag: str, suite: str) -> Crypto:
    """A key of ours."""
    return Crypto(tag, suite, secrets.token_bytes(SUITES[suite].key_bytes))


class Vault:
    """Both directions of a call's media."""

    def __init__(self, ours: Crypto, theirs: Crypto) -> None:
        self.keys = (ours, theirs)
        self._out = _session(ours, Policy.SSRC_ANY_OUTBOUND)
        self._in = _session(theirs, Policy.SSRC_ANY_INBOUND)

    def close_rtp(self, packet: bytes) -> bytes:
        sealed: bytes = self._out.protect(packet)
        return sealed

    def close_rtcp(self, packet: bytes) -> bytes:
        sealed: bytes = self._out.protect_rtcp(packet)
        return sealed

    def open_rtp(self, packet: bytes) -> bytes | None:
        """None for what is forged, replayed or of other keys."""
        try:
            clear: bytes = self._in.unprotect(packet)
        except pylibsrtp.Error:
            return None
        return clear

    def open_rtcp(self, packet: bytes) -> bytes | None:
        try:
            clear: bytes = self._in.unprotect_rtcp(packet)
        except pylibsrtp.Error:
            return None
        return clear


def _session(crypto: Crypto, kind: int) -> Session:
    return Session(Policy(key=crypto.key, ssrc_type=kind, srtp_profile=SUITES[crypto.suite].profile))
