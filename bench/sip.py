#!/usr/bin/env python3
"""`python -m bench.sip`: telephone calls of a whole Parley with fake models, which has a core of its own.

Three things: the time from the moment at which a caller may be spoken to (its ACK) to the first sound of a greeting,
the lateness of our sound in many calls at once, and new calls a second (SIPp; none may fail). The load of the machine
and the callers' own lateness stand beside them: where they are high, the figures are not the server's.
"""

import argparse
import asyncio
import json
import os
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator
from contextlib import AsyncExitStack, contextmanager, suppress
from pathlib import Path
from typing import Any, Final, NamedTuple

import numpy as np

from bench.run import ROOT, await_ready, clean_environment
from parley.transports.rtc import rtp
from parley.transports.rtc.codecs import spoken
from tests.conftest import free_port as free_tcp_port
from tests.e2e.backends import Backends, running_backends
from tests.speech import recordings
from tests.transports.sip.booth import SCENARIOS, until
from tests.transports.sip.booth import free_port as free_udp_port
from tests.transports.sip.raw import Caller, caller
from tests.webhooks.telephone import free_port

ANSWER_S: Final = 55
"""Of speech in one response: below what Parley takes ahead of time."""
SLICE_BYTES: Final = 960
"""20 ms in house format."""
SLICE_S: Final = 0.02
CLOCK_HZ: Final = 8_000
PCMU: Final = next(form for form in spoken() if form.name == "PCMU")
SETTLE_S: Final = 3.0
"""What was made in a burst is taken in, and only then is anything measured."""
GREETINGS: Final = 20
LATE_MS_MAX: Final = 40
REALTIME_PRIORITY: Final = 5
TURNS: Final = "turn_detection = { type = 'server_vad', threshold = 1.0, create_response = false }"
"""The Ear judges everything, and nothing interrupts the answer."""
TRUNKS: Final = f"""
[[trunk]]
name = "bench"
addresses = ["127.0.0.1"]
calls_max = 1000
calls_per_hour = 1000000

[[trunk.number]]
number = "100"
greeting = true
session = {{ type = "realtime", audio = {{ input = {{ {TURNS} }} }} }}

[[trunk.number]]
number = "200"
session = {{ type = "realtime" }}
"""


class Server(NamedTuple):
    pid: int
    sip_port: int

    def cpu_s(self) -> float:
        """User and system time of all its threads."""
        fields = Path(f"/proc/{self.pid}/stat").read_text().rpartition(")")[2].split()
        return (int(fields[11]) + int(fields[12])) / os.sysconf("SC_CLK_TCK")


class Calls(NamedTuple):
    """Times in milliseconds; a packet's lateness is beside the earliest of its stream."""

    calls: int
    cpu_percent_per_call: float
    packets: int
    lost: int
    late: int
    """By more than `LATE_MS_MAX`."""
    late_p50: float
    late_p99: float
    late_max: float
    callers_late_max: float
    load: float


def main() -> int:
    parser = argparse.ArgumentParser(description="Measure telephone calls of Parley.")
    parser.add_argument("--calls", type=int, default=50, help="how many at once")
    parser.add_argument("--seconds", type=float, default=20.0, help="how long they are measured")
    parser.add_argument("--rate", type=int, default=20, help="new calls a second")
    parser.add_argument("--new", type=int, default=1_200, help="how many new calls")
    parser.add_argument("--rt", action="store_true", help="real-time priority (root): keeps others out of the figures")
    parser.add_argument("--core-srv", default="1")
    parser.add_argument("--core-gen", default="0")
    args = parser.parse_args()
    os.sched_setaffinity(0, {int(args.core_gen)})
    if args.rt:  # the server inherits it
        os.sched_setscheduler(0, os.SCHED_RR, os.sched_param(REALTIME_PRIORITY))
    with tempfile.TemporaryDirectory() as folder, running_backends() as backends:
        backends.words = ["Here it is."]
        backends.fake.speech = recordings()[1].pcm[: 48_000 * ANSWER_S]
        backends.fake.speech_chunk_bytes = len(backends.fake.speech)
        with server(Path(folder), backends, args.core_srv) as running:
            waits = asyncio.run(greetings(running))
            talking = asyncio.run(talk(running, args.calls, args.seconds))
            ringing = ring(running, Path(folder), args.rate, args.new)
    first = {f"p{share}": round(float(np.percentile(waits, share)), 1) for share in (50, 95, 100)}
    print(json.dumps({"greeting_ms": first, "at_once": talking._asdict(), "new": ringing}, indent=1))
    return 1 if talking.late or talking.lost or ringing["failed"] else 0


@contextmanager
def server(folder: Path, backends: Backends, core: str) -> Iterator[Server]:
    trunks, port, sip_port = folder / "trunks.toml", free_tcp_port(), free_port()
    trunks.write_text(TRUNKS)
    environment = clean_environment() | backends.env(
        PARLEY_HOME=str(folder),
        PARLEY_PORT=str(port),
        PARLEY_SIP_PORT=str(sip_port),
        PARLEY_SIP_TRUNKS=str(trunks),
        PARLEY_LOG_LEVEL="error",
    )
    command = ("taskset", "-c", core, sys.executable, "-m", "parley", "serve")
    with (folder / "server.log").open("wb") as log:
        process = subprocess.Popen(command, env=environment, cwd=ROOT, stdout=log, stderr=log)
    try:
        await_ready(f"http://127.0.0.1:{port}")
        yield Server(process.pid, sip_port)
    finally:
        process.terminate()
        process.wait(30)


# ---- the greeting


