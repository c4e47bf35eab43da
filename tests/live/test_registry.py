"""Who is live: limits, look-up, and the end of all."""

import asyncio
from typing import cast

import pytest

from parley.errors import RequestError
from parley.live.registry import DRAIN_REASON, Registry
from parley.live.session import LiveSession, Whose


class Live:
    """Stands for a `LiveSession`; drains after `busy_s`."""

    def __init__(self, number: int, registry: Registry, busy_s: float = 0.0, api_key: str | None = None) -> None:
        self.id = f"sess_{number}"
        self.whose = Whose("acc", api_key)
        self.over = asyncio.Event()
        self.closed: tuple[int, str] | None = None
        self._registry = registry
        self._busy_s = busy_s

    def drain(self, reason: str) -> None:
        asyncio.get_running_loop().call_later(self._busy_s, self.close, 1001, reason)

    def close(self, code: int, reason: str) -> None:
        self.closed = self.closed or (code, reason)
        self.over.set()
        self._registry.remove(cast("LiveSession", self))


def add(registry: Registry, live: Live) -> Live:
    registry.add(cast("LiveSession", live))
    return live


def refused(registry: Registry) -> str:
    with pytest.raises(RequestError) as caught:
        registry.check_room()
    return caught.value.code


async def test_so_many_sessions_and_no_more() -> None:
    registry = Registry(2)
    first = add(registry, Live(1, registry))
    add(registry, Live(2, registry))
    assert refused(registry) == "too_many_sessions"
    with pytest.raises(RequestError):
        add(registry, Live(3, registry))
    first.close(1000, "")
    assert len(registry) == 1
    registry.check_room()


async def test_sessions_are_found_by_the_key_that_opened_them() -> None:
    registry = Registry(9)
    first, _, third = (add(registry, Live(number, registry, api_key=key)) for number, key in enumerate(("a", "b", "a")))
    assert [live.id for live in registry.of_keys(["a", "c"])] == [first.id, third.id]
    first.close(1000, "")
    assert [live.id for live in registry.of_keys(["a", "c"])] == [third.id]
    assert registry.of_keys([]) == []


async def test_draining_lets_turns_finish_and_takes_nobody_in() -> None:
    registry = Registry(9)
    sessions = [add(registry, Live(number, registry, busy_s=0.02 * number)) for number in range(3)]
    draining = asyncio.create_task(registry.drain(5.0))
    await asyncio.sleep(0)
    assert refused(registry) == "server_draining"
    await draining
    assert [live.closed for live in sessions] == [(1001, DRAIN_REASON)] * 3
    assert not len(registry)


async def test_draining_has_an_end() -> None:
    registry = Registry(9)
    live = add(registry, Live(1, registry, busy_s=60))
    await registry.drain(0.02)
    assert live.closed == (1001, DRAIN_REASON)
