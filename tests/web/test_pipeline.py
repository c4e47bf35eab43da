"""How many questions with sound are worked on at once; questions in writing wait for nobody."""

import asyncio
import threading
from concurrent.futures import ThreadPoolExecutor

import httpx
import pytest
from starlette.applications import Starlette
from starlette.requests import Request
from starlette.responses import Response
from starlette.routing import Route

from parley.auth.gate import LOCAL, Bearer
from parley.errors import RequestError
from parley.live.one_turn import Asked
from parley.live.session import LiveSession
from parley.web import errors, pipeline
from parley.web.pipeline import Pipeline
from tests.transports.serving import serving

AT_ONCE = 2


class Bank:
    """Refuses everybody, when it is told to."""

    def __init__(self) -> None:
        self.asked = threading.Semaphore(0)
        self.waiting = 0
        self.most = 0
        self.gate = threading.Event()

    async def open_session(self, asked: Asked, bearer: Bearer) -> LiveSession:
        if asked.text != "in writing":
            self.waiting += 1
            self.most = max(self.most, self.waiting)
            self.asked.release()
            await asyncio.to_thread(self.gate.wait, 10)
            self.waiting -= 1
        raise RequestError("insufficient_credits", "No.")


async def settled(session: str) -> None:
    raise AssertionError("no session was opened")


def test_so_many_questions_with_sound_at_once(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(pipeline, "LISTENERS_MAX", AT_ONCE)
    bank = Bank()
    work = Pipeline(bank.open_session, settled, "nobody")

    async def endpoint(request: Request) -> Response:
        return await work.answer(request, LOCAL)

    app = Starlette(routes=[Route("/", endpoint, methods=["POST"])], exception_handlers=errors.HANDLERS)
    with serving(app) as port, ThreadPoolExecutor(3 * AT_ONCE) as clients:

        def ask(**files: tuple[str | None, bytes]) -> int:
            form = {"model": (None, b"starter-voice"), **files}
            return httpx.post(f"http://127.0.0.1:{port}/", files=form, timeout=20).status_code

        asking = [clients.submit(ask, audio=("a", b"sound")) for _ in range(3 * AT_ONCE)]
        for _ in range(AT_ONCE):
            assert bank.asked.acquire(timeout=10)
        assert ask(text=(None, b"in writing")) == 402
        bank.gate.set()
        assert [one.result(20) for one in asking] == [402] * 3 * AT_ONCE
    assert bank.most == AT_ONCE
