"""What `parley doctor` says about telephones."""

import socket
from pathlib import Path

import pytest

from parley.cli import machine_checks, telephone_checks
from parley.settings import Settings
from parley.transports.certificate import local_certificate
from tests.webhooks.telephone import free_port


def settings(home: Path, **more: object) -> Settings:
    return Settings(home=home, port=free_port(), **{"sip_port": free_port(), **more})  # type: ignore[arg-type]


def test_without_telephones_there_is_nothing_to_check(tmp_path: Path) -> None:
    quiet = settings(tmp_path, sip_port=None)
    for check in (telephone_checks.check_ports, telephone_checks.check_trunks, telephone_checks.check_address):
        assert check(quiet) == telephone_checks.UNUSED
    assert telephone_checks.check_tls(quiet) == telephone_checks.UNUSED


@pytest.mark.parametrize("kind", [socket.SOCK_DGRAM, socket.SOCK_STREAM])
def test_a_port_must_be_free(kind: socket.SocketKind, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(machine_checks, "PORT_TIMEOUT_S", 0.2)
    wanted = settings(tmp_path)
    assert telephone_checks.check_ports(wanted).level == "ok"
    with socket.socket(type=kind) as taken:
        taken.bind(("127.0.0.1", wanted.sip_port))
        if kind == socket.SOCK_STREAM:
            taken.listen()
        found = telephone_checks.check_ports(wanted)
    assert found.level == "fail"
    assert ("UDP" if kind == socket.SOCK_DGRAM else "TCP") in found.text
    assert "PARLEY_SIP_PORT" in found.step


@pytest.mark.parametrize(
    ("host", "told", "level"),
    [
        ("127.0.0.1", "", "ok"),
        ("192.168.1.2", "", "warn"),
        ("192.168.1.2", "8.8.8.8", "ok"),
        ("8.8.8.8", "", "ok"),
        ("8.8.8.8", "voice.example", "fail"),
    ],
)
def test_a_private_address_is_of_no_use_to_callers_elsewhere(host: str, told: str, level: str, tmp_path: Path) -> None:
    found = telephone_checks.check_address(settings(tmp_path, sip_host=host, sip_address=told))
    assert found.level == level
    assert bool(found.step) == (level != "ok")


def test_the_table_of_trunks_is_read(tmp_path: Path) -> None:
    table = tmp_path / "trunks.toml"
    table.write_text('[[trunk]]\nname = "carrier"\naddresses = ["203.0.113.0/28"]\n')
    assert telephone_checks.check_trunks(settings(tmp_path, sip_trunks=table)).text == "carrier may call"
    table.write_text('[[trunk]]\nname = "carrier"\n')
    found = telephone_checks.check_trunks(settings(tmp_path, sip_trunks=table))
    assert found.level == "fail"
    assert "would let anybody call" in found.text


def test_the_certificate_of_calls_over_tls(tmp_path: Path) -> None:
    assert "no certificate" in telephone_checks.check_tls(settings(tmp_path)).text
    local_certificate(tmp_path)
    found = telephone_checks.check_tls(settings(tmp_path, tls="local"))
    assert found.level == "ok"
    assert "days" in found.text
