"""Builds everything from settings, wires it, and runs it. Rules live elsewhere; only the command line imports this.

parley serve -> serve(settings) -> House (engines, sessions, doors) -> Server (socket, signals, drain)
"""

import asyncio
import gc
import ipaddress
import logging
import os
import sys
import time
from collections.abc import AsyncIterator, Awaitable, Callable
from concurrent.futures import ThreadPoolExecutor
from contextlib import asynccontextmanager, suppress
from pathlib import Path
from typing import TYPE_CHECKING, Any, Final, NamedTuple

import msgspec
import uvloop
from starlette.applications import Starlette
from starlette.requests import Request
from starlette.responses import Response
from starlette.routing import Route, WebSocketRoute

from parley import __version__
from parley.auth.api_keys import ApiKeys, make_local_key, read_local_key
from parley.auth.client_secrets import ClientSecrets, MemoryStore
from parley.auth.gate import Bearer, Gate
from parley.auth.keys_store import Scope
from parley.auth.turn import IceServers, told
from parley.billing.calls import CallBook
from parley.catalog import DEFAULT_MODEL, MODELS, VOICES, Model
from parley.core.config import Prompt, RealtimeConfig, SessionConfig, Transcription, TranscriptionConfig
from parley.core.effects import Turn
from parley.core.inputs import Charged, Rates
from parley.core.session import Session
from parley.core.terms import Terms
from parley.engine_room import EngineRoom, open_engine_room
from parley.engines.cascade import Cascade
from parley.engines.llm.checked import Checked
from parley.engines.mcp import with_servers
from parley.engines.tokens import TokenCounter
from parley.errors import EngineError, RequestError
from parley.ids import new_id, new_node
from parley.images import Pictures
from parley.live.listening import Listening
from parley.live.one_turn import Asked, config_of
from parley.live.preparing import Resources
from parley.live.recording import Recordings
from parley.live.registry import Registry
from parley.live.relay import RelayedSession
from parley.live.relay_parts import RelaySurroundings
from parley.live.session import LiveSession, Surroundings, Witness
from parley.office import Hooks, Office, pepper_of
from parley.outgoing import Allowed, Outgoing, read_allowed
from parley.prompts import Prompts
from parley.relays import Relays, cut_offs, whose
from parley.server import Server, is_local, listen, raise_file_limit, url_of
from parley.settings import Settings, SettingsError
from parley.telemetry import Metrics, note, set_up_logs, turn_fields
from parley.transports.carriers import door as carriers
from parley.transports.carriers.calls import AlsoCarriers, CarrierCalls
from parley.transports.ringing import NoTelephone, no_call, pressed
from parley.transports.rtc.calls import Calls
from parley.transports.rtc.ports import Network
from parley.transports.websocket import Door, realtime
from parley.upstreams import Upstreams
from parley.web import call_control, calls, client_secrets, console, errors, health, models, realtime_api
from parley.web.api import app as api
from parley.web.api.front import Front
from parley.web.charges import Charges
from parley.web.pipeline import Pipeline
from parley.web.sign_in import SignIn, offers

if TYPE_CHECKING:
    from parley.telephone import Telephone

SESSION_S: Final = 3_600
"""protocol.md 8.5."""
LIKE_ANY: Final = Model(DEFAULT_MODEL)
"""Of a session without a model of ours."""
WORKERS: Final = max(2, (os.cpu_count() or 2) - 1)
"""Threads for embedded speech. Its libraries release the GIL."""

log = logging.getLogger(__name__)


# ---- the house


