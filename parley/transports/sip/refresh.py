"""A session timer that is ours to keep: UPDATE where the caller takes it, else a re-INVITE with nothing new in it."""

import asyncio

from parley.transports.sip.call import SipCall
from parley.transports.sip.grammar import words_of
from parley.transports.sip.timer import confirmed, wanted


async def refresh(call: SipCall) -> None:
    """Refreshes; hangs up where the caller knows of no such call any more (RFC 4028 10, RFC 3261 12.2.1.2)."""
    agreed = call.timer.agreed
    if agreed is None:
        return
    headers = [*wanted(agreed), ("Supported", "timer")]
    if "update" in words_of(call.served.request.headers.all("allow")):
        response = await call.ask("UPDATE", headers)
    else:
        body = call.describe(None)
        response = await call.ask("INVITE", [*headers, ("Content-Type", "application/sdp")], body.encode())
    if call.state != "talking":
        return
    if response is None or response.status in (408, 481):
        call.hang_up("the caller is gone")
    elif response.status < 300:
        call.dialog.refresh(response)
        call.timer.refreshed(confirmed(response.headers), asyncio.get_running_loop().time())
        call.on_answer(response)
