"""Logs, metrics and redaction. One line per event; never speech, transcripts or keys in clear.

    log = logging.getLogger(__name__)
    note(log, "session opened", session=live.id, model=model)

A line is a short event name and fields. What people said, or a key, has no business in a field; should it get there all
the same, `redacted` hides it by the name of the field and by the looks of the value.
"""

import logging
import re
import sys
from collections.abc import Callable, Mapping
from datetime import UTC, datetime
from typing import Any, Final, Literal, TextIO

import msgspec
from prometheus_client import CollectorRegistry, Counter, Gauge, Histogram, generate_latest

from parley.core.effects import Stamps, Turn

HIDDEN: Final = "[hidden]"

PRIVATE_FIELDS: Final = re.compile(
    r"(^|_)(authorization|key|secret|token|password|cookie|audio|pcm|transcript|text|instructions|delta|arguments|content"
    r"|prompt|output)$"
)
"""Names of fields that hold keys or what people said."""

SECRET_VALUES: Final = re.compile(r"\b(sk-|ek_|whsec_|Bearer\s+|openai-insecure-api-key\.)[^\s\"',;]+")
"""Values that are keys whatever the field is called."""

FIELD_CHARS_MAX: Final = 500
TRACEBACK_CHARS_MAX: Final = 8_000
SECONDS: Final = (0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1.0, 2.5, 5.0, 10.0, 30.0)
LAG_SECONDS: Final = (0.005, 0.01, 0.02, 0.04, 0.08, 0.16, 0.32, 0.64, 1.28)


# ---- logs


def note(log: logging.Logger, event: str, level: int = logging.INFO, /, **fields: object) -> None:
    """Write one line: what happened, and the facts that go with it."""
    if log.isEnabledFor(level):
        log.log(level, "%s", event, extra={"fields": fields})


def redacted(fields: Mapping[str, object]) -> dict[str, object]:
    """The fields as they may be written: private ones hidden, keys in others masked, long ones cut."""
    return {name: HIDDEN if PRIVATE_FIELDS.search(name) else _masked(value) for name, value in fields.items()}


def _masked(value: object) -> object:
    if value is None or isinstance(value, bool | int | float):
        return value
    return masked(str(value))[:FIELD_CHARS_MAX]


def masked(text: str) -> str:
    """`text` with every key in it cut after its prefix."""
    return SECRET_VALUES.sub(lambda found: found[1] + HIDDEN, text)


class JsonLines(logging.Formatter):
    """One JSON object per line."""

    def format(self, record: logging.LogRecord) -> str:
        line = {
            "time": datetime.fromtimestamp(record.created, UTC).isoformat(timespec="milliseconds"),
            "level": record.levelname.lower(),
            "logger": record.name,
            "event": masked(record.getMessage()),
            **redacted(getattr(record, "fields", {})),
        }
        if record.exc_info:
            line["exception"] = masked(self.formatException(record.exc_info))[-TRACEBACK_CHARS_MAX:]
        return msgspec.json.encode(line).decode()


class TextLines(logging.Formatter):
    """The same for people."""

    def format(self, record: logging.LogRecord) -> str:
        time = datetime.fromtimestamp(record.created).astimezone().strftime("%H:%M:%S.%f")[:-3]
        fields = redacted(getattr(record, "fields", {}))
        facts = "".join(f"  {name}={value}" for name, value in fields.items() if value is not None)
        line = f"{time} {record.levelname.lower():7} {masked(record.getMessage())}{facts}"
        if record.exc_info:
            line += "\n" + masked(self.formatException(record.exc_info))[-TRACEBACK_CHARS_MAX:]
        return line


def set_up_logs(level: str, style: Literal["auto", "json", "text"], stream: TextIO = sys.stderr) -> None:
    """Everything that is logged in this process goes to `stream`, in one form."""
    text = stream.isatty() if style == "auto" else style == "text"
    handler = logging.StreamHandler(stream)
    handler.setFormatter(TextLines() if text else JsonLines())
    logging.basicConfig(level=level.upper(), handlers=[handler], force=True)
    for name, least in QUIET.items():
        logging.getLogger(name).setLevel(least)


