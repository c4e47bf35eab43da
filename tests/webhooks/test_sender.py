"""Deliveries over real sockets, on both databases: what comes, how often, and what one receiver can do to the others."""

import asyncio
import subprocess
import sys
import time
from pathlib import Path

import pytest
from aiohttp import web

from parley.errors import EngineError, RequestError
from parley.storage import Storage, open_storage
from parley.webhooks import store
from parley.webhooks.sender import JITTER, KEPT_S, LEASE_S, PAUSES_S, RUNNING_PER_ENDPOINT, Webhooks, next_attempt
from parley.webhooks.store import Delivery
from tests.conftest import ROOT
from tests.databases import Clock
from tests.webhooks.receivers import (
    SECRET,
    fine,
    never,
    one,
    own_certificate,
    receiving,
    ringing,
    sending,
    settled,
    tried,
    until,
    with_status,
)
from tests.webhooks.telephone import free_port


async def sent(webhooks: Webhooks, endpoint: str, account: str = "local", life_s: float = 600) -> str:
    return await webhooks.send(ringing(), account=account, endpoint=endpoint, life_s=life_s)


# ---- what comes


async def test_it_comes_signed_and_once(storage: Storage) -> None:
    async with receiving() as receiver, sending(storage, receiver.url) as webhooks:
        id = await sent(webhooks, receiver.url)
        delivered = await settled(storage, id)
        assert (delivered.attempts, delivered.outcome, delivered.next_at) == (1, "200", None)
        assert delivered.delivered_at is not None
        await asyncio.sleep(1.2)  # another look
        (received,) = receiver.received
    assert received.id == id
    assert received.headers["content-type"] == "application/json"
    assert received.headers["user-agent"].startswith("Parley/")
    event = received.unwrapped()
    assert event.data.call_id == "rtc_1"
    assert event.data.sip_headers[0].name == "From"


async def test_strange_headers_survive_the_database(storage: Storage) -> None:
    event = ringing(headers=(("Subject", b"\xff \x00 \xe2\x82\xac".decode("utf-8", "surrogateescape")),))
    async with receiving() as receiver, sending(storage, receiver.url) as webhooks:
        id = await webhooks.send(event, account="local", endpoint=receiver.url, life_s=60)
        await settled(storage, id)
        assert receiver.received[0].body == event.body
        assert receiver.received[0].unwrapped().data.sip_headers[0].value == "\ufffd \x00 €"


async def test_what_cannot_be_written_down_is_not_sent(storage: Storage, tmp_path: Path) -> None:
    closed = await open_storage(None, tmp_path / "other")
    await closed.close()
    async with receiving() as receiver, sending(closed, receiver.url, begun=False) as webhooks:
        with pytest.raises(EngineError, match="database"):
            await sent(webhooks, receiver.url)
        await asyncio.sleep(0.1)
        assert receiver.received == []
        assert webhooks._take_places(receiver.url, 100) == RUNNING_PER_ENDPOINT, "no place is lost"


# ---- again


async def test_a_receiver_that_is_down_and_comes_up(storage: Storage, clock: Clock) -> None:
    clock.seconds = time.time()
    port = free_port()
    endpoint = f"http://127.0.0.1:{port}/hooks"
    async with sending(storage, endpoint, unix=clock, begun=False) as webhooks:
        id = await sent(webhooks, endpoint)
        assert (await tried(storage, id)).outcome == "unreachable"
        for attempt, pause_s in enumerate(PAUSES_S[:2], 2):
            clock.seconds += pause_s - 0.1
            await webhooks.look()
            assert (await one(storage, id)).attempts == attempt - 1, "not yet"
            clock.seconds += 0.2
            await webhooks.look()
            await until(lambda: not webhooks._attempts)
            assert (await one(storage, id)).attempts == attempt
        async with receiving(port) as receiver:
            clock.seconds += PAUSES_S[2]
            await webhooks.look()
            assert (await settled(storage, id)).attempts == 4
            assert [each.id for each in receiver.received] == [id]
            receiver.received[0].unwrapped()


