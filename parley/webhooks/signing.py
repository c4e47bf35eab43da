"""Signatures of the Standard Webhooks specification, as OpenAI's clients check them (protocol.md 1.7). Pure.

https://github.com/standard-webhooks/standard-webhooks/blob/main/spec/standard-webhooks.md
"""

import base64
import binascii
import hashlib
import hmac
import secrets
from collections.abc import Sequence
from typing import Final

PREFIX: Final = "whsec_"
SECRET_BYTES: Final = 32
SECRET_BYTES_MIN: Final = 24
"""The specification's least."""
SECRETS_MAX: Final = 2
"""The new one and the old one, while receivers change over."""


def new_secret() -> str:
    return PREFIX + base64.b64encode(secrets.token_bytes(SECRET_BYTES)).decode()


def read_secrets(text: str) -> tuple[bytes, ...]:
    """The keys in a setting: one secret, or two with a space between. Raises `ValueError`, without the secret in it."""
    words = text.split()
    if not 1 <= len(words) <= SECRETS_MAX:
        raise ValueError("expected one secret, or the new one and the old one with a space between")
    return tuple(_key(word) for word in words)


def _key(secret: str) -> bytes:
    if secret.startswith(PREFIX):
        try:
            key = base64.b64decode(secret.removeprefix(PREFIX), validate=True)
        except binascii.Error:
            raise ValueError(f"what follows {PREFIX} is not base64") from None
    else:
        key = secret.encode()
    if len(key) < SECRET_BYTES_MIN:
        raise ValueError(f"a secret has at least {SECRET_BYTES_MIN} bytes; `parley webhooks secret` makes one")
    return key


def signed(keys: Sequence[bytes], id: str, timestamp: int, body: bytes) -> dict[str, str]:
    """The headers that go with exactly this body, one signature for each key. `timestamp` in seconds of Unix time."""
    content = f"{id}.{timestamp}.".encode() + body
    digests = (hmac.new(key, content, hashlib.sha256).digest() for key in keys)
    return {
        "webhook-id": id,
        "webhook-timestamp": str(timestamp),
        "webhook-signature": " ".join(f"v1,{base64.b64encode(digest).decode()}" for digest in digests),
    }
