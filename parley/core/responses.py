"""One response, from created to done.

    WAITING --(all speech it must read is in words)--> GENERATING --(Generated, Failed, cancel, limit)--> over

A `Run` turns what the engine posts into events in the documented order (protocol.md 4.1, 7). It knows nothing of turns,
sound cards or other responses. `finish` may be called once, in either state, and closes everything that is open.
"""

from collections.abc import Callable
from typing import Any

import msgspec
from msgspec import UNSET

from parley.core.config import AudioFormat, RealtimeConfig, Reasoning, ResponseOptions, Tool, ToolChoice, format_name
from parley.core.conversation import Conversation, Entry
from parley.core.effects import ContextItem, Generate
from parley.core.events import (
    AnyServerEvent,
    ContentPartAdded,
    ContentPartDone,
    FunctionCallArgumentsDelta,
    FunctionCallArgumentsDone,
    ItemAdded,
    ItemDone,
    OutputAudioDelta,
    OutputAudioDone,
    OutputAudioTranscriptDelta,
    OutputAudioTranscriptDone,
    OutputItemAdded,
    OutputItemDone,
    OutputTextDelta,
    OutputTextDone,
    PartBody,
    Response,
    ResponseCreated,
    ResponseDone,
    Usage,
)
from parley.core.input_audio import BYTES_PER_SAMPLE, SAMPLES_PER_MS, pcm_ms
from parley.core.inputs import Called, Said, Spoke
from parley.core.items import FunctionCall, Item, Message, OutputAudio, OutputText, Status, with_status
from parley.core.output_audio import OutputAudio as Sound
from parley.core.timing import Clock
from parley.core.usage import ASSISTANT_AUDIO_MS_PER_TOKEN, Context, CountTokens, assistant_audio_tokens, output_limit
from parley.ids import NewId

Say = Callable[[AnyServerEvent], None]


class Plan(msgspec.Struct, frozen=True, kw_only=True):
    """The configuration of one response: the session's, with the overrides of its `response.create`."""

    model: str
    instructions: str
    spoken: bool
    voice: str
    format: AudioFormat
    speed: float
    tools: tuple[Tool, ...]
    tool_choice: ToolChoice
    parallel_tool_calls: bool
    reasoning: Reasoning | None
    temperature: float | msgspec.UnsetType
    max_output_tokens: int | str
    output_limit: int
    metadata: dict[str, str] | None
    in_conversation: bool


def plan(config: RealtimeConfig, options: ResponseOptions, output_cap: int) -> Plan:
    def chosen(override: Any, own: Any) -> Any:
        return own if override is UNSET or override is None else override

    out = options.audio.output
    tools = chosen(options.tools, config.tools)
    parallel = chosen(options.parallel_tool_calls, config.parallel_tool_calls)
    reasoning = chosen(options.reasoning, config.reasoning)
    return Plan(
        model=config.model,
        instructions=chosen(options.instructions, config.instructions),
        spoken=chosen(options.output_modalities, config.output_modalities) == ("audio",),
        voice=chosen(out.voice, config.audio.output.voice),
        format=chosen(out.format, config.audio.output.format),
        speed=config.audio.output.speed,
        tools=tools,
        tool_choice=chosen(options.tool_choice, _still_valid(config.tool_choice, tools)),
        parallel_tool_calls=True if parallel is UNSET else parallel,
        reasoning=None if reasoning is UNSET else reasoning,
        temperature=chosen(options.temperature, config.temperature),
        max_output_tokens=chosen(options.max_output_tokens, config.max_output_tokens),
        output_limit=output_limit(config, options.max_output_tokens, output_cap),
        metadata=options.metadata,
        in_conversation=options.conversation == "auto",
    )


def _still_valid(choice: ToolChoice, tools: tuple[Tool, ...]) -> ToolChoice:
    """The session's choice may name a function that the response's own tools do not have."""
    if isinstance(choice, str) or choice.name in {tool.name for tool in tools}:
        return choice
    return "auto"


class _Output:
    """One output item: a message with one part, or a function call."""

    def __init__(self, index: int, entry: Entry) -> None:
        self.index = index
        self.entry = entry
        self.text = ""
        """What was written, said, or put into arguments."""
        self.open = True


