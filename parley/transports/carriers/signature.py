"""X-Twilio-Signature: proof that a request comes from Twilio ("Webhooks Security" of its documentation).

base64(HMAC-SHA1(auth token, the URL as Twilio has it)); a WebSocket's handshake has no form fields to sign.
"""

import hashlib
import hmac
from base64 import b64encode
from collections.abc import Iterable

from parley.errors import RequestError

HEADER = "x-twilio-signature"


def signed(url: str, token: str) -> str:
    return b64encode(hmac.digest(token.encode(), url.encode(), hashlib.sha1)).decode()


def check(given: str | None, urls: Iterable[str], token: str) -> None:
    """`urls`: the ways in which Twilio may know this address. Raises `RequestError` with `invalid_api_key`."""
    told = (given or "").encode()
    matches = [hmac.compare_digest(told, signed(url, token).encode()) for url in urls]
    if not any(matches):
        raise RequestError(
            "invalid_api_key",
            "The signature is not Twilio's. Check twilio_auth_token, and that public_url is what the TwiML names.",
        )


def urls(base: str, path: str) -> tuple[str, ...]:
    """`base` without its scheme. Twilio signs wss; with or without a slash at the end, depending on its age."""
    bare = path.rstrip("/")
    return tuple(f"{scheme}://{base}{end}" for scheme in ("wss", "https") for end in (bare, f"{bare}/"))
