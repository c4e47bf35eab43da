"""A session of one turn: the real core, an engine that does as it is told, and every way in which it can end."""

import asyncio
from collections.abc import AsyncGenerator, AsyncIterator, Awaitable, Callable
from typing import Any

import pytest

from parley.core.config import RealtimeConfig
from parley.core.effects import End, Generate, Message, Turn, Work
from parley.core.inputs import AnyInput, Ended, Generated, Said, Spoke, Transcribed
from parley.core.session import Session
from parley.core.terms import Terms
from parley.errors import EngineError, RequestError
from parley.ids import new_id
from parley.live import one_turn
from parley.live.listening import Listening
from parley.live.one_turn import Answer, Asked, answer_of, config_of
from parley.live.one_turn import Said as Before
from parley.live.session import LiveSession, Surroundings
from parley.telemetry import Metrics

ASKED = Asked("starter-voice", "cedar", "Be brief.", (Before("user", "Hi."), Before("assistant", "Hello.")), "And now?")
SPEECH = bytes(48 * 500)
ANSWER_PCM = b"\1\0" * 4_800


def hearing(pcm: bytes) -> Callable[[], Awaitable[bytes]]:
    async def hear() -> bytes:
        return pcm

    return hear


class Engine:
    """Hears "seven", answers "Eight.", or raises what it is given."""

    def __init__(self) -> None:
        self.works: list[Work] = []
        self.failure: Exception | None = None
        self.at_work = asyncio.Event()
        self.go_on = asyncio.Event()
        self.go_on.set()
        self.stopped = 0

    async def run(self, work: Work, mailbox: AsyncIterator[Message]) -> AsyncGenerator[AnyInput, None]:
        self.works.append(work)
        try:
            if isinstance(work, Generate):
                async for event in self._generate(work):
                    yield event
                return
            async for message in mailbox:
                if isinstance(message, End):
                    yield Transcribed(work_id=work.work_id, text="seven", final=True)
                    return
        finally:
            self.stopped += 1

    async def _generate(self, work: Generate) -> AsyncGenerator[AnyInput, None]:
        yield Said(work_id=work.work_id, output=0, text="Eight.")
        yield Spoke(work_id=work.work_id, output=0, pcm=ANSWER_PCM)
        self.at_work.set()
        await self.go_on.wait()
        if self.failure is not None:
            raise self.failure
        yield Said(work_id=work.work_id, output=0, text=" Of course.")
        yield Spoke(work_id=work.work_id, output=0, pcm=ANSWER_PCM)
        yield Ended(work_id=work.work_id, output=0)
        yield Generated(work_id=work.work_id)


class Stage:
    def __init__(self) -> None:
        self.engine = Engine()
        self.ended = 0
        self.turns: list[Turn] = []
        around = Surroundings(Listening(), Metrics(), lambda live, turn: self.turns.append(turn), self._end)
        config = config_of(ASKED)
        terms = Terms(voices=frozenset({"cedar"}), count_tokens=len)
        session = Session(config=config, terms=terms, new_id=new_id, now=around.now())
        self.live = LiveSession(session, self.engine, around)

    def _end(self, live: LiveSession) -> None:
        self.ended += 1

    async def fails(self, hear: Callable[[], Awaitable[bytes]] | None = None) -> RequestError | EngineError:
        with pytest.raises((RequestError, EngineError)) as failure:
            await answer_of(self.live, ASKED, hear)
        assert self.live.over.is_set() and self.ended == 1
        error = failure.value
        assert isinstance(error, RequestError | EngineError)
        return error

    async def in_the_middle(self, happens: Callable[[LiveSession], object]) -> "asyncio.Task[Answer]":
        """The first sentence was said; then something `happens`, and the engine goes on."""
        self.engine.go_on.clear()
        answering = asyncio.create_task(answer_of(self.live, ASKED))
        await self.engine.at_work.wait()
        happens(self.live)
        self.engine.go_on.set()
        return answering


@pytest.fixture
async def stage() -> Stage:
    return Stage()


def prompt(stage: Stage) -> list[tuple[str, Any]]:
    """Role and first words of everything that the model was shown."""
    work = next(work for work in stage.engine.works if isinstance(work, Generate))
    shown = [entry.item for entry in work.items]
    return [(item.role, getattr(item.content[0], "text", None) or item.content[0].transcript) for item in shown]  # type: ignore[union-attr]


