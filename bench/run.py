#!/usr/bin/env python3
"""`make bench`: measures Parley beside the barest server that does the same, and prints ratios as Markdown.

The load generator, the fake models and the floors are the bench tools, which are not part of this repository: a folder
with `bench.py`, `rtload.py` and `upstream.py`, looked for in ../shared/bench, or wherever BENCH_TOOLS says.

Ratios of one run count. Absolute figures belong to one machine on one day; `--rt` (root) keeps its other users out of
the latencies. Which figure is wanted, and why, is in docs/performance.md.
"""

import argparse
import json
import os
import shlex
import statistics
import subprocess
import sys
import tempfile
import time
import urllib.error
import urllib.request
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import Any, Final, NamedTuple

ROOT: Final = Path(__file__).resolve().parent.parent
TOOLS: Final = Path(os.environ.get("BENCH_TOOLS", ROOT.parent / "shared" / "bench"))
KEY: Final = "sk-parley-bench"
QUESTION: Final = "Could you tell me what seven plus five is, please?"
PORT: Final = 29_100
READY_S_MAX: Final = 60.0
SILENCE_MS: Final = 500
SILERO: Final = {
    "audio": {"input": {"turn_detection": {"type": "server_vad", "threshold": 1.0, "create_response": False}}}
}
"""The Ear judges every frame, and no frame begins a turn: this measures listening, not transcription."""

Results = dict[str, dict[str, list[dict[str, Any]]]]
"""What bench.py writes with --json: suite -> target -> one result a round."""


class Figure(NamedTuple):
    """One line of the report. `goal` is what must be reached, in the unit of `value`."""

    what: str
    value: float | None
    goal: float
    unit: str
    floor: float | None = None
    more_is_better: bool = False

    @property
    def reached(self) -> bool:
        return self.value is not None and (self.value >= self.goal if self.more_is_better else self.value <= self.goal)


class Options(NamedTuple):
    rounds: int
    rt: bool
    server_core: str
    load_core: str


def main() -> int:
    parser = argparse.ArgumentParser(description="Measure Parley beside the floor.")
    parser.add_argument("--only", choices=sorted(PARTS), action="append", help="only this part; may be repeated")
    parser.add_argument("--rounds", type=int, default=3)
    parser.add_argument("--rt", action="store_true", help="real-time priority (root)")
    parser.add_argument("--out", type=Path, help="also write the report there")
    parser.add_argument("--core-srv", default="1")
    parser.add_argument("--core-gen", default="0")
    args = parser.parse_args()
    if not (TOOLS / "bench.py").exists():
        print(f"There are no bench tools in {TOOLS}; name their folder in BENCH_TOOLS.", file=sys.stderr)
        return 2
    options = Options(args.rounds, args.rt, args.core_srv, args.core_gen)
    with tempfile.TemporaryDirectory() as folder:
        speech = Path(folder) / "question.wav"
        make_speech(speech)
        figures = [figure for name in args.only or PARTS for figure in PARTS[name](options, speech)]
    report = "\n".join(rendered(figures)) + "\n"
    print("\n" + report)
    if args.out:
        args.out.write_text(report)
    return 0 if all(figure.reached for figure in figures) else 1


def rendered(figures: list[Figure]) -> Iterator[str]:
    yield "| what | Parley | wanted | floor | of the floor | |"
    yield "| --- | --- | --- | --- | --- | --- |"
    for f in figures:
        value = "-" if f.value is None else f"{f.value:.3g} {f.unit}"
        floor, ratio = ("", "")
        if f.floor and f.value is not None:
            floor, ratio = f"{f.floor:.3g} {f.unit}", f"{f.value / f.floor:.2f} x"
        wanted = f"{'≥' if f.more_is_better else '≤'} {f.goal:g} {f.unit}"
        yield f"| {f.what} | {value} | {wanted} | {floor} | {ratio} | {'' if f.reached else '**missed**'} |"


# ---- the parts


def cascade(options: Options, speech: Path) -> list[Figure]:
    """Our own time between the models, which are fakes with a set time."""
    results = compare(options, "voice", ["--wav", str(speech), "--prime"])
    parley, floor = results["voice-1"]["parley"], results["voice-1"]["cascade"]
    hops, eos = ("voice_ms", "hop_total_after_vad"), ("voice_ms", "hop_1_eos_to_stt_less_silence")
    return [
        Figure("between the models, p50", median(parley, *hops, "p50"), 6, "ms", median(floor, *hops, "p50")),
        Figure("between the models, p95", median(parley, *hops, "p95"), 12, "ms", median(floor, *hops, "p95")),
        Figure(
            "end of speech to transcription, p50", median(parley, *eos, "p50"), 60, "ms", median(floor, *eos, "p50")
        ),
    ]


