#!/usr/bin/env python3
"""Sets up what `make` needs: ``setup.py run``, ``setup.py dev`` or ``setup.py beta``. Standard library only.

Everything is installed from requirements/*.txt, where each file of each package is known by its hash. The one part that
may be missing afterwards is the embedded speech: without a C compiler, or on a system that its wheel does not cover,
Parley still runs, falls back to what it finds, and `parley doctor` says what is missing.
"""

import argparse
import os
import re
import shutil
import subprocess
import sys
import sysconfig
import tempfile
import time
from collections.abc import Iterator
from pathlib import Path

ROOT = Path(__file__).resolve().parent.parent
LOCKS = ROOT / "requirements"
VENVS = {"run": ROOT / ".venv", "dev": ROOT / ".venv", "beta": ROOT / ".venv-beta"}
LOG_LINES_SHOWN = 15
APT = ("apt-get", "-qq", "-o", "DPkg::Lock::Timeout=120")


class SetupError(Exception):
    """Setting up cannot go on; the message says what to do."""


def main() -> int:
    parser = argparse.ArgumentParser(description="Set up a virtual environment for Parley.")
    parser.add_argument("what", choices=sorted(VENVS))
    what = parser.parse_args().what
    started = time.monotonic()
    venv = VENVS[what]
    try:
        make_venv(venv)
        install(venv, LOCKS / f"{what}.txt")
        if what != "beta":
            install_speech(venv)
            run([*installer(venv), "--no-deps", "--no-build-isolation", "--editable", str(ROOT)])
            build_console(venv, tests=what == "dev")
    except SetupError as error:
        print(f"setup: {error}", file=sys.stderr)
        return 1
    for stamp in {"dev": ("run", "dev")}.get(what, (what,)):
        (venv / f".{stamp}").touch()
    say(f"{venv.name} is ready ({time.monotonic() - started:.0f} s)")
    return 0


def say(message: str) -> None:
    print(f"setup: {message}", flush=True)


def make_venv(venv: Path) -> None:
    """Makes the environment, or keeps one whose Python still starts."""
    if python_starts(venv):
        return
    say(f"making {venv.name} with Python {sys.version.split()[0]}")
    shutil.rmtree(venv, ignore_errors=True)
    if uv := shutil.which("uv"):
        run([uv, "venv", "--quiet", "--python", sys.executable, str(venv)])
        return
    command = [sys.executable, "-m", "venv", str(venv)]
    if quietly(command):
        return
    apt_install(f"python{sys.version_info.major}.{sys.version_info.minor}-venv")
    shutil.rmtree(venv, ignore_errors=True)
    if not quietly(command):
        raise SetupError(
            "this Python cannot make virtual environments. Debian, Ubuntu: apt install python3-venv; or install uv."
        )


def python_starts(venv: Path) -> bool:
    python = venv / "bin" / "python"
    return python.exists() and quietly([str(python), "-c", "import sys; sys.exit(sys.version_info < (3, 11))"])


def installer(venv: Path) -> list[str]:
    """The command that installs into `venv`: uv where there is one, else the environment's own pip."""
    python = str(venv / "bin" / "python")
    if uv := shutil.which("uv"):
        return [uv, "pip", "install", "--python", python]
    return [python, "-m", "pip", "install", "--no-input", "--progress-bar", "off"]


def install(venv: Path, lock: Path) -> None:
    total = len(re.findall(r"^\w[^\s;]*==", lock.read_text(), re.MULTILINE))
    say(f"installing {lock.relative_to(ROOT)} (at most {total} packages; the first time this downloads about 150 MB)")
    run([*installer(venv), "--require-hashes", "-r", str(lock)], count_to=total)


