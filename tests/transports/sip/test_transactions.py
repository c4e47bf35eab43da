"""Timers of RFC 3261 section 17, on a clock that is told."""

import pytest

from parley.transports.sip.message import Request, Response, answer, read
from parley.transports.sip.transactions import T1, T2, T4, TIMEOUT, Asked, Served, served_key


def request(method: str = "INVITE", branch: str = "z9hG4bKa", number: int = 1, to: str = "sip:b@c") -> Request:
    text = (
        f"{method} sip:b@c SIP/2.0\r\nVia: SIP/2.0/UDP 192.0.2.1;branch={branch}\r\nFrom: <sip:a@b>;tag=1\r\n"
        f"To: {to}\r\nCall-ID: x@y\r\nCSeq: {number} {method}\r\nContent-Length: 0\r\n\r\n"
    )
    made = read(text.encode())
    assert isinstance(made, Request)
    return made


class Line:
    def __init__(self) -> None:
        self.sent: list[tuple[float, str]] = []
        self.now = 0.0

    def send(self, data: bytes) -> None:
        self.sent.append((self.now, data.split(b"\r\n")[0].decode()))

    def run(self, timed: Served | Asked, until: float) -> None:
        """Time passes."""
        while timed.deadline is not None and timed.deadline <= until and not timed.over:
            self.now = timed.deadline
            timed.expire(self.now)
        self.now = until

    @property
    def times(self) -> list[float]:
        return [at for at, _ in self.sent]


def served(method: str, line: Line, reliable: bool = False) -> Served:
    return Served(request(method), line.send, reliable=reliable)


@pytest.mark.parametrize("reliable", [False, True])
def test_ok_to_an_invite_is_repeated_until_ack(reliable: bool) -> None:
    line = Line()
    asked = served("INVITE", line, reliable)
    asked.respond(answer(asked.request, 200), 0.0)
    line.run(asked, 10.0)
    assert line.times == [0.0, 0.5, 1.5, 3.5, 7.5]
    asked.acked(10.0)
    line.run(asked, 10.0 + T4)
    assert asked.over
    assert not asked.unheard
    assert len(line.sent) == 5


def test_without_ack_it_ends() -> None:
    line = Line()
    asked = served("INVITE", line)
    asked.respond(answer(asked.request, 200), 0.0)
    line.run(asked, TIMEOUT)
    assert asked.unheard
    assert asked.over
    assert len(line.sent) == 11  # RFC 3261 appendix A: T1 doubled up to T2, for 64 T1
    assert max(later - before for before, later in zip(line.times, line.times[1:], strict=False)) == T2


def test_a_refusal_over_tcp_is_said_once() -> None:
    line = Line()
    asked = served("INVITE", line, reliable=True)
    asked.respond(answer(asked.request, 486), 0.0)
    line.run(asked, TIMEOUT - 1)
    assert line.times == [0.0]
    asked.acked(1.0)
    line.run(asked, TIMEOUT)
    assert asked.over


def test_the_same_request_gets_the_same_answer() -> None:
    line = Line()
    asked = served("OPTIONS", line)
    asked.again()
    assert line.sent == []
    asked.respond(answer(asked.request, 200), 0.0)
    asked.again()
    asked.again()
    assert [text for _, text in line.sent] == ["SIP/2.0 200 OK"] * 3
    line.run(asked, TIMEOUT - 0.1)
    assert not asked.over
    line.run(asked, TIMEOUT)
    assert asked.over


def test_there_is_one_final_answer() -> None:
    line = Line()
    asked = served("INVITE", line)
    asked.respond(answer(asked.request, 487), 0.0)
    asked.respond(answer(asked.request, 200), 0.0)
    assert [text for _, text in line.sent] == ["SIP/2.0 487 Request Terminated"]


def test_ringing_for_sure() -> None:
    line = Line()
    asked = served("INVITE", line)
    asked.respond(answer(asked.request, 180), 0.0, until_prack=True)
    line.run(asked, 2.0)
    assert line.times == [0.0, 0.5, 1.5]
    asked.pracked()
    line.run(asked, 20.0)
    assert len(line.sent) == 3
    asked.respond(answer(asked.request, 200), 20.0)
    assert line.times[-1] == 20.0


def test_ringing_that_nobody_confirms() -> None:
    line = Line()
    asked = served("INVITE", line)
    asked.respond(answer(asked.request, 180), 0.0, until_prack=True)
    line.run(asked, TIMEOUT)
    assert asked.unheard
    assert not asked.over  # it wants a final answer still


def asking(method: str, line: Line, reliable: bool = False) -> tuple[Asked, list[Response | None]]:
    heard: list[Response | None] = []
    return Asked(request(method), line.send, heard.append, 0.0, reliable=reliable), heard


def test_a_request_is_repeated_until_it_is_answered() -> None:
    line = Line()
    bye, heard = asking("BYE", line)
    line.run(bye, 12.0)
    assert line.times == [0.0, 0.5, 1.5, 3.5, 7.5, 11.5]
    bye.on_response(answer(bye.request, 200), 12.0)
    line.run(bye, 12.0 + T4)
    assert [response and response.status for response in heard] == [200]
    assert bye.over


def test_a_request_that_nobody_answers() -> None:
    line = Line()
    bye, heard = asking("BYE", line, reliable=True)
    line.run(bye, TIMEOUT)
    assert line.times == [0.0]
    assert heard == [None]
    assert bye.over


def test_our_invite_is_acknowledged_as_often_as_it_is_answered() -> None:
    line = Line()
    invite, heard = asking("INVITE", line)
    line.run(invite, 1.6)
    assert line.times == [0.0, 0.5, 1.5]
    invite.on_response(answer(invite.request, 100), 1.6)
    line.run(invite, 5.0)
    assert len(line.sent) == 3
    invite.on_response(answer(invite.request, 200, tag="t"), 5.0)
    invite.acknowledge(request("ACK"))
    invite.on_response(answer(invite.request, 200, tag="t"), 5.5)
    assert [text.split()[0] for _, text in line.sent[3:]] == ["ACK", "ACK"]
    assert [response and response.status for response in heard] == [100, 200]
    line.run(invite, 5.0 + 64 * T1)
    assert invite.over


def test_what_belongs_together() -> None:
    assert served_key(request("INVITE")) == served_key(request("ACK")) == served_key(request("CANCEL"))
    assert served_key(request("INVITE")) != served_key(request("INVITE", branch="z9hG4bKb"))
    assert served_key(request("BYE")) != served_key(request("INVITE"))


@pytest.mark.parametrize("branch", ["z9hG4bK", "17"])
def test_what_belongs_together_in_the_older_sip(branch: str) -> None:
    invite = request(branch=branch)
    assert served_key(invite) == served_key(request("ACK", branch=branch, to="<sip:b@c>;tag=ours"))
    assert served_key(invite) != served_key(request(branch=branch, number=2))
