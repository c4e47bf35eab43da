"""What a model thinks inside its answer, kept apart from what it says. Pure."""

from typing import Final


class Thoughts:
    """Takes `<think>…</think>` out of a stream of text, wherever the pieces are cut, and the blank lines around it."""

    OPEN: Final = "<think>"
    CLOSE: Final = "</think>"

    def __init__(self) -> None:
        self._held = ""
        self._thought = ""
        self._thinking = False
        self._begun = False

    def push(self, text: str) -> str:
        """The part of the text so far that is surely meant to be heard."""
        if not self._held and not self._thinking and self._begun and "<" not in text:
            return text
        self._held += text
        heard = ""
        while True:
            mark = self.CLOSE if self._thinking else self.OPEN
            before, found, after = self._held.partition(mark)
            if not found:
                break
            heard += self._passed(before)
            self._held, self._thinking = after, not self._thinking
        keep = _overlap(self._held, mark)
        rest, self._held = self._held[: len(self._held) - keep], self._held[len(self._held) - keep :]
        return heard + self._passed(rest)

    def finish(self) -> str:
        """What was held back and is no tag after all."""
        held, self._held = self._held, ""
        return self._passed(held)

    def take(self) -> str:
        """What was thought since it was last asked."""
        thought, self._thought = self._thought, ""
        return thought

    def _passed(self, text: str) -> str:
        """What is to be heard of `text`."""
        if not self._thinking:
            return self._said(text)
        self._thought += text
        return ""

    def _said(self, text: str) -> str:
        """Without the white space that some models put before the answer proper."""
        text = text if self._begun else text.lstrip()
        self._begun = self._begun or bool(text)
        return text


def _overlap(text: str, mark: str) -> int:
    """The length of the longest end of `text` that begins `mark`."""
    return next((size for size in range(min(len(text), len(mark) - 1), 0, -1) if mark.startswith(text[-size:])), 0)