def crowd(options: Options, speech: Path) -> list[Figure]:
    """Twenty-five conversations at once on one core."""
    more = ["--wav", str(speech), "--voice-sessions", "25", "--voice-interval", "10", "--voice-turns", "75", "--prime"]
    results = compare(options, "voice", more)
    parley, floor = results["voice-25"]["parley"], results["voice-25"]["cascade"]
    hops = ("voice_ms", "hop_total_after_vad", "p95")
    return [
        Figure("25 conversations, between the models, p95", median(parley, *hops), 20, "ms", median(floor, *hops)),
        Figure("25 conversations, late audio", median(parley, "underruns"), 0, "gaps", median(floor, "underruns")),
    ]


def barge(options: Options, speech: Path) -> list[Figure]:
    more = ["--wav", str(speech), "--prime", "--voice-turns", "10", "--voice-interval", "10"]
    results = compare(options, "barge", [*more, "--upstream-args", "--tts-word-ms 400 --tts-speed 2"])
    stamp = ("voice_ms", "barge_speech_to_cancelled", "p50")
    parley, floor = results["barge-1"]["parley"], results["barge-1"]["cascade"]
    return [Figure("interruption to cancelled answer, p50", median(parley, *stamp), 100, "ms", median(floor, *stamp))]


def listening(options: Options, speech: Path) -> list[Figure]:
    """Silero on for every session; nobody is answered. The floor has no detector: its column is what hearing costs."""
    session = json.dumps(SILERO, separators=(",", ":"))
    more = ["--sessions", "50,150", "--extra", f"parley=--session {shlex.quote(session)}"]
    results = compare(options, "append", more)
    cpu, probe = ("server", "cpu_ms_per_session_s"), ("probe_ms_from_send", "p99")
    fifty, floor = results["append-50"]["parley"], results["append-50"]["cascade"]
    many = results["append-150"]["parley"]
    return [
        Figure("listening, 50 sessions, CPU per session-second", median(fifty, *cpu), 6, "ms", median(floor, *cpu)),
        Figure("listening, 150 sessions on one core, probe p99", median(many, *probe), 50, "ms"),
    ]


def memory(options: Options, speech: Path) -> list[Figure]:
    results = compare(options, "memory", ["--memory-sessions", "100"])
    parley, floor = results["memory"]["parley"], results["memory"]["cascade"]
    size, setup = ("server", "kb_per_session"), ("setup_ms", "p50")
    return [
        Figure("memory per session", median(parley, *size), 1_024, "KB", median(floor, *size)),
        Figure("session set-up, p50", median(parley, *setup), 5, "ms", median(floor, *setup)),
    ]


def start(options: Options, speech: Path) -> list[Figure]:
    """From the command to /ready, and what the idle process then holds (proportional set size)."""
    nowhere = {f"PARLEY_{part}_URL": "http://127.0.0.1:9/v1" for part in ("LLM", "STT", "TTS")}
    bare = [started(options, nowhere) for _ in range(options.rounds)]
    full = [started(options, {}) for _ in range(options.rounds)]
    return [
        Figure("ready, without embedded models", statistics.median(seconds for seconds, _ in bare), 1.5, "s"),
        Figure("ready, with embedded models", statistics.median(seconds for seconds, _ in full), 3, "s"),
        Figure("idle process, without embedded models", statistics.median(size for _, size in bare), 80, "MB"),
    ]


def embedded(options: Options, speech: Path) -> list[Figure]:
    """A whole turn with the embedded models: end of speech to the first sound."""
    profile = ["--profile", "voice", "--sessions", "1", "--silence-ms", str(SILENCE_MS), "--wav", str(speech)]
    pace = ["--turn-interval", "8", "--warmup", "9", "--duration", str(64 * options.rounds), "--timeout", "40"]
    where = ["--pid", "auto", "--pin", options.load_core, *(["--rt"] if options.rt else [])]
    with server(options, {}) as url:
        address = ["--url", f"{url.replace('http', 'ws')}/v1/realtime", "--api-key", KEY, "--model", "gpt-realtime"]
        command = [sys.executable, str(TOOLS / "rtload.py"), *address, *profile, *pace, *where, "--json", "-"]
        printed = subprocess.run(command, capture_output=True, text=True, check=False).stdout
    result = json.loads(printed.splitlines()[-1])
    note_errors("embedded", result)
    p50 = get(result, "voice_ms", "eos_to_first_audio", "p50")
    return [Figure("embedded turn, end of speech to first sound, p50", p50, 760, "ms")]


def webrtc(options: Options, speech: Path) -> list[Figure]:
    """Calls beside plain aiortc; its column is the floor's. `python -m bench.rtc` alone prints more."""
    with tempfile.TemporaryDirectory() as folder:
        out = Path(folder) / "results.json"
        where = ["--core-srv", options.server_core, "--core-gen", options.load_core, *(["--rt"] if options.rt else [])]
        subprocess.run([sys.executable, "-m", "bench.rtc", *where, "--json", str(out)], cwd=ROOT, check=False)
        if not out.exists():
            raise SystemExit("The bench failed in the suite webrtc.")
        return [Figure(**figure) for figure in json.loads(out.read_text())["figures"]]


