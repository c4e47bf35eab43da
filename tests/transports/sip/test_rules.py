"""The small rules: dialogs, digests, descriptions, keys, latches, timers, trunks, frames. No sockets, no clock."""

import struct

import pytest

from parley.errors import RequestError
from parley.transports.rtc import rtp
from parley.transports.rtc.codecs import OPUS, PCMA, PCMU
from parley.transports.rtc.rtp import Packet, Report
from parley.transports.sip import digest, dtmf, ladder, message, quality, sdp, trunks
from parley.transports.sip.dialog import Dialog
from parley.transports.sip.digest import Account, Challenger, credentials, read_pairs, response_to
from parley.transports.sip.grammar import Broken, read_address, read_uri, read_via, split_values
from parley.transports.sip.latch import PROBES, QUIET_S, Latch, Place
from parley.transports.sip.message import Refused, Request, answer, read
from parley.transports.sip.rules import sdp_of
from parley.transports.sip.sdp import Local
from parley.transports.sip.srtp import SUITES, Vault, new_crypto, read_crypto
from parley.transports.sip.timer import Agreed, SessionTimer, TooShort, agree
from parley.transports.sip.trunks import (
    FAILURES_MAX,
    FAILURES_S,
    HOUR_S,
    Desk,
    Trunk,
    TrunksError,
    reached,
    read_trunks,
    transfer_target,
)
from parley.transports.sip.wires import Framer, Unreadable


def invite(*headers: str, method: str = "INVITE", body: str = "") -> Request:
    lines = [
        f"{method} sip:desk@192.0.2.9 SIP/2.0",
        "Via: SIP/2.0/UDP 192.0.2.1:5070;rport;branch=z9hG4bKa",
        "From: <sip:ann@192.0.2.1>;tag=theirs",
        "To: <sip:desk@192.0.2.9>",
        "Call-ID: x@y",
        f"CSeq: 7 {method}",
        "Contact: <sip:ann@192.0.2.1:5070>",
        *headers,
        f"Content-Length: {len(body)}",
    ]
    request = read(("\r\n".join(lines) + "\r\n\r\n" + body).encode())
    assert isinstance(request, Request)
    return request


# ---- dialogs


def dialog(*headers: str) -> Dialog:
    return Dialog(invite(*headers), "sip:192.0.2.9:5060", transport="udp", via="192.0.2.9:5060")


def test_requests_within_a_dialog() -> None:
    talk = dialog("Record-Route: <sip:one.example;lr>, <sip:two.example;lr>")
    bye, again = talk.request("BYE"), talk.request("BYE")
    assert bye.uri == "sip:ann@192.0.2.1:5070"
    assert bye.headers.all("route") == ["<sip:one.example;lr>", "<sip:two.example;lr>"]
    assert bye.headers.one("to") == "<sip:ann@192.0.2.1>;tag=theirs"
    assert read_address(bye.headers.one("from")).tag == talk.local_tag
    assert again.cseq.number == bye.cseq.number + 1
    assert bye.via.branch != again.via.branch


def test_a_strict_router_is_asked_by_its_own_name() -> None:
    bye = dialog("Record-Route: <sip:old.example>, <sip:two.example;lr>").request("BYE")
    assert bye.uri == "sip:old.example"
    assert bye.headers.all("route") == ["<sip:two.example;lr>", "<sip:ann@192.0.2.1:5070>"]


def test_order_and_place() -> None:
    talk = dialog()
    assert not talk.in_order(invite())  # the INVITE itself
    moved = invite("Contact: <sip:ann@192.0.2.77>")
    assert talk.request("BYE").uri == "sip:ann@192.0.2.1:5070"
    talk.refresh(moved._replace(headers=type(moved.headers)([("Contact", "<sip:ann@192.0.2.77>")])))
    assert talk.request("BYE").uri == "sip:ann@192.0.2.77"


# ---- digest


ANN = Account("ann", "secret", "trunk")


