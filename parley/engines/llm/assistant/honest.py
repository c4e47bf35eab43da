"""What it says when it cannot help: what it is, what it heard, and what to do about it."""

from typing import Final

from parley.engines.base import Image
from parley.engines.llm.assistant import words
from parley.engines.llm.assistant.dialogue import Dialogue, Reply

HEARD_CHARS_MAX: Final = 80


def inaudible(dialogue: Dialogue) -> Reply | None:
    """No words came."""
    if dialogue.said:
        return None
    if any(isinstance(part, Image) for message in dialogue.prompt.messages[-1:] for part in message.content):
        return Reply("I received your image, but I can't see: for that, connect a language model.")
    return Reply("Sorry, I didn't catch that.")


def cannot_help(dialogue: Dialogue) -> Reply:
    """The end of every search."""
    heard = words.speakable(dialogue.line)
    heard = heard if len(heard) <= HEARD_CHARS_MAX else heard[:HEARD_CHARS_MAX].rsplit(" ", 1)[0] + "…"
    connect = (
        "To connect one, see Parley's page about backends."
        if dialogue.prompt.spoken
        else "To connect one, set PARLEY_LLM_URL."
    )
    regret = dialogue.pick(
        (
            "I don't know. I'm Parley's embedded assistant, not a language model.",
            "I can't answer that. I'm only Parley's embedded assistant, without a language model.",
            "That is beyond me. I'm Parley's embedded assistant, and no language model is connected.",
        )
    )
    return Reply(f"{regret} I heard: {words.sentence(heard)} {connect}", brief="I don't know.")
