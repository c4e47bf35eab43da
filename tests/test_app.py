"""The whole program, as an operator meets it: start, refusals, TLS, signals."""

import json
import os
import re
import signal
import socket
import ssl
import stat
import subprocess
import sys
import time
import urllib.error
import urllib.request
from pathlib import Path
from typing import Any

import pytest
import websockets.sync.client
from websockets.exceptions import ConnectionClosed, InvalidStatus
from websockets.sync.client import ClientConnection
from websockets.sync.connection import Connection as Socket

from tests.conftest import API_KEY, ROOT, MakeServer, Server, clean_environment, free_port

NOWHERE = "http://127.0.0.1:9/v1"
QUICK = {"PARLEY_STT_URL": NOWHERE, "PARLEY_TTS_URL": NOWHERE}
"""No speech models to load."""


def connect(server: Server, key: str = API_KEY, **options: Any) -> ClientConnection:
    return websockets.sync.client.connect(
        f"{server.ws_url}?model=gpt-realtime", additional_headers={"Authorization": f"Bearer {key}"}, **options
    )


def wait_until_over(ws: Socket) -> tuple[int, str]:
    """The close code and reason."""
    with pytest.raises(ConnectionClosed) as caught:
        while True:
            ws.recv(30)
    assert caught.value.rcvd is not None
    return caught.value.rcvd.code, caught.value.rcvd.reason


def refused_start(home: Path, **env: str) -> str:
    """What `parley serve` says when it does not start."""
    ended = subprocess.run(
        [sys.executable, "-m", "parley", "serve"],
        env=clean_environment(home) | env, cwd=ROOT, capture_output=True, text=True, timeout=30, check=False,
    )  # fmt: skip
    assert ended.returncode != 0
    said = (ended.stderr or ended.stdout).strip()
    assert "Traceback" not in said
    return said


# ---- starting


def test_the_first_start_makes_a_key_and_says_how_to_go_on(tmp_path: Path) -> None:
    port = free_port()
    env = clean_environment(tmp_path) | QUICK | {"PARLEY_PORT": str(port), "PARLEY_LOG_LEVEL": "error"}
    process = subprocess.Popen(
        [sys.executable, "-m", "parley", "serve"], env=env, cwd=ROOT, stdout=subprocess.PIPE, text=True
    )
    try:
        assert process.stdout is not None
        said = ""
        while "text to speech" not in said:
            line = process.stdout.readline()
            assert line
            said += line
        assert f"http://127.0.0.1:{port}" in said
        key = re.search(r"sk-parley-\S+", said)
        assert key is not None
        assert "embedded assistant" in said
        file = tmp_path / "local.key"
        assert file.read_text().strip() == key[0]
        assert stat.S_IMODE(file.stat().st_mode) == 0o600
        with websockets.sync.client.connect(
            f"ws://127.0.0.1:{port}/v1/realtime?model=gpt-realtime", additional_headers={"x-api-key": key[0]}
        ) as ws:
            assert json.loads(ws.recv(20))["type"] == "session.created"
    finally:
        process.send_signal(signal.SIGINT)
        process.communicate(timeout=20)
        assert process.returncode == 0


def test_a_key_from_the_environment_is_not_printed(make_server: MakeServer) -> None:
    server = make_server(**QUICK)
    assert API_KEY not in server.log.read_text()


def test_a_public_address_needs_a_key_of_ones_own(tmp_path: Path) -> None:
    said = refused_start(tmp_path, PARLEY_HOST="0.0.0.0", PARLEY_PORT=str(free_port()))
    assert "PARLEY_API_KEY" in said
    assert not (tmp_path / "local.key").exists()


def test_a_taken_port_is_said_in_one_line(tmp_path: Path) -> None:
    with socket.create_server(("127.0.0.1", 0)) as taken:
        said = refused_start(tmp_path, PARLEY_PORT=str(taken.getsockname()[1]))
    assert "--port" in said
    assert len(said.splitlines()) == 1


def test_what_this_version_cannot_do_is_refused(tmp_path: Path) -> None:
    assert "must begin with wss://" in refused_start(tmp_path, PARLEY_UPSTREAM_URL="example.com")
    assert "sip_rtp_ports is wrong" in refused_start(tmp_path, PARLEY_SIP_PORT="0", PARLEY_SIP_RTP_PORTS="20000")
    assert "needs webhook_secret" in refused_start(tmp_path, PARLEY_WEBHOOK_URL="https://hooks.example/parley")


def test_tls_with_a_certificate_of_its_own(make_server: MakeServer) -> None:
    server = make_server(args=("--tls", "local"), **QUICK)
    trust = ssl.create_default_context(cafile=server.home / "tls" / "cert.pem")
    with urllib.request.urlopen(f"{server.url}/health", context=trust, timeout=10) as response:
        assert response.status == 200
    sound = "A" * 4 * 100_000
    with connect(server, ssl=trust, max_size=None) as ws:
        assert json.loads(ws.recv(20))["type"] == "session.created"
        ws.send(
            json.dumps(
                {
                    "type": "session.update",
                    "session": {"type": "realtime", "audio": {"input": {"turn_detection": None}}},
                }
            )
        )
        ws.send(json.dumps({"type": "input_audio_buffer.append", "audio": sound}))
        ws.send(json.dumps({"type": "input_audio_buffer.commit"}))
        while (event := json.loads(ws.recv(20)))["type"] != "input_audio_buffer.committed":
            pass
        ws.send(json.dumps({"type": "conversation.item.retrieve", "item_id": event["item_id"]}))
        while (event := json.loads(ws.recv(20)))["type"] != "conversation.item.retrieved":
            pass
        assert event["item"]["content"][0]["audio"] == sound
    assert stat.S_IMODE((server.home / "tls" / "key.pem").stat().st_mode) == 0o600


