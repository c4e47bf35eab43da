"""A real turn at an upstream, for whoever wants to see that it works: a session, a question in writing, the answer.

trial = await ask(upstream, "gpt-realtime", "Say hello.")       # trial.answer, or trial.code and trial.message

It costs what an answer costs.
"""

import asyncio
import time
from typing import Any, Final, NamedTuple

from parley.core.relayed import Body
from parley.engines.upstream.connection import Leg, UpstreamError, connect
from parley.engines.upstream.table import Upstream

CONNECT_S: Final = 5.0
ANSWER_S: Final = 30.0
MESSAGE_CHARS_MAX: Final = 500
"""Of what an upstream says about a failure."""


class Trial(NamedTuple):
    """Times in milliseconds from the beginning; None where it did not get that far."""

    model: str
    opened_ms: int | None = None
    first_ms: int | None = None
    """The first words, or the first sound."""
    done_ms: int | None = None
    answer: str = ""
    code: str = ""
    message: str = ""


async def ask(upstream: Upstream, model: str, question: str) -> Trial:
    """Never raises for what is wrong over there: that is what it finds out."""
    began = time.monotonic()

    def passed() -> int:
        return round((time.monotonic() - began) * 1_000)

    try:
        leg, _ = await connect(upstream, model, session="trial", timeout_s=CONNECT_S)
    except UpstreamError as error:
        return Trial(model, code=error.code, message=error.message)
    opened_ms, reply = passed(), _Reply()
    leg.receive(reply)
    try:
        leg.ask({"type": "conversation.item.create", "item": _said(question)})
        leg.ask({"type": "response.create", "response": {"output_modalities": ["text"]}})
        async with asyncio.timeout(ANSWER_S):
            await reply.first.wait()
            first_ms = passed()
            answer = await reply.whole
        return Trial(model, opened_ms, first_ms, passed(), answer)
    except UpstreamError as error:
        return Trial(model, opened_ms, code=error.code, message=error.message)
    except TimeoutError:
        return Trial(model, opened_ms, code="backend_timeout", message="The upstream did not answer in time.")
    finally:
        leg.close()


def _said(question: str) -> Body:
    return {"type": "message", "role": "user", "content": [{"type": "input_text", "text": question}]}


class _Reply:
    """A `Receiver` that waits for one answer."""

    def __init__(self) -> None:
        self.first = asyncio.Event()
        self.whole: asyncio.Future[str] = asyncio.get_running_loop().create_future()

    def on_upstream(self, leg: Leg, raw: bytes) -> None:
        try:
            bodies = leg.spelling.read_server(raw)
        except ValueError:
            self.on_lost(leg, "backend_protocol_error", "The upstream sent an event that cannot be read.")
            return
        for body in bodies:
            self._read(body)

    def on_congestion(self, leg: Leg) -> None: ...

    def on_lost(self, leg: Leg, code: str, message: str) -> None:
        self._fail(code, message)

    def _read(self, body: Body) -> None:
        match body:
            case {"type": "error", "error": dict(error)}:
                self._fail("backend_refused", str(error.get("message", "")))
            case {"type": "response.done", "response": {"status": "completed", "output": list(output)}}:
                self.first.set()
                if not self.whole.done():
                    self.whole.set_result(_words(output))
            case {"type": "response.done", "response": dict(response)}:
                self._fail("backend_refused", _reason(response))
            case {"type": str(kind)} if kind.startswith("response.output_") and kind.endswith(".delta"):
                self.first.set()

    def _fail(self, code: str, message: str) -> None:
        if not self.whole.done():
            words = message[:MESSAGE_CHARS_MAX] or "The upstream did not answer."
            self.whole.set_exception(UpstreamError(code, words))
            self.first.set()


def _reason(response: Body) -> str:
    match response.get("status_details"):
        case {"error": {"message": str(message)}}:
            return message
    return ""


def _words(output: list[Any]) -> str:
    items = (item for item in output if isinstance(item, dict))
    parts = (part for item in items for part in item.get("content") or () if isinstance(part, dict))
    return " ".join(str(part.get("text") or part.get("transcript") or "") for part in parts).strip()
