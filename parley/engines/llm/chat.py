"""Any Chat Completions endpoint that streams: Ollama, vLLM, llama.cpp server, OpenAI.

The request is built from a `Prompt`, the answer is read line by line from server-sent events. Servers differ in small
things, and what is known about them is taken as it comes: an error as an event in the stream, `null` for what is
absent, calls without an index or with one index for all, whole arguments as an object, reasoning beside the answer or
inside it between think tags (never spoken), usage in a last event without choices, a stream that ends without `[DONE]`.
"""

import asyncio
from collections.abc import AsyncIterator, Awaitable, Iterator
from contextlib import AsyncExitStack, suppress
from typing import Any, Final, Literal, TypeVar, cast

import msgspec

from parley.engines.base import CallDelta, Finished, Image, Message, Prompt, Text, Thought, Words
from parley.engines.http import Answer, Backend, protocol_error
from parley.engines.llm import LanguageModelOptions
from parley.engines.llm.thoughts import Thoughts
from parley.errors import EngineError

NAME: Final = "The language model"
PATH: Final = "chat/completions"
END_OF_BODY_S: Final = 0.05
"""How long to wait, after the answer, for the end of the body that lets the connection go back to the pool."""

T = TypeVar("T")
Reason = Literal["stop", "length", "content_filter", "tool_calls"]
_REASONS: Final[dict[str, Reason]] = {
    "length": "length",
    "content_filter": "content_filter",
    "tool_calls": "tool_calls",
    "function_call": "tool_calls",
}


class Chat:
    """A language model behind HTTP. Leaving `generate` early hangs up, so that the server stops too."""

    def __init__(self, backend: Backend, options: LanguageModelOptions) -> None:
        self._backend = backend
        self._options = options
        self._refused_efforts: set[str] = set()
        """Of reasoning: those that the server has refused, and then taken the same request without."""

    async def generate(self, prompt: Prompt) -> AsyncIterator[Words | Thought | CallDelta | Finished]:
        """See `LanguageModel`. Retries belong to `Backend`, and happen only before the first byte of an answer."""
        now = asyncio.get_running_loop().time
        reader = _Reader()
        async with AsyncExitStack() as stack:
            deadline = now() + self._options.first_token_s
            answer = await self._ask(stack, prompt, deadline)
            lines = answer.lines()
            while not reader.complete:
                line = await _by(deadline, anext(lines, None))
                if line is None:
                    break
                for piece in reader.read(line):
                    yield piece
                    # Comments that keep the connection alive are no answer: only a piece moves the deadline.
                    deadline = now() + self._options.next_token_s
            for last in reader.end():
                yield last
            with suppress(EngineError):
                await _by(now() + END_OF_BODY_S, anext(lines, None))

    async def _ask(self, stack: AsyncExitStack, prompt: Prompt, deadline: float) -> Answer:
        """A model that does not know `reasoning_effort`, or not this one, is asked again without."""
        effort = prompt.reasoning_effort
        body = request_body(prompt, self._options)
        if effort in self._refused_efforts:
            del body["reasoning_effort"]
            effort = None
        try:
            return await _by(deadline, stack.enter_async_context(self._backend.post_json(PATH, body)))
        except EngineError as error:
            if effort is None or error.code != "backend_refused" or error.retryable:
                raise
        del body["reasoning_effort"]
        answer = await _by(deadline, stack.enter_async_context(self._backend.post_json(PATH, body)))
        self._refused_efforts.add(effort)
        return answer

    async def close(self) -> None:
        """Closes the connections to the server."""
        await self._backend.close()


async def _by(deadline: float, awaitable: Awaitable[T]) -> T:
    """Never held across a `yield`: the time that the listener takes must not count."""
    try:
        async with asyncio.timeout_at(deadline):
            return await awaitable
    except TimeoutError as error:
        raise EngineError("backend_timeout", f"{NAME} did not answer in time.", retryable=True) from error


# ---- the request