class House:
    """Everything between the settings and the socket. Belongs to one event loop; `app` is the ASGI application."""

    def __init__(self, settings: Settings, keys: ApiKeys) -> None:
        pepper = pepper_of(settings)
        self.metrics = Metrics()
        self.office = Office(settings)
        self.recordings = Recordings(self.office.storage, settings.home, settings.record, settings.record_days)
        self.sign_in = SignIn(self.office.accounts, pepper)
        self.registry = Registry(settings.sessions_max)
        self.drain_s = settings.drain_s
        self.workers = ThreadPoolExecutor(WORKERS, thread_name_prefix="speech")
        self.engines = open_engine_room(settings, self.workers)
        self.count_tokens = TokenCounter()
        self.listening = Listening()
        self.around = Surroundings(self.listening, self.metrics, self._meter, self._ended)
        self.around_hidden = Surroundings(self.listening, Metrics(), lambda live, turn: None, lambda live: None)
        """Of sessions that stand behind one that is counted."""
        self.upstreams = Upstreams(settings)
        self.relays = Relays(
            self.upstreams, self.office, self.recordings, self.registry,
            RelaySurroundings(self.metrics, self._meter, self._ended), self._answer_here,
        )  # fmt: skip
        self.cascade = Cascade(self.engines.stt.backend, Checked(self.engines.llm.backend), self.engines.tts.backend)
        self.engine = with_servers(self.cascade, _allowed(settings))
        self.pictures = Pictures(Outgoing(_allowed(settings)), sees=_sees(settings))
        self.prompts = Prompts(self.office.storage)
        self.failure: str | None = None
        """Why the models could not be loaded."""
        self._loaded = asyncio.Event()
        secrets = ClientSecrets(MemoryStore(), pepper)
        gate = Gate(keys, self.office.keys, secrets)
        ice = _ice_servers(settings)
        hosts = _words(settings.allowed_hosts)

        def servers() -> list[dict[str, Any]]:
            """A page that asks is about to call."""
            self.calls.warm_up()
            return told(ice, "console", time.time()).servers

        desk = console.Desk(
            gate, self.office.accounts, secrets, self.facts, self.upstreams.check, self.upstreams.models,
            self.office.charged_for, servers, hosts,
        )  # fmt: skip
        front = Front(gate, self.office.accounts, self.sign_in, hosts)
        node = new_node()
        self.calls = Calls(_network(settings), self.start_anywhere, node)
        self.carriers = CarrierCalls(self.start, pressed, node)
        self.telephone = self._telephone(settings, node)
        door = Door(gate, self.metrics, self.start_anywhere, self.find_call)
        streams = carriers.media(
            carriers.Door(gate, self.metrics, self.carriers, settings.twilio_auth_token, settings.public_url)
        )
        pulse = health.Pulse(self.facts, self.not_ready, self.metrics)
        self.app = Starlette(
            routes=[
                *console.routes(desk, self.sign_in, self.recordings),
                *api.routes(self.office, front, self.telephone.sip, self.upstreams),
                *self._sign_in_routes(settings, hosts),
                *health.routes(pulse),
                *models.routes(gate, self.engines.names, self.upstreams.models(), self.upstreams.engine),
                *client_secrets.routes(gate, secrets, self.calls.warm_up, self.upstreams.check),
                *calls.routes(gate, self.calls, self.metrics, ice, AlsoCarriers(self.carriers, self.telephone.phones)),
                *call_control.routes(gate, self.telephone.phones, self.metrics, self.upstreams.check),
                *realtime_api.routes(self._realtime_api(gate, hosts)),
                Route("/v1/realtime", _upgrade_required),
                WebSocketRoute("/v1/realtime", realtime(door)),
                WebSocketRoute("/v1/realtime/media/{carrier}", streams),
                WebSocketRoute("/v1/realtime/media/{carrier}/{secret}", streams),
                WebSocketRoute("/{path:path}", errors.unknown_socket),
            ],
            exception_handlers=errors.HANDLERS,
            lifespan=self._lifespan,
        )

    def _sign_in_routes(self, settings: Settings, hosts: tuple[str, ...]) -> list[Route]:
        """Raises `SettingsError`."""
        if not settings.oidc_issuer:
            return [offers(None, hosts)]
        from parley.auth.oidc import Provider  # much that others need not load
        from parley.web.oidc import Desk

        try:
            provider = Provider(settings.oidc_issuer, settings.oidc_client_id, settings.oidc_client_secret)
        except ValueError as error:
            raise SettingsError(f"oidc_issuer is wrong: {error}.") from error
        accounts, url = self.office.accounts, settings.public_url
        desk = Desk(provider, accounts, hosts, public_url=url, sign_up=settings.oidc_sign_up)
        return [offers(provider.name, hosts), *desk.routes()]

    def _telephone(self, settings: Settings, node: str) -> "Telephone | NoTelephone":
        """Raises `SettingsError`."""
        if settings.sip_port is None and not settings.webhook_url:
            return NoTelephone()
        from parley.telephone import Telephone  # much that others need not load

        return Telephone(settings, self.office.storage, self.start, self.upstreams.check, node)

    async def drain(self) -> None:
        """No new sessions; running turns come to their end."""
        self.telephone.drain()
        await self.registry.drain(self.drain_s)

    async def start(
        self,
        config: SessionConfig,
        bearer: Bearer,
        call_id: str | None = None,
        minute_micro: int = 0,
        *,
        scope: Scope = "realtime",
    ) -> LiveSession:
        """A registered session that this machine answers, as soon as the models are there; a call's plays by itself.
        `minute_micro` is what a minute of it costs besides.

        Raises `RequestError`: no room, not for this key, no credits; `EngineError` where that cannot be found out.
        """
        model = self._check(config, bearer, scope)
        resources = self._resources(bearer)
        config = await _filled(config, resources)
        await self._loaded.wait()
        self.listening.begin()
        await self.count_tokens.load()
        terms = self._terms(config, bearer, plays=call_id is not None)
        session = Session(config=config, terms=terms, new_id=new_id, now=self.around.now())
        live: LiveSession
        stop, cut = cut_offs(lambda: live)

        def charged(id: str, micro: int, session_micro: int) -> None:
            live.post(Charged(charged_for=id, micro=micro, session_micro=session_micro))

        hooks = Hooks(stop, charged, lambda rates: live.post(Rates(rates=rates)))
        if not isinstance(config, RealtimeConfig):
            hooks = hooks._replace(cut=cut)
        admission = await self.office.admit(session.id, model, bearer, hooks, minute_micro)
        witnesses: list[Witness] = [*admission]
        live = LiveSession(session, self.engine, self.around, call_id, whose(bearer), witnesses, resources)
        try:
            self.registry.add(live)
        except RequestError:
            admission.end()
            raise
        witnesses.append(self.recordings.open(live.id, account=bearer.account, model=model, call_id=call_id))
        return live

    async def _answer_here(self, model: str, transcribes: bool, bearer: Bearer) -> LiveSession:
        """Behind a relayed session, which is who is let in, registered, metered and paid for. Raises `EngineError`."""
        await self._loaded.wait()
        if self.failure:
            raise EngineError("backend_unavailable", "The models of this server could not be loaded.")
        self.listening.begin()
        await self.count_tokens.load()
        config: SessionConfig = TranscriptionConfig() if transcribes else RealtimeConfig(model=model)
        terms = self._terms(config, bearer, plays=False)
        session = Session(config=config, terms=terms, new_id=new_id, now=self.around.now())
        return LiveSession(session, self.engine, self.around_hidden, resources=self._resources(bearer))

    async def start_anywhere(
        self, config: SessionConfig, bearer: Bearer, call_id: str | None = None
    ) -> LiveSession | RelayedSession:
        """The same, and answered by an upstream where the model is one of theirs."""
        if not self.upstreams.answer(_model_of(config)):
            return await self.start(config, bearer, call_id)
        return await self.relays.start(config, bearer, self._check(config, bearer, "realtime"), call_id)

    def _resources(self, bearer: Bearer) -> Resources:
        project = None if bearer.key is None else bearer.key.project

        def prompt(asked: Prompt, path: str) -> Awaitable[str]:
            return self.prompts.filled(bearer.account, project, asked, path)

        return Resources(self.pictures.ready, prompt)

    def _check(self, config: SessionConfig, bearer: Bearer, scope: Scope) -> str:
        """The model that a session is priced by. Raises `RequestError`: unknown, not for this key, no room."""
        self.upstreams.check(config)
        model = _model_of(config)
        bearer.allow(scope, model, config.audio.output.voice if isinstance(config, RealtimeConfig) else None)
        self.registry.check_room()
        return model

    def _realtime_api(self, gate: Gate, hosts: tuple[str, ...]) -> realtime_api.Desk:
        def open_turn(asked: Asked, bearer: Bearer) -> Awaitable[LiveSession]:
            return self.start(config_of(asked), bearer, scope="pipeline")

        pipeline = Pipeline(open_turn, self._settled, self.engines.names["language_model"])
        charges = Charges(self.calls, CallBook(self.office.storage), self._settled)
        return realtime_api.Desk(gate, self.sign_in, hosts, self.metrics, pipeline, self.calls, charges)

    async def _settled(self, session: str) -> None:
        """Returns when what a session has cost is on the disk; it must have ended."""
        if (watch := self.office.watch(session)) is not None:
            await watch.settled()

    def _revoked(self, keys: list[str]) -> None:
        for live in self.registry.of_keys(keys):
            live.cut_off("invalid_api_key", "The API key of this session was revoked.")

    def _meter(self, live: LiveSession | RelayedSession, turn: Turn) -> None:
        note(log, "turn", session=live.id, **turn_fields(turn))

    def _ended(self, live: LiveSession | RelayedSession) -> None:
        self.registry.remove(live)

    async def find_call(self, call_id: str, bearer: Bearer) -> LiveSession | RelayedSession:
        """Raises `RequestError`. Asynchronous, for a call may be another node's one day."""
        for kind in (self.calls, self.carriers, self.telephone):
            with suppress(RequestError):
                return kind.find(call_id, bearer).live
        raise no_call(call_id)

    def facts(self) -> dict[str, Any]:
        """What `/health` tells."""
        return {
            "version": __version__,
            "engines": {**self.engines.names, "voice_activity": self.listening.name},
            "upstreams": self.upstreams.names,
            "notes": [*self.engines.notes, *([self.failure] if self.failure else [])],
            "sessions": len(self.registry),
            "draining": self.registry.draining,
        }

    def not_ready(self) -> str | None:
        if self.registry.draining:
            return "draining"
        if self.failure:
            return "failed"
        return None if self._loaded.is_set() else "loading"

    def _terms(self, config: SessionConfig, bearer: Bearer, *, plays: bool) -> Terms:
        voices = () if bearer.key is None else bearer.key.rules.voices
        model = MODELS.get(config.model, LIKE_ANY) if isinstance(config, RealtimeConfig) else LIKE_ANY
        return Terms(
            voices=frozenset(voices or VOICES),
            count_tokens=self.count_tokens,
            context_tokens=model.context_tokens,
            output_tokens=model.output_tokens,
            session_ms=SESSION_S * 1_000,
            expires_at=int(time.time()) + SESSION_S,
            peeks=self.engines.stt.backend.peeks,
            plays=plays,
        )

    @asynccontextmanager
    async def _lifespan(self, app: Starlette) -> AsyncIterator[None]:
        loading = asyncio.create_task(self._load())
        await self.office.open()
        await self.office.begin(self._revoked)
        await self.recordings.begin()
        await self.upstreams.begin()
        await self.telephone.begin()
        yield
        loading.cancel()
        await self.telephone.end()
        self.registry.close_all()
        await self.upstreams.close()
        await self.recordings.close()
        await self.office.close()
        self.calls.close()
        await self.listening.close()
        await self.engine.close()
        await self.pictures.close()
        await self.engines.close()
        self.workers.shutdown(wait=False, cancel_futures=True)

    async def _load(self) -> None:
        began = time.monotonic()
        try:
            # With endpoints only, the ear comes with the first session: until then this process holds no model.
            ears = [self.listening.load()] if self.engines.embedded else []
            await asyncio.gather(*ears, self.engines.load())
        except Exception as error:
            self.failure = f"The models could not be loaded: {error}"
            log.exception("models not loaded")
        else:
            note(log, "ready", seconds=round(time.monotonic() - began, 2))
        # What is there now stays: the collector need not look at it again, which took it 50 ms each time.
        gc.collect()
        gc.freeze()
        self._loaded.set()


