"""What pages are told about STUN and TURN."""

import base64
import hashlib
import hmac

from parley.auth.turn import SECONDS, IceServers, told

STUN, TURN, TURNS = "stun:stun.example:3478", "turn:turn.example:3478", "turns:turn.example:5349?transport=tcp"


def test_relays_get_credentials_that_expire() -> None:
    servers, expires_at = told(IceServers((STUN, TURN, TURNS), "s3cret"), "ann", 1_000_000.7)
    assert expires_at == 1_000_000 + SECONDS
    stun, turn = servers
    assert stun == {"urls": [STUN]}
    assert turn["urls"] == [TURN, TURNS]
    assert turn["username"] == f"{expires_at}:ann"
    password = hmac.new(b"s3cret", str(turn["username"]).encode(), hashlib.sha1).digest()
    assert base64.b64decode(str(turn["credential"])) == password
    assert "s3cret" not in repr(servers)


def test_nothing_set_nothing_told() -> None:
    assert told(IceServers(), "ann", 0.0).servers == []


def test_relays_without_a_secret_are_told_as_they_are() -> None:
    assert told(IceServers((TURN,)), "ann", 0.0).servers == [{"urls": [TURN]}]
