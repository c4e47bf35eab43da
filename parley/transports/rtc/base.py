"""What a call and its WebRTC implementation know of each other.

Kept apart from any implementation, so that none is loaded before the first call: aiortc takes 33 MB and half a second.
"""

from typing import Protocol

from parley.transports.rtc.sdp import Offer


class Host(Protocol):
    """The call that a peer belongs to. Calls come on the event loop; none after `on_gone`."""

    def on_sound(self, pcm: bytes) -> None:
        """House sound, as it comes."""
        ...

    def on_text(self, message: str) -> None: ...
    def on_binary(self) -> None: ...

    def on_channel(self) -> None:
        """The events channel is open: `say` works from now on."""
        ...

    def on_writable(self) -> None:
        """What waited on the channel is sent."""
        ...

    def on_gone(self, reason: str) -> None:
        """It is over, by the peer's wish or for want of it. Called once, unless `close` came first."""
        ...


class RtcPeer(Protocol):
    """What a call needs of a WebRTC implementation."""

    answer: str
    """SDP."""
    message_bytes_max: int
    """What the peer takes as one message."""

    @property
    def connected(self) -> bool:
        """Whether what is played is heard."""
        ...

    @property
    def waiting_bytes(self) -> int:
        """What was said on the channel and has not left."""
        ...

    def play(self, pcm: bytes | None) -> None:
        """The next 20 ms of house sound; None: silence."""
        ...

    def skip(self, slices: int) -> None:
        """Time was lost: so much of nothing."""
        ...

    def tick(self, now: float, wall: float) -> None:
        """Every 20 ms or so."""
        ...

    def say(self, message: str) -> None:
        """On the events channel, once it is open. Never waits and never fails."""
        ...

    async def restart(self, offer: Offer) -> str:
        """The peer looks for another way (ICE restart, RFC 8445 9): the new answer, as SDP. What goes on goes on.

        Raises `RequestError` where the offer is not of the same connection.
        """
        ...

    def close(self) -> None:
        """Ends it, after what was said has left."""
        ...
