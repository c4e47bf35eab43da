"""The engine that lives on this machine: speech to text, language model, text to speech, each a backend.

    Transcribe   mailbox -> SpeechToText -> Transcribed …
    Generate     prompt -> LanguageModel -> Sentences -> TextToSpeech -> Said, Spoke …, Called …, Generated

Everything streams. While one piece is being spoken the model's next words are collected, and the speech of the next
piece is already being made (`LOOK_AHEAD`); the sound comes in the order of the words all the same. Function calls do
not wait for speech. Closing the generator stops every backend at once.
"""

import asyncio
from collections.abc import AsyncGenerator, AsyncIterator, Coroutine, Iterator
from contextlib import AbstractAsyncContextManager, aclosing
from typing import Any, Final, TypeVar, assert_never, cast

from msgspec import UNSET, UnsetType

from parley.audio.codecs import Decoder
from parley.core.config import AudioFormat, Pcm, format_name
from parley.core.effects import Attend, Audio, Call, End, Generate, Message, Transcribe, Work
from parley.core.effects import Peek as PeekMessage
from parley.core.inputs import AnyInput, Called, Ended, Generated, Said, Spoke, Transcribed
from parley.core.inputs import Thought as ThoughtInput
from parley.engines.base import (
    CallDelta,
    Finished,
    LanguageModel,
    Peek,
    SpeechToText,
    TextToSpeech,
    Thought,
    Transcript,
    TranscriptionRequest,
    Words,
)
from parley.engines.prompt import prompt_of
from parley.engines.sentences import Sentences
from parley.errors import EngineError

LOOK_AHEAD: Final = 1
"""Pieces whose speech is made while an earlier one is still being passed on."""
POSTS_MAX: Final = 32
"""Inputs that wait for a session whose client is slow; then the backends wait too."""
PIECE_CHUNKS_MAX: Final = 512
"""Sound of one piece that may be made ahead: 100 s in chunks of 200 ms."""
THOUGHT_CHARS: Final = 400
"""Thoughts are told in lumps of this size: they are only counted."""

T = TypeVar("T")


class Cascade:
    """`Engine` on three backends."""

    def __init__(self, stt: SpeechToText, llm: LanguageModel, tts: TextToSpeech) -> None:
        self._stt = stt
        self._llm = llm
        self._tts = tts

    def run(self, work: Work, mailbox: AsyncIterator[Message]) -> AsyncGenerator[AnyInput, None]:
        """See `Engine.run`."""
        match work:
            case Transcribe():
                return self._transcribe(work, mailbox)
            case Generate():
                return self._speak(work) if work.spoken else self._write(work)
            case Attend():
                raise EngineError("backend_unavailable", "This engine calls no MCP servers.")
            case _:
                assert_never(work)

    async def _transcribe(self, work: Transcribe, mailbox: AsyncIterator[Message]) -> AsyncGenerator[AnyInput, None]:
        request = _request(work)
        async with _closing(self._stt.transcribe(_sound(mailbox, work.format), request)) as transcripts:
            async for transcript in transcripts:
                yield _transcribed(work.work_id, transcript)

    async def _write(self, work: Generate) -> AsyncGenerator[AnyInput, None]:
        """An answer to be read."""
        outputs = Outputs(work.work_id)
        finished = Finished()
        async with _closing(self._llm.generate(prompt_of(work))) as pieces:
            async for piece in pieces:
                match piece:
                    case Words():
                        if text := outputs.words(piece.text):
                            yield Said(work_id=work.work_id, output=outputs.message(), text=text)
                    case Thought():
                        for event in outputs.thought(piece.text):
                            yield event
                    case CallDelta():
                        for event in outputs.call(piece):
                            yield event
                    case Finished():
                        finished = piece
                    case _:
                        assert_never(piece)
        for event in outputs.end():
            yield event
        yield _generated(work.work_id, finished)

    async def _speak(self, work: Generate) -> AsyncGenerator[AnyInput, None]:
        """An answer to be heard: one task thinks, one speaks, and both post what the session shall hear of."""
        answer = _Spoken(work, self._llm, self._tts)
        try:
            while (event := await answer.posts.get()) is not None:
                if isinstance(event, Exception):
                    raise event
                yield event
        finally:
            await answer.stop()


