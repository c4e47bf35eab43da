"""One of every server event, and some more where an event has several faces."""

from typing import Any

import msgspec

from parley.core import config, events, items, mcp_config

EVENT_ID = "event_0123"
AT: dict[str, Any] = {"response_id": "resp_1", "item_id": "item_2", "output_index": 0, "content_index": 0}
CALL: dict[str, Any] = {"response_id": "resp_1", "item_id": "item_3", "output_index": 1, "call_id": "call_1"}

QUESTION = items.Message(role="user", content=(items.InputAudio(),), id="item_1")
TYPED = items.Message(role="user", content=(items.InputText(text="what time is it?"),), id="item_0")
SYSTEM = items.Message(role="system", content=(items.InputText(text="be brief"),), id="item_9")
BEGUN = items.Message(role="assistant", content=(), id="item_2", status="in_progress")
SPOKEN = items.Message(role="assistant", content=(items.OutputAudio(transcript="Noon."),), id="item_2")
WRITTEN = items.Message(role="assistant", content=(items.OutputText(text="Noon."),), id="item_2")
CUT = items.Message(role="assistant", content=(items.OutputAudio(transcript=None),), id="item_2", status="incomplete")
CALLED = items.FunctionCall(name="clock", arguments="{}", call_id="call_1", id="item_3")
RETURNED = items.FunctionCallOutput(call_id="call_1", output="12:00", id="item_4")
HEARD_AGAIN = items.Message(
    role="user",
    content=(items.InputAudio(transcript="hello", audio=b"\x01\x02" * 3, format={"type": "audio/pcm", "rate": 24000}),),
    id="item_1",
)

USAGE = events.Usage(
    total_tokens=31,
    input_tokens=20,
    output_tokens=11,
    input_token_details=events.InputTokens(
        text_tokens=12,
        audio_tokens=8,
        image_tokens=0,
        cached_tokens=4,
        cached_tokens_details=events.CachedTokens(text_tokens=4),
    ),
    output_token_details=events.OutputTokens(text_tokens=3, audio_tokens=8),
)
AUDIO = {"output": {"format": {"type": "audio/pcm", "rate": 24000}, "voice": "marin"}}


def session(of: config.SessionConfig, object_name: str = "realtime.session") -> dict[str, Any]:
    """What the core shows of a configuration."""
    return {"id": "sess_1", "object": object_name, "expires_at": 1_790_000_000, **config.shown(of)}


TOOL = config.Tool(name="clock", description="The time.", parameters={"type": "object", "properties": {}})
PLAIN = config.RealtimeConfig(model="gpt-realtime")
RICH = config.RealtimeConfig(
    model="gpt-4o-realtime-preview",
    output_modalities=("text",),
    instructions="be kind",
    audio=config.Audio(
        input=config.AudioInput(
            format=config.Pcmu(),
            transcription=config.Transcription(model="whisper-1", language="en", prompt="names"),
            noise_reduction=config.NoiseReduction(type="far_field"),
            turn_detection=config.SemanticVad(eagerness="low"),
        ),
        output=config.AudioOutput(format=config.Pcma(), voice="nova", speed=1.25),
    ),
    tools=(TOOL,),
    tool_choice=config.NamedFunction(name="clock"),
    max_output_tokens=500,
    truncation=config.RetentionRatio(retention_ratio=0.8),
    tracing="auto",
    include=("item.input_audio_transcription.logprobs",),
    temperature=0.9,
)
DICTATION = config.TranscriptionConfig(
    audio=config.TranscriptionAudio(input=config.AudioInput(transcription=config.Transcription()))
)

BEGUN_RESPONSE = events.Response(id="resp_1", conversation_id="conv_1", audio=AUDIO)
DONE_RESPONSE = events.Response(
    id="resp_1",
    status="completed",
    status_details={"type": "completed"},
    output=(SPOKEN, CALLED),
    conversation_id="conv_1",
    audio=AUDIO,
    metadata={"topic": "time"},
    usage=USAGE,
)
WARM_RESPONSE = events.Response(
    id="resp_2",
    status="cancelled",
    status_details={"type": "cancelled", "reason": "turn_detected"},
    output=(WRITTEN,),
    output_modalities=("text",),
    audio=AUDIO,
    max_output_tokens=100,
    usage=USAGE,
    temperature=0.7,
)

