"""Remote MCP servers, as work of a session: connect, list the tools, call them (docs/mcp.md).

    engine = with_servers(cascade, allowed)

The official SDK speaks the protocol. It takes a second and 34 MB to load, so that it is loaded when the first server is
configured, in a thread.
"""

import asyncio
from collections.abc import AsyncGenerator, AsyncIterator, Callable
from contextlib import aclosing

from parley.core.effects import Attend, Message, Work
from parley.core.inputs import AnyInput
from parley.engines.base import Engine
from parley.engines.mcp.limits import CALL_S, CONNECT_S
from parley.outgoing import Allowed, Outgoing

Attending = Callable[[Attend, AsyncIterator[Message], Outgoing], AsyncGenerator[AnyInput, None]]


class WithServers:
    """`Engine`: it attends to MCP servers, and leaves everything else to another engine."""

    def __init__(self, engine: Engine, outgoing: Outgoing) -> None:
        self._engine = engine
        self._outgoing = outgoing

    def run(self, work: Work, mailbox: AsyncIterator[Message]) -> AsyncGenerator[AnyInput, None]:
        """See `Engine.run`."""
        if isinstance(work, Attend):
            return self._attend(work, mailbox)
        return self._engine.run(work, mailbox)

    async def _attend(self, work: Attend, mailbox: AsyncIterator[Message]) -> AsyncGenerator[AnyInput, None]:
        attend = await asyncio.to_thread(_load)
        async with aclosing(attend(work, mailbox, self._outgoing)) as events:
            async for event in events:
                yield event

    async def close(self) -> None:
        """Closes the connections to servers."""
        await self._outgoing.close()


def _load() -> Attending:
    from parley.engines.mcp.attendance import attend

    return attend


def with_servers(engine: Engine, allowed: Allowed) -> WithServers:
    """`allowed` is what servers may be besides public ones."""
    return WithServers(engine, Outgoing(allowed, connect_s=CONNECT_S, total_s=CALL_S))