def _model_of(config: SessionConfig) -> str:
    """What a session is priced by."""
    if isinstance(config, RealtimeConfig):
        return config.model
    return (config.audio.input.transcription or Transcription()).model


async def _filled(config: SessionConfig, resources: Resources) -> SessionConfig:
    """With the instructions of its prompt, where it has none of its own. Raises `RequestError`, `EngineError`."""
    if not isinstance(config, RealtimeConfig) or config.prompt is None or config.instructions:
        return config
    return msgspec.structs.replace(config, instructions=await resources.prompt(config.prompt, "session.prompt"))


def _sees(settings: Settings) -> bool:
    """Of a language model behind a URL it is believed; what it says of a picture is up to it."""
    return bool(settings.llm_url) if settings.llm_sees == "auto" else settings.llm_sees == "yes"


def _allowed(settings: Settings) -> Allowed:
    """Raises `SettingsError`."""
    try:
        return read_allowed(settings.allowed_networks)
    except ValueError as error:
        raise SettingsError(f"allowed_networks is wrong: {error}.") from error


def _network(settings: Settings) -> Network:
    """Raises `SettingsError`."""
    port = settings.port if settings.rtc_port is None else settings.rtc_port
    told = _words(settings.rtc_addresses)
    try:
        advertised = tuple(str(ipaddress.ip_address(word)) for word in told)
    except ValueError as error:
        raise SettingsError(f"rtc_addresses is wrong: {error}.") from error
    return Network(port, advertised, loopback=is_local(settings.host))