async def greetings(running: Server) -> list[float]:
    """In milliseconds; a first call, for which things are loaded, is not counted."""
    return [await greeting(running) for _ in range(GREETINGS + 1)][1:]


async def greeting(running: Server) -> float:
    """From the caller's ACK to the first sound."""
    async with caller(running.sip_port) as ann:
        await ann.call()
        acknowledged = time.monotonic()
        await until(lambda: sounds(ann))
        sounded = sounds(ann)[0]
        await hang_up(ann)
    return (sounded - acknowledged) * 1_000


def sounds(ann: Caller) -> list[float]:
    """When packets came in which there is sound."""
    came = zip(ann.sound.received, ann.sound.times, strict=True)
    return [at for data, at in came if (packet := rtp.read(data)) is not None and packet.payload != PCMU.silence]


async def hang_up(ann: Caller) -> None:
    ann.say("BYE", 2)
    await until(lambda: any(b"CSeq: 2 BYE" in data for data in ann.line.received))


# ---- many at once


async def talk(running: Server, count: int, seconds: float) -> Calls:
    """So many callers, who speak and are spoken to all the time."""
    async with AsyncExitStack() as stack:
        callers = [await stack.enter_async_context(caller(running.sip_port)) for _ in range(count)]
        for ann in callers:
            await ann.call()
        lateness: list[float] = []
        speaking = asyncio.create_task(speak(callers, lateness))
        await asyncio.sleep(SETTLE_S)
        lateness.clear()
        for ann in callers:
            ann.sound.received.clear()
            ann.sound.times.clear()
            ann.sound.sources.clear()
        began, cpu_s = time.monotonic(), running.cpu_s()
        await asyncio.sleep(seconds)
        took_s, cpu_s = time.monotonic() - began, running.cpu_s() - cpu_s
        callers_late_s = max(lateness)
        came = [stream(ann) for ann in callers]
        for ann in callers:
            await hang_up(ann)
        speaking.cancel()
    late = np.concatenate([each - each.min() for each, _ in came]) * 1_000
    return Calls(
        calls=count,
        cpu_percent_per_call=round(100 * cpu_s / took_s / count, 2),
        packets=late.size,
        lost=sum(lost for _, lost in came),
        late=int((late > LATE_MS_MAX).sum()),
        late_p50=round(float(np.percentile(late, 50)), 2),
        late_p99=round(float(np.percentile(late, 99)), 2),
        late_max=round(float(late.max()), 2),
        callers_late_max=round(1_000 * callers_late_s, 2),
        load=os.getloadavg()[0],
    )


async def speak(callers: list[Caller], lateness: list[float]) -> None:
    """All of them, the same, until it is cancelled. `lateness` gets how late each beat was, in seconds."""
    pcm, codec = recordings()[1].pcm, PCMU.open()
    payloads = [codec.encode(pcm[at : at + SLICE_BYTES]) for at in range(0, len(pcm) - SLICE_BYTES, SLICE_BYTES)]
    began, beat = time.monotonic(), 0
    while True:
        for ann in callers:
            ann.speak(1, payload=payloads[beat % len(payloads)])
        beat += 1
        due = began + beat * SLICE_S
        await asyncio.sleep(max(0.0, due - time.monotonic()))
        lateness.append(time.monotonic() - due)


def stream(ann: Caller) -> tuple["np.ndarray[Any, np.dtype[np.float64]]", int]:
    """What came, against its own clock, in seconds; and how many packets did not come.

    Reports for a neighbour (whose RTCP port may be this one's port of sound) come from another port, and do not count.
    """
    sound = zip(ann.sound.received, ann.sound.times, ann.sound.sources, strict=True)
    pairs = [(rtp.read(data), at) for data, at, port in sound if port == ann.media_port]
    packets = [(packet, at) for packet, at in pairs if packet is not None]
    first = packets[0][0]
    due = np.array([(packet.timestamp - first.timestamp) % rtp.TIMESTAMPS / CLOCK_HZ for packet, _ in packets])
    expected = (packets[-1][0].sequence - first.sequence) % rtp.SEQUENCES + 1
    return np.array([at for _, at in packets]) - due, expected - len(packets)


# ---- new calls


def ring(running: Server, folder: Path, rate: int, calls: int) -> dict[str, float]:
    """SIPp begins calls that last 0.2 s. What became of them."""
    command = (
        *("sipp", f"127.0.0.1:{running.sip_port}", "-sf", str(SCENARIOS / "basic.xml"), "-s", "200"),
        *("-m", str(calls), "-r", str(rate), "-i", "127.0.0.1", "-p", str(free_udp_port()), "-nostdin"),
        *("-recv_timeout", "12000", "-trace_stat", "-stf", str(folder / "stat.csv"), "-fd", "1"),
    )
    began = time.monotonic()
    with suppress(subprocess.TimeoutExpired):
        subprocess.run(command, cwd=folder, stdout=subprocess.DEVNULL, timeout=calls / rate + 60, check=False)
    took_s = time.monotonic() - began
    lines = (folder / "stat.csv").read_text().splitlines()
    last = dict(zip(lines[0].split(";"), lines[-1].split(";"), strict=False))
    return {
        "rate": rate,
        "calls": int(last["TotalCallCreated"]),
        "successful": int(last["SuccessfulCall(C)"]),
        "failed": int(last["FailedCall(C)"]),
        "repeated": int(last["Retransmissions(C)"]),
        "seconds": round(took_s, 1),
        "load": os.getloadavg()[0],
    }


if __name__ == "__main__":
    sys.exit(main())
