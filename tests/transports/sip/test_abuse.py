"""Scanners, guessers, reflectors and eavesdroppers get nothing: not a byte more than they sent, and mostly none."""

import asyncio
import contextlib
import logging
import os
import random

import pytest

from parley.transports.rtc import rtp
from parley.transports.rtc.rtp import Packet
from parley.transports.sip import phones, stack, wires
from parley.transports.sip.latch import PROBES
from parley.transports.sip.media import Range
from parley.transports.sip.srtp import new_crypto
from parley.transports.sip.trunks import Number, Trunk
from tests.transports.sip.booth import LOCAL, booth, until
from tests.transports.sip.raw import Caller, caller, udp
from tests.transports.sip.test_torture import CASES

STRANGER = "127.0.0.2"
ANYWHERE = Trunk(name="anywhere", username="ann", password="secret", number=(Number(number="100"),))


async def settle() -> None:
    """Everything that was sent has come, and been answered."""
    await asyncio.sleep(0.2)


async def test_strangers_hear_nothing() -> None:
    async with booth() as door, caller(door.udp, STRANGER) as scanner:
        for case in CASES:
            scanner.line.send(case.data, door.udp)
        for number, method in enumerate(
            ("OPTIONS", "REGISTER", "INVITE", "BYE", "CANCEL", "ACK", "SUBSCRIBE", "REFER")
        ):
            scanner.say(method, number + 1, scanner.sdp() if method == "INVITE" else "")
        scanner.line.send(b"", door.udp)
        scanner.line.send(os.urandom(1_000), door.udp)
        await settle()
        assert scanner.line.received == []
        assert len(door.phones.stack) == 0
        assert door.calls == []


@pytest.mark.parametrize("trunk", [LOCAL, ANYWHERE], ids=lambda trunk: trunk.name)
@pytest.mark.parametrize("host", ["127.0.0.1", STRANGER])
async def test_no_message_fails_inside(trunk: Trunk, host: str, caplog: pytest.LogCaptureFixture) -> None:
    chance = random.Random(4475)
    async with booth(trunk) as door, caller(door.udp, host) as fuzzer:
        start = [fuzzer.message("INVITE", number, fuzzer.sdp()) for number in range(1, 11)]
        for seed in [*start, *(case.data for case in CASES)]:
            for _ in range(8):
                fuzzer.line.send(spoilt(seed, chance), door.udp)
            await asyncio.sleep(0.005)
        await settle()
    assert [record.message for record in caplog.records if record.levelno >= logging.ERROR] == []


def spoilt(data: bytes, chance: random.Random) -> bytes:
    """With something taken out, doubled or exchanged."""
    at, length = chance.randrange(len(data)), chance.randrange(1, 40)
    piece = data[at : at + length]
    other = chance.choice(
        [b"", piece * 2, piece[::-1], bytes(chance.randrange(256) for _ in piece), b"\r\n", b"\0", b"<"]
    )
    return data[:at] + other + data[at + length :]


async def test_a_connection_of_a_stranger_is_closed_unread() -> None:
    async with booth() as door:
        port = door.phones.ports["tcp"]
        reader, writer = await asyncio.open_connection("127.0.0.1", port, local_addr=(STRANGER, 0))
        with pytest.raises((ConnectionResetError, asyncio.IncompleteReadError)):
            writer.write(b"OPTIONS sip:a@b SIP/2.0\r\n\r\n")
            await reader.readexactly(1)
        writer.close()


async def test_whatever_somebody_known_sends_the_door_stays_open() -> None:
    async with booth() as door, caller(door.udp) as known:
        for case in CASES:
            known.line.send(case.data, door.udp)
        known.say("OPTIONS", 1)
        await known.line.wait("200 OK")
        statuses = {title.split()[0] for title in known.line.titles() if title[0].isdecimal()}
        assert statuses <= {"100", "180", "200", "400", "404", "405", "406", "415", "416", "420", "488", "501", "505"}


async def test_a_password_is_asked_for_with_fewer_bytes_than_came() -> None:
    async with booth(ANYWHERE) as door, caller(door.udp, STRANGER) as guesser:
        sent = 0
        for number in range(1, 201):
            message = guesser.message("INVITE", number, guesser.sdp())
            sent += len(message)
            guesser.line.send(message, door.udp)
        await until(lambda: len(guesser.line.received) >= 200)
        await asyncio.sleep(1.0)  # nothing is said twice
        assert set(guesser.line.titles()) == {"401 Unauthorized"}
        assert sum(map(len, guesser.line.received)) <= sent
        assert len(door.phones.stack) == 0


async def test_who_does_not_know_a_number_learns_nothing() -> None:
    async with booth(ANYWHERE) as door, caller(door.udp, STRANGER) as scanner:
        scanner.line.send(scanner.message("INVITE", 1, scanner.sdp()).replace(b"sip:100@", b"sip:101@"), door.udp)
        scanner.say("OPTIONS", 2)
        scanner.line.send(
            b"INVITE sip:100@x SIP/2.0\r\nVia: SIP/2.0/UDP x;rport\r\nf: <sip:a@b>\r\nt: <sip:100@b>\r\ni: 1\r\nCSeq: 1 INVITE\r\n\r\n",
            door.udp,
        )
        scanner.line.send(b"INVITE sip:100@x SIP/2.0\r\nVia: broken\r\nCSeq: 1 INVITE\r\n\r\n", door.udp)
        await settle()
        assert scanner.line.received == []


