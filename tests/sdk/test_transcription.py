"""protocol.md 7.8 with the current SDK: sessions that listen and write, and never answer."""

from typing import Any

import pytest

from tests.conftest import Server
from tests.sdk.client import Client, silence, talking
from tests.sdk.order import Event
from tests.sdk.speaker import Speaker
from tests.speech import recordings, word_error_rate

COMPLETED = "conversation.item.input_audio_transcription.completed"
DELTA = "conversation.item.input_audio_transcription.delta"
INTENT: dict[str, Any] = {"extra_query": {"intent": "transcription"}}
SENTENCE = "Can you tell me the time?"


async def update(client: Client, model: str = "gpt-4o-transcribe", **hearing: Any) -> Event:
    fields = {"transcription": {"model": model, "language": "en"}, **hearing}
    await client.sdk.session.update(session={"type": "transcription", "audio": {"input": fields}})
    session: Event = (await client.until("session.updated"))["session"]
    return session


async def test_with_turn_detection(server: Server, speaker: Speaker) -> None:
    async with talking(server, None, **INTENT) as client:
        assert client.events[0]["session"]["type"] == "transcription"
        session = await update(client)
        assert (session["type"], session["object"]) == ("transcription", "realtime.transcription_session")
        for sentence in (SENTENCE, "Do you remember my name?"):
            await client.speak(await speaker(sentence))
            completed = await client.until(COMPLETED)
            assert word_error_rate(sentence, completed["transcript"]) <= 0.2
            usage = completed["usage"]
            assert usage["type"] == "tokens" and usage["total_tokens"] == usage["input_tokens"] + usage["output_tokens"]
        first, second = client.of("input_audio_buffer.committed")
        assert (first["previous_item_id"], second["previous_item_id"]) == (None, first["item_id"])
        assert [kind for kind in client.kinds() if kind.startswith("response.") or "rate_limits" in kind] == []
        assert "conversation.created" not in client.kinds()


async def test_deltas_come_while_the_speech_goes_on(server: Server) -> None:
    """Human speech of some length, with the model that transcribes without turn detection."""
    beckett = recordings()[0]
    async with talking(server, None, **INTENT) as client:
        await update(client, "gpt-realtime-whisper", turn_detection=None)
        await client.stream(beckett.pcm + silence(300), times=2)
        await client.sdk.input_audio_buffer.commit()
        committed = await client.until("input_audio_buffer.committed")
        completed = await client.until(COMPLETED)
        assert completed["item_id"] == committed["item_id"]
        assert word_error_rate(beckett.words, completed["transcript"]) <= 0.15
        assert len(client.of(DELTA)) >= 2


async def test_deltas_of_a_turn_in_a_conversation(server: Server) -> None:
    """Two spoken sentences; the deltas sum up to the transcript (checked for every session by `order`)."""
    cities = recordings()[1]
    spoken = cities.pcm[: 14 * 48_000]
    async with talking(server, None, cut_off=True, **INTENT) as client:
        await update(client)
        await client.stream(spoken + silence(900), times=6)
        await client.until(COMPLETED)
        said = " ".join(event["transcript"] for event in client.of(COMPLETED))
        assert said.lower().startswith("it was the best of times")


async def test_whisper_writes_all_at_once(server: Server, speaker: Speaker) -> None:
    async with talking(server, None, **INTENT) as client:
        await update(client, "whisper-1")
        await client.speak(await speaker(SENTENCE))
        completed = await client.until(COMPLETED)
        assert [event["delta"] for event in client.of(DELTA)] == [completed["transcript"]]
        assert completed["usage"]["type"] == "duration"
        assert completed["usage"]["seconds"] == pytest.approx(2, abs=1)


async def test_without_turn_detection(server: Server, speaker: Speaker) -> None:
    async with talking(server, None, **INTENT) as client:
        session = await update(client, turn_detection=None)
        assert session["audio"]["input"]["turn_detection"] is None
        for _ in range(2):
            await client.stream(await speaker(SENTENCE), times=50)
            await client.sdk.input_audio_buffer.commit()
            completed = await client.until(COMPLETED)
            assert word_error_rate(SENTENCE, completed["transcript"]) <= 0.2
        assert not [kind for kind in client.kinds() if "speech_" in kind]


async def test_clearing(server: Server, speaker: Speaker) -> None:
    async with talking(server, None, **INTENT) as client:
        await update(client, turn_detection=None)
        await client.stream(await speaker("This is not meant for you."), times=50)
        await client.sdk.input_audio_buffer.clear()
        await client.until("input_audio_buffer.cleared")
        await client.sdk.input_audio_buffer.commit(event_id="c")
        await client.error("input_audio_buffer_commit_empty", "c")


async def test_no_answers(server: Server) -> None:
    async with talking(server, None, **INTENT) as client:
        await client.sdk.response.create(event_id="r")
        await client.error("session_type_not_supported", "r")
        await client.sdk.session.update(session={"type": "realtime"}, event_id="t")
        await client.error("cannot_update_session_type", "t")


async def test_log_probabilities(server: Server, speaker: Speaker) -> None:
    async with talking(server, None, **INTENT) as client:
        await client.sdk.session.update(
            session={
                "type": "transcription",
                "include": ["item.input_audio_transcription.logprobs"],
                "audio": {"input": {"transcription": {"model": "gpt-4o-transcribe"}}},
            }
        )
        assert (await client.until("session.updated"))["session"]["include"]
        await client.speak(await speaker(SENTENCE))
        completed = await client.until(COMPLETED)
        assert completed["logprobs"] and all(entry["logprob"] <= 0 for entry in completed["logprobs"])


async def test_a_language_that_the_embedded_ear_does_not_know(server: Server, speaker: Speaker) -> None:
    """It fails that turn, with a reason, and the session lives on."""
    async with talking(server, None, **INTENT) as client:
        await update(client, transcription={"model": "gpt-4o-transcribe", "language": "de"})
        await client.speak(await speaker(SENTENCE))
        failed = await client.until("conversation.item.input_audio_transcription.failed")
        assert failed["error"]["type"] == "transcription_error" and "English" in failed["error"]["message"]
        await update(client)
        await client.speak(await speaker(SENTENCE))
        await client.until(COMPLETED)
