"""What every speech-to-text backend promises (`parley.engines.base.SpeechToText`)."""

import asyncio
import wave
from collections.abc import AsyncIterator, Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import aclosing
from io import BytesIO
from typing import NamedTuple

import pytest

from parley.engines import stt
from parley.engines.base import Peek, SpeechToText, Transcript, TranscriptionRequest
from parley.engines.http import Backend
from parley.errors import EngineError
from tests.engines.fake_backends import FakeBackend
from tests.speech import BECKETT, final, recordings, stream, transcribe, word_error_rate

REQUEST = TranscriptionRequest(model="whisper-1", language="en")
PARTIALS = TranscriptionRequest(model="whisper-1", partials=True)


class Case(NamedTuple):
    """A backend, and sound whose words it will tell."""

    backend: SpeechToText
    pcm: bytes
    words: str


@pytest.fixture(scope="module")
def beckett() -> bytes:
    return next(recording.pcm for recording in recordings() if recording.name == "beckett")


@pytest.fixture(scope="module")
def moonshine() -> Iterator[SpeechToText]:
    with ThreadPoolExecutor(2) as workers:
        yield stt.BACKENDS["moonshine"](workers)


@pytest.fixture(params=["moonshine", "http"])
async def case(request: pytest.FixtureRequest, beckett: bytes, moonshine: SpeechToText) -> AsyncIterator[Case]:
    if request.param == "moonshine":
        yield Case(moonshine, beckett, BECKETT)
        return
    async with FakeBackend() as fake:
        fake.transcript = BECKETT
        backend = Backend(fake.url, name="The fake")
        yield Case(stt.BACKENDS["http"](backend), beckett, BECKETT)
        await backend.close()


def test_every_backend_is_here() -> None:
    assert set(stt.BACKENDS) == {"moonshine", "http"}


async def test_the_words_come_once_and_whole(case: Case) -> None:
    heard = await final(case.backend.transcribe(stream(case.pcm), REQUEST))
    assert word_error_rate(case.words, heard.text) <= 0.1
    assert heard.text == heard.text.strip()
    assert (heard.stable, heard.heard_bytes, heard.peeked) == (len(heard.text), len(case.pcm), False)
    assert heard.confidence is None or 0.5 <= heard.confidence <= 1


async def test_no_audio_gives_no_words(case: Case) -> None:
    assert await transcribe(case.backend, b"") == ""


async def test_a_peek_is_answered_before_the_speech_ends(case: Case) -> None:
    go_on = asyncio.Event()

    async def speech() -> AsyncIterator[bytes | Peek]:
        yield case.pcm
        yield Peek.PEEK
        await go_on.wait()

    heard: list[Transcript] = []
    async for transcript in case.backend.transcribe(speech(), REQUEST):
        heard.append(transcript)
        go_on.set()
    assert [(transcript.peeked, transcript.final) for transcript in heard] == [(True, False), (False, True)]
    assert word_error_rate(case.words, heard[0].text) <= 0.1
    assert heard[0].heard_bytes == len(case.pcm)


async def test_every_peek_is_answered_even_when_the_end_overtakes_it(case: Case) -> None:
    async def speech() -> AsyncIterator[bytes | Peek]:
        for at in range(3):
            yield case.pcm[at * 48_000 : (at + 1) * 48_000]
            yield Peek.PEEK
            await asyncio.sleep(0)
        yield case.pcm[144_000:]

    heard = [transcript async for transcript in case.backend.transcribe(speech(), REQUEST)]
    assert [transcript.peeked for transcript in heard] == [True, True, True, False]
    assert [transcript.final for transcript in heard] == [False, False, False, True]


async def test_what_was_called_stable_stays(case: Case) -> None:
    settled = ""
    async for transcript in case.backend.transcribe(spoken(case.pcm), PARTIALS):
        if not transcript.final:
            assert transcript.text.startswith(settled)
            assert transcript.stable >= len(settled)
            settled = transcript.text[: transcript.stable]