def said(challenger: Challenger, now: float, password: str = "secret") -> str:
    asked = [value for _, value in challenger.challenge("trunk", now)]
    value = credentials(asked, "ann", password, "INVITE", "sip:a@b")
    assert value is not None
    return value


def test_who_knows_the_password() -> None:
    challenger = Challenger()
    value = said(challenger, 100.0)
    assert "SHA-256" in value
    assert challenger.check(value, "INVITE", ANN, 101.0) == (True, False)
    assert challenger.check(value, "INVITE", ANN, 101.0) == (False, True)  # said before
    assert not challenger.check(said(challenger, 100.0, "wrong"), "INVITE", ANN, 101.0).right
    assert not challenger.check(said(challenger, 100.0), "BYE", ANN, 101.0).right


def test_a_challenge_has_its_time() -> None:
    challenger = Challenger()
    assert challenger.check(said(challenger, 100.0), "INVITE", ANN, 401.0) == (False, True)
    assert challenger.check(said(Challenger(), 100.0), "INVITE", ANN, 101.0) == (False, True)  # of somebody else


@pytest.mark.parametrize(
    ("algorithm", "response"),
    [
        ("MD5", "8ca523f5e9506fed4657c9700eebdbec"),
        ("SHA-256", "753927fa0e85d155564e2e272a28d1802ca10daf4496794697cf8db5856cb6c1"),
    ],
)
def test_the_example_of_rfc_7616(algorithm: str, response: str) -> None:
    account = Account("Mufasa", "Circle of Life", "http-auth@example.org")
    nonce, cnonce = "7ypf/xlj9XXwfDPEoM4URrv/xwf94BcCAzFZH4GiTo0v", "f2/wE4q74E6zIJEtWaHKaf5wv/H5QzzpXusqGemxURZJ"
    words = (nonce, "00000001", cnonce, "auth")
    assert response_to(account, algorithm, "GET", "/dir/index.html", words) == response


def test_a_challenge_of_the_older_kind() -> None:
    """Without qop, and with a word to bring back."""
    value = credentials(['Digest realm="r", nonce="n", opaque="o"'], "u", "p", "REGISTER", "sip:r")
    assert value is not None
    fields = read_pairs(value)
    assert fields["response"] == response_to(Account("u", "p", "r"), "MD5", "REGISTER", "sip:r", ("n",))
    assert fields["opaque"] == "o"


@pytest.mark.parametrize("value", ["Basic abc", "Digest", "NoOneKnows x=y", 'Digest username="ann"', ""])
def test_what_shows_nothing(value: str) -> None:
    assert Challenger().check(value, "INVITE", ANN, 0.0) == (False, False)


# ---- descriptions

OFFER = (
    "v=0\r\no=- 1 1 IN IP4 192.0.2.1\r\ns=-\r\nc=IN IP4 192.0.2.1\r\nt=0 0\r\n"
    "m=video 5000 RTP/AVP 31\r\nm=audio 4000 RTP/AVP 8 0 111 13 101\r\n"
    "a=rtpmap:111 opus/48000/2\r\na=rtpmap:101 telephone-event/8000\r\na=fmtp:101 0-15\r\n"
)
ALL = (OPUS, PCMU, PCMA)


def test_an_offer_and_its_answer() -> None:
    offer = sdp.read(OFFER, (PCMU, PCMA), "offered")
    assert (offer.form, offer.payload_type, offer.events, offer.comfort) == (PCMA, 8, (101, 8_000), True)
    assert (offer.host, offer.port, offer.rtcp_port, offer.direction) == ("192.0.2.1", 4_000, 4_001, "sendrecv")
    text = sdp.write_answer(offer, Local("198.51.100.7", 20_000, 5, 1))
    assert "m=video 0 RTP/AVP 31\r\n" in text
    assert "m=audio 20000 RTP/AVP 8 13 101\r\n" in text
    again = sdp.read(text.replace("m=video 0", "m=video 9"), ALL, "offered")
    assert (again.form, again.host, again.port, again.events) == (PCMA, "198.51.100.7", 20_000, (101, 8_000))