def _ice_servers(settings: Settings) -> IceServers:
    """Raises `SettingsError`."""
    urls = _words(settings.ice_servers)
    for url in urls:
        if not url.startswith(("stun:", "stuns:", "turn:", "turns:")):
            raise SettingsError(f"ice_servers is wrong: {url!r} is no address like stun:HOST:PORT or turn:HOST:PORT.")
    return IceServers(urls, settings.turn_secret)


def _words(listed: str) -> tuple[str, ...]:
    return tuple(word.strip() for word in listed.split(",") if word.strip())


async def _upgrade_required(request: Request) -> Response:
    raise RequestError("upgrade_required", "This is a WebSocket; connect to it with a WebSocket client.")


# ---- the process


class Announcement(NamedTuple):
    """What is printed when the server listens."""

    url: str
    key: str
    console: str
    """The link that signs in once."""
    engines: EngineRoom

    def text(self) -> str:
        lines = [
            f"Parley {__version__} listens on {self.url}",
            "",
            f"  console    {self.console}",
            f"  base_url   {self.url}/v1",
            f"  api_key    {self.key}",
            f'  try it     {_command()} say "What time is it?"',
            "",
            *(f"  {part.replace('_', ' '):<14}  {name}" for part, name in self.engines.names.items()),
            "",
            *(f"  {note}" for note in self.engines.notes),
        ]
        return "\n".join(lines).rstrip() + "\n"


