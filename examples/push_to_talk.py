"""Push to talk: you say when a turn begins and ends, the server detects nothing.

    python examples/push_to_talk.py question.wav

`question.wav` is mono PCM16 at 24 kHz.
"""

import asyncio
import base64
import sys
import wave

from openai import AsyncOpenAI


async def main(question: str) -> None:
    with wave.open(question) as file:
        pcm = file.readframes(file.getnframes())
    async with AsyncOpenAI().realtime.connect(model="gpt-realtime") as connection:
        await connection.session.update(session={"type": "realtime", "audio": {"input": {"turn_detection": None}}})
        # Pressed: whatever was in the buffer is not meant.
        await connection.input_audio_buffer.clear()
        await connection.input_audio_buffer.append(audio=base64.b64encode(pcm).decode())
        # Released: this is my turn, now answer it.
        await connection.input_audio_buffer.commit()
        await connection.response.create()
        spoken_bytes = 0
        async for event in connection:
            if event.type == "response.output_audio.delta":
                spoken_bytes += len(base64.b64decode(event.delta))
            elif event.type == "response.output_audio_transcript.done":
                print(event.transcript)
            elif event.type == "response.done":
                print(f"{event.response.status}, {spoken_bytes / 48_000:.1f} s of speech")
                break


if __name__ == "__main__":
    asyncio.run(main(sys.argv[1]))