class Outputs:
    """Numbers the outputs of one response: stretches of text, and calls. Text after a call is a new output."""

    def __init__(self, work_id: str) -> None:
        self._work_id = work_id
        self._next = 0
        self._message: int | None = None
        self._calls: dict[int, int] = {}
        self._thought = ""
        self.preambles: set[int] = set()
        """Messages behind which a call came."""

    def words(self, text: str) -> str:
        """`text` without the white space that a message does not begin with."""
        return text if self._message is not None else text.lstrip()

    def message(self) -> int:
        """The output that text belongs to now."""
        if self._message is None:
            self._message = self._take()
        return self._message

    def leave_message(self) -> int | None:
        """The output that has all its text, if there was one."""
        left, self._message = self._message, None
        return left

    def call(self, delta: CallDelta) -> Iterator[AnyInput]:
        """The inputs that a piece of a call becomes. A new call ends the message before it."""
        output = self._calls.get(delta.index)
        if output is None:
            if (left := self.leave_message()) is not None:
                self.preambles.add(left)
                yield self.ended(left)
            output = self._calls[delta.index] = self._take()
        yield Called(
            work_id=self._work_id, output=output, name=delta.name, call_id=delta.call_id, arguments=delta.arguments
        )

    def thought(self, text: str) -> Iterator[AnyInput]:
        """A piece of what the model thinks, told when it is worth it."""
        self._thought += text
        if len(self._thought) >= THOUGHT_CHARS:
            yield from self._tell_thought()

    def ended(self, message: int) -> Ended:
        """All of the message is there, its sound too where it has one."""
        return Ended(work_id=self._work_id, output=message, preamble=message in self.preambles)

    def end(self) -> Iterator[AnyInput]:
        """Everything that is still open is complete."""
        yield from self._tell_thought()
        if (left := self.leave_message()) is not None:
            yield self.ended(left)
        for output in self._calls.values():
            yield Ended(work_id=self._work_id, output=output)

    def _tell_thought(self) -> Iterator[AnyInput]:
        if self._thought:
            yield ThoughtInput(work_id=self._work_id, text=self._thought)
            self._thought = ""

    def _take(self) -> int:
        taken, self._next = self._next, self._next + 1
        return taken


class _Piece:
    """A piece of text and, as it is being made, its sound: chunks, then None, or what went wrong."""

    def __init__(self, output: int, text: str) -> None:
        self.output = output
        self.text = text
        self.sound: asyncio.Queue[bytes | Exception | None] = asyncio.Queue(PIECE_CHUNKS_MAX)


