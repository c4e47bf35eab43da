"""Opening sessions: the first upstream that will do, and no longer than it has to be."""

import asyncio
import time
from contextlib import AsyncExitStack

import pytest

from parley.engines.upstream import dialler as module
from parley.engines.upstream.dialler import HEDGE_S, Call, Dialler
from parley.engines.upstream.routing import FAILURES_MAX, Route, Router, Target
from parley.engines.upstream.table import upstream
from parley.errors import EngineError
from tests.engines.upstream.scripted import Provider


class Company:
    """Several providers, called in order."""

    def __init__(self, *providers: Provider) -> None:
        self.providers = providers
        self._stack = AsyncExitStack()

    async def __aenter__(self) -> Dialler:
        for provider in self.providers:
            await self._stack.enter_async_context(provider.serving())
        known = {str(n): upstream(str(n), provider.url) for n, provider in enumerate(self.providers)}
        self.router = Router({"m": Route(tuple(Target(name, "model") for name in known))})
        return Dialler(known, self.router, connect_s=5.0)

    async def __aexit__(self, *exc: object) -> None:
        await self._stack.aclose()


def hang_up(call: Call) -> str:
    call.leg.close()
    return call.target.upstream


async def test_the_first_that_opens_is_it() -> None:
    async with Company(Provider(status=500), Provider(greeting="?"), Provider(), Provider()) as dialler:
        began = time.monotonic()
        assert hang_up(await dialler.dial("m", "s")) == "2"
        assert time.monotonic() - began < 1.5


async def test_who_is_slow_is_not_waited_for() -> None:
    slow, quick = Provider(delay_s=3.0), Provider()
    async with Company(slow, quick) as dialler:
        began = time.monotonic()
        assert hang_up(await dialler.dial("m", "s")) == "1"
        assert HEDGE_S <= time.monotonic() - began < 1.5
        assert dialler.router.breakers["0"].failures == 0


async def test_a_call_that_comes_too_late_is_hung_up() -> None:
    late, quick = Provider(delay_s=HEDGE_S), Provider(delay_s=0.1)
    async with Company(late, quick) as dialler:
        for _ in range(3):
            hang_up(await dialler.dial("m", "s"))
        await asyncio.sleep(0.3)
        for visit in (*late.visits, *quick.visits):
            await asyncio.wait_for(visit.over.wait(), 5)


async def test_who_is_to_be_avoided_comes_last() -> None:
    async with Company(Provider(), Provider()) as dialler:
        assert hang_up(await dialler.dial("m", "s", avoid=("0",))) == "1"
        assert hang_up(await dialler.dial("m", "s", avoid=("0", "1"))) == "0"


async def test_when_none_will_do_the_last_says_why() -> None:
    async with Company(Provider(status=500), Provider(status=401)) as dialler:
        with pytest.raises(EngineError) as caught:
            await dialler.dial("m", "s")
        assert caught.value.code == "backend_refused"


async def test_a_model_without_a_route() -> None:
    async with Company(Provider()) as dialler:
        with pytest.raises(EngineError) as caught:
            await dialler.dial("other", "s")
        assert caught.value.code == "backend_unavailable"


async def test_who_is_left_alone_comes_back_after_probes(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(module, "PROBE_EVERY_S", 0.02)
    now = time.monotonic()
    provider = Provider(status=503)
    async with Company(provider, Provider()) as dialler:
        dialler._now = lambda: now
        for _ in range(FAILURES_MAX):
            assert hang_up(await dialler.dial("m", "s")) == "1"
        assert not dialler.router.breakers["0"].closed
        probing = asyncio.create_task(dialler.probe())
        now += 10
        await asyncio.sleep(0.2)
        assert not dialler.router.breakers["0"].closed
        provider.status = None
        now += 100
        async with asyncio.timeout(5):
            while not dialler.router.breakers["0"].closed:
                await asyncio.sleep(0.02)
        probing.cancel()
        assert hang_up(await dialler.dial("m", "s")) == "0"


async def test_sessions_that_are_lost_count_and_those_whose_time_is_over_do_not() -> None:
    async with Company(Provider(), Provider()) as dialler:
        for _ in range(9):
            dialler.lost("0", "session_expired")
        assert dialler.router.breakers["0"].closed
        dialler.lost("0", "backend_refused")
        assert not dialler.router.breakers["0"].closed
