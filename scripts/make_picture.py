#!/usr/bin/env python3
"""Makes docs/images/talk.svg: a real server, a real `parley talk` in a real terminal, and what it printed.

The question is spoken by the embedded voice. The times in the picture are those of this run on this machine.
"""

import asyncio
import fcntl
import os
import pty
import re
import select
import struct
import subprocess
import sys
import tempfile
import termios
import time
from pathlib import Path
from typing import Final

ROOT: Final = Path(__file__).resolve().parent.parent
sys.path.insert(0, str(ROOT))

from rich.console import Console  # noqa: E402
from rich.text import Text  # noqa: E402

from tests.conftest import Server, clean_environment, running_server  # noqa: E402
from tests.spoken import recording  # noqa: E402

QUESTIONS: Final = ("What is seven plus five?", "How many minutes are there in three hours?")
COLUMNS: Final = 80
RUN_S_MAX: Final = 60.0


def main() -> None:
    with tempfile.TemporaryDirectory() as folder:
        files = [Path(folder) / f"question-{n}.wav" for n, _ in enumerate(QUESTIONS, 1)]
        for file, question in zip(files, QUESTIONS, strict=True):
            asyncio.run(recording(file, question))
        home = Path(folder) / "home"
        home.mkdir()
        with running_server(home) as server:
            talk(server, files[0])  # the first turn of a process loads what later ones have
            printed = talk(server, *files)
    names = " ".join(f"--wav {file.name}" for file in files)
    draw(f"$ parley talk {names}\n\n{printed.strip()}\n", ROOT / "docs" / "images" / "talk.svg")


def talk(server: Server, *files: Path) -> str:
    """What `parley talk` prints on a terminal, colours included."""
    command = [sys.executable, "-m", "parley", "talk"]
    for file in files:
        command += ["--wav", str(file)]
    environment = clean_environment(server.home) | {"PARLEY_API_KEY": server.key, "TERM": "xterm-256color"}
    environment["PARLEY_PORT"] = server.url.rpartition(":")[2]
    del environment["NO_COLOR"]
    screen, terminal = pty.openpty()
    fcntl.ioctl(terminal, termios.TIOCSWINSZ, struct.pack("HHHH", 40, COLUMNS, 0, 0))
    with subprocess.Popen(command, env=environment, cwd=ROOT, stdin=terminal, stdout=terminal) as process:
        os.close(terminal)
        printed = read_all(screen)
    if process.returncode:
        raise SystemExit(f"parley talk ended with {process.returncode}:\n{printed}")
    return printed.replace("\r\n", "\n")


def read_all(screen: int) -> str:
    """Until the program at the other end has closed the terminal."""
    printed = b""
    deadline = time.monotonic() + RUN_S_MAX
    while time.monotonic() < deadline:
        if not select.select([screen], [], [], 1)[0]:
            continue
        try:
            printed += os.read(screen, 65_536)
        except OSError:
            break
    os.close(screen)
    return printed.decode()


def draw(text: str, path: Path) -> None:
    with open(os.devnull, "w") as nowhere:
        console = Console(record=True, width=COLUMNS + 2, file=nowhere, force_terminal=True, color_system="truecolor")
        console.print(Text.from_ansi(text))
    path.parent.mkdir(parents=True, exist_ok=True)
    console.save_svg(str(path), title="parley talk")
    svg = path.read_text()
    # The picture must not ask anybody for a font: the reader's own monospace one will do.
    svg = re.sub(r"\s*<!-- Generated.*?-->", "", svg)
    svg = re.sub(r"@font-face \{.*?\}\s*", "", svg, flags=re.DOTALL).replace("Fira Code", "ui-monospace")
    # Spaces place the bars; not every viewer keeps them unasked.
    path.write_text(svg.replace("<svg ", '<svg xml:space="preserve" ', 1))
    print(f"{path.relative_to(ROOT)}: written")


if __name__ == "__main__":
    main()
