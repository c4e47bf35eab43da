"""Backends by configuration, and what their troubles look like to a client (issue 2, sections 4 and 6).

A backend that is down, slow, or talks nonsense: a failed response with a reason within its timeout; the session lives on.
"""

import asyncio
import time
from collections.abc import Iterator

import pytest

from tests.conftest import Server, free_port, running_server
from tests.e2e.backends import SPEECH_MS, Backends, running_backends
from tests.engines.fake_backends import Fault, Status
from tests.sdk.client import Client, talking, transcript
from tests.sdk.order import Event
from tests.sdk.speaker import Speaker

TIMEOUT_S = 1.0
"""The shortest that a busy machine does not take for a fault."""
LATEST_S = 15.0
"""A fault is told by then, retries included."""
SECRET = "secret words of the backend"
FAILED = "conversation.item.input_audio_transcription.failed"


@pytest.fixture(scope="module")
def running() -> Iterator[Backends]:
    with running_backends() as backends:
        yield backends


@pytest.fixture
def backends(running: Backends) -> Iterator[Backends]:
    running.reset()
    yield running
    running.reset()


@pytest.fixture(scope="module")
def served(running: Backends, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Server]:
    env = running.env(
        PARLEY_LLM_MODEL="small-talk",
        PARLEY_STT_MODEL="big-ear",
        PARLEY_TTS_MODEL="sweet-voice",
        PARLEY_LLM_API_KEY="sk-llm",
        PARLEY_BACKEND_TIMEOUT_S=str(TIMEOUT_S),
        PARLEY_CONNECT_TIMEOUT_S=str(TIMEOUT_S),
    )
    with running_server(tmp_path_factory.mktemp("backends"), env=env) as server:
        yield server


async def test_a_spoken_turn_through_all_three(served: Server, backends: Backends, speaker: Speaker) -> None:
    backends.fake.transcript = "tell me a story"
    backends.words = ["Once ", "upon ", "a time. ", "The ", "end."]
    async with talking(served) as client:
        await client.update(
            audio={"input": {"transcription": {"model": "gpt-4o-transcribe"}}, "output": {"voice": "coral"}},
            instructions="Be kind.",
        )
        await client.speak(await speaker("Tell me a story."))
        response = await client.done()
        assert transcript(response) == "Once upon a time. The end."
        assert len(client.audio(response["id"])) % (48 * SPEECH_MS) == 0
        heard = await client.until("conversation.item.input_audio_transcription.completed") if not (
            told := client.of("conversation.item.input_audio_transcription.completed")
        ) else told[0]  # fmt: skip
        assert heard["transcript"] == "tell me a story"
    (chat,) = backends.chats
    assert chat["model"] == "small-talk"
    assert [(message["role"], message["content"]) for message in chat["messages"]][-1] == ("user", "tell me a story")
    assert "Be kind." in chat["messages"][0]["content"]
    requests = {request.path: request for request in backends.fake.requests[-4:]}
    assert requests["/v1/audio/transcriptions"].fields["model"] == "big-ear"
    assert requests["/v1/audio/speech"].json["model"] == "sweet-voice"
    assert requests["/v1/audio/speech"].json["voice"] == "coral"
    assert requests["/v1/chat/completions"].headers["authorization"] == "Bearer sk-llm"


FAULTS = {
    "refuses": (Status(500), {"backend_refused", "backend_unavailable"}),
    "wants a key": (Status(401), {"backend_refused"}),
    "is busy": (Status(429, "rate_limit_exceeded"), {"backend_rate_limited"}),
    "hangs up": (Fault.RESET, {"backend_unavailable"}),
    "is silent": (Fault.HANG, {"backend_timeout"}),
    "talks nonsense": (Fault.NOT_HTTP, {"backend_protocol_error", "backend_unavailable"}),
    "stops in the middle": (Fault.STALL, {"backend_timeout"}),
}


@pytest.mark.parametrize(("fault", "codes"), FAULTS.values(), ids=FAULTS.keys())
@pytest.mark.parametrize("part", ["LLM", "TTS"])
async def test_a_fault_while_answering(
    served: Server, backends: Backends, part: str, fault: Fault | Status, codes: set[str]
) -> None:
    backends.fake.broken[part] = fault
    async with talking(served) as client:
        await client.write("Hello!")
        begun = time.monotonic()
        response = await client.respond()
        assert time.monotonic() - begun < LATEST_S
        check_failure(response, codes)
        backends.reset()
        assert transcript(await client.respond()) == "Hello there."


