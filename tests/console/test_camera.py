"""Pictures: from a file, dropped, from the camera; always small enough for the call that takes them."""

import json
from pathlib import Path

import numpy as np
import pytest
from playwright.sync_api import expect

from tests.console.conftest import Launch, OpenTab, Tab
from tests.console.test_pages import violations
from tests.console.test_talk import TRANSPORTS

CHANNEL_BYTES_MAX = 262_144
"""What one message of a WebRTC channel may have, by the server's answer."""
DROP = """(pieces) => {
    const page = document.querySelector('parley-app').renderRoot.querySelector('parley-talk-page');
    const files = new DataTransfer();
    files.items.add(new File([Uint8Array.from(pieces)], 'notes.txt', { type: 'text/plain' }));
    page.renderRoot.querySelector('.main').dispatchEvent(new DragEvent('drop', { dataTransfer: files }));
}"""


def sent_picture(tab: Tab) -> str:
    """Sends what lies beside the message; the data URL that went out."""
    tab.page.get_by_role("button", name="Send", exact=True).click()
    expect(tab.page.locator("parley-transcript li.user img")).to_be_visible()
    text: str = tab.talk("talk.events.rows.find((row) => row.type === 'conversation.item.create').text")
    item = json.loads(text)["item"]
    assert [part["type"] for part in item["content"]] == ["input_image"]
    size = tab.talk("talk.events.rows.find((row) => row.type === 'conversation.item.create').bytes")
    assert tab.talk("talk.settings.transport") == "websocket" or size <= CHANNEL_BYTES_MAX
    tab.wait("talk.turns.last?.status === 'completed'")
    assert tab.talk("talk.problem") is None
    return tab.page.locator("parley-transcript li.user img").get_attribute("src") or ""


@pytest.mark.parametrize("transport", TRANSPORTS)
def test_a_still_of_the_camera(transport: str, launch: Launch, open_tab: OpenTab, silent: Path) -> None:
    tab = open_tab(launch(silent))
    page = tab.open(transport=transport, output="text", turn={"type": "none"})
    page.click("button.start")
    tab.wait("talk.live")
    page.get_by_role("button", name="Take a picture").click()
    expect(page.get_by_role("button", name="Take the picture")).to_be_enabled()
    assert violations(page) == []
    page.get_by_role("button", name="Take the picture").click()
    expect(page.get_by_alt_text("Picture to send")).to_be_visible()
    expect(page.locator("parley-camera")).to_have_count(0)
    assert len(sent_picture(tab)) > 4_000, "the test pattern, not an empty frame"


@pytest.mark.parametrize("transport", TRANSPORTS)
def test_a_large_picture_is_made_to_fit(
    transport: str, launch: Launch, open_tab: OpenTab, silent: Path, tmp_path: Path
) -> None:
    tab = open_tab(launch(silent))
    page = tab.open(transport=transport, output="text", turn={"type": "none"})
    page.click("button.start")
    tab.wait("talk.live")
    page.locator("parley-talk-page input[type=file]").set_input_files(noise(tmp_path / "noise.png"))
    expect(page.get_by_alt_text("Picture to send")).to_be_visible()
    assert sent_picture(tab).startswith("data:image/jpeg"), "as the model sees it"


def noise(path: Path) -> Path:
    """About 2 MB that no encoder makes much smaller."""
    import av

    frame = av.VideoFrame.from_ndarray(
        np.random.default_rng(1).integers(0, 255, (800, 900, 3), np.uint8), format="rgb24"
    )
    with av.open(str(path), "w", format="image2") as file:
        stream = file.add_stream("png")
        stream.width, stream.height, stream.pix_fmt = 900, 800, "rgb24"
        file.mux(stream.encode(frame))
        file.mux(stream.encode())
    return path


def test_what_is_no_picture_is_named(launch: Launch, open_tab: OpenTab, silent: Path) -> None:
    tab = open_tab(launch(silent))
    page = tab.open(output="text")
    page.click("button.start")
    tab.wait("talk.live")
    page.evaluate(DROP, [1, 2, 3])
    expect(page.get_by_role("alert")).to_contain_text("Choose a PNG or a JPEG")
    expect(page.get_by_role("alert")).to_contain_text("notes.txt is text/plain")


@pytest.mark.parametrize(("kind", "says"), [("missing", "No camera was found"), ("blocked", "address bar")])
def test_without_a_camera(kind: str, says: str, launch: Launch, open_tab: OpenTab, silent: Path) -> None:
    tab = open_tab(launch(silent, allow=False) if kind == "blocked" else launch())
    page = tab.open(output="text")
    page.click("button.start")
    tab.wait("talk.live")
    page.get_by_role("button", name="Take a picture").click()
    expect(page.get_by_role("dialog", name="Camera")).to_contain_text(says)
    page.keyboard.press("Escape")
    expect(page.get_by_role("dialog", name="Camera")).to_have_count(0)
