#!/usr/bin/env python3
"""Pictures of the console for the README, in both themes: a real browser talks with a real server.

`python scripts/make_console_pictures.py [FOLDER]`; the folder is docs/images unless named.
"""

import sys
import tempfile
from pathlib import Path

from playwright.sync_api import Page, ViewportSize, sync_playwright

ROOT = Path(__file__).resolve().parent.parent
sys.path.insert(0, str(ROOT))

from scripts.build_console import build  # noqa: E402
from tests.console.conftest import CHROMIUM, KEY, console_server, silence, voice, write_wav  # noqa: E402

SIZE: ViewportSize = {"width": 1280, "height": 800}
SAID = ("What is twelve times seven?", "Convert ten miles to kilometers.")
WAIT_MS = 30_000


def main() -> int:
    folder = Path(sys.argv[1]) if len(sys.argv) > 1 else ROOT / "docs" / "images"
    folder.mkdir(parents=True, exist_ok=True)
    build()
    with tempfile.TemporaryDirectory() as place, console_server(Path(place) / "home") as server:
        microphone = write_wav(Path(place) / "voice.wav", silence(1) + voice() + silence(120))
        with sync_playwright() as playwright:
            browser = playwright.chromium.launch(
                executable_path=next(path for path in CHROMIUM if Path(path).exists()),
                args=[
                    "--no-sandbox",
                    "--autoplay-policy=no-user-gesture-required",
                    "--use-fake-device-for-media-stream",
                    "--use-fake-ui-for-media-stream",
                    f"--use-file-for-fake-audio-capture={microphone}%noloop",
                ],
            )
            page = browser.new_context(viewport=SIZE, device_scale_factor=2, color_scheme="light").new_page()
            page.goto(f"{server.url}/console/")
            page.fill("input[name=key]", KEY)
            page.click("form button")
            page.click("button.start")
            answered(page, 1)
            for number, text in enumerate(SAID, 2):
                page.fill("textarea[name=text]", text)
                page.keyboard.press("Enter")
                answered(page, number)
            for name in ("talk", "turns"):
                page.click(f"nav a[href='/console/{name}']")
                for theme in ("light", "dark"):
                    page.emulate_media(color_scheme=theme)
                    page.wait_for_timeout(600)
                    page.screenshot(path=folder / f"console-{name}-{theme}.png")
            browser.close()
    return 0


def answered(page: Page, turns: int) -> None:
    """So many turns have been answered and heard."""
    page.wait_for_function(
        "(turns) => document.querySelector('parley-app').talk.turns.turns"
        ".filter((turn) => turn.status === 'completed').length >= turns",
        arg=turns,
        timeout=WAIT_MS,
    )


if __name__ == "__main__":
    sys.exit(main())
