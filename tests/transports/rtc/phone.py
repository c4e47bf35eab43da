"""A caller built on aiortc: speaks recordings, keeps what it hears, reads and writes events.

async with Phone(server) as phone:
    await phone.call(session={"type": "realtime", "model": "gpt-realtime"})
    phone.speak(pcm)
    done = await phone.until("response.done")
"""

import asyncio
import contextlib
import fractions
import json
import time
from typing import Any, Final, Self

import httpx
from aiortc import (
    MediaStreamTrack,
    RTCBundlePolicy,
    RTCConfiguration,
    RTCDataChannel,
    RTCPeerConnection,
    RTCRtpCodecCapability,
    RTCSessionDescription,
)
from aiortc.mediastreams import MediaStreamError
from av import AudioFrame, AudioResampler

from tests.oracle import check_beta, check_ga

PATIENCE_S: Final = 40.0
SLICE: Final = 960
"""Bytes of 20 ms."""

Event = dict[str, Any]


class Mouth(MediaStreamTrack):
    """Speaks what it is told to, in real time, and silence otherwise."""

    kind = "audio"

    def __init__(self) -> None:
        super().__init__()
        self._words = bytearray()
        self._began: float | None = None
        self._slices = 0

    def speak(self, pcm: bytes) -> None:
        self._words += pcm

    async def recv(self) -> AudioFrame:
        if self._began is None:
            self._began = time.monotonic()
        await asyncio.sleep(max(0.0, self._began + self._slices * 0.02 - time.monotonic()))
        piece = bytes(self._words[:SLICE]).ljust(SLICE, b"\0")
        del self._words[:SLICE]
        frame = AudioFrame(format="s16", layout="mono", samples=480)
        frame.planes[0].update(piece)
        frame.sample_rate, frame.pts, frame.time_base = 24_000, self._slices * 480, fractions.Fraction(1, 24_000)
        self._slices += 1
        return frame


class Phone:
    def __init__(self, base_url: str, key: str, *, codecs: tuple[str, ...] = (), channel: bool = True) -> None:
        """`codecs`: what it offers, all that aiortc knows where none are named."""
        self.events: list[Event] = []
        self.heard = bytearray()
        """House sound, silence included."""
        self.call_id = ""
        self.answer = ""
        self.status = 0
        self.peer = RTCPeerConnection(RTCConfiguration(iceServers=[], bundlePolicy=RTCBundlePolicy.MAX_BUNDLE))
        self.channel: RTCDataChannel | None = None
        self.channel_closed = asyncio.Event()
        self._http = httpx.AsyncClient(base_url=base_url, timeout=PATIENCE_S)
        self._key = key
        self._mouth = Mouth()
        self._at = 0
        self._news = asyncio.Event()
        self._listening: asyncio.Task[None] | None = None
        transceiver = self.peer.addTransceiver(self._mouth, direction="sendrecv")
        if codecs:
            transceiver.setCodecPreferences([RTCRtpCodecCapability(f"audio/{name}", 8_000, 1) for name in codecs])
        self.peer.on("track", self._on_track)
        if channel:
            self.channel = self.peer.createDataChannel("oai-events")
            self.channel.on("message", self._on_message)
            self.channel.on("close", self.channel_closed.set)

    async def __aenter__(self) -> Self:
        return self

    async def __aexit__(self, *_: object) -> None:
        if self._listening is not None:
            self._listening.cancel()
            with contextlib.suppress(asyncio.CancelledError):
                await self._listening
        await self.peer.close()
        await self._http.aclose()

    # ---- calling

    async def offer(self) -> str:
        await self.peer.setLocalDescription(await self.peer.createOffer())
        return self.peer.localDescription.sdp

    async def call(self, session: Event | None = None, path: str = "/v1/realtime/calls") -> None:
        """With a session as multipart, else as plain SDP."""
        sdp = await self.offer()
        headers = {"authorization": f"Bearer {self._key}"}
        if session is None:
            headers["content-type"] = "application/sdp"
            response = await self._http.post(path, headers=headers, content=sdp)
        else:
            parts = {"sdp": (None, sdp), "session": (None, json.dumps(session))}
            response = await self._http.post(path, headers=headers, files=parts)
        self.status, self.answer = response.status_code, response.text
        assert response.status_code == 201, response.text
        assert response.headers["content-type"] == "application/sdp"
        self.call_id = response.headers["location"].removeprefix("/v1/realtime/calls/")
        await self.peer.setRemoteDescription(RTCSessionDescription(self.answer, "answer"))

    async def hang_up(self, key: str | None = None) -> httpx.Response:
        headers = {"authorization": f"Bearer {key or self._key}"}
        return await self._http.post(f"/v1/realtime/calls/{self.call_id}/hangup", headers=headers)

    async def vanish(self) -> None:
        """As if the machine had lost its network: no word of farewell."""
        for transport in {transceiver.receiver.transport for transceiver in self.peer.getTransceivers()}:
            connection = transport.transport._connection
            for protocol in list(connection._protocols):
                protocol.transport.close()
            if connection._query_consent_task is not None:
                connection._query_consent_task.cancel()

    # ---- talking

    def speak(self, pcm: bytes) -> None:
        self._mouth.speak(pcm)

    def say(self, kind: str, **fields: Any) -> None:
        assert self.channel is not None
        self.channel.send(json.dumps({"type": kind, **fields}))

    async def until(self, kind: str, patience_s: float = PATIENCE_S) -> Event:
        """The next event of this type; errors are never passed over."""
        try:
            async with asyncio.timeout(patience_s):
                return await self._until(kind)
        except TimeoutError:
            raise AssertionError(f"{kind} did not come; came: {self.kinds()}") from None

    def kinds(self) -> list[str]:
        return [event["type"] for event in self.events]

    async def _until(self, kind: str) -> Event:
        while True:
            while self._at < len(self.events):
                event = self.events[self._at]
                self._at += 1
                if event["type"] == kind:
                    return event
                assert event["type"] != "error", event
            self._news.clear()
            await self._news.wait()

    def findings(self, *, beta: bool = False) -> list[str]:
        """What the oracle has to say about all events."""
        check = check_beta if beta else check_ga
        return [finding for event in self.events for finding in check(event)]

    # ---- aiortc's side

    def _on_message(self, message: str) -> None:
        assert isinstance(message, str)
        self.events.append(json.loads(message))
        self._news.set()

    def _on_track(self, track: MediaStreamTrack) -> None:
        self._listening = asyncio.ensure_future(self._listen(track))

    async def _listen(self, track: MediaStreamTrack) -> None:
        resampler = AudioResampler("s16", "mono", 24_000)
        with contextlib.suppress(MediaStreamError):
            while True:
                frame = await track.recv()
                assert isinstance(frame, AudioFrame)
                for piece in resampler.resample(frame):
                    self.heard += bytes(piece.planes[0])[: piece.samples * 2]
