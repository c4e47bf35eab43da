"""What a real server keeps of real conversations: the sound of both sides on one axis, words, figures; and for how long."""

import asyncio
import os
import signal
import sqlite3
import time
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import ExitStack, closing
from pathlib import Path
from typing import Any

import httpx
import numpy as np
import pytest

from parley.audio import ogg
from parley.engines.base import SpeechToText
from parley.engines.stt import choose_embedded
from tests.conftest import MakeServer, Server, running_server
from tests.sdk.client import Client, silence, talking
from tests.sdk.speaker import Speaker
from tests.speech import transcribe, word_error_rate

RATE = 24_000
QUESTION = "How much is twelve times twelve?"
ANSWER = "144"
COUNT = "Please count to twenty."
PATIENCE_S = 30.0


@pytest.fixture(scope="module")
def ear() -> Iterator[SpeechToText]:
    workers = ThreadPoolExecutor(1)
    stt, advice = choose_embedded(workers)
    assert stt is not None, advice
    yield stt
    workers.shutdown()


@pytest.fixture
def signed_in() -> Iterator["SignedIn"]:
    with ExitStack() as stack:
        yield lambda server: stack.enter_context(closing(Page(server)))


class Page:
    """What the console's page asks for, signed in with a key."""

    def __init__(self, server: Server) -> None:
        self.client = httpx.Client(base_url=server.url, headers={"origin": server.url}, timeout=20)
        entered = self.client.post("/api/console/sign-in", json={"key": server.key})
        assert entered.status_code == 204, entered.text
        self.about = self.client.get("/api/console").json()
        self.client.headers["x-parley-csrf"] = self.about["csrf"]

    def close(self) -> None:
        self.client.close()

    def list(self) -> list[dict[str, Any]]:
        found: list[dict[str, Any]] = self.client.get("/api/sessions").json()["data"]
        return found

    def one(self, session: str) -> dict[str, Any]:
        answer = self.client.get(f"/api/sessions/{session}")
        assert answer.status_code == 200, answer.text
        found: dict[str, Any] = answer.json()
        return found

    def settled(self, session: str) -> dict[str, Any]:
        """The session when its end is written down."""
        deadline = time.monotonic() + PATIENCE_S
        while (found := self.one(session))["ended_at"] is None or found["sound"] == "live":
            assert time.monotonic() < deadline, found
            time.sleep(0.1)
        return found


SignedIn = Callable[[Server], Page]


def files(server: Server) -> list[Path]:
    return sorted(path for path in (server.home / "recordings").rglob("*") if path.is_file())


def session_of(client: Client) -> str:
    found: str = client.of("session.created")[0]["session"]["id"]
    return found


async def gone(pid: int) -> None:
    """Returns when this child has ended; `running_server` buries it."""
    async with asyncio.timeout(PATIENCE_S):
        while Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()[0] != "Z":
            await asyncio.sleep(0.02)


def loud(channel: Any, start_ms: float, end_ms: float) -> float:
    """Root mean square, 0 to 32768."""
    part = channel[int(start_ms * RATE / 1_000) : int(end_ms * RATE / 1_000)].astype(np.float64)
    return float(np.sqrt((part**2).mean())) if part.size else 0.0


