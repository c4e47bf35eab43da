"""Language models: one file or package per backend, one row each in `BACKENDS`."""

from collections.abc import Callable
from typing import Final, Literal

from parley.engines.base import Frozen, LanguageModel


class LanguageModelOptions(Frozen, frozen=True):
    """What an operator may say about the language model. A backend reads what concerns it."""

    url: str = ""
    """Base of an OpenAI-compatible API, with its `/v1`."""
    api_key: str | None = None
    model: str = ""
    """The backend's own name of the model. Empty: the name that the client asked for."""
    limit_field: Literal["max_tokens", "max_completion_tokens"] = "max_tokens"
    """How the backend spells the limit of output tokens. OpenAI's reasoning models want the longer name."""
    connect_s: float = 5.0
    first_token_s: float = 30.0
    next_token_s: float = 15.0
    seed: int = 0
    """Of the embedded assistant: the same seed and conversation give the same words."""


def _assistant(options: LanguageModelOptions) -> LanguageModel:
    from parley.engines.llm.assistant import Assistant

    return Assistant(seed=options.seed)


def _chat(options: LanguageModelOptions) -> LanguageModel:
    from parley.engines.http import Backend, Timeouts
    from parley.engines.llm.chat import NAME, Chat

    timeouts = Timeouts(
        connect_s=options.connect_s, idle_s=max(options.first_token_s, options.next_token_s), total_s=None
    )
    return Chat(Backend(options.url, name=NAME, api_key=options.api_key, timeouts=timeouts), options)


BACKENDS: Final[dict[str, Callable[[LanguageModelOptions], LanguageModel]]] = {
    "assistant": _assistant,
    "chat": _chat,
}
"""Backend name -> what makes one. Importing this table loads no backend."""
