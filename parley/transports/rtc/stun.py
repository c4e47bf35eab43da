"""The little of STUN that an ICE-lite agent needs: read a connectivity check, answer it (RFC 8489, RFC 8445). Pure."""

import binascii
import hmac
import ipaddress
import struct
from typing import Final, NamedTuple

HEADER_BYTES: Final = 20
COOKIE: Final = 0x2112A442
BINDING_REQUEST: Final = 0x0001
BINDING_RESPONSE: Final = 0x0101
ROLE_CONFLICT_RESPONSE: Final = 0x0111
USERNAME: Final = 0x0006
MESSAGE_INTEGRITY: Final = 0x0008
ERROR_CODE: Final = 0x0009
XOR_MAPPED_ADDRESS: Final = 0x0020
USE_CANDIDATE: Final = 0x0025
FINGERPRINT: Final = 0x8028
ICE_CONTROLLED: Final = 0x8029
FINGERPRINT_XOR: Final = 0x5354554E
INTEGRITY_BYTES: Final = 20
IPV4, IPV6 = 1, 2

_HEADER = struct.Struct("!HHI12s")
_ATTRIBUTE = struct.Struct("!HH")
_ADDRESS = struct.Struct("!BBH")
_COOKIE = struct.pack("!I", COOKIE)


class Check(NamedTuple):
    """A connectivity check, as it stands: whether it comes from who it says is for `authentic` to tell."""

    transaction: bytes
    username: str
    """Receiver's fragment, colon, sender's fragment."""
    nominates: bool
    controlled: bool
    """The sender thinks that we are in control, which an ICE-lite agent never is."""
    covered: bytes
    """What the integrity was made of …"""
    integrity: bytes
    """… and the integrity."""


def is_stun(datagram: bytes) -> bool:
    """RFC 7983: by its first byte."""
    return len(datagram) >= HEADER_BYTES and datagram[0] < 4 and datagram[4:8] == _COOKIE


def read_check(datagram: bytes) -> Check | None:
    """The check, or None for anything else."""
    if not is_stun(datagram):
        return None
    kind, length, _, transaction = _HEADER.unpack_from(datagram)
    if kind != BINDING_REQUEST or length != len(datagram) - HEADER_BYTES or length % 4:
        return None
    username, nominates, controlled = None, False, False
    at = HEADER_BYTES
    while at + _ATTRIBUTE.size <= len(datagram):
        name, size = _ATTRIBUTE.unpack_from(datagram, at)
        value = datagram[at + 4 : at + 4 + size]
        if name == MESSAGE_INTEGRITY:
            if username is None or len(value) != INTEGRITY_BYTES:
                return None
            covered = _with_length(datagram[:at], at + 4 + INTEGRITY_BYTES - HEADER_BYTES)
            return Check(transaction, username, nominates, controlled, covered, value)
        if name == USERNAME:
            username = value.decode("latin-1")
        nominates = nominates or name == USE_CANDIDATE
        controlled = controlled or name == ICE_CONTROLLED
        at += 4 + -(-size // 4) * 4
    return None


def authentic(check: Check, password: bytes) -> bool:
    return hmac.compare_digest(check.integrity, hmac.digest(password, check.covered, "sha1"))


def answer(check: Check, host: str, port: int, password: bytes) -> bytes:
    """The response: where the check came from, as we see it; or that the roles are wrong (RFC 8445 7.3.1.1)."""
    if check.controlled:
        return _sealed(
            ROLE_CONFLICT_RESPONSE, check.transaction, [(ERROR_CODE, b"\0\0\x04\x57Role Conflict")], password
        )
    mapped = _xored(host, port, check.transaction)
    return _sealed(BINDING_RESPONSE, check.transaction, [(XOR_MAPPED_ADDRESS, mapped)], password)


def _xored(host: str, port: int, transaction: bytes) -> bytes:
    packed = ipaddress.ip_address(host.partition("%")[0]).packed
    mask = _COOKIE + transaction
    hidden = bytes(byte ^ mask[at] for at, byte in enumerate(packed))
    return _ADDRESS.pack(0, IPV4 if len(packed) == 4 else IPV6, port ^ COOKIE >> 16) + hidden


def _sealed(kind: int, transaction: bytes, attributes: list[tuple[int, bytes]], password: bytes) -> bytes:
    body = b"".join(_ATTRIBUTE.pack(name, len(value)) + value + bytes(-len(value) % 4) for name, value in attributes)
    message = _HEADER.pack(kind, 0, COOKIE, transaction) + body
    covered = _with_length(message, len(body) + 4 + INTEGRITY_BYTES)
    message += _ATTRIBUTE.pack(MESSAGE_INTEGRITY, INTEGRITY_BYTES) + hmac.digest(password, covered, "sha1")
    message = _with_length(message, len(message) - HEADER_BYTES + 8)
    return message + _ATTRIBUTE.pack(FINGERPRINT, 4) + struct.pack("!I", binascii.crc32(message) ^ FINGERPRINT_XOR)


def _with_length(message: bytes, length: int) -> bytes:
    return message[:2] + struct.pack("!H", length) + message[4:]
