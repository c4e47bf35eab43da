"""RFC 4475: what a reader of SIP must bear, what it must refuse, and how."""

import re
from pathlib import Path
from typing import NamedTuple

import pytest

from parley.transports.sip.grammar import Broken, read_address, read_uri
from parley.transports.sip.message import Refused, Request, Response, read
from parley.transports.sip.rules import refusal

SDP = (
    "v=0\r\no=ann 29739 7272939 IN IP4 192.0.2.15\r\ns=-\r\nc=IN IP4 192.0.2.15\r\nt=0 0\r\n"
    "m=audio 49217 RTP/AVP 0 12\r\nm=video 3227 RTP/AVP 31\r\na=rtpmap:31 LPC\r\n"
)


class Case(NamedTuple):
    name: str
    verdict: str
    data: bytes


def cases() -> list[Case]:
    text = Path(__file__).with_name("torture.txt").read_text("ascii")
    found = []
    for block in re.split(r"(?m)^== ", text)[1:]:
        title, _, message = block.partition("\n")
        name, verdict = title.split()[:2]
        found.append(Case(name, verdict, _octets(message)))
    return found


def _octets(message: str) -> bytes:
    text = message.replace("\\|\n", "").replace("\n", "\r\n")
    text = text.replace("{n}", str(len(SDP))).replace("{sdp}\r\n", SDP)
    text = re.sub(r"\{((?:[^{}])+)\*(\d+)\}", lambda found: found[1].replace("\\r\\n", "\r\n") * int(found[2]), text)
    text = re.sub(r"\\(\\|x[0-9a-f]{2})", lambda found: chr(int(found[1][1:], 16)) if found[1] != "\\" else "\\", text)
    return text.encode("latin-1")


CASES = cases()


def verdict(data: bytes) -> str:
    """What an endpoint does with a datagram that belongs to nothing it knows."""
    try:
        message = read(data)
    except Refused as refused:
        return str(refused.status)
    except Broken:
        return "drop"
    if isinstance(message, Response):
        return "heed" if len(message.headers.all("via")) == 1 else "stray"
    why = refusal(message)
    return "take" if why is None else str(why.status)


def test_all_are_there() -> None:
    assert len({case.name for case in CASES}) == 49


@pytest.mark.parametrize("case", CASES, ids=lambda case: case.name)
def test_the_verdict_is_that_of_the_rfc(case: Case) -> None:
    assert verdict(case.data) == case.verdict


def message(name: str) -> Request | Response:
    return read(next(case.data for case in CASES if case.name == name))


def test_what_is_read_is_what_was_meant() -> None:
    tortuous = message("wsinv")
    assert isinstance(tortuous, Request)
    assert tortuous.cseq == (9, "INVITE")
    assert [via.partition(";")[0].split()[-1] for via in tortuous.headers.all("via")] == [
        "192.0.2.2",
        "hop.example.com",
        "192.168.255.111",
    ]
    caller = read_address(tortuous.headers.one("from"))
    assert (caller.name, caller.uri, caller.tag) == ('A Caller \\"', "sip:caller@example.com", "98xk8")
    assert read_address(tortuous.headers.one("contact")).parameters == {
        "newparam": "newvalue",
        "secondparam": "",
        "q": "0.33",
    }
    assert tortuous.body.decode() == SDP


def test_characters_stay_what_they_are() -> None:
    odd = next(case.data for case in CASES if case.name == "intmeth")
    request = read(odd)
    assert isinstance(request, Request)
    assert read_address(request.headers.one("to")).name == "BEL:\x07 NUL:\x00 DEL:\x7f"
    uri = read_uri(request.uri)
    assert (uri.user, uri.host) == ("1_odd.URI~(to-be!sure)&isn't+it$/mad?,/;;*", "example.com")
    assert bytes(request).split(b"\r\n\r\n")[0].split(b"\r\n")[4] == odd.split(b"\r\n")[4]


def test_escapes() -> None:
    request = message("esc01")
    assert isinstance(request, Request)
    assert read_uri(request.uri).number == "sips:user@example.com"
    assert read_uri(read_address(request.headers.one("contact")).uri).parameters == {"lr": "", "name": "value%41"}
    percent = message("esc02")
    assert len(percent.headers.all("contact")) == 2
    assert read_address(percent.headers.one("to")).name == "%Z%45"


def test_octets_after_the_end_are_no_part_of_it() -> None:
    request = message("dblreq")
    assert request.body == b""
    assert request.headers.all("call-id") == ["dblreq.1"]


def test_it_takes_no_longer_than_it_is_long() -> None:
    """Expressions that go back over their input would need minutes for these (measured: 6 ms each)."""
    import time

    start = b"OPTIONS sip:a@b SIP/2.0\r\nFrom: "
    for filler in (
        b" " * 16_000,
        b"a " * 8_000,
        b'"' * 16_000,
        b";a" * 8_000,
        b"<" * 16_000,
        b"a=" * 8_000,
        b"," * 16_000,
    ):
        began = time.perf_counter()
        with pytest.raises((Refused, Broken)):
            read(start + filler + b"\r\n\r\n")
        with pytest.raises((Refused, Broken)):
            read(b"OPTIONS sip:" + filler + b"\r\n\r\n")
        assert time.perf_counter() - began < 2.0
