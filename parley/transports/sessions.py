"""Sessions that are described over HTTP: a client secret's, a call's (protocol.md 1.2, 1.3, 1.5). JSON in, config out.

request = secret_request(body, kind)    # raises RequestError, in the client's spelling
secret_response(kind, request, minted)  # the effective session, as its dialect shows it
"""

import re
from collections.abc import Callable, Mapping
from typing import Any, Final, Literal, NamedTuple

import msgspec

from parley.auth.client_secrets import (
    BETA_SECONDS_DEFAULT,
    ORIGINS_MAX,
    SECONDS_DEFAULT,
    SECONDS_MAX,
    SECONDS_MIN,
    USES_MAX,
    Binding,
    DialectName,
    Minted,
)
from parley.catalog import DEFAULT_MODEL, VOICES
from parley.core.config import RealtimeConfig, SessionConfig, TranscriptionConfig, configured, shown
from parley.core.shapes import shape
from parley.dialects import beta
from parley.dialects.base import Dialect
from parley.dialects.ga import GA
from parley.errors import RequestError
from parley.ids import new_id

Kind = Literal["client_secrets", "sessions", "transcription_sessions"]
"""The last word of the address at which a secret is made."""

DIALECTS: Final[Mapping[DialectName, Dialect]] = {"ga": GA, "beta": beta.BETA}
OURS: Final = ("id", "object", "expires_at")
"""Keys of a session that are ours to say; clients that echo one back may send them."""
MODEL_NAME: Final = re.compile(r"[\w.:/@-]{1,128}")
ECHO_CHARS_MAX: Final = 64


Check = Callable[[SessionConfig], object]
"""Raises `RequestError` for a session that could never begin here."""


class Secret(NamedTuple):
    """What a client secret shall be: protocol.md 1.2, and two fields of our own, `max_uses` and `allowed_origins`."""

    config: SessionConfig
    model_bound: bool
    seconds: int
    uses: int | None
    origins: tuple[str, ...]


# ---- what a client asks for


def model_name(name: str) -> str:
    """Something that may be a model's name; whether there is such a model the house knows.

    Raises `RequestError` with `model_not_found`.
    """
    if not MODEL_NAME.fullmatch(name):
        raise RequestError("model_not_found", f"The model {name[:ECHO_CHARS_MAX]!r} does not exist here.", "model")
    return name


def ga_session(session: Any, model: str | None = None) -> SessionConfig:
    """The configuration that a client's GA session object describes. `model` counts where it names none."""
    if isinstance(session, dict) and "temperature" in session:
        param = "session.temperature"
        raise RequestError("unknown_parameter", f"Unknown parameter: '{param}'.", param)
    return _session(session, model)


def _session(session: Any, model: str | None) -> SessionConfig:
    """GA spelling, with what only the beta has."""
    patch = {key: value for key, value in shape(session, dict, "session").items() if key not in OURS}
    voices = frozenset(VOICES)
    match patch.get("type"):
        case "realtime":
            named = shape(patch.setdefault("model", model or DEFAULT_MODEL), str, "session.model")
            return configured(patch, RealtimeConfig(model=model_name(named)), voices)
        case "transcription":
            return configured(patch, TranscriptionConfig(), voices)
        case None:
            param = "session.type"
            raise RequestError("missing_required_parameter", f"Missing required parameter: '{param}'.", param)
        case other:
            raise RequestError(
                "invalid_value",
                f"Invalid value: {str(other)[:ECHO_CHARS_MAX]!r}. Supported values are: 'realtime', 'transcription'.",
                "session.type",
            )


def read_json(body: bytes) -> dict[str, Any]:
    """An object, or nothing at all for an empty one. Raises `RequestError`."""
    if not body.strip():
        return {}
    try:
        return msgspec.json.decode(body, type=dict[str, Any])
    except (msgspec.MsgspecError, UnicodeError, RecursionError) as error:
        raise RequestError("invalid_event", "The body is not a JSON object.") from error


def secret_request(body: bytes, kind: Kind) -> Secret:
    """What a request for a client secret asks for. Raises `RequestError`, with paths in the spelling of its dialect."""
    asked = read_json(body)
    if kind == "client_secrets":
        return _ga_secret(asked)
    try:
        return _beta_secret(asked, kind)
    except RequestError as error:
        raise _in_beta(error) from error


def _ga_secret(asked: dict[str, Any]) -> Secret:
    _check_keys(asked, ("session", "expires_after", "max_uses", "allowed_origins"))
    session = asked.get("session")
    config: SessionConfig = RealtimeConfig(model=DEFAULT_MODEL) if session is None else ga_session(session)
    bound = isinstance(config, TranscriptionConfig) or (isinstance(session, dict) and "model" in session)
    seconds = _seconds(asked.get("expires_after"), "expires_after", SECONDS_DEFAULT)
    return Secret(config, bound, seconds, _uses(asked), _origins(asked))


