"""What is kept of sessions, on both databases: whose it is, how long, and what a killed process leaves."""

import asyncio
import json
from collections.abc import AsyncIterator, Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from parley.core.effects import Stamps, Turn
from parley.core.events import (
    CachedTokens,
    InputTokens,
    OutputAudioDelta,
    OutputAudioTranscriptDelta,
    OutputTokens,
    SpeechStarted,
    SpeechStopped,
    TranscriptionCompleted,
    Usage,
)
from parley.errors import EngineError, RequestError
from parley.live import recorder as recorder_module
from parley.live.past import LOST_MS, Place, Record
from parley.live.recorder import Recorder
from parley.live.recording import Recordings
from parley.storage import Storage
from tests.databases import Clock, clock, storage, url

__all__ = ["clock", "storage", "url"]

DAY_S = 86_400
SECOND = np.full(24_000, 2_000, "<i2").tobytes()
Make = Callable[..., Recordings]


@pytest.fixture
async def make(storage: Storage, tmp_path: Path, clock: Clock) -> AsyncIterator[Make]:
    """`make("audio")`: one process; its background work runs only when a test says `begin`."""
    made: list[Recordings] = []

    def one(record: Record = "audio", days: int = 7) -> Recordings:
        made.append(Recordings(storage, tmp_path, record, days, unix=clock, clock=clock))
        return made[-1]

    yield one
    for recordings in made:
        await recordings.close()


def turn(number: int = 1) -> Turn:
    usage = Usage(
        total_tokens=30,
        input_tokens=20,
        output_tokens=10,
        input_token_details=InputTokens(
            text_tokens=5, audio_tokens=15, image_tokens=0, cached_tokens=4, cached_tokens_details=CachedTokens()
        ),
        output_token_details=OutputTokens(text_tokens=3, audio_tokens=7),
    )
    return Turn(
        kind="response", id=f"resp_{number}", item_id="item_2", model="m", status="completed", stamps=Stamps(), usage=usage
    )  # fmt: skip


def talk(recorder: Recorder, clock: Clock, seconds: int = 6) -> None:
    """The user says a second, and is answered; then there is silence."""
    recorder.sent(SpeechStarted(audio_start_ms=0, item_id="item_1"))
    for second in range(seconds):
        clock.seconds += 1
        recorder.heard(SECOND if not second else bytes(len(SECOND)))
        if second == 0:
            recorder.sent(SpeechStopped(audio_end_ms=1_000, item_id="item_1"))
            recorder.sent(TranscriptionCompleted(item_id="item_1", content_index=0, transcript="Hello?", usage={}))
            at: dict[str, Any] = {"response_id": "resp_1", "item_id": "item_2", "output_index": 0, "content_index": 0}
            recorder.sent(OutputAudioTranscriptDelta(delta="Good day.", **at))
            recorder.sent(OutputAudioDelta(delta=SECOND, format="audio/pcm", **at))
            recorder.turn(turn())


async def settled(recordings: Recordings, recorder: Recorder) -> None:
    while not recorder.settled:
        await asyncio.sleep(0.01)
    await recordings.save()


async def test_a_session_is_there_after_a_restart(make: Make, clock: Clock) -> None:
    before = make()
    recorder = before.open("sess_1", account="ann", model="gpt-realtime", call_id="rtc_1")
    talk(recorder, clock)
    [live] = await before.page("ann", 10)
    assert (live.ended_at, live.sound, live.turns) == (None, "live", 1)
    recorder.ended()
    await settled(before, recorder)
    await before.close()

    after = make()
    [listed] = await after.page("ann", 10)
    assert (listed.id, listed.call_id, listed.model, listed.record) == ("sess_1", "rtc_1", "gpt-realtime", "audio")
    assert (listed.sound, listed.turns, listed.input_tokens, listed.output_tokens) == ("whole", 1, 20, 10)
    assert listed.ended_at == listed.opened_at + 6_000 and abs(listed.sound_ms - 6_000) < 100
    kept = await after.one("ann", "sess_1")
    assert kept.words is not None
    asked, answered = json.loads(kept.words.lines)
    assert asked == {"id": "item_1", "role": "user", "start_ms": 0, "end_ms": 1_000, "text": "Hello?", "spoken": True}
    assert (answered["text"], answered["start_ms"], answered["end_ms"]) == ("Good day.", 1_000, 2_000)
    assert json.loads(kept.figures.usage)["cached_tokens"] == 4
    assert (await after.sound("ann", "sess_1")).stat().st_size > 1_000


async def test_nobody_sees_what_is_another_account_s(make: Make, clock: Clock) -> None:
    recordings = make()
    live, over = (recordings.open(f"sess_{name}", account="ann", model="m") for name in ("live", "over"))
    talk(over, clock)
    over.ended()
    await settled(recordings, over)
    assert await recordings.page("bob", 10) == []
    for session in ("sess_live", "sess_over", "sess_none"):
        for ask in (recordings.one, recordings.sound, recordings.forget):
            with pytest.raises(RequestError) as refused:
                await ask("bob", session)
            assert refused.value.code == "session_not_found", "the same as for one that is not there"
    assert {summary.id for summary in await recordings.page("ann", 10)} == {"sess_live", "sess_over"}
    live.ended()


async def test_pages_newest_first(make: Make, clock: Clock) -> None:
    recordings = make("off")
    for number in range(7):
        recordings.open(f"sess_{number}", account="ann", model="m").ended()
        clock.seconds += number % 2  # some at the same moment
    seen: list[str] = []
    after: Place | None = None
    while page := await recordings.page("ann", 3, after):
        seen += [summary.id for summary in page]
        after = Place(page[-1].opened_at, page[-1].id)
    assert seen == [f"sess_{number}" for number in reversed(range(7))]


