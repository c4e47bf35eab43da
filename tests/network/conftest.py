from collections.abc import Iterator

import pytest

from tests.conftest import Server, running_server
from tests.network.shaper import SERVER, Net, NoNamespaces, inside, network


@pytest.fixture(scope="module")
def net() -> Iterator[Net]:
    try:
        with network() as net:
            yield net
    except NoNamespaces as reason:
        pytest.skip(f"needs two network namespaces: {reason}")


@pytest.fixture
def calm(net: Net) -> Iterator[Net]:
    """The network, as good as it gets at the beginning and at the end."""
    net.shaper.reset()
    yield net
    net.shaper.reset()


@pytest.fixture(scope="module")
def remote(net: Net, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Server]:
    """A server on the other side; it is reached by the client's namespace only."""
    with inside(net.server):
        running = running_server(tmp_path_factory.mktemp("remote"), env={"PARLEY_HOST": "0.0.0.0"})
        server = running.__enter__()
    try:
        port = server.url.rpartition(":")[2]
        yield server._replace(url=f"http://{SERVER}:{port}", ws_url=f"ws://{SERVER}:{port}/v1/realtime")
    finally:
        running.__exit__(None, None, None)
