"""What every room's tests may use: a real server in a process of its own, and the Python of the old SDK.

def test_health(server: Server) -> None: ...           # one server for the whole run, with the embedded engine
def test_tls(make_server: MakeServer) -> None:          # one of your own, with your own settings
    server = make_server(PARLEY_SESSIONS_MAX="2")
"""

import os
import signal
import socket
import ssl
import subprocess
import sys
import time
import urllib.error
import urllib.request
from collections.abc import Callable, Iterator
from contextlib import ExitStack, contextmanager
from pathlib import Path
from typing import NamedTuple

import pytest

ROOT = Path(__file__).resolve().parent.parent
READY_TIMEOUT_S = 60.0
"""Generous: the machine may be busy. How fast a server really is up is measured by the bench."""
STOP_TIMEOUT_S = 40.0
"""Longer than the drain allows running turns."""
API_KEY = "sk-parley-tests"


class Server(NamedTuple):
    """A running Parley: where it is, the key it knows, its process, and the file its output goes to."""

    url: str
    ws_url: str
    key: str
    pid: int
    home: Path
    log: Path

    @property
    def base_url(self) -> str:
        """What the SDKs call `base_url`."""
        return f"{self.url}/v1"


MakeServer = Callable[..., Server]
"""Takes environment variables (`PARLEY_…="…"`) and `args=("--flag", …)`; the server is stopped after the test."""


@pytest.fixture(scope="session")
def server(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Server]:
    with running_server(tmp_path_factory.mktemp("parley")) as running:
        yield running


@pytest.fixture
def make_server(tmp_path: Path) -> Iterator[MakeServer]:
    with ExitStack() as stack:

        def make(args: tuple[str, ...] = (), **env: str) -> Server:
            home = tmp_path / f"home-{len(list(tmp_path.iterdir()))}"
            home.mkdir()
            return stack.enter_context(running_server(home, args, env))

        yield make


@pytest.fixture(scope="session")
def beta_python() -> str:
    """The interpreter that has the 1.99.9 SDK; `make test` sets it up, elsewhere the tests that need it are skipped."""
    python = Path(os.environ.get("TEST_BETA_PYTHON", ROOT / ".venv-beta" / "bin" / "python"))
    if not python.exists():
        pytest.skip("needs the environment of the beta SDK: make test sets it up, or TEST_BETA_PYTHON names one")
    return str(python)


@contextmanager
def running_server(home: Path, args: tuple[str, ...] = (), env: dict[str, str] | None = None) -> Iterator[Server]:
    """Starts `parley serve` on a free port, waits until it is ready, and stops it by SIGTERM: it must end well."""
    port = free_port()
    log = home / "output.log"
    environment = clean_environment(home) | {"PARLEY_PORT": str(port), "PARLEY_API_KEY": API_KEY} | (env or {})
    with log.open("wb") as output:
        process = subprocess.Popen(
            [sys.executable, "-m", "parley", "serve", *args],
            env=environment, cwd=ROOT, stdin=subprocess.DEVNULL, stdout=output, stderr=subprocess.STDOUT,
        )  # fmt: skip
    secure = "--tls" in args or "PARLEY_TLS" in environment
    scheme, ws_scheme = ("https", "wss") if secure else ("http", "ws")
    address = f"127.0.0.1:{port}"
    try:
        await_ready(process, f"{scheme}://{address}/ready", log)
        yield Server(
            f"{scheme}://{address}", f"{ws_scheme}://{address}/v1/realtime", environment["PARLEY_API_KEY"],
            process.pid, home, log,
        )  # fmt: skip
        gone = process.poll() is not None
        stop(process)
        # A test may have stopped it itself, or killed it so lately that it was not gone yet.
        if not gone and process.returncode != -signal.SIGKILL:
            assert process.returncode == 0, f"parley ended with {process.returncode}:\n{tail(log)}"
    finally:
        if process.poll() is None:
            process.kill()
            process.wait()


def clean_environment(home: Path) -> dict[str, str]:
    """The caller's environment without any setting of Parley's, and with a home of its own."""
    kept = {name: value for name, value in os.environ.items() if not name.startswith("PARLEY_")}
    return kept | {"PARLEY_HOME": str(home), "PARLEY_HOST": "127.0.0.1", "PYTHONPATH": str(ROOT), "NO_COLOR": "1"}


def await_ready(process: subprocess.Popen[bytes], url: str, log: Path) -> None:
    """Returns when `url` answers 200."""
    deadline = time.monotonic() + READY_TIMEOUT_S
    while time.monotonic() < deadline:
        if process.poll() is not None:
            pytest.fail(f"parley ended with {process.returncode} before it was ready:\n{tail(log)}")
        if answers(url):
            return
        time.sleep(0.05)
    pytest.fail(f"parley was not ready in {READY_TIMEOUT_S:.0f} s:\n{tail(log)}")


def answers(url: str) -> bool:
    """Whoever answers, and with whatever certificate: whether clients trust it is for their own tests."""
    anybody = ssl.create_default_context()
    anybody.check_hostname, anybody.verify_mode = False, ssl.CERT_NONE
    try:
        with urllib.request.urlopen(url, timeout=5, context=anybody) as response:
            return bool(response.status == 200)
    except (urllib.error.URLError, OSError):
        return False


def stop(process: subprocess.Popen[bytes]) -> None:
    if process.poll() is None:
        process.send_signal(signal.SIGTERM)
    process.wait(STOP_TIMEOUT_S)


def free_port() -> int:
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        port: int = probe.getsockname()[1]
        return port


def tail(log: Path, lines: int = 30) -> str:
    return "\n".join(log.read_text(errors="replace").splitlines()[-lines:])
