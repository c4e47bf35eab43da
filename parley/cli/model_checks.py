"""What `parley doctor` tries on voices, ears and language models, the embedded ones and those behind HTTP.

The real thing: the embedded voice speaks a sentence, the embedded ear finds it, the recogniser writes it down; a
configured backend gets one small request of its kind. Everything here may raise `EngineError`.
"""

import re
import shutil
import sysconfig
from collections.abc import AsyncIterator
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Final

from parley.catalog import DEFAULT_MODEL, DEFAULT_VOICE
from parley.cli.machine_checks import Finding
from parley.engines.base import Message, Peek, Prompt, SpeechToText, Text, TextToSpeech, TranscriptionRequest, Words
from parley.settings import Settings

SENTENCE: Final = "The meeting is on Monday at ten."
WORDS_HEARD_LEAST: Final = 0.6
"""Part of the sentence's words that must come back. A voice and an ear that both work reach more than that."""
SPEECH_LEAST: Final = 0.5
ANSWER_TIMEOUT_S: Final = 30.0


async def check_speech(settings: Settings) -> Finding:
    """Voice, ear and recogniser, each in earnest."""
    with ThreadPoolExecutor(1) as workers:
        return await round_trip(workers)


async def round_trip(workers: ThreadPoolExecutor) -> Finding:
    from parley.engines.stt import choose_embedded as choose_stt
    from parley.engines.tts import choose_embedded as choose_tts

    tts, no_tts = choose_tts(workers)
    stt, no_stt = choose_stt(workers)
    if tts is None:
        return Finding("warn", no_tts.rstrip("."), compiler_step())
    sound = b"".join([chunk async for chunk in tts.speak(SENTENCE, DEFAULT_VOICE, 1.0)])
    if (speech := ear_hears(sound)) is not None:
        return speech
    if stt is None:
        return Finding("warn", no_stt.rstrip("."), "Run make setup again, or set PARLEY_STT_URL")
    heard = await transcript_of(stt, sound)
    wanted = words(SENTENCE)
    if len(wanted & words(heard)) < WORDS_HEARD_LEAST * len(wanted):
        return Finding("fail", f'said "{SENTENCE}", understood "{heard}"', "Reinstall: make clean, then make run")
    return Finding("warn", no_tts.rstrip("."), compiler_step()) if no_tts else Finding("ok", f'understood "{heard}"')


def ear_hears(sound: bytes) -> Finding | None:
    """None when the ear takes the sound for speech."""
    from parley.audio.vad import Ear, open_listener

    listener = open_listener()
    ear = Ear()
    ear.hear(sound)
    likely = 0.0
    while ear.frames:
        for _, evidence in listener.listen([ear]):
            likely = max(likely, *(probability for _, probability, _ in evidence))
    if listener.name != "silero":
        return Finding(
            "warn", f"turns are detected by loudness ({listener.name}), not by the model", "Run make run again"
        )
    if likely < SPEECH_LEAST:
        return Finding("fail", "the ear does not hear the voice", "Reinstall: make clean, then make run")
    return None


def words(text: str) -> set[str]:
    return set(re.findall(r"[a-z]+", text.lower()))


def compiler_step() -> str:
    compiler = shutil.which("cc") or shutil.which("gcc")
    headers = Path(sysconfig.get_path("include"), "Python.h").exists()
    if compiler and headers:
        return "pip install ttspico==0.3.2, or set PARLEY_TTS_URL"
    return "Install a C compiler (Debian, Ubuntu: apt install build-essential python3-dev), then run make run again"


# ---- the backends behind HTTP


async def check_llm(settings: Settings) -> Finding:
    if not settings.llm_url:
        return Finding("ok", "the embedded assistant (a stand-in, not a language model)")
    from parley.engines.http import Backend, Timeouts
    from parley.engines.llm import LanguageModelOptions
    from parley.engines.llm.chat import Chat

    options = LanguageModelOptions(
        url=settings.llm_url, api_key=settings.llm_api_key, model=settings.llm_model, first_token_s=ANSWER_TIMEOUT_S
    )
    times = Timeouts(connect_s=settings.connect_timeout_s, idle_s=ANSWER_TIMEOUT_S)
    backend = Backend(settings.llm_url, name="The language model", api_key=settings.llm_api_key, timeouts=times)
    prompt = Prompt(
        model=settings.llm_model or DEFAULT_MODEL,
        messages=(Message(role="user", content=(Text(text="Say hello in one word."),)),),
        max_output_tokens=64,
    )
    try:
        said = "".join(
            [piece.text async for piece in Chat(backend, options).generate(prompt) if isinstance(piece, Words)]
        )
    finally:
        await backend.close()
    if not said.strip():
        return Finding("warn", f"{settings.llm_url} answers, but without words", "Try another PARLEY_LLM_MODEL")
    return Finding("ok", f"{settings.llm_url} says {said.strip()[:40]!r}")


async def check_stt(settings: Settings) -> Finding:
    if not settings.stt_url:
        return Finding("ok", "embedded")
    from parley.engines.http import Backend, Timeouts
    from parley.engines.stt import open_http

    times = Timeouts(connect_s=settings.connect_timeout_s, idle_s=ANSWER_TIMEOUT_S)
    name = "The speech-to-text backend"
    backend = Backend(settings.stt_url, name=name, api_key=settings.stt_api_key, timeouts=times)
    try:
        await transcript_of(open_http(backend, settings.stt_model), bytes(24_000))
    finally:
        await backend.close()
    return Finding("ok", f"{settings.stt_url} took half a second of silence")


async def check_tts(settings: Settings) -> Finding:
    if not settings.tts_url:
        return Finding("ok", "embedded")
    from parley.engines.http import Backend, Timeouts
    from parley.engines.tts import open_http

    times = Timeouts(connect_s=settings.connect_timeout_s, idle_s=ANSWER_TIMEOUT_S)
    name = "The text-to-speech backend"
    backend = Backend(settings.tts_url, name=name, api_key=settings.tts_api_key, timeouts=times)
    try:
        size = await spoken_bytes(open_http(backend, settings.tts_model, settings.tts_voice))
    finally:
        await backend.close()
    if not size:
        return Finding("fail", f"{settings.tts_url} answers, but with no sound", "Check PARLEY_TTS_MODEL and its voice")
    return Finding("ok", f"{settings.tts_url} spoke for {size / 48_000:.1f} s")


async def transcript_of(stt: SpeechToText, sound: bytes) -> str:
    async def stream() -> AsyncIterator[bytes | Peek]:
        yield sound

    heard = [found.text async for found in stt.transcribe(stream(), TranscriptionRequest()) if found.final]
    return heard[-1] if heard else ""


async def spoken_bytes(tts: TextToSpeech) -> int:
    return sum([len(chunk) async for chunk in tts.speak("Hello.", DEFAULT_VOICE, 1.0)])
