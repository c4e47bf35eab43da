"""Tokens as the o200k family counts them."""

import pytest

from parley.engines import tokens
from parley.engines.tokens import TokenCounter, estimate

KNOWN = {"": 0, "Hello world": 2, "tiktoken is great!": 6, "antidisestablishmentarianism": 6}
"""Counts as published for o200k_base."""


async def test_exact_after_loading() -> None:
    count = TokenCounter()
    await count.load()
    await count.load()
    assert count.exact
    assert {text: count(text) for text in KNOWN} == KNOWN


async def test_an_estimate_where_the_tokenizer_is_missing(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(tokens, "_open", lambda: None)
    count = TokenCounter()
    await count.load()
    assert not count.exact
    assert count("") == 0
    assert count("Hello world") == estimate("Hello world") == 3