async def test_off_keeps_no_word(make: Make, clock: Clock, tmp_path: Path, storage: Storage) -> None:
    recordings = make("off")
    recorder = recordings.open("sess_1", account="ann", model="m")
    talk(recorder, clock)
    recorder.ended()
    kept = await recordings.one("ann", "sess_1")
    await recordings.save()
    assert kept.words is None and kept.summary.turns == 1
    assert (await recordings.one("ann", "sess_1")).words is None
    assert not (tmp_path / "recordings").exists()
    with pytest.raises(RequestError):
        await recordings.sound("ann", "sess_1")


async def test_transcripts_without_sound(make: Make, clock: Clock, tmp_path: Path) -> None:
    recordings = make("transcripts")
    recorder = recordings.open("sess_1", account="ann", model="m")
    talk(recorder, clock)
    recorder.ended()
    await recordings.save()
    kept = await recordings.one("ann", "sess_1")
    assert kept.words is not None and "Hello?" in kept.words.lines and kept.summary.sound == "none"
    assert not (tmp_path / "recordings").exists()


async def test_what_is_too_old_is_deleted(make: Make, clock: Clock, tmp_path: Path) -> None:
    recordings = make(days=7)
    for name in ("old", "new"):
        recorder = recordings.open(f"sess_{name}", account="ann", model="m")
        talk(recorder, clock)
        recorder.ended()
        await settled(recordings, recorder)
        clock.seconds += 3 * DAY_S
    await recordings.sweep()
    assert len(await recordings.page("ann", 10)) == 2
    clock.seconds += 1 * DAY_S
    await recordings.sweep()
    assert len(await recordings.page("ann", 10)) == 1
    assert [path.stem for path in (tmp_path / "recordings").rglob("*.ogg")] == ["sess_new"]
    with pytest.raises(RequestError):
        await recordings.one("ann", "sess_old")
    clock.seconds += 30 * DAY_S
    await recordings.sweep()
    assert list((tmp_path / "recordings").rglob("*.ogg")) == []


async def test_a_session_that_lives_is_not_too_old(make: Make, clock: Clock) -> None:
    recordings = make("off", days=1)
    recordings.open("sess_1", account="ann", model="m")
    await recordings.page("ann", 1)
    clock.seconds += 2 * DAY_S
    other = make("off", days=1)
    await recordings.begin()
    await asyncio.sleep(0.2)  # it says that it lives
    await other.sweep()
    assert [summary.ended_at for summary in await other.page("ann", 10)] == [None]


async def test_a_killed_process_is_missed(make: Make, clock: Clock) -> None:
    """Its session ended when it was last heard of; of its words, what was saved is there."""
    killed = make("transcripts")
    talk(killed.open("sess_1", account="ann", model="m"), clock)
    await killed.save()
    at = round(clock.seconds * 1_000)
    other = make("transcripts")
    assert (await other.page("ann", 10))[0].ended_at is None
    clock.seconds += LOST_MS / 1_000 + 1
    assert (await other.page("ann", 10))[0].ended_at == at
    await other.sweep()
    kept = await other.one("ann", "sess_1")
    assert kept.summary.ended_at == at and kept.words is not None and "Hello?" in kept.words.lines


async def test_deleting_what_lives(make: Make, clock: Clock, tmp_path: Path) -> None:
    """Nothing more is kept of it, and the call goes on."""
    recordings = make()
    recorder = recordings.open("sess_1", account="ann", model="m")
    talk(recorder, clock, seconds=10)
    await recordings.save()
    await recordings.forget("ann", "sess_1")
    talk(recorder, clock, seconds=10)
    recorder.ended()
    await recordings.save()
    assert await recordings.page("ann", 10) == []
    assert not [path for path in (tmp_path / "recordings").rglob("*") if path.is_file()]


async def test_a_bug_in_here_harms_nobody(make: Make, clock: Clock, monkeypatch: pytest.MonkeyPatch) -> None:
    recordings = make()
    recorder = recordings.open("sess_1", account="ann", model="m")
    talk(recorder, clock)

    def broken(*_: object) -> None:
        raise ZeroDivisionError

    monkeypatch.setattr(recorder, "_heard", broken)
    recorder.heard(SECOND)
    recorder.heard(SECOND)
    recorder.ended()
    await settled(recordings, recorder)
    assert (await recordings.one("ann", "sess_1")).summary.sound == "incomplete"


async def test_turns_are_bounded(make: Make, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(recorder_module, "TURNS_MAX", 3)
    recordings = make("off")
    recorder = recordings.open("sess_1", account="ann", model="m")
    for number in range(5):
        recorder.turn(turn(number))
    recorder.ended()
    kept = await recordings.one("ann", "sess_1")
    assert len(json.loads(kept.figures.turns)) == 3 and kept.summary.input_tokens == 100


async def test_a_database_that_is_away_loses_nothing(
    make: Make, clock: Clock, storage: Storage, monkeypatch: pytest.MonkeyPatch
) -> None:
    recordings = make("transcripts")
    recorder = recordings.open("sess_1", account="ann", model="m")
    talk(recorder, clock)
    recorder.ended()
    with monkeypatch.context() as away:

        async def refuse(*_: object) -> None:
            raise EngineError("storage_unavailable", "away", retryable=True)

        away.setattr(storage, "transaction", refuse)
        with pytest.raises(EngineError):
            await recordings.save()
    assert [summary.id for summary in await recordings.page("ann", 10)] == ["sess_1"]
