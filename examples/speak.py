"""Send a spoken question, save the spoken answer.

    python examples/speak.py question.wav answer.wav

`question.wav` is mono PCM16 at 24 kHz. The server finds the end of the question by itself, as with a microphone.
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


async def speak(connection: AsyncRealtimeConnection, pcm: bytes) -> None:
    """Sends sound at the pace of a microphone, then the silence of somebody who waits for an answer."""
    for at in range(0, len(pcm) + RATE_HZ * 2, CHUNK_BYTES):
        chunk = pcm[at : at + CHUNK_BYTES].ljust(CHUNK_BYTES, b"\0")
        await connection.input_audio_buffer.append(audio=base64.b64encode(chunk).decode())
        await asyncio.sleep(CHUNK_MS / 1_000)


async def main(question: str, answer: str) -> None:
    with wave.open(question) as file:
        assert (file.getframerate(), file.getnchannels(), file.getsampwidth()) == (RATE_HZ, 1, 2)
        pcm = file.readframes(file.getnframes())
    spoken = bytearray()
    async with AsyncOpenAI().realtime.connect(model="gpt-realtime") as connection:
        await connection.session.update(
            session={
                "type": "realtime",
                "audio": {
                    "input": {"transcription": {"model": "gpt-4o-mini-transcribe"}},
                    "output": {"voice": "cedar"},
                },
            }
        )
        speaking = asyncio.create_task(speak(connection, pcm))
        async for event in connection:
            if event.type == "conversation.item.input_audio_transcription.completed":
                print(f"you: {event.transcript}")
            elif event.type == "response.output_audio.delta":
                spoken += base64.b64decode(event.delta)
            elif event.type == "response.output_audio_transcript.done":
                print(f"parley: {event.transcript}")
            elif event.type == "response.done" and event.response.status == "completed":
                break
        speaking.cancel()
    with wave.open(answer, "wb") as file:
        file.setnchannels(1)
        file.setsampwidth(2)
        file.setframerate(RATE_HZ)
        file.writeframes(bytes(spoken))


if __name__ == "__main__":
    asyncio.run(main(sys.argv[1], sys.argv[2]))
