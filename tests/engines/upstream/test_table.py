"""Where each kind of upstream is, and how it is told its key."""

import pytest

from parley.engines.upstream.table import KINDS, Upstream, kind_of, upstream

ADDRESSES = {
    "openai": ("https://api.openai.com/v1", "wss://api.openai.com/v1/realtime?model=m", "Authorization: Bearer k"),
    "azure": ("https://a.openai.azure.com", "wss://a.openai.azure.com/openai/v1/realtime?model=m", "api-key: k"),
    "azure-beta": (
        "https://a.openai.azure.com/",
        "wss://a.openai.azure.com/openai/realtime?api-version=2025-04-01-preview&deployment=m",
        "api-key: k",
    ),
    "xai": ("https://api.x.ai/v1", "wss://api.x.ai/v1/realtime?model=m", "Authorization: Bearer k"),
    "inworld": (
        "https://api.inworld.ai",
        "wss://api.inworld.ai/api/v1/realtime/session?key=s&protocol=realtime",
        "Authorization: Basic k",
    ),
    "vllm": ("http://gpu:8000/v1", "ws://gpu:8000/v1/realtime?model=m", "Authorization: Bearer k"),
    "localai": ("ws://box:8080/v1", "ws://box:8080/v1/realtime?model=m", "Authorization: Bearer k"),
    "parley": ("wss://other:8000/v1", "wss://other:8000/v1/realtime?model=m", "Authorization: Bearer k"),
    "openai-beta": ("https://old/v1", "wss://old/v1/realtime?model=m", "Authorization: Bearer k"),
}


@pytest.mark.parametrize("kind", KINDS)
def test_every_kind(kind: str) -> None:
    url, address, header = ADDRESSES[kind]
    one = upstream("up", url, key="k", kind=kind)
    assert one.address("m", "s") == address
    name, _, value = header.partition(": ")
    assert one.headers[name] == value
    assert one.spelling == ("beta" if kind.endswith("-beta") else "ga")
    assert ("OpenAI-Beta" in one.headers) == (kind == "openai-beta")


def test_the_kind_is_told_by_the_host() -> None:
    assert kind_of("api.openai.com") == "openai"
    assert kind_of("my.openai.azure.com") == "azure"
    assert kind_of("api.x.ai") == "xai"
    assert kind_of("api.inworld.ai") == "inworld"
    assert kind_of("10.0.0.7") == "parley"


def test_a_transcription_session_has_no_model() -> None:
    assert (
        upstream("up", "wss://x/v1").address("m", "s", transcribes=True) == "wss://x/v1/realtime?intent=transcription"
    )


def test_a_key_is_optional_and_never_printed() -> None:
    assert upstream("up", "ws://x/v1").headers == {}
    shown = repr(upstream("up", "ws://x/v1", key="sk-secret")) + str([Upstream(name="a", url="b", key="sk-secret")])
    assert "sk-secret" not in shown


@pytest.mark.parametrize(
    ("url", "options"),
    [
        ("ftp://x", {}),
        ("x/v1", {}),
        ("wss://", {}),
        ("wss://user:sk-secret@x/v1", {}),
        ("wss://x/v1?api_key=sk-secret", {}),
        ("wss://x", {"kind": "nobody"}),
        ("wss://x", {"dialect": "klingon"}),
        ("wss://x", {"key": "sk-secret\r\nX-Evil: 1"}),
    ],
)
def test_settings_that_cannot_be(url: str, options: dict[str, str]) -> None:
    with pytest.raises(ValueError, match="upstream 'up'") as caught:
        upstream("up", url, **options)
    assert "sk-secret" not in str(caught.value)