PARTS: Final[dict[str, Callable[[Options, Path], list[Figure]]]] = {
    "cascade": cascade,
    "crowd": crowd,
    "barge": barge,
    "listening": listening,
    "memory": memory,
    "start": start,
    "embedded": embedded,
    "webrtc": webrtc,
}


# ---- running things


def compare(options: Options, suite: str, more: list[str]) -> Results:
    """One call of bench.py with the floor and Parley side by side, both in front of the same fake models."""
    with tempfile.TemporaryDirectory() as folder:
        out = Path(folder) / "results.json"
        backends = " ".join(f"PARLEY_{part}_URL={{upstream_http}}/v1" for part in ("LLM", "STT", "TTS"))
        parley = f"env PYTHONPATH={ROOT} PARLEY_HOME={folder} PARLEY_API_KEY={KEY} PARLEY_LOG_LEVEL=warning {backends}"
        command = [
            sys.executable, str(TOOLS / "bench.py"), "--targets", "cascade,parley", "--suite", suite,
            "--cmd", f"parley={parley} {sys.executable} -m parley serve --port {{port}}",
            "--rounds", str(options.rounds), "--api-key", KEY, "--model", "gpt-realtime", "--port", str(PORT),
            "--core-srv", options.server_core, "--core-gen", options.load_core, "--logs", folder, "--json", str(out),
            *(["--rt"] if options.rt else []), *more,
        ]  # fmt: skip
        if subprocess.run(command, env=clean_environment(), check=False).returncode or not out.exists():
            raise SystemExit(f"The bench failed in the suite {suite}.")
        results: Results = json.loads(out.read_text())
    for name, targets in results.items():
        for result in targets["parley"]:
            note_errors(name, result)
    return results


def note_errors(name: str, result: dict[str, Any]) -> None:
    if result.get("errors"):
        print(f"{name}: {result['errors']}", file=sys.stderr)
    if result.get("generator_limited"):
        print(f"{name}: the load generator was the limit; the latencies are not the server's", file=sys.stderr)


def started(options: Options, env: dict[str, str]) -> tuple[float, float]:
    began = time.monotonic()
    with server(options, env) as url:
        seconds = time.monotonic() - began
        return seconds, proportional_mb(int(url.rpartition(":")[2]))


@contextmanager
def server(options: Options, env: dict[str, str]) -> Iterator[str]:
    """A Parley of its own, ready; its address."""
    port = PORT + 90
    url = f"http://127.0.0.1:{port}"
    with tempfile.TemporaryDirectory() as home:
        settings = {"PARLEY_HOME": home, "PARLEY_PORT": str(port), "PARLEY_API_KEY": KEY, "PARLEY_LOG_LEVEL": "warning"}
        process = subprocess.Popen(
            ["taskset", "-c", options.server_core, sys.executable, "-m", "parley", "serve"],
            env=clean_environment() | {"PYTHONPATH": str(ROOT)} | settings | env,
            stdout=subprocess.DEVNULL,
        )
        try:
            await_ready(url)
            yield url
        finally:
            process.terminate()
            process.wait()


def await_ready(url: str) -> None:
    deadline = time.monotonic() + READY_S_MAX
    while time.monotonic() < deadline:
        with suppress(urllib.error.URLError, OSError), urllib.request.urlopen(f"{url}/ready", timeout=1):
            return
        time.sleep(0.01)
    raise SystemExit(f"Parley was not ready in {READY_S_MAX:.0f} s.")


def clean_environment() -> dict[str, str]:
    return {name: value for name, value in os.environ.items() if not name.startswith("PARLEY_")}


def proportional_mb(port: int) -> float:
    """Memory of the process that listens there, pages that it shares counted in part (as rtload.py does)."""
    sys.path.insert(0, str(TOOLS))
    import rtload  # type: ignore[import-not-found]

    return float(rtload.rss_kb([rtload.listener_pid(port)])) / 1_024


def make_speech(path: Path) -> None:
    """The question, spoken by the embedded voice."""
    sys.path.insert(0, str(ROOT))
    import asyncio

    from tests.spoken import recording

    asyncio.run(recording(path, QUESTION))


def get(result: dict[str, Any], *path: str) -> float | None:
    value: Any = result
    for name in path:
        value = value.get(name) if isinstance(value, dict) else None
    return None if value is None else float(value)


def median(results: list[dict[str, Any]], *path: str) -> float | None:
    values = [value for value in (get(result, *path) for result in results) if value is not None]
    return statistics.median(values) if values else None


if __name__ == "__main__":
    sys.exit(main())
