import json
import socket
import subprocess
import sys
from collections.abc import Iterator
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import pytest
from cryptography import x509
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.x509.oid import NameOID

from parley.cli import doctor, machine_checks, model_checks
from parley.cli.machine_checks import Finding
from parley.cli.problem import Status
from parley.settings import Settings
from tests.conftest import Server, clean_environment, free_port


@pytest.fixture
def settings(tmp_path: Path) -> Settings:
    return Settings(home=tmp_path, port=free_port())


@pytest.fixture
def busy_port() -> Iterator[int]:
    with socket.socket() as taken:
        taken.bind(("127.0.0.1", 0))
        taken.listen()
        yield taken.getsockname()[1]


def diagnosis(home: Path, **env: str) -> tuple[int, dict[str, Any]]:
    """The status and the JSON of the real command."""
    result = subprocess.run(
        [sys.executable, "-m", "parley", "doctor", "--json"],
        env=clean_environment(home) | env, capture_output=True, text=True, timeout=120, check=False,
    )  # fmt: skip
    report = json.loads(result.stdout)
    return result.returncode, {check["check"]: check for check in report["checks"]} | {"ok": report["ok"]}


def test_a_fresh_machine_is_healthy(tmp_path: Path) -> None:
    status, found = diagnosis(tmp_path, PARLEY_PORT=str(free_port()))
    assert status == Status.OK, found
    assert found["ok"] is True
    assert {name for name in found if name != "ok"} == {"settings", *(check.name for check in doctor.CHECKS)}
    assert "Monday" in found["embedded speech"]["text"]


def test_a_port_in_use_fails_with_the_next_step(
    tmp_path: Path, busy_port: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(machine_checks, "PORT_TIMEOUT_S", 0.2)
    found = machine_checks.check_port(Settings(home=tmp_path, port=busy_port))
    assert found.level == "fail"
    assert "PARLEY_PORT" in found.step


def test_a_port_in_use_by_parley_is_fine(server: Server, tmp_path: Path) -> None:
    found = machine_checks.check_port(Settings(home=tmp_path, port=int(server.url.rpartition(":")[2])))
    assert found == Finding("ok", f"Parley answers at {server.url}")


def test_wrong_settings_are_the_only_finding(tmp_path: Path) -> None:
    status, found = diagnosis(tmp_path, PARLEY_PORT="-1")
    assert status == Status.CONFIG
    assert list(found) == ["settings", "ok"]
    assert found["settings"]["level"] == "fail"


def test_a_key_that_others_can_read(settings: Settings) -> None:
    assert machine_checks.check_key_file(settings).level == "ok"
    key = settings.home / "local.key"
    key.write_text("sk-parley-x\n")
    key.chmod(0o644)
    assert machine_checks.check_key_file(settings) == Finding(
        "fail", f"{key} can be read by others", f"chmod 600 {key}"
    )
    key.chmod(0o600)
    assert machine_checks.check_key_file(settings).level == "ok"


def test_a_home_that_cannot_be_made(tmp_path: Path) -> None:
    (tmp_path / "file").write_text("in the way")
    found = machine_checks.check_home(Settings(home=tmp_path / "file" / "home"))
    assert found.level == "fail"
    assert "PARLEY_HOME" in found.step


@pytest.mark.parametrize(("days", "level"), [(100, "ok"), (3, "warn"), (-1, "fail")])
def test_certificates_run_out(days: int, level: str, tmp_path: Path) -> None:
    path = tmp_path / "cert.pem"
    path.write_bytes(certificate(days))
    assert machine_checks.check_certificate(Settings(home=tmp_path, tls_cert=path)).level == level


def test_what_is_not_a_certificate(tmp_path: Path) -> None:
    path = tmp_path / "cert.pem"
    assert machine_checks.check_certificate(Settings(home=tmp_path, tls_cert=path)).level == "fail"
    path.write_text("nonsense")
    assert machine_checks.check_certificate(Settings(home=tmp_path, tls_cert=path)).level == "fail"
    assert machine_checks.check_certificate(Settings(home=tmp_path)).level == "ok"


def certificate(days: int) -> bytes:
    key = ec.generate_private_key(ec.SECP256R1())
    name = x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, "localhost")])
    now = datetime.now(UTC)
    builder = x509.CertificateBuilder(name, name, key.public_key(), x509.random_serial_number())
    builder = builder.not_valid_before(now - timedelta(days=30)).not_valid_after(now + timedelta(days=days, hours=1))
    return builder.sign(key, hashes.SHA256()).public_bytes(serialization.Encoding.PEM)


@pytest.mark.parametrize("kind", ["llm", "stt", "tts"])
async def test_a_backend_that_is_not_there(kind: str, tmp_path: Path) -> None:
    url = f"http://127.0.0.1:{free_port()}/v1"
    settings = Settings(home=tmp_path, **{f"{kind}_url": url})  # type: ignore[arg-type]
    check = doctor.Check("backend", getattr(model_checks, f"check_{kind}"))
    found = await doctor.outcome(check, settings)
    assert found.level == "fail"
    assert found.step


async def test_a_deaf_ear_is_noticed() -> None:
    assert model_checks.ear_hears(bytes(48_000)) == Finding(
        "fail", "the ear does not hear the voice", "Reinstall: make clean, then make run"
    )
