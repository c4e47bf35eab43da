"""The official SDKs, the current one and the last with a beta, through two hops: a front that relays to a Parley with the
embedded engine, once in each dialect. So every pair of dialects meets, over real speech, judged as strictly as one hop.
"""

from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.conftest import Server, running_server
from tests.sdk import test_functions, test_speech, test_text, test_transcription
from tests.sdk.test_beta import played, question, test_flow, test_it_is_the_old_sdk

__all__ = ["played", "question", "test_flow", "test_it_is_the_old_sdk"]
"""The flows of the old SDK, with what they stand on."""

FLOWS = {
    test_functions: ("horoscope", "calls_side_by_side", "tool_choice", "schemas_that_cannot_be_right"),
    test_speech: (
        "spoken_turn", "two_turns", "barge_in_after_the_answer_was_made", "truncation_past_the_end", "push_to_talk",
        "turn_detection_without_automation", "semantic_vad", "telephone_sound_both_ways", "silence_is_no_turn",
        "the_voice_is_fixed_by_the_first_word", "audio_as_an_item",
    ),
    test_text: (
        "connect", "text_turn", "the_sdks_own_loop", "memory_and_usage_over_turns", "max_output_tokens", "items",
        "history_of_the_clients_own", "cancel", "out_of_band", "many_at_once", "leaving_in_the_middle",
    ),
    test_transcription: ("with_turn_detection", "without_turn_detection", "whisper_writes_all_at_once", "no_answers"),
}  # fmt: skip
"""Of the current SDK, what goes over the wire. (What a beta upstream has not: an idle timeout, pictures.)"""
for module, names in FLOWS.items():
    for name in names:
        globals()[f"test_{name}"] = getattr(module, f"test_{name}")

KINDS = {"ga": "parley", "beta": "openai-beta"}
AWAY = "http://127.0.0.1:9"


@pytest.fixture(scope="module", params=KINDS)
def server(
    request: pytest.FixtureRequest, server: Server, tmp_path_factory: pytest.TempPathFactory
) -> Iterator[Server]:
    """The front: it has no engine of its own that could answer."""
    home: Path = tmp_path_factory.mktemp(f"front_{request.param}")
    file = home / "parley.toml"
    file.write_text(f"""
        [[upstream]]
        name = "behind"
        url = "{server.base_url}"
        key_env = "BEHIND_KEY"
        kind = "{KINDS[request.param]}"
        """)
    env = {"BEHIND_KEY": server.key, **{f"PARLEY_{part}_URL": AWAY for part in ("STT", "LLM", "TTS")}}
    with running_server(home, ("--config", str(file)), env=env) as front:
        yield front