def test_opus_where_it_is_offered_and_allowed() -> None:
    offer = sdp.read(OFFER, ALL, "offered")
    assert (offer.form, offer.payload_type, offer.comfort) == (OPUS, 111, False)


@pytest.mark.parametrize(
    ("line", "direction"),
    [("a=sendonly", "sendonly"), ("a=inactive", "inactive"), ("a=recvonly", "recvonly"), ("", "sendrecv")],
)
def test_directions(line: str, direction: str) -> None:
    assert sdp.read(f"{OFFER}{line}\r\n", ALL, "offered").direction == direction


def test_hold_as_it_once_was() -> None:
    held = sdp.read(OFFER.replace("c=IN IP4 192.0.2.1", "c=IN IP4 0.0.0.0"), ALL, "offered")
    assert (held.direction, held.host) == ("sendonly", "")


def test_ports_for_reports() -> None:
    assert sdp.read(f"{OFFER}a=rtcp:9000\r\n", ALL, "offered").rtcp_port == 9_000
    assert sdp.read(f"{OFFER}a=rtcp-mux\r\n", ALL, "offered").muxed


@pytest.mark.parametrize(
    "text",
    [
        "",
        "hello",
        "v=0\r\n",
        OFFER.replace("m=audio 4000", "m=audio 0"),
        OFFER.replace("m=audio 4000", "m=audio 99999"),
        OFFER.replace("m=audio 4000 RTP/AVP 8 0 111 13 101", "m=audio 4000"),
        OFFER.replace("RTP/AVP 8", "UDP/TLS/RTP/SAVP 8"),
        OFFER.replace("RTP/AVP 8", "RTP/SAVP 8"),
        "v=0\r\n" + "m=audio 0 RTP/AVP 0\r\n" * 20,
        "v=0\r\n" + "a" * 40_000,
    ],
)
def test_what_is_no_offer(text: str) -> None:
    with pytest.raises(RequestError) as raised:
        sdp.read(text, ALL, "offered")
    assert raised.value.code == "invalid_sdp"


def test_no_codec_in_common() -> None:
    with pytest.raises(RequestError) as raised:
        sdp.read(OFFER, (), "offered")
    assert raised.value.code == "unsupported_codec"


def secure_offer() -> str:
    key = new_crypto("3", "AES_CM_128_HMAC_SHA1_80")
    return OFFER + f"m=audio 4002 RTP/SAVP 0\r\na=crypto:1 UNKNOWN_SUITE inline:AAAA\r\na=crypto:{key.line()}|2^20\r\n"


def test_an_encrypted_section_is_taken_first() -> None:
    offer = sdp.read(secure_offer(), ALL, "offered")
    assert offer.port == 4_002
    assert offer.crypto is not None
    ours = sdp.key_for(offer)
    assert ours is not None
    assert (ours.tag, ours.suite) == ("3", "AES_CM_128_HMAC_SHA1_80")
    assert ours.key != offer.crypto.key
    text = sdp.write_answer(offer, Local("198.51.100.7", 20_000, 5, 1, crypto=ours))
    assert "m=audio 0 RTP/AVP" in text
    assert f"m=audio 20000 RTP/SAVP 0\r\na=rtpmap:0 PCMU/8000\r\na=crypto:3 {ours.suite} inline:" in text
    assert sdp.key_for(offer, (ours,)) == ours
    assert sdp.read(secure_offer(), ALL, "never").crypto is None
    with pytest.raises(RequestError):
        sdp.read(OFFER, ALL, "always")


def test_a_description_among_other_parts() -> None:
    body = (
        f"--b1\r\nContent-Type: text/plain\r\n\r\nhi\r\n--b1\r\nContent-Type: application/sdp\r\n\r\n{OFFER}\r\n--b1--"
    )
    found = sdp_of('multipart/mixed; boundary="b1"', body.encode())
    assert found is not None
    assert sdp.read(found, ALL, "offered").port == 4_000
    assert sdp_of("text/plain", b"v=0") is None


