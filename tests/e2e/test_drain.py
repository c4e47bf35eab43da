"""SIGTERM while people talk (issue 2, section 5): what runs comes to its end, nobody new comes in, then a close with a reason."""

import os
import signal
from collections.abc import Iterator
from pathlib import Path

import pytest
from websockets.asyncio.client import connect
from websockets.exceptions import InvalidStatus

from tests.conftest import Server, running_server
from tests.e2e.backends import Backends, running_backends
from tests.sdk.client import talking, transcript


@pytest.fixture
def backends() -> Iterator[Backends]:
    with running_backends() as backends:
        yield backends


@pytest.fixture
def server(backends: Backends, tmp_path: Path) -> Iterator[Server]:
    """Its language model thinks for two seconds; when it stops, it must stop well."""
    backends.words, backends.word_pause_s = ["One, ", "two, ", "three, ", "four, ", "five."], 0.5
    with running_server(tmp_path, env=backends.env("LLM", PARLEY_DRAIN_S="20")) as server:
        yield server


async def test_sigterm(server: Server) -> None:
    async with talking(server) as busy, talking(server, cut_off=True) as idle:
        await busy.update(output_modalities=["text"])
        await busy.write("Count!")
        await busy.sdk.response.create()
        await busy.until("response.output_text.delta")
        os.kill(server.pid, signal.SIGTERM)
        gone = (await idle.over()).rcvd
        assert gone is not None and (gone.code, gone.reason) == (1001, "server_draining")
        assert busy.closed is None
        with pytest.raises((InvalidStatus, OSError)) as refused:
            headers = {"Authorization": f"Bearer {server.key}"}
            async with connect(f"{server.ws_url}?model=gpt-realtime", additional_headers=headers):
                pass
        if isinstance(refused.value, InvalidStatus):
            assert refused.value.response.status_code == 503
        response = await busy.done()
        assert (response["status"], transcript(response)) == ("completed", "One, two, three, four, five.")
        gone = (await busy.over()).rcvd
        assert gone is not None and (gone.code, gone.reason) == (1001, "server_draining")
