"""The scripts that `tests/core/test_scripts.py` plays against the core, against a real server."""

from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.e2e.server_driver import Stage
from tests.script import SCRIPTS, play


@pytest.fixture(scope="module")
def stage() -> Iterator[Stage]:
    with Stage.open() as stage:
        yield stage


@pytest.mark.parametrize("path", sorted(SCRIPTS.glob("*.txt")), ids=lambda path: path.stem)
def test_script(stage: Stage, path: Path) -> None:
    assert play(path, stage.driver, interleaved=False) > 0
