"""Plays scripts against the bare core: counted ids, a clock that the script moves, one word per token."""

import itertools
import json
import shlex
from typing import Any

import msgspec

from parley.catalog import VOICES
from parley.core import effects as f
from parley.core import inputs as i
from parley.core.config import RealtimeConfig, SessionConfig, TranscriptionConfig, configured
from parley.core.events import AnyClientEvent
from parley.core.input_audio import SAMPLES_PER_MS
from parley.core.items import McpToolExecutionError, McpToolInfo
from parley.core.session import Session
from parley.core.terms import Terms
from parley.core.turns import FRAME_SAMPLES
from tests.script import Line

STEP_MS = 32


def count_words(text: str) -> int:
    return len(text.split())


class Ids:
    """``item_1``, ``item_2``, ``resp_1`` …"""

    def __init__(self) -> None:
        self._counters: dict[str, itertools.count[int]] = {}

    def __call__(self, kind: str) -> str:
        return f"{kind}_{next(self._counters.setdefault(kind, itertools.count(1)))}"


def new_session(patch: dict[str, Any] | None = None, **terms: Any) -> Session:
    patch = dict(patch or {})
    kind = patch.pop("type", "realtime")
    voices = frozenset(VOICES)
    base: SessionConfig = RealtimeConfig(model="gpt-realtime") if kind == "realtime" else TranscriptionConfig()
    defaults = Terms(voices=voices, count_tokens=count_words)
    return Session(
        config=configured(patch, base, voices),
        terms=msgspec.structs.replace(defaults, **terms),
        new_id=Ids(),
        now=0.0,
    )


def cut_off(rest: str) -> i.CutOff:
    code, *after = rest.split()
    return i.CutOff(code=code, message=f"It ends: {code}.", finish_sentence=after == ["after", "sentence"])


def charged(rest: str) -> i.Charged:
    id, micro, session_micro = rest.split()
    return i.Charged(charged_for=id, micro=int(micro), session_micro=int(session_micro))


