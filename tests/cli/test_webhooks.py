"""`parley webhooks`, on both databases."""

import asyncio
import time

from parley.cli.problem import Status
from parley.office import Office
from parley.webhooks import store
from parley.webhooks.signing import read_secrets
from parley.webhooks.store import Delivery
from tests.cli.desk import Run, at_office, home, parley
from tests.databases import url
from tests.webhooks.receivers import receiving, sending, settled

__all__ = ["home", "parley", "url"]


def given_up(id: str, endpoint: str = "https://hooks.example/in?token=hush", made_at: int = 1) -> Delivery:
    return Delivery(id, "local", "", endpoint, "realtime.call.incoming", "{}", made_at, 2, 3, None, None, "503")


def add(*deliveries: Delivery) -> None:
    async def work(office: Office) -> None:
        for delivery in deliveries:
            await office.storage.transaction(store.add, delivery)

    at_office(work)


def test_a_secret_to_set(parley: Run) -> None:
    made = parley("webhooks", "secret")
    assert made.out.startswith("whsec_") and made.out.count("\n") == 1
    assert "PARLEY_WEBHOOK_SECRET" in made.err
    again = parley("webhooks", "secret", "--json").json["secret"]
    assert again != made.out.strip()
    assert len(read_secrets(again)[0]) == 32


def test_what_was_announced(parley: Run) -> None:
    assert parley("webhooks", "list", "--json").json == {"webhooks": []}
    add(given_up("wh_1"), given_up("wh_2", made_at=2_000))
    second, first = parley("webhooks", "list", "--json").json["webhooks"]
    assert (first["id"], first["state"], first["attempts"], first["outcome"]) == ("wh_1", "failed", 3, "503")
    assert (second["created_at"], second["endpoint"]) == ("1970-01-01T00:00:02Z", "https://hooks.example/in")
    shown = parley("webhooks", "list", "--lines", "1")
    assert "wh_2" in shown.out and "wh_1" not in shown.out
    assert "hush" not in shown.out
    for lines in ("0", "1001"):
        assert parley("webhooks", "list", "--lines", lines).status == Status.USAGE


def test_once_more(parley: Run) -> None:
    async def serve(office: Office, endpoint: str) -> None:
        async with sending(office.storage, endpoint) as webhooks:
            await webhooks.look()
            await settled(office.storage, "wh_1")

    async def work() -> list[str]:
        async with receiving() as receiver:
            await asyncio.to_thread(add, given_up("wh_1", receiver.url, int(time.time() * 1_000)))
            replayed = await asyncio.to_thread(parley, "webhooks", "replay", "wh_1", "--json")
            assert replayed.json == {"id": "wh_1", "state": "pending"}
            await asyncio.to_thread(at_office, lambda office: serve(office, receiver.url))
            return [each.id for each in receiver.received]

    assert asyncio.run(work()) == ["wh_1"]
    refused = parley("webhooks", "replay", "wh_2")
    assert (refused.status, refused.out) == (Status.FAILED, "")
    assert "wh_2" in refused.err
