"""Telephone calls into the server: real telephones, spoken questions, a program that decides, and money."""

import asyncio
import json
import re
from collections.abc import AsyncIterator, Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import asynccontextmanager
from pathlib import Path

import numpy as np
import pytest
from numpy.typing import NDArray
from openai import AsyncOpenAI

from parley.engines.base import SpeechToText
from parley.engines.stt import choose_embedded
from parley.transports.certificate import local_certificate
from tests.conftest import MakeServer, Server, running_server
from tests.e2e.backends import Backends, running_backends
from tests.e2e.test_money import newcomer, office_of, settled
from tests.sdk.client import Client, silence
from tests.sdk.speaker import Speaker
from tests.security.test_matrix import send
from tests.speech import resampled, transcribe
from tests.transports.sip.baresip import RATE_HZ, Telephone, telephone
from tests.transports.sip.booth import needs_baresip, until
from tests.transports.sip.raw import caller
from tests.webhooks.receivers import SECRET, Receiver, receiving
from tests.webhooks.telephone import free_port

PATIENCE_S = 40.0
"""Only a broken server takes that long, or a machine that does something else."""
STORY = "Once upon a time there was a very long road, and it went on and on. " * 12
FRAME = RATE_HZ // 50
LOUD = 300.0
"""Standard deviation of 20 ms of speech, at least; the line's own noise is below 10."""
DTMF = "input_audio_buffer.dtmf_event_received"


@pytest.fixture(scope="module")
def ear() -> Iterator[SpeechToText]:
    """Ours, apart from the server's."""
    workers = ThreadPoolExecutor(1)
    stt, advice = choose_embedded(workers)
    assert stt is not None, advice
    yield stt
    workers.shutdown()


def write_trunks(path: Path, number: str, trunk: str = "") -> str:
    """A table of trunks with one that stands here; `number` and `trunk` are more lines of either."""
    path.write_text(
        f'[[trunk]]\nname = "here"\naddresses = ["127.0.0.1"]\n{trunk}\n[[trunk.number]]\nnumber = "*"\n{number}\n'
    )
    return str(path)


async def dial(phone: Telephone, port: int, parameters: str = "") -> None:
    """Calls, and waits until somebody answers."""
    phone.tell("dial", f"sip:100@127.0.0.1:{port}{parameters}")
    await until(lambda: "CALL_ESTABLISHED" in phone.events, PATIENCE_S)


async def call_of(server: Server) -> str:
    """The id of the one call that runs."""
    key = {"authorization": f"Bearer {server.key}"}
    answer = await asyncio.to_thread(send, server, "GET", "/api/phone", key)
    (call,) = json.loads(answer.body)["calls"]
    found: str = call["id"]
    return found


async def leave(phone: Telephone) -> NDArray[np.float64]:
    """Hangs up. Everything that was heard."""
    phone.tell("hangup")
    await until(lambda: "CALL_CLOSED" in phone.events)
    return phone.heard()


def loud(sound: NDArray[np.float64]) -> list[bool]:
    """Of each 20 ms, whether somebody speaks."""
    whole = len(sound) // FRAME * FRAME
    return [bool(each) for each in sound[:whole].reshape(-1, FRAME).std(1) > LOUD]


async def words_in(ear: SpeechToText, sound: NDArray[np.float64]) -> str:
    return await transcribe(ear, silence(300) + resampled(sound, RATE_HZ) + silence(300))


# ---- answered at once


async def test_with_a_port_alone_a_call_from_this_machine_is_answered(make_server: MakeServer) -> None:
    port = free_port()
    server = make_server(PARLEY_SIP_PORT=str(port))
    async with caller(port) as ann:
        await ann.call()
        assert json.loads(send(server, "GET", "/health", {}).body)["sessions"] == 1


