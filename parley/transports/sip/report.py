"""What is told of a call to people who look after the telephone, while it runs and for a while after."""

from typing import NamedTuple

from parley.transports.sip.call import SipCall
from parley.transports.sip.ladder import Ladder
from parley.transports.sip.quality import CallQuality


class Report(NamedTuple):
    """Moments in seconds of Unix time."""

    call_id: str
    trunk: str
    number: str
    """Of the table, that was reached."""
    account: str
    caller: str
    called: str
    state: str
    reason: str
    """Why it is over."""
    began_at: float
    ended_at: float | None
    peer: str
    transport: str
    codec: str
    """Empty before it is answered."""
    media_security: str
    session: str
    keys: tuple[tuple[float, str], ...]
    """Keys that the caller has pressed, and when."""
    transfer: int | None
    quality: CallQuality | None
    ladder: Ladder
    """It goes on: the last words are said after the end."""


def report_of(call: SipCall, ended_at: float | None = None) -> Report:
    agreed = call.media.agreed
    return Report(
        call_id=call.call_id,
        trunk=call.trunk.name,
        number=call.number.number,
        account=call.number.account,
        caller=call.caller,
        called=call.called,
        state=call.state,
        reason=call.reason,
        began_at=call.began_at,
        ended_at=ended_at,
        peer=call.flow.host,
        transport=call.flow.transport,
        codec="" if agreed is None else agreed.form.name,
        media_security=call.media_security,
        session="" if call.live is None else call.live.id,
        keys=tuple(call.pressed),
        transfer=call.transfer,
        quality=call.quality(),
        ladder=call.ladder,
    )
