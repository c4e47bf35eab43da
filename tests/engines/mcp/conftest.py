from collections.abc import Iterator

import pytest

from tests.engines.mcp.running import running_mcp


@pytest.fixture(scope="session")
def mcp_url() -> Iterator[str]:
    """Where `server.py` serves."""
    with running_mcp() as url:
        yield url