@pytest.mark.parametrize(("fault", "codes"), FAULTS.values(), ids=FAULTS.keys())
async def test_a_fault_while_listening(
    served: Server, backends: Backends, speaker: Speaker, fault: Fault | Status, codes: set[str]
) -> None:
    """The turn is committed, but nobody knows what was said: no answer to that, and the next turn is heard."""
    backends.fake.broken["STT"] = fault
    async with talking(served) as client:
        await client.update(audio={"input": {"transcription": {"model": "whisper-1"}}}, output_modalities=["text"])
        await client.speak(await speaker("Tell me a story."), times=20)
        failed = await client.until(FAILED)
        assert failed["error"]["code"] in codes and SECRET not in str(failed)
        response = await client.done()
        check_failure(response, codes)
        assert client.of("input_audio_buffer.committed")[0]["item_id"] == failed["item_id"]
        backends.reset()
        await client.speak(await speaker("Tell me a story."), times=20)
        assert transcript(await client.done()) == "Hello there."


async def test_nonsense_in_json(served: Server, backends: Backends) -> None:
    backends.words = ["Hello ", "\ud83d"]  # half of a sign: no text at all
    async with talking(served) as client:
        await client.update(output_modalities=["text"])
        response = await client.ask("Hello!")
        assert response["status"] in ("completed", "failed")
        backends.reset()
        assert transcript(await client.respond()) == "Hello there."


async def test_a_model_that_stops_in_the_middle_of_a_sentence(served: Server, backends: Backends) -> None:
    """What was said stays said; the response has failed all the same."""
    backends.words = ["This is said. ", "This ", "is ", "not."]
    backends.word_pause_s = 0.0
    backends.fake.broken["LLM"] = Fault.STALL
    async with talking(served) as client:
        await client.update(output_modalities=["text"])
        response = await client.ask("Hello!")
        check_failure(response, {"backend_timeout"})
        assert transcript(response).startswith("This is said.")
        assert response["output"][0]["status"] == "incomplete"


async def test_words_are_passed_on_as_they_come(served: Server, backends: Backends) -> None:
    backends.words, backends.word_pause_s = ["One, ", "two, ", "three, ", "four."], 0.3
    async with talking(served) as client:
        await client.update(output_modalities=["text"])
        await client.write("Count!")
        begun = time.monotonic()
        await client.sdk.response.create()
        await client.until("response.output_text.delta")
        first = time.monotonic() - begun
        await client.done()
        assert time.monotonic() - begun - first > 0.6


async def test_a_cancelled_answer_is_cancelled_at_the_backend(served: Server, backends: Backends) -> None:
    backends.words, backends.word_pause_s = ["word "] * 200, 0.05
    async with talking(served) as client:
        await client.update(output_modalities=["text"])
        await client.write("Talk!")
        await client.sdk.response.create()
        await client.until("response.output_text.delta")
        backends.fake.hung_up.clear()
        await client.sdk.response.cancel()
        assert (await client.done())["status"] == "cancelled"
        async with asyncio.timeout(LATEST_S):
            while not backends.fake.hung_up.is_set():
                await asyncio.sleep(0.01)


async def test_others_are_not_disturbed(served: Server, backends: Backends) -> None:
    """One session waits for a voice that says nothing; the next one is answered in writing meanwhile."""
    backends.fake.broken["TTS"] = Fault.HANG
    async with talking(served) as waiting, talking(served) as other:
        await waiting.write("Hello!")
        await waiting.sdk.response.create()
        await other.update(output_modalities=["text"])
        assert transcript(await other.ask("Hello!")) == "Hello there."
        assert waiting.of("response.done") == []
        check_failure(await waiting.done(), {"backend_timeout"})


@pytest.fixture(scope="module")
def deserted(running: Backends, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Server]:
    """All its backends are down."""
    env = running.env(url=f"http://127.0.0.1:{free_port()}/v1")
    with running_server(tmp_path_factory.mktemp("deserted"), env=env) as server:
        yield server


async def test_backends_that_are_down(deserted: Server, speaker: Speaker) -> None:
    async with talking(deserted) as client:
        check_failure(await client.ask("Hello!"), {"backend_unavailable"})
        await client.speak(await speaker("Tell me a story."), times=20)
        check_failure(await client.done(), {"backend_unavailable"})
        await deaf_but_alive(client)


async def deaf_but_alive(client: Client) -> None:
    await client.update(instructions="Still there?")
    await client.settle()


def check_failure(response: Event, codes: set[str]) -> None:
    assert response["status"] == "failed"
    details = response["status_details"]
    assert details["type"] == "failed"
    assert details["error"]["code"] in codes, details
    assert details["error"]["type"] == "server_error"
    assert details["error"]["message"] and SECRET not in str(details)
