#!/usr/bin/env python3
"""`python -m bench.rtc`: WebRTC calls of Parley beside plain aiortc, on one core each in turn, in one run.

    callers (core 0): Opus packets every 20 ms, a message every 0.5 s  <-->  server (core 1): hears, speaks, answers

Parley is the whole server; its models are fakes on the callers' core, which have spoken before the measuring begins.
aiortc is what its examples show: frames out of a track, frames into a track, messages echoed. The load of the machine
and the callers' own lateness stand beside the figures: where they are high, the figures are not the server's.
"""

import argparse
import asyncio
import json
import os
import subprocess
import sys
import tempfile
import time
from collections.abc import AsyncIterator, Iterator
from contextlib import ExitStack, asynccontextmanager, contextmanager
from pathlib import Path
from typing import Any, Final, NamedTuple

import httpx
import numpy as np
import uvloop
from numpy.typing import NDArray

from bench.rtc_callers import RATE_HZ, SILENT_BYTES, SLICE_S, TICKS, Caller, Crowd, encoded
from bench.run import KEY, ROOT, Figure, await_ready, clean_environment, rendered
from parley.transports.rtc import rtp
from tests.conftest import free_port
from tests.e2e.backends import running_backends
from tests.speech import HOUSE_RATE_HZ, recordings

ANSWER_S: Final = 55
"""Of speech in one response: below what Parley takes ahead of time."""
BURST_EVERY_S: Final = 0.5
ANSWER_LATE_S: Final = 20.0
SETTLE_S: Final = 3.0
"""What was made in a burst is taken in, and only then is anything measured."""
HEARD_LATE_S: Final = 0.45
INTERRUPTIONS: Final = 12
ONSETS_S: Final = (1.2, 2.98, 5.04, 6.68, 8.82, 10.76)
"""Where the reader begins again after a pause."""
LATE_MS_MAX: Final = 40
REALTIME_PRIORITY: Final = 5
TALKING: Final = {"type": "realtime", "model": "gpt-realtime", "audio": {"input": {"turn_detection": None}}}
LISTENING: Final = {"type": "realtime", "model": "gpt-realtime"}


class Server(NamedTuple):
    """One that runs."""

    name: str
    url: str
    pid: int
    log: Path

    def told(self, what: str) -> list[float]:
        """When it said so."""
        lines = (line.split() for line in self.log.read_text(errors="replace").splitlines())
        return [float(words[1]) for words in lines if len(words) == 2 and words[0] == what]

    def cpu_s(self) -> float:
        """User and system time of all its threads."""
        fields = Path(f"/proc/{self.pid}/stat").read_text().rpartition(")")[2].split()
        return (int(fields[11]) + int(fields[12])) / os.sysconf("SC_CLK_TCK")


class Load(NamedTuple):
    """What so many peers cost, and how they fared. Times in milliseconds."""

    server: str
    peers: int
    cpu_percent_per_peer: float
    connect_p50: float | None
    connect_p95: float | None
    heard_p50: float | None
    """From a caller's packet to its sound in the server, and the worst of it."""
    heard_p95: float | None
    late_p50: float | None
    late_p99: float | None
    """How much later than the earliest of its stream a packet comes, by the timestamps."""
    lost: int
    messages: int
    callers_late_ms: float
    load: float
    """Of the machine, over the last minute."""

    @property
    def holds(self) -> bool:
        return self.late_p99 is not None and self.late_p99 <= LATE_MS_MAX and not self.lost and self.messages > 0


class Interruptions(NamedTuple):
    """From the start of the caller's speech to silence on the wire, and our part of it: after the decision."""

    times: int
    whole_p50: float | None
    whole_p95: float | None
    ours_p50: float | None
    ours_max: float | None
    load: float