async def test_it_comes_again_by_itself(storage: Storage) -> None:
    async with receiving() as receiver, sending(storage, receiver.url) as webhooks:
        receiver.answer = with_status(503)
        id = await sent(webhooks, receiver.url)
        await until(lambda: len(receiver.received) == 1)
        receiver.answer = fine
        assert (await settled(storage, id)).attempts == 2
        first, second = receiver.received
        assert first.id == second.id == id
        assert first.body == second.body
        assert int(second.headers["webhook-timestamp"]) > int(first.headers["webhook-timestamp"])


async def test_after_its_time_it_is_given_up(storage: Storage, clock: Clock) -> None:
    async with receiving() as receiver, sending(storage, receiver.url, unix=clock, begun=False) as webhooks:
        receiver.answer = with_status(500)
        id = await sent(webhooks, receiver.url, life_s=PAUSES_S[0] / 2)
        assert (await settled(storage, id, "failed")).outcome == "500", "another attempt would be too late"
        receiver.answer = never
        late = await sent(webhooks, receiver.url, life_s=5)
    async with receiving() as receiver, sending(storage, receiver.url, unix=clock, begun=False) as webhooks:
        clock.seconds += LEASE_S + 1
        await webhooks.look()
        assert (await one(storage, late)).state == "failed"
        assert (await one(storage, late)).outcome == store.EXPIRED
        assert receiver.received == []


@pytest.mark.parametrize(("status", "state"), [(204, "delivered"), (410, "failed"), (302, "pending"), (404, "pending")])
async def test_what_an_answer_means(storage: Storage, status: int, state: str) -> None:
    async with receiving() as elsewhere, receiving() as receiver:
        async with sending(storage, receiver.url, begun=False) as webhooks:
            receiver.answer = with_status(status, {"location": elsewhere.url})
            found = await tried(storage, await sent(webhooks, receiver.url))
            assert (found.state, found.outcome, found.attempts) == (state, str(status), 1)
        assert elsewhere.received == []


def waiting(attempts: int, expires_at: int = 10**12) -> Delivery:
    return Delivery("wh_1", "a", "", "http://x/", "e", "{}", 0, expires_at, attempts)


def test_the_schedule_is_bounded_and_shaken() -> None:
    for attempts, pause_s in enumerate(PAUSES_S, 1):
        early, late = (next_attempt(waiting(attempts), 1_000_000, chance) for chance in (0.0, 1.0))
        assert early == 1_000_000 + int(pause_s * 1_000 * (1 - JITTER))
        assert late == 1_000_000 + int(pause_s * 1_000 * (1 + JITTER))
    assert next_attempt(waiting(len(PAUSES_S) + 1), 0, 0.5) is None
    assert next_attempt(waiting(1, expires_at=1_000), 0, 0.5) is None
    assert next_attempt(waiting(1, expires_at=1_001), 0, 0.5) == 1_000
    assert sum(sum(PAUSES_S[:at]) < 60 for at in range(1, len(PAUSES_S) + 1)) >= 5, "several while a telephone rings"


# ---- across processes


async def test_a_process_that_is_killed_in_the_middle(storage: Storage, url: str) -> None:
    async with receiving() as receiver:
        receiver.answer = never
        with subprocess.Popen(
            [sys.executable, "-m", "tests.webhooks.worker", url, receiver.url],
            cwd=ROOT,
            stdout=subprocess.PIPE,
            text=True,
        ) as process:
            try:
                await until(lambda: len(receiver.received) == 1)
            finally:
                process.kill()
        assert process.returncode == -9
        receiver.answer = fine
        id = receiver.received[0].id
        assert (await one(storage, id)).state == "pending"
        async with sending(storage, receiver.url, begun=False) as other:
            await other.look()
            assert (await one(storage, id)).attempts == 1, "as far as anybody knows it is being sent"
        async with sending(storage, receiver.url, unix=lambda: time.time() + LEASE_S + 1) as later:
            found = await settled(storage, id)
            assert (found.attempts, found.outcome) == (2, "200")
            assert later._running == {}
        assert [each.id for each in receiver.received] == [id, id], "the same id, so that a receiver can tell"
        receiver.received[1].unwrapped()


