"""What a client may set: the session's configuration, its defaults, and how an update changes it (protocol.md 2).

A configuration is one frozen struct. An update is a patch: it is laid over the old configuration as plain data and the
result is validated as a whole, so a refused update changes nothing and every limit stands exactly once, in a type.
"""

from collections.abc import Mapping
from typing import Annotated, Any, Literal, NoReturn

import msgspec
from msgspec import UNSET, Meta, UnsetType

from parley.core.items import Wire
from parley.core.mcp_config import SECRETS, SERVERS_MAX, McpTool, NamedMcp, completed
from parley.core.shapes import shape
from parley.errors import RequestError

INSTRUCTIONS_CHARS_MAX = 400_000
TOOLS_MAX = 128
SCHEMA_DEPTH_MAX = 16
SCHEMA_NODES_MAX = 5_000
PROMPT_VARIABLES_MAX = 64

Instructions = Annotated[str, Meta(max_length=INSTRUCTIONS_CHARS_MAX)]
Millis = Annotated[int, Meta(ge=0, le=60_000)]
Unit = Annotated[float, Meta(ge=0.0, le=1.0)]
MaxTokens = Annotated[int, Meta(ge=1, le=4096)] | Literal["inf"]
Modalities = Annotated[tuple[Literal["audio", "text"], ...], Meta(min_length=1, max_length=1)]


class Pcm(Wire, tag="audio/pcm"):
    rate: Literal[24000] = 24000


class Pcmu(Wire, tag="audio/pcmu"):
    pass


class Pcma(Wire, tag="audio/pcma"):
    pass


AudioFormat = Pcm | Pcmu | Pcma
"""protocol.md 2.3: PCM16 mono 24 kHz, or G.711 at 8 kHz."""

HOUSE_FORMAT = Pcm()
"""The only format inside (style.md): what everything is that does not say otherwise."""

BYTES_PER_MS: dict[type[AudioFormat], int] = {Pcm: 48, Pcmu: 8, Pcma: 8}


def format_name(audio_format: AudioFormat) -> str:
    """``audio/pcm``, ``audio/pcmu`` or ``audio/pcma``."""
    return str(audio_format.__struct_config__.tag)


class ServerVad(Wire, tag="server_vad"):
    threshold: Unit = 0.5
    prefix_padding_ms: Millis = 300
    silence_duration_ms: Millis = 500
    idle_timeout_ms: Annotated[int, Meta(ge=5_000, le=30_000)] | None = None
    create_response: bool = True
    interrupt_response: bool = True


class SemanticVad(Wire, tag="semantic_vad"):
    eagerness: Literal["auto", "low", "medium", "high"] = "auto"
    create_response: bool = True
    interrupt_response: bool = True


TurnDetection = ServerVad | SemanticVad


class Transcription(Wire):
    model: str = "gpt-4o-mini-transcribe"
    language: Annotated[str, Meta(max_length=16)] | UnsetType | None = UNSET
    languages: tuple[str, ...] | UnsetType | None = UNSET
    keywords: Annotated[tuple[str, ...], Meta(max_length=1000)] | UnsetType | None = UNSET
    prompt: Instructions | UnsetType | None = UNSET
    delay: Literal["minimal", "low", "medium", "high", "xhigh"] | UnsetType | None = UNSET


class NoiseReduction(Wire):
    type: Literal["near_field", "far_field"]
    strength: Unit = 1.0


class AudioInput(Wire):
    format: AudioFormat = Pcm()
    transcription: Transcription | None = None
    noise_reduction: NoiseReduction | None = None
    turn_detection: TurnDetection | None = ServerVad()


class VoiceId(Wire):
    """A voice as an object (protocol.md 2.2); there are no custom ones, so it is one of the voices all the same."""

    id: str


class AudioOutput(Wire):
    format: AudioFormat = Pcm()
    voice: str = "marin"
    speed: Annotated[float, Meta(ge=0.25, le=1.5)] = 1.0


class Audio(Wire):
    input: AudioInput = AudioInput()
    output: AudioOutput = AudioOutput()


class Tool(Wire, tag="function"):
    """A function that the client runs (protocol.md 2.9)."""

    name: Annotated[str, Meta(pattern=r"^[a-zA-Z0-9_.-]{1,64}$")]
    description: str | None = None
    parameters: dict[str, Any] = msgspec.field(default_factory=lambda: {"type": "object", "properties": {}})


