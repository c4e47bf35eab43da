"""The wheel that `pip install .` makes: the console is in it, and everything that is read at run time."""

import subprocess
import sys
import zipfile
from pathlib import Path

import pytest

from scripts.build_console import BuildError, build
from tests.conftest import ROOT


@pytest.mark.timeout(180)
def test_the_console_is_in_the_wheel(tmp_path: Path) -> None:
    try:
        build()
    except BuildError as error:
        pytest.skip(str(error))
    command = [sys.executable, "-m", "hatchling", "build", "--target", "wheel", "--directory", str(tmp_path)]
    subprocess.run(command, cwd=ROOT, check=True, capture_output=True)
    (wheel,) = tmp_path.glob("*.whl")
    names = set(zipfile.ZipFile(wheel).namelist())
    assert "parley/web/console_dist/index.html" in names
    data = {str(path.relative_to(ROOT)) for path in (ROOT / "parley").rglob("*") if path.suffix in (".sql", ".toml")}
    assert data <= names
    assert not [name for name in names if name.startswith(("tests/", "console/")) or name.endswith(".ts")]
