"""The embedded assistant: a set of small honest skills that stands in for a language model.

It answers what it can (see `skills.py`), calls the session's functions, and says that it is no language model when it
cannot help. It keeps nothing between turns: the prompt, the clock and the seed determine every word. No network, no
model files; a reply takes a millisecond or two. The schema checker is loaded when the first prompt with functions
comes, off the event loop, because it takes a quarter of a second.
"""

import asyncio
import importlib
import re
import sys
from collections.abc import AsyncIterator, Callable
from datetime import datetime

from parley.engines.base import CallDelta, Finished, Prompt, Words
from parley.engines.llm.assistant.dialogue import dialogue_of
from parley.engines.llm.assistant.schema import encoded
from parley.engines.llm.assistant.skills import answer


def local_time() -> datetime:
    """The wall clock, with its time zone."""
    return datetime.now().astimezone()


class Assistant:
    """A `LanguageModel` without a model. Token counts are not reported; limits of output are the engine's to keep."""

    def __init__(self, *, seed: int = 0, now: Callable[[], datetime] = local_time) -> None:
        self._seed = seed
        self._now = now

    async def generate(self, prompt: Prompt) -> AsyncIterator[Words | CallDelta | Finished]:
        """See `LanguageModel`. Raises nothing. Ids of calls are left to the listener."""
        if prompt.tools and "jsonschema.validators" not in sys.modules:
            await asyncio.to_thread(importlib.import_module, "jsonschema.validators")
        reply = answer(dialogue_of(prompt, self._now(), self._seed))
        for word in re.findall(r"\s*\S+", reply.text):
            yield Words(text=word)
        for index, call in enumerate(reply.calls):
            yield CallDelta(index=index, name=call.name)
            yield CallDelta(index=index, arguments=encoded(call.arguments))
        yield Finished(reason="tool_calls" if reply.calls else "stop")