QUIET: Final = {
    "uvicorn": logging.ERROR,
    "picows": logging.CRITICAL,
    "asyncio": logging.WARNING,
    "aiohttp": logging.ERROR,
    "aiortc": logging.ERROR,
    "python_multipart": logging.ERROR,
}
"""Loggers of others, and from which level on they are worth a line. Most of what they say we say ourselves."""


# ---- the record of a turn


def segments(stamps: Stamps) -> dict[str, float]:
    """Seconds that each part of a turn took, as far as both of its ends are known."""
    begun = max((t for t in (stamps.committed, stamps.transcript_final) if t is not None), default=None)
    ends = {
        "speech": (stamps.speech_start, stamps.speech_stop),
        "end_of_turn": (stamps.speech_stop, stamps.committed),
        "transcription": (stamps.committed, stamps.transcript_final),
        "dispatch": (begun, stamps.response_created),
        "tool": (stamps.tool_start, stamps.tool_end),
        "first_audio": (stamps.response_created, stamps.first_audio),
        "speaking": (stamps.first_audio, stamps.done),
        "response": (stamps.response_created, stamps.done),
        "voice_to_voice": (stamps.speech_stop, stamps.first_audio),
    }
    return {name: max(0.0, end - start) for name, (start, end) in ends.items() if start is not None and end is not None}


def turn_fields(turn: Turn) -> dict[str, object]:
    """The fields of the log line about a turn."""
    fields: dict[str, object] = {
        "kind": turn.kind,
        "id": turn.id,
        "model": turn.model,
        "status": turn.status,
        "error": turn.error_code,
        "upstream": turn.upstream,
        "interrupted_at_ms": turn.stamps.interrupted_at_ms,
    }
    if turn.usage is not None:
        fields |= {"tokens_in": turn.usage.input_tokens, "tokens_out": turn.usage.output_tokens}
    fields |= {f"{name}_ms": round(seconds * 1_000, 1) for name, seconds in segments(turn.stamps).items()}
    return {name: value for name, value in fields.items() if value is not None}


# ---- metrics


class Metrics:
    """What Prometheus reads. Children are bound once, so that counting costs half a microsecond."""

    def __init__(self) -> None:
        self.registry = CollectorRegistry()
        self.sessions = Gauge("parley_sessions", "Live sessions.", registry=self.registry)
        self.sessions_opened = Counter("parley_sessions_opened", "Sessions opened.", registry=self.registry)
        self._turns = Counter("parley_turns", "Finished turns.", ["kind", "status"], registry=self.registry)
        self._segments = Histogram(
            "parley_turn_seconds",
            "How long the parts of a turn took.",
            ["segment"],
            buckets=SECONDS,
            registry=self.registry,
        )
        self._errors = Counter("parley_errors", "Errors told to clients.", ["code"], registry=self.registry)
        self._failures = Counter(
            "parley_engine_failures", "Work that an engine could not do.", ["work", "code"], registry=self.registry
        )
        self._closed = Counter("parley_connections_closed", "Closed connections.", ["code"], registry=self.registry)
        lag = Histogram(
            "parley_vad_lag_seconds",
            "Sound that came in before the evidence about it.",
            buckets=LAG_SECONDS,
            registry=self.registry,
        )
        self.vad_lag: Callable[[float], None] = lag.observe
        self._bound: dict[tuple[str, ...], Any] = {}

    def turn(self, turn: Turn) -> None:
        """Count a finished turn and its parts."""
        self._child(self._turns, turn.kind, turn.status).inc()
        for name, seconds in segments(turn.stamps).items():
            self._child(self._segments, name).observe(seconds)

    def error(self, code: str) -> None:
        self._child(self._errors, code).inc()

    def failure(self, work: str, code: str) -> None:
        self._child(self._failures, work, code).inc()

    def closed(self, code: int) -> None:
        self._child(self._closed, str(code)).inc()

    def page(self) -> bytes:
        """The metrics as text, for `/metrics`."""
        return generate_latest(self.registry)

    def _child(self, metric: Counter | Histogram, *labels: str) -> Any:
        key = (metric._name, *labels)
        child = self._bound.get(key)
        if child is None:
            child = self._bound[key] = metric.labels(*labels)
        return child
