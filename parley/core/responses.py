"""One response, from created to done.

    WAITING --(all speech it must read is in words)--> GENERATING --(Generated, Failed, cancel, limit)--> over
                                                        ^      v
                                                        CALLING (tools of MCP servers, at most MCP_ROUNDS_MAX times)

A `Run` turns what the engine posts into events in the documented order (protocol.md 4.1, 7). It knows nothing of turns,
sound cards or other responses. `finish` may be called once, in either state, and closes everything that is open.
"""

from collections.abc import Callable
from typing import Any, Final, Literal

import msgspec
from msgspec import UNSET, UnsetType

from parley.core.config import FunctionChoice, format_name
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
    McpCallArgumentsDelta,
    McpCallArgumentsDone,
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
from parley.core.inputs import Called, Said, Spoke, Thought
from parley.core.items import (
    FunctionCall,
    Item,
    McpApprovalRequest,
    McpCall,
    Message,
    OutputAudio,
    OutputText,
    Status,
    with_status,
)
from parley.core.mcp import Approved, Offer, Question, RemoteCall
from parley.core.mcp_config import McpTool
from parley.core.output_audio import OutputAudio as Sound
from parley.core.plan import Plan
from parley.core.timing import Clock
from parley.core.usage import ASSISTANT_AUDIO_MS_PER_TOKEN, Context, CountTokens, assistant_audio_tokens
from parley.ids import NewId

MCP_ROUNDS_MAX: Final = 8
"""How often a response may come back to the model with what MCP tools have returned. Then it has to answer."""

Say = Callable[[AnyServerEvent], None]


Made = RemoteCall | Question
"""What goes on beyond the response when an output has ended."""


class _Output:
    """One output item: a message with one part, or a call."""

    def __init__(self, index: int, entry: Entry) -> None:
        self.index = index
        self.entry = entry
        self.text = ""
        """What was written, said, or put into arguments."""
        self.open = True
        self.server: McpTool | None = None
        """Whose call it is …"""
        self.calling = False
        """… and that it is at it."""
        self.preamble = False
        """It was said ahead of a call."""

    @property
    def shown(self) -> Item:
        """The item as it is when the response ends. A call that goes on is complete in the conversation only."""
        return with_status(self.entry.item, "incomplete") if self.calling else self.entry.item