class _Spoken:
    """One spoken answer on its way. `posts` brings its inputs, then None, or what went wrong."""

    def __init__(self, work: Generate, llm: LanguageModel, tts: TextToSpeech) -> None:
        self.posts: asyncio.Queue[AnyInput | Exception | None] = asyncio.Queue(POSTS_MAX)
        self._work = work
        self._llm = llm
        self._tts = tts
        self._outputs = Outputs(work.work_id)
        self._sentences = Sentences()
        self._said = False
        self._ends: list[AnyInput] = []
        """Of outputs that end together with the answer."""
        self._pieces: asyncio.Queue[_Piece | None] = asyncio.Queue()  # bounded by the model's own output limit
        self._slots = asyncio.Semaphore(1 + LOOK_AHEAD)
        self._finished = Finished()
        self._tasks: list[asyncio.Task[None]] = []
        self._start(self._guarded(self._think()))
        self._start(self._guarded(self._pass_on()))

    async def stop(self) -> None:
        """Returns when nothing runs any more."""
        for task in self._tasks:
            task.cancel()
        await asyncio.gather(*self._tasks, return_exceptions=True)

    # ---- thinking

    async def _think(self) -> None:
        async with _closing(self._llm.generate(prompt_of(self._work))) as pieces:
            async for piece in pieces:
                match piece:
                    case Words():
                        for text in self._sentences.push(piece.text):
                            self._say(text)
                    case Thought():
                        for event in self._outputs.thought(piece.text):
                            await self.posts.put(event)
                    case CallDelta():
                        await self._call(piece)
                    case Finished():
                        self._finished = piece
                    case _:
                        assert_never(piece)
        self._finish_message(preamble=False)
        ends = list(self._outputs.end())
        if self._said:
            for event in ends:
                await self.posts.put(event)
        else:  # nothing is spoken, so the end is near: a call that is over must not be seen before its response is
            self._ends = ends
        self._pieces.put_nowait(None)

    def _say(self, text: str) -> None:
        if text := self._outputs.words(text):
            piece = _Piece(self._outputs.message(), text)
            self._said = True
            self._pieces.put_nowait(piece)
            self._start(self._voice(piece))

    def _finish_message(self, *, preamble: bool) -> None:
        """All words of this message are there; its sound may still be made, and ends it (`_pass_on`)."""
        for text in self._sentences.finish():
            self._say(text)
        if (left := self._outputs.leave_message()) is not None and preamble:
            self._outputs.preambles.add(left)

    async def _call(self, delta: CallDelta) -> None:
        self._finish_message(preamble=True)
        for event in self._outputs.call(delta):
            await self.posts.put(event)

    # ---- speaking

    async def _voice(self, piece: _Piece) -> None:
        """Makes the sound of a piece when it is its turn; the semaphore serves in order."""
        await self._slots.acquire()
        try:
            async with _closing(self._tts.speak(piece.text.strip(), self._work.voice, self._work.speed)) as sound:
                async for pcm in sound:
                    await piece.sound.put(pcm)
        except Exception as error:
            await piece.sound.put(error)
        else:
            await piece.sound.put(None)

    async def _pass_on(self) -> None:
        """Posts text and sound in the order of the text; each piece's text right before its first sound."""
        output: int | None = None
        while (piece := await self._pieces.get()) is not None:
            if output is not None and piece.output != output:
                await self.posts.put(self._outputs.ended(output))
            output = piece.output
            await self._pass_on_piece(piece)
            self._slots.release()
        if output is not None:
            await self.posts.put(self._outputs.ended(output))
        for event in self._ends:
            await self.posts.put(event)
        await self.posts.put(_generated(self._work.work_id, self._finished))
        await self.posts.put(None)

    async def _pass_on_piece(self, piece: _Piece) -> None:
        work_id, output = self._work.work_id, piece.output
        pcm = await piece.sound.get()
        if not isinstance(pcm, Exception):
            await self.posts.put(Said(work_id=work_id, output=output, text=piece.text))
        while pcm is not None:
            if isinstance(pcm, Exception):
                raise pcm
            await self.posts.put(Spoke(work_id=work_id, output=output, pcm=pcm))
            pcm = await piece.sound.get()

    # ---- tasks

    def _start(self, job: Coroutine[Any, Any, None]) -> None:
        self._tasks.append(asyncio.create_task(job))

    async def _guarded(self, job: Coroutine[Any, Any, None]) -> None:
        try:
            await job
        except Exception as error:
            await self.posts.put(error)


async def _sound(mailbox: AsyncIterator[Message], wire: AudioFormat) -> AsyncIterator[bytes | Peek]:
    """The sound of one turn in the house format, with peeks between, until its end."""
    decoder = None if isinstance(wire, Pcm) else Decoder(format_name(wire))
    async for message in mailbox:
        match message:
            case Audio():
                yield decoder.decode(message.pcm) if decoder else message.pcm
            case PeekMessage():
                yield Peek.PEEK
            case End():
                if decoder and (rest := decoder.flush()):
                    yield rest
                return
            case Call():
                pass  # for MCP servers
            case _:
                assert_never(message)


def _request(work: Transcribe) -> TranscriptionRequest:
    config = work.config
    return TranscriptionRequest(
        model=config.model,
        language=_given(config.language),
        languages=_given(config.languages) or (),
        prompt=_given(config.prompt),
        keywords=_given(config.keywords) or (),
        partials=work.partials,
        logprobs=work.logprobs,
        delay=_given(config.delay) or "medium",
    )


def _given(value: T | UnsetType | None) -> T | None:
    return None if value is UNSET else value


def _transcribed(work_id: str, transcript: Transcript) -> Transcribed:
    return Transcribed(
        work_id=work_id,
        text=transcript.text,
        final=transcript.final,
        stable=transcript.stable,
        heard_bytes=transcript.heard_bytes,
        peeked=transcript.peeked,
        language=transcript.language,
        logprobs=transcript.logprobs,
    )


def _generated(work_id: str, finished: Finished) -> Generated:
    reason = "stop" if finished.reason == "tool_calls" else finished.reason
    return Generated(work_id=work_id, reason=reason, reasoning_tokens=finished.reasoning_tokens)


def _closing(iterator: AsyncIterator[T]) -> AbstractAsyncContextManager[AsyncGenerator[T, None]]:
    """Backends are async generators, whatever their protocol promises: left early, they must stop now, not some day."""
    return aclosing(cast("AsyncGenerator[T, None]", iterator))
