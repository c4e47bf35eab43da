"""Turns are where the sound has them, however late the evidence comes."""

from random import Random

import pytest

from parley.core import effects as f
from parley.core import events as e
from parley.core import inputs as i
from parley.core.input_audio import SAMPLES_PER_MS
from parley.core.turns import FRAME_SAMPLES
from tests.core.driver import STEP_MS, new_session

SPEECH = [False] * 10 + [True] * 20 + [False] * 30 + [True] * 20 + [False] * 30
"""Per frame of 32 ms: two turns, with 960 ms of silence after each."""
FRAMES = [Random(at).randbytes(FRAME_SAMPLES * 2) for at in range(len(SPEECH))]
SOUND = b"".join(FRAMES)
"""No part of it is like another, so that each can be found again."""


class Recorder:
    """What a session says about turns, and the sound that it gives to each transcription."""

    def __init__(self) -> None:
        self.starts: list[int] = []
        self.ends: list[int] = []
        self.told: dict[str, bytes] = {}

    def see(self, effect: f.AnyEffect) -> None:
        match effect:
            case f.Send(event=e.SpeechStarted(audio_start_ms=at)):
                self.starts.append(at)
            case f.Send(event=e.SpeechStopped(audio_end_ms=at)):
                self.ends.append(at)
            case f.Tell(work_id=work_id, message=f.Audio(pcm=pcm)):
                self.told[work_id] = self.told.get(work_id, b"") + pcm


def heard_with_lag(frames: int) -> Recorder:
    """All of `SOUND`, with the evidence about a frame coming so many frames later (and the rest at the end)."""
    session, recorder = new_session(), Recorder()
    for at in range(len(SPEECH) + frames):
        if at < len(SPEECH):
            for effect in session.handle(i.Heard(pcm=FRAMES[at]), at * STEP_MS / 1000):
                recorder.see(effect)
        if 0 <= (about := at - frames) < len(SPEECH):
            speech = i.Speech(upto=(about + 1) * FRAME_SAMPLES, probability=0.95 if SPEECH[about] else 0.02)
            for effect in session.handle(speech, at * STEP_MS / 1000):
                recorder.see(effect)
    return recorder


@pytest.mark.parametrize("lag", [1, 3, 20, 60, len(SPEECH)])
def test_turns_do_not_depend_on_the_lag(lag: int) -> None:
    prompt, late = heard_with_lag(0), heard_with_lag(lag)
    assert late.starts == prompt.starts == [20, 1_620]
    assert len(late.ends) == len(prompt.ends) == 2
    for ours, theirs in zip(late.ends, prompt.ends, strict=True):
        assert abs(ours - theirs) <= STEP_MS


@pytest.mark.parametrize("lag", [0, 1, 3, 20, 60, len(SPEECH)])
def test_no_sound_is_lost_or_used_twice(lag: int) -> None:
    recorder = heard_with_lag(lag)
    told = list(recorder.told.values())
    assert len(told) == 2
    for pcm, start, end in zip(told, recorder.starts, recorder.ends, strict=True):
        assert SOUND.find(pcm) == start * SAMPLES_PER_MS * 2
        assert len(pcm) == (end - start) * SAMPLES_PER_MS * 2


def test_turns_shorter_than_a_client_may_commit() -> None:
    """The minimum of 100 ms is the client's (protocol.md 3.3); a turn that was detected is a turn."""
    rules = {"type": "server_vad", "prefix_padding_ms": 0, "silence_duration_ms": 0}
    session = new_session({"audio": {"input": {"turn_detection": rules}}})
    kinds: list[str] = []
    for at, probability in enumerate((0.95, 0.02, 0.02), 1):
        for event in (i.Heard(pcm=FRAMES[at]), i.Speech(upto=at * FRAME_SAMPLES, probability=probability)):
            effects = session.handle(event, at * STEP_MS / 1000)
            kinds += [type(effect.event).__name__ for effect in effects if isinstance(effect, f.Send)]
    assert kinds[:3] == ["SpeechStarted", "SpeechStopped", "InputAudioBufferCommitted"]
    assert "Error" not in kinds
