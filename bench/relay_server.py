#!/usr/bin/env python3
"""The relay and nothing else: the door's lane, a relayed session, one upstream. For `bench/relay.py`."""

import argparse
import asyncio
import gc
import time

import uvloop
from starlette.applications import Starlette
from starlette.routing import WebSocketRoute
from starlette.websockets import WebSocket

from parley.core.relay import Relay
from parley.core.relayed import RelayTerms
from parley.dialects.choose import choose
from parley.engines.upstream.dialler import Dialler
from parley.engines.upstream.routing import Route, Router, Target
from parley.engines.upstream.table import upstream
from parley.ids import new_id
from parley.live.relay import RelayedSession
from parley.live.relay_parts import RelaySurroundings
from parley.live.session import Whose
from parley.server import Server, listen
from parley.telemetry import Metrics
from parley.transports.relay import converse


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--port", type=int, required=True)
    parser.add_argument("--upstream", required=True, help="base URL, or the URL of its socket")
    args = parser.parse_args()
    base = args.upstream.removesuffix("/realtime")
    dialler = Dialler(
        {"bench": upstream("bench", base, key="sk-bench")},
        Router({}, default=Route((Target("bench", ""),))),
        connect_s=5,
    )
    around = RelaySurroundings(Metrics(), lambda live, turn: None, lambda live: None)

    async def endpoint(websocket: WebSocket) -> None:
        model = websocket.query_params.get("model", "mock")
        choice = choose(
            method="GET", path="/v1/realtime", headers=websocket.headers, subprotocols=websocket.scope["subprotocols"]
        )
        relay = Relay(terms=RelayTerms(model=model), new_id=new_id, now=time.monotonic())
        call = await dialler.dial(model, relay.id)
        live = RelayedSession(relay, call, dialler, around, model=model, whose=Whose("bench"))
        await converse(websocket, choice, live)

    app = Starlette(routes=[WebSocketRoute("/v1/realtime", endpoint)])
    with listen("127.0.0.1", args.port) as listener:
        gc.freeze()  # as the house does when it is loaded
        server = Server(app, drain=lambda: asyncio.sleep(0), started=lambda: print("relay ready", flush=True))
        uvloop.run(server.serve([listener]))


if __name__ == "__main__":
    main()
