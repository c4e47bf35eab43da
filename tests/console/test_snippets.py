"""What the Code page shows is run, with settings that are not the usual ones."""

import json
import os
import re
import shutil
import subprocess
import sys
from pathlib import Path

import pytest

from tests.conftest import Server
from tests.console.conftest import Launch, OpenTab, Tab

SETTINGS = {
    "voice": "cedar",
    "instructions": 'It\'s "so": always say "Yes, \\ indeed."',
    "turn": {"type": "semantic_vad", "eagerness": "high"},
    "tools": '[{"type": "function", "name": "look", "parameters": {"type": "object", "properties": {}}}]',
}
RUN_S = 30


@pytest.fixture
def page(launch: Launch, open_tab: OpenTab) -> Tab:
    tab = open_tab(launch())
    tab.open("code", **SETTINGS)
    return tab


def shown(tab: Tab, language: str) -> str:
    tab.page.get_by_role("radio", name=language, exact=True).click()
    tab.page.wait_for_selector(f"section[aria-label='{language} program']")
    return tab.page.locator("pre.code").text_content() or ""


def run(command: list[str], key: str) -> str:
    done = subprocess.run(
        command, env={**os.environ, "PARLEY_API_KEY": key}, capture_output=True, text=True, timeout=RUN_S, check=False
    )
    assert done.returncode == 0, done.stderr
    return done.stdout


def test_python_javascript_and_curl(page: Tab, console: Server, tmp_path: Path) -> None:
    program = tmp_path / "program.py"
    program.write_text(shown(page, "Python"))
    assert "Yes" in run([sys.executable, str(program)], console.key)

    secret = json.loads(run(["bash", "-c", shown(page, "curl")], console.key))
    session = secret["session"]
    assert secret["value"].startswith("ek_")
    assert session["audio"]["output"]["voice"] == "cedar"
    assert session["instructions"] == SETTINGS["instructions"]
    assert session["audio"]["input"]["turn_detection"]["eagerness"] == "high"
    assert session["tools"][0]["name"] == "look"

    node = shutil.which("node")
    if node is None:
        pytest.skip("needs Node")
    major = int(re.findall(r"\d+", subprocess.run([node, "--version"], capture_output=True, text=True).stdout)[0])
    script = tmp_path / "program.mjs"
    script.write_text(shown(page, "JavaScript"))
    flags = ["--experimental-websocket"] if major < 22 else []
    assert "Yes" in run([node, *flags, str(script)], console.key)


@pytest.mark.parametrize("transport", ["websocket", "webrtc"])
def test_browser(transport: str, launch: Launch, open_tab: OpenTab, console: Server, one_sentence: Path) -> None:
    tab = open_tab(launch(one_sentence))
    tab.open("code", transport=transport, **SETTINGS)
    program = shown(tab, "Browser")
    assert '"ek_…"' in program
    bare = tab.page.context.new_page()  # a page of nobody: no policy, no code of ours
    bare.goto(f"{console.url}/health")
    bare.evaluate("() => { window.said = []; console.log = (event) => window.said.push(event.type); }")
    bare.evaluate(f"async () => {{ {program.replace('ek_…', console.key)} }}")
    bare.wait_for_function("() => window.said.includes('response.done')", timeout=20_000)
    assert bare.evaluate("() => window.said.includes('session.updated')")
    assert "error" not in bare.evaluate("() => window.said")