async def test_text_in_words_and_sound_out(stage: Stage) -> None:
    answer = await answer_of(stage.live, ASKED)
    assert answer == Answer("", "Eight. Of course.", 2 * ANSWER_PCM)
    assert prompt(stage) == [("user", "Hi."), ("assistant", "Hello."), ("user", "And now?")]
    assert stage.live.over.is_set() and stage.ended == 1
    assert stage.engine.stopped == 1


async def test_speech_in_and_its_words_are_told(stage: Stage) -> None:
    answer = await answer_of(stage.live, ASKED._replace(text="", messages=()), hearing(SPEECH))
    assert answer == Answer("seven", "Eight. Of course.", 2 * ANSWER_PCM)
    assert prompt(stage) == [("user", "seven")]


async def test_text_and_speech_are_both_read(stage: Stage) -> None:
    answer = await answer_of(stage.live, ASKED._replace(messages=()), hearing(SPEECH))
    assert answer.transcript == "seven"
    assert prompt(stage) == [("user", "And now?"), ("user", "seven")]


async def test_the_session_is_what_was_asked_for() -> None:
    config = config_of(ASKED)
    assert isinstance(config, RealtimeConfig)
    assert (config.model, config.instructions, config.audio.output.voice) == ("starter-voice", "Be brief.", "cedar")
    assert config.audio.input.turn_detection is None
    with pytest.raises(RequestError, match="Supported values are"):
        config_of(ASKED._replace(voice="nobody"))


async def test_a_backend_that_fails(stage: Stage) -> None:
    stage.engine.failure = EngineError("backend_refused", "The backend said 500.")
    error = await stage.fails()
    assert isinstance(error, EngineError)
    assert (error.code, error.message) == ("backend_refused", "The backend said 500.")


async def test_a_bug_in_an_engine(stage: Stage) -> None:
    stage.engine.failure = RuntimeError("oops")
    assert (await stage.fails()).code == "internal_error"


async def test_no_answer_in_time(stage: Stage, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(one_turn, "TURN_S", 0.05)
    stage.engine.go_on.clear()
    error = await stage.fails()
    assert isinstance(error, EngineError)
    assert error.code == "backend_timeout"


async def test_sound_that_is_too_short_to_commit(stage: Stage) -> None:
    error = await stage.fails(hearing(bytes(48 * 99)))
    assert isinstance(error, RequestError)
    assert error.code == "input_audio_buffer_commit_empty"


async def test_a_server_that_stops_lets_the_answer_come_to_its_end(stage: Stage) -> None:
    answering = await stage.in_the_middle(lambda live: live.drain("server_draining"))
    assert (await answering).text == "Eight. Of course."


async def test_a_server_that_stops_while_the_file_is_read(stage: Stage) -> None:
    async def hear() -> bytes:
        stage.live.drain("server_draining")
        return SPEECH

    assert (await stage.fails(hear)).code == "server_draining"


async def test_a_file_that_cannot_be_read(stage: Stage) -> None:
    async def hear() -> bytes:
        raise RequestError("invalid_audio", "No.")

    assert (await stage.fails(hear)).code == "invalid_audio"
    assert not stage.turns


async def test_who_is_closed_is_told(stage: Stage) -> None:
    answering = await stage.in_the_middle(lambda live: live.close(1_001, "server_draining"))
    with pytest.raises(EngineError) as failure:
        await answering
    assert failure.value.code == "server_draining"


async def test_what_was_paid_for_is_delivered(stage: Stage) -> None:
    answering = await stage.in_the_middle(
        lambda live: live.cut_off("insufficient_credits", "No credits.", finish_sentence=True)
    )
    assert await answering == Answer("", "Eight.", ANSWER_PCM)


async def test_a_revoked_key(stage: Stage) -> None:
    answering = await stage.in_the_middle(lambda live: live.cut_off("invalid_api_key", "Revoked."))
    with pytest.raises(RequestError) as failure:
        await answering
    assert failure.value.code == "invalid_api_key"


async def test_who_is_cancelled_ends_the_session_and_pays_for_what_was_made(stage: Stage) -> None:
    stage.engine.go_on.clear()
    answering = asyncio.create_task(answer_of(stage.live, ASKED))
    await stage.engine.at_work.wait()
    answering.cancel()
    with pytest.raises(asyncio.CancelledError):
        await answering
    assert stage.live.over.is_set() and stage.ended == 1
    (turn,) = stage.turns
    assert turn.usage is not None
    assert turn.usage.output_token_details.audio_tokens == 4