@pytest.mark.parametrize("suite", sorted(SUITES))
def test_what_is_locked_opens_with_its_key(suite: str) -> None:
    ours, theirs = new_crypto("1", suite), new_crypto("1", suite)
    assert read_crypto([ours.line()]) == ours
    here, there = Vault(ours, theirs), Vault(theirs, ours)
    packet = rtp.write(Packet(0, 1, 160, 7, b"sound" * 30))
    locked = here.close_rtp(packet)
    assert packet[12:] not in locked
    assert there.open_rtp(locked) == packet
    assert there.open_rtp(locked) is None  # replayed
    assert there.open_rtp(locked[:-1] + b"\0") is None
    report = rtp.write_rtcp(rtp.Rtcp(7, None, ()), "me")
    assert there.open_rtcp(here.close_rtcp(report)) == report


# ---- keys


def event(key: int, timestamp: int, sequence: int, *, end: bool = False) -> Packet:
    return Packet(101, sequence, timestamp, 9, struct.pack("!BBH", key, 0x80 if end else 0, 160))


def test_a_key_is_told_once_whatever_gets_lost() -> None:
    pressed = dtmf.Pressed()
    packets = [event(5, 1_000, 1), event(5, 1_000, 2), event(5, 1_000, 3, end=True), event(5, 2_000, 9, end=True)]
    assert [pressed.take(packet) for packet in packets] == ["5", None, None, "5"]
    assert pressed.take(event(5, 1_000, 4, end=True)) is None  # late
    assert pressed.take(event(11, 3_000, 12)) == "#"
    assert pressed.take(event(16, 4_000, 13)) is None  # flash: no key
    assert pressed.take(Packet(101, 14, 5_000, 9, b"\1")) is None


def test_keys_that_we_press_are_heard_as_they_were_meant() -> None:
    keypad, pressed = dtmf.Keypad(101, 160), dtmf.Pressed()
    assert keypad.press("1d")
    heard, kinds, timestamps = [], [], []
    for at in range(60):
        packet = rtp.read(keypad.turn(rtp.write(Packet(0, at, at * 160, 9, b"\xff" * 160))))
        assert packet is not None
        assert packet.sequence == at
        kinds.append(packet.payload_type)
        if packet.payload_type == 101:
            timestamps.append(packet.timestamp)
            if (key := pressed.take(packet)) is not None:
                heard.append(key)
    assert heard == ["1", "D"]
    assert not keypad.busy
    assert len(set(timestamps)) == 2
    assert kinds.count(101) == 2 * (dtmf.PRESS_SLICES + dtmf.ENDS)


def test_too_many_keys_and_no_keys() -> None:
    keypad = dtmf.Keypad(101, 160)
    assert not keypad.press("E")
    assert not keypad.press("1" * (dtmf.KEYS_MAX + 1))
    assert not keypad.busy


@pytest.mark.parametrize(
    ("body", "key"),
    [
        (b"Signal=5\r\nDuration=160\r\n", "5"),
        (b"Signal= #\r\n", "#"),
        (b"Signal=10", "*"),
        (b"a", "A"),
        (b"11", "#"),
        (b"Signal=x", None),
        (b"", None),
        (b"Signal=99", None),
    ],
)
def test_keys_in_info(body: bytes, key: str | None) -> None:
    assert dtmf.key_in(body) == key


# ---- where sound goes

PEER, STRANGER = Place("192.0.2.1", 4_000), Place("198.51.100.66", 4_000)


def test_sound_is_taken_from_one_source() -> None:
    latch = Latch(1)
    latch.open({"192.0.2.1"}, PEER)
    assert latch.way() == PEER
    assert not latch.admits(STRANGER, 0.0)
    behind_nat = Place("192.0.2.1", 61_000)
    assert latch.admits(behind_nat, 0.0)
    latch.heard(behind_nat, 0.0)
    assert latch.way() == behind_nat
    assert not latch.admits(PEER, 1.0)
    assert latch.dropped == 2
    assert latch.admits(PEER, QUIET_S + 0.1)


