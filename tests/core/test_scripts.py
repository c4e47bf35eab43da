from pathlib import Path

import pytest

from tests.core.driver import CoreDriver
from tests.script import SCRIPTS, play


@pytest.mark.parametrize("path", sorted(SCRIPTS.glob("*.txt")), ids=lambda path: path.stem)
def test_script(path: Path) -> None:
    assert play(path, CoreDriver) > 0
