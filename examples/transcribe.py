"""Transcribe speech while it is spoken, without any answers.

    python examples/transcribe.py speech.wav

`speech.wav` is mono PCM16 at 24 kHz; each turn in it becomes a line.
"""

import asyncio
import base64
import sys
import wave

from openai import AsyncOpenAI
from openai.resources.realtime.realtime import AsyncRealtimeConnection

RATE_HZ = 24_000
CHUNK_MS = 20
CHUNK_BYTES = RATE_HZ * 2 * CHUNK_MS // 1_000


async def speak(connection: AsyncRealtimeConnection, pcm: bytes, open_turns: set[str]) -> None:
    """Sends sound at the pace of a microphone and a second of silence; hangs up when every turn has its text."""
    for at in range(0, len(pcm) + RATE_HZ * 2, CHUNK_BYTES):
        chunk = pcm[at : at + CHUNK_BYTES].ljust(CHUNK_BYTES, b"\0")
        await connection.input_audio_buffer.append(audio=base64.b64encode(chunk).decode())
        await asyncio.sleep(CHUNK_MS / 1_000)
    while open_turns:
        await asyncio.sleep(CHUNK_MS / 1_000)
    await connection.close()


async def main(path: str) -> None:
    with wave.open(path) as file:
        pcm = file.readframes(file.getnframes())
    open_turns: set[str] = set()
    async with AsyncOpenAI().realtime.connect(extra_query={"intent": "transcription"}) as connection:
        await connection.session.update(
            session={
                "type": "transcription",
                "audio": {
                    "input": {
                        "transcription": {"model": "gpt-4o-mini-transcribe", "language": "en"},
                        "turn_detection": {"type": "server_vad", "silence_duration_ms": 500},
                    }
                },
            }
        )
        speaking = asyncio.create_task(speak(connection, pcm, open_turns))
        async for event in connection:
            if event.type == "input_audio_buffer.speech_started":
                open_turns.add(event.item_id)
            elif event.type == "conversation.item.input_audio_transcription.delta":
                print(event.delta, end="", flush=True)
            elif event.type == "conversation.item.input_audio_transcription.completed":
                print()
                open_turns.discard(event.item_id)
        await speaking


if __name__ == "__main__":
    asyncio.run(main(sys.argv[1]))
