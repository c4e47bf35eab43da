"""A Realtime client for the command line: one WebSocket to a running server, in the GA dialect."""

import json
import ssl
from collections.abc import AsyncIterator, Mapping
from contextlib import asynccontextmanager
from typing import TYPE_CHECKING, Any, Final, NamedTuple
from urllib.parse import quote, urlsplit, urlunsplit

from parley.cli.problem import Problem, Status

if TYPE_CHECKING:
    from websockets.asyncio.client import ClientConnection

CONNECT_TIMEOUT_S: Final = 10.0
EVENT_BYTES_MAX: Final = 32 * 2**20
SCHEMES: Final = {"http": "ws", "https": "wss", "ws": "ws", "wss": "wss"}
START_STEP: Final = "Start one with: parley serve"


class Target(NamedTuple):
    """The server to talk to. `trusted` is a certificate to accept besides the usual ones (`--tls local`)."""

    url: str
    key: str
    model: str
    trusted: str | None = None

    @property
    def socket_url(self) -> str:
        """The WebSocket address, from whatever form of the server's address the user gave. Raises `Problem`."""
        parts = urlsplit(self.url if "//" in self.url else f"http://{self.url}")
        if parts.scheme not in SCHEMES or not parts.hostname:
            raise Problem(f"{self.url} is not an address", "Use for example http://127.0.0.1:8000", Status.USAGE)
        path = parts.path.rstrip("/").removesuffix("/realtime").removesuffix("/v1")
        return urlunsplit(
            (SCHEMES[parts.scheme], parts.netloc, f"{path}/v1/realtime", f"model={quote(self.model)}", "")
        )


class Client:
    """Sends and receives events as plain dicts."""

    def __init__(self, socket: "ClientConnection") -> None:
        self._socket = socket

    async def send(self, kind: str, **fields: Any) -> None:
        """Raises `Problem` when the connection is gone."""
        from websockets.exceptions import ConnectionClosed

        try:
            await self._socket.send(json.dumps({"type": kind, **fields}))
        except ConnectionClosed as error:
            raise closed(error.rcvd.reason if error.rcvd else "") from error

    async def receive(self) -> dict[str, Any]:
        """The next event. Raises `Problem` when the server closes the connection."""
        from websockets.exceptions import ConnectionClosed

        try:
            event = json.loads(await self._socket.recv())
        except ConnectionClosed as error:
            raise closed(error.rcvd.reason if error.rcvd else "") from error
        except ValueError as error:
            raise Problem("The server sent something that is not JSON", "Is this a Realtime server?") from error
        if not isinstance(event, dict) or not isinstance(event.get("type"), str):
            raise Problem("The server sent something that is not an event", "Is this a Realtime server?")
        return event


@asynccontextmanager
async def connected(target: Target) -> AsyncIterator[Client]:
    """A session that is open: `session.created` has been received. Raises `Problem`."""
    from websockets.asyncio.client import connect
    from websockets.exceptions import InvalidHandshake, InvalidStatus

    url = target.socket_url
    host = urlsplit(url).netloc
    try:
        socket = await connect(
            url,
            additional_headers={"Authorization": f"Bearer {target.key}"},
            ssl=trust(target.trusted) if url.startswith("wss:") else None,
            compression=None,
            max_size=EVENT_BYTES_MAX,
            open_timeout=CONNECT_TIMEOUT_S,
            proxy=None,
        )
    except InvalidStatus as error:
        raise refused(error.response.status_code, bytes(error.response.body or b""), host) from error
    except ssl.SSLError as error:
        step = "With `parley serve --tls local`, run this on the same machine, or pass --cafile"
        raise Problem(f"The certificate of {host} is not trusted", step, Status.NETWORK) from error
    except TimeoutError as error:
        raise Problem(f"{host} did not answer in {CONNECT_TIMEOUT_S:.0f} s", START_STEP, Status.NETWORK) from error
    except (OSError, InvalidHandshake) as error:
        raise Problem(f"No server answers at {host}", START_STEP, Status.NETWORK) from error
    async with socket:
        client = Client(socket)
        first = await client.receive()
        if first["type"] == "error":
            raise Problem(described(first))
        yield client


def trust(certificate: str | None) -> ssl.SSLContext:
    context = ssl.create_default_context()
    if certificate is not None:
        context.load_verify_locations(certificate)
    return context


def refused(status: int, body: bytes, host: str) -> Problem:
    """What the server's answer to the handshake means (protocol.md 8.1)."""
    try:
        message = str(json.loads(body)["error"]["message"]).rstrip(".")
    except (ValueError, KeyError, TypeError):
        message = f"{host} answered with status {status}"
    if status in (401, 403):
        return Problem(message, "Pass the right key with --key or in PARLEY_API_KEY", Status.AUTH)
    return Problem(message, "" if status < 500 else "Try again in a moment", Status.NETWORK)


def closed(reason: str) -> Problem:
    return Problem(f"The server closed the connection{f' ({reason})' if reason else ''}", "", Status.NETWORK)


def described(event: Mapping[str, Any]) -> str:
    """The message of an `error` event, without its full stop."""
    error = event.get("error") or {}
    return str(error.get("message") or error.get("code") or "The server reports an error").rstrip(".")
