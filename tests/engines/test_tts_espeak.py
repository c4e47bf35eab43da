"""The program espeak-ng as a speaker: its failures, and that it does not outlive its listener."""

import os
import stat
from contextlib import aclosing
from pathlib import Path

import pytest

from parley.engines.tts import espeak
from parley.engines.tts.espeak import Espeak
from parley.errors import EngineError
from tests.speech import say

HEAD = r"printf 'RIFF\0\0\0\0WAVEfmt \020\0\0\0\001\0\001\0\300\135\0\0\200\273\0\0\002\0\020\0data\0\0\0\0'"


def program(folder: Path, script: str) -> Espeak:
    path = folder / "espeak-ng"
    path.write_text(f"#!/bin/sh\n{script}\n")
    path.chmod(path.stat().st_mode | stat.S_IXUSR)
    return Espeak(str(path))


async def test_the_words_are_no_argument_of_the_process(tmp_path: Path) -> None:
    speaker = program(
        tmp_path, f'echo "$@" > {tmp_path}/arguments; cat > {tmp_path}/text; {HEAD}; head -c 9600 /dev/zero'
    )
    assert len(await say(speaker, "My secret.", "shimmer", 1.2)) == 9_600
    assert (tmp_path / "arguments").read_text() == "-v en-gb+f3 -p 50 -s 210 --stdin --stdout\n"
    assert (tmp_path / "text").read_text() == "My secret."


@pytest.mark.parametrize(
    ("script", "code"),
    [
        ("exit 3", "backend_refused"),
        ("cat > /dev/null; exit 1", "backend_refused"),
        ("printf 'RIFF\\0\\0\\0\\0WAVEdata\\020\\0\\0\\0'; cat", "backend_protocol_error"),
        ("sleep 60", "backend_timeout"),
    ],
)
async def test_failures(tmp_path: Path, script: str, code: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(espeak, "SILENT_S_MAX", 0.5)
    with pytest.raises(EngineError) as raised:
        await say(program(tmp_path, script), "Hello.")
    assert raised.value.code == code


async def test_a_program_that_is_not_there(tmp_path: Path) -> None:
    with pytest.raises(EngineError) as raised:
        await say(Espeak(str(tmp_path / "nothing")), "Hello.")
    assert raised.value.code == "backend_unavailable"


async def test_a_closed_utterance_ends_the_process(tmp_path: Path) -> None:
    speaker = program(tmp_path, f"echo $$ > {tmp_path}/pid; {HEAD}; head -c 96000 /dev/zero; exec sleep 60")
    async with aclosing(speaker.speak("Hello.", "marin", 1.0)) as chunks:  # type: ignore[type-var]
        assert await anext(chunks)
    with pytest.raises(ProcessLookupError):
        os.kill(int((tmp_path / "pid").read_text()), 0)
