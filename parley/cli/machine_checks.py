"""What `parley doctor` looks at on this machine: files, limits, port, clock, certificate."""

import platform
import resource
import shutil
import socket
import tempfile
import time
import urllib.error
import urllib.request
from datetime import UTC, datetime
from pathlib import Path
from typing import Final, Literal, NamedTuple

import parley
from parley.cli.place import base_url, certificate_of, key_file_of
from parley.settings import Settings

DISK_BYTES_LEAST: Final = 200 * 2**20
FILES_SPARE: Final = 128
CERTIFICATE_DAYS_LEAST: Final = 14
PORT_TIMEOUT_S: Final = 2.0

Level = Literal["ok", "warn", "fail"]


class Finding(NamedTuple):
    """What a check found, and (unless it is ok) what to do."""

    level: Level
    text: str
    step: str = ""


def check_python(_: Settings) -> Finding:
    return Finding("ok", f"{platform.python_version()}, parley {parley.__version__}")


def check_clock(_: Settings) -> Finding:
    """A clock that is behind the files it runs is wrong, and certificates and records suffer from it."""
    installed = Path(parley.__file__).stat().st_mtime
    if time.time() < installed - 86_400:
        return Finding(
            "warn", f"the clock says {datetime.now(UTC):%Y-%m-%d}, older than Parley itself", "Set the clock"
        )
    return Finding("ok", f"{datetime.now(UTC):%Y-%m-%d %H:%M} UTC")


def check_home(settings: Settings) -> Finding:
    home = settings.home
    try:
        home.mkdir(parents=True, exist_ok=True)
        with tempfile.TemporaryFile(dir=home):
            pass
    except OSError as error:
        step = "Make it writable, or choose another with PARLEY_HOME"
        return Finding("fail", f"{home} cannot be written: {error.strerror}", step)
    free = shutil.disk_usage(home).free
    if free < DISK_BYTES_LEAST:
        return Finding("warn", f"only {free // 2**20} MiB are free in {home}", "Make room")
    return Finding("ok", f"{home}, {free // 2**30} GiB free")


def check_key_file(settings: Settings) -> Finding:
    path = key_file_of(settings)
    if not path.exists():
        return Finding("ok", "none yet; parley serve makes one")
    others = path.stat().st_mode & 0o077
    if others:
        return Finding("fail", f"{path} can be read by others", f"chmod 600 {path}")
    return Finding("ok", f"{path}, for you alone")


def check_files(settings: Settings) -> Finding:
    soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    wanted = settings.sessions_max + FILES_SPARE
    if soft != resource.RLIM_INFINITY and soft < wanted:
        step = f"ulimit -n {wanted}, or lower sessions_max"
        return Finding("warn", f"{soft} open files allowed (hard limit {hard}), {wanted} wanted for all sessions", step)
    return Finding("ok", f"{soft} open files allowed")


def check_port(settings: Settings) -> Finding:
    """The port must be free, or ours already."""
    family = socket.AF_INET6 if ":" in settings.host else socket.AF_INET
    with socket.socket(family) as probe:
        probe.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        try:
            probe.bind((settings.host, settings.port))
        except OSError as error:
            if answers(f"{base_url(settings)}/health"):
                return Finding("ok", f"Parley answers at {base_url(settings)}")
            where = f"{settings.host}:{settings.port}"
            return Finding("fail", f"{where} is not to be had: {error.strerror}", "Choose another with PARLEY_PORT")
    return Finding("ok", f"{settings.host}:{settings.port} is free")


def answers(url: str) -> bool:
    try:
        with urllib.request.urlopen(url, timeout=PORT_TIMEOUT_S) as response:  # noqa: S310 - our own address
            return bool(response.status == 200)
    except (urllib.error.URLError, OSError, ValueError):
        return False


def check_certificate(settings: Settings) -> Finding:
    path = certificate_of(settings)
    if path is None:
        return Finding("ok", "not used (--tls local makes one)")
    if not path.exists():
        return Finding("ok", "none yet; parley serve makes one") if settings.tls == "local" else missing(path)
    from cryptography.x509 import load_pem_x509_certificate

    try:
        ends = load_pem_x509_certificate(path.read_bytes()).not_valid_after_utc
    except (OSError, ValueError) as error:
        return Finding("fail", f"{path} is not a certificate: {error}", "Set tls_cert to a PEM file")
    days = (ends - datetime.now(UTC)).days
    step = f"Remove {path}, parley serve makes a new one" if settings.tls == "local" else "Renew it"
    if days < 0:
        return Finding("fail", f"{path} has expired", step)
    return Finding("warn" if days < CERTIFICATE_DAYS_LEAST else "ok", f"{path}, good for {days} days")


def missing(path: Path) -> Finding:
    return Finding("fail", f"there is no file {path}", "Set tls_cert and tls_key to your certificate")