async def test_both_sides_on_one_axis(
    make_server: MakeServer, speaker: Speaker, ear: SpeechToText, signed_in: SignedIn
) -> None:
    """A question in real time; its recording, listened to again, says the same at the same place."""
    server = make_server(PARLEY_RECORD="audio")
    question = await speaker(QUESTION)
    async with talking(server) as client:
        await client.update(audio={"input": {"transcription": {"model": "gpt-4o-transcribe", "language": "en"}}})
        await client.stream(silence(500) + question + silence(900), times=1)
        response = await client.done()
        assert response["status"] == "completed"
        said = client.audio(response["id"])
        started = client.of("input_audio_buffer.speech_started")[0]["audio_start_ms"]
        await client.stream(silence(len(said) // 48 + 200), times=1)
        session = session_of(client)
    page = signed_in(server)
    kept = await asyncio.to_thread(page.settled, session)
    assert (kept["record"], kept["sound"], kept["transcript_cut"]) == ("audio", "whole", False)

    [file] = files(server)
    assert file.name == f"{session}.ogg" and file.stat().st_mode & 0o777 == 0o600
    sound = await asyncio.to_thread(ogg.read, str(file))
    user, assistant = sound[:, 0], sound[:, 1]
    asked, answered = kept["transcript"]
    assert (asked["role"], answered["role"]) == ("user", "assistant")
    assert word_error_rate(QUESTION, asked["text"]) <= 0.2
    heard = [await transcribe(ear, silence(300) + side.tobytes() + silence(300)) for side in (user, assistant)]
    assert word_error_rate(QUESTION, heard[0]) <= 0.2, heard
    assert ANSWER in answered["text"] and ANSWER in heard[1], heard

    # The sound lies where the transcript says, and on no other channel.
    assert asked["start_ms"] < asked["end_ms"] <= answered["start_ms"] < answered["end_ms"]
    assert loud(user, asked["start_ms"], asked["end_ms"]) > 500 > loud(assistant, 0, answered["start_ms"] - 20)
    assert loud(assistant, answered["start_ms"], answered["end_ms"]) > 500
    assert loud(user, answered["start_ms"], answered["end_ms"]) < 20
    assert abs(answered["end_ms"] - answered["start_ms"] - len(said) / 48) < 50
    best = np.correlate(assistant[::8].astype(float), np.frombuffer(said, "<i2")[::8].astype(float)).argmax() * 8
    assert abs(best * 1_000 / RATE - answered["start_ms"]) < 20
    begun = np.flatnonzero(np.abs(user.astype(int)) > 1_000)[0] * 1_000 / RATE
    assert -500 < asked["start_ms"] - begun < 300 and asked["start_ms"] >= started

    # What the page is told, and gets.
    [listed] = page.list()
    assert listed["id"] == session and listed["turns"] == len(kept["turns"]) == 2 and listed["output_tokens"] > 0
    assert kept["usage"]["input_audio_tokens"] > 0 and kept["usage"]["transcribed_ms"] > 500
    assert abs(kept["sound_ms"] - len(sound) * 1_000 / RATE) < 100
    whole = page.client.get(f"/api/sessions/{session}/audio")
    part = page.client.get(f"/api/sessions/{session}/audio", headers={"range": "bytes=100-199"})
    assert whole.content == file.read_bytes() and whole.headers["content-type"] == "audio/ogg"
    assert (part.status_code, part.content) == (206, whole.content[100:200])
    download = page.client.get(f"/api/sessions/{session}/audio?download=1")
    assert download.headers["content-disposition"].startswith("attachment")

    # Nobody elsewhere changes anything, and deleting is for good.
    assert page.client.delete(f"/api/sessions/{session}", headers={"x-parley-csrf": "no"}).status_code == 403
    assert page.client.delete(f"/api/sessions/{session}").status_code == 204
    assert files(server) == [] and page.list() == []
    assert page.client.get(f"/api/sessions/{session}").status_code == 404
    assert page.client.get(f"/api/sessions/{session}/audio").status_code == 404


async def test_off_keeps_figures_and_no_word(make_server: MakeServer, speaker: Speaker, signed_in: SignedIn) -> None:
    server = make_server()
    async with talking(server) as client:
        await client.speak(await speaker(QUESTION), times=4)
        await client.done()
        session = session_of(client)
    page = signed_in(server)
    kept = await asyncio.to_thread(page.settled, session)
    assert page.about["recording"] == {"record": "off", "days": 7}
    assert kept["transcript"] is None and kept["sound"] == "none" and kept["turns"]
    assert not (server.home / "recordings").exists()
    with sqlite3.connect(server.home / "parley.db") as database:
        assert database.execute("SELECT count(*) FROM session_words").fetchone() == (0,)
        assert database.execute("SELECT record FROM session_record").fetchall() == [("off",)]
    for file in server.home.rglob("*"):
        if file.is_file():
            assert b"twelve times" not in file.read_bytes().lower(), file


async def test_what_was_not_heard_is_not_there(make_server: MakeServer, speaker: Speaker, signed_in: SignedIn) -> None:
    """A long answer is interrupted and truncated; the recording falls silent where the client did."""
    server = make_server(PARLEY_RECORD="audio")
    async with talking(server) as client:
        await client.stream(await speaker(COUNT) + silence(900), times=1)
        delta = await client.until("response.output_audio.delta")
        await client.stream(silence(1_500), times=1)
        item = delta["item_id"]
        await client.done()
        await client.sdk.conversation.item.truncate(item_id=item, content_index=0, audio_end_ms=1_200)
        await client.until("conversation.item.truncated")
        await client.stream(silence(2_500), times=1)
        session = session_of(client)
    page = signed_in(server)
    kept = await asyncio.to_thread(page.settled, session)
    answered = kept["transcript"][-1]
    assert answered["heard"] != answered["text"] and answered["text"].startswith(answered["heard"])
    sound = await asyncio.to_thread(ogg.read, str(files(server)[0]))
    start = answered["start_ms"]
    assert answered["end_ms"] == start + 1_200
    assert loud(sound[:, 1], start, start + 1_200) > 500
    assert loud(sound[:, 1], start + 1_250, start + 3_000) < 5


async def test_a_killed_server_leaves_a_recording(tmp_path: Path, speaker: Speaker, signed_in: SignedIn) -> None:
    """kill -9 in the middle of an answer: the next start ends the file, and the session."""
    home = tmp_path / "home"
    home.mkdir()
    env = {"PARLEY_RECORD": "audio"}
    question = await speaker(QUESTION)
    with running_server(home, env=env) as server:
        async with talking(server, cut_off=True) as client:
            session = session_of(client)
            await client.stream(question + silence(900), times=1)
            await client.done()
            await client.stream(silence(7_000), times=1)
            [growing] = files(server)
            assert growing.suffix == ".part" and growing.stat().st_mode & 0o777 == 0o600
            os.kill(server.pid, signal.SIGKILL)
            await client.over()
            await gone(server.pid)
    with running_server(home, env=env) as server:
        page = signed_in(server)
        kept = await asyncio.to_thread(page.settled, session)
        assert kept["sound"] == "incomplete" and kept["transcript"][0]["role"] == "user"
        assert [path.name for path in files(server)] == [f"{session}.ogg"]
        sound = await asyncio.to_thread(ogg.read, str(files(server)[0]))
        assert len(sound) > 4 * RATE and loud(sound[:, 0], 0, len(question) / 48) > 500
        assert page.client.get(f"/api/sessions/{session}/audio").status_code == 200
