"""What the settings make of the backends."""

from pathlib import Path

import pytest

from parley.engine_room import language_model_options
from parley.settings import Settings


@pytest.mark.parametrize(
    ("url", "field"),
    [
        ("https://api.openai.com/v1", "max_completion_tokens"),
        ("http://127.0.0.1:11434/v1", "max_tokens"),
        ("https://proxy.example/api.openai.com/v1", "max_tokens"),
        ("", "max_tokens"),
    ],
)
def test_how_the_limit_of_output_is_called(url: str, field: str) -> None:
    assert language_model_options(Settings(home=Path(), llm_url=url)).limit_field == field
