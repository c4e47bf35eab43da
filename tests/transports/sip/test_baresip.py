"""A real telephone calls: it is heard, it hears, it presses keys, it holds; in the clear and encrypted."""

import asyncio
import re
import ssl
from pathlib import Path

import numpy as np
import pytest
from numpy.typing import NDArray

from parley.transports.certificate import local_certificate
from parley.transports.sip.trunks import Number, Trunk
from tests.transports.sip.baresip import TONE_HZ, Telephone, telephone
from tests.transports.sip.booth import Booth, booth, needs_baresip, until

pytestmark = needs_baresip
SECOND = 48_000
"""Bytes of house sound."""


def loudest_hz(sound: NDArray[np.float64], rate_hz: int) -> float:
    spectrum = np.abs(np.fft.rfft(sound * np.hanning(len(sound))))
    return float(np.argmax(spectrum)) * rate_hz / len(sound)


async def talk(door: Booth, phone: Telephone, port: int, parameters: str = "") -> None:
    """Calls, and waits until a second was heard both ways."""
    phone.tell("dial", f"sip:100@127.0.0.1:{port}{parameters}")
    await until(
        lambda: door.sessions and len(door.sessions[0].heard) > 2 * SECOND and door.sessions[0].played_ms > 1_000
    )


def check_sound(door: Booth) -> None:
    heard = np.frombuffer(bytes(door.sessions[0].heard[SECOND : 2 * SECOND]), "<i2").astype(float)
    assert loudest_hz(heard, 24_000) == pytest.approx(TONE_HZ, abs=2)
    assert heard.std() > 1_000


@pytest.mark.parametrize(("codec", "payload_type"), [("pcmu", 0), ("pcma", 8), ("opus", None)])
async def test_it_is_heard_and_hears(codec: str, payload_type: int | None, tmp_path: Path) -> None:
    async with booth() as door, telephone(tmp_path, codec) as phone:
        await talk(door, phone, door.udp)
        check_sound(door)
        call = door.calls[0]
        assert call.media.agreed is not None
        assert call.media.agreed.form.name.lower() == codec
        assert payload_type in (None, call.media.agreed.payload_type)
        quality = call.quality()
        assert quality is not None
        assert quality.heard.packets > 90
        assert quality.heard.lost == 0
        assert quality.heard.mos > 3.5
        call.hang_up()
        await until(lambda: "CALL_CLOSED" in phone.events)
        rate = 48_000 if codec == "opus" else 8_000
        back = phone.heard()[-rate // 2 :]
        assert loudest_hz(back, rate) == pytest.approx(TONE_HZ, abs=4)


def tls_context(folder: Path) -> ssl.SSLContext:
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    context.load_cert_chain(*local_certificate(folder))
    return context


@pytest.mark.parametrize("codec", ["opus", "pcma"])
async def test_encrypted(codec: str, tmp_path: Path) -> None:
    always = Trunk(name="secret", addresses=("127.0.0.1",), srtp="always", number=(Number(number="*"),))
    (tmp_path / "home").mkdir()
    async with (
        booth(always, tls=tls_context(tmp_path / "home")) as door,
        telephone(tmp_path, codec, ";mediaenc=srtp-mand", "tls") as phone,
    ):
        await talk(door, phone, door.phones.ports["tls"], ";transport=tls")
        check_sound(door)
        call = door.calls[0]
        assert (call.media_security, call.flow.transport) == ("srtp", "tls")
        assert "inline:[hidden]" in call.ladder.rungs[0].text
        call.hang_up()
        await until(lambda: "CALL_CLOSED" in phone.events)
        assert len(phone.heard()) > 8_000


async def test_a_call_in_the_clear_is_refused_where_it_must_not_be(tmp_path: Path) -> None:
    always = Trunk(name="secret", addresses=("127.0.0.1",), srtp="always", number=(Number(number="*"),))
    async with booth(always) as door, telephone(tmp_path, "pcmu") as phone:
        phone.tell("dial", f"sip:100@127.0.0.1:{door.udp}")
        await until(lambda: "CALL_CLOSED" in phone.events)
        assert door.calls == []


async def test_keys(tmp_path: Path) -> None:
    async with booth() as door, telephone(tmp_path, "pcmu") as phone:
        await talk(door, phone, door.udp)
        for key in "15#":
            phone.tell("sndcode", key)
            await asyncio.sleep(0.2)
            phone.tell("sndcode", "\x00")
            await asyncio.sleep(0.1)
        await until(lambda: door.sessions[0].keys == ["1", "5", "#"])


async def test_keys_of_ours(tmp_path: Path) -> None:
    async with booth() as door, telephone(tmp_path, "pcma") as phone:
        await talk(door, phone, door.udp)
        door.calls[0].press("42")
        await until(lambda: phone.events.count("CALL_DTMF_START") == 2)
        await until(lambda: phone.events.count("CALL_DTMF_END") == 2)


async def test_hold(tmp_path: Path) -> None:
    async with booth() as door, telephone(tmp_path, "pcmu") as phone:
        await talk(door, phone, door.udp)
        call, session = door.calls[0], door.sessions[0]
        phone.tell("hold")
        await until(lambda: call.media.held)
        await asyncio.sleep(0.5)
        before = session.played_ms
        heard = np.frombuffer(bytes(session.heard[-SECOND // 10 :]), "<i2")
        await asyncio.sleep(0.5)
        assert session.played_ms == before
        assert not heard.any()
        phone.tell("resume")
        await until(lambda: not call.media.held)
        await until(lambda: session.played_ms > before + 500)


async def test_a_transfer(tmp_path: Path) -> None:
    """The telephone calls the number that it is sent to, which is ours too, and the first call ends."""
    async with booth() as door, telephone(tmp_path, "pcmu") as phone:
        await talk(door, phone, door.udp)
        await door.calls[0].refer(f"sip:200@127.0.0.1:{door.udp}")
        await until(lambda: len(door.calls) == 2 and door.calls[0].over.is_set())
        assert door.calls[0].transfer == 200
        assert re.match(r"sip:200@", door.calls[1].called)