class NamedFunction(Wire, tag="function"):
    name: str


AnyTool = Tool | McpTool
FunctionChoice = Literal["none", "auto", "required"] | NamedFunction
ToolChoice = FunctionChoice | NamedMcp


class TokenLimits(Wire):
    post_instructions: Annotated[int, Meta(ge=0)] | UnsetType = UNSET


class RetentionRatio(Wire, tag="retention_ratio"):
    retention_ratio: Unit
    token_limits: TokenLimits | UnsetType | None = UNSET


Truncation = Literal["auto", "disabled"] | RetentionRatio


class Reasoning(Wire):
    effort: Literal["minimal", "low", "medium", "high", "xhigh"] | None = "low"


class Tracing(Wire):
    workflow_name: str | UnsetType | None = UNSET
    group_id: str | UnsetType | None = UNSET
    metadata: dict[str, Any] | UnsetType | None = UNSET


class Prompt(Wire):
    """Instructions that the server keeps. What it fills in stands in `instructions` (the shell sees to that)."""

    id: Annotated[str, Meta(min_length=1, max_length=64)]
    version: Annotated[str, Meta(max_length=64)] | None = None
    variables: Annotated[dict[str, Any], Meta(max_length=PROMPT_VARIABLES_MAX)] | None = None


LOGPROBS = "item.input_audio_transcription.logprobs"
Include = Literal["item.input_audio_transcription.logprobs", "parley.price"]
"""The second is ours: `parley.price.updated` after everything that was charged."""


class RealtimeConfig(Wire, tag="realtime"):
    """A conversation (protocol.md 2.2)."""

    model: str
    output_modalities: Modalities = ("audio",)
    instructions: Instructions = ""
    audio: Audio = Audio()
    tools: Annotated[tuple[AnyTool, ...], Meta(max_length=TOOLS_MAX)] = ()
    tool_choice: ToolChoice = "auto"
    max_output_tokens: MaxTokens = "inf"
    truncation: Truncation = "auto"
    tracing: Literal["auto"] | Tracing | None = None
    include: tuple[Include, ...] | None = None
    prompt: Prompt | None = None
    parallel_tool_calls: bool | UnsetType = UNSET
    reasoning: Reasoning | UnsetType | None = UNSET
    temperature: Annotated[float, Meta(ge=0.6, le=1.2)] | UnsetType = UNSET
    """Beta only. The GA dialect refuses it; it lives here so that the dialects need no state."""


class TranscriptionAudio(Wire):
    input: AudioInput = AudioInput(transcription=Transcription())


class TranscriptionConfig(Wire, tag="transcription"):
    """Speech in, text out, no model and no responses (protocol.md 2.6)."""

    audio: TranscriptionAudio = TranscriptionAudio()
    include: tuple[Include, ...] | None = None


SessionConfig = RealtimeConfig | TranscriptionConfig

_RESPONSE_SIDE = ("id", "object", "expires_at")
"""Keys of the effective session that are ours to say. A client that echoes the session back may send them."""

_MERGED = {("audio",), ("audio", "input"), ("audio", "output")}
"""Objects that a patch goes into. Every other object replaces the old one …"""

_MERGED_IF_SAME_TYPE = {
    ("audio", "input", "turn_detection"),
    ("audio", "input", "noise_reduction"),
    ("audio", "input", "transcription"),
}
"""… except these, which keep what the patch leaves out while their `type` stays (docs/decisions/0003)."""


class SessionLock(msgspec.Struct, frozen=True, kw_only=True):
    """What the state of a session forbids an update to touch."""

    voice: bool = False
    """Assistant audio exists."""
    speed: bool = False
    """A response is running."""


KnownServers = Mapping[str, McpTool]
"""MCP servers that a session already has, by label."""
NO_SERVERS: KnownServers = {}


def configured(
    patch: Mapping[str, Any], config: SessionConfig, voices: frozenset[str], known: KnownServers = NO_SERVERS
) -> SessionConfig:
    """`config` with `patch` laid over it, valid as a whole. Raises `RequestError`; `config` itself never changes."""
    laid = _lay(patch, msgspec.to_builtins(config), ())
    new = shape(laid, type(config), "session")
    if isinstance(new, RealtimeConfig):
        new = msgspec.structs.replace(new, tools=_completed(new.tools, known, "session.tools"))
    _check_meaning(new, voices)
    return new


