"""Who asks for logprobs asks the transcriber for them; whoever asks for something else does not."""

import pytest

from parley.core import events as e
from parley.core.config import LOGPROBS
from parley.core.effects import Start, Transcribe
from tests.core.driver import new_session


@pytest.mark.parametrize(("include", "asked"), [([LOGPROBS], True), (["parley.price"], False), (None, False)])
def test_who_asks_for_logprobs(include: list[str] | None, asked: bool) -> None:
    session = new_session({"include": include})
    session.open()
    content = [{"type": "input_audio", "audio": "AAAA" * 400}]
    event = e.ConversationItemCreate(item={"type": "message", "role": "user", "content": content})
    effects = session.handle(event, 0.0)
    (work,) = [effect.work for effect in effects if isinstance(effect, Start)]
    assert isinstance(work, Transcribe)
    assert work.logprobs is asked