@needs_baresip
@pytest.mark.parametrize("encrypted", [False, True], ids=["udp", "tls and srtp"])
async def test_a_spoken_question_is_answered_by_voice(
    encrypted: bool,
    make_server: MakeServer,
    tmp_path: Path,
    speaker: Speaker,
    ear: SpeechToText,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    port, tls_port = free_port(), free_port()
    env = {"PARLEY_SIP_PORT": str(port), "PARLEY_SIP_TLS_PORT": str(tls_port)}
    server = make_server(**env, **({"PARLEY_TLS": "local"} if encrypted else {}))
    if encrypted:
        monkeypatch.setenv("SSL_CERT_FILE", str(local_certificate(server.home)[0]))
    more, transport = (";mediaenc=srtp-mand", "tls") if encrypted else ("", "udp")
    async with telephone(tmp_path, "pcma", more, transport, silent=True) as phone:
        await dial(phone, tls_port if encrypted else port, ";transport=tls" if encrypted else "")
        client = AsyncOpenAI(base_url=server.base_url, api_key=server.key)
        async with client, joined(client, await call_of(server)) as side:
            phone.say(await speaker("How much is twelve times twelve?"))
            await side.until("output_audio_buffer.stopped")
        heard = await words_in(ear, await leave(phone))
    assert "144" in heard


# ---- decided by a program


@asynccontextmanager
async def program(make_server: MakeServer, **env: str) -> AsyncIterator[tuple[int, Receiver, AsyncOpenAI]]:
    """A server that announces its calls: its port of telephones, where it announces, and the official client."""
    port = free_port()
    async with receiving() as receiver:
        server = make_server(
            PARLEY_SIP_PORT=str(port), PARLEY_WEBHOOK_URL=receiver.url, PARLEY_WEBHOOK_SECRET=SECRET, **env
        )
        async with AsyncOpenAI(base_url=server.base_url, api_key=server.key, webhook_secret=SECRET) as client:
            yield port, receiver, client


async def announced(receiver: Receiver, client: AsyncOpenAI, which: int = 0) -> str:
    """Waits for a call. Its id, from an event that the official client believes."""
    await until(lambda: len(receiver.received) > which, PATIENCE_S)
    said = receiver.received[which]
    event = client.webhooks.unwrap(said.body, dict(said.headers))
    assert event.type == "realtime.call.incoming"
    return event.data.call_id


@asynccontextmanager
async def joined(client: AsyncOpenAI, call_id: str) -> AsyncIterator[Client]:
    """The side channel of a call; the form of every event is judged, not their order: it joins in the middle."""
    async with client.realtime.connect(extra_query={"call_id": call_id}) as connection:
        side = Client(connection)
        try:
            yield side
        finally:
            await side.stop()
        assert side.findings == []


@needs_baresip
async def test_a_program_answers_steers_transfers_and_hangs_up(
    make_server: MakeServer, tmp_path: Path, speaker: Speaker, ear: SpeechToText
) -> None:
    async with program(make_server) as (port, receiver, client), telephone(tmp_path, "pcmu", silent=True) as phone:
        phone.tell("dial", f"sip:100@127.0.0.1:{port}")
        first = await announced(receiver, client)
        await client.realtime.calls.accept(
            first, type="realtime", model="gpt-realtime", instructions='Greet with "Good day from the switchboard".'
        )
        async with joined(client, first) as side:
            await side.respond()
            await side.until("output_audio_buffer.stopped")
            phone.say(await speaker("Can you hear me?"))
            await side.until("input_audio_buffer.speech_started")
            for key in "15#":
                phone.tell("sndcode", key)
                await asyncio.sleep(0.2)
                phone.tell("sndcode", "\x00")
                assert (await side.until(DTMF))["event"] == key
            await side.done()
            await client.realtime.calls.refer(first, target_uri=f"sip:200@127.0.0.1:{port}")
            second = await announced(receiver, client, 1)
            await client.realtime.calls.accept(second, type="realtime", model="gpt-realtime")
            await side.over()
        await client.realtime.calls.hangup(second)
        await until(lambda: phone.events.count("CALL_CLOSED") == 2)
        heard = await words_in(ear, phone.heard())
    assert "good day" in heard.lower()


async def test_a_program_rejects(make_server: MakeServer) -> None:
    async with program(make_server) as (port, receiver, client), caller(port) as ann:
        ann.say("INVITE", 1, ann.sdp())
        await client.realtime.calls.reject(await announced(receiver, client), status_code=486)
        await ann.line.wait("486")


# ---- a conversation


@needs_baresip
async def test_who_speaks_is_not_spoken_over(make_server: MakeServer, tmp_path: Path, speaker: Speaker) -> None:
    """A greeting begins without being asked, and stops when the caller begins to speak."""
    port = free_port()
    trunks = write_trunks(tmp_path / "trunks.toml", f'session = {{ type = "realtime" }}\ngreeting = "{STORY}"')
    server = make_server(PARLEY_SIP_PORT=str(port), PARLEY_SIP_TRUNKS=trunks)
    async with (
        telephone(tmp_path, "pcmu", silent=True) as phone,
        AsyncOpenAI(base_url=server.base_url, api_key=server.key) as client,
    ):
        await dial(phone, port)
        async with joined(client, await call_of(server)) as side:
            await asyncio.sleep(3)
            phone.say(await speaker("Please tell me the time."))
            await side.until("input_audio_buffer.speech_started")
            cleared = await side.until("output_audio_buffer.cleared")
            truncated = await side.until("conversation.item.truncated")
            assert cleared["response_id"]
            assert 1_500 < truncated["audio_end_ms"] < 30_000
            answer = await side.done()
            await asyncio.sleep(3)
            spoken = loud(await leave(phone))
            await side.over()
    assert answer["status"] == "completed"
    quiet = "".join("x" if each else "." for each in spoken)
    assert re.search(r"x{5}.*\.{25}.*x{5}", quiet), "the greeting, half a second of silence at least, the answer"


# ---- money


@pytest.fixture
def backends() -> Iterator[Backends]:
    with running_backends() as backends:
        yield backends


async def test_a_call_pays_by_the_minute_and_ends_with_the_credits(backends: Backends, tmp_path: Path) -> None:
    port, minute_micro = free_port(), 60_000_000
    url = f"sqlite:///{tmp_path / 'money.db'}"
    place = (tmp_path, url)
    async with office_of(place) as office:
        user, _ = await newcomer(office, 0)
        number = f'account = "{user.account}"\nsession = {{ type = "realtime" }}'
        trunks = write_trunks(tmp_path / "trunks.toml", number, f"minute_micro = {minute_micro}")
        env = backends.env(PARLEY_DATABASE_URL=url, PARLEY_SIP_PORT=str(port), PARLEY_SIP_TRUNKS=trunks)
        with running_server(tmp_path, env=env):
            async with caller(port) as poor:
                poor.say("INVITE", 1, poor.sdp())
                await poor.line.wait("402")
            credit = 17 * minute_micro // 60
            await office.ledger.credit("gift", user.account, credit)
            async with caller(port) as ann:
                await ann.call()
                async with asyncio.timeout(PATIENCE_S):
                    while "BYE" not in [title.split()[0] for title in ann.line.titles()]:
                        ann.speak(5)
                        await asyncio.sleep(0.1)
                ann.answer(await ann.line.wait("BYE"))
            left = await settled(office, user.account)
        paid = [line for line in (await office.ledger.statement(user.account)).lines if line.kind == "capture"]
    assert paid
    assert sum(line.moved for line in paid) == credit - left
    assert 5 * minute_micro // 60 < credit - left <= credit