def _completed(tools: tuple[AnyTool, ...], known: KnownServers, path: str) -> tuple[AnyTool, ...]:
    return tuple(
        completed(tool, known, f"{path}[{index}]") if isinstance(tool, McpTool) else tool
        for index, tool in enumerate(tools)
    )


def shown(config: SessionConfig) -> dict[str, Any]:
    """`config` as clients may see it: what is secret in it can be written only."""
    fields: dict[str, Any] = msgspec.to_builtins(config)
    for tool in fields.get("tools", ()):
        for secret in SECRETS:
            tool.pop(secret, None)
    return fields


def updated(
    patch: object,
    config: SessionConfig,
    lock: SessionLock,
    voices: frozenset[str],
    known: KnownServers = NO_SERVERS,
) -> SessionConfig:
    """What `session.update` makes of `config` (protocol.md 3.1). Raises `RequestError` and then changes nothing."""
    if not isinstance(patch, dict):
        raise RequestError("invalid_type", "Invalid type for 'session': expected an object.", "session")
    _check_type(patch, config)
    patch = {key: value for key, value in patch.items() if key not in _RESPONSE_SIDE}
    new = configured(patch, config, voices, known)
    if isinstance(new, RealtimeConfig) and isinstance(config, RealtimeConfig):
        _check_locks(new, config, lock)
    return new


def _check_type(patch: Mapping[str, Any], config: SessionConfig) -> None:
    own = config.__struct_config__.tag
    if "type" not in patch:
        raise RequestError("missing_required_parameter", "Missing required parameter: 'session.type'.", "session.type")
    if patch["type"] not in ("realtime", "transcription"):
        raise RequestError(
            "invalid_value",
            f"Invalid value: {patch['type']!r}. Supported values are: 'realtime', 'transcription'.",
            "session.type",
        )
    if patch["type"] != own:
        raise RequestError(
            "cannot_update_session_type", f"This is a {own} session; its type cannot change.", "session.type"
        )


def _check_locks(new: RealtimeConfig, old: RealtimeConfig, lock: SessionLock) -> None:
    if new.model != old.model:
        raise RequestError(
            "cannot_update_model", f"Cannot change the model of a session; it is '{old.model}'.", "session.model"
        )
    if lock.voice and new.audio.output.voice != old.audio.output.voice:
        raise RequestError(
            "cannot_update_voice",
            "Cannot update a conversation's voice if assistant audio is present.",
            "session.audio.output.voice",
        )
    if lock.speed and new.audio.output.speed != old.audio.output.speed:
        raise RequestError(
            "cannot_update_speed",
            "Cannot change the speed while a response is running.",
            "session.audio.output.speed",
        )
    if old.tracing is not None and new.tracing != old.tracing:
        raise RequestError("cannot_update_tracing", "Cannot change tracing once it is enabled.", "session.tracing")


def _lay(patch: Mapping[str, Any], over: Any, path: tuple[str, ...]) -> dict[str, Any]:
    laid: dict[str, Any] = dict(over)
    for key, value in patch.items():
        place = (*path, key)
        old = laid.get(key)
        if isinstance(value, dict) and isinstance(old, dict) and _goes_into(place, value, old):
            laid[key] = _lay(value, old, place)
        elif place == ("audio", "output", "voice") and isinstance(value, dict):
            laid[key] = shape(value, VoiceId, "session.audio.output.voice").id
        elif place == ("audio", "input", "turn_detection") and isinstance(value, dict):
            laid[key] = {"type": "server_vad", **value}
        else:
            laid[key] = value
        if place == ("audio", "input", "turn_detection") and isinstance(laid[key], dict):
            laid[key].pop("model_version", None)  # agents-py may send it (protocol.md 2.4)
    return laid


def _goes_into(place: tuple[str, ...], value: Mapping[str, Any], old: Mapping[str, Any]) -> bool:
    if place in _MERGED:
        return True
    return place in _MERGED_IF_SAME_TYPE and value.get("type", old.get("type")) == old.get("type")


