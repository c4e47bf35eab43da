"""What the documentation says is true: commands run, code is that of the examples, links lead somewhere."""

import asyncio
import importlib.util
import json
import re
import shlex
import shutil
import subprocess
import sys
import tomllib
from pathlib import Path
from types import ModuleType
from typing import NamedTuple

import pytest

from parley.settings import load
from tests.conftest import ROOT, Server, clean_environment
from tests.spoken import recording

PAGES = [*sorted(ROOT.glob("*.md")), *sorted((ROOT / "docs").rglob("*.md"))]
NOT_RUN = {"parley serve": "it does not end", "parley talk": "it needs a microphone"}
SKIPPED = ("export ", "cd ", "git ", "apt ", "pip ")


class Block(NamedTuple):
    page: Path
    language: str
    text: str


def blocks(*languages: str) -> list[Block]:
    found = []
    for page in PAGES:
        for match in re.finditer(r"^```(\w*)\n(.*?)^```$", page.read_text("utf-8"), re.MULTILINE | re.DOTALL):
            if match[1] in languages:
                found.append(Block(page, match[1], match[2]))
    return found


def commands() -> list[str]:
    """The command lines of the documentation, once each."""
    lines = {
        line.partition(" #")[0].strip().removeprefix(".venv/bin/")
        for block in blocks("sh")
        for line in block.text.splitlines()
    }
    return sorted(line for line in lines if line)


def make_docs() -> ModuleType:
    spec = importlib.util.spec_from_file_location("make_docs", ROOT / "scripts" / "make_docs.py")
    assert spec is not None
    assert spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


def test_generated_parts_are_fresh() -> None:
    result = subprocess.run(
        [sys.executable, str(ROOT / "scripts" / "make_docs.py"), "--check"], capture_output=True, text=True, check=False
    )
    assert result.returncode == 0, result.stdout + result.stderr


@pytest.mark.parametrize("page", PAGES, ids=lambda page: str(page.relative_to(ROOT)))
def test_links_lead_somewhere(page: Path) -> None:
    for link in re.findall(r"\]\(([^)\s]+)\)", page.read_text("utf-8")):
        if "://" in link:
            continue
        path, _, anchor = link.partition("#")
        target = page.parent / path if path else page
        assert target.exists(), link
        assert not anchor or anchor in anchors(target), link


def anchors(page: Path) -> set[str]:
    headings = re.findall(r"^#+ (.+)$", page.read_text("utf-8"), re.MULTILINE)
    return {re.sub(r"[^\w -]", "", heading.lower()).replace(" ", "-") for heading in headings}


def test_programs_are_the_tested_ones() -> None:
    programs = {path.read_text("utf-8").strip() for path in (ROOT / "examples").iterdir() if path.is_file()}
    for block in blocks("python", "js"):
        assert block.text.strip() in programs, f"{block.page.name}: {block.text[:60]}"


def test_every_page_is_in_the_index() -> None:
    index = (ROOT / "docs" / "README.md").read_text()
    missing = (
        {page.name for page in (ROOT / "docs").glob("*.md")} - {"README.md"} - set(re.findall(r"\((\S+?\.md)\)", index))
    )
    assert missing == set()


def test_data_blocks_parse() -> None:
    for block in blocks("json"):
        json.loads(block.text)
    for block in blocks("toml"):
        tomllib.loads(block.text)


def test_settings_in_the_text_exist(tmp_path: Path) -> None:
    """`PARLEY_X=value` anywhere in the documentation is a setting that takes this value; files in it load."""
    for page in PAGES:
        text = page.read_text("utf-8")
        for code in re.findall(r"`([^`\n]*\bPARLEY_\w+=[^`\n]*)`", text):
            given = dict(part.partition("=")[::2] for part in code.split() if part.startswith("PARLEY_"))
            load(environ={"PARLEY_HOME": str(tmp_path)} | given, folder=tmp_path)
    for block in blocks("toml"):
        (tmp_path / "parley.toml").write_text(block.text)
        load(environ={"PARLEY_HOME": str(tmp_path)}, folder=tmp_path)


def test_every_dependency_has_its_reason() -> None:
    project = tomllib.loads((ROOT / "pyproject.toml").read_text())
    groups = [
        project["project"]["dependencies"],
        *project["project"]["optional-dependencies"].values(),
        *(project["dependency-groups"][name] for name in ("build", "dev")),
    ]
    wanted = {re.split(r"[\[<>=]", line)[0] for group in groups for line in group if isinstance(line, str)}
    page = (ROOT / "docs" / "dependencies.md").read_text()
    explained = [
        match[1] for match in re.finditer(r"^\| (\w[\w-]*) \| \S.* \|$", page, re.MULTILINE) if match[1] != "package"
    ]
    assert sorted(explained) == sorted(wanted)


def test_the_make_targets_exist() -> None:
    for line in commands():
        if line.startswith("make "):
            target = shlex.split(line)[1]
            subprocess.run(["make", "-n", target], cwd=ROOT, capture_output=True, check=True)


def runnable() -> list[str]:
    return [line for line in commands() if line.startswith(("parley ", "curl ")) and line not in NOT_RUN]


def test_no_command_is_left_out() -> None:
    known = {*runnable(), *NOT_RUN}
    for line in commands():
        assert line in known or line.startswith(("make", *SKIPPED)), line


@pytest.mark.parametrize("line", runnable())
async def test_the_commands_run(line: str, server: Server, tmp_path: Path) -> None:
    if shutil.which("curl") is None and line.startswith("curl"):
        pytest.skip("needs curl")
    if "question.wav" in line:
        await recording(tmp_path / "question.wav", "What is seven plus five?")
    words = shlex.split(line.replace("http://127.0.0.1:8000", server.url))
    if words[0] == "parley":
        words = [sys.executable, "-m", *words]
    environment = clean_environment(server.home)
    environment |= {"PARLEY_PORT": server.url.rpartition(":")[2], "PARLEY_API_KEY": server.key}
    result = await asyncio.to_thread(
        subprocess.run, words, env=environment, cwd=tmp_path, capture_output=True, text=True, timeout=55, check=False
    )
    assert result.returncode == 0, result.stdout + result.stderr
    assert result.stdout.strip()


def test_limits_are_found_in_the_code() -> None:
    found = {limit.name: limit for limit in make_docs().all_limits()}
    assert found["COMMIT_MS_MIN"].value == "100 ms"
    assert found["AUDIO_BYTES_MAX"].value == "15 MiB"
