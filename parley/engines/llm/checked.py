"""A language model whose function calls can be relied on: `Checked(model)` is the model, and no call of it goes on that
the session does not allow or that does not fit its function's schema.

    Checked(model).generate(prompt)    # words at once; a call when it is whole and right; Finished

A wrong call is told to the model, once, with what is wrong; a second wrong one fails the response with
`tool_call_invalid`. Within a response there are bounds on calls and on the size of their arguments, whatever the model
does.
"""

import asyncio
import json
from collections.abc import AsyncIterator, Callable, Iterator, Sequence
from contextlib import aclosing
from typing import Any, Final, NamedTuple, cast

from msgspec.structs import replace

from parley.engines.base import (
    CallDelta,
    Finished,
    FunctionTool,
    LanguageModel,
    Message,
    Prompt,
    Text,
    Thought,
    ToolCall,
    Words,
)
from parley.errors import EngineError

CALLS_MAX: Final = 32
"""Of one response; more end it."""
ARGUMENTS_CHARS_MAX: Final = 64 * 1024
"""Of one call."""
COMPLAINT_CHARS_MAX: Final = 500
"""What a model is told about a wrong call."""
PATTERNS: Final = ("pattern", "patternProperties")
"""Not checked: a pattern may be written so that matching it takes for ever."""

Complain = Callable[[FunctionTool, Any], str | None]


class Checked:
    """`LanguageModel` over another one."""

    def __init__(self, model: LanguageModel) -> None:
        self._model = model

    async def generate(self, prompt: Prompt) -> AsyncIterator[Words | Thought | CallDelta | Finished]:
        """See `LanguageModel.generate`."""
        allowed = {tool.name: tool for tool in prompt.tools} if prompt.tool_choice != "none" else {}
        complain = await asyncio.to_thread(_load) if allowed else _never
        calls = _Calls(one=not prompt.parallel_tool_calls)
        wrong: list[_Wrong] = []
        finished = Finished()
        async with aclosing(_stream(self._model, prompt)) as pieces:
            async for piece in pieces:
                match piece:
                    case Words() | Thought():
                        yield piece
                    case CallDelta():
                        if (whole := calls.add(piece)) is not None:
                            for delta in _sorted(whole, allowed, complain, wrong):
                                yield delta
                    case Finished():
                        finished = piece
        for whole in calls.rest():
            for delta in _sorted(whole, allowed, complain, wrong):
                yield delta
        if wrong and finished.reason != "length":  # cut off at its limit, a call was never made
            for delta in await self._repaired(prompt, wrong, allowed, complain, calls.next_index):
                yield delta
        yield finished

    async def _repaired(
        self,
        prompt: Prompt,
        wrong: Sequence["_Wrong"],
        allowed: dict[str, FunctionTool],
        complain: Complain,
        index: int,
    ) -> list[CallDelta]:
        """The calls that the model makes when it is told what was wrong with the others; all of them right."""
        calls = _Calls(one=len(wrong) == 1)
        async with aclosing(_stream(self._model, _told(prompt, wrong, allowed))) as pieces:
            async for piece in pieces:
                if isinstance(piece, CallDelta) and (whole := calls.add(piece)) is not None:
                    calls.kept.append(whole)
        still_wrong: list[_Wrong] = []
        deltas: list[CallDelta] = []
        for number, whole in enumerate([*calls.kept, *calls.rest()]):
            moved = whole._replace(place=index + number)
            deltas += _sorted(moved, allowed, complain, still_wrong)
        if still_wrong or not deltas:
            why = (still_wrong or wrong)[0].why
            raise EngineError("tool_call_invalid", f"The model called a function wrongly, twice. {why}")
        return deltas


class _Call(NamedTuple):
    """A whole call, with the pieces in which it came."""

    place: int
    """The index of its deltas."""
    call_id: str | None
    name: str
    pieces: tuple[str, ...]

    @property
    def arguments(self) -> str:
        return "".join(self.pieces)

    def deltas(self) -> Iterator[CallDelta]:
        yield CallDelta(index=self.place, call_id=self.call_id, name=self.name)
        for piece in self.pieces:
            yield CallDelta(index=self.place, arguments=piece)


class _Wrong(NamedTuple):
    call: _Call
    why: str


