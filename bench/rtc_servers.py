"""The servers that `bench/rtc.py` measures, each a process of its own.

Both tell on their output, in seconds of the machine's monotonic clock, when a burst of the first caller's sound was
heard (`heard 12.345`), and Parley when its detector decided that this caller speaks (`decided 12.345`).
"""

import argparse
import asyncio
import fractions
import sys
import time
from pathlib import Path
from typing import Any, Final

import numpy as np

LOUD: Final = 3_000
"""Of 32,767: what only a burst reaches."""
QUIET_S: Final = 0.2
"""So long without one, and the next is another."""


class Probe:
    """Tells of bursts."""

    def __init__(self) -> None:
        self.caller: object = None
        self._loud_at = float("-inf")

    def hear(self, caller: object, samples: "np.ndarray[Any, Any]") -> None:
        """The first caller that is heard is the one who is listened to."""
        self.caller = self.caller or caller
        if caller is not self.caller or np.abs(samples).max(initial=0) < LOUD:
            return
        now = time.monotonic()
        if now - self._loud_at > QUIET_S:
            tell("heard", now)
        self._loud_at = now


def tell(what: str, when: float) -> None:
    print(f"{what} {when:.6f}", flush=True)


def parley() -> None:
    """The whole server as it is, with a probe where sound enters the session and one where its events leave."""
    from parley.__main__ import main
    from parley.core.events import AnyServerEvent, SpeechStarted
    from parley.transports.rtc.call import Call

    probe, on_sound, send = Probe(), Call.on_sound, Call.send

    def heard(call: Call, pcm: bytes) -> None:
        on_sound(call, pcm)
        probe.hear(call, np.frombuffer(pcm, "<i2"))

    def sent(call: Call, event: AnyServerEvent) -> None:
        if call is probe.caller and type(event) is SpeechStarted:
            tell("decided", time.monotonic())
        send(call, event)

    Call.on_sound, Call.send = heard, sent  # type: ignore[method-assign, assignment]
    sys.exit(main(["serve"]))


def aiortc(port: int, speech: Path) -> None:
    """aiortc as its examples use it: frames out of a track, frames into a track, and messages echoed."""
    import uvicorn
    from aiortc import MediaStreamTrack, RTCConfiguration, RTCPeerConnection, RTCSessionDescription
    from aiortc.mediastreams import MediaStreamError
    from av import AudioFrame
    from starlette.applications import Starlette
    from starlette.requests import Request
    from starlette.responses import Response
    from starlette.routing import Route

    sound = np.frombuffer(speech.read_bytes(), "<i2")
    probe, peers = Probe(), set[RTCPeerConnection]()

    class Voice(MediaStreamTrack):
        kind = "audio"

        def __init__(self) -> None:
            super().__init__()
            self._began = time.monotonic()
            self._slices = 0

        async def recv(self) -> AudioFrame:
            await asyncio.sleep(max(0.0, self._began + self._slices * 0.02 - time.monotonic()))
            at = self._slices * 960 % (sound.size - 960)
            frame = AudioFrame(format="s16", layout="mono", samples=960)
            frame.planes[0].update(sound[at : at + 960].tobytes())
            frame.sample_rate, frame.pts, frame.time_base = 48_000, self._slices * 960, fractions.Fraction(1, 48_000)
            self._slices += 1
            return frame

    async def listen(track: MediaStreamTrack) -> None:
        try:
            while True:
                frame = await track.recv()
                assert isinstance(frame, AudioFrame)
                probe.hear(track, frame.to_ndarray())
        except MediaStreamError:
            return

    async def answer(request: Request) -> Response:
        peer = RTCPeerConnection(RTCConfiguration(iceServers=[]))
        peers.add(peer)
        tasks: list[asyncio.Task[None]] = []
        peer.on("track", lambda track: tasks.append(asyncio.create_task(listen(track))))
        peer.on("datachannel", lambda channel: channel.on("message", channel.send))
        await peer.setRemoteDescription(RTCSessionDescription((await request.body()).decode(), "offer"))
        peer.addTrack(Voice())
        await peer.setLocalDescription(await peer.createAnswer())
        return Response(peer.localDescription.sdp, 201, media_type="application/sdp")

    async def ready(request: Request) -> Response:
        return Response("ready")

    routes = [Route("/v1/realtime/calls", answer, methods=["POST"]), Route("/ready", ready)]
    uvicorn.run(Starlette(routes=routes), host="127.0.0.1", port=port, log_level="warning")


def main() -> None:
    parser = argparse.ArgumentParser()
    parser.add_argument("which", choices=("parley", "aiortc"))
    parser.add_argument("port", type=int)
    parser.add_argument("speech", type=Path, help="mono PCM16, 48 kHz")
    args = parser.parse_args()
    parley() if args.which == "parley" else aiortc(args.port, args.speech)


if __name__ == "__main__":
    main()