def _command() -> str:
    """How this program was called, so that the line to try works as it is printed."""
    called = Path(sys.argv[0])
    return str(called) if called.name == "parley" else "python -m parley"


def serve(settings: Settings, write: Callable[[str], object] = sys.stdout.write) -> int:
    """Serves until a signal comes; returns the exit status. `write` gets the announcement.

    Raises `SettingsError`, and `OSError` when the address is taken or a file cannot be read or written.
    """
    set_up_logs(settings.log_level, settings.log_format)
    raise_file_limit()
    kept = read_local_key(settings.home)
    if not (is_local(settings.host) or settings.api_key or kept):
        raise SettingsError(f"Refusing to listen on {settings.host} without a key of your own: set PARLEY_API_KEY.")
    certificate, private_key = settings.tls_cert, settings.tls_key
    if settings.tls == "local" and certificate is None:
        from parley.transports.certificate import local_certificate  # 10 MB that others need not carry

        certificate, private_key = local_certificate(settings.home)
    with listen(settings.host, settings.port) as listener:
        key = settings.api_key or kept or make_local_key(settings.home)
        shown = "the one in PARLEY_API_KEY" if settings.api_key else key
        url = url_of(listener, secure=certificate is not None)

        async def run() -> None:
            here = {"port": listener.getsockname()[1], "tls_cert": certificate, "tls_key": private_key}
            house = House(msgspec.structs.replace(settings, **here), ApiKeys([key]))

            await house.office.open()
            link = await house.sign_in.new_link(url)

            def announce() -> None:
                write(Announcement(url, shown, link, house.engines).text() + "\n")
                sys.stdout.flush()

            server = Server(house.app, drain=house.drain, started=announce, certificate=certificate, key=private_key)
            await server.serve([listener])

        uvloop.run(run())
    return 0
