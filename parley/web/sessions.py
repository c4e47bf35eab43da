"""Sessions of the signed-in account, live and past, for the console.

    GET    /api/sessions?limit=50&after=…     newest first; `next` of the answer is `after` of the next page
    GET    /api/sessions/{id}                 figures of every turn, usage, and the transcript where it is kept
    GET    /api/sessions/{id}/audio           Ogg Opus, user left, assistant right; ranges, `?download=1`
    DELETE /api/sessions/{id}

How much is kept, and for how long, the operator says (`record`, `record_days`).
"""

import re
from collections.abc import Awaitable, Callable, Mapping, Sequence
from typing import Any, Final

import msgspec
from starlette.requests import Request
from starlette.responses import FileResponse, Response
from starlette.routing import Route

from parley.errors import RequestError
from parley.live.past import Place, Saved, Summary
from parley.live.recording import Recordings
from parley.live.tape import PEAKS_PER_S
from parley.web.answers import PRIVATE, private
from parley.web.sign_in import Visitor

MEDIA_TYPE: Final = "audio/ogg"
PAGE_MAX: Final = 200
PAGE: Final = 50
PLACE: Final = re.compile(r"(\d{1,15})\.([A-Za-z0-9_-]{1,128})")
"""A place in the list: milliseconds of Unix time, and an id."""

Who = Callable[[Request], Awaitable[Visitor]]
"""Who sent a request. Raises `RequestError`."""
Charged = Callable[[str, Sequence[str], int], Awaitable[dict[str, int]]]
"""Account, sessions, when the first of them began (milliseconds) -> micro-credits in the ledger for each of them."""


def routes(recordings: Recordings, who: Who, charged: Charged) -> list[Route]:
    async def page(request: Request) -> Response:
        visitor = await who(request)
        limit, after = _limit(request), _place(request)
        found = await recordings.page(visitor.user.account, limit + 1, after)
        following = found[limit - 1] if len(found) > limit else None
        prices = await _prices(visitor.user.account, found[:limit])
        return private(
            {
                "data": [_told(summary, prices) for summary in found[:limit]],
                "next": following and f"{following.opened_at}.{following.id}",
            }
        )

    async def one(request: Request) -> Response:
        visitor = await who(request)
        saved = await recordings.one(visitor.user.account, request.path_params["session_id"])
        return private(_told_whole(saved, await _prices(visitor.user.account, [saved.summary])))

    async def _prices(account: str, found: Sequence[Summary]) -> dict[str, int]:
        if not found:
            return {}
        return await charged(account, [one.id for one in found], min(one.opened_at for one in found))

    async def sound(request: Request) -> Response:
        visitor = await who(request)
        path = await recordings.sound(visitor.user.account, request.path_params["session_id"])
        kind = "attachment" if "download" in request.query_params else "inline"
        return FileResponse(
            path, headers=PRIVATE, media_type=MEDIA_TYPE, filename=path.name, content_disposition_type=kind
        )

    async def forget(request: Request) -> Response:
        visitor = await who(request)
        await recordings.forget(visitor.user.account, request.path_params["session_id"])
        return Response(status_code=204)

    return [
        Route("/api/sessions", page),
        Route("/api/sessions/{session_id}", one),
        Route("/api/sessions/{session_id}", forget, methods=["DELETE"]),
        Route("/api/sessions/{session_id}/audio", sound),
    ]


def _limit(request: Request) -> int:
    given = request.query_params.get("limit", str(PAGE))
    if not (given.isdecimal() and 1 <= int(given) <= PAGE_MAX):
        raise RequestError("invalid_value", f"Invalid 'limit'. Use a number from 1 to {PAGE_MAX}.", "limit")
    return int(given)


def _place(request: Request) -> Place | None:
    given = request.query_params.get("after")
    if given is None:
        return None
    place = PLACE.fullmatch(given)
    if place is None:
        raise RequestError("invalid_value", "Invalid 'after'. Use the `next` of the page before.", "after")
    return Place(int(place[1]), place[2])


def _told(summary: Summary, prices: Mapping[str, int]) -> dict[str, Any]:
    """Moments in seconds of Unix time."""
    return {
        "id": summary.id,
        "call_id": summary.call_id,
        "model": summary.model,
        "record": summary.record,
        "opened_at": summary.opened_at / 1_000,
        "ended_at": None if summary.ended_at is None else summary.ended_at / 1_000,
        "turns": summary.turns,
        "input_tokens": summary.input_tokens,
        "output_tokens": summary.output_tokens,
        "sound": summary.sound,
        "sound_ms": summary.sound_ms,
        "charged_micro": prices.get(summary.id, 0),
    }


def _told_whole(saved: Saved, prices: Mapping[str, int]) -> dict[str, Any]:
    """`transcript` is null where none is kept; `peaks` in base64, bytes of user and assistant in turn."""
    words = saved.words
    return {
        **_told(saved.summary, prices),
        "turns": msgspec.json.decode(saved.figures.turns),
        "usage": msgspec.json.decode(saved.figures.usage),
        "transcript": None if words is None else msgspec.json.decode(words.lines),
        "transcript_cut": words is not None and words.cut,
        "peaks": "" if words is None else words.peaks,
        "peaks_per_s": PEAKS_PER_S,
    }
