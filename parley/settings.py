"""Every setting: its name, its default, and why it is there. The only place that reads the environment.

A setting `llm_url` is the key `llm_url` of the settings file (or `url` in its table `[llm]`), the environment variable
`PARLEY_LLM_URL`, and the flag `--llm-url` where the command line has one. What stands later in this list wins: default,
file, environment, flag. A name that nobody knows is an error, so that a typing mistake is never silently ignored.
"""

import difflib
import os
import tomllib
from collections.abc import Mapping
from pathlib import Path
from typing import Annotated, Any, Final, Literal, NamedTuple

import msgspec
from msgspec import Meta

PREFIX: Final = "PARLEY_"
FILE_VARIABLE: Final = "PARLEY_CONFIG"
LOCAL_FILE: Final = "parley.toml"
HOME_FILE: Final = "config.toml"
HIDDEN: Final = "********"
"""What is shown of a secret that is set."""

Port = Annotated[int, Meta(ge=0, le=65_535)]
Seconds = Annotated[float, Meta(gt=0, le=86_400)]
Count = Annotated[int, Meta(ge=0)]


def _secret(reason: str) -> Meta:
    return Meta(description=reason, extra={"secret": True})


class Settings(msgspec.Struct, frozen=True, kw_only=True):
    """What the operator sets. Docstrings of the fields are the reasons in the table of the documentation."""

    home: Annotated[Path, Meta(description="Where Parley keeps its files: the local key, the local certificate.")]
    host: Annotated[str, Meta(description="Address to listen on; 0.0.0.0 for every network.")] = "127.0.0.1"
    port: Annotated[Port, Meta(description="Port of HTTP and WebSocket; 0 takes a free one.")] = 8000
    api_key: Annotated[str | None, _secret("A key valid from the first start, for containers and tests.")] = None

    llm_url: Annotated[
        str, Meta(description="Chat Completions endpoint (with /v1). Empty: the embedded assistant.")
    ] = ""
    llm_model: Annotated[
        str, Meta(description="The endpoint's name of the model. Empty: what the client asked for.")
    ] = ""
    llm_api_key: Annotated[str | None, _secret("Key for the language model endpoint.")] = None
    llm_sees: Annotated[
        Literal["auto", "yes", "no"],
        Meta(description="Whether it is shown pictures; `auto`: if it is an endpoint. The embedded one is blind."),
    ] = "auto"
    stt_url: Annotated[
        str, Meta(description="Endpoint with /audio/transcriptions. Empty: embedded speech to text.")
    ] = ""
    stt_model: Annotated[
        str, Meta(description="The endpoint's name of the model. Empty: what the client asked for.")
    ] = ""
    stt_api_key: Annotated[str | None, _secret("Key for the speech-to-text endpoint.")] = None
    tts_url: Annotated[str, Meta(description="Endpoint with /audio/speech. Empty: the embedded voices.")] = ""
    tts_model: Annotated[str, Meta(description="The endpoint's name of the model. Empty: the backend's default.")] = ""
    tts_voice: Annotated[str, Meta(description="One voice for everything. Empty: the voice the client asked for.")] = ""
    tts_api_key: Annotated[str | None, _secret("Key for the text-to-speech endpoint.")] = None

    connect_timeout_s: Annotated[Seconds, Meta(description="How long to try to reach a backend.")] = 5.0
    backend_timeout_s: Annotated[
        Seconds, Meta(description="How long a backend may stay silent before a turn fails.")
    ] = 30.0
    assistant_seed: Annotated[int, Meta(description="Same seed, same words of the embedded assistant.")] = 0

    sessions_max: Annotated[
        Annotated[int, Meta(ge=1)], Meta(description="Live sessions; more are refused with 429.")
    ] = 1_000
    drain_s: Annotated[
        Annotated[float, Meta(ge=0, le=3_600)], Meta(description="How long running turns may go on after SIGTERM.")
    ] = 30.0
    rtc_port: Annotated[
        Port | None, Meta(description="UDP port of all WebRTC calls; 0 takes free ones. Empty: the number of `port`.")
    ] = None
    rtc_addresses: Annotated[
        str,
        Meta(description="IP addresses to tell callers instead of this machine's own, as behind 1:1 NAT; with commas."),
    ] = ""
    ice_servers: Annotated[
        str, Meta(description="STUN and TURN servers that pages are told to use (stun:…, turn:…); with commas.")
    ] = ""
    turn_secret: Annotated[
        str | None, _secret("What those TURN servers share with Parley (coturn: use-auth-secret).")
    ] = None
    allowed_hosts: Annotated[
        str,
        Meta(description="Names of this server for the console, besides IP addresses and localhost; with commas."),
    ] = ""
    public_url: Annotated[
        str, Meta(description="Where people reach this server: https://voice.example. Empty: where a request came to.")
    ] = ""
    oidc_issuer: Annotated[
        str, Meta(description="OpenID Connect provider for signing in at the console, as https://login.example.")
    ] = ""
    oidc_client_id: Annotated[str, Meta(description="What Parley is called there.")] = "parley"
    oidc_client_secret: Annotated[str | None, _secret("What it proves that with, where the provider wants it.")] = None
    oidc_sign_up: Annotated[
        bool, Meta(description="Let in everybody whom the provider knows, not only people that an admin has let in.")
    ] = False
    tls: Annotated[
        Literal["off", "local"], Meta(description="`local` makes a certificate for clients that insist on wss.")
    ] = "off"
    tls_cert: Annotated[Path | None, Meta(description="Certificate chain (PEM) of your own.")] = None
    tls_key: Annotated[Path | None, Meta(description="Private key (PEM) of that certificate.")] = None
    log_level: Annotated[
        Literal["debug", "info", "warning", "error"], Meta(description="The least important lines that are logged.")
    ] = "info"
    log_format: Annotated[
        Literal["auto", "json", "text"], Meta(description="JSON lines or text; `auto` is text on a terminal.")
    ] = "auto"

    record: Annotated[
        Literal["off", "transcripts", "audio"],
        Meta(description="What is kept of sessions besides figures: nothing, what was said, or also how it sounded."),
    ] = "off"
    record_days: Annotated[
        Annotated[int, Meta(ge=1, le=3_650)], Meta(description="How many days past sessions are kept.")
    ] = 7
    database_url: Annotated[
        str | None,
        _secret("Accounts, keys and credits: sqlite:///PATH or postgresql://…. Empty: a SQLite file in `home`."),
    ] = None
    pepper: Annotated[
        str | None,
        _secret(
            "Under which keys and sign-ins are stored; the same for all that share a database. Empty: `home`/pepper."
        ),
    ] = None
    key_prefix: Annotated[
        Annotated[str, Meta(pattern="^[a-z][a-z0-9_-]{2,30}-$")],
        Meta(description="How new API keys begin; those of another prefix open nothing."),
    ] = "sk-gptr2-"
    prices: Annotated[
        Path | None, Meta(description="A price file of your own, which comes before the published prices.")
    ] = None
    redis_url: Annotated[
        str | None,
        _secret("Redis, where several processes count rate limits together. Empty: each counts for itself."),
    ] = None
    account_requests_per_minute: Annotated[
        Count | None, Meta(description="What an account may do that has no limit of its own. Empty: no limit.")
    ] = None
    account_tokens_per_minute: Annotated[
        Count | None, Meta(description="Tokens of its responses, read and written. Empty: no limit.")
    ] = None
    account_audio_minutes_per_day: Annotated[
        Count | None, Meta(description="Speech of its sessions, heard and made. Empty: no limit.")
    ] = None
    account_sessions_at_once: Annotated[
        Count | None, Meta(description="Sessions that are open together. Empty: only `sessions_max` bounds them.")
    ] = None
    upstream_url: Annotated[
        str, Meta(description="Another Realtime API (with /v1) that answers all realtime models. Empty: none.")
    ] = ""
    upstream_api_key: Annotated[str | None, _secret("Key for that API.")] = None
    upstream: Annotated[
        tuple[dict[str, Any], ...], Meta(description="Several of them: `[[upstream]]` tables of the settings file.")
    ] = ()
    route: Annotated[
        tuple[dict[str, Any], ...], Meta(description="Which of them answer a model: `[[route]]` tables.")
    ] = ()
    upstream_fallback: Annotated[
        Literal["none", "local"],
        Meta(description="Who answers when no upstream can be reached: nobody, or this machine. A route may differ."),
    ] = "none"
    webhook_url: Annotated[
        str, Meta(description="Where incoming calls are announced (realtime.call.incoming). Empty: nowhere.")
    ] = ""
    webhook_secret: Annotated[
        str | None,
        _secret("Signs announcements: whsec_…, as `parley webhooks secret` makes it; two with a space to change over."),
    ] = None
    allowed_networks: Annotated[
        str,
        Meta(description="Where URLs of others may lead besides public addresses: networks and names; with commas."),
    ] = ""
    twilio_auth_token: Annotated[
        str | None, _secret("Of the Twilio account: its media streams must be signed with it. Empty: not checked.")
    ] = None
    sip_port: Annotated[
        Port | None, Meta(description="UDP and TCP port of telephone calls (SIP). Empty: there are none.")
    ] = None
    sip_host: Annotated[str, Meta(description="Address on which they are taken. Empty: `host`.")] = ""
    sip_tls_port: Annotated[Port, Meta(description="The same over TLS, where there is a certificate.")] = 5_061
    sip_rtp_ports: Annotated[str, Meta(description="UDP ports of their sound.")] = "20000-20999"
    sip_address: Annotated[
        str, Meta(description="IP address to tell callers instead of this machine's own, as behind 1:1 NAT.")
    ] = ""
    sip_trunks: Annotated[
        Path | None, Meta(description="Who may call, and whom they reach (TOML). Empty: this machine, any number.")
    ] = None


