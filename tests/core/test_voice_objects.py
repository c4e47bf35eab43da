"""A voice may come as an object (protocol.md 2.2); the session tells it by its name."""

from typing import Any

import pytest

from parley.core.config import RealtimeConfig, SessionLock, configured, parse_response
from parley.errors import RequestError

CONFIG = RealtimeConfig(model="gpt-realtime")
VOICES = frozenset({"marin", "coral"})


def of_session(voice: Any) -> object:
    config = configured({"audio": {"output": {"voice": voice}}}, CONFIG, VOICES)
    assert isinstance(config, RealtimeConfig)
    return config.audio.output.voice


def of_response(voice: Any) -> object:
    return parse_response({"audio": {"output": {"voice": voice}}}, CONFIG, SessionLock(), VOICES).audio.output.voice


@pytest.mark.parametrize("voice_of", [of_session, of_response])
@pytest.mark.parametrize(
    ("voice", "code"),
    [
        ({"id": "coral"}, None),
        ({"id": "voice_123"}, "invalid_value"),
        ({"id": 1}, "invalid_type"),
        ({}, "missing_required_parameter"),
        ({"id": "coral", "name": "x"}, "unknown_parameter"),
        (["coral"], "invalid_type"),
    ],
)
def test_a_voice_as_an_object(voice_of: Any, voice: Any, code: str | None) -> None:
    if code is None:
        assert voice_of(voice) == "coral"
        return
    with pytest.raises(RequestError) as refused:
        voice_of(voice)
    assert refused.value.code == code
    assert (refused.value.param or "").split(".", 1)[1].startswith("audio.output.voice")


def test_the_format_beside_it_stays() -> None:
    output = {"voice": {"id": "coral"}, "format": {"type": "audio/pcmu"}}
    options = parse_response({"audio": {"output": output}}, CONFIG, SessionLock(), VOICES)
    assert type(options.audio.output.format).__name__ == "Pcmu"