class CoreDriver:
    def __init__(self, patch: dict[str, Any], terms: dict[str, Any]) -> None:
        self.session = new_session(patch, **terms)
        self.now = 0.0
        self.samples = 0
        self.listening: list[str] = []
        self.generating: list[str] = []
        self.servers: dict[str, str] = {}
        """Work by label."""
        self._opened = False

    def happen(self, line: Line) -> list[tuple[str, dict[str, Any]]]:
        if line.verb == "open":
            effects = self.session.open()
            for effect in effects:
                self._note(effect)
            return self._show(effects)
        happen = getattr(self, f"_{line.verb}")
        return self._show(happen(line.rest))

    def give(self, event: i.AnyInput) -> list[f.AnyEffect]:
        effects = self.session.handle(event, self.now)
        for effect in effects:
            self._note(effect)
        return effects

    # ---- what can happen

    def _client(self, rest: str) -> list[f.AnyEffect]:
        kind, _, body = rest.partition(" ")
        fields = {"type": kind, **json.loads(body or "{}")}
        return self.give(msgspec.convert(fields, AnyClientEvent))

    def _raw(self, rest: str) -> list[f.AnyEffect]:
        code, _, message = rest.partition(" ")
        return self.give(i.Malformed(code=code, message=message))

    def _mic(self, rest: str) -> list[f.AnyEffect]:
        kind, ms = rest.split()
        effects: list[f.AnyEffect] = []
        for _ in range(int(ms) // STEP_MS):
            self.now += STEP_MS / 1000
            self.samples += FRAME_SAMPLES
            effects += self.give(i.Heard(pcm=bytes(2 * STEP_MS * SAMPLES_PER_MS)))
            if kind != "sound":
                effects += self.give(i.Speech(upto=self.samples, probability=0.95 if kind == "speech" else 0.02))
        return effects

    def _engine(self, rest: str) -> list[f.AnyEffect]:
        verb, *args = shlex.split(rest)
        effects: list[f.AnyEffect] = []
        for event in posts(verb, args, self.listening, self.generating, self.servers):
            effects += self.give(event)
        return effects

    def _wait(self, rest: str) -> list[f.AnyEffect]:
        until = self.now + int(rest) / 1000
        effects: list[f.AnyEffect] = []
        while self.session.deadline is not None and self.session.deadline <= until:
            self.now = self.session.deadline
            effects += self.give(i.Tick())
        self.now = until
        return effects

    def _played(self, rest: str) -> list[f.AnyEffect]:
        response_id, ms, *done = rest.split()
        return self.give(i.Played(response_id=response_id, played_ms=int(ms), done=bool(done)))

    def _left(self, rest: str) -> list[f.AnyEffect]:
        return self.give(i.Left())

    def _drain(self, rest: str) -> list[f.AnyEffect]:
        return self.give(i.Drain(reason=rest or "The server is stopping."))

    def _cut(self, rest: str) -> list[f.AnyEffect]:
        return self.give(cut_off(rest))

    def _charged(self, rest: str) -> list[f.AnyEffect]:
        return self.give(charged(rest))

    # ---- what follows

    def _note(self, effect: f.AnyEffect) -> None:
        match effect:
            case f.Start(work=f.Transcribe(work_id=work_id)):
                self.listening.append(work_id)
            case f.Start(work=f.Generate(work_id=work_id)):
                self.generating.append(work_id)
            case f.Start(work=f.Attend(work_id=work_id, server=server)):
                self.servers[server.server_label] = work_id
            case f.Stop(work_id=work_id) if work_id in self.listening:
                self.listening.remove(work_id)

    def _show(self, effects: list[f.AnyEffect]) -> list[tuple[str, dict[str, Any]]]:
        return [shown for effect in effects for shown in seen(effect)]


def posts(
    verb: str, args: list[str], listening: list[str], generating: list[str], servers: dict[str, str]
) -> list[i.AnyInput]:
    """What an `engine` line is, about the work that runs; a transcription that it ends is taken off the list."""
    if verb in ("tools", "returned", "broke", "lost"):
        return [served(verb, servers[args[0]], args[1:])]
    match verb:
        case "heard":
            return [i.Transcribed(work_id=listening.pop(0), text=args[0], final=True, stable=len(args[0]))]
        case "early":
            return [i.Transcribed(work_id=listening[-1], text=args[0], final=False, peeked=True)]
        case "partial":
            return [i.Transcribed(work_id=listening[-1], text=args[1], final=False, stable=int(args[0]))]
        case "deaf":
            return [i.Failed(work_id=listening.pop(0), code=args[0], message="It failed.")]
    work_id = generating[-1]
    match verb:
        case "said":
            return [i.Said(work_id=work_id, output=int(args[0]), text=args[1])]
        case "spoke":
            return [i.Spoke(work_id=work_id, output=int(args[0]), pcm=bytes(48 * int(args[1])))]
        case "called":
            output = int(args[0])
            return [i.Called(work_id=work_id, output=output, name=args[1], arguments=args[2] if args[2:] else "")]
        case "ended":
            return [i.Ended(work_id=work_id, output=int(args[0]))]
        case "generated":
            return [i.Generated(work_id=work_id, reason=args[0] if args else "stop")]
        case "failed":
            return [i.Failed(work_id=work_id, code=args[0], message="It failed.")]
    raise ValueError(verb)


def served(verb: str, work_id: str, args: list[str]) -> i.AnyInput:
    """What comes from an MCP server. A tool with ``!`` behind its name changes something."""
    match verb:
        case "tools":
            return i.ToolsListed(work_id=work_id, tools=tuple(map(tool_info, args)))
        case "returned":
            return i.ToolReturned(work_id=work_id, call_id=args[0], output=args[1])
        case "broke":
            return i.ToolReturned(work_id=work_id, call_id=args[0], error=McpToolExecutionError(message=args[1]))
    return i.Failed(work_id=work_id, code=args[0], message="It is lost.")


def tool_info(name: str) -> McpToolInfo:
    annotations = None if name.endswith("!") else {"readOnlyHint": True}
    return McpToolInfo(name=name.rstrip("!"), input_schema={"type": "object"}, annotations=annotations)


def seen(effect: f.AnyEffect) -> list[tuple[str, dict[str, Any]]]:
    match effect:
        case f.Send(event=event):
            return [("server", msgspec.to_builtins(event))]
        case f.Start(work=f.Transcribe(work_id=work_id, item_id=item_id)):
            return [("asks", {"what": "transcribe", "id": work_id, "item_id": item_id})]
        case f.Start(work=f.Generate() as work):
            items = [msgspec.to_builtins(item) for item in work.items]
            fields = {"items": len(items), "last": items[-1] if items else None, "tools": len(work.tools)}
            fields["tool_choice"] = msgspec.to_builtins(work.tool_choice)
            return [("asks", {"what": "generate", "id": work.work_id, "all": items, "work": work, **fields})]
        case f.Start(work=f.Attend(work_id=work_id, server=server)):
            return [("asks", {"what": "attend", "id": work_id, "label": server.server_label, "server": server})]
        case f.Tell(work_id=work_id, message=f.Call() as call):
            return [("asks", {"what": "call", "id": call.call_id, "of": work_id, **msgspec.to_builtins(call)})]
        case f.Stop(work_id=work_id):
            return [("asks", {"what": "stop", "id": work_id})]
        case f.Tell(work_id=work_id, message=f.Peek()):
            return [("asks", {"what": "peek", "id": work_id})]
        case f.Tell(work_id=work_id, message=f.End()):
            return [("asks", {"what": "end", "id": work_id})]
        case f.Close(code=code, reason=reason):
            return [("asks", {"what": "close", "id": code, "reason": reason})]
        case _:
            return []
