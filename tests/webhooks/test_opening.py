"""What the settings say, and a telephone call from its INVITE to its end by everything that is there for it."""

import asyncio
import os
import shutil
import subprocess
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import openai
import pytest
from openai import AsyncOpenAI

from parley.outgoing import Outgoing
from parley.settings import Settings, SettingsError
from parley.storage import LateStorage
from parley.transports.sip import phones
from parley.webhooks.opening import open_webhooks
from tests.conftest import ROOT
from tests.webhooks.receivers import SECRET, Received, Receiver, receiving, until
from tests.webhooks.telephone import KEY, Caller, Running, announcing, free_port

URL = "https://hooks.example/in"
NODE_MODULES = Path(os.environ.get("TEST_NODE_MODULES", ROOT / "console" / "node_modules"))
"""Where the official client in JavaScript may be."""


# ---- settings


async def test_nothing_is_announced_without_an_address(tmp_path: Path) -> None:
    assert open_webhooks(Settings(home=tmp_path), LateStorage(), Outgoing()) is None


async def test_the_operators_own_addresses_are_trusted(tmp_path: Path) -> None:
    settings = Settings(home=tmp_path, webhook_url="http://127.0.0.1:9/", webhook_secret=SECRET)
    webhooks = open_webhooks(settings, LateStorage(), Outgoing(), ["http://10.0.0.1/", ""])
    assert webhooks is not None
    assert webhooks._trusted == {"http://127.0.0.1:9/", "http://10.0.0.1/"}


@pytest.mark.parametrize(
    ("url", "secret", "said"),
    [
        (URL, None, "needs webhook_secret"),
        (URL, "short", "webhook_secret is wrong"),
        ("hooks.example", SECRET, "webhook_url is wrong"),
        ("ftp://hooks.example/", SECRET, "webhook_url is wrong"),
        ("http://:80/", SECRET, "webhook_url is wrong"),
        ("http://x:99999/", SECRET, "webhook_url is wrong"),
    ],
)
async def test_wrong_settings(tmp_path: Path, url: str, secret: str | None, said: str) -> None:
    with pytest.raises(SettingsError, match=said):
        open_webhooks(Settings(home=tmp_path, webhook_url=url, webhook_secret=secret), LateStorage(), Outgoing())


# ---- a call


async def rung(receiver: Receiver, running: Running) -> tuple[Caller, Received]:
    caller = Caller(running.sip_port)
    caller.call()
    await until(lambda: len(receiver.received) == 1)
    return caller, receiver.received[0]


async def test_a_call_is_announced_and_accepted_once(tmp_path: Path) -> None:
    async with (
        receiving() as receiver,
        announcing(receiver.url, tmp_path) as running,
        AsyncOpenAI(base_url=f"{running.url}/v1", api_key=KEY) as client,
    ):
        caller, received = await rung(receiver, running)
        with caller:
            event = received.unwrapped()
            assert ("X-Order", "17") in [(header.name, header.value) for header in event.data.sip_headers]
            assert event.data.sip_media_security == "rtp"
            call_id = event.data.call_id
            asked = (client.realtime.calls.accept(call_id, type="realtime") for _ in range(3))
            results = await asyncio.gather(*asked, return_exceptions=True)
            assert results.count(None) == 1
            assert sum(isinstance(result, openai.NotFoundError) for result in results) == 2
            await until(lambda: 200 in caller.heard())
            assert len(running.house.registry) == 1
            await client.realtime.calls.hangup(call_id)
            assert len(running.house.registry) == 0


@pytest.mark.parametrize("status", [None, 486])
async def test_a_call_is_announced_and_rejected(tmp_path: Path, status: int | None) -> None:
    async with (
        receiving() as receiver,
        announcing(receiver.url, tmp_path) as running,
        AsyncOpenAI(base_url=f"{running.url}/v1", api_key=KEY) as client,
    ):
        caller, received = await rung(receiver, running)
        with caller:
            call_id = received.unwrapped().data.call_id
            if status is None:
                await client.realtime.calls.reject(call_id)
            else:
                await client.realtime.calls.reject(call_id, status_code=status)
            await until(lambda: caller.heard()[-1:] == [status or 603])
            with pytest.raises(openai.NotFoundError):
                await client.realtime.calls.accept(call_id, type="realtime")


async def test_nobody_decides(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(phones, "RING_S", 0.5)
    async with (
        receiving() as receiver,
        announcing(receiver.url, tmp_path) as running,
        AsyncOpenAI(base_url=f"{running.url}/v1", api_key=KEY) as client,
    ):
        caller, received = await rung(receiver, running)
        with caller:
            await until(lambda: caller.heard()[-1:] == [480])
            with pytest.raises(openai.NotFoundError):
                await client.realtime.calls.accept(received.unwrapped().data.call_id, type="realtime")


# ---- the programs of the documentation


@contextmanager
def program(*command: str, url: str) -> Iterator["subprocess.Popen[str]"]:
    environment = dict(os.environ) | {
        "OPENAI_BASE_URL": f"{url}/v1", "OPENAI_API_KEY": KEY, "OPENAI_WEBHOOK_SECRET": SECRET
    }  # fmt: skip
    with subprocess.Popen(command, stdout=subprocess.PIPE, text=True, env=environment) as running:
        try:
            yield running
        finally:
            running.kill()


def commands(folder: Path) -> dict[str, list[str]]:
    """The examples as a reader would have them: JavaScript beside its packages."""
    script = folder / "answer-calls.mjs"
    shutil.copy(ROOT / "examples" / script.name, script)
    (folder / "node_modules").symlink_to(NODE_MODULES)
    return {
        "python": [sys.executable, str(ROOT / "examples" / "answer_calls.py")],
        "js": [shutil.which("node") or "node", str(script)],
    }


@pytest.mark.parametrize("language", ["python", "js"])
async def test_the_examples_answer_calls(tmp_path: Path, language: str) -> None:
    if language == "js" and not (shutil.which("node") and (NODE_MODULES / "openai").is_dir()):
        pytest.skip("needs Node with its openai package")
    port = free_port()
    command = [*commands(tmp_path)[language], str(port)]
    async with announcing(f"http://127.0.0.1:{port}/", tmp_path) as running:
        with program(*command, url=running.url) as example, Caller(running.sip_port) as caller:
            caller.call()
            await until(lambda: 200 in caller.heard())
            assert example.stdout is not None
            assert (await asyncio.to_thread(example.stdout.readline)).startswith("accepted rtc_")
            example.kill()