def request_body(prompt: Prompt, options: LanguageModelOptions) -> dict[str, object]:
    """The JSON object that asks for this answer, streamed."""
    messages = [_message(message) for message in prompt.messages]
    if prompt.instructions:
        messages.insert(0, {"role": "system", "content": prompt.instructions})
    body: dict[str, object] = {
        "model": options.model or prompt.model,
        "messages": messages,
        "stream": True,
        "stream_options": {"include_usage": True},
    }
    if prompt.tools:
        body["tools"] = [
            {"type": "function", "function": {"name": t.name, "description": t.description, "parameters": t.parameters}}
            for t in prompt.tools
        ]
        body["tool_choice"] = _tool_choice(prompt.tool_choice)
        body["parallel_tool_calls"] = prompt.parallel_tool_calls
    if prompt.max_output_tokens is not None:
        body[options.limit_field] = prompt.max_output_tokens
    if prompt.temperature is not None:
        body["temperature"] = prompt.temperature
    if prompt.reasoning_effort is not None:
        body["reasoning_effort"] = prompt.reasoning_effort
    return body


def _message(message: Message) -> dict[str, object]:
    """Plain text stays a string, since small servers know nothing else."""
    out: dict[str, object] = {"role": message.role}
    if any(isinstance(part, Image) for part in message.content):
        out["content"] = [_part(part) for part in message.content]
    else:
        out["content"] = message.text if message.content or not message.calls else None
    if message.calls:
        out["tool_calls"] = [
            {"id": call.call_id, "type": "function", "function": {"name": call.name, "arguments": call.arguments}}
            for call in message.calls
        ]
    if message.call_id is not None:
        out["tool_call_id"] = message.call_id
    return out


def _part(part: Text | Image) -> dict[str, object]:
    if isinstance(part, Text):
        return {"type": "text", "text": part.text}
    return {"type": "image_url", "image_url": {"url": part.url, "detail": part.detail}}


def _tool_choice(choice: str) -> object:
    name = choice.removeprefix("function:")
    return choice if name == choice else {"type": "function", "function": {"name": name}}


# ---- the answer


class _Function(msgspec.Struct):
    name: str | None = None
    arguments: str | dict[str, Any] | None = None


class _ToolCall(msgspec.Struct):
    index: int | None = None
    id: str | None = None
    function: _Function | None = None


class _Delta(msgspec.Struct):
    """`reasoning_content` (DeepSeek, vLLM, llama.cpp) and `reasoning` (Ollama, newer vLLM) are thoughts."""

    content: str | list[dict[str, Any]] | None = None
    reasoning_content: object = None
    reasoning: object = None
    refusal: str | None = None
    tool_calls: list[_ToolCall] | None = None


class _Choice(msgspec.Struct):
    delta: _Delta | None = None
    finish_reason: str | None = None


class _OutputDetails(msgspec.Struct):
    reasoning_tokens: int | None = None


class _Usage(msgspec.Struct):
    prompt_tokens: int | None = None
    completion_tokens: int | None = None
    completion_tokens_details: _OutputDetails | None = None


class _Event(msgspec.Struct):
    choices: list[_Choice] | None = None
    usage: _Usage | None = None
    error: object = None


_EVENTS: Final = msgspec.json.Decoder(_Event)


class _Reader:
    """One answer: lines of the stream in, words and calls out."""

    def __init__(self) -> None:
        self.complete = False
        """`[DONE]` has come."""
        self._reason: str | None = None
        self._usage = _Usage()
        self._thoughts = Thoughts()
        self._calls = _Calls()

    def read(self, line: bytes) -> Iterator[Words | Thought | CallDelta]:
        """The pieces in one line; comments, blank lines and fields other than `data` have none."""
        if line.startswith(b"data:"):
            line = line[5:].strip()
            if line == b"[DONE]":
                self.complete = True
                return
        if line.startswith(b"{"):
            yield from self._event(_decode(line))
        elif line.startswith((b"[", b"<")):
            raise protocol_error(NAME, "something that is no stream of events")

    def end(self) -> Iterator[Words | Thought | CallDelta | Finished]:
        """What is left when the stream is over."""
        if not self.complete and self._reason is None:
            raise protocol_error(NAME, "an answer that breaks off")
        rest = self._thoughts.finish()
        yield from self._thought("")
        if rest:
            yield Words(text=rest)
        yield from self._calls.finish()
        reason = _REASONS.get(self._reason or "", "stop")
        details = self._usage.completion_tokens_details
        yield Finished(
            # Some servers say "stop" behind calls, too.
            reason="tool_calls" if reason == "stop" and self._calls else reason,
            input_tokens=self._usage.prompt_tokens,
            output_tokens=self._usage.completion_tokens,
            reasoning_tokens=details.reasoning_tokens if details else None,
        )

    def _event(self, event: _Event) -> Iterator[Words | Thought | CallDelta]:
        if event.error is not None:
            raise _reported(event.error)
        self._usage = event.usage or self._usage
        for choice in event.choices or ():
            if choice.delta:
                words = self._thoughts.push(_text(choice.delta))
                yield from self._thought(_reasoning(choice.delta))
                if words:
                    yield Words(text=words)
                for call in choice.delta.tool_calls or ():
                    yield from self._calls.push(call)
            self._reason = choice.finish_reason or self._reason

    def _thought(self, beside: str) -> Iterator[Thought]:
        """What was thought beside the answer, and inside it."""
        if text := beside + self._thoughts.take():
            yield Thought(text=text)


