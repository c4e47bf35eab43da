"""What we offer: models, voices, transcription models. Data only; no prices, no I/O."""

from typing import Final, NamedTuple


class Model(NamedTuple):
    """A realtime model name that clients may ask for (protocol.md 2.8)."""

    name: str
    context_tokens: int = 32_768
    output_tokens: int = 4_096
    reasoning: bool = False


class Voice(NamedTuple):
    """A public voice, and how the embedded speaker makes it: base language, warp of the vocal tract, pitch in Hz."""

    name: str
    base: str
    warp: float
    pitch_hz: int


MODELS: Final = {
    model.name: model
    for model in (
        Model("gpt-realtime"),
        Model("gpt-realtime-2025-08-28"),
        Model("gpt-realtime-1.5"),
        Model("gpt-realtime-mini"),
        Model("gpt-realtime-mini-2025-10-06"),
        Model("gpt-realtime-mini-2025-12-15"),
        Model("gpt-realtime-2", 131_072, 32_768, reasoning=True),
        Model("gpt-realtime-2.1", 131_072, 32_768, reasoning=True),
        Model("gpt-realtime-2.1-mini", 131_072, 32_768, reasoning=True),
        Model("gpt-audio-1.5"),
        Model("gpt-audio-mini"),
        Model("gpt-4o-realtime-preview"),
        Model("gpt-4o-realtime-preview-2024-10-01"),
        Model("gpt-4o-realtime-preview-2024-12-17"),
        Model("gpt-4o-realtime-preview-2025-06-03"),
        Model("gpt-4o-mini-realtime-preview"),
        Model("gpt-4o-mini-realtime-preview-2024-12-17"),
        Model("starter-voice"),
        Model("realtime-mini"),
        Model("realtime-pro", 131_072, 32_768, reasoning=True),  # "GPT Realtime 2 quality"
    )
}

TRANSCRIPTION_MODELS: Final = (
    "whisper-1",
    "gpt-transcribe",
    "gpt-live-transcribe",
    "gpt-4o-transcribe",
    "gpt-4o-mini-transcribe",
    "gpt-4o-mini-transcribe-2025-12-15",
    "gpt-4o-transcribe-diarize",
    "gpt-realtime-whisper",
)

VOICES: Final = {
    voice.name: voice
    for voice in (
        Voice("marin", "en-US", 1.00, 175),
        Voice("cedar", "en-US", 0.88, 110),
        Voice("coral", "en-US", 1.08, 175),
        Voice("sage", "en-GB", 1.00, 150),
        Voice("ash", "en-GB", 0.88, 130),
        Voice("verse", "en-US", 0.92, 130),
        Voice("alloy", "en-US", 1.00, 130),
        Voice("ballad", "en-GB", 0.92, 150),
        Voice("echo", "en-GB", 0.84, 110),
        Voice("shimmer", "en-GB", 1.08, 200),
        Voice("nova", "en-US", 1.00, 200),
    )
}

PIPELINE_MODELS: Final = ("starter-voice",)
"""What POST /api/realtime/pipeline accepts (protocol.md 1.8) …"""
CALL_MODELS: Final = ("realtime-mini", "realtime-pro")
"""… and POST /api/realtime/session and /charge."""

DEFAULT_MODEL: Final = "gpt-realtime"
DEFAULT_VOICE: Final = "marin"
