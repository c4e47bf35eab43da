"""POST /api/realtime/pipeline: a question in a form, its answer as JSON with an MP3 in it (protocol.md 1.8).

The question is a session of one turn (`live.one_turn`). The order of things: who asks, the form, the money, and only
then work: no file is decoded for somebody who cannot pay.
"""

import asyncio
import math
from collections.abc import Awaitable, Callable, Mapping
from contextlib import nullcontext
from typing import Annotated, Final, Literal, NamedTuple, TypeVar

import msgspec
import pybase64
from msgspec import Meta
from starlette.requests import ClientDisconnect, Request
from starlette.responses import JSONResponse, Response

from parley.auth.gate import Bearer
from parley.catalog import DEFAULT_VOICE, PIPELINE_MODELS
from parley.errors import RequestError
from parley.live.one_turn import Answer, Asked, Said, answer_of, config_of
from parley.live.session import LiveSession
from parley.transports.sound_files import Decoders, to_mp3
from parley.web.uploads import Form, Uploads

BEHAVIOUR_CHARS_MAX: Final = 4_000
"""protocol.md 1.8. Longer ones are refused: half of an instruction may be its opposite."""
MESSAGES_MAX: Final = 200
LISTENERS_MAX: Final = 8
"""Questions with sound that are answered at once; each may keep 100 MB meanwhile. Others wait, and hold no credits."""
MP3: Final = "audio/mpeg"
ENDED: Final = 1_000

Done = TypeVar("Done")


class Recent(msgspec.Struct):
    """An element of `messages`."""

    role: Literal["user", "assistant", "system"]
    text: str


_messages = msgspec.json.Decoder(Annotated[list[Recent], Meta(max_length=MESSAGES_MAX)])


class Question(NamedTuple):
    asked: Asked
    form: Form


class Pipeline:
    """Belongs to one event loop. `open_session` starts a metered session of the bearer's (`RequestError`)."""

    def __init__(
        self,
        open_session: Callable[[Asked, Bearer], Awaitable[LiveSession]],
        settled: Callable[[str], Awaitable[None]],
        engine: str,
    ) -> None:
        """`settled` returns when what a session has cost is on the disk; `engine` is the name of what thinks."""
        self._open_session = open_session
        self._settled = settled
        self._engine = engine
        self._uploads = Uploads()
        self._decoders = Decoders()
        self._listeners = asyncio.Semaphore(LISTENERS_MAX)

    async def answer(self, request: Request, bearer: Bearer) -> Response:
        """Raises `RequestError` and `EngineError`, and `ClientDisconnect` when nobody waits for the answer any more."""
        async with self._uploads.read(request) as form:
            asked = question(form)
            async with nullcontext() if form.audio is None else self._listeners:
                live = await self._open_session(asked, bearer)
                try:
                    answer = await unless_gone(request, answer_of(live, asked, self._hear(form)))
                finally:
                    live.close(ENDED, "")  # cancelled before it had begun
                    await self._settled(live.id)
        return await self._told(asked, answer)

    def _hear(self, form: Form) -> Callable[[], Awaitable[bytes]] | None:
        """How to get at the sound of the form, if there is any."""
        file = form.audio
        return None if file is None else lambda: self._decoders.decode(file)

    async def _told(self, asked: Asked, answer: Answer) -> Response:
        mp3 = await to_mp3(answer.pcm)
        return JSONResponse(
            {
                "transcript": answer.transcript,
                "assistantText": answer.text,
                "audioBase64": pybase64.b64encode(mp3).decode(),
                "audioContentType": MP3,
                "model": self._engine,
                "modelId": asked.model,
                "voice": asked.voice,
            },
            headers={"cache-control": "no-store"},
        )


async def unless_gone(request: Request, work: Awaitable[Done]) -> Done:
    """What `work` gives. Raises `ClientDisconnect` when the client leaves before; then the work is cancelled."""
    doing = asyncio.ensure_future(work)
    leaving = asyncio.ensure_future(_gone(request))
    try:
        await asyncio.wait((doing, leaving), return_when=asyncio.FIRST_COMPLETED)
        if not doing.done():
            raise ClientDisconnect
        return doing.result()
    finally:
        doing.cancel()
        leaving.cancel()
        await asyncio.gather(doing, leaving, return_exceptions=True)


async def _gone(request: Request) -> None:
    """Returns when the client has left. The body must have been read."""
    while (await request.receive())["type"] != "http.disconnect":
        pass


# ---- the fields


def question(form: Form) -> Asked:
    """Raises `RequestError`."""
    fields = form.fields
    check_model(fields.get("model"), PIPELINE_MODELS)
    _check_hint(fields.get("durationSeconds", ""))
    instructions = fields.get("instructions", "")
    if len(instructions) > BEHAVIOUR_CHARS_MAX:
        raise RequestError(
            "invalid_value",
            f"The instructions have {len(instructions)} characters; at most {BEHAVIOUR_CHARS_MAX} are allowed.",
            "instructions",
        )
    text = fields.get("text", "")
    if not text.strip() and form.audio is None:
        raise RequestError("missing_required_parameter", "Provide text, audio, or both.", "text")
    asked = Asked(
        model=fields["model"],
        voice=fields.get("voice") or DEFAULT_VOICE,
        instructions=instructions,
        messages=_recent(fields),
        text=text.strip(),
    )
    config_of(asked)
    return asked


def check_model(model: object, models: tuple[str, ...]) -> str:
    """Raises `RequestError`."""
    if model is None or model == "":
        raise RequestError("missing_required_parameter", "Missing required parameter: 'model'.", "model")
    if not isinstance(model, str) or model not in models:
        raise RequestError("unsupported_model", f"This endpoint accepts: {', '.join(models)}.", "model")
    return model


def _recent(fields: Mapping[str, str]) -> tuple[Said, ...]:
    raw = fields.get("messages", "").strip()
    if not raw:
        return ()
    try:
        messages = _messages.decode(raw)
    except (msgspec.MsgspecError, RecursionError) as error:
        raise RequestError(
            "invalid_value",
            f'Invalid \'messages\': {error}. Send JSON such as [{{"role":"user","text":"Hello"}}], '
            f"{MESSAGES_MAX} at most.",
            "messages",
        ) from error
    return tuple(Said(message.role, message.text) for message in messages if message.text.strip())


def _check_hint(seconds: str) -> None:
    """`durationSeconds` is a hint that nobody needs: the sound says how long it is. It must make sense, though."""
    try:
        sensible = not seconds.strip() or (math.isfinite(float(seconds)) and float(seconds) >= 0)
    except ValueError:
        sensible = False
    if not sensible:
        raise RequestError("invalid_value", "durationSeconds must be a number of seconds.", "durationSeconds")
