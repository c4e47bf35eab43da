"""The bad network is as bad as it is told to be, and no worse."""

import socket
import statistics
import time
from contextlib import closing

from tests.network.shaper import CLIENT, ELSEWHERE, SERVER, Net, Weather, inside

PORT = 4_000
COUNT = 300


def bound(namespace: str, host: str) -> socket.socket:
    with inside(namespace):
        made = socket.socket(socket.AF_INET, socket.SOCK_DGRAM)
    made.bind((host, PORT))
    made.settimeout(0.5)
    return made


def sent(net: Net, weather: Weather) -> list[tuple[int, float]]:
    """What arrives of numbered datagrams, one a millisecond: the number, and how long it took."""
    net.shaper.weather = weather
    arrived = []
    with closing(bound(net.client, CLIENT)) as client, closing(bound(net.server, SERVER)) as server:
        left = []
        for number in range(COUNT):
            left.append(time.monotonic())
            client.sendto(number.to_bytes(2, "big"), (SERVER, PORT))
            time.sleep(0.001)
            server.setblocking(False)
            arrived += waiting(server, left)
        deadline = time.monotonic() + 0.5
        while time.monotonic() < deadline:
            arrived += waiting(server, left)
            time.sleep(0.001)
    return arrived


def waiting(server: socket.socket, left: list[float]) -> list[tuple[int, float]]:
    found: list[tuple[int, float]] = []
    while True:
        try:
            number = int.from_bytes(server.recv(64), "big")
        except BlockingIOError:
            return found
        found.append((number, time.monotonic() - left[number]))


def test_a_clear_line_loses_nothing_and_keeps_the_order(calm: Net) -> None:
    assert [number for number, _ in sent(calm, Weather())] == list(range(COUNT))


def test_loss(calm: Net) -> None:
    share = len(sent(calm, Weather(loss=0.15))) / COUNT
    assert 0.78 < share < 0.92


def test_delay_and_jitter_overtake(calm: Net) -> None:
    arrived = sent(calm, Weather(delay_ms=40, jitter_ms=30))
    numbers = [number for number, _ in arrived]
    assert sorted(numbers) == list(range(COUNT)) and numbers != sorted(numbers)
    took_ms = [seconds * 1_000 for _, seconds in arrived]
    assert min(took_ms) >= 10 and 35 < statistics.median(took_ms) < 80


def test_a_router_that_forgets(calm: Net) -> None:
    with closing(bound(calm.client, CLIENT)) as client, closing(bound(calm.server, SERVER)) as server:
        client.sendto(b"one", (SERVER, PORT))
        assert server.recvfrom(64) == (b"one", (CLIENT, PORT))
        calm.shaper.rebind()
        client.sendto(b"two", (SERVER, PORT))
        assert server.recvfrom(64) == (b"two", (ELSEWHERE, PORT))
        server.sendto(b"into the void", (CLIENT, PORT))
        server.sendto(b"three", (ELSEWHERE, PORT))
        assert client.recvfrom(64) == (b"three", (SERVER, PORT)), "as if nothing had happened"


def test_the_namespaces_are_apart(calm: Net) -> None:
    with inside(calm.client), socket.socket() as outside:
        outside.settimeout(1)
        try:
            outside.connect(("192.0.2.1", 80))
        except OSError as error:
            assert "unreachable" in str(error)
        else:
            raise AssertionError("there is a way out")