class SettingsError(Exception):
    """A setting is wrong. The message is one line and says what to do."""


class Shown(NamedTuple):
    """A setting for people to read: secrets are hidden."""

    name: str
    value: str
    origin: str


class Row(NamedTuple):
    """One line of the settings table."""

    name: str
    env: str
    default: str
    reason: str


class Loaded(NamedTuple):
    """Settings, and where each value came from: `default`, `the environment (NAME)`, `FILE` or `--flag`."""

    settings: Settings
    origins: Mapping[str, str]

    def shown(self) -> list[Shown]:
        """Every setting in order, as `parley config show` prints it."""
        return [
            Shown(name, _text(getattr(self.settings, name), meta), self.origins[name]) for name, _, meta in _fields()
        ]


class _Given(NamedTuple):
    value: object
    origin: str


def load(
    flags: Mapping[str, object] | None = None,
    config: Path | None = None,
    environ: Mapping[str, str] | None = None,
    folder: Path | None = None,
) -> Loaded:
    """Settings from defaults, one file, the environment and flags (None: not given). Raises `SettingsError`.

    The file is the first that applies: `config` (it must exist), `PARLEY_CONFIG` (so must it), `parley.toml` in
    `folder` (the working directory), `config.toml` in the home of Parley.
    """
    env = os.environ if environ is None else environ
    given = _from_environment(env) | _from_flags(flags or {})
    home = _value("home", Path, given["home"]) if "home" in given else _default_home()
    given = _from_file(_find_file(config, env, folder or Path(), home)) | given
    given.setdefault("home", _Given(home, "default"))
    values = {name: _value(name, kind, given[name]) for name, kind, _ in _fields() if name in given}
    return Loaded(
        Settings(**values), {name: given[name].origin if name in given else "default" for name, _, _ in _fields()}
    )