def _check_meaning(config: SessionConfig, voices: frozenset[str]) -> None:
    if isinstance(config, RealtimeConfig):
        check_voice(config.audio.output.voice, voices, "session.audio.output.voice")
        check_tools(config.tools, "session.tools")
        check_tool_choice(config.tool_choice, config.tools, "session.tool_choice")
    for index, keyword in enumerate(_keywords(config)):
        if any(sign in keyword for sign in "<>\r\n"):
            path = f"session.audio.input.transcription.keywords[{index}]"
            raise RequestError(
                "invalid_value", f"Invalid '{path}'. Keywords must not contain '<', '>' or line breaks.", path
            )


def _keywords(config: SessionConfig) -> tuple[str, ...]:
    transcription = config.audio.input.transcription
    return (transcription.keywords or ()) if transcription else ()


def check_voice(voice: str, voices: frozenset[str], path: str) -> None:
    if voice not in voices:
        listed = ", ".join(repr(name) for name in sorted(voices))
        raise RequestError("invalid_value", f"Invalid value: {voice!r}. Supported values are: {listed}.", path)


def check_tool_choice(choice: ToolChoice, tools: tuple[AnyTool, ...], path: str) -> None:
    """A tool of an MCP server need not be there yet; the server must. Raises `RequestError`."""
    if not chosen_is_there(choice, tools):
        name, key = (choice.server_label, "server_label") if isinstance(choice, NamedMcp) else (choice.name, "name")  # type: ignore[union-attr]
        raise RequestError("invalid_value", f"Tool '{name}' not found in 'tools'.", f"{path}.{key}")


def chosen_is_there(choice: ToolChoice, tools: tuple[AnyTool, ...]) -> bool:
    """Whether `tools` have the function or the server that is chosen, if one is."""
    match choice:
        case NamedFunction(name=name):
            return any(isinstance(tool, Tool) and tool.name == name for tool in tools)
        case NamedMcp(server_label=label):
            return any(isinstance(tool, McpTool) and tool.server_label == label for tool in tools)
    return True


def check_tools(tools: tuple[AnyTool, ...], path: str) -> None:
    """Names are unique and every schema is one that arguments can be checked against. Raises `RequestError`."""
    seen: set[tuple[type, str]] = set()
    for index, tool in enumerate(tools):
        name, key = (tool.name, "name") if isinstance(tool, Tool) else (tool.server_label, "server_label")
        if (type(tool), name) in seen:
            raise RequestError("invalid_value", f"Duplicate tool {key} '{name}'.", f"{path}[{index}].{key}")
        seen.add((type(tool), name))
        if isinstance(tool, Tool):
            check_schema(tool.parameters, f"{path}[{index}].parameters")
    if sum(isinstance(tool, McpTool) for tool in tools) > SERVERS_MAX:
        raise RequestError("invalid_value", f"A session has at most {SERVERS_MAX} MCP servers.", path)


def check_schema(schema: dict[str, Any], path: str) -> None:
    """Raises `RequestError` where arguments could not be checked against `schema`."""
    if schema.get("type", "object") != "object":
        raise RequestError("invalid_value", f"Invalid '{path}'. The schema must be of type 'object'.", f"{path}.type")
    _SchemaCheck().check(schema, path, 1)


_SCHEMA_TYPES = frozenset({"object", "array", "string", "number", "integer", "boolean", "null"})
_SUBSCHEMAS = ("items", "additionalProperties", "not", "if", "then", "else", "contains", "propertyNames")
_SCHEMA_MAPS = ("properties", "$defs", "definitions", "patternProperties")
_SCHEMA_LISTS = ("anyOf", "oneOf", "allOf", "prefixItems")


