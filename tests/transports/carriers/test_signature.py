"""X-Twilio-Signature. The signatures were made with OpenSSL: ``printf %s URL | openssl dgst -sha1 -hmac TOKEN -binary``."""

import pytest

from parley.errors import RequestError
from parley.transports.carriers.signature import check, signed, urls

TOKEN = "12345"
URL = "wss://voice.example/v1/realtime/media/twilio"
MADE = "yGWVTFH9J+DBowLsGQB1MePzmNQ="


def test_as_openssl_makes_it() -> None:
    assert signed(URL, TOKEN) == MADE


@pytest.mark.parametrize("known", urls("voice.example", "/v1/realtime/media/twilio"))
def test_every_way_in_which_twilio_may_know_the_address(known: str) -> None:
    for path in ("/v1/realtime/media/twilio", "/v1/realtime/media/twilio/"):
        check(signed(known, TOKEN), urls("voice.example", path), TOKEN)


@pytest.mark.parametrize("given", [None, "", "x", "é", MADE.lower(), signed(URL, "other"), signed(f"{URL}?a=1", TOKEN)])
def test_anything_else(given: str | None) -> None:
    with pytest.raises(RequestError, match="public_url") as caught:
        check(given, urls("voice.example", "/v1/realtime/media/twilio"), TOKEN)
    assert caught.value.code == "invalid_api_key"