def main() -> int:
    parser = argparse.ArgumentParser(description="Measure WebRTC calls of Parley beside plain aiortc.")
    parser.add_argument(
        "--peers", default="1,15,30,60", help="how many at once, with commas; aiortc stops where it fails"
    )
    parser.add_argument("--seconds", type=float, default=10.0, help="how long each is measured")
    parser.add_argument("--json", type=Path, help="also write everything there")
    parser.add_argument(
        "--rt", action="store_true", help="real-time priority (root): keeps others out of the latencies"
    )
    parser.add_argument("--core-srv", default="1")
    parser.add_argument("--core-gen", default="0")
    args = parser.parse_args()
    os.sched_setaffinity(0, {int(args.core_gen)})
    if args.rt:  # servers inherit it
        os.sched_setscheduler(0, os.SCHED_RR, os.sched_param(REALTIME_PRIORITY))
    counts = [int(count) for count in args.peers.split(",")]
    with tempfile.TemporaryDirectory() as folder:
        loads = [load for name in ("parley", "aiortc") for load in ramp(name, counts, args, Path(folder))]
        with server("parley", Path(folder), args.core_srv) as running:
            barge = uvloop.run(interrupted(running))
    if not loads or loads[0].server != "parley":
        raise SystemExit("Not one caller got through to Parley: is the machine this busy?")
    figures = list(summary(loads, barge))
    print("\n".join(("", *table(loads), "", *rendered(figures))))
    if args.json:
        results = {"loads": loads, "interruptions": barge, "figures": figures}
        args.json.write_text(json.dumps({name: plain(value) for name, value in results.items()}, indent=1))
    return 0 if all(figure.reached for figure in figures) else 1


def ramp(name: str, counts: list[int], args: argparse.Namespace, folder: Path) -> Iterator[Load]:
    """More and more peers, until the callers do not get through any more; of aiortc, until it does not hold."""
    for peers in counts:
        with server(name, folder, args.core_srv) as running:
            try:
                load = uvloop.run(measured(running, peers, args.seconds))
            except (TimeoutError, ConnectionError, httpx.HTTPError) as error:
                print(f"{name}, {peers} peers: not connected ({type(error).__name__})", file=sys.stderr)
                return
        print(told(load), file=sys.stderr)
        yield load
        if name == "aiortc" and not load.holds:
            return


def plain(value: Any) -> Any:
    return [each._asdict() for each in value] if isinstance(value, list) else value._asdict()


def told(load: Load) -> str:
    return "  ".join(f"{name} {shown(value)}" for name, value in load._asdict().items())


def shown(value: object) -> str:
    return "-" if value is None else f"{value:.3g}" if isinstance(value, float) else str(value)


# ---- the report


def table(loads: list[Load]) -> Iterator[str]:
    columns = [name.replace("_", " ") for name in Load._fields]
    yield f"| {' | '.join(columns)} |"
    yield "|" + " --- |" * len(columns)
    for load in loads:
        yield f"| {' | '.join(shown(value) for value in load)} |"


def summary(loads: list[Load], barge: Interruptions) -> Iterator[Figure]:
    """The goals, with aiortc in the column of the floor."""
    ours, theirs = ([load for load in loads if load.server == name] for name in ("parley", "aiortc"))
    best, other = most(ours) or ours[0], most(theirs)
    held, other_held = best.peers, other and other.peers
    by_cpu, other_by_cpu = (each and 100 / each.cpu_percent_per_peer for each in (best, other))
    yield Figure("peers that hold on one core, of those tried", held, 60, "peers", other_held, more_is_better=True)
    yield Figure("peers a core, by the CPU of these", by_cpu, 60, "peers", other_by_cpu, more_is_better=True)
    yield Figure("connection, p50", best.connect_p50, 500, "ms", other and other.connect_p50)
    yield Figure("connection, p95", best.connect_p95, 1_000, "ms", other and other.connect_p95)
    yield Figure("caller's packet to its sound, p50", best.heard_p50, 20, "ms", other and other.heard_p50)
    yield Figure("our packets' lateness, p50", best.late_p50, 20, "ms", other and other.late_p50)
    yield Figure("our packets' lateness, p99", best.late_p99, LATE_MS_MAX, "ms", other and other.late_p99)
    yield Figure("interruption: speech to silence on the wire, p50", barge.whole_p50, 150, "ms")
    yield Figure("the same, after the detector's decision, worst", barge.ours_max, 40, "ms")


