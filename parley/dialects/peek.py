"""The type of an event, and the size of the sound in it, without parsing it.

Most of what a relay passes on is sound: `input_audio_buffer.append` up, `response.output_audio.delta` down. Reading
these as JSON costs more than passing them on. So one regular expression walks over the scalar members at the beginning
of the object, in any order, up to `type`: it cannot get into an inner object, and a string cannot look like a member to
it. Where it does not get that far, the answer is "not known", and the event is parsed.
"""

import re
from typing import Final

_TEXT: Final = rb'"[^"\\]*"'
_SCALAR: Final = rb"(?:" + _TEXT + rb"|[-+.0-9eE]+|true|false|null)"
_MEMBERS: Final = rb"\s*\{(?:\s*" + _TEXT + rb"\s*:\s*" + _SCALAR + rb"\s*,)*?\s*"

_type = re.compile(_MEMBERS + rb'"type"\s*:\s*"([^"\\]*)"').match
_EVENT_ID: Final = rb'(?:"event_id"\s*:\s*"[^"\\]*"\s*,\s*)?'
_append = re.compile(
    rb"\s*\{\s*" + _EVENT_ID + rb'"type"\s*:\s*"input_audio_buffer\.append"\s*,\s*' + _EVENT_ID + rb'"audio"\s*:\s*"'
).match
_DELTAS: Final = (b'{"type":"response.output_audio.delta",', b'{"type":"response.audio.delta",')
_DELTA_BYTES: Final = min(map(len, _DELTAS))
_SOUND: Final = b'"delta":"'
_SOUND_BYTES: Final = len(_SOUND)

_BACKSLASH: Final = ord("\\")

HEAD_BYTES_MAX: Final = 1_024
"""How far into an event its sound is looked for."""


def kind(raw: bytes) -> str | None:
    """The event's `type`, or None when that takes parsing."""
    found = _type(raw)
    return None if found is None else found[1].decode("utf-8", "replace")


def append_chars(raw: bytes) -> int:
    """How much base64 an `input_audio_buffer.append` carries, or -1 when this is another event, or may be one.

    Sure of the whole text: the object has these members and no others.
    """
    found = _append(raw)
    if found is None:
        return -1
    begin = found.end()
    end = raw.find(b'"', begin)
    if end < 0 or raw[end - 1] == _BACKSLASH:
        return -1
    if end == len(raw) - 2 and raw.endswith(b"}"):
        return end - begin
    return end - begin if raw[end + 1 :].strip() == b"}" else -1


def delta_chars(raw: bytes, needle: bytes) -> int:
    """How much base64 a delta of sound with `needle` in its head carries; -1 when this is another event, or may be."""
    if not raw.startswith(_DELTAS):
        return -1
    begin = raw.find(_SOUND, _DELTA_BYTES, HEAD_BYTES_MAX)
    if begin < 0 or raw.find(needle, _DELTA_BYTES, begin) < 0:
        return -1
    begin += _SOUND_BYTES
    return raw.find(b'"', begin) - begin