async def test_guessing_ends() -> None:
    async with booth(ANYWHERE) as door, caller(door.udp, STRANGER) as guesser:
        wrong = 'Authorization: Digest username="ann", realm="anywhere", nonce="x", uri="sip:x", response="y", qop=auth, nc=00000001'
        for number in range(1, 21):
            guesser.say("INVITE", number, guesser.sdp(), wrong)
            await asyncio.sleep(0.01)
        await settle()
        assert len(guesser.line.received) == 5


async def test_a_call_is_not_ended_by_a_stranger() -> None:
    async with booth() as door, caller(door.udp) as known, udp(STRANGER) as stranger:
        await known.call()
        stranger.send(known.message("BYE", 2), door.udp)
        stranger.send(known.message("CANCEL", 1, branch="z9hG4bK1INVITEraw"), door.udp)
        await settle()
        assert stranger.received == []
        assert len(door.phones.calls) == 1


async def spoken_with(known: Caller, sent: int) -> None:
    known.speak(sent)
    await until(lambda: len(known.sound.received) > 5)


async def test_sound_is_taken_from_and_given_to_one_source() -> None:
    async with booth() as door, caller(door.udp) as known, udp("127.0.0.3") as sprayer, udp() as neighbour:
        await known.call()
        await spoken_with(known, 10)
        heard = len(door.sessions[0].heard)
        for source in (sprayer, neighbour):
            for at in range(500):
                source.send(rtp.write(Packet(0, at, at * 160, 5, b"\x00" * 160)), known.media_port)
                source.send(rtp.write(Packet(0, at, at * 160, 77, b"\x00" * 160)), known.media_port)
                if at % 20 == 0:
                    await asyncio.sleep(0.002)  # what the socket's buffer holds
        await settle()
        assert sprayer.received == []
        assert neighbour.received == []
        assert door.calls[0].media.dropped >= 1_000
        await asyncio.sleep(0.3)  # what is heard now is silence in the place of a caller who says nothing
        assert not any(door.sessions[0].heard[heard + 960 :])


async def test_a_description_does_not_turn_sound_on_others() -> None:
    async with booth() as door, caller(door.udp, sound_host="127.0.0.3") as known:
        await known.call()
        await asyncio.sleep(1.5)
        assert len(known.sound.received) <= PROBES
        assert sum(map(len, known.sound.received)) <= len(known.message("INVITE", 1, known.sdp())) + 400
        known.speak(5)
        await until(lambda: len(known.sound.received) > 20)  # it has spoken: it wants it


async def test_nothing_is_played_before_ack() -> None:
    async with booth() as door, caller(door.udp) as known:
        known.say("INVITE", 1, known.sdp())
        await known.answered()
        await asyncio.sleep(0.3)
        assert known.sound.received == []
        known.say("ACK", 1)
        await until(lambda: len(known.sound.received) > 5)
        assert door.calls[0].state == "talking"


async def test_sound_without_the_key_is_no_sound() -> None:
    async with booth() as door, caller(door.udp) as known:
        key = new_crypto("1", "AES_CM_128_HMAC_SHA1_80")
        known.say("INVITE", 1, known.sdp(f"a=crypto:{key.line()}\r\n").replace("RTP/AVP", "RTP/SAVP"))
        assert "a=crypto:1 AES_CM_128_HMAC_SHA1_80 inline:" in await known.answered()
        known.say("ACK", 1)
        await until(lambda: known.sound.received)
        known.speak(50)
        await settle()
        assert door.sessions[0].heard == b""
        assert door.calls[0].media.heard_at is None


async def test_there_is_an_end_to_transactions(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(stack, "TRANSACTIONS_MAX", 10)
    async with booth() as door, caller(door.udp) as known:
        for number in range(1, 31):
            known.say("OPTIONS", number)
        await settle()
        assert len(known.line.received) == len(door.phones.stack) == 10


async def test_so_many_connections_and_no_more(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(wires, "CONNECTIONS_OF_HOST_MAX", 3)
    async with booth() as door:
        opened = [await asyncio.open_connection("127.0.0.1", door.phones.ports["tcp"]) for _ in range(4)]
        reader, _ = opened[3]
        with contextlib.suppress(ConnectionResetError):
            assert await reader.read() == b""
        opened[0][1].write(b"\r\n\r\n")
        assert await opened[0][0].readexactly(2) == b"\r\n"
        for _, writer in opened:
            writer.close()


async def test_no_port_is_free() -> None:
    async with booth(ports=Range(30_001, 30_002)) as door, caller(door.udp) as known:
        known.say("INVITE", 1, known.sdp())
        await known.line.wait("503")
        assert door.sessions == []


async def test_as_many_calls_as_the_house_holds(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(phones, "CALLS_MAX", 1)
    async with booth() as door, caller(door.udp) as one, caller(door.udp) as two:
        await one.call()
        two.say("INVITE", 1, two.sdp())
        await two.line.wait("503")


async def test_more_calls_than_there_is_room_for() -> None:
    narrow = Trunk(name="narrow", addresses=("127.0.0.1",), number=(Number(number="*"),), calls_max=2)
    async with booth(narrow) as door, caller(door.udp) as one, caller(door.udp) as two, caller(door.udp) as three:
        await one.call()
        await two.call()
        three.say("INVITE", 1, three.sdp())
        assert "Retry-After: " in await three.line.wait("503")
        one.say("BYE", 2)
        await one.line.wait("200 OK", 2)
        three.say("ACK", 1)
        three.say("INVITE", 2, three.sdp())
        await three.answered()
