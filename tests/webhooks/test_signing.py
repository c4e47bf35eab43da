"""Signatures, as others check them."""

import base64
import json
import time

import pytest
from openai import InvalidWebhookSignatureError

from parley.webhooks.events import incoming_call
from parley.webhooks.signing import new_secret, read_secrets, signed
from tests.webhooks.receivers import SECRET, Received

OLD = "whsec_b2xkIHNlY3JldCBvZiB0ZXN0cywgMzIgYnl0ZXMhISE="


def sent(secret: str, body: bytes = b"", at: float | None = None) -> Received:
    body = body or incoming_call("evt_1", "rtc_1", [("From", "x")], "rtp", int(time.time())).body
    return Received(signed(read_secrets(secret), "wh_1", int(at or time.time()), body), body)


def test_the_example_of_the_specification() -> None:
    keys = read_secrets("whsec_MfKQ9r8GKYqrTwjUPD8ILPZIo2LaLaSw")
    headers = signed(keys, "msg_p5jXN8AQM9LWM0D4loKWxJek", 1_614_265_330, b'{"test": 2432232314}')
    assert headers["webhook-signature"] == "v1,g0hM9SsE+OTPJTGt/tmIKtSyZlE3uFJELVlNIOLJ1OE="


@pytest.mark.parametrize("secret", [SECRET, new_secret(), "plain words, at least 24 bytes".replace(" ", "_")])
def test_the_official_client_believes_it(secret: str) -> None:
    event = sent(secret).unwrapped(secret)
    assert (event.id, event.object, event.type) == ("evt_1", "event", "realtime.call.incoming")
    assert (event.data.call_id, event.data.sip_media_security) == ("rtc_1", "rtp")


def test_it_believes_nothing_else() -> None:
    real = sent(SECRET)
    for false in (
        real._replace(body=real.body.replace(b"rtc_1", b"rtc_2")),
        real._replace(headers={**real.headers, "webhook-id": "wh_2"}),
        real._replace(headers={**real.headers, "webhook-timestamp": str(int(time.time()) + 1)}),
        sent(SECRET, at=time.time() - 600),
        sent(OLD),
    ):
        with pytest.raises(InvalidWebhookSignatureError):
            false.unwrapped()


def test_two_secrets_while_they_change_over() -> None:
    both = sent(f"{SECRET} {OLD}")
    assert both.unwrapped(SECRET).id == both.unwrapped(OLD).id == "evt_1"


def test_new_secrets_are_long_and_different() -> None:
    made = {new_secret() for _ in range(10)}
    assert len(made) == 10
    assert all(len(base64.b64decode(secret.removeprefix("whsec_"))) == 32 for secret in made)


@pytest.mark.parametrize("wrong", ["", "  ", "short", "whsec_short", "whsec_%%%", "whsec_", f"{SECRET} {OLD} {SECRET}"])
def test_wrong_secrets_are_refused_and_not_shown(wrong: str) -> None:
    with pytest.raises(ValueError, match=r"expected one secret|not base64|at least 24 bytes") as caught:
        read_secrets(wrong)
    assert not wrong.strip() or wrong not in str(caught.value)


def test_headers_keep_their_order_and_repeats() -> None:
    headers = [("Via", "1"), ("via", "2"), ("From", "<sip:a@b>"), ("Via", "3")]
    body = json.loads(incoming_call("evt_1", "rtc_1", headers, "srtp", 5).body)
    assert [(each["name"], each["value"]) for each in body["data"]["sip_headers"]] == headers
    assert (body["created_at"], body["data"]["sip_media_security"]) == (5, "srtp")


def test_headers_that_are_no_unicode() -> None:
    raw = b"caf\xe9 \x00 \xff".decode("utf-8", "surrogateescape")
    body = json.loads(incoming_call("evt_1", "rtc_1", [("Subject", raw)], "rtp", 5).body)
    assert body["data"]["sip_headers"][0]["value"] == "caf\ufffd \x00 \ufffd"
