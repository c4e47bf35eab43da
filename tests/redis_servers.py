"""Redis for tests: the one of this machine with a prefix of one's own, and servers that may be killed.

It is looked for where TEST_REDIS_URL says, else at its usual place.
"""

import os
import secrets
import shutil
import socket
import subprocess
import time
from collections.abc import Iterator
from contextlib import contextmanager
from functools import cache
from pathlib import Path

import pytest
import redis

from tests.conftest import free_port

REDIS_URL = os.environ.get("TEST_REDIS_URL", "redis://127.0.0.1:6379/0")
START_S = 10


@contextmanager
def own_prefix() -> Iterator[str]:
    """Keys that begin with it are gone afterwards."""
    if (reason := why_no_redis()) is not None:
        pytest.skip(reason)
    prefix = f"parley-test-{secrets.token_hex(6)}:"
    try:
        yield prefix
    finally:
        with redis.Redis.from_url(REDIS_URL) as client:
            if keys := list(client.scan_iter(f"{prefix}*")):
                client.delete(*keys)


@cache
def why_no_redis() -> str | None:
    try:
        with redis.Redis.from_url(REDIS_URL) as client:
            client.ping()
    except redis.RedisError as error:
        return f"no Redis at {REDIS_URL.rpartition('@')[2]}: {error}"
    return None


def pass_time(prefix: str, seconds: float) -> None:
    """Everything under `prefix` is that much older: Redis has no clock that a test could set."""
    with redis.Redis.from_url(REDIS_URL) as client:
        for key in client.scan_iter(f"{prefix}*"):
            if client.type(key) == b"hash":
                client.hincrbyfloat(key, "at", -seconds)
            else:
                for member in client.zrange(key, 0, -1):
                    client.zincrby(key, -seconds, member)


class RedisServer:
    """A server of one's own, which keeps nothing on the disk. `kill` and `start` it as often as you like."""

    def __init__(self, folder: Path) -> None:
        program = shutil.which("redis-server")
        if program is None:
            pytest.skip("needs redis-server")
        self.port = free_port()
        self.url = f"redis://127.0.0.1:{self.port}/0"
        self._command = [program, "--port", str(self.port), "--bind", "127.0.0.1", "--save", "", "--dir", str(folder)]
        self._process: subprocess.Popen[bytes] | None = None

    def start(self) -> None:
        self._process = subprocess.Popen(self._command, stdout=subprocess.DEVNULL)
        deadline = time.monotonic() + START_S
        while time.monotonic() < deadline:
            try:
                socket.create_connection(("127.0.0.1", self.port), 1).close()
                return
            except OSError:
                time.sleep(0.02)
        raise AssertionError("redis-server does not listen")

    def kill(self) -> None:
        if self._process is not None:
            self._process.kill()
            self._process.wait()
            self._process = None
