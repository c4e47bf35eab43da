"""The beta dialect with the SDK of its time (openai 1.99.9), in a process with its Python. See `beta_client.py`."""

import asyncio
import json
import subprocess
from pathlib import Path
from typing import NamedTuple

import pytest

from tests.conftest import ROOT, Server
from tests.sdk.beta_client import FLOWS, QUESTION
from tests.sdk.speaker import Speaker

WORKER_S = 55


class Played(NamedTuple):
    version: str
    flows: dict[str, tuple[int, str | None]]
    """Name -> how many events were judged, and what went wrong."""


@pytest.fixture(scope="module")
def question(speaker: Speaker, tmp_path_factory: pytest.TempPathFactory) -> Path:
    path = tmp_path_factory.mktemp("speech") / "question.pcm"
    path.write_bytes(asyncio.run(speaker(QUESTION)))
    return path


@pytest.fixture(scope="module")
def played(server: Server, beta_python: str, question: Path) -> Played:
    """All flows in one process: starting the old SDK takes longer than any of them."""
    done = subprocess.run(
        [beta_python, "-m", "tests.sdk.beta_client", server.base_url, server.key, str(question), *FLOWS],
        cwd=ROOT, capture_output=True, text=True, timeout=WORKER_S,
    )  # fmt: skip
    assert done.returncode == 0, done.stderr
    version, *lines = (json.loads(line) for line in done.stdout.splitlines())
    return Played(version, {name: (events, trouble) for name, events, trouble in lines})


def test_it_is_the_old_sdk(played: Played) -> None:
    assert played.version == "1.99.9"


@pytest.mark.parametrize("flow", FLOWS)
def test_flow(played: Played, flow: str) -> None:
    events, trouble = played.flows[flow]
    assert trouble is None, trouble
    assert events > 0