class _Calls:
    """Puts calls together. A call is whole when the next one begins, or nothing more comes."""

    def __init__(self, *, one: bool) -> None:
        self.kept: list[_Call] = []
        self.next_index = 0
        self._one = one
        self._open: _Call | None = None
        self._over: set[int] = set()

    def add(self, delta: CallDelta) -> _Call | None:
        """The call that is whole now. Raises `EngineError` at the bounds."""
        if delta.index in self._over:
            return None
        if self._open is not None and self._open.place == delta.index:
            self._grow(delta)
            return None
        whole = self._close()
        if self._one and self._over:
            self._over.add(delta.index)  # one call was allowed, and it was made
            return whole
        if len(self._over) >= CALLS_MAX:
            raise EngineError("tool_call_invalid", f"The model made more than {CALLS_MAX} function calls at once.")
        self.next_index = max(self.next_index, delta.index + 1)
        self._open = _Call(delta.index, delta.call_id, delta.name or "", ())
        self._grow(delta)
        return whole

    def rest(self) -> list[_Call]:
        whole = self._close()
        return [] if whole is None else [whole]

    def _close(self) -> _Call | None:
        whole, self._open = self._open, None
        if whole is not None:
            self._over.add(whole.place)
        return whole

    def _grow(self, delta: CallDelta) -> None:
        assert self._open is not None
        if delta.arguments:
            self._open = self._open._replace(pieces=(*self._open.pieces, delta.arguments))
        if sum(map(len, self._open.pieces)) > ARGUMENTS_CHARS_MAX:
            most = f"The arguments of a call are longer than {ARGUMENTS_CHARS_MAX} characters."
            raise EngineError("tool_call_invalid", most)


def _sorted(
    call: _Call, allowed: dict[str, FunctionTool], complain: Complain, wrong: list[_Wrong]
) -> Iterator[CallDelta]:
    """The deltas of a call that is right; one that is not goes to the wrong ones."""
    why = _fault(call, allowed, complain)
    if why is None:
        yield from call.deltas()
    else:
        wrong.append(_Wrong(call, why[:COMPLAINT_CHARS_MAX]))


def _fault(call: _Call, allowed: dict[str, FunctionTool], complain: Complain) -> str | None:
    tool = allowed.get(call.name)
    if tool is None:
        return f"There is no function {call.name[:64]!r} to call here."
    try:
        arguments = json.loads(call.arguments or "{}")
    except (ValueError, RecursionError) as error:
        return f"The arguments of {call.name} are not JSON: {error}."
    if not isinstance(arguments, dict):
        return f"The arguments of {call.name} are not a JSON object."
    return complain(tool, arguments)


def _told(prompt: Prompt, wrong: Sequence[_Wrong], allowed: dict[str, FunctionTool]) -> Prompt:
    """The same prompt, and behind it the wrong calls, each answered with what is wrong."""
    made = [
        ToolCall(call_id=each.call.call_id or f"call_{number}", name=each.call.name, arguments=each.call.arguments)
        for number, each in enumerate(wrong)
    ]
    answers = [
        Message(role="tool", call_id=call.call_id, content=(Text(text=f"Error: {each.why} Call it again, correctly."),))
        for call, each in zip(made, wrong, strict=True)
    ]
    only = wrong[0].call.name if len(wrong) == 1 else None
    choice = f"function:{only}" if only in allowed else "required"
    spoken = Message(role="assistant", calls=tuple(made))
    return replace(prompt, messages=(*prompt.messages, spoken, *answers), tool_choice=choice)


def _stream(model: LanguageModel, prompt: Prompt) -> Any:
    """Models are async generators, whatever their protocol promises."""
    return cast("Any", model.generate(prompt))


def _never(tool: FunctionTool, arguments: Any) -> str | None:
    raise AssertionError("nothing is allowed, so nothing is compared with its schema")


def _load() -> Complain:
    """`jsonschema` takes a quarter of a second to load, which sessions without functions never need."""
    from jsonschema.exceptions import UnknownType, ValidationError, best_match
    from jsonschema.validators import Draft202012Validator, extend
    from referencing import Registry
    from referencing.exceptions import Unresolvable

    validator = extend(Draft202012Validator, dict.fromkeys(PATTERNS))
    registry: Registry[Any] = Registry()
    """Empty, so that no reference is ever fetched."""

    def complain(tool: FunctionTool, arguments: Any) -> str | None:
        try:
            error: ValidationError | None = best_match(
                validator(tool.parameters, registry=registry).iter_errors(arguments)
            )
        except (Unresolvable, UnknownType, RecursionError, TypeError, ValueError, AttributeError, KeyError):
            return None  # the schema cannot be applied, which is not the model's fault
        if error is None:
            return None
        place = "".join(f"[{step!r}]" for step in error.absolute_path)
        return f"The arguments of {tool.name} do not fit its schema: {place}{': ' if place else ''}{error.message}."

    return complain
