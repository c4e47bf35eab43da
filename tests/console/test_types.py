"""The types of the console are those of the server."""

import json
import os
import shlex
import subprocess
import sys
from pathlib import Path

from scripts.build_console import find_npm
from tests.conftest import ROOT

CONSOLE = ROOT / "console"


def test_the_document_of_the_management_api_is_fresh() -> None:
    check = [sys.executable, "scripts/make_management_json.py", "--check"]
    done = subprocess.run(check, cwd=ROOT, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stdout


def test_the_types_are_made_of_their_documents(built: Path, tmp_path: Path) -> None:
    """As `npm run types` makes them. `built`: the tools are there."""
    npm = find_npm()
    environment = {**os.environ, "PATH": os.pathsep.join((str(Path(npm[0]).parent), os.environ["PATH"]))}
    for command in json.loads((CONSOLE / "package.json").read_text())["scripts"]["types"].split(" && "):
        *words, kept = shlex.split(command)
        made = tmp_path / Path(kept).name
        subprocess.run(
            [*npm, "exec", "--", *words, made], cwd=CONSOLE, env=environment, capture_output=True, check=True
        )
        assert (CONSOLE / kept).read_text() == made.read_text(), f"{kept} is stale; run `npm run types` in console/"
