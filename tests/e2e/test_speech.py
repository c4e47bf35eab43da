"""Speech in, speech out: real questions, human voices, and answers that are listened to again (issue 2, section 8)."""

import re
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from datetime import datetime

import pytest

from parley.engines.base import SpeechToText
from parley.engines.stt import choose_embedded
from tests.conftest import Server
from tests.sdk.client import Client, silence, talking, transcript
from tests.sdk.speaker import Speaker
from tests.speech import Recording, recordings, transcribe, word_error_rate, words

TRANSCRIPTION = {"transcription": {"model": "gpt-4o-transcribe", "language": "en"}}
COMPLETED = "conversation.item.input_audio_transcription.completed"
HEARD_MS = 3_000
ANSWER_ERRORS_MAX = 0.35
"""Of words, when the embedded ear listens to the embedded voice."""
NUMBERS = (
    "one two three four five six seven eight nine ten eleven twelve thirteen fourteen fifteen sixteen seventeen eighteen "
    "nineteen twenty"
).split()


@pytest.fixture(scope="module")
def ear() -> Iterator[SpeechToText]:
    """Ours, apart from the server's."""
    workers = ThreadPoolExecutor(1)
    stt, advice = choose_embedded(workers)
    assert stt is not None, advice
    yield stt
    workers.shutdown()


async def exchange(client: Client, question: bytes, times: float = 4) -> tuple[str, str, bytes]:
    """What the server heard, what it answered, and the sound of that."""
    await client.speak(question, times=times)
    response = await client.done()
    assert response["status"] == "completed"
    completed = client.of(COMPLETED)
    heard = completed[-1] if completed else await client.until(COMPLETED)
    return heard["transcript"], transcript(response), client.audio(response["id"])


async def test_a_conversation(server: Server, speaker: Speaker, ear: SpeechToText) -> None:
    """The hour (in real time), a sum, a name, and the name again; and the sound of the answers says what they say."""
    async with talking(server) as client:
        await client.update(audio={"input": TRANSCRIPTION})
        before = datetime.now().astimezone()
        heard, said, sound = await exchange(client, await speaker("Can you tell me the time?"), times=1)
        assert word_error_rate("Can you tell me the time?", heard) <= 0.2
        assert tells_time(said, before, datetime.now().astimezone()), said
        assert len(sound) > 48 * 500
        for question, key in (
            ("How much is twelve times twelve?", "144"),
            ("Hello, my name is Robert.", "Robert"),
            ("Do you remember my name?", "Robert"),
        ):
            _, said, sound = await exchange(client, await speaker(question))
            again = await transcribe(ear, silence(300) + sound + silence(300))
            assert key in said and key in again, (said, again)
        assert word_error_rate(said, again) <= ANSWER_ERRORS_MAX, (said, again)


@pytest.mark.parametrize("recording", recordings()[:2] + recordings()[2:4], ids=lambda recording: recording.name)
async def test_human_speech(server: Server, recording: Recording) -> None:
    """As a transcription session hears it, with patience for the pauses of a reader."""
    async with talking(server, None, extra_query={"intent": "transcription"}) as client:
        turns = {"turn_detection": {"type": "server_vad", "silence_duration_ms": 1_500}}
        await client.sdk.session.update(
            session={"type": "transcription", "audio": {"input": {**TRANSCRIPTION, **turns}}}
        )
        await client.until("session.updated")
        await client.stream(recording.pcm + silence(2_000), times=12)
        heard = ""
        while word_error_rate(recording.words, heard) > 0.15:  # the last turn ends when the ear has caught up
            heard += f" {(await client.until(COMPLETED))['transcript']}"


async def test_only_what_was_heard_is_known(server: Server, speaker: Speaker, ear: SpeechToText) -> None:
    """Interrupted after three seconds of counting; asked what it said, it counts so far and no further."""
    async with talking(server) as client:
        answer = await client.ask("Please count from one to thirty.")
        item_id = answer["output"][0]["id"]
        await client.stream(await speaker("What did you just say?"), times=4)
        await client.until("input_audio_buffer.speech_started")
        await client.sdk.conversation.item.truncate(item_id=item_id, content_index=0, audio_end_ms=HEARD_MS)
        await client.until("conversation.item.truncated")
        await client.stream(silence(900), times=4)
        said = counted(transcript(await client.done()))
        played = counted(await transcribe(ear, client.audio(answer["id"])[: HEARD_MS * 48] + silence(500)))
        assert said == NUMBERS[: len(said)]
        assert played == NUMBERS[: len(played)], "the ear of this test understands the voice"
        assert 2 <= len(said) < 20
        assert abs(len(said) - len(played)) <= 2


async def test_interrupted_again_and_again(server: Server, speaker: Speaker) -> None:
    """Each interruption is answered; nothing of an earlier answer turns up in a later one."""
    async with talking(server) as client:
        for question, answer in (("Can you tell me the time?", ":"), ("How much is twelve times twelve?", "144")) * 2:
            await client.stream(await speaker(question) + silence(700), times=6)
            assert answer in transcript(await client.done())
        turns = client.of("input_audio_buffer.committed")
        assert len({event["item_id"] for event in turns}) == len(turns) == 4


def tells_time(said: str, before: datetime, after: datetime) -> bool:
    """Whether this is the time of day, in figures, between the two."""
    found = re.search(r"(\d{1,2}):(\d{2})", said)
    if found is None:
        return False
    told = int(found[1]) % 12 * 60 + int(found[2])
    moments = {moment.hour % 12 * 60 + moment.minute for moment in (before, after)}
    return told in moments


def counted(text: str) -> list[str]:
    """The numbers in it, as words."""
    return [word for word in words(spelled(text)) if word in NUMBERS]


def spelled(text: str) -> str:
    """Small numbers as words, times apart."""
    text = re.sub(r"(\d):(\d)", r"\1 \2", text)
    return re.sub(
        r"\b(\d{1,2})\b", lambda found: NUMBERS[int(found[1]) - 1] if 1 <= int(found[1]) <= 20 else found[1], text
    )
