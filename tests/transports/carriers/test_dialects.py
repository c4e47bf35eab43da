"""The table of carriers, against their own messages as `carrier.py` has them."""

import base64
import json
from typing import Any

import pytest

from parley.errors import RequestError
from parley.transports.carriers.dialects import (
    DIALECTS,
    NAME_CHARS_MAX,
    PARAMETERS_MAX,
    PLIVO,
    TELNYX,
    TWILIO,
    Dialect,
    Heard,
    Key,
    Marked,
    Sound,
    Start,
    Stop,
    Words,
    normal_name,
    read,
)
from tests.transports.carriers import carrier

SPELLINGS = {"twilio": carrier.TWILIO, "telnyx": carrier.TELNYX, "plivo": carrier.PLIVO}
EACH = pytest.mark.parametrize("dialect", DIALECTS.values(), ids=DIALECTS)


def heard(dialect: Dialect, event: Any) -> Heard:
    return read(dialect, json.dumps(event).encode())


@EACH
def test_what_comes(dialect: Dialect) -> None:
    spelling = SPELLINGS[dialect.name]
    *before, start = spelling.greeting({"apiKey": "sk-1", "model": "gpt-realtime"})
    assert [heard(dialect, event) for event in before] == [None] * len(before)
    assert heard(dialect, start) == Start(
        carrier.STREAM, carrier.CALL, "audio/pcmu", {"apikey": "sk-1", "model": "gpt-realtime"}
    )
    sound = Sound(b"\x00\xff", 1 if dialect is TELNYX else None)
    assert heard(dialect, spelling.media(base64.b64encode(b"\x00\xff").decode(), 1)) == sound
    assert heard(dialect, spelling.dtmf("#")) == Key("#")
    assert heard(dialect, spelling.marked("7")) == Marked("7")
    if spelling.stop is not None:
        assert heard(dialect, spelling.stop) == Stop()


@EACH
def test_what_goes(dialect: Dialect) -> None:
    words, spelling = Words(dialect, carrier.STREAM), SPELLINGS[dialect.name]
    sound = bytes(range(160))
    assert spelling.heard(json.loads(words.media(sound))) == ("media", base64.b64encode(sound).decode())
    assert spelling.heard(json.loads(words.mark("7"))) == ("mark", "7")
    assert spelling.heard(json.loads(words.clear())) == ("clear", "")


@EACH
@pytest.mark.parametrize("stream", ['","event":"stop', "$payload", "$name", "\n", "é"])
def test_a_stream_id_stays_a_string(dialect: Dialect, stream: str) -> None:
    words = Words(dialect, stream)
    for message, event in ((words.media(b"1"), dialect.media), (words.mark("1"), dialect.mark)):
        said = json.loads(message)
        assert said["event"] == json.loads(event.replace("$stream", '""'))["event"]
        assert said.get("streamSid", said.get("stream_id", said.get("streamId", stream))) == stream
    assert json.loads(words.clear())


@EACH
def test_only_the_caller_is_heard(dialect: Dialect) -> None:
    event = SPELLINGS[dialect.name].media("AAAA", 1)
    event["media"]["track"] = "outbound"
    assert heard(dialect, event) is None


@EACH
@pytest.mark.parametrize(
    "message",
    [
        b"", b"[]", b"{", b"\xff\xfe", b'{"event": 1}', b"{}", b'{"event":"media"}', b'{"event":"media","media":[]}',
        b'{"event":"media","media":{"payload":"?"}}', b'{"event":"media","media":{"payload":"AAA"}}',
        '{"event":"media","media":{"payload":"é"}}'.encode(), b'{"event":"dtmf","dtmf":{"digit":"12"}}',
        b'{"event":"dtmf","dtmf":{"digit":5}}', b'{"event":"start"}', b'{"event":"start","start":{}}', b"[" * 100_000,
    ],
)  # fmt: skip
def test_garbage(dialect: Dialect, message: bytes) -> None:
    with pytest.raises(RequestError):
        read(dialect, message)


@pytest.mark.parametrize("chunk", [None, "", "x", -1, 1.5, "1" * 13, True, "٣"])
def test_sound_without_a_number_is_heard_as_it_comes(chunk: Any) -> None:
    event = carrier.TELNYX.media("AAAA", 1)
    event["media"]["chunk"] = chunk
    assert heard(TELNYX, event) == Sound(bytes(3))


def test_unknown_events_are_left_alone() -> None:
    for event in ("connected", "error", "clearedAudio", "tomorrow"):
        assert heard(TELNYX, {"event": event}) is None


def test_encodings() -> None:
    start = carrier.TELNYX.greeting({})[-1]
    start["start"]["media_format"]["encoding"] = "PCMA"
    assert isinstance(found := heard(TELNYX, start), Start) and found.wire == "audio/pcma"
    for encoding, rate in (("G722", 8000), ("PCMU", 16_000), ("L16", 8000)):
        start["start"]["media_format"] = {"encoding": encoding, "sample_rate": rate}
        with pytest.raises(RequestError, match="PCMU") as caught:
            heard(TELNYX, start)
        assert caught.value.code == "unsupported_codec"
    start = carrier.PLIVO.greeting({})[-1]
    start["start"]["mediaFormat"]["encoding"] = "audio/x-l16"
    with pytest.raises(RequestError, match="audio/x-mulaw;rate=8000"):
        heard(PLIVO, start)


def test_parameters() -> None:
    assert {normal_name(name) for name in ("client_secret", "clientSecret", "X-PH-ClientSecret", "client-secret")} == {
        "clientsecret"
    }
    start = carrier.TWILIO.greeting({f"p{at}": "" for at in range(PARAMETERS_MAX + 1)})[-1]
    with pytest.raises(RequestError, match=str(PARAMETERS_MAX)):
        heard(TWILIO, start)
    start["start"]["customParameters"] = None
    assert isinstance(found := heard(TWILIO, start), Start) and found.parameters == {}
    start["start"]["streamSid"] = "M" * (NAME_CHARS_MAX + 1)
    with pytest.raises(RequestError, match="streamSid"):
        heard(TWILIO, start)
    plivo = carrier.PLIVO.greeting({})[-1]
    plivo["extra_headers"] = "X-PH-userId=12345;model=gpt-realtime,voice=ash;nothing"
    assert isinstance(found := heard(PLIVO, plivo), Start)
    assert found.parameters == {"userid": "12345", "model": "gpt-realtime", "voice": "ash"}