class _SchemaCheck:
    """Walks one JSON Schema. Not a full validator: it refuses what no model and no checker could use."""

    def __init__(self) -> None:
        self.nodes = 0

    def check(self, schema: object, path: str, depth: int) -> None:
        if isinstance(schema, bool):
            return
        if not isinstance(schema, dict):
            self._refuse(path, "expected a JSON Schema object")
        self.nodes += 1
        if depth > SCHEMA_DEPTH_MAX or self.nodes > SCHEMA_NODES_MAX:
            self._refuse(path, f"the schema is deeper than {SCHEMA_DEPTH_MAX} or larger than {SCHEMA_NODES_MAX} nodes")
        self._check_words(schema, path)
        for key in _SUBSCHEMAS:
            if key in schema:
                self.check(schema[key], f"{path}.{key}", depth + 1)
        for key in _SCHEMA_MAPS:
            for name, inner in self._mapping(schema, key, path).items():
                self.check(inner, f"{path}.{key}.{name}", depth + 1)
        for key in _SCHEMA_LISTS:
            for index, inner in enumerate(self._list(schema, key, path)):
                self.check(inner, f"{path}.{key}[{index}]", depth + 1)

    def _check_words(self, schema: dict[str, Any], path: str) -> None:
        kinds = schema.get("type", [])
        for kind in kinds if isinstance(kinds, list) else [kinds]:
            if not isinstance(kind, str) or kind not in _SCHEMA_TYPES:
                self._refuse(f"{path}.type", f"{kind!r} is not a JSON Schema type")
        if not all(isinstance(name, str) for name in self._list(schema, "required", path)):
            self._refuse(f"{path}.required", "expected an array of strings")
        self._list(schema, "enum", path)

    def _mapping(self, schema: dict[str, Any], key: str, path: str) -> dict[str, Any]:
        value = schema.get(key, {})
        if not isinstance(value, dict):
            self._refuse(f"{path}.{key}", "expected an object")
        return dict(value)

    def _list(self, schema: dict[str, Any], key: str, path: str) -> list[Any]:
        value = schema.get(key, [])
        if not isinstance(value, list):
            self._refuse(f"{path}.{key}", "expected an array")
        return list(value)

    def _refuse(self, path: str, why: str) -> NoReturn:
        raise RequestError("invalid_value", f"Invalid '{path}': {why}.", path)


class ResponseAudioOutput(Wire):
    format: AudioFormat | UnsetType = UNSET
    voice: str | VoiceId | UnsetType = UNSET


class ResponseAudio(Wire):
    output: ResponseAudioOutput = ResponseAudioOutput()


class ResponseOptions(Wire):
    """The overrides of one `response.create` (protocol.md 6.3)."""

    conversation: Literal["auto", "none"] = "auto"
    input: tuple[Any, ...] | UnsetType | None = UNSET
    instructions: Instructions | UnsetType | None = UNSET
    output_modalities: Modalities | UnsetType = UNSET
    audio: ResponseAudio = ResponseAudio()
    tools: Annotated[tuple[AnyTool, ...], Meta(max_length=TOOLS_MAX)] | UnsetType = UNSET
    tool_choice: ToolChoice | UnsetType = UNSET
    parallel_tool_calls: bool | UnsetType = UNSET
    reasoning: Reasoning | UnsetType | None = UNSET
    prompt: Prompt | None = None
    max_output_tokens: MaxTokens | UnsetType = UNSET
    metadata: (
        Annotated[dict[Annotated[str, Meta(max_length=64)], Annotated[str, Meta(max_length=512)]], Meta(max_length=16)]
        | None
    ) = None
    temperature: Annotated[float, Meta(ge=0.6, le=1.2)] | UnsetType = UNSET


def parse_response(
    value: object,
    config: RealtimeConfig,
    lock: SessionLock,
    voices: frozenset[str],
    known: KnownServers = NO_SERVERS,
) -> ResponseOptions:
    """The `response` of a `response.create`, with the same checks that the session's own fields get."""
    options = shape({} if value is None else value, ResponseOptions, "response")
    if options.tools is not UNSET:
        options = msgspec.structs.replace(options, tools=_completed(options.tools, known, "response.tools"))
    voice = options.audio.output.voice
    if isinstance(voice, VoiceId):
        voice = voice.id
        named = msgspec.structs.replace(options.audio.output, voice=voice)
        options = msgspec.structs.replace(options, audio=ResponseAudio(output=named))
    if voice is not UNSET:
        check_voice(voice, voices, "response.audio.output.voice")
        if lock.voice and voice != config.audio.output.voice:
            raise RequestError(
                "cannot_update_voice",
                "Cannot update a conversation's voice if assistant audio is present.",
                "response.audio.output.voice",
            )
    tools = config.tools if options.tools is UNSET else options.tools
    if options.tools is not UNSET:
        check_tools(options.tools, "response.tools")
    if options.tool_choice is not UNSET:
        check_tool_choice(options.tool_choice, tools, "response.tool_choice")
    return options