SAMPLES: tuple[events.AnyServerEvent, ...] = (
    events.Error(error=events.ErrorBody(type="invalid_request_error", code="invalid_event", message="No.")),
    events.Error(
        error=events.ErrorBody(
            type="invalid_request_error",
            code="invalid_value",
            message="Invalid value for 'session.audio.output.speed': expected float <= 1.5, but got 9.",
            param="session.audio.output.speed",
            event_id="mine",
        )
    ),
    events.SessionCreated(session=session(PLAIN)),
    events.SessionCreated(session=session(DICTATION, "realtime.transcription_session")),
    events.SessionUpdated(session=session(RICH)),
    events.SessionUpdated(session=session(DICTATION, "realtime.transcription_session")),
    events.ConversationCreated(conversation={"id": "conv_1", "object": "realtime.conversation"}),
    events.ItemAdded(previous_item_id=None, item=TYPED),
    events.ItemAdded(previous_item_id="item_0", item=QUESTION),
    events.ItemAdded(previous_item_id="item_1", item=BEGUN),
    events.ItemAdded(previous_item_id="item_1", item=WRITTEN),
    events.ItemAdded(previous_item_id="item_2", item=CALLED),
    events.ItemAdded(previous_item_id="item_3", item=RETURNED),
    events.ItemAdded(previous_item_id=None, item=SYSTEM),
    events.ItemDone(previous_item_id="item_1", item=SPOKEN),
    events.ItemRetrieved(item=HEARD_AGAIN),
    events.ItemRetrieved(item=CUT),
    events.ItemTruncated(item_id="item_2", content_index=0, audio_end_ms=1500),
    events.ItemDeleted(item_id="item_2"),
    events.TranscriptionDelta(item_id="item_1", content_index=0, delta="hel"),
    events.TranscriptionDelta(
        item_id="item_1",
        content_index=0,
        delta="lo",
        logprobs=(events.Logprob(token="lo", logprob=-0.5, bytes=(108, 111)),),
    ),
    events.TranscriptionCompleted(
        item_id="item_1", content_index=0, transcript="hello", usage={"type": "duration", "seconds": 1.5}
    ),
    events.TranscriptionCompleted(
        item_id="item_1",
        content_index=0,
        transcript="hello",
        usage={
            "type": "tokens",
            "input_tokens": 15,
            "output_tokens": 2,
            "total_tokens": 17,
            "input_token_details": {"text_tokens": 0, "audio_tokens": 15},
        },
        languages=({"code": "en"},),
    ),
    events.TranscriptionFailed(
        item_id="item_1",
        content_index=0,
        error={"type": "transcription_error", "code": "audio_unintelligible", "message": "The audio was noise."},
    ),
    events.InputAudioBufferCommitted(item_id="item_1", previous_item_id=None),
    events.InputAudioBufferCleared(),
    events.SpeechStarted(audio_start_ms=300, item_id="item_1"),
    events.SpeechStopped(audio_end_ms=2300, item_id="item_1"),
    events.TimeoutTriggered(audio_start_ms=300, audio_end_ms=5300, item_id="item_1"),
    events.OutputAudioBufferStarted(response_id="resp_1"),
    events.OutputAudioBufferStopped(response_id="resp_1"),
    events.OutputAudioBufferCleared(response_id="resp_1"),
    events.ResponseCreated(response=BEGUN_RESPONSE),
    events.ResponseDone(response=DONE_RESPONSE),
    events.ResponseDone(response=WARM_RESPONSE),
    events.OutputItemAdded(response_id="resp_1", output_index=0, item=BEGUN),
    events.OutputItemDone(response_id="resp_1", output_index=0, item=SPOKEN),
    events.ContentPartAdded(**AT, part=events.PartBody(type="audio", transcript="")),
    events.ContentPartAdded(**AT, part=events.PartBody(type="text", text="")),
    events.ContentPartDone(**AT, part=events.PartBody(type="audio", transcript="Noon.")),
    events.OutputTextDelta(**AT, delta='"No'),
    events.OutputTextDone(**AT, text='"Noon".\n'),
    events.OutputAudioTranscriptDelta(**AT, delta="No"),
    events.OutputAudioTranscriptDone(**AT, transcript="Noon."),
    events.OutputAudioDelta(**AT, delta=b"\x00\x01" * 240, format="audio/pcm"),
    events.OutputAudioDone(**AT),
    events.FunctionCallArgumentsDelta(**CALL, delta='{"a":'),
    events.FunctionCallArgumentsDone(**CALL, name="clock", arguments="{}"),
    events.RateLimitsUpdated(
        rate_limits=(events.RateLimit(name="tokens", limit=1000, remaining=900, reset_seconds=1.5),)
    ),
)

