"""What gets lost, comes twice, comes late or in pieces."""

import asyncio
import struct

import pytest

from parley.core.inputs import Left
from parley.errors import RequestError
from parley.transports.sip import call as call_module
from parley.transports.sip import phones as phones_module
from parley.transports.sip.call import SipCall
from parley.transports.sip.phones import Decision
from tests.transports.sip.booth import ANN, CONFIG, booth, until
from tests.transports.sip.raw import caller


async def nobody(call: SipCall) -> Decision:
    return None


async def test_an_invite_that_comes_again_is_one_call() -> None:
    async with booth() as door, caller(door.udp) as ann:
        door.decide = nobody
        for _ in range(3):
            ann.say("INVITE", 1, ann.sdp())
        await ann.line.wait("180", 3)
        await door.calls[0].accept(CONFIG, ANN)
        await ann.answered()
        ann.say("INVITE", 1, ann.sdp())
        await ann.line.wait("200 OK", 2)
        ann.say("ACK", 1)
        await until(lambda: door.calls[0].state == "talking")
        assert len(door.calls) == len(door.sessions) == 1
        assert len({data for data in ann.line.received if data.startswith(b"SIP/2.0 200")}) == 1


async def test_an_answer_that_gets_lost_is_said_again_until_ack() -> None:
    async with booth() as door, caller(door.udp) as ann:
        ann.say("INVITE", 1, ann.sdp())
        await ann.line.wait("200 OK", 3)  # at 0, 0.5 and 1.5 s
        await ann.answered()
        ann.say("ACK", 1)
        await until(lambda: door.calls[0].state == "talking")
        said = len(ann.line.received)
        await asyncio.sleep(2.2)
        assert len(ann.line.received) == said


async def test_our_bye_is_said_until_it_is_heard() -> None:
    async with booth() as door, caller(door.udp) as ann:
        await ann.call()
        await until(lambda: door.calls[0].state == "talking")
        door.calls[0].hang_up()
        bye = await ann.line.wait("BYE", 3)
        ann.answer(bye)
        await until(lambda: not door.phones._tasks)
        assert ann.line.titles().count(ann.line.titles()[-1]) == 3


async def test_hanging_up_before_ack_waits_for_it() -> None:
    async with booth() as door, caller(door.udp) as ann:
        ann.say("INVITE", 1, ann.sdp())
        await ann.answered()
        door.calls[0].hang_up()
        await asyncio.sleep(0.1)
        assert not any(title.startswith("BYE") for title in ann.line.titles())
        ann.say("ACK", 1)
        ann.answer(await ann.line.wait("BYE"))
        await until(lambda: not door.phones._dialogs)


async def test_a_cancel_that_comes_too_late() -> None:
    async with booth() as door, caller(door.udp) as ann:
        ann.say("INVITE", 1, ann.sdp(), branch="z9hG4bKlate")
        to = ann.to
        await ann.answered()
        ann.to, tagged = to, ann.to
        ann.say("CANCEL", 1, branch="z9hG4bKlate")
        await ann.line.wait("200 OK", 2)
        ann.to = tagged
        ann.say("ACK", 1)
        await until(lambda: door.calls[0].state == "talking")


async def test_ringing_is_repeated_until_prack() -> None:
    async with booth() as door, caller(door.udp) as ann:
        door.decide = nobody
        ann.say("INVITE", 1, ann.sdp(), "Require: 100rel")
        ringing = await ann.line.wait("180", 3)
        ann.heed(ringing)
        (rseq,) = [line.split()[1] for line in ringing.split("\r\n") if line.startswith("RSeq")]
        ann.say("PRACK", 2, "", "RAck: 1 1 INVITE")
        await ann.line.wait("481")
        ann.say("PRACK", 3, "", f"RAck: {rseq} 1 INVITE")
        await ann.line.wait("200 OK")
        said = len(ann.line.received)
        await asyncio.sleep(2.2)
        assert len(ann.line.received) == said


async def test_one_call_by_two_ways() -> None:
    async with booth() as door, caller(door.udp) as ann:
        ann.say("INVITE", 1, ann.sdp(), branch="z9hG4bKone")
        await ann.line.wait("180")
        ann.say("INVITE", 1, ann.sdp(), branch="z9hG4bKtwo")
        await ann.line.wait("482")
        assert len(door.calls) == 1


async def test_bye_while_it_rings() -> None:
    async with booth() as door, caller(door.udp) as ann:
        door.decide = nobody
        ann.say("INVITE", 1, ann.sdp())
        ann.heed(await ann.line.wait("180"))
        ann.say("BYE", 2)
        await ann.line.wait("200 OK")
        await ann.line.wait("487")
        assert not door.phones.calls


async def test_bye_in_the_place_of_ack() -> None:
    async with booth() as door, caller(door.udp) as ann:
        ann.say("INVITE", 1, ann.sdp())
        await ann.answered()
        ann.say("BYE", 2)
        await until(lambda: not door.phones.calls)
        said = len(ann.line.received)
        await asyncio.sleep(1.2)
        assert len(ann.line.received) <= said + 1  # the answer to BYE, and nothing again
        assert not door.phones._dialogs


