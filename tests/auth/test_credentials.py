"""What counts as showing a key, door by door."""

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from starlette.datastructures import Headers, QueryParams

from parley.auth.credentials import QUERY_NAMES, SECRET_CHARS_MAX, Credential, presented
from parley.errors import RequestError

KEY = "sk-parley-123"


@pytest.mark.parametrize(
    ("headers", "subprotocols", "credential"),
    [
        ({}, (), None),
        ({"authorization": f"Bearer {KEY}"}, (), Credential(KEY, "authorization")),
        ({"authorization": f"bearer   {KEY}  "}, (), Credential(KEY, "authorization")),
        ({"x-api-key": KEY}, (), Credential(KEY, "x-api-key")),
        ({"api-key": f" {KEY} "}, (), Credential(KEY, "api-key")),
        ({}, ("realtime", f"openai-insecure-api-key.{KEY}"), Credential(KEY, "subprotocol")),
        ({}, ("openai-insecure-api-key.ek_1.2",), Credential("ek_1.2", "subprotocol")),
        ({}, ("realtime", "openai-project.p"), None),
        # the first door counts
        ({"authorization": f"Bearer {KEY}", "x-api-key": "b"}, (), Credential(KEY, "authorization")),
        ({"x-api-key": "b", "api-key": "c"}, ("openai-insecure-api-key.d",), Credential("b", "x-api-key")),
    ],
)
def test_every_door(headers: dict[str, str], subprotocols: tuple[str, ...], credential: Credential | None) -> None:
    assert presented(headers, subprotocols) == credential


@pytest.mark.parametrize(
    ("headers", "subprotocols"),
    [
        ({"authorization": ""}, ()),
        ({"authorization": "Bearer"}, ()),
        ({"authorization": "Bearer "}, ()),
        ({"authorization": KEY}, ()),
        ({"authorization": "Basic dTpw"}, ()),
        ({"authorization": "Bearer a b"}, ()),
        ({"authorization": "Bearer schlüssel"}, ()),
        ({"authorization": "Bearer a\tb"}, ()),
        ({"authorization": "Bearer " + "k" * (SECRET_CHARS_MAX + 1)}, ()),
        ({"authorization": "nonsense", "x-api-key": KEY}, ()),
        ({"x-api-key": ""}, ()),
        ({"x-api-key": "a b"}, ()),
        ({"api-key": "\x00"}, ()),
        ({}, ("openai-insecure-api-key.",)),
    ],
)
def test_what_cannot_be_a_key(headers: dict[str, str], subprotocols: tuple[str, ...]) -> None:
    with pytest.raises(RequestError) as refused:
        presented(headers, subprotocols)
    assert refused.value.code == "invalid_api_key"
    assert KEY not in refused.value.message


@pytest.mark.parametrize("name", [*sorted(QUERY_NAMES), "API_KEY", "Token"])
def test_a_key_in_the_url_is_refused_even_beside_a_good_one(name: str) -> None:
    with pytest.raises(RequestError) as refused:
        presented({"authorization": f"Bearer {KEY}"}, query=QueryParams(f"model=m&{name}={KEY}"))
    assert refused.value.code == "key_in_query"
    assert KEY not in refused.value.message


def test_the_servers_own_headers_and_query_will_do() -> None:
    headers = Headers({"X-API-Key": KEY})
    assert presented(headers, query=QueryParams("model=m&intent=transcription")) == Credential(KEY, "x-api-key")


def test_a_secret_is_never_shown() -> None:
    assert KEY not in repr(Credential(KEY, "authorization"))
    assert KEY not in f"{Credential(KEY, 'authorization')}"


@settings(deadline=None)
@given(value=st.text(max_size=40), name=st.sampled_from(["authorization", "x-api-key", "api-key"]))
def test_any_header_is_a_key_or_a_fault(value: str, name: str) -> None:
    try:
        credential = presented({name: value})
    except RequestError as fault:
        assert fault.code == "invalid_api_key"
    else:
        assert credential is not None
        assert credential.secret in value
        assert credential.secret.isascii()
        assert " " not in credential.secret