def _decode(data: bytes) -> _Event:
    try:
        return _EVENTS.decode(data)
    except msgspec.DecodeError as error:
        raise protocol_error(NAME, "an event that cannot be read") from error


def _text(delta: _Delta) -> str:
    content = delta.content or delta.refusal or ""
    if isinstance(content, str):
        return content
    return "".join(str(part.get("text", "")) for part in content if part.get("type") == "text")


def _reasoning(delta: _Delta) -> str:
    """Some servers send both fields, with the same in them."""
    found = delta.reasoning_content or delta.reasoning
    return found if isinstance(found, str) else ""


def _reported(error: object) -> EngineError:
    """An error that came inside the stream. Its message is not passed on: it may quote the conversation."""
    fields = cast(dict[str, object], error) if isinstance(error, dict) else {}
    named = str(fields.get("code") or fields.get("type") or "")
    told = f" ({named})" if len(named) <= 64 and named.replace("_", "").isalnum() else ""
    if "rate_limit" in named or named == "429":
        return EngineError("backend_rate_limited", f"{NAME} is at its rate limit{told}.", retryable=True)
    return EngineError("backend_refused", f"{NAME} reported an error{told}.", retryable=True)


class _Call:
    """What is known of one call. Its arguments are held back until it has a name."""

    def __init__(self, number: int, index: int | None) -> None:
        self.number = number
        self.index = index
        self.call_id: str | None = None
        self.arguments = ""
        self.told = False


class _Calls:
    """Sorts the deltas of calls that may come interleaved, and numbers the calls in order of appearance."""

    def __init__(self) -> None:
        self._calls: list[_Call] = []

    def __bool__(self) -> bool:
        return bool(self._calls)

    def push(self, delta: _ToolCall) -> Iterator[CallDelta]:
        function = delta.function or _Function()
        call = self._find(delta)
        call.call_id = call.call_id or delta.id
        arguments = function.arguments or ""
        if not isinstance(arguments, str):
            arguments = msgspec.json.encode(arguments).decode()
        call.arguments += arguments
        if call.told:
            if arguments:
                yield CallDelta(index=call.number, arguments=arguments)
        elif function.name:
            call.told = True
            yield CallDelta(index=call.number, call_id=call.call_id, name=function.name, arguments=call.arguments)

    def finish(self) -> Iterator[CallDelta]:
        """A call must have a name, and arguments that are at least an empty object."""
        for call in self._calls:
            if not call.told:
                raise protocol_error(NAME, "a function call without a name")
            if not call.arguments.strip():
                yield CallDelta(index=call.number, arguments="{}")

    def _find(self, delta: _ToolCall) -> _Call:
        """The call that a delta continues, or a new one.

        A name together with another id begins a call even under a used index: some servers number all calls 0.
        """
        named = bool(delta.function and delta.function.name)
        for call in reversed(self._calls):
            if delta.index is None or call.index == delta.index:
                if named and call.told and delta.id != call.call_id:
                    break
                return call
        self._calls.append(_Call(len(self._calls), delta.index))
        return self._calls[-1]
