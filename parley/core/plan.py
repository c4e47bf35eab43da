"""The plan of a response: the session's configuration with the overrides of its `response.create` (protocol.md 6.3)."""

from typing import Any

import msgspec
from msgspec import UNSET

from parley.core.config import (
    AnyTool,
    AudioFormat,
    FunctionChoice,
    NamedFunction,
    RealtimeConfig,
    Reasoning,
    ResponseOptions,
    Tool,
    ToolChoice,
    Truncation,
    chosen_is_there,
)
from parley.core.mcp import Offer, Servers
from parley.core.mcp_config import McpTool, NamedMcp, function_name
from parley.core.usage import output_limit


class Plan(msgspec.Struct, frozen=True, kw_only=True):
    model: str
    instructions: str
    spoken: bool
    voice: str
    format: AudioFormat
    speed: float
    tools: tuple[Tool, ...]
    """Functions of the client, and what MCP servers offer."""
    offers: dict[str, Offer]
    """The latter by their names among `tools`."""
    tool_choice: FunctionChoice
    parallel_tool_calls: bool
    reasoning: Reasoning | None
    temperature: float | msgspec.UnsetType
    max_output_tokens: int | str
    output_limit: int
    metadata: dict[str, str] | None
    in_conversation: bool
    truncation: Truncation


def plan(config: RealtimeConfig, options: ResponseOptions, output_cap: int, servers: Servers) -> Plan:
    def chosen(override: Any, own: Any) -> Any:
        return own if override is UNSET or override is None else override

    out = options.audio.output
    tools: tuple[AnyTool, ...] = chosen(options.tools, config.tools)
    choice = chosen(options.tool_choice, config.tool_choice if chosen_is_there(config.tool_choice, tools) else "auto")
    if isinstance(choice, NamedMcp):
        tools = tuple(each for each in tools if isinstance(each, McpTool) and each.server_label == choice.server_label)
    offers = servers.offered(tools, may_ask=options.conversation == "auto")
    functions = tuple(tool for tool in tools if isinstance(tool, Tool))
    parallel = chosen(options.parallel_tool_calls, config.parallel_tool_calls)
    reasoning = chosen(options.reasoning, config.reasoning)
    return Plan(
        model=config.model,
        instructions=chosen(options.instructions, config.instructions),
        spoken=chosen(options.output_modalities, config.output_modalities) == ("audio",),
        voice=chosen(out.voice, config.audio.output.voice),
        format=chosen(out.format, config.audio.output.format),
        speed=config.audio.output.speed,
        tools=(*functions, *(offer.tool for offer in offers)),
        offers={offer.tool.name: offer for offer in offers},
        tool_choice=_function_choice(choice, offers),
        parallel_tool_calls=True if parallel is UNSET else parallel,
        reasoning=None if reasoning is UNSET else reasoning,
        temperature=chosen(options.temperature, config.temperature),
        max_output_tokens=chosen(options.max_output_tokens, config.max_output_tokens),
        output_limit=output_limit(config, options.max_output_tokens, output_cap),
        metadata=options.metadata,
        in_conversation=options.conversation == "auto",
        truncation=config.truncation,
    )


def _function_choice(choice: ToolChoice, offers: tuple[Offer, ...]) -> FunctionChoice:
    """A server's tools may not be known yet; then there is nothing to choose."""
    if not isinstance(choice, NamedMcp):
        return choice
    if not choice.name:
        return "required" if offers else "auto"
    name = function_name(choice.server_label, choice.name)
    return NamedFunction(name=name) if any(offer.tool.name == name for offer in offers) else "auto"
