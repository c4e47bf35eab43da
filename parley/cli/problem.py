"""How a command fails: one line, the next step, and a status that a script can act on."""

from enum import IntEnum


class Status(IntEnum):
    """Exit statuses of every command (docs/command-line.md)."""

    OK = 0
    FAILED = 1
    USAGE = 2
    CONFIG = 3
    NETWORK = 4
    AUTH = 5
    INTERRUPTED = 130


class Problem(Exception):
    """A command cannot go on. `message` says what is wrong, `step` what to do about it."""

    def __init__(self, message: str, step: str = "", status: Status = Status.FAILED) -> None:
        super().__init__(message)
        self.message = message
        self.step = step
        self.status = status

    def __str__(self) -> str:
        return " ".join(text if text[-1] in ".?!" else f"{text}." for text in (self.message, self.step) if text)