def read_secret(variable: str, file: str) -> str:
    """A secret in an environment variable, or in a file of its own; both may be empty. Raises `ValueError`."""
    if variable:
        if not (value := os.environ.get(variable, "")):
            raise ValueError(f"the environment variable {variable} is not set")
        return value
    if not file:
        return ""
    try:
        return Path(file).expanduser().read_text("utf-8").strip()
    except (OSError, UnicodeDecodeError) as error:
        raise ValueError(f"{file} cannot be read") from error


def rows() -> list[Row]:
    """The settings table of the documentation."""
    table = []
    for name, _, meta in _fields():
        default = getattr(_EXAMPLE, name)
        shown = "the platform's data folder" if name == "home" else "" if default in (None, ()) else str(default)
        table.append(Row(name, PREFIX + name.upper(), shown, meta.description or ""))
    return table


def _default_home() -> Path:
    from platformdirs import user_data_path

    return user_data_path("parley", appauthor=False)


def _find_file(config: Path | None, env: Mapping[str, str], folder: Path, home: Path) -> Path | None:
    if config is None and env.get(FILE_VARIABLE):
        config = Path(env[FILE_VARIABLE])
    if config is not None:
        if not config.is_file():
            raise SettingsError(f"There is no settings file {config}; check --config and {FILE_VARIABLE}.")
        return config
    return next((path for path in (folder / LOCAL_FILE, home / HOME_FILE) if path.is_file()), None)