async def test_several_processes_send_each_once(storage: Storage, url: str, tmp_path: Path, clock: Clock) -> None:
    clock.seconds = time.time()
    other = await open_storage(url, tmp_path)
    async with receiving() as receiver:
        receiver.answer = with_status(500)
        async with sending(storage, receiver.url, unix=clock, begun=False) as webhooks:
            ids = [await sent(webhooks, receiver.url) for _ in range(10)]
            for id in ids:
                await tried(storage, id)
            receiver.answer = fine
            receiver.received.clear()
            clock.seconds += 2 * PAUSES_S[0]
            async with sending(other, receiver.url, unix=clock, begun=False) as second:
                await asyncio.gather(*(each.look() for each in (webhooks, second, webhooks, second)))
                for id in ids:
                    assert (await settled(storage, id)).attempts == 2
        assert sorted(each.id for each in receiver.received) == sorted(ids)
    await other.close()


# ---- receivers that behave badly


async def test_a_slow_receiver_holds_up_nobody_else(storage: Storage) -> None:
    async with receiving() as slow, receiving() as quick, sending(storage, slow.url, quick.url) as webhooks:
        slow.answer = never
        ids = [await sent(webhooks, slow.url) for _ in range(3 * RUNNING_PER_ENDPOINT)]
        await until(lambda: slow.running == RUNNING_PER_ENDPOINT)
        began = time.monotonic()
        await settled(storage, await sent(webhooks, quick.url))
        took = time.monotonic() - began
        print(f"past a slow receiver: {took * 1_000:.0f} ms")
        assert took < 2.0
        await asyncio.sleep(1.2)  # another look finds no room
        assert slow.running_most == RUNNING_PER_ENDPOINT
        assert {(await one(storage, id)).state for id in ids} == {"pending"}


async def test_a_receiver_that_never_answers(storage: Storage) -> None:
    async with receiving() as receiver, sending(storage, receiver.url, begun=False, total_s=0.3) as webhooks:
        receiver.answer = never
        found = await tried(storage, await sent(webhooks, receiver.url))
        assert (found.state, found.outcome) == ("pending", "timeout")


async def test_a_certificate_that_nobody_knows(storage: Storage, tmp_path: Path) -> None:
    async with receiving(tls=own_certificate(tmp_path)) as receiver:
        async with sending(storage, receiver.url, begun=False) as webhooks:
            found = await tried(storage, await sent(webhooks, receiver.url))
        assert (found.state, found.outcome) == ("pending", "tls")
        assert receiver.received == []


async def test_an_endless_answer_is_not_read(storage: Storage) -> None:
    written = 0
    ended = asyncio.Event()

    async def endless(request: web.Request) -> web.StreamResponse:
        nonlocal written
        response = web.StreamResponse()
        await response.prepare(request)
        try:
            while True:
                await response.write(b"x" * 65_536)
                written += 65_536
        except ConnectionError:
            ended.set()
            raise

    async with receiving() as receiver, sending(storage, receiver.url, begun=False) as webhooks:
        receiver.answer = endless
        assert (await settled(storage, await sent(webhooks, receiver.url))).outcome == "200"
        await asyncio.wait_for(ended.wait(), 10)
    print(f"an endless answer: {written / 2**20:.1f} MiB went into sockets")
    assert written < 64 * 2**20


