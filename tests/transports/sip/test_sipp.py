"""SIPp plays a telephone exchange against our door: each scenario is a conversation as RFC 3261 and its kin want it."""

import asyncio
from pathlib import Path

import pytest

from parley.errors import EngineError, RequestError
from parley.transports.sip.call import SipCall
from parley.transports.sip.phones import Decision, Reject
from parley.transports.sip.timer import Agreed
from parley.transports.sip.trunks import Number, Trunk
from tests.transports.sip.booth import ANN, CONFIG, LOCAL, Booth, booth, needs_sipp, sipp, until

pytestmark = needs_sipp

PLAIN = (
    *("basic", "options", "hold", "hold_zero", "change", "change_in_vain", "wrong_codec", "dtls"),
    *("late_offer", "refer_us", "timer", "timer_short", "bad_extension", "no_dialog", "old_cseq", "register"),
)
WITH_A_CALL = set(PLAIN) - {"options", "wrong_codec", "dtls", "timer_short", "bad_extension", "no_dialog", "register"}


async def undecided(call: SipCall) -> Decision:
    return None


@pytest.mark.parametrize("scenario", PLAIN)
async def test_what_the_caller_does(scenario: str, tmp_path: Path) -> None:
    async with booth() as door:
        await sipp(door.udp, scenario, tmp_path)
        await until(lambda: not door.phones.calls)
        assert len(door.sessions) == int(scenario in WITH_A_CALL)
        for session in door.sessions:
            assert session.opened
            assert session.closed == (1_000, "hung up by the caller")


@pytest.mark.parametrize("scenario", ["basic", "options", "hold", "late_offer"])
async def test_over_tcp(scenario: str, tmp_path: Path) -> None:
    async with booth() as door:
        await sipp(door.phones.ports["tcp"], scenario, tmp_path, "-t", "t1")
        await until(lambda: not door.phones.calls)


async def test_many_calls_at_once(tmp_path: Path) -> None:
    async with booth() as door:
        await sipp(door.udp, "basic", tmp_path, "-r", "20", "-l", "20", calls=60)
        await until(lambda: not door.phones.calls)
        assert len(door.sessions) == 60
        assert len({session.call_id for session in door.sessions}) == 60


async def test_a_call_that_is_not_wanted_any_more(tmp_path: Path) -> None:
    async with booth() as door:
        door.decide = undecided
        await sipp(door.udp, "cancel", tmp_path)
        await until(lambda: not door.phones.calls)
        assert door.sessions == []
        with pytest.raises(RequestError, match="not there any more"):
            await door.calls[0].accept(CONFIG, ANN)


async def test_a_call_is_rejected(tmp_path: Path) -> None:
    async def reject(call: SipCall) -> Decision:
        return Reject()

    async with booth() as door:
        door.decide = reject
        await sipp(door.udp, "rejected", tmp_path)


async def test_numbers_and_room(tmp_path: Path) -> None:
    trunk = Trunk(name="small", addresses=("127.0.0.1",), number=(Number(number="1*"),), calls_per_hour=1)
    async with booth(trunk) as door:
        await sipp(door.udp, "unknown_number", tmp_path, number="200")
        await sipp(door.udp, "basic", tmp_path, number="100")
        await sipp(door.udp, "no_room", tmp_path, number="100")


async def test_a_stored_session_answers_at_once(tmp_path: Path) -> None:
    number = Number(number="+100", session={"type": "realtime", "model": "gpt-realtime", "instructions": "Be kind."})
    async with booth(Trunk(name="stored", addresses=("127.0.0.0/8",), number=(number,))) as door:
        await sipp(door.udp, "basic", tmp_path)
        assert door.calls == []
        assert getattr(door.sessions[0].config, "instructions", None) == "Be kind."


async def test_passwords(tmp_path: Path) -> None:
    trunk = Trunk(name="anywhere", username="ann", password="secret", number=(Number(number="100"),))
    async with booth(trunk) as door:
        await sipp(door.udp, "digest", tmp_path)
        assert len(door.sessions) == 1
        for _ in range(5):
            await sipp(door.udp, "digest_wrong", tmp_path)
        assert len(door.sessions) == 1
        with pytest.raises(pytest.fail.Exception):
            await sipp(door.udp, "digest", tmp_path, "-recv_timeout", "1000")


async def play(door: Booth, scenario: str, folder: Path, then: str, *more: str) -> BaseException | None:
    """Runs a scenario in which we do something once the call talks."""
    playing = asyncio.create_task(sipp(door.udp, scenario, folder, *more))
    await until(lambda: (door.calls and door.calls[0].state == "talking") or playing.done())
    failure: BaseException | None = None
    call = door.calls[0]
    try:
        if then == "hang up":
            call.hang_up()
        elif then == "refer":
            await call.refer("tel:+15551234")
        elif then == "age":
            call.timer.refreshed(Agreed(90, ours=True), asyncio.get_running_loop().time() - 46)
    except (RequestError, EngineError) as error:
        failure = error
    await playing
    await until(lambda: not door.phones.calls)
    return failure


@pytest.mark.parametrize("scenario", ["bye_from_us", "route"])
async def test_we_hang_up(scenario: str, tmp_path: Path) -> None:
    async with booth() as door:
        await play(door, scenario, tmp_path, "hang up")
        assert door.sessions[0].closed == (1_000, "hung up")


async def test_a_transfer(tmp_path: Path) -> None:
    async with booth() as door:
        assert await play(door, "refer", tmp_path, "refer") is None
        assert (door.calls[0].transfer, door.calls[0].reason) == (200, "transferred")


async def test_a_transfer_that_fails(tmp_path: Path) -> None:
    async with booth() as door:
        assert await play(door, "refer_fails", tmp_path, "refer") is None
        assert (door.calls[0].transfer, door.calls[0].reason) == (486, "hung up by the caller")
    async with booth() as door:
        failure = await play(door, "refer_refused", tmp_path, "refer")
        assert isinstance(failure, EngineError)
        assert failure.code == "backend_refused"


async def test_a_provisional_answer_for_sure(tmp_path: Path) -> None:
    async with booth() as door:
        door.decide = undecided
        playing = asyncio.create_task(sipp(door.udp, "prack", tmp_path))
        await until(lambda: door.calls and door.calls[0].served.status == 180)
        await until(lambda: door.calls[0].served.deadline is None)
        await door.calls[0].accept(CONFIG, ANN)
        await playing


@pytest.mark.parametrize("scenario", ["refresh_ours", "refresh_invite"])
async def test_a_session_timer_that_is_ours(scenario: str, tmp_path: Path) -> None:
    async with booth() as door:
        await play(door, scenario, tmp_path, "age")
        assert door.calls[0].reason == "hung up by the caller"


async def test_keys_in_info(tmp_path: Path) -> None:
    async with booth() as door:
        await sipp(door.udp, "info", tmp_path)
        assert door.sessions[0].keys == ["5", "#"]


async def test_the_ladder_shows_the_call_without_secrets(tmp_path: Path) -> None:
    async with booth() as door:
        await sipp(door.udp, "basic", tmp_path)
        rungs = door.calls[0].ladder.rungs
        assert [(rung.way, rung.title) for rung in rungs] == [
            ("in", "INVITE"),
            ("out", "180 Ringing (INVITE)"),
            ("out", "200 OK (INVITE)"),
            ("in", "ACK"),
            ("in", "BYE"),
            ("out", "200 OK (BYE)"),
        ]
    assert LOCAL.name == door.calls[0].trunk.name
