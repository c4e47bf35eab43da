"""Calls that others decide about over REST (protocol.md 1.4): what a telephone door offers, and what it may be asked.

The door itself is `transports/sip`. Where there is none, `NO_PHONES` stands in its place: no call is there.
"""

from typing import Annotated, Any, Final, NoReturn, Protocol, TypeVar

import msgspec
from msgspec import Meta

from parley.auth.gate import Bearer
from parley.core.config import RealtimeConfig, SessionConfig
from parley.core.inputs import Pressed
from parley.core.shapes import shape
from parley.errors import RequestError
from parley.live.session import LiveSession
from parley.transports.sessions import ga_session, read_json

DECLINE: Final = 603
"""protocol.md 1.4: the status of SIP where none is given."""
STATUS_MIN: Final = 300
STATUS_MAX: Final = 699
TARGET_CHARS_MAX: Final = 512

T = TypeVar("T")


class RingingCalls(Protocol):
    """Every method raises `RequestError` with `session_not_found` for a call that the bearer may not reach.

    The same for a call that is past it: of two that decide about a ringing call the first one wins, and the other is
    told that it is gone. That answer is not repeated by the official clients, as 409 would be.
    """

    async def accept(self, call_id: str, config: SessionConfig, bearer: Bearer) -> None:
        """Returns when the call is answered. Raises `RequestError` too where no session can be opened."""

    def reject(self, call_id: str, status: int, bearer: Bearer) -> None:
        """Only while it rings; `status` is the caller's answer in SIP."""

    async def refer(self, call_id: str, target: str, bearer: Bearer) -> None:
        """Returns when the caller's side has agreed. Raises `RequestError` for a target that is not allowed."""

    def hang_up(self, call_id: str, bearer: Bearer) -> None:
        """Ringing or not."""


class _NoPhones:
    async def accept(self, call_id: str, config: SessionConfig, bearer: Bearer) -> None:
        raise no_call(call_id)

    def reject(self, call_id: str, status: int, bearer: Bearer) -> None:
        raise no_call(call_id)

    async def refer(self, call_id: str, target: str, bearer: Bearer) -> None:
        raise no_call(call_id)

    def hang_up(self, call_id: str, bearer: Bearer) -> None:
        raise no_call(call_id)


NO_PHONES: Final[RingingCalls] = _NoPhones()


class NoTelephone:
    """Where nobody calls: what stands in for `parley.telephone`, which takes half a second and 20 MB to load."""

    sip = None
    phones: RingingCalls = NO_PHONES

    async def begin(self) -> None: ...

    async def end(self) -> None: ...

    def drain(self) -> None: ...

    def find(self, call_id: str, bearer: Bearer) -> NoReturn:
        raise no_call(call_id)


def pressed(live: LiveSession, key: str, at: int) -> None:
    """A caller has pressed a key, at `at` seconds of Unix time."""
    live.post(Pressed(key=key, at=at))


def no_call(call_id: str) -> RequestError:
    return RequestError("session_not_found", f"No call with the id {call_id[:64]!r} is running.", "call_id")


# ---- what is asked; the body is the object itself, so that paths have no beginning


class _Reject(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    status_code: int = DECLINE


class _Refer(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    target_uri: Annotated[str, Meta(min_length=1, max_length=TARGET_CHARS_MAX)]


def accepted_session(body: bytes) -> RealtimeConfig:
    """The session with which a call is answered. Raises `RequestError`."""
    asked = read_json(body)
    try:
        config = ga_session(asked)
    except RequestError as error:
        raise _without_root(error) from error
    if not isinstance(config, RealtimeConfig):
        raise RequestError("invalid_value", "Invalid value: 'transcription'. Supported values are: 'realtime'.", "type")
    return config


def rejected_status(body: bytes) -> int:
    """Raises `RequestError`."""
    status = _shaped(read_json(body), _Reject).status_code
    if not STATUS_MIN <= status <= STATUS_MAX:
        message = f"Invalid 'status_code': expected {STATUS_MIN} to {STATUS_MAX}, but got {status}."
        raise RequestError("invalid_value", message, "status_code")
    return status


def transfer_target(body: bytes) -> str:
    """Raises `RequestError`. Whether the call may go there, its door decides."""
    return _shaped(read_json(body), _Refer).target_uri


def _shaped(asked: dict[str, Any], kind: type[T]) -> T:
    try:
        return shape(asked, kind, "session")
    except RequestError as error:
        raise _without_root(error) from error


def _without_root(error: RequestError) -> RequestError:
    """`session.audio` of other requests is `audio` here."""
    if error.param is None:
        return error
    param = error.param.removeprefix("session.")
    return RequestError(error.code, error.message.replace(f"'{error.param}'", f"'{param}'"), param)