class Run:
    """A response on its way. `say` receives its events, in order."""

    def __init__(
        self,
        response_id: str,
        chosen: Plan,
        *,
        conversation: Conversation,
        say: Say,
        new_id: NewId,
        count: CountTokens,
        clock: Clock,
    ) -> None:
        self.id = response_id
        self.plan = chosen
        self.clock = clock
        self.context: Context | None = None
        """Set when generation starts; None while the response waits for transcripts."""
        self.entries: tuple[Entry, ...] = ()
        """What it will read, fixed when it was created (protocol.md 6.4)."""
        self.waits_for: set[str] = set()
        """Transcription work that must end first."""
        self.spoken_ms = 0
        self.completed_calls: list[str] = []
        """Call ids of the function calls that the client is now expected to answer."""
        self._conversation = conversation
        self._say = say
        self._new_id = new_id
        self._count = count
        self._outputs: dict[int, _Output] = {}
        self._written = 0

    # ---- the outside of it

    def create(self) -> None:
        self._say(ResponseCreated(response=self._object("in_progress")))

    def work(self) -> Generate:
        assert self.context is not None
        chosen = self.plan
        return Generate(
            work_id=self.id,
            model=chosen.model,
            instructions=chosen.instructions,
            items=tuple(ContextItem(item=entry.item, heard=entry.heard) for entry in self.context.entries),
            spoken=chosen.spoken,
            voice=chosen.voice,
            speed=chosen.speed,
            tools=chosen.tools,
            tool_choice=chosen.tool_choice,
            parallel_tool_calls=chosen.parallel_tool_calls,
            max_output_tokens=chosen.output_limit,
            temperature=None if chosen.temperature is UNSET else chosen.temperature,
            reasoning=chosen.reasoning,
        )

    @property
    def written_tokens(self) -> tuple[int, int]:
        """Output so far: text tokens, audio tokens."""
        return self._written, assistant_audio_tokens(self.spoken_ms)

    @property
    def full(self) -> bool:
        return sum(self.written_tokens) >= self.plan.output_limit

    @property
    def began(self) -> bool:
        """Whether anything was said, written or called."""
        return bool(self._outputs)

    @property
    def speaking(self) -> Entry | None:
        """The message whose sound is being made, if any."""
        for output in reversed(self._outputs.values()):
            if output.open and output.entry.sound is not None:
                return output.entry
        return None

    @property
    def silenced(self) -> bool:
        """The message that is being spoken has been truncated."""
        entry = self.speaking
        return entry is not None and entry.sound is not None and entry.sound.cut_ms is not None

    # ---- what the engine posts

    def said(self, said: Said) -> None:
        output = self._message(said.output)
        if output is None or self.full:
            return
        output.text += said.text
        self._written += self._count(said.text)
        sound = output.entry.sound
        if sound is None:
            self._say(OutputTextDelta(**self._at(output), content_index=0, delta=said.text))
        else:
            sound.say(said.text)
            self._say(OutputAudioTranscriptDelta(**self._at(output), content_index=0, delta=said.text))

    def spoke(self, spoke: Spoke) -> None:
        output = self._message(spoke.output)
        if output is None or output.entry.sound is None:
            return
        pcm = spoke.pcm[: self._audio_room()]
        if not pcm:
            return
        output.entry.sound.speak(pcm)
        self._keep(output.entry, len(pcm))
        self.spoken_ms += pcm_ms(pcm)
        self._say(
            OutputAudioDelta(**self._at(output), content_index=0, delta=pcm, format=format_name(self.plan.format))
        )

    def called(self, called: Called) -> None:
        output = self._outputs.get(called.output)
        if output is None:
            if called.name is None:
                return
            call_id = called.call_id or self._new_id("call")
            output = self._add(
                called.output,
                FunctionCall(
                    id=self._new_id("item"), status="in_progress", name=called.name, call_id=call_id, arguments=""
                ),
            )
        item = output.entry.item
        if not output.open or not isinstance(item, FunctionCall) or not called.arguments:
            return
        output.text += called.arguments
        self._written += self._count(called.arguments)
        self._say(FunctionCallArgumentsDelta(**self._at(output), call_id=item.call_id or "", delta=called.arguments))

    def ended(self, output_key: int) -> None:
        output = self._outputs.get(output_key)
        if output is not None and output.open:
            self._close(output, "completed")

    def finish(self, status: str, details: dict[str, Any] | None, usage: Usage) -> None:
        for output in self._outputs.values():
            if output.open:
                self._close(output, "completed" if status == "completed" else "incomplete")
        self._say(ResponseDone(response=self._object(status, details, usage)))

    # ---- the inside of it

    def _message(self, key: int) -> _Output | None:
        """The open message output `key`, begun now if it is new; None if `key` is over or something else."""
        output = self._outputs.get(key)
        if output is None:
            output = self._add(
                key, Message(id=self._new_id("item"), status="in_progress", role="assistant", content=())
            )
            if self.plan.spoken:
                output.entry.sound = Sound()
            self._say(ContentPartAdded(**self._at(output), content_index=0, part=self._part("")))
        return output if output.open and isinstance(output.entry.item, Message) else None

    def _add(self, key: int, item: Item) -> _Output:
        output = self._outputs[key] = _Output(len(self._outputs), Entry(item))
        self._say(OutputItemAdded(response_id=self.id, output_index=output.index, item=item))
        if self.plan.in_conversation:
            previous = self._conversation.add(output.entry)
            self._say(ItemAdded(previous_item_id=previous, item=item))
        return output

    def _close(self, output: _Output, status: Status) -> None:
        output.open = False
        entry = output.entry
        if isinstance(entry.item, FunctionCall):
            self._close_call(output, entry.item)
            if status == "completed":
                self.completed_calls.append(entry.item.call_id or "")
        else:
            self._close_message(output, whole=status == "completed")
        entry.item = with_status(entry.item, status)
        entry.version += 1
        if self.plan.in_conversation and self._conversation.find(entry.id) is entry:
            self._say(ItemDone(previous_item_id=self._conversation.previous_id(entry.id), item=entry.item))
        self._say(OutputItemDone(response_id=self.id, output_index=output.index, item=entry.item))

    def _close_call(self, output: _Output, item: FunctionCall) -> None:
        output.entry.item = msgspec.structs.replace(item, arguments=output.text)
        self._say(
            FunctionCallArgumentsDone(
                **self._at(output), call_id=item.call_id or "", name=item.name, arguments=output.text
            )
        )

    def _close_message(self, output: _Output, *, whole: bool) -> None:
        at = self._at(output)
        sound = output.entry.sound
        content: OutputAudio | OutputText
        if sound is None:
            content = OutputText(text=output.text)
            self._say(OutputTextDone(**at, content_index=0, text=output.text))
        else:
            if whole:  # else the last piece stays longer than its sound, so that truncation does not count unsaid words
                sound.close()
            content = OutputAudio(transcript=sound.transcript)
            self._say(OutputAudioDone(**at, content_index=0))
            self._say(OutputAudioTranscriptDone(**at, content_index=0, transcript=output.text))
        self._say(ContentPartDone(**at, content_index=0, part=self._part(output.text)))
        item = output.entry.item
        assert isinstance(item, Message)
        output.entry.item = msgspec.structs.replace(item, content=(content,))

    def _keep(self, entry: Entry, sound_bytes: int) -> None:
        if self.plan.in_conversation and self._conversation.find(entry.id) is entry:
            self._conversation.keep_sound(entry, sound_bytes)

    def _audio_room(self) -> int:
        """Bytes of sound until the token limit."""
        ms = (self.plan.output_limit - self._written) * ASSISTANT_AUDIO_MS_PER_TOKEN - self.spoken_ms
        return max(0, ms) * SAMPLES_PER_MS * BYTES_PER_SAMPLE

    def _at(self, output: _Output) -> dict[str, Any]:
        return {"response_id": self.id, "item_id": output.entry.id, "output_index": output.index}

    def _part(self, words: str) -> PartBody:
        if self.plan.spoken:
            return PartBody(type="audio", transcript=words)
        return PartBody(type="text", text=words)

    def _object(self, status: str, details: dict[str, Any] | None = None, usage: Usage | None = None) -> Response:
        chosen = self.plan
        return Response(
            id=self.id,
            status=status,  # type: ignore[arg-type]
            status_details=details,
            output=tuple(output.entry.item for output in self._outputs.values()),
            conversation_id=self._conversation.id if chosen.in_conversation else None,
            output_modalities=("audio",) if chosen.spoken else ("text",),
            audio={"output": {"format": msgspec.to_builtins(chosen.format), "voice": chosen.voice}},
            max_output_tokens=chosen.max_output_tokens,
            metadata=chosen.metadata,
            usage=usage,
            temperature=chosen.temperature,
        )