def _beta_secret(asked: dict[str, Any], kind: Kind) -> Secret:
    own = ("max_uses", "allowed_origins")
    flat = {key: value for key, value in asked.items() if key not in own}
    fields, name = (beta.SESSION, "realtime") if kind == "sessions" else (beta.TRANSCRIPTION, "transcription")
    options = flat.get("client_secret")
    after = None
    if options is not None:  # the transcription sessions spell it `expires_at` (protocol.md 1.5)
        known = shape(options, dict, "client_secret")
        after = known.get("expires_after", known.get("expires_at"))
    config = _session({"type": name, **beta.nested(flat, fields, "session")}, None)
    bound = name == "transcription" or "model" in flat
    seconds = _seconds(after, "client_secret.expires_after", BETA_SECONDS_DEFAULT)
    return Secret(config, bound, seconds, _uses(asked), _origins(asked))


def _in_beta(error: RequestError) -> RequestError:
    """The same error, with the path as a flat session has it: it is the body itself."""
    if error.param is None:
        return error
    spelled = beta.param(error.param).removeprefix("session.")
    return RequestError(error.code, error.message.replace(f"'{error.param}'", f"'{spelled}'"), spelled)


def _check_keys(asked: Mapping[str, Any], known: tuple[str, ...]) -> None:
    for key in asked:
        if key not in known:
            named = key[:ECHO_CHARS_MAX]
            raise RequestError("unknown_parameter", f"Unknown parameter: '{named}'.", named)


def _seconds(after: Any, path: str, default: int) -> int:
    if after is None:
        return default
    known = shape(after, dict, path)
    if known.get("anchor", "created_at") != "created_at":
        raise RequestError(
            "invalid_value", f"Invalid '{path}.anchor'. Supported values are: 'created_at'.", f"{path}.anchor"
        )
    return _whole(known.get("seconds", default), f"{path}.seconds", SECONDS_MIN, SECONDS_MAX)


def _uses(asked: Mapping[str, Any]) -> int | None:
    uses = asked.get("max_uses")
    return None if uses is None else _whole(uses, "max_uses", 1, USES_MAX)


def _whole(value: Any, path: str, least: int, most: int) -> int:
    number = shape(value, int, path)
    if not least <= number <= most:
        raise RequestError("invalid_value", f"Invalid '{path}': expected {least} to {most}, but got {number}.", path)
    return number


def _origins(asked: Mapping[str, Any]) -> tuple[str, ...]:
    origins = shape(asked.get("allowed_origins") or [], list, "allowed_origins")
    if len(origins) > ORIGINS_MAX:
        raise RequestError("invalid_value", f"At most {ORIGINS_MAX} origins may be named.", "allowed_origins")
    return tuple(shape(origin, str, f"allowed_origins[{at}]").rstrip("/").lower() for at, origin in enumerate(origins))


# ---- what it is told


def secret_response(kind: Kind, secret: Secret, minted: Minted) -> dict[str, Any]:
    """The answer's body: the value, and the session that it is for."""
    session = {"id": new_id("sess"), "object": _object(secret.config), **shown(secret.config)}
    if kind == "client_secrets":
        return {
            "value": minted.value,
            "expires_at": minted.expires_at,
            "session": {**session, "expires_at": minted.expires_at},
        }
    fields = beta.SESSION if kind == "sessions" else beta.TRANSCRIPTION
    told = beta.flat({**session, "expires_at": 0}, fields)
    if kind == "sessions":
        told = {"temperature": beta.TEMPERATURE, **told}
    return {**told, "client_secret": {"value": minted.value, "expires_at": minted.expires_at}}


def _object(config: SessionConfig) -> str:
    return "realtime.session" if isinstance(config, RealtimeConfig) else "realtime.transcription_session"


# ---- what somebody admitted may start


def bound_config(binding: Binding | None, asked: SessionConfig | None, model: str | None) -> SessionConfig:
    """The configuration of a new session: a secret's own, else what the request describes, else the named model's.

    A secret's configuration cannot be replaced by a request, and neither can its model, unless it names none.
    """
    if binding is not None:
        config = binding.config
        free = isinstance(config, RealtimeConfig) and not binding.model_bound
        return msgspec.structs.replace(config, model=model_name(model)) if free and model else config
    return asked or RealtimeConfig(model=model_name(model or DEFAULT_MODEL))
