"""POST /api/realtime/charge: a call is over, and this is its bill (protocol.md 1.8).

What a call costs is metered while it goes on, whether or not anybody asks. To charge it is to end it, wait until its
last word is paid, and read the bill; so it may be asked for never, twice, at once or next week, with the same result.
"""

from collections.abc import Awaitable, Callable, Mapping
from contextlib import suppress
from typing import Any, Final

import msgspec
from starlette.responses import Response

from parley.auth.gate import Bearer
from parley.billing.book import credits_text
from parley.billing.calls import Bill, Call, CallBook
from parley.catalog import CALL_MODELS
from parley.errors import EngineError, RequestError
from parley.transports.rtc.calls import Calls
from parley.web.pipeline import check_model

JSON: Final = "application/json"
CALL_ID_CHARS_MAX: Final = 128


class Charges:
    """`settled` returns when what a session of this process has cost is on the disk."""

    def __init__(self, calls: Calls, book: CallBook, settled: Callable[[str], Awaitable[None]]) -> None:
        self._calls = calls
        self._book = book
        self._settled = settled

    async def begin(self, call: Call, bearer: Bearer) -> None:
        """Writes down that there is this call. What cannot be charged for does not begin: it is hung up."""
        try:
            await self._book.begin(call)
        except BaseException:
            self._hang_up(call.id, bearer)
            raise

    async def charge(self, bearer: Bearer, asked: Mapping[str, Any]) -> Response:
        """Raises `RequestError`; `EngineError` with `call_not_settled` while nobody knows the last word."""
        model = check_model(asked.get("model"), CALL_MODELS)
        bill = await self._bill(asked.get("callId"), bearer)
        if bill.call.model != model:
            raise RequestError("unsupported_model", f"This call was started with {bill.call.model}.", "model")
        if not bill.settled:
            self._hang_up(bill.call.id, bearer)
            await self._settled(bill.call.session)
            bill = await self._bill(bill.call.id, bearer)
        if not bill.settled:
            raise EngineError(
                "call_not_settled",
                "The server that had this call is gone, or has it still. Ask again in half a minute.",
                retryable=True,
            )
        return Response(body_of_bill(bill), media_type=JSON, headers={"cache-control": "no-store"})

    async def _bill(self, call_id: object, bearer: Bearer) -> Bill:
        if call_id is None or call_id == "":
            raise RequestError("missing_required_parameter", "Missing required parameter: 'callId'.", "callId")
        if not isinstance(call_id, str):
            raise RequestError("invalid_type", "Invalid type for 'callId': expected a string.", "callId")
        bill = await self._book.bill(call_id, bearer.account) if len(call_id) <= CALL_ID_CHARS_MAX else None
        if bill is None:
            raise RequestError("call_not_found", f"There is no call {call_id[:64]!r}.", "callId")
        return bill

    def _hang_up(self, call_id: str, bearer: Bearer) -> None:
        with suppress(RequestError):  # it has ended by itself, or another process has it
            self._calls.hang_up(call_id, bearer)


def body_of_bill(bill: Bill) -> bytes:
    """JSON. Credits are exact decimal numbers; cached tokens are part of the input."""
    call, used = bill.call, bill.used
    assert bill.ended_at is not None
    return msgspec.json.encode(
        {
            "callId": call.id,
            "model": call.model,
            "voice": call.voice,
            "status": "charged",
            "creditsCharged": msgspec.Raw(credits_text(bill.charged).encode()),
            "creditsRemaining": msgspec.Raw(credits_text(bill.available).encode()),
            "startedAt": call.started_at // 1_000,
            "endedAt": bill.ended_at // 1_000,
            "durationSeconds": max(0, bill.ended_at - call.started_at) / 1_000,
            "usage": {
                "inputTextTokens": used.input_text,
                "inputAudioTokens": used.input_audio,
                "inputImageTokens": used.input_image,
                "cachedTextTokens": used.cached_text,
                "cachedAudioTokens": used.cached_audio,
                "cachedImageTokens": used.cached_image,
                "outputTextTokens": used.output_text,
                "outputAudioTokens": used.output_audio,
            },
        }
    )