async def test_a_closed_turn_leaves_the_backend_free(case: Case) -> None:
    forever = asyncio.Event()
    closed = asyncio.Event()

    async def speech() -> AsyncIterator[bytes | Peek]:
        try:
            yield case.pcm
            yield Peek.PEEK
            await forever.wait()
        finally:
            closed.set()

    async with aclosing(case.backend.transcribe(speech(), REQUEST)) as transcripts:  # type: ignore[type-var]
        async for _ in transcripts:
            break
    await asyncio.wait_for(closed.wait(), 5)
    assert word_error_rate(case.words, await transcribe(case.backend, case.pcm)) <= 0.1


async def test_a_cancelled_task_stops_at_once(case: Case) -> None:
    async def speech() -> AsyncIterator[bytes | Peek]:
        yield case.pcm
        yield Peek.PEEK
        await asyncio.Event().wait()

    turn = asyncio.create_task(final(case.backend.transcribe(speech(), REQUEST)))
    await asyncio.sleep(0.05)
    turn.cancel()
    with pytest.raises(asyncio.CancelledError):
        await asyncio.wait_for(turn, 2)


async def test_turns_do_not_mix(case: Case) -> None:
    halves = (case.pcm, b"", case.pcm)
    heard = await asyncio.gather(*(transcribe(case.backend, pcm) for pcm in halves))
    assert heard[0] == heard[2] != heard[1] == ""


async def test_a_failing_audio_stream_fails_the_turn(case: Case) -> None:
    async def speech() -> AsyncIterator[bytes | Peek]:
        yield case.pcm
        raise EngineError("internal_error", "the microphone fell down")

    with pytest.raises(EngineError, match="fell down"):
        await final(case.backend.transcribe(speech(), REQUEST))


async def spoken(pcm: bytes) -> AsyncIterator[bytes | Peek]:
    """The sound in pieces of 0.8 s, a little time between them."""
    async for piece in stream(pcm, 800):
        yield piece
        await asyncio.sleep(0.15)


async def test_the_http_form_is_a_house_wav_with_its_fields(beckett: bytes) -> None:
    async with FakeBackend() as fake:
        backend = Backend(fake.url, name="The fake", api_key="sk-key")
        await final(
            stt.BACKENDS["http"](backend, "large").transcribe(
                stream(beckett),
                TranscriptionRequest(model="whisper-1", language="en", prompt="Names:", keywords=("Niña", "Estragon")),
            )
        )
        await backend.close()
    assert fake.requests[0].fields == {
        "model": "large",
        "language": "en",
        "prompt": "Names: Niña, Estragon",
        "response_format": "json",
    }
    with wave.open(BytesIO(fake.requests[0].file)) as file:
        assert file.getparams()[:3] == (1, 2, 24_000)
        assert file.readframes(file.getnframes()) == beckett


@pytest.mark.parametrize(
    ("request_", "fields"),
    [
        (TranscriptionRequest(languages=("de",)), {"language": "de"}),
        (TranscriptionRequest(language="fr", languages=("de",)), {"language": "fr"}),
        (TranscriptionRequest(languages=("de", "en")), {}),
        (TranscriptionRequest(logprobs=True), {"include[]": "logprobs"}),
        (TranscriptionRequest(delay="minimal", partials=True), {}),
    ],
)
async def test_the_http_form_says_what_is_expected(request_: TranscriptionRequest, fields: dict[str, str]) -> None:
    async with FakeBackend() as fake:
        backend = Backend(fake.url, name="The fake")
        await final(stt.BACKENDS["http"](backend, "m").transcribe(stream(bytes(9_600)), request_))
        await backend.close()
    assert fake.requests[0].fields == {"model": "m", "response_format": "json", **fields}


async def test_the_http_backend_passes_on_the_sessions_model() -> None:
    async with FakeBackend() as fake:
        backend = Backend(fake.url, name="The fake")
        await final(stt.BACKENDS["http"](backend).transcribe(stream(bytes(4_800)), REQUEST))
        await backend.close()
    assert fake.requests[0].fields["model"] == "whisper-1"
