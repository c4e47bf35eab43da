"""The programs in examples/ do what they say, run as a reader would run them, against a real server."""

import asyncio
import re
import shutil
import subprocess
import sys
from pathlib import Path

import pytest

from parley.cli.sound import read_sound
from tests.conftest import ROOT, Server, clean_environment
from tests.spoken import recording

QUESTION = "What is seven plus five?"
TESTED = {  # those that answer calls: in tests/webhooks
    "answer-calls.mjs", "answer_calls.py", "ask.py", "beta_client.py", "call.js", "function_calling.py", "push_to_talk.py", "speak.py", "transcribe.py", "websocket.mjs",
    "websocket.py",
}  # fmt: skip


async def example(server: Server, name: str, *args: str, program: tuple[str, ...] = (sys.executable,)) -> str:
    """What the example prints. It must succeed, and have nothing to complain about."""
    environment = clean_environment(server.home) | {"OPENAI_BASE_URL": server.base_url, "OPENAI_API_KEY": server.key}
    del environment["PYTHONPATH"]
    result = await asyncio.to_thread(
        subprocess.run,
        [*program, str(ROOT / "examples" / name), *args],
        env=environment,
        capture_output=True,
        text=True,
        timeout=50,
        check=False,
    )
    assert result.returncode == 0, result.stderr
    return result.stdout


@pytest.fixture
async def question(tmp_path: Path) -> str:
    return str(await recording(tmp_path / "question.wav", QUESTION))


def test_every_example_is_tested() -> None:
    assert {path.name for path in (ROOT / "examples").iterdir() if path.is_file()} == TESTED


async def test_ask(server: Server) -> None:
    assert "51" in await example(server, "ask.py", "What is seventeen times three?")


async def test_speak(server: Server, question: str, tmp_path: Path) -> None:
    answer = tmp_path / "answer.wav"
    printed = await example(server, "speak.py", question, str(answer))
    assert re.search(r"^you: .*(seven|7)", printed, re.MULTILINE)
    assert re.search(r"^parley: .*(12|twelve)", printed, re.MULTILINE | re.IGNORECASE)
    assert len(read_sound(answer)) > 12_000


async def test_function_calling(server: Server) -> None:
    printed = await example(server, "function_calling.py", "Where is my order A1007?")
    assert re.search(r'^lookup_order\(\{"order_id": ?"A1007"\}\)$', printed, re.MULTILINE)
    assert "shipped" in printed.splitlines()[-1].lower()


async def test_push_to_talk(server: Server, question: str) -> None:
    printed = await example(server, "push_to_talk.py", question)
    assert "12" in printed
    assert re.search(r"^completed, \d+\.\d s of speech$", printed, re.MULTILINE)


async def test_transcribe(server: Server, tmp_path: Path) -> None:
    speech = await recording(tmp_path / "speech.wav", QUESTION, "The weather is nice today.")
    lines = (await example(server, "transcribe.py", str(speech))).splitlines()
    assert len(lines) == 2
    assert "five" in lines[0] or "5" in lines[0]
    assert "weather" in lines[1]


async def test_websocket(server: Server) -> None:
    assert "51" in await example(server, "websocket.py", "What is seventeen times three?")


async def test_websocket_in_javascript(server: Server) -> None:
    node = shutil.which("node")
    if node is None:
        pytest.skip("needs Node")
    major = int(
        subprocess.run([node, "--version"], capture_output=True, text=True, check=True).stdout[1:].split(".")[0]
    )
    if major < 20:
        pytest.skip("needs Node 20 or newer")
    program = (node, "--experimental-websocket") if major < 22 else (node,)
    assert "51" in await example(server, "websocket.mjs", "What is seventeen times three?", program=program)


async def test_beta_client_with_the_current_sdk(server: Server) -> None:
    assert "51" in await example(server, "beta_client.py", "What is seventeen times three?")


async def test_beta_client_with_the_old_sdk(server: Server, beta_python: str) -> None:
    printed = await example(server, "beta_client.py", "What is seventeen times three?", program=(beta_python,))
    assert "51" in printed