# ---- stopping


class SlowModel:
    """A Chat Completions endpoint that begins to answer at once and takes `seconds` to finish."""

    def __init__(self, seconds: float) -> None:
        self.process = subprocess.Popen(
            [sys.executable, "-c", SLOW_MODEL, str(seconds)], stdout=subprocess.PIPE, text=True
        )
        assert self.process.stdout is not None
        self.url = f"http://127.0.0.1:{int(self.process.stdout.readline())}/v1"

    def __enter__(self) -> "SlowModel":
        return self

    def __exit__(self, *exc: object) -> None:
        self.process.kill()
        self.process.wait()
        assert self.process.stdout is not None
        self.process.stdout.close()


SLOW_MODEL = """
import json, sys, time
from http.server import BaseHTTPRequestHandler, HTTPServer

class Handler(BaseHTTPRequestHandler):
    def do_POST(self):
        self.rfile.read(int(self.headers["content-length"]))
        self.send_response(200)
        self.send_header("content-type", "text/event-stream")
        self.end_headers()
        for number, words in enumerate(("One ", "two.")):
            time.sleep(number * float(sys.argv[1]))
            chunk = {"choices": [{"index": 0, "delta": {"content": words}, "finish_reason": None}]}
            self.wfile.write(b"data: " + json.dumps(chunk).encode() + b"\\n\\n")
            self.wfile.flush()
        self.wfile.write(b"data: [DONE]\\n\\n")
    def log_message(self, *args): pass

server = HTTPServer(("127.0.0.1", 0), Handler)
print(server.server_port, flush=True)
server.serve_forever()
"""


def begin_turn(ws: Socket) -> None:
    """Returns when the first word of the answer is there."""
    ws.send(json.dumps({"type": "session.update", "session": {"type": "realtime", "output_modalities": ["text"]}}))
    ws.send(json.dumps({"type": "response.create"}))
    while json.loads(ws.recv(20))["type"] != "response.output_text.delta":
        pass


def ready_status(server: Server) -> int:
    try:
        with urllib.request.urlopen(f"{server.url}/ready", timeout=10) as response:
            return int(response.status)
    except urllib.error.HTTPError as error:
        with error:
            return error.code


def test_a_signal_lets_running_turns_finish(make_server: MakeServer) -> None:
    with SlowModel(1.0) as model:
        server = make_server(PARLEY_LLM_URL=model.url, **QUICK)
        with connect(server) as busy, connect(server) as idle:
            begin_turn(busy)
            os.kill(server.pid, signal.SIGTERM)
            assert wait_until_over(idle) == (1001, "server_draining")
            assert ready_status(server) == 503
            with pytest.raises(InvalidStatus) as caught:
                connect(server)
            assert caught.value.response.status_code == 503
            assert json.loads(caught.value.response.body)["error"]["code"] == "server_draining"
            status = None
            while status is None:
                event = json.loads(busy.recv(20))
                status = event["response"]["status"] if event["type"] == "response.done" else None
            assert status == "completed"
            assert wait_until_over(busy) == (1001, "server_draining")


@pytest.mark.parametrize("second_signal", [True, False])
def test_it_does_not_wait_for_ever(make_server: MakeServer, second_signal: bool) -> None:
    with SlowModel(30.0) as model:
        drain_s = "25" if second_signal else "0.5"
        server = make_server(PARLEY_LLM_URL=model.url, PARLEY_DRAIN_S=drain_s, **QUICK)
        with connect(server) as busy:
            begin_turn(busy)
            began = time.monotonic()
            os.kill(server.pid, signal.SIGTERM)
            if second_signal:
                time.sleep(0.3)
                os.kill(server.pid, signal.SIGTERM)
            assert wait_until_over(busy) == (1001, "server_draining")
            assert time.monotonic() - began < 15


def test_nothing_private_is_logged(make_server: MakeServer) -> None:
    server = make_server(PARLEY_LOG_LEVEL="debug", **QUICK)
    with connect(server) as ws:
        ws.send(json.dumps({"type": "session.update", "session": {"type": "realtime", "instructions": "canary-1"}}))
        item = {"type": "message", "role": "user", "content": [{"type": "input_text", "text": "canary-2"}]}
        ws.send(json.dumps({"type": "conversation.item.create", "item": item}))
        ws.send(json.dumps({"type": "response.create", "response": {"output_modalities": ["text"]}}))
        while json.loads(ws.recv(20))["type"] != "response.done":
            pass
    with pytest.raises(InvalidStatus):
        connect(server, key="sk-canary-3")
    lines = server.log.read_text()
    assert '"event":"turn"' in lines
    assert "canary" not in lines
    assert API_KEY not in lines