def test_a_new_description_opens_it_again() -> None:
    latch = Latch(1)
    latch.open({"192.0.2.1"}, PEER)
    latch.heard(PEER, 0.0)
    other = Place("192.0.2.2", 5_000)
    latch.open({"192.0.2.2"}, other)
    assert not latch.admits(PEER, 0.1)
    assert latch.admits(other, 0.1)
    assert latch.way() == other


def test_a_host_that_has_not_asked_gets_next_to_nothing() -> None:
    latch = Latch(50)
    latch.open({"192.0.2.1"}, STRANGER)
    assert [latch.way() for _ in range(3_000)].count(STRANGER) == PROBES
    assert latch.admits(STRANGER, 0.0)
    latch.heard(STRANGER, 0.0)
    assert latch.way() == STRANGER


# ---- how it is


def test_reception_counts_what_is_missing() -> None:
    reception = quality.Reception(8_000)
    for at in range(100):
        if at % 10:
            reception.note(Packet(0, (65_500 + at) % 65_536, at * 160, 1, b""), at * 0.02)
    assert (reception.received, reception.lost) == (90, 9)  # the first was never seen
    assert reception.jitter_ms < 0.01
    reception.note(Packet(0, 5, 0, 2, b""), 3.0)  # another stream
    assert (reception.received, reception.lost) == (91, 9)


def test_jitter_is_that_of_rfc_3550() -> None:
    reception = quality.Reception(8_000)
    for at in range(400):
        reception.note(Packet(0, at, at * 160, 1, b""), at * 0.02 + (0.01 if at % 2 else 0.0))
    assert reception.jitter_ms == pytest.approx(10.0, abs=0.1)


def test_what_people_would_say() -> None:
    clean = quality.mos("PCMU", 0.0, 1.0, 60.0)
    assert clean == pytest.approx(4.36, abs=0.05)
    assert quality.mos("PCMU", 0.05, 1.0, 60.0) < clean - 0.5
    assert quality.mos("PCMU", 0.0, 1.0, 800.0) < clean - 0.5
    assert quality.mos("PCMU", 1.0, 500.0, 5_000.0) == 1.0
    assert quality.mos("opus", 0.05, 1.0, 60.0) > quality.mos("PCMU", 0.05, 1.0, 60.0)