async def test_what_is_not_http(storage: Storage) -> None:
    async def babble(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        writer.write(b"220 mail.example ESMTP\r\n")
        await writer.drain()
        writer.close()

    server = await asyncio.start_server(babble, "127.0.0.1", 0)
    endpoint = f"http://127.0.0.1:{server.sockets[0].getsockname()[1]}/"
    async with server, sending(storage, endpoint, begun=False) as webhooks:
        found = await tried(storage, await sent(webhooks, endpoint))
        assert found.state == "pending"
        assert found.outcome in ("not http", "unreachable")


async def test_endpoints_of_others_go_through_the_guard(storage: Storage) -> None:
    async with receiving() as receiver, sending(storage, begun=False) as webhooks:
        found = await tried(storage, await sent(webhooks, receiver.url))
        assert (found.state, found.outcome) == ("failed", "url_not_allowed")
        for url in ("ftp://x.example/", "http://ann:pw@x.example/", "http://0x7f.1/", "nonsense"):
            with pytest.raises(RequestError) as caught:
                await sent(webhooks, url)
            assert caught.value.code == "url_not_allowed"
        assert receiver.received == []


# ---- to look at


async def test_replay(storage: Storage) -> None:
    async with receiving() as receiver, sending(storage, receiver.url) as webhooks:
        receiver.answer = with_status(410)
        id = await sent(webhooks, receiver.url, account="acc_1", life_s=1)
        await settled(storage, id, "failed")
        receiver.answer = fine
        for stranger, wanted in (("acc_2", id), ("acc_1", "wh_none")):
            with pytest.raises(RequestError) as caught:
                await webhooks.replay(wanted, stranger)
            assert caught.value.code == "webhook_not_found"
        for _ in range(2):  # what has come already, too
            await webhooks.replay(id, "acc_1")
            found = await settled(storage, id)
            assert (found.attempts, found.outcome) == (1, "200")
        assert [each.id for each in receiver.received] == [id] * 3
        receiver.received[-1].unwrapped()


async def test_pages_of_an_account(storage: Storage, clock: Clock) -> None:
    ids = []
    async with sending(storage, "http://127.0.0.1:9/", unix=clock, begun=False) as webhooks:
        for number in range(5):
            clock.seconds += number % 2
            ids.append(await sent(webhooks, "http://127.0.0.1:9/", account="acc_1"))
        await sent(webhooks, "http://127.0.0.1:9/", account="acc_2")
    first = await storage.read(store.page, "acc_1", 3)
    rest = await storage.read(store.page, "acc_1", 3, (first[-1].created_at, first[-1].id))
    assert {each.id for each in first + rest} == set(ids)
    assert [each.created_at for each in first + rest] == sorted(
        (each.created_at for each in first + rest), reverse=True
    )
    assert len(await storage.read(store.page, None, 100)) == 6


async def test_old_ones_are_swept(storage: Storage, clock: Clock) -> None:
    async with receiving() as receiver, sending(storage, receiver.url, unix=clock, begun=False) as webhooks:
        old = await sent(webhooks, receiver.url)
        await settled(storage, old)
        receiver.answer = with_status(500)
        pending = await sent(webhooks, receiver.url, life_s=2 * KEPT_S)
        await tried(storage, pending)
        clock.seconds += KEPT_S
        await webhooks.sweep()
        assert len(await storage.read(store.page, None, 100)) == 2, "not yet"
        clock.seconds += 1
        await webhooks.sweep()
        assert [each.id for each in await storage.read(store.page, None, 100)] == [pending]


async def test_no_secret_and_no_address_in_the_log(storage: Storage, caplog: pytest.LogCaptureFixture) -> None:
    async with receiving() as receiver:
        endpoint = f"{receiver.url}?token=hush"
        with caplog.at_level("DEBUG", logger="parley"):
            async with sending(storage, endpoint, begun=False) as webhooks:
                await settled(storage, await sent(webhooks, endpoint))
                receiver.answer = with_status(500)
                await tried(storage, await sent(webhooks, endpoint))
    told = "\n".join(f"{record.getMessage()} {getattr(record, 'fields', '')}" for record in caplog.records)
    assert "webhook delivered" in told
    assert "webhook failed" in told
    assert not any(word in told for word in ("hush", SECRET, "ann@a.example"))