SERVER = mcp_config.McpTool(
    server_label="docs",
    server_url="https://mcp.example/mcp",
    authorization="secret",
    headers={"x-key": "secret"},
    allowed_tools=mcp_config.ToolFilter(read_only=True),
    require_approval=mcp_config.ApprovalRules(never=mcp_config.ToolFilter(tool_names=("search",))),
    server_description="The documents.",
)
LISTED = items.McpListTools(
    id="mcpl_1",
    server_label="docs",
    tools=(
        items.McpToolInfo(name="search", input_schema={"type": "object"}, annotations={"readOnlyHint": True}),
        items.McpToolInfo(name="write", input_schema={"type": "object"}, description="Writes."),
    ),
)
REMOTE = items.McpCall(id="mcp_1", server_label="docs", name="search", arguments="{}", approval_request_id="mcpr_1")
MCP_AT: dict[str, Any] = {"item_id": "mcp_1", "output_index": 1}
WITH_SERVER = config.RealtimeConfig(
    model="gpt-realtime",
    tools=(TOOL, SERVER),
    tool_choice=mcp_config.NamedMcp(server_label="docs", name="search"),
)
MCP_RESPONSE = msgspec.structs.replace(DONE_RESPONSE, output=(REMOTE, SPOKEN))

MCP_ITEMS: tuple[items.Item, ...] = (
    LISTED,
    msgspec.structs.replace(REMOTE, status="in_progress"),
    msgspec.structs.replace(REMOTE, output="42"),
    msgspec.structs.replace(REMOTE, error=items.McpProtocolError(code=-32602, message="No such tool.")),
    msgspec.structs.replace(REMOTE, error=items.McpToolExecutionError(message="It broke.")),
    msgspec.structs.replace(REMOTE, error=items.McpHttpError(code=504, message="No answer.")),
    items.McpApprovalRequest(id="mcpr_1", server_label="docs", name="search", arguments="{}"),
    items.McpApprovalResponse(id="item_8", approval_request_id="mcpr_1", approve=False, reason="Not now."),
)
MCP: tuple[events.AnyServerEvent, ...] = (
    *(events.ItemAdded(previous_item_id=None, item=item) for item in MCP_ITEMS),
    *(events.ItemDone(previous_item_id="item_0", item=item) for item in MCP_ITEMS),
    *(events.ItemRetrieved(item=item) for item in MCP_ITEMS),
    events.OutputItemAdded(response_id="resp_1", output_index=1, item=MCP_ITEMS[1]),
    events.OutputItemDone(response_id="resp_1", output_index=1, item=MCP_ITEMS[2]),
    events.McpCallArgumentsDelta(response_id="resp_1", **MCP_AT, delta='{"q":'),
    events.McpCallArgumentsDone(response_id="resp_1", **MCP_AT, arguments="{}"),
    events.McpCallInProgress(**MCP_AT),
    events.McpCallCompleted(**MCP_AT),
    events.McpCallFailed(**MCP_AT),
    events.McpListToolsInProgress(item_id="mcpl_1"),
    events.McpListToolsCompleted(item_id="mcpl_1"),
    events.McpListToolsFailed(item_id="mcpl_1"),
)
"""What beta clients never hear of."""
MCP_AMONG_OTHERS: tuple[events.AnyServerEvent, ...] = (
    events.SessionUpdated(session=session(WITH_SERVER)),
    events.ResponseDone(response=MCP_RESPONSE),
)

OURS = events.PriceUpdated(charged_for="resp_1", micro=1_250, session_micro=3_000)
"""What the original API does not know, for who asks for it."""

KEY = events.DtmfEventReceived(event="5", received_at=1_763_683_200)
"""The one without an id."""