def most(loads: list[Load]) -> Load | None:
    """The one with most peers that holds."""
    return max((load for load in loads if load.holds), key=lambda load: load.peers, default=None)


# ---- measuring


async def measured(server: Server, peers: int, seconds: float) -> Load:
    """So many peers, who speak and listen all the time. The first one's speech is silence with bursts."""
    async with crowded(server, peers, TALKING) as (crowd, connecting):
        probe = crowd.callers[0]
        crowd.scripts[probe] = []
        await asyncio.sleep(SETTLE_S)
        crowd.late_s, before = 0.0, sum(caller.messages for caller in crowd.callers)
        began, cpu_s = time.monotonic(), server.cpu_s()
        for caller in crowd.callers:
            caller.timing = True
        bursts = []
        while time.monotonic() - began < seconds:
            crowd.sent_at.pop(probe, None)
            crowd.scripts[probe] = burst()
            await asyncio.sleep(BURST_EVERY_S)
            bursts += crowd.sent_at.get(probe, [])[:1]
        took_s, cpu_s = time.monotonic() - began, server.cpu_s() - cpu_s
        for caller in crowd.callers:
            caller.timing = False
        late = [late_ms for caller in crowd.callers for late_ms in lateness_ms(caller)]
        messages = sum(caller.messages for caller in crowd.callers) - before
        callers_late_ms = crowd.late_s * 1_000
    heard = [(at - sent) * 1_000 for sent, at in paired(bursts, server.told("heard"), HEARD_LATE_S)]
    return Load(
        server=server.name,
        peers=peers,
        cpu_percent_per_peer=100 * cpu_s / took_s / peers,
        connect_p50=percentile([1_000 * each for each in connecting], 50),
        connect_p95=percentile([1_000 * each for each in connecting], 95),
        heard_p50=percentile(heard, 50),
        heard_p95=percentile(heard, 95),
        late_p50=percentile(late, 50),
        late_p99=percentile(late, 99),
        lost=sum(missing(caller) for caller in crowd.callers),
        messages=messages,
        callers_late_ms=callers_late_ms,
        load=os.getloadavg()[0],
    )


async def interrupted(server: Server) -> Interruptions:
    """One caller, who speaks up again and again while it is spoken to."""
    sound = recordings()[1].pcm
    whole, ours, stopped = [], [], []
    async with crowded(server, 1, LISTENING) as (crowd, _):
        (caller,) = crowd.callers
        crowd.chatty = False  # what it says empties the input
        crowd.scripts[caller] = []
        for number in range(INTERRUPTIONS):
            onset = round(ONSETS_S[number % len(ONSETS_S)] * HOUSE_RATE_HZ) * 2
            await asyncio.wait_for(caller.spoke.wait(), ANSWER_LATE_S)
            await asyncio.sleep(1.5)
            caller.spoke.clear()
            crowd.sent_at.pop(caller, None)
            crowd.scripts[caller] = encoded(at_48k(sound[onset : onset + 2 * HOUSE_RATE_HZ]))
            stopped.append((await silent(caller), crowd.sent_at[caller][0] - SLICE_S))
    decided = server.told("decided")[-INTERRUPTIONS:]
    for (silent_at, began), decision in zip(stopped, decided, strict=True):
        whole.append((silent_at - began) * 1_000)
        ours.append((silent_at - decision) * 1_000)
    return Interruptions(
        times=len(whole),
        whole_p50=percentile(whole, 50),
        whole_p95=percentile(whole, 95),
        ours_p50=percentile(ours, 50),
        ours_max=percentile(ours, 100),
        load=os.getloadavg()[0],
    )


async def silent(caller: Caller) -> float:
    """When the first packet of silence came, for ten of them."""
    caller.came.clear()
    caller.timing = True
    while True:
        await asyncio.sleep(SLICE_S)
        sizes = [came.size <= SILENT_BYTES for came in caller.came]
        for at in range(len(sizes) - 10):
            if all(sizes[at : at + 10]):
                caller.timing = False
                return caller.came[at].at


