"""Telephone calls: the SIP door and the webhooks that announce what rings there, opened from the settings.

    telephone = Telephone(settings, storage, start, check, node)    # SettingsError
    await telephone.begin()
    telephone.phones                                                # for call control over REST
    await telephone.end()

Without `sip_port` it is all there, and nobody calls. With the port alone every call from this machine is announced to
`webhook_url`, or, where there is none, answered at once.
"""

import ssl
import time
import tomllib
from collections.abc import Callable
from typing import Final, NamedTuple

from parley.auth.gate import Bearer
from parley.core.config import SessionConfig
from parley.errors import EngineError, RequestError
from parley.ids import new_id
from parley.live.session import LiveSession
from parley.outgoing import Outgoing, read_allowed
from parley.settings import Settings, SettingsError
from parley.storage import Storage
from parley.transports.ringing import NO_PHONES, RingingCalls, no_call, pressed
from parley.transports.sip.call import SipCall
from parley.transports.sip.house import Place, Start
from parley.transports.sip.media import Range
from parley.transports.sip.phones import RING_S, Decision, Reject, SipPhones
from parley.transports.sip.trunks import Number, Trunk, TrunksError, read_trunks, stored_session
from parley.webhooks.events import incoming_call
from parley.webhooks.opening import open_webhooks

THIS_MACHINE: Final = ("127.0.0.0/8", "::1")
ANY_NUMBER: Final = "*"
DIRECT_SESSION: Final = {"type": "realtime"}
"""With which calls from this machine are answered when nobody is to be asked."""
UNAVAILABLE: Final = 503
NOBODY: Final = 480
"""Temporarily unavailable: there is nobody to decide."""


class Talking(NamedTuple):
    live: LiveSession


class Telephone:
    """Belongs to one event loop."""

    def __init__(
        self,
        settings: Settings,
        storage: Storage,
        start: Start,
        check: Callable[[SessionConfig], object],
        node: str,
    ) -> None:
        """`check` raises `RequestError` for a stored session that could never begin. Raises `SettingsError`."""
        trunks = trunks_of(settings)
        for trunk in trunks:
            for number in trunk.number:
                _check_stored(number, check)
        own = {number.webhook for trunk in trunks for number in trunk.number if number.webhook}
        try:
            self.outgoing = Outgoing(read_allowed(settings.allowed_networks))
        except ValueError as error:
            raise SettingsError(f"allowed_networks is wrong: {error}.") from error
        self.webhooks = open_webhooks(settings, storage, self.outgoing, own)
        self._webhook_url = settings.webhook_url
        self.sip: SipPhones | None = None
        if settings.sip_port is not None:
            self.sip = SipPhones(_place(settings), trunks, start, self._incoming, pressed, node)

    @property
    def phones(self) -> RingingCalls:
        return self.sip or NO_PHONES

    async def begin(self) -> None:
        """Raises `SettingsError` where a port cannot be had."""
        if self.webhooks is not None:
            await self.webhooks.begin()
        if self.sip is not None:
            try:
                await self.sip.open()
            except OSError as error:
                raise SettingsError(f"sip_port cannot be opened: {error}") from error

    def drain(self) -> None:
        """Nobody new is answered."""
        if self.sip is not None:
            self.sip.draining = True

    async def end(self) -> None:
        if self.sip is not None:
            await self.sip.leave()
            self.sip.close()
        if self.webhooks is not None:
            await self.webhooks.close()
        await self.outgoing.close()

    def find(self, call_id: str, bearer: Bearer) -> Talking:
        """A telephone call that is answered. Raises `RequestError`; a call of somebody else's is no call."""
        live = None if self.sip is None else self.sip.find(call_id, bearer).live
        if live is None:
            raise no_call(call_id)
        return Talking(live)

    async def _incoming(self, call: SipCall) -> Decision:
        """A call rings: somebody is told, and decides over REST."""
        endpoint = call.number.webhook or self._webhook_url
        if not endpoint or self.webhooks is None:
            return Reject(NOBODY)
        headers = [(header.name, header.value) for header in call.sip_headers]
        event = incoming_call(new_id("evt"), call.call_id, headers, call.media_security, int(time.time()))
        try:
            await self.webhooks.send(
                event,
                account=call.number.account,
                endpoint=endpoint,
                life_s=RING_S,
                project=call.number.project,
            )
        except (RequestError, EngineError):
            return Reject(UNAVAILABLE)
        return None


def _check_stored(number: Number, check: Callable[[SessionConfig], object]) -> None:
    config = stored_session(number)
    if config is not None:
        try:
            check(config)
        except RequestError as error:
            raise SettingsError(f"sip_trunks is wrong: {number.number}: {error.message}") from error


def trunks_of(settings: Settings) -> tuple[Trunk, ...]:
    """Who may call. Raises `SettingsError`."""
    if settings.sip_trunks is None:
        session = None if settings.webhook_url else DIRECT_SESSION
        number = Number(number=ANY_NUMBER, session=session)
        return (Trunk(name="this machine", addresses=THIS_MACHINE, number=(number,)),)
    try:
        return read_trunks(tomllib.loads(settings.sip_trunks.read_text("utf-8")))
    except (OSError, UnicodeDecodeError, tomllib.TOMLDecodeError) as error:
        raise SettingsError(f"Cannot read sip_trunks {settings.sip_trunks}: {error}.") from error
    except TrunksError as error:
        raise SettingsError(f"sip_trunks is wrong: {error}") from error


def _place(settings: Settings) -> Place:
    first, _, last = settings.sip_rtp_ports.partition("-")
    if not (first.isdecimal() and last.isdecimal() and 1_024 <= int(first) < int(last) <= 65_535):
        raise SettingsError("sip_rtp_ports is wrong: write two ports, as 20000-20999.")
    return Place(
        host=settings.sip_host or settings.host,
        port=settings.sip_port or 0,
        tls=_tls(settings),
        tls_port=settings.sip_tls_port,
        ports=Range(int(first), int(last)),
        advertised=settings.sip_address,
    )


def _tls(settings: Settings) -> ssl.SSLContext | None:
    """With the certificate of the other doors, if they have one."""
    if settings.tls_cert is None:
        return None
    context = ssl.create_default_context(ssl.Purpose.CLIENT_AUTH)
    try:
        context.load_cert_chain(settings.tls_cert, settings.tls_key)
    except (OSError, ssl.SSLError) as error:
        raise SettingsError(f"tls_cert cannot be used: {error}") from error
    return context