def install_speech(venv: Path) -> None:
    """Hearing and speaking without any server. Each may fail alone; then Parley does without and says so."""
    for package, entry in speech_entries():
        if package == "ttspico" and not have_compiler():
            say("the embedded voice is built from C, and there is no compiler; trying to install one")
            apt_install("build-essential", "python3-dev")
        with tempfile.NamedTemporaryFile("w", suffix=".txt") as lock:
            lock.write(entry)
            lock.flush()
            command = [*installer(venv), "--no-deps", "--no-build-isolation", "--require-hashes", "-r", lock.name]
            try:
                run(command)
            except SetupError as error:
                say(f"{package} could not be installed, Parley goes on without it: {error}")
                say("Debian, Ubuntu: apt install build-essential python3-dev, then run make again")


def build_console(venv: Path, *, tests: bool) -> None:
    """The pages, from their sources. Where that fails Parley does without them."""
    say("building the console (the first time this downloads about 60 MB)")
    command = [str(venv / "bin" / "python"), str(ROOT / "scripts" / "build_console.py")]
    if subprocess.run([*command, "--tests"] if tests else command, check=False).returncode:
        say("the console could not be built; everything else works without it")


def speech_entries() -> Iterator[tuple[str, str]]:
    """Each requirement of the speech lock by itself: its name, and its lines with the hashes."""
    text = (LOCKS / "speech.txt").read_text()
    for entry in re.split(r"(?m)^(?=\w)", text)[1:]:
        yield entry.partition("==")[0], entry


def have_compiler() -> bool:
    """A C compiler, and the headers of this Python."""
    compiler = shutil.which(os.environ.get("CC", "cc")) or shutil.which("gcc")
    return compiler is not None and Path(sysconfig.get_path("include"), "Python.h").exists()


def apt_install(*packages: str) -> None:
    """Installs Debian packages where that is ours to do (root, apt); otherwise does nothing."""
    if os.geteuid() != 0 or shutil.which("apt-get") is None:
        return
    say(f"apt-get install {' '.join(packages)}")
    environment = {**os.environ, "DEBIAN_FRONTEND": "noninteractive"}
    if quietly([*APT, "update"], environment):
        quietly([*APT, "install", "-y", "--no-install-recommends", *packages], environment)


def quietly(command: list[str] | tuple[str, ...], environment: dict[str, str] | None = None) -> bool:
    """Whether the command succeeds; its output is nobody's business."""
    return subprocess.run(command, capture_output=True, env=environment, check=False).returncode == 0


def run(command: list[str], count_to: int = 0) -> None:
    """Runs an installer; shows how far it is, and on failure the end of what it said. Raises `SetupError`."""
    environment = {**os.environ, "PIP_DISABLE_PIP_VERSION_CHECK": "1", "PIP_ROOT_USER_ACTION": "ignore"}
    if Path(command[0]).name == "uv":  # its own progress is good, and silent where nobody looks
        if subprocess.run(command, env=environment, check=False).returncode != 0:
            raise SetupError("uv failed; its message is above")
        return
    lines: list[str] = []
    with subprocess.Popen(
        command, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True, env=environment, cwd=ROOT
    ) as process:
        assert process.stdout is not None
        for line in process.stdout:
            lines.append(line.rstrip())
            progress(lines, count_to)
    if sys.stdout.isatty() and count_to:
        print("\r\033[K", end="", flush=True)
    if process.returncode != 0:
        print("\n".join(lines[-LOG_LINES_SHOWN:]), file=sys.stderr, flush=True)
        raise SetupError("pip failed; the end of its output is above")


def progress(lines: list[str], count_to: int) -> None:
    """One line that is rewritten for each package (on a terminal); one line for the long last step elsewhere."""
    if not count_to:
        return
    last = lines[-1].strip()
    if last.startswith("Installing collected packages"):
        say("unpacking") if not sys.stdout.isatty() else print("\r\033[Ksetup: unpacking", end="", flush=True)
    elif last.startswith("Collecting") and sys.stdout.isatty():
        done = sum(line.startswith("Collecting") for line in lines)
        print(f"\r\033[Ksetup: {done}/{count_to} {last.split()[1]}", end="", flush=True)


if __name__ == "__main__":
    sys.exit(main())