class _Asking:
    """A call that the client will be asked about, once all of its arguments are there."""

    def __init__(self, offer: Offer) -> None:
        self.offer = offer
        self.arguments = ""


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
        self.contexts: list[Context] = []
        """What was read, once for every time that the model was asked; none while the response waits."""
        self.generating = False
        """The engine is at it."""
        self.entries: tuple[Entry, ...] = ()
        """What it will read, fixed when it was created (protocol.md 6.4)."""
        self.waits_for: set[str] = set()
        """Transcription work that must end first."""
        self.spoken_ms = 0
        self.completed_calls: list[str] = []
        """Call ids of the function calls that the client is now expected to answer."""
        self.returned_calls = 0
        """MCP calls that are over, of which the model has not heard yet."""
        self.asked = False
        """The client has to approve something."""
        self._conversation = conversation
        self._say = say
        self._new_id = new_id
        self._count = count
        self._outputs: dict[tuple[int, int], _Output] = {}
        """By round, and by the number that the engine gives them in it."""
        self._asking: dict[int, _Asking] = {}
        self._written = 0
        self._thoughts = 0
        """Tokens of what the model has thought in this round, which are among those written."""

    # ---- the outside of it

    def create(self) -> None:
        self._say(ResponseCreated(response=self._object("in_progress")))

    @property
    def context(self) -> Context | None:
        """What is read now; None while the response waits for transcripts."""
        return self.contexts[-1] if self.contexts else None

    @property
    def calling(self) -> bool:
        """MCP servers are at it."""
        return any(output.calling for output in self._outputs.values())

    def reading(self) -> tuple[Entry, ...]:
        """What the model has to read next: also what this response has made so far."""
        return (*self.entries, *(output.entry for output in self._outputs.values()))

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
            tool_choice=self._tool_choice(),
            parallel_tool_calls=chosen.parallel_tool_calls,
            max_output_tokens=chosen.output_limit,
            temperature=None if chosen.temperature is UNSET else chosen.temperature,
            reasoning=chosen.reasoning,
        )

    def _tool_choice(self) -> FunctionChoice:
        """What is required is called in the first round; in the last one nothing is."""
        if len(self.contexts) > MCP_ROUNDS_MAX:
            return "none"
        return "auto" if self._outputs and self.plan.tool_choice != "none" else self.plan.tool_choice

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

    def wrote(self, made: Said | Thought | Called) -> None:
        match made:
            case Said():
                self.said(made)
            case Thought():
                self.thought(made.text)
            case Called():
                self.called(made)

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

    def thought(self, text: str) -> None:
        """Counted like what is written; there is no place for it in the conversation (protocol.md 6.7)."""
        tokens = self._count(text)
        self._thoughts += tokens
        self._written += tokens

    def thoughts_counted(self, tokens: int | None) -> None:
        """What the model says at the end of a round that its thoughts were; it knows better."""
        if tokens is not None:
            self._written += tokens - self._thoughts
        self._thoughts = 0

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
        output = self._output(called.output)
        if output is None:
            offer = self.plan.offers.get(called.name or "")
            if called.output in self._asking or (offer is not None and offer.asks):
                self._ask_later(called, offer)
                return
            if called.name is None:
                return
            output = self._add(called.output, self._call_item(called, offer))
            output.server = None if offer is None else offer.server
        item = output.entry.item
        if not output.open or output.calling or not called.arguments:
            return
        output.text += called.arguments
        self._written += self._count(called.arguments)
        if isinstance(item, FunctionCall):
            call_id = item.call_id or ""
            self._say(FunctionCallArgumentsDelta(**self._at(output), call_id=call_id, delta=called.arguments))
        elif isinstance(item, McpCall):
            self._say(McpCallArgumentsDelta(**self._at(output), delta=called.arguments))

    def ended(self, output_key: int, *, preamble: bool = False) -> list[Made]:
        """What a server or the client has to do now."""
        if (asking := self._asking.pop(output_key, None)) is not None:
            return [self._ask(output_key, asking)]
        output = self._output(output_key)
        if output is None or not output.open or output.calling:
            return []
        if isinstance(output.entry.item, McpCall):
            return [self._calls(output)]
        output.preamble = preamble
        self._close(output, "completed")
        return []

    def all_ended(self) -> list[Made]:
        """The model has come to its end."""
        self.generating = False
        keys = [key for round_, key in self._outputs if round_ == len(self.contexts)]
        return [made for key in (*keys, *self._asking) for made in self.ended(key)]

    def take_up(self, approved: Approved) -> Made:
        """A call that the client has approved is the first that this response does."""
        call = approved.call
        output = self._add(len(self._outputs), msgspec.structs.replace(call, arguments=""))
        output.server, output.text = approved.server, call.arguments
        self._say(McpCallArgumentsDelta(**self._at(output), delta=call.arguments))
        return self._calls(output)

    def returned(self, item_id: str) -> bool:
        """The call is over that this item is; False if it is not of this response."""
        for output in self._outputs.values():
            if output.entry.id == item_id and output.calling:
                output.open = output.calling = False
                self.returned_calls += 1
                self._say(OutputItemDone(response_id=self.id, output_index=output.index, item=output.entry.item))
                return True
        return False

    def finish(self, status: str, details: dict[str, Any] | None, usage: Usage) -> None:
        for output in self._outputs.values():
            if output.calling:  # it goes on without this response
                self._say(OutputItemDone(response_id=self.id, output_index=output.index, item=output.shown))
            elif output.open:
                self._close(output, "completed" if status == "completed" else "incomplete")
        self._say(ResponseDone(response=self._object(status, details, usage)))

    # ---- the inside of it

    def _output(self, key: int) -> _Output | None:
        """What the engine calls `key` in this round."""
        return self._outputs.get((len(self.contexts), key))

    def _call_item(self, called: Called, offer: Offer | None) -> FunctionCall | McpCall:
        if offer is not None:
            label = offer.server.server_label
            return McpCall(
                id=self._new_id("mcp"), status="in_progress", server_label=label, name=offer.name, arguments=""
            )
        call_id = called.call_id or self._new_id("call")
        name = called.name or ""
        return FunctionCall(id=self._new_id("item"), status="in_progress", name=name, call_id=call_id, arguments="")

    def _ask_later(self, called: Called, offer: Offer | None) -> None:
        if called.output not in self._asking:
            assert offer is not None
            self._asking[called.output] = _Asking(offer)
        self._asking[called.output].arguments += called.arguments
        self._written += self._count(called.arguments)

    def _ask(self, key: int, asking: _Asking) -> Question:
        """The request is said once it is whole (protocol.md 7.7)."""
        request = McpApprovalRequest(
            id=self._new_id("mcpr"),
            status="in_progress",
            server_label=asking.offer.server.server_label,
            name=asking.offer.name,
            arguments=asking.arguments,
        )
        output = self._add(key, request)
        self.asked = True
        self._close(output, "completed")
        return Question(request, asking.offer.server)

    def _calls(self, output: _Output) -> RemoteCall:
        item = output.entry.item
        assert isinstance(item, McpCall) and output.server is not None
        output.calling = True
        output.entry.item = msgspec.structs.replace(item, arguments=output.text)
        self._say(McpCallArgumentsDone(**self._at(output), arguments=output.text))
        return RemoteCall(output.entry, output.index, output.server)

    def _message(self, key: int) -> _Output | None:
        """The open message output `key`, begun now if it is new; None if `key` is over or something else."""
        output = self._output(key)
        if output is None:
            output = self._add(
                key, Message(id=self._new_id("item"), status="in_progress", role="assistant", content=())
            )
            if self.plan.spoken:
                output.entry.sound = Sound()
            self._say(ContentPartAdded(**self._at(output), content_index=0, part=self._part("")))
        return output if output.open and isinstance(output.entry.item, Message) else None

    def _add(self, key: int, item: Item) -> _Output:
        output = self._outputs[len(self.contexts), key] = _Output(len(self._outputs), Entry(item))
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
        elif isinstance(entry.item, McpCall):
            self._calls(output)
            output.calling = False
        elif isinstance(entry.item, Message):
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
        output.entry.item = msgspec.structs.replace(item, content=(content,), phase=self._phase(output))

    def _phase(self, output: _Output) -> Literal["commentary", "final_answer"] | UnsetType:
        """Told where it helps: in a response that calls something (protocol.md 6.7)."""
        if output.preamble:
            return "commentary"
        called = any(not isinstance(other.entry.item, Message) for other in self._outputs.values())
        return "final_answer" if called else UNSET

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
            output=tuple(output.shown for output in self._outputs.values()),
            conversation_id=self._conversation.id if chosen.in_conversation else None,
            output_modalities=("audio",) if chosen.spoken else ("text",),
            audio={"output": {"format": msgspec.to_builtins(chosen.format), "voice": chosen.voice}},
            max_output_tokens=chosen.max_output_tokens,
            metadata=chosen.metadata,
            usage=usage,
            temperature=chosen.temperature,
        )
