"""We as the customer of a provider: REGISTER, again and again (RFC 3261 section 10). Its calls come from its server."""

import asyncio
import logging
import secrets
import socket
from collections.abc import Callable, Sequence
from typing import Final

from parley.telemetry import note
from parley.transports.sip import digest
from parley.transports.sip.dialog import MAX_FORWARDS, new_branch, new_tag
from parley.transports.sip.grammar import Broken, Uri, read_address, read_uri
from parley.transports.sip.house import Reach
from parley.transports.sip.message import Headers, Request, Response
from parley.transports.sip.stack import Stack
from parley.transports.sip.trunks import Registration, Trunk
from parley.transports.sip.wires import Flow, Wires

REFRESH_SHARE: Final = 0.8
"""Of the time that was granted, after which we ask again."""
RETRY_S: Final = 30.0
RETRY_S_MAX: Final = 900.0
"""After a failure: so long, doubled each time up to the second."""
EXPIRES_S_MIN: Final = 30


class Failed(Exception):
    """The provider cannot be reached, or does not want us. The message says which."""


log = logging.getLogger(__name__)


class Registrar:
    """One registration. `learn` is told the addresses of the provider's server: calls come from there."""

    def __init__(
        self,
        trunk: Trunk,
        registration: Registration,
        stack: Stack,
        wires: Wires,
        reach: Callable[[Flow], Reach],
        learn: Callable[[Trunk, Sequence[str]], None],
    ) -> None:
        self.trunk = trunk
        self.registered = False
        self._registration = registration
        self._server: Uri = read_uri(registration.server)
        self.transport = self._server.parameters.get(
            "transport", "tls" if self._server.scheme == "sips" else "udp"
        ).lower()
        self._stack = stack
        self._wires = wires
        self._reach = reach
        self._learn = learn
        self._call_id = secrets.token_hex(16)
        self._tag = new_tag()
        self._number = 0

    async def run(self) -> None:
        """Until it is cancelled."""
        wait = RETRY_S
        while True:
            try:
                granted = await self._register(self._registration.expires_s)
            except (Failed, OSError, TimeoutError) as error:
                self.registered = False
                note(log, "sip registration failed", logging.WARNING, trunk=self.trunk.name, reason=str(error))
                await asyncio.sleep(wait)
                wait = min(2 * wait, RETRY_S_MAX)
                continue
            if not self.registered:
                note(log, "sip registered", trunk=self.trunk.name, seconds=granted)
            self.registered, wait = True, RETRY_S
            await asyncio.sleep(granted * REFRESH_SHARE)

    async def leave(self) -> None:
        """Nobody is to call any more."""
        if not self.registered:
            return
        self.registered = False
        try:
            await self._register(0)
        except (Failed, OSError, TimeoutError) as error:
            note(log, "sip registration not ended", trunk=self.trunk.name, reason=str(error))

    async def _register(self, expires_s: int) -> int:
        """Seconds for which it is good. Raises `Failed`, `OSError`."""
        host, port = self._server.host.strip("[]"), self._server.port or (5_061 if self.transport == "tls" else 5_060)
        found = await asyncio.get_running_loop().getaddrinfo(host, port, type=socket.SOCK_STREAM)
        hosts = list(dict.fromkeys(str(each[4][0]) for each in found))
        self._learn(self.trunk, hosts)
        flow = await self._wires.connect(self.transport, hosts[0], port, host)
        response = await self._ask(flow, expires_s)
        if response.status in (401, 407):
            response = await self._ask(flow, expires_s, self._credentials(response))
        if response.status >= 300:
            raise Failed(f"{response.status} {response.reason}")
        return self._granted(response, flow)

    async def _ask(self, flow: Flow, expires_s: int, *more: tuple[str, str]) -> Response:
        self._number += 1
        reach = self._reach(flow)
        login = self._registration
        who = f"<sip:{login.username}@{self._server.host}>"
        contact = reach.contact.replace("sip:", f"sip:{login.username}@", 1)
        headers = [
            ("Via", f"SIP/2.0/{flow.transport.upper()} {reach.via};rport;branch={new_branch()}"),
            MAX_FORWARDS,
            ("From", f"{who};tag={self._tag}"),
            ("To", who),
            ("Call-ID", self._call_id),
            ("CSeq", f"{self._number} REGISTER"),
            ("Contact", f"<{contact}>"),
            ("Expires", str(expires_s)),
            *more,
        ]
        response = await self._stack.ask(Request("REGISTER", self._uri, Headers(headers)), flow)
        if response is None:
            raise Failed("no answer")
        return response

    @property
    def _uri(self) -> str:
        port = "" if self._server.port is None else f":{self._server.port}"
        return f"sip:{self._server.host}{port}"

    def _credentials(self, response: Response) -> tuple[str, str]:
        kind, name = digest.CHALLENGES[response.status]
        login = self._registration
        said = digest.credentials(response.headers.all(kind), login.username, login.password, "REGISTER", self._uri)
        if said is None:
            raise Failed("no way to authenticate that is known here")
        return name, said

    def _granted(self, response: Response, flow: Flow) -> int:
        """What the answer says of our Contact, or of all."""
        said = response.headers.one("expires")
        try:
            for contact in response.headers.all("contact"):
                address = read_address(contact)
                if self._reach(flow).via in address.uri and "expires" in address.parameters:
                    said = address.parameters["expires"]
        except Broken:
            pass  # a list that cannot be read: what we asked for stands
        return max(EXPIRES_S_MIN, int(said) if said.isdecimal() else self._registration.expires_s)
