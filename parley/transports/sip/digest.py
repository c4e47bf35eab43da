"""Digest authentication, both ways (RFC 8760, RFC 3261 section 22). Pure: time is given.

A challenge is kept by nobody: its nonce carries when it was made, and a signature of ours.
"""

import hashlib
import hmac
import re
import secrets
from collections import OrderedDict
from typing import Final, NamedTuple

from parley.transports.sip.grammar import QUOTED, TOKEN, quoted

NONCE_S: Final = 300
"""How long a nonce is good for."""
NONCES_MAX: Final = 4_096
"""Nonces in use whose counters are remembered."""
HASHES: Final = {"SHA-256": "sha256", "MD5": "md5"}
"""RFC 8760: the better one first. MD5 is what telephones speak."""
CHALLENGES: Final = {
    401: ("www-authenticate", "Authorization"),
    407: ("proxy-authenticate", "Proxy-Authorization"),
}
"""Status -> where it asks, and where it is answered."""

_PAIR = re.compile(rf"({TOKEN})[ \t]*=[ \t]*({QUOTED}|[^\s,\"]+)")
_NONCE = re.compile(r"([0-9a-f]{8})([0-9a-f]{16})([0-9a-f]{32})")
_COUNT = re.compile(r"[0-9a-f]{8}")


class Account(NamedTuple):
    """What both sides know."""

    username: str
    password: str
    realm: str


class Verdict(NamedTuple):
    """`stale`: the answer is right, to a nonce that has had its time."""

    right: bool
    stale: bool = False


def read_pairs(value: str) -> dict[str, str]:
    """`Digest a="b", c=d`, names in lower case. Empty for any other scheme (RFC 4475 3.3.7)."""
    scheme, _, rest = value.strip().partition(" ")
    if scheme.lower() != "digest":
        return {}
    return {found[1].lower(): _plain(found[2]) for found in _PAIR.finditer(rest)}


def _plain(text: str) -> str:
    return re.sub(r"\\(.)", r"\1", text[1:-1]) if text.startswith('"') else text


def _digest(algorithm: str, *parts: str) -> str:
    return hashlib.new(HASHES[algorithm], ":".join(parts).encode(), usedforsecurity=False).hexdigest()


def response_to(account: Account, algorithm: str, method: str, uri: str, words: tuple[str, ...]) -> str:
    """What shows the password (RFC 7616 3.4.1). `words`: nonce, or nonce, counter, cnonce and qop."""
    first = _digest(algorithm, account.username, account.realm, account.password)
    second = _digest(algorithm, method, uri)
    return _digest(algorithm, first, *words, second)


class Challenger:
    """Asks who somebody is."""

    def __init__(self) -> None:
        self._key = secrets.token_bytes(32)
        self._counts: OrderedDict[str, int] = OrderedDict()

    def challenge(self, realm: str, now: float, *, stale: bool = False) -> list[tuple[str, str]]:
        """The headers of a 401, one for each hash, MD5 last."""
        stamp = f"{int(now) & 0xFFFF_FFFF:08x}{secrets.token_hex(8)}"
        nonce = stamp + self._sign(stamp, realm)
        rest = f'realm={quoted(realm)}, nonce={quoted(nonce)}, qop="auth"' + (", stale=true" if stale else "")
        return [("WWW-Authenticate", f"Digest {rest}, algorithm={algorithm}") for algorithm in HASHES]

    def check(self, value: str, method: str, account: Account, now: float) -> Verdict:
        """Whether the Authorization header `value` shows that its sender knows `account`."""
        said = read_pairs(value)
        algorithm = said.get("algorithm", "MD5").upper()
        count, nonce = said.get("nc", ""), said.get("nonce", "")
        if algorithm not in HASHES or said.get("qop") != "auth" or not _COUNT.fullmatch(count.lower()):
            return Verdict(False)
        if (said.get("username"), said.get("realm")) != (account.username, account.realm):
            return Verdict(False)
        words = (nonce, count, said.get("cnonce", ""), "auth")
        wanted = response_to(account, algorithm, method, said.get("uri", ""), words)
        if not hmac.compare_digest(wanted, said.get("response", "").lower()):
            return Verdict(False)
        fresh = self._fresh(nonce, account.realm, now) and self._counted(nonce, int(count, 16))
        return Verdict(fresh, stale=not fresh)

    def _sign(self, stamp: str, realm: str) -> str:
        return hmac.new(self._key, f"{stamp}{realm}".encode(), hashlib.sha256).hexdigest()[:32]

    def _fresh(self, nonce: str, realm: str, now: float) -> bool:
        found = _NONCE.fullmatch(nonce)
        if found is None or not hmac.compare_digest(self._sign(found[1] + found[2], realm), found[3]):
            return False
        return 0 <= int(now) - int(found[1], 16) <= NONCE_S

    def _counted(self, nonce: str, count: int) -> bool:
        """Whether this is more than was counted before: nothing is said twice (RFC 7616 3.4.5)."""
        if count <= self._counts.get(nonce, 0):
            return False
        self._counts[nonce] = count
        self._counts.move_to_end(nonce)
        if len(self._counts) > NONCES_MAX:
            self._counts.popitem(last=False)
        return True


def credentials(challenges: list[str], username: str, password: str, method: str, uri: str) -> str | None:
    """The answer to the best of several challenges; None where none can be answered."""
    known = [read_pairs(value) for value in challenges]
    for algorithm in HASHES:
        for asked in known:
            if asked and asked.get("algorithm", "MD5").upper() == algorithm:
                return _answered(asked, algorithm, Account(username, password, asked.get("realm", "")), method, uri)
    return None


def _answered(asked: dict[str, str], algorithm: str, account: Account, method: str, uri: str) -> str:
    nonce = asked.get("nonce", "")
    fields = {"username": account.username, "realm": account.realm, "nonce": nonce, "uri": uri}
    offered = {word.strip() for word in asked.get("qop", "").split(",")}
    tail = ""
    if "auth" in offered:
        cnonce = secrets.token_hex(8)
        response = response_to(account, algorithm, method, uri, (nonce, "00000001", cnonce, "auth"))
        tail = f', qop=auth, nc=00000001, cnonce="{cnonce}"'
    else:
        response = response_to(account, algorithm, method, uri, (nonce,))
    if "opaque" in asked:
        fields["opaque"] = asked["opaque"]
    said = ", ".join(f"{name}={quoted(value)}" for name, value in fields.items())
    return f'Digest {said}, response="{response}", algorithm={algorithm}{tail}'
