"""`parley talk` and `parley say` against a real server, as processes of their own."""

import asyncio
import json
import signal
import subprocess
import sys
from functools import partial
from pathlib import Path
from typing import Any

import pytest

from parley.cli.client import Target
from parley.cli.problem import Problem, Status
from parley.cli.sound import read_sound
from tests.conftest import MakeServer, Server, clean_environment
from tests.spoken import recording, say


async def parley(server: Server, *args: str, key: str | None = None) -> subprocess.CompletedProcess[str]:
    command = [sys.executable, "-m", "parley", *args, "--url", server.url, "--key", key or server.key]
    return await asyncio.to_thread(
        subprocess.run,
        command,
        env=clean_environment(server.home),
        capture_output=True,
        text=True,
        timeout=50,
        check=False,
    )


def turns(result: subprocess.CompletedProcess[str]) -> list[dict[str, Any]]:
    assert result.returncode == Status.OK, result.stderr
    return [json.loads(line) for line in result.stdout.splitlines()]


async def test_say_prints_the_answer(server: Server) -> None:
    result = await parley(server, "say", "What is twelve times twelve?")
    assert result.returncode == Status.OK, result.stderr
    assert "144" in result.stdout


async def test_say_as_json_and_into_a_file(server: Server, tmp_path: Path) -> None:
    (turn,) = turns(await parley(server, "say", "What is two plus two?", "--json", "--out", str(tmp_path / "a.wav")))
    assert turn["status"] == "completed"
    assert "4" in turn["assistant"]
    assert turn["usage"]["total_tokens"] > 0
    assert len(read_sound(tmp_path / "a.wav")) > 12_000


async def test_questions_in_writing_are_one_conversation(server: Server) -> None:
    result = await parley(server, "talk", "--json", "--text", "My name is Ada.", "--text", "What is my name?")
    assert "Ada" in turns(result)[1]["assistant"]


async def test_a_recording_is_heard_answered_and_timed(server: Server, tmp_path: Path) -> None:
    question = await recording(tmp_path / "question.wav", "What is seven plus five?")
    reply = tmp_path / "reply.wav"
    (turn,) = turns(await parley(server, "talk", "--json", "--wav", str(question), "--out", str(reply)))
    assert "12" in turn["assistant"] or "twelve" in turn["assistant"].lower()
    assert turn["user"]
    order = list(turn["ms"])
    assert order[0] == "heard"
    assert order.index("last_word") < order.index("committed") < order.index("sound")
    assert 300 < turn["answer_ms"] < 20_000
    assert len(read_sound(reply)) > 12_000


async def test_recordings_are_asked_one_after_the_other(server: Server, tmp_path: Path) -> None:
    first = await recording(tmp_path / "1.wav", "Hello, how are you?")
    second = await recording(tmp_path / "2.wav", "What is seven plus five?")
    result = await parley(server, "talk", "--no-timing", "--wav", str(first), "--wav", str(second))
    assert result.returncode == Status.OK, result.stderr
    spoken = [line for line in result.stdout.splitlines() if line.startswith(("you", "parley"))]
    assert [line.split()[0] for line in spoken] == ["you", "parley", "you", "parley"]
    assert "seven" in spoken[2].lower() or "7" in spoken[2]
    assert "12" in spoken[3]


async def test_the_waterfall(server: Server, tmp_path: Path) -> None:
    question = await recording(tmp_path / "question.wav", "What is seven plus five?")
    result = await parley(server, "talk", "--wav", str(question), "--turns", "1", "--voice", "cedar")
    assert result.returncode == Status.OK, result.stderr
    assert "━" in result.stdout
    assert "your last word to first sound" in result.stdout


async def test_silence_is_no_speech(server: Server, tmp_path: Path) -> None:
    from parley.cli.sound import write_wav

    write_wav(tmp_path / "silence.wav", bytes(48_000))
    result = await parley(server, "talk", "--wav", str(tmp_path / "silence.wav"))
    assert result.returncode == Status.FAILED
    assert result.stderr.startswith("parley: No speech was heard")


async def test_ctrl_c_ends_a_conversation_in_good_order(server: Server, tmp_path: Path) -> None:
    question = await recording(tmp_path / "question.wav", "Hello, how are you?")
    command = [sys.executable, "-m", "parley", "talk", "--out", str(tmp_path / "reply.wav")]
    several = ["--wav", str(question)] * 3  # each is spoken for longer than a signal takes
    process = await asyncio.create_subprocess_exec(
        *command, *several, "--url", server.url, "--key", server.key,
        env=clean_environment(server.home), stdout=asyncio.subprocess.PIPE, stderr=asyncio.subprocess.PIPE,
        preexec_fn=partial(signal.signal, signal.SIGINT, signal.SIG_DFL),  # a shell's background jobs ignore it
    )  # fmt: skip
    assert process.stdout is not None
    assert (await process.stdout.readline()).startswith(b"you")  # in the middle of the conversation
    process.send_signal(signal.SIGINT)
    _, complaints = await asyncio.wait_for(process.communicate(), 30)
    assert process.returncode == Status.INTERRUPTED
    assert complaints == b""
    assert (tmp_path / "reply.wav").exists()


async def test_a_wrong_key(server: Server) -> None:
    result = await parley(server, "say", "hello", key="sk-wrong")
    assert result.returncode == Status.AUTH
    assert "PARLEY_API_KEY" in result.stderr


@pytest.mark.parametrize(
    ("flag", "value", "status"), [("--model", "gpt-9", Status.NETWORK), ("--voice", "x", Status.USAGE)]
)
async def test_what_the_server_refuses(flag: str, value: str, status: Status, server: Server) -> None:
    result = await parley(server, "say", "hello", flag, value)
    assert result.returncode == status
    assert result.stderr.count("\n") == 1


async def test_the_local_certificate_is_trusted(make_server: MakeServer) -> None:
    server = make_server(args=("--tls", "local"))
    result = await asyncio.to_thread(
        subprocess.run,
        [sys.executable, "-m", "parley", "say", "What is one plus one?"],
        env=clean_environment(server.home)
        | {"PARLEY_TLS": "local", "PARLEY_PORT": server.url.rpartition(":")[2], "PARLEY_API_KEY": server.key},
        capture_output=True,
        text=True,
        timeout=50,
        check=False,
    )
    assert result.returncode == Status.OK, result.stderr
    assert "2" in result.stdout


@pytest.mark.parametrize(
    ("given", "wanted"),
    [
        ("http://127.0.0.1:8000", "ws://127.0.0.1:8000/v1/realtime?model=m"),
        ("127.0.0.1:8000", "ws://127.0.0.1:8000/v1/realtime?model=m"),
        ("https://voice.example/v1", "wss://voice.example/v1/realtime?model=m"),
        ("wss://voice.example/v1/realtime", "wss://voice.example/v1/realtime?model=m"),
        ("https://voice.example/under/here/", "wss://voice.example/under/here/v1/realtime?model=m"),
    ],
)
def test_addresses_in_every_form(given: str, wanted: str) -> None:
    assert Target(given, "key", "m").socket_url == wanted


@pytest.mark.parametrize("given", ["ftp://voice.example", "http://", ""])
def test_what_is_no_address(given: str) -> None:
    with pytest.raises(Problem, match="is not an address"):
        assert Target(given, "key", "m").socket_url


async def test_speech_is_made_for_these_tests() -> None:
    assert len(await say("Hello.")) > 12_000 + 9_600
