"""The official SDKs, the current one and the last with a beta, through two hops: a front that relays to a Parley with the
embedded engine, once in each dialect. So every pair of dialects meets, over real speech, judged as strictly as one hop.
"""

from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.conftest import Server, running_server
from tests.sdk.test_beta import played, question, test_flow, test_it_is_the_old_sdk
from tests.sdk.test_functions import *  # noqa: F403
from tests.sdk.test_speech import *  # noqa: F403
from tests.sdk.test_text import *  # noqa: F403
from tests.sdk.test_transcription import *  # noqa: F403

KINDS = {"ga": "parley", "beta": "openai-beta"}
AWAY = "http://127.0.0.1:9"


@pytest.fixture(scope="module", params=KINDS)
def server(request: pytest.FixtureRequest, server: Server, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Server]:
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
