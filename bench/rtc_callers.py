"""Callers for `bench/rtc.py`: aiortc for the connection, and packets that were encoded beforehand, so that one core can
play dozens of them. What comes is decrypted and timed, not decoded.
"""

import asyncio
import json
import struct
import time
from contextlib import suppress
from typing import Any, Final, NamedTuple

import httpx
import pylibsrtp
from aiortc import RTCBundlePolicy, RTCConfiguration, RTCPeerConnection, RTCSessionDescription

from parley.audio import opus
from parley.transports.rtc import rtp

SLICE_S: Final = 0.02
TICKS: Final = 960
"""Of a slice, on the clock of Opus."""
RATE_HZ: Final = 48_000
SILENT_BYTES: Final = 3
"""A packet of silence is no longer."""
TALK_S: Final = 0.5
"""How often each caller sends a message."""
CONNECT_S: Final = 30.0


class Came(NamedTuple):
    """A packet: when, and what its header says. `size` is that of its payload."""

    at: float
    sequence: int
    timestamp: int
    size: int


def encoded(pcm: bytes) -> list[bytes]:
    """Sound of 48 kHz as packets of 20 ms, as a browser would send it."""
    encoder = opus.Encoder(RATE_HZ)
    return [encoder.encode(pcm[at : at + 2 * TICKS]) for at in range(0, len(pcm) - 2 * TICKS, 2 * TICKS)]


class Caller:
    """One peer. `connect`, then `send` every 20 ms; `came` fills while `timing`."""

    def __init__(self) -> None:
        self.came: list[Came] = []
        self.timing = False
        self.messages = 0
        self.last = Came(0.0, 0, 0, 0)
        self.spoke = asyncio.Event()
        """A response has begun to be heard."""
        self._peer = RTCPeerConnection(RTCConfiguration(iceServers=[], bundlePolicy=RTCBundlePolicy.MAX_BUNDLE))
        self._peer.addTransceiver("audio", direction="sendrecv")
        self._channel = self._peer.createDataChannel("oai-events")
        self._channel.on("message", self._on_message)
        self._sequence = 0
        self._wire: Any = None
        self._address: Any = None
        self._seal: Any = None

    async def connect(self, url: str, key: str, session: dict[str, Any] | None) -> float:
        """How many seconds from the request to the open channel."""
        opened = asyncio.Event()
        self._channel.on("open", opened.set)
        await self._peer.setLocalDescription(await self._peer.createOffer())
        sdp, headers = self._peer.localDescription.sdp, {"authorization": f"Bearer {key}"}
        async with httpx.AsyncClient(timeout=CONNECT_S) as http:
            began = time.monotonic()
            if session is None:
                headers["content-type"] = "application/sdp"
                response = await http.post(f"{url}/v1/realtime/calls", content=sdp, headers=headers)
            else:
                parts = {"sdp": (None, sdp), "session": (None, json.dumps(session))}
                response = await http.post(f"{url}/v1/realtime/calls", files=parts, headers=headers)
        response.raise_for_status()
        await self._peer.setRemoteDescription(RTCSessionDescription(response.text, "answer"))
        await asyncio.wait_for(opened.wait(), CONNECT_S)
        took_s = time.monotonic() - began
        self._take_over()
        return took_s

    def _take_over(self) -> None:
        """From here on media packets go past aiortc."""
        dtls: Any = self._peer.getTransceivers()[0].receiver.transport
        connection = dtls.transport._connection
        pair = connection._nominated[1]
        self._wire, self._address, self._seal = pair.protocol.transport, pair.remote_addr, dtls._tx_srtp
        opens, others = dtls._rx_srtp, connection.data_received

        def received(data: bytes, component: int) -> None:
            if not 128 <= data[0] < 192 or rtp.is_rtcp(data):
                others(data, component)
                return
            try:
                self._on_packet(opens.unprotect(data))
            except pylibsrtp.Error:
                return

        connection.data_received = received

    def send(self, payload: bytes) -> None:
        """The next 20 ms."""
        packet = rtp.Packet(96, self._sequence % rtp.SEQUENCES, self._sequence * TICKS % rtp.TIMESTAMPS, 1, payload)
        self._sequence += 1
        if not self._wire.is_closing():
            self._wire.sendto(self._seal.protect(rtp.write(packet)), self._address)

    def say(self, kind: str, **fields: Any) -> None:
        if self._channel.readyState == "open":  # a call that has ended shows as one that says nothing
            self._channel.send(json.dumps({"type": kind, **fields}))

    async def close(self) -> None:
        await self._peer.close()

    def _on_packet(self, data: bytes) -> None:
        _, _, sequence, timestamp, _ = struct.unpack_from("!BBHII", data)
        self.last = Came(time.monotonic(), sequence, timestamp, len(data) - rtp.HEADER_BYTES)
        if self.timing:
            self.came.append(self.last)

    def _on_message(self, message: Any) -> None:
        self.messages += 1
        if '"output_audio_buffer.started"' in message:
            self.spoke.set()


class Crowd:
    """All callers, who speak by one clock. Each says the same words, every one from another place on."""

    def __init__(self, speech: list[bytes]) -> None:
        self.callers: list[Caller] = []
        self.chatty = True
        self.late_s = 0.0
        """How late the latest beat was: a busy load generator measures itself."""
        self.scripts: dict[Caller, list[bytes]] = {}
        """What a caller says instead, from the next beat on."""
        self.sent_at: dict[Caller, list[float]] = {}
        """When each packet of a script left."""
        self._speech = speech
        self._running: asyncio.Task[None] | None = None

    def start(self) -> None:
        self._running = asyncio.create_task(self._run())

    async def stop(self) -> None:
        """Raises what went wrong meanwhile."""
        if self._running is not None:
            self._running.cancel()
            with suppress(asyncio.CancelledError):
                await self._running
        await asyncio.gather(*(caller.close() for caller in self.callers), return_exceptions=True)

    async def _run(self) -> None:
        """Beats that come too late are left out, with all that would have been said in them."""
        began, beat = time.monotonic(), 0
        while True:
            passed_s = time.monotonic() - began
            self.late_s = max(self.late_s, passed_s - beat * SLICE_S)
            beat = max(beat, int(passed_s / SLICE_S))
            for at, caller in enumerate(self.callers):
                self._speak(caller, beat + 37 * at)
                if self.chatty and (beat + at) % round(TALK_S / SLICE_S) == 0:
                    caller.say("input_audio_buffer.clear")
            beat += 1
            await asyncio.sleep(max(0.0, began + beat * SLICE_S - time.monotonic()))

    def _speak(self, caller: Caller, at: int) -> None:
        script = self.scripts.get(caller)
        if script is None:
            caller.send(self._speech[at % len(self._speech)])
        elif script:
            self.sent_at.setdefault(caller, []).append(time.monotonic())
            caller.send(script.pop(0))
        else:
            caller.send(opus.SILENCE)
