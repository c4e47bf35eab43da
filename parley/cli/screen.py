"""What `talk` and `say` show: the conversation as it happens, then where the time of each turn went."""

import json
import sys
from typing import Protocol

from parley.cli.turns import Turn, bars, drawn


class Screen(Protocol):
    def note(self, text: str) -> None:
        """Something beside the conversation."""
        ...

    def words(self, turn: Turn) -> None:
        """The turn's texts have grown."""
        ...

    def end(self, turn: Turn) -> None:
        """The turn is complete, or was cut short."""
        ...


class JsonLines:
    """One JSON object a turn on standard output, and nothing else."""

    def note(self, text: str) -> None:
        print(text, file=sys.stderr)

    def words(self, turn: Turn) -> None:
        pass

    def end(self, turn: Turn) -> None:
        print(json.dumps(turn.as_json()), flush=True)


class Terminal:
    """For people. Colours only where they are wanted (a terminal, no NO_COLOR)."""

    def __init__(self, *, timing: bool) -> None:
        from rich.console import Console

        self._console = Console(highlight=False, soft_wrap=True)
        self._timing = timing
        self._turn: Turn | None = None
        self._user_shown = False
        self._shown = 0
        """Characters of the answer that are on the screen."""

    def note(self, text: str) -> None:
        self._console.print(text, style="dim", markup=False)

    def words(self, turn: Turn) -> None:
        """The answer waits for the question's transcript, so that the two never stand in the wrong order."""
        if self._turn is not turn:
            self._start(turn)
        if turn.user is not None and not self._user_shown:
            self._say("you", turn.user or "(not understood)", "cyan")
            self._user_shown = True
        if self._user_shown and len(turn.assistant) > self._shown:
            if self._shown == 0:
                self._console.print("parley  ", style="bold green", end="")
            self._console.print(turn.assistant[self._shown :], end="", markup=False)
            self._shown = len(turn.assistant)

    def end(self, turn: Turn) -> None:
        if turn.user is None:
            turn.user = ""
        self.words(turn)
        if self._shown:
            self._console.print()
        if turn.status != "completed":
            self._console.print(f"        ({ending(turn)})", style="yellow", markup=False)
        if self._timing:
            self._waterfall(turn)
        self._console.print()

    def _start(self, turn: Turn) -> None:
        self._turn, self._user_shown, self._shown = turn, not turn.spoken, 0
        if not turn.spoken and turn.user:
            self._say("you", turn.user, "cyan")

    def _say(self, who: str, text: str, colour: str) -> None:
        self._console.print(f"{who:<8}", style=f"bold {colour}", end="")
        self._console.print(text, markup=False)

    def _waterfall(self, turn: Turn) -> None:
        parts = bars(turn)
        total = max((bar.end for bar in parts), default=0.0)
        for bar in parts:
            self._console.print(f"  {bar.label:>20} ", style="dim", end="")
            self._console.print(drawn(bar, total), style="magenta", end="", markup=False)
            self._console.print(f" {bar.ms:>6.0f} ms", style="dim")
        if turn.answer_ms is not None:
            since = "your last word" if turn.spoken else "your question"
            what = "first sound" if "sound" in turn.stamps else "first word"
            self._console.print(f"  {f'{since} to {what}':>65} {turn.answer_ms:>6.0f} ms", style="bold")


def ending(turn: Turn) -> str:
    """Why an answer is not whole."""
    if turn.status == "cancelled":
        return "interrupted"
    return f"{turn.status}: {turn.reason}" if turn.reason else turn.status or "no answer"