def test_there_and_back() -> None:
    sent = rtp.ntp_time(1_000_000.0)
    report = Report(1, 0, 0, 0, 0, last_sender_report=sent >> 16 & 0xFFFF_FFFF, delay=65_536 // 2)
    assert quality.round_trip_ms(report, rtp.ntp_time(1_000_000.75)) == pytest.approx(250.0, abs=0.1)
    assert quality.round_trip_ms(report._replace(last_sender_report=0), sent) is None


def test_the_ladder_is_bounded_and_keeps_no_secrets() -> None:
    steps = ladder.Ladder()
    secret = invite(
        'Authorization: Digest username="ann", response="feed"', body="a=crypto:1 SUITE inline:c2VjcmV0\r\n"
    )
    for _ in range(ladder.RUNGS_MAX + 5):
        steps.note("in", secret, "udp", 1.0)
    steps.note("out", answer(secret, 180), "udp", 2.0)
    assert len(steps.rungs) == ladder.RUNGS_MAX
    assert steps.rungs[-1].title == "180 Ringing (INVITE)"
    assert "feed" not in steps.rungs[0].text
    assert "c2VjcmV0" not in steps.rungs[0].text
    assert "<sip:ann@192.0.2.1>" in steps.rungs[0].text


# ---- session timers


def test_timers_are_agreed_on() -> None:
    assert agree(invite()) is None
    assert agree(invite("Supported: timer")) == (1_800, False)
    assert agree(invite("Supported: timer", "Session-Expires: 600;refresher=uas")) == (600, True)
    assert agree(invite("Supported: timer", "Session-Expires: 600")) == (600, False)
    assert agree(invite("Session-Expires: 600")) == (600, True)
    with pytest.raises(TooShort):
        agree(invite("Supported: timer", "x: 60"))


def test_timers_run_out() -> None:
    timer = SessionTimer()
    assert not timer.expired(1e9)
    timer.refreshed(Agreed(600, ours=True), 0.0)
    assert not timer.due(299.0)
    assert timer.due(300.0)
    assert not timer.due(301.0)  # said once
    timer.refreshed(Agreed(600, ours=False), 310.0)
    assert not timer.due(900.0)
    assert not timer.expired(310.0 + 567.0)
    assert timer.expired(310.0 + 568.0)


# ---- trunks


def table(**more: object) -> dict[str, object]:
    return {"trunk": [{"name": "a", "addresses": ["192.0.2.0/28"], **more}]}


def test_a_table_of_trunks() -> None:
    (trunk,) = read_trunks(table(number=[{"number": "+49 30 1234*"}, {"number": "+49301234-56", "account": "b"}]))
    assert reached(trunk, ["+4930123456"]) == trunk.number[1]
    assert reached(trunk, ["4930123499"]) == trunk.number[0]
    assert reached(trunk, ["parley", "+4930123456"]) == trunk.number[1]
    assert reached(trunk, ["112"]) is None


@pytest.mark.parametrize(
    ("more", "why"),
    [
        ({"addresses": ["nowhere"]}, "nowhere"),
        ({"addresses": []}, "anybody"),
        ({"username": "ann"}, "password"),
        ({"codecs": ["g729"]}, "g729"),
        ({"colour": "red"}, "colour"),
        ({"calls_max": -1}, "calls_max"),
        ({"number": [{"number": "1", "session": {"type": "realtime", "audio": "loud"}}]}, "audio"),
        ({"register": {"server": "http://x", "username": "u", "password": "p"}}, "register.server"),
        ({"transports": ["carrier pigeon"]}, "pigeon"),
    ],
)
def test_what_is_wrong_with_a_table(more: dict[str, object], why: str) -> None:
    with pytest.raises(TrunksError, match=why):
        read_trunks(table(**more))


def test_who_somebody_is_by_address() -> None:
    desk = Desk(read_trunks(table(transports=["udp"])))
    assert [trunk.name for trunk in desk.of("192.0.2.7", "udp")] == ["a"]
    assert desk.of("192.0.2.7", "tcp") == []
    assert desk.of("192.0.2.77", "udp") == []
    assert [trunk.name for trunk in desk.of("::ffff:192.0.2.7", "udp")] == ["a"]
    desk.learn(desk.trunks[0], ["203.0.113.5"])
    assert desk.of("203.0.113.5", "udp") != []


def test_room_for_calls() -> None:
    desk = Desk(read_trunks(table(calls_max=2, calls_per_hour=3)))
    (trunk,) = desk.trunks
    assert [desk.enter(trunk, 0.0) for _ in range(3)] == [True, True, False]
    desk.leave(trunk)
    assert desk.enter(trunk, 1.0)
    desk.leave(trunk)
    assert not desk.enter(trunk, HOUR_S - 1)
    assert desk.enter(trunk, HOUR_S)
    closed = Desk(read_trunks(table(calls_per_hour=0)))
    assert not closed.enter(closed.trunks[0], 0.0)


def test_who_guesses_is_shut_out_for_a_while() -> None:
    desk = Desk(())
    for at in range(FAILURES_MAX):
        assert not desk.shut_out("192.0.2.1", float(at))
        desk.failed("192.0.2.1", float(at))
    assert desk.shut_out("192.0.2.1", 10.0)
    assert not desk.shut_out("192.0.2.2", 10.0)
    assert not desk.shut_out("192.0.2.1", FAILURES_S)


def test_where_calls_may_be_transferred_to() -> None:
    trunk = Trunk(name="a", transfer_to=("+4930", "200"))
    assert transfer_target(trunk, "tel:+49-30-1234") == "tel:+49-30-1234"
    assert transfer_target(trunk, "sip:200@example.com") == "sip:200@example.com"
    for target in (
        "tel:+1900555",
        "sip:+1900555@example.com",
        "sip:200@x?Replaces=y",
        "http://x",
        "sip:200@x>\r\nX: y",
    ):
        with pytest.raises(RequestError):
            transfer_target(trunk, target)


# ---- frames


def test_a_stream_becomes_messages_wherever_it_is_cut() -> None:
    one = bytes(invite(body="hello"))
    for size in (1, 7, 100, 10_000):
        framer = Framer()
        stream = b"\r\n\r\n" + one + b"\r\n" + one
        found = [found for at in range(0, len(stream), size) for found in framer.feed(stream[at : at + size])]
        assert found == [one, one]


@pytest.mark.parametrize(
    "data",
    [
        b"GET / HTTP/1.1\r\nHost: x\r\n\r\n",
        b"x" * 20_000,
        b"A\r\nContent-Length: 70000\r\n\r\n",
        b"A\r\nContent-Length: 1\r\nl: 2\r\n\r\n",
    ],
)
def test_what_is_no_stream_of_messages(data: bytes) -> None:
    with pytest.raises(Unreadable):
        Framer().feed(data)


def test_pings_are_counted() -> None:
    framer = Framer()
    assert framer.feed(b"\r\n\r\n\r\n\r\n") == []
    assert framer.pings == 2


# ---- words


@pytest.mark.parametrize(
    "text", ["sip:", "sip:a b@c", "sip:a@", "sip:a@b:99999", "sip:a@b;=x", "http://a", "sip:%zz@a"]
)
def test_bad_uris(text: str) -> None:
    with pytest.raises(Broken):
        read_uri(text)


def test_words() -> None:
    assert read_uri("sips:+4930;ext=1@[2001:db8::1]:5061;transport=tcp").host == "[2001:db8::1]"
    assert read_uri("sip:+4930;ext=1@a").number == "+4930"
    assert read_via("SIP/2.0/TLS [2001:db8::1]:5061;branch=x;rport").port == 5_061
    assert split_values('"a, b" <sip:a@b;x=1,2>, <sip:c@d>') == ['"a, b" <sip:a@b;x=1,2>', "<sip:c@d>"]


# ---- limits


def test_messages_have_an_end() -> None:
    for more in (["X: y"] * message.HEADERS_MAX, ["X: " + "y" * message.HEAD_BYTES_MAX]):
        with pytest.raises((Broken, Refused)):
            invite(*more)
    with pytest.raises(Broken):
        invite(body="x" * message.MESSAGE_BYTES_MAX)


def test_tables_have_an_end(monkeypatch: pytest.MonkeyPatch) -> None:
    many = [{"name": str(number), "addresses": ["192.0.2.1"]} for number in range(trunks.TRUNKS_MAX + 1)]
    with pytest.raises(TrunksError, match="more than"):
        read_trunks({"trunk": many})
    monkeypatch.setattr(trunks, "NUMBERS_MAX", 1)
    with pytest.raises(TrunksError, match="more than 1"):
        read_trunks(table(number=[{"number": "1"}, {"number": "2"}]))


def test_memories_have_an_end(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(trunks, "ADDRESSES_MAX", 2)
    desk = Desk(())
    for host in ("a", "b", "c"):
        for _ in range(FAILURES_MAX):
            desk.failed(host, 0.0)
    assert [desk.shut_out(host, 1.0) for host in ("a", "b", "c")] == [False, True, True]
    monkeypatch.setattr(digest, "NONCES_MAX", 1)
    challenger = Challenger()
    for _ in range(3):
        assert challenger.check(said(challenger, 100.0), "INVITE", ANN, 101.0).right
    assert len(challenger._counts) == 1


def test_keys_are_meant_once_by_two_ways() -> None:
    once = dtmf.Once()
    told = [
        once.new("7", "info", 0.0),
        once.new("8", "info", 0.1),
        once.new("7", "rtp", 0.2),
        once.new("7", "rtp", 0.3),
    ]
    assert told == [True, True, False, True]
    assert once.new("8", "rtp", 0.1 + dtmf.SAME_KEY_S)