@asynccontextmanager
async def crowded(server: Server, peers: int, session: dict[str, Any]) -> AsyncIterator[tuple[Crowd, list[float]]]:
    """So many connected callers who speak, and how long each took to connect."""
    crowd, connecting = Crowd(encoded(at_48k(recordings()[1].pcm))), []
    crowd.start()
    try:
        offered = session if server.name == "parley" else None
        first = Caller()  # what is loaded for the first call of a process is not measured
        await first.connect(server.url, KEY, offered)
        await first.close()
        for _ in range(peers):
            caller = Caller()
            connecting.append(await caller.connect(server.url, KEY, offered))
            crowd.callers.append(caller)
        if server.name == "parley":
            for caller in crowd.callers:
                caller.say("response.create")
                await asyncio.wait_for(caller.spoke.wait(), ANSWER_LATE_S)
        yield crowd, connecting
    finally:
        await crowd.stop()


def burst() -> list[bytes]:
    """Two packets that are loud."""
    tone = 12_000 * np.sin(np.arange(2 * TICKS) * 2 * np.pi * 440 / RATE_HZ)
    return encoded(tone.astype("<i2").tobytes() + bytes(2 * TICKS))


def at_48k(pcm: bytes) -> bytes:
    """House sound at twice its rate; linear interpolation is good enough for a caller."""
    samples = np.frombuffer(pcm, "<i2").astype(np.float64)
    return np.interp(np.arange(2 * samples.size) / 2, np.arange(samples.size), samples).astype("<i2").tobytes()


def lateness_ms(caller: Caller) -> list[float]:
    """Of each packet, beside the earliest of the stream."""
    if not caller.came:
        return []
    times = np.array([came.at for came in caller.came])
    late = times - unwrapped([came.timestamp for came in caller.came], rtp.TIMESTAMPS) / RATE_HZ
    return [1_000 * float(each) for each in late - late.min()]


def missing(caller: Caller) -> int:
    """Packets that never came; one for a caller who was sent nothing at all."""
    if not caller.came:
        return 1
    sequences = unwrapped([came.sequence for came in caller.came], rtp.SEQUENCES)
    return int(sequences.max() - sequences.min() + 1 - sequences.size)


def unwrapped(counted: list[int], period: int) -> NDArray[np.float64]:
    return np.unwrap(np.array(counted, dtype=np.float64), period=period)


def paired(sent: list[float], heard: list[float], within_s: float) -> list[tuple[float, float]]:
    """Each with the first of the others that follows it soon enough."""
    found = ((each, next((at for at in heard if each <= at <= each + within_s), None)) for each in sent)
    return [(each, at) for each, at in found if at is not None]


def percentile(values: list[float], percent: float) -> float | None:
    return float(np.percentile(values, percent)) if values else None


# ---- running things


@contextmanager
def server(name: str, folder: Path, core: str) -> Iterator[Server]:
    port, speech, log = free_port(), folder / "speech.raw", folder / f"{name}.log"
    pcm = recordings()[1].pcm
    speech.write_bytes(at_48k(pcm))
    env = clean_environment() | {"PYTHONPATH": str(ROOT)}
    with ExitStack() as stack:
        if name == "parley":
            backends = stack.enter_context(running_backends())
            backends.words = ["A long story."]
            backends.fake.speech = (pcm * 2)[: ANSWER_S * 2 * HOUSE_RATE_HZ]
            backends.fake.speech_chunk_bytes = 48_000
            home = stack.enter_context(tempfile.TemporaryDirectory())
            env |= backends.env() | {
                "PARLEY_HOME": home, "PARLEY_PORT": str(port), "PARLEY_API_KEY": KEY, "PARLEY_LOG_LEVEL": "warning",
            }  # fmt: skip
        output = stack.enter_context(log.open("wb"))
        command = ["taskset", "-c", core, sys.executable, "-m", "bench.rtc_servers", name, str(port), str(speech)]
        process = subprocess.Popen(command, env=env, cwd=ROOT, stdout=output, stderr=subprocess.STDOUT)
        try:
            await_ready(f"http://127.0.0.1:{port}")
            yield Server(name, f"http://127.0.0.1:{port}", process.pid, log)
        finally:
            process.terminate()
            process.wait()


if __name__ == "__main__":
    sys.exit(main())