def _from_file(path: Path | None) -> dict[str, _Given]:
    if path is None:
        return {}
    try:
        content = tomllib.loads(path.read_text("utf-8"))
    except (OSError, UnicodeDecodeError, tomllib.TOMLDecodeError) as error:
        raise SettingsError(f"Cannot read {path}: {error}.") from error
    given = {}
    for name, value in _flat(content, ""):
        _check_known(name, name, f"{path}")
        given[name] = _Given(value, str(path))
    return given


def _flat(table: Mapping[str, object], prefix: str) -> list[tuple[str, object]]:
    """`[llm] url = …` and `llm_url = …` are the same."""
    flat: list[tuple[str, object]] = []
    for key, value in table.items():
        name = f"{prefix}{key}"
        flat += _flat(value, f"{name}_") if isinstance(value, dict) else [(name, value)]
    return flat


def _from_environment(env: Mapping[str, str]) -> dict[str, _Given]:
    """An empty variable counts as not set: that is how compose files leave things out."""
    given = {}
    for variable, value in env.items():
        if variable.startswith(PREFIX) and variable != FILE_VARIABLE:
            name = variable.removeprefix(PREFIX).lower()
            _check_known(name, variable, "the environment")
            if value:
                given[name] = _Given(value, f"the environment ({variable})")
    return given


def _from_flags(flags: Mapping[str, object]) -> dict[str, _Given]:
    return {name: _Given(value, f"--{name.replace('_', '-')}") for name, value in flags.items() if value is not None}


def _check_known(name: str, spelled: str, origin: str) -> None:
    names = [name for name, _, _ in _fields()]
    if name in names:
        return
    near = difflib.get_close_matches(name, names, n=1, cutoff=0.5)
    like = [PREFIX + guess.upper() if spelled.startswith(PREFIX) else guess for guess in near]
    hint = f" Did you mean {like[0]}?" if like else " `parley config show` lists them all."
    raise SettingsError(f"Unknown setting {spelled} in {origin}.{hint}")


def _value(name: str, kind: Any, given: _Given) -> Any:
    try:
        return msgspec.convert(given.value, kind, strict=False, dec_hook=_to_path)
    except msgspec.ValidationError as error:
        raise SettingsError(f"{name} (from {given.origin}) is wrong: {error}.") from None


def _to_path(kind: type, value: object) -> Path:
    if kind is not Path or not isinstance(value, str | Path):
        raise TypeError("expected a path")
    return Path(value).expanduser()


def _text(value: object, meta: Meta) -> str:
    if value is None:
        return ""
    return HIDDEN if (meta.extra or {}).get("secret") else str(value)


def _fields() -> list[tuple[str, Any, Meta]]:
    """Name, type and description of every setting, in order."""
    return [(field.name, field.type, _meta(field.type)) for field in msgspec.structs.fields(Settings)]


def _meta(kind: Any) -> Meta:
    """The outermost description of an annotated type."""
    described = [meta for meta in getattr(kind, "__metadata__", ()) if meta.description]
    return described[-1] if described else Meta()


_EXAMPLE: Final = Settings(home=Path())