async def test_an_answer_goes_to_the_port_that_via_names() -> None:
    async with booth() as door, caller(door.udp) as ann:
        ann.sound.send(ann.message("OPTIONS", 1, rport=False), door.udp)
        await ann.line.wait("200 OK")
        assert ann.sound.received == []
        ann.sound.send(ann.message("OPTIONS", 2), door.udp)
        ok = await ann.sound.wait("200 OK")
        assert f"rport={ann.sound.port}" in ok


async def test_messages_in_pieces_over_tcp() -> None:
    async with booth() as door, caller(door.udp) as ann:
        reader, writer = await asyncio.open_connection("127.0.0.1", door.phones.ports["tcp"])
        both = b"\r\n\r\n" + ann.message("OPTIONS", 1).replace(b"/UDP", b"/TCP")
        for at in range(0, len(both), 50):
            writer.write(both[at : at + 50])
            await asyncio.sleep(0)
        assert await reader.readexactly(2) == b"\r\n"
        assert (await reader.readline()).startswith(b"SIP/2.0 200")
        writer.write(b"this is not SIP\r\n\r\n")
        await asyncio.wait_for(reader.read(), 5)  # it is closed
        writer.close()


async def test_a_caller_who_falls_silent_is_gone(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(call_module, "SILENCE_S", 0.3)
    async with booth() as door, caller(door.udp) as ann:
        await ann.call()
        ann.answer(await ann.line.wait("BYE"))
        assert door.calls[0].reason == "no sound came"
        assert [type(event) for event in door.sessions[0].posted] == [Left]


async def test_nobody_decides(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(phones_module, "RING_S", 0.3)
    async with booth() as door, caller(door.udp) as ann:
        door.decide = nobody
        ann.say("INVITE", 1, ann.sdp())
        await ann.line.wait("480")


@pytest.mark.parametrize(
    ("code", "status"), [("too_many_sessions", "503"), ("insufficient_credits", "402"), ("model_not_found", "500")]
)
async def test_a_session_that_cannot_be(code: str, status: str) -> None:
    async def start(*_: object) -> object:
        raise RequestError(code, "no")

    async with booth() as door, caller(door.udp) as ann:
        door.phones._house = door.phones._house._replace(start=start)  # type: ignore[arg-type]
        ann.say("INVITE", 1, ann.sdp())
        await ann.line.wait(status)
        await until(lambda: not door.phones.calls)
        assert door.phones.desk.running(door.phones.desk.trunks[0]) == 0


async def test_one_key_by_two_ways_is_one_key() -> None:
    async with booth() as door, caller(door.udp) as ann:
        await ann.call()
        ann.speak(5)
        ann.speak(1, kind=101, payload=struct.pack("!BBH", 7, 10, 160))
        ann.say("INFO", 2, "Signal=7\r\n", kind="application/dtmf-relay")
        ann.say("INFO", 3, "Signal=8\r\n", kind="application/dtmf-relay")
        await until(lambda: len(door.sessions[0].keys) == 2)
        await asyncio.sleep(0.1)
        assert sorted(door.sessions[0].keys) == ["7", "8"]


async def test_comfort_noise_is_silence() -> None:
    async with booth() as door, caller(door.udp) as ann:
        ann.kinds = "0 13 101"
        ok = await ann.call()
        assert "m=audio" in ok
        assert " 13 " in ok
        ann.speak(5)
        ann.speak(20, kind=13, payload=b"\x40")
        ann.speak(5)
        await until(lambda: len(door.sessions[0].heard) >= 30 * 960)
        middle = door.sessions[0].heard[6 * 960 : 24 * 960]
        assert not any(middle)


async def test_another_codec_in_the_middle() -> None:
    async with booth() as door, caller(door.udp) as ann:
        await ann.call()
        ann.speak(10)
        await until(lambda: len(door.sessions[0].heard) >= 10 * 960)
        ann.kinds = "8 101"
        ann.say("INVITE", 2, ann.sdp())
        await ann.line.wait("200 OK", 2)
        ann.say("ACK", 2)
        ann.speak(10, kind=8)
        await until(lambda: len(door.sessions[0].heard) >= 20 * 960)
        await until(lambda: any(packet[1] & 0x7F == 8 for packet in ann.sound.received))


async def test_a_second_invite_waits_for_the_first() -> None:
    async with booth() as door, caller(door.udp) as ann:
        ann.say("INVITE", 1, ann.sdp())
        await ann.answered()
        ann.say("INVITE", 2, ann.sdp())
        assert "Retry-After: " in await ann.line.wait("500")
        assert door.calls[0].state == "answered"


async def test_closing_the_door_ends_calls() -> None:
    async with booth() as door, caller(door.udp) as ann:
        await ann.call()
        await until(lambda: door.calls[0].state == "talking")
        closing = asyncio.create_task(door.phones.leave())
        ann.answer(await ann.line.wait("BYE"))
        await asyncio.wait_for(closing, 1)
        assert door.sessions[0].closed == (1_000, "server_draining")
