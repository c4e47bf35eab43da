"""Connectivity checks, against aioice's reading and writing of them."""

import random

import pytest
from aioice import stun as oracle
from hypothesis import given
from hypothesis import strategies as st

from parley.transports.rtc import stun

PASSWORD = b"a password of thirty-two letters"


def check(*, nominates: bool = False, key: bytes = PASSWORD, role: str = "ICE-CONTROLLING") -> bytes:
    """As a browser sends it."""
    message = oracle.Message(oracle.Method.BINDING, oracle.Class.REQUEST)
    message.attributes["USERNAME"] = "ours:theirs"
    message.attributes["PRIORITY"] = 1_853_824_767
    message.attributes[role] = 12_345
    if nominates:
        message.attributes["USE-CANDIDATE"] = None
    message.add_message_integrity(key)
    return bytes(message)


def test_a_check_is_read() -> None:
    found = stun.read_check(check(nominates=True))
    assert found is not None
    assert (found.username, found.nominates, found.controlled) == ("ours:theirs", True, False)
    assert stun.authentic(found, PASSWORD)
    plain = stun.read_check(check())
    assert plain is not None and not plain.nominates


def test_only_the_password_makes_it_authentic() -> None:
    forged = stun.read_check(check(key=b"another"))
    assert forged is not None and not stun.authentic(forged, PASSWORD)
    whole = bytearray(check())
    whole[22] ^= 1  # within the username
    changed = stun.read_check(bytes(whole))
    assert changed is None or not stun.authentic(changed, PASSWORD)


@pytest.mark.parametrize(("host", "port"), [("192.0.2.17", 4_660), ("2001:db8::17", 65_535), ("::1", 1)])
def test_our_answer_is_understood(host: str, port: int) -> None:
    asked = check()
    found = stun.read_check(asked)
    assert found is not None
    answered = oracle.parse_message(stun.answer(found, host, port, PASSWORD))
    assert answered.message_class == oracle.Class.RESPONSE
    assert answered.transaction_id == oracle.parse_message(asked).transaction_id
    assert answered.attributes["XOR-MAPPED-ADDRESS"] == (host, port)
    assert answered.check_message_integrity(PASSWORD)


def test_a_peer_that_wants_us_in_control_is_told_no() -> None:
    found = stun.read_check(check(role="ICE-CONTROLLED"))
    assert found is not None and found.controlled
    answered = oracle.parse_message(stun.answer(found, "192.0.2.1", 9, PASSWORD))
    assert answered.message_class == oracle.Class.ERROR
    assert answered.attributes["ERROR-CODE"] == (487, "Role Conflict")
    assert answered.check_message_integrity(PASSWORD)


def test_what_is_no_check_is_nothing() -> None:
    response = oracle.Message(oracle.Method.BINDING, oracle.Class.RESPONSE)
    assert stun.read_check(bytes(response)) is None
    unsigned = oracle.Message(oracle.Method.BINDING, oracle.Class.REQUEST, attributes={"USERNAME": "a:b"})
    assert stun.read_check(bytes(unsigned)) is None
    nameless = oracle.Message(oracle.Method.BINDING, oracle.Class.REQUEST)
    nameless.add_message_integrity(PASSWORD)
    assert stun.read_check(bytes(nameless)) is None
    assert not stun.is_stun(b"\x16\xfe\xfd" + bytes(30)) and not stun.is_stun(b"\x80" + bytes(30))


@given(st.binary(max_size=120))
def test_rubbish_is_nothing(rubbish: bytes) -> None:
    assert stun.read_check(rubbish) is None
    whole = check()
    stun.read_check(whole[:4] + rubbish)
    stun.read_check(b"\0\x01" + len(rubbish).to_bytes(2) + whole[4:20] + rubbish)


def test_no_cut_and_no_flipped_byte_breaks_the_reader() -> None:
    whole, chance = check(nominates=True), random.Random(6)
    for size in range(len(whole)):
        assert stun.read_check(whole[:size]) is None
    for _ in range(2_000):
        broken = bytearray(whole)
        broken[chance.randrange(len(whole))] ^= 1 << chance.randrange(8)
        found = stun.read_check(bytes(broken))
        # Only the fingerprint, which nothing rests on, comes after the integrity.
        assert found is None or bytes(broken[:-8]) == whole[:-8] or not stun.authentic(found, PASSWORD)
